"""`autotiny apply`: a recipe done again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autotiny.cli.options import Json
from autotiny.cli.printing import print_json, print_tables

EXAMPLES = (
    "autotiny apply results/cnn1-digits-stm32f746-latency/best.json",
    "autotiny apply best.json --out firmware/ --json",
)


def run(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A recipe file that a search wrote.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where it goes.  [default: beside the file]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Rebuild a recipe, byte for byte, and measure it."""
    from autotiny.recipe import read_recipe

    read_recipe(recipe)  # a broken file is told before anything heavy is loaded
    from autotiny import api, report

    with report.console(stderr=True).status(f"applying {recipe}"):
        applied = api.apply(recipe, out)
    if as_json:
        print_json(applied.to_dict())
        return
    metrics = applied.metrics
    print_tables(f"{applied.saved.recipe} on {applied.target.title}", "")
    print_tables(report.cost_table(metrics.cost, applied.target), "")
    print_tables(f"accuracy: {100 * metrics.accuracy_validation:.2f} % on validation, "
                 f"{100 * (metrics.accuracy_test or 0):.2f} % on test")  # fmt: skip
    if metrics.at_chance:
        print_tables(report.CHANCE_TEXT)
    for name, (recorded, now) in applied.differences.items():
        print_tables(f"{name}: recorded {recorded}, now {now}")
    if not applied.differences:
        print_tables("every figure is the recorded one")
    print_tables(f"written to {applied.folder}: model.tflite, firmware.elf, c/")
