"""Cortex-M4: the Cortex-M3 pipeline with single-cycle multiplies, SIMD and a single-precision FPU.

Sources: [TRM] Arm 100166, Cortex-M4 Technical Reference Manual, tables 3-1 and 7-1 (FPU); [jnk0le]
    measured on an
STM32F407, github.com/jnk0le/random, "pipeline cycle test", cortex_m3m4 (CC0).
"""

from __future__ import annotations

from dataclasses import replace

from unicorn import arm_const

from autotiny.cores import cortex_m3
from autotiny.cores.core import THUMB, Core

TIMING = replace(
    cortex_m3.TIMING,
    extra=cortex_m3.hazards,  # [jnk0le]: indexed loads chain on different bases
    occupies={  # [TRM]: MUL, MLA, SMULL, SMLAL, SMLAD, SIMD and saturating arithmetic all 1
        **cortex_m3.OCCUPIES,
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
)

CORE = Core(
    name="cortex-m4",
    isa=THUMB,
    zig_cpu="cortex_m4",
    gcc_flags="-mcpu=cortex-m4 -mthumb",
    unicorn_model=arm_const.UC_CPU_ARM_CORTEX_M4,
    timing=TIMING,
)
