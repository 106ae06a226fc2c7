"""Networks of which regions are computed stripe by stripe, for less SRAM than any other schedule.

Stripes are layers of their own, so each plan of regions is a network of its own, whose options are
measured and solved like those of any other. Only plans are solved that are needed for a bound.
"""

from __future__ import annotations

from autotiny.cache import Cache
from autotiny.engine.patch_plans import PatchPlan, patch_plans
from autotiny.engine.schedules import plain_schedule
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, fold
from autotiny.solver.best import ANYTHING, SILENT, Told, Wish, best, bounds_of, tabled
from autotiny.solver.problem import Problem, Solution
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
        room = bounds_of(target, wish).sram - problem.base.static_bytes - problem.base.stack_bytes
        for plan in plans_within(graph, room):
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


def plans_within(graph: Graph, arena_bytes: float) -> list[PatchPlan]:
    """Plans of regions whose arena takes no more, those of less work first."""
    graph = fold(graph)
    plans = patch_plans(graph, plain_schedule(graph))
    return [plan for plan in plans if plan.arena_bytes <= arena_bytes]
