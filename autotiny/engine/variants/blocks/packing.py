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
    padded,
    words_of,
)


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
