"""`autotiny verify`: what a board counted, beside what was predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from autotiny.cli.failing import DIFFERS, complain
from autotiny.cli.options import BaudOption, Json, WaitOption
from autotiny.cli.printing import print_json, print_tables

if TYPE_CHECKING:
    from autotiny.firmware.board_report import BoardReport

EXAMPLES = (
    "autotiny verify board.log",
    "autotiny verify /dev/ttyACM0",
    "pyocd rtt -t stm32f746ng | autotiny verify -",
)


def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="LOG|PORT",
            help="What the selftest of a project wrote: a file, - for standard input, or the "
            "serial port it writes to.",
        ),
    ],
    baud: BaudOption = 115_200,
    wait: WaitOption = 60.0,
    as_json: Json = False,
) -> None:
    """Compare what a board counted with what was predicted.

    `compile --project` writes selftest.elf, which runs the model on the board and reports one line.

    Ends with code 3 if an output is not that of the host.
    """
    from autotiny import api

    found = api.verify(source, baud=baud, wait_seconds=wait)
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found)
    if not found.outputs_equal:
        wrong = found.samples - found.samples_right
        complain(
            f"{wrong} of {found.samples} samples gave other outputs on the board than on the host; "
            "build the selftest again with zig's firmware, and report it if that is no better"
        )
        raise typer.Exit(DIFFERS)


def _print(found: BoardReport) -> None:
    from autotiny import report

    print_tables(f"{found.model} for {found.target}, made by autotiny {found.autotiny}", "")
    print_tables(report.verified_table(found), "")
    equal = "all" if found.outputs_equal else f"{found.samples_right} of"
    print_tables(f"outputs: {equal} {found.samples} samples as on the host")
    print_tables(f"time: {found.latency_us:,.1f} µs {_clock(found)} Counted by {found.counter}.")


def _clock(found: BoardReport) -> str:
    """At which clock, in words."""
    stated = f"{found.clock_hz / 1e6:g} MHz"
    if found.running_hz == found.clock_hz:
        return f"at {stated}, to which its start-up code set it."
    if found.running_hz > found.clock_hz:
        return f"at {found.running_hz / 1e6:g} MHz, more than the {stated} of the target."
    if found.running_hz:
        return (
            f"at {found.running_hz / 1e6:g} MHz: an oscillator did not start, so that it runs on "
            f"at that clock, not at {stated}. Is the crystal the one that src/board.h names?"
        )
    return (
        f"at {stated}, if your program sets that clock. Cycles are predicted for its flash wait "
        "states: a board at its reset clock counts others, and takes longer."
    )
