"""Write a network as C, and measure it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from autotiny.api.given import TargetSource, asked_of, reading_of, target_of
from autotiny.api.lowering import BEST, NOISE, REFUSED, Given, heard_by, scheduled
from autotiny.api.notices import say_all, tell_of
from autotiny.api.taken import Taken
from autotiny.cache import Cache
from autotiny.checked import arguments
from autotiny.dataset import Dataset, DataSource, Reading
from autotiny.engine import Raw, Sources, State, check_name
from autotiny.errors import UserError
from autotiny.evaluate import MODEL, cost, sources_of, write_project
from autotiny.firmware import check_layout, library, write_files
from autotiny.firmware.board import check_board
from autotiny.metrics import Cost, missing, overshoot
from autotiny.report.files import check_writable
from autotiny.solver import wish_from
from autotiny.study import Amounts, comment_of, model_name, reserved, threshold_of
from autotiny.target import Target

NOISE_COMMENT = "Calibrated with noise: sizes and cycles hold, accuracy does not."


@dataclass(frozen=True)
class Compiled(Taken):
    """The C of a network, and what it takes of a target.

    Attributes:
        folder: where the files lie.
        files: their paths inside the folder, sorted.
    """

    folder: Path
    files: tuple[str, ...]

    def _more(self) -> dict[str, object]:
        return {"out": str(self.folder), "files": list(self.files)}


def compile(  # noqa: A001 - the command's name
    model: object,
    target: TargetSource,
    out: Path | str,
    *,
    name: str = MODEL,
    state: State = "static",
    schedule: str = "fastest",
    lowering: str = "int8",
    seed: int = 0,
    data: DataSource | None = None,
    task: str | None = None,
    scale: str | float | None = None,
    resize: str | tuple[int, int] | None = None,
    reading: Reading | None = None,
    calibration: str | None = None,
    keep_constant_channels: bool = False,
    project: bool = False,
    layout: str | None = None,
    stream: str | None = None,
    reserve: Amounts | None = None,
    cache: Cache | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Compiled:
    """Write a network as C, and measure it.

    Args:
        model: as `load_model` takes it, or the path of a recipe (`.json`).
        target: the microcontroller: a name, the path of a `.toml` file, or one that was loaded.
        out: folder that the C goes into.
        name: of files, functions and macros, so that a program can hold several models; a C
            identifier.
        state: whose memory the C writes to: its own, "static"; or its "caller"'s, for several
            instances of a model, or one in memory of the caller's choice.
        schedule: what kernels and memory plan are chosen for: "fastest", "smallest", "balanced"; or
            "best", for the target's memory or under bounds: "best:flash=40K,sram=12K".
        lowering: the component that lowers a network that is no `.tflite` yet.
        seed: of initial weights and calibration noise.
        data: samples that an integer lowering calibrates with, as `load_dataset` takes them; an
            untrained network is trained on them.
        task: what the network is asked to do, one of `autotiny.tasks.TASKS`; by default what it and
            the targets tell, which is said.
        scale: what stored inputs are multiplied by: "none", a number, a fraction as "1/255"; by
            default bytes are divided by 255, floats are taken as they are, and what else could
            mean two things is refused.
        resize: height and width that a folder of images is brought to, as (96, 96) or "96x96".
        reading: in place of both, with columns, windows and rates of tables and sounds.
        calibration: "noise" calibrates with seeded noise: sizes and cycles hold, accuracy does not.
        keep_constant_channels: leave out `remove_constant_channels`, which changes no output; a
            recipe says by itself whether it is part of it, and with noise it would remove what only
            noise does not reach.
        project: also write start-up code, linker script, Makefile and ELF: ready to flash.
        layout: in place of the C alone, a library in the form that a framework takes: "arduino",
            "platformio", "pico-sdk", "zephyr", "esp-idf" or "cmsis-pack".
        stream: C that listens without end, as `measure` takes it.
        reserve: what of the target belongs to other programs, as `search` takes it; it is told
            whether the firmware fits beside them.
        cache: where results are kept; by default the user's cache folder.
        on_stage: called now and then with what is executed, in words.
        on_notice: called with what the user should read before the firmware is executed.

    Raises:
        UserError: there is no such model, target or layout, an op that the engine lacks, a
            folder that cannot be written, or nothing to calibrate with.
        FirmwareFault: the firmware faults or does not end.
    """
    seed = arguments(seed=seed)["seed"]
    check_name(name, state)
    if layout is not None:
        _check(layout, name, project)
    board, folder, cache = target_of(target), Path(out).expanduser(), cache or Cache()
    check_writable(folder)
    asked, kept = asked_of(stream), reserved(board, reserve)
    given = Given(
        model=model, lowering=lowering, seed=seed, data=data,
        reading=reading_of(scale, resize, reading), task=task, calibration=calibration or REFUSED,
        keep_constant_channels=keep_constant_channels, stream=asked, cache=cache,
        on_stage=on_stage, on_notice=on_notice,
    )  # fmt: skip
    lowered, style = scheduled(given, schedule, board)
    network, heard = lowered.network, heard_by(lowered.network, given)
    saved = lowered.recipe
    comment = NOISE_COMMENT if lowered.calibration == NOISE else ""
    sources = sources_of(
        network, name=name, comment=comment_of(saved) if saved else comment, stream=heard,
        threshold=threshold_of(saved) if saved else None, class_names=lowered.class_names,
        state=state, raw=_raw(None if saved else lowered.data),
    )  # fmt: skip
    tell = tell_of(board, on_stage, on_notice)
    if project:
        check_board(board)
        tell = replace(tell, misfit=partial(_refuse, board))
    taken = cost(network, board, cache, tell, heard, name, state)
    if state == "caller" and style.partition(":")[0] == BEST:
        say_all(_past(style, taken), on_notice)
    if project:
        _refuse(board, missing(overshoot(kept.beside(taken), board)), kept.beside_text)
    folder.mkdir(parents=True, exist_ok=True)
    if project:
        written = write_project(sources, board, taken, folder, lowered.samples())
        files = tuple(sorted(str(path.relative_to(folder)) for path in written))
    elif layout is not None:
        texts = library(sources, layout, board, taken)
        write_files({file: text.encode() for file, text in texts.items()}, folder)
        files = tuple(sorted(texts))
    else:
        files = _c_alone(sources, folder)
    return Compiled(
        model_name(model), board, style, taken, lowered.calibration, lowered.constant_channels,
        kept, folder, files,
    )  # fmt: skip


def _check(layout: str, name: str, project: bool) -> None:
    """Refuse a library that cannot be written, before anything is computed."""
    check_layout(layout, name)
    if project:
        raise UserError(
            f"layout {layout!r} is a library for a program that you have, and a project is a "
            "program of its own; take --layout or --project"
        )


_RAW = ("uint8", "int8", "uint16", "int16")
"""Types of samples that are divided in float32, as C can."""


def _raw(data: Dataset | None) -> tuple[Raw | None, ...]:
    """What inputs were before training, where that is known; nothing of what front ends made."""
    if data is None or data.front is not None or data.origin is not None:
        return ()
    several = tuple(port.inputs for port in data.ports) or (data.inputs,)
    return tuple(
        Raw(one.type, 1 / one.factor) if one is not None and one.type in _RAW else None
        for one in several
    )


def _past(schedule: str, taken: Cost) -> list[str]:
    """What a solved schedule takes beyond its bounds, as it is solved for static state."""
    wish = wish_from(schedule)
    excess = {
        "flash": taken.flash_bytes - (wish.flash_bytes or taken.flash_bytes),
        "sram": taken.sram_bytes - (wish.sram_bytes or taken.sram_bytes),
    }
    lacking = " and ".join(missing(excess))
    told = f"schedule {schedule!r} keeps its bounds with static state, and with that of a caller"
    return [f"{told} misses them by {lacking}: ask for so much less"] if lacking else []


def _refuse(board: Target, misses: Sequence[str], beside: str = "") -> None:
    """Refuse a project that the target lacks something for."""
    if misses:
        raise UserError(
            f"the firmware does not fit {board.name}{beside}: misses by {' and '.join(misses)}; "
            "choose a smaller network or sequence, or leave --project out for the C alone"
        )


def _c_alone(sources: Sources, folder: Path) -> tuple[str, ...]:
    """Write the C; the names of its files, sorted."""
    for name, text in sources.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return tuple(sorted(sources.files))
