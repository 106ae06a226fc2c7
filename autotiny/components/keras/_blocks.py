"""Blocks that a network could do without, because what they give has the shape of what they read.

The layers beside an identity shortcut (He et al., "Deep Residual Learning", CVPR 2016), and single
layers of stride 1 that keep the number of channels, with the normalization and activation behind
them and the depthwise convolution before them.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.keras._channels import Ties
from autotiny.components.keras._rewriting import calls, readers
from autotiny.components.keras._weights import has_kernel, mixes_channels
from autotiny.model import KerasLayer, KerasModel, keras, tensorflow


@dataclass(frozen=True)
class Block:
    """A part of a network whose readers could as well read what it reads.

    Attributes:
        source: name of the layer whose result it reads.
        last: name of the layer that gives its result.
    """

    source: str
    last: str


@dataclass(frozen=True)
class _Wiring:
    """Who reads whom, by names of layers; inputs and layers called more than once are left out.

    Attributes:
        layers: the layers, each behind those it reads.
        reads: the layers whose results each reads.
        readers: the layers that read each result; None stands for an output of the network.
    """

    layers: dict[str, KerasLayer]
    reads: dict[str, list[str]]
    readers: dict[str, list[KerasLayer | None]]

    @classmethod
    def of(cls, network: KerasModel) -> _Wiring:
        layers: dict[str, KerasLayer] = {}
        reads: dict[str, list[str]] = {}
        again: set[str] = set()
        for node in calls(network):
            name = node.layer.name
            if name in layers or len(tensorflow().nest.flatten(node.outputs)) > 1:
                again.add(name)
            layers[name] = node.layer
            sources = tensorflow().nest.flatten(node.keras_inputs)
            reads[name] = [tensor._keras_history.layer.name for tensor in sources]
        for name in again:
            del layers[name], reads[name]
        return cls(layers, reads, readers(network))

    def only_reader(self, name: str) -> KerasLayer | None:
        """The layer that alone reads a result, and nothing else; None if there is none."""
        found = self.readers[name]
        reader = found[0] if len(found) == 1 else None
        if reader is None or reader.name not in self.layers:
            return None
        return reader if len(self.reads[reader.name]) == 1 else None


def removable_blocks(network: KerasModel, ties: Ties) -> list[Block]:
    """The blocks that a model could do without, those first that are to stay longest.

    The channels around a block become tied to each other. In each stage, which is all blocks of the
    same channels, the first one stays longest (Cai et al., "Once-for-All", ICLR 2020).
    """
    wiring = _Wiring.of(network)
    found, inside = [], set[str]()
    for layer in wiring.layers.values():
        for block, between in _residual(layer, wiring):
            found.append(block)
            inside |= between
    units = [_unit(layer, wiring) for name, layer in wiring.layers.items() if name not in inside]
    found += [block for block in units if block is not None]
    found = [b for b in found if b.source in wiring.layers and _tied(b, network, ties)]
    order = {name: place for place, name in enumerate(wiring.layers)}
    found.sort(key=lambda block: order[block.last])
    stages: dict[int, int] = {}
    ranks = {}
    for place, block in enumerate(found):
        stage = ties.root(ties.axis_out[block.last][0][0])
        stages[stage] = stages.get(stage, -1) + 1
        ranks[block] = (stages[stage], place)
    return sorted(found, key=lambda block: ranks[block])


def _residual(layer: KerasLayer, wiring: _Wiring) -> list[tuple[Block, set[str]]]:
    """The block that ends in a sum with what it reads, and the names of its layers."""
    reads = wiring.reads[layer.name]
    if not isinstance(layer, keras().layers.Add) or len(reads) != 2:
        return []
    found = []
    for shortcut, branch in (reads, reads[::-1]):
        between = _between(shortcut, branch, wiring)
        if between and any(has_kernel(wiring.layers[name]) for name in between):
            found.append((Block(shortcut, layer.name), between))
    return found


def _between(first: str, last: str, wiring: _Wiring) -> set[str]:
    """The layers through which `last` depends on `first`; none if it also depends on others."""
    found: set[str] = set()
    pending = [last]
    while pending:
        name = pending.pop()
        if name == first or name in found:
            continue
        if name not in wiring.reads:
            return set()
        found.add(name)
        pending += wiring.reads[name]
    return found


def _unit(layer: KerasLayer, wiring: _Wiring) -> Block | None:
    """A layer that mixes channels, with the depthwise one before and what follows it."""
    if not mixes_channels(layer):
        return None
    first: KerasLayer = layer
    last: KerasLayer = layer
    while (after := wiring.only_reader(last.name)) is not None and _pointwise(after):
        last = after
    before = _before(layer, wiring)
    while before is not None:
        if type(before) is keras().layers.DepthwiseConv2D:
            first = before
        before = _before(before, wiring)
    same = first.input_shape == last.output_shape
    return Block(wiring.reads[first.name][0], last.name) if same else None


def _before(layer: KerasLayer, wiring: _Wiring) -> KerasLayer | None:
    """The layer that a layer alone reads, if that works on single channels."""
    before = wiring.layers.get(wiring.reads[layer.name][0])
    if before is None or wiring.only_reader(before.name) is not layer:
        return None
    depthwise = type(before) is keras().layers.DepthwiseConv2D
    return before if depthwise or _pointwise(before) else None


def _pointwise(layer: KerasLayer) -> bool:
    """Whether a layer works on single values, in place, as what stands behind a convolution."""
    layers = keras().layers
    kinds = (
        layers.BatchNormalization, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Activation,
    )  # fmt: skip
    return isinstance(layer, kinds)


def _tied(block: Block, network: KerasModel, ties: Ties) -> bool:
    """Ties the channels around a block; False where that would keep channels from going."""
    if any(tensor is network.get_layer(block.last).output for tensor in network.outputs):
        return False
    read, given = ties.axis_out[block.source], ties.axis_out[block.last]
    rigid = ties.fixed_roots()
    alike = ties.match(read, given) and all(
        (ties.root(a) in rigid) == (ties.root(b) in rigid)
        for (a, _), (b, _) in zip(read, given, strict=True)
    )
    if alike:
        ties.join(read, given)
    return alike
