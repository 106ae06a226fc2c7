"""Leave out channels whose value does not hang on the input; what they add is part of a bias.

Training leaves channels that never change: their weights are zero, their ReLU never opens, or they
are saturated. Bounds of every channel prove it (see `_bounds`), with the engine's own rounding, so
that outputs stay the same, bit for bit. What only such channels read is left out as well: removal
of dead code (Aho, Sethi and Ullman, "Compilers", 1986), channel by channel.

It hangs on the weights, and training changes them. So a rehearsal, which does not train, leaves the
model as it is: its cost is one that the trained model does not exceed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

import numpy as np

from autotiny.checked import Within
from autotiny.components.base import Component, Work
from autotiny.components.tflite._bounds import (
    LAYERS,
    LOOKED_UP,
    WIDE,
    Bounds,
    Flags,
    Ints,
    bounds_of,
    channels_of,
    joins_channels,
    keeps_channels,
    layer_of,
    understood,
)
from autotiny.engine.kernel import Site
from autotiny.errors import NotApplicable, UnsupportedOp
from autotiny.graph import (
    Array,
    Graph,
    Op,
    Quantization,
    Tensor,
    live,
    named,
    variables,
)
from autotiny.model import Level, Model, successor
from autotiny.schedule import Step

RESHAPES: Final = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
EACH: Final = (
    *RESHAPES, *LOOKED_UP, "QUANTIZE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "PAD", "PADV2",
    "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR",
)  # fmt: skip
"""Ops that make each channel of one channel of their first input."""

PAIRS: Final = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "PRELU")
"""Ops that make each channel of the same one of two inputs, one of which may have a single one."""


Stored = Callable[[Tensor, Array, Quantization | None], int]
"""Keeps values and scales as a new constant named like an old one, and gives its index."""

NOTE: Final = "constant_channels"
"""The note of a model that says what was removed."""


MOST_CHANNELS: Final = 1 << 22
"""Of all tensors: a file may say anything, and each takes 17 bytes here."""


@dataclass(frozen=True)
class RemoveConstantChannels(Component):
    """Drops channels of int8 and int16 layers that are the same for every input.

    Attributes:
        multiple: a layer keeps so many channels or a multiple of it, constant ones among them if
            need be: the fast kernels take 4 at once, and a rest of fewer one by one.
    """

    name = "remove_constant_channels"
    reads_weights = True
    level = Level.TFLITE
    treats = LAYERS

    multiple: Annotated[int, Within(ge=1, le=64)] = 4

    def apply(self, model: Model, work: Work) -> Model:
        """The model with fewer channels, and a note that says how many."""
        return model if work.rehearse else narrowed(model, self.multiple)


def narrowed(model: Model, multiple: int = 4) -> Model:
    """A model of level tflite with fewer channels; see `without_constant_channels`.

    Raises:
        NotApplicable: all of them stay.
    """
    graph = without_constant_channels(model.graph, multiple)
    if graph is model.graph:
        raise NotApplicable(
            f"remove_constant_channels: no int8 or int16 layer has {multiple} channels that are "
            "constant and that all readers can be without; prune_channels removes others"
        )
    notes = {**model.notes, NOTE: difference(model.graph, graph)}
    return replace(successor(model, graph), notes=notes)


def difference(before: Graph, after: Graph) -> str:
    """What was removed, in words."""
    channels, work = zip(*(_sizes(graph) for graph in (before, after)), strict=True)
    return (
        f"{channels[0] - channels[1]:,} of {channels[0]:,} channels removed, "
        f"{work[0]:,} → {work[1]:,} multiplications"
    )


def _sizes(graph: Graph) -> tuple[int, int]:
    """Output channels of all layers, and their multiplications."""
    channels = products = 0
    for op in graph.ops:
        if op.kind in LAYERS:
            w, y = graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]
            channels += channels_of(y)
            products += w.size * (y.size // channels_of(y))
    return channels, products


def without_constant_channels(graph: Graph, multiple: int = 4) -> Graph:
    """The graph without channels that are constant or that nothing needs; itself if all stay.

    Args:
        graph: of any ops; channels of those that are not known here stay.
        multiple: as many channels as a layer keeps are a multiple of it, unless it has fewer.
    """
    if sum(map(channels_of, graph.tensors)) > MOST_CHANNELS:
        return graph
    bounds = bounds_of(graph)
    kept = _kept(graph, bounds, multiple)
    if all(flags.all() for flags in kept):
        return graph
    tensors = [
        replace(tensor, shape=(*tensor.shape[:-1], int(flags.sum())))
        if tensor.data is None and not flags.all()
        else tensor
        for tensor, flags in zip(graph.tensors, kept, strict=True)
    ]

    def stored(tensor: Tensor, data: Array, quantization: Quantization | None) -> int:
        data = np.ascontiguousarray(data)
        tensors.append(Tensor(tensor.name, data.shape, tensor.dtype, quantization, data))
        return len(tensors) - 1

    ops = []
    for position, op in enumerate(graph.ops):
        site = Site(graph, Step((position,)))
        touched = any(not kept[index].all() for index in (*op.inputs, *op.outputs) if index >= 0)
        ops.append(_narrowed(site, kept, bounds, tensors, stored) if touched else op)
    return live(replace(graph, tensors=tuple(tensors), ops=tuple(ops)))


# Which channels stay


@dataclass(frozen=True, eq=False)
class _Tie:
    """Channels of two tensors that stay or go together, pair by pair."""

    first: int
    second: int
    of_first: Ints
    of_second: Ints


@dataclass(frozen=True, eq=False)
class _Reads:
    """A layer, which can be without any channel of its result.

    Attributes:
        source, result: its tensors.
        needs: (outputs, inputs) which channels of the source an output cannot be computed without.
        least: so many outputs stay at least.
    """

    source: int
    result: int
    needs: Flags
    least: int


def _kept(graph: Graph, bounds: Sequence[Bounds | None], multiple: int) -> list[Flags]:
    """(channels,) of each tensor, those that stay."""
    kept = [np.full(channels_of(tensor), tensor.data is not None) for tensor in graph.tensors]
    for index in (*graph.inputs, *graph.outputs, *variables(graph)):
        kept[index][:] = True
    ties: list[_Tie] = []
    layers: list[_Reads] = []
    for position, op in enumerate(graph.ops):
        site = Site(graph, Step((position,)))
        layer, tied = _reads(site, bounds), _ties(site)
        if layer is not None:
            layers.append(layer)
        elif tied is not None:
            ties += tied
        else:
            for index in named(op):
                kept[index][:] = True
    _spread(kept, ties, layers)
    while any(_rounded(kept, layer, multiple) for layer in layers[::-1]):
        _spread(kept, ties, layers)
    return kept


def _spread(kept: list[Flags], ties: Iterable[_Tie], layers: Sequence[_Reads]) -> None:
    """Keep what is needed by what is kept, until nothing more is."""
    ties = tuple(ties)
    ties = (*ties[::-1], *ties)  # backwards for what readers need, forwards for what is fixed
    before = -1
    while before != (before := sum(int(flags.sum()) for flags in kept)):
        for tie in ties:
            first, second = kept[tie.first], kept[tie.second]
            np.logical_or.at(first, tie.of_first, second[tie.of_second])
            np.logical_or.at(second, tie.of_second, first[tie.of_first])
        for layer in layers[::-1]:
            kept[layer.source] |= layer.needs[kept[layer.result]].any(axis=0)


def _rounded(kept: list[Flags], layer: _Reads, multiple: int) -> bool:
    """Keep so many channels more that their number is a multiple; whether there were any."""
    flags = kept[layer.result]
    count = int(flags.sum())
    wanted = -(-max(count, layer.least) // multiple) * multiple
    more = np.flatnonzero(~flags)[: wanted - count]
    flags[more] = True
    return len(more) > 0


def _reads(site: Site, bounds: Sequence[Bounds | None]) -> _Reads | None:
    """What a layer needs; None of other ops, and of layers whose channels hang together."""
    op = site.op
    if op.kind not in LAYERS or not understood(site):
        return None
    source, weights, result = op.inputs[0], site.input(1), op.outputs[0]
    inputs, outputs = channels_of(site.input(0)), channels_of(site.output)
    if op.kind == "DEPTHWISE_CONV_2D":
        if inputs > 1 or weights.data is None:
            return None
        return _Reads(source, result, np.ones((outputs, 1), np.bool_), 1)
    x = bounds[source]
    if x is None or (op.kind == "CONV_2D" and weights.shape[3] != inputs):
        return None
    try:
        needs = _needs(site, x)
    except UnsupportedOp:
        return None
    # A dense layer of one scale rounds its factor otherwise than one of a scale for each output.
    several = weights.quantization is not None and len(weights.quantization.scales) > 1
    return _Reads(source, result, needs, 2 if op.kind == "FULLY_CONNECTED" and several else 1)


def _needs(site: Site, x: Bounds) -> Flags:
    """(outputs, inputs) what an output of a layer cannot be computed without.

    A constant channel can be part of the bias, unless some tap that sees it lies outside the input
    elsewhere, and sees a zero there that it is not. A bias has to stay within its type.
    """
    made = layer_of(site)
    used = made.weights != 0
    known = x.constant & ~(used[:, made.outside].any(axis=1) & (x.low != made.zero))
    needs: Flags = used.any(axis=1) & ~known
    added = np.where(needs, 0, _added(made.weights, x, made.zero))
    whole = np.abs(made.bias) + np.abs(added).sum(axis=1)
    needs |= (whole >= _room(site))[:, None] & (added != 0)
    return needs


def _added(weights: Ints, x: Bounds, zero: int) -> Ints:
    """(outputs, inputs) what constant channels add to each sum; 0 for those that are none."""
    added: Ints = weights.sum(axis=1) * np.where(x.constant, x.low - zero, 0)
    return added


def _room(site: Site) -> int:
    """The first number that is too large for a bias; a layer on int8 can get one."""
    if site.has_input(2):
        return 1 << 31 if site.input(2).dtype == "int32" else WIDE
    return 1 << 31 if site.output.dtype == "int8" else 1


def _ties(site: Site) -> list[_Tie] | None:
    """Which channels of an op's tensors stay together; None if the op is not known."""
    op = site.op
    if not understood(site):
        return None
    result, outputs = op.outputs[0], channels_of(site.output)
    every = np.arange(outputs)

    def tied(index: int, channels: Ints) -> _Tie:
        return _Tie(index, result, channels, every)

    sizes = {index: channels_of(site.graph.tensors[index]) for index in op.inputs if index >= 0}
    source = op.inputs[0]
    if op.kind == "DEPTHWISE_CONV_2D" and site.input(1).data is not None:
        return [tied(source, every // (outputs // sizes[source]))]
    if op.kind in EACH:
        follows = outputs % sizes[source] == 0 if _in_order(site) else keeps_channels(site)
        return [tied(source, every % sizes[source])] if follows and _says_shape(site) else None
    if op.kind in PAIRS:
        # a single channel that is repeated stays in any case, as a layer keeps one
        computed = [index for index in sizes if site.graph.tensors[index].data is None]
        return [tied(index, every) for index in computed if sizes[index] == outputs] or None
    if op.kind == "CONCATENATION":
        if not joins_channels(site):
            return [tied(index, every) for index in op.inputs]
        ends = np.cumsum([sizes[index] for index in op.inputs])
        parts = np.split(every, ends[:-1])
        return [
            _Tie(index, result, part - part[0], part)
            for index, part in zip(op.inputs, parts, strict=True)
        ]
    return None


def _in_order(site: Site) -> bool:
    """Whether an op leaves its elements in their order, so that its shape may be another one."""
    return site.op.kind in (*RESHAPES, *LOOKED_UP, "QUANTIZE")


def _says_shape(site: Site) -> bool:
    """Whether an op has the same meaning with fewer channels, once its new shape is stated."""
    if site.op.kind == "SQUEEZE":  # without its dimensions, all that have one element go
        return bool(site.op.options.get("squeeze_dims"))
    return site.op.kind != "RESHAPE" or not site.has_input(1) or site.input(1).data is not None


# What is left of an op


def _narrowed(
    site: Site,
    kept: Sequence[Flags],
    bounds: Sequence[Bounds | None],
    tensors: Sequence[Tensor],
    stored: Stored,
) -> Op:
    """An op on the channels that stay.

    Args:
        site: the op as it is.
        kept: of each tensor, the channels that stay.
        bounds: of each tensor.
        tensors: the narrower ones.
        stored: see `Stored`.
    """
    op, result = site.op, site.op.outputs[0]
    rows = kept[result]
    if op.kind in LAYERS:
        return _narrower_layer(site, kept, bounds, stored)
    inputs, options = list(op.inputs), dict(op.options)
    if op.kind == "RESHAPE":
        shape = tensors[result].shape
        if site.has_input(1):
            old = site.input(1)
            inputs[1] = stored(old, np.array(shape, old.dtype), old.quantization)
        if options.get("new_shape"):
            options["new_shape"] = shape
    if op.kind in PAIRS:
        for place, index in enumerate(op.inputs):
            tensor = site.graph.tensors[index]
            if tensor.data is not None and channels_of(tensor) == len(rows):
                inputs[place] = stored(tensor, tensor.data[..., rows], tensor.quantization)
    return replace(op, inputs=tuple(inputs), options=options)


def _narrower_layer(
    site: Site,
    kept: Sequence[Flags],
    bounds: Sequence[Bounds | None],
    stored: Stored,
) -> Op:
    """A layer without the outputs and inputs that go; what those add is in its bias."""
    op, weights, data = site.op, site.input(1), site.constant(1)
    rows, columns = kept[op.outputs[0]], kept[op.inputs[0]]
    options = dict(op.options)
    made, x = layer_of(site), bounds[op.inputs[0]]
    bias = made.bias
    if op.kind == "DEPTHWISE_CONV_2D":
        data = data[..., rows]
        if "depth_multiplier" in options:
            options["depth_multiplier"] = int(rows.sum() // columns.sum())
    else:
        if x is not None:
            bias = bias + _added(made.weights, x, made.zero)[:, ~columns].sum(axis=1)
        parts = data.reshape(*data.shape[:-1], -1, len(columns))[rows][..., columns]
        data = parts.reshape(len(parts), *data.shape[1:-1], -1)
    inputs = [op.inputs[0], stored(weights, data, _of_channels(weights.quantization, rows))]
    if site.has_input(2):
        old = site.input(2)
        values = bias[rows].astype(old.dtype)
        inputs.append(stored(old, values, _of_channels(old.quantization, rows)))
    elif bias[rows].any():
        inputs.append(_new_bias(site, bias[rows], rows, stored))
    return replace(op, inputs=tuple(inputs), options=options)


def _new_bias(
    site: Site,
    values: Ints,
    rows: Flags,
    stored: Stored,
) -> int:
    """A bias for a layer on int8 that has none; its scale is that of the products."""
    x, w = site.input(0).quantization, site.input(1).quantization
    assert x is not None
    assert w is not None
    products = Quantization(tuple(x.scale * one for one in w.scales), (0,) * len(w.scales))
    blank = Tensor(f"{site.input(1).name}/bias", (), "int32")
    return stored(blank, values.astype(np.int32), _of_channels(products, rows))


def _of_channels(quantization: Quantization | None, rows: Flags) -> Quantization | None:
    """The scales of the channels that stay, where each has its own."""
    if quantization is None or len(quantization.scales) == 1:
        return quantization
    return replace(
        quantization,
        scales=tuple(one for one, stays in zip(quantization.scales, rows, strict=True) if stays),
        zero_points=tuple(
            one for one, stays in zip(quantization.zero_points, rows, strict=True) if stays
        ),
    )
