"""Networks of which regions are computed stripe by stripe, for less SRAM than any other schedule.

Stripes are layers of their own, so each plan of regions is a network of its own, whose options are
measured and solved like those of any other. Only plans are solved that are needed for a bound.
"""

from __future__ import annotations

from autotiny.cache import Cache
from autotiny.engine.patch_plans import PatchPlan, patch_plans, spread
from autotiny.engine.schedules import plain_schedule
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, fold
from autotiny.solver.best import ANYTHING, SILENT, Told, Wish, best, bounds_of, nearest, tabled
from autotiny.solver.confirming import Point, confirmed, unbeaten
from autotiny.solver.front import MOST_POINTS, front_of
from autotiny.solver.problem import Bounded, Problem, Solution
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
        for plan in plans_within(graph, _room(problem, bounds_of(target, wish))):
            patched = tabled(graph, target, cache, tell, plan.regions)
            try:
                return patched, best(patched, target, wish)
            except NotApplicable:
                continue
        raise refusal
    if wish.minimize == "sram":
        for plan in plans_within(graph, found[1].arena_bytes - 1)[-1:]:
            patched = tabled(graph, target, cache, tell, plan.regions)
            less = best(patched, target, wish)
            if less.sram_bytes < found[1].sram_bytes:
                found = patched, less
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
    for plan in plans_within(graph, _room(whole, bounded)):
        patched = tabled(graph, target, cache, tell, plan.regions)
        front = front_of(patched, bounded, points)
        if front:
            return patched, front
    raise NotApplicable(nearest(whole, bounded))


def _room(problem: Problem, bounded: Bounded) -> float:
    """Of the bound on SRAM, what is left for an arena."""
    return bounded.sram - problem.base.static_bytes - problem.base.stack_bytes


def plans_within(graph: Graph, arena_bytes: float) -> list[PatchPlan]:
    """Plans of regions whose arena takes no more, those of less work first."""
    graph = fold(graph)
    plans = patch_plans(graph, plain_schedule(graph))
    return [plan for plan in plans if plan.arena_bytes <= arena_bytes]
