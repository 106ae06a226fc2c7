"""What convolutions cost by their number of channels, as it grows from 5 to 32.

    python benchmarks/widths.py

1×1 convolutions on 12×12 pixels and 3×3 ones on 8×8, n channels to n, int8 with random weights, as
`fastest` computes them. Writes results/widths.md.
"""

from __future__ import annotations

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


def layer(window: int, channels: int) -> Graph:
    """A network of one layer in int8."""
    k = keras()
    k.utils.set_random_seed(0)
    image = k.Input((SIZES[window], SIZES[window], channels), name="image")
    made = k.layers.Conv2D(channels, window, padding="same", activation="relu")(image)
    model = keras_model(k.Model(image, made, name="layer"))
    graph: Graph = COMPONENTS["int8"]().apply(model, Work(synthetic(model))).graph
    return graph


def cell(graph: Graph, window: int, channels: int, target: Target) -> str:
    """Cycles, and cycles a multiplication that the layer asks for."""
    schedule = schedule_for(graph, "fastest", **target.traits)
    cycles = measure(generate(graph, schedule), target).cycles
    return f"{cycles:,} ({cycles / (SIZES[window] * window * channels) ** 2:.2f})"


def main() -> None:
    """Write results/widths.md."""
    targets = {core: load_target(board) for core, board in BOARDS.items()}
    heads = [f"{n}×{n}, {core}" for n in SIZES for core in targets]
    rows = [row("channels", *heads), "|---" * (1 + len(heads)) + "|"]
    for channels in range(5, 33):
        cells = []
        for window in SIZES:
            graph = layer(window, channels)
            cells += [cell(graph, window, channels, target) for target in targets.values()]
        rows.append(row(channels, *cells))
        print(rows[-1], flush=True)
    boards = ", ".join(f"{core} is {board}" for core, board in BOARDS.items())
    text = [
        "# Convolutions by their number of channels", "", "`python benchmarks/widths.py`", "",
        f"Cycles (and cycles a MAC) of one int8 layer, as many channels in as out. {boards}.",
        "`-O2`, random weights and inputs; figures of the cycle model. A layer alone has little",
        "SRAM, of which `fastest` takes up to 3,200 bytes more: what kernel fits changes on the",
        "way.", "",
        *rows, "",
    ]  # fmt: skip
    RESULT.write_text("\n".join(text))


if __name__ == "__main__":
    main()
