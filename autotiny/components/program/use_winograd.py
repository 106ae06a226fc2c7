"""Compute 3×3 convolutions with 2.25 times fewer multiplications, to the same integers.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: F(2×2, 3×3), its
weights scaled to integers, so that the division at the end is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.base import CONVOLUTIONS
from autotiny.components.program._scheduling import Scheduling
from autotiny.engine import with_winograd
from autotiny.graph import Graph
from autotiny.schedule import Schedule


@dataclass(frozen=True)
class UseWinograd(Scheduling):
    """Computes int8 3×3 convolutions of stride 1 by Winograd filtering."""

    name = "use_winograd"
    commutes_with = {  # noqa: RUF012 - a constant of the class
        "strassen": "one takes 3×3 convolutions, the other 1×1",
    }
    treats = CONVOLUTIONS

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with Winograd steps."""
        return with_winograd(graph, schedule)
