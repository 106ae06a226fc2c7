"""Which channels of a network belong together, and the network without some of them.

Channels that a residual sum or a depthwise convolution ties together can only go together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from autotiny.components.keras._rewriting import NewLayer, calls
from autotiny.components.keras._weights import mixes_channels
from autotiny.graph import Array
from autotiny.model import KerasLayer, KerasModel, KerasTensor, KernelLayer, keras, tensorflow

Axis = list[tuple[int, int]]
"""The last axis of a tensor: for each place the group it belongs to and its channel there."""


@dataclass
class Ties:
    """Which channels of which layers belong together.

    Attributes:
        parent: a group and the one it was joined to, or itself.
        size: channels of each group.
        fixed: groups that must keep all channels: inputs, outputs, and what unknown layers read.
        made: groups that a layer's filters make, with the layer.
        axis_in: last axis of what a layer reads.
        axis_out: last axis of what it gives.
    """

    parent: list[int] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    fixed: set[int] = field(default_factory=set)
    made: list[tuple[int, KernelLayer]] = field(default_factory=list)
    axis_in: dict[str, Axis] = field(default_factory=dict)
    axis_out: dict[str, Axis] = field(default_factory=dict)

    def new(self, size: int) -> Axis:
        """The axis of a group of its own."""
        self.parent.append(len(self.parent))
        self.size.append(size)
        return [(self.parent[-1], channel) for channel in range(size)]

    def root(self, group: int) -> int:
        """The group that a group was joined to."""
        while self.parent[group] != group:
            group = self.parent[group]
        return group

    def join(self, first: Axis, second: Axis) -> None:
        """Ties two axes place by place, or fixes both where their places don't match."""
        if not self.match(first, second):
            self.fix(first)
            self.fix(second)
            return
        for (a, _), (b, _) in zip(first, second, strict=True):
            self.parent[self.root(b)] = self.root(a)

    def match(self, first: Axis, second: Axis) -> bool:
        """Whether two axes have the same channels of groups of the same size, place by place."""
        return len(first) == len(second) and all(
            a[1] == b[1] and self.size[a[0]] == self.size[b[0]]
            for a, b in zip(first, second, strict=True)
        )

    def fix(self, axis: Axis) -> None:
        """Keeps every channel of an axis."""
        self.fixed.update(group for group, _ in axis)

    def fixed_roots(self) -> set[int]:
        """The groups that must keep all channels, by what they were joined to."""
        return {self.root(group) for group in self.fixed}

    def scores(self) -> dict[int, Array]:
        """Strength of each channel of each group that may shrink: L1 norms relative to the mean."""
        fixed = self.fixed_roots()
        found: dict[int, Array] = {}
        for group, layer in self.made:
            root = self.root(group)
            if root in fixed:
                continue
            norms = np.abs(layer.kernel.numpy()).reshape(-1, self.size[root]).sum(axis=0)
            relative = norms / max(float(norms.mean()), 1e-12)
            found[root] = found.get(root, 0) + relative
        return found

    def spread(self, axis: Axis, values: Mapping[int, Array], otherwise: float) -> Array:
        """The value of each place of an axis, from those of its group's channels.

        Args:
            axis: (places,).
            values: one for each channel, by the root of a group.
            otherwise: that of channels whose group has none.
        """
        found = ((values.get(self.root(group)), channel) for group, channel in axis)
        return np.array([otherwise if v is None else v[channel] for v, channel in found])

    def mask(self, axis: Axis, kept: Mapping[int, Array]) -> Array:
        """True for the places of an axis that stay."""
        return self.spread(axis, kept, True).astype(bool)


