"""Profiles mutated firmware: each file is refused in words, faults in words, or is measured.

    python benchmarks/fuzz_elf.py 20000

The files are a small network linked for a Cortex-M7, a Cortex-M0+ and a RISC-V core, with bytes of
their headers, tables of sections and symbols, names or code changed, planted, moved or cut off.
Instructions are limited, since a damaged program may run for ever. `--first NUMBER` with a count of
1 looks at one input again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from fuzzing import fuzz

from autotiny.engine import generate, plain_schedule
from autotiny.firmware import link
from autotiny.graph import Graph, Op, Quantization, Tensor
from autotiny.simulator import measure_elf
from autotiny.target import load_target

BOARDS = ("stm32f746", "rp2040", "esp32c3")
NUMBERS = (0, 1, -1, 2, 12, 52, 1 << 16, 1 << 24, 2**31 - 1, -(2**31), 0x08000000, 0x20000000)
LIMIT = 200_000
HEADER = 52


def main() -> int:
    """Try that many inputs; 1 if there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    arguments = parser.parse_args()
    targets = [load_target(board) for board in BOARDS]
    graph = small()
    sources = generate(graph, plain_schedule(graph))
    files = [link(sources, target).elf for target in targets]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "firmware.elf"
        for file, target in zip(files, targets, strict=True):
            path.write_bytes(file)
            measure_elf(path, target, limit=LIMIT)

        def attempt(number: int) -> str:
            path.write_bytes(mutant(number, files[number % len(files)]))
            measure_elf(path, targets[number % len(targets)], limit=LIMIT)
            return "measured"

        tally = fuzz(attempt, arguments.count, arguments.first)
    print(tally)
    return 1 if tally.findings else 0


def small() -> Graph:
    """A network of one layer."""
    rng = np.random.default_rng(0)
    scale = Quantization((0.02,), (0,))
    x = Tensor("x", (1, 8), "int8", scale)
    w = Tensor("w", (4, 8), "int8", scale, rng.integers(-127, 128, (4, 8)).astype(np.int8))
    y = Tensor("y", (1, 4), "int8", Quantization((0.1,), (0,)))
    options = {"fused_activation_function": "RELU"}
    return Graph((x, w, y), (Op("FULLY_CONNECTED", (0, 1), (2,), options),), (0,), (2,))


def mutant(number: int, file: bytes) -> bytes:
    """The input of a number."""
    rng = np.random.default_rng(number)
    data = bytearray(file)
    sections = int.from_bytes(data[32:36], "little")
    places = ((0, HEADER), (HEADER, 300), (sections, len(data)), (0, len(data)))
    for _ in range(int(rng.integers(1, 6))):
        low, high = places[int(rng.integers(4))]
        at = int(rng.integers(low, min(high, len(data)) - 4))
        way = int(rng.integers(4))
        if way == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            data[at] = int(rng.integers(256))
        elif way == 2:
            value = int(rng.choice(NUMBERS))
            data[at // 4 * 4 : at // 4 * 4 + 4] = value.to_bytes(4, "little", signed=True)
        else:
            source, length = int(rng.integers(len(data) - 32)), int(rng.integers(1, 32))
            length = min(length, len(data) - at)
            data[at : at + length] = data[source : source + length]
    if rng.integers(8) == 0:
        del data[int(rng.integers(4, len(data))) :]
    return bytes(data)


if __name__ == "__main__":
    sys.exit(main())
