"""Boards that QEMU emulates, and programs that run on them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from autotiny.target import Memory, Target, load_target


class Board(NamedTuple):
    """A machine of QEMU, the target whose core it has, and its memories: origin and bytes."""

    machine: str
    target: str
    flash: tuple[int, int]
    sram: tuple[int, int]

    def __str__(self) -> str:
        return self.machine

    @property
    def program(self) -> str:
        """What emulates it."""
        return f"qemu-system-{'riscv32' if self.machine == 'virt' else 'arm'}"


BOARDS = (
    Board("microbit", "samd21", (0x0, 256 << 10), (0x20000000, 16 << 10)),
    Board("stm32vldiscovery", "stm32f103", (0x08000000, 128 << 10), (0x20000000, 8 << 10)),
    Board("mps2-an385", "stm32f103", (0x0, 4 << 20), (0x20000000, 4 << 20)),
    Board("netduinoplus2", "stm32f407", (0x08000000, 1 << 20), (0x20000000, 128 << 10)),
    Board("mps2-an386", "stm32l4r5", (0x0, 4 << 20), (0x20000000, 4 << 20)),
    Board("mps2-an500", "stm32f746", (0x0, 4 << 20), (0x20000000, 4 << 20)),
    Board("mps2-an505", "stm32u575", (0x10000000, 4 << 20), (0x38000000, 4 << 20)),
    Board("virt", "esp32c3", (0x80000000, 4 << 20), (0x80400000, 4 << 20)),
)


OWN_REGISTERS = ("stm32vldiscovery", "netduinoplus2")
"""Machines whose part is one of the target's family."""


def target_of(board: Board) -> Target:
    """The target, with the memories of the machine and nothing that QEMU has not.

    Its start-up code stays where the machine has the target's registers, or takes them for absent.
    """
    memories = (Memory("code", "flash", *board.flash), Memory("sram", "sram", *board.sram))
    usual = load_target(board.target)
    clock = usual.clock if board.machine in OWN_REGISTERS else {}
    return replace(
        usual, memories=memories, icache=None, dcache=None, accelerator=None, cycle_csr=0, cores=1,
        clock=clock, serial={}, boot_bytes=0, uf2_family=0,
    )  # fmt: skip


def command_of(board: Board, elf: bytes, folder: Path) -> list[str]:
    """What runs a program on a board; its file goes into the folder."""
    (folder / "program.elf").write_bytes(elf)
    bios = ("-bios", "none") if board.machine == "virt" else ()
    return [
        board.program, "-machine", board.machine, *bios, "-display", "none", "-serial", "null",
        "-kernel", str(folder / "program.elf"),
    ]  # fmt: skip


def emulated(
    board: Board, elf: bytes, folder: Path, seconds: float = 60, shift: int = 3
) -> tuple[str, int]:
    """What a program says by semihosting, and its exit code.

    Args:
        board: that it runs on.
        elf: the program.
        folder: for its file.
        seconds: that it may take.
        shift: an instruction takes 2**shift nanoseconds of the board's time.
    """
    command = [
        *command_of(board, elf, folder), "-monitor", "null", "-icount", f"shift={shift}",
        "-semihosting-config", "enable=on,target=native",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    return done.stdout + done.stderr, done.returncode


def is_installed(board: Board) -> bool:
    """Whether QEMU is there for it."""
    return shutil.which(board.program) is not None
