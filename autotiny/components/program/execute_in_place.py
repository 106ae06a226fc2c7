"""Let outputs overwrite the inputs they are computed from, and keep as little alive as can be.

The order is that of Liberis and Lane, "Neural networks on microcontrollers: saving memory at
inference via operator reordering", 2019. Kernels in blocks, sums and activations overwrite their
inputs in any schedule; this component makes plain convolutions and poolings do so, which keep the
few rows that are still to be read, as Lin et al., "MCUNet", NeurIPS 2020, do for depthwise ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.program._scheduling import Scheduling
from autotiny.engine.in_place import with_steps_in_place
from autotiny.graph import Graph
from autotiny.schedule import Schedule


@dataclass(frozen=True)
class ExecuteInPlace(Scheduling):
    """Orders steps, and computes plain ones row by row over their inputs, where SRAM shrinks."""

    name = "execute_in_place"
    not_after = {  # noqa: RUF012 - a constant of the class
        "partition_cores": "the halves of a layer stay side by side, and read what they share",
    }

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The schedule with steps in place."""
        return with_steps_in_place(graph, schedule)
