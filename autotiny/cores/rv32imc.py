"""RV32IMC: a four-stage in-order core of the class of the ESP32-C3 and of lowRISC's Ibex.

Source: [Ibex] Ibex documentation, "Pipeline Details", two-stage core with the single-cycle
    multiplier; Espressif publishes
no cycle table for the ESP32-C3. So these figures are documented for the class, not measured on the
part.
"""

from __future__ import annotations

from autotiny.cores.core import RISCV32, Core
from autotiny.cores.pipeline import Timing

TIMING = Timing(
    occupies={
        "load": 2,  # [Ibex]: loads and stores 2 without wait states
        "load_narrow": 2,
        "store": 2,
        "store_narrow": 2,
        "mul": 1,  # [Ibex]: single-cycle multiplier: MUL 1, MULH 2
        "mul_long": 2,
        "div": 37,  # [Ibex]: DIV, REM 37
        "system": 3,
    },
    branch_taken={
        "branch": 1,  # [Ibex]: jumps 2
        "call": 1,
        "branch_register": 1,
        "branch_conditional": 2,  # [Ibex]: branches 1 not taken, 3 taken
    },
    unaligned_target=1,  # [Ibex]: a 4-byte instruction across a word border takes two fetches
)

CORE = Core(
    name="rv32imc",
    isa=RISCV32,
    zig_cpu="generic_rv32+m+c",
    gcc_flags="-march=rv32imc_zicsr -mabi=ilp32",
    unicorn_model=None,
    timing=TIMING,
)
