"""What the components share that put several smaller layers in the place of a large one."""

from __future__ import annotations

from typing import ClassVar, TypeGuard

from autotiny.components.base import Component, Work
from autotiny.components.keras._rewriting import NewLayer, rewrite
from autotiny.components.keras._tuning import fine_tuned
from autotiny.errors import NotApplicable
from autotiny.model import KerasLayer, KernelLayer, Level, Model


class Replacing(Component):
    """A component that replaces each layer for which that pays, and fine-tunes the network."""

    level: ClassVar[Level] = Level.KERAS
    trains: ClassVar[bool] = True
    not_after: ClassVar[dict[str, str]] = {
        "cluster_weights": "fine-tuning would dissolve its clusters",
    }

    def apply(self, model: Model, work: Work) -> Model:
        """The model with other layers where they take fewer weights, fine-tuned."""
        chosen = {layer.name: layer for layer in model.keras.layers if self.pays(layer)}
        if not chosen:
            raise NotApplicable(f"{self.name}: {self.refusal}")

        def substitute(layer: KerasLayer) -> list[NewLayer] | None:
            return self.instead(chosen[layer.name]) if layer.name in chosen else None

        network = rewrite(model.keras, substitute)
        return fine_tuned(network, model, work)

    @property
    def refusal(self) -> str:
        """Why it changes nothing, where it pays for no layer."""
        raise NotImplementedError

    def pays(self, layer: KerasLayer) -> TypeGuard[KernelLayer]:
        """Whether a Keras layer can be replaced, and has fewer weights then."""
        raise NotImplementedError

    def instead(self, layer: KernelLayer) -> list[NewLayer]:
        """The layers that take its place, one after the other."""
        raise NotImplementedError
