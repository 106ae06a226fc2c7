"""The front of cycles, flash and SRAM of a network, by the epsilon-constraint method.

Haimes, Lasdon and Wismer, "On a bicriterion formulation of the problems of integrated system
identification and system optimization", 1971: one goal is minimized under bounds on the others, and
the bounds are moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from operator import le
from typing import Protocol

from autotiny.engine.patch_plans import spread
from autotiny.solver.problem import UNBOUNDED, Bounded, Problem, Solution, slack, solve

MOST_POINTS = 64
LEVELS = 8
"""Of SRAM, and of flash for each of them."""

SPACING = 1.01
"""From one bound to the next."""


class Taken(Protocol):
    """What a schedule takes, by the program of integers or as it was executed."""

    @property
    def cycles(self) -> int:
        """Of an inference."""

    @property
    def flash_bytes(self) -> int:
        """Of the whole firmware."""

    @property
    def sram_bytes(self) -> int:
        """Likewise."""


def beats(one: Taken, other: Taken) -> bool:
    """Whether it takes no more of anything, and less of something."""
    return _figures(one) != _figures(other) and all(map(le, _figures(one), _figures(other)))


def front_of(
    problem: Problem, bounded: Bounded = UNBOUNDED, most: int = MOST_POINTS
) -> tuple[Solution, ...]:
    """Schedules of which none is better than another in everything, the fastest first.

    Args:
        problem: the network.
        bounded: limits of all of them.
        most: points; bounds of flash and SRAM are at least 1 % apart.

    Returns:
        None at all if no schedule keeps the bounds.
    """
    found = _unbeaten(list(_searched(problem, bounded)))
    found += [one for point in found for one in _near(problem, bounded, point)]
    once = {_figures(one): one for one in sorted(_unbeaten(found), key=_figures)}
    return tuple(spread(list(once.values()), most))


def _near(problem: Problem, bounded: Bounded, point: Solution) -> Iterator[Solution]:
    """What is fastest in a little more, which may turn out to be no more when it is linked."""
    flash, sram = min(bounded.flash, point.flash_bytes), min(bounded.sram, point.sram_bytes)
    found = solve(problem, "cycles", slack(bounded, flash, sram))
    if found is not None:
        yield found


def _unbeaten(found: list[Solution]) -> list[Solution]:
    return [one for one in found if not any(beats(other, one) for other in found)]


def _searched(problem: Problem, bounded: Bounded) -> Iterator[Solution]:
    fastest = solve(problem, "cycles", bounded)
    least = solve(problem, "sram", bounded)
    if fastest is None or least is None:
        return
    seen: set[int] = set()
    for sram in _bounds(least.sram_bytes, fastest.sram_bytes):
        within = replace(bounded, sram=min(sram, bounded.sram))
        quick = solve(problem, "cycles", within)
        small = solve(problem, "flash", within)
        if quick is None or small is None:
            continue
        yield small
        if quick.cycles in seen:  # no faster than with less SRAM: so is all with less flash
            continue
        seen.add(quick.cycles)
        yield quick
        for flash in _bounds(small.flash_bytes, quick.flash_bytes):
            point = solve(problem, "cycles", replace(within, flash=flash))
            if point is not None:
                yield point


def _bounds(low: int, high: int) -> list[float]:
    """Bounds from low to high in equal ratios, none closer than `SPACING`."""
    if high <= low:
        return [low]
    steps = max(1, min(LEVELS - 1, int(math.log(high / low) / math.log(SPACING))))
    return [low * (high / low) ** (k / steps) + 0.5 for k in range(steps + 1)]


def _figures(one: Taken) -> tuple[int, int, int]:
    return one.cycles, one.flash_bytes, one.sram_bytes
