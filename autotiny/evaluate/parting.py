"""Where a lowered network parts from the float one: the error of each layer on the same samples.

Both graphs give out the values between their layers, as C with the plain schedule on the host. No
other schedule changes an integer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from autotiny.cache import Cache, key_of, remembered
from autotiny.codeversion import code_version
from autotiny.engine import Port, generate, plain_schedule
from autotiny.evaluate.agreement import check_samples, difference, ratio, rms, samples_key
from autotiny.evaluate.matching import match
from autotiny.evaluate.program import program_of
from autotiny.evaluate.score import real, stored_rows
from autotiny.firmware import build_host
from autotiny.firmware.ports import sample_shape
from autotiny.graph import Array, Graph
from autotiny.model import Model

MOST_SAMPLES: Final = 64
MOST_BYTES: Final = 256 << 20
"""Of the values between layers, in one graph; of larger networks fewer samples are looked at."""

NOTICED: Final = 0.01
"""Relative error below which layers are not told apart: rounding to int8 alone leaves as much."""


@dataclass(frozen=True)
class LayerError:
    """How far the results of one layer are from those of the float network.

    Attributes:
        name: of the result in the lowered graph.
        kind: of the op; "INPUT" for the network's input.
        shape: of the result, without the batch.
        rmse: root mean square of the differences, in the unit of the result.
        relative: `rmse` ÷ root mean square of the float results; 0 where nothing differs, infinite
            where the float results are all zero and these are not.
        inputs_relative: the largest `relative` of what the layer is computed from, past layers
            that have no partner and layers whose float results are all zero.
        cosine: similarity of all results to the float ones, −1 to 1; 1 where both are zero.
        saturated: the share of values that the range of their type cut off: they stand at its end,
            and the float ones lie more than one step of the scale beyond. The zeros of a ReLU
            stand at an end, too, and lose nothing.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    rmse: float
    relative: float
    inputs_relative: float
    cosine: float
    saturated: float


@dataclass(frozen=True)
class Parting:
    """The layers that both graphs have, in the order of the lowered one.

    Attributes:
        layers: their errors; the first are the network's inputs.
        only_reference: ops of the float graph that have no partner in the lowered one.
        only_lowered: ops of the lowered graph that have none in the float one.
    """

    layers: tuple[LayerError, ...]
    only_reference: int
    only_lowered: int


def parting(reference: Model, lowered: Model, x: Array, cache: Cache) -> Parting:
    """The error of each layer of a lowered model against the same model in float32, made once.

    Layers that only one of the graphs has, e.g. since a sequence changed them, are left out and
    counted. Results that are no real numbers, such as places, are left out.

    Args:
        reference: the trained model, lowered by the component float32.
        lowered: the same model lowered in another way, or scheduled.
        x: samples as the network takes them, (N, …), several inputs side by side, of which 64 are
            looked at, evenly spread.
        cache: where the result is kept.

    Raises:
        InvalidData: the samples do not fit, or there is none.
    """
    graphs = program_of(reference).graph, program_of(lowered).graph
    check_samples(x)
    # The fingerprint of a graph leaves out names, which the result holds.
    names = tuple(tensor.name for tensor in graphs[1].tensors)
    prints = tuple(graph.fingerprint() for graph in graphs)
    key = key_of("parting", prints, names, samples_key(x), code_version(__name__))
    kept = remembered(cache, key, lambda: asdict(_measured(*graphs, x)))
    return Parting(
        layers=tuple(_layer(entry) for entry in kept["layers"]),
        only_reference=kept["only_reference"],
        only_lowered=kept["only_lowered"],
    )


def first_parting(layers: Sequence[LayerError]) -> LayerError | None:
    """The layer at which the error grows most against that of what it is computed from.

    Growth is a ratio, as in dB: each layer hands on the error it is given, so the one at fault is
    where the error multiplies, and not where it is largest. Errors under 1 % count as 1 %, since
    from none to that is what rounding to int8 does and no fault; None if no error grows beyond it.
    Of equal ones the first. A layer whose float results are all zero has no relative error to
    compare; what it spoils is seen at its readers.
    """
    worst = max(filter(_comparable, layers), key=growth_db, default=None)
    return worst if worst is not None and growth_db(worst) > 0 else None


def growth_db(layer: LayerError) -> float:
    """How much larger a layer's relative error is than that of what it is computed from, in dB."""
    before, after = max(layer.inputs_relative, NOTICED), max(layer.relative, NOTICED)
    # Behind what is no number nothing grows.
    return 0.0 if math.isinf(before) else 20 * math.log10(after / before)


