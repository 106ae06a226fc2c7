"""Cortex-M4: the Cortex-M3 pipeline with single-cycle multiplies, SIMD and a single-precision FPU.

Sources: [TRM] Arm 100166, Cortex-M4 Technical Reference Manual, tables 3-1 and 7-1 (FPU); [jnk0le]
    measured on an
STM32F407, github.com/jnk0le/random, "pipeline cycle test", cortex_m3m4 (CC0).
"""

from __future__ import annotations

from autotiny.emulator.cores.cortex_m3 import hazards
from autotiny.emulator.cores.pipeline import Core

CORE = Core(
    name="cortex-m4",
    occupies={  # [TRM]: MUL, MLA, SMULL, SMLAL, SMLAD, SIMD and saturating arithmetic all 1
        "div": 7,  # [TRM]: 2 to 12, by operands; the middle
        "load_pair": 3,  # [TRM]: LDRD, STRD 1 + N
        "store_pair": 3,
        "load_multiple": 1,  # [TRM]: LDM, STM, PUSH, POP 1 + N
        "store_multiple": 1,
        "branch_table": 2,  # [TRM]: TBB, TBH 2 + P
        "system": 2,
        "fpu_mac": 3,  # [TRM]: VFMA, VMLA 3
        "fpu_div": 14,  # [TRM]: VDIV, VSQRT 14
        "fpu_sqrt": 14,
        "fpu_load_pair": 3,  # [TRM]: VLDR.64 3, VLDM 1 + N
        "fpu_store_pair": 3,
        "fpu_load_multiple": 1,
        "fpu_store_multiple": 1,
        "fpu_store": 2,  # [TRM]: VSTR 2
    },
    avail={
        "fpu_add": 2,
        "fpu_mul": 2,
        "fpu_mac": 4,
    },  # [TRM]: a dependent FPU instruction waits one cycle
    stage={"address": -1},  # [jnk0le]: base and offset must be there one cycle earlier
    load_chain=1,  # [TRM]: LDR 2, each further load of a run 1
    branch_taken={  # [TRM]: 1 + P with P 1 to 3, by alignment and width of the target
        "branch": 1,
        "branch_conditional": 1,
        "call": 1,
        "branch_register": 2,
        "branch_table": 2,
    },
    unaligned_target=1,  # [TRM]: P grows by one for a target that takes two fetches
    unaligned_load=1,  # [TRM]: an unaligned access is split in two
    pc_load=3,
    extra=hazards,
)
