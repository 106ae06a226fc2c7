"""The plain schedule of a graph: which ops are computed, one by one."""

from __future__ import annotations

from autotiny.graph import Graph, Op, needed_ops
from autotiny.schedule import Schedule, Step

_SHAPE_ARGUMENTS = {"RESHAPE": 1, "SQUEEZE": 1, "EXPAND_DIMS": 1}
"""Op kinds of which only so many inputs are data; the rest state the shape, which is known."""


def data_inputs(op: Op) -> tuple[int, ...]:
    """The tensors whose values an op needs, once all shapes are known."""
    return tuple(t for t in op.inputs[: _SHAPE_ARGUMENTS.get(op.kind)] if t >= 0)


def plain_schedule(graph: Graph) -> Schedule:
    """One step an op that the outputs need, each computed the plain way, in the graph's order.

    Shape arithmetic is none of them.
    """
    return Schedule(tuple(Step((index,)) for index in needed_ops(graph, data_inputs)))
