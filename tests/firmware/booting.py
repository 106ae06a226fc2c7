"""A linked firmware from reset to main, in Unicorn, with a chip's registers as a Python object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
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
        accesses: all of them, in order.
        instructions: executed so far.
    """

    firmware: Firmware
    chip: Chip
    accesses: list[Access] = field(default_factory=list)
    instructions: int = 0
    _broken: BaseException | None = None

    def __post_init__(self) -> None:
        firmware = self.firmware
        self.processor = Processor(firmware.target, firmware.symbols)
        for start, size in self.chip.regions:
            self.processor.uc.mmio_map(start, size, self._read, start, self._write, start)
        with BytesIO(firmware.elf) as file:
            self.processor.load(
                (int(segment["p_paddr"]), segment.data())
                for segment in ELFFile(file).iter_segments("PT_LOAD")
                if segment["p_filesz"]
            )
        self._main = firmware.symbols["main"].address
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


def boot(firmware: Firmware, chip: Chip, limit: int = LIMIT) -> Boot:
    """A firmware that was run from reset to main.

    Raises:
        FirmwareFault: it faults, or takes more instructions.
    """
    booted = Boot(firmware, chip)
    booted.start(limit)
    return booted
