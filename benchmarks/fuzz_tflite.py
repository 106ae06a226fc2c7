"""Reads, checks, schedules and generates mutated models: each is refused in words, or becomes C.

    python benchmarks/fuzz_tflite.py 100000 [FOLDER...]

The models are a small network in every lowering and every `.tflite` of at most 64 KB below the
folders. Half of the inputs have bytes changed, planted, moved or cut off; the others are written
anew after tensors, operands, options or kinds of ops were changed. The input of a number is always
the same, so that a finding can be looked at again: `--first NUMBER` with a count of 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from fuzzing import fuzz

from autotiny.components.tflite.remove_constant_channels import without_constant_channels
from autotiny.engine import check_supported, generate, schedule_for
from autotiny.graph import ITEM_BYTES, Graph, Op, Option, Quantization
from autotiny.tflite import OPS, read_tflite, write_tflite

MOST_BYTES = 64 << 10
NUMBERS = (0, 1, -1, 2, 3, 12, 127, -128, 1 << 16, 1 << 24, 2**31 - 1, -(2**31))
SCALES = (1e-45, 1e-20, 1e-6, 0.1, 1.0, 1e6, 1e20, 3e38)
KINDS = {facts.kind: facts for facts in OPS}
Rng = np.random.Generator


def main() -> int:
    """Try that many inputs; 1 if there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    arguments = parser.parse_args()
    # TensorFlow lives and dies in a process of its own, so that those that are measured stay small.
    with get_context("spawn").Pool(1) as pool:
        models = pool.apply(lowered)
    for folder in arguments.folders:
        for path in sorted(folder.rglob("*.tflite")):
            if path.stat().st_size <= MOST_BYTES:
                models.append(path.read_bytes())
    graphs = [graph for data in models if (graph := readable(data)) is not None]
    print(f"{len(models)} models, {len(graphs)} of which can be written anew", flush=True)

    def attempt(number: int) -> str:
        return compiled(mutant(number, models, graphs), dsp=bool(number // 2 % 2))

    tally = fuzz(attempt, arguments.count, arguments.first)
    print(tally)
    return 1 if tally.findings else 0


def lowered() -> list[bytes]:
    """A small network, as each lowering writes it."""
    from autotiny.components import COMPONENTS, Work, is_lowering
    from autotiny.dataset import synthetic
    from autotiny.model import load_model

    network = load_model("cnn1")
    work = Work(data=synthetic(network, 0), seed=0)
    kinds: list[Callable[[], Any]] = [kind for kind in COMPONENTS.values() if is_lowering(kind)]
    return [write_tflite(kind().apply(network, work).graph) for kind in kinds]


def readable(data: bytes) -> Graph | None:
    """The network of a file that is not damaged yet; None if it is refused."""
    from autotiny.errors import UserError

    try:
        return read_tflite(data)
    except UserError:
        return None


def compiled(data: bytes, *, dsp: bool) -> str:
    """What `autotiny compile` does with a file before a compiler is called."""
    graph = read_tflite(data)
    check_supported(graph)
    graph = without_constant_channels(graph)
    generate(graph, schedule_for(graph, "fastest", dsp=dsp))
    return "compiled"


def mutant(number: int, models: Sequence[bytes], graphs: Sequence[Graph]) -> bytes:
    """The input of a number."""
    rng = np.random.default_rng(number)
    if number % 2:
        graph = graphs[int(rng.integers(len(graphs)))]
        for _ in range(int(rng.integers(1, 4))):
            graph = changed(rng, graph)
        with suppress(ValueError), np.errstate(all="ignore"):  # int4 constants are packed
            return write_tflite(graph)
    return damaged(rng, models[int(rng.integers(len(models)))])


def damaged(rng: Rng, model: bytes) -> bytes:
    """A file with bytes changed, numbers planted, blocks moved, its end cut off."""
    data = bytearray(model)
    for _ in range(int(rng.integers(1, 6))):
        # Structure lies at both ends of a file, constants between them.
        low, high = [(0, 2048), (len(data) - 6000, len(data)), (0, len(data))][rng.integers(3)]
        at = int(rng.integers(max(low, 0), min(high, len(data)) - 4))
        way = int(rng.integers(4))
        if way == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            data[at] = int(rng.integers(256))
        elif way == 2:
            data[at : at + 4] = int(rng.choice(NUMBERS)).to_bytes(4, "little", signed=True)
        else:
            source, length = int(rng.integers(len(data) - 32)), int(rng.integers(1, 32))
            length = min(length, len(data) - at)
            data[at : at + length] = data[source : source + length]
    if rng.integers(8) == 0:
        del data[int(rng.integers(16, len(data))) :]
    return bytes(data)


def changed(rng: Rng, graph: Graph) -> Graph:
    """A network with one thing of a tensor or an op changed."""
    if not graph.ops or rng.integers(2):
        return with_tensor(rng, graph, int(rng.integers(len(graph.tensors))))
    return with_op(rng, graph, int(rng.integers(len(graph.ops))))


def with_tensor(rng: Rng, graph: Graph, index: int) -> Graph:
    """A network with one thing of a tensor changed."""
    one = graph.tensors[index]
    way = int(rng.integers(5))
    fields: dict[str, Any] = {}
    if way == 0:
        shape = list(one.shape)
        if shape and rng.integers(4):
            shape[int(rng.integers(len(shape)))] = int(rng.choice(NUMBERS))
        elif rng.integers(2):
            shape.insert(int(rng.integers(len(shape) + 1)), int(rng.choice((0, 1, 2))))
        elif shape:
            del shape[int(rng.integers(len(shape)))]
        fields["shape"] = tuple(shape)
    elif way == 1:
        fields["dtype"] = rng.choice(list(ITEM_BYTES)).item()
    elif way == 2:
        scales = tuple(float(rng.choice(SCALES)) for _ in range(int(rng.choice((1, 1, 4)))))
        points = tuple(int(rng.choice((0, 0, 5, -128))) for _ in scales)
        fields["quantization"] = Quantization(scales, points, int(rng.integers(4)))
    elif way == 3:
        fields["quantization"] = None
    elif one.data is None:
        fields["data"] = np.zeros([min(max(n, 0), 4) for n in one.shape], np.int8)
    else:
        fields["data"] = None if rng.integers(2) else planted(rng, one.data)
    tensors = list(graph.tensors)
    tensors[index] = replace(one, **fields)
    return replace(graph, tensors=tuple(tensors))


def planted(rng: Rng, values: Any) -> Any:
    """A constant with one of its elements changed."""
    found = np.array(values).reshape(-1)
    if found.size:
        found[int(rng.integers(found.size))] = np.array(int(rng.choice(NUMBERS))).astype(
            found.dtype
        )
    return found.reshape(np.shape(values))


def with_op(rng: Rng, graph: Graph, index: int) -> Graph:
    """A network with one thing of an op changed."""
    op = graph.ops[index]
    way = int(rng.integers(4))
    if way == 0:
        op = replace(op, inputs=operands(rng, op.inputs, len(graph.tensors), -1))
    elif way == 1 and rng.integers(4) == 0:
        op = replace(op, outputs=operands(rng, op.outputs, len(graph.tensors), 0))
    elif way == 2:
        op = Op(str(rng.choice(list(KINDS))), op.inputs, op.outputs, {})
    elif op.options:
        name = str(rng.choice(list(op.options)))
        op = replace(op, options={**op.options, name: other(rng, op.options[name])})
    return graph.with_ops((*graph.ops[:index], op, *graph.ops[index + 1 :]))


def operands(rng: Rng, indices: tuple[int, ...], count: int, low: int) -> tuple[int, ...]:
    """Indices of tensors with one of them changed, left out or added."""
    found = list(indices)
    at = int(rng.integers(len(found))) if found else 0
    way = int(rng.integers(3))
    if way == 0 or not found:
        found.insert(at, int(rng.integers(low, count)))
    elif way == 1:
        del found[at]
    else:
        found[at] = int(rng.integers(low, count))
    return tuple(found)


def other(rng: Rng, value: Option) -> Option:
    """Another value of an option, of its type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return int(rng.choice(NUMBERS))
    if isinstance(value, float):
        return float(rng.choice((0.0, -1.0, 0.5, 1e30, -3e38)))
    if isinstance(value, tuple):
        return tuple(int(rng.choice(NUMBERS)) for _ in range(int(rng.integers(5))))
    same = {
        word: words
        for words in (
            ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"),
            ("SAME", "VALID"),
            ("REFLECT", "SYMMETRIC"),
            ("DEFAULT", "SHUFFLED4x16INT8"),
        )
        for word in words
    }
    return str(rng.choice(same.get(value, (value,))))


if __name__ == "__main__":
    sys.exit(main())
