"""Sums of products in a cheaper form, of the same value and on every level."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.sums import Apply, Constant, Expression, Kind, Leaf, cost, simplified
from autotiny.dataset import synthetic
from autotiny.errors import NotApplicable
from autotiny.evaluate import sources_of, stored
from autotiny.firmware import build_host
from autotiny.graph import Array, Graph, Op, Tensor
from autotiny.model import Model, freeze, graph_def, keras, keras_model, predict, tensorflow
from autotiny.simulator import measure
from autotiny.target import load_target

SIMPLIFY = COMPONENTS["simplify_arithmetic"]()
BOARD = load_target("stm32l4r5")
C1, C2 = np.linspace(0.5, 1.5, 4, dtype=np.float32), np.linspace(-1, 1, 4, dtype=np.float32)
KINDS: tuple[Kind, ...] = ("ADD", "SUB", "MUL", "DIV")

# Expressions as data


def value(expression: Expression, leaves: dict[object, Array]) -> Array:
    """What an expression is, in float64."""
    if isinstance(expression, Leaf):
        return leaves[expression.name]
    if isinstance(expression, Constant):
        return expression.values.astype(np.float64)
    a, b = value(expression.left, leaves), value(expression.right, leaves)
    results = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply, "DIV": np.divide}
    return np.asarray(results[expression.kind](a, b))


def drawn(dice: np.random.Generator, leaves: list[Leaf], depth: int) -> Expression:
    """An expression as it comes."""
    if depth == 0 or dice.random() < 0.2:
        if dice.random() < 0.7:
            return leaves[dice.integers(len(leaves))]
        shape = [(), (4,), (3, 1)][dice.integers(3)]
        return Constant(dice.choice([-2.0, -1.0, 0.5, 1.0, 3.0], shape).astype(np.float32))
    left, right = (drawn(dice, leaves, depth - 1) for _ in range(2))
    kind = KINDS[dice.integers(4)]
    if kind == "DIV" and not isinstance(right, Constant):
        kind = "MUL"
    return Apply(kind, left, right)


def test_a_cheaper_form_has_the_same_value() -> None:
    dice = np.random.default_rng(0)
    found = 0
    for _ in range(400):
        leaves = [Leaf("a", (3, 4)), Leaf("b", (3, 4), absorbs=True), Leaf("c", (4,))]
        values = {leaf.name: dice.uniform(1, 2, leaf.shape) for leaf in leaves}
        expression = drawn(dice, leaves, 4)
        better = simplified(expression)
        if better is None:
            continue
        found += 1
        assert cost(better) < cost(expression)
        wanted = value(expression, values)
        scale = np.abs(wanted).max() + 1
        np.testing.assert_allclose(value(better, values) / scale, wanted / scale, atol=1e-5)
    assert found > 80


P, Q = Leaf("p", (8, 4)), Leaf("q", (8, 4))
SMALL = Leaf("small", (4,))
LAYER, OTHER = Leaf("layer", (8, 4), absorbs=True), Leaf("other", (8, 4), absorbs=True)


def _of(kind: Kind, *parts: Expression) -> Expression:
    first, *rest = parts
    for part in rest:
        first = Apply(kind, first, part)
    return first


@pytest.mark.parametrize(
    ("expression", "before", "after"),
    [
        (_of("ADD", _of("MUL", P, Constant(C1)), _of("MUL", Q, Constant(C1))), 96, 64),
        (_of("SUB", _of("MUL", P, Constant(C1)), _of("MUL", Q, Constant(-C1))), 96, 64),
        (_of("ADD", _of("MUL", P, SMALL), _of("MUL", Q, SMALL)), 96, 64),
        (_of("ADD", _of("MUL", P, Constant(C1)), _of("MUL", P, Constant(C2))), 96, 32),
        (_of("ADD", _of("ADD", P, Constant(C1)), _of("ADD", Q, Constant(C2))), 96, 64),
        (_of("MUL", _of("MUL", P, Constant(C1)), Constant(C2)), 64, 32),
        (_of("ADD", P, P, P), 64, 32),
        (_of("SUB", _of("ADD", P, Q), P), 64, 0),
        (_of("DIV", P, Constant(C1)), 128, 32),
        (_of("MUL", P, Constant(np.ones(4, np.float32))), 32, 0),
        # a layer takes a constant up: twice by itself, and not where a sum stands between
        (_of("ADD", _of("MUL", LAYER, Constant(C1)), _of("MUL", OTHER, Constant(C1))), 32, None),
        (_of("ADD", _of("ADD", P, Constant(C1)), LAYER), 64, 32),
        (_of("ADD", P, Q), 32, None),
        (_of("DIV", P, Q), 128, None),
        (_of("DIV", P, Constant(np.array([1, 0, 1, 1], np.float32))), 128, None),
        (_of("DIV", P, Constant(np.full(4, 1e-40, np.float32))), 128, None),
        (_of("MUL", P, Constant(C1 * np.float32(1e30)), Constant(C1 * np.float32(1e30))), 64, None),
        # what has another shape then, or larger constants, stays
        (_of("SUB", _of("ADD", P, SMALL), P), 64, None),
        (_of("MUL", P, _of("MUL", SMALL, Constant(np.ones((8, 1), np.float32) * 3))), 64, None),
    ],
)  # fmt: skip
def test_forms_and_what_they_cost(expression: Expression, before: int, after: int | None) -> None:
    better = simplified(expression)
    assert cost(expression) == before
    assert (None if better is None else cost(better)) == after


# Frozen graphs

Arithmetic = Callable[[Any, Any, Any], Any]
CASES: dict[str, Arithmetic] = {
    "a factor": lambda x, p, q: p * C1 + q * C1,
    "a tensor as factor": lambda x, p, q: p * x + q * x,
    "like terms": lambda x, p, q: p * C1 + p * C2,
    "constants": lambda x, p, q: (p + C1) + (q + C2),
    "many": lambda x, p, q: tensorflow().add_n([p, p, p]),
}


def network(arithmetic: Arithmetic, activation: str | None = "relu") -> Model:
    """Two convolutions and arithmetic on them."""
    k = keras()
    k.utils.set_random_seed(0)
    x = k.Input((8, 8, 4))
    p, q = (k.layers.Conv2D(4, 3, padding="same", activation=activation)(x) for _ in range(2))
    y = k.layers.MaxPooling2D(4)(arithmetic(x, p, q))
    return keras_model(k.Model(x, k.layers.Flatten()(y)))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.everyday(2)
def test_firmware_gets_smaller_and_faster(case: str) -> None:
    model = network(CASES[case])
    work, int8 = Work(synthetic(model)), COMPONENTS["int8"]()
    after = SIMPLIFY.apply(model, work)
    x = work.data.x_test[:4]
    np.testing.assert_allclose(predict(after, x), predict(model, x), rtol=1e-4, atol=1e-5)
    simple = measure(sources_of(int8.apply(after, work)), BOARD)
    if case == "many":  # for which there is no kernel
        return
    plain = measure(sources_of(int8.apply(model, work)), BOARD)
    assert simple.cycles < plain.cycles


def nodes(model: Model) -> Counter[str]:
    return Counter(node.op for node in graph_def(freeze(model).frozen).node)


def test_what_a_layer_takes_up_is_left_to_it() -> None:
    model = network(CASES["a factor"], None)
    work = Work(synthetic(model))
    try:
        after = nodes(SIMPLIFY.apply(model, work))
    except NotApplicable:
        return
    assert (after["Mul"], after["AddV2"]) == (2, 1)


# Graphs of level tflite


@pytest.mark.parametrize("case", ["a factor", "a tensor as factor", "like terms", "constants"])
@pytest.mark.everyday(2)
def test_floats_are_rewritten_on_the_lowered_graph(case: str) -> None:
    model = network(CASES[case])
    work = Work(synthetic(model))
    before = COMPONENTS["float32"]().apply(model, work)
    after = SIMPLIFY.apply(before, work)
    x = stored(work.data.x_test[:4], sources_of(before).inputs[0])
    wanted, found = (build_host(sources_of(one)).predict(x) for one in (before, after))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    costs = [measure(sources_of(one), BOARD).cycles for one in (before, after)]
    assert costs[1] < costs[0]


def test_integers_stay_as_they_round() -> None:
    model = network(CASES["a tensor as factor"])
    work = Work(synthetic(model))
    lowered = COMPONENTS["int8"]().apply(model, work)
    with pytest.raises(NotApplicable, match="no cheaper form"):
        SIMPLIFY.apply(lowered, work)


def graph(*ops: Op, constants: dict[int, Array]) -> Graph:
    count = 1 + max(index for op in ops for index in (*op.inputs, *op.outputs))
    tensors = [
        Tensor(f"t{i}", constants[i].shape if i in constants else (1, 4), "float32", None,
               constants.get(i))
        for i in range(count)
    ]  # fmt: skip
    return Graph(tuple(tensors), ops, (0,), (ops[-1].outputs[0],))


def simple(one: Graph) -> list[tuple[str, str]]:
    """The ops of a graph after the rewrite, with what they do to their results."""
    from autotiny.components.tflite.simplify_arithmetic import with_cheaper_sums

    ops = with_cheaper_sums(one).ops
    return [(op.kind, op.option("fused_activation_function", "NONE")) for op in ops]


RELU = {"fused_activation_function": "RELU"}


def test_an_activation_ends_a_sum_and_stays_with_it() -> None:
    ones = {1: np.full(4, 2, np.float32), 2: np.full(4, 3, np.float32)}
    outer = graph(Op("MUL", (0, 1), (3,)), Op("MUL", (3, 2), (4,), RELU), constants=ones)
    assert simple(outer) == [("MUL", "RELU")]
    inner = graph(Op("MUL", (0, 1), (3,), RELU), Op("MUL", (3, 2), (4,)), constants=ones)
    assert simple(inner) == [("MUL", "RELU"), ("MUL", "NONE")]


def test_what_others_read_is_computed_all_the_same() -> None:
    ones = {1: np.full(4, 2, np.float32), 2: np.full(4, 3, np.float32)}
    ops = (Op("MUL", (0, 1), (3,)), Op("MUL", (3, 2), (4,)), Op("TANH", (3,), (5,)),
           Op("SUB", (4, 5), (6,)))  # fmt: skip
    assert [kind for kind, _ in simple(graph(*ops, constants=ones))] == [
        "MUL",
        "MUL",
        "TANH",
        "SUB",
    ]


def test_an_input_that_is_read_twice_is_no_part_of_a_sum() -> None:
    ones = {1: np.full(4, 2, np.float32)}
    ops = (Op("MUL", (0, 1), (2,)), Op("TANH", (2,), (3,)), Op("ADD", (0, 3), (4,)))
    assert [kind for kind, _ in simple(graph(*ops, constants=ones))] == ["MUL", "TANH", "ADD"]


def test_an_op_without_effect_goes_but_not_the_output() -> None:
    ones = {1: np.ones(4, np.float32)}
    inside = graph(Op("MUL", (0, 1), (2,)), Op("TANH", (2,), (3,)), constants=ones)
    assert simple(inside) == [("TANH", "NONE")]
    end = graph(Op("TANH", (0,), (2,)), Op("MUL", (2, 1), (3,)), constants=ones)
    assert simple(end) == [("TANH", "NONE"), ("MUL", "NONE")]
