"""Split dense layers and 1×1 convolutions into two through a narrow middle.

Denton et al., "Exploiting Linear Structure Within Convolutional Networks", NIPS 2014: the truncated
singular value decomposition of the weight matrix is the start of a fine-tune.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autotiny.components.base import Component, Work
from autotiny.components.rewriting import NewLayer, rewrite
from autotiny.components.tuning import fine_tuned
from autotiny.errors import NotApplicable
from autotiny.model import Level, Model, keras


@dataclass(frozen=True)
class FactorizeLowRank(Component):
    """Replaces dense layers and 1×1 convolutions by two where that takes fewer weights.

    Attributes:
        rank: width of the middle, as a share of the full rank, 0 to 1.
    """

    name = "factorize_low_rank"
    level = Level.KERAS
    trains = True
    forbids_before = {  # noqa: RUF012 - a constant of the class
        "cluster_weights": "fine-tuning would dissolve its clusters",
    }

    rank: float = 0.5

    def apply(self, model: Model, work: Work) -> Model:
        """The model with factorized layers, fine-tuned."""
        chosen = [layer.name for layer in model.network.layers if self._pays(layer)]
        if not chosen:
            raise NotApplicable(
                f"factorize_low_rank: no dense layer or 1×1 convolution has fewer weights at "
                f"{self.rank:.0%} of its rank"
            )
        network = rewrite(
            model.network, lambda layer: self._factors(layer) if layer.name in chosen else None
        )
        return fine_tuned(network, model, work)

    def _middle(self, layer: Any) -> int:
        return max(1, round(self.rank * int(min(layer.kernel.shape[-2:]))))

    def _pays(self, layer: Any) -> bool:
        layers = keras().layers
        pointwise = type(layer) is layers.Conv2D and layer.kernel_size == (1, 1)
        if type(layer) is not layers.Dense and not (pointwise and layer.groups == 1):
            return False
        reads, gives = layer.kernel.shape[-2:]
        return bool(self._middle(layer) * (reads + gives) < reads * gives)

    def _factors(self, layer: Any) -> list[NewLayer]:
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
