"""Store only the weights that are not zero, and multiply only them.

Han et al., "Deep Compression", ICLR 2016: between the weights stand gaps of few bits. The engine
takes single weights or blocks of 4, whatever is smaller for a layer; with blocks every gap leads to
four products, so that cycles fall as flash does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny.checked import Within
from autotiny.components.program._scheduling import Scheduling
from autotiny.engine import with_skipped_zeros
from autotiny.graph import Graph
from autotiny.schedule import Schedule


@dataclass(frozen=True)
class SkipZeros(Scheduling):
    """Leaves the zero weights of int8 convolutions and dense layers out where that saves flash.

    Before `block_gemm` it leaves it the layers that are not sparse; after it, it takes from the
    blocks what becomes smaller, which is more where weights were expanded.

    Attributes:
        least_saving: share of what a layer's constants take so far that has to be saved.
    """

    name = "skip_zeros"
    treats = ("CONV_2D", "FULLY_CONNECTED")

    least_saving: Annotated[float, Within(ge=0, le=1)] = 0.1

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with sparse steps."""
        return with_skipped_zeros(graph, schedule, self.least_saving)
