"""Compute large matrix products with seven multiplications for eight, to the same integers.

Strassen, "Gaussian Elimination is not Optimal", Numerische Mathematik 13, 1969, in Winograd's form
with 15 additions. The weights are stored as the seven factors, int16: 3.5 times the flash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from autotiny.cache import Cache
from autotiny.checked import Within
from autotiny.components.alone import cycles, step_alone
from autotiny.components.base import Work
from autotiny.components.program._scheduling import Scheduling, as_program
from autotiny.engine import with_strassen
from autotiny.errors import NotApplicable
from autotiny.graph import Graph
from autotiny.model import Model, Program, successor
from autotiny.schedule import Schedule, Step
from autotiny.target import Target


@dataclass(frozen=True)
class Strassen(Scheduling):
    """Computes int8 1×1 convolutions and dense layers of several rows by Strassen's algorithm.

    Attributes:
        pixels: pixels that each reading of the weights serves; each takes 3.5
            bytes of SRAM an input channel.
        least_depth: input channels below which a layer is left as it is.
        layers: "faster", those that take fewer cycles so than as `fastest` computes them, each
            measured alone on the target; or "all", also where no target is there to measure on.
            From 192 inputs on it was faster than blocks on Cortex-M7 and M33; on M4, whose flash
            is read anew each time, it was not.
    """

    name = "strassen"
    treats = ("CONV_2D", "FULLY_CONNECTED")

    pixels: Annotated[int, Within(ge=8, le=4096, multiple_of=8)] = 32
    least_depth: Annotated[int, Within(ge=0, le=1 << 20)] = 192

    layers: Literal["faster", "all"] = "faster"

    @property
    def measures(self) -> bool:
        """Whether its result depends on the target."""
        return self.layers == "faster"

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with Strassen's products."""
        return with_strassen(graph, schedule, self.pixels, self.least_depth)

    def apply(self, model: Model, work: Work) -> Model:
        """The program with Strassen's products where they pay."""
        multiplied = super().apply(model, work)
        if work.target is None or not self.measures:
            return multiplied
        before, graph = as_program(model).program.schedule, multiplied.program.graph
        kept = {step.ops[0]: step for step in before.steps}
        steps: list[Step] = []
        for new in multiplied.program.schedule.steps:
            if steps and new.ops[0] in steps[-1].ops:
                continue  # a sum that stays fused into a layer that stays as it was
            old = kept.get(new.ops[0], new)
            pays = new == old or _faster(graph, new, work.target, work.cache)
            steps.append(new if pays else old)
        if steps == [*before.steps]:
            raise NotApplicable(
                f"strassen: no layer takes fewer cycles of {work.target.name} so; layers=all takes "
                "all that can be computed so"
            )
        return successor(model, Program(graph, Schedule(tuple(steps))))


def _faster(graph: Graph, step: Step, target: Target, cache: Cache | None) -> bool:
    """Whether the kernel of a step takes fewer cycles of a target than the one `fastest` has."""
    alone = step_alone(graph, step)
    multiplied = Schedule((Step((0,), step.kernel),))
    return cycles(alone, multiplied, target, cache) < cycles(alone, None, target, cache)
