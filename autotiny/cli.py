"""The command line: each command parses, makes one library call, and prints.

`autotiny --help` must be quick, so whatever is heavy is imported inside the command that needs it.
"""

from __future__ import annotations

import errno
import logging
import sys
import warnings
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from autotiny import __version__
from autotiny.errors import AutotinyError, UserError

if TYPE_CHECKING:
    from autotiny.metrics import Cost
    from autotiny.model import Model
    from autotiny.target import Target

USER_ERROR, OTHER_ERROR, INTERRUPTED = 2, 1, 130


class Commands(TyperGroup):
    """The commands, and the one place that turns errors raised on purpose into exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what is no error of ours keeps its traceback."""
        if not sys.warnoptions:
            # of the libraries below us, in the middle of the live view; -W brings them back
            warnings.simplefilter("ignore")
            logging.getLogger().setLevel(logging.ERROR)
        try:
            return super().invoke(ctx)
        except UserError as error:
            complain(str(error))
            raise typer.Exit(USER_ERROR) from None
        except AutotinyError as error:
            complain(str(error))
            raise typer.Exit(OTHER_ERROR) from None
        except Exception as error:
            if not disk_is_full(error):
                raise
            complain("the disk is full; free some space and start the same command again")
            raise typer.Exit(OTHER_ERROR) from None
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(INTERRUPTED) from None


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error comes from a full disk, however deep a library has wrapped it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "disk is full" in str(error):  # SQLite's words; its errors carry no number
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def complain(message: str) -> None:
    """One line on stderr, red where that is a terminal."""
    # A message that quotes another library may hold line breaks; the promise is one line.
    line = f"error: {' '.join(message.split())}"
    typer.secho(line, err=True, fg=typer.colors.RED)


def print_json(value: object) -> None:
    """The only thing that a command with `--json` writes to stdout."""
    import json

    typer.echo(json.dumps(value, indent=2))


def write_json(value: object, path: Path) -> None:
    """A file of data that the user asked for."""
    import json

    try:
        path.write_text(json.dumps(value) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror}") from error


def print_tables(*tables: object) -> None:
    """Tables and lines on stdout, in the width of the terminal."""
    from autotiny.report import console

    out = console()
    for item in tables:
        out.print(item)


