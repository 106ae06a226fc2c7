"""The files of a lowered model: C, ELF and `.tflite`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autotiny.datafile import write_whole
from autotiny.engine import Sources
from autotiny.evaluate.program import program_of, sources_of
from autotiny.firmware import Firmware
from autotiny.graph import Threshold
from autotiny.metrics import Cost
from autotiny.model import Model
from autotiny.signal import Stream
from autotiny.simulator import measured_firmware
from autotiny.target import Target
from autotiny.tflite import write_tflite


@dataclass(frozen=True)
class Build:
    """The files of a lowered model, the same bytes every time.

    Attributes:
        sources: the C.
        firmware: the linked ELF.
        tflite: the FlatBuffer.
    """

    sources: Sources
    firmware: Firmware
    tflite: bytes


def build(
    model: Model, target: Target, cost: Cost, *, comment: str = "", threshold: Threshold = None,
    stream: Stream | None = None, class_names: Sequence[str] = (),
) -> Build:  # fmt: skip
    """C, ELF and `.tflite` of a lowered model whose cost was measured.

    Args:
        model: lowered.
        target: the microcontroller.
        cost: what the firmware takes.
        comment: lines for the head of the generated files.
        threshold: from which output on the answer is yes; a macro of the header.
        stream: what C and ELF take in place of whole windows.
        class_names: in the order of the outputs; a macro of the header.
    """
    sources = sources_of(
        model, comment=comment, threshold=threshold, stream=stream, class_names=class_names
    )
    firmware = measured_firmware(sources, target, cost)
    return Build(sources, firmware, write_tflite(program_of(model).graph))


def write_build(built: Build, folder: Path) -> None:
    """Write `model.tflite`, `firmware.elf` and the C sources into `c/`."""
    code = folder / "c"
    code.mkdir(parents=True, exist_ok=True)
    for name, text in built.sources.files.items():
        write_whole(code / name, text)
    write_whole(folder / "firmware.elf", built.firmware.elf)
    write_whole(folder / "model.tflite", built.tflite)
