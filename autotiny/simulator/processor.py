"""One emulated core with a target's memories; it stops where it is told and says why it failed."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Iterable, Mapping

import llvmlite.binding  # type: ignore[import-untyped]
import numba
import numpy as np
from numpy.typing import NDArray
from unicorn import (
    UC_ARCH_ARM,
    UC_ARCH_RISCV,
    UC_ERR_INSN_INVALID,
    UC_HOOK_BLOCK,
    UC_HOOK_CODE,
    UC_HOOK_INTR,
    UC_HOOK_MEM_INVALID,
    UC_MEM_FETCH_PROT,
    UC_MEM_FETCH_UNMAPPED,
    UC_MEM_READ_PROT,
    UC_MEM_READ_UNMAPPED,
    UC_MEM_WRITE_PROT,
    UC_MEM_WRITE_UNMAPPED,
    UC_MODE_RISCV32,
    UC_MODE_THUMB,
    UC_PROT_EXEC,
    UC_PROT_READ,
    UC_PROT_WRITE,
    Uc,
    UcError,
    arm_const,
    riscv_const,
)
from unicorn.unicorn_py3.unicorn import uclib

from autotiny.cores import CORES
from autotiny.errors import FirmwareFault
from autotiny.firmware.linking import Symbol
from autotiny.simulator.disassembling import disassembler
from autotiny.simulator.doubles import doubles_in
from autotiny.simulator.memory import Native, kept
from autotiny.target import Memory, Target

INSTRUCTION_LIMIT = 2_000_000_000
"""What one run may execute before it counts as a loop without end: many seconds on any target.

