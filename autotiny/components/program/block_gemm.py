"""Compute several output pixels and channels at once, so that each loaded value is used often.

Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008; Lai et al.,
"CMSIS-NN", 2018, for its form on microcontrollers. The engine chooses the blocks that fit the
registers.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.program._scheduling import Scheduling
from autotiny.engine import with_blocks
from autotiny.graph import Graph
from autotiny.schedule import Schedule


@dataclass(frozen=True)
class BlockGemm(Scheduling):
    """Computes int8 layers as matrix products in register blocks."""

    name = "block_gemm"
    not_after = {  # noqa: RUF012 - a constant of the class
        "use_winograd": "it would take the convolutions back from it",
        "strassen": "it would take the layers back from it",
        "spend_sram": "it would take the layers back from it",
    }

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with blocked steps."""
        return with_blocks(graph, schedule)
