"""Tensors whose values are known before the network runs become constants of the graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from autotiny.errors import UnsupportedOp
from autotiny.graph.quantizing import dequantize, quantize
from autotiny.graph.types import Array, Graph, Op, Tensor
from autotiny.graph.walking import readers

# Constants larger than this are left to the ops: a graph can broadcast a few bytes to gigabytes.
MOST_ELEMENTS: Final = 1 << 22

# Ops whose weights may stay float16: their kernels convert each weight when it is used.
KEEPS_HALF: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
WEIGHTS: Final = 1


def fold(graph: Graph) -> Graph:
    """The same graph, with data in every tensor that can be computed now.

    The ops stay, so that a schedule's indices hold; an op whose outputs all have data has nothing
    left to do. Float16 weights behind a DEQUANTIZE stay float16 where a kernel can read them.
    Outputs of the graph are computed by its ops in any case.
    """
    tensors = list(graph.tensors)
    for number, op in enumerate(graph.ops):
        if set(op.outputs) & set(graph.outputs):
            continue
        if op.kind == "DEQUANTIZE" and _keeps_half(graph, tensors[op.inputs[0]], op.outputs[0]):
            half = tensors[op.inputs[0]]
            tensors[op.outputs[0]] = replace(half, name=tensors[op.outputs[0]].name)
            continue
        inputs = [tensors[i] if i >= 0 else None for i in op.inputs]
        results = [tensors[i] for i in op.outputs]
        place = f"op {number} {op.kind} ({tensors[op.outputs[0]].name!r})"
        for index, value in zip(op.outputs, folded(op, inputs, results, place), strict=False):
            tensors[index] = replace(tensors[index], data=value)
    return replace(graph, tensors=tuple(tensors))


def folded(op: Op, inputs: Inputs, results: Sequence[Tensor], place: str) -> list[Array]:
    """What an op computes, as its results store it; nothing if that is not known now.

    Args:
        op: the op.
        inputs: its inputs, None where one is absent; those with data are constants.
        results: its outputs.
        place: what an error calls the op.

    Raises:
        UnsupportedOp: the constants cannot be what the op takes.
    """
    folder = partial(_quantize, results[0]) if op.kind == "QUANTIZE" else FOLDERS.get(op.kind)
    if folder is None or _result_size(op, inputs) > MOST_ELEMENTS:
        return []
    try:
        with np.errstate(over="ignore"):  # of whole numbers, which wrap as they do in C kernels
            values = folder(op, inputs) or []
        return [_stored(v, one) for v, one in zip(values, results, strict=False)]
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise UnsupportedOp(f"{place}: its constants contradict each other: {error}") from error


def _result_size(op: Op, inputs: Inputs) -> int:
    """Elements that folding an op would make, at most."""
    if op.kind in ("ADD", "SUB", "MUL"):
        return math.prod(max(one.size, 1) for one in inputs if one is not None)
    return sum(one.size for one in inputs if one is not None)


def _stored(value: Array, tensor: Tensor) -> Array:
    return np.ascontiguousarray(value.astype(tensor.dtype)).reshape(tensor.shape)


def _keeps_half(graph: Graph, source: Tensor, output: int) -> bool:
    if source.dtype != "float16" or source.data is None:
        return False
    return all(
        op.kind in KEEPS_HALF and (op.inputs.count(output), op.inputs.index(output)) == (1, WEIGHTS)
        for op in readers(graph).get(output, ())
    )


Inputs = list[Tensor | None]
Folder = Callable[[Op, Inputs], "list[Array] | None"]


def _data(inputs: Inputs) -> list[Array] | None:
    """The values of all inputs, None unless all are constants."""
    found = [one.data for one in inputs if one is not None]
    values = [value for value in found if value is not None]
    return values if len(values) == len(inputs) else None


def _shape(op: Op, inputs: Inputs) -> list[Array] | None:
    return None if inputs[0] is None else [np.array(inputs[0].shape)]


def _rank(op: Op, inputs: Inputs) -> list[Array] | None:
    return None if inputs[0] is None else [np.array(len(inputs[0].shape))]


def _dequantize(op: Op, inputs: Inputs) -> list[Array] | None:
    one = inputs[0]
    if one is None or one.data is None:
        return None
    if one.quantization is None and one.dtype != "float16":
        return None
    return [dequantize(one.data, one.quantization)]


def _quantize(result: Tensor, op: Op, inputs: Inputs) -> list[Array] | None:
    """Float32 values, halves rounded away from zero as LiteRT's QUANTIZE does."""
    one = inputs[0]
    if one is None or one.data is None or one.dtype != "float32" or result.quantization is None:
        return None
    return [quantize(one.data, result.quantization, result.dtype, "away")]


