"""Chips that obey the rules of their manuals: what real ones would go wrong with raises here.

Written from the manuals and not from our C, which is tested with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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

    def __init__(self, *, dead: bool = False, begun: bool = False) -> None:
        self.dead = dead
        self._left: int | None = 0 if begun else None

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
    """Product specification, sections CLOCK, NVMC, Debug and trace; nRF MDK: the revision."""

    START, STARTED, ICACHECNF = 0x40000000, 0x40000100, 0x4001E540
    REVISION, UICR_PORT, PORT = 0x10000134, 0x10001208, 0x40000558
    regions = ((0x10000000, 0x2000), (0x40000000, 0x1000), (0x4001E000, 0x1000))
    start_values: ClassVar[Mapping[int, int]] = {
        START: 0, STARTED: 0, ICACHECNF: 0, REVISION: 5, UICR_PORT: 0xFFFFFF5A, PORT: 0,
    }  # fmt: skip

    def __init__(self, *, dead_crystal: bool = False, revision: int = 5) -> None:
        super().__init__()
        self.words[self.REVISION] = revision
        if revision < 5:
            del self.words[self.PORT]
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
    def opened(self) -> bool:
        """Whether a debugger can connect after a reset."""
        return self.words[self.PORT] & 0xFF == 0x5A

    @property
    def core_hz(self) -> int:
        return 64_000_000


class Nrf5340(Chip):
    """Product specification, sections CLOCK, CACHE, FICR and Debug and trace; as secure code."""

    START, STARTED, SOURCE = 0x50005000, 0x50005100, 0x50005514
    DIVIDER, CACHE = 0x50005558, 0x50001500
    TRIMS = ((0x5000470C, 0x7E), (0x50004A20, 0x0D), (0x50005A00, 0x1234))
    UICR_PORT, UICR_SECURE_PORT = 0x00FF8000, 0x00FF801C
    PORT, SECURE_PORT = 0x50006544, 0x5000654C
    regions = (
        (0x00FF0000, 0x1000), (0x00FF8000, 0x1000), (0x50001000, 0x1000), (0x50004000, 0x3000),
    )  # fmt: skip
    start_values: ClassVar[Mapping[int, int]] = {
        START: 0, STARTED: 0, SOURCE: 1, DIVIDER: 1, CACHE: 0, PORT: 0, SECURE_PORT: 0,
        UICR_PORT: 0x50FA50FA, UICR_SECURE_PORT: 0x50FA50FA,
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
    def opened(self) -> bool:
        """Whether a debugger can connect after a reset."""
        return self.words[self.PORT] == self.words[self.SECURE_PORT] == 0x50FA50FA

    @property
    def core_hz(self) -> int:
        return 128_000_000 >> (self.words[self.DIVIDER] & 1)


class Esp32c3(Chip):
    """TRM chapters 6, 12 and 13, as the boot loader of ESP-IDF leaves the part."""

    CPU_PER, SYSCLK = 0x600C0008, 0x600C0058
    LOCKS: ClassVar[Mapping[int, tuple[int, int]]] = {
        0x60008090: (0x600080A8, 0x50D83AA1),  # the RTC's watchdog
        0x600080AC: (0x600080B0, 0x8F1D312A),  # the super watchdog
        0x6001F048: (0x6001F064, 0x50D83AA1),  # that of timer group 0
    }
    UART, UART_STATUS, USB, USB_CONF = 0x60000000, 0x6000001C, 0x60043000, 0x60043004
    regions = (
        (0x600C0000, 0x1000), (0x60008000, 0x1000), (0x6001F000, 0x1000), (0x60000000, 0x1000),
        (0x60043000, 0x1000),
    )  # fmt: skip

    def __init__(self, *, no_pll: bool = False, usb_reads: int | None = 1) -> None:
        """As many reads as `usb_reads` show the USB port full after each byte; None: all."""
        super().__init__()
        self.words = {
            self.CPU_PER: 1 << 2, self.SYSCLK: 1 if no_pll else 1 << 10,
            0x60008090: 1 << 31 | 1 << 12, 0x600080AC: 0, 0x6001F048: 1 << 31 | 1 << 14,
            **{lock: 0 for lock, _ in self.LOCKS.values()},
            self.UART: 0, self.UART_STATUS: 0, self.USB: 0, self.USB_CONF: 0,
        }  # fmt: skip
        self.usb_reads, self.full, self.waiting = usb_reads, 0, 0
        self.uart = self.usb = self.sent = b""
        self.writers = {
            self.CPU_PER: self._period, self.SYSCLK: self._no_switch, self.UART: self._by_uart,
            self.USB: self._by_usb, self.USB_CONF: self._send,
        }  # fmt: skip
        for register in self.LOCKS:
            self.writers[register] = partial(self._guard, register)
        self.readers = {self.UART_STATUS: self._fill, self.USB_CONF: self._room}

    def _guard(self, register: int, value: int) -> None:
        lock, key = self.LOCKS[register]
        require(self.words[lock] == key, "a watchdog is written while it is locked")
        self.words[register] = value

    def _period(self, value: int) -> None:
        require(value & 3 < 2, "there is no such clock")
        require(value & ~3 == self.words[self.CPU_PER] & ~3, "the PLL is changed while it runs")
        self.words[self.CPU_PER] = value

    def _no_switch(self, value: int) -> None:
        require(value == self.words[self.SYSCLK], "the clock is switched to one that is not ready")

    def _fill(self) -> int:
        self.waiting = max(0, self.waiting - 1)
        return self.waiting << 16

    def _by_uart(self, value: int) -> None:
        require(value < 256, "one byte a write")
        self.waiting += 2
        require(self.waiting <= 128, "the FIFO is full")
        self.uart += bytes([value])

    def _room(self) -> int:
        if self.usb_reads is None or self.full:
            self.full -= 1
            return 0
        return 2

    def _by_usb(self, value: int) -> None:
        require(self.usb_reads is not None and not self.full, "there is no room")
        self.full = self.usb_reads or 0
        self.usb += bytes([value])

    def _send(self, value: int) -> None:
        require(value == 1, "no such command")
        self.sent, self.usb = self.sent + self.usb, b""

    @property
    def guarded(self) -> bool:
        """Whether a watchdog would reset the part, or stands open."""
        rtc, own, timer = (self.words[register] for register in self.LOCKS)
        closed = all(self.words[lock] != key for lock, key in self.LOCKS.values())
        return bool((rtc | timer) & (1 << 31 | 1 << 14 | 1 << 12)) or not own >> 31 or not closed

    @property
    def core_hz(self) -> int:
        if self.words[self.SYSCLK] >> 10 & 3 == 1:
            return 80_000_000 << (self.words[self.CPU_PER] & 3)
        return 40_000_000 // ((self.words[self.SYSCLK] & 1023) + 1)


class Samd21(Chip):
    """DS40001882, sections GCLK, PM, SYSCTRL and NVMCTRL; errata of the DFLL."""

    CALIBRATION, CPUSEL = 0x00806024, 0x40000408
    PCLKSR, OSC8M, DFLLCTRL, DFLLVAL = 0x4000080C, 0x40000820, 0x40000824, 0x40000828
    GCLK, GENCTRL, NVM_CTRLB = 0x40000C00, 0x40000C04, 0x41004004
    COARSE = 0x1B
    regions = ((0x00806000, 0x1000), (0x40000000, 0x1000), (0x41004000, 0x1000))
    start_values: ClassVar[Mapping[int, int]] = {
        CALIBRATION: COARSE << 26 | 0x02AA5555, CPUSEL: 0, PCLKSR: 0, OSC8M: 0x300 | 1 << 1,
        DFLLCTRL: 0x80, DFLLVAL: 0, GCLK: 0, GENCTRL: 0, NVM_CTRLB: 0x80,
    }  # fmt: skip

    def __init__(self, *, dead_loop: bool = False, uncalibrated: bool = False) -> None:
        super().__init__()
        self.loop = Status(dead=dead_loop)
        self.synced = Status(begun=True)
        self.generators = {0: 1 << 16 | 6 << 8, 2: 1 << 16 | 3 << 8}
        self.touched = False
        self.coarse = 0x1F if uncalibrated else self.COARSE
        if uncalibrated:
            self.words[self.CALIBRATION] |= 0x3F << 26
        self.writers = {
            self.DFLLCTRL: self._control, self.DFLLVAL: self._value,
            self.NVM_CTRLB: self._flash,
        }  # fmt: skip
        self.readers = {
            self.PCLKSR: lambda: int(self.loop.look()) << 4,
            self.GCLK: lambda: (0 if self.synced.look() else 0x80) << 8,
            self.GENCTRL: lambda: self.generators.get(self.words[self.GENCTRL], 0),
        }

    def write(self, address: int, size: int, value: int) -> None:
        if address != self.GENCTRL:
            super().write(address, size, value)
        elif size == 1:
            self.words[self.GENCTRL] = value & 0xF  # what the next read is of
        else:
            require(size == 4, "GENCTRL is written as a word, or as a byte to be read")
            self._generator(value & 0xF, value & ~0xF)

    def _may_write_loop(self) -> None:
        require(not self.touched or self.loop.true, "the DFLL is written before it is ready")
        self.touched = True
        self.loop.ask()

    def _control(self, value: int) -> None:
        self._may_write_loop()
        require(not value & 1 << 7, "erratum: ONDEMAND is to be cleared before all else")
        self.words[self.DFLLCTRL] = value & 0xFFFF

    def _value(self, value: int) -> None:
        require(not self.words[self.DFLLCTRL] & 1 << 7, "erratum: a write to it freezes the part")
        self._may_write_loop()
        self.words[self.DFLLVAL] = value & 0xFFFF

    def _flash(self, value: int) -> None:
        self.words[self.NVM_CTRLB] = value
        self._check_flash()

    def _generator(self, number: int, setting: int) -> None:
        require(self.synced.true, "GCLK is busy")
        self.synced.ask()
        if setting >> 8 & 0x1F == 7:
            require(
                self.words[self.DFLLCTRL] & 1 << 1 and self.loop.true,
                "a generator is switched to the DFLL before that runs",
            )
        self.generators[number] = setting
        self._check_flash()

    def _check_flash(self) -> None:
        waits = self.words[self.NVM_CTRLB] >> 1 & 0xF
        require(self.core_hz <= 24_000_000 * (waits + 1), "flash has too few wait states")

    @property
    def core_hz(self) -> int:
        setting = self.generators[0]
        require(setting & 1 << 16, "generator 0 was turned off")
        source = setting >> 8 & 0x1F
        if source == 7:
            coarse, fine = self.bits(self.DFLLVAL, 10, 6), self.bits(self.DFLLVAL, 0, 10)
            # a coarse step is some percent, a fine one some tenths of one
            hz = 48_000_000 + 1_500_000 * (coarse - self.coarse) + 12_000 * (fine - 512)
        else:
            require(source == 6, "a source that was never started")
            hz = 8_000_000 >> self.bits(self.OSC8M, 8, 2)
        return hz >> (self.words[self.CPUSEL] & 7)


class Rp2350(Chip):
    """RP2350 data sheet, sections 7.5, 8.1, 8.2, 8.6 and 12.14."""

    REF, REF_SELECTED = 0x40010030, 0x40010038
    SYS, SYS_DIV, SYS_SELECTED = 0x4001003C, 0x40010040, 0x40010044
    PERI, RESUS = 0x40010048, 0x40010084
    RESET, RESET_DONE = 0x40020000, 0x40020008
    XOSC, XOSC_STATUS, XOSC_STARTUP = 0x40048000, 0x40048004, 0x4004800C
    CS, PWR, FBDIV, PRIM = 0x40050000, 0x40050004, 0x40050008, 0x4005000C
    QMI_TIMING = 0x400D000C
    CRYSTAL, RING, PLL_BIT, MOST_HZ = 12_000_000, 11_000_000, 1 << 14, 150_000_000
    regions = tuple(
        (base, 0x4000) for base in (0x40010000, 0x40020000, 0x40048000, 0x40050000, 0x400D0000)
    )
    start_values: ClassVar[Mapping[int, int]] = {
        REF: 0, REF_SELECTED: 1, SYS: 0x41, SYS_DIV: 1 << 16, SYS_SELECTED: 2, PERI: 0, RESUS: 0,
        RESET: 0x1FFFFFFF, RESET_DONE: 0, XOSC: 0, XOSC_STATUS: 0, XOSC_STARTUP: 0,
        CS: 1, PWR: 0x2D, FBDIV: 0, PRIM: 0x77000, QMI_TIMING: 0x40000203,
    }  # fmt: skip

    def __init__(self, *, dead_crystal: bool = False, dead_loop: bool = False) -> None:
        super().__init__()
        self.crystal = Status(dead=dead_crystal)
        self.loop = Status(dead=dead_loop)
        self.awake = Status()
        self.ref_source, self.sys_source = 0, 1  # what the multiplexers are at
        self.ref_change, self.sys_change = Status(), Status()
        self.writers = {
            self.XOSC: self._crystal, self.XOSC_STARTUP: self._startup, self.RESET: self._reset,
            self.CS: self._loop_setting(self.CS), self.FBDIV: self._loop_setting(self.FBDIV),
            self.PRIM: self._post, self.PWR: self._power, self.REF: self._ref, self.SYS: self._sys,
        }  # fmt: skip
        self.readers = {
            self.XOSC_STATUS: lambda: int(self.crystal.look()) << 31,
            self.RESET_DONE: lambda: self.PLL_BIT if self.awake.look() else 0,
            self.CS: lambda: self.words[self.CS] | int(self.loop.look()) << 31,
            self.REF_SELECTED: self._ref_selected,
            self.SYS_SELECTED: self._sys_selected,
        }

    def write(self, address: int, size: int, value: int) -> None:
        require(size == 4, "registers are written as words")
        word, how = address & ~0x3000, address >> 12 & 3
        require(word in self.words, f"there is no register at {word:#010x}")
        old = self.words[word]
        new = (value, old ^ value, old | value, old & ~value)[how]
        if word >> 12 == self.CS >> 12 and not self.awake.true:
            return  # lost: the PLL is held in reset
        self.put(word, new)

    def _crystal(self, value: int) -> None:
        require(value & 0xFFF == 0xAA0, "the frequency range does not hold a 12 MHz crystal")
        self.words[self.XOSC] = value
        if value >> 12 == 0xFAB:
            delay = 256 * self.bits(self.XOSC_STARTUP, 0, 14) / self.CRYSTAL
            require(delay >= 0.001, "the crystal counts as stable before it is")
            self.crystal.ask()

    def _startup(self, value: int) -> None:
        require(self.words[self.XOSC] >> 12 != 0xFAB, "the delay is set before the oscillator")
        self.words[self.XOSC_STARTUP] = value

    def _reset(self, value: int) -> None:
        if value & self.PLL_BIT:
            self._unused()
            self.awake.drop()
            self.loop.drop()
            self.words.update({self.CS: 1, self.PWR: 0x2D, self.FBDIV: 0, self.PRIM: 0x77000})
        elif self.words[self.RESET] & self.PLL_BIT:
            self.awake.ask()
        require(
            (value ^ self.words[self.RESET]) & ~self.PLL_BIT == 0, "other parts keep their reset"
        )
        self.words[self.RESET] = value

    def _unused(self) -> None:
        require(not (self.sys_source == 1 and self._aux() == 0), "the PLL drives the core")

    def _loop_setting(self, word: int) -> Callable[[int], None]:
        def put(value: int) -> None:
            require(self.words[self.PWR] & 0x20, "the loop is set while its oscillator runs")
            self.words[word] = value

        return put

    def _post(self, value: int) -> None:
        first, second = value >> 16 & 7, value >> 12 & 7
        require(first >= second >= 1, "POSTDIV1 is to be the larger one")
        require(self.words[self.PWR] & 8, "the post dividers are set while they run")
        self.words[self.PRIM] = value

    def _power(self, value: int) -> None:
        self.words[self.PWR] = value
        if value & 0x21:
            self.loop.drop()
        elif not self.loop.true:
            require(self.crystal.true, "the PLL starts before the crystal")
            require(16 <= self.words[self.FBDIV] <= 320, "FBDIV is from 16 to 320")
            require(750e6 <= self._vco <= 1600e6, "the oscillator of the PLL: 750 to 1600 MHz")
            self.loop.ask()

    def _ref(self, value: int) -> None:
        require(value & 3 in (0, 2), "a source of clk_ref that was never started")
        require(value & 3 != 2 or self.crystal.true, "clk_ref is switched to a dead crystal")
        self.words[self.REF] = value
        self.ref_change.ask()

    def _ref_selected(self) -> int:
        if self.ref_change.look():
            self.ref_source = self.words[self.REF] & 3
        return 1 << self.ref_source

    def _aux(self) -> int:
        return self.bits(self.SYS, 5, 3)

    def _sys(self, value: int) -> None:
        if self.sys_source == 1:
            require(value >> 5 & 7 == self._aux(), "the auxiliary input changes while in use")
        if value & 1:
            aux = value >> 5 & 7
            require(aux in (0, 2), "an auxiliary input that was never started")
            if aux == 0:
                ready = self.loop.true and not self.words[self.PWR] & 0x29
                require(ready, "clk_sys is switched to a PLL that does not run")
                require(self._pll_hz <= self.MOST_HZ, f"clk_sys: at most {self.MOST_HZ} Hz")
                require(self._pll_hz <= 133_000_000 * self._divider, "the flash: at most 133 MHz")
        self.words[self.SYS] = value
        self.sys_change.ask()

    def _sys_selected(self) -> int:
        if self.sys_change.look():
            self.sys_source = self.words[self.SYS] & 1
        return 1 << self.sys_source

    @property
    def _divider(self) -> int:
        """Of the flash's clock."""
        return self.words[self.QMI_TIMING] & 0xFF

    @property
    def _vco(self) -> int:
        return self.CRYSTAL // self.bits(self.CS, 0, 6) * self.words[self.FBDIV]

    @property
    def _pll_hz(self) -> int:
        return self._vco // self.bits(self.PRIM, 16, 3) // self.bits(self.PRIM, 12, 3)

    @property
    def core_hz(self) -> int:
        sources = {0: self.RING, 2: self.CRYSTAL}
        if self.sys_source == 1:
            return self.RING if self._aux() == 2 else self._pll_hz
        return sources[self.ref_source]