app = typer.Typer(
    name="autotiny",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def examples(*lines: str) -> str:
    """The end of a help text; the first character keeps the line breaks."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"autotiny {__version__}")
        raise typer.Exit


@app.callback(
    epilog=examples(
        "autotiny search --target stm32f746 --objective latency",
        "autotiny measure cnn1 --target rp2040",
        "autotiny targets",
    )
)
def autotiny(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Put a neural network on a microcontroller: search, link, execute, measure."""


def complete_target(incomplete: str) -> list[str]:
    """Names of targets, for the shell."""
    from autotiny.target import target_names

    return [name for name in target_names() if name.startswith(incomplete)]


TargetOption = Annotated[
    str,
    typer.Option(
        "--target", "-t", metavar="NAME",
        help="Microcontroller: a name that 'autotiny targets' lists, or a .toml file.",
        autocompletion=complete_target,
    ),
]  # fmt: skip


def complete_space(incomplete: str) -> list[str]:
    """Names of search spaces, for the shell."""
    from autotiny.datafile import data_folder

    names = sorted(path.stem for path in data_folder("search_spaces").glob("*.toml"))
    return [name for name in names if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Names of built-in networks, for the shell."""
    from autotiny.model import BUILTIN

    return [name for name in BUILTIN if name.startswith(incomplete)]


def complete_data(incomplete: str) -> list[str]:
    """Names of data sets, for the shell."""
    from autotiny.dataset import DATASETS

    return [name for name in DATASETS if name.startswith(incomplete)]


def complete_objective(incomplete: str) -> list[str]:
    """Names of objectives, for the shell."""
    from autotiny.study import OBJECTIVES

    return [name for name in OBJECTIVES if name.startswith(incomplete)]


def complete_component(incomplete: str) -> list[str]:
    """Names of components, for the shell."""
    from autotiny.components import COMPONENTS

    return [name for name in COMPONENTS if name.startswith(incomplete)]


ModelOption = Annotated[
    str,
    typer.Option(
        "--model", "-m", metavar="MODEL",
        help="Built-in name, .keras, .h5 or .tflite file, SavedModel folder, or "
        "package.module:function that builds an untrained network.",
        autocompletion=complete_model,
    ),
]  # fmt: skip
DataOption = Annotated[
    str,
    typer.Option(
        "--data", "-d", metavar="DATA",
        help="digits, fashion_mnist, mnist, an .npz file, a folder of IDX files, or a folder "
        "of class folders with images.",
        autocompletion=complete_data,
    ),
]  # fmt: skip
EpochsOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Upper limit of each fine-tuning.  [default: 5]"),
]


@app.command(
    epilog=examples(
        "autotiny search --target stm32f746 --objective latency",
        "autotiny search -t rp2040 -o size -o latency --trials 100 --jobs 2",
        "autotiny search -t nrf52840 -m my_model.keras -d my_images/ --timeout 3600",
        "autotiny search -t my_board.toml -m package.module:build -d samples.npz",
    )
)
def search(
    target: TargetOption,
    model: ModelOption = "cnn1",
    data: DataOption = "digits",
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            "-o",
            metavar="NAME",
            help="latency, size, sram, energy, accuracy or balanced; may be repeated. Accuracy "
            "always takes part.  [default: latency]",
            autocompletion=complete_objective,
        ),
    ] = None,
    space: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Search space: a name that 'autotiny spaces' lists, or a .toml file.",
            autocompletion=complete_space,
        ),
    ] = "default",
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Sequences to try, those of an earlier run included.  [default: 40]",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Begin no sequence after so long."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Decides everything random.")] = 0,
    accuracy_drop: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            metavar="PERCENT",
            help="Validation accuracy that the best sequence may lose against the original, in "
            "percentage points.",
        ),
    ] = 1.0,
    epochs: EpochsOption = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Optuna storage, or a journal file ending in .log.  [default: study.db in --out]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where results go.  [default: results/<study name>]"),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Processes that work on the study.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Find the best sequences of optimizations.

    Each is linked for the microcontroller and executed; what is better than the rest in accuracy or
    in what it takes makes the front.

    The same command again continues a study that was interrupted.
    """
    from autotiny.report import console
    from autotiny.target import load_target

    board = load_target(target)  # a misspelt name is told before TensorFlow is loaded
    from autotiny import study as studies
    from autotiny.cache import Cache
    from autotiny.report.files import (
        best_point,
        check_writable,
        front_table,
        legend,
        search_summary,
        study_facts,
        why_nothing,
        write_study,
    )
    from autotiny.report.live import SearchView
    from autotiny.space import load_space

    objectives = objective or ["latency"]
    studies.wanted_objectives(objectives)
    drawn = load_space(space)
    folder = out or Path("results") / studies.default_study_name(model, data, target, objectives)
    check_writable(folder)
    kept = f"finished trials are kept in {storage or folder}; the same command continues"
    cache = Cache()
    try:
        with SearchView(console(stderr=True)) as view:
            view.stage(f"loading {model} and {data}; an untrained network is trained first")
            network, samples = studies.load_pair(model, data, seed=seed, cache=cache)
            view.stage("searching")
            result = studies.search(
                network, samples, board,
                out=folder, objectives=objectives, space=drawn, timeout=timeout, seed=seed,
                trials=trials or studies.TRIALS, epochs=epochs or studies.EPOCHS,
                accuracy_drop=accuracy_drop / 100, storage=storage, jobs=jobs, cache=cache,
                on_trial=view, on_notice=view.notice,
            )  # fmt: skip
            view.stage("writing results")
            paths = write_study(result, folder)
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
        best = best_point(result)
        width = console().width
        print_tables(front_table(result.front, result.baseline, width=width))
        print_tables(*filter(None, [legend(result)]), "")
        print_tables(search_summary(result))
        if best:
            print_tables(f"best for {objectives[0]}: trial {best.trial}, {best.recipe}")
        print_tables(f"written to {folder}: {', '.join(path.name for path in paths)}")
    if result.interrupted:
        complain(f"interrupted; {kept}")
        raise typer.Exit(INTERRUPTED)
    if not result.front:
        raise UserError(
            f"{why_nothing(result)}; choose a larger target, another model or another --space"
        )


@app.command(
    epilog=examples(
        "autotiny apply results/cnn1-digits-stm32f746-latency/best.json",
        "autotiny apply best.json --out firmware/ --json",
    )
)
def apply(
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

    read_recipe(recipe)  # a broken file is told before TensorFlow is loaded
    from autotiny import report, study
    from autotiny.target import load_target

    folder = out or recipe.with_suffix("")
    with report.console(stderr=True).status(f"applying {recipe}"):
        applied = study.apply_recipe(recipe, folder)
    board = load_target(applied.saved.target)
    if as_json:
        print_json(
            {
                "recipe": str(recipe),
                "sequence": str(applied.saved.recipe),
                "target": applied.saved.target,
                "out": str(folder),
                "runtimes": list(applied.runtimes),
                "differences": {
                    name: {"recorded": recorded, "now": now}
                    for name, (recorded, now) in applied.differences.items()
                },
                **applied.metrics.to_dict(),
            }
        )
        return
    metrics = applied.metrics
    print_tables(f"{applied.saved.recipe} on {board.title}", "")
    print_tables(report.cost_table(metrics.cost, board), "")
    print_tables(f"accuracy: {100 * metrics.accuracy_validation:.2f} % on validation, "
                 f"{100 * (metrics.accuracy_test or 0):.2f} % on test")  # fmt: skip
    if metrics.at_chance:
        print_tables(report.CHANCE_TEXT)
    for name, (recorded, now) in applied.differences.items():
        print_tables(f"{name}: recorded {recorded}, now {now}")
    if not applied.differences:
        print_tables("every figure is the recorded one")
    print_tables(f"written to {folder}: model.tflite, firmware.elf, c/")


@app.command(
    epilog=examples(
        "autotiny order 'prune_channels(ratio=0.5)' 'prune_magnitude(sparsity=0.8)' -t stm32f746",
        "autotiny order quantize_aware cluster_weights -t rp2040 -d fashion_mnist --seeds 3",
        "autotiny order block_gemm use_winograd -t nrf52840 --before int8 --behind fuse_operators",
    )
)
def order(
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

    board = load_target(target)  # a misspelt name is told before TensorFlow is loaded
    from autotiny.recipe import steps_from_text

    pair = [steps_from_text(text) for text in (first, second)]
    if any(len(steps) != 1 for steps in pair):
        raise UserError(f"A is {first!r} and B is {second!r}; each must be one component")
    around = [text if text is None else steps_from_text(text) for text in (before, behind)]
    from autotiny import study
    from autotiny.report import console, ordering
    from autotiny.report.live import counting

    try:
        with counting(console(stderr=True)) as tell:
            found = study.compare_orders(
                pair[0][0], pair[1][0], board, study.Originals.named(model, data),
                before=around[0], behind=around[1], seeds=seeds or study.SEEDS,
                epochs=epochs or study.EPOCHS, on_stage=tell,
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


class Schedule(str, Enum):
    """How the engine computes a network."""

    fastest = "fastest"
    smallest = "smallest"
    balanced = "balanced"


ScheduleOption = Annotated[
    Schedule,
    typer.Option(
        metavar="STYLE",
        help="What kernels and memory plan are chosen for: fastest, smallest or balanced.",
    ),
]
MODEL_HELP = (
    "Built-in name, .tflite, .keras or .h5 file, SavedModel folder, or package.module:function."
)
SeedOption = Annotated[
    int, typer.Option(min=0, metavar="N", help="Of initial weights and calibration noise.")
]
LoweringOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="How a network that is no .tflite yet is lowered."),
]


def lowered(name: str, lowering: str, style: Schedule, target: Target, seed: int) -> Model:
    """A network by name or recipe, with its schedule; lowered on seeded noise if need be."""
    from autotiny.cache import Cache
    from autotiny.recipe import Recipe, component_named, read_recipe

    step = component_named(lowering)()  # a misspelt name is told before TensorFlow is loaded
    saved = read_recipe(name) if name.endswith(".json") else None
    from autotiny import study
    from autotiny.components import Work
    from autotiny.dataset import synthetic
    from autotiny.engine import check_supported, schedule_for
    from autotiny.model import Level, Program, load_model
    from autotiny.recipe import apply as apply_recipe

    if saved:
        model, _ = study.rebuilt(saved, Cache())
        if model.level is Level.PROGRAM:
            return model  # the recipe holds a schedule of its own
    else:
        model = load_model(name, seed=seed)
    if model.level in (Level.KERAS, Level.GRAPH):
        work = Work(data=synthetic(model, seed), seed=seed)
        model = apply_recipe(Recipe((step,)), model, work, Cache()).model
    graph = model.graph
    check_supported(graph)
    schedule = schedule_for(graph, style.value, dsp=target.dsp)
    program = Program(graph, schedule)
    return Model(Level.PROGRAM, program, model.fingerprint, model.notes, model.traits)


@app.command(
    epilog=examples(
        "autotiny measure cnn1 --target stm32f746",
        "autotiny measure ds_cnn -t rp2040 --schedule smallest",
        "autotiny measure my_model.tflite -t my_board.toml --json",
        "autotiny measure my_model.keras -t nrf52840 --lowering int16x8 --profile",
        "autotiny measure firmware.elf -t stm32l4r5 --function infer",
    )
)
def measure(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help=f"{MODEL_HELP} Or a recipe (.json), or any firmware (.elf).",
            autocompletion=complete_model,
        ),
    ],
    target: TargetOption,
    schedule: ScheduleOption = Schedule.fastest,
    lowering: LoweringOption = "int8",
    seed: SeedOption = 0,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Also by function, with what the core waited for."),
    ] = False,
    speedscope: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a flame graph for speedscope.app."),
    ] = None,
    function: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of an ELF: measure one call of this.")
    ] = None,
    symbol: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of an ELF, given twice: measure from here to there."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Link a network, execute it, print what it takes.

    A network that is no .tflite yet is lowered with seeded noise for calibration: good for its
    flash, SRAM and cycles, which hardly depend on the weights.
    """
    from autotiny.target import load_target

    board = load_target(target)
    if model.endswith(".elf"):
        measure_firmware(model, board, function, symbol or [], speedscope, as_json)
        return
    if function or symbol:
        raise UserError(f"--function and --symbol are for an .elf file; {model!r} is none")
    from autotiny import report
    from autotiny.cache import Cache
    from autotiny.emulator import link
    from autotiny.emulator import profile as profiled
    from autotiny.evaluate import cost, sources_of

    found = None
    with report.console(stderr=True).status(f"measuring {model} on {board.name}"):
        network = lowered(model, lowering, schedule, board, seed)
        taken = cost(network, board, Cache())
        if profile or speedscope:
            found = profiled(link(sources_of(network), board), board)
    facts: dict[str, Any] = {"model": model, "target": board.name, "schedule": schedule.value}
    if found and profile:
        facts["profile"] = found.to_dict()
    if found and speedscope:
        write_json(found.speedscope(), speedscope)
    if as_json:
        print_json({**facts, **taken.to_dict()})
        return
    print_tables(f"{model} on {board.title}, schedule {schedule.value}", "")
    print_cost(taken, board)
    if found and profile:
        print_tables("", report.stall_table(found.steps, "step"))
        print_tables("", report.stall_table(found.functions, "function"))


def print_cost(taken: Cost, board: Target) -> None:
    """What a firmware takes of a target, whether it fits, and its layers."""
    from autotiny import report
    from autotiny.metrics import missing, overshoot

    print_tables(report.cost_table(taken, board), "")
    if misses := missing(overshoot(taken, board)):
        print_tables(f"does not fit {board.name}: misses by {' and '.join(misses)}", "")
    print_tables(report.layer_table(taken))


def measure_firmware(
    path: str, board: Target, function: str | None, symbols: list[str], flames: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Measure any ELF between two of its symbols, or one call of a function."""
    from autotiny import report
    from autotiny.emulator import measure_elf

    if len(symbols) not in (0, 2):
        raise UserError(
            f"--symbol stands there {len(symbols)} time(s); give it twice: where to start, "
            "and where to stop"
        )
    start, stop = symbols or (None, None)
    with report.console(stderr=True).status(f"measuring {path} on {board.name}"):
        found = measure_elf(path, board, start=start, stop=stop, function=function)
    if flames:
        write_json(found.speedscope(), flames)
    if as_json:
        print_json(found.to_dict())
        return
    print_tables(f"{path} on {board.title}: {found.steps[0].name}", "")
    print_tables(report.profile_table(found), "", report.stall_table(found.functions, "function"))


