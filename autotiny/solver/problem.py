"""The choice of one option for each step as a mixed-integer program, solved with HiGHS.

A binary variable an option, one for each chain of a segment, and one for each function that several
options call, so that its bytes count once. SRAM is what most is needed at a step, the deepest
stack, and what lies there all the time. Williams, "Model Building in Mathematical Programming",
2013, has such fixed charges and minimax terms; Huangfu and Hall, "Parallelizing the dual revised
simplex method", 2018, is HiGHS.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csr_array, vstack

from autotiny.engine.arena import lay_out
from autotiny.graph import Graph
from autotiny.schedule import Schedule
from autotiny.solver.beside import numbers_beside, numbers_within
from autotiny.solver.cuts import Cut, cuts_of
from autotiny.solver.items import Item
from autotiny.solver.measuring import Base
from autotiny.solver.quiet import silent_stdout
from autotiny.solver.speeds import Speeds

Goal = Literal["cycles", "flash", "sram"]
GOALS: tuple[Goal, ...] = ("cycles", "flash", "sram")

TIME_LIMIT_S = 60.0
"""Of a solver's run; what is found by then has a gap."""

SECOND_LIMIT_S = 15.0
"""Of the run for what is fastest of the smallest."""

Vector = NDArray[np.float64]
Limits = dict[Goal, float]


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
    """Items as rules between variables, ready to be solved under any bounds.

    The variables are the items, the chains of segments that have several, the shared names, the
    arena, the stack, and the frame of the function that calls the steps.

    Attributes:
        graph: the network, with constants folded.
        items: the options.
        costs: what a variable adds to each goal.
        base: what the firmware takes besides.
        rules: a row each.
        lower, upper: between which a row lies.
        integers: which variables are whole numbers.
        arena: the place of the variable that is the arena's size.
        speeds: of the data memories; None if they are alike.
        regions: how many regions of the network are computed in stripes.
        cuts: what plans have shown since: steps that need more together than each of them.
    """

    graph: Graph
    items: tuple[Item, ...]
    costs: dict[Goal, Vector]
    base: Base
    rules: csr_array
    lower: Vector
    upper: Vector
    integers: Vector
    arena: int
    speeds: Speeds | None = None
    regions: int = 0
    cuts: list[Cut] = field(default_factory=list)


Row = tuple[dict[int, float], float, float]


def problem_of(
    graph: Graph, items: Sequence[Item], base: Base, speeds: Speeds | None = None
) -> Problem:
    """The rules of a network's items, at least one for each place.

    Args:
        graph: with constants folded.
        items: from `items_of`.
        base: what the firmware takes besides.
        speeds: of the data memories; None if they are alike.
    """
    chains = sorted({(item.segment, item.chain) for item in items})
    several = [at for at in chains if (at[0], 1) in chains]
    names = sorted({name for item in items for name in item.shared})
    chain_at = {at: len(items) + k for k, at in enumerate(several)}
    name_at = {name: len(items) + len(several) + k for k, name in enumerate(names)}
    arena = len(items) + len(several) + len(names)
    stack, frame = arena + 1, arena + 2
    rows: list[Row] = []
    members: dict[tuple[int, int, int], list[int]] = {}
    for k, item in enumerate(items):
        members.setdefault(item.at, []).append(k)
    for (s, c, _), place in members.items():
        chosen = dict.fromkeys(place, 1.0)
        rows.append(
            ({**chosen, chain_at[s, c]: -1.0}, 0, 0) if (s, c) in chain_at else (chosen, 1, 1)
        )
        for name in sorted({name for k in place for name in items[k].shared}):
            users = {k: 1.0 for k in place if name in items[k].shared}
            rows.append(({**users, name_at[name]: -1.0}, -np.inf, 0))
        rows.append(({**{k: float(items[k].arena_bytes) for k in place}, arena: -1.0}, -np.inf, 0))
        rows.append(({**{k: float(items[k].stack_bytes) for k in place}, stack: -1.0}, -np.inf, 0))
        rows.append(({**{k: float(items[k].frame_bytes) for k in place}, frame: -1.0}, -np.inf, 0))
    rows += [
        ({chain_at[at]: 1.0 for at in several if at[0] == s}, 1, 1)
        for s in sorted({s for s, _ in several})
    ]

    if speeds:
        near = {k: float(one.near_bytes) for k, one in enumerate(items)}
        near[arena] = float(speeds.holds_arena)
        rows.append((near, -np.inf, speeds.room_bytes - base.static_bytes))

    def each(of: Callable[[Item], float]) -> Vector:
        vector = np.zeros(frame + 1)
        vector[: len(items)] = [of(item) for item in items]
        return vector

    costs: dict[Goal, Vector] = {
        "cycles": each(lambda item: item.cycles),
        "flash": each(lambda item: item.own_bytes),
        "sram": each(lambda item: item.static_bytes),
    }
    for item in items:
        for name, size in item.shared.items():
            costs["flash"][name_at[name]] = max(costs["flash"][name_at[name]], size)
    costs["sram"][[arena, stack, frame]] = 1
    integers = np.zeros(frame + 1)
    integers[: len(items) + len(several)] = 1
    return Problem(
        graph=graph,
        items=tuple(items),
        costs=costs,
        base=base,
        rules=_matrix([row for row, _, _ in rows], frame + 1),
        lower=np.array([low for _, low, _ in rows]),
        upper=np.array([high for _, _, high in rows]),
        integers=integers,
        arena=arena,
        speeds=speeds,
    )


