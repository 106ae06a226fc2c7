"""Finds out that a firmware waits for what never comes: a peripheral's answer, or an interrupt.

A run is let go in pieces, each as long as all before it, and between two of them a few instructions
are watched: what they read, and whether registers and memory come to be what they were before. If
they do, nothing else can ever happen, for no interrupt comes and a peripheral's register reads back
what was written to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from unicorn import UC_HOOK_BLOCK, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, Uc, arm_const, riscv_const

from autotiny.errors import FirmwareFault, UserError
from autotiny.simulator.processor import Processor, StillRuns

FIRST_LOOK = 4_000_000
"""Instructions before the first look: a start-up without waiting takes less."""

_WATCHED = 100_000
"""Instructions that are watched at each look."""

_SELDOM = 1000
"""Instructions to a read of a register that is not waited for."""


@dataclass
class _Sight:
    """What was seen of some instructions.

    Attributes:
        reads: how often each address was read.
        readers: the block that read it first.
        before: what lay at each address before it was written.
        repeats: whether registers and memory came to be what they were at the start.
    """

    reads: Counter[int] = field(default_factory=Counter)
    readers: dict[int, int] = field(default_factory=dict)
    before: dict[int, bytes] = field(default_factory=dict)
    repeats: bool = False


def run_watched(processor: Processor, start: int, limit: int, until: int, goal: str) -> int:
    """`Processor.run` to an address, given up early where the firmware will never get there.

    Args:
        processor: whose peripherals are plain memory, and which no interrupt reaches.
        start: where to begin.
        limit: instructions that may be executed, those of one look more or less.
        until: the address to stop at.
        goal: what does not happen if it is not reached, in words.

    Raises:
        UserError: the firmware waits for a peripheral or an interrupt, or has ended.
        FirmwareFault: it faults, or executes more instructions than `limit`.
    """
    spent, piece = 0, min(FIRST_LOOK, limit)
    while True:
        try:
            return processor.run(start, piece, until)
        except StillRuns:
            start = processor.register("pc") & ~1
        spent += piece
        with _watched(processor) as sight:
            try:
                return processor.run(start, _WATCHED, until)
            except StillRuns:
                start = processor.register("pc") & ~1
        spent += _WATCHED
        told = _told(processor, sight, spent)
        if told and (sight.repeats or spent >= limit):
            raise UserError(f"{told}; {goal}")
        if spent >= limit:
            raise FirmwareFault(
                f"the firmware does not end: it still runs in {processor.place()} after some "
                f"{spent:,} instructions; {goal}"
            )
        piece = min(spent, limit - spent)


def _told(processor: Processor, sight: _Sight, spent: int) -> str:
    """What a firmware waits for, in words; "" where it may be at work."""
    target, stack = processor.target, processor.register("sp")
    often = Counter({at: n for at, n in sight.reads.items() if n * _SELDOM >= _WATCHED})
    polled = Counter({at: n for at, n in often.items() if target.memory_at(at) is None})
    if not polled and sight.repeats:
        polled = Counter(
            {
                at: n
                for at, n in often.items()
                if at not in sight.before
                and at < stack
                and (memory := target.memory_at(at))
                and memory.data
            }
        )
    if not polled:
        where = processor.place()
        return f"the firmware ends in a loop without end in {where}" if sight.repeats else ""
    (address, times), *_ = polled.most_common(1)
    answer = (
        "which only an interrupt would change, and none comes here"
        if target.memory_at(address)
        else "and nothing answers, for no peripheral is emulated"
    )
    return (
        f"the firmware waits for {address:#010x} in {processor.place(sight.readers[address])}: "
        f"it read it {times:,} times in the last {_WATCHED:,} of {spent:,} instructions, {answer}"
    )


@contextmanager
def _watched(processor: Processor) -> Iterator[_Sight]:
    """Look at what is executed meanwhile."""
    uc, sight = processor.uc, _Sight()
    registers = _ARM_STATE if processor.is_arm else _RISCV_STATE
    place, first = -1, -1
    begun: tuple[int, ...] = ()

    def on_block(uc: Uc, address: int, size: int, data: object) -> None:
        nonlocal place, first, begun
        place = address
        if first < 0:
            first, begun = address, uc.reg_read_batch(registers)
        elif address == first and not sight.repeats:
            sight.repeats = uc.reg_read_batch(registers) == begun and all(
                uc.mem_read(at, len(old)) == old for at, old in sight.before.items()
            )

    def leave_it_block() -> None:
        # To call a hook, Unicorn restores the IT state of the access and then forgets to clear it:
        # the next block would run as if it stood inside that IT block.
        if processor.is_arm:
            state = uc.reg_read(arm_const.UC_ARM_REG_XPSR)
            if state & _IT_BITS:
                uc.reg_write(arm_const.UC_ARM_REG_XPSR, state & ~_IT_BITS)

    def on_read(uc: Uc, kind: int, address: int, size: int, value: int, data: object) -> None:
        leave_it_block()
        sight.reads[address] += 1
        sight.readers.setdefault(address, place)

    def on_write(uc: Uc, kind: int, address: int, size: int, value: int, data: object) -> None:
        leave_it_block()
        for at in range(address, address + size):
            if at not in sight.before:
                sight.before[at] = bytes(uc.mem_read(at, 1))

    hooks = [
        uc.hook_add(UC_HOOK_BLOCK, on_block),
        uc.hook_add(UC_HOOK_MEM_READ, on_read),
        uc.hook_add(UC_HOOK_MEM_WRITE, on_write),
    ]
    uc.ctl_flush_tb()  # code that is translated already would not see the hooks
    try:
        yield sight
    finally:
        for hook in hooks:
            uc.hook_del(hook)
        uc.ctl_flush_tb()


_IT_BITS = 0x0600FC00
"""Of the XPSR."""

_ARM_STATE = (
    *range(arm_const.UC_ARM_REG_R0, arm_const.UC_ARM_REG_R12 + 1),
    arm_const.UC_ARM_REG_SP,
    arm_const.UC_ARM_REG_LR,
    arm_const.UC_ARM_REG_APSR,  # without the state of an IT block, which the place tells
    *range(arm_const.UC_ARM_REG_D0, arm_const.UC_ARM_REG_D15 + 1),
    arm_const.UC_ARM_REG_FPSCR,
)
_RISCV_STATE = tuple(range(riscv_const.UC_RISCV_REG_X1, riscv_const.UC_RISCV_REG_X31 + 1))
