"""Rewrites of a `Graph`: redirecting a tensor's readers, and dropping what nobody reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autotiny.graph import Graph, Op, Tensor


def redirected(graph: Graph, instead: Mapping[int, int]) -> Graph:
    """The graph with every reader of a tensor, and the outputs, reading another one instead."""

    def final(index: int) -> int:
        while index in instead:
            index = instead[index]
        return index

    ops = tuple(replace(op, inputs=tuple(final(i) for i in op.inputs)) for op in graph.ops)
    return replace(graph, ops=ops, outputs=tuple(final(i) for i in graph.outputs))


def live(graph: Graph) -> Graph:
    """The graph without ops whose results nobody reads, and without unused tensors."""
    needed = set(graph.outputs)
    kept: list[Op] = []
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            kept.append(op)
            needed.update(op.inputs)
    kept.reverse()
    used = sorted({i for op in kept for i in (*op.inputs, *op.outputs) if i >= 0}
                  | set(graph.inputs) | set(graph.outputs))  # fmt: skip
    place = {old: new for new, old in enumerate(used)} | {-1: -1}
    ops = tuple(
        replace(
            op,
            inputs=tuple(place[i] for i in op.inputs),
            outputs=tuple(place[i] for i in op.outputs),
        )
        for op in kept
    )
    return replace(
        graph,
        tensors=tuple(graph.tensors[i] for i in used),
        ops=ops,
        inputs=tuple(place[i] for i in graph.inputs),
        outputs=tuple(place[i] for i in graph.outputs),
    )


def producers(graph: Graph) -> dict[int, Op]:
    """The op that computes each tensor."""
    return {index: op for op in graph.ops for index in op.outputs}


def readers(graph: Graph) -> dict[int, list[Op]]:
    """The ops that read each tensor."""
    found: dict[int, list[Op]] = {}
    for op in graph.ops:
        for index in op.inputs:
            found.setdefault(index, []).append(op)
    return found


def with_tensor(graph: Graph, index: int, tensor: Tensor) -> Graph:
    """The graph with one tensor replaced."""
    tensors = list(graph.tensors)
    tensors[index] = tensor
    return replace(graph, tensors=tuple(tensors))
