"""Lists that a loop fills: each round, converters cut them in two and join them around an entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autotiny.graph import Graph, Op, Tensor, live, redirected

MOST_ENTRIES, MOST_ENTRIES_IN_ALL = 4096, 1 << 22
"""Of a list that is joined at once, and of all such; lists of lists could double with each op."""


def cut_shape(op: Op, inputs: Sequence[Tensor | None]) -> tuple[int, ...] | None:
    """The shape of what a SLICE cuts, which a file may leave open; None if it is not known now."""
    box = _box(op, inputs)
    return None if box is None else tuple(end - begin for begin, end in box)


def joined_once(graph: Graph) -> Graph:
    """The graph with each list joined from its entries at once, without the lists in between.

    A CONCATENATION along the first axis joins what its inputs were joined from, and a SLICE of a
    list between two entries is their CONCATENATION.
    """
    tensors = list(graph.tensors)
    entries: dict[int, list[int]] = {}
    instead: dict[int, int] = {}
    ops, left = [], MOST_ENTRIES_IN_ALL
    for op in graph.ops:
        result = op.outputs[0]
        found = None
        if op.kind == "CONCATENATION" and _plain(op, tensors):
            lists = [entries.get(index, [index]) for index in op.inputs]
            count = sum(map(len, lists))
            left -= count
            if count <= MOST_ENTRIES and left >= 0:
                found = [one for part in lists for one in part]
        elif op.kind == "SLICE":
            box = _box(op, [tensors[index] if index >= 0 else None for index in op.inputs])
            source = op.inputs[0]
            if box is not None and _alike(tensors[source], tensors[result]):
                found = _cut(tensors, entries.get(source, [source]), box)
        if found is None:
            ops.append(op)
            continue
        entries[result] = found = [index for index in found if tensors[index].size]
        if len(found) == 1 and result not in graph.outputs:
            instead[result] = found[0]
        elif found:
            ops.append(Op("CONCATENATION", tuple(found), (result,), {"axis": 0}))
        else:
            tensors[result] = replace(
                tensors[result], data=np.zeros(tensors[result].shape, tensors[result].dtype)
            )
    written = replace(graph, tensors=tuple(tensors), ops=tuple(ops))
    return live(redirected(written, instead))


def _plain(op: Op, tensors: Sequence[Tensor]) -> bool:
    """Whether a CONCATENATION puts rows below each other and changes none."""
    result, parts = tensors[op.outputs[0]], [tensors[index] for index in op.inputs]
    return (
        len(result.shape) > 0
        and min(op.inputs) >= 0
        and op.option("axis", 0) in (0, -len(result.shape))
        and op.option("fused_activation_function", "NONE") == "NONE"
        and all(len(one.shape) == len(result.shape) and _alike(one, result) for one in parts)
        and all(one.shape[1:] == result.shape[1:] for one in parts)
        and sum(one.shape[0] for one in parts) == result.shape[0]
    )


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors store their elements alike."""
    return (one.dtype, one.quantization) == (other.dtype, other.quantization)


def _box(op: Op, inputs: Sequence[Tensor | None]) -> list[tuple[int, int]] | None:
    """The first index and the one behind the last that a SLICE takes of each dimension."""
    if op.kind != "SLICE" or len(inputs) != 3:
        return None
    x, begin, size = inputs
    if x is None or begin is None or size is None or begin.data is None or size.data is None:
        return None
    firsts, counts = (
        one.data.reshape(-1).tolist() for one in (begin, size) if one.data is not None
    )
    if not len(firsts) == len(counts) == len(x.shape):
        return None
    box = [
        (first, limit if count < 0 else first + count)
        for first, count, limit in zip(firsts, counts, x.shape, strict=True)
    ]
    fits = all(0 <= first <= end <= limit for (first, end), limit in zip(box, x.shape, strict=True))
    return box if fits else None


def _cut(
    tensors: list[Tensor], entries: Sequence[int], box: Sequence[tuple[int, int]]
) -> list[int] | None:
    """The entries of a list between two rows; constants are cut, None if others would be."""
    whole = tensors[entries[0]].shape if entries else ()
    if [(0, size) for size in whole[1:]] != list(box[1:]):
        return None
    begin, end = box[0]
    found, row = [], 0
    for index in entries:
        one = tensors[index]
        first, last = max(begin - row, 0), min(end - row, one.shape[0])
        row += one.shape[0]
        if first >= last:
            continue
        if (first, last) != (0, one.shape[0]):
            if one.data is None:
                return None
            shape = (last - first, *one.shape[1:])
            tensors.append(replace(one, shape=shape, data=one.data[first:last]))
            index = len(tensors) - 1
        found.append(index)
    return found
