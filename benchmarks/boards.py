"""Development boards, as far as published benchmark firmware touches them.

Just enough of each chip's peripherals is answered for firmware to boot and to talk over its serial
port: registers keep what is written, and the few that firmware waits for follow the tables below.
Interrupts are delivered by calling the handler of the vector table, as the hardware would.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import unicorn
from unicorn import UC_HOOK_CODE, arm_const

from autotiny.target import Target, load_target

FLASH = 0x0800_0000
_RETURN = 0x1FF0_0000  # where an interrupt handler returns to: a page that holds nothing else
_NOWHERE = 0xFFFF_FFFF  # an address to stop at that never comes
_SYSTICK = 15
_ENDLESS = bytes.fromhex("fee7")  # b .: the handler of interrupts that a firmware does not use


@dataclass(frozen=True)
class Board:
    """A board's memory map and the registers that firmware waits for.

    Attributes:
        target: the autotiny target of its chip.
        cpu: Unicorn's name of the core.
        uart: address of the serial port's registers (ISR at 1C, RDR at 24, TDR at 28).
        uart_interrupt: its position in the vector table.
        ready: register → pairs of bits (switched on, answers ready).
        clock_switch: the clock configuration register, where the answer stands, and the mask of
            the field.
        always: register → bits that read as set.
        never: register → bits that read as clear.
        timer: a free-running microsecond counter, if the firmware reads one.
        flash_control: the flash controller's access control register.
        prefetch_bit: of that register, where a prefetch can be switched.
        flash_cache_bits: of that register: the caches for instructions and for data, where there
            are any.
        icache_control: the control register of a cache that is a peripheral.
        reset: registers that do not start as zero.
    """

    target: str
    cpu: int
    uart: int
    uart_interrupt: int
    ready: dict[int, tuple[tuple[int, int], ...]]
    clock_switch: tuple[int, int, int]
    flash_control: int
    always: dict[int, int] = field(default_factory=dict)
    never: dict[int, int] = field(default_factory=dict)
    timer: tuple[int, ...] = (0x4000_0024, 0x4000_0C24, 0x5000_0024, 0x5000_0C24)  # TIM2, TIM5
    prefetch_bit: int | None = None
    flash_cache_bits: tuple[int | None, int | None] = (None, None)
    icache_control: int = 0
    reset: dict[int, int] = field(default_factory=dict)


BOARDS = {
    "NUCLEO_L4R5ZI": Board(
        target="stm32l4r5", cpu=arm_const.UC_CPU_ARM_CORTEX_M4, uart=0x4000_8000, uart_interrupt=70,
        ready={0x4002_1000: ((0, 1), (8, 10), (16, 17), (24, 25), (26, 27), (28, 29)),
               0x4002_1090: ((0, 1),), 0x4002_1094: ((0, 1),), 0x4002_1098: ((0, 1),)},
        clock_switch=(0x4002_1008, 2, 3), flash_control=0x4002_2000,
        always={0x4000_7014: 0x300}, never={0x4000_7014: 0x400, 0x4002_2010: 0x1_0000},
        prefetch_bit=8, flash_cache_bits=(9, 10),
        reset={0x4002_2000: 0x600},  # RM0432: both flash caches are on
    ),
    "NUCLEO_H7A3ZI": Board(
        target="stm32h7a3", cpu=arm_const.UC_CPU_ARM_CORTEX_M7, uart=0x4000_4800, uart_interrupt=39,
        ready={0x5802_4400: ((0, 2), (7, 8), (12, 13), (16, 17), (24, 25), (26, 27), (28, 29)),
               0x5802_4474: ((0, 1),)},
        clock_switch=(0x5802_4410, 3, 7), flash_control=0x5200_2000,
        always={0x5802_4804: 0x6000, 0x5802_4818: 0x6000},
        reset={0x5200_2000: 0x37},  # RM0455
    ),
    "NUCLEO_U575ZI": Board(
        target="stm32u575", cpu=arm_const.UC_CPU_ARM_CORTEX_M33, uart=0x4001_3800,
        uart_interrupt=61, ready={0x4602_0C00: ((0, 2), (4, 5), (8, 10), (12, 13), (16, 17), (24,
        25), (26, 27), (28, 29)),
               0x4602_0CF4: ((0, 1),)},
        clock_switch=(0x4602_0C1C, 2, 3), flash_control=0x4002_2000, icache_control=0x4003_0400,
        always={0x4602_080C: 0xC000, 0x4602_083C: 0x3_8002, 0x4204_0010: 1 << 31},
        never={0x4204_0010: 0x31},  # the USB core's resets end at once
        prefetch_bit=8,
        reset={0x4002_2000: 0x1, 0x4003_0400: 0x4},  # RM0456: the cache has two ways
    ),
    "NUCLEO_G0B1RE": Board(
        target="stm32g0b1", cpu=arm_const.UC_CPU_ARM_CORTEX_M0, uart=0x4000_4400, uart_interrupt=28,
        ready={0x4002_1000: ((8, 10), (16, 17), (24, 25)), 0x4002_1060: ((0, 1),)},
        clock_switch=(0x4002_1008, 3, 7), flash_control=0x4002_2000,
        always={0x4000_7014: 0x300}, never={0x4000_7014: 0x400},
        prefetch_bit=8, flash_cache_bits=(9, None),
        reset={0x4002_2000: 0x4_0600},  # RM0444: the instruction cache is on
    ),
    "DISCO_F746NG": Board(
        target="stm32f746", cpu=arm_const.UC_CPU_ARM_CORTEX_M7, uart=0x4001_1000, uart_interrupt=37,
        ready={0x4002_3800: ((0, 1), (16, 17), (24, 25), (26, 27), (28, 29)),
               0x4002_3870: ((0, 1),), 0x4002_3874: ((0, 1),)},
        clock_switch=(0x4002_3808, 2, 3), flash_control=0x4002_3C00,
        always={0x4000_7004: 0x3_4000},
    ),
}  # fmt: skip

CACHE_CONTROL = 0xE000_ED14  # Cortex-M7: configuration and control register
DATA_CACHE, INSTRUCTION_CACHE = 1 << 16, 1 << 17

_RAM = (0x0, 0x1000_0000, 0x2000_0000, 0x2400_0000, 0x3000_0000, 0x3800_0000)
_RAM_BYTES = 0x20_0000
_IDLE_UART = 0x60_00C0
_UART_STATES = {
    0x1C + at + secure
    for at in (0x4000_4400, 0x4000_4800, 0x4000_4C00, 0x4000_5000, 0x4000_8000, 0x4001_1000,
               0x4001_3800, 0x4600_2400)
    for secure in (0, 0x1000_0000)
}  # fmt: skip
"""Where the serial ports that firmware sets up besides say that they are idle."""

_PERIPHERALS = ((0x4000_0000, 0x1000_0000), (0x5000_0000, 0x1000_0000))
_SYSTEM = 0xE000_0000  # the core's own registers: plain memory here


class Machine:
    """A board with firmware in its flash, talking over the serial port.

    Args:
        board: the board.
        image: what was flashed at the start of the flash.
        heard: called with each line that the firmware sends.
    """

    def __init__(self, board: Board, image: bytes, heard: Callable[[str], None]) -> None:
        self.board = board
        self.image = image
        self.heard = heard
        self.registers = dict(board.reset)
        self._input = bytearray()
        self._line = bytearray()
        self._ready = False
        self._left = False
        self._idle = 0
        self._ticks = 0
        # UC_MODE_MCLASS would make each core a Cortex-M33, without double precision
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
        self.uc.ctl_set_cpu_model(board.cpu)
        self.uc.mem_map(FLASH, _RAM_BYTES)
        self.uc.mem_write(FLASH, image)
        self.uc.mem_map(_RETURN, 0x10_0000)  # also the chip's factory data, which reads as zero
        for base in _RAM:
            self.uc.mem_map(base, _RAM_BYTES)
        self.uc.mem_map(_SYSTEM, 0x10_0000)
        for base, size in _PERIPHERALS:
            self._map_registers(base, size)
        # A hook and no `until` address: Unicorn keeps the first one in code that it has translated.
        self.uc.hook_add(UC_HOOK_CODE, lambda uc, *_: uc.emu_stop(), begin=_RETURN, end=_RETURN)

    def boot(self) -> None:
        """Runs from reset until the firmware waits; a timer tick every 20,000 instructions."""
        stack, start = struct.unpack("<II", self.image[:8])
        self.uc.reg_write(arm_const.UC_ARM_REG_SP, stack)
        place = start
        for _ in range(4000):
            self.uc.emu_start(place | 1, _NOWHERE, count=20_000)
            place = self.uc.reg_read(arm_const.UC_ARM_REG_PC)
            if self._ready:
                break
            self._interrupt(_SYSTICK)
        else:
            raise RuntimeError(f"the firmware is not ready after 4000 ticks; it is at {place:#x}")
        seen: list[int] = []
        trace = self.uc.hook_add(unicorn.UC_HOOK_BLOCK, lambda uc, at, size, data: seen.append(at))
        self.uc.ctl_flush_tb()  # translated code does not see hooks that come later
        self.uc.emu_start(place | 1, _NOWHERE, count=20_000)
        self.uc.hook_del(trace)
        self._idle = seen[-1]  # a block of the loop that waits for commands
        self.uc.ctl_flush_tb()
        self.uc.hook_add(UC_HOOK_CODE, self._at_idle, begin=self._idle, end=self._idle)
        self._resume(self.uc.reg_read(arm_const.UC_ARM_REG_PC))

    def send(self, command: str) -> None:
        """Sends a command, one interrupt a character, and runs until it is carried out."""
        self._ready = False
        for character in command.encode():
            self._input.append(character)
            self._interrupt(16 + self.board.uart_interrupt)
        self._resume(self._idle)

    def word(self, address: int) -> int:
        """What the firmware wrote into a register, or a word of memory."""
        if any(base <= address < base + size for base, size in _PERIPHERALS):
            return self.registers.get(address, 0)
        return int(struct.unpack("<I", self.uc.mem_read(address, 4))[0])

    def _interrupt(self, vector: int) -> None:
        handler = struct.unpack_from("<I", self.image, 4 * vector)[0]
        if self.uc.mem_read(handler & ~1, len(_ENDLESS)) == _ENDLESS:
            return
        context = self.uc.context_save()
        self.uc.reg_write(arm_const.UC_ARM_REG_LR, _RETURN | 1)
        self.uc.emu_start(handler | 1, _NOWHERE)
        self.uc.context_restore(context)

    def _resume(self, place: int) -> None:
        self._left = False
        self.uc.emu_start(place | 1, _NOWHERE)

    def _at_idle(self, uc: Any, address: int, size: int, data: Any) -> None:
        if self._ready and self._left:
            uc.emu_stop()
        self._left = True

    def _map_registers(self, base: int, size: int) -> None:
        def read(uc: Any, offset: int, width: int, data: Any) -> int:
            address = base + offset
            value = self._read(address & ~3)
            return value >> (8 * (address & 3)) & ((1 << 8 * width) - 1)

        def write(uc: Any, offset: int, width: int, value: int, data: Any) -> None:
            address = base + offset
            shift = 8 * (address & 3)
            mask = ((1 << 8 * width) - 1) << shift
            old = self.registers.get(address & ~3, 0)
            self._write(address & ~3, (old & ~mask) | (value << shift & mask))

        self.uc.mmio_map(base, size, read, None, write, None)

    def _read(self, address: int) -> int:
        board = self.board
        if address == board.uart + 0x1C:  # sent, empty; data waits
            return _IDLE_UART | (0x20 if self._input else 0)
        if address in _UART_STATES:
            return _IDLE_UART
        if address == board.uart + 0x24:
            return self._input.pop(0) if self._input else 0
        if address in board.timer:
            self._ticks += 1000
            return self._ticks
        value = self.registers.get(address, 0)
        for on, ready in board.ready.get(address, ()):
            value = (value & ~(1 << ready)) | ((value >> on & 1) << ready)
        register, shift, mask = board.clock_switch
        if address == register:
            value = (value & ~(mask << shift)) | ((value & mask) << shift)
        return (value | board.always.get(address, 0)) & ~board.never.get(address, 0)

    def _write(self, address: int, value: int) -> None:
        self.registers[address] = value
        if address == self.board.uart + 0x28:
            self._line.append(value & 0xFF)
            if value & 0xFF == ord("\n"):
                line = self._line.decode("latin-1").strip()
                self._line.clear()
                self.heard(line)
                self._ready = self._ready or line == "m-ready"


def as_configured(machine: Machine) -> Target:
    """The board's target with the flash and the caches set up as the firmware has done it."""
    board = machine.board
    target = load_target(board.target)
    flash = machine.word(board.flash_control)
    prefetch = board.prefetch_bit is not None and bool(flash >> board.prefetch_bit & 1)
    memories = tuple(
        replace(memory, wait_states=flash & 0xF, prefetch=prefetch)
        if memory.kind == "flash"
        else memory
        for memory in target.memories
    )
    accelerator, icache, dcache = target.accelerator, target.icache, target.dcache
    if accelerator is not None:
        instructions, data = board.flash_cache_bits
        if instructions is not None and not flash >> instructions & 1:
            accelerator = replace(accelerator, instruction_lines=0)
        if data is not None and not flash >> data & 1:
            accelerator = replace(accelerator, data_lines=0)
    if board.icache_control and icache is not None:
        control = machine.word(board.icache_control)
        icache = replace(icache, ways=2 if control & 4 else 1) if control & 1 else None
    if target.core == "cortex-m7":
        control = machine.word(CACHE_CONTROL)
        icache = icache if control & INSTRUCTION_CACHE else None
        dcache = dcache if control & DATA_CACHE else None
    return replace(target, memories=memories, accelerator=accelerator, icache=icache, dcache=dcache)
