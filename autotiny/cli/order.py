"""`autotiny order`: a pair of components both ways round."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autotiny.cli.failing import INTERRUPTED, complain
from autotiny.cli.options import (
    DataOption,
    EpochsOption,
    MetricOption,
    ModelOption,
    ReadingOptions,
    TargetOption,
    TaskOption,
    complete_component,
    with_reading_options,
)
from autotiny.cli.printing import print_json, print_tables, write_json

EXAMPLES = (
    "autotiny order 'prune_channels(ratio=0.5)' 'prune_magnitude(sparsity=0.8)' -t stm32f746",
    "autotiny order quantize_aware cluster_weights -t rp2040 -d fashion_mnist --seeds 3",
    "autotiny order block_gemm use_winograd -t nrf52840 --before int8 --behind fuse_operators",
)


@with_reading_options
def run(
    *,
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A component as a recipe prints it, e.g. 'prune_channels(ratio=0.5)'; what is "
            "left out has its default. Or the JSON object of a recipe file.",
            autocompletion=complete_component,
        ),
    ],
    second: Annotated[
        str, typer.Argument(metavar="B", help="Another.", autocompletion=complete_component)
    ],
    target: TargetOption,
    model: ModelOption = "cnn1",
    data: DataOption = "digits",
    task: TaskOption = None,
    metric: MetricOption = None,
    reading_options: ReadingOptions,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Repetitions, with seeds 0 to N-1 for the splits, the first training and the "
            "fine-tunes.  [default: 5]",
        ),
    ] = None,
    epochs: EpochsOption = None,
    before: Annotated[
        str | None, typer.Option(metavar="LIST", help="What stands before the pair.")
    ] = None,
    behind: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="What stands behind the pair.  [default: int8, fuse_operators, block_gemm]",
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write JSON to a file; - prints it instead."),
    ] = None,
) -> None:
    """Show a pair of components both ways round, measured.

    Each order is trained, linked and executed under several seeds; a difference counts if it is
    more than what the seeds make.
    """
    from autotiny.target import load_target

    board = load_target(target)  # a misspelt name is told before anything heavy is loaded
    reading = reading_options.reading()
    from autotiny import api
    from autotiny.report import console, ordering
    from autotiny.report.live import counting
    from autotiny.study import EPOCHS, SEEDS

    try:
        with counting(console(stderr=True)) as tell:
            found = api.order(
                first, second, board, model=model, data=data, task=task, metric=metric,
                before=before, behind=behind,
                seeds=seeds or SEEDS, epochs=epochs or EPOCHS, reading=reading,
                on_stage=tell,
            )  # fmt: skip
    except KeyboardInterrupt:
        complain("interrupted; what was measured is in the cache: the same command continues")
        raise typer.Exit(INTERRUPTED) from None
    facts = ordering.comparison_facts(found)
    if json_file == Path("-"):
        print_json(facts)
        return
    if json_file:
        write_json(facts, json_file)
    print_tables(f"{model} on {data}, {board.title}", *ordering.comparison_lines(found), "")
    print_tables(ordering.comparison_table(found), *ordering.remark_lines(found))
