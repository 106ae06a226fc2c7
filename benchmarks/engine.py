"""What the generated firmware takes, next to the best published runtimes.

    python benchmarks/engine.py [model.tflite …]

Builds the five built-in networks in int8 with seeded random weights (time and memory do not depend
on them), generates C under every ready-made schedule, links and executes it for a Cortex-M4 and a
Cortex-M7, and writes results/engine.md. Further models are given by path.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from autotiny.doors import keras
from autotiny.engine import Style, generate, schedule_for
from autotiny.graph import Array, Graph
from autotiny.metrics import Cost
from autotiny.model import BUILTIN, silent_stderr, tensorflow
from autotiny.simulator import measure
from autotiny.target import load_target
from autotiny.tflite import read_tflite

RESULT = Path(__file__).parent.parent / "results" / "engine.md"
BOARDS = {"M4": "stm32l4r5", "M7": "stm32h7a3"}
SIMPLE = {"M0+": "stm32g0b1", "M3": "stm32f103", "RV32": "esp32c3"}
STYLES: tuple[Style, ...] = ("fastest", "balanced", "smallest")


@dataclass(frozen=True)
class Peers:
    """Published and counted figures of other runtimes, for one network.

    Attributes:
        name: as the benchmark calls the network.
        cmsis_nn: instructions of TensorFlow Lite Micro with CMSIS-NN, a core each.
        cmsis_nn_sram: arena, static and stack in bytes, on the M4.
        cmsis_nn_code: flash without the model in bytes; None where it was not split.
        cube_ai_ms: X-CUBE-AI 9.0 on NUCLEO-L4R5ZI (120 MHz) and NUCLEO-H7A3ZI (280 MHz).
        instructions, sram, code: the bounds that the firmware is held to.
    """

    name: str
    cmsis_nn: dict[str, int]
    cmsis_nn_sram: int
    cmsis_nn_code: int
    cube_ai_ms: dict[str, float]
    instructions: int
    sram: int
    code: int


PEERS = {
    "cnn1": Peers(
        "CNN1", {"M4": 984_586, "M7": 1_005_017}, 12_924, 51_572, {}, 160_000, 4_096, 6 << 10
    ),
    "ds_cnn": Peers(
        "KWS", {"M4": 7_697_256, "M7": 7_643_021}, 24_308, 53_384, {"M4": 43.2, "M7": 11.3},
        3_300_000, 12_000, 12 << 10,
    ),
    "resnet8": Peers(
        "IC", {"M4": 29_863_091, "M7": 29_937_622}, 56_484, 51_508, {"M4": 165.1, "M7": 40.8},
        9_500_000, 40_000, 16 << 10,
    ),
    "mobilenet_v1": Peers(
        "VWW", {"M4": 24_101_517, "M7": 24_025_132}, 102_196, 53_384, {"M4": 88.9, "M7": 23.8},
        9_500_000, 58_000, 12 << 10,
    ),
    "autoencoder": Peers(
        "AD", {"M4": 582_264, "M7": 582_571}, 3_676, 27_664, {"M4": 5.26, "M7": 1.23},
        300_000, 1_600, 4 << 10,
    ),
}  # fmt: skip

LARGER = ("stm32h743", "imxrt1062")
LARGER_MACS = 10_656_688

SUBMITTED = {
    "ds_cnn": (22_800_000, 474.6),
    "resnet8": (77_100_000, 1522.0),
    "mobilenet_v1": (66_900_000, 1414.0),
    "autoencoder": (1_496_000, 40.89),
}
"""Instructions, counted in the submitted binary, and milliseconds of MLPerf Tiny v1.2, closed
division, Bosch, on NUCLEO-G0B1RE (64 MHz)."""

SOURCES = """\
TFLM + CMSIS-NN: TensorFlow Lite Micro 90b983c2 with CMSIS-NN 4ab83cc3, arm-none-eabi-gcc 12.2 -O2,
the whole `Invoke` counted in Unicorn; its flash without the model is the code. X-CUBE-AI 9.0:
measured on the same boards, MLPerf Tiny v1.2, closed division; its NUCLEO-L4R5ZI reads its flash as
one bank, stm32l4r5 as delivered, as two; its VWW is another, smaller network. autotiny:
instructions are counted in the linked firmware as it runs, cycles and milliseconds come from its
cycle model of the board, SRAM is arena + static + stack, code is all of flash but the constants."""


def seeded_int8(name: str) -> Graph:
    """A built-in network in int8 with seeded random weights, calibrated on random inputs."""
    return seeded(BUILTIN[name]())


def seeded(network: Any) -> Graph:
    """A Keras network likewise."""
    tf = tensorflow()
    dice = np.random.default_rng(0)
    for number, weight in enumerate(network.weights):
        if "moving_variance" in weight.name:
            weight.assign(dice.uniform(0.5, 2, weight.shape))
        elif any(part in weight.name for part in ("moving_mean", "beta", "bias")):
            weight.assign(dice.normal(0, 0.1, weight.shape))
        elif "gamma" not in weight.name:
            weight.assign(keras().initializers.GlorotUniform(seed=number)(weight.shape))

    def samples() -> Iterator[list[Array]]:
        for _ in range(16):
            yield [dice.uniform(0, 1, (1, *network.input_shape[1:])).astype(np.float32)]

    converter: Any = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with silent_stderr():
        model: bytes = converter.convert()
    return read_tflite(model, network.name)


def least_flash(graph: Graph) -> int:
    """Weights, biases and requantization constants (9 bytes a channel), a fifth more, and 3 KB."""
    plain = generate(graph, schedule_for(graph, "smallest", dsp=True))
    return plain.weights_bytes * 6 // 5 + (3 << 10)


def cell(value: int, bound: int) -> str:
    """A figure and whether it keeps its bound."""
    return f"{value:,} {'✓' if value <= bound else f'✗ (over {bound:,})'}"


def fastest_row(name: str, core: str, cost: Cost) -> str:
    """A row of the table against the peers."""
    peers = PEERS[name]
    times = peers.cmsis_nn[core] / cost.instructions
    cube = f"{peers.cube_ai_ms[core]:.2f}" if core in peers.cube_ai_ms else ""
    return (
        f"| {peers.name} | {core} | {cell(cost.instructions, peers.instructions)} "
        f"| {peers.cmsis_nn[core]:,} (÷ {times:.1f}) | {cell(cost.sram_bytes, peers.sram)} "
        f"| {peers.cmsis_nn_sram:,} | {cell(cost.code_bytes, peers.code)} "
        f"| {peers.cmsis_nn_code:,} | {cost.cycles:,} | {cost.latency_ms:.2f} | {cube} |"
    )


def simple_row(name: str, core: str, cost: Cost) -> str:
    """A row of the table of cores without DSP."""
    instructions, ms = SUBMITTED.get(name, (0, 0.0)) if core == "M0+" else (0, 0.0)
    peers = f"{instructions:,} | {ms:,.1f}" if instructions else " | "
    return (
        f"| {PEERS[name].name} | {core} | {cost.instructions:,} | {cost.cycles:,} "
        f"| {cost.latency_ms:.1f} | {peers} | {cost.sram_bytes:,} | {cost.code_bytes:,} |"
    )


def style_row(name: str, style: str, core: str, cost: Cost, bound: int) -> str:
    """A row of the table of all schedules."""
    flash = cell(cost.flash_bytes, bound) if style == "smallest" else f"{cost.flash_bytes:,}"
    return (
        f"| {name} | {style} | {core} | {cost.instructions:,} | {cost.cycles:,} "
        f"| {cost.latency_ms:.2f} | {flash} | {cost.weights_bytes:,} | {cost.code_bytes:,} "
        f"| {cost.arena_bytes:,} | {cost.static_bytes:,} | {cost.stack_bytes:,} |"
    )


def larger_rows() -> Iterator[str]:
    """The table of MobileNetV2."""
    graph = seeded_int8("mobilenet_v2")
    for board, style in product(LARGER, STYLES):
        target = load_target(board)
        cost = measure(generate(graph, schedule_for(graph, style, **target.traits)), target)
        yield (
            f"| {board} | {style} | {cost.instructions:,} | {cost.cycles:,} "
            f"| {cost.cycles / LARGER_MACS:.2f} | {cost.latency_ms:.2f} | {cost.flash_bytes:,} "
            f"| {cost.sram_bytes:,} |"
        )


def main() -> None:
    """Write results/engine.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", type=Path, help="further .tflite files")
    arguments = parser.parse_args()
    against: list[str] = []
    styles: list[str] = []
    simple: list[str] = []
    graphs = {name: seeded_int8(name) for name in PEERS}
    graphs |= {path.stem: read_tflite(path.read_bytes(), path.stem) for path in arguments.models}
    for name, graph in graphs.items():
        bound = least_flash(graph)
        for core, board in SIMPLE.items() if name in PEERS else ():
            target = load_target(board)
            sources = generate(graph, schedule_for(graph, "fastest", **target.traits))
            simple.append(simple_row(name, core, measure(sources, target)))
            print(simple[-1], flush=True)
        for style in STYLES:
            for core, board in BOARDS.items():
                target = load_target(board)
                sources = generate(graph, schedule_for(graph, style, **target.traits))
                cost = measure(sources, target)
                styles.append(style_row(name, style, core, cost, bound))
                print(styles[-1], flush=True)
                if style == "fastest" and name in PEERS:
                    against.append(fastest_row(name, core, cost))
    larger = list(larger_rows())
    command = " ".join(["python benchmarks/engine.py", *map(str, arguments.models)])
    lines = [
        "# The engine next to its peers", "", f"`{command}`", "",
        f"Cores: {', '.join(f'{core} is {board}' for core, board in BOARDS.items())}. int8, `-O2`. "
        "✓ keeps the bound that was set for it.", "",
        "## `--schedule fastest`", "",
        "| network | core | instructions | TFLM + CMSIS-NN | SRAM | TFLM + CMSIS-NN | code "
        "| TFLM + CMSIS-NN | cycles | ms | X-CUBE-AI, ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *against, "", SOURCES, "",
        "## Cores without DSP, `--schedule fastest`", "",
        f"{', '.join(f'{core} is {board}' for core, board in SIMPLE.items())}. Peers: MLPerf Tiny "
        "v1.2, closed division, Bosch, NUCLEO-G0B1RE; instructions counted in its binary.", "",
        "| network | core | instructions | cycles | ms | peer's instructions | peer's ms | SRAM "
        "| code |",
        "|---|---|---|---|---|---|---|---|---|",
        *simple, "",
        "## MobileNetV2 of width 0.35 at 96×96", "",
        f"{LARGER_MACS:,} MACs, seeded weights.", "",
        "| board | schedule | instructions | cycles | cycles a MAC | ms | flash | SRAM |",
        "|---|---|---|---|---|---|---|---|",
        *larger, "",
        "## All schedules", "",
        "For `smallest` the bound on flash is (weights + biases + requantization constants) × 1.2 "
        "+ 3 KB.", "",
        "| network | schedule | core | instructions | cycles | ms | flash | weights | code | arena "
        "| static | stack |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *styles, "",
    ]  # fmt: skip
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
