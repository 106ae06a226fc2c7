"""Compute layers by kernels that read their weights from SRAM, as far as it has room.

Weights of a few channels are copied to SRAM and serve a strip of pixels, as in "weight stationary"
dataflows: Sze et al., "Efficient Processing of Deep Neural Networks", Proc. IEEE 105, 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny.checked import Within
from autotiny.components.base import CONVOLUTIONS
from autotiny.components.program._scheduling import Scheduling
from autotiny.engine import with_room
from autotiny.errors import NotApplicable
from autotiny.graph import Graph
from autotiny.schedule import Schedule
from autotiny.target import Target, Traits


@dataclass(frozen=True)
class SpendSram(Scheduling):
    """Computes int8 layers by the fastest kernels that the arena has room for.

    Strips of pixels, pairs of rows, and Winograd filtering where it is used already; trios of
    pixels on a target without the DSP extension, or where no target is known and layers are
    computed in pairs, as suits such a core.

    Attributes:
        more_bytes: what the arena may take beyond what it takes so far.
    """

    name = "spend_sram"
    treats = (*CONVOLUTIONS, "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")

    more_bytes: Annotated[int, Within(ge=0, le=1 << 20)] = 4096

    @property
    def measures(self) -> bool:
        """Whether its result depends on the target."""
        return True

    def changed(
        self, graph: Graph, schedule: Schedule, target: Target | None
    ) -> tuple[Graph, Schedule]:
        """The schedule with wider kernels."""
        dsp = not any(step.kernel.without_dsp for step in schedule.steps)
        core = target.traits if target else Traits(dsp=dsp, loads_ahead=False)
        roomy = with_room(graph, schedule, self.more_bytes, **core)
        if roomy == schedule:
            raise NotApplicable(
                f"spend_sram: with {self.more_bytes:,} bytes more, the arena has room for no "
                "faster kernel of an int8 layer"
            )
        return graph, roomy
