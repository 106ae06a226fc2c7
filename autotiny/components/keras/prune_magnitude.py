"""Set the weights of smallest magnitude to zero, more and more of them while fine-tuning.

Zhu and Gupta, "To Prune, or Not to Prune", 2017: polynomial decay, through TensorFlow's model
optimization toolkit. Zeros pay only where a later step uses them (sparse kernels, entropy coding).
Which layers bear most of them, HAQ lets an agent learn of bit widths (Wang et al., CVPR 2019, arXiv
1811.08886); here the effect on the loss is measured, and an integer program decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np

from autotiny.checked import Within
from autotiny.components.base import Component, Work
from autotiny.components.keras._allocating import Budget, allocated
from autotiny.components.keras._sensitivity import Kernels, sensitivities
from autotiny.components.keras._tuning import BATCH, fine_tune
from autotiny.components.keras._weights import kernels, positions, sparsity
from autotiny.errors import BrokenPromise, NotApplicable
from autotiny.graph import Array
from autotiny.model import (
    KerasLayer,
    KerasModel,
    Level,
    Model,
    copy_network,
    keras,
    steps_per_epoch,
    successor,
)

MOST_MASK_UPDATES = 100
BLOCK = 4
SMALLEST_KERNEL = 64
SMALLEST_SHARE = 0.01
"""Kernels with fewer weights, or less of all weights, stay dense: nothing is to be won there, and
much to be lost."""

SHARES = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Shares of a layer's weights of which the effect is measured."""


