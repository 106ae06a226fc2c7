"""The command line: each command parses, makes one library call, and prints.

A command is a file of its name here with `run`, whose docstring is its help, and `EXAMPLES`; it is
listed in `COMMANDS`. `autotiny --help` must be quick, so whatever is heavy is imported inside
`run`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from autotiny.cli import (
    apply,
    calibrate,
    components,
    dashboard,
    flash,
    measure,
    order,
    proxy,
    schedule,
    search,
    spaces,
    targets,
    tasks,
    verify,
    worker,
)
from autotiny.cli import compile as compile_
from autotiny.cli.failing import Commands
from autotiny.version import __version__

COMMANDS = (
    search, worker, proxy, apply, order, schedule, measure, compile_, flash, verify, calibrate,
    targets, tasks, components, spaces, dashboard,
)  # fmt: skip

EXAMPLES = (
    "autotiny search --target stm32f746 --objective latency",
    "autotiny measure cnn1 --target rp2040",
    "autotiny targets",
)


def examples(lines: tuple[str, ...]) -> str:
    """The end of a help text; the first character keeps the line breaks."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"autotiny {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="autotiny",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(epilog=examples(EXAMPLES))
def autotiny(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Put a neural network on a microcontroller: search, link, execute, measure."""


for command in COMMANDS:
    name = command.__name__.rpartition(".")[2]
    app.command(name, epilog=examples(command.EXAMPLES))(command.run)


def main() -> None:
    """The console script."""
    app(prog_name="autotiny")
