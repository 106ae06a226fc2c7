"""Replace convolutions by a depthwise and a pointwise one, the best of that form for their kernels.

Chollet, "Xception", CVPR 2017, for the form; Guo et al., "Network Decoupling", BMVC 2018, for its
start: the largest singular vectors of each input channel's (height × width, out) kernel matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeGuard

import numpy as np

from autotiny.checked import Within
from autotiny.components.base import CONVOLUTIONS
from autotiny.components.keras._replacing import Replacing
from autotiny.components.keras._rewriting import NewLayer
from autotiny.components.keras._weights import plain_convolution
from autotiny.graph import Array
from autotiny.model import KerasLayer, KernelLayer, keras


@dataclass(frozen=True)
class SeparateConvolutions(Replacing):
    """Splits each k×k convolution that gets smaller by it.

    Attributes:
        multiplier: depthwise channels an input channel, the rank of the approximation.
        layers: "faster", those that take fewer cycles on the target so, each measured alone; or
            "smaller", all that have fewer weights so, also where no target is there to measure on.
    """

    name = "separate_convolutions"
    treats = CONVOLUTIONS

    multiplier: Annotated[int, Within(ge=1, le=4096)] = 1

    @property
    def refusal(self) -> str:
        """Why it changes nothing, where it pays for no layer."""
        return (
            f"no convolution has fewer weights with {self.multiplier} depthwise channels an input "
            "channel"
        )

    def pays(self, layer: KerasLayer) -> TypeGuard[KernelLayer]:
        """Whether a Keras layer can be replaced, and has fewer weights then."""
        if not plain_convolution(layer):
            return False
        height, width, channels, filters = layer.kernel.shape
        even = len(set(layer.strides)) == 1 and len(set(layer.dilation_rate)) == 1
        middle = channels * self.multiplier
        before, after = height * width * channels * filters, middle * (height * width + filters)
        return even and height * width > 1 and self.multiplier <= height * width and after < before

    def instead(self, layer: KernelLayer) -> list[NewLayer]:
        """The layers that take its place, one after the other."""
        layers = keras().layers
        depthwise, pointwise = separated_kernels(layer.kernel.numpy(), self.multiplier)
        first = layers.DepthwiseConv2D(
            layer.kernel_size,
            layer.strides,
            layer.padding,
            depth_multiplier=self.multiplier,
            dilation_rate=layer.dilation_rate,
            use_bias=False,
            name=f"{layer.name}_depthwise",
        )
        second = layers.Conv2D(
            layer.filters,
            1,
            activation=layer.activation,
            use_bias=layer.use_bias,
            name=f"{layer.name}_pointwise",
        )
        bias = [layer.bias.numpy()] if layer.use_bias else []
        return [NewLayer(first, [depthwise]), NewLayer(second, [pointwise, *bias])]


def separated_kernels(kernel: Array, rank: int) -> tuple[Array, Array]:
    """The nearest depthwise (h, w, in, rank) and pointwise (1, 1, in × rank, out) kernels.

    `kernel` is (h, w, in, out); nearest in the sum of squared differences.
    """
    height, width, channels, filters = kernel.shape
    matrices = kernel.transpose(2, 0, 1, 3).reshape(channels, height * width, filters)
    left, values, right = np.linalg.svd(matrices, full_matrices=False)
    kept = min(rank, values.shape[1])
    share = np.sqrt(values[:, :kept])
    depthwise = np.zeros((channels, height * width, rank), np.float32)
    pointwise = np.zeros((channels, rank, filters), np.float32)
    depthwise[:, :, :kept] = left[:, :, :kept] * share[:, None, :]
    pointwise[:, :kept] = right[:, :kept] * share[:, :, None]
    return (
        depthwise.reshape(channels, height, width, rank).transpose(1, 2, 0, 3),
        pointwise.reshape(1, 1, channels * rank, filters),
    )
