"""Folders of class folders, also under train/ and test/ (and validation/)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autotiny.dataset.split_lists import LISTS, has_lists, listed_parts
from autotiny.errors import InvalidData, shown
from autotiny.graph import Array

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}

BY_FOLDER = "folder"
"""What `--group` says of samples that lie in class folders."""

File = tuple[Path, int]
"""A sample and its class."""


@dataclass(frozen=True)
class Kind:
    """What class folders hold.

    Attributes:
        one: what messages call one of them, e.g. "image".
        many: and several.
        endings: of files that are read, in small letters.
        refused: of files that may be meant and cannot be read; further ones are no samples.
        remedy: what to do with those, e.g. "save it as PNG".
        skipped: folders that are no classes, beside hidden ones.
    """

    one: str
    many: str
    endings: tuple[str, ...]
    refused: tuple[str, ...] = ()
    remedy: str = ""
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ClassFiles:
    """The samples of a folder, of all splits.

    Attributes:
        files: in the order of their splits and names.
        classes: (N,) int64.
        labels: names of the classes.
        parts: (N,) uint8, 0 train, 1 validation, 2 test, where folders or lists say it.
        left_out: folders beside the classes that are none.
        groups: (N,) int64: a number for each folder in a class folder, one name being one group in
            all classes; a file in none stands alone. None where they were not asked for.
        split_notes: what is said of lists that say the splits.
    """

    files: tuple[Path, ...]
    classes: Array
    labels: tuple[str, ...]
    parts: Array | None
    left_out: tuple[Path, ...]
    groups: Array | None = None
    split_notes: tuple[str, ...] = ()

    @property
    def group_notes(self) -> tuple[str, ...]:
        """What is said of the groups."""
        if self.groups is None:
            return ()
        count = int(self.groups.max()) + 1
        kept = "" if self.parts is not None else ", each of which stays in one split"
        return (f"{count:,} groups by folder{kept}",)


def listed(folder: Path, kind: Kind, group: str | None = None) -> ClassFiles:
    """All samples of a folder of class folders, or of splits of such.

    Args:
        folder: it.
        kind: what its class folders hold.
        group: "folder" where class folders hold folders whose samples belong together.

    Raises:
        InvalidData: a class is empty, a split is missing, or a file is of a kind that is not read.
    """
    if group not in (None, BY_FOLDER):
        raise InvalidData(
            f"--group {shown(group)} is given, but {folder} has no columns; --group {BY_FOLDER} "
            "keeps each folder in a class folder in one split"
        )
    grouped = group is not None
    places = split_folders(folder, kind)
    train, labels = class_files(places.get("train", folder), None, kind, grouped=grouped)
    found = {"train": train}
    for part in ("validation", "test"):
        if part in places:
            found[part] = class_files(places[part], labels, kind, grouped=grouped)[0]
    files = [file for part in found.values() for file in part]
    numbers = [list(SPLIT_NAMES).index(part) for part, some in found.items() for _ in some]
    parts = np.array(numbers, np.uint8) if places else None
    notes: tuple[str, ...] = ()
    if has_lists(folder):
        if places:
            raise InvalidData(
                f"{folder} has both {places['train'].name}/ and lists of files "
                f"({', '.join(LISTS.values())}), which say the splits; remove one of them"
            )
        parts, notes = listed_parts(folder, [path for path, _ in files])
    return ClassFiles(
        tuple(path for path, _ in files),
        class_numbers(files).astype(np.int64),
        labels,
        parts,
        tuple(
            one
            for place in (folder, *places.values())
            for one in sorted(place.iterdir())
            if one.is_dir() and not _is_class(one, kind)
        ),
        _groups(folder, [path for path, _ in files], 2 + bool(places)) if grouped else None,
        notes,
    )


def _groups(folder: Path, files: list[Path], plain: int) -> Array:
    """(N,) a number for each group.

    Args:
        folder: that all of them lie in.
        files: of all splits.
        plain: how many names there are from there to a file that lies in its class folder itself.
    """
    inner = [len(path.relative_to(folder).parts) > plain for path in files]
    if not any(inner):
        raise InvalidData(
            f"--group {BY_FOLDER} is given, but no class folder of {folder} has a folder in it; "
            "put the files of each group into one, or leave it out"
        )
    order: dict[str | Path, int] = {}
    keys = [path.parent.name if one else path for path, one in zip(files, inner, strict=True)]
    return np.array([order.setdefault(key, len(order)) for key in keys], np.int64)


def holds(folder: Path, kind: Kind) -> bool:
    """Whether class folders, of whatever split, hold a file of a kind, even a refused one."""
    return any(
        path.suffix.lower() in kind.endings + kind.refused and path.is_file()
        for inner in _folders(folder, kind)
        for place in (inner, *_folders(inner, kind))
        for deep in (place, *_folders(place, kind))
        for path in deep.iterdir()
    )


def split_folders(folder: Path, kind: Kind) -> dict[str, Path]:
    """The folders of the splits, where there are some; a class may have the name of one."""
    inside = _folders(folder, kind)
    parts = {
        part: [one for one in inside if one.name.lower() in SPLIT_NAMES[part]]
        for part in SPLIT_NAMES
    }
    if not any(_folders(one, kind) for found in parts.values() for one in found):
        return {}
    for found in parts.values():
        if len(found) > 1:
            raise InvalidData(
                f"{folder} has {found[0].name}/ and {found[1].name}/, which mean the same split; "
                "join or remove one"
            )
    lacking = [part for part in ("train", "test") if not parts[part]]
    if lacking:
        present = " and ".join(f"{found[0].name}/" for found in parts.values() if found)
        raise InvalidData(
            f"{folder} has {present} and no {lacking[0]}/; put class folders with {kind.many} "
            "there, or all class folders directly into one folder"
        )
    others = [one.name for one in inside if [one] not in parts.values()]
    if others:
        raise InvalidData(
            f"{folder} has {others[0]}/ beside train/ and test/; splits are called train, "
            "validation and test: rename or move it"
        )
    return {part: found[0] for part, found in parts.items() if found}


def class_files(
    folder: Path, labels: tuple[str, ...] | None, kind: Kind, *, grouped: bool = False
) -> tuple[list[File], tuple[str, ...]]:
    """All files of the class folders, in the order of their names; hidden ones are none.

    Args:
        folder: that the class folders lie in.
        labels: the classes, where train has given them already; this split may lack some.
        kind: what the class folders hold.
        grouped: whether they may hold folders of such, too.
    """
    inside = _folders(folder, kind)
    names = labels or tuple(one.name for one in inside)
    odd = [one.name for one in inside if one.name not in names]
    if odd:
        raise InvalidData(f"{folder} has the class {shown(odd[0])}, which train/ lacks")
    files = [
        (path, names.index(one.name))
        for one in inside
        for path in _inside(one, kind, grouped=grouped)
    ]
    endings = ", ".join(kind.endings)
    if len(names) < 2 or not files:
        raise InvalidData(
            f"{folder} holds neither IDX files nor at least two class folders with {kind.many} "
            f"({endings})"
        )
    empty = sorted(set(range(len(names))) - {index for _, index in files})
    if empty and labels is None:
        raise InvalidData(
            f"{folder / names[empty[0]]} holds no {kind.one} ({endings}); remove it if it is no "
            "class"
        )
    return files, names


def class_numbers(files: list[File]) -> Array:
    """(N,) int32."""
    return np.array([index for _, index in files], np.int32)


def _folders(folder: Path, kind: Kind) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and _is_class(one, kind))


def _is_class(folder: Path, kind: Kind) -> bool:
    return _visible(folder) and folder.name not in kind.skipped


def _inside(folder: Path, kind: Kind, *, grouped: bool, inner: bool = False) -> list[Path]:
    """The samples of a class; what may be one and cannot be read is not left out silently.

    Args:
        folder: of the class, or a folder in it.
        kind: what it holds.
        grouped: whether a class may hold folders of samples.
        inner: whether the folder is such a one.
    """
    visible = [path for path in sorted(folder.iterdir()) if _visible(path)]
    found: list[Path] = []
    for path in visible:
        if path.suffix.lower() in kind.refused:
            raise InvalidData(f"{path} is of a kind that is not read; {kind.remedy}, or remove it")
        if path.is_dir() and inner:
            raise InvalidData(
                f"{path} is a folder in the folder of a group; move its {kind.many} up, or remove "
                "it"
            )
        if path.is_dir() and not grouped:
            raise InvalidData(
                f"{path} is a folder in a class folder; move its {kind.many} up, remove it, or "
                f"give --group {BY_FOLDER} to keep each such folder in one split"
            )
        if path.is_dir():
            found += _inside(path, kind, grouped=True, inner=True)
        elif path.suffix.lower() in kind.endings:
            found.append(path)
    return found


def _visible(path: Path) -> bool:
    return not path.name.startswith((".", "__"))
