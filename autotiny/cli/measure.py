"""`autotiny measure`: what a network or any firmware takes of a target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from autotiny.cli.printing import (
    noticed,
    print_cost,
    print_json,
    print_latency_error,
    print_tables,
    staged,
    write_json,
)
from autotiny.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autotiny.simulator import Profile
    from autotiny.target import Target

EXAMPLES = (
    "autotiny measure cnn1 --target stm32f746",
    "autotiny measure ds_cnn -t rp2040 --schedule smallest",
    "autotiny measure my_model.keras -t stm32f746 --data samples.npz",
    "autotiny measure my_model.tflite -t my_board.toml --json",
    "autotiny measure my_model.keras -t nrf52840 --lowering int16x8 --profile",
    "autotiny measure words.keras -t stm32f746 --data words/ --stream hop=20ms",
    "autotiny measure firmware.elf -t stm32l4r5 --function infer --repeat 2",
    "autotiny measure firmware.bin -t stm32l4r5 --function 0x0800_1234",
)


@with_reading_options
def run(
    *,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help=f"{MODEL_HELP} Or a recipe (.json), or any firmware (.elf, .axf, .bin, .hex).",
            autocompletion=complete_model,
        ),
    ],
    target: TargetOption,
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
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Also by function, with what the core waited for."),
    ] = False,
    speedscope: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a flame graph for speedscope.app."),
    ] = None,
    function: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Of a firmware: measure one call of this symbol or address.",
        ),
    ] = None,
    symbol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE",
            help="Of a firmware, given twice: measure from this symbol or address to that.",
        ),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Of a .bin: where its first byte lies.  [default: flash]"
        ),
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Of a firmware: measure the N-th call or pass; those before it warm the caches.  "
            "[default: 1; 2 for autotiny's own]",
        ),
    ] = None,
    wait_states: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Wait states of the flash, as at another clock.  [default: the target's]",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Link a network, execute it, print what it takes.

    Without --data, a network that is no .tflite yet is lowered with seeded noise for calibration:
    good for its flash, SRAM and cycles, which hardly depend on the weights.
    """
    from autotiny.target import load_target

    board = load_target(target)  # a misspelt name is told before anything heavy is loaded
    reading = reading_options.reading()
    from autotiny import api, report

    status = report.working(f"measuring {model} on {board.name}")
    if api.is_firmware(model):
        between = pair_of(symbol or [])
        with status:
            profiled = api.measure_elf(
                model, board,
                function=function, between=between, origin=origin, repeat=repeat,
                wait_states=wait_states,
            )  # fmt: skip
        print_profile(model, board, profiled, wait_states, speedscope, as_json)
        return
    refuse_of_firmware(
        model, {"function": function, "symbol": symbol, "origin": origin, "repeat": repeat}
    )
    with status:
        found = api.measure(
            model, board,
            schedule=schedule, lowering=lowering, seed=seed,
            profile=profile or speedscope is not None, wait_states=wait_states,
            data=data, task=task, reading=reading, calibration=calibration,
            keep_constant_channels=keep_constant_channels, stream=stream,
            reserve=reserve,
            on_stage=staged(status), on_notice=noticed(status),
        )  # fmt: skip
    if found.profile and speedscope:
        write_json(found.profile.speedscope(), speedscope)
    if not profile:
        found = replace(found, profile=None)
    if as_json:
        print_json(found.to_dict())
        return
    print_cost(found)
    print_wait_states(board, wait_states)
    if found.profile:
        print_tables("", report.stall_table(found.profile.steps, "step"))
        print_tables("", report.stall_table(found.profile.functions, "function"))


def refuse_of_firmware(model: str, given: Mapping[str, object]) -> None:
    """Refuse options that a network has no use for."""
    from autotiny.simulator import FIRMWARE_ENDINGS

    for name, value in given.items():
        if value is not None and value != []:
            why = ", and a network is measured with warm caches anyway" if name == "repeat" else ""
            raise UserError(
                f"--{name} is for a firmware ({', '.join(FIRMWARE_ENDINGS)}), and {model!r} is "
                f"none{why}; leave it out"
            )


def pair_of(symbols: list[str]) -> tuple[str, str] | None:
    """What stands between two symbols; None where none is given."""
    if len(symbols) not in (0, 2):
        raise UserError(
            f"--symbol stands there {len(symbols)} time(s); give it twice: where to start, "
            "and where to stop"
        )
    return (symbols[0], symbols[1]) if symbols else None


def print_wait_states(board: Target, asked: int | None) -> None:
    """What figures are for, where wait states were asked for."""
    if asked is not None:
        print_tables(
            f"for {asked} wait states of the flash, where {board.name} has "
            f"{board.flash.wait_states}; times and energy are still those of "
            f"{board.clock_hz / 1e6:g} MHz",
            "",
        )


def print_profile(
    path: str,
    board: Target,
    found: Profile,
    wait_states: int | None,
    flames: Path | None,
    as_json: bool,
) -> None:
    """What a firmware took, by function."""
    from autotiny import report

    if flames:
        write_json(found.speedscope(), flames)
    if as_json:
        error = {"active_current_error_percent": board.active_current_error_percent}
        print_json(found.to_dict() | error)
        return
    print_tables(f"{path} on {board.title}: {found.steps[0].name}", "")
    print_wait_states(board, wait_states)
    print_tables(
        report.profile_table(found, board), "", report.stall_table(found.functions, "function")
    )
    print_latency_error(board)
