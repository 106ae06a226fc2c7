"""Networks of which regions are computed stripe by stripe, for less SRAM than any other schedule.

Stripes are layers of their own, so each plan of regions is a network of its own, whose options are
measured and solved like those of any other. Only plans are solved that are needed for a bound.
"""

from __future__ import annotations

import math
from contextlib import suppress

from autotiny.cache import Cache
from autotiny.engine.patch_plans import PatchPlan, patch_plans, spread
from autotiny.engine.schedules import plain_schedule
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, fold
from autotiny.solver.best import ANYTHING, SILENT, Told, Wish, best, bounds_of, nearest, tabled
from autotiny.solver.confirming import Point, confirmed, unbeaten
from autotiny.solver.front import MOST_POINTS, front_of
from autotiny.solver.problem import Bounded, Problem, Solution, solve
from autotiny.target import Target


def solved(
    graph: Graph, target: Target, cache: Cache, wish: Wish = ANYTHING, tell: Told = SILENT
) -> tuple[Problem, Solution]:
    """The best schedule of a network under the bounds, in stripes where nothing else keeps them.

    Of the plans of regions, that with the least additional work is taken that keeps the bounds; for
    the least SRAM, that with the least.

    Args:
        graph: of a lowered network.
        target: what executes it.
        cache: keeps what was measured.
        wish: what is asked.
        tell: called while programs are measured.

    Returns:
        The network, as it was rewritten, with its options; and what was chosen of them.

    Raises:
        NotApplicable: no schedule keeps the bounds; says what comes nearest.
    """
    problem = tabled(graph, target, cache, tell)
    try:
        found = problem, best(problem, target, wish)
    except NotApplicable as refusal:
        bounded = bounds_of(target, wish)
        for plan in _plans_for(graph, problem, bounded):
            patched = tabled(graph, target, cache, tell, plan.regions)
            try:
                return patched, best(patched, target, wish)
            except NotApplicable:
                continue
        raise NotApplicable(f"{refusal}{_in_stripes(graph, problem, bounded)}") from refusal
    if wish.minimize == "sram":
        for plan in plans_within(graph, found[1].arena_bytes - 1)[-1:]:
            patched = tabled(graph, target, cache, tell, plan.regions)
            with suppress(NotApplicable):  # the bound on flash
                found = min(found, (patched, best(patched, target, wish)), key=_sram_bytes)
    return found


def executed_front(
    graph: Graph,
    target: Target,
    cache: Cache,
    wish: Wish = ANYTHING,
    *,
    points: int = MOST_POINTS,
    patches: int = 0,
    tell: Told = SILENT,
    tell_executed: Told = SILENT,
) -> tuple[tuple[Problem, Point], ...]:
    """The front of cycles, flash and SRAM of a network, each point linked and executed.

    Args:
        graph: of a lowered network.
        target: what executes it.
        cache: keeps what was measured.
        wish: bounds of all points.
        points: at most.
        patches: how many plans of regions in stripes are solved, too, at most, for less SRAM than
            whole layers take. Where nothing else keeps the bounds, the first plan that does is.
        tell: called while programs are measured.
        tell_executed: called while points are executed.

    Returns:
        Each point with the options that it is chosen of, the fastest first.

    Raises:
        NotApplicable: no schedule keeps the bounds; says what comes nearest.
    """
    bounded = bounds_of(target, wish)
    whole = tabled(graph, target, cache, tell)
    fronts = [(whole, front_of(whole, bounded, points))]
    if not fronts[0][1]:
        fronts = [_first_front(graph, target, cache, whole, bounded, points, tell)]
    elif patches:
        least = min(one.arena_bytes for one in fronts[0][1])
        for plan in spread(plans_within(graph, least - 1), patches):
            patched = tabled(graph, target, cache, tell, plan.regions)
            fronts.append((patched, front_of(patched, bounded, points)))
    executed = [
        (problem, point)
        for problem, front in fronts
        if front
        for point in confirmed(problem, target, front, tell_executed)
    ]
    best_of_all = unbeaten([point for _, point in executed])
    of = {id(point): problem for problem, point in executed}
    return tuple((of[id(point)], point) for point in spread(best_of_all, points))


def _first_front(
    graph: Graph, target: Target, cache: Cache, whole: Problem, bounded: Bounded, points: int,
    tell: Told,
) -> tuple[Problem, tuple[Solution, ...]]:  # fmt: skip
    """The front of the first plan of regions that keeps the bounds."""
    for plan in _plans_for(graph, whole, bounded):
        patched = tabled(graph, target, cache, tell, plan.regions)
        front = front_of(patched, bounded, points)
        if front:
            return patched, front
    raise NotApplicable(f"{nearest(whole, bounded)}{_in_stripes(graph, whole, bounded)}")


def _sram_bytes(found: tuple[Problem, Solution]) -> int:
    return found[1].sram_bytes


def _plans_for(graph: Graph, whole: Problem, bounded: Bounded) -> list[PatchPlan]:
    """The plans that may keep bounds which whole layers do not, if it is SRAM that these lack."""
    if not _lacks_sram(whole, bounded):
        return []
    room = bounded.sram - whole.base.static_bytes - whole.base.stack_bytes
    return plans_within(graph, room)


def _in_stripes(graph: Graph, whole: Problem, bounded: Bounded) -> str:
    """What regions in stripes come to at best, to be added to a refusal."""
    plans = plans_within(graph, math.inf) if _lacks_sram(whole, bounded) else []
    if not plans:
        return ""
    least = min(plan.arena_bytes for plan in plans)
    return f"; with regions in stripes the arena alone takes {least:,} bytes at least"


def _lacks_sram(whole: Problem, bounded: Bounded) -> bool:
    """Whether whole layers keep the bound on flash."""
    return solve(whole, "flash", Bounded(flash=bounded.flash)) is not None


def plans_within(graph: Graph, arena_bytes: float) -> list[PatchPlan]:
    """Plans of regions whose arena takes no more, those of less work first."""
    graph = fold(graph)
    plans = patch_plans(graph, plain_schedule(graph))
    return [plan for plan in plans if plan.arena_bytes <= arena_bytes]
