"""Rows of a Parquet file, by pyarrow where it is installed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from autotiny.dataset.columns import columns_of
from autotiny.dataset.reading import Reading, check_room
from autotiny.dataset.rows import Rows, check_complete
from autotiny.errors import InvalidData, shown
from autotiny.graph import Array

NUMBERS = "iufb"


def parquet_rows(path: Path, reading: Reading) -> Rows:
    """The rows of a Parquet file.

    Raises:
        InvalidData: pyarrow is not installed, the file is damaged, or a cell is missing or no
            number; the message gives row and column.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as missing:
        raise InvalidData(
            f"{path} is a Parquet file, which pyarrow reads: pip install pyarrow, or save it as CSV"
        ) from missing
    check_room(path.stat().st_size, str(path))
    try:
        with parquet.ParquetFile(path) as file:
            return _rows(file, path, reading)
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as damage:
        reason = (str(damage).splitlines() or [""])[0]
        raise InvalidData(f"{path} is no Parquet file or damaged: {reason[:200]}") from damage


def _rows(file: Any, path: Path, reading: Reading) -> Rows:
    head = file.metadata
    groups = [head.row_group(place).total_byte_size for place in range(head.num_row_groups)]
    check_room(max(4 * head.num_rows * head.num_columns, sum(groups)), str(path))
    table = file.read()
    if table.num_rows == 0 or table.num_columns == 0:
        raise InvalidData(f"{path} has no rows; a table of numbers is needed")
    names = tuple(str(name) for name in table.column_names)
    first = [str(column[0].as_py()) for column in table.columns]
    columns = columns_of(names, first, reading, str(path), labelled=False)
    lines = np.arange(1, table.num_rows + 1)
    for place in (*columns.features, *columns.texts):
        column = table.column(place)
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy())[0])
            raise InvalidData(
                f"{path}: row {lines[row]}, {columns.called(place)} is empty; fill it, or remove "
                "the row"
            )
    numbers = np.empty((table.num_rows, len(columns.features)), np.float64)
    for feature, place in enumerate(columns.features):
        numbers[:, feature] = _numbers(table.column(place), columns.called(place), path)
    cells = (table.column(place).to_pylist() for place in columns.texts)
    found = Rows(columns, numbers, tuple([_text(one) for one in column] for column in cells), lines)
    check_complete(found, path)
    return found


def _numbers(column: Any, called: str, path: Path) -> Array:
    """A column as numbers."""
    values = np.asarray(column.to_numpy())
    if values.dtype.kind not in NUMBERS:
        raise InvalidData(
            f"{path}: {called} is of type {shown(str(column.type))}; numbers are needed: --ignore "
            "leaves a column out"
        )
    return values


def _text(value: object) -> str:
    """A cell as a text table has it."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return str(value).strip()
