"""Selftests of other people's models and of ours, booted on the boards that QEMU emulates.

    python benchmarks/selftests.py FOLDER... [--networks cnn1,ds_cnn,imu_lstm]

Of every model below a folder (a clone of mlcommons/tiny or tensorflow/tflite-micro, say), but for
those of tests, and of networks of ours in int8, the selftest of a project is made for each board
that has room, with the schedule `fastest` and four samples of seeded noise, by zig and, on
Cortex-M, by GCC (Debian's arm-none-eabi-gcc, `make selftest`), and booted. The table goes to
`results/boards.md`; nothing of the models is kept. QEMU counts no cycles of a core.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from models import supported
from schedules import lowered
from writing import row

from autotiny.engine import generate, schedule_for
from autotiny.errors import UserError
from autotiny.firmware import export_project, link_selftest
from autotiny.firmware.board_report import report_from
from autotiny.firmware.ports import some_rows
from autotiny.graph import Graph
from autotiny.metrics import STACK_MARGIN_BYTES
from autotiny.simulator import measure_firmware

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from machines import BOARDS, Board, emulated, is_installed, target_of

RESULT = Path(__file__).parent.parent / "results" / "boards.md"
NETWORKS = "cnn1,ds_cnn,imu_lstm"
SECONDS = 600
"""That a selftest may be emulated for."""


def main() -> None:
    """Boot what is asked, and write the table."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--networks", default=NETWORKS)
    asked = parser.parse_args()
    boards = [board for board in BOARDS if is_installed(board)]
    found: dict[str, list[str]] = {}
    theirs = ((name, graph) for name, _, graph in supported(asked.folders))
    for name, graph in chain(ours(asked.networks), theirs):
        found[name] = [booted(graph, board) for board in boards]
        print(name, found[name], flush=True)
        RESULT.write_text(page(boards, found), encoding="utf-8")


def ours(names: str) -> Iterator[tuple[str, Graph]]:
    """Networks that come with autotiny."""
    for name in filter(None, names.split(",")):
        yield name, lowered(name)


def booted(graph: Graph, board: Board) -> str:
    """What the selftests of a model say on a board, by zig and by GCC."""
    target = target_of(board)
    sources = generate(graph, schedule_for(graph, "fastest", **target.traits))
    # That of an emulated core would take hours for the large ones: the stack alone is needed.
    measured = measure_firmware(sources, target, simulate_memory=False)
    if measured.cost.unplaced_bytes or not measured.firmware.fits:
        return "no room"
    rows = some_rows(sources.inputs, 4)
    made = link_selftest(sources, measured.firmware, target, measured.cost, rows)
    if made is None:
        return "no room"
    with TemporaryDirectory() as name:
        folder = Path(name)
        said = [told(board, made.elf, folder)]
        if board.program.endswith("arm") and shutil.which("arm-none-eabi-gcc"):
            firmware, cost = measured.firmware, measured.cost
            export_project(sources, firmware, target, folder, cost=cost, tested=made)
            built = subprocess.run(
                ["make", "selftest"], cwd=folder, capture_output=True, text=True, check=False
            )
            elf = folder / "build" / "gcc" / "selftest.elf"
            quiet = not built.returncode and "warning" not in built.stderr
            said.append(told(board, elf.read_bytes(), folder) if quiet else "GCC complains")
    return said[0] if len(set(said)) == 1 else " / ".join(said)


def told(board: Board, elf: bytes, folder: Path) -> str:
    """What one selftest says."""
    try:
        text, code = emulated(board, elf, folder, SECONDS)
        found = report_from(text)
    except (UserError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    deep = found.stack_bytes > found.predicted_stack_bytes + 2 * STACK_MARGIN_BYTES
    equal = "equal" if found.outputs_equal and code == 0 else f"{found.samples_right} of 4"
    return f"{equal}, stack {found.stack_bytes}" if deep else equal


def page(boards: Sequence[Board], found: dict[str, list[str]]) -> str:
    """The text of results/boards.md."""
    assert __doc__
    command, text = __doc__.split("\n\n")[1:3]
    counts = Counter(cell for cells in found.values() for cell in cells)
    lines = [
        "# Boards\n",
        f"{command}\n",
        text.replace("\n", " ").strip() + "\n",
        "Two answers, where they differ, are zig's and GCC's. Where the stack went deeper than "
        "predicted by 256 bytes and more, its bytes are told: predictions are of zig's code.\n",
        ", ".join(f"{count} × {cell}" for cell, count in counts.most_common()) + ".\n",
        row("model", *(f"{board.machine} ({target_of(board).core})" for board in boards)),
        "|---" * (len(boards) + 1) + "|",
        *(row(name, *cells) for name, cells in found.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
