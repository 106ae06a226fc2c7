"""Cortex-M0+: two stages, one instruction at a time.

Source: Arm DDI0484C, Cortex-M0+ Technical Reference Manual, table 3-1 (instruction cycle counts).
"""

from __future__ import annotations

from unicorn import arm_const

from autotiny.cores.core import THUMB, Core
from autotiny.cores.pipeline import Timing

TIMING = Timing(
    occupies={
        "load": 2,  # DDI0484C: LDR/STR 2 cycles from the AHB-Lite port
        "load_narrow": 2,
        "store": 2,
        "store_narrow": 2,
        "load_multiple": 1,  # DDI0484C: LDM, STM, PUSH, POP 1 + N
        "store_multiple": 1,
        "mul": 1,  # DDI0484C: MULS 1 (fast multiplier) or 32; every target here has the fast one
        "branch_register": 1,
        "system": 3,  # DDI0484C: MRS, MSR, DMB, DSB, ISB 3
    },
    branch_taken={
        "branch": 1,  # DDI0484C: B taken 2
        "branch_conditional": 1,  # DDI0484C: B<cc> taken 2, not taken 1
        "branch_register": 1,  # DDI0484C: BX, BLX 2
        "call": 2,  # DDI0484C: BL 3
    },
    pc_load=2,  # DDI0484C: POP with PC 3 + N
)

CORE = Core(
    name="cortex-m0plus",
    isa=THUMB,
    zig_cpu="cortex_m0plus",
    gcc_flags="-mcpu=cortex-m0plus -mthumb",
    unicorn_model=arm_const.UC_CPU_ARM_CORTEX_M0,
    timing=TIMING,
)