class Rp2040(Rp2350):
    """RP2040 data sheet, sections 2.14 to 2.18 and 4.10: other addresses and limits."""

    REF, REF_SELECTED = 0x40008030, 0x40008038
    SYS, SYS_DIV, SYS_SELECTED = 0x4000803C, 0x40008040, 0x40008044
    PERI = 0x40008048
    RESET, RESET_DONE = 0x4000C000, 0x4000C008
    XOSC, XOSC_STATUS, XOSC_STARTUP = 0x40024000, 0x40024004, 0x4002400C
    CS, PWR, FBDIV, PRIM = 0x40028000, 0x40028004, 0x40028008, 0x4002800C
    BAUDR = 0x18000014
    CRYSTAL, RING, PLL_BIT, MOST_HZ = 12_000_000, 6_500_000, 1 << 12, 133_000_000
    regions = tuple((base, 0x4000) for base in (0x40008000, 0x4000C000, 0x40024000, 0x40028000))
    start_values: ClassVar[Mapping[int, int]] = {
        REF: 0, REF_SELECTED: 1, SYS: 0, SYS_DIV: 1 << 8, SYS_SELECTED: 1, PERI: 0,
        RESET: 0x01FFFFFF, RESET_DONE: 0, XOSC: 0, XOSC_STATUS: 0, XOSC_STARTUP: 0,
        CS: 1, PWR: 0x2D, FBDIV: 0, PRIM: 0x77000, BAUDR: 2,
    }  # fmt: skip

    def __init__(
        self, *, dead_crystal: bool = False, dead_loop: bool = False, warm: bool = False
    ) -> None:
        super().__init__(dead_crystal=dead_crystal, dead_loop=dead_loop)
        self.sys_source = 0
        if warm:  # a reset that left the clocks as another program had set them
            self.crystal, self.awake, self.loop = (Status(begun=True) for _ in range(3))
            self.ref_source, self.sys_source = 2, 1
            self.words.update({
                self.REF: 2, self.SYS: 1, self.XOSC: 0xAA0, self.RESET: 0x01FFFFFF & ~(1 << 12),
                self.PWR: 4, self.FBDIV: 133, self.PRIM: 0x62000,
            })  # fmt: skip

    @property
    def _divider(self) -> int:
        return self.words[self.BAUDR]


