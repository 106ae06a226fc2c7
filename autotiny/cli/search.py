"""`autotiny search`: the study and the files it leaves."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotiny.cli.failing import INTERRUPTED, OTHER_ERROR, complain
from autotiny.cli.options import (
    CacheOption,
    DataOption,
    EpochsOption,
    Json,
    MetricOption,
    ModelOption,
    ReadingOptions,
    ReserveOption,
    StreamOption,
    TargetOption,
    TaskOption,
    complete_objective,
    complete_space,
    with_reading_options,
)
from autotiny.cli.printing import print_json, print_tables
from autotiny.errors import UserError
from autotiny.interrupts import ended_by
from autotiny.machine import disk_is_full

if TYPE_CHECKING:
    from autotiny.study import Result

EXAMPLES = (
    "autotiny search --target stm32f746 --objective latency",
    "autotiny search -t rp2040 -o size -o latency --trials 100 --jobs 2",
    "autotiny search -t stm32l4r5 --warm-start results/cnn1-digits-stm32f746-latency",
    "autotiny search -t nrf52840 -m my_model.keras -d my_images/ --timeout 3600",
    "autotiny search -t stm32f103 -m net.h5 -d images/ --max latency=20ms --reserve sram=8K",
    "autotiny search -t my_board.toml -m package.module:build -d samples.npz",
    "autotiny search -t nrf52840 -m motion.keras -d motion.csv --window 128 --group person",
)


ObjectiveOption = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        "-o",
        metavar="NAME",
        help="latency, worst_latency (cold caches, after reset), size, sram, energy, score or "
        "balanced; may be repeated. The score always takes part.  [default: latency]",
        autocompletion=complete_objective,
    ),
]
SpaceOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Search space: a name that 'autotiny spaces' lists, or a .toml file.",
        autocompletion=complete_space,
    ),
]
TrialsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Sequences to try, those of an earlier run included.  [default: 40; with "
        "--warm-start a twelfth of the earlier search's work]",
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Begin no sequence after so long; the original is measured whatever it is.",
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, metavar="N", help="Decides everything random.")]
AccuracyDropOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=100,
        metavar="PERCENT",
        help="Validation accuracy that the best sequence may lose against the original, in "
        "percentage points.  [default: 1]",
    ),
]
ScoreDropOption = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT",
        help="The same for any metric: an amount in its unit, or e.g. 5%.  [default: of an error "
        "5% of the original's]",
    ),
]
MaxOption = Annotated[
    list[str] | None,
    typer.Option(
        "--max",
        metavar="NAME=VALUE",
        help="At most so much: latency=20ms, worst_latency=30ms, flash=60K, sram=12K, "
        "energy=0.5mJ, or a score that is better small, as rmse=0.3; may be repeated.",
    ),
]
MinOption = Annotated[
    list[str] | None,
    typer.Option(
        "--min",
        metavar="NAME=VALUE",
        help="At least such a score on validation: score=0.95, accuracy=95%.",
    ),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Optuna storage, or a journal file ending in .log, where 'autotiny worker' can take "
        "part.  [default: study.db in --out]",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where results go.  [default: results/<study name>]"),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Processes that work on the study; 0: one for each core. One and two find the same, "
        "and as many as that always do; but with --storage or a sampler of Optuna's it depends on "
        "which is faster.  [default: 2, where there are cores and memory; there 1]",
    ),
]
SamplerOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What draws: ehvi weighs hundreds of sequences by their costs and by what they should "
        "score; tpe, nsga2, gp and random are Optuna's.",
    ),
]
WarmStartOption = Annotated[
    str | None,
    typer.Option(
        metavar="STUDY",
        help="Begin with what an earlier search for the same model, data, seed and epochs found, "
        "for whatever target: its --out, a journal file, or its --storage.",
    ),
]
SeedsOption = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Train the best sequences with N seeds at the end, so that none is named best by "
        "luck; 1 leaves that out.",
    ),
]
SolveOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=64,
        metavar="N",
        help="Solve the schedule of N points of the front at the end: the best way of computing "
        "each layer, measured on the target; 0 leaves that out.",
    ),
]


@with_reading_options
def run(
    *,
    target: TargetOption,
    model: ModelOption = "cnn1",
    data: DataOption = "digits",
    reading_options: ReadingOptions,
    stream: StreamOption = None,
    objective: ObjectiveOption = None,
    at_most: MaxOption = None,
    at_least: MinOption = None,
    reserve: ReserveOption = None,
    space: SpaceOption = "default",
    trials: TrialsOption = None,
    timeout: TimeoutOption = None,
    seed: SeedOption = 0,
    seeds: SeedsOption = 3,
    solve: SolveOption = 3,
    task: TaskOption = None,
    metric: MetricOption = None,
    accuracy_drop: AccuracyDropOption = None,
    score_drop: ScoreDropOption = None,
    epochs: EpochsOption = None,
    storage: StorageOption = None,
    out: OutOption = None,
    jobs: JobsOption = None,
    sampler: SamplerOption = "ehvi",
    warm_start: WarmStartOption = None,
    cache: CacheOption = None,
    as_json: Json = False,
) -> None:
    """Find the best sequences of optimizations.

    Each is linked for the microcontroller and executed; what is better than the rest in its score
    or in what it takes makes the front.

    The same command again continues a study that was interrupted.
    """
    from autotiny.target import load_target

    board = load_target(target)  # a misspelt name is told before anything heavy is loaded
    reading = reading_options.reading()
    from autotiny import api
    from autotiny.cache import Cache
    from autotiny.machine import cores
    from autotiny.report import console
    from autotiny.report.facts import study_facts
    from autotiny.report.live import SearchView
    from autotiny.report.summary import why_nothing
    from autotiny.study import EPOCHS, shown_place

    objectives = objective or ["latency"]
    folder = api.study_folder(model, data, board, objectives, out)
    place = shown_place(storage) if storage else folder
    kept = f"finished trials are kept in {place}; the same command continues"
    try:
        with ended_by(signal.SIGTERM), SearchView(console(stderr=True)) as view:
            result = api.search(
                model, data, board,
                out=out, objectives=objectives, space=space, trials=trials,
                timeout=timeout, seed=seed, seeds=seeds, solve=solve,
                task=task, metric=metric, score_drop=score_drop,
                accuracy_drop=None if accuracy_drop is None else accuracy_drop / 100,
                at_most=at_most, at_least=at_least, reserve=reserve,
                epochs=epochs or EPOCHS, stream=stream, storage=storage, sampler=sampler,
                jobs=cores() if jobs == 0 else jobs, warm_start=warm_start,
                reading=reading, cache=Cache(cache, on_notice=view.notice),
                on_stage=view.stage, on_trial=view, on_notice=view.notice,
            )  # fmt: skip
    except KeyboardInterrupt:
        began = storage or (folder / "study.db").exists()
        complain(f"interrupted; {kept if began else 'no trial has finished'}")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if not disk_is_full(error):
            raise
        complain(f"the disk is full; free some space: {kept}")
        raise typer.Exit(OTHER_ERROR) from None
    if as_json:
        print_json(study_facts(result))
    elif result.front:
        _show_front(result, objectives[0], folder)
    if len(result.near) > 1:  # the error tells of one
        for miss in result.near:
            console(stderr=True).print(f"nearest to {miss}")
    if result.interrupted:
        complain(f"interrupted; {kept}")
        raise typer.Exit(INTERRUPTED)
    if not result.front:
        loosen = "loosen a bound, or " if result.near else ""
        raise UserError(
            f"{why_nothing(result)}; {loosen}choose a larger target, another model or another "
            "--space"
        )


def _show_front(result: Result, objective: str, folder: Path) -> None:
    """Print the front, what is best for the first objective, and where files lie."""
    from autotiny.report import console
    from autotiny.report.facts import best_point, figures_asked
    from autotiny.report.summary import (
        agreement_text,
        front_table,
        legend,
        outputs_text,
        search_summary,
        seeds_text,
    )

    job, best = result.job, best_point(result)
    width, figures = console().width, figures_asked(result)
    print_tables(
        front_table(result.front, result.baseline, job.target, width=width, figures=figures)
    )
    print_tables(*filter(None, [legend(result)]), "")
    print_tables(*filter(None, [seeds_text(result)]), search_summary(result))
    if job.bounds.texts:
        print_tables(f"all of the front keeps: {job.bounds}")
    if best:
        print_tables(f"best for {objective}: trial {best.trial}, {best.recipe}")
        near = agreement_text(best)
        said = [outputs_text(job.data.task, best.metrics, "test")]
        said += [f"against the original: {near}"] if near else []
        print_tables(*filter(None, said))
    print_tables(f"written to {folder}: {', '.join(path.name for path in result.files)}")
