"""Split k×k convolutions into k×1 and 1×k ones through a narrow middle.

Jaderberg et al., "Speeding up Convolutional Neural Networks with Low Rank Expansions", BMVC 2014,
scheme 2.
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
class FactorizeSpatial(Replacing):
    """Replaces convolutions by a vertical and a horizontal one where that takes fewer weights.

    Attributes:
        rank: channels in the middle, as a share of the full rank.
        layers: "faster", those that take fewer cycles on the target so, each measured alone; or
            "smaller", all that have fewer weights so, also where no target is there to measure on.
    """

    name = "factorize_spatial"
    treats = CONVOLUTIONS

    rank: Annotated[float, Within(gt=0, le=1)] = 0.5

    @property
    def refusal(self) -> str:
        """Why it changes nothing, where it pays for no layer."""
        return f"no convolution has fewer weights at {self.rank:.0%} of its rank"

    def _middle(self, layer: KernelLayer) -> int:
        height, width, channels, filters = layer.kernel.shape
        return max(1, round(self.rank * int(min(height * channels, width * filters))))

    def pays(self, layer: KerasLayer) -> TypeGuard[KernelLayer]:
        """Whether a Keras layer can be replaced, and has fewer weights then."""
        if not plain_convolution(layer):
            return False
        height, width, channels, filters = layer.kernel.shape
        after = self._middle(layer) * (height * channels + width * filters)
        return bool(height > 1 < width and after < height * width * channels * filters)

    def instead(self, layer: KernelLayer) -> list[NewLayer]:
        """The layers that take its place, one after the other."""
        layers = keras().layers
        middle = self._middle(layer)
        vertical, horizontal = spatial_factors(layer.kernel.numpy(), middle)
        (height, width), (down, right) = layer.kernel_size, layer.strides
        far_down, far_right = layer.dilation_rate
        first = layers.Conv2D(
            middle, (height, 1), (down, 1), layer.padding, dilation_rate=(far_down, 1),
            use_bias=False, name=f"{layer.name}_vertical",
        )  # fmt: skip
        second = layers.Conv2D(
            layer.filters, (1, width), (1, right), layer.padding, dilation_rate=(1, far_right),
            activation=layer.activation, use_bias=layer.use_bias, name=f"{layer.name}_horizontal",
        )  # fmt: skip
        bias = [layer.bias.numpy()] if layer.use_bias else []
        return [NewLayer(first, [vertical]), NewLayer(second, [horizontal, *bias])]


def spatial_factors(kernel: Array, middle: int) -> tuple[Array, Array]:
    """The nearest vertical (h, 1, in, middle) and horizontal (1, w, middle, out) kernels.

    `kernel` is (h, w, in, out).
    """
    height, width, channels, filters = kernel.shape
    matrix = kernel.transpose(0, 2, 1, 3).reshape(height * channels, width * filters)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    share = np.sqrt(values[:middle])
    vertical = (left[:, :middle] * share).reshape(height, 1, channels, middle)
    horizontal = (right[:middle] * share[:, None]).reshape(middle, 1, width, filters)
    return vertical, horizontal.transpose(1, 2, 0, 3)
