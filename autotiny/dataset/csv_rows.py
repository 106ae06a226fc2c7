"""Rows of a text table: cells separated by commas, semicolons or tabs."""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import numpy as np

from autotiny.dataset.columns import Columns, columns_of
from autotiny.dataset.reading import Reading, check_room
from autotiny.dataset.rows import Rows, check_complete
from autotiny.errors import InvalidData, shown

SEPARATORS = "\t;,"
"""In this order: numbers with a decimal comma stand between semicolons."""

DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
BLOCK = 4096
"""Rows after which the room they take is looked at again."""

Row = tuple[int, list[str]]
"""Cells, and the line they begin in, from 1 as an editor counts."""


def csv_rows(path: Path, reading: Reading, *, labelled: bool = False) -> Rows:
    """The rows of a text table, in one pass.

    A first row without a number above a row that has some is the header.

    Args:
        path: a file in UTF-8.
        reading: what its columns are.
        labelled: whether the folder names the class.

    Raises:
        InvalidData: it is no table, or a cell is missing or no number; the message gives row and
            column.
    """
    try:
        check_room(path.stat().st_size, str(path))
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _numbered(file, _separator(file), path)
            first, second = next(rows, None), next(rows, None)
            if first is None:
                raise InvalidData(f"{path} is empty; a table of numbers is needed")
            begin = [first] if second is None else [first, second]
            numbers = [any(map(is_number, cells)) for _, cells in begin]
            if not any(numbers):
                raise InvalidData(
                    f"{path} does not begin with a row of numbers; one row of names may stand "
                    "above them, and no more"
                )
            _check_width(begin, len(first[1]), path)
            names = None
            if not numbers[0]:
                names, begin = tuple(first[1]), begin[1:]
            columns = columns_of(names, begin[0][1], reading, str(path), labelled=labelled)
            return _read(chain(begin, rows), columns, path)
    except UnicodeDecodeError as other:
        raise InvalidData(
            f"{path} is not UTF-8 (byte 0x{other.object[other.start]:02x}); save it as UTF-8"
        ) from other
    except OSError as failure:
        raise InvalidData(
            f"{path} cannot be read ({failure.strerror}); mend or remove it"
        ) from failure
    except csv.Error as damage:
        raise InvalidData(f"{path} is no table: {damage}; mend its quotation marks") from damage


def is_number(cell: str) -> bool:
    """Whether a cell is a number, NaN among them; 1_000 is text."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


_QUOTED = re.compile(r'(?:(?<=[,;\t ])|^)"(?:[^"]|"")*"', re.MULTILINE)
"""A cell in quotation marks, whatever stands in it."""


def _separator(file: TextIO) -> str:
    """What stands between cells: what gives the first two lines the same number of them."""
    lines = _QUOTED.sub('""', file.read(1 << 20)).splitlines()[:2]
    file.seek(0)
    widths = {
        separator: [len(row) for row in csv.reader(lines, delimiter=separator)]
        for separator in SEPARATORS
    }
    for separator, found in widths.items():
        if found and min(found) > 1 and len(set(found)) == 1:
            return separator
    return max(reversed(SEPARATORS), key=lambda separator: (widths[separator] or [0])[0])


def _numbered(file: TextIO, separator: str, path: Path) -> Iterator[Row]:
    """Rows with the lines they begin in; empty lines may only stand at the end."""
    reader = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
    line, empty = 1, 0
    for row in reader:
        if not row:
            empty = empty or line
        elif empty:
            raise InvalidData(f"{path}: row {empty} is empty; remove it")
        else:
            yield line, row
        line = reader.line_num + 1


def _check_width(rows: Iterable[Row], width: int, path: Path) -> None:
    for line, row in rows:
        if len(row) != width:
            raise InvalidData(
                f"{path}: row {line} has {len(row)} cells, row 1 has {width}; all need as many"
            )


def _read(rows: Iterable[Row], columns: Columns, path: Path) -> Rows:
    numbers, lines = array("d"), array("q")
    texts: tuple[list[str], ...] = tuple([] for _ in columns.texts)
    kept = list(zip(texts, columns.texts, strict=True))
    width, pick = len(columns.names), _picker(columns)
    for line, row in rows:
        if len(row) != width:
            _check_width([(line, row)], width, path)
        try:
            cells = pick(row)
            numbers.extend(map(float, cells))
            if "_" in "".join(cells):  # Python reads 1_000 as a number
                raise ValueError
        except ValueError:
            raise _no_number(line, row, columns, path) from None
        for column, place in kept:
            column.append(row[place].strip())
        lines.append(line)
        if len(lines) % BLOCK == 0:
            check_room(4 * len(numbers), str(path))
    found = Rows(
        columns,
        np.frombuffer(numbers, np.float64).reshape(-1, len(columns.features)),
        texts,
        np.frombuffer(lines, np.int64),
    )
    check_complete(found, path)
    return found


def _picker(columns: Columns) -> Callable[[list[str]], Sequence[str]]:
    """What takes the cells of the features out of a row."""
    places = columns.features
    if len(places) == len(columns.names):
        return lambda row: row
    if len(places) == 1:  # an itemgetter of one item gives no tuple
        return lambda row: (row[places[0]],)
    return itemgetter(*places)


def _no_number(line: int, row: list[str], columns: Columns, path: Path) -> InvalidData:
    """The error for the first cell of a row that is no number."""
    place = next(one for one in columns.features if not is_number(row[one]))
    cell = row[place].strip()
    where = f"{path}: row {line}, {columns.called(place)}"
    out = f"--ignore {columns.names[place][:40]} leaves the column out"
    if not cell:
        return InvalidData(f"{where} is empty; fill it or remove the row, or {out}")
    if DECIMAL_COMMA.fullmatch(cell):
        return InvalidData(
            f"{where} is {cell!r}, with a decimal comma; write {cell.replace(',', '.')}"
        )
    header = ", or name all columns in text if row 1 is a header" if line == 1 else ""
    return InvalidData(f"{where} is {shown(cell)}; a number is needed: mend it, or {out}{header}")
