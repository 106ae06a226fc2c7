"""What is known before the network runs is not computed when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from build import single, tensor

from autotiny.engine import generate, plain_schedule
from autotiny.errors import UnsupportedOp
from autotiny.graph import DType, Graph, Op, Quantization, Tensor, fold


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


def constant(dtype: DType, values: Any, scale: float | None = None, zero: int = 0) -> Tensor:
    data = np.asarray(values)
    return tensor(data.shape, dtype, scale, zero, data=data)


def folded(kind: str, inputs: Sequence[Tensor], result: Tensor, **options: Any) -> Any:
    """What becomes of the result of an op that another op reads; None if it is left to the op."""
    graph = single(kind, inputs, result, **options)
    last = len(graph.tensors)
    tensors = (*graph.tensors, tensor((1,), "float32"))
    after = Op("RELU", graph.outputs, (last,))
    data = fold(Graph(tensors, (*graph.ops, after), graph.inputs, (last,))).tensors[last - 1].data
    return None if data is None else data.tolist()


def real(*values: float) -> Tensor:
    return constant("float32", values)


def ints(*values: int) -> Tensor:
    return constant("int32", values)


BOX = constant("int32", np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    ("kind", "inputs", "result", "options", "expected"),
    [
        ("ADD", [real(1, 2), real(3)], tensor((2,), "float32"), {}, [4, 5]),
        ("SUB", [real(1, 2), real(3, 5)], tensor((2,), "float32"), {}, [-2, -3]),
        ("MUL", [ints(1, 2), ints(3, 5)], tensor((2,), "int32"), {}, [3, 10]),
        ("CAST", [real(1.5, -2.5)], tensor((2,), "int32"), {}, [1, -2]),
        ("SHAPE", [BOX], tensor((2,), "int32"), {}, [2, 3]),
        ("RANK", [BOX], tensor((), "int32"), {}, 2),
        ("PACK", [ints(1, 2), ints(3, 4)], tensor((2, 2), "int32"), {"axis": 1}, [[1, 3], [2, 4]]),
        ("PACK", [ints(1, 2), ints(3, 4)], tensor((2, 2), "int32"), {}, [[1, 2], [3, 4]]),
        ("CONCATENATION", [ints(1), ints(2, 3)], tensor((3,), "int32"), {"axis": 0}, [1, 2, 3]),
        (
            "CONCATENATION",
            [BOX, BOX],
            tensor((2, 6), "int32"),
            {"axis": -1},
            [[0, 1, 2] * 2, [3, 4, 5] * 2],
        ),
        ("RESHAPE", [BOX, ints(3, 2)], tensor((3, 2), "int32"), {}, [[0, 1], [2, 3], [4, 5]]),
        ("SQUEEZE", [constant("int32", [[7]])], tensor((1,), "int32"), {}, [7]),
        ("EXPAND_DIMS", [ints(7), ints(0)], tensor((1, 1), "int32"), {}, [[7]]),
        ("TRANSPOSE", [BOX, ints(1, 0)], tensor((3, 2), "int32"), {}, [[0, 3], [1, 4], [2, 5]]),
        ("STRIDED_SLICE", [ints(5, 6, 7, 8), ints(1), ints(4), ints(2)], tensor((2,), "int32"), {},
         [6, 8]),
        ("STRIDED_SLICE", [ints(5, 6, 7), ints(1), ints(2), ints(1)], tensor((2,), "int32"),
         {"begin_mask": 1}, [5, 6]),
        ("STRIDED_SLICE", [ints(5, 6, 7), ints(1), ints(2), ints(1)], tensor((2,), "int32"),
         {"end_mask": 1}, [6, 7]),
        ("STRIDED_SLICE", [BOX, ints(1, 1), ints(2, 3), ints(1, 1)], tensor((2,), "int32"),
         {"shrink_axis_mask": 1}, [4, 5]),
        ("STRIDED_SLICE", [BOX, ints(0, 1), ints(2, 2), ints(1, 1)], tensor((2,), "int32"),
         {"shrink_axis_mask": 2}, [1, 4]),
        ("DEQUANTIZE", [constant("int8", [-1, 3], 0.5, 1)], tensor((2,), "float32"), {}, [-1, 1]),
        ("DEQUANTIZE", [constant("float16", [0.5])], tensor((1,), "float32"), {}, [0.5]),
        ("QUANTIZE", [real(0.3, -90)], tensor((2,), "int8", 0.5, 1), {}, [2, -128]),
    ],
)  # fmt: skip
def test_constants_are_computed_as_numpy_does(
    kind: str, inputs: list[Tensor], result: Tensor, options: dict[str, Any], expected: Any
) -> None:
    assert folded(kind, inputs, result, **options) == expected


@pytest.mark.parametrize(
    ("kind", "inputs", "result", "options"),
    [
        ("ADD", [real(1), tensor((1,), "float32")], tensor((1,), "float32"), {}),
        ("ADD", [constant("int8", [1], 0.5), constant("int8", [2], 0.5)],
         tensor((1,), "int8", 0.5), {}),
        ("ADD", [constant("int8", [1]), constant("int8", [2], 0.5)], tensor((1,), "int8"), {}),
        ("ADD", [real(1), real(2)], tensor((1,), "float32"),
         {"fused_activation_function": "RELU"}),
        ("RELU", [real(1)], tensor((1,), "float32"), {}),
        ("STRIDED_SLICE", [ints(5), ints(0), ints(1), ints(1)], tensor((1,), "int32"),
         {"ellipsis_mask": 1}),
        ("STRIDED_SLICE", [ints(5), ints(0), ints(1), ints(1)], tensor((1,), "int32"),
         {"new_axis_mask": 1}),
        ("STRIDED_SLICE", [ints(5), ints(0), ints(1), ints(1)], tensor((1,), "int32"),
         {"offset": True}),
        ("DEQUANTIZE", [constant("int8", [1])], tensor((1,), "float32"), {}),
        ("DEQUANTIZE", [tensor((1,), "int8", 0.5)], tensor((1,), "float32"), {}),
        ("QUANTIZE", [real(1)], tensor((1,), "int8"), {}),
        ("QUANTIZE", [constant("int8", [1], 0.25)], tensor((1,), "int8", 0.5), {}),
        ("QUANTIZE", [tensor((1,), "float32")], tensor((1,), "int8", 0.5), {}),
    ],
)  # fmt: skip
def test_what_does_not_follow_is_left_to_the_op(
    kind: str, inputs: list[Tensor], result: Tensor, options: dict[str, Any]
) -> None:
    assert folded(kind, inputs, result, **options) is None


def test_scales_run_along_their_dimension() -> None:
    one = tensor((2, 2), "int8", [0.5, 2.0], [1, 0], axis=1, data=[[1, 2], [3, 4]])
    result = tensor((2, 2), "float32")
    assert folded("DEQUANTIZE", [one], result) == [[0, 4], [1, 8]]
    one = tensor((2, 2), "int8", [0.5, 2.0], [1, 0], axis=0, data=[[1, 2], [3, 4]])
    assert folded("DEQUANTIZE", [one], result) == [[0, 0.5], [6, 8]]


@pytest.mark.parametrize(("rows", "fits"), [(1 << 11, True), ((1 << 11) + 1, False)])
def test_a_result_of_millions_of_elements_is_left_to_the_op(rows: int, fits: bool) -> None:
    a, b = np.ones((rows, 1), np.int8), np.ones((1, 1 << 11), np.int8)
    result = tensor((rows, 1 << 11), "int8")
    found = folded("ADD", [constant("int8", a), constant("int8", b)], result)
    assert (found is not None) == fits
    whole = np.ones((rows, 1 << 10), np.int8)  # of what is moved, all inputs count
    both = [constant("int8", whole)] * 2
    found = folded("CONCATENATION", both, tensor((2 * rows, 1 << 10), "int8"), axis=0)
    assert (found is not None) == fits


def test_constants_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UnsupportedOp, match=r"op 0 ADD \('out0'\): its constants contradict"):
        folded("ADD", [real(1, 2), real(1, 2, 3)], tensor((3,), "float32"))
    with pytest.raises(UnsupportedOp, match="its constants contradict each other"):
        folded("RESHAPE", [real(1, 2), ints(3)], tensor((3,), "float32"))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("LESS", [True, False, False]), ("LESS_EQUAL", [True, True, False]),
        ("GREATER", [False, False, True]), ("GREATER_EQUAL", [False, True, True]),
        ("EQUAL", [False, True, False]), ("NOT_EQUAL", [True, False, True]),
    ],
)  # fmt: skip
def test_comparisons_of_constants(kind: str, expected: list[bool]) -> None:
    a, b = (tensor((3,), "int32", data=values) for values in ([-1, 4, 7], [4, 4, 4]))
    assert folded(kind, [a, b], tensor((3,), "bool")) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("LOGICAL_AND", [False, False, True]), ("LOGICAL_OR", [False, True, True])],
)
def test_logic_of_constants(kind: str, expected: list[bool]) -> None:
    a, b = (tensor((3,), "bool", data=values) for values in ([0, 1, 1], [0, 0, 1]))
    assert folded(kind, [a, b], tensor((3,), "bool")) == expected
    assert folded("LOGICAL_NOT", [a], tensor((3,), "bool")) == [True, False, False]


def test_counters_wrap_as_in_c() -> None:
    a, b = tensor((), "int32", data=2**31 - 1), tensor((), "int32", data=1)
    assert folded("ADD", [a, b], tensor((), "int32")) == -(2**31)
