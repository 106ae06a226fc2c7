"""How accurate a lowered model is: the same generated C, compiled for the host."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from autotiny.cache import Cache, key_of, remembered
from autotiny.codeversion import code_version
from autotiny.engine import Port
from autotiny.errors import InvalidData
from autotiny.evaluate.program import program_key, sources_of
from autotiny.firmware import build_host
from autotiny.graph import Array, dequantize, quantize
from autotiny.model import Model

if TYPE_CHECKING:
    # Its samples stand in the key by their fingerprint; how they were read changes no accuracy.
    from autotiny.dataset import Dataset


def accuracy_on(model: Model, data: Dataset, split: str, cache: Cache) -> float:
    """How well the generated C does, compiled for the host, on "validation" or "test"; 0 to 1.

    The share of samples whose class it finds; where a network gives its input back, the share of
    the input's variance that it explains.
    """
    x, y = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
    key = accuracy_key(model, data, split)
    measure_it = partial(_found, model, x, y) if data.classes else partial(_explained, model, x)
    return float(remembered(cache, key, measure_it))


def accuracy_key(model: Model, data: Dataset, split: str) -> str:
    """A digest of all that an accuracy depends on: the program, the samples, and the code here."""
    return key_of("accuracy", program_key(model), data.fingerprint, split, code_version(__name__))


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
    _, guessed = best_guess(data)
    return accuracy <= guessed + math.sqrt(guessed * (1 - guessed) / len(data.y_validation))


def best_guess(data: Dataset) -> tuple[int, float]:
    """The class that always answering finds most with on validation, and the share it finds."""
    counts = np.bincount(data.y_validation, minlength=1)
    return int(counts.argmax()), float(counts.max()) / len(data.y_validation)


def standard_error(accuracy: float, samples: int) -> float:
    """Of an accuracy that was measured on so many samples.

    Where all or none were found, two more, one right and one wrong, keep it above zero.
    """
    likely = accuracy if 0 < accuracy < 1 else (accuracy * samples + 1) / (samples + 2)
    return math.sqrt(likely * (1 - likely) / samples)


def real(stored_values: Array, port: Port) -> Array:
    """What the stored values of a port stand for, float32."""
    return dequantize(stored_values, port.quantization)


def stored(x: Array, port: Port) -> Array:
    """Real inputs (N, …) as the port stores them, (N, *port.shape without its batch)."""
    shape = port.shape[1:] if port.shape[:1] == (1,) else port.shape
    if int(np.prod(x.shape[1:])) != int(np.prod(shape)):
        raise InvalidData(f"samples of shape {x.shape[1:]} do not fit the input {shape}")
    return quantize(x.reshape(len(x), *shape), port.quantization, port.dtype)
