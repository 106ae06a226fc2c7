"""What a board reports of its selftest, beside what was predicted."""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from autotiny.errors import UserError, shown
from autotiny.firmware.board_report import BoardReport, report_from

STDIN = "-"
BAUD = 115_200
WAIT_SECONDS = 60.0

_CHUNK_BYTES = 1 << 16
_LONGEST_BYTES = 4096
"""More than a report has; the board writes 1,024 at most."""

_BEGIN = '{"autotiny":'
_REPORT = re.compile(re.escape(_BEGIN) + r"[^{}]*\}")
_WAY_OUT = "flash selftest.elf (`make flash-selftest`), reset the board, and log what it writes"


def verify(
    source: str | Path, *, baud: int = BAUD, wait_seconds: float = WAIT_SECONDS
) -> BoardReport:
    """What the selftest of a board reports; of several lines the last.

    Args:
        source: the path of a log, "-" for standard input, or a serial port.
        baud: of a serial port.
        wait_seconds: for a line from a port.

    Raises:
        UserError: there is no such file or port, or no whole line of a selftest in it.
    """
    return report_from(deque(report_lines(source, baud=baud, wait_seconds=wait_seconds), 1).pop())


def report_lines(source: str | Path, *, baud: int, wait_seconds: float) -> Iterator[str]:
    """The whole lines of selftests in a log, oldest first; of a port those that come first.

    Args:
        source: as `verify` takes it, with the others.
        baud: of a serial port.
        wait_seconds: for a line from a port.

    Raises:
        UserError: there is no such file or port, or no whole line of a selftest in it.
    """
    name = str(source)
    if name == STDIN:
        yield from _lines(_chunks(sys.stdin.buffer), "standard input")
        return
    path = Path(name).expanduser()
    if path.is_char_device() or re.fullmatch(r"COM\d+", name):
        where = f"{name} in {wait_seconds:g} s"
        yield from _lines(_port(name, baud, wait_seconds), where, waiting=True)
        return
    try:
        with path.open("rb") as file:
            yield from _lines(_chunks(file), name)
    except OSError as error:
        raise UserError(f"cannot read {name!r}: {error.strerror}; give a log or a port") from error


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _port(name: str, baud: int, wait_seconds: float) -> Iterator[bytes]:
    """What comes from a serial port while it is waited for."""
    try:
        import serial
    except ImportError:
        raise UserError(
            f"reading the port {name} needs pyserial: pip install 'autotiny[flash]', or log it "
            "with another program and give the log"
        ) from None
    try:
        with serial.Serial(name, baud, timeout=0.2) as port:
            began = time.monotonic()
            while time.monotonic() - began < wait_seconds:
                yield port.read(max(1, port.in_waiting))
    except (serial.SerialException, ValueError, OSError) as error:
        raise UserError(
            f"cannot read the port {name} at {baud} baud: {error}; is the board connected, is the "
            "port used by another program, and may you open it (group dialout)?"
        ) from error


def _lines(chunks: Iterator[bytes], where: str, *, waiting: bool = False) -> Iterator[str]:
    """All lines, or those that are there once one that is waited for is."""
    rest, any_line = "", False
    for chunk in chunks:
        found, rest = _found(rest, chunk)
        yield from found
        any_line = any_line or bool(found)
        if waiting and found:
            break
    if not any_line:
        raise _nothing(rest, where)


def _found(rest: str, chunk: bytes) -> tuple[list[str], str]:
    """Whole reports in what was left and what came, and what may be the begin of another."""
    text = rest + chunk.replace(b"\0", b"").decode("utf-8", "replace")  # PowerShell logs UTF-16
    found = [*_REPORT.finditer(text)]
    left = text[found[-1].end() if found else 0 :]
    begin = left.rfind(_BEGIN)
    left = left[begin:] if begin >= 0 else left[-len(_BEGIN) :]
    return [one.group() for one in found], left if len(left) <= _LONGEST_BYTES else ""


def _nothing(rest: str, where: str) -> UserError:
    if rest.startswith(_BEGIN):
        return UserError(
            f"the line of the selftest in {where} is cut off: {shown(rest)}; {_WAY_OUT}"
        )
    return UserError(f"no line of a selftest in {where}; {_WAY_OUT}")
