"""Cortex-M3: three stages, single issue, loads that pipeline.

Sources: [TRM] Arm 100165, Cortex-M3 Technical Reference Manual, table 3-1; [jnk0le] measured on an
    STM32F103,
github.com/jnk0le/random, "pipeline cycle test", cortex_m3m4 (CC0).
"""

from __future__ import annotations

from collections.abc import Mapping

from unicorn import arm_const

from autotiny.cores.core import THUMB, Core
from autotiny.cores.instruction import LOADS, STORES, Instruction, Kind
from autotiny.cores.pipeline import Prefetch, Timing


def hazards(previous: Instruction, current: Instruction) -> tuple[float, str]:
    """What the memory port adds between two instructions."""
    if previous.kind in ("store", "store_narrow"):
        if current.kind in LOADS:
            return 1.0, "issue"  # [jnk0le]: a store does not pipeline with a load behind it
        if previous.offset is None and current.kind != "nop":
            return (
                1.0,
                "issue",
            )  # [jnk0le]: a store with register offset takes 2, 1 in front of a nop
    return 0.0, ""


def indexed_hazards(previous: Instruction, current: Instruction) -> tuple[float, str]:
    """[jnk0le]: of a run of loads on the Cortex-M3, only the first may change its base."""
    cycles, cause = hazards(previous, current)
    if current.indexed and previous.kind in LOADS and current.kind in LOADS | STORES:
        return cycles + 1.0, "issue"
    return cycles, cause


OCCUPIES: Mapping[Kind, float] = {
    "div": 7,  # [TRM]: 2 to 12, by operands; the middle
    "load_pair": 3,  # [TRM]: LDRD, STRD 1 + N
    "store_pair": 3,
    "load_multiple": 1,  # [TRM]: LDM, STM, PUSH, POP 1 + N
    "store_multiple": 1,
    "branch_table": 2,  # [TRM]: TBB, TBH 2 + P
    "system": 2,
}
"""Cycles that Cortex-M3 and Cortex-M4 both take."""

TIMING = Timing(
    occupies={
        **OCCUPIES,
        "mac": 2,  # [TRM]: MLA, MLS 2
        "mul_long": 4,  # [TRM]: UMULL, SMULL 3 to 5, by operands
        "mac_long": 5,  # [TRM]: UMLAL, SMLAL 4 to 7, by operands
    },
    stage={"address": -1},  # [jnk0le]: base and offset must be there one cycle earlier
    load_chain=1,  # [TRM]: LDR 2, each further load of a run 1
    branch_taken={  # [TRM]: 1 + P with P 1 to 3, by alignment and width of the target
        "branch": 1,
        "branch_conditional": 1,
        "call": 1,
        "branch_register": 2,
        "branch_table": 2,
    },
    # [TRM]: the prefetch unit holds three words. [i-0]: a group of three or more wide instructions
    # off word borders takes one cycle more, and one more behind each access to memory within
    prefetch=Prefetch(words=3, latency=1, restart=1),
    unaligned_load=1,  # [TRM]: an unaligned access is split in two
    pc_load=3,
    extra=indexed_hazards,
)

CORE = Core(
    name="cortex-m3",
    isa=THUMB,
    zig_cpu="cortex_m3",
    gcc_flags="-mcpu=cortex-m3 -mthumb",
    unicorn_model=arm_const.UC_CPU_ARM_CORTEX_M3,
    timing=TIMING,
)
