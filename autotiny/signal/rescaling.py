"""From sums to stored features: the twin of `at_rescale_down` in `port.h`, on arrays.

It computes what `engine.fixed_point.multiply` does for one number, which is LiteRT's rounding after
the multiplication and after the shift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autotiny.graph import Array

Stored = Literal["int8", "int16"]
"""The types that features may have."""

MOST_FACTOR = 0.5
"""Of a rescaling, which makes numbers smaller: what is rounded is below 2^30."""


@dataclass(frozen=True)
class Rescaling:
    """A real factor below 1/2 as multiplier · 2^(shift − 31), 2^30 ≤ multiplier < 2^31."""

    multiplier: int
    shift: int


def rescaling(factor: float) -> Rescaling:
    """The nearest there is to a factor from 2^-30 to below 1/2."""
    fraction, shift = math.frexp(factor)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    return Rescaling(multiplier, shift)


def rescaled(x: Array, by: Rescaling) -> Array:
    """The int64 numbers x, below 2^30, times the factor; halves go away from zero."""
    high = (x * by.multiplier + (1 << 30)) >> 31
    half = (1 << -by.shift) >> 1
    result: Array = (high + half - (high < 0)) >> -by.shift
    return result


def stored(x: Array, dtype: Stored) -> Array:
    """Whole numbers in the type of the features; the last one beyond its ends."""
    limits = np.iinfo(dtype)
    return np.clip(x, limits.min, limits.max).astype(dtype)
