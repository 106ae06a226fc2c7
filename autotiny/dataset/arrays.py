"""Arrays: in memory, or in an `.npz` file whose headers are read before anything is made of it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import ArrayLike

from autotiny.dataset.members import member_array
from autotiny.dataset.pile import Pile
from autotiny.dataset.piling import from_pile, with_validation
from autotiny.dataset.ports import several_of
from autotiny.dataset.reading import AS_STORED, Reading, check_alike, scaled, targets_of
from autotiny.dataset.samples import Dataset, dataset_of
from autotiny.dataset.several import from_ports
from autotiny.errors import InvalidData, shown
from autotiny.graph import Array

SHORT_NAMES = {"x_val": "x_validation", "y_val": "y_validation"}
TRAINED = ("x_train", "y_train", "x_test", "y_test")
PILES = ("x", "y", "groups", *TRAINED, "x_validation", "y_validation", *SHORT_NAMES)
MOST_MEMBERS = 1000
DAMAGES = (
    ValueError, OSError, zipfile.BadZipFile, EOFError, KeyError, zlib.error, NotImplementedError,
    RuntimeError, SyntaxError, TypeError, TokenError,
)  # fmt: skip
"""What zipfile, and NumPy's reading of a header, raise over damaged bytes."""


def npz(path: Path, seed: int, reading: Reading = AS_STORED) -> Dataset:
    """An archive with x and y, or with x_train, y_train, x_test, y_test (and …_validation).

    In place of x or y there may be several, numbered or named: x1, x2_train, x_<input>_test.
    """
    return from_arrays(read_arrays(path), path.stem, str(path), seed, reading)


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an archive that have a known name; of the others, the name alone.

    Raises:
        InvalidData: it is damaged, or holds something else than plain arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)
    except DAMAGES as damage:
        reason = str(damage).splitlines()[0][:200] if str(damage) else type(damage).__name__
        raise InvalidData(
            f"{path} is not an .npz file of plain arrays ({reason}); numpy.savez(path, x=…, y=…) "
            "writes one"
        ) from damage


def _read(archive: zipfile.ZipFile, path: Path) -> dict[str, Array]:
    """The arrays with a known name; of the others, the name alone."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise InvalidData(f"{path} holds {len(members):,} files; {MOST_MEMBERS:,} are the most")
    ports = several_of({member.filename.removesuffix(".npy") for member in members})
    arrays: dict[str, Array] = {}
    taken = 0
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name in arrays:
            raise InvalidData(f"{path} holds {shown(name)} twice")
        if name not in PILES and name not in ports:
            arrays[name] = np.empty(0)
            continue
        arrays[name], bytes_ = member_array(archive, member, path, taken)
        taken += bytes_
    return arrays


def named_arrays(given: object) -> dict[str, Array]:
    """Arrays by the names that they have in an `.npz` file."""
    if isinstance(given, tuple) and len(given) == 2:
        given = {"x": given[0], "y": given[1]}
    if not isinstance(given, Mapping):
        raise InvalidData(
            f"data is of type {type(given).__name__}; give a name, a path, a pair of arrays "
            "(x, y), or a mapping of arrays named x and y, or x_train, y_train, x_test and y_test"
        )
    return {str(name): _array(name, values) for name, values in given.items()}


def _array(name: object, values: ArrayLike) -> Array:
    if np.ma.is_masked(values):
        raise InvalidData(f"{name} of the data has masked values; fill or remove them")
    try:
        return np.asarray(values)
    except ValueError as ragged:
        raise InvalidData(f"{name} of the data is no array: {ragged}") from ragged


def from_arrays(
    arrays: dict[str, Array], name: str, where: str, seed: int, reading: Reading = AS_STORED
) -> Dataset:
    """The data set of arrays named as in an `.npz` file, split by seed where they are not split."""
    names = sorted(arrays)
    _check_once(names, where)
    if several_of(arrays):
        groups = arrays.get("groups")
        numbers = None if groups is None else group_numbers(groups, f"groups of {where}")
        return from_ports(arrays, name, where, seed, reading, numbers)
    arrays = {SHORT_NAMES.get(short, short): values for short, values in arrays.items()}
    if "x" in arrays:
        groups = arrays.get("groups")
        numbers = None if groups is None else group_numbers(groups, f"groups of {where}")
        return from_pile(Pile(name, arrays["x"], arrays.get("y"), groups=numbers), seed, reading)
    if not set(TRAINED) <= set(arrays):
        raise InvalidData(
            f"{where} holds {', '.join(name[:40] for name in names[:8]) or 'nothing'}; "
            f"it needs x and y, or {', '.join(TRAINED)}"
            "; x1, x2, … or x_<input> for a network of several inputs, and y1, y2, … likewise"
        )
    pairs = [part for part in ("train", "validation", "test") if f"x_{part}" in arrays]
    if ("x_validation" in arrays) != ("y_validation" in arrays):
        raise InvalidData(f"{where} holds only one of x_validation and y_validation; give both")
    xs, inputs = scaled({f"x_{part}": arrays[f"x_{part}"] for part in pairs}, name, reading)
    y = targets_of(arrays["y_train"], name)
    ys = {part: targets_of(arrays[f"y_{part}"], name, y.names or None) for part in pairs[1:]}
    for part, labels in ys.items():
        check_alike(labels, y, part, name)
    if "validation" in ys:
        truths = (y.values, ys["validation"].values, ys["test"].values)
        return dataset_of(name, tuple(xs.values()), truths, y.names, y.count, inputs, given=True)
    return with_validation(name, xs["x_train"], y, xs["x_test"], ys["test"], seed, inputs)


def group_numbers(groups: Array, where: str) -> Array:
    """(N,) int64 of whole numbers or names, one a sample: equal ones stay in one split.

    Raises:
        InvalidData: they are something else.
    """
    if groups.ndim != 1 or groups.dtype.kind not in "iubUS":
        raise InvalidData(
            f"{where} has the shape {groups.shape} and the type {groups.dtype}; a whole number or "
            "name a sample is needed"
        )
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _check_once(names: list[str], where: str) -> None:
    """Refuses two namings side by side, of which only one would be used."""
    short = [name for name in SHORT_NAMES if name in names and SHORT_NAMES[name] in names]
    whole = ("x", "y", "groups")
    split = [name for name in names if name in PILES and name not in whole]
    if set(whole) & set(names) and split:
        raise InvalidData(
            f"{where} holds {next(one for one in whole if one in names)} and {split[0]}; give x "
            f"and y, which are split by seed, or {', '.join(TRAINED)}"
        )
    if short:
        raise InvalidData(
            f"{where} holds {short[0]} and {SHORT_NAMES[short[0]]}, which mean the same; give one"
        )
