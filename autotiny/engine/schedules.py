"""Schedules: which ops are computed, in which order, how, and what is fused.

Every function takes a schedule and returns a new one.
"""

from __future__ import annotations

from autotiny.graph import Graph, Op, Schedule, Step

_SHAPE_ARGUMENTS = {"RESHAPE": 1, "SQUEEZE": 1, "EXPAND_DIMS": 1}
"""Op kinds of which only so many inputs are data; the rest state the shape, which is known."""


def data_inputs(op: Op) -> tuple[int, ...]:
    """The tensors whose values an op needs, once all shapes are known."""
    return tuple(t for t in op.inputs[: _SHAPE_ARGUMENTS.get(op.kind)] if t >= 0)


def needed_ops(graph: Graph) -> tuple[int, ...]:
    """The ops that the outputs depend on, in order; shape arithmetic is none of them."""
    wanted = set(graph.outputs)
    needed = []
    for index in reversed(range(len(graph.ops))):
        op = graph.ops[index]
        if wanted.intersection(op.outputs):
            needed.append(index)
            wanted.update(data_inputs(op))
    return tuple(reversed(needed))


def plain_schedule(graph: Graph) -> Schedule:
    """One step an op, each computed the plain way, in the order of the graph."""
    return Schedule(tuple(Step((index,)) for index in needed_ops(graph)))
