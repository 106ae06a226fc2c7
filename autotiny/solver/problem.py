"""The choice of one option for each step: a program of integers, and the plan of its arena.

The program knows of the arena what each step needs alone; what a plan shows beside becomes a rule,
and the program is solved again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from autotiny.engine.arena import lay_out
from autotiny.graph import Graph
from autotiny.schedule import Schedule
from autotiny.solver.beside import numbers_beside, numbers_within
from autotiny.solver.cuts import Cut, cuts_of
from autotiny.solver.items import Item
from autotiny.solver.measuring import Base
from autotiny.solver.program import Goal, Limits, Minimized, choice, program_of
from autotiny.solver.speeds import Speeds

TIME_LIMIT_S = 60.0
"""Of a solver's run; what is found by then has a gap."""

SECOND_LIMIT_S = 15.0
"""Of the run for what is fastest of the smallest."""

PLANNING = 0.75
"""Share of the time in which plans are found; then something that keeps the bounds is."""

BISECTED = 1e-3
"""How close a bisection comes, as a share."""


@dataclass(frozen=True)
class Bounded:
    """Upper limits of a schedule, in cycles and bytes of the whole firmware."""

    cycles: float = math.inf
    flash: float = math.inf
    sram: float = math.inf


UNBOUNDED = Bounded()

FLASH_SLACK_BYTES, SRAM_SLACK_BYTES = 64, 16
"""By which a firmware may take less than the program of integers says: calls, borders, frames."""


def slack(bounded: Bounded, flash: float, sram: float) -> Bounded:
    """Bounds for what may turn out to take no more than so much when it is linked."""
    return replace(bounded, flash=flash + FLASH_SLACK_BYTES, sram=sram + SRAM_SLACK_BYTES)


@dataclass(frozen=True, eq=False)
class Solution:
    """A schedule and what it takes by the model.

    Attributes:
        items: the options, in the order of execution.
        cycles: of an inference.
        flash_bytes: of the whole firmware.
        arena_bytes, static_bytes, stack_bytes: of its SRAM.
        gap: by which share at most it is worse than the best in what is minimized; 0 if proven.
    """

    items: tuple[Item, ...]
    cycles: int
    flash_bytes: int
    arena_bytes: int
    static_bytes: int
    stack_bytes: int
    gap: float = 0.0

    @property
    def sram_bytes(self) -> int:
        """Of the whole firmware."""
        return self.arena_bytes + self.static_bytes + self.stack_bytes

    @property
    def schedule(self) -> Schedule:
        """Its steps."""
        return Schedule(tuple(item.option.step for item in self.items))


@dataclass(frozen=True, eq=False)
class Problem:
    """A network's options, ready to be chosen from under any bounds.

    Attributes:
        graph: the network, with constants folded.
        items: the options, from `items_of`, at least one for each place.
        base: what the firmware takes besides.
        speeds: of the data memories; None if they are alike.
        regions: how many regions of the network are computed in stripes.
        cuts: what plans have shown since: steps that need more together than each of them.
    """

    graph: Graph
    items: tuple[Item, ...]
    base: Base
    speeds: Speeds | None = None
    regions: int = 0
    cuts: list[Cut] = field(default_factory=list)


def solve(
    problem: Problem, goal: Goal, bounded: Bounded = UNBOUNDED, *, seconds: float = TIME_LIMIT_S
) -> Solution | None:
    """The schedule that takes least, and of those the one with the fewest cycles.

    Args:
        problem: the network.
        goal: what is to be small.
        bounded: limits of the others, cycles or bytes of the whole firmware.
        seconds: after which the best so far is taken, with its gap.

    Returns:
        None if no schedule keeps the bounds, or none was found in time.
    """
    limits: Limits = {"cycles": bounded.cycles, "flash": bounded.flash, "sram": bounded.sram}
    begun = time.monotonic()
    found = _planned(problem, goal, limits, begun + PLANNING * seconds, begun + seconds)
    if found is None or goal == "cycles":
        return found
    limits = {**limits, goal: figure(found, goal)}
    end = time.monotonic() + min(seconds, SECOND_LIMIT_S)
    faster = (_alike(problem, found, limits, end), _planned(problem, "cycles", limits, end, end))
    fastest = min(filter(None, faster), key=lambda one: one.cycles, default=found)
    return replace(fastest, gap=found.gap)


def _alike(problem: Problem, found: Solution, limits: Limits, end: float) -> Solution | None:
    """The fastest choice whose tensors lie where the plan of a solution puts them.

    A plan is found anew for each choice, and may turn out larger; where it does, those options
    alone are taken that need no more than the solution does.
    """
    for allowed in (
        numbers_beside(problem.graph, problem.items, found.items),
        numbers_within(problem.items, found.items),
    ):
        barred = [k for k in range(len(problem.items)) if k not in allowed]
        plan = Cut(found.arena_bytes, ())
        faster = _solved(problem, "cycles", limits, _left(end), (plan,), barred)
        planned = faster and _with_plan(problem, faster)
        if planned and planned.sram_bytes <= min(limits["sram"], most_sram(problem, planned)):
            return planned
    return None


