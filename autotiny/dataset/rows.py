"""A table that was read, of whatever format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autotiny.dataset.columns import Columns
from autotiny.errors import InvalidData
from autotiny.graph import Array


@dataclass(frozen=True, eq=False)
class Rows:
    """A table that was read.

    Attributes:
        columns: what each column is for.
        numbers: (N, features) float64, all finite.
        texts: the cells of each of `columns.texts`, none empty; N of them.
        lines: (N,) where each row stands in the file, from 1.
    """

    columns: Columns
    numbers: Array
    texts: tuple[list[str], ...]
    lines: Array


def check_complete(rows: Rows, path: Path) -> None:
    """Refuses NaN, infinity and missing texts.

    Raises:
        InvalidData: with the row and the column.
    """
    if not np.isfinite(rows.numbers).all():
        row, feature = (int(one[0]) for one in np.nonzero(~np.isfinite(rows.numbers)))
        raise InvalidData(
            f"{path}: row {rows.lines[row]}, "
            f"{rows.columns.called(rows.columns.features[feature])} is "
            f"{rows.numbers[row, feature]}; a finite number is needed: mend it, or remove the row"
        )
    for cells, place in zip(rows.texts, rows.columns.texts, strict=True):
        if "" in cells:
            line = rows.lines[cells.index("")]
            raise InvalidData(
                f"{path}: row {line}, {rows.columns.called(place)} is empty; fill it, or remove "
                "the row"
            )
