"""Between which stored numbers each channel of an integer tensor lies, whatever the input is.

Interval arithmetic (Moore, "Interval Analysis", 1966), forwards through the graph, on the sums that
the real weights make and with the requantization of the engine, which is that of TensorFlow Lite
Micro. Each op here grows or shrinks with each of its operands, so what the ends of two intervals
give are the ends of the result. A channel whose ends meet is constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autotiny.engine.declared import check
from autotiny.engine.fixed_point import (
    INT_RANGE,
    UnscalableError,
    multiply,
    quantized_multiplier,
)
from autotiny.engine.kernel import Site, Table
from autotiny.engine.layers import stored
from autotiny.engine.layers.constants import (
    biases,
    multipliers,
    quantization_of,
    tensor_multiplier,
)
from autotiny.engine.layers.window import window
from autotiny.engine.moved_shapes import paddings
from autotiny.engine.ops import EMITTERS, lookup
from autotiny.engine.shapes import axis_of, reduced_axes
from autotiny.errors import InvalidModel, UnsupportedOp
from autotiny.graph import DType, Graph, Tensor
from autotiny.schedule import Step

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

INTEGERS: Final[tuple[DType, ...]] = ("int8", "int16")
LAYERS: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
LOOKED_UP: Final = tuple(lookup.FUNCTIONS)
"""Ops of one element, for which the engine has a table of 256 results on int8."""

WIDE: Final = 1 << 47
"""The sums of int16 layers that TensorFlow Lite Micro and the engine rescale have 48 bits."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """The least and the greatest stored number of each channel, the last dimension: (channels,)."""

    low: Ints
    high: Ints

    @property
    def constant(self) -> Flags:
        """(channels,) where the value hangs on nothing."""
        same: Flags = self.low == self.high
        return same


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution or dense layer as sums of products.

    Attributes:
        weights: (outputs, taps, inputs), of the input channels that an output reads.
        reads: (outputs, inputs) which channels these are, or (1, inputs) if the same for all.
        outside: (taps,) whether a tap lies outside the input somewhere, where it sees a zero.
        bias: (outputs,).
        zero: the zero-point of the input.
    """

    weights: Ints
    reads: Ints
    outside: Flags
    bias: Ints
    zero: int


def channels_of(tensor: Tensor) -> int:
    """The size of the last dimension."""
    return tensor.shape[-1] if tensor.shape else 1


def understood(site: Site) -> bool:
    """Whether an op computes int8 or int16 just as the engine declares it."""
    if not site.op.inputs or not site.has_input(0):
        return False
    emitter = EMITTERS.get((site.op.kind, site.arithmetic))
    if emitter is None:
        return False
    try:
        check(site, emitter.declared)
    except (UnsupportedOp, InvalidModel):
        return False
    values = (site.input(0), *(site.graph.tensors[index] for index in site.op.outputs))
    return all(tensor.dtype in INTEGERS for tensor in values)


def bounds_of(graph: Graph) -> list[Bounds | None]:
    """The bounds of each tensor, by its index; None of those that are not int8 or int16.

    Inputs of the graph, and what comes of ops that are not known here, can be anything.
    """
    found = [_bounds_of_tensor(tensor) for tensor in graph.tensors]
    for position, op in enumerate(graph.ops):
        site = Site(graph, Step((position,)))
        rule = RULES.get(op.kind)
        if rule is None or not understood(site):
            continue
        operands = [found[index] for index in op.inputs if index >= 0]
        try:
            found[op.outputs[0]] = rule(site, [one for one in operands if one is not None])
        except (UnsupportedOp, UnscalableError):  # it has no kernel, so nothing is known of it
            continue
    return found


def _bounds_of_tensor(tensor: Tensor) -> Bounds | None:
    """Of a constant what it holds, else the range of the type."""
    if tensor.dtype not in INTEGERS or 0 in tensor.shape:
        return None
    if tensor.data is None:
        ends = (np.full(channels_of(tensor), end, np.int64) for end in INT_RANGE[tensor.dtype])
        return Bounds(*ends)
    rows = tensor.data.reshape(-1, channels_of(tensor)).astype(np.int64)
    return Bounds(rows.min(axis=0), rows.max(axis=0))


