"""Compare generated C with TensorFlow Lite Micro, output by output, on real images.

    python benchmarks/equality.py [--data fashion_mnist] [--samples 64]

Trains cnn1, lowers it to int8, and writes results/equality.md: every test image through the host
build and through TensorFlow Lite Micro (the `tflite-micro` wheel), and some of them through the
firmware on an emulated Cortex-M7, M4, M0+ and RV32.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tflite_micro.python.tflite_micro import runtime

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Work
from autotiny.dataset import load_dataset
from autotiny.engine import generate, plain_schedule, schedule_for
from autotiny.evaluate import stored
from autotiny.firmware import build_host, link
from autotiny.graph import Array, Graph
from autotiny.model import load_model
from autotiny.schedule import Schedule
from autotiny.simulator import run
from autotiny.target import load_target
from autotiny.tflite import write_tflite

RESULT = Path(__file__).parent.parent / "results" / "equality.md"
BOARDS = ("stm32f746", "stm32l4r5", "rp2040", "esp32c3")


def schedules(graph: Graph) -> dict[str, Schedule]:
    """The plain schedule, and the ready-made ones."""
    return {
        "plain": plain_schedule(graph),
        "fastest": schedule_for(graph, "fastest", dsp=True),
        "smallest": schedule_for(graph, "smallest", dsp=True),
    }


def micro_outputs(graph: Graph, inputs: Array) -> Array:
    """What TensorFlow Lite Micro computes: (N, classes) int8."""
    interpreter = runtime.Interpreter.from_bytes(write_tflite(graph))
    rows = []
    for sample in inputs:
        interpreter.set_input(sample[None], 0)
        interpreter.invoke()
        rows.append(interpreter.get_output(0)[0])
    return np.stack(rows)


def main() -> None:
    """Write results/equality.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--samples", type=int, default=64, help="images on each emulated core")
    arguments = parser.parse_args()
    data = load_dataset(arguments.data)
    model = load_model("cnn1", data, cache=Cache())
    graph = COMPONENTS["int8"]().apply(model, Work(data)).graph
    rows = []
    for style, schedule in schedules(graph).items():
        sources = generate(graph, schedule)
        inputs = stored(data.x_test, sources.inputs[0])
        expected = micro_outputs(graph, inputs)
        scores = build_host(sources).predict(inputs).reshape(expected.shape)
        equal = int((scores == expected).all(axis=1).sum())
        right = float((scores.argmax(axis=1) == data.y_test).mean())
        rows.append(f"| {style} | host | {equal:,} of {len(inputs):,} | {right:.4f} |")
        few = inputs[: arguments.samples]
        for name in BOARDS:
            target = load_target(name)
            ran = run(link(sources, target), target, few, simulate_memory=False)
            outputs = ran.outputs.reshape(len(few), -1)
            equal = int((outputs == expected[: len(few)]).all(axis=1).sum())
            rows.append(f"| {style} | {target.core} ({name}) | {equal} of {len(few)} | |")
    lines = [
        "# Generated C against TensorFlow Lite Micro",
        "",
        f"`python benchmarks/equality.py --data {arguments.data} --samples {arguments.samples}`",
        "",
        f"cnn1 in int8, test images of {arguments.data}; equal means all ten output bytes.",
        "",
        "| schedule | where | equal outputs | test accuracy |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
    RESULT.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
