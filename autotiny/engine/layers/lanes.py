"""Weights of two output channels in one int16 lane, as kernels on cores with SMLAD read them."""

from __future__ import annotations

import numpy as np

from autotiny.engine.layers.matrix import (
    Ints,
    Matrix,
    Tiling,
    Words,
    constants,
    halfwords,
    padded,
    words_of,
)


def lanes(high: Ints, low: Ints) -> Ints:
    """Pairs (…, 2) of two channels as words whose int16 lanes are 256·high + low."""
    return halfwords(256 * high + low)


def lane_starts(made: Matrix, channels: slice) -> list[np.int64]:
    """S and T before the first tap, of each pair of channels."""
    high, low = made.bias[channels][0::2], made.bias[channels][1::2]
    return list(np.stack((256 * high + low, low), axis=1).reshape(-1))


def lane_stream(made: Matrix, pairs: Ints, tiling: Tiling) -> Words:
    """A layer's weights, block by block.

    For every block: start values of S and T, two a pair of channels; the weights, (pairs, channels
    / 2) words, of a dense layer that is cut for each part of the inputs; (multiplier, rounding,
    shift) a channel.

    Args:
        made: the layer.
        pairs: (outputs, pairs, 2), its weights in the order of the inputs' pairs.
        tiling: the blocks of its outputs.
    """
    missing = -len(pairs) % tiling.small
    made, pairs = padded(made, tiling.small), np.pad(pairs, ((0, missing), (0, 0), (0, 0)))
    stream: list[np.int64] = []
    for channels in tiling.slices:
        stream.extend(lane_starts(made, channels))
        words = lanes(pairs[channels][0::2], pairs[channels][1::2])  # (channels / 2, pairs)
        stream.extend(words.T.reshape(-1))
        stream.extend(constants(made, channels))
    return words_of(np.array(stream, np.int64))
