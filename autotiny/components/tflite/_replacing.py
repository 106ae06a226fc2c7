"""One op in the place of a recurrent layer whose steps are separate ops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from autotiny.components.tflite._reading import ALONE, Reading, Row
from autotiny.graph import (
    Array,
    DType,
    Graph,
    Op,
    Option,
    Quantization,
    Tensor,
    dequantize,
    in_order,
    live,
    needed_tensors,
    quantize,
    readers,
)


class Writing:
    """Tensors and ops that are added to a graph."""

    def __init__(self, graph: Graph) -> None:
        self.tensors = list(graph.tensors)
        self.ops: list[Op] = []

    def tensor(
        self,
        shape: Sequence[int],
        dtype: DType,
        quantization: Quantization | None = None,
        data: Array | None = None,
    ) -> int:
        """A new tensor."""
        name = f"fused/{len(self.tensors)}"
        self.tensors.append(Tensor(name, tuple(shape), dtype, quantization, data))
        return len(self.tensors) - 1

    def quantized(self, values: Array, dtype: DType, scale: float) -> int:
        """A constant of real values, stored with a scale and no zero-point."""
        scales = Quantization((scale,), (0,))
        return self.tensor(values.shape, dtype, scales, quantize(values, scales, dtype))

    def like(self, tensor: int, shape: Sequence[int]) -> int:
        """A new tensor of the type of another."""
        one = self.tensors[tensor]
        return self.tensor(shape, one.dtype, one.quantization)

    def place(self, target: int, source: int) -> int:
        """Where to write what has the scale of a source, for a target to get it in its own."""
        wanted = self.tensors[target]
        if wanted.quantization == self.tensors[source].quantization:
            return target
        place = self.like(source, wanted.shape)
        self.op("QUANTIZE", (place,), (target,))
        return place

    def numbers(self, values: Sequence[int]) -> int:
        """A constant vector of whole numbers."""
        return self.tensor((len(values),), "int32", None, np.array(values, np.int32))

    def op(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], **options: Option
    ) -> None:
        """A new op."""
        self.ops.append(Op(kind, tuple(inputs), tuple(outputs), options))

    def instead(self, graph: Graph, position: int) -> Graph:
        """The graph with the new ops in the place of one."""
        ops = (*graph.ops[:position], *self.ops, *graph.ops[position + 1 :])
        return replace(graph, tensors=tuple(self.tensors), ops=ops)


def with_layer(
    graph: Graph,
    writing: Writing,
    hidden: Sequence[int],
    result: Callable[[bool, bool], int],
    *,
    turns: bool,
) -> Graph | None:
    """The graph with a layer as one op; None if its inputs hang on its own results.

    Args:
        graph: with the layer as separate ops.
        writing: what the op reads, written already.
        hidden: what the steps leave.
        result: adds the op and gives its result; called with whether that is to be all steps' (or
            the last one's alone, written to its place), and whether the last one comes first.
        turns: whether the op can put the last step's result first.
    """
    reading = Reading(graph)
    rest = [op for op in graph.ops if op.outputs[0] not in hidden]
    packed = [
        op
        for op in rest
        if op.kind == "PACK"
        and not op.option("axis", 0)
        and [reading.origin(tensor) for tensor in op.inputs] == list(hidden)
    ]
    rest = [op for op in rest if op not in packed]
    read = (index for op in writing.ops for index in op.inputs)
    outputs = (*graph.outputs, *read)
    needed = needed_tensors(replace(graph, ops=tuple(rest), outputs=outputs))
    alone = turns and needed.isdisjoint(hidden)
    turned = _turned(graph, packed, rest) if alone else []
    whole = bool(packed) or not needed.isdisjoint(hidden[:-1])
    made = result(whole, bool(turned))
    rest = [op for op in rest if op not in turned]
    for op in turned or packed:
        shape = writing.numbers(writing.tensors[op.outputs[0]].shape)
        writing.op("RESHAPE", (made, shape), (writing.place(op.outputs[0], made),))
    if len(writing.tensors[made].shape) == 3:  # not the last one's alone
        if needed.isdisjoint(hidden[:-1]) and hidden[-1] in needed:
            take_last(writing, made, hidden[-1])
        elif not needed.isdisjoint(hidden):
            _unpack(writing, made, [writing.place(tensor, made) for tensor in hidden])
    ops = in_order((*rest, *writing.ops))
    return None if ops is None else live(replace(graph, tensors=tuple(writing.tensors), ops=ops))


def _turned(graph: Graph, packed: Sequence[Op], rest: Sequence[Op]) -> list[Op]:
    """The ops that turn the steps' results round, if all that reads these does that alone."""
    readers_of, found = readers(graph), []
    waiting = [op.outputs[0] for op in packed]
    while waiting:
        index = waiting.pop()
        if index in graph.outputs:
            return []
        for op in readers_of.get(index, ()):
            if op.kind == "RESHAPE" and op in rest:
                waiting.append(op.outputs[0])
            elif op.kind == "REVERSE_V2" and _over_time(graph, op):
                found.append(op)
            else:
                return []
    return found


