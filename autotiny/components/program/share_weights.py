"""Store clustered weights as short indices into a codebook of their layer.

Han et al., "Deep Compression", ICLR 2016: with 16 clusters 4 bits an index instead of 8 a weight.
Where rows have scales of their own, int8 makes other values of the same clusters in every row; then
every row gets its own codebook, and indices stay short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autotiny.components.program._scheduling import Scheduling
from autotiny.engine import with_coded_weights
from autotiny.graph import Graph
from autotiny.schedule import Schedule


@dataclass(frozen=True)
class ShareWeights(Scheduling):
    """Stores int8 weights of few values as indices, where that saves flash.

    Attributes:
        decode: when indices become weights: each as a dense layer uses it ("row"; other layers do
            as "layer" says), those of a "layer" into scratch memory when its turn comes, or all
            into static memory at the "start", which later inferences need not do again.
        layers: which layers: "all", or "dense" ones only, which use each weight once. Others give
            up blocks of several pixels and channels.
    """

    name = "share_weights"
    reads_weights = True
    commutes_with = dict.fromkeys(
        ("fuse_operators", "block_gemm"),
        "weights are coded by their values alone, and kernels of coded weights know no blocks",
    )

    decode: Literal["row", "layer", "start"] = "row"
    layers: Literal["all", "dense"] = "all"

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with shared weights."""
        return with_coded_weights(graph, schedule, "shared", self.decode, self.layers)
