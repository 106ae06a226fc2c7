"""`autotiny spaces`: the search spaces."""

from __future__ import annotations

from typing import Annotated

import typer

from autotiny.cli.options import Json, complete_space
from autotiny.cli.printing import print_json, print_tables

EXAMPLES = (
    "autotiny spaces",
    "autotiny spaces default",
    "autotiny spaces my_space.toml --json",
)


def run(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Show the ranges of one search space: a name or a .toml file.",
            autocompletion=complete_space,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the search spaces, or the ranges of one."""
    from autotiny.report import catalogue
    from autotiny.space import load_space, space_names

    found = [load_space(entry) for entry in ([name] if name is not None else space_names())]
    if as_json:
        print_json([catalogue.space_facts(space) for space in found])
        return
    print_tables(catalogue.space_table(found))
    if name:
        print_tables("", catalogue.range_table(found[0]), "", catalogue.first_table(found[0]))
