"""Folders of IDX files, the format of MNIST."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from autotiny.dataset.reading import check_room
from autotiny.errors import InvalidData
from autotiny.graph import Array

IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
IDX_FILES = {
    "x_train": "train-images-idx3-ubyte", "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte", "y_test": "t10k-labels-idx1-ubyte",
}  # fmt: skip


def is_idx(folder: Path) -> bool:
    """Whether a folder holds a file of such a set."""
    return any(_idx_path(folder, file) for file in IDX_FILES.values())


def _idx_path(folder: Path, file: str) -> Path | None:
    """The file of a set, plain or gzipped, with `-` or (on some mirrors) `.` before "idx"."""
    for name in (file, file.replace("-idx", ".idx")):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def idx_arrays(folder: Path) -> dict[str, Array]:
    """The arrays of four files, by the names that they have in an `.npz` file.

    Raises:
        InvalidData: one is missing or damaged.
    """
    arrays = {}
    for part, file in IDX_FILES.items():
        path = _idx_path(folder, file)
        if path is None:
            raise InvalidData(
                f"{folder} lacks {file} (or {file}.gz); all four IDX files are needed"
            )
        arrays[part] = read_idx(path)
    return arrays


def read_idx(path: Path) -> Array:
    """The array in an IDX file, gzipped or plain.

    Format: two zero bytes, type, number of dimensions, each dimension as big-endian int32, then
        the data.
    """
    zipped = path.open("rb").read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            head = file.read(4)
            if (
                head[:2] != b"\0\0"
                or len(head) < 4
                or head[2] not in IDX_TYPES
                or not 1 <= head[3] <= 4
            ):
                raise InvalidData(
                    f"{path} is not an IDX file: it begins with {head.hex() or 'nothing'}"
                )
            dtype, rank = np.dtype(IDX_TYPES[head[2]]), head[3]
            sizes = file.read(4 * rank)
            shape = tuple(int(size) for size in np.frombuffer(sizes[: len(sizes) & ~3], ">u4"))
            # Python's integers: a hostile header cannot overflow the product.
            wanted = math.prod(shape)
            check_room(4 * wanted, str(path))
            raw = file.read(dtype.itemsize * wanted + 1)
    except (OSError, EOFError, zlib.error) as damage:
        raise InvalidData(f"{path} is a damaged or truncated gzip file; fetch it again") from damage
    if len(shape) != rank or len(raw) != dtype.itemsize * wanted:
        raise InvalidData(
            f"{path} is truncated or damaged: its header asks for {dtype.itemsize * wanted} bytes, "
            f"it holds {'more' if len(raw) > dtype.itemsize * wanted else len(raw)}"
        )
    return np.frombuffer(raw, dtype).reshape(shape)
