"""Recordings of motion: text tables in one folder a class, cut into windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from autotiny.dataset.columns import listed as named
from autotiny.dataset.csv_rows import csv_rows
from autotiny.dataset.folders import ClassFiles, Kind, holds, listed
from autotiny.dataset.pile import Pile
from autotiny.dataset.reading import AS_STORED, Reading, check_room
from autotiny.dataset.rows import Rows
from autotiny.dataset.table import growing_note, window_of
from autotiny.dataset.windows import growing, window_starts, windows
from autotiny.errors import InvalidData
from autotiny.graph import Array

RECORDINGS = Kind(
    "table", "tables", (".csv", ".tsv"), (".parquet", ".xlsx", ".xls"), "save it as CSV"
)
OPTIONS = ("window", "hop", "ignore", "group")


def is_recordings(folder: Path) -> bool:
    """Whether class folders hold tables."""
    return holds(folder, RECORDINGS)


def recordings(folder: Path, reading: Reading = AS_STORED) -> Pile:
    """Windows of recordings: x is (N, window, channels), a file is a group, its folder the class.

    Args:
        folder: of class folders, or of train/ and test/ (and validation/) with such.
        reading: with a window; columns of all files are the same, but for those it leaves out.

    Raises:
        InvalidData: there is no window, or a file is not like the first one.
    """
    reading.check_only(OPTIONS, "a folder of recordings")
    window, hop = window_of(reading)
    if window is None:
        raise InvalidData(
            f"{folder} holds recordings; give the rows of a sample, e.g. --window 128"
        )
    found = listed(folder, RECORDINGS, reading.group)
    check_room(sum(path.stat().st_size for path in found.files), str(folder))
    rows: list[Rows] = []
    columns = replace(reading, group=None)  # it says a folder
    for path in found.files:
        rows.append(csv_rows(path, columns, labelled=True))
        _check_like(rows[-1], path, rows[0], found.files[0])
    lengths = np.array([len(one.numbers) for one in rows])
    x = np.concatenate([one.numbers for one in rows])
    ends = np.concatenate([[0], np.cumsum(lengths)])
    starts = window_starts(ends, window, hop or window)
    files = np.searchsorted(ends, starts, side="right") - 1
    notes = [
        f"windows: {len(starts):,} of {window:,} rows of {x.shape[1]} columns, every "
        f"{hop or window:,}, of {len(rows):,} recordings; those of one recording stay in one split",
        *_short_note(found, lengths, window, folder),
        *found.group_notes,
        *found.split_notes,
        *growing_note(growing(x, ends), rows[0].columns),
    ]
    if found.left_out:
        notes.append(f"left out: {named([f'{one.name}/' for one in found.left_out])}")
    return Pile(
        folder.name, windows(x, starts, window, str(folder)), found.classes[files], found.labels,
        files if found.groups is None else found.groups[files],
        None if found.parts is None else found.parts[files], (), tuple(notes), recorded=True,
    )  # fmt: skip


def _check_like(rows: Rows, path: Path, first: Rows, of: Path) -> None:
    """Refuses a recording of other columns, which would be other inputs."""
    ours, theirs = (
        [one.columns.names[place] for place in one.columns.features] for one in (rows, first)
    )
    if ours != theirs:
        raise InvalidData(
            f"{path} has the columns {named(ours)}, {of} has {named(theirs)}; all recordings need "
            "the same in the same order"
        )


def _short_note(found: ClassFiles, lengths: Array, window: int, folder: Path) -> list[str]:
    """Recordings that give no window; a class must not vanish by it."""
    short = [place for place, length in enumerate(lengths) if length < window]
    full = {int(found.classes[place]) for place in range(len(lengths)) if place not in set(short)}
    for number, label in enumerate(found.labels):
        if number not in full:
            most = lengths[found.classes == number].max(initial=0)
            raise InvalidData(
                f"{folder}: no recording of {label} has {window:,} rows, the longest has {most:,}; "
                "give a shorter --window"
            )
    if not short:
        return []
    names = [found.files[place].name for place in short]
    return [f"shorter than a window and left out, {len(short)} of {len(lengths)}: {named(names)}"]
