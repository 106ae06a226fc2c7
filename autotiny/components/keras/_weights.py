"""Facts about the weights of a Keras model: which are kernels, how sparse, in how many values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeGuard

import numpy as np

from autotiny.graph import Array
from autotiny.model import KerasLayer, KerasModel, KernelLayer, keras


def kernels(network: KerasModel) -> Iterator[tuple[KernelLayer, Array]]:
    """Each convolution and dense layer with its kernel; the small depthwise ones are left out.

    Convolution kernels are (height, width, in, out), dense ones (in, out).
    """
    layers = keras().layers
    for layer in network.layers:
        if has_kernel(layer) and not isinstance(layer, layers.DepthwiseConv2D):
            yield layer, layer.kernel.numpy()


def has_kernel(layer: KerasLayer) -> TypeGuard[KernelLayer]:
    """Whether a layer is a convolution or a dense layer, or of a kind derived from these."""
    layers = keras().layers
    return isinstance(layer, (layers.Conv1D, layers.Conv2D, layers.Dense))


def mixes_channels(layer: KerasLayer) -> TypeGuard[KernelLayer]:
    """Whether a layer is a convolution or a dense layer itself, of no kind derived from these."""
    layers = keras().layers
    return type(layer) in (layers.Conv1D, layers.Conv2D, layers.Dense)


def plain_convolution(layer: KerasLayer) -> TypeGuard[KernelLayer]:
    """Whether a layer is a convolution of images with all channels in one group."""
    return mixes_channels(layer) and type(layer) is keras().layers.Conv2D and layer.groups == 1


def positions(layer: KerasLayer) -> int:
    """How often a layer uses each of its weights when it is called."""
    return math.prod(layer.compute_output_shape(layer.get_input_shape_at(0))[1:-1])


def sparsity(network: KerasModel) -> float:
    """Share of zeros among the kernels' weights."""
    found = [kernel for _, kernel in kernels(network)]
    total = sum(kernel.size for kernel in found)
    return sum(int((kernel == 0).sum()) for kernel in found) / total if total else 0.0


def most_clusters(network: KerasModel) -> int:
    """Distinct values in the kernel that has most of them."""
    return max((len(np.unique(kernel)) for _, kernel in kernels(network)), default=0)
