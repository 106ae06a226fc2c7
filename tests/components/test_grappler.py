"""The rewrites of frozen graphs, on functions that have something to rewrite."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.errors import NotApplicable
from autotiny.model import (
    Level,
    Model,
    freeze_function,
    graph_def,
    graph_model,
    predict,
    tensorflow,
)


def frozen(function: Callable[[Any], Any]) -> Model:
    tf = tensorflow()
    spec = tf.TensorSpec((1, 4), tf.float32)
    return graph_model(freeze_function(tf.function(function).get_concrete_function(spec)))


def kinds(model: Model) -> Counter[str]:
    return Counter(node.op for node in graph_def(model.frozen).node)


def check(name: str, function: Callable[[Any], Any], work: Work) -> tuple[Model, Model]:
    before = frozen(function)
    after = COMPONENTS[name]().apply(before, work)
    assert after.level is Level.GRAPH
    x = np.random.default_rng(0).random((3, 4), np.float32)
    np.testing.assert_allclose(predict(after, x), predict(before, x), rtol=1e-5)
    COMPONENTS["float32"]().apply(after, work)
    return before, after


def test_arithmetic_gets_simpler(work: Work) -> None:
    tf = tensorflow()
    before, after = check(
        "simplify_arithmetic", lambda x: tf.transpose(tf.transpose(x * 2 + x * 2)) + 1, work
    )
    assert kinds(before)["Transpose"] == 2
    assert kinds(after)["Transpose"] == 0


def test_constants_fold(work: Work) -> None:
    tf = tensorflow()
    before, after = check(
        "fold_constants", lambda x: x + tf.reduce_sum(tf.sqrt(tf.constant([4.0, 9.0]))), work
    )
    assert kinds(before)["Sqrt"] == 1
    assert kinds(after)["Sqrt"] == kinds(after)["Sum"] == 0


def test_duplicates_merge(work: Work) -> None:
    tf = tensorflow()
    before, after = check("merge_duplicates", lambda x: tf.sin(x) * tf.exp(tf.sin(x)), work)
    assert (kinds(before)["Sin"], kinds(after)["Sin"]) == (2, 1)


def test_identities_go(work: Work) -> None:
    tf = tensorflow()
    before, after = check(
        "remove_identities", lambda x: tf.exp(tf.identity(tf.identity(tf.sin(x)))), work
    )
    assert kinds(before)["Identity"] > kinds(after)["Identity"]


def test_a_branch_that_a_rewrite_changes_is_not_taken_for_the_one_before(work: Work) -> None:
    tf = tensorflow()

    def branching(x: Any) -> Any:
        large = tf.reduce_sum(x) > 1.0
        return tf.cond(large, lambda: tf.exp(tf.identity(tf.sin(x))), lambda: tf.cos(x)) + 1.0

    before = frozen(branching)
    after = COMPONENTS["remove_identities"]().apply(before, work)
    assert before.fingerprint != after.fingerprint
    x = np.random.default_rng(0).random((3, 4), np.float32)
    np.testing.assert_allclose(predict(after, x), predict(before, x), rtol=1e-5)


def test_control_edges_are_reduced(work: Work) -> None:
    tf = tensorflow()

    def ordered(x: Any) -> Any:
        a = tf.sin(x)
        with tf.control_dependencies([a]):
            b = tf.cos(a)
        with tf.control_dependencies([a, b]):
            return tf.exp(b)

    def edges(model: Model) -> int:
        return sum(s.startswith("^") for n in graph_def(model.frozen).node for s in n.input)

    before, after = check("reduce_control_edges", ordered, work)
    assert edges(before) > edges(after)


@pytest.mark.parametrize("taken", [True, False])
def test_a_decided_conditional_is_inlined(taken: bool, work: Work) -> None:
    tf = tensorflow()

    def branching(x: Any) -> Any:
        decided = tf.constant(2.0) > (1.0 if taken else 3.0)
        y = tf.cond(decided, lambda: tf.sin(x), lambda: tf.exp(x))
        return tf.switch_case(tf.constant(1), [lambda: y - 1, lambda: y * 3])

    before, after = check("remove_dead_branches", branching, work)
    assert any(kind in ("StatelessIf", "If") for kind in kinds(before))
    assert not any("If" in kind or "Case" in kind for kind in kinds(after))
    lowered = COMPONENTS["float32"]().apply(after, work)
    assert {op.kind for op in lowered.graph.ops} == {"SIN" if taken else "EXP", "MUL"}


@pytest.mark.parametrize(
    "name", ["simplify_arithmetic", "reduce_control_edges", "remove_dead_branches"]
)
def test_a_plain_graph_has_nothing_to_do(name: str, work: Work) -> None:
    tf = tensorflow()
    with pytest.raises(NotApplicable, match=name):
        COMPONENTS[name]().apply(frozen(lambda x: tf.sin(x)), work)
