"""Cortex-M33: three stages and a half, single issue with a few pairs of 16-bit encodings.

Sources: [jnk0le] measured on an RP2350, github.com/jnk0le/random, "pipeline cycle test",
    cortex_m33 (CC0); [TRM] Arm
100230, Cortex-M33 Technical Reference Manual; [KA] Arm knowledge article KA001260 (a flag-setting
MULS stalls).
"""

from __future__ import annotations

from unicorn import arm_const

from autotiny.cores.core import THUMB, Core
from autotiny.cores.instruction import BRANCHES, Instruction
from autotiny.cores.pipeline import Timing


def pairs(older: Instruction, younger: Instruction, taken: bool) -> bool:
    """[jnk0le]: two 16-bit encodings, one of them a nop, an IT or a branch."""
    if younger.kind == "it":
        return True
    if older.size != 2 or younger.size != 2 or older.kind in BRANCHES:
        return False
    if younger.kind in ("branch", "branch_conditional", "branch_register"):
        return not (taken and older.sets_flags)
    return older.kind == "nop"


def hazards(previous: Instruction, current: Instruction) -> tuple[float, str]:
    """[jnk0le, KA]: two-stage results that also set the flags take a second cycle."""
    if previous.sets_flags and (
        previous.kind == "mul" or (previous.wide_constant and previous.writes != ("flags",))
    ):
        return 1.0, "issue"
    return 0.0, ""


TIMING = Timing(
    width=2,
    occupies={
        "div": 6,  # [TRM]: 2 to 11, by operands; the middle
        "load_pair": 2,  # [jnk0le]: LDRD, STRD 2
        "store_pair": 2,
        "load_multiple": 0,  # [jnk0le]: x registers take x cycles
        "store_multiple": 0,
        "fpu_load_multiple": 0,
        "fpu_store_multiple": 0,
        "fpu_load_pair": 2,
        "fpu_store_pair": 2,
        "fpu_div": 14,
        "fpu_sqrt": 14,
        "system": 2,
    },
    avail={
        "load": 2,  # [jnk0le]: load-use 2
        "load_narrow": 2,
        "load_pair": 2,
        "load_multiple": 2,
        "mul": 2,  # [jnk0le]: multiply-accumulate result 2
        "mac": 2,
        "mul_long": 2,
        "mac_long": 2,
        "alu_shifted": 2,  # [jnk0le]: shifted operand, result 2
        "dsp": 2,  # [jnk0le]: SIMD and saturating, result 2
        "fpu_add": 2,  # [jnk0le]
        "fpu_mul": 2,
        "fpu_mac": 4,
        "fpu_to_core": 2,
        "fpu_load": 1,  # [jnk0le]: VLDR to use 1
    },
    stage={
        "accumulator": 1,  # [jnk0le]: accumulators chain each cycle; a load reaches one in 1
        "stored": 1,  # [jnk0le]: load to store 1; the accumulate stage's result can be stored in 1
    },
    fpu_busy={"fpu_mac": 3},  # [jnk0le]: no other FPU instruction in the two cycles behind an FMA
    branch_taken={  # [jnk0le]: 2 alone, 1 as the younger of a pair
        "branch": 1,
        "branch_conditional": 1,
        "call": 1,
        "branch_register": 1,
        "branch_table": 2,
    },
    unaligned_load=1,  # [TRM]: an unaligned access is split in two
    pc_load=3,  # [jnk0le]: pop {pc} is 1 to 2 cycles slower than pop {lr}; bx lr
    pairs=pairs,
    extra=hazards,
)

CORE = Core(
    name="cortex-m33",
    isa=THUMB,
    zig_cpu="cortex_m33",
    gcc_flags="-mcpu=cortex-m33 -mthumb",
    unicorn_model=arm_const.UC_CPU_ARM_CORTEX_M33,
    timing=TIMING,
)