class Imxrt(Chip):
    """IMXRT1060RM, chapters CCM and DCDC; IMXRT1060CEC: what VDD_SOC a frequency takes.

    As the boot ROM leaves it: 396 MHz from ARM_PLL, the flash by PLL3, which nothing may touch.
    """

    DCDC_STATUS, DCDC_TARGET = 0x40080000, 0x4008000C
    PLL_ARM, CACRR, CBCDR, CBCMR = 0x400D8000, 0x400FC010, 0x400FC014, 0x400FC018
    CSCMR1, BUSY, GATES = 0x400FC01C, 0x400FC048, 0x400FC080
    CRYSTAL = 24_000_000
    regions = tuple((base, 0x1000) for base in (0x40080000, 0x400D8000, 0x400FC000))
    start_values: ClassVar[Mapping[int, int]] = {
        DCDC_STATUS: 1 << 31, DCDC_TARGET: 0x10E, PLL_ARM: 0x2042, CACRR: 1, CBCDR: 0xA8200,
        CBCMR: 0x2DAE8324, CSCMR1: 0x66930000, BUSY: 0, GATES: 0x00FC0FC0 & ~0xC0,
    }  # fmt: skip

    def __init__(self, *, dead_voltage: bool = False, dead_loop: bool = False) -> None:
        super().__init__()
        self.voltage = Status(dead=dead_voltage, begun=True)
        self.loop = Status(dead=dead_loop)
        self.steady = Status(begun=True)
        self.millivolts = 1150
        self._locked_by_rom = True
        self.writers = {
            self.DCDC_TARGET: self._voltage, self.PLL_ARM: self._pll, self.CACRR: self._arm,
            self.CBCDR: self._dividers, self.CBCMR: self._sources, self.CSCMR1: self._serial,
            self.BUSY: self._fixed, self.DCDC_STATUS: self._fixed,
        }  # fmt: skip
        self.readers = {
            self.DCDC_STATUS: self._voltage_ok,
            self.PLL_ARM: lambda: self.words[self.PLL_ARM] | int(self._look()) << 31,
            self.BUSY: lambda: 0 if self.steady.look() else 1 << 5,
        }

    def _fixed(self, value: int) -> None:
        raise Broken("a status is not written")

    def _look(self) -> bool:
        return self._locked_by_rom or self.loop.look()

    def _voltage(self, value: int) -> None:
        if self.words[self.GATES] >> 6 & 3 == 3:  # else the write is lost
            require((value ^ self.words[self.DCDC_TARGET]) & ~0x1F == 0, "bits that are not TRG")
            self.words[self.DCDC_TARGET] = value
            self.voltage.ask()

    def _voltage_ok(self) -> int:
        if self.voltage.look():
            self.millivolts = 800 + 25 * self.bits(self.DCDC_TARGET, 0, 5)
        return int(self.voltage.true) << 31

    def _pll(self, value: int) -> None:
        old = self.words[self.PLL_ARM]
        in_use = not self.words[self.CBCDR] >> 25 & 1
        require(value >> 14 & 3 == 0, "the source of ARM_PLL is the crystal")
        if (old ^ value) & 0x307F:
            require(not in_use, "ARM_PLL changes while it drives the core")
            self._locked_by_rom = False
            self.loop.drop()
            if value >> 12 & 3 == 2:
                require(54 <= value & 0x7F <= 108, "DIV_SELECT: 54 to 108")
                self.loop.ask()
        if not value >> 16 & 1:
            require(self._locked_by_rom or self.loop.true, "ARM_PLL is used before it is locked")
        self.words[self.PLL_ARM] = value & 0x7FFFFFFF
        self._check()

    def _arm(self, value: int) -> None:
        self._change(self.CACRR, value)

    def _dividers(self, value: int) -> None:
        old = self.words[self.CBCDR]
        if old >> 25 & 1:
            require((old ^ value) >> 27 & 7 == 0, "PERIPH_CLK2_PODF changes while in use")
        require((old ^ value) & 0x000700C0 == 0, "the clock of the SEMC is not ours")
        if (old & ~value) >> 25 & 1:
            require(not self.words[self.PLL_ARM] >> 16 & 1, "the core is to come to the PLL")
            require(self._locked_by_rom or self.loop.true, "the core comes to a PLL not locked")
        self._change(self.CBCDR, value)

    def _sources(self, value: int) -> None:
        in_use = 12 if self.words[self.CBCDR] >> 25 & 1 else 18
        require(
            (self.words[self.CBCMR] ^ value) >> in_use & 3 == 0, "a source changes while in use"
        )
        self._change(self.CBCMR, value)

    def _serial(self, value: int) -> None:
        flash = 3 << 29 | 7 << 23
        require((self.words[self.CSCMR1] ^ value) & flash == 0, "code is read by this clock")
        self._change(self.CSCMR1, value)

    def _change(self, word: int, value: int) -> None:
        slow = {self.CACRR: 7, self.CBCDR: 7 << 10 | 7 << 16 | 1 << 25}.get(word, 0)
        if (self.words[word] ^ value) & slow:
            require(self.steady.true, "what changes slowly does so already")
            self.steady.ask()
        self.words[word] = value
        self._check()

    def _check(self) -> None:
        hz = self.core_hz
        require(hz <= (600e6 if self.millivolts >= 1250 else 528e6), "VDD_SOC is too low")
        ipg = hz // (self.bits(self.CBCDR, 8, 2) + 1)
        require(ipg <= 150e6, "IPG: at most 150 MHz")
        by_crystal = self.words[self.CSCMR1] >> 6 & 1
        perclk = self.CRYSTAL if by_crystal else ipg // (self.bits(self.CSCMR1, 0, 6) + 1)
        require(perclk <= 75e6, "PERCLK: at most 75 MHz")

    @property
    def core_hz(self) -> int:
        if self.words[self.CBCDR] >> 25 & 1:
            require(self.bits(self.CBCMR, 12, 2) == 1, "only the crystal was started for it")
            hz = self.CRYSTAL // (self.bits(self.CBCDR, 27, 3) + 1)
        else:
            require(self.bits(self.CBCMR, 18, 2) == 3, "only ARM_PLL was started for it")
            bypassed = self.words[self.PLL_ARM] >> 16 & 1
            hz = self.CRYSTAL if bypassed else self.CRYSTAL * self.bits(self.PLL_ARM, 0, 7) // 2
            hz //= self.bits(self.CACRR, 0, 3) + 1
        return hz // (self.bits(self.CBCDR, 10, 3) + 1)
