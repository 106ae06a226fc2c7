"""Schedules that are good without any search, for what is wanted most."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Literal

from autotiny.engine.arena import lay_out
from autotiny.engine.fusing import with_sums_fused, with_windows_fused
from autotiny.engine.generate import kernel_of
from autotiny.engine.kernel import Kernel, Site
from autotiny.engine.ordering import with_least_memory
from autotiny.engine.schedules import plain_schedule
from autotiny.engine.trees import with_trees
from autotiny.engine.variants import VARIANTS
from autotiny.engine.variants.blocks import with_blocks
from autotiny.engine.variants.pairs import with_pairs
from autotiny.engine.variants.variant import is_plain_int8, parted
from autotiny.engine.variants.winograd import with_winograd
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, fold
from autotiny.schedule import Schedule, Step, Way

Style = Literal["fastest", "smallest", "balanced"]

MORE_BYTES = {"fastest": 3200, "balanced": 0}
"""SRAM that kernels may take beyond what blocks need, by style."""


def schedule_for(graph: Graph, style: Style, *, dsp: bool, loads_ahead: bool = False) -> Schedule:
    """A good schedule without any search.

    Args:
        graph: the network.
        style: "fastest" spends flash and up to 3,200 bytes of SRAM for cycles, "smallest" saves
            flash, "balanced" takes what is faster with weights no larger and in no more SRAM.
        dsp: whether the core has the DSP extension (SMLAD), which blocks are made of.
        loads_ahead: whether it issues a load beside a multiplication, as Cortex-M7 and M33 do.
    """
    wanted = [with_windows_fused, with_trees]
    if style != "smallest":
        wanted.append(with_blocks if dsp else with_pairs)
    if dsp and style == "fastest":
        wanted.append(partial(with_winograd, loads_ahead=loads_ahead))
    schedule = plain_schedule(graph)
    for change in wanted:
        with suppress(NotApplicable):
            schedule = change(graph, schedule)
    schedule = with_least_memory(graph, schedule)
    if style in MORE_BYTES:
        more_bytes = MORE_BYTES[style]
        return with_room(graph, schedule, more_bytes, dsp=dsp, loads_ahead=loads_ahead)
    with suppress(NotApplicable):  # faster kernels overwrite what a sum would have to keep
        schedule = with_sums_fused(graph, schedule)
    return schedule


def with_room(
    graph: Graph, schedule: Schedule, more_bytes: int, *, dsp: bool, loads_ahead: bool = False
) -> Schedule:
    """The schedule with the fastest kernels that the arena has room for.

    Args:
        graph: the network.
        schedule: what to change; steps whose weights are coded stay.
        more_bytes: that the arena may take beyond what it takes so far.
        dsp: whether the core has the DSP extension.
        loads_ahead: whether it issues a load beside a multiplication.
    """
    graph = fold(graph)
    found = [[step] for step in schedule.steps]  # a sum that is fused may become a step of its own
    kernels = [[kernel_of(Site(graph, step))] for step in schedule.steps]
    variants = [variant for variant in VARIANTS if variant.way.without_dsp != dsp]

    def arena(kernels: list[list[Kernel]], enough: int | None = None) -> int:
        flat = [kernel for group in kernels for kernel in group]
        cores = [
            step.core for step, group in zip(schedule.steps, kernels, strict=True) for _ in group
        ]
        return lay_out(graph, flat, cores, enough=enough).bytes

    limit = arena(kernels) + more_bytes

    def fits(group: tuple[int, ...], way: Way) -> bool:
        """Whether the arena has room for steps in that way, which is then taken."""
        wider = dict(zip(group, ([*in_parts[i]] for i in group), strict=True))
        for steps in wider.values():
            steps[0] = Site(graph, steps[0]).by(way).step
        more = {i: [kernel_of(Site(graph, step)) for step in steps] for i, steps in wider.items()}
        trial = [more.get(i, kernels[i]) for i in range(len(kernels))]
        if arena(trial, limit) > limit:
            return False
        for index in group:
            found[index], kernels[index] = wider[index], more[index]
        return True

    # Every step gets a little before one gets more: in a full arena a plan is hard to find.
    growing: dict[tuple[int, ...], list[Way]] = {}
    in_parts = [parted(graph, step) for step in schedule.steps]
    for group in _equal(graph, in_parts, kernels):
        site = Site(graph, in_parts[group[0]][0])
        if not is_plain_int8(site):
            continue
        for ways in (list(variant.roomy(site, loads_ahead)) for variant in variants):
            if ways and fits(group, ways.pop()):
                growing[group] = ways
                break
    while growing:
        growing = {i: ways for i, ways in growing.items() if ways and fits(i, ways.pop())}
    return Schedule(tuple(step for group in found for step in group))


def _equal(
    graph: Graph, steps: Sequence[Sequence[Step]], kernels: Sequence[Sequence[Kernel]]
) -> list[tuple[int, ...]]:
    """Positions of steps, those together that do the same with other rows of an image."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, ((first, *_), (kernel, *_)) in enumerate(zip(steps, kernels, strict=True)):
        alike = (graph.ops[first.ops[0]].inputs[1:] or index, kernel.body)
        groups.setdefault(alike, []).append(index)
    return [tuple(group) for group in groups.values()]