def _plain(function: Callable[..., Array]) -> Folder:
    """A folder for an op that computes from the values of its inputs alone."""

    def folder(op: Op, inputs: Inputs) -> list[Array] | None:
        if any(one is not None and one.quantization is not None for one in inputs):
            return None  # stored numbers mean something only with their scales
        if op.option("fused_activation_function", "NONE") != "NONE":
            return None
        values = _data(inputs)
        return None if values is None else [function(op, *values)]

    return folder


def _moved(function: Callable[..., Array]) -> Folder:
    """A folder for an op that only moves its inputs' elements."""

    def folder(op: Op, inputs: Inputs) -> list[Array] | None:
        values = _data(inputs)
        if any(op.options.get(name) for name in ("ellipsis_mask", "new_axis_mask", "offset")):
            return None
        return None if values is None else [function(op, *values)]

    return folder


def _strided_slice(op: Op, x: Array, begin: Array, end: Array, strides: Array) -> Array:
    index: list[slice | int] = []
    for i, (b, e, s) in enumerate(zip(begin, end, strides, strict=True)):
        first = None if _bit(op, "begin_mask", i) else int(b)
        last = None if _bit(op, "end_mask", i) else int(e)
        shrunk = _bit(op, "shrink_axis_mask", i)
        index.append(int(b) if shrunk else slice(first, last, int(s)))
    result: Array = x[tuple(index)]
    return result


def _bit(op: Op, name: str, i: int) -> bool:
    return bool(op.option(name, 0) >> i & 1)


def _pack(op: Op, *values: Array) -> Array:
    return np.stack(values, axis=op.option("axis", 0))


def _concatenation(op: Op, *values: Array) -> Array:
    return np.concatenate(values, axis=op.option("axis", 0))


FOLDERS: Final[Mapping[str, Folder]] = {
    "SHAPE": _shape,
    "RANK": _rank,
    "DEQUANTIZE": _dequantize,
    "CAST": _plain(lambda op, x: x),
    "ADD": _plain(lambda op, a, b: a + b),
    "SUB": _plain(lambda op, a, b: a - b),
    "MUL": _plain(lambda op, a, b: a * b),
    "LESS": _plain(lambda op, a, b: a < b),
    "LESS_EQUAL": _plain(lambda op, a, b: a <= b),
    "GREATER": _plain(lambda op, a, b: a > b),
    "GREATER_EQUAL": _plain(lambda op, a, b: a >= b),
    "EQUAL": _plain(lambda op, a, b: a == b),
    "NOT_EQUAL": _plain(lambda op, a, b: a != b),
    "LOGICAL_AND": _plain(lambda op, a, b: a & b),
    "LOGICAL_OR": _plain(lambda op, a, b: a | b),
    "LOGICAL_NOT": _plain(lambda op, a: ~a),
    "STRIDED_SLICE": _moved(_strided_slice),
    "PACK": _moved(_pack),
    "CONCATENATION": _moved(_concatenation),
    "RESHAPE": _moved(lambda op, x, *shape: x),
    "SQUEEZE": _moved(lambda op, x: x),
    "EXPAND_DIMS": _moved(lambda op, x, axis: x),
    "TRANSPOSE": _moved(lambda op, x, axes: np.transpose(x, [int(a) for a in axes])),
}
"""How the outputs of an op follow from constant inputs; None where they do not."""
