"""Lists of files beside class folders that say which are validation and which test.

Google's Speech Commands has them. Warden, "Speech Commands", 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from autotiny.errors import InvalidData, shown
from autotiny.graph import Array

LISTS = {1: "validation_list.txt", 2: "testing_list.txt"}
"""By the number of their part."""

MOST_BYTES = 1 << 28


def has_lists(folder: Path) -> bool:
    """Whether lists say the splits of a folder."""
    return any((folder / name).is_file() for name in LISTS.values())


def listed_parts(folder: Path, files: Sequence[Path]) -> tuple[Array, tuple[str, ...]]:
    """The part of each file, (N,) uint8: 0 train, 1 validation, 2 test; and lines for the user.

    Entries are compared with the files that class folders hold; none is opened.

    Args:
        folder: of the class folders and lists; without a list of validation it is taken of train.
        files: in the class folders.

    Raises:
        InvalidData: a list is damaged, names a file outside, none that is there, or one of both.
    """
    if not (folder / LISTS[2]).is_file():
        raise InvalidData(
            f"{folder} has {LISTS[1]} and no {LISTS[2]}; add it, or remove the list to split by "
            "seed"
        )
    order = {path.relative_to(folder).as_posix(): place for place, path in enumerate(files)}
    parts = np.zeros(len(files), np.uint8)
    names = [name for name in LISTS.values() if (folder / name).is_file()]
    notes = [f"splits: by {' and '.join(names)}"]
    for part, name in LISTS.items():
        entries = _entries(folder / name) if name in names else {}
        found = {entry: order[entry] for entry in entries if entry in order}
        if entries and not found:
            first = next(iter(entries))
            raise InvalidData(
                f"{folder / name} names no file that is here, such as {shown(first)}; its lines "
                "are CLASS/FILE: mend it, or remove it to split by seed"
            )
        for entry, place in found.items():
            if parts[place]:
                raise InvalidData(
                    f"{folder / name}: line {entries[entry]} is {shown(entry)}, which "
                    f"{LISTS[int(parts[place])]} has too; remove it from one"
                )
            parts[place] = part
        if lost := len(entries) - len(found):
            notes.append(f"{name} names {lost:,} files that are not here, of {len(entries):,}")
    return parts, tuple(notes)


def _entries(path: Path) -> dict[str, int]:
    """What a list names, as CLASS/FILE, and in which line.

    Raises:
        InvalidData: it is no text, too large, empty, or a line leads out of the folder.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InvalidData(f"{path} has {size:,} bytes; {MOST_BYTES:,} are the most of a list")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as other:
        raise InvalidData(
            f"{path} is not UTF-8 (byte 0x{other.object[other.start]:02x}); save it as UTF-8"
        ) from other
    entries: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = PurePosixPath(line.strip())
        if entry.is_absolute() or ".." in entry.parts:
            raise InvalidData(
                f"{path}: line {number} is {shown(line.strip())}, which leads out of the folder; "
                "lines are CLASS/FILE"
            )
        entries.setdefault(entry.as_posix(), number)
    if not entries:
        raise InvalidData(f"{path} names no file; fill it, or remove it to split by seed")
    return entries
