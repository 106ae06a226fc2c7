"""Compute two dot products at a time: what eight registers hold, for cores without SMLAD.

The two share one operand, a weight or an input, which is loaded once. `block_gemm` needs the DSP
extension to be fast; of the two, the later one decides how a layer is computed that both can.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.program._scheduling import Scheduling
from autotiny.engine import with_pairs
from autotiny.graph import Graph
from autotiny.schedule import Schedule


@dataclass(frozen=True)
class PairProducts(Scheduling):
    """Computes int8 layers two output pixels or two outputs at a time."""

    name = "pair_products"
    not_after = {  # noqa: RUF012 - a constant of the class
        "use_winograd": "it would take the convolutions back from it",
        "expand_weights": "it would take the convolutions back from it",
        "strassen": "it would take the layers back from it",
        "spend_sram": "it would take the layers back from it",
    }

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with paired steps."""
        return with_pairs(graph, schedule)
