"""Windows of a series: as many rows in a row, none of which are of two recordings."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from autotiny.dataset.reading import check_room
from autotiny.graph import Array

FIRST = 100
"""Rows that rule out most columns that do not grow."""

LEAST = 8
"""Rows of which growing says something."""


def run_ends(keys: list[Array], rows: int) -> Array:
    """(runs + 1,) where runs of rows with the same keys begin, and where the last one ends.

    Args:
        keys: (rows,) or (rows, k) each.
        rows: how many there are, where there is no key.
    """
    changes = np.zeros(max(rows - 1, 0), bool)
    for key in keys:
        differs = key[1:] != key[:-1]
        changes |= differs if differs.ndim == 1 else differs.any(axis=1)
    return np.concatenate([[0], np.flatnonzero(changes) + 1, [rows]])


def window_starts(ends: Array, window: int, hop: int) -> Array:
    """(windows,) int64: where windows begin, from the beginning of each run."""
    runs = pairwise(ends.tolist())
    return np.concatenate([np.arange(begin, end - window + 1, hop) for begin, end in runs])


def windows(x: Array, starts: Array, window: int, name: str) -> Array:
    """(windows, window, channels) out of (rows, channels).

    Raises:
        InvalidData: they do not fit into memory.
    """
    check_room(4 * len(starts) * window * x.shape[1], name)
    cut: Array = x[starts[:, None] + np.arange(window)]
    return cut


def growing(x: Array, ends: Array) -> list[int]:
    """The columns of (rows, channels) that grow from row to row within each run: a time, a count.

    Args:
        x: of at least 8 rows; of fewer, none is told.
        ends: as `run_ends` gives them.
    """
    if len(x) < LEAST or len(x) < 2 * (len(ends) - 1):
        return []
    inside = np.ones(len(x) - 1, bool)
    inside[ends[1:-1] - 1] = False
    begin = x[: FIRST + 1]
    likely = (np.diff(begin, axis=0) > 0)[inside[:FIRST]].all(axis=0)
    return [
        int(column) for column in np.flatnonzero(likely)
        if (np.diff(x[:, column]) > 0)[inside].all()
    ]  # fmt: skip
