"""Whether two models compute the same: the original and its twin on random inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotiny.doors import keras, tensorflow
from autotiny.errors import InvalidModel
from autotiny.graph import Array
from autotiny.model.keras3.own import keras3_module
from autotiny.model.kerastypes import KerasModel, KerasTensor

SAMPLES = 7
"""A number that is rarely a size: Keras 3 confuses a batch with channels of the same number."""
TOLERANCE = 1e-4
"""Difference, as a share of the largest output, up to which two models compute the same."""

CANCELLED = 0.01
"""Share of the largest value before a layer below which its own results may be rounding."""

MOST_VALUES = 1 << 26
"""Results of all layers together, of all samples; with more only one sample is compared."""

ROUGH_TOLERANCE = 0.05
"""The same where the original computes in 16 bits, and its twin in 32."""


@dataclass(frozen=True)
class Pair:
    """A result of the original and what it became.

    Attributes:
        operation: what makes it in the original, of Keras 3.
        theirs: its symbolic tensors there.
        mine: those of the twin.
    """

    operation: Any
    theirs: Sequence[Any]
    mine: Sequence[KerasTensor]


def check_twin(
    network: Any,
    twin: KerasModel,
    pairs: Sequence[Pair],
    convert: Callable[[Any], KerasModel],
) -> None:
    """Compares a Keras 3 model with its twin on seeded random inputs, and runs it in training mode.

    Args:
        network: the functional model of Keras 3.
        twin: that of tf_keras.
        pairs: the results of both, each behind those that it is made of.
        convert: makes and checks the twin of a model inside this one, if that is what differs.

    Raises:
        InvalidModel: they differ, by the first layer that does; or training mode does not run.
    """
    if any(size is None for tensor in network.inputs for size in tensor.shape[1:]):
        # Such a model is refused by its shape soon.
        return
    each = [one for pair in pairs for one in pair.theirs]
    values = sum(math.prod(int(size or 1) for size in one.shape[1:]) for one in each)
    inputs = random_inputs(network, SAMPLES if values * SAMPLES <= MOST_VALUES else 1)
    _compare(network, twin, pairs, inputs, convert)
    if any(_random(layer) for layer in _flat(network)):
        _check_training(network.name, twin, inputs)


def _check_training(name: str, twin: KerasModel, inputs: Sequence[Array]) -> None:
    """Runs a model in training mode once, which must not change it."""
    weights = twin.get_weights()
    if _eager().global_seed() is None:
        # Deterministic ops refuse to draw without one.
        tensorflow().random.set_seed(0)
    try:
        twin(_call(inputs), training=True)
    except Exception as error:
        raise InvalidModel(
            f"model {name!r} does not run in training mode after its conversion to Keras 2: "
            f"{str(error).strip().splitlines()[0][:200]}"
        ) from error
    finally:
        # Batch normalization has counted the random inputs.
        twin.set_weights(weights)


def random_inputs(network: Any, samples: int = SAMPLES) -> list[Array]:
    """Seeded inputs of a Keras 3 model, each (samples, …), of its type and a range it may see."""
    rng = np.random.default_rng(0)
    flat = list(_flat(network))
    kinds = {type(layer).__name__ for layer in flat}
    limits = [
        int(size)
        for layer in flat
        for size in (getattr(layer, "input_dim", None), getattr(layer, "num_tokens", None))
        if isinstance(size, int)
    ]
    found = []
    for tensor in network.inputs:
        count = tensor.shape[0] or samples
        shape = (count, *tensor.shape[1:])
        dtype = str(tensor.dtype)
        if dtype == "bool":
            values: Array = rng.random(shape) < 0.5
        elif "int" in dtype or _looked_up(network, tensor):
            values = rng.integers(0, min([256, *limits]), shape)
        else:
            # Small, large and positive: the kinks of activations lie between -6 and 6.
            spread = np.resize([1.0, 4.0, 0.0], count).reshape(-1, *[1] * (len(shape) - 1))
            values = np.where(spread, rng.normal(size=shape) * spread, rng.random(shape))
            if kinds & {"Rescaling", "Normalization"} and len(shape) == 4:
                values = np.abs(values) * 60
            for layer in flat:
                if type(layer).__name__ == "Masking" and len(shape) > 2:
                    values[:, -1] = layer.mask_value
        found.append(values.astype(dtype if dtype != "bfloat16" else "float32"))
    return found


def _looked_up(network: Any, tensor: Any) -> bool:
    """Whether an input is read by an embedding, which takes floats for whole numbers."""
    readers = (
        layer
        for nodes in network._nodes_by_depth.values()
        for node in nodes
        for layer in [node.operation]
        if any(one is tensor for one in node.input_tensors)
    )
    for layer in readers:
        if type(layer).__name__ in ("Embedding", "CategoryEncoding"):
            return True
        if hasattr(layer, "layers") and any(
            type(inner).__name__ == "Embedding" for inner in layer.layers
        ):
            return True
    return False


def _flat(network: Any) -> Iterator[Any]:
    """All layers of a model, also those inside others."""
    return (layer for layer in network._flatten_layers(include_self=False))


def _rough(layer: Any) -> bool:
    return "16" in str(getattr(getattr(layer, "dtype_policy", None), "name", ""))


def _random(layer: Any) -> bool:
    seeded = any("seed_generator" in one.path for one in getattr(layer, "variables", ()))
    return seeded or "Random" in type(layer).__name__


def _call(inputs: Sequence[Array]) -> Any:
    return inputs[0] if len(inputs) == 1 else list(inputs)


def _eager() -> Any:
    tensorflow()
    from tensorflow.python.eager import context

    return context


def _theirs(network: Any, tensors: Sequence[Any], inputs: Sequence[Array]) -> list[Array]:
    keras3 = keras3_module()
    part = keras3.Model(list(network.inputs), list(tensors))
    results = keras3.tree.flatten(part(list(inputs), training=False))
    return [np.asarray(keras3.ops.convert_to_numpy(one)) for one in results]


def _mine(twin: KerasModel, tensors: Sequence[Any], inputs: Sequence[Array]) -> list[Array]:
    part = keras().Model(list(twin.inputs), list(tensors))
    results = tensorflow().nest.flatten(part(_call(inputs), training=False))
    return [np.asarray(one) for one in results]


def _gap(theirs: Array, mine: Array, allowed: float) -> str:
    """How two results differ, empty if they do not."""
    if theirs.shape != mine.shape:
        return f"its shape is {mine.shape[1:]} instead of {theirs.shape[1:]}"
    a, b = theirs.astype(np.float64), mine.astype(np.float64)
    known = np.isfinite(a)
    if not np.array_equal(a[~known], b[~known], equal_nan=True):
        return "it is finite where the original is not, or the other way round"
    gap = float(np.abs(a[known] - b[known]).max(initial=0.0))
    return "" if gap <= allowed else f"by up to {gap:.3g}, where the largest is {_largest(a):.3g}"


def _largest(values: Array) -> float:
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return float(np.abs(known.astype(np.float64)).max(initial=0.0))


def _compare(
    network: Any,
    twin: KerasModel,
    pairs: Sequence[Pair],
    inputs: Sequence[Array],
    convert: Callable[[Any], KerasModel],
) -> None:
    """Raises with the first layer whose result differs."""
    tolerance = ROUGH_TOLERANCE if any(map(_rough, _flat(network))) else TOLERANCE
    theirs = iter(_theirs(network, [one for pair in pairs for one in pair.theirs], inputs))
    mine = iter(_mine(twin, [one for pair in pairs for one in pair.mine], inputs))
    # What is left of large values that cancel out is their rounding.
    seen = max(map(_largest, inputs))
    for pair in pairs:
        for _ in pair.theirs:
            a, b = next(theirs), next(mine)
            allowed = tolerance * max(_largest(a), CANCELLED * seen)
            gap = _gap(a, b, allowed)
            seen = max(seen, _largest(a))
            if gap and hasattr(pair.operation, "layers"):
                convert(pair.operation)
            if gap:
                raise InvalidModel(
                    f"layer {pair.operation.name!r} is a {type(pair.operation).__name__}, which "
                    f"computes something else in Keras 2: it differs {gap}; "
                    "export the model with model.export('folder') and give that folder"
                )
            if any(tensor is output for tensor in pair.mine for output in twin.outputs):
                _check_rows(pair.operation.name, b, len(inputs[0]))


def _check_rows(layer: str, output: Array, samples: int) -> None:
    if output.shape[:1] != (samples,):
        raise InvalidModel(
            f"layer {layer!r} gives an output of shape {output.shape} for {samples} samples: "
            "something before it mixes samples, such as an operator on axis 0; firmware computes "
            "one sample at a time"
        )
