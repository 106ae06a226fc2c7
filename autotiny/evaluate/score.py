"""How well a lowered model does: the same generated C, compiled for the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from autotiny.cache import Cache, key_of, remembered
from autotiny.codeversion import code_version
from autotiny.engine import Port
from autotiny.errors import InvalidData
from autotiny.evaluate.program import program_key, program_of, sources_of
from autotiny.firmware import build_host
from autotiny.firmware.ports import sample_shape
from autotiny.graph import Array, Threshold, dequantize, quantize
from autotiny.mapped import blocks
from autotiny.model import Model, cut, joined
from autotiny.signal import answering
from autotiny.tasks import Score, is_own, score_from

if TYPE_CHECKING:
    # Its samples stand in the key by their fingerprint; how they were read changes no score.
    from autotiny.dataset import Dataset


def score_on(model: Model, data: Dataset, split: str, cache: Cache) -> Score:
    """How well the generated C does, compiled for the host, on "validation" or "test".

    By the metric of the data's task. Where that needs a threshold it is the best one on validation,
    for test too.
    """
    threshold = None
    if data.task.decides and split != "validation":
        threshold = score_on(model, data, "validation", cache).threshold
    scored = partial(_scored, model, data, split, threshold)
    if is_own(data.task.metric):  # no key holds the user's code, which may change
        return score_from(scored())
    return score_from(remembered(cache, score_key(model, data, split), scored))


def score_key(model: Model, data: Dataset, split: str) -> str:
    """A digest of all that a score depends on: program, samples, task, and the code here."""
    task = data.task.to_dict()
    code = code_version(__name__)
    return key_of("score", program_key(model), data.fingerprint, task, split, code)


def _scored(model: Model, data: Dataset, split: str, threshold: Threshold) -> dict[str, Any]:
    x, y = data.parts[split]
    return asdict(data.task.score(_seen(model, data, split), y, outputs_of(model, x), threshold))


def answers_on(model: Model, data: Dataset, split: str) -> tuple[Array, Array]:
    """The truth of a split and what the generated C finds, as the task's metric compares them."""
    x, y = data.parts[split]
    return data.task.judged(_seen(model, data, split), y, outputs_of(model, x))


def _seen(model: Model, data: Dataset, split: str) -> Array:
    """Samples as a task compares outputs with them: behind front ends if it gives them back."""
    return (data.through(model.front) if data.task.gives_back else data).parts[split][0]


def outputs_of(model: Model, x: Array) -> Array:
    """What the generated C gives for samples x (N, …), as real numbers (N, …).

    Several outputs stand side by side, (N, values).
    """
    sources, places = sources_of(model), answering(program_of(model).graph)
    program, made = build_host(sources), []
    for block in blocks(x):
        outputs = program.predict_all(stored_rows(block, sources.inputs))
        made.append([real(outputs[place], sources.outputs[place]) for place in places])
    return joined([np.concatenate(parts) for parts in zip(*made, strict=True)])


def stored_rows(x: Array, ports: Sequence[Port]) -> list[Array]:
    """Real samples (N, …) as an array for each input, as the ports store them."""
    if len(ports) == 1:
        return [stored(x, ports[0])]
    parts = cut(x, [sample_shape(port) for port in ports])
    return [stored(part, port) for part, port in zip(parts, ports, strict=True)]


def real(stored_values: Array, port: Port) -> Array:
    """What the stored values of a port stand for, float32."""
    return dequantize(stored_values, port.quantization)


def stored(x: Array, port: Port) -> Array:
    """Real inputs (N, …) as the port stores them, (N, *port.shape without its batch)."""
    shape = port.shape[1:] if port.shape[:1] == (1,) else port.shape
    if int(np.prod(x.shape[1:])) != int(np.prod(shape)):
        raise InvalidData(f"samples of shape {x.shape[1:]} do not fit the input {shape}")
    return quantize(x.reshape(len(x), *shape), port.quantization, port.dtype)
