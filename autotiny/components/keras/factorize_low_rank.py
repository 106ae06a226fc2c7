"""Split dense layers and 1×1 convolutions into two through a narrow middle.

Denton et al., "Exploiting Linear Structure Within Convolutional Networks", NIPS 2014: the truncated
singular value decomposition of the weight matrix is the start of a fine-tune. Which rank each layer
gets, AMC and HAQ let agents learn of ratios and bit widths (He et al., ECCV 2018, arXiv 1802.03494;
Wang et al., CVPR 2019, arXiv 1811.08886); here the effect on the loss is measured, and an integer
program decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, TypeGuard

import numpy as np

from autotiny.checked import Within
from autotiny.components.base import Work
from autotiny.components.keras._allocating import Budget, allocated
from autotiny.components.keras._alone import faster
from autotiny.components.keras._replacing import Replacing
from autotiny.components.keras._rewriting import NewLayer
from autotiny.components.keras._sensitivity import Kernels, sensitivities
from autotiny.components.keras._weights import mixes_channels, plain_convolution, positions
from autotiny.graph import Array
from autotiny.model import KerasLayer, KernelLayer, Model, keras

RANKS = tuple(k / 8 for k in range(7, 0, -1))
"""Shares of a layer's rank of which the effect is measured."""


@dataclass(frozen=True)
class FactorizeLowRank(Replacing):
    """Replaces dense layers and 1×1 convolutions by two where that takes fewer weights.

    Attributes:
        rank: width of the middle, as a share of the full rank.
        layers: "faster", those that take fewer cycles on the target so, each measured alone; or
            "smaller", all that have fewer weights so, also where no target is there to measure on.
        budget: what keeps to that share: each "layer"; or all together, so that no more "macs"
            (multiply-accumulates) or "weights" are left than if each layer did, and the loss on
            training samples grows least.
    """

    name = "factorize_low_rank"
    later = frozenset({"budget"})

    rank: Annotated[float, Within(gt=0, le=1)] = 0.5
    budget: Budget = "layer"

    @property
    def reads_weights(self) -> bool:
        """Whether what the result costs hangs on the values of the weights."""
        return self.budget != "layer"

    def chosen(self, model: Model, work: Work) -> Mapping[str, Sequence[NewLayer]]:
        """The layers that take the place of others, by the name of those."""
        alike = super().chosen(model, work)
        if self.budget == "layer":
            return alike
        treated = [layer for layer in model.keras.layers if mixes_channels(layer)]
        every = ((layer, self._splits(layer, model, work)) for layer in treated)
        parts = [(layer, splits) for layer, splits in every if splits]
        widths = [[full_rank(layer), *sorted(splits, reverse=True)] for layer, splits in parts]

        def split(part: int, width: int) -> Kernels:
            """The kernel that two layers come to."""
            layer, splits = parts[part]
            narrow, wide = splits[width]
            assert narrow.weights is not None and wide.weights is not None
            product = narrow.weights[0].reshape(-1, width) @ wide.weights[0].reshape(width, -1)
            return {layer.name: product.reshape(layer.kernel.shape)}

        losses = sensitivities(model, work, self.name, widths, split)
        cost: dict[tuple[int, ...], Array] = {}
        equal = []
        for part, ((layer, _), some) in enumerate(zip(parts, widths, strict=True)):
            reads, gives = layer.kernel.shape[-2:]
            weights = [reads * gives, *(width * (reads + gives) for width in some[1:])]
            cost[part,] = np.array(weights) * (positions(layer) if self.budget == "macs" else 1)
            equal.append(some.index(self._middle(layer)) if layer.name in alike else 0)
        places = allocated(losses, cost, equal)
        return {
            layer.name: splits[some[place]]
            for (layer, splits), some, place in zip(parts, widths, places, strict=True)
            if place
        }

    def _splits(self, layer: KerasLayer, model: Model, work: Work) -> dict[int, Sequence[NewLayer]]:
        """What can take the place of a layer and pays, by the width of the middle."""
        found: dict[int, Sequence[NewLayer]] = {}
        target = work.target if self.measures else None
        for rank in {*RANKS, self.rank}:
            one = replace(self, rank=rank)
            if one.pays(layer):
                instead = one.instead(layer)
                if target is None or faster(layer, instead, model.keras, target, work.cache):
                    found[one._middle(layer)] = instead
        return found

    @property
    def refusal(self) -> str:
        """Why it changes nothing, where it pays for no layer."""
        return f"no dense layer or 1×1 convolution has fewer weights at {self.rank:.0%} of its rank"

    def _middle(self, layer: KernelLayer) -> int:
        return max(1, round(self.rank * full_rank(layer)))

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


def full_rank(layer: KernelLayer) -> int:
    """The most that the rank of a layer's matrix can be."""
    return int(min(layer.kernel.shape[-2:]))
