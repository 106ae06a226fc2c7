"""What is known of a processor core, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autotiny.cores.pipeline import Timing


@dataclass(frozen=True)
class Isa:
    """What the cores of an instruction set share.

    Attributes:
        family: "arm" (Thumb code of M-profile) or "riscv".
        elf_machine: as an ELF file's header names it.
        zig_triple: what zig compiles for; "hf" is appended for a hardware FPU.
        gcc_prefix: of the GNU tools.
        startup: the C file that runs from reset to main.
        gcc_library: what tells GCC of a C library where it has none of its own.
    """

    family: Literal["arm", "riscv"]
    elf_machine: str
    zig_triple: str
    gcc_prefix: str
    startup: str
    gcc_library: str = ""

    @property
    def is_arm(self) -> bool:
        """Whether it is Arm's."""
        return self.family == "arm"


THUMB = Isa("arm", "EM_ARM", "thumb-freestanding-eabi", "arm-none-eabi-", "startup_cortex_m.c")
RISCV32 = Isa(
    "riscv",
    "EM_RISCV",
    "riscv32-freestanding-none",
    "riscv64-unknown-elf-",
    "startup_riscv.c",
    "--specs=picolibc.specs",
)


@dataclass(frozen=True)
class Core:
    """A processor core: how to compile for it, what emulates it, and how long it takes.

    Attributes:
        name: as targets call it.
        isa: its instruction set.
        zig_cpu: what zig's -mcpu takes.
        gcc_flags: the same for GCC.
        unicorn_model: the number of Unicorn's CPU model, None for its usual one.
        timing: the pipeline.
    """

    name: str
    isa: Isa
    zig_cpu: str
    gcc_flags: str
    unicorn_model: int | None
    timing: Timing
