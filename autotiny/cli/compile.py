"""`autotiny compile`: a network as C."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from autotiny.cli.options import (
    MODEL_HELP,
    CalibrationOption,
    Json,
    KeepConstantChannelsOption,
    LoweringOption,
    OwnDataOption,
    ReadingOptions,
    ReserveOption,
    ScheduleOption,
    SeedOption,
    StreamOption,
    TargetOption,
    TaskOption,
    complete_model,
    with_reading_options,
)
from autotiny.cli.printing import noticed, print_cost, print_json, print_tables, staged

if TYPE_CHECKING:
    from autotiny.engine import State

EXAMPLES = (
    "autotiny compile my_model.tflite --target stm32f746 --out firmware/",
    "autotiny compile my_model.keras -t stm32f746 --data samples.npz --out firmware/",
    "autotiny compile best.json -t stm32f746 --out project/ --project",
    "autotiny compile words.tflite -t rp2040 --name words --out words/ --json",
    "autotiny compile words.tflite -t rp2040 --name words --out words/ --layout arduino",
    "autotiny compile words.tflite -t nrf52840 --name words --out words/ --state caller",
)


@with_reading_options
def run(
    *,
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
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Name of files, functions and macros: a program can hold several models.",
        ),
    ] = "model",
    state: Annotated[
        str,
        typer.Option(
            metavar="OWNER",
            help="Whose memory the C writes to: static, its own; or its caller's, a NAME_t that "
            "each function is given, so that there can be several, in memory of your choice.",
        ),
    ] = "static",
    schedule: ScheduleOption = "fastest",
    lowering: LoweringOption = "int8",
    seed: SeedOption = 0,
    data: OwnDataOption = None,
    task: TaskOption = None,
    reading_options: ReadingOptions,
    stream: StreamOption = None,
    reserve: ReserveOption = None,
    calibration: CalibrationOption = None,
    keep_constant_channels: KeepConstantChannelsOption = False,
    project: Annotated[
        bool,
        typer.Option(
            "--project",
            help="Also start-up code, linker script, Makefile, CMake, ELF: ready to flash.",
        ),
    ] = False,
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A library for a framework: arduino, platformio, pico-sdk, zephyr, esp-idf or "
            "cmsis-pack.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a network as C, and measure it.

    An integer lowering of a network that is no .tflite yet finds its ranges with --data.

    The folder holds model.h, model.c, weights.c and the kernel headers they use, nothing else
    without --project or --layout; with --name words, words.h, words.c and words_weights.c.
    """
    from autotiny.target import load_target

    board = load_target(target)  # a misspelt name is told before anything heavy is loaded
    reading = reading_options.reading()
    from autotiny import api, report

    with report.working(f"compiling {model} for {board.name}") as status:
        compiled = api.compile(
            model, board, out, name=name, state=cast("State", state),
            schedule=schedule, lowering=lowering, seed=seed, project=project, layout=layout,
            data=data, task=task, reading=reading, calibration=calibration,
            keep_constant_channels=keep_constant_channels, stream=stream,
            reserve=reserve,
            on_stage=staged(status), on_notice=noticed(status),
        )  # fmt: skip
    if as_json:
        print_json(compiled.to_dict())
        return
    print_cost(compiled)
    print_tables("", f"written to {out}: {', '.join(compiled.files)}")
