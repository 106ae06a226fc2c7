"""Arrays in `.npy` files: a folder of them, or a pair; mapped, and not read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from autotiny.dataset.arrays import DAMAGES, PILES, SHORT_NAMES, TRAINED, group_numbers
from autotiny.dataset.members import npy_header
from autotiny.dataset.pile import Pile
from autotiny.dataset.ports import several_of
from autotiny.dataset.reading import AS_STORED, Reading, check_room
from autotiny.errors import InvalidData, shown
from autotiny.graph import Array
from autotiny.mapped import joined
from autotiny.tasks import SPLITS, shape_text

BETWEEN = ".npy,"
"""What stands between the files of a pair, whose folders may have commas in their names."""


def is_npy(source: str) -> bool:
    """Whether a source is a pair "x.npy,y.npy", or a folder with such files."""
    path = Path(source)
    if path.is_dir():
        return any(one.suffix == ".npy" and one.stem.lower() in PILES for one in path.iterdir())
    return BETWEEN in source


def npy_ports(source: str) -> dict[str, Array]:
    """The arrays of a folder with several inputs or targets by their names; else nothing.

    Raises:
        InvalidData: a file is damaged or no plain array, or there is no room for all.
    """
    path = Path(source)
    if not path.is_dir():
        return {}
    files = {one.stem: one for one in sorted(path.iterdir()) if one.suffix == ".npy"}
    named = several_of(files)
    read = [*named, *(["groups"] if named and "groups" in files else [])]
    arrays = {name: _mapped(files[name]) for name in read}
    check_room(sum(array.nbytes for array in arrays.values()), source)
    return arrays


def npy_pile(source: str, reading: Reading = AS_STORED) -> Pile:
    """The samples of `.npy` files.

    Args:
        source: a folder with x.npy and y.npy, also in capitals, and groups.npy where samples belong
            together; or with x_train.npy, y_train.npy, x_test.npy and y_test.npy (and
            …_validation); or "x.npy,y.npy" or "x.npy,y.npy,groups.npy".
        reading: may ask for a scale.

    Raises:
        InvalidData: a file is missing, damaged, no plain array, or not like the others.
    """
    reading.check_only((), "a source of .npy files")
    path = Path(source)
    files = _in_folder(path) if path.is_dir() else _listed(source)
    arrays = {name: _mapped(file) for name, file in files.items()}
    name = path.name if path.is_dir() else files["x"].stem
    if "x" in files:
        y = _targets(arrays["y"], files["y"])
        groups = (
            group_numbers(arrays["groups"], str(files["groups"])) if "groups" in files else None
        )
        _check_length(arrays, files)
        return Pile(name, arrays["x"], y, groups=groups, notes=(_note(arrays["x"], files["x"]),))
    present = [part for part in SPLITS if f"x_{part}" in files]
    xs = [arrays[f"x_{part}"] for part in present]
    ys = [_targets(arrays[f"y_{part}"], files[f"y_{part}"]) for part in present]
    for part, x, y in zip(present, xs, ys, strict=True):
        _check_length({one: arrays[f"{one}_{part}"] for one in "xy"},
                      {one: files[f"{one}_{part}"] for one in "xy"})  # fmt: skip
        _check_like(x, xs[0], files[f"x_{part}"], files["x_train"])
        _check_like(y, ys[0], files[f"y_{part}"], files["y_train"])
    parts = np.repeat([SPLITS.index(part) for part in present], [len(x) for x in xs])
    notes = tuple(_note(x, files[f"x_{part}"]) for part, x in zip(present, xs, strict=True))
    stored = sum(x.nbytes for x in xs)
    check_room(stored, name, in_file=stored)
    return Pile(name, joined(xs, name), np.concatenate(ys), parts=parts.astype(np.uint8),
                notes=notes)  # fmt: skip


def _in_folder(folder: Path) -> dict[str, Path]:
    """The files of a folder by the names of arrays."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        stem = path.stem.lower()
        name = SHORT_NAMES.get(stem, stem)
        if path.suffix != ".npy" or name not in PILES:
            continue
        if name in files:
            raise InvalidData(
                f"{folder} holds {files[name].name} and {path.name}, which mean the same; keep one"
            )
        files[name] = path
    whole, split = {"x", "y", "groups"} & set(files), sorted(set(files) - {"x", "y", "groups"})
    if whole and split:
        raise InvalidData(
            f"{folder} holds {files[min(whole)].name} and {files[split[0]].name}; give x.npy and "
            f"y.npy, which are split by seed, or {', '.join(f'{one}.npy' for one in TRAINED)}"
        )
    needed = {"x", "y"} if whole else set(TRAINED)
    if {"x_validation", "y_validation"} & set(files):
        needed |= {"x_validation", "y_validation"}
    lacking = sorted(needed - set(files))
    if lacking:
        raise InvalidData(
            f"{folder} lacks {lacking[0]}.npy; x.npy and y.npy are needed, or "
            f"{', '.join(f'{one}.npy' for one in TRAINED)}"
        )
    return files


