from dataclasses import replace

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.tflite.fold_constants import with_constants_folded
from autotiny.components.tflite.remove_identities import without_identities
from autotiny.engine import generate, plain_schedule
from autotiny.errors import NotApplicable
from autotiny.firmware import build_host
from autotiny.graph import Graph, Op, Quantization, Tensor
from autotiny.model import Level, Model, freeze, predict

SCALE = Quantization((0.5,), (1,))


def chain(*shapes: tuple[int, ...]) -> Graph:
    """Reshapes one after the other, and a ReLU at each end."""
    tensors = [Tensor("in", shapes[0], "int8", SCALE), Tensor("first", shapes[0], "int8", SCALE)]
    ops = [Op("RELU", (0,), (1,))]
    for shape in shapes[1:]:
        tensors.append(Tensor("", (len(shape),), "int32", None, np.array(shape, np.int32)))
        tensors.append(Tensor("", shape, "int8", SCALE))
        source = ops[-1].outputs[0]
        ops.append(Op("RESHAPE", (source, len(tensors) - 2), (len(tensors) - 1,)))
    tensors.append(Tensor("out", shapes[-1], "int8", SCALE))
    ops.append(Op("RELU", (ops[-1].outputs[0],), (len(tensors) - 1,)))
    return Graph(tuple(tensors), tuple(ops), (0,), (len(tensors) - 1,))


def test_reshapes_of_reshapes_become_one_or_none() -> None:
    joined = without_identities(chain((1, 6), (1, 2, 3), (1, 3, 2)))
    assert [op.kind for op in joined.ops] == ["RELU", "RESHAPE", "RELU"]
    assert joined.tensors[joined.ops[1].outputs[0]].shape == (1, 3, 2)
    gone = without_identities(chain((1, 6), (1, 2, 3), (1, 6)))
    assert [op.kind for op in gone.ops] == ["RELU", "RELU"]
    assert len(gone.tensors) == 3


def test_an_identity_at_the_output_is_computed_by_the_op_before() -> None:
    graph = chain((1, 6), (1, 6))
    graph = Graph(graph.tensors, graph.ops[:2], (0,), (3,))
    less = without_identities(graph)
    assert [op.kind for op in less.ops] == ["RELU"]
    assert less.outputs == less.ops[0].outputs


def test_what_is_input_and_output_at_once_stays() -> None:
    graph = chain((1, 6), (1, 6))
    graph = Graph(graph.tensors, (Op("RESHAPE", (0, 2), (3,)),), (0,), (3,))
    assert len(without_identities(graph).ops) == 1


@pytest.mark.parametrize(("other", "left"), [(SCALE, 2), (Quantization((0.25,), (1,)), 4)])
def test_a_conversion_and_back_goes_if_the_scale_is_the_same(
    other: Quantization, left: int
) -> None:
    tensors = (
        Tensor("in", (1, 4), "int8", SCALE),
        Tensor("a", (1, 4), "int8", SCALE),
        Tensor("real", (1, 4), "float32"),
        Tensor("b", (1, 4), "int8", other),
        Tensor("out", (1, 4), "int8", other),
    )
    ops = (
        Op("RELU", (0,), (1,)),
        Op("DEQUANTIZE", (1,), (2,)),
        Op("QUANTIZE", (2,), (3,)),
        Op("RELU", (3,), (4,)),
    )
    assert len(without_identities(Graph(tensors, ops, (0,), (4,))).ops) == left


@pytest.mark.parametrize(
    ("other", "kinds"),
    [
        (SCALE, ["RELU", "SPLIT", "RELU", "RELU"]),
        (
            Quantization((0.25,), (1,)),
            ["RELU", "DEQUANTIZE", "SPLIT", "QUANTIZE", "QUANTIZE", "RELU", "RELU"],
        ),
    ],
)
def test_what_only_moves_reals_moves_stored_numbers(other: Quantization, kinds: list[str]) -> None:
    tensors = (
        Tensor("in", (1, 4), "int8", SCALE),
        Tensor("a", (1, 4), "int8", SCALE),
        Tensor("real", (1, 4), "float32"),
        Tensor("axis", (), "int32", None, np.array(1, np.int32)),
        *(Tensor(f"part {i}", (1, 2), "float32") for i in range(2)),
        *(Tensor(f"stored {i}", (1, 2), "int8", scale) for i, scale in enumerate((SCALE, other))),
        *(Tensor(f"out {i}", (1, 2), "int8", scale) for i, scale in enumerate((SCALE, other))),
    )
    ops = (
        Op("RELU", (0,), (1,)),
        Op("DEQUANTIZE", (1,), (2,)),
        Op("SPLIT", (3, 2), (4, 5), {"num_splits": 2}),
        Op("QUANTIZE", (4,), (6,)),
        Op("QUANTIZE", (5,), (7,)),
        Op("RELU", (6,), (8,)),
        Op("RELU", (7,), (9,)),
    )
    less = without_identities(Graph(tensors, ops, (0,), (8, 9)))
    assert [op.kind for op in less.ops] == kinds
    assert all(less.tensors[index].dtype == "int8" for index in less.ops[-1].inputs)


