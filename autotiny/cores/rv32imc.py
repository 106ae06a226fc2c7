"""RV32IMC: the four-stage in-order core of the ESP32-C3.

Espressif publishes no cycle table. Sources: [TRM] ESP32-C3 Technical Reference Manual, chapter 1 (a
four-stage pipeline); [Ibex] Ibex documentation, "Pipeline Details", a core of the same class with a
single-cycle multiplier; [C3] two published figures of the part, which decide what loads take:
CoreMark, and person detection with ESP-NN (results/fidelity.md). Both are Espressif's.
"""

from __future__ import annotations

from autotiny.cores.core import RISCV32, Core
from autotiny.cores.pipeline import Timing

TIMING = Timing(
    occupies={
        "mul": 1,  # [Ibex]: single-cycle multiplier: MUL 1, MULH 2
        "mul_long": 2,
        "div": 37,  # [Ibex]: DIV, REM 37
        "system": 3,
    },
    avail={"load": 2, "load_narrow": 2},  # [C3]: loads and stores 1, what is loaded is there in 2
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
    # not _zicsr, for which GCC 12 takes the libraries of a core of 64 bits
    gcc_flags="-march=rv32imc -misa-spec=2.2 -mabi=ilp32",
    unicorn_model=None,
    timing=TIMING,
)