def _listed(source: str) -> dict[str, Path]:
    """The files of "x.npy,y.npy" or "x.npy,y.npy,groups.npy"."""
    *first, last = source.split(BETWEEN)
    names = [*(f"{one}.npy" for one in first), last]
    if not 2 <= len(names) <= 3 or not all(one.endswith(".npy") for one in names):
        raise InvalidData(
            f"data {shown(source)} is no pair of .npy files; give x.npy,y.npy or "
            "x.npy,y.npy,groups.npy"
        )
    files = dict(zip(("x", "y", "groups"), (Path(one.strip()) for one in names), strict=False))
    for path in files.values():
        if not path.is_file():
            raise InvalidData(f"data {shown(source)}: {path} is no file; give its path")
    return files


def _mapped(path: Path) -> Array:
    """An array that stays in its file; its header is looked at first."""
    try:
        with path.open("rb") as file:
            shape, _, dtype = npy_header(file, path.stat().st_size, str(path))
        values = math.prod(shape)
        check_room(
            4 * values * max(1, dtype.itemsize // 4), str(path), in_file=values * dtype.itemsize
        )
        if values == 0:  # NumPy cannot map nothing
            raise InvalidData(f"{path} holds no sample; an array with one a row is needed")
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGES as damage:
        reason = str(damage).splitlines()[0][:200] if str(damage) else type(damage).__name__
        raise InvalidData(
            f"{path} is no .npy file of a plain array ({reason}); numpy.save(path, x) writes one"
        ) from damage
    if found.ndim == 0:
        raise InvalidData(f"{path} holds one number; an array with a sample a row is needed")
    return found


def _targets(y: Array, path: Path) -> Array:
    """(N,) or (N, k) int64, float32 or text."""
    if y.ndim > 2:
        raise InvalidData(
            f"{path} has the shape {y.shape}; one or several values a sample are read"
        )
    y = y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y
    if y.dtype.kind in "US":
        return np.asarray(np.char.decode(y, "utf-8", "replace") if y.dtype.kind == "S" else y)
    if y.dtype.kind != "f":
        if y.dtype == np.uint64 and y.max(initial=0) > np.iinfo(np.int64).max:
            raise InvalidData(f"{path} reaches {y.max()}; whole numbers are below 2**63")
        return y.astype(np.int64)
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        fractions: Array = y.astype(np.float32)
    if not np.isfinite(fractions).all():
        where = [int(axis[0]) for axis in np.nonzero(~np.isfinite(fractions))]
        raise InvalidData(
            f"{path} holds {y[tuple(where)]} in row {where[0]}, counted from 0; finite float32 "
            "numbers are needed: remove that sample"
        )
    return fractions


def _check_length(arrays: Mapping[str, Array], files: Mapping[str, Path]) -> None:
    """Refuses arrays of one pile that do not have a row each for every sample."""
    for name, one in arrays.items():
        if len(one) != len(arrays["x"]):
            raise InvalidData(
                f"{files['x']} has {len(arrays['x']):,} samples and {files[name]} {len(one):,}; "
                "each sample needs one"
            )


def _check_like(one: Array, train: Array, path: Path, of: Path) -> None:
    """Refuses a split of another type or shape, which would be changed where they are joined."""
    kinds = [f"{array.dtype.kind if array.dtype.kind == 'U' else array.dtype}, samples of "
             f"{shape_text(array.shape[1:])}" for array in (one, train)]  # fmt: skip
    if kinds[0] != kinds[1]:
        raise InvalidData(f"{path} is {kinds[0]}, and {of} {kinds[1]}; give both alike")


def _note(x: Array, path: Path) -> str:
    return f"{path.name}: {len(x):,} samples of {shape_text(x.shape[1:])}, {x.dtype}"
