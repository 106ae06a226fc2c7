"""Compute in one pass, without tensors between, what several ops compute one after the other.

A convolution with its padding and max-pooling: requantization is monotone, so the largest
accumulator of a window is requantized once, and the result is the same to the bit. A convolution
with a residual, which is added row by row where the arena shrinks; the sum may replace it. And any
ops of one int8 tensor and single numbers, such as SiLU, h-swish or GELU: the tensor has 256 values,
for which a table holds the results, computed in the arithmetic of the ops. Activations are fused on
lowering already.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.base import CONVOLUTIONS
from autotiny.components.program._scheduling import Scheduling
from autotiny.engine import fuse
from autotiny.engine.ops.tables import FUNCTIONS
from autotiny.graph import Graph
from autotiny.schedule import Schedule


@dataclass(frozen=True)
class FuseOperators(Scheduling):
    """Joins steps that can work on each other's results: in registers, on a row, or by a table."""

    name = "fuse_operators"
    treats = (*CONVOLUTIONS, *FUNCTIONS)
    not_after = {  # noqa: RUF012 - a constant of the class
        "block_gemm": "blocks are chosen for a step as it was fused",
        "pair_products": "blocks are chosen for a step as it was fused",
        "skip_zeros": "which layers it takes is decided for a step as it was fused",
        "expand_weights": "blocks are chosen for a step as it was fused",
        "use_winograd": "what it can compute is decided for a step as it was fused",
        "strassen": "what it can compute is decided for a step as it was fused",
    }

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with fused steps."""
        return fuse(graph, schedule)
