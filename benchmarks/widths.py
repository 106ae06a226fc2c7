"""What convolutions cost by their number of channels, as it grows from 5 to 32.

    python benchmarks/widths.py

1×1 convolutions on 12×12 pixels and 3×3 ones on 8×8, n channels to n, int8 with random weights, as
`fastest` computes them. Writes results/widths.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from writing import row

from autotiny.components import COMPONENTS, Work
from autotiny.dataset import synthetic
from autotiny.engine import generate, schedule_for
from autotiny.graph import Graph
from autotiny.model import keras, keras_model
from autotiny.simulator import measure
from autotiny.target import Target, load_target

RESULT = Path(__file__).parent.parent / "results" / "widths.md"
BOARDS = {"M4": "stm32l4r5", "M7": "stm32h7a3", "M0+": "stm32g0b1"}
SIZES = {1: 12, 3: 8}
"""Pixels a side, by those of the window."""

CHANNELS = range(5, 33)


def layer(window: int, channels: int) -> Graph:
    """A network of one layer in int8."""
    k = keras()
    k.utils.set_random_seed(0)
    image = k.Input((SIZES[window], SIZES[window], channels), name="image")
    made = k.layers.Conv2D(channels, window, padding="same", activation="relu")(image)
    model = keras_model(k.Model(image, made, name="layer"))
    graph: Graph = COMPONENTS["int8"]().apply(model, Work(synthetic(model))).graph
    return graph


def cycles_of(graph: Graph, target: Target) -> int:
    """Of an inference."""
    schedule = schedule_for(graph, "fastest", **target.traits)
    return measure(generate(graph, schedule), target).cycles


def excess(cycles: Sequence[int]) -> float:
    """The most that a number of channels takes beyond the next multiple of four, as a share."""
    found = dict(zip(CHANNELS, cycles, strict=True))
    return max(found[n] / found[-(-n // 4) * 4] for n in CHANNELS) - 1


def main() -> None:
    """Write results/widths.md."""
    targets = {core: load_target(board) for core, board in BOARDS.items()}
    heads = [f"{n}×{n}, {core}" for n in SIZES for core in targets]
    rows = [row("channels", *heads), "|---" * (1 + len(heads)) + "|"]
    columns: list[list[int]] = [[] for _ in heads]
    for channels in CHANNELS:
        graphs = {window: layer(window, channels) for window in SIZES}
        pairs = list(product(SIZES, targets.values()))
        found = [cycles_of(graphs[window], target) for window, target in pairs]
        asked = [(SIZES[window] * window * channels) ** 2 for window, _ in pairs]
        cells = [f"{n:,} ({n / macs:.2f})" for n, macs in zip(found, asked, strict=True)]
        for column, cycles in zip(columns, found, strict=True):
            column.append(cycles)
        rows.append(row(channels, *cells))
        print(rows[-1], flush=True)
    rows.append(row("beyond the next four", *(f"{excess(column):+.1%}" for column in columns)))
    boards = ", ".join(f"{core} is {board}" for core, board in BOARDS.items())
    text = [
        "# Convolutions by their number of channels", "", "`python benchmarks/widths.py`", "",
        f"Cycles (and cycles a MAC) of one int8 layer, as many channels in as out. {boards}.",
        "`-O2`, random weights and inputs; figures of the cycle model. A layer alone has little",
        "SRAM, of which `fastest` takes up to 3,200 bytes more: what kernel fits changes on the",
        "way. The last row: the most that a number of channels takes beyond the next multiple of",
        "four.", "",
        *rows, "",
    ]  # fmt: skip
    RESULT.write_text("\n".join(text))


if __name__ == "__main__":
    main()
