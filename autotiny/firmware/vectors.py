"""The interrupts of a part, as C that a program may call; see `c/irq.c`."""

from __future__ import annotations

import re
from string import Template

from autotiny.cores import CORES
from autotiny.engine.c_files import head_text
from autotiny.firmware.layout import C_FILES
from autotiny.target import Target

VECTORS = ("irq.c", "irq.h")

_MOST = {"cortex-m0plus": 32, "cortex-m33": 480}
"""Interrupts that a core can have, by its architecture's manual; others have 240."""

_LEAST_ALIGNMENT = {"cortex-m0plus": 256}
"""Of the table, by the bits of VTOR; that of others is 128."""


def vector_files(target: Target) -> dict[str, str]:
    """irq.c and irq.h; nothing for RISC-V, where interrupts are the vendor's own."""
    isa = CORES[target.core].isa
    if not isa.is_arm:
        return {}
    core = _core_entries(isa.startup)
    count = target.interrupts or _MOST.get(target.core, 240)
    table_bytes = 4 * (len(core) + count)
    least = _LEAST_ALIGNMENT.get(target.core, 128)
    names = [f"IRQ{number}_Handler" for number in range(count)]
    values = {
        "count": str(count),
        "alignment": str(max(least, 1 << (table_bytes - 1).bit_length())),
        "declared": "\n".join(f"void {one}(void);" for one in core if one.endswith("_Handler")),
        "core": "\n".join(f"    {one}," for one in core),
        "handlers": "\n".join(f"HANDLER({name});" for name in names),
        "entries": "\n".join(f"    {name}," for name in names),
    }
    return {name: head_text() + _filled(name, values) for name in VECTORS}


def _core_entries(startup: str) -> list[str]:
    """The entries of the core, as the table of the start-up code has them."""
    text = (C_FILES / startup).read_text(encoding="utf-8")
    return re.findall(r"^    (\S+),$", text.partition(" vectors[16] = {")[2], re.MULTILINE)


def _filled(name: str, values: dict[str, str]) -> str:
    return Template((C_FILES / name).read_text(encoding="utf-8")).substitute(values)
