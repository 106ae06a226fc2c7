"""Loops of a network's own, and recurrent layers, whose steps freezing writes out."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.frozen._loops import function_named, loops, passes, unrolled_loops
from autotiny.errors import NotApplicable, UnsupportedOp
from autotiny.graph import Array, Graph
from autotiny.model import (
    Model,
    freeze,
    freeze_function,
    graph_def,
    graph_model,
    keras,
    keras_model,
    predict,
    tensorflow,
)

Executed = Callable[[Graph, Array], Array]
HOIST = COMPONENTS["remove_loop_invariants"]()
X = np.random.default_rng(0).uniform(-1, 1, (5, 4)).astype(np.float32)


def looping(count: Any = 3, inner: int = 1) -> Model:
    """A state that is multiplied on every pass, plus what the input alone decides."""
    tf = tensorflow()
    dice = np.random.default_rng(1)
    u, w = (tf.constant(dice.normal(0, 0.5, (4, 4)), tf.float32) for _ in range(2))

    def network(x: Any) -> Any:
        def nested(i: Any, state: Any) -> Any:
            return i + 1, tf.tanh(tf.matmul(state, u) + tf.exp(tf.matmul(x, w)))

        def body(i: Any, state: Any) -> Any:
            if inner == 1:
                return nested(i, state)
            return i + 1, tf.while_loop(lambda j, _: j < inner, nested, (0, state))[1]

        wanted = tf.cast(count(x), tf.int32) if callable(count) else count
        return tf.while_loop(lambda i, _: i < wanted, body, (0, tf.zeros_like(x)))[1]

    spec = tf.TensorSpec((1, 4), tf.float32)
    return graph_model(freeze_function(tf.function(network).get_concrete_function(spec)))


def inside(model: Model) -> Counter[str]:
    """Ops in the body of the only loop."""
    definition = graph_def(model.frozen)
    (loop,) = loops(definition)
    body = function_named(definition, loop.attr["body"].func.name)
    return Counter(node.op for node in body.node_def)


def test_what_every_pass_repeats_moves_before_the_loop(work: Work, executed: Executed) -> None:
    before = looping()
    after = HOIST.apply(before, work)
    assert (inside(before)["MatMul"], inside(before)["Exp"]) == (2, 1)
    assert (inside(after)["MatMul"], inside(after)["Exp"]) == (1, 0)
    assert after.fingerprint != before.fingerprint
    np.testing.assert_allclose(predict(after, X), predict(before, X), atol=1e-6)
    with pytest.raises(NotApplicable, match="what its state does not enter"):
        HOIST.apply(after, work)
    graph = COMPONENTS["float32"]().apply(after, work).graph
    np.testing.assert_allclose(executed(graph, X), predict(before, X), atol=1e-6)


@pytest.mark.parametrize(("count", "inner"), [(0, 1), (1, 1), (5, 1), (3, 2)])
def test_a_loop_of_a_known_length_is_written_out(count: int, inner: int) -> None:
    model = looping(count, inner)
    flat = graph_model(unrolled_loops(model.frozen))
    assert not loops(graph_def(flat.frozen))
    kinds = Counter(node.op for node in graph_def(flat.frozen).node)
    assert kinds["Tanh"] == count * inner
    np.testing.assert_allclose(predict(flat, X), predict(model, X), atol=1e-6)


def test_a_loop_that_the_input_ends_stays(work: Work) -> None:
    model = looping(lambda x: 3 + x[0, 0])
    definition = graph_def(model.frozen)
    assert passes(definition, loops(definition)[0]) is None
    with pytest.raises(UnsupportedOp, match="WHILE"):
        COMPONENTS["float32"]().apply(model, work)


def test_what_a_loop_computes_is_in_the_fingerprint_and_its_name_is_not() -> None:
    first, again, longer, deeper = looping(), looping(), looping(4), looping(3, 2)
    assert first.fingerprint == again.fingerprint
    assert len({model.fingerprint for model in (first, longer, deeper)}) == 3


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.everyday(1)
def test_products_with_all_steps_inputs_become_one(
    layer: str, work: Work, executed: Executed
) -> None:
    k = keras()
    k.utils.set_random_seed(0)
    made = getattr(k.layers, layer)(4, bias_initializer="ones")
    network = k.Sequential([k.layers.InputLayer(input_shape=(5, 28)), made, k.layers.Dense(10)])
    before = freeze(keras_model(network))
    after = HOIST.apply(before, work)
    x = work.data.x_train[:8, 8:13]
    np.testing.assert_allclose(predict(after, x), predict(before, x), atol=1e-6)
    layers = []
    for model in (before, after):
        with mock.patch("autotiny.components.tflite._lowering.with_lstms", lambda graph: graph):
            graph = COMPONENTS["float32"]().apply(model, work).graph
        layers.append(Counter(op.kind for op in graph.ops)["FULLY_CONNECTED"])
        np.testing.assert_allclose(executed(graph, x), predict(before, x), atol=1e-5)
    assert layers == [2 * 5, 1 + 5]


def test_a_network_without_loops_has_nothing_to_do(cnn1: Model, work: Work) -> None:
    with pytest.raises(NotApplicable, match="remove_loop_invariants: no loop"):
        HOIST.apply(cnn1, work)
