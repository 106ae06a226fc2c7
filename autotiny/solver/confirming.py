"""Points of a front, linked and executed as a whole, beside what the model says of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from autotiny.engine.generate import generate
from autotiny.metrics import Cost
from autotiny.simulator import measure
from autotiny.solver.best import linked
from autotiny.solver.front import beats
from autotiny.solver.problem import Problem, Solution
from autotiny.target import Target


@dataclass(frozen=True, eq=False)
class Point:
    """A schedule of a front.

    Attributes:
        predicted: by the solver; cycles are the sum of what was measured of each step.
        cost: of the firmware as it was executed.
        regions: how many regions of the network are computed in stripes.
    """

    predicted: Solution
    cost: Cost
    regions: int

    @property
    def cycles_error(self) -> float:
        """By which share the prediction of the cycles is too high."""
        return self.predicted.cycles / self.cost.cycles - 1

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data, for JSON."""
        predicted = self.predicted
        return {
            "cycles_predicted": predicted.cycles,
            "flash_bytes_predicted": predicted.flash_bytes,
            "sram_bytes_predicted": predicted.sram_bytes,
            "gap": predicted.gap,
            "regions": self.regions,
            **self.cost.to_dict(),
        }


def confirmed(
    problem: Problem,
    target: Target,
    solutions: Sequence[Solution],
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[Point, ...]:
    """Schedules with what their firmware takes, the fastest first.

    Those that another one turns out to beat in cycles, flash and SRAM are left out: the solver
    knows code that is made for addresses only about.

    Args:
        problem: that they solve.
        target: what executes them.
        solutions: of a front.
        tell: called with how many were executed, and of how many.
    """
    points = []

    def executed(one: Solution) -> Point:
        exact = linked(problem, one, target)
        cost = measure(generate(problem.graph, one.schedule), target)
        return Point(exact, cost, problem.regions)

    with ThreadPoolExecutor(min(len(solutions), os.cpu_count() or 1)) as pool:
        for number, point in enumerate(pool.map(executed, solutions), 1):
            points.append(point)
            tell(number, len(solutions))
    return unbeaten(points)


def unbeaten(points: Sequence[Point]) -> tuple[Point, ...]:
    """Those that no other one beats as it was executed, the fastest first."""
    best = [one for one in points if not any(beats(other.cost, one.cost) for other in points)]
    return tuple(sorted(best, key=lambda point: point.cost.cycles))
