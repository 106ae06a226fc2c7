"""Samples of several inputs, and results of several outputs, each as one flat row.

A data set holds the inputs of a sample one behind the other, in the order in which the network
takes them; so does what is computed from it hold the outputs. What has one input or output keeps
its shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from autotiny.errors import InvalidData
from autotiny.graph import Array

Shape = tuple[int, ...]


def cut(rows: Array, shapes: Sequence[Shape]) -> list[Array]:
    """Rows (N, …) as one array (N, *shape) for each of the shapes.

    Raises:
        InvalidData: a row holds more or fewer values than the shapes take.
    """
    sizes = [math.prod(shape) for shape in shapes]
    flat = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    if flat.shape[1] != sum(sizes):
        raise InvalidData(
            f"samples of {flat.shape[1]:,} values are given to inputs of "
            f"{', '.join(map(str, shapes))}, which take {sum(sizes):,}; give data of that shape"
        )
    parts = np.split(flat, np.cumsum(sizes)[:-1], axis=1)
    return [part.reshape(len(rows), *shape) for part, shape in zip(parts, shapes, strict=True)]


def joined(parts: Sequence[Array]) -> Array:
    """Arrays (N, …) side by side, (N, values); a single one stays as it is."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part.reshape(len(part), math.prod(part.shape[1:])) for part in parts], 1)
