"""An int8 layer as a matrix, ready for the fast kernels, and what its words are made of.

A fast layer reads one stream of words from front to back. Accumulators start at the bias, into
which the input's zero-point is folded; padding holds the stored zero, so that is exact everywhere.
The proofs that no sum overflows stand here too: they need the real weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autotiny.engine.fixed_point import multiply
from autotiny.engine.kernel import Operand, Site, table
from autotiny.engine.layers.constants import (
    biases,
    bounds_int8,
    multipliers,
    quantization_of,
    tensor_multiplier,
)

Ints = NDArray[np.int64]
Words = NDArray[np.uint32]

LANE_LIMIT = 1 << 23
"""256 times a smaller sum fits 32 bits."""


@dataclass(frozen=True, eq=False)
class Matrix:
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

    def of(self, outputs: Ints) -> Matrix:
        """The layer of these outputs, in this order."""
        each = ("weights", "bias", "multiplier", "rounding", "shift")
        return replace(self, **{name: getattr(self, name)[outputs] for name in each})

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


def matrix(site: Site) -> Matrix:
    """The matrix of a layer, its constants made ready for `at_finished`."""
    weights = site.constant(1).astype(np.int64)
    if site.op.kind == "DEPTHWISE_CONV_2D":
        weights = weights.reshape(-1, weights.shape[3]).T
    else:
        weights = weights.reshape(len(weights), -1)
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
    made = Matrix(
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


def _without_constant_channels(made: Matrix, zero_point: int) -> Matrix:
    """Empty the channels that give one output whatever the input is.

    Training leaves channels whose weights are next to nothing and whose bias, in their tiny scale,
    is next to 2^31. As rescaling is monotone, equal outputs at both ends of what the accumulator
    can reach prove the channel constant; its sums then need no room.
    """
    weights, bias, rounding = made.weights.copy(), made.bias.copy(), made.rounding.copy()
    multiplier, shift = made.multiplier.copy(), made.shift.copy()
    reach = made.reach
    for k in np.flatnonzero((reach >= LANE_LIMIT) & (reach < 1 << 31)):
        swing = int(reach[k] - abs(bias[k]))
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


def why_not_fast(made: Matrix, *, dense: bool = False, lanes: bool = True) -> str | None:
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
    # Without a double-word product a doubled sum is multiplied in halves, the middle of which fits.
    if (made.reach >= 1 << 29).any():
        return "an accumulator may exceed 29 bits"
    if (2 * made.reach + np.abs(made.rounding) >= 1 << 31).any():
        return "a scaled sum may exceed 32 bits"
    return None


def constants(made: Matrix, channels: slice) -> list[np.int64]:
    """(multiplier, rounding, shift) of each channel, flat."""
    columns = (made.multiplier[channels], made.rounding[channels], made.shift[channels])
    return list(np.stack(columns, axis=1).reshape(-1))


def channel_constants(site: Site, made: Matrix) -> Operand:
    """(bias, multiplier, rounding, shift) of each channel."""
    columns = (made.bias, made.multiplier, made.rounding, made.shift)
    values = np.stack(columns, axis=1) & 0xFFFFFFFF
    return table("c", values.astype(np.uint32), site.step.weights.memory)


def finish_struct(made: Matrix, kind: str | None = None) -> str:
    """The C value of an `at_finish`; of the layer's own kind unless another one is named."""
    return f"(at_finish){{AT_{(kind or made.finish).upper()}, {made.low}, {made.high}}}"


@dataclass(frozen=True)
class Tiling:
    """How the outputs of a layer fall into blocks, for the packer and for the call of the kernel.

    Attributes:
        outputs: how many there are.
        block: outputs of a block.
        small: outputs of the blocks that what is left falls into; the last one may be filled up.
    """

    outputs: int
    block: int
    small: int

    @property
    def blocks(self) -> int:
        """Whole blocks, which stand first."""
        return self.outputs // self.block

    @property
    def left(self) -> int:
        """Outputs behind the whole blocks."""
        return self.outputs % self.block

    @property
    def slices(self) -> list[slice]:
        """The channels of every block, in order; the last one may reach behind the outputs."""
        whole = self.blocks * self.block
        firsts = [(first, self.block) for first in range(0, whole, self.block)]
        firsts += [(first, self.small) for first in range(whole, self.outputs, self.small)]
        return [slice(first, first + size) for first, size in firsts]

    def finish(self, made: Matrix) -> str:
        """What follows the accumulators, where only "clamp" can leave a part of a block out."""
        return "clamp" if self.left else made.finish


def padded(made: Matrix, multiple: int) -> Matrix:
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


def halfwords(pairs: Ints) -> Ints:
    """Pairs (…, 2) of int16 as words, the first one low."""
    halves = pairs & 0xFFFF
    words: Ints = halves[..., 0] | halves[..., 1] << 16
    return words


def words_of(values: Ints) -> Words:
    """All values in their order, as words."""
    return (values.reshape(-1) & 0xFFFFFFFF).astype(np.uint32)


def dense_parts(made: Matrix) -> int:
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
