"""Copy the weights that are read most often from flash to SRAM when the firmware starts.

Flash has wait states where SRAM has none; a weight that many pixels use pays for its copy most.
Banakar et al., "Scratchpad Memory", CODES 2002.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from autotiny.checked import Within
from autotiny.components.program._scheduling import Scheduling
from autotiny.errors import NotApplicable
from autotiny.graph import Graph
from autotiny.schedule import Schedule, Step

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@dataclass(frozen=True)
class PlaceWeights(Scheduling):
    """Puts the weights of whole steps into SRAM, most used first, as long as they fit.

    Attributes:
        budget_bytes: of weights as the model stores them; kernels that store other factors of them
            (expanded, Winograd, Strassen) take two to four times as much SRAM.
    """

    name = "place_weights"
    commutes_with = dict.fromkeys(
        (
            "fuse_operators", "block_gemm", "pair_products", "expand_weights", "use_winograd",
            "strassen", "skip_zeros", "share_weights", "huffman_code",
        ),
        "where weights lie hangs on the layer that a step begins with, which the other leaves",
    )  # fmt: skip

    budget_bytes: Annotated[int, Within(ge=0, le=1 << 32)] = 4096

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with weights of some steps in SRAM."""
        left = self.budget_bytes
        steps = list(schedule.steps)
        order = sorted(range(len(steps)), key=lambda i: -uses(graph, steps[i]))
        for index in order:
            size = weight_bytes(graph, steps[index])
            if 0 < size <= left and steps[index].weights.memory == "flash":
                left -= size
                weights = replace(steps[index].weights, memory="sram")
                steps[index] = replace(steps[index], weights=weights)
        if tuple(steps) == schedule.steps:
            raise NotApplicable(
                f"place_weights: no layer's weights fit into {self.budget_bytes} bytes of SRAM"
            )
        return Schedule(tuple(steps))


def weight_bytes(graph: Graph, step: Step) -> int:
    """Bytes of the constants of a step's first op, if it is a layer with weights."""
    op = graph.ops[step.ops[0]]
    if op.kind not in WEIGHTED:
        return 0
    constants = (graph.tensors[index] for index in op.inputs[1:] if index >= 0)
    return sum(tensor.bytes for tensor in constants if tensor.data is not None)


def uses(graph: Graph, step: Step) -> int:
    """How often each weight of a step is used: once an output pixel."""
    shape = graph.tensors[graph.ops[step.ops[0]].outputs[0]].shape
    return int(np.prod(shape[1:-1])) if weight_bytes(graph, step) else 0
