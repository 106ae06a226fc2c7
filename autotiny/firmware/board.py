"""What runs before `main` on a real part: the clock is set, and the boot ROM finds what it reads.

What is measured has none of it. It lies behind the code and constants of the model, or before them
all, so that these keep the addresses at which they were measured.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from autotiny.engine.c_files import head_text
from autotiny.engine.sources import Sources
from autotiny.errors import NoRoom, UserError
from autotiny.firmware.layout import C_FILES
from autotiny.firmware.linking import BOARD, Firmware, compiler_flags, link
from autotiny.firmware.vectors import vector_files
from autotiny.firmware.zig import zig_cc
from autotiny.metrics import STACK_MARGIN_BYTES, Cost
from autotiny.target import Setting, Target

HEADER = "board.h"


def with_board(sources: Sources, target: Target) -> Sources:
    """A model's C with the start-up code and the interrupts of the target, where there are some."""
    added = {**vector_files(target), **(_files(target) if target.clock else {})}
    return replace(sources, files={**sources.files, **added})


def _files(target: Target) -> dict[str, str]:
    code = C_FILES / f"board_{target.clock['family']}.c"
    return {BOARD: code.read_text(encoding="utf-8"), HEADER: board_header(target)}


def check_board(target: Target) -> None:
    """Refuse settings that the start-up code of a target does not compile with.

    Raises:
        UserError: that is so; with what the code says of them.
    """
    if target.clock:
        with TemporaryDirectory(prefix="autotiny-") as folder:
            for name, text in _files(target).items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            complaint = zig_cc([*compiler_flags(target, "-O2"), "-c", BOARD], Path(folder))
        if complaint:
            told = re.search(r"error: (.*)", complaint)
            raise UserError(
                f"{target.source}: [clock] or [serial] cannot be: {told[1] if told else complaint}"
            )


def link_board(sources: Sources, firmware: Firmware, target: Target, cost: Cost) -> Firmware:
    """The program that is flashed: what was measured, and behind it what starts the part.

    Args:
        sources: the model as C.
        firmware: what was measured of it.
        target: the microcontroller.
        cost: what that took.

    Raises:
        NoRoom: the flash has no room for what starts the part.
    """
    with_start = with_board(sources, target)
    if with_start == sources:
        return firmware
    started = link(with_start, target, stack_bytes=cost.stack_bytes + STACK_MARGIN_BYTES)
    if not started.fits:
        raise NoRoom(
            f"the model takes {firmware.flash_bytes:,} of the {target.flash_bytes:,} bytes of "
            f"{target.name}'s flash, and the code that sets its clock does not fit beside it; "
            "choose a smaller network or sequence"
        )
    return started


def board_bytes(started: Firmware, measured: Firmware) -> int:
    """The flash that a program takes beyond the one that was measured."""
    return started.flash_bytes + measured.origin - started.origin - measured.flash_bytes


def board_header(target: Target) -> str:
    """board.h: the clock of a target, each of its settings a macro."""
    settings = "".join(
        f"#define {table.upper()}_{_macro(name, value)}\n"
        for table, values in (("clock", target.clock), ("serial", target.serial))
        for name, value in values.items()
        if name != "family"
    )
    return f"""{head_text()}#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#define BOOT_BYTES {target.boot_bytes}u
#define CLOCK_HZ {target.clock_hz}u
{settings}
/* Behind the constants of the program, so that these lie where they were measured; small, for it
 * runs once. */
#if defined(__clang__)
#define AT_BOARD(name) __attribute__((section(".board." #name), noinline, minsize))
#else
#define AT_BOARD(name) __attribute__((section(".board." #name), noinline, optimize("Os")))
#endif

/* Sets the clock, then calls SystemInit(); called before there are variables. No wait is without
 * end: what does not answer is left out, and the part runs on with the clock that it has. */
void board_start(void);

void SystemInit(void);

/* The clock of the core as its registers have it now, in hertz. */
uint32_t board_clock_hz(void);

/* Sends a character by the serial port that the settings name, if they do. */
void selftest_put(char character);

#endif
"""


def _macro(name: str, value: Setting) -> str:
    """A setting: a number, a boolean as 1 or 0, or a word as a macro of its own."""
    if isinstance(value, str):
        return f"{name}_{value} 1".upper()
    return f"{name.upper()} {int(value)}u"
