"""Schedules that are good without any search, for what is wanted most."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Literal

from autotiny.engine.arena import lay_out
from autotiny.engine.fusing import with_sums_fused, with_windows_fused
from autotiny.engine.generate import kernel_of
from autotiny.engine.kernel import Kernel, Site
from autotiny.engine.memory import EXCHANGES
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
from autotiny.schedule import Schedule, Way

Style = Literal["fastest", "smallest", "balanced"]

MORE_BYTES = {"fastest": 3200, "balanced": 0}
"""SRAM that kernels may take beyond what blocks need, by style."""

FEW_STEPS = 64
"""Of a program of more, the arena of each trial is searched for a shorter time."""


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
    exchanges = EXCHANGES * FEW_STEPS // max(FEW_STEPS, len(schedule.steps))

    def arena(kernels: list[list[Kernel]], enough: int | None = None) -> int:
        flat = [kernel for group in kernels for kernel in group]
        cores = [
            step.core for step, group in zip(schedule.steps, kernels, strict=True) for _ in group
        ]
        return lay_out(graph, flat, cores, exchanges, enough).bytes

    limit = arena(kernels) + more_bytes

    def fits(index: int, way: Way) -> bool:
        """Whether the arena has room for a step in that way, which is then taken."""
        first, *behind = parted(graph, schedule.steps[index])
        wider = [Site(graph, first).by(way).step, *behind]
        one = [kernel_of(Site(graph, step)) for step in wider]
        trial = [*kernels[:index], one, *kernels[index + 1 :]]
        if arena(trial, limit) > limit:
            return False
        found[index], kernels[index] = wider, one
        return True

    # Every step gets a little before one gets more: in a full arena a plan is hard to find.
    growing: dict[int, list[Way]] = {}
    for index, step in enumerate(schedule.steps):
        site = Site(graph, parted(graph, step)[0])
        if not is_plain_int8(site):
            continue
        for ways in (list(variant.roomy(site, loads_ahead)) for variant in variants):
            if ways and fits(index, ways.pop()):
                growing[index] = ways
                break
    while growing:
        growing = {i: ways for i, ways in growing.items() if ways and fits(i, ways.pop())}
    return Schedule(tuple(step for group in found for step in group))
