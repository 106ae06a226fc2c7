"""Runs models that other people trained under GCC's sanitizers, a sample of them.

    python benchmarks/sanitizers.py FOLDER... [--count N]

Of the `.tflite` files below the folders (clones of repositories, as for benchmarks/models.py) that
autotiny reads and that have up to 300,000 bytes, N are drawn with a seed. Each is scheduled plainly
and in every style, for Cortex-M4, M7 and M0+; every different program is compiled for this
machine with the address and the undefined-behaviour sanitizer, its inputs and outputs allocated one
by one, and run on inputs that hold the ends of their range. A complaint ends the program. Writes
results/sanitizers.md.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from models import drawn, models_below, schedules_of
from writing import row

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "engine")]

from grid import Case, run_program  # noqa: E402 - of the tests

from autotiny.engine import check_supported, generate, plain_schedule  # noqa: E402
from autotiny.errors import UserError  # noqa: E402
from autotiny.graph import Array, Graph, Tensor  # noqa: E402
from autotiny.tflite import read_tflite  # noqa: E402

RESULT = ROOT / "results" / "sanitizers.md"
LARGEST = 300_000
GCC = ("gcc", "-std=c99", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@dataclass(frozen=True)
class Found:
    """A model that autotiny can run."""

    name: str
    graph: Graph


def models(folders: Sequence[Path]) -> Iterator[Found]:
    """The different models below some folders, those that are read and not too large."""
    seen: set[bytes] = set()
    for folder in folders:
        for path, data in models_below(folder):
            if len(data) > LARGEST or data in seen:
                continue
            seen.add(data)
            try:
                graph = read_tflite(data, path.name)
                check_supported(graph)
                generate(graph, plain_schedule(graph))
            except UserError:
                continue
            owner = folder.resolve().name.replace("+", "/")
            yield Found(f"{owner}: {path.relative_to(folder)}", graph)


def ends(rng: np.random.Generator, tensor: Tensor) -> Array:
    """An input whose values are often the first or the last of their type."""
    values = drawn(rng, tensor)
    if tensor.dtype in ("int8", "uint8", "int16"):
        limits = np.iinfo(tensor.dtype)
        extreme = rng.choice(np.array([limits.min, limits.max], values.dtype), values.shape)
        values = np.where(rng.random(values.shape) < 0.5, extreme, values)
    return values


def complaints(graph: Graph) -> tuple[int, list[str]]:
    """How many programs a model gives, and what the sanitizers say of them."""
    rng = np.random.default_rng(0)
    inputs = tuple(ends(rng, graph.tensors[index]) for index in graph.inputs)
    programs = schedules_of(graph)
    said = []
    for names, schedule in programs:
        case = Case(names, graph, inputs, schedule=schedule)
        with TemporaryDirectory() as folder:
            try:
                run_program([case], Path(folder), GCC, units=1)
            except (AssertionError, OSError) as complaint:
                said.append(f"{names}: {str(complaint)[:300]}")
    return len(programs), said


def main() -> None:
    """Run the sample and write results/sanitizers.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=60)
    arguments = parser.parse_args()
    every = list(models(arguments.folders))
    sample = random.Random(0).sample(every, min(arguments.count, len(every)))
    rows, programs, loud = [], 0, 0
    for found in sorted(sample, key=lambda one: one.name):
        count, said = complaints(found.graph)
        programs, loud = programs + count, loud + len(said)
        rows.append(row(found.name, len(found.graph.ops), count, "; ".join(said) or "silent"))
        print(rows[-1], flush=True)
    text = [
        "# Models of others under the sanitizers", "",
        f"`python benchmarks/sanitizers.py FOLDER… --count {arguments.count}`", "",
        f"{len(sample)} of {len(every)} models of up to {LARGEST:,} bytes, drawn with a seed;",
        "plain, fastest, balanced and smallest, for Cortex-M4, M7 and M0+; GCC on this machine,",
        f"`-O1`, address and undefined-behaviour sanitizers: {programs} programs, {loud}",
        "complaints.", "",
        row("model", "ops", "programs", "sanitizers"), "|---" * 4 + "|", *rows, "",
    ]  # fmt: skip
    RESULT.write_text("\n".join(text).replace("\n\n\n", "\n\n"))


if __name__ == "__main__":
    main()
