"""Cortex-M7: six stages, in-order dual issue, an early and a late ALU, branch prediction.

Arm publishes no cycle table. Sources: [jnk0le] measured on an STM32H743, github.com/jnk0le/random,
"pipeline cycle test", cortex_m7 (CC0); [LLVM] llvm/lib/Target/ARM/ARMScheduleM7.td, written by Arm.

Stages: 0 early (addresses, inline shifts), 1 late ALU and multiplicands, 2 accumulators, 3 store
    data.
"""

from __future__ import annotations

from unicorn import arm_const

from autotiny.cores.core import THUMB, Core
from autotiny.cores.instruction import (
    BRANCHES,
    FPU,
    LOADS,
    MULTIPLIES,
    STORES,
    Instruction,
)
from autotiny.cores.pipeline import Timing

_ALONE = {"load_pair", "store_pair", "load_multiple", "store_multiple", "fpu_load_pair",
"fpu_store_pair",           "fpu_load_multiple", "fpu_store_multiple", "system", "div"}  # fmt: skip
_FPU_MEMORY = {"fpu_load", "fpu_store", "fpu_move", "fpu_to_core", "fpu_from_core"}


def pairs(older: Instruction, younger: Instruction, taken: bool) -> bool:
    """[jnk0le]: the combinations that never issue together."""
    a, b = older.kind, younger.kind
    if a in _ALONE or b in _ALONE:
        return False
    if a in MULTIPLIES and b in MULTIPLIES:
        return False
    if (a in MULTIPLIES and b in STORES) or (a in STORES and b in MULTIPLIES):
        return False
    if a in STORES and b in STORES:
        return False
    if b in ("bitfield", "dsp") and (a in ("bitfield", "dsp") or not _slips(older)):
        return False
    shifter = {"alu_shifted"}
    if (a in shifter or older.wide_constant) and (b in shifter or younger.wide_constant):
        return False
    if a == "bitfield" and (b in shifter or younger.wide_constant):
        return False
    if a in BRANCHES and b in BRANCHES:
        return False
    if a in FPU and b in FPU:
        arithmetic = FPU - _FPU_MEMORY
        if a in arithmetic and b in arithmetic:
            return False
        if "fpu_mac" in (a, b):
            return False
        if a in ("fpu_to_core", "fpu_from_core") and b in ("fpu_to_core", "fpu_from_core"):
            return False
    if a in LOADS and b in LOADS:
        return not (older.updates and older.updates[0] in (r for r, _ in younger.reads))
    return True


def _slips(older: Instruction) -> bool:
    """[jnk0le]: DSP and bit-field instructions take the older slot; behind a branch they slide."""
    return older.kind in BRANCHES


TIMING = Timing(
    width=2,
    occupies={
        "load_multiple": 0,  # [jnk0le]: ceil(registers / 2)
        "store_multiple": 0,
        "fpu_load_multiple": 0,
        "fpu_store_multiple": 0,
        "div": 7,  # [LLVM]: SDIV, UDIV 7
        "fpu_div": 16,  # [jnk0le]
        "fpu_sqrt": 14,  # [jnk0le]
        "system": 4,
    },
    per_transfer=0.5,  # [jnk0le]: two registers a cycle
    avail_default=2,
    avail={
        "load": 2,  # [jnk0le]: a word can be used by the late ALU in the next cycle
        "load_pair": 2,
        "load_multiple": 2,
        "load_narrow": 3,  # [jnk0le]: bytes and halfwords one cycle later
        "mul": 3,  # [jnk0le]: multiplies have one more cycle of latency
        "mac": 3,
        "mul_long": 3,
        "mac_long": 3,
        "fpu_add": 4,  # [jnk0le]: 3 cycles to another FPU instruction
        "fpu_mul": 4,
        "fpu_mac": 6,  # [jnk0le]: 5 to a multiplicand, 3 to an accumulator
        "fpu_convert": 4,
        "fpu_compare": 2,
        "fpu_move": 4,
        "fpu_from_core": 4,
        "fpu_to_core": 2,
        "fpu_load": 2,
        "fpu_div": 17,
        "fpu_sqrt": 15,
    },
    stage={
        "operand": 1,
        "multiplicand": 1,
        "flags": 1,
        "accumulator": 2,  # [jnk0le]: read one stage behind the late ALU
        "stored": 3,  # [jnk0le]: any result can be stored in the cycle of its making
        "shifted": 0,  # [jnk0le]: inline shifts and extracted fields are read by the early ALU
        "address": 0,
    },
    avail_updated=1,  # [jnk0le]: an indexed base is ready for the next cycle's address
    forward={
        (
            "load",
            "multiplicand",
        ): 3,  # [jnk0le]: a multiply cannot take a load of the previous cycle
        ("load_narrow", "multiplicand"): 3,
        ("fpu_mac", "accumulator"): 5,
        ("fpu_load", "accumulator"): 5,
    },
    after_mac={  # [jnk0le]: none of these in the three cycles behind a multiply-accumulate
        "fpu_add": 4,
        "fpu_load_multiple": 4,
        "fpu_store_multiple": 4,
        "fpu_load_pair": 4,
        "fpu_store_pair": 4,
    },
    early_alu=True,
    predicts=True,
    mispredict=7,  # [jnk0le]: 8, or 6 with the flags set three cycles before
    branch_taken={"branch_register": 1, "branch_table": 4},
    # [jnk0le]: the store buffer reads, modifies and writes for a byte; bytes in a row take 2.4
    store_every={"store_narrow": 2.4},
    unaligned_load=3,  # [jnk0le]: 3 as the older, 4 as the younger of a pair
    pc_load=2,
    pairs=pairs,
    bank_conflict=0.5,  # banks of two unrelated addresses agree every other time
    fetch_bytes=8,
)

CORE = Core(
    name="cortex-m7",
    isa=THUMB,
    zig_cpu="cortex_m7",
    gcc_flags="-mcpu=cortex-m7 -mthumb",
    unicorn_model=arm_const.UC_CPU_ARM_CORTEX_M7,
    timing=TIMING,
)
