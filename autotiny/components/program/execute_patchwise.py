"""Compute stages of a network patch by patch, so that their large tensors never exist.

Lin et al., "MCUNetV2: Memory-Efficient Patch-based Inference for Tiny Deep Learning", NeurIPS 2021;
several such regions: Huang and Baccelli, "msf-CNN", NeurIPS 2025. Patches are stripes of full rows;
the rows that two of them need are kept, or computed twice where that takes less memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny.checked import Within
from autotiny.components.program._scheduling import Scheduling
from autotiny.engine.stripes import with_patches
from autotiny.graph import Graph
from autotiny.schedule import Schedule
from autotiny.target import Target

_TOO_LATE = "the stages are cut into patches before it is decided how each is computed"


@dataclass(frozen=True)
class ExecutePatchwise(Scheduling):
    """Computes layers stripe by stripe, all of them for one before the next.

    Attributes:
        patches: stripes, at most; of equal height, but for the last one.
        stages: how many layers, the first ones, at most; 0 chooses what leaves the smallest arena:
            the first layers, or several regions anywhere in the network.
    """

    name = "execute_patchwise"
    not_after = dict.fromkeys(
        (
            "fuse_operators", "block_gemm", "pair_products", "expand_weights", "use_winograd",
            "place_weights", "partition_cores",
        ),
        _TOO_LATE,
    )  # fmt: skip

    patches: Annotated[int, Within(ge=1, le=4096)] = 4
    stages: Annotated[int, Within(ge=0, le=4096)] = 0

    def changed(
        self, graph: Graph, schedule: Schedule, target: Target | None
    ) -> tuple[Graph, Schedule]:
        """The program with the ops of those stages in stripes."""
        return with_patches(graph, schedule, patches=self.patches, stages=self.stages)
