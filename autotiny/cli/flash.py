"""`autotiny flash`: a firmware to a board."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from autotiny.cli.options import Json, TargetOption
from autotiny.cli.printing import counted, noticed, print_json, print_tables, staged
from autotiny.interrupts import ended_by

EXAMPLES = (
    "autotiny flash project/ --target stm32f746",
    "autotiny flash best.json -t rp2040 --selftest",
    "autotiny flash project/ -t stm32f103 --tool stm32loader --port /dev/ttyUSB0",
    "autotiny flash project/ -t nrf52840 --dry-run",
)


def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR|RECIPE|FILE",
            help="A project of `compile --project` or `search`, a recipe (.json), or a firmware.",
        ),
    ],
    target: TargetOption,
    selftest: Annotated[
        bool, typer.Option("--selftest", help="The program that checks the model on the board.")
    ] = False,
    tool: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="pyocd, openocd, nrfjprog, picotool, stm32loader, esptool or uf2 (a disk), as the "
            "target names them; by default the first that is installed.",
        ),
    ] = None,
    port: Annotated[
        str, typer.Option(metavar="PORT", help="Serial port of stm32loader or esptool.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the command.")] = False,
    as_json: Json = False,
) -> None:
    """Write a firmware to a board, by the tool that its target names.

    OpenOCD, nrfjprog, picotool and stm32loader are told to compare what they wrote; esptool does so
    by itself. What the tool says is shown, on stderr.
    """
    from autotiny.target import load_target

    board = load_target(target)
    from autotiny import report
    from autotiny.api.flashing import flash

    with (
        report.working(f"writing {source} to {board.name}") as status,
        ended_by(signal.SIGTERM),  # and the tool with it
    ):

        def give_way(command: str) -> None:
            status.stop()
            status.console.print(command, soft_wrap=True)

        done = flash(
            source, board, selftest=selftest, tool=tool, port=port, dry_run=dry_run,
            on_stage=staged(status), on_notice=noticed(status), on_call=give_way,
            on_progress=counted(status),
        )  # fmt: skip
    if as_json:
        print_json(
            {
                "file": str(done.file), "target": board.name, "tool": done.way,
                "command": list(done.command), "written": done.done,
            }
        )  # fmt: skip
    elif dry_run:
        typer.echo(done.shown)
    else:
        print_tables(f"{done.file.name} is on {board.name}, written by {done.way}")
