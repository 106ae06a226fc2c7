"""Start-up code of all targets, from reset to main on chips that Python plays.

    python benchmarks/clocks.py

The chips (tests/firmware/stm32_chips.py and other_chips.py) are written from what manuals and
vendors' headers say of each register, and refuse what these forbid: a frequency above what wait
states, voltage or a bus allow, a PLL that is changed while it runs, a switch to what is not ready,
a write to what has no clock. What they cannot tell is in the last column. "None" is where nothing
ever answers: no oscillator but that of reset, no voltage, no PLL.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from writing import row

from autotiny.engine import Sources
from autotiny.firmware import link
from autotiny.firmware.board import with_board
from autotiny.target import Target, load_target, target_names

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "firmware"))
from booting import Boot, boot
from other_chips import Chip, Esp32c3, Imxrt, Nrf5340, Nrf52840, Rp2040, Rp2350, Samd21
from stm32_chips import CHIPS as STM32
from test_clocks_stm32 import model

RESULT = Path(__file__).parent.parent / "results" / "clocks.md"

OTHERS: Mapping[str, tuple[type[Chip], str]] = {
    "esp32c3": (Esp32c3, "no_pll"),
    "imxrt1062": (Imxrt, "dead_loop"),
    "nrf52840": (Nrf52840, "dead_crystal"),
    "nrf5340": (Nrf5340, "dead_crystal"),
    "rp2040": (Rp2040, "dead_crystal"),
    "rp2350": (Rp2350, "dead_crystal"),
    "samd21": (Samd21, "dead_loop"),
}

SILICON: Mapping[str, str] = {
    "esp32c3": "the boot loader of ESP-IDF has started the PLL and set the core's voltage for it; "
    "flash timing is that of the boot loader; where none answers, its PLL is off",
    "imxrt1062": "whether the flash of a board has its QE bit set; FlexRAM and watchdogs are left "
    "as the boot ROM sets them",
    "nrf52840": "DC/DC, which the current in the target file assumes, is not turned on; it needs "
    "inductors",
    "nrf5340": "the crystal's load capacitors are not set; nor an undocumented errata setting of "
    "Nordic's start-up code",
    "rp2040": "flash chips that set QE in another way than Winbond's",
    "rp2350": "flash timing is that of the boot ROM",
    "samd21": "the DFLL in open loop: about 47 to 49 MHz by its factory calibration",
    "stm32f103": "—",
    "stm32f407": "revision A, whose prefetch does not work, is not told apart",
    "stm32f746": "—",
    "stm32g0b1": "—",
    "stm32h743": "480 MHz needs revision V; earlier ones get 400 MHz",
    "stm32h7a3": 'parts with a Q in their name need supply = "smps"; else they stay at 64 MHz',
    "stm32l4r5": "the microsecond at half of the clock, before all of it, is not timed",
    "stm32u575": 'by its LDO; the current in the target file is for supply = "smps"',
}


def main() -> None:
    """Boot all, and write the table."""
    assert __doc__
    command, text = __doc__.split("\n\n")[1:3]
    lines = [
        "# Clocks\n", f"{command}\n", text.replace("\n", " ").strip() + "\n",
        row(
            "target", "states MHz", "comes to", "from", "start-up bytes", "instructions",
            "registers written", "where none answers", "instructions", "only silicon can tell",
        ),
        "|---" * 10 + "|",
    ]  # fmt: skip
    for name in target_names():
        target = load_target(name)
        lines.append(row(*cells(name, target)))
        print(lines[-1], flush=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def cells(name: str, target: Target) -> tuple[object, ...]:
    """A row: the part as it should be, and one of which nothing answers."""
    well, badly = chips(name, target)
    firmware = link(with_board(program(), target), target)
    start, left = boot(firmware, well()), boot(firmware, badly())
    took, took_left = start.instructions, left.instructions
    written = sum(access.is_write for access in start.accesses)
    with BytesIO(firmware.elf) as file:
        size = ELFFile(file).get_section_by_name(".board")["sh_size"]
    source = str(target.clock.get("source", "crystal" if "crystal_hz" in target.clock else ""))
    return (
        name, f"{target.clock_hz / 1e6:g}", megahertz(start), source.upper() or "—", size,
        f"{took:,}", written, megahertz(left), f"{took_left:,}", SILICON[name],
    )  # fmt: skip


def program() -> Sources:
    """A model whose main asks for the clock, and sends nothing."""
    sources = model()
    silent = sources.files["main.c"].replace(
        "selftest_put(board_clock_hz() != 0)", "board_clock_hz()"
    )
    return replace(sources, files={**sources.files, "main.c": silent})


def chips(name: str, target: Target) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """What makes such a chip, and one that is dead."""
    if name in STM32:
        kind, crystal = STM32[name], int(target.clock.get("oscillator_hz", 0))
        return lambda: kind(crystal), lambda: kind(crystal, dead=["all"])
    other, dead = OTHERS[name]
    return other, lambda: other(**{dead: True})


def megahertz(booted: Boot) -> str:
    """The clock of a chip, where its firmware says the same."""
    chip: Any = booted.chip
    told, hz = booted.call("board_clock_hz"), chip.core_hz
    return f"{hz / 1e6:g}" if abs(told - hz) <= 512 else f"{hz / 1e6:g}, told as {told / 1e6:g}"


if __name__ == "__main__":
    main()
