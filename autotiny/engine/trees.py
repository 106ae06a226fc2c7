"""Ops that are together a function of one byte, as one step: SiLU, h-swish, GELU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from autotiny.engine.ops.tables import FUNCTIONS, source_of
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, fold
from autotiny.schedule import Schedule, Step

MOST_OPS: Final = 32
"""Of a tree; beyond it nothing more is looked for."""


def with_trees(graph: Graph, schedule: Schedule) -> Schedule:
    """Each plain step together with those before it that make a function of one tensor with it.

    Raises:
        NotApplicable: no steps do.
    """
    graph, reading = fold(graph), _reading(graph)
    steps = schedule.steps
    plain = {step.ops[0] for step in steps if step == Step(step.ops[:1])}
    ends = {index for index in plain if graph.ops[index].kind in FUNCTIONS}
    made = ((tensor, index) for index in ends for tensor in graph.ops[index].outputs)
    makers = {tensor: index for tensor, index in made if graph.tensors[tensor].data is None}
    trees: list[Step] = []
    taken: set[int] = set()
    for step in reversed(steps):
        (last, *_) = step.ops
        if last not in taken:
            ops = _tree(graph, reading, makers, last) if last in ends else step.ops
            taken.update(ops)
            trees.append(replace(step, ops=ops))
    if len(trees) == len(steps):
        raise NotApplicable("with_trees: no ops make one function of an int8 tensor")
    return Schedule(tuple(trees[::-1]))


def _reading(graph: Graph) -> Mapping[int, set[int]]:
    """Tensor → the ops that read it."""
    found: dict[int, set[int]] = {}
    for index, op in enumerate(graph.ops):
        for tensor in op.inputs:
            found.setdefault(tensor, set()).add(index)
    return found


def _tree(
    graph: Graph, reading: Mapping[int, set[int]], makers: Mapping[int, int], last: int
) -> tuple[int, ...]:
    """The most ops, up to a last one, that make a function of one tensor and leave nothing else.

    An op is added once all that read its result are there. So where all paths meet in one tensor,
    everything behind it is there before its maker is.
    """
    ops, found = {last}, [last]
    while len(ops) < MOST_OPS:
        read = {tensor for index in ops for tensor in graph.ops[index].inputs} & makers.keys()
        inner = {t for t in read if reading[t] <= ops and t not in graph.outputs}
        further = {makers[tensor] for tensor in inner} - ops
        if not further:
            break
        ops |= further
        if source_of(graph, sorted(ops)) is not None:
            found = sorted(ops)
    return tuple(found)