@app.command(
    "compile",
    epilog=examples(
        "autotiny compile my_model.tflite --target stm32f746 --out firmware/",
        "autotiny compile best.json -t stm32f746 --out project/ --project",
        "autotiny compile cnn1 -t rp2040 --schedule smallest --out cnn1_c/ --json",
    ),
)
def compile_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help=f"{MODEL_HELP} Or a recipe (.json).",
            autocompletion=complete_model,
        ),
    ],
    target: TargetOption,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder that the C goes into.")],
    schedule: ScheduleOption = Schedule.fastest,
    lowering: LoweringOption = "int8",
    seed: SeedOption = 0,
    project: Annotated[
        bool,
        typer.Option(
            "--project", help="Also start-up code, linker script, Makefile, ELF: ready to flash."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a network as C, and measure it.

    The folder holds model.h, model.c, weights.c and the kernel headers they use, nothing else
    without --project.
    """
    from autotiny.target import load_target

    board = load_target(target)
    from autotiny import report
    from autotiny.cache import Cache
    from autotiny.emulator import link
    from autotiny.evaluate import cost, sources_of
    from autotiny.export import export_project

    with report.console(stderr=True).status(f"compiling {model} for {board.name}"):
        network = lowered(model, lowering, schedule, board, seed)
        sources = sources_of(network)
        out.mkdir(parents=True, exist_ok=True)
        taken = cost(network, board, Cache())
        files = sorted(sources.files)
        if project:
            written = export_project(sources, link(sources, board), board, out, cost=taken)
            files = sorted(str(path.relative_to(out.resolve())) for path in written)
        else:
            for name, text in sources.files.items():
                (out / name).write_text(text, encoding="utf-8")
    facts = {
        "model": model,
        "target": board.name,
        "schedule": schedule.value,
        "out": str(out),
        "files": files,
    }
    if as_json:
        print_json({**facts, **taken.to_dict()})
        return
    print_tables(f"{model} on {board.title}, schedule {schedule.value}", "")
    print_cost(taken, board)
    print_tables("", f"written to {out}: {', '.join(files)}")


@app.command(
    epilog=examples(
        "autotiny targets", "autotiny targets stm32f746", "autotiny targets my_board.toml --json"
    )
)
def targets(
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
    from dataclasses import asdict

    from autotiny.target import load_target, target_names

    found = [load_target(entry) for entry in ([name] if name else target_names())]
    if as_json:
        print_json([asdict(target) for target in found])
        return
    from autotiny import report

    print_tables(report.target_table(found))
    if name:
        print_tables("", report.memory_table(found[0]), "", report.source_table(found[0]))
        print_tables(f"\nflash it with: {found[0].flash_tool}")


@app.command(
    epilog=examples(
        "autotiny components", "autotiny components prune_magnitude", "autotiny components --json"
    )
)
def components(
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

    kinds = [component_named(name)] if name else COMPONENTS.values()
    found = [catalogue.component_facts(kind) for kind in kinds]
    if as_json:
        print_json(found)
        return
    print_tables(catalogue.component_table(found, width=console().width))
    if name:
        if found[0]["parameters"]:
            print_tables("", catalogue.parameter_table(found[0]))
        print_tables("", *catalogue.component_notes(found[0]))


@app.command(
    epilog=examples(
        "autotiny spaces", "autotiny spaces default", "autotiny spaces my_space.toml --json"
    )
)
def spaces(
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

    found = [load_space(entry) for entry in ([name] if name else space_names())]
    if as_json:
        print_json([catalogue.space_facts(space) for space in found])
        return
    print_tables(catalogue.space_table(found))
    if name:
        print_tables("", catalogue.range_table(found[0]), "", catalogue.first_table(found[0]))


@app.command(
    epilog=examples(
        "autotiny dashboard results/cnn1-digits-stm32f746-latency",
        "autotiny dashboard sqlite:///study.db --port 9000",
    )
)
def dashboard(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="Folder of a search, file study.db, journal file, or storage URL.",
        ),
    ],
    port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="N", help="Port on 127.0.0.1.")
    ] = 8080,
) -> None:
    """Show a study in the browser (optuna-dashboard)."""
    from autotiny.report.dashboard import serve

    serve(study, port, lambda url: typer.echo(f"{url} (Ctrl-C ends it)"))


def main() -> None:
    """The console script."""
    app(prog_name="autotiny")


if __name__ == "__main__":
    main()