@dataclass(frozen=True)
class PruneMagnitude(Component):
    """Zeroes a share of every convolution's and dense layer's weights.

    Attributes:
        sparsity: share of zeros; always 0.5 with pattern "2:4".
        pattern: what is zeroed at once: single weights ("element"), runs of 4 along the input of
            dense layers ("block"; convolutions by single weights), or 2 of every 4 ("2:4").
        budget: what has that share of zeros: each "layer", as with pattern "2:4" always; or all
            together, so that no more "weights" are left, or "macs" (multiply-accumulates) by them,
            than if each layer had, and the loss on training samples grows least.
    """

    name = "prune_magnitude"
    later = frozenset({"budget"})
    level = Level.KERAS
    trains = True
    not_after = {  # noqa: RUF012 - a constant of the class
        "cluster_weights": "fine-tuning would dissolve its clusters",
    }

    sparsity: Annotated[float, Within(ge=0, lt=1)] = 0.5
    pattern: Literal["element", "block", "2:4"] = "element"
    budget: Budget = "layer"

    def __post_init__(self) -> None:
        super().__post_init__()
        # The pattern decides the sparsity: two recipes that mean the same must be equal.
        if self.pattern == "2:4":
            object.__setattr__(self, "sparsity", 0.5)
            object.__setattr__(self, "budget", "layer")

    def apply(self, model: Model, work: Work) -> Model:
        """The model with zeros, fine-tuned around them."""
        found = list(kernels(model.keras))
        least = max(SMALLEST_KERNEL, SMALLEST_SHARE * sum(kernel.size for _, kernel in found))
        chosen = {
            layer.name: self.sparsity for layer, kernel in found if self._worth(kernel, least)
        }
        if not chosen:
            raise NotApplicable(f"prune_magnitude: no kernel has {SMALLEST_KERNEL} weights")
        if sparsity(model.keras) >= self.sparsity:
            raise NotApplicable(f"prune_magnitude: already {sparsity(model.keras):.0%} zeros")
        if self.budget != "layer":
            chosen = self._allocated(model, work, list(chosen))
        if work.rehearse or work.epochs == 0:
            network = copy_network(model.keras)
            for layer, kernel in kernels(network):
                if layer.name in chosen:
                    layer.kernel.assign(kernel * self._mask(kernel, chosen[layer.name]))
        else:
            network = self._trained(model.keras, chosen, work)
        reached = sparsity(network)
        for layer, kernel in kernels(network):
            zeros, asked = float((kernel == 0).mean()), chosen.get(layer.name, 0.0)
            if zeros < 0.9 * asked:
                raise BrokenPromise(f"prune_magnitude reached {zeros:.2f} instead of {asked}")
        traits = replace(model.traits, sparsity=round(reached, 4))
        return replace(successor(model, network), traits=traits)

    def _allocated(self, model: Model, work: Work, names: Sequence[str]) -> dict[str, float]:
        """The share of zeros of each layer, so that the loss grows least; without those of none."""
        layers = dict.fromkeys(names)
        pruned = [(one, kernel) for one, kernel in kernels(model.keras) if one.name in layers]
        shares = sorted({*SHARES, self.sparsity})

        def with_zeros(part: int, share: float) -> Kernels:
            layer, kernel = pruned[part]
            return {layer.name: kernel * self._mask(kernel, share)}

        asker = f"{self.name} {self.pattern}"
        losses = sensitivities(model, work, asker, [shares] * len(pruned), with_zeros)
        sizes = [
            kernel.size * (positions(layer) if self.budget == "macs" else 1)
            for layer, kernel in pruned
        ]
        cost: dict[tuple[int, ...], Array] = {
            (part,): size * (1 - np.array(shares)) for part, size in enumerate(sizes)
        }
        places = allocated(losses, cost, [shares.index(self.sparsity)] * len(pruned))
        found = {one.name: shares[place] for (one, _), place in zip(pruned, places, strict=True)}
        return {name: share for name, share in found.items() if share > 0}

    def _worth(self, kernel: Array, least: float) -> bool:
        return kernel.size >= least and (self.pattern != "2:4" or kernel.shape[-2] % 4 == 0)

    def _trained(self, network: KerasModel, chosen: Mapping[str, float], work: Work) -> KerasModel:
        import tensorflow_model_optimization as tfmot

        pruning = tfmot.sparsity.keras
        steps = steps_per_epoch(len(work.data.x_train), BATCH)
        # The ramp ends before the epochs that may win, so that no half-pruned one does.
        ramp = max(1, work.epochs // 2)
        end = ramp * steps if work.epochs > 1 else max(1, round(0.7 * steps))

        def schedule(share: float) -> object:
            return pruning.PolynomialDecay(
                initial_sparsity=0.0,
                final_sparsity=share,
                begin_step=0,
                end_step=end,
                # The toolkit's default of 100 would leave a short fine-tune unpruned.
                frequency=max(1, end // MOST_MASK_UPDATES),
            )

        def wrap(layer: KerasLayer) -> object:
            # A wrapper trains the layer it is given: it must not be the caller's.
            # The toolkit takes a kernel of one column for a vector, which has no blocks.
            dense = isinstance(layer, keras().layers.Dense) and layer.units > 1
            share = chosen.get(layer.name)
            layer = layer.__class__.from_config(layer.get_config())
            if share is None:
                return layer
            ramped = schedule(share)
            if self.pattern == "2:4":
                return pruning.prune_low_magnitude(layer, ramped, sparsity_m_by_n=(2, 4))
            block = (BLOCK, 1) if self.pattern == "block" and dense else (1, 1)
            return pruning.prune_low_magnitude(layer, ramped, block_size=block)

        wrapped = keras().models.clone_model(network, clone_function=wrap)
        _take_weights(network, wrapped)
        fine_tune(
            wrapped,
            work,
            first_best=ramp if work.epochs > 1 else 0,
            callbacks=[pruning.UpdatePruningStep()],
        )
        stripped = pruning.strip_pruning(wrapped)
        # Wrappers leave layers whose configuration still names them; a clone is plain again.
        return copy_network(stripped)

    def _mask(self, kernel: Array, share: float) -> Array:
        """Ones for the weights that stay, as the schedule's last step would choose them."""
        size = np.abs(kernel)
        if self.pattern == "2:4":
            return _two_of_four(size)
        if self.pattern == "block" and kernel.ndim == 2:
            rows = -(-kernel.shape[0] // BLOCK) * BLOCK
            padded = np.zeros((rows, kernel.shape[1]), size.dtype)
            padded[: len(size)] = size
            blocks = padded.reshape(-1, BLOCK, kernel.shape[1]).mean(axis=1)
            size = np.repeat(blocks, BLOCK, axis=0)[: len(size)]
        threshold = np.sort(size, axis=None)[min(round(share * size.size), size.size - 1)]
        kept: Array = (size >= threshold) & (size > 0)
        return kept.astype(kernel.dtype)


def _two_of_four(size: Array) -> Array:
    """Ones for the two largest of every four along the input axis."""
    groups = np.moveaxis(size, -2, -1).reshape(-1, 4)
    order = np.argsort(groups, axis=1, kind="stable")
    mask = np.zeros_like(groups)
    np.put_along_axis(mask, order[:, 2:], 1, axis=1)
    shape = np.moveaxis(size, -2, -1).shape
    return np.moveaxis(mask.reshape(shape), -1, -2)


def _take_weights(source: KerasModel, wrapped: KerasModel) -> None:
    """Gives wrapped layers the weights of the layers they wrap."""
    plain = {layer.name: layer for layer in source.layers}
    for layer in wrapped.layers:
        inner = getattr(layer, "layer", layer)
        if inner.name in plain and inner.weights:
            count = len(plain[inner.name].get_weights())
            for variable, value in zip(
                inner.weights[:count], plain[inner.name].get_weights(), strict=True
            ):
                variable.assign(value)
