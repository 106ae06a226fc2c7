"""`autotiny components`: what sequences are made of."""

from __future__ import annotations

from typing import Annotated

import typer

from autotiny.cli.options import Json, complete_component
from autotiny.cli.printing import print_json, print_tables

EXAMPLES = (
    "autotiny components",
    "autotiny components prune_magnitude",
    "autotiny components --json",
)


def run(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Show one component in full.",
            autocompletion=complete_component,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the components of sequences, or one in full."""
    from autotiny.components import COMPONENTS
    from autotiny.recipe import component_named
    from autotiny.report import catalogue, console

    kinds = [component_named(name)] if name is not None else COMPONENTS.values()
    found = [catalogue.component_facts(kind) for kind in kinds]
    if as_json:
        print_json(found)
        return
    print_tables(catalogue.component_table(found, width=console().width))
    if name:
        if found[0]["parameters"]:
            print_tables("", catalogue.parameter_table(found[0]))
        print_tables("", *catalogue.component_notes(found[0]))
