"""A schedule of the same steps in less memory: in another order, and with outputs over inputs."""

from __future__ import annotations

from dataclasses import replace

from autotiny.engine.generate import arena_bytes
from autotiny.engine.kernel import Site
from autotiny.engine.layers.rows import why_no_rows
from autotiny.engine.ordering import with_least_memory
from autotiny.errors import NotApplicable
from autotiny.graph import Graph
from autotiny.schedule import Schedule


def with_steps_in_place(graph: Graph, schedule: Schedule) -> Schedule:
    """Compute plain convolutions and poolings row by row over their inputs where the arena shrinks.

    First the order of the steps that keeps least alive is taken, if it helps. Then every step that
    can be computed in place is; those that the smallest arena does not need are computed as a whole
    again, for keeping rows costs cycles.

    Raises:
        NotApplicable: neither makes the arena smaller.
    """
    before = arena_bytes(graph, schedule)
    ordered = with_least_memory(graph, schedule)
    best = ordered if arena_bytes(graph, ordered) < before else schedule
    within = Schedule(
        tuple(
            replace(step, in_place=True) if why_no_rows(Site(graph, step)) is None else step
            for step in best.steps
        )
    )
    least = arena_bytes(graph, within)
    if least < arena_bytes(graph, best):
        best = _fewest_in_place(graph, within, least)
    if arena_bytes(graph, best) >= before:
        raise NotApplicable(
            f"with_steps_in_place: the arena of {before} bytes stays: no other order keeps less "
            "alive, and its largest tensors are no output of a plain convolution or pooling that "
            "alone reads its input"
        )
    return best


def _fewest_in_place(graph: Graph, schedule: Schedule, least: int) -> Schedule:
    """The schedule without the steps in place that an arena of so many bytes does not need."""
    for index, step in enumerate(schedule.steps):
        if step.in_place:
            steps = list(schedule.steps)
            steps[index] = replace(step, in_place=False)
            trial = Schedule(tuple(steps))
            if arena_bytes(graph, trial) <= least:
                schedule = trial
    return schedule
