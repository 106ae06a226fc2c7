"""What single int8 layers take under `fastest`, next to another checkout of autotiny.

    python benchmarks/layers.py [--before FOLDER]

Each layer is a network of its own with random weights, written as a .tflite file once. Firmware of
it is linked by this checkout, and by the one in FOLDER where it is given; this one's emulator runs
both. Kernels get all the SRAM that they ask for, as they do beside a larger layer. Writes
results/layers.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from writing import row

from autotiny.components import COMPONENTS, Work
from autotiny.dataset import synthetic
from autotiny.graph import Graph
from autotiny.model import keras, keras_model
from autotiny.simulator import measure_elf
from autotiny.target import load_target
from autotiny.tflite import write_tflite

RESULT = Path(__file__).parent.parent / "results" / "layers.md"
BOARDS = {"M4": "stm32l4r5", "M7": "stm32h7a3", "M33": "stm32u575"}

LAYERS: Mapping[str, tuple[tuple[int, ...], str, Mapping[str, Any]]] = {
    "pointwise 128→128, 6×6": ((6, 6, 128), "Conv2D", {"filters": 128, "kernel_size": 1}),
    "pointwise 128→128, 25×5": ((25, 5, 128), "Conv2D", {"filters": 128, "kernel_size": 1}),
    "pointwise 64→64, 25×5": ((25, 5, 64), "Conv2D", {"filters": 64, "kernel_size": 1}),
    "pointwise 32→64, 24×24": ((24, 24, 32), "Conv2D", {"filters": 64, "kernel_size": 1}),
    "pointwise 256→256, 3×3": ((3, 3, 256), "Conv2D", {"filters": 256, "kernel_size": 1}),
    "first of IC: 3×3, 3→16, 32×32": ((32, 32, 3), "Conv2D", {"filters": 16, "kernel_size": 3}),
    "first of VWW: 3×3, stride 2, 3→8, 96×96": (
        (96, 96, 3), "Conv2D", {"filters": 8, "kernel_size": 3, "strides": 2},
    ),
    "3×3, 3→8, 48×48": ((48, 48, 3), "Conv2D", {"filters": 8, "kernel_size": 3}),
    "3×3, 3→32, 28×28": ((28, 28, 3), "Conv2D", {"filters": 32, "kernel_size": 3}),
    "3×3, 4→16, 31×31": ((31, 31, 4), "Conv2D", {"filters": 16, "kernel_size": 3}),
    "3×3, stride 2, 3→16, 96×96": (
        (96, 96, 3), "Conv2D", {"filters": 16, "kernel_size": 3, "strides": 2},
    ),
    "depthwise 3×3, 64 channels, 25×5": ((25, 5, 64), "DepthwiseConv2D", {"kernel_size": 3}),
    "depthwise 3×3, 32 channels, 24×24": ((24, 24, 32), "DepthwiseConv2D", {"kernel_size": 3}),
    "depthwise 3×3, stride 2, 16 channels, 48×48": (
        (48, 48, 16), "DepthwiseConv2D", {"kernel_size": 3, "strides": 2},
    ),
    "dense 640→128": ((640,), "Dense", {"units": 128}),
    "dense 128→128": ((128,), "Dense", {"units": 128}),
    "dense 128→640": ((128,), "Dense", {"units": 640}),
}  # fmt: skip
"""Shape of the input, class of Keras and its arguments, by what a layer is called."""

NOTES = """\
On a Cortex-M4 a step of 16 MACs takes 15 cycles: 8 multiplications, 4 loads and one cycle for the
run of them, 2 instructions that unpack weights. That is .94 a MAC, the floor of these kernels.
128→128 on 25×5 by strips of 42 pixels: steps 83 %, rounds of 8 steps 3 %, outputs 9 %, copies of
weights 4 %, spreading 1 %. The first convolution of IC: steps 66 %, rounds 4 %, outputs 23 %, rows
and copies 7 %; a filter row of 9 taps takes 10.
All steps of a first convolution in line took 4 % more cycles on stm32l4r5 than a round for each row
of the filter: with the outputs they fill its 1 KB cache of instructions.
"""

LINK = """
import sys
from pathlib import Path
from autotiny import engine
from autotiny.firmware import link
from autotiny.target import load_target
from autotiny.tflite import read_tflite