# Layers


def layer_of(site: Site) -> Layer:
    """The sums of a layer whose weights are known.

    Raises:
        UnsupportedOp: they are not, or a dense layer cuts channels apart.
    """
    weights, depth = site.constant(1).astype(np.int64), channels_of(site.input(0))
    outside, kind = np.zeros(1, np.bool_), site.op.kind
    if kind == "FULLY_CONNECTED":
        if weights.shape[1] % depth:
            site.refuse(f"its rows of {weights.shape[1]} cut the {depth} channels apart")
        taps = weights.reshape(len(weights), -1, depth)  # (H, W, C) one behind the other
        outside, reads = np.zeros(taps.shape[1], np.bool_), np.arange(depth)[None]
    else:
        outside = _outside(window(site, *weights.shape[1:3]))
        if kind == "DEPTHWISE_CONV_2D":
            taps = weights.reshape(-1, weights.shape[3]).T[:, :, None]
            reads = (np.arange(len(taps)) // (len(taps) // depth))[:, None]
        else:
            taps = weights.reshape(len(weights), -1, weights.shape[3])
            groups = depth // taps.shape[2]
            first = np.arange(len(taps)) // (len(taps) // groups) * taps.shape[2]
            reads = first[:, None] + np.arange(taps.shape[2])
    bias = biases(site, len(taps)).astype(np.int64)
    zero = quantization_of(site, 0).zero_point
    if zero and site.output.dtype == "int16":  # convolutions ignore it, dense layers do not
        site.refuse(f"its zero-point is {zero}")
    if not -WIDE < bias.min() <= bias.max() < WIDE:
        site.refuse("a bias has more than 48 bits")
    return Layer(taps, reads, outside, bias, zero)


def _outside(fields: Mapping[str, int]) -> Flags:
    """(taps,) whether a tap of a window lies outside the input for some output."""

    def leaves(side: str, pad: int) -> Flags:
        first = np.arange(fields[f"k_{side}"]) * fields[f"step_{side}"] - pad
        last = first + (fields[f"out_{side}"] - 1) * fields[f"stride_{side}"]
        found: Flags = (first < 0) | (last >= fields[f"in_{side}"])
        return found

    rows, columns = leaves("h", fields["pad_top"]), leaves("w", fields["pad_left"])
    return (rows[:, None] | columns).reshape(-1)


def _layer(site: Site, operands: Sequence[Bounds]) -> Bounds:
    """CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED."""
    made = layer_of(site)
    low, high = (end[made.reads] - made.zero for end in (operands[0].low, operands[0].high))
    sums = np.stack([made.bias, made.bias])
    for taps, least, most in (
        (~made.outside, low, high),
        (made.outside, np.minimum(low, 0), np.maximum(high, 0)),
    ):
        positive = np.maximum(made.weights[:, taps], 0).sum(axis=1)
        negative = np.minimum(made.weights[:, taps], 0).sum(axis=1)
        sums[0] += (positive * least + negative * most).sum(axis=1)
        sums[1] += (positive * most + negative * least).sum(axis=1)
    if site.op.kind == "FULLY_CONNECTED" and len(quantization_of(site, 1).scales) == 1:
        factors = [tensor_multiplier(site)] * len(made.bias)
    else:
        pairs = zip(*multipliers(site, len(made.bias)), strict=True)
        factors = [(int(multiplier), int(shift)) for multiplier, shift in pairs]
    return _rescaled(site, sums, factors, wide=_is_wide(site))


def _is_wide(site: Site) -> bool:
    """Whether a layer on int16 sums in 64 bits; with biases of 32 it computes as int8 does."""
    if site.output.dtype != "int16":
        return False
    bias = site.input(2).dtype if site.has_input(2) else site.option("quantized_bias_type", "")
    return bias != "int32" or site.op.kind == "DEPTHWISE_CONV_2D"


def _rescaled(
    site: Site, sums: Ints, factors: Sequence[tuple[int, int]], *, wide: bool = False
) -> Bounds:
    """Sums as the kernels store them, behind the activation.

    A channel whose sums leave the accumulator on the way can be all that the activation lets by.

    Args:
        site: the op.
        sums: (2, channels) the least and the greatest sum.
        factors: (multiplier, shift) of each channel.
        wide: whether 48 bits are multiplied by 16.
    """
    zero, (low, high) = quantization_of(site, None).zero_point, stored.limits(site).values()
    ends: list[list[int]] = []
    for pair, (multiplier, shift) in zip(sums.T.tolist(), factors, strict=True):
        if wide:
            if shift >= 15:
                site.refuse("its output scale is too small")
            scaled = [_multiplied_wide(value, multiplier, shift) for value in pair]
            fits = max(map(abs, pair)) < WIDE and max(map(abs, scaled)) < 1 << 31
        else:
            scaled = [multiply(value, multiplier, shift) for value in pair]
            fits = max(map(abs, pair)) << max(shift, 0) < 1 << 31
        ends.append(
            [min(max(value + zero, low), high) for value in scaled] if fits else [low, high]
        )
    return Bounds(*np.array(ends, np.int64).T)


def _multiplied_wide(value: int, multiplier: int, shift: int) -> int:
    """What `at_rescale_wide` computes."""
    short = 0x7FFF if multiplier >= 0x7FFF0000 else (multiplier + (1 << 15)) >> 16
    return (value * short + (1 << (14 - shift))) >> (15 - shift)


# Ops of one tensor


def _moved(site: Site, operands: Sequence[Bounds]) -> Bounds:
    """Ops that store the same numbers in the same order, under another shape."""
    (x, *_), channels = operands, channels_of(site.output)
    if channels % len(x.low):
        every = np.ones(channels, np.int64)
        return Bounds(x.low.min() * every, x.high.max() * every)
    repeats = channels // len(x.low)
    return Bounds(np.tile(x.low, repeats), np.tile(x.high, repeats))


def _looked_up(site: Site, operands: Sequence[Bounds]) -> Bounds:
    """Ops of one element on int8, through the table that the kernel reads."""
    if site.output.dtype != "int8":
        site.refuse("only int8 is followed through it")
    kernel = EMITTERS[site.op.kind, "int8"].emit(site)
    (results,) = (one.what.values for one in kernel.operands if isinstance(one.what, Table))
    in_order = np.roll(results.astype(np.int64), 128)  # of −128 first
    found = _moved(site, operands)
    parts = [in_order[a + 128 : b + 129] for a, b in zip(found.low, found.high, strict=True)]
    return Bounds(np.array([part.min() for part in parts]), np.array([p.max() for p in parts]))


def _requantized(site: Site, operands: Sequence[Bounds]) -> Bounds:
    """QUANTIZE from one integer scale to another."""
    q = stored.quantize_fields(site)
    found = _moved(site, operands)
    sums = np.stack([found.low, found.high]) - q["zero"]
    return _rescaled(site, sums, [(q["multiplier"], q["shift"])] * len(found.low))


def _pooled(site: Site, operands: Sequence[Bounds]) -> Bounds:
    """MAX_POOL_2D and AVERAGE_POOL_2D: padding takes no part."""
    low, high = stored.limits(site).values()
    return Bounds(operands[0].low.clip(low, high), operands[0].high.clip(low, high))


def _mean(site: Site, operands: Sequence[Bounds]) -> Bounds:
    """MEAN over other dimensions than the last; the division is part of the multiplier."""
    if not keeps_channels(site):
        site.refuse("it reduces channels")
    x, y = quantization_of(site, 0), quantization_of(site, None)
    count = site.input(0).size // site.output.size
    multiplier, shift = quantized_multiplier(x.scale / y.scale)
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    factor = ((multiplier << bits) // count, shift - bits)
    sums = (np.stack([operands[0].low, operands[0].high]) - x.zero_point) * count
    return _rescaled(site, sums, [factor] * sums.shape[1])


def _padded(site: Site, operands: Sequence[Bounds]) -> Bounds:
    """PAD and PADV2, of other dimensions than the last."""
    if not keeps_channels(site):
        site.refuse("it pads channels")
    value = quantization_of(site, None).zero_point
    if site.op.kind == "PADV2":
        value = int(site.constant(2).reshape(-1)[0])
    if site.input(0).size == site.output.size:
        return operands[0]
    return Bounds(np.minimum(operands[0].low, value), np.maximum(operands[0].high, value))


def keeps_channels(site: Site) -> bool:
    """Whether each channel of the result is made of the one of the input, whatever the op does."""
    if channels_of(site.input(0)) != channels_of(site.output):
        return False
    if site.op.kind == "MEAN":
        return len(site.input(0).shape) - 1 not in reduced_axes(site)
    return site.op.kind not in ("PAD", "PADV2") or paddings(site)[-1] == (0, 0)


# Ops of several tensors


def _ends(first: Bounds, second: Bounds) -> list[tuple[Ints, Ints]]:
    """The four pairs of ends of two tensors, the shorter one repeated."""
    return [
        (a, b)
        for one in (first.low, first.high)
        for other in (second.low, second.high)
        for a, b in [np.broadcast_arrays(one, other)]
    ]


def _sum(site: Site, operands: Sequence[Bounds]) -> Bounds:
    """ADD on int8."""
    if site.output.dtype != "int8":
        site.refuse("only int8 is followed through it")
    of = stored.added(site)
    ends = [list(map(of, a.tolist(), b.tolist())) for a, b in _ends(*operands)]
    return Bounds(np.min(ends, axis=0), np.max(ends, axis=0))


def _product(site: Site, operands: Sequence[Bounds]) -> Bounds:
    """MUL."""
    q = stored.times_fields(site)
    sums = [(one + q["a_zero"]) * (other + q["b_zero"]) for one, other in _ends(*operands)]
    ends = np.stack([np.min(sums, axis=0), np.max(sums, axis=0)])
    return _rescaled(site, ends, [(q["multiplier"], q["shift"])] * ends.shape[1])


def _order(site: Site, operands: Sequence[Bounds]) -> Bounds:
    """MAXIMUM and MINIMUM."""
    choose = np.maximum if site.op.kind == "MAXIMUM" else np.minimum
    first, second = operands
    return Bounds(choose(first.low, second.low), choose(first.high, second.high))


def _joined(site: Site, operands: Sequence[Bounds]) -> Bounds:
    """CONCATENATION."""
    ends = [one.low for one in operands], [one.high for one in operands]
    if joins_channels(site):
        return Bounds(np.concatenate(ends[0]), np.concatenate(ends[1]))
    return Bounds(np.min(ends[0], axis=0), np.max(ends[1], axis=0))


def joins_channels(site: Site) -> bool:
    """Whether a CONCATENATION lays the channels of its inputs one behind the other."""
    rank = len(site.output.shape)
    return axis_of(site, site.option("axis", 0), rank) == rank - 1


RULES: Final[Mapping[str, Callable[[Site, Sequence[Bounds]], Bounds]]] = {
    **dict.fromkeys(LAYERS, _layer),
    **dict.fromkeys(LOOKED_UP, _looked_up),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _moved),
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), _pooled),
    **dict.fromkeys(("PAD", "PADV2"), _padded),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), _order),
    "QUANTIZE": _requantized,
    "MEAN": _mean,
    "ADD": _sum,
    "MUL": _product,
    "CONCATENATION": _joined,
}
"""Kind → the bounds of its result, from those of its operands on int8 and int16."""
