"""A cursor over FlatBuffer bytes that checks every offset before it follows it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from autotiny.errors import InvalidModel
from autotiny.graph import Array

# Everything but constants is turned into Python objects of some 50 bytes an element. More of it
# than this is no network for a microcontroller, and tables that share bytes could multiply it.
STRUCTURE_BYTES = 8 << 20


class File:
    """The bytes of a FlatBuffer, and how much of its structure may still be read."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name
        self._budget = STRUCTURE_BYTES

    def invalid(self, text: str) -> InvalidModel:
        """The error for a file that breaks a rule."""
        return InvalidModel(f"{self.name}: {text}")

    def spend(self, count: int, place: str) -> None:
        """Count bytes of structure; refuses a file that has too much, or reuses it too often."""
        self._budget -= count
        if self._budget < 0:
            raise self.invalid(
                f"{place}: more than {STRUCTURE_BYTES} bytes of structure besides the constants; "
                "no network for a microcontroller needs that"
            )

    def check(self, position: int, count: int, place: str) -> int:
        """The position, if `count` bytes from there lie inside the file."""
        if position < 0 or count < 0 or position + count > len(self.data):
            raise self.invalid(
                f"{place}: {count} bytes at {position} lie outside the file of "
                f"{len(self.data)} bytes; the file is truncated or damaged"
            )
        return position

    def number(self, form: str, position: int, place: str) -> int | float:
        """One number in `struct` notation, little-endian."""
        self.check(position, struct.calcsize(form), place)
        value: int | float = struct.unpack_from("<" + form, self.data, position)[0]
        return value

    def integer(self, form: str, position: int, place: str) -> int:
        """One integer in `struct` notation, little-endian."""
        return int(self.number(form, position, place))

    def table(self, position: int, place: str) -> Table:
        """The table at a position, with its vtable checked."""
        self.spend(16, place)
        vtable = position - self.integer("i", position, place)
        size = self.integer("H", vtable, place)
        if size < 4 or size % 2:
            raise self.invalid(f"{place}: a vtable of {size} bytes at {vtable}")
        self.check(vtable, size, place)
        return Table(self, position, vtable, size, place)


@dataclass(frozen=True)
class Table:
    """One table of the file; `place` is what errors call it."""

    file: File
    position: int
    vtable: int
    vtable_bytes: int
    place: str

    def _where(self, slot: int) -> int | None:
        """Position of a field, None where the file leaves it out."""
        entry = 4 + 2 * slot
        if entry + 2 > self.vtable_bytes:
            return None
        offset = self.file.integer("H", self.vtable + entry, self.place)
        return self.position + offset if offset else None

    def integer(self, slot: int, form: str, default: int) -> int:
        """An integer field."""
        where = self._where(slot)
        return default if where is None else self.file.integer(form, where, self.place)

    def real(self, slot: int, default: float) -> float:
        """A float field."""
        where = self._where(slot)
        return default if where is None else float(self.file.number("f", where, self.place))

    def _follow(self, slot: int) -> int | None:
        where = self._where(slot)
        if where is None:
            return None
        return where + self.file.integer("I", where, self.place)

    def table(self, slot: int, place: str) -> Table | None:
        """A field that is a table."""
        target = self._follow(slot)
        return None if target is None else self.file.table(target, place)

    def span(self, slot: int, item_bytes: int) -> tuple[int, int] | None:
        """Position of the first element and number of elements of a vector field."""
        target = self._follow(slot)
        if target is None:
            return None
        count = self.file.integer("I", target, self.place)
        self.file.check(target + 4, count * item_bytes, self.place)
        return target + 4, count

    def vector(self, slot: int, dtype: str) -> Array:
        """A vector of numbers; empty where the file leaves it out."""
        item = np.dtype(dtype).newbyteorder("<")
        span = self.span(slot, item.itemsize)
        if span is None:
            return np.empty(0, item)
        self.file.spend(span[1] * item.itemsize, self.place)
        return np.frombuffer(self.file.data, item, span[1], span[0])

    def text(self, slot: int) -> str:
        """A string; bytes that are no UTF-8 are replaced."""
        return self.vector(slot, "u1").tobytes().decode("utf-8", errors="replace")

    def offsets(self, slot: int) -> tuple[int, ...]:
        """Positions of the tables of a vector; the tables are checked when they are read."""
        span = self.span(slot, 4)
        if span is None:
            return ()
        first = span[0]
        relative = self.vector(slot, "u4").tolist()
        return tuple(first + 4 * i + offset for i, offset in enumerate(relative))
