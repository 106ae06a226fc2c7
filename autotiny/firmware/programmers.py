"""The tools that write a firmware to a part, and how each is called: a table.

A target names the parts of a call that are its own (a chip, OpenOCD's scripts, a disk); none of it
reaches a shell.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from autotiny.errors import UserError, shown, unknown
from autotiny.target import Target

DISK = "uf2"
"""In place of a tool: the file is copied to a disk that the board shows itself as."""

Call = Callable[[str, Path, str, int], list[str]]


@dataclass(frozen=True)
class Programmer:
    """A tool.

    Attributes:
        file: the ending of the file that it takes.
        call: its arguments, from what the target says of it, the file, a serial port ("" where none
            is given), and the address of the file's first byte.
        programs: what it may be called, the usual name first.
        install: how to get it.
        needs_port: whether it writes by a serial port that has to be named.
        erases_all: whether it erases all of flash first, not what it writes alone.
    """

    file: str
    call: Call
    programs: tuple[str, ...]
    install: str
    needs_port: bool = False
    erases_all: bool = False


def _pyocd(chip: str, file: Path, port: str, origin: int) -> list[str]:
    return ["load", "--no-wait", "--target", chip, str(file)]


def _openocd(scripts: str, file: Path, port: str, origin: int) -> list[str]:
    if re.search(r'[{}\\"\[\]$]', file.as_posix()):
        raise UserError(f"OpenOCD cannot take the path {shown(str(file))}; move the file")
    named = [part for script in scripts.split() for part in ("-f", script)]
    return [*named, "-c", f"program {{{file.as_posix()}}} verify reset exit"]


def _picotool(_: str, file: Path, port: str, origin: int) -> list[str]:
    return ["load", "--verify", "--execute", str(file)]


def _nrfjprog(family: str, file: Path, port: str, origin: int) -> list[str]:
    written = ["--program", str(file), "--sectorerase", "--verify", "--reset"]
    return ["--family", family, *written]


def _stm32loader(family: str, file: Path, port: str, origin: int) -> list[str]:
    start = f"{origin:#010x}"
    return [
        "--port", port, "--family", family, "--erase", "--write", "--verify",
        "--address", start, "--go-address", start, str(file),
    ]  # fmt: skip


def _esptool(chip: str, file: Path, port: str, origin: int) -> list[str]:
    given = ["--port", port] if port else []  # it looks for one itself
    return ["--chip", chip, *given, "write-flash", f"{origin:#x}", str(file)]


PROGRAMMERS: Mapping[str, Programmer] = {
    "pyocd": Programmer("elf", _pyocd, ("pyocd",), "pip install 'autotiny[flash]'"),
    "openocd": Programmer("elf", _openocd, ("openocd",), "apt install openocd"),
    "nrfjprog": Programmer("hex", _nrfjprog, ("nrfjprog",), "Nordic's command line tools"),
    "picotool": Programmer("uf2", _picotool, ("picotool",), "github.com/raspberrypi/picotool"),
    "stm32loader": Programmer(
        "bin",
        _stm32loader,
        ("stm32loader",),
        "pip install 'autotiny[flash]'",
        needs_port=True,
        erases_all=True,
    ),
    "esptool": Programmer("bin", _esptool, ("esptool",), "pip install 'autotiny[flash]'"),
}


def chosen(target: Target, wanted: str | None, port: str, *, only_told: bool = False) -> str:
    """Which way to write: the one asked for, or the first one of the target that can be used.

    Where it is only told, one that is not installed will do.

    Raises:
        UserError: the target does not name it, or none of those it names is installed.
    """
    ways = target.programmers
    if not ways:
        raise UserError(
            f"{target.name} names no tool that writes to it; add [programmers] to its file, or do "
            f"what its project's README.md says: {target.flash_tool or target.boot_note}"
        )
    if wanted is not None:
        if wanted not in ways:
            raise unknown(
                f"way to write to {target.name}", wanted, ways, f"autotiny targets {target.source}"
            )
        if wanted != DISK and program_of(wanted) is None and not only_told:
            others = ", ".join(way for way in ways if way != wanted)
            raise UserError(
                f"{wanted} is not installed; {PROGRAMMERS[wanted].install}"
                f"{f', or choose another of {others}' if others else ''}"
            )
        return wanted
    usable = (
        way for way in ways
        if way == DISK or (program_of(way) and (port or not PROGRAMMERS[way].needs_port))
    )  # fmt: skip
    found = next(usable, next(iter(ways)) if only_told else None)
    if found is None and any(program_of(way) for way in ways if way != DISK):
        raise UserError(
            f"{target.name} is written by a serial port; name it: --port /dev/ttyUSB0, or COM3"
        )
    if found is None:
        told = "; ".join(f"{way}: {PROGRAMMERS[way].install}" for way in ways)
        raise UserError(f"none of the tools that write to {target.name} is installed ({told})")
    return found


def program_of(way: str) -> str | None:
    """Where a tool is installed."""
    found = (shutil.which(name) for name in PROGRAMMERS[way].programs)
    return next((str(Path(path).absolute()) for path in found if path), None)