def _planned(
    problem: Problem, goal: Goal, limits: Limits, end: float, last: float
) -> Solution | None:
    """The best choice whose arena was planned, too.

    The program knows of the arena what each step needs alone. Where the plan of a choice takes
    more, and that matters, the steps that are to blame become a rule, and it is solved again.

    Args:
        problem: the network.
        goal: what is to be small.
        limits: of what the whole firmware takes.
        end: when no further plan is made.
        last: until when something is found that keeps the limits, if no plan did.
    """
    lowest: Solution | None = None
    relaxed: Solution | None = None
    while relaxed is None or time.monotonic() < end:
        found = _solved(problem, goal, limits, _left(end), problem.cuts)
        if found is None:
            break
        relaxed, planned = found, _with_plan(problem, found)
        bound = min(limits["sram"], most_sram(problem, planned))
        if goal == "sram":
            bound = limits["sram"]
            if planned.sram_bytes > found.sram_bytes:
                planned = min(planned, _modest(problem, found, limits, end), key=_sram_bytes)
            lowest = min(lowest or planned, planned, key=_sram_bytes)
        if planned.sram_bytes <= bound and (
            goal != "sram" or planned.sram_bytes <= found.sram_bytes
        ):
            return planned
        room = found.arena_bytes
        if bound < math.inf:
            room += max(0, int(bound) - found.sram_bytes)
        problem.cuts.extend(cuts_of(problem.graph, problem.items, found.items, room))
    if relaxed is None or time.monotonic() < end:  # nothing keeps the rules
        return None
    known = lowest or _cautious(problem, goal, limits, relaxed, last)
    least = (1 - relaxed.gap) * figure(relaxed, goal)
    return known and replace(known, gap=1 - least / figure(known, goal))


def _cautious(
    problem: Problem, goal: Goal, limits: Limits, relaxed: Solution, end: float
) -> Solution | None:
    """A choice for bounds that no better plan was found to keep.

    The less of the arena the steps need, summed over all, the better are the chances of a plan: by
    bisection between the choice that needs least and the best one without a plan.
    """

    def planned(minimized: Minimized, arena: float) -> tuple[Solution | None, float]:
        found = _solved(problem, minimized, {**limits, "arena": arena}, _left(end), ())
        if found is None:
            return None, math.inf
        needed = sum(item.arena_bytes for item in found.items)
        found = _with_plan(problem, found)
        fits = found.sram_bytes <= min(limits["sram"], most_sram(problem, found))
        return found if fits else None, needed

    best, low = planned("arena", math.inf)
    high: float = sum(item.arena_bytes for item in relaxed.items)
    while best and high - low > BISECTED * high and time.monotonic() < end:
        middle = (low + high) / 2
        better, _ = planned(goal, middle)
        if better is None:
            high = middle
        else:
            low, best = middle, min(best, better, key=lambda one: figure(one, goal))
    return best


def _modest(problem: Problem, found: Solution, limits: Limits, end: float) -> Solution:
    """Of what takes no more SRAM than a solution, that whose steps need least of the arena."""
    limits = {**limits, "sram": found.sram_bytes}
    modest = _solved(problem, "arena", limits, _left(end), problem.cuts)
    return _with_plan(problem, modest or found)


def most_sram(problem: Problem, found: Solution) -> float:
    """The SRAM that a choice may take for what belongs there to lie in the fastest memory."""
    if problem.speeds is None:
        return math.inf
    elsewhere = found.stack_bytes + sum(item.slow_bytes for item in found.items)
    if not problem.speeds.holds_arena:
        elsewhere += found.arena_bytes
    return problem.speeds.room_bytes + elsewhere


def _left(end: float) -> float:
    """Seconds until then, at least one."""
    return max(end - time.monotonic(), 1.0)


def _sram_bytes(found: Solution) -> int:
    return found.sram_bytes


def figure(found: Solution, goal: Goal) -> int:
    """What a solution takes of it."""
    return {"cycles": found.cycles, "flash": found.flash_bytes, "sram": found.sram_bytes}[goal]


def _with_plan(problem: Problem, found: Solution) -> Solution:
    """With the bytes of SRAM that the plan of its arena takes."""
    arena = lay_out(problem.graph, [item.option.kernel for item in found.items]).bytes
    return replace(found, arena_bytes=arena)


def _solved(
    problem: Problem,
    minimized: Minimized,
    limits: Limits,
    seconds: float,
    cuts: Sequence[Cut],
    barred: Collection[int] = (),
) -> Solution | None:
    """The best choice by rules and cuts, without some items."""
    base, speeds = problem.base, problem.speeds
    room = speeds.room_bytes - base.static_bytes if speeds else None
    holds_arena = speeds is not None and speeds.holds_arena
    program = program_of(problem.items, room, holds_arena, cuts, barred)
    offsets: dict[Minimized, int] = {
        "cycles": 0,
        "arena": 0,
        "flash": base.code_bytes + base.calls_bytes,
        "sram": base.static_bytes + base.stack_bytes,
    }
    own = {name: bound - offsets[name] for name, bound in limits.items()}
    found = choice(program, minimized, own, seconds)
    if found is None:
        return None
    numbers, gap = found
    return replace(chosen(problem, [problem.items[k] for k in numbers]), gap=gap)


def chosen(problem: Problem, items: Sequence[Item]) -> Solution:
    """What a choice takes by the model; of the arena, the most that a step needs alone."""
    shared: dict[str, int] = {}
    for item in items:
        for name, size in item.shared.items():
            shared[name] = max(size, shared.get(name, 0))
    base = problem.base
    code = sum(item.own_bytes for item in items) + sum(shared.values())
    return Solution(
        items=tuple(items),
        cycles=sum(item.cycles for item in items),
        flash_bytes=round(base.code_bytes + base.calls_bytes + code),
        arena_bytes=max(item.arena_bytes for item in items),
        static_bytes=base.static_bytes + sum(item.static_bytes for item in items),
        stack_bytes=base.stack_bytes
        + max(item.stack_bytes for item in items)
        + max(item.frame_bytes for item in items),
    )