def in_multiples(wanted: int, size: int, multiple: int) -> int:
    """How many of a group's channels stay if `wanted` should: the nearest multiple, never none.

    A number of channels from which nothing should go stays as it is.
    """
    if wanted >= size:
        return size
    return min(size, max(1, (2 * wanted + multiple) // (2 * multiple)) * multiple)


def tied_channels(network: KerasModel) -> Ties:
    """Follows every channel of a sequential or functional model through its layers."""
    ties = Ties()
    axes: dict[int, Axis] = {}
    for tensor in network.inputs:
        axes[id(tensor)] = ties.axis_out[tensor._keras_history.layer.name] = _fixed(ties, tensor)
    seen: set[str] = set()
    for node in calls(network):
        layer = node.layer
        reads = [axes[id(t)] for t in tensorflow().nest.flatten(node.keras_inputs)]
        outputs = tensorflow().nest.flatten(node.outputs)
        if layer.name in seen or len(outputs) != 1:
            # A layer called twice, or with several results, stays as it is.
            for axis in (
                *reads,
                ties.axis_in.get(layer.name, []),
                ties.axis_out.get(layer.name, []),
            ):
                ties.fix(axis)
            for tensor in outputs:
                axes[id(tensor)] = _fixed(ties, tensor)
            continue
        seen.add(layer.name)
        axis = _followed(ties, layer, reads, outputs[0])
        axes[id(outputs[0])] = axis
        ties.axis_in[layer.name] = reads[0] if reads else []
        ties.axis_out[layer.name] = axis
    for tensor in network.outputs:
        ties.fix(axes[id(tensor)])
    return ties


def _fixed(ties: Ties, tensor: KerasTensor) -> Axis:
    axis = ties.new(int(tensor.shape[-1] or 1))
    ties.fix(axis)
    return axis


def _followed(ties: Ties, layer: KerasLayer, reads: Sequence[Axis], output: KerasTensor) -> Axis:
    """The last axis of a layer's result."""
    layers = keras().layers
    if mixes_channels(layer) and _ungrouped(layer):
        axis = ties.new(int(output.shape[-1]))
        ties.made.append((axis[0][0], layer))
        if _mixes(layer):
            ties.fix(axis)
        return axis
    if type(layer) is layers.DepthwiseConv2D:
        if _mixes(layer):
            ties.fix(reads[0])
        return [place for place in reads[0] for _ in range(layer.get_config()["depth_multiplier"])]
    if isinstance(layer, _keeping()) and not _mixes(layer):
        return reads[0]
    if type(layer) is layers.Flatten:
        return reads[0] * (int(output.shape[-1]) // len(reads[0]))
    if isinstance(layer, (layers.Add, layers.Subtract, layers.Multiply, layers.Average)):
        for other in reads[1:]:
            ties.join(reads[0], other)
        return reads[0]
    last = (-1, len(output.shape) - 1)
    if type(layer) is layers.Concatenate and layer.get_config()["axis"] in last:
        return [place for axis in reads for place in axis]
    for axis in reads:
        ties.fix(axis)
    return _fixed(ties, output)


def _ungrouped(layer: KerasLayer) -> bool:
    return getattr(layer, "groups", 1) == 1


def _mixes(layer: KerasLayer) -> bool:
    """Whether a layer works across channels besides its kernel: softmax does."""
    activation = getattr(getattr(layer, "activation", None), "__name__", "")
    return activation == "softmax" or type(layer).__name__ == "Softmax"


def _keeping() -> tuple[type, ...]:
    """Layers whose result has the channels they read."""
    layers = keras().layers
    return (
        layers.BatchNormalization, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Activation,
        layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise, layers.ZeroPadding2D,
        layers.UpSampling2D, layers.MaxPooling1D, layers.MaxPooling2D, layers.AveragePooling1D,
        layers.AveragePooling2D, layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D,
        layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D,
    )  # fmt: skip


def narrowed(layer: KerasLayer, ties: Ties, kept: Mapping[int, Array]) -> Sequence[NewLayer] | None:
    """The layer with the channels that stay, or None if it keeps all."""
    if layer.name not in ties.axis_in or not layer.weights:
        return None
    reads = ties.mask(ties.axis_in[layer.name], kept)
    gives = ties.mask(ties.axis_out[layer.name], kept)
    if reads.all() and gives.all():
        return None
    config = layer.get_config()
    for size in ("filters", "units"):
        if size in config:
            config[size] = int(gives.sum())
    weights = _cutter(layer)(layer.get_weights(), reads, gives)
    return [NewLayer(type(layer).from_config(config), weights)]


def _cutter(layer: KerasLayer) -> Callable[[list[Array], Array, Array], list[Array]]:
    """How a layer's weights shrink with the channels it reads and gives."""
    layers = keras().layers
    if type(layer) is layers.DepthwiseConv2D:
        # The kernel is (height, width, in, multiplier), the bias (in × multiplier,).
        return lambda w, reads, gives: [w[0][:, :, reads], *(bias[gives] for bias in w[1:])]
    if type(layer) is layers.BatchNormalization:
        return lambda w, reads, gives: [vector[gives] for vector in w]
    return lambda w, reads, gives: [w[0][..., reads, :][..., gives], *(b[gives] for b in w[1:])]
