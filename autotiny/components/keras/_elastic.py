"""A network that is trained once for all the widths and depths at which it may be used.

Cai et al., "Once-for-All", ICLR 2020; Yu and Huang, "Universally Slimmable Networks", ICCV 2019:
each step trains the largest, a narrowest and random subnetworks with the same weights. A width is a
share of the channels of each layer, the strongest; a depth a share of the removable blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeGuard

import numpy as np

from autotiny.cache import key_of
from autotiny.codeversion import code_version
from autotiny.components.base import Work
from autotiny.components.keras._blocks import Block, removable_blocks
from autotiny.components.keras._channels import Ties, in_multiples, narrowed, tied_channels
from autotiny.components.keras._rewriting import (
    Bypass,
    NewFunction,
    NewLayer,
    Replacement,
    copied,
    rewire,
    rewrite,
)
from autotiny.components.keras._tuning import changed, fine_tune, zeros_kept
from autotiny.components.keras._weights import has_kernel
from autotiny.graph import Array
from autotiny.model import (
    KerasLayer,
    KerasModel,
    KerasTensor,
    Model,
    NormalizingLayer,
    copy_network,
    keras,
    restore,
    save,
    tensorflow,
)

SMALLEST_WIDTH = 0.25

JUDGED = ((1.0, 1.0), (0.5, 1.0), (SMALLEST_WIDTH, 1.0), (0.5, 0.5))
"""Widths and depths whose mean accuracy on validation decides when the training is at its best."""

LONGER = 2
"""Times the epochs of a fine-tune, because all subnetworks share one training."""

STATISTICS_SAMPLES = 4096
STATISTICS_BATCH = 256


@dataclass(frozen=True)
class Elastic:
    """In which order the parts of a network go, by names: it holds for all networks of its shape.

    Attributes:
        ties: which channels belong together, with what stands around removable blocks tied too.
        channels: place of each channel of each group, the strongest first, as shares, 0 to 1: a
            width keeps the places below it.
        blocks: place of each removable block, likewise for depths.
    """

    ties: Ties
    channels: Mapping[int, Array]
    blocks: Mapping[Block, np.float32]

    @classmethod
    def of(cls, network: KerasModel) -> Elastic:
        """The order of a trained network."""
        ties = tied_channels(network)
        blocks = removable_blocks(network, ties)
        channels = {group: _places(-scores) for group, scores in ties.scores().items()}
        return cls(ties, channels, dict(zip(blocks, _places(np.arange(len(blocks))), strict=True)))

    def kept(self, width: float, multiple: int) -> dict[int, Array]:
        """True for the channels of each group that a width keeps, in multiples of a number."""
        masks = {}
        for group, places in self.channels.items():
            size = len(places)
            stay = in_multiples(int((places < np.float32(width)).sum()), size, multiple)
            masks[group] = places < np.float32(stay) / np.float32(size)
        return masks

    def left_out(self, depth: float) -> list[Block]:
        """The blocks that a depth leaves out."""
        return [block for block, place in self.blocks.items() if place >= np.float32(depth)]

    def subnetwork(
        self, network: KerasModel, kept: Mapping[int, Array], depth: float
    ) -> KerasModel:
        """A network of this order with the channels that are kept and the blocks of a depth."""
        return rewrite(
            network,
            lambda layer: narrowed(layer, self.ties, kept),
            {
                block.last: Bypass(block.source, lambda read, _: read)
                for block in self.left_out(depth)
            },
        )

    def trainable(self, network: KerasModel) -> KerasModel:
        """A network of all subnetworks in one, whose further inputs are width and depth, (1,) each.

        What goes is masked where it is read, so that it contributes nothing, as if it was not
        there. Normalization is by the batch, for each subnetwork has statistics of its own.
        """
        k, tf = keras(), tensorflow()
        width, depth = (k.Input(batch_shape=(1,), name=name) for name in ("width", "depth"))

        def substitute(layer: KerasLayer) -> Replacement | None:
            places = self._places_read(layer)
            if not places.any():
                return by_batch(layer)
            mask = NewFunction(lambda x: x * tf.cast(tf.less(places, width), x.dtype))
            return [mask, copied(layer)]

        def bypass(block: Block, place: np.float32) -> Bypass:
            kept = tf.less(place, depth)
            return Bypass(block.source, lambda read, given: tf.where(kept, given, read))

        bypasses = {block.last: bypass(block, place) for block, place in self.blocks.items()}
        inputs, outputs = rewire(network, substitute, bypasses)
        twin = sandwich()([*inputs, width, depth], outputs)
        twin.depths = [place / len(self.blocks) for place in range(len(self.blocks))] + [1.0]
        whole: KerasModel = twin
        return whole

    def _places_read(self, layer: KerasLayer) -> Array:
        """The place of each channel that a layer mixes with others, (channels,) float32."""
        axis = self.ties.axis_in.get(layer.name, []) if has_kernel(layer) else []
        return self.ties.spread(axis, self.channels, 0).astype(np.float32)


def _places(values: Array) -> Array:
    """Ranks of values, the smallest first, as shares of their number: (n,) float32 below 1."""
    ranks = np.empty(len(values), np.float32)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    ranks /= max(len(values), 1)
    return ranks


@cache
def sandwich() -> Any:
    """The class of Keras models that train and judge several subnetworks at each step."""
    k: Any = keras()
    tf = tensorflow()

    class Sandwich(k.Model):  # type: ignore[misc]
        """Its last two inputs are width and depth; data holds the others.

        Attributes:
            depths: all that differ, the whole one last; only that if no block can be removed.
        """

        depths: Sequence[float]

        def train_step(self, data: object) -> dict[str, KerasTensor]:
            x, y, _ = k.utils.unpack_x_y_sample_weight(data)
            with tf.GradientTape() as tape:
                losses = [
                    self.compute_loss(x, y, self([x, *shares], training=True))
                    for shares in self.drawn()
                ]
                loss = tf.add_n(losses) / len(losses)
            self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
            return dict(self.get_metrics_result())

        def test_step(self, data: object) -> dict[str, KerasTensor]:
            x, y, _ = k.utils.unpack_x_y_sample_weight(data)
            for shares in JUDGED:
                output = self([x, *(tf.constant([share]) for share in shares)], training=False)
                self.compute_loss(x, y, output)
                self.compute_metrics(x, y, output, None)
            return dict(self.get_metrics_result())

        def drawn(self) -> Iterator[tuple[KerasTensor, KerasTensor]]:
            """The width and depth, (1,) each, of the subnetworks of a step."""
            whole = tf.constant([1.0])
            yield whole, whole
            yield tf.constant([SMALLEST_WIDTH]), one_of(self.depths)
            yield any_width(), whole
            if len(self.depths) > 1:
                yield any_width(), one_of(self.depths[:-1])

    def any_width() -> Any:
        return tf.random.uniform((1,), SMALLEST_WIDTH, 1.0)

    def one_of(shares: Sequence[float]) -> Any:
        return tf.random.shuffle(tf.constant(shares))[:1]

    return Sandwich


def trained(model: Model, elastic: Elastic, work: Work) -> Model:
    """A model whose subnetworks are trained; once for all that share a cache."""
    if work.rehearse or work.cache is None:
        return _trained(model, elastic, work)
    teacher = work.original.fingerprint if work.original else ""
    sparse = model.traits.sparsity is not None
    key = key_of(
        "elastic", model.fingerprint, sparse, teacher, work.data.fingerprint,
        work.seed, work.epochs, code_version(__name__),
    )  # fmt: skip
    return work.cache.through(key, restore, lambda: _trained(model, elastic, work), save)


def _trained(model: Model, elastic: Elastic, work: Work) -> Model:
    twin = elastic.trainable(model.keras)
    with zeros_kept(twin, model):
        fine_tune(twin, replace(work, epochs=LONGER * work.epochs))
    network = copy_network(model.keras)
    _take_weights(twin, network)
    return changed(network, model)


def recalibrate(network: KerasModel, work: Work) -> None:
    """Sets the mean and variance of each normalization to what training samples have there."""
    twin = rewrite(network, by_batch)
    norms = [layer for layer in twin.layers if _normalizes(layer)]
    if work.rehearse or not norms:
        return
    x = work.data.calibration(STATISTICS_SAMPLES, work.seed)
    for step, batch in enumerate(np.array_split(x, max(1, len(x) // STATISTICS_BATCH))):
        for layer in norms:
            # The mean over all batches so far.
            layer.momentum = step / (step + 1)
        twin(batch, training=False)
    _take_weights(twin, network)


def by_batch(layer: KerasLayer) -> Sequence[NewLayer] | None:
    """A normalization that uses the statistics of each batch, and keeps the mean of them."""
    if not _normalizes(layer):
        return None
    again = copied(layer)
    return [NewLayer(again.layer, again.weights, {"training": True})]


def _normalizes(layer: KerasLayer) -> TypeGuard[NormalizingLayer]:
    return isinstance(layer, keras().layers.BatchNormalization)


def _take_weights(source: KerasModel, network: KerasModel) -> None:
    """Gives each layer the weights of its namesake."""
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())
