"""Remove the channels with the smallest L1 norm: shapes really shrink, and with them every cost.

Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017. Channels that a residual sum or a
depthwise convolution ties together go together.

How many go from which layer, AMC lets an agent learn (He et al., "AutoML for Model Compression and
Acceleration on Mobile Devices", ECCV 2018, arXiv 1802.03494); here the effect on the loss is
measured, and an integer program decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from autotiny.checked import Within
from autotiny.components.base import Component, Work
from autotiny.components.keras._allocating import Budget, allocated
from autotiny.components.keras._channel_costs import channel_cost
from autotiny.components.keras._channels import Ties, in_multiples, narrowed, tied_channels
from autotiny.components.keras._rewriting import rewrite
from autotiny.components.keras._sensitivity import Kernels, sensitivities
from autotiny.components.keras._tuning import fine_tuned
from autotiny.components.keras._weights import kernels
from autotiny.errors import NotApplicable
from autotiny.graph import Array
from autotiny.model import Level, Model

RATIOS = tuple(k / 8 for k in range(8))
"""Shares of a layer's channels of which the effect is measured."""


@dataclass(frozen=True)
class PruneChannels(Component):
    """Removes a share of the channels of every convolution and hidden dense layer.

    Attributes:
        ratio: share of each layer's channels that go.
        multiple: the number that stays is the nearest multiple of it, or all. Kernels compute four
            channels at a time, so that nine may take longer than twelve.
        budget: what loses the share: each "layer"; or all together, so that no more "macs"
            (multiply-accumulates) or "weights" are left than if each layer did, and the loss on
            training samples grows least.
    """

    name = "prune_channels"
    later = frozenset({"budget"})
    level = Level.KERAS
    trains = True
    not_after = {  # noqa: RUF012 - a constant of the class
        "cluster_weights": "fine-tuning would dissolve its clusters",
    }

    ratio: Annotated[float, Within(ge=0, le=1)] = 0.25
    multiple: Annotated[int, Within(ge=1, le=64)] = 4
    budget: Budget = "layer"

    @property
    def reads_weights(self) -> bool:
        """Whether what the result costs hangs on the values of the weights."""
        return self.budget != "layer"

    def apply(self, model: Model, work: Work) -> Model:
        """The narrower model, fine-tuned."""
        ties = tied_channels(model.keras)
        scores = ties.scores()
        stay = {group: self._staying(len(some), self.ratio) for group, some in scores.items()}
        if all(stay[group] == len(some) for group, some in scores.items()):
            raise NotApplicable(
                f"prune_channels: a ratio of {self.ratio} removes none of the channels that may "
                f"go, where multiples of {self.multiple} stay"
            )
        if self.budget != "layer":
            stay = self._allocated(model, work, ties, stay)
        kept = {group: _strongest(some, stay[group]) for group, some in scores.items()}
        network = rewrite(model.keras, lambda layer: narrowed(layer, ties, kept))
        return fine_tuned(network, model, work)

    def _staying(self, size: int, ratio: float) -> int:
        """How many of a group's channels stay at a ratio."""
        return in_multiples(size - int(ratio * size), size, self.multiple)

    def _allocated(
        self, model: Model, work: Work, ties: Ties, equal: Mapping[int, int]
    ) -> dict[int, int]:
        """How many channels of each group stay, so that the loss grows least."""
        scores = ties.scores()
        counts = {
            group: sorted({equal[group], *(self._staying(len(some), r) for r in RATIOS)})[::-1]
            for group, some in scores.items()
        }
        groups, levels = list(counts), list(counts.values())

        def without(part: int, stay: int) -> Kernels:
            """The kernels that read a group, without its weakest channels."""
            group = groups[part]
            kept = {group: _strongest(scores[group], stay)}
            found = {}
            for layer, kernel in kernels(model.keras):
                if layer.name in ties.axis_in:
                    mask = ties.mask(ties.axis_in[layer.name], kept)
                    if not mask.all():
                        found[layer.name] = kernel * mask[:, None]
            return found

        losses = sensitivities(model, work, self.name, levels, without)
        alike = [some.index(equal[group]) for group, some in counts.items()]
        cost = channel_cost(model.keras, ties, counts, self.budget)
        places = allocated(losses, cost, alike)
        return {group: counts[group][place] for group, place in zip(groups, places, strict=True)}


def _strongest(scores: Array, stay: int) -> Array:
    """True for so many channels, those that stay."""
    mask = np.zeros(len(scores), bool)
    mask[np.argsort(-scores, kind="stable")[:stay]] = True
    return mask
