"""Store weights entropy-coded: frequent values take few bits, the tables lie in flash beside them.

Han et al., "Deep Compression", ICLR 2016, its last stage. A Huffman code takes at least one bit a
weight; where pruning made zero by far the most frequent value, range ANS (Duda, "Asymmetric Numeral
Systems", 2013) comes closer to the entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autotiny.components.program._scheduling import Scheduling
from autotiny.engine import with_coded_weights
from autotiny.graph import Graph
from autotiny.schedule import Schedule


@dataclass(frozen=True)
class HuffmanCode(Scheduling):
    """Entropy-codes int8 weights, and indices of `share_weights`, where that saves flash.

    Attributes:
        code: "huffman" or "ans".
        decode: when codes become weights: each as a dense layer uses it ("row"; other layers do as
            "layer" says), those of a "layer" into scratch memory when its turn comes, or all into
            static memory at the "start", which later inferences need not do again.
        layers: which layers: "all", or "dense" ones only, which use each weight once. Others give
            up blocks of several pixels and channels.
    """

    name = "huffman_code"
    reads_weights = True
    commutes_with = dict.fromkeys(
        ("fuse_operators", "block_gemm"),
        "weights are coded by their values alone, and kernels of coded weights know no blocks",
    )

    code: Literal["huffman", "ans"] = "ans"
    decode: Literal["row", "layer", "start"] = "row"
    layers: Literal["all", "dense"] = "all"

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with entropy-coded weights."""
        return with_coded_weights(graph, schedule, self.code, self.decode, self.layers)
