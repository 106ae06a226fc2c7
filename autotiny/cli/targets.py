"""`autotiny targets`: the microcontrollers."""

from __future__ import annotations

from typing import Annotated

import typer

from autotiny.cli.options import Json, complete_target
from autotiny.cli.printing import print_advice, print_json, print_tables

EXAMPLES = (
    "autotiny targets",
    "autotiny targets stm32f746",
    "autotiny targets my_board.toml --json",
)


def run(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Show one target in full, with the source of each figure: a name or a .toml file.",
            autocompletion=complete_target,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the microcontrollers, or one in full."""
    from autotiny.target import load_target, target_names

    found = [load_target(entry) for entry in ([name] if name is not None else target_names())]
    from autotiny import report

    if as_json:
        print_json([report.target_facts(target) for target in found])
        return

    print_tables(report.target_table(found))
    if name:
        print_tables("", report.memory_table(found[0]), "", report.source_table(found[0]))
        board = found[0]
        print_tables(
            f"\nenergy: latency × {board.active_current_ma:g} mA at {board.supply_voltage_v:g} V, "
            f"{board.energy_error}"
        )
        if board.correction:
            print_tables(f"cycles, latency and energy are corrected: {board.correction}")
        print_tables(f"flash it with: {board.flash_tool}" if board.flash_tool else board.boot_note)
        print_advice(board)
