"""Compute large matrix products with seven multiplications for eight, to the same integers.

Strassen, "Gaussian Elimination is not Optimal", Numerische Mathematik 13, 1969, in Winograd's form
with 15 additions. The weights are stored as the seven factors, int16: 3.5 times the flash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny.checked import Within
from autotiny.components.program._scheduling import Scheduling
from autotiny.engine import with_strassen
from autotiny.graph import Graph
from autotiny.schedule import Schedule


@dataclass(frozen=True)
class Strassen(Scheduling):
    """Computes int8 1×1 convolutions and dense layers of several rows by Strassen's algorithm.

    Attributes:
        pixels: pixels that each reading of the weights serves; each takes 3.5
            bytes of SRAM an input channel.
        least_depth: input channels below which a layer is left as it is. From 192 on it was faster
            than blocks on Cortex-M7 and M33; on M4, whose flash is read anew each time, it was not.
    """

    name = "strassen"
    treats = ("CONV_2D", "FULLY_CONNECTED")

    pixels: Annotated[int, Within(ge=8, le=4096, multiple_of=8)] = 32
    least_depth: Annotated[int, Within(ge=0, le=1 << 20)] = 192

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with Strassen's products."""
        return with_strassen(graph, schedule, self.pixels, self.least_depth)
