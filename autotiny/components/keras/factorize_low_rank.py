"""Split dense layers and 1×1 convolutions into two through a narrow middle.

Denton et al., "Exploiting Linear Structure Within Convolutional Networks", NIPS 2014: the truncated
singular value decomposition of the weight matrix is the start of a fine-tune.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeGuard

import numpy as np

from autotiny.checked import Within
from autotiny.components.keras._replacing import Replacing
from autotiny.components.keras._rewriting import NewLayer
from autotiny.components.keras._weights import mixes_channels, plain_convolution
from autotiny.model import KerasLayer, KernelLayer, keras


@dataclass(frozen=True)
class FactorizeLowRank(Replacing):
    """Replaces dense layers and 1×1 convolutions by two where that takes fewer weights.

    Attributes:
        rank: width of the middle, as a share of the full rank.
        layers: "faster", those that take fewer cycles on the target so, each measured alone; or
            "smaller", all that have fewer weights so, also where no target is there to measure on.
    """

    name = "factorize_low_rank"

    rank: Annotated[float, Within(gt=0, le=1)] = 0.5

    @property
    def refusal(self) -> str:
        """Why it changes nothing, where it pays for no layer."""
        return f"no dense layer or 1×1 convolution has fewer weights at {self.rank:.0%} of its rank"

    def _middle(self, layer: KernelLayer) -> int:
        return max(1, round(self.rank * int(min(layer.kernel.shape[-2:]))))

    def pays(self, layer: KerasLayer) -> TypeGuard[KernelLayer]:
        """Whether a Keras layer can be replaced, and has fewer weights then."""
        if not mixes_channels(layer):
            return False
        pointwise = plain_convolution(layer) and layer.kernel_size == (1, 1)
        if type(layer) is not keras().layers.Dense and not pointwise:
            return False
        reads, gives = layer.kernel.shape[-2:]
        return bool(self._middle(layer) * (reads + gives) < reads * gives)

    def instead(self, layer: KernelLayer) -> list[NewLayer]:
        """The layers that take its place, one after the other."""
        layers = keras().layers
        kernel = layer.kernel.numpy()
        middle = self._middle(layer)
        left, values, right = np.linalg.svd(kernel.reshape(kernel.shape[-2:]), full_matrices=False)
        share = np.sqrt(values[:middle])
        narrow, wide = left[:, :middle] * share, right[:middle] * share[:, None]
        finish = {"activation": layer.activation, "use_bias": layer.use_bias}
        first_name, second_name = f"{layer.name}_narrow", f"{layer.name}_wide"
        if kernel.ndim == 2:
            first = layers.Dense(middle, use_bias=False, name=first_name)
            second = layers.Dense(layer.units, name=second_name, **finish)
        else:
            narrow, wide = narrow[None, None], wide[None, None]
            first = layers.Conv2D(
                middle, 1, layer.strides, layer.padding, use_bias=False, name=first_name
            )
            second = layers.Conv2D(layer.filters, 1, name=second_name, **finish)
        bias = [layer.bias.numpy()] if layer.use_bias else []
        return [NewLayer(first, [narrow]), NewLayer(second, [wide, *bias])]
