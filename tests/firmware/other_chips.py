"""Chips that obey the rules of their manuals: what real ones would go wrong with raises here.

Written from the manuals and not from our C, which is tested with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

LATE = 3
"""So many reads of a status it takes until what was asked for has come."""


class Broken(AssertionError):
    """The firmware did what the manual forbids."""


def require(truth: object, rule: str) -> None:
    if not truth:
        raise Broken(rule)


class Status:
    """A condition that comes true some reads after it was asked for; never if it is dead."""

    def __init__(self, *, dead: bool = False) -> None:
        self.dead = dead
        self._left: int | None = None

    def ask(self) -> None:
        self._left = LATE

    def drop(self) -> None:
        self._left = None

    def look(self) -> bool:
        """The condition as the firmware reads it."""
        if self._left and not self.dead:
            self._left -= 1
        return self.true

    @property
    def true(self) -> bool:
        return self._left == 0


class Chip:
    """Words at addresses; those with a rule have a method that is called with the new value."""

    regions: Sequence[tuple[int, int]] = ()
    start_values: ClassVar[Mapping[int, int]] = {}

    def __init__(self) -> None:
        self.words = dict(self.start_values)
        self.readers: dict[int, Callable[[], int]] = {}
        self.writers: dict[int, Callable[[int], None]] = {}

    def read(self, address: int, size: int) -> int:
        word = address & ~3
        require(word in self.words, f"there is no register at {word:#010x}")
        reader = self.readers.get(word)
        value = reader() if reader else self.words[word]
        return value >> 8 * (address & 3) & (1 << 8 * size) - 1

    def write(self, address: int, size: int, value: int) -> None:
        word = address & ~3
        require(word in self.words, f"there is no register at {word:#010x}")
        if size < 4:
            shift, mask = 8 * (address & 3), (1 << 8 * size) - 1
            value = self.words[word] & ~(mask << shift) | (value & mask) << shift
        self.put(word, value)

    def put(self, word: int, value: int) -> None:
        """A whole word is written; the rules see the old one in `words`."""
        writer = self.writers.get(word)
        if writer:
            writer(value)
        else:
            self.words[word] = value

    @property
    def core_hz(self) -> int:
        raise NotImplementedError

    def bits(self, word: int, low: int, count: int = 1) -> int:
        return self.words[word] >> low & (1 << count) - 1


class Nrf52840(Chip):
    """Product specification, sections CLOCK and NVMC."""

    START, STARTED, ICACHECNF = 0x40000000, 0x40000100, 0x4001E540
    regions = ((0x40000000, 0x1000), (0x4001E000, 0x1000))
    start_values: ClassVar[Mapping[int, int]] = {START: 0, STARTED: 0, ICACHECNF: 0}

    def __init__(self, *, dead_crystal: bool = False) -> None:
        super().__init__()
        self.crystal = Status(dead=dead_crystal)
        self.writers = {self.START: self._start, self.STARTED: self._clear}
        self.readers = {self.STARTED: lambda: int(self.crystal.look())}

    def _start(self, value: int) -> None:
        if value & 1:
            self.crystal.ask()

    def _clear(self, value: int) -> None:
        require(value == 0, "an event is only ever cleared")

    @property
    def cached(self) -> bool:
        return bool(self.words[self.ICACHECNF] & 1)

    @property
    def core_hz(self) -> int:
        return 64_000_000


class Nrf5340(Chip):
    """Product specification, sections CLOCK, CACHE and FICR; what is seen as secure code."""

    START, STARTED, SOURCE = 0x50005000, 0x50005100, 0x50005514
    DIVIDER, CACHE = 0x50005558, 0x50001500
    TRIMS = ((0x5000470C, 0x7E), (0x50004A20, 0x0D), (0x50005A00, 0x1234))
    regions = ((0x00FF0000, 0x1000), (0x50001000, 0x1000), (0x50004000, 0x2000))
    start_values: ClassVar[Mapping[int, int]] = {
        START: 0, STARTED: 0, SOURCE: 1, DIVIDER: 1, CACHE: 0,
    }  # fmt: skip

    def __init__(self, *, dead_crystal: bool = False) -> None:
        super().__init__()
        self.crystal = Status(dead=dead_crystal)
        self.writers = {self.START: self._start, self.STARTED: lambda value: None}
        self.readers = {self.STARTED: lambda: int(self.crystal.look())}
        for k in range(32):
            address, value = self.TRIMS[k] if k < len(self.TRIMS) else (0xFFFFFFFF, 0xFFFFFFFF)
            self.words[0x00FF0300 + 8 * k] = address
            self.words[0x00FF0304 + 8 * k] = value
            self.writers[0x00FF0300 + 8 * k] = self.writers[0x00FF0304 + 8 * k] = self._fixed
        self.words.update((address, 0) for address, _ in self.TRIMS)

    def _fixed(self, value: int) -> None:
        raise Broken("the FICR cannot be written")

    def _start(self, value: int) -> None:
        if value & 1 and self.words[self.SOURCE] & 1:
            self.crystal.ask()

    @property
    def trimmed(self) -> bool:
        return all(self.words[address] == value for address, value in self.TRIMS)

    @property
    def cached(self) -> bool:
        return bool(self.words[self.CACHE] & 1)

    @property
    def core_hz(self) -> int:
        return 128_000_000 >> (self.words[self.DIVIDER] & 1)
