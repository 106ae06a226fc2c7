"""Timing tables, one file a processor core, and the issue model that they drive."""

from __future__ import annotations

from autotiny.emulator.cores import (
    cortex_m0plus,
    cortex_m3,
    cortex_m4,
    cortex_m7,
    cortex_m33,
    rv32imc,
)
from autotiny.emulator.cores.instruction import (
    LOADS,
    STORES,
    Instruction,
    decode,
    riscv_decoder,
    thumb_decoder,
)
from autotiny.emulator.cores.pipeline import CAUSES, Core, Issued, block_cost, issue

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
    "Issued",
    "block_cost",
    "decode",
    "issue",
    "riscv_decoder",
    "thumb_decoder",
]
