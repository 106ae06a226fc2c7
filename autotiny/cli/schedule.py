"""`autotiny schedule`: which kernel computes each layer, solved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autotiny.cli.options import (
    MODEL_HELP,
    CalibrationOption,
    Json,
    KeepConstantChannelsOption,
    LoweringOption,
    OwnDataOption,
    ReadingOptions,
    SeedOption,
    TargetOption,
    TaskOption,
    complete_model,
    with_reading_options,
)
from autotiny.cli.printing import (
    noticed,
    print_json,
    print_latency_error,
    print_tables,
    staged,
    write_json,
    write_text,
)
from autotiny.errors import UserError

EXAMPLES = (
    "autotiny schedule cnn1 --target stm32f746",
    "autotiny schedule my_model.tflite -t rp2040 --bounds best:flash=40K,sram=12K",
    "autotiny schedule ds_cnn -t stm32l4r5 --point 3 --plot front.svg",
    "autotiny measure ds_cnn -t stm32l4r5 --schedule best:sram=12K",
)


@with_reading_options
def run(
    *,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help=MODEL_HELP, autocompletion=complete_model),
    ],
    target: TargetOption,
    bounds: Annotated[
        str,
        typer.Option(
            metavar="BOUNDS", help="What the firmware may take, e.g. best:flash=40K,sram=12K."
        ),
    ] = "best",
    points: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Schedules of the front, at most.")
    ] = 64,
    patches: Annotated[
        int,
        typer.Option(
            min=0,
            max=12,
            metavar="N",
            help="Plans of regions in stripes that are solved, too, at most, for less SRAM.",
        ),
    ] = 0,
    point: Annotated[
        int, typer.Option(min=1, metavar="N", help="Whose layers are shown; 1 is the fastest.")
    ] = 1,
    lowering: LoweringOption = "int8",
    seed: SeedOption = 0,
    data: OwnDataOption = None,
    task: TaskOption = None,
    reading_options: ReadingOptions,
    calibration: CalibrationOption = None,
    keep_constant_channels: KeepConstantChannelsOption = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the front as a picture, .svg.")
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write everything as JSON, the layers of all points."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Solve which kernel computes each layer, where its weights lie, and how they are stored.

    No schedule changes a result. All ways to compute each layer are measured on the target, and
    the best choice is solved for many bounds on flash and SRAM: the front. Its points are linked
    and executed; "off" says how far the prediction was from that. The cache keeps what was
    measured, for other networks with such layers, too.
    """
    from autotiny.target import load_target

    board = load_target(target)  # a misspelt name is told before anything heavy is loaded
    reading = reading_options.reading()
    from autotiny import api, report
    from autotiny.report.schedules import front_svg, front_table, reason_table

    with report.working(f"scheduling {model} for {board.name}") as status:
        found = api.schedule(
            model, board,
            bounds=bounds, points=points, patches=patches, lowering=lowering, seed=seed, data=data,
            task=task, reading=reading, calibration=calibration,
            keep_constant_channels=keep_constant_channels,
            on_stage=staged(status), on_notice=noticed(status),
        )  # fmt: skip
    if point > len(found.points):
        raise UserError(f"--point {point}: the front has {len(found.points)} point(s)")
    if json_file:
        write_json(found.to_dict(), json_file)
    title = f"{found.model} on {board.title}"
    if plot:
        write_text(front_svg(found.points, title), plot)
    if as_json:
        print_json(found.to_dict())
        return
    print_tables(f"{title}, {len(found.points)} schedules", "", front_table(found.points), "")
    print_latency_error(board)
    print_tables(
        f"point {point}", "", reason_table(found.reasons[point - 1], report.console().width)
    )
