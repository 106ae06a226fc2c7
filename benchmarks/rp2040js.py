"""Cycles of an RP2040 as an emulator that others wrote counts them, beside what we predict.

    npm install --prefix FOLDER rp2040js@1.4.1
    python benchmarks/rp2040js.py FOLDER MODELS...

Of every model below the folders (a clone of mlcommons/tiny or tensorflow/tflite-micro, say), but
for those of tests, with the schedules `fastest` and `smallest`: `selftest.uf2` of a project, booted
from its second stage on in rp2040js, four samples of seeded noise. Its flash answers at once, so
predictions are for one that does, too: what the real one costs is not compared here. rp2040js
counts PUSH of LR and POP of PC a cycle less than Arm's manual (DDI0484C, table 3-1: 1 + N and 3 + N
cycles of N registers), which shows where functions are small and called often, as those of software
floating point are; the last two columns are with these two as the manual has them. Models whose
inference takes more than 30 million cycles are left out. The table goes to `results/rp2040js.md`;
nothing of the models is kept.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from models import supported
from writing import row

from autotiny.engine import Style, generate, schedule_for
from autotiny.errors import UserError
from autotiny.firmware import link_selftest
from autotiny.firmware.board_report import BoardReport, report_from
from autotiny.firmware.formats import uf2
from autotiny.firmware.ports import some_rows
from autotiny.graph import Graph
from autotiny.simulator import measure_firmware
from autotiny.target import Target, load_target

RESULT = Path(__file__).parent.parent / "results" / "rp2040js.md"
RUNNER = Path(__file__).with_suffix(".mjs")
MOST_CYCLES = 30_000_000
MOST = "400000000"
"""Instructions that a program may take, as the runner's argument."""


Counted = tuple[str, Style, BoardReport, BoardReport]
"""A model, a schedule, what its selftest reports, and that with PUSH and POP as in Arm's manual."""


def main() -> None:
    """Boot what is asked, and write the table."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("npm", type=Path)
    parser.add_argument("folders", nargs="+", type=Path)
    asked = parser.parse_args()
    found: list[Counted] = []
    for name, _, graph in supported(asked.folders):
        for style, report, by_manual in counted(graph, asked.npm.resolve()):
            found.append((name, style, report, by_manual))
            off = f"{report.off_percent:+.2f} %, {by_manual.off_percent:+.2f} %"
            print(name, style, off, flush=True)
            RESULT.write_text(page(found), encoding="utf-8")


def at_once() -> Target:
    """The RP2040 with a flash that answers at once."""
    target = load_target("rp2040")
    memories = [
        replace(memory, wait_states=0, clock_divider=1, cached=False)
        if memory.kind == "flash"
        else memory
        for memory in target.memories
    ]
    return replace(target, memories=tuple(memories), icache=None)


def counted(graph: Graph, npm: Path) -> Iterator[tuple[Style, BoardReport, BoardReport]]:
    """What the selftests of a model report, by schedule: as it counts, and by Arm's manual."""
    target = at_once()
    for style in ("fastest", "smallest"):
        assert style in get_args(Style)
        sources = generate(graph, schedule_for(graph, style, **target.traits))
        measured = measure_firmware(sources, target)
        fits = measured.firmware.fits and not measured.cost.unplaced_bytes
        if not fits or measured.cost.cycles > MOST_CYCLES:
            return
        rows = some_rows(sources.inputs, 4)
        made = link_selftest(sources, measured.firmware, target, measured.cost, rows)
        if made is None:
            return
        with TemporaryDirectory() as folder:
            image = Path(folder) / "selftest.uf2"
            image.write_bytes(uf2(made.image, made.origin, target.uf2_family))
            yield style, reported(image, npm), reported(image, npm, MOST, "trm")


def reported(image: Path, npm: Path, *how: str) -> BoardReport:
    """What the program says."""
    command = ["node", str(RUNNER), str(image), *how]
    done = subprocess.run(command, cwd=npm, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise UserError(f"rp2040js reports nothing: {done.stderr}")
    return report_from(lines[-1])


def page(found: Sequence[Counted]) -> str:
    """The text of results/rp2040js.md."""
    assert __doc__
    command, text = __doc__.split("\n\n")[1:3]
    off = [abs(report.off_percent) for *_, report, _ in found]
    by_manual = [abs(report.off_percent) for *_, report in found]
    equal = sum(report.outputs_equal for *_, report, _ in found)
    clock = {report.running_hz for *_, report, _ in found}
    lines = [
        "# RP2040 in another emulator\n",
        f"{command}\n",
        text.replace("\n", " ").strip() + "\n",
        f"{equal} of {len(found)} say that all outputs are those of the host; they run at "
        f"{', '.join(f'{hz / 1e6:g}' for hz in sorted(clock))} MHz, by their registers. Predicted "
        f"cycles are off by {statistics.mean(off):.2f} % in the mean and {max(off):.2f} % at "
        f"worst; with PUSH and POP as in the manual by {statistics.mean(by_manual):.2f} % and "
        f"{max(by_manual):.2f} %.\n",
        row("model", "schedule", "outputs", "predicted", "counted", "off %", "by manual", "off %"),
        "|---" * 8 + "|",
        *(
            row(
                name, style, "equal" if report.outputs_equal else f"{report.samples_right} of 4",
                f"{report.predicted_cycles:,}", f"{report.cycles:,}", f"{report.off_percent:+.2f}",
                f"{manual.cycles:,}", f"{manual.off_percent:+.2f}",
            )
            for name, style, report, manual in found
        ),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
