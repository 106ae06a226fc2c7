"""Store only the weights that are not zero, and multiply only them.

Han et al., "Deep Compression", ICLR 2016: between the weights stand gaps of few bits. For int8 the
engine takes single weights or blocks of 4, whatever is smaller for a layer; with blocks every gap
leads to four products, so that cycles fall as flash does. Floats and int16x8 have single weights.

Integers stay the same to the bit. So do floats, as the products that are left are added in the same
order, as long as what a zero is multiplied with is finite: LiteRT's reference kernels and the plain
ones make NaN of 0·∞ and 0·NaN, and here such an input has no effect. XNNPACK, behind LiteRT's usual
interpreter, adds in orders of its own.
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
    """Leaves the zero weights of convolutions and dense layers out where that saves flash.

    Weights are float32, float16, or int8 for data in int8 and int16; with dynamic range they stay.
    Convolutions of floats and int16 copy the inputs under four outputs to scratch memory. They take
    fewer cycles than the plain kernels; those with few channels, and dense layers, do so from about
    half of zeros on.

    Before `block_gemm` it leaves it the layers that are not sparse; after it, it takes from the
    blocks what becomes smaller, which is more where weights were expanded.

    Attributes:
        least_saving: share of what a layer's constants take so far that has to be saved.
    """

    name = "skip_zeros"
    reads_weights = True
    treats = ("CONV_2D", "FULLY_CONNECTED")

    least_saving: Annotated[float, Within(ge=0, le=1)] = 0.1

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with sparse steps."""
        return with_skipped_zeros(graph, schedule, self.least_saving)
