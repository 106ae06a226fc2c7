"""Store the weights of convolutions as the int16 pairs that the inner loop multiplies.

Twice the flash buys an instruction in twelve: nothing is left to unpack. Lai et al., "CMSIS-NN:
Efficient Neural Network Kernels for Arm Cortex-M CPUs", 2018, unpacks them each time.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.base import CONVOLUTIONS
from autotiny.components.program._scheduling import Scheduling
from autotiny.engine import with_expanded_weights
from autotiny.graph import Graph
from autotiny.schedule import Schedule


@dataclass(frozen=True)
class ExpandWeights(Scheduling):
    """Computes int8 convolutions in blocks of 2 pixels × 4 channels with weights of 16 bits."""

    name = "expand_weights"
    commutes_with = {  # noqa: RUF012 - a constant of the class
        "block_gemm": "expanded weights are blocks already",
        **dict.fromkeys(("use_winograd", "strassen"), "what takes other factors is never expanded"),
    }
    treats = CONVOLUTIONS

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with expanded steps."""
        return with_expanded_weights(graph, schedule)
