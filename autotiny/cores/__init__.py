"""The processor cores, a file each, and the issue model that their timing drives."""

from __future__ import annotations

from autotiny.cores import (
    cortex_m0plus,
    cortex_m3,
    cortex_m4,
    cortex_m7,
    cortex_m33,
    rv32imc,
)
from autotiny.cores.core import Core, Isa
from autotiny.cores.instruction import (
    LOADS,
    STORES,
    Instruction,
    decode,
    riscv_decoder,
    thumb_decoder,
)
from autotiny.cores.pipeline import CAUSES, Issued, Timing, block_cost, issue

CORES: dict[str, Core] = {
    module.CORE.name: module.CORE
    for module in (cortex_m0plus, cortex_m3, cortex_m4, cortex_m7, cortex_m33, rv32imc)
}

__all__ = [
    "CAUSES",
    "CORES",
    "LOADS",
    "STORES",
    "Core",
    "Instruction",
    "Isa",
    "Issued",
    "Timing",
    "block_cost",
    "decode",
    "issue",
    "riscv_decoder",
    "thumb_decoder",
]
