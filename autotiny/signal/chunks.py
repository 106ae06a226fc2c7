"""Long lists of recordings, a part at a time: intermediate results are much larger than samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autotiny.graph import Array

MOST_NUMBERS = 1 << 22
"""Of an intermediate result, of which a part has several: some hundred megabytes."""


def in_chunks(x: Array, function: Callable[[Array], Array], numbers: int, rank: int = 1) -> Array:
    """What a function makes of (…, *sample) where it treats each sample for itself.

    Args:
        x: samples of `rank` dimensions along any number of leading ones.
        function: (N, *sample) → (N, *features).
        numbers: of an intermediate result of one sample.
        rank: dimensions of a sample.
    """
    leading, sample = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    count = int(np.prod(leading, dtype=np.int64))
    rows = x.reshape(count, *sample)
    step = max(1, MOST_NUMBERS // max(numbers, 1))
    parts = [function(rows[start : start + step]) for start in range(0, max(count, 1), step)]
    features = np.concatenate(parts)
    return features.reshape(*leading, *features.shape[1:])
