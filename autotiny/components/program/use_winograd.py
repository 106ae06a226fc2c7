"""Compute 3×3 convolutions with 2.25 times fewer multiplications, to the same integers.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: F(2×2, 3×3), its
weights scaled to integers, so that the division at the end is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autotiny.components.base import CONVOLUTIONS
from autotiny.components.program._scheduling import Scheduling
from autotiny.engine import with_winograd
from autotiny.graph import Graph
from autotiny.schedule import Schedule
from autotiny.target import Target


@dataclass(frozen=True)
class UseWinograd(Scheduling):
    """Computes int8 3×3 convolutions of stride 1 by Winograd filtering.

    Attributes:
        layers: "faster", those that take fewer cycles so by what such layers took on the target's
            kind of core; or "all", also where no target is known.
    """

    name = "use_winograd"
    commutes_with = {  # noqa: RUF012 - a constant of the class
        "strassen": "one takes 3×3 convolutions, the other 1×1",
    }
    treats = CONVOLUTIONS

    layers: Literal["faster", "all"] = "faster"

    @property
    def measures(self) -> bool:
        """Whether its result depends on the target."""
        return self.layers == "faster"

    def changed(
        self, graph: Graph, schedule: Schedule, target: Target | None
    ) -> tuple[Graph, Schedule]:
        """The schedule with Winograd steps."""
        loads_ahead = target.loads_ahead if target and self.measures else None
        return graph, with_winograd(graph, schedule, loads_ahead=loads_ahead)
