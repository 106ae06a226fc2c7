"""The weights of layers that are computed in blocks, in the order in which kernels read them."""

from __future__ import annotations

import numpy as np

from autotiny.engine.layers.matrix import (
    Ints,
    Matrix,
    Tiling,
    Words,
    constants,
    halfwords,
    in_pairs,
    lane_starts,
    lanes,
    padded,
    words_of,
)


def lane_stream(made: Matrix, tiling: Tiling) -> Words:
    """The stream of `at_gemm` and `at_dense_gemm`, two weights a lane.

    For every block: start values of S and T, two a pair of channels; the weights, (pairs, channels
    / 2) words, of a dense layer that is cut for each part of the inputs; (multiplier, rounding,
    shift) a channel.
    """
    made = padded(made, tiling.small)
    pairs = in_pairs(made.weights)
    stream: list[np.int64] = []
    for channels in tiling.slices:
        stream.extend(lane_starts(made, channels))
        words = lanes(pairs[channels][0::2], pairs[channels][1::2])  # (channels / 2, pairs)
        stream.extend(words.T.reshape(-1))
        stream.extend(constants(made, channels))
    return words_of(np.array(stream, np.int64))


def expanded_stream(made: Matrix, tiling: Tiling) -> Words:
    """The stream of `at_gemm` with expanded weights: doubled, as int16 pairs.

    For every block: the doubled biases; (pairs, channels) words; (multiplier, rounding, shift) a
    channel.
    """
    made = padded(made, tiling.small)
    doubled: Ints = 2 * in_pairs(made.weights)
    words = halfwords(doubled)  # (outputs, pairs)
    stream: list[np.int64] = []
    for channels in tiling.slices:
        stream.extend(2 * made.bias[channels])
        stream.extend(words[channels].T.reshape(-1))
        stream.extend(constants(made, channels))
    return words_of(np.array(stream, np.int64))