A network's inference has a limit of its own: `Firmware.instruction_limit`.
"""

_WATCH_SECONDS = 0.2

_PAGE = 0x1000
_LARGEST_FLASH = 1 << 24
"""Beyond it lie only memories that were enlarged to measure an overshoot."""

_CORE_PERIPHERALS = (0xE0000000, 0x100000)
"""The private peripheral bus of a Cortex-M; registers there read back what was written."""

_WAITS = (b"\x10\xbf", b"\x20\xbf")
_WIDE_WAITS = (b"\xaf\xf3\x01\x80", b"\xaf\xf3\x02\x80")
"""YIELD and WFE, as the emulator leaves off at them."""

_MOST_WAITS = 100_000
"""Of one run; a core that waits more often waits for ever."""

_DEEDS: Mapping[int, str] = {
    UC_MEM_READ_UNMAPPED: "reads",
    UC_MEM_READ_PROT: "reads",
    UC_MEM_WRITE_UNMAPPED: "writes",
    UC_MEM_WRITE_PROT: "writes",
    UC_MEM_FETCH_UNMAPPED: "jumps to",
    UC_MEM_FETCH_PROT: "jumps to",
}


class StillRuns(FirmwareFault):
    """A run took all the instructions that it may; it can go on from its program counter."""


class Processor:
    """A core, its registers and memories; everything it does wrong becomes a `FirmwareFault`.

    Args:
        target: decides the core and which addresses exist.
        symbols: names the functions in messages.
    """

    def __init__(self, target: Target, symbols: Mapping[str, Symbol]) -> None:
        self.target = target
        self.core = CORES[target.core]
        self.is_arm = self.core.isa.is_arm
        self._functions = sorted(
            (symbol.address, symbol.address + symbol.bytes, name)
            for name, symbol in symbols.items()
            if symbol.bytes
        )
        self._stops: set[int] = set()
        self._turns: dict[int, Callable[[], int]] = {}
        self._stopped_at: int | None = None
        self._until: int | None = None
        self._access: tuple[int, int, int] | None = None
        self._exception: int | None = None
        self._refused = False
        self._fuse = np.zeros(2, np.int64)
        self.limit = INSTRUCTION_LIMIT
        self.watch: Callable[[], None] = lambda: None
        """Called now and then while an emulation lasts."""
        self.uc = self._power_on()

    def _power_on(self) -> Uc:
        # UC_MODE_MCLASS would make each Cortex-M a Cortex-M33, which executes what a smaller core
        # faults on.
        uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB) if self.is_arm else Uc(UC_ARCH_RISCV, UC_MODE_RISCV32)
        if self.core.unicorn_model is not None:  # before any memory is mapped
            uc.ctl_set_cpu_model(self.core.unicorn_model)
        if self.is_arm:
            uc.mem_map(*_CORE_PERIPHERALS)
        for begin, end, access in _pages(self.target):
            uc.mem_map(begin, end - begin, access)
        for memory in self.target.memories:
            if memory.kind == "flash" and memory.size_bytes <= _LARGEST_FLASH:
                # as erased; zeros would be instructions that do nothing
                uc.mem_write(memory.origin, b"\xff" * memory.size_bytes)
        uc.hook_add(UC_HOOK_MEM_INVALID, self._note_access)
        uc.hook_add(UC_HOOK_INTR, self._note_exception)
        handle = ctypes.c_size_t()
        uclib.uc_hook_add(
            uc._uch, ctypes.byref(handle), UC_HOOK_BLOCK, ctypes.c_void_p(_burn_hook().address),
            ctypes.c_void_p(self._fuse.ctypes.data), ctypes.c_uint64(1), ctypes.c_uint64(0),
        )  # fmt: skip
        return uc

    def close(self) -> None:
        """Give the emulated memories back now; the garbage collector would do it much later."""
        release = getattr(self.uc, "_Uc__finalizer", None)
        if release is not None:
            release()
            self.uc._callbacks.clear()

    def __enter__(self) -> Processor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, segments: Iterable[tuple[int, bytes]]) -> None:
        """Write bytes to where they are stored.

        Unicorn's Cortex-M7 computes in double precision. Where the target's does not, a run stops
        at what needs it, in code that is executed where it is stored.

        Raises:
            FirmwareFault: a segment lies outside the target's memories.
        """
        for begin, data in segments:
            if len(data) > room_at(self.target, begin):
                raise FirmwareFault(
                    f"the firmware stores bytes at {begin:#010x} to {begin + len(data):#010x}, "
                    f"outside the memories of {self.target.name}: {memory_map(self.target)}; "
                    "link it for this target"
                )
            self.uc.mem_write(begin, data)
            if self._lacks_doubles:
                for offset in doubles_in(data):
                    at = begin + int(offset)
                    self.uc.hook_add(UC_HOOK_CODE, self._refuse, begin=at, end=at)

    def stop_at(self, addresses: Iterable[int]) -> None:
        """Addresses at which `run` returns; to be told before the first run."""
        for address in addresses:
            if address not in self._stops:
                self._stops.add(address)
                self.uc.hook_add(UC_HOOK_CODE, self._stop, begin=address, end=address)

    def turn_at(self, address: int, other: Callable[[], int]) -> None:
        """Call another's turn at an address; it returns where to go on, and `run` does not stop."""
        self._turns[address] = other
        self.stop_at((address,))

    def run(self, start: int, limit: int = INSTRUCTION_LIMIT, until: int | None = None) -> int:
        """Execute from an address to the next address of `stop_at`, which is returned.

        Args:
            start: where to begin.
            limit: instructions that may be executed.
            until: the one address to stop at, if not all of them count.

        Raises:
            StillRuns: the code executes more instructions than `limit`.
            FirmwareFault: the code faults.
        """
        self.limit = limit
        while (stopped := self._run(start, limit, until)) in self._turns:
            start = self._turns[stopped]()
        return stopped

    def _run(self, start: int, limit: int, until: int | None) -> int:
        """`run`, to the next stop or turn."""
        self._stopped_at = self._access = self._exception = None
        self._refused = False
        self._until = until
        self._fuse[:] = 0, limit * (2 if self.is_arm else 4)
        waits = 0
        while self._waits(start):
            start, waits = self.register("pc") & ~1, waits + 1
            if waits == _MOST_WAITS:
                raise FirmwareFault(
                    f"the firmware waits in {self.place()}: {waits:,} times, and nothing happens"
                )
        if self._stopped_at is not None:
            return self._stopped_at
        if self._exception is not None or self._refused:
            raise self._fault()
        if self._fuse[0] > self._fuse[1]:
            raise StillRuns(
                f"the firmware does not end: it still runs in {self.place()} after some {limit:,} "
                "instructions"
            )
        raise FirmwareFault(f"the firmware sleeps in {self.place()}, and nothing wakes it")

    def _waits(self, start: int) -> bool:
        """Execute from an address; whether that ended at a WFE or YIELD, behind which it goes on.

        Both are hints: no interrupt comes here, and an event may have come before.
        """
        try:
            _interruptible(
                self.uc, lambda: self.uc.emu_start(start | self.is_arm, 0xFFFFFFFF), self.watch
            )
        except UcError as error:
            # the binding drops what a Python hook raised when the emulator itself fails as well
            raised = getattr(self.uc, "_hook_exception", None)
            if raised or not self._is_behind_wait(error):
                raise raised or self._fault(error) from error
            return True
        return False

    def _is_behind_wait(self, error: UcError) -> bool:
        seen = self._access is not None or self._exception is not None
        if not self.is_arm or seen or error.errno != UC_ERR_INSN_INVALID:
            return False
        try:
            before = self.read((self.register("pc") & ~1) - 4, 4)
        except UcError:
            return False
        return before[2:] in _WAITS or before in _WIDE_WAITS

    def place(self, address: int | None = None) -> str:
        """An address, the program counter by default, with the function it lies in."""
        at = self.register("pc") & ~1 if address is None else address
        for begin, end, name in self._functions:
            if begin <= at < end:
                return f"{name} ({at:#010x})"
        return f"{at:#010x}"

    def register(self, name: str) -> int:
        """A register by its common name: pc, sp, lr or argument."""
        return int(self.uc.reg_read(self._number(name)))

    def set_register(self, name: str, value: int) -> None:
        """Write a register by its common name."""
        self.uc.reg_write(self._number(name), value)

    def read(self, address: int, size: int) -> bytes:
        """Bytes of memory."""
        return bytes(self.uc.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        """Write bytes of memory, flash included."""
        self.uc.mem_write(address, data)

    def _number(self, name: str) -> int:
        registers: Mapping[str, int] = _ARM_REGISTERS if self.is_arm else _RISCV_REGISTERS
        return registers[name]

    @property
    def _lacks_doubles(self) -> bool:
        """Whether Unicorn's core computes in double precision and the target's does not."""
        return self.target.core == "cortex-m7" and self.target.fpu != "fpv5-d16"

    def _refuse(self, uc: Uc, address: int, size: int, data: object) -> None:
        self._refused = True
        uc.emu_stop()

    def _stop(self, uc: Uc, address: int, size: int, data: object) -> None:
        if self._until is None or address == self._until or address in self._turns:
            self._stopped_at = address
            uc.emu_stop()

    def _note_access(
        self, uc: Uc, kind: int, address: int, size: int, value: int, data: object
    ) -> bool:
        self._access = kind, address, size
        return False

    def _note_exception(self, uc: Uc, number: int, data: object) -> None:
        self._exception = number
        uc.emu_stop()

    def _fault(self, error: UcError | None = None) -> FirmwareFault:
        where = self.place()
        if self._access is not None:
            kind, address, size = self._access
            memory = self.target.memory_at(address)
            what = f"which is no memory of {self.target.name}"
            if memory is not None:
                flaw = "cannot be written" if _DEEDS[kind] == "writes" else "holds no code"
                what = f"in {memory.name}, which {flaw}"
            amount = f"{size} bytes at " if kind not in _FETCHES else ""
            return FirmwareFault(
                f"the firmware {_DEEDS[kind]} {amount}{address:#010x}, {what}, in {where}"
            )
        names = _ARM_EXCEPTIONS if self.is_arm else _RISCV_EXCEPTIONS
        why = names.get(self._exception or 0, f"exception {self._exception}")
        if self._exception is None and error and error.errno == UC_ERR_INSN_INVALID:
            why = f"the emulated {self.target.core} has no instruction"
            if self.is_arm and not self.uc.reg_read(arm_const.UC_ARM_REG_XPSR) & _THUMB_STATE:
                why = "a jump to an even address left Thumb state before"
        if self._refused:
            why = f"{self.target.name} with fpu = {self.target.fpu!r} has no instruction"
        # RISC-V reports the place after the instruction
        if not self.is_arm:
            return FirmwareFault(f"the firmware stops in {where}: {why}")
        told = f"the firmware stops in {where}: {why} {self._instruction()}"
        return FirmwareFault(told + self._lacking())

    def _lacking(self) -> str:
        """What the core has not that the instruction at the program counter needs, and what to do.

        The halves of an instruction as the Armv8-M manual (DDI 0553) lays them out: section C2.3.
        """
        try:
            code = self.read(self.register("pc") & ~1, 4)
        except UcError:
            return ""
        first, second = (int.from_bytes(code[at : at + 2], "little") for at in (0, 2))
        if first & 0xEC00 != 0xEC00:
            return ""
        coprocessor, arithmetic = second >> 8 & 15, first >> 8 == 0xEE and not second & 16
        fpu = self.target.fpu
        moves = first >> 8 == 0xEE and not arithmetic
        if first & 0xEF00 == 0xEF00 or (coprocessor in (14, 15) and not moves):
            unit = "vector unit (MVE)"
        elif coprocessor in (9, 10, 11) and fpu == "none":
            unit = "floating-point unit"
        elif coprocessor == 11 and arithmetic and fpu != "fpv5-d16":
            unit = f"double precision in its {fpu}"
        elif coprocessor == 9:
            unit = f"half precision in its {fpu}"
        else:
            return ""
        flags = self.core.gcc_flags + (f" -mfpu={fpu}" if fpu != "none" else "")
        return f"; {self.target.name} has no {unit}: build with {flags}"

    def _instruction(self) -> str:
        """The instruction at the program counter, in words where the disassembler knows it."""
        at = self.register("pc") & ~1
        try:
            code = self.read(at, 4)
        except UcError:
            return f"at {at:#010x}"
        known = next(disassembler(self.target.core).disasm_lite(code, at, 1), None)
        if known is None or known[2] == ".byte":
            return f"({code.hex(' ')})"
        return f"'{known[2]} {known[3]}'".replace(" '", "'")


_THUMB_STATE = 1 << 24
_FETCHES = (UC_MEM_FETCH_UNMAPPED, UC_MEM_FETCH_PROT)
# numbers of the emulator, for what its cores cannot go on from
_ARM_EXCEPTIONS: Mapping[int, str] = {
    1: "the core has no instruction",
    2: "no handler for the supervisor call before",
    4: "the core refuses the access of",
    7: "nobody listens to the breakpoint",
    17: "the coprocessor is missing or off for",
    18: "the core leaves Thumb state at",
    22: "unaligned address in",
}
_RISCV_EXCEPTIONS: Mapping[int, str] = {
    0: "jump to an odd address",
    2: "the core has no such instruction",
    3: "nobody listens to the breakpoint",
    4: "load from an unaligned address",
    6: "store to an unaligned address",
    8: "no handler for the environment call",
    11: "no handler for the environment call",
}
_ARM_REGISTERS = {
    "pc": arm_const.UC_ARM_REG_PC,
    "sp": arm_const.UC_ARM_REG_SP,
    "lr": arm_const.UC_ARM_REG_LR,
    "argument": arm_const.UC_ARM_REG_R0,
}
_RISCV_REGISTERS = {
    "pc": riscv_const.UC_RISCV_REG_PC,
    "sp": riscv_const.UC_RISCV_REG_X2,
    "lr": riscv_const.UC_RISCV_REG_X1,
    "argument": riscv_const.UC_RISCV_REG_X10,
}


def _pages(target: Target) -> list[tuple[int, int, int]]:
    """Begin, end and access of the pages that hold the target's memories."""
    pages: list[tuple[int, int, int]] = []
    for memory in sorted(target.memories, key=lambda memory: memory.origin):
        rights = UC_PROT_READ | (UC_PROT_EXEC if memory.executable else 0)
        rights |= 0 if memory.kind == "flash" else UC_PROT_WRITE
        begin, end = memory.origin & -_PAGE, -(-memory.end // _PAGE) * _PAGE
        if pages and pages[-1][1] > begin:  # two memories share a page: it gets the rights of both
            last_begin, last_end, last_rights = pages.pop()
            if begin > last_begin:
                pages.append((last_begin, begin, last_rights))
            pages.append((begin, last_end, last_rights | rights))
            begin = last_end
        if end > begin:
            pages.append((begin, end, rights))
    return pages


def room_at(target: Target, address: int) -> int:
    """Bytes from an address to the end of its memory, and of those that follow without a gap."""
    end = address
    while (memory := target.memory_at(end)) is not None:
        end = memory.end
    return end - address


def memory_map(target: Target, keeps: Callable[[Memory], bool] = lambda memory: True) -> str:
    """The memories of a target in words, or those of them that are to be kept."""
    return ", ".join(
        f"{memory.name} {memory.origin:#010x} to {memory.end:#010x}"
        for memory in filter(keeps, target.memories)
    )


def _interruptible(uc: Uc, emulate: Callable[[], None], watch: Callable[[], None]) -> None:
    """Emulate so that Ctrl-C is heard at once, and `watch` is called meanwhile.

    Python handles signals in its main thread alone, and there not before native code returns,
    which may take a minute; so the main thread waits while another one emulates.
    """
    if threading.current_thread() is not threading.main_thread():
        emulate()
        return
    raised: list[BaseException] = []
    ended = threading.Event()  # not join(): once interrupted, it takes the thread for ended

    def work() -> None:
        try:
            emulate()
        except BaseException as error:
            raised.append(error)
        finally:
            ended.set()

    threading.Thread(target=work, name="emulator").start()
    try:
        while not ended.wait(_WATCH_SECONDS):
            watch()
    except BaseException:
        while not ended.is_set():  # a stop is lost if it comes before the start
            uc.emu_stop()
            ended.wait(0.01)
        raise
    if raised:
        raise raised[0]


_EMU_STOP = "autotiny_uc_emu_stop"
_emu_stop = numba.types.ExternalFunction(_EMU_STOP, numba.types.int32(numba.types.voidptr))


def _burn(uc: Uc, address: int, size: int, fuse: NDArray[np.int64]) -> None:
    """Runs at the start of each basic block; ends a run that has executed its share of code."""
    fuse[0] += size
    if fuse[0] > fuse[1]:
        _emu_stop(uc)


@functools.cache
def _burn_hook() -> Native:
    """`_burn` as native code, compiled when first needed and kept on disk."""
    stop = ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p).value
    llvmlite.binding.add_symbol(_EMU_STOP, stop)
    types = numba.types
    signature = types.void(types.voidptr, types.uint64, types.uint32, types.CPointer(types.int64))
    burn: Native = kept(lambda cache: numba.cfunc(signature, cache=cache)(_burn))
    return burn
