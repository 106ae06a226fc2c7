"""Solved schedules of models that other people trained: equal to a reference, and how much better.

    python benchmarks/solved_models.py FOLDER... [--targets stm32l4r5,rp2040]

Of every model below a folder (a clone of mlcommons/tiny or tensorflow/tflite-micro, say), but for
large ones and those of tests, the options of all layers are measured on a target, and schedules
solved: as fast as can be, as small, with as little SRAM, and as fast as in the memory that the
ready-made `fastest` takes. Each is run on random inputs next to TensorFlow Lite Micro, or LiteRT's
reference kernels where that refuses, and its firmware executed. The table goes to
`results/solved_models.md`; rows that are there already and are not asked for stay, and nothing of
the models is kept.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from models import (
    HYBRID_TOLERANCE,
    SAMPLES,
    TOLERANCE,
    difference,
    drawn,
    hybrid,
    referred,
    supported,
)  # fmt: skip
from writing import rows_beside, write_page

from autotiny.cache import Cache
from autotiny.engine import generate, plain_schedule, schedule_for
from autotiny.errors import UserError
from autotiny.firmware.host import build_host
from autotiny.graph import Array, Graph
from autotiny.metrics import Cost
from autotiny.simulator import measure
from autotiny.solver import Wish, best, tabled
from autotiny.target import Target, load_target

RESULT = Path(__file__).parent.parent / "results" / "solved_models.md"
TARGETS = "stm32l4r5,rp2040,esp32c3"
MOST_BYTES = 150_000
"""Of a file, as larger ones take minutes each."""

Taken = tuple[int, int, int]
"""Cycles, and bytes of flash and SRAM."""


@dataclass(frozen=True)
class Row:
    """A model on a target.

    Attributes:
        name, target: whose.
        seconds: to measure all options, from an empty cache.
        options: of all layers.
        fastest: what the ready-made schedule takes.
        solved: by wish, what a solved one takes.
        cycles_error: the largest of their predictions, in percent.
        gaps: how outputs differ from those of the reference; empty where they do not.
        reference: what computed these.
    """

    name: str
    target: str
    seconds: float
    options: int
    fastest: Taken
    solved: dict[str, Taken]
    cycles_error: float
    gaps: tuple[str, ...]
    reference: str


def main() -> None:
    """Solve what is asked, and write the table."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--targets", default=TARGETS)
    asked = parser.parse_args()
    rows = {(row.name, row.target): row for row in known()}
    for name, data, graph in runnable(asked.folders):
        for board in asked.targets.split(","):
            row = solved_row(name, data, graph, load_target(board))
            print(row, flush=True)
            rows[name, board] = row
            every = list(rows.values())
            write_page(RESULT, table(every), every)


def known() -> list[Row]:
    """The rows of earlier runs."""
    return [Row(**row) for row in rows_beside(RESULT)]


def runnable(folders: Sequence[Path]) -> Iterator[tuple[str, bytes, Graph]]:
    """Models that autotiny runs and that are not large."""
    for name, data, graph in supported(folders):
        try:
            generate(graph, plain_schedule(graph))
        except UserError as error:
            print(f"{name}: {error}", flush=True)
            continue
        if len(data) <= MOST_BYTES:
            yield name, data, graph


def solved_row(name: str, data: bytes, graph: Graph, target: Target) -> Row:
    """A model on a target."""
    rng = np.random.default_rng(0)
    inputs = [graph.tensors[index] for index in graph.inputs]
    samples = [[drawn(rng, tensor) for tensor in inputs] for _ in range(SAMPLES)]
    wanted, reference = referred(data, samples, graph, lambda why: None)
    with TemporaryDirectory() as folder:
        begun = time.monotonic()
        problem = tabled(graph, target, Cache(folder))
        seconds = time.monotonic() - begun
    graph = problem.graph
    fastest = measure(generate(graph, schedule_for(graph, "fastest", **target.traits)), target)
    wishes = {
        "fast": Wish(), "small": Wish("flash"), "lean": Wish("sram"),
        "within": Wish(flash_bytes=fastest.flash_bytes, sram_bytes=fastest.sram_bytes),
    }  # fmt: skip
    arrays = [np.stack([sample[i] for sample in samples]) for i in range(len(inputs))]
    solved, gaps = {}, []
    errors: list[float] = []
    for label, wish in wishes.items():
        found = best(problem, target, wish)
        sources = generate(graph, found.schedule)
        cost = measure(sources, target)
        solved[label] = taken(cost)
        errors.append(100 * (found.cycles / cost.cycles - 1))
        outputs = build_host(sources, optimize="-O1").predict_all(arrays, keep_state=True)
        if gap := gap_of(outputs, wanted, graph):
            gaps.append(f"{label}: {gap}")
    worst = max(errors, key=abs)
    return Row(
        name=name, target=target.name, seconds=round(seconds, 1), options=len(problem.items),
        fastest=taken(fastest), solved=solved, cycles_error=round(worst, 2),
        gaps=tuple(gaps), reference=reference,
    )  # fmt: skip


def gap_of(outputs: Sequence[Array], wanted: Sequence[Sequence[Array]] | None, graph: Graph) -> str:
    """How outputs differ from those of the reference."""
    if wanted is None:
        return "unchecked"
    return difference(outputs, wanted, HYBRID_TOLERANCE if hybrid(graph) else TOLERANCE)


def taken(cost: Cost) -> Taken:
    """What a firmware takes."""
    return cost.cycles, cost.flash_bytes, cost.sram_bytes


INTRODUCTION = """\
# Solved schedules of other people's models

    python benchmarks/solved_models.py FOLDER...

{models} models of tensorflow/tflite-micro, those of tests and files over
{most:,} bytes left out, each with {programs} solved schedules on {targets} targets. Outputs: beside
TensorFlow Lite Micro, or LiteRT's reference kernels, on 3 random inputs: {equal} of {all} rows are
equal, all schedules of a row counting. `fastest` is ready-made: cycles, bytes of flash, bytes of
SRAM. Then what solving makes of it: cycles in no more flash and SRAM than that; cycles in all that
the target has; the least flash; the least SRAM. Error: of the predicted cycles of these four, the
largest. Table: seconds to measure all options from an empty cache, beside other work.

"""
COLUMNS = (
    "model", "target", "outputs", "`fastest`", "cycles within it", "cycles", "least flash, B",
    "least SRAM, B", "error", "options", "table, s",
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The page."""
    lines = [" | ".join(COLUMNS), "|".join(["---"] * len(COLUMNS))]
    for row in rows:
        cycles, flash, sram = row.fastest
        cells = (
            row.name, row.target, "; ".join(row.gaps) or "equal",
            f"{cycles:,}, {flash:,}, {sram:,}",
            beside(row.solved["within"][0], cycles), beside(row.solved["fast"][0], cycles),
            beside(row.solved["small"][1], flash), beside(row.solved["lean"][2], sram),
            f"{row.cycles_error:+.2f} %", row.options, row.seconds,
        )  # fmt: skip
        lines.append(" | ".join(map(str, cells)))
    return INTRODUCTION.format(
        models=len({row.name for row in rows}),
        targets=len({row.target for row in rows}),
        programs=len(rows[0].solved),
        most=MOST_BYTES,
        equal=sum(not row.gaps for row in rows),
        all=len(rows),
    ) + "".join(f"| {line} |\n" for line in lines)


def beside(less: int, than: int) -> str:
    """A figure, and by how much it differs from another."""
    return f"{less:,} ({100 * (less / than - 1):+.1f} %)"


if __name__ == "__main__":
    main()