def told(layer: LayerError) -> str:
    """A layer and its error in one sentence for the user."""
    shape = "×".join(map(str, layer.shape or (1,)))
    sentence = f"{layer.name} ({layer.kind} {shape}): error "
    sentence += f"{_percent(layer.inputs_relative)} → {_percent(layer.relative)}"
    if layer.saturated:
        sentence += f", {_percent(layer.saturated)} of its values saturate"
    return sentence


def _percent(share: float) -> str:
    """A share in percent with two digits: "0 %", ".4 %", "7.1 %", "130 %"."""
    if not math.isfinite(share):
        return "infinite"
    value = float(f"{100 * share:.2g}") if share < 1 else round(100 * share)
    return f"{np.format_float_positional(value, trim='-')} %".removeprefix("0" * (0 < value < 1))


def _layer(entry: dict[str, Any]) -> LayerError:
    return LayerError(**{**entry, "shape": tuple(entry["shape"])})


def _measured(reference: Graph, lowered: Graph, x: Array) -> Parting:
    """The errors of all pairs whose results are real numbers."""
    matching = match(reference, lowered)
    pairs = matching.pairs
    real_ones = [pair for pair in pairs if reference.tensors[pair.reference].dtype == "float32"]
    each = 4 * sum(reference.tensors[pair.reference].size for pair in real_ones)
    count = min(len(x), MOST_SAMPLES, max(1, MOST_BYTES // max(each, 1)))
    x = x[np.linspace(0, len(x) - 1, count).astype(int)]
    before = _values(reference, [pair.reference for pair in real_ones], x)
    after = _values(lowered, [pair.lowered for pair in real_ones], x)
    errors: dict[int, float] = {}
    layers = []
    for place, pair in enumerate(pairs):
        handed = max((errors[source] for source in pair.sources), default=0.0)
        errors[place] = handed
        if pair.reference in before:
            layer = _error(pair.kind, handed, before[pair.reference], after[pair.lowered])
            errors[place] = layer.relative if _comparable(layer) else handed
            layers.append(layer)
    return Parting(tuple(layers), matching.only_reference, matching.only_lowered)


def _comparable(layer: LayerError) -> bool:
    """Whether a relative error means anything: a float result of zeros only has no size."""
    return math.isfinite(layer.relative) or not math.isfinite(layer.rmse)


_Values = tuple[Port, Array]
"""Where a tensor lies, and what it holds for each sample, as stored: (N, …)."""


def _values(graph: Graph, tensors: Sequence[int], x: Array) -> dict[int, _Values]:
    """What tensors of a graph hold for samples (N, …)."""
    given = [graph.tensors[start] for start in graph.inputs]
    ports = [Port(one.name, 0, one.shape, one.dtype, one.quantization) for one in given]
    samples = stored_rows(x, ports)
    found: dict[int, _Values] = dict(
        zip(graph.inputs, zip(ports, samples, strict=True), strict=True)
    )
    computed = tuple(index for index in tensors if index not in graph.inputs)
    if computed:
        shown = replace(graph, outputs=computed)
        sources = generate(shown, plain_schedule(shown))
        values = build_host(sources).predict_all(samples)
        found.update(zip(computed, zip(sources.outputs, values, strict=True), strict=True))
    return found


def _error(kind: str, handed: float, original: _Values, found: _Values) -> LayerError:
    """The figures of one layer."""
    port, values = found
    before = real(original[1], original[0]).reshape(len(values), -1)
    after = real(values, port).reshape(len(values), -1)
    rmse = rms(difference(before, after))
    return LayerError(
        name=port.name,
        kind=kind,
        shape=sample_shape(port),
        rmse=rmse,
        relative=ratio(rmse, rms(np.where(np.isfinite(before), before, 0.0))),
        inputs_relative=handed,
        cosine=_cosine(before, after),
        saturated=_saturated(before, values.reshape(len(values), -1), port),
    )


def _cosine(before: Array, after: Array) -> float:
    """Of the angle between two arrays, each as one vector; of what is not finite, 0."""
    one, other = before.reshape(-1).astype(np.float64), after.reshape(-1).astype(np.float64)
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return 0.0
    size = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    if not size:
        return float(not one.any() and not other.any())
    return min(1.0, max(-1.0, float(one @ other) / size))


def _saturated(before: Array, values: Array, port: Port) -> float:
    """The share of stored values that the range of their type cut off."""
    if port.quantization is None or port.dtype.startswith("float"):
        return 0.0
    limits = np.iinfo(port.dtype)
    low, high = real(np.array([limits.min, limits.max], port.dtype), port)
    step = port.quantization.scale
    below = (values == limits.min) & (before < low - step)
    above = (values == limits.max) & (before > high + step)
    return float(np.mean(below | above))
