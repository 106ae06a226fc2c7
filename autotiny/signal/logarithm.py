"""Logarithms of whole numbers, in integers: the twin of `engine/kernels/signal_log.h`."""

from __future__ import annotations

import math

import numpy as np

from autotiny.graph import Array

FRACTION_BITS = 15
"""Of a logarithm."""

DB_AN_OCTAVE = 10 * math.log10(2)
"""What doubles a power, in dB."""


def log2_table() -> Array:
    """log2(1 + i/64) for i ≤ 64, (65,) uint16 with 15 fraction bits."""
    table = np.rint(np.log2(1 + np.arange(65) / 64) * (1 << FRACTION_BITS))
    return np.asarray(table, np.uint16)


def log2(x: Array) -> Array:
    """The logarithm to 2 of uint64, int64 with 15 fraction bits: off by less than 2^-13.

    That of 0 is that of 1.
    """
    leading = np.maximum(x, np.uint64(1))
    whole = np.full(x.shape, 63, np.int64)
    for bits in (32, 16, 8, 4, 2, 1):
        empty = leading >> np.uint64(64 - bits) == 0
        leading = np.where(empty, leading << np.uint64(bits), leading)
        whole -= np.where(empty, bits, 0)
    leading >>= np.uint64(32)
    index = ((leading >> np.uint64(25)) & np.uint64(63)).astype(np.int64)
    between = ((leading >> np.uint64(9)) & np.uint64(0xFFFF)).astype(np.int64)
    table = log2_table().astype(np.int64)
    low = table[index]
    fraction = low + (((table[index + 1] - low) * between) >> 16)
    result: Array = (whole << FRACTION_BITS) + fraction
    return result
