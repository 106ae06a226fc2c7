"""Changed copies of a graph: other readers, nothing that nobody needs, other numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autotiny.graph.types import Graph, Op
from autotiny.graph.walking import needed_ops


def redirected(graph: Graph, instead: Mapping[int, int]) -> Graph:
    """The graph with every reader of a tensor, and the outputs, reading another one instead.

    Args:
        graph: what to change; the ops that make the tensors stay.
        instead: tensor → the one to read, which may have another one instead itself.
    """

    def final(index: int) -> int:
        while index in instead:
            index = instead[index]
        return index

    ops = tuple(replace(op, inputs=tuple(final(i) for i in op.inputs)) for op in graph.ops)
    return replace(graph, ops=ops, outputs=tuple(final(i) for i in graph.outputs))


def live(graph: Graph) -> Graph:
    """The graph without ops whose results nobody reads, and without unused tensors."""
    return compact(graph.with_ops(tuple(graph.ops[index] for index in needed_ops(graph))))


def compact(graph: Graph) -> Graph:
    """The graph without tensors that neither an op nor the graph itself names."""
    used = {index for op in graph.ops for index in named(op)} | {*graph.inputs, *graph.outputs}
    place = {old: new for new, old in enumerate(sorted(used))}
    return replace(
        graph,
        tensors=tuple(graph.tensors[index] for index in place),
        ops=tuple(renumbered(op, place) for op in graph.ops),
        inputs=tuple(place[index] for index in graph.inputs),
        outputs=tuple(place[index] for index in graph.outputs),
    )


def named(op: Op) -> tuple[int, ...]:
    """The tensors that an op names: inputs, outputs, and the scales inside an LSTM."""
    return tuple(i for i in (*op.inputs, *op.outputs, *op.intermediates) if i >= 0)


def renumbered(op: Op, place: Mapping[int, int]) -> Op:
    """The op on other tensors, its `intermediates` too; those without a new place stay."""

    def new(tensors: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(place.get(index, index) for index in tensors)

    options = dict(op.options)
    if op.intermediates:
        options["intermediates"] = new(op.intermediates)
    return replace(op, inputs=new(op.inputs), outputs=new(op.outputs), options=options)
