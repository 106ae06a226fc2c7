"""Arrays that stay in files: walked through in blocks, so that memory holds one block at a time."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from autotiny.graph import Array
from autotiny.scratch import new_file

LARGE = 256 << 20
"""Bytes from which on an array is kept in a file."""

BLOCK = 32 << 20
"""Bytes that are looked at together."""


def is_large(size: int) -> bool:
    """Whether so many bytes are kept in a file."""
    return size >= LARGE


def source_of(x: Array) -> np.memmap[Any, Any] | None:
    """The mapped file that an array is part of; None if it lies in memory."""
    base: object = x
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and isinstance(base.base, mmap.mmap):
            return base
        base = base.base
    return None


def is_mapped(x: Array) -> bool:
    """Whether an array is large and lies in a file."""
    return is_large(x.nbytes) and source_of(x) is not None


def let_go(x: Array) -> None:
    """Give back the memory that the system holds of an array's file for this process."""
    source = source_of(x)
    # of a map of mode "c", what was changed would be lost
    if source is not None and source.mode != "c" and hasattr(mmap, "MADV_DONTNEED"):
        pages: Any = source.base
        pages.madvise(mmap.MADV_DONTNEED)


def spans(x: Array) -> Iterator[slice]:
    """Rows of an array in their order, about a block together."""
    rows = max(1, BLOCK // max(1, x.nbytes // max(1, len(x))))
    return (slice(begin, begin + rows) for begin in range(0, len(x), rows))


def blocks(x: Array) -> Iterator[Array]:
    """An array in pieces of rows; memory holds one of them at a time."""
    for span in spans(x):
        yield x[span]
        let_go(x)


def empty(shape: tuple[int, ...], dtype: DTypeLike, name: str) -> Array:
    """Zeros to be filled: in memory, or, if they are large, in a file of this process.

    Args:
        shape: of the array.
        dtype: of its values.
        name: what messages call it.

    Raises:
        MachineFault: the disk has no room for it.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if not is_large(size):
        return np.zeros(shape, dtype)
    return np.memmap(new_file(size, name), dtype, "r+", shape=shape)


def made(x: Array, rows: Array | None, change: Callable[[Array], Array], name: str) -> Array:
    """What a function makes of the rows of an array, all at once or, if it is large, in blocks.

    Args:
        x: (N, …).
        rows: which of them, (n,); None for all.
        change: of rows, each for itself; the first one tells shape and type of its result.
        name: what messages call it.
    """
    count = len(x) if rows is None else len(rows)
    first = change(x[:1] if rows is None else x[rows[:1]])
    if not (is_large(x.nbytes) or is_large(first.nbytes * count)):
        return change(x if rows is None else x[rows])
    out = empty((count, *first.shape[1:]), first.dtype, name)
    step = max(1, BLOCK // max(first.nbytes, x.nbytes // max(1, len(x))))
    for begin in range(0, count, step):
        span = slice(begin, begin + step)
        out[span] = change(x[span] if rows is None else x[rows[span]])
        let_go(x)
        let_go(out)
    return out


def joined(arrays: list[Array], name: str) -> Array:
    """Arrays of one type, one behind the other."""
    if not is_large(sum(one.nbytes for one in arrays)):
        return np.concatenate(arrays)
    shape = (sum(map(len, arrays)), *arrays[0].shape[1:])
    out, begin = empty(shape, arrays[0].dtype, name), 0
    for one in arrays:
        for span in spans(one):
            block = one[span]
            out[begin : begin + len(block)] = block
            begin += len(block)
            let_go(one)
            let_go(out)
    return out


@dataclass(frozen=True)
class Place:
    """Where a mapped array lies: what another process maps it by.

    Attributes:
        file: its path.
        offset: of the first value, in bytes.
        type: of the values, as NumPy writes it.
        shape: of the array.
    """

    file: str
    offset: int
    type: str
    shape: tuple[int, ...]

    def map(self) -> Array:
        """The array, to be read alone."""
        return np.memmap(self.file, np.dtype(self.type), "r", self.offset, tuple(self.shape))


def place_of(x: Array) -> Place | None:
    """Where a large array lies; None if it lies in memory, or not as one piece."""
    source = source_of(x)
    if source is None or not is_large(x.nbytes) or not x.flags.c_contiguous:
        return None
    if source.filename is None or source.mode == "c":
        return None
    begin = x.ctypes.data - source.ctypes.data + source.offset
    return Place(str(Path(source.filename).absolute()), begin, x.dtype.str, x.shape)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a mapped array, read when they are asked for; Keras takes it as an array.

    Attributes:
        array: that they are of.
        chosen: which of them, (n,); None for all.
    """

    array: Array
    chosen: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows together."""
        return (len(self), *self.array.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self.array.dtype

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.array) if self.chosen is None else len(self.chosen)

    def __getitem__(self, wanted: slice | Array) -> Array:
        """Some of the rows, in memory."""
        rows = wanted if self.chosen is None else self.chosen[wanted]
        found = np.array(self.array[rows])
        let_go(self.array)
        return found


Samples: TypeAlias = Array | Rows
"""Samples in memory, or in a file."""


def lazy(x: Samples, chosen: Array | None = None) -> Samples:
    """Rows of an array; if it is mapped, they are read when they are asked for."""
    if isinstance(x, Rows):
        return x
    if is_mapped(x):
        return Rows(x, chosen)
    return x if chosen is None else x[chosen]