for board in sys.argv[2:]:
    target = load_target(board)
    for path in Path(sys.argv[1]).glob("*.tflite"):
        graph = read_tflite(path.read_bytes(), "layer")
        core = {"dsp": target.dsp}
        if hasattr(target, "loads_ahead"):
            core["loads_ahead"] = target.loads_ahead
        schedule = engine.schedule_for(graph, "fastest", **core)
        if hasattr(engine, "with_room"):
            schedule = engine.with_room(graph, schedule, 1 << 16, **core)
        sources = engine.generate(graph, schedule)
        Path(f"{path.stem}-{board}.elf").write_bytes(link(sources, target).elf)
"""
"""A program for any checkout: firmware of the models in a folder, in the working directory."""


def layer(shape: tuple[int, ...], kind: str, arguments: Mapping[str, Any]) -> Graph:
    """A network of one layer in int8."""
    k = keras()
    k.utils.set_random_seed(0)
    x = k.Input(shape, name="input")
    padding = {} if kind == "Dense" else {"padding": "same"}
    y = getattr(k.layers, kind)(**arguments, **padding, activation="relu")(x)
    model = keras_model(k.Model(x, y, name="layer"))
    graph: Graph = COMPONENTS["int8"]().apply(model, Work(synthetic(model))).graph
    return graph


def unit(graph: Graph) -> tuple[str, int]:
    """What cycles are divided by: MACs, of a depthwise convolution outputs, and how many."""
    op = graph.ops[0]
    outputs = graph.tensors[op.outputs[0]].bytes
    if op.kind == "DEPTHWISE_CONV_2D":
        return "output", outputs
    weights = graph.tensors[op.inputs[1]]
    return "MAC", outputs * weights.size // weights.shape[0]


def figures(checkout: Path, models: Path) -> dict[tuple[str, str], int]:
    """Cycles by file and core, of firmware that a checkout of autotiny links."""
    with TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-c", LINK, str(models), *BOARDS.values()],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(checkout)}, check=True,
        )  # fmt: skip
        return {
            (path.stem, core): measure_elf(
                Path(folder) / f"{path.stem}-{board}.elf", load_target(board)
            ).cycles
            for path in models.glob("*.tflite")
            for core, board in BOARDS.items()
        }


def main() -> None:
    """Write results/layers.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--before", type=Path, help="another checkout of autotiny")
    before = parser.parse_args().before
    checkouts = [RESULT.parent.parent, *([before.resolve()] if before else [])]
    graphs = {name: layer(*what) for name, what in LAYERS.items()}
    with TemporaryDirectory() as folder:
        for number, graph in enumerate(graphs.values()):
            Path(folder, f"{number}.tflite").write_bytes(write_tflite(graph))
        now, *others = (figures(checkout, Path(folder)) for checkout in checkouts)
    rows = [row("layer", "of", *BOARDS), "|---" * (2 + len(BOARDS)) + "|"]
    for number, (name, graph) in enumerate(graphs.items()):
        what, of = unit(graph)
        cells = []
        for core in BOARDS:
            after = now[str(number), core]
            old = [other[str(number), core] for other in others]
            cells.append(" → ".join(f"{cycles / of:.2f}" for cycles in (*old, after)))
            cells[-1] += "".join(f" ({100 * after / cycles - 100:+.1f} %)" for cycles in old)
        rows.append(row(name, what, *cells))
    was = ", in another checkout → in this one (the difference)" if before else ""
    boards = ", ".join(f"{core} is {board}" for core, board in BOARDS.items())
    text = [
        "# Single int8 layers", "",
        f"`python benchmarks/layers.py{' --before FOLDER' if before else ''}`", "",
        f"Cycles a MAC, of depthwise layers an output, under `fastest`{was}. {boards}.",
        "`-O2`, ReLU, random weights and inputs; figures of the cycle model. Kernels have all",
        "the SRAM that they ask for, as they do beside a layer that needs more.", "",
        *rows, "", NOTES,
    ]  # fmt: skip
    RESULT.write_text("\n".join(text), encoding="utf-8")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
