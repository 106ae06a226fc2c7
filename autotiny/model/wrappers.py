"""What TensorFlow's model optimization toolkit wraps around layers while it trains them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autotiny.doors import keras
from autotiny.model.kerastypes import KerasLayer, KerasModel
from autotiny.model.levels import Traits
from autotiny.model.training import copy_network

PRUNING, CLUSTERING = "PruneLowMagnitude", "ClusterWeights"


def holds_quantizers(network: KerasModel) -> bool:
    """Whether layers simulate quantization, also in models inside this one."""
    return any(type(layer).__name__.startswith("Quantize") for layer in _layers(network))


def holds_training_wrappers(network: KerasModel) -> bool:
    """Whether layers are still wrapped for pruning or clustering."""
    return any(type(layer).__name__ in (PRUNING, CLUSTERING) for layer in _layers(network))


def stripped(network: KerasModel) -> tuple[KerasModel, Traits]:
    """A copy of a model without the wrappers of pruning and clustering, and what these made of it.

    Args:
        network: the model as it was trained; it stays as it is.
    """
    import tensorflow_model_optimization as tfmot

    wrapped = {
        kind: {_innermost(layer).name for layer in _layers(network) if type(layer).__name__ == kind}
        for kind in (PRUNING, CLUSTERING)
    }
    plain: KerasModel = tfmot.clustering.keras.strip_clustering(network)
    plain = copy_network(tfmot.sparsity.keras.strip_pruning(plain))
    kernels = {
        layer.name: layer.get_weights()[0]
        for layer in _layers(plain)
        if layer.name in wrapped[PRUNING] | wrapped[CLUSTERING] and layer.weights
    }
    pruned = [kernel for name, kernel in kernels.items() if name in wrapped[PRUNING]]
    clustered = [kernel for name, kernel in kernels.items() if name in wrapped[CLUSTERING]]
    zeros = sum(int((kernel == 0).sum()) for kernel in pruned)
    size = sum(kernel.size for kernel in pruned)
    return plain, Traits(
        sparsity=round(zeros / size, 4) if zeros else None,
        clusters=max((len(np.unique(kernel)) for kernel in clustered), default=None),
    )


def _layers(network: KerasModel) -> Iterator[KerasLayer]:
    """The layers of a model and of the models in it."""
    for layer in network.layers:
        yield layer
        if isinstance(layer, keras().Model):
            yield from _layers(layer)


def _innermost(layer: KerasLayer) -> KerasLayer:
    while hasattr(layer, "layer"):
        layer = layer.layer
    return layer
