"""Options as a mixed-integer program, solved with HiGHS: how many places take each of them.

Places that are alike, with the same options at the same costs, are counted and not told apart, as
in a network that repeats a block: which of them takes what is all the same, and a solver that tells
them apart tries all ways to share it out. A whole variable is the count of an option, one for each
chain of a segment, and one for each function that several options call, so that its bytes count
once. SRAM is what most is needed at a step, the deepest stack, and what lies there all the time.

Williams, "Model Building in Mathematical Programming", 2013, has such fixed charges and minimax
terms; Margot, "Symmetry in Integer Linear Programming", 2010, says why what is alike is to be
counted; Huangfu and Hall, "Parallelizing the dual revised simplex method", 2018, is HiGHS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csr_array, vstack

from autotiny.solver.cuts import Cut
from autotiny.solver.items import Item, figures
from autotiny.solver.quiet import silent_stdout

Goal = Literal["cycles", "flash", "sram"]

Minimized = Goal | Literal["arena"]
"""Beside the goals, what each step needs of the arena, summed over all."""

Vector = NDArray[np.float64]
Limits = Mapping[Minimized, float]
At = tuple[int, int, int]
Row = tuple[dict[int, float], float, float]
"""What is summed, and between which values it lies."""


@dataclass(frozen=True, eq=False)
class Counted:
    """An option at all places that are alike.

    Attributes:
        numbers: of the item at each of them.
        item: one of these.
        barred: whether no place may take it.
    """

    numbers: tuple[int, ...]
    item: Item
    barred: bool


Group = tuple[Counted, ...]
"""The options of places that are alike."""


@dataclass(frozen=True, eq=False)
class Program:
    """Rules between variables: counts, chains, shared names, the arena, the stack, the frame.

    Where places are alike, a variable for each of their options says whether any of them takes it.

    Attributes:
        groups: of places.
        costs: what a variable adds to each goal.
        rules: a row each.
        lower, upper: between which a row lies.
        most: of each variable.
        whole: which variables are whole numbers.
    """

    groups: tuple[Group, ...]
    costs: dict[Minimized, Vector]
    rules: csr_array
    lower: Vector
    upper: Vector
    most: Vector
    whole: Vector


def groups_of(
    items: Sequence[Item], cuts: Sequence[Cut] = (), barred: Collection[int] = ()
) -> tuple[Group, ...]:
    """The places of a network, those that are alike together.

    Args:
        items: the options at their places.
        cuts: rules about single places.
        barred: items that are not to be taken.
    """
    ruled: dict[int, list[int]] = {}
    for number, cut in enumerate(cuts):
        for k in {k for place in cut.places for k in place}:
            ruled.setdefault(k, []).append(number)
    places: dict[At, list[int]] = {}
    for k, item in enumerate(items):
        places.setdefault(item.at, []).append(k)
    several = {segment for segment, chain, _ in places if chain}
    alike: dict[object, list[list[int]]] = {}
    for at, place in places.items():
        forms = tuple((_form(items[k]), k in barred, *ruled.get(k, ())) for k in place)
        alike.setdefault((at if at[0] in several else None, forms), []).append(place)
    return tuple(
        tuple(
            Counted(numbers, items[numbers[0]], numbers[0] in barred)
            for numbers in zip(*same, strict=True)
        )
        for same in alike.values()
    )


def _form(item: Item) -> tuple[object, ...]:
    """All that a program knows of an option."""
    return *figures(item), tuple(sorted(item.shared.items()))


@dataclass(frozen=True)
class Columns:
    """Which variable is what.

    Attributes:
        counts: of options, the first ones.
        chains: of segments that have several, by segment and chain.
        names: of functions and constants that are shared.
        arena, stack, frame: the most that a step needs of it.
        used: whether any of several places takes an option.
        size: of all together.
    """

    counts: dict[Counted, int]
    chains: dict[tuple[int, int], int]
    names: dict[str, int]
    arena: int
    stack: int
    frame: int
    used: dict[Counted, int]
    size: int


def _columns(groups: Sequence[Group]) -> Columns:
    counts = [one for group in groups for one in group]
    chains = sorted({(one.item.segment, one.item.chain) for one in counts})
    several = [at for at in chains if (at[0], 1) in chains]
    names = sorted({name for one in counts for name in one.item.shared})
    free = count()
    return Columns(
        counts={one: next(free) for one in counts},
        chains={at: next(free) for at in several},
        names={name: next(free) for name in names},
        arena=next(free),
        stack=next(free),
        frame=next(free),
        used={one: next(free) for one in counts if len(one.numbers) > 1},
        size=next(free),
    )


def program_of(
    items: Sequence[Item],
    room_bytes: float | None = None,
    holds_arena: bool = False,
    cuts: Sequence[Cut] = (),
    barred: Collection[int] = (),
) -> Program:
    """The rules of a network's items, at least one for each place.

    Args:
        items: from `items_of`.
        room_bytes: of the fast memory; None if all are alike.
        holds_arena: whether the arena lies in that one, too.
        cuts: what plans have shown: steps that need more together than each of them.
        barred: items that are not to be taken.
    """
    groups = groups_of(items, cuts, barred)
    columns = _columns(groups)
    rows = [row for group in groups for row in _rows(group, columns)]
    for segment in sorted({segment for segment, _ in columns.chains}):
        chains = {column: 1.0 for at, column in columns.chains.items() if at[0] == segment}
        rows.append((chains, 1, 1))
    if room_bytes is not None:
        near = {k: float(one.item.near_bytes) for one, k in columns.counts.items()}
        rows.append(({**near, columns.arena: float(holds_arena)}, -np.inf, room_bytes))
    column = {k: at for one, at in columns.counts.items() for k in one.numbers}
    for cut in cuts:
        together = {column[k]: float(cut.bytes) for place in cut.places for k in place}
        others = cut.bytes * (len(cut.places) - 1)
        rows.append(({**together, columns.arena: -1.0}, -np.inf, others))
    whole = np.zeros(columns.size)
    for some in (columns.counts, columns.chains, columns.used):
        whole[list(some.values())] = 1
    most = np.where(whole > 0, 1, np.inf)
    for one, k in columns.counts.items():
        most[k] = 0 if one.barred else len(one.numbers)
    return Program(
        groups=groups,
        costs=_costs(columns),
        rules=_matrix([row for row, _, _ in rows], columns.size),
        lower=np.array([low for _, low, _ in rows]),
        upper=np.array([high for _, _, high in rows]),
        most=most,
        whole=whole,
    )


def _rows(group: Group, columns: Columns) -> Iterator[Row]:
    """The rules of places that are alike: each takes an option, and what that needs is there."""
    places, first = len(group[0].numbers), group[0].item
    number = columns.counts
    taken = {number[one]: 1.0 for one in group}
    chain = columns.chains.get((first.segment, first.chain))
    yield (taken, places, places) if chain is None else ({**taken, chain: -1.0}, 0, 0)
    for name in sorted({name for one in group for name in one.item.shared}):
        users = {number[one]: 1.0 for one in group if name in one.item.shared}
        yield {**users, columns.names[name]: -places}, -np.inf, 0
    for most, needs in _needs(columns, group):
        yield {**{number[one]: need for one, need in needs.items()}, most: -places}, -np.inf, 0
    if places == 1:
        return
    for one in group:  # what is shared out above is needed whole
        used = columns.used[one]
        yield {number[one]: 1.0, used: -places}, -np.inf, 0
        for name in one.item.shared:
            yield {used: 1.0, columns.names[name]: -1.0}, -np.inf, 0
        for most, needs in _needs(columns, group):
            yield {used: needs[one], most: -1.0}, -np.inf, 0


def _needs(columns: Columns, group: Group) -> Iterator[tuple[int, dict[Counted, float]]]:
    """Of arena, stack and frame, what each option needs."""
    yield columns.arena, {one: float(one.item.arena_bytes) for one in group}
    yield columns.stack, {one: float(one.item.stack_bytes) for one in group}
    yield columns.frame, {one: float(one.item.frame_bytes) for one in group}


def _costs(columns: Columns) -> dict[Minimized, Vector]:
    def each(of: Callable[[Item], float]) -> Vector:
        vector = np.zeros(columns.size)
        vector[: len(columns.counts)] = [of(one.item) for one in columns.counts]
        return vector

    costs: dict[Minimized, Vector] = {
        "cycles": each(lambda item: item.cycles),
        "flash": each(lambda item: item.own_bytes),
        "sram": each(lambda item: item.static_bytes),
        "arena": each(lambda item: item.arena_bytes),
    }
    for one in columns.counts:
        for name, size in one.item.shared.items():
            at = columns.names[name]
            costs["flash"][at] = max(costs["flash"][at], size)
    costs["sram"][[columns.arena, columns.stack, columns.frame]] = 1
    return costs


def _matrix(rows: Sequence[dict[int, float]], columns: int) -> csr_array:
    entries = [(r, c, value) for r, row in enumerate(rows) for c, value in row.items()]
    r, c, values = zip(*entries, strict=True)
    return csr_array(coo_array((values, (r, c)), shape=(len(rows), columns)))


def choice(
    program: Program, minimized: Minimized, limits: Limits, seconds: float
) -> tuple[list[int], float] | None:
    """The numbers of the items that take least, in order, and the gap.

    Args:
        program: of the items.
        minimized: what is to be small; of what is equally fast, the smaller is taken.
        limits: of the options' own cycles and bytes.
        seconds: after which the best so far is taken.

    Returns:
        None if nothing keeps the limits, or nothing was found in time.
    """
    rules, lower, upper = program.rules, program.lower, program.upper
    bounded = [(name, bound) for name, bound in limits.items() if bound < math.inf]
    if bounded:
        rules = vstack([rules, csr_array(np.array([program.costs[name] for name, _ in bounded]))])
        lower = np.concatenate([lower, [-np.inf] * len(bounded)])
        upper = np.concatenate([upper, [bound for _, bound in bounded]])
    cost = program.costs[minimized]
    if minimized == "cycles":
        cost = cost + 1e-4 * (program.costs["flash"] + program.costs["sram"])
    with silent_stdout():
        done = milp(
            cost / max(cost.max(), 1),
            integrality=program.whole,
            bounds=Bounds(0, program.most),
            constraints=LinearConstraint(rules, lower, upper),
            options={"time_limit": seconds, "mip_rel_gap": 0},
        )
    if done.x is None:
        return None
    taken = iter(np.rint(done.x).astype(int).tolist())
    numbers: list[int] = []
    for group in program.groups:
        first = 0
        for one in group:
            end = first + next(taken)
            numbers += one.numbers[first:end]
            first = end
    return sorted(numbers), float(done.mip_gap or 0)
