"""`autotiny calibrate`: what boards counted corrects what is predicted for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotiny.cli.options import BaudOption, Json, WaitOption, complete_target
from autotiny.cli.printing import print_json, print_tables

if TYPE_CHECKING:
    from autotiny.api import Calibrated

EXAMPLES = (
    "autotiny calibrate kws.log vww.log --target stm32f746 --out my_f746.toml",
    "autotiny calibrate all.log --out my_f746.toml --overwrite",
    "pyocd rtt -t stm32f746ng | autotiny calibrate - --out my_f746.toml",
)


def run(
    logs: Annotated[
        list[str],
        typer.Argument(
            metavar="LOG|PORT...",
            help="What selftests wrote: files, - for standard input, or serial ports; as many "
            "models as there are.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "--output", metavar="FILE", help="The .toml file of the corrected target."
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            "--target", "-t", metavar="NAME",
            help="What they were made for: a name, or a .toml file.  [default: as the logs say]",
            autocompletion=complete_target,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
    baud: BaudOption = 115_200,
    wait: WaitOption = 60.0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Correct a target by what selftests counted on your board.

    All cycles that are predicted for the written target are multiplied by one factor: the mean of
    counted ÷ predicted. Its error is tested: each model is predicted with the factor of the others.
    """
    from autotiny import api

    found = api.calibrate(
        logs, out, target=target, overwrite=overwrite, baud=baud, wait_seconds=wait
    )
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found)


def _print(found: Calibrated) -> None:
    from autotiny import report

    said = found.calibration
    print_tables(report.calibrated_table(said), "")
    print_tables("off: predicted, of what was counted; corrected: with the factor of the others")
    print_tables(f"cycles of {found.target.name}: {found.target.correction}")
    print_tables(*_doubts(found), "")
    print_tables(f"written to {found.file}; use it: autotiny measure MODEL --target {found.file}")


def _doubts(found: Calibrated) -> list[str]:
    """What the figures do not tell, or tell against a correction."""
    said = found.calibration
    worst, corrected = said.worst_percent, said.held_out_percent
    doubts = []
    if corrected is None:
        doubts.append("one model cannot tell how well it predicts another: log a second one")
    elif corrected >= worst:
        doubts.append(
            f"no better than before: uncorrected the worst is off by {worst:.1f} %, corrected by "
            f"{corrected:.1f} %; your models differ in more than one factor"
        )
    if any(not one.report.running_hz for one in said.counted):
        doubts.append(
            "a selftest does not know its clock: the factor holds if it ran at that of the target"
        )
    return doubts
