"""The second core of a part: what it is sent through the FIFO, and the cycles it works meanwhile.

Core 0 is emulated until it waits for core 1; then core 1 does the work that it was sent, on the
same memories and caches, and core 0 goes on. So both are executed to the last instruction, one
after the other, and what they do at the same time counts once: a task takes from the word that
sends it to the end of the longer side, but at least as long as both together wait for memories, for
the flash serves one core at a time. Other conflicts on the bus are not modelled.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from unicorn import Uc
from unicorn.unicorn_py3.unicorn import UcContext

from autotiny.errors import FirmwareFault
from autotiny.firmware.linking import Firmware
from autotiny.simulator.processor import Processor

_PAGE = 0x1000
_WRITE, _READ = 4, 8  # bytes behind the status word
_VALID, _READY = 1, 2
_LAUNCH_WORDS = 6
_PAINT = b"\x5a\xc3\xa5\x3c"


@dataclass(frozen=True)
class Moment:
    """A moment of an inference.

    Attributes:
        cycles: counted so far.
        waited: those of them that were spent waiting for memories.
        buckets: the cycles by the bucket that they were counted into.
    """

    cycles: int
    waited: int
    buckets: Mapping[int, int]


_START = Moment(0, 0, {})


class SecondCore:
    """Core 1 beside a processor that is core 0.

    Args:
        processor: core 0; it was not run yet.
        firmware: that uses two cores.
    """

    def __init__(self, processor: Processor, firmware: Firmware) -> None:
        self._processor = processor
        self._stack = firmware.symbols["autotiny_second_stack"]
        self._idle = firmware.symbols["autotiny_idle"].address
        self._inbox: tuple[deque[int], deque[int]] = deque(), deque()
        self._core = 0
        self._launch: list[int] = []
        self._state: UcContext | None = None  # its registers, once it runs
        self._sent = _START
        self.overlaps: Counter[int] = Counter()
        """Cycles by bucket that do not count, as core 0 worked while core 1 spent them there."""
        self.clock: Callable[[], Moment] = lambda: _START
        """Tells the moment."""
        base = firmware.target.core_fifo
        self._status = base % _PAGE
        processor.uc.mmio_map(base - self._status, _PAGE, self._read, None, self._write, None)
        processor.stop_at((self._idle,))
        processor.turn_at(firmware.symbols["autotiny_waiting"].address, self._serve)

    def check_stack(self) -> None:
        """Refuse a run in which core 1 used all of its stack.

        Raises:
            FirmwareFault: it did.
        """
        if self._state is None:
            return
        if self._processor.read(self._stack.address, len(_PAINT)) != _PAINT:
            raise FirmwareFault(
                f"the second core uses all {self._stack.bytes} bytes of autotiny_second_stack, "
                "and maybe more; leave partition_cores out"
            )

    def _read(self, uc: Uc, offset: int, size: int, data: object) -> int:
        inbox = self._inbox[self._core]
        if offset == self._status:
            return _READY | (_VALID if inbox else 0)
        if offset == self._status + _READ and inbox:
            return inbox.popleft()
        return 0

    def _write(self, uc: Uc, offset: int, size: int, value: int, data: object) -> None:
        if offset != self._status + _WRITE:
            return
        if self._core == 0 and len(self._launch) < _LAUNCH_WORDS:
            self._launch.append(value)
            self._inbox[0].append(value)  # the boot ROM of core 1 echoes it
            return
        self._inbox[1 - self._core].append(value)
        if self._core == 0:
            self._sent = self.clock()

    def _serve(self) -> int:
        """Core 1 does what it was sent; where core 0 goes on."""
        processor, uc = self._processor, self._processor.uc
        sent, waiting = self._sent, self.clock()
        core0 = uc.context_save()
        self._core = 1
        if self._state is None:
            self._begin()
        else:
            uc.context_restore(self._state)
        processor.run(processor.register("lr"), processor.limit, self._idle)
        self._state = uc.context_save()
        self._core = 0
        uc.context_restore(core0)
        done = self.clock()
        sides = waiting.cycles - sent.cycles, done.cycles - waiting.cycles
        longest = max(*sides, done.waited - sent.waited)
        spent = {
            bucket: cycles - waiting.buckets.get(bucket, 0)
            for bucket, cycles in done.buckets.items()
        }
        self.overlaps.update(spread(sum(sides) - longest, spent))
        return processor.register("lr")

    def _begin(self) -> None:
        """Core 1 runs from its entry to where it is idle."""
        *_, stack, entry = self._launch
        size = self._stack.bytes
        self._processor.write(self._stack.address, _PAINT * (size // len(_PAINT)))
        self._processor.set_register("sp", stack)
        self._processor.run(entry & ~1, until=self._idle)


def spread(total: int, weights: Mapping[int, int]) -> dict[int, int]:
    """Shares of a total, whole and in proportion to the weights."""
    shares, given, weighed = {}, 0, 0
    whole = sum(weights.values())
    for key, weight in weights.items():
        weighed += weight
        shares[key] = total * weighed // whole - given
        given += shares[key]
    return shares


def second_core(processor: Processor, firmware: Firmware) -> SecondCore | None:
    """The second core of a firmware that uses one, to be called before its counter is attached."""
    uses = "autotiny_second_core" in firmware.symbols
    return SecondCore(processor, firmware) if uses else None
