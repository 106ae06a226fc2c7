"""What can do without a transposition, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autotiny.components.tflite._replacing import Writing
from autotiny.graph import Graph, Op

REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")


def without_transposition(graph: Graph, position: int, made_by: Mapping[int, Op]) -> Graph | None:
    """The graph in which the op at a position does without a transposition; None if it cannot.

    A transposition that moves sizes of 1 alone becomes a reshape, and two in a row become one. A
    reduction behind one reduces other axes instead, where it adds up the same values in the same
    order.
    """
    op = graph.ops[position]
    before = made_by.get(op.inputs[0]) if op.inputs else None
    own, earlier = _axes(graph, op), None if before is None else _axes(graph, before)
    writing = Writing(graph)
    if own is not None and _in_order(graph, op.inputs[0], own):
        shape = writing.numbers(graph.tensors[op.outputs[0]].shape)
        writing.op("RESHAPE", (op.inputs[0], shape), op.outputs)
    elif before is None or earlier is None:
        return None
    elif own is not None:
        axes = writing.numbers([earlier[axis] for axis in own])
        writing.op("TRANSPOSE", (before.inputs[0], axes), op.outputs)
    elif not (op.kind in REDUCTIONS and _reduced(graph, op, before.inputs[0], earlier, writing)):
        return None
    return writing.instead(graph, position)


def _axes(graph: Graph, op: Op) -> list[int] | None:
    """Where each axis of a transposition comes from; None for another op, or if it is not known."""
    if op.kind != "TRANSPOSE":
        return None
    first, last = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    data = graph.tensors[op.inputs[1]].data
    if data is None or (first.dtype, first.quantization) != (last.dtype, last.quantization):
        return None
    return [int(axis) % len(first.shape) for axis in data.reshape(-1)]


def _in_order(graph: Graph, tensor: int, axes: Sequence[int]) -> bool:
    """Whether axes of a tensor stand in their order, those of one element aside."""
    shape = graph.tensors[tensor].shape
    large = [axis for axis in axes if shape[axis] > 1]
    return large == sorted(large)


def _reduced(graph: Graph, op: Op, source: int, axes: Sequence[int], writing: Writing) -> bool:
    """Writes a reduction of what was transposed; says whether that is the same."""
    data, shape = graph.tensors[op.inputs[1]].data, graph.tensors[source].shape
    if data is None:
        return False
    places = {int(axis) % len(shape) for axis in data.reshape(-1)}
    gone = [axis for place, axis in enumerate(axes) if place in places]
    kept = [axis for place, axis in enumerate(axes) if place not in places]
    if not (_in_order(graph, source, gone) and _in_order(graph, source, kept)):
        return False
    keeps = op.option("keep_dims", False)
    left = [
        1 if axis in gone else size for axis, size in enumerate(shape) if keeps or axis not in gone
    ]
    result = op.outputs[0]
    same = tuple(left) == graph.tensors[result].shape
    made = result if same else writing.like(result, left)
    writing.op(op.kind, (source, writing.numbers(sorted(gone))), (made,), keep_dims=keeps)
    if not same:
        numbers = writing.numbers(graph.tensors[result].shape)
        writing.op("RESHAPE", (made, numbers), (result,))
    return True
