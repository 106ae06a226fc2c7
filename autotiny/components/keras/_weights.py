"""Facts about the weights of a Keras model: which are kernels, how sparse, in how many values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from autotiny.graph import Array
from autotiny.model import keras


def kernels(network: Any) -> Iterator[tuple[Any, Array]]:
    """Each convolution and dense layer with its kernel; the small depthwise ones are left out.

    Convolution kernels are (height, width, in, out), dense ones (in, out).
    """
    layers = keras().layers
    for layer in network.layers:
        plain = isinstance(layer, (layers.Conv1D, layers.Conv2D, layers.Dense))
        if plain and not isinstance(layer, layers.DepthwiseConv2D):
            yield layer, layer.kernel.numpy()


def sparsity(network: Any) -> float:
    """Share of zeros among the kernels' weights."""
    found = [kernel for _, kernel in kernels(network)]
    total = sum(kernel.size for kernel in found)
    return sum(int((kernel == 0).sum()) for kernel in found) / total if total else 0.0


def most_clusters(network: Any) -> int:
    """Distinct values in the kernel that has most of them."""
    return max((len(np.unique(kernel)) for _, kernel in kernels(network)), default=0)
