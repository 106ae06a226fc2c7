"""Compute each layer by the kernel that is best for the network as a whole, of all there are.

What each of them takes is measured on the target, and the choice is a mixed-integer program, as
compilers choose instructions (Naik and Palsberg, "Compiling with code-size constraints", ACM TECS
3, 2004) and TVM leaves to search (Chen et al., OSDI 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from autotiny.cache import Cache
from autotiny.checked import Within
from autotiny.components.base import Work
from autotiny.components.program._scheduling import Scheduling, as_program
from autotiny.errors import NotApplicable
from autotiny.model import Model, Program, successor
from autotiny.solver import Wish, solved

_DECIDES = "it decides anew how each step is computed"


@dataclass(frozen=True)
class SolveSchedule(Scheduling):
    """Chooses kernel, form and place of the weights of every layer at once, by measured figures.

    Attributes:
        minimize: what is made small.
        flash_bytes: that the firmware may take; 0 for all that the target has.
        sram_bytes: likewise.
    """

    name = "solve_schedule"
    reads_weights = True
    not_after = dict.fromkeys(
        (
            "block_gemm", "execute_in_place", "execute_patchwise", "expand_weights",
            "fuse_operators", "huffman_code", "pair_products", "partition_cores", "place_weights",
            "share_weights", "skip_zeros", "spend_sram", "strassen", "use_winograd",
        ),
        _DECIDES,
    )  # fmt: skip

    minimize: Literal["latency", "flash", "sram"] = "latency"
    flash_bytes: Annotated[int, Within(ge=0, le=1 << 32)] = 0
    sram_bytes: Annotated[int, Within(ge=0, le=1 << 32)] = 0

    @property
    def measures(self) -> bool:
        """Whether its result depends on the target."""
        return True

    def apply(self, model: Model, work: Work) -> Model:
        """The program with the best schedule for the target."""
        if work.target is None:
            raise NotApplicable("solve_schedule: no target is known, and it measures on one")
        graph = as_program(model).program.graph
        wish = Wish(self.minimize, self.flash_bytes or None, self.sram_bytes or None)
        try:
            problem, found = solved(graph, work.target, work.cache or Cache(), wish)
        except NotApplicable as refusal:
            raise NotApplicable(f"solve_schedule: {refusal}") from refusal
        return successor(model, Program(problem.graph, found.schedule))
