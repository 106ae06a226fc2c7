"""Weights and requantization constants in the order in which the fast int8 kernels read them.

A fast layer reads one stream of words from front to back. Accumulators start at the bias, into
which the input's zero-point is folded; padding holds the stored zero, so that is exact everywhere.
The proofs that no sum overflows stand here too: they need the real weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autotiny.engine.fixed_point import multiply
from autotiny.engine.kernel import Site
from autotiny.engine.ops.convolution import biases, bounds_int8, multipliers, quantization_of
from autotiny.engine.ops.dense import tensor_multiplier

Ints = NDArray[np.int64]
Words = NDArray[np.uint32]

LANE_LIMIT = 1 << 23
"""256 times a smaller sum fits 32 bits."""


@dataclass(frozen=True, eq=False)
class Layer:
    """An int8 layer as a matrix.

    Attributes:
        weights: (outputs, taps), taps in the order in which a patch lies in memory.
        bias: (outputs,), the input's zero-point folded in.
        multiplier, rounding, shift: (outputs,), as `at_finished` takes them.
        low, high: activation bounds.
        swallows_negatives: nothing below the stored zero survives the activation.
    """

    weights: Ints
    bias: Ints
    multiplier: Ints
    rounding: Ints
    shift: Ints
    low: int
    high: int
    swallows_negatives: bool

    @property
    def reach(self) -> Ints:
        """(outputs,) the largest magnitude that an accumulator can take, partial sums included."""
        reach: Ints = np.abs(self.bias) + 128 * np.abs(self.weights).sum(axis=1)
        return reach

    @property
    def finish(self) -> str:
        """What follows the accumulator: "relu", "signed" or "clamp"."""
        if (self.low, self.high) != (-128, 127):
            return "clamp"
        return "relu" if self.swallows_negatives else "signed"


def layer(site: Site, weights: Ints) -> Layer:
    """The matrix of a convolution or dense layer, its constants made ready for `at_finished`."""
    outputs = len(weights)
    x, y = quantization_of(site, 0), quantization_of(site, None)
    bounds = bounds_int8(site)
    if site.op.kind == "FULLY_CONNECTED" and len(quantization_of(site, 1).scales) == 1:
        one, power = tensor_multiplier(site)
        multiplier, shift = np.full(outputs, one), np.full(outputs, -power)
    else:
        multiplier, shift = (array.astype(np.int64) for array in multipliers(site, outputs))
        shift = -shift
    half = np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
    made = Layer(
        weights=weights,
        bias=biases(site, outputs).astype(np.int64) - x.zero_point * weights.sum(axis=1),
        multiplier=multiplier.astype(np.int64),
        rounding=half + (y.zero_point << np.maximum(shift, 0)),
        shift=shift.astype(np.int64),
        low=bounds["low"],
        high=bounds["high"],
        swallows_negatives=bounds["low"] >= y.zero_point,
    )
    return _without_constant_channels(made, y.zero_point)


def _without_constant_channels(made: Layer, zero_point: int) -> Layer:
    """Empty the channels that give one output whatever the input is.

    Training leaves channels whose weights are next to nothing and whose bias, in their tiny scale,
    is next to 2^31. As rescaling is monotone, equal outputs at both ends of what the accumulator
    can reach prove the channel constant; its sums then need no room.
    """
    weights, bias, rounding = made.weights.copy(), made.bias.copy(), made.rounding.copy()
    multiplier, shift = made.multiplier.copy(), made.shift.copy()
    for k in np.flatnonzero((made.reach >= LANE_LIMIT) & (made.reach < 1 << 31)):
        swing = int(made.reach[k] - abs(bias[k]))
        scaled = [
            multiply(int(bias[k]) + end, int(multiplier[k]), -int(shift[k])) + zero_point
            for end in (-swing, swing)
        ]
        outputs = {min(max(value, made.low), made.high) for value in scaled}
        if len(outputs) == 1:
            weights[k], bias[k], multiplier[k], shift[k] = 0, 0, 0, 1
            rounding[k] = outputs.pop() * 2
    return replace(
        made, weights=weights, bias=bias, multiplier=multiplier, rounding=rounding, shift=shift
    )


def why_not_fast(made: Layer, *, dense: bool = False, lanes: bool = True) -> str | None:
    """Why the fast kernels cannot compute a layer exactly; None if they can.

    Args:
        made: the layer.
        dense: whether its inputs can be cut in parts.
        lanes: whether two int8 weights share an int16 lane.
    """
    if (made.shift < 0).any():
        return "a channel is scaled by more than 1"
    if made.finish != "relu" and (made.shift == 0).any():
        return "a channel is scaled by more than 1/2"
    if lanes and (made.weights < -127).any():
        return "a weight is −128"  # 256 · −128 − 1 leaves the int16 lane
    # S − T is 256 times the sum of one channel; dense layers can cut it in parts.
    if lanes and (made.reach >= LANE_LIMIT).any() and not (dense and dense_parts(made)):
        return "an accumulator may exceed 23 bits"
    if (2 * made.reach + np.abs(made.rounding) >= 1 << 31).any():
        return "a scaled sum may exceed 32 bits"
    return None


def constants(made: Layer, channels: slice) -> list[np.int64]:
    """(multiplier, rounding, shift) of each channel, flat."""
    columns = (made.multiplier[channels], made.rounding[channels], made.shift[channels])
    return list(np.stack(columns, axis=1).reshape(-1))


def padded(made: Layer, multiple: int) -> Layer:
    """The layer with so many empty channels that their number is a multiple."""
    missing = -len(made.bias) % multiple

    def grown(array: Ints) -> Ints:
        return np.pad(array, ((0, missing), *((0, 0),) * (array.ndim - 1)))

    return replace(
        made,
        weights=grown(made.weights),
        bias=grown(made.bias),
        multiplier=grown(made.multiplier),
        rounding=grown(made.rounding),
        shift=grown(made.shift),
    )


def in_pairs(weights: Ints) -> Ints:
    """(outputs, pairs, 2): taps in the order of `at_spread`, (0, 2), (1, 3), …, zeros behind."""
    outputs, taps = weights.shape
    grown = np.pad(weights, ((0, 0), (0, -taps % 4)))
    pairs = grown.reshape(outputs, -1, 4)[:, :, [0, 2, 1, 3]].reshape(outputs, -1, 2)
    return pairs[:, :-1] if taps % 4 == 1 else pairs  # the last pair would be all zeros


def lanes(high: Ints, low: Ints) -> Words:
    """Pairs (…, 2) of two channels as words whose int16 lanes are 256·high + low."""
    lane = (256 * high + low) & 0xFFFF
    return (lane[..., 0] | lane[..., 1] << 16).astype(np.uint32)


def starts_of(made: Layer, channels: slice) -> list[np.int64]:
    """S and T before the first tap, of each pair of channels."""
    high, low = made.bias[channels][0::2], made.bias[channels][1::2]
    return list(np.stack((256 * high + low, low), axis=1).reshape(-1))


def gemm_stream(made: Layer, columns: int) -> Words:
    """The stream of `at_gemm`, 4 columns for two pixels, 2 for four.

    For every `columns` channels: start values of S and T, two a pair of channels; the weights,
    (pairs, columns / 2) words; (multiplier, rounding, shift) a channel.
    """
    made = padded(made, columns)
    pairs = in_pairs(made.weights)
    stream: list[np.int64] = []
    for first in range(0, len(made.bias), columns):
        channels = slice(first, first + columns)
        stream.extend(starts_of(made, channels))
        words = lanes(pairs[channels][0::2], pairs[channels][1::2])  # (columns / 2, pairs)
        stream.extend(words.T.reshape(-1))
        stream.extend(constants(made, channels))
    return (np.array(stream, np.int64) & 0xFFFFFFFF).astype(np.uint32)


def expanded_stream(made: Layer) -> Words:
    """The stream of `at_gemm` with expanded weights: doubled, as int16 pairs.

    For every four channels: the doubled biases; (pairs, 4) words; (multiplier, rounding, shift) a
    channel.
    """
    made = padded(made, 4)
    pairs = (2 * in_pairs(made.weights)) & 0xFFFF
    words = pairs[..., 0] | pairs[..., 1] << 16  # (outputs, pairs)
    stream: list[np.int64] = []
    for first in range(0, len(made.bias), 4):
        channels = slice(first, first + 4)
        stream.extend(2 * made.bias[channels])
        stream.extend(words[channels].T.reshape(-1))
        stream.extend(constants(made, channels))
    return (np.array(stream, np.int64) & 0xFFFFFFFF).astype(np.uint32)


def dense_parts(made: Layer) -> int:
    """Into how many equal parts of whole words the inputs are cut; 0 if no cut is fine enough.

    The sums of every part, times 256, fit 32 bits.
    """
    depth = made.weights.shape[1]
    for parts in range(1, depth // 4 + 1):
        if depth % (4 * parts) == 0:
            sums = np.abs(made.weights.reshape(len(made.weights), parts, -1)).sum(axis=2)
            if (128 * sums + np.abs(made.bias)[:, None] < LANE_LIMIT).all():
                return parts
    return 0


def dense_stream(made: Layer) -> tuple[Words, int]:
    """The stream of `at_dense_gemm`, and how many blocks of 8 outputs it begins with.

    The rest stands by 2, filled up with one where it is odd. For every block S and T at the start,
    two a pair; for every part of the inputs (pairs, outputs / 2) words of weights; (multiplier,
    rounding, shift) of each output.
    """
    eights = len(made.bias) // 8
    made = padded(made, 2)
    pairs = in_pairs(made.weights)
    starts = [(first, 8) for first in range(0, 8 * eights, 8)]
    starts += [(first, 2) for first in range(8 * eights, len(made.bias), 2)]
    stream: list[np.int64] = []
    for first, outputs in starts:
        channels = slice(first, first + outputs)
        stream.extend(starts_of(made, channels))
        stream.extend(lanes(pairs[channels][0::2], pairs[channels][1::2]).T.reshape(-1))
        stream.extend(constants(made, channels))
    return (np.array(stream, np.int64) & 0xFFFFFFFF).astype(np.uint32), eights


def depthwise_stream(made: Layer, *, turned: bool) -> Words:
    """The stream of `at_depthwise_3x3_s8`, ten words a channel; turned: lines are columns."""
    filters = 2 * made.weights.reshape(-1, 3, 3)
    lines = filters.transpose(0, 2, 1) if turned else filters
    pairs = np.stack((lines[:, :, 0:2], lines[:, :, 1:3]), axis=2) & 0xFFFF
    words = (pairs[..., 0] | pairs[..., 1] << 16).reshape(-1, 6)
    ends = np.stack((made.multiplier, made.rounding, made.shift), axis=1)
    stream = np.concatenate((2 * made.bias[:, None], words, ends), axis=1)
    return (stream.reshape(-1) & 0xFFFFFFFF).astype(np.uint32)
