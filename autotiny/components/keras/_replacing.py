"""What the components share that put several smaller layers in the place of a large one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeGuard

from autotiny.components.base import Component, Work
from autotiny.components.keras._alone import faster
from autotiny.components.keras._rewriting import NewLayer, rewrite
from autotiny.components.keras._tuning import fine_tuned
from autotiny.errors import NotApplicable
from autotiny.model import KerasLayer, KernelLayer, Level, Model


@dataclass(frozen=True)
class Replacing(Component):
    """A component that replaces each layer for which that pays, and fine-tunes the network.

    Attributes:
        layers: "smaller", those that have fewer weights then; or "faster", those of them that also
            take fewer cycles then, each measured alone on the target. Without a target to measure
            on, as in Python where none is given, all that are smaller.
    """

    level: ClassVar[Level] = Level.KERAS
    trains: ClassVar[bool] = True
    not_after: ClassVar[dict[str, str]] = {
        "cluster_weights": "fine-tuning would dissolve its clusters",
    }

    layers: Literal["faster", "smaller"] = field(default="faster", kw_only=True)

    @property
    def measures(self) -> bool:
        """Whether its result depends on the target."""
        return self.layers == "faster"

    def apply(self, model: Model, work: Work) -> Model:
        """The model with other layers where they pay, fine-tuned."""
        chosen = self.chosen(model, work)
        network = rewrite(model.keras, lambda layer: chosen.get(layer.name))
        return fine_tuned(network, model, work)

    def chosen(self, model: Model, work: Work) -> Mapping[str, Sequence[NewLayer]]:
        """The layers that take the place of others, by the name of those.

        Raises:
            NotApplicable: none pays.
        """
        smaller = [(layer, self.instead(layer)) for layer in model.keras.layers if self.pays(layer)]
        if not smaller:
            raise NotApplicable(f"{self.name}: {self.refusal}")
        target = work.target if self.measures else None
        chosen = {
            layer.name: instead
            for layer, instead in smaller
            if target is None or faster(layer, instead, model.keras, target, work.cache)
        }
        if not chosen:
            assert target is not None
            raise NotApplicable(
                f"{self.name}: no layer takes fewer cycles of {target.name} so; layers=smaller "
                "replaces those that get smaller"
            )
        return chosen

    @property
    def refusal(self) -> str:
        """Why it changes nothing, where it makes no layer smaller."""
        raise NotImplementedError

    def pays(self, layer: KerasLayer) -> TypeGuard[KernelLayer]:
        """Whether a Keras layer can be replaced, and has fewer weights then."""
        raise NotImplementedError

    def instead(self, layer: KernelLayer) -> list[NewLayer]:
        """The layers that take its place, one after the other."""
        raise NotImplementedError
