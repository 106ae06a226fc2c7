"""Machine code from assembly text, for tests of the cycle model."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from elftools.elf.elffile import ELFFile

CPUS = {
    "cortex-m0plus": "thumb-freestanding-eabi -mcpu=cortex_m0plus",
    "cortex-m3": "thumb-freestanding-eabi -mcpu=cortex_m3",
    "cortex-m4": "thumb-freestanding-eabihf -mcpu=cortex_m4+vfp4d16sp",
    "cortex-m7": "thumb-freestanding-eabihf -mcpu=cortex_m7+fp_armv8d16",
    "cortex-m33": "thumb-freestanding-eabihf -mcpu=cortex_m33+dsp+fp_armv8d16sp",
    "cortex-m55": "thumb-freestanding-eabihf -mcpu=cortex_m55+mve_fp+fp_armv8d16",
    "rv32imc": "riscv32-freestanding -mcpu=generic_rv32+m+c",
}


def assemble(core: str, snippets: Sequence[str]) -> list[bytes]:
    """The code of each snippet; instructions are parted by semicolons."""
    lines = [] if core == "rv32imc" else [".syntax unified", ".thumb"]
    for number, code in enumerate(snippets):
        lines += [f'.section s{number}, "ax"', *code.split(";")]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "snippets.S"
        source.write_text("\n".join(lines) + "\n")
        command = [sys.executable, "-m", "ziglang", "cc", "-target", *CPUS[core].split(), "-c"]
        subprocess.run([*command, str(source), "-o", f"{source}.o"], check=True)
        elf = ELFFile(BytesIO(Path(f"{source}.o").read_bytes()))
        return [bytes(elf.get_section_by_name(f"s{n}").data()) for n in range(len(snippets))]