def _matrix(rows: Sequence[dict[int, float]], columns: int) -> csr_array:
    entries = [(r, c, value) for r, row in enumerate(rows) for c, value in row.items()]
    r, c, values = zip(*entries, strict=True)
    return csr_array(coo_array((values, (r, c)), shape=(len(rows), columns)))


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
    end = time.monotonic() + seconds
    found = _planned(problem, goal, limits, end)
    if found is None or goal == "cycles":
        return found
    limits = {**limits, goal: {"flash": found.flash_bytes, "sram": found.sram_bytes}[goal]}
    end = time.monotonic() + min(seconds, SECOND_LIMIT_S)
    faster = (_alike(problem, found, limits, end), _planned(problem, "cycles", limits, end))
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


def _planned(problem: Problem, goal: Goal, limits: Limits, end: float) -> Solution | None:
    """The best choice whose arena was planned, too.

    The program knows of the arena what each step needs alone. Where the plan of a choice takes
    more, and that matters, the steps that are to blame become a rule, and it is solved again.
    """
    lowest: Solution | None = None
    while True:
        found = _solved(problem, goal, limits, _left(end), problem.cuts)
        if found is None:
            return None
        planned = _with_plan(problem, found)
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
        if time.monotonic() > end:
            return lowest and replace(lowest, gap=1 - found.sram_bytes / lowest.sram_bytes)
        room = found.arena_bytes
        if bound < math.inf:
            room += max(0, int(bound) - found.sram_bytes)
        problem.cuts.extend(cuts_of(problem.graph, problem.items, found.items, room))


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


def _with_plan(problem: Problem, found: Solution) -> Solution:
    """With the bytes of SRAM that the plan of its arena takes."""
    arena = lay_out(problem.graph, [item.option.kernel for item in found.items]).bytes
    return replace(found, arena_bytes=arena)


def _objective(problem: Problem, goal: Goal | Literal["arena"]) -> Vector:
    """What a solver minimizes; "arena" is what each step needs of it, summed over all."""
    if goal == "arena":
        cost = np.zeros(len(problem.integers))
        cost[: len(problem.items)] = [item.arena_bytes for item in problem.items]
        return cost
    if goal == "cycles":  # of equally fast ones the smaller
        return problem.costs[goal] + 1e-4 * (problem.costs["flash"] + problem.costs["sram"])
    return problem.costs[goal]


def _solved(
    problem: Problem,
    goal: Goal | Literal["arena"],
    limits: Limits,
    seconds: float,
    cuts: Sequence[Cut],
    barred: Sequence[int] = (),
) -> Solution | None:
    """The best choice by rules and cuts, without some items."""
    size = len(problem.integers)
    most = np.where(problem.integers > 0, 1, np.inf)
    most[list(barred)] = 0
    base = problem.base
    offsets: dict[Goal, int] = {
        "cycles": 0,
        "flash": base.code_bytes + base.calls_bytes,
        "sram": base.static_bytes + base.stack_bytes,
    }
    rows: list[Row] = []
    for cut in cuts:
        taken = {k: float(cut.bytes) for place in cut.places for k in place}
        others = cut.bytes * (len(cut.places) - 1)
        rows.append(({**taken, problem.arena: -1.0}, -np.inf, others))
    for name in GOALS:
        bound = limits[name]
        if bound < math.inf:
            cost = problem.costs[name]
            row = {int(k): float(cost[k]) for k in np.flatnonzero(cost)}
            rows.append((row, -np.inf, bound - offsets[name]))
    rules, lower, upper = problem.rules, problem.lower, problem.upper
    if rows:
        rules = vstack([rules, _matrix([row for row, _, _ in rows], size)])
        lower = np.concatenate([lower, [low for _, low, _ in rows]])
        upper = np.concatenate([upper, [high for _, _, high in rows]])
    cost = _objective(problem, goal)
    with silent_stdout():
        done = milp(
            cost / max(cost.max(), 1),
            integrality=problem.integers,
            bounds=Bounds(0, most),
            constraints=LinearConstraint(rules, lower, upper),
            options={"time_limit": seconds, "mip_rel_gap": 0},
        )
    if done.x is None:
        return None
    items = tuple(item for item, taken in zip(problem.items, done.x, strict=False) if taken > 0.5)
    return replace(chosen(problem, items), gap=float(done.mip_gap or 0))


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
