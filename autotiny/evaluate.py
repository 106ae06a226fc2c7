"""What a lowered model costs on a target, and how accurate the same generated C is.

Each figure is kept in the cache under a digest of everything it depends on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from autotiny.cache import Cache, code_version, key_of
from autotiny.dataset import Dataset
from autotiny.emulator import Firmware, build_host, link, measure
from autotiny.engine import Port, Sources, generate, plain_schedule
from autotiny.errors import InvalidData
from autotiny.graph import Array, Graph
from autotiny.metrics import Cost, LayerCost, Metrics
from autotiny.model import Level, Model, Program
from autotiny.target import Target
from autotiny.tflite import write_tflite

T = TypeVar("T")

ENGINE = ("engine", "graph")
MACHINE = (*ENGINE, "emulator", "target", "metrics")


def program_of(model: Model) -> Program:
    """A lowered model with its schedule; without one, each op is a step computed the plain way."""
    if model.level is Level.PROGRAM:
        return model.program
    if model.level is not Level.TFLITE:
        raise ValueError(f"a model of level {model.level} has to be lowered first")
    return Program(model.graph, plain_schedule(model.graph))


def sources_of(model: Model, *, comment: str = "") -> Sources:
    """The C of a lowered model."""
    program = program_of(model)
    return generate(program.graph, program.schedule, comment=comment)


def program_key(model: Model) -> str:
    """A digest of graph and schedule: all that the generated C depends on."""
    program = program_of(model)
    return key_of(program.graph.fingerprint(), program.schedule)


def cost(model: Model, target: Target, cache: Cache) -> Cost:
    """Flash, SRAM, cycles and latency of the linked and executed firmware."""
    key = key_of("cost", program_key(model), target, code_version(*MACHINE))
    facts = remembered(cache, key, lambda: measure(sources_of(model), target).to_dict())
    return cost_from(facts)


def cost_from(facts: dict[str, Any]) -> Cost:
    """The cost that `Cost.to_dict` wrote."""
    layers = tuple(LayerCost(**layer) for layer in facts["layers"])
    return Cost(**{**facts, "layers": layers})


def accuracy_on(model: Model, data: Dataset, split: str, cache: Cache) -> float:
    """How well the generated C does, compiled for the host, on "validation" or "test"; 0 to 1.

    The share of samples whose class it finds; where a network gives its input back, the share of
    the input's variance that it explains.
    """
    x, y = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
    code = code_version(*ENGINE, "emulator", "evaluate")
    key = key_of("accuracy", program_key(model), data.fingerprint, split, code)
    measure_it = partial(_found, model, x, y) if data.classes else partial(_explained, model, x)
    return float(remembered(cache, key, measure_it))


def _found(model: Model, x: Array, y: Array) -> float:
    sources = sources_of(model)
    outputs = build_host(sources).predict(stored(x, sources.inputs[0]))
    scores = outputs.reshape(len(x), -1)
    return float(np.mean(np.argmax(scores, axis=1) == y))


def _explained(model: Model, x: Array) -> float:
    sources = sources_of(model)
    outputs = build_host(sources).predict(stored(x, sources.inputs[0]))
    error = real(outputs, sources.outputs[0]).reshape(len(x), -1) - x.reshape(len(x), -1)
    variance = float(np.square(x - x.mean()).sum())
    return max(0.0, 1.0 - float(np.square(error).sum()) / variance) if variance else 0.0


def at_chance(accuracy: float, data: Dataset) -> bool:
    """Whether an accuracy on validation is no better than knowing nothing.

    That is always guessing the most frequent class, up to one standard error above it. Where a
    network gives its input back, guessing the mean explains nothing of the variance.
    """
    if not data.classes:
        return accuracy <= 0
    samples = max(len(data.y_validation), 1)
    guessed = float(np.bincount(data.y_validation, minlength=1).max()) / samples
    return accuracy <= guessed + math.sqrt(guessed * (1 - guessed) / samples)


def real(stored_values: Array, port: Port) -> Array:
    """What the stored values of a port stand for, float32."""
    values = stored_values.astype(np.float32)
    if port.quantization is None or port.dtype == "float32":
        return values
    centred = values - np.float32(port.quantization.zero_point)
    meant: Array = centred * np.float32(port.quantization.scale)
    return meant


def stored(x: Array, port: Port) -> Array:
    """Real inputs (N, …) as the port stores them, (N, *port.shape without its batch)."""
    shape = port.shape[1:] if port.shape[:1] == (1,) else port.shape
    if int(np.prod(x.shape[1:])) != int(np.prod(shape)):
        raise InvalidData(f"samples of shape {x.shape[1:]} do not fit the input {shape}")
    x = x.reshape(len(x), *shape)
    if port.quantization is None or port.dtype == "float32":
        return x.astype(port.dtype)
    limits = np.iinfo(port.dtype)
    real = x / np.float32(port.quantization.scale)
    levels = np.rint(real) + port.quantization.zero_point
    levels_stored: Array = np.clip(levels, limits.min, limits.max).astype(port.dtype)
    return levels_stored


def evaluate(
    model: Model, target: Target, data: Dataset, cache: Cache, *, test: bool = False
) -> Metrics:
    """Cost and accuracy of a lowered model; the test split is looked at for a report only."""
    accuracy = accuracy_on(model, data, "validation", cache)
    return Metrics(
        cost=cost(model, target, cache),
        accuracy_validation=accuracy,
        accuracy_test=accuracy_on(model, data, "test", cache) if test else None,
        at_chance=at_chance(accuracy, data),
    )


def remembered(cache: Cache, key: str, make: Callable[[], T]) -> T:
    """A value of plain data, made once."""

    def read(folder: Path) -> T:
        return json.loads((folder / "value.json").read_text())  # type: ignore[no-any-return]

    def write(value: T, folder: Path) -> None:
        (folder / "value.json").write_text(json.dumps(value))

    return cache.through(key, read, make, write)


def runtimes(model: Model) -> tuple[str, ...]:
    """Which runtimes can run the `.tflite` of a lowered model.

    LiteRT reads every one. TensorFlow Lite Micro has kernels for neither float16 constants nor
    hybrid ops, which multiply integer weights with float activations.
    """
    graph = program_of(model).graph
    micro = () if has_float16(graph) or has_hybrid(graph) else ("tflm",)
    return ("autotiny", *micro, "litert")


def has_float16(graph: Graph) -> bool:
    """Whether any tensor is stored in half precision."""
    return any(tensor.dtype == "float16" for tensor in graph.tensors)


def has_hybrid(graph: Graph) -> bool:
    """Whether any op computes float results from integer weights."""
    for op in graph.ops:
        inputs = [graph.tensors[index] for index in op.inputs if index >= 0]
        result = graph.tensors[op.outputs[0]]
        weights = [tensor for tensor in inputs if tensor.data is not None and tensor.quantization]
        if op.kind != "DEQUANTIZE" and result.dtype == "float32" and weights:
            return True
    return False


@dataclass(frozen=True)
class Build:
    """The files of a lowered model, the same bytes every time.

    Attributes:
        sources: the C.
        firmware: the linked ELF.
        tflite: the FlatBuffer.
    """

    sources: Sources
    firmware: Firmware
    tflite: bytes


def build(model: Model, target: Target, *, comment: str = "") -> Build:
    """C, ELF and `.tflite` of a lowered model."""
    sources = sources_of(model, comment=comment)
    return Build(sources, link(sources, target), write_tflite(program_of(model).graph))


def write_build(built: Build, folder: Path) -> None:
    """Write `model.tflite`, `firmware.elf` and the C sources into `c/`."""
    code = folder / "c"
    code.mkdir(parents=True, exist_ok=True)
    for name, text in built.sources.files.items():
        (code / name).write_text(text, encoding="utf-8")
    (folder / "firmware.elf").write_bytes(built.firmware.elf)
    (folder / "model.tflite").write_bytes(built.tflite)
