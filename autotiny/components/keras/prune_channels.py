"""Remove the channels with the smallest L1 norm: shapes really shrink, and with them every cost.

Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017. Channels that a residual sum or a
depthwise convolution ties together go together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from autotiny.checked import Within
from autotiny.components.base import Component, Work
from autotiny.components.keras._channels import in_multiples, narrowed, tied_channels
from autotiny.components.keras._rewriting import rewrite
from autotiny.components.keras._tuning import fine_tuned
from autotiny.errors import NotApplicable
from autotiny.graph import Array
from autotiny.model import Level, Model


@dataclass(frozen=True)
class PruneChannels(Component):
    """Removes a share of the channels of every convolution and hidden dense layer.

    Attributes:
        ratio: share of each layer's channels that go.
        multiple: the number that stays is the nearest multiple of it, or all. Kernels compute four
            channels at a time, so that nine may take longer than twelve.
    """

    name = "prune_channels"
    level = Level.KERAS
    trains = True
    not_after = {  # noqa: RUF012 - a constant of the class
        "cluster_weights": "fine-tuning would dissolve its clusters",
    }

    ratio: Annotated[float, Within(ge=0, le=1)] = 0.25
    multiple: Annotated[int, Within(ge=1, le=64)] = 4

    def apply(self, model: Model, work: Work) -> Model:
        """The narrower model, fine-tuned."""
        ties = tied_channels(model.keras)
        kept = {group: self._strongest(scores) for group, scores in ties.scores().items()}
        if all(mask.all() for mask in kept.values()):
            raise NotApplicable(
                f"prune_channels: a ratio of {self.ratio} removes none of the channels that may "
                f"go, where multiples of {self.multiple} stay"
            )
        network = rewrite(model.keras, lambda layer: narrowed(layer, ties, kept))
        return fine_tuned(network, model, work)

    def _strongest(self, scores: Array) -> Array:
        """True for the channels that stay."""
        wanted = len(scores) - int(self.ratio * len(scores))
        stay = in_multiples(wanted, len(scores), self.multiple)
        mask = np.zeros(len(scores), bool)
        mask[np.argsort(-scores, kind="stable")[:stay]] = True
        return mask
