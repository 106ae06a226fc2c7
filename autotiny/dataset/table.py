"""Tables: a row is a sample, or a window of rows of a time series is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autotiny.dataset.columns import LABEL_NAMES, PARTS, Columns, listed
from autotiny.dataset.csv_rows import DECIMAL_COMMA, csv_rows, is_number
from autotiny.dataset.parquet_rows import parquet_rows
from autotiny.dataset.pile import Pile
from autotiny.dataset.reading import AS_STORED, Reading
from autotiny.dataset.rows import Rows
from autotiny.dataset.windows import growing, run_ends, window_starts, windows
from autotiny.errors import InvalidData, shown
from autotiny.graph import Array

TABLE_ENDINGS = (".csv", ".tsv", ".parquet")
OPTIONS = ("label", "group", "window", "hop", "ignore")
LARGEST_WHOLE = 1 << 53
"""Beyond it not every whole number is a float64."""

LONGEST_TEXT = 200
"""Characters of a label: an array of text takes the longest for each."""


def table(path: Path, reading: Reading = AS_STORED) -> Pile:
    """The samples of a CSV, TSV or Parquet file.

    Without a window a row is a sample and x is (N, features); with one, `window` rows are, x is
    (N, window, features), and windows never straddle a change of group, label or split. Columns
    that grow from row to row stay inputs and are told in a note.

    Args:
        path: of a text table in UTF-8, with or without a header, or of a Parquet file.
        reading: which columns hold labels and groups, which are left out, and the window. Without
            a label it is the column called label, class or target, else y; without a header the
            last one.

    Raises:
        InvalidData: with the row and the column, where it is one of them.
    """
    reading.check_only(OPTIONS, "a table")
    window, hop = window_of(reading)
    read = parquet_rows if path.suffix.lower() == ".parquet" else csv_rows
    rows = read(path, reading)
    columns = rows.columns
    y = _targets(rows, path)
    texts = dict(zip(columns.texts, rows.texts, strict=True))
    groups = None if columns.group is None else _numbered(texts[columns.group])
    parts = None if columns.part is None else _parts(texts[columns.part], rows, path)
    ends = run_ends([] if groups is None else [groups], len(y))
    notes = [
        f"inputs: {len(columns.features)} columns; to predict: "
        f"{listed([columns.called(place) for place in columns.labels])}",
        *growing_note(growing(rows.numbers, ends), columns),
    ]
    x = rows.numbers
    if window is not None:
        keys = [key for key in (groups, y, parts) if key is not None]
        ends = run_ends(keys, len(y))
        starts = _starts(ends, window, hop or window, rows, path)
        notes += _window_notes(ends, starts, window, hop or window, y)
        if groups is None and (hop or window) < window:
            groups = np.searchsorted(ends, np.arange(len(y)), side="right") - 1
            notes.append("windows overlap: those of one run stay in one split")
        x = windows(x, starts, window, str(path))
        y = y[starts]
        groups, parts = (None if one is None else one[starts] for one in (groups, parts))
    targets = tuple(columns.names[place] for place in columns.labels)
    return Pile(
        path.stem,
        x,
        y,
        (),
        groups,
        parts,
        targets,
        tuple(notes),
        recorded=window is not None,
    )


def window_of(reading: Reading) -> tuple[int | None, int | None]:
    """Window and hop in rows, where they were said.

    Raises:
        InvalidData: a hop without a window, or a time.
    """
    window, hop = reading.steps("window"), reading.steps("hop")
    if hop is not None and window is None:
        raise InvalidData(f"--hop {hop} without --window; give the rows of a sample, e.g. 128")
    return window, hop


def growing_note(grown: Sequence[int], columns: Columns) -> list[str]:
    """What is said of columns that may give the class away."""
    names = [columns.names[columns.features[feature]] for feature in grown]
    if not names:
        return []
    return [
        f"grows from row to row: {listed(names)}; if it counts rows or tells the time, leave it "
        f"out: --ignore {','.join(names[:4])}"
    ]


def _targets(rows: Rows, path: Path) -> Array:
    """(N,) or (N, k) int64, float32 or text."""
    columns, labels = rows.columns, rows.columns.labels
    cells = rows.texts[: len(labels)]
    odd = [[row for row, cell in enumerate(column) if not is_number(cell)] for column in cells]
    if any(odd):
        return _names(rows, odd, path)
    numbers = np.array([list(map(float, column)) for column in cells]).T
    small = np.abs(numbers) < np.float64(np.finfo(np.float32).max)
    if not small.all():  # NaN among them
        row, label = (int(one[0]) for one in np.nonzero(~small))
        raise InvalidData(
            f"{path}: row {rows.lines[row]}, {columns.called(labels[label])} is "
            f"{shown(cells[label][row])}; a finite number or a name is needed"
        )
    whole = bool((numbers == np.round(numbers)).all())
    if whole and np.abs(numbers).max() >= LARGEST_WHOLE:
        raise InvalidData(
            f"{path}: {columns.called(labels[0])} reaches {np.abs(numbers).max():.4g}; whole "
            f"numbers are below {LARGEST_WHOLE:,}"
        )
    y: Array = numbers.astype(np.int64 if whole else np.float32)
    return y.reshape(-1) if len(labels) == 1 else y


def _names(rows: Rows, odd: list[list[int]], path: Path) -> Array:
    """Labels of text, where they are meant to be: a header or a slip is no class."""
    columns, cells = rows.columns, rows.texts[: len(odd)]
    for place, column, texts in zip(columns.labels, cells, odd, strict=True):
        if texts and all(DECIMAL_COMMA.fullmatch(column[row]) for row in texts):
            cell = column[texts[0]]
            raise InvalidData(
                f"{path}: row {rows.lines[texts[0]]}, {columns.called(place)} is {cell!r}, with a "
                f"decimal comma; write {cell.replace(',', '.')}"
            )
        if len(texts) == 1 and len(column) > 2:
            where = f"{path}: row {rows.lines[texts[0]]}, {columns.called(place)}"
            raise InvalidData(
                f"{where} is {shown(column[texts[0]])}, all others are numbers; mend it, or, if "
                "row 1 is a header, name all columns in text"
            )
        if rows.lines[0] == 1 and column[0].casefold() in (*LABEL_NAMES, "y"):
            raise InvalidData(
                f"{path}: row 1 has numbers, and {shown(column[0])} in {columns.called(place)}; if "
                "it is a header, name all columns in text, else name the class otherwise"
            )
        if not texts:
            other = next(one for one, found in zip(columns.labels, odd, strict=True) if found)
            raise InvalidData(
                f"{path}: {columns.called(place)} holds numbers and {columns.called(other)} text; "
                "several labels need one kind"
            )
        longest = max(column, key=len)
        if len(longest) > LONGEST_TEXT:
            raise InvalidData(
                f"{path}: row {rows.lines[column.index(longest)]}, {columns.called(place)} has "
                f"{len(longest):,} characters; the name of a class has at most {LONGEST_TEXT}"
            )
    y: Array = np.array(cells).T
    return y.reshape(-1) if len(cells) == 1 else y


def _numbered(cells: list[str]) -> Array:
    """(N,) int64: equal texts get one number."""
    order: dict[str, int] = {}
    return np.array([order.setdefault(cell, len(order)) for cell in cells], np.int64)


def _parts(cells: list[str], rows: Rows, path: Path) -> Array:
    """(N,) uint8 of a column that says train, validation or test."""
    place = rows.columns.part or 0
    for row, cell in enumerate(cells):
        if cell.casefold() not in PARTS:
            raise InvalidData(
                f"{path}: row {rows.lines[row]}, {rows.columns.called(place)} is {shown(cell)}; it "
                "must be train, validation or test"
            )
    return np.array([PARTS[cell.casefold()] for cell in cells], np.uint8)


def _starts(ends: Array, window: int, hop: int, rows: Rows, path: Path) -> Array:
    starts = window_starts(ends, window, hop)
    if len(starts) == 0:
        lengths = np.diff(ends)
        longest = int(lengths.argmax())
        first, last = rows.lines[ends[longest]], rows.lines[ends[longest + 1] - 1]
        raise InvalidData(
            f"{path} has no {window:,} rows of one label and group in a row; the most are "
            f"{lengths[longest]:,}, rows {first} to {last}: give a shorter --window"
        )
    return starts


def _window_notes(ends: Array, starts: Array, window: int, hop: int, y: Array) -> list[str]:
    """How the series was cut, and what no window holds."""
    lengths = np.diff(ends)
    counts = np.maximum(0, (lengths - window) // hop + 1)
    left = int((lengths - np.where(counts > 0, (counts - 1) * hop + window, 0)).sum())
    notes = [
        f"windows: {len(starts):,} of {window:,} rows, every {hop:,}, in "
        f"{int((counts > 0).sum()):,} of {len(lengths):,} runs of one label and group; {left:,} of "
        f"{len(y):,} rows are in no window"
    ]
    lost = np.setdiff1d(y, y[starts]) if y.ndim == 1 and y.dtype.kind != "f" else np.empty(0)
    if lost.size:
        notes.append(
            f"no run of {window:,} rows has the label {', '.join(map(shown, lost[:8].tolist()))}; "
            "it is left out"
        )
    return notes
