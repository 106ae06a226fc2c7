"""`autotiny apply`: a recipe done again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotiny.cli.failing import DIFFERS, complain
from autotiny.cli.options import Json, complete_data, complete_model
from autotiny.cli.printing import print_json, print_tables

if TYPE_CHECKING:
    from autotiny.study import Applied

EXAMPLES = (
    "autotiny apply results/cnn1-digits-stm32f746-latency/best.json",
    "autotiny apply best.json --out firmware/ --json",
    "autotiny apply best.json --retrain --model nets/net.keras --data images/",
)


def run(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A recipe file that a search wrote.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where it goes.  [default: beside the file]")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Where the model of the recipe lies now, for training again.",
            autocompletion=complete_model,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            metavar="DATA",
            help="Where the data of the recipe lies now.",
            autocompletion=complete_data,
        ),
    ] = None,
    retrain: Annotated[
        bool,
        typer.Option("--retrain", help="Train again from model and data, bundle or not."),
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="The recipe's own metric, package.module:function, where that may be called.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Replay a recipe, byte for byte, and measure it.

    The model after its last training is kept in a bundle beside the recipe. Without one, or with
    --retrain, all is done again from model and data.

    Ends with code 3 if a figure or a byte is not the recorded one.
    """  # fmt: skip
    from autotiny.recipe import read_recipe

    read_recipe(recipe)  # a broken file is told before anything heavy is loaded
    from autotiny import api, report

    with report.working(f"applying {recipe}"):
        applied = api.apply(recipe, out, model=model, data=data, retrain=retrain, metric=metric)
    if as_json:
        print_json(applied.to_dict())
    else:
        _print(applied)
    if applied.differences:
        complain(difference_text(applied))
        raise typer.Exit(DIFFERS)


def _print(applied: Applied) -> None:
    from autotiny import report
    from autotiny.report.summary import outputs_text
    from autotiny.tasks import ACCURACY, shown_metric

    metrics = applied.metrics
    print_tables(f"{applied.saved.recipe} on {applied.target.title}, {applied.how}", "")
    print_tables(report.cost_table(applied.cost, applied.target), "")
    if metrics:
        metric = shown_metric(metrics.metric) or ACCURACY
        print_tables(f"{metric.title}: {metric.text(metrics.score_validation)} on validation, "
                     f"{metric.text(metrics.score_test)} on test")  # fmt: skip
        each = outputs_text(applied.saved.task, metrics, "test")
        if each:
            print_tables(each)
        if metrics.at_chance:
            print_tables(report.CHANCE_TEXT)
    print_tables(*applied.notes)
    for name, (recorded, now) in applied.differences.items():
        print_tables(f"{name}: recorded {_shown(recorded)}, now {_shown(now)}")
    if not applied.differences:
        print_tables("every figure is the recorded one")
    project = (applied.folder / "README.md").is_file()
    more = "a project; see its README.md" if project else "C and ELF; the target has no more room"
    print_tables(f"written to {applied.folder}: model.tflite, and {more}")


def _shown(figure: Any) -> str:
    return f"{len(figure)} layers" if isinstance(figure, list) else str(figure)


def difference_text(applied: Applied) -> str:
    """What was not reproduced, and what differs, in a line."""
    names = ", ".join(applied.differences)
    known = f"versions, processor, data and seed {applied.saved.seed} are the recorded ones"
    causes = "; ".join(applied.causes) or known
    return f"not reproduced: {names}; what differs: {causes}"
