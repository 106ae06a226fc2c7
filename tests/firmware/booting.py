"""A linked firmware from reset to main, in Unicorn, with a chip's registers as a Python object."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from io import BytesIO
from operator import xor
from typing import Any, Protocol

from elftools.elf.elffile import ELFFile
from unicorn import UC_HOOK_CODE, Uc

from autotiny.firmware import Firmware
from autotiny.simulator.processor import Processor

LIMIT = 2_000_000
"""Instructions from reset to main: each wait of a start-up is to be bounded."""


class Chip(Protocol):
    """The registers of a chip; what breaks its rules raises (an AssertionError, say)."""

    @property
    def regions(self) -> Sequence[tuple[int, int]]:
        """Where its registers lie: first address and bytes, in pages of 4 KiB."""

    def read(self, address: int, size: int) -> int:
        """What a load of `size` bytes gives."""

    def write(self, address: int, size: int, value: int) -> None:
        """A store of `size` bytes."""


@dataclass(frozen=True)
class Access:
    """A register that was read or written, in bytes `size`."""

    is_write: bool
    address: int
    size: int
    value: int


@dataclass
class Boot:
    """A firmware that has reached main; `call` runs one of its functions then.

    Attributes:
        firmware: what runs.
        chip: its registers.
        until: the function in place of main, "" for none.
        accesses: all of them, in order.
        instructions: executed so far.
    """

    firmware: Firmware
    chip: Chip
    until: str = "main"
    accesses: list[Access] = field(default_factory=list)
    instructions: int = 0
    _broken: BaseException | None = None

    def __post_init__(self) -> None:
        firmware = self.firmware
        app = firmware.as_app
        stored = loaded(firmware.image) if app else _stored(firmware.elf)
        target = firmware.target
        if app:
            size = target.flash.size_bytes
            seen = replace(target.flash, name="dbus", origin=app.data_bus_origin, size_bytes=size)
            target = replace(target, memories=(*target.memories, seen))
        self.processor = Processor(target, firmware.symbols)
        for start, size in self.chip.regions:
            self.processor.uc.mmio_map(start, size, self._read, start, self._write, start)
        self.processor.load(stored)
        self._main = firmware.symbols[self.until].address if self.until else 0
        self.processor.stop_at((self._main,))
        self.processor.uc.hook_add(UC_HOOK_CODE, self._count)

    def start(self, limit: int = LIMIT) -> None:
        """From reset to main."""
        self.processor.set_register("sp", self.firmware.stack_top)
        self._run("Reset_Handler", limit)

    def call(self, name: str, *arguments: int, limit: int = LIMIT) -> int:
        """What a function of the firmware returns; of its arguments only one can be given."""
        if arguments:
            (value,) = arguments
            self.processor.set_register("argument", value)
        self.processor.set_register("lr", self._main | self.processor.is_arm)
        self._run(name, limit)
        return self.processor.register("argument")

    def _run(self, name: str, limit: int) -> None:
        try:
            stopped = self.processor.run(self.firmware.symbols[name].address, limit)
        except BaseException as error:
            raise self._broken or error from None
        if self._broken:
            raise self._broken
        assert stopped == self._main

    def _count(self, uc: Uc, address: int, size: int, data: object) -> None:
        self.instructions += 1

    def _read(self, uc: Uc, offset: int, size: int, start: Any) -> int:
        value = 0
        try:
            value = self.chip.read(start + offset, size)
        except BaseException as error:
            self._stop(uc, error)
        self.accesses.append(Access(False, start + offset, size, value))
        return value

    def _write(self, uc: Uc, offset: int, size: int, value: int, start: Any) -> None:
        self.accesses.append(Access(True, start + offset, size, value))
        try:
            self.chip.write(start + offset, size, value)
        except BaseException as error:
            self._stop(uc, error)

    def _stop(self, uc: Uc, error: BaseException) -> None:
        self._broken = self._broken or error
        uc.emu_stop()


def _stored(elf: bytes) -> list[tuple[int, bytes]]:
    with BytesIO(elf) as file:
        return [
            (int(segment["p_paddr"]), segment.data())
            for segment in ELFFile(file).iter_segments("PT_LOAD")
            if segment["p_filesz"]
        ]


def loaded(image: bytes) -> list[tuple[int, bytes]]:
    """What the boot loader of ESP-IDF maps and copies of an application's image."""
    magic, count, _, _, entry = struct.unpack("<4BI", image[:8])
    assert magic == 0xE9
    assert 0x42000000 <= entry < 0x42800000
    loaded: list[tuple[int, bytes]] = []
    taken: set[int] = set()
    checksum, at = 0xEF, 24
    for _ in range(count):
        address, size = struct.unpack("<2I", image[at : at + 8])
        data = image[at + 8 : at + 8 + size]
        assert size % 4 == 0 and len(data) == size
        checksum = reduce(xor, data, checksum)
        if address >> 24 in (0x3C, 0x42):
            assert (at + 8 - address) % 0x10000 == 0, "it cannot be mapped there"
            pages = set(range(address >> 16 & 0x7F, (address + size - 1 >> 16 & 0x7F) + 1))
            assert not pages & taken, "a page is seen by fetches or by loads"
            taken |= pages
        elif address:
            assert 0x3FC80000 <= address <= 0x3FCCE000 - size, "there is the boot loader"
        if address:
            loaded.append((address, data))
        at += 8 + size
    first_address, first = loaded[0]
    assert (first_address & 0xFFFF, first[:4]) == (0x20, struct.pack("<I", 0xABCD5432))
    end = at + 15 - at % 16
    assert image[end] == checksum
    assert image[end + 1 :] == hashlib.sha256(image[: end + 1]).digest()
    return loaded


def boot(firmware: Firmware, chip: Chip, limit: int = LIMIT, until: str = "main") -> Boot:
    """A firmware that was run from reset to main.

    Raises:
        FirmwareFault: it faults, or takes more instructions.
    """
    booted = Boot(firmware, chip, until)
    booted.start(limit)
    return booted
