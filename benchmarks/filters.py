"""What depthwise convolutions take with filters other than 3×3, an output, on six cores.

    python benchmarks/filters.py

One int8 layer of 16 channels each, with random weights; in the plain way and as `fastest` computes
it. Writes results/filters.md.
"""

from __future__ import annotations

from pathlib import Path

from writing import row

from autotiny.components import COMPONENTS, Work
from autotiny.dataset import synthetic
from autotiny.engine import generate, plain_schedule, schedule_for
from autotiny.graph import Graph
from autotiny.model import keras, keras_model
from autotiny.schedule import Schedule
from autotiny.simulator import measure
from autotiny.target import Target, load_target

RESULT = Path(__file__).parent.parent / "results" / "filters.md"
BOARDS = {
    "M4": "stm32l4r5", "M7": "stm32h7a3", "M33": "stm32u575", "M3": "stm32f103", "M0+": "stm32g0b1",
    "RV32": "esp32c3",
}  # fmt: skip
IMAGE, LINE = (24, 24), (49, 1)
LAYERS = (
    *((IMAGE, window, stride) for window in ((5, 5), (7, 7), (9, 1)) for stride in (1, 2)),
    (IMAGE, (3, 1), 1), (IMAGE, (1, 3), 1), (LINE, (9, 1), 1), (LINE, (23, 1), 1),
)  # fmt: skip


def layer(size: tuple[int, int], window: tuple[int, int], stride: int) -> Graph:
    """A network of one layer in int8."""
    k = keras()
    k.utils.set_random_seed(0)
    image = k.Input((*size, 16), name="image")
    made = k.layers.DepthwiseConv2D(window, stride, padding="same", activation="relu")(image)
    model = keras_model(k.Model(image, made, name="layer"))
    graph: Graph = COMPONENTS["int8"]().apply(model, Work(synthetic(model))).graph
    return graph


def per_output(graph: Graph, schedule: Schedule, target: Target) -> float:
    """Cycles an output."""
    cycles = measure(generate(graph, schedule), target).cycles
    return cycles / graph.tensors[graph.outputs[0]].bytes


def main() -> None:
    """Write results/filters.md."""
    targets = {core: load_target(board) for core, board in BOARDS.items()}
    rows = [row("image", "filter", "stride", *targets), "|---" * (3 + len(targets)) + "|"]
    for size, window, stride in LAYERS:
        graph = layer(size, window, stride)
        cells = []
        for target in targets.values():
            ways = (plain_schedule(graph), schedule_for(graph, "fastest", **target.traits))
            before, now = (per_output(graph, way, target) for way in ways)
            cells.append(f"{before:.0f} → {now:.0f} (÷ {before / now:.1f})")
        names = ("×".join(map(str, pair)) for pair in (size, window))
        rows.append(row(*names, stride, *cells))
        print(rows[-1], flush=True)
    boards = ", ".join(f"{core} is {board}" for core, board in BOARDS.items())
    text = [
        "# Depthwise convolutions with other filters than 3×3", "",
        "`python benchmarks/filters.py`", "",
        f"Cycles an output, in the plain way → as `fastest` computes them. {boards}.",
        "16 channels, int8, `-O2`, random weights and inputs; figures of the cycle model.", "",
        *rows, "",
    ]  # fmt: skip
    RESULT.write_text("\n".join(text))


if __name__ == "__main__":
    main()