def test_a_shape_chain_of_a_static_graph_folds_away() -> None:
    one = np.array([1], np.int32)
    tensors = (
        Tensor("in", (1, 2, 3), "float32"),
        Tensor("shape", (3,), "int32"),
        Tensor("begin", (1,), "int32", None, np.array([0], np.int32)),
        Tensor("end", (1,), "int32", None, one),
        Tensor("step", (1,), "int32", None, one),
        Tensor("batch", (), "int32"),
        Tensor("rest", (), "int32", None, np.array(-1, np.int32)),
        Tensor("wanted", (2,), "int32"),
        Tensor("out", (1, 6), "float32"),
    )
    masks = {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0}
    ops = (
        Op("SHAPE", (0,), (1,)),
        Op("STRIDED_SLICE", (1, 2, 3, 4), (5,), {**masks, "shrink_axis_mask": 1}),
        Op("PACK", (5, 6), (7,), {"axis": 0}),
        Op("RESHAPE", (0, 7), (8,)),
    )
    folded = with_constants_folded(Graph(tensors, ops, (0,), (8,)))
    assert [op.kind for op in folded.ops] == ["RESHAPE"]
    shape = folded.tensors[folded.ops[0].inputs[1]].data
    assert shape is not None
    assert shape.tolist() == [1, -1]


def test_stored_weights_are_not_blown_up(cnn1: Model, work: Work) -> None:
    lowered = COMPONENTS["float16"]().apply(cnn1, work)
    with pytest.raises(NotApplicable, match="depends on the input"):
        COMPONENTS["fold_constants"]().apply(lowered, work)


@pytest.mark.parametrize("name", ["fold_constants", "remove_identities"])
def test_grappler_keeps_what_the_graph_computes(name: str, residual: Model, work: Work) -> None:
    after = COMPONENTS[name]().apply(residual, work)
    assert after.level is Level.GRAPH
    x = work.data.x_test[:5]
    np.testing.assert_allclose(predict(after, x), predict(freeze(residual), x), atol=1e-5)
    COMPONENTS["int8"]().apply(after, work)


def test_trained_ranges_are_not_folded_away(cnn1: Model, work: Work) -> None:
    trained = COMPONENTS["quantize_aware"]().apply(cnn1, work)
    with pytest.raises(NotApplicable, match="trained ranges"):
        COMPONENTS["fold_constants"]().apply(trained, work)


# Transpositions


def moving(shape: tuple[int, ...], *steps: tuple[str, list[int], bool]) -> Graph:
    """Transpositions and reductions in a row: axes, and whether a reduction keeps them."""
    tensors = [Tensor("in", shape, "int8", SCALE), Tensor("x", shape, "int8", SCALE)]
    ops = [Op("RELU", (0,), (1,))]
    for kind, axes, keep in steps:
        if kind == "TRANSPOSE":
            shape = tuple(shape[axis] for axis in axes)
        else:
            gone = {axis % len(shape) for axis in axes}
            shape = tuple(
                1 if i in gone else n for i, n in enumerate(shape) if keep or i not in gone
            )
        tensors.append(Tensor("", (len(axes),), "int32", None, np.array(axes, np.int32)))
        tensors.append(Tensor("", shape, "int8", SCALE))
        source, last = ops[-1].outputs[0], len(tensors) - 1
        options = {} if kind == "TRANSPOSE" else {"keep_dims": keep}
        ops.append(Op(kind, (source, last - 1), (last,), options))
    return Graph(tuple(tensors), tuple(ops), (0,), ops[-1].outputs)


T, MEAN, MAX = "TRANSPOSE", "MEAN", "REDUCE_MAX"


@pytest.mark.parametrize(
    ("shape", "steps", "left"),
    [
        ((1, 4, 5, 6), [(T, [0, 2, 1, 3], False), (T, [0, 2, 3, 1], False)], ["TRANSPOSE"]),
        ((1, 4, 5, 6), [(T, [0, 3, 1, 2], False), (T, [0, 2, 3, 1], False)], []),
        ((1, 1, 5, 6), [(T, [0, 2, 1, 3], False)], ["RESHAPE"]),
        ((1, 1, 5, 6), [(T, [0, 3, 1, 2], False)], ["TRANSPOSE"]),
        ((1, 4, 5, 6), [(T, [0, 3, 1, 2], False), (MEAN, [2, 3], False)], ["MEAN"]),
        ((1, 4, 5, 6), [(T, [0, 3, 1, 2], False), (MEAN, [-2, -1], True)], ["MEAN", "RESHAPE"]),
        ((1, 4, 5, 6), [(T, [0, 3, 1, 2], False), (MAX, [1], False)], ["REDUCE_MAX"]),
        # rows and columns change places: the values are added in another order
        ((1, 4, 5, 6), [(T, [0, 3, 2, 1], False), (MEAN, [2, 3], False)], ["TRANSPOSE", "MEAN"]),
        ((1, 4, 5, 6), [(T, [0, 3, 1, 2], False), (MEAN, [3], False)], ["TRANSPOSE", "MEAN"]),
    ],
)  # fmt: skip
@pytest.mark.everyday(3)
def test_transpositions_join_and_go_into_reductions(
    shape: tuple[int, ...], steps: list[tuple[str, list[int], bool]], left: list[str]
) -> None:
    graph = moving(shape, *steps)
    less = without_identities(graph)
    assert [op.kind for op in less.ops] == ["RELU", *left]
    x = np.random.default_rng(0).integers(-128, 128, (4, *shape)).astype(np.int8)
    before, after = (build_host(generate(g, plain_schedule(g))).predict(x) for g in (graph, less))
    np.testing.assert_array_equal(after, before)


def test_a_transposition_that_others_read_stays_for_them() -> None:
    graph = moving((1, 4, 5, 6), (T, [0, 3, 1, 2], False), (MEAN, [2, 3], False))
    graph = replace(graph, outputs=(graph.ops[1].outputs[0], *graph.outputs))
    assert [op.kind for op in without_identities(graph).ops] == ["RELU", "TRANSPOSE", "MEAN"]
