"""The files of a lowered model: `.tflite`, C, and a project that is ready to flash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autotiny.datafile import write_whole
from autotiny.dataset import Dataset
from autotiny.engine import Sources
from autotiny.errors import NoRoom
from autotiny.evaluate.program import program_of, sources_of
from autotiny.evaluate.score import stored_rows
from autotiny.firmware import export_project, link_board, link_selftest
from autotiny.firmware.folder import write_files
from autotiny.firmware.ports import some_rows
from autotiny.firmware.project import GENERATED
from autotiny.firmware.selftest import MOST_SAMPLES
from autotiny.graph import Array, Threshold
from autotiny.metrics import Cost
from autotiny.model import Model
from autotiny.signal import Stream
from autotiny.simulator import measured_firmware
from autotiny.target import Target
from autotiny.tflite import write_tflite


def write_build(
    model: Model, target: Target, cost: Cost, folder: Path, *, samples: Dataset | None = None,
    comment: str = "", threshold: Threshold = None, stream: Stream | None = None,
    class_names: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write `model.tflite` and the project of a lowered model whose cost was measured.

    Where the target has no room for it, C and ELF alone.

    Args:
        model: lowered.
        target: the microcontroller.
        cost: what the firmware takes.
        folder: where to.
        samples: what the project's selftest takes its inputs from; None for noise.
        comment: lines for the head of the generated files.
        threshold: from which output on the answer is yes; a macro of the header.
        stream: what C and ELF take in place of whole windows.
        class_names: in the order of the outputs; a macro of the header.
    """
    sources = sources_of(
        model, comment=comment, threshold=threshold, stream=stream, class_names=class_names
    )
    try:
        write_project(sources, target, cost, folder, samples)
    except NoRoom:
        files = {f"src/{name}": text.encode() for name, text in sources.files.items()}
        files["firmware.elf"] = measured_firmware(sources, target, cost).elf
        write_files(files, folder, GENERATED)
    write_whole(folder / "model.tflite", write_tflite(program_of(model).graph))


def write_project(
    sources: Sources, target: Target, cost: Cost, folder: Path, samples: Dataset | None
) -> list[Path]:
    """Write what is ready to flash, as `export_project` does; its files.

    Raises:
        NoRoom: the target has none for it.
        UserError: a link leads out of the folder.
    """
    firmware = measured_firmware(sources, target, cost)
    tested = link_selftest(sources, firmware, target, cost, _rows(sources, samples))
    started = link_board(sources, firmware, target, cost)
    return export_project(
        sources, started, target, folder, cost=cost, measured=firmware, tested=tested
    )


def _rows(sources: Sources, samples: Dataset | None) -> list[Array]:
    """What a selftest runs on: samples that nothing was trained on, or noise."""
    if samples is None or not len(samples.x_validation):
        return some_rows(sources.inputs, MOST_SAMPLES)
    rows = samples.x_validation
    if sources.hearing is not None:
        values = int(np.prod(sources.inputs[0].shape))
        rows = rows[0].reshape(-1)
        rows = rows[: len(rows) // values * values].reshape(-1, values)
    return stored_rows(rows[:MOST_SAMPLES], sources.inputs)
