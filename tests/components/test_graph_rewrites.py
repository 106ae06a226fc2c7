import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.tflite.fold_constants import with_constants_folded
from autotiny.components.tflite.remove_identities import without_identities
from autotiny.errors import NotApplicable
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
