"""Train a network once for all widths and depths, and take the one that is wanted out of it.

Cai et al., "Once-for-All", ICLR 2020: the elastic training is shared by all widths and depths, and
a subnetwork needs no training of its own, only the statistics of its normalizations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny.checked import Within
from autotiny.components.base import Component, Work
from autotiny.components.keras._elastic import SMALLEST_WIDTH, Elastic, recalibrate, trained
from autotiny.components.keras._tuning import changed
from autotiny.errors import NotApplicable
from autotiny.model import Level, Model

ONE_PORT = "select_subnetwork: it trains networks of one input and one output"


@dataclass(frozen=True)
class SelectSubnetwork(Component):
    """Keeps the strongest channels of every layer, and the first blocks of every stage.

    Attributes:
        width: share of each layer's channels that stay, 0.25 to 1.
        multiple: the number that stays is the nearest multiple of it, or all, as in prune_channels.
        depth: share of the removable blocks that stay, 0 to 1. Removable is what stands beside an
            identity shortcut, and a layer of stride 1 that keeps its number of channels.
    """

    name = "select_subnetwork"
    level = Level.KERAS
    trains = True
    one_port = True
    not_after = {  # noqa: RUF012 - a constant of the class
        "cluster_weights": "the elastic training would dissolve its clusters",
    }

    width: Annotated[float, Within(gt=0, le=1)] = 0.5
    depth: Annotated[float, Within(ge=0, le=1)] = 1.0
    multiple: Annotated[int, Within(ge=1, le=64)] = 4

    def apply(self, model: Model, work: Work) -> Model:
        """The subnetwork, with weights of the elastic training."""
        if self.width < SMALLEST_WIDTH:
            raise NotApplicable(
                f"select_subnetwork: a width of {self.width} is below {SMALLEST_WIDTH}, the "
                "smallest that is trained"
            )
        if len(model.keras.inputs) > 1 or len(model.keras.outputs) > 1:
            raise NotApplicable(ONE_PORT)
        elastic = Elastic.of(model.keras)
        kept = elastic.kept(self.width, self.multiple)
        whole = all(mask.all() for mask in kept.values())
        if whole and not elastic.left_out(self.depth):
            raise NotApplicable(
                f"select_subnetwork: a width of {self.width} and a depth of {self.depth} keep all "
                f"channels and all of the {len(elastic.blocks)} removable blocks"
            )
        network = trained(model, elastic, work).keras
        network = elastic.subnetwork(network, kept, self.depth)
        recalibrate(network, work)
        return changed(network, model)
