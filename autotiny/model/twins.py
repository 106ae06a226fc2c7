"""Whether a converted network computes what its original does: both are run on the same inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from autotiny.errors import InvalidModel
from autotiny.graph import Array
from autotiny.model.doors import keras, tensorflow
from autotiny.model.kerastypes import KerasModel

SAMPLES = 8
TOLERANCE = 1e-3
"""Of the largest value: above what the order of float32 sums makes, below another function."""

LARGEST_INTEGER = 16


def check_twins(original: Any, twin: KerasModel) -> None:
    """Refuse a converted network that computes something else than its original.

    Both are run on seeded inputs, as for inference, and compared layer by layer: behind a saturated
    softmax all networks are alike. Then the twin is run as for training.

    Args:
        original: of Keras 3.
        twin: of tf_keras, with the same names of layers.

    Raises:
        InvalidModel: naming the first layer that differs, and by how much.
    """
    inputs = drawn(original)
    names = [name for name in _single(original) if name in _single(twin)]
    try:
        theirs, ours = (_results(network, names, inputs) for network in (original, twin))
    except (ValueError, AttributeError):
        # A nested network's own results are not those of its call in this one.
        names = []
        theirs, ours = ([_run(network, inputs)] for network in (original, twin))
    for name, one, other in zip([*names, ""], theirs, ours, strict=True):
        gap = _apart(one, other)
        if gap:
            kind = type(original.get_layer(name)).__name__ if name else ""
            what = f"layer {name!r}, a {kind}," if name else f"the network {original.name!r}"
            raise InvalidModel(
                f"{what} computes something else in Keras 2, by up to {100 * gap:.2g} % of its "
                "largest value; replace it, or give the network as a SavedModel: "
                "model.export('folder')"
            )
    _check_training(twin, inputs)


def _single(network: Any) -> list[str]:
    """The layers that are called once and give one result, which can be looked at."""
    found = []
    for layer in network.layers:
        output = getattr(layer, "output", None) if len(layer._inbound_nodes) == 1 else None
        if output is not None and not isinstance(output, (list, tuple, dict)):
            found.append(layer.name)
    return found


def _results(network: Any, names: list[str], inputs: list[Array]) -> list[list[Array]]:
    """The results of some layers, then those of the network."""
    looked_at = [network.get_layer(name).output for name in names]
    whole = _functional(network)(network.inputs, [*looked_at, *network.outputs])
    found = [np.asarray(one) for one in whole(list(inputs), training=False)]
    return [*([one] for one in found[: len(names)]), found[len(names) :]]


def drawn(network: Any) -> list[Array]:
    """Seeded inputs of a network's shapes and types; integers below what an embedding takes."""
    dice = np.random.default_rng(0)
    sizes = [size for size in (_embedded(layer) for layer in network.layers) if size]
    below = min([LARGEST_INTEGER, *sizes])
    found: list[Array] = []
    for tensor in network.inputs:
        shape = (SAMPLES, *(int(size) if size else 1 for size in tensor.shape[1:]))
        dtype = np.dtype(str(getattr(tensor.dtype, "name", tensor.dtype)))
        if dtype.kind in "iu":
            found.append(dice.integers(0, below, shape).astype(dtype))
        elif dtype.kind == "b":
            found.append(dice.integers(0, 2, shape).astype(bool))
        elif sizes:
            # Class numbers may come as floats.
            found.append(dice.integers(0, below, shape).astype(dtype))
        else:
            found.append(dice.normal(0, 2, shape).astype(dtype))
    return found


def _embedded(layer: Any) -> int:
    return int(getattr(layer, "input_dim", 0) or 0) if hasattr(layer, "output_dim") else 0


def _run(network: Any, inputs: list[Array], *, training: bool = False) -> list[Array]:
    given = inputs if len(inputs) > 1 else inputs[0]
    outputs = network(given, training=training)
    many = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [np.asarray(one) for one in many]


def _apart(theirs: list[Array], ours: list[Array]) -> float:
    """By how much outputs differ, relative to the largest value; 0 within the tolerance."""
    worst = 0.0
    for one, other in zip(theirs, ours, strict=True):
        if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
            return float("inf")
        largest = max(float(np.nanmax(np.abs(one), initial=0)), 1e-6)
        gap = float(np.nanmax(np.abs(one.astype(np.float64) - other), initial=0)) / largest
        worst = max(worst, gap)
    return worst if worst > TOLERANCE else 0.0


def _functional(network: Any) -> Any:
    """The class of functional models of the Keras that a network belongs to."""
    if type(network).__module__.startswith("keras.src"):
        import keras as keras3

        return keras3.Model
    return keras().Model


def _check_training(twin: KerasModel, inputs: list[Array]) -> None:
    """Refuse a network that cannot be run as for training."""
    tensorflow().random.set_seed(0)  # random layers want one where results repeat
    weights = twin.get_weights()
    try:
        _run(twin, inputs, training=True)
    except Exception as failure:
        reason = str(failure).splitlines()[0][:200] if str(failure) else type(failure).__name__
        raise InvalidModel(
            f"the network cannot be trained in Keras 2: {reason}; remove its training-only layers, "
            "or give it as a SavedModel: model.export('folder')"
        ) from failure
    # Normalizations have counted the batch in.
    twin.set_weights(weights)
