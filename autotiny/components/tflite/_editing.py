"""Rewrites of a `Graph`: redirecting a tensor's readers, and dropping what nobody reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from autotiny.graph import Graph, Op


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
    needed = needed_tensors(graph)
    kept = [op for op in graph.ops if needed.intersection(op.outputs)]
    used = sorted({i for op in kept for i in (*op.inputs, *op.outputs, *_further(op)) if i >= 0}
                  | set(graph.inputs) | set(graph.outputs))  # fmt: skip
    place = {old: new for new, old in enumerate(used)} | {-1: -1}
    ops = tuple(_renumbered(op, place) for op in kept)
    return replace(
        graph,
        tensors=tuple(graph.tensors[i] for i in used),
        ops=ops,
        inputs=tuple(place[i] for i in graph.inputs),
        outputs=tuple(place[i] for i in graph.outputs),
    )


def needed_tensors(graph: Graph) -> set[int]:
    """The tensors that the outputs of a graph are computed from, and the outputs."""
    needed = set(graph.outputs)
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
    return needed


def in_order(ops: Iterable[Op]) -> tuple[Op, ...] | None:
    """Ops in an order in which they can be executed; None if they wait for each other."""
    left = list(ops)
    waiting = Counter(index for op in left for index in op.outputs)
    ordered: list[Op] = []
    while left:
        blocked = []
        for op in left:
            if any(waiting[index] for index in op.inputs):
                blocked.append(op)
            else:
                ordered.append(op)
                waiting.subtract(op.outputs)
        if len(blocked) == len(left):
            return None
        left = blocked
    return tuple(ordered)


def _further(op: Op) -> tuple[int, ...]:
    """The tensors that the options of an op name: the scales inside an LSTM."""
    return cast("tuple[int, ...]", op.options.get("intermediates", ()))


def _renumbered(op: Op, place: Mapping[int, int]) -> Op:
    options = dict(op.options)
    if "intermediates" in options:
        options["intermediates"] = tuple(place[i] for i in _further(op))
    inputs, outputs = (tuple(place[i] for i in side) for side in (op.inputs, op.outputs))
    return replace(op, inputs=inputs, outputs=outputs, options=options)


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
