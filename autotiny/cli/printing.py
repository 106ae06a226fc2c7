"""What a command writes: tables or JSON on stdout, and files of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from autotiny.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.status import Status

    from autotiny.api import Taken
    from autotiny.target import Target


def print_json(value: object) -> None:
    """The only thing that a command with `--json` writes to stdout."""
    import json

    typer.echo(json.dumps(value, indent=2))


def write_json(value: object, path: Path) -> None:
    """A file of data that the user asked for."""
    import json

    write_text(json.dumps(value) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """A file that the user asked for."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror}") from error


def print_tables(*tables: object) -> None:
    """Tables and lines on stdout, in the width of the terminal."""
    from autotiny.report import console

    out = console()
    for item in tables:
        out.print(item)


def noticed(status: Status) -> Callable[[str], None]:
    """What prints a line above a status, to be read while the work goes on."""
    return lambda text: status.console.print(text)


def staged(status: Status) -> Callable[[str], None]:
    """What shows a stage of the work behind the words that a status began with."""
    from rich.text import Text

    begun = status.status
    return lambda text: status.update(Text(f"{begun}: {text}"))


def counted(status: Status) -> Callable[[int, int], None]:
    """What shows how much of the work is done behind the words that a status began with."""
    tell = staged(status)
    return lambda done, of: tell(f"{100 * done // max(of, 1)} %")


def print_advice(target: Target) -> None:
    """The setting that is worth time on a target, if its file names one."""
    if target.advice:
        print_tables(f"worth time on {target.name}: {target.advice}")


def print_latency_error(target: Target) -> None:
    """How far emulated latency was from silicon on the target's core, and what would lower it."""
    from autotiny.simulator.silicon import latency_error

    place = target.name if target.correction else target.core
    print_tables(f"latency on {place}: {latency_error(target)}")
    print_advice(target)
    print_tables("")


def print_cost(found: Taken) -> None:
    """What a network takes of a target, whether it fits, and its layers."""
    from autotiny import report
    from autotiny.api import NOISE

    print_tables(f"{found.model} on {found.target.title}, schedule {found.schedule}", "")
    print_tables(report.cost_table(found.cost, found.target), "")
    print_latency_error(found.target)
    if found.calibration is not None:
        told = (
            "ranges found with seeded noise: sizes and cycles hold, accuracy does not; --data "
            "gives it samples"
            if found.calibration == NOISE
            else f"ranges found with {found.calibration}"
        )
        print_tables(told, "")
    if found.constant_channels is not None:
        print_tables(f"remove_constant_channels: {found.constant_channels}", "")
    if found.cost.stream:
        print_tables("at every hop:", *(f"  {part}" for part in found.cost.stream.parts), "")
    place = f"{found.target.name}{found.reserve.beside_text}"
    if found.misses:
        print_tables(f"does not fit {place}: misses by {' and '.join(found.misses)}", "")
    elif found.reserve.beside_text:
        print_tables(f"fits {place}", "")
    print_tables(report.layer_table(found.cost))
