"""What is known before the network runs is not computed when it runs."""

from __future__ import annotations

import numpy as np
from build import single, tensor

from autotiny.engine import generate, plain_schedule
from autotiny.engine.folding import fold
from autotiny.graph import Graph, Op, Quantization, Tensor


def shaped() -> Graph:
    """A RESHAPE whose target comes from SHAPE → STRIDED_SLICE → PACK, as converters leave it."""

    def ints(*values: int) -> object:
        return tensor((len(values),), "int32", data=values)

    tensors = (
        tensor((1, 4, 2), "float32", name="x"),
        tensor((3,), "int32", name="shape"),
        ints(0), ints(1), ints(1),
        tensor((), "int32", name="batch"),
        tensor((), "int32", data=8),
        tensor((2,), "int32", name="target"),
        tensor((1, 8), "float32", name="flat"),
        tensor((1, 8), "float32", name="y"),
    )  # fmt: skip
    ops = (
        Op("SHAPE", (0,), (1,)),
        Op("STRIDED_SLICE", (1, 2, 3, 4), (5,), {"shrink_axis_mask": 1}),
        Op("PACK", (5, 6), (7,), {"axis": 0, "values_count": 2}),
        Op("RESHAPE", (0, 7), (8,)),
        Op("RELU", (8,), (9,)),
    )
    return Graph(tensors, ops, (0,), (9,))  # type: ignore[arg-type]


def test_shapes_are_folded_away() -> None:
    graph = fold(shaped())
    assert [one.name for one in graph.tensors if one.data is not None and one.name] == [
        "shape", "batch", "target",
    ]  # fmt: skip
    target = graph.tensors[7].data
    assert target is not None and target.tolist() == [1, 8]
    sources = generate(shaped(), plain_schedule(shaped()))
    assert len(sources.steps) == 1 and "relu" in sources.steps[0]


def half_dense(outputs: int = 1) -> Graph:
    weights = np.arange(6, dtype=np.float16).reshape(2, 3) / 7
    graph = single(
        "FULLY_CONNECTED",
        [tensor((1, 3), "float32"), tensor((2, 3), "float32", name="wide"), None],
        tensor((1, 2), "float32"),
    )
    half = tensor((2, 3), "float16", data=weights)
    ops = (Op("DEQUANTIZE", (3,), (1,)), graph.ops[0])
    results = (2, 1)[:outputs]
    return Graph((*graph.tensors, half), ops, (0,), results)


def test_weights_stay_half_where_a_kernel_reads_them() -> None:
    weights = fold(half_dense()).tensors[1]
    assert weights.dtype == "float16" and weights.name == "wide"
    sources = generate(half_dense(), plain_schedule(half_dense()))
    assert sources.weights_bytes == 6 * 2 + 2 * 4


def test_constants_behind_other_ops_become_float32() -> None:
    graph = half_dense()
    add = Op("ADD", (2, 1), (2,))
    other = Graph(graph.tensors, (graph.ops[0], add), (0,), (2,))
    assert fold(other).tensors[1].dtype == "float32"


def test_weights_that_another_op_reads_too_become_float32() -> None:
    graph = half_dense()
    tensors = (*graph.tensors, tensor((2, 3), "float32"))
    sum_ = Op("ADD", (1, 1), (len(tensors) - 1,))
    both = Graph(tensors, (*graph.ops, sum_), (0,), (2, len(tensors) - 1))
    assert fold(both).tensors[1].dtype == "float32"


def test_results_of_the_graph_are_computed() -> None:
    assert fold(half_dense(outputs=2)).tensors[1].data is None


def test_quantized_constants_fold_as_litert_rounds_them() -> None:
    stored = Quantization((0.5,), (3,))
    graph = Graph(
        (
            Tensor("x", (4,), "float32", data=np.array([0.25, -0.25, 0.2, 500], np.float32)),
            Tensor("q", (4,), "uint8", stored),
            Tensor("back", (4,), "float32"),
            Tensor("input", (1, 4), "float32"),
            Tensor("y", (1, 4), "float32"),
        ),
        (
            Op("QUANTIZE", (0,), (1,)),
            Op("DEQUANTIZE", (1,), (2,)),
            Op("MUL", (3, 2), (4,)),
        ),
        (3,),
        (4,),
    )
    folded = fold(graph)
    assert folded.tensors[1].data.tolist() == [4, 2, 3, 255]  # type: ignore[union-attr]
    assert folded.tensors[2].data.tolist() == [0.5, -0.5, 0, 126]  # type: ignore[union-attr]