def _over_time(graph: Graph, op: Op) -> bool:
    """Whether a REVERSE_V2 turns round the steps of a sequence."""
    shape, axes = (graph.tensors[index] for index in op.inputs)
    return (
        len(shape.shape) == 3
        and axes.data is not None
        and axes.data.size == 1
        and int(axes.data.reshape(-1)[0]) % 3 == time_axis(shape.shape)
    )


def types(writing: Writing, tensors: Sequence[int]) -> set[DType]:
    """The types that some tensors have."""
    return {writing.tensors[tensor].dtype for tensor in tensors}


def take_last(writing: Writing, sequence: int, target: int) -> None:
    """The last step of a sequence as a tensor."""
    shape = writing.tensors[sequence].shape
    axis = time_axis(shape)
    begin = [shape[axis] - 1 if place == axis else 0 for place in range(3)]
    bounds = [writing.numbers(values) for values in (begin, shape, (1, 1, 1))]
    outputs = (writing.place(target, sequence),)
    writing.op("STRIDED_SLICE", (sequence, *bounds), outputs, shrink_axis_mask=1 << axis)


def _unpack(writing: Writing, sequence: int, rows: Sequence[int]) -> None:
    """The steps of a sequence, each a tensor."""
    axis = time_axis(writing.tensors[sequence].shape)
    writing.op("UNPACK", (sequence,), rows, num=len(rows), axis=axis)


def time_axis(shape: Sequence[int]) -> int:
    """Where the steps of a sequence of batch 1 run."""
    return 0 if shape[1] == 1 else 1


def sequence_of(writing: Writing, rows: Sequence[Row]) -> int | None:
    """One tensor of all steps' inputs; None if these have different scales."""
    first = rows[0][0]
    shape = writing.tensors[first].shape
    if list(rows) == [(first, step) for step in range(len(rows))]:
        return first if shape[time_axis(shape)] == len(rows) else None
    taken: dict[int, list[int]] = {}
    for tensor in dict.fromkeys(tensor for tensor, step in rows if step != ALONE):
        shape = writing.tensors[tensor].shape
        count = shape[time_axis(shape)]
        taken[tensor] = [writing.like(tensor, (1, shape[2])) for _ in range(count)]
        _unpack(writing, tensor, taken[tensor])
    parts = [tensor if step == ALONE else taken[tensor][step] for tensor, step in rows]
    if len({repr(writing.tensors[part].quantization) for part in parts}) > 1:
        return None
    sequence = writing.like(parts[0], (len(rows), *writing.tensors[parts[0]].shape))
    writing.op("PACK", parts, (sequence,), values_count=len(rows), axis=0)
    return sequence


def covering(tensors: Sequence[Tensor]) -> Quantization:
    """A quantization of the tensors' type that covers the values of all."""
    found = [one.quantization for one in tensors if one.quantization is not None]
    if all(one == found[0] for one in found):
        return found[0]
    low, high = _range(tensors)
    if tensors[0].dtype == "int16":
        return Quantization((float(np.float32(max(-low, high) / 32767)),), (0,))
    scale = float(np.float32((high - low) / 255))
    return Quantization((scale,), (int(np.clip(round(-128 - low / scale), -128, 127)),))


def power_of_two(tensors: Sequence[Tensor]) -> Quantization:
    """The cell's int16 quantization, whose scale has to be a power of two."""
    low, high = _range(tensors)
    return Quantization((2.0 ** math.ceil(math.log2(max(-low, high) / 32768)),), (0,))


def _range(tensors: Sequence[Tensor]) -> tuple[float, float]:
    """The least and the greatest value that some tensors can hold."""
    ends = [
        dequantize(np.array([limits.min, limits.max]), one.quantization, np.float64)
        for one in tensors
        if one.quantization is not None
        for limits in (np.iinfo(one.dtype),)
    ]
    return float(np.min(ends)), float(np.max(ends))
