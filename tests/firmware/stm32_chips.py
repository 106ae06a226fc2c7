"""What the reference manuals of the STM32 families say of their clocks, as chips that hold to it.

Each chip knows its registers, when their flags come, and what must not be done: a write that the
manual forbids raises `Broken`. Nothing here is taken from the start-up code that it judges.
"""
# ruff: noqa: RUF012 - nothing changes the tables

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

DELAY = 5
"""How many reads later a flag comes."""

MHZ = 1_000_000


class Broken(AssertionError):
    """The firmware did what the manual forbids."""


def need(holds: object, rule: str) -> None:
    """Break unless a rule holds."""
    if not holds:
        raise Broken(rule)


class Register(NamedTuple):
    """Address, value after reset, and the bits that software writes."""

    address: int
    reset: int
    writable: int


@dataclass
class Flag:
    """A bit that comes some reads after what it tells of was asked for.

    Attributes:
        name: of what it tells; "HSE" is dead where there is no crystal.
        register: where it lies.
        bit: its number.
        asked: what is asked for now; None if nothing is. A new answer clears the flag.
    """

    name: str
    register: str
    bit: int
    asked: Callable[[], Hashable | None]
    known: Hashable | None = None
    reads: int = 0


class Pll(NamedTuple):
    """How a PLL is set: its source, three frequencies, whether its output reaches the switch."""

    source: str
    input_hz: float
    vco_hz: float
    output_hz: float
    output: bool = True


class Stm32:
    """A chip of the family; its tables say which.

    Args:
        crystal_hz: of the crystal or clock at its HSE pins; 0 if there is none.
        dead: flags that never come, or "all".
    """

    regions: Sequence[tuple[int, int]] = ((0x4000_0000, 0x2000_0000),)
    REGISTERS: ClassVar[Mapping[str, Register]]
    GATES: ClassVar[Mapping[str, tuple[str, int]]] = {}
    """The clock of a peripheral: register and bit that turn it on."""
    PLL_LOCKED: ClassVar[Mapping[str, int]]
    """Bits that must not change while the PLL is on."""
    SWITCH: ClassVar[tuple[str, int, int, int]]
    """The register of the switch, the places of SW and SWS, and their bits."""
    CLOCKS: ClassVar[Mapping[int, str]]
    """What the values of SW select."""
    OSCILLATORS: ClassVar[Mapping[str, tuple[int, int, int]]]
    """Frequency, and the bits in RCC_CR that turn on and tell ready."""
    INPUT: ClassVar[tuple[float, float]]
    VCO: ClassVar[tuple[float, float]]
    LATENCY: ClassVar[int] = 7
    """The bits of FLASH_ACR that hold the wait states."""

    def __init__(self, crystal_hz: int = 0, dead: Iterable[str] = ()) -> None:
        self.crystal_hz = crystal_hz
        self.dead = {*dead, *(() if crystal_hz else ("HSE",))}
        self.values = {name: register.reset for name, register in self.REGISTERS.items()}
        self._names = {one.address: name for name, one in self.REGISTERS.items()}
        self._switching = 0
        self._flags = [
            Flag(name, "RCC_CR", ready, lambda on=on: self.bit("RCC_CR", on) or None)  # type: ignore[misc]
            for name, (_, on, ready) in self.OSCILLATORS.items()
        ]
        self._flags.append(Flag("PLL", "RCC_CR", 25, lambda: self.bit("RCC_CR", 24) or None))
        self._flags.extend(self.flags())
        for flag in self._flags:
            if self.bit(flag.register, flag.bit):
                flag.known = flag.asked()

    # What a family adds.

    def flags(self) -> Iterable[Flag]:
        """Further flags."""
        return ()

    def pll(self) -> Pll:
        """How the PLL is set."""
        raise NotImplementedError

    def core_hz_of(self, hz: float) -> float:
        """The clock of the core where the switch gives `hz`."""
        return hz / self.ahb_divider()

    def ahb_divider(self) -> int:
        """How the AHB divides the clock of the switch."""
        raise NotImplementedError

    def buses(self, hz: float) -> Iterable[tuple[str, float, float]]:
        """Name, frequency and limit of each bus, where the switch gives `hz`."""
        raise NotImplementedError

    def flash_hz(self, hz: float) -> float:
        """The clock of the flash, where the switch gives `hz`."""
        return self.core_hz_of(hz)

    def flash_limits(self) -> Sequence[float]:
        """The highest MHz for 0, 1, 2 … wait states at the voltage that is set."""
        raise NotImplementedError

    def check_power(self, hz: float) -> None:
        """Break where the voltage does not suffice for `hz`."""

    def check_write(self, name: str, old: int, new: int) -> None:
        """Break where a register must not be written so."""

    def accelerators(self) -> tuple[bool, bool]:
        """Whether the flash prefetches, and whether what stands before it is on."""
        raise NotImplementedError

    # What all have.

    def bit(self, register: str, number: int) -> int:
        return self.values[register] >> number & 1

    def field(self, register: str, place: int, bits: int) -> int:
        return self.values[register] >> place & ((1 << bits) - 1)

    @property
    def wait_states(self) -> int:
        return self.values["FLASH_ACR"] & self.LATENCY

    def hz_of(self, clock: str) -> float:
        """The frequency of an oscillator or of the PLL."""
        if clock == "PLL":
            return self.pll().output_hz
        return self.crystal_hz if clock == "HSE" else self.OSCILLATORS[clock][0]

    def is_ready(self, clock: str) -> int:
        return self.bit("RCC_CR", 25 if clock == "PLL" else self.OSCILLATORS[clock][2])

    @property
    def clock(self) -> str:
        """What runs the core now, as SWS tells."""
        register, _, place, bits = self.SWITCH
        return self.CLOCKS[self.field(register, place, bits)]

    @property
    def core_hz(self) -> float:
        """The clock of the core now."""
        return self.core_hz_of(self.hz_of(self.clock))

    def read(self, address: int, size: int) -> int:
        need(size == 4, f"{address:#x} is read in {size} bytes")
        need(address in self._names, f"{address:#x} is read: no register that a start needs")
        name = self._names[address]
        self._let_come(name)
        return self.values[name] if self._has_clock(name) else 0

    def write(self, address: int, size: int, value: int) -> None:
        need(size == 4, f"{address:#x} is written in {size} bytes")
        need(address in self._names, f"{address:#x} is written: no register that a start needs")
        name = self._names[address]
        if not self._has_clock(name):
            return  # lost
        writable, old = self.REGISTERS[name].writable, self.values[name]
        new = old & ~writable | value & writable
        if name in self.PLL_LOCKED and (self.bit("RCC_CR", 24) or self.bit("RCC_CR", 25)):
            need(not (old ^ new) & self.PLL_LOCKED[name], f"{name} changes while the PLL is on")
        self.check_write(name, old, new)
        self.values[name] = new
        for flag in self._flags:
            if flag.asked() != flag.known:
                flag.known, flag.reads = flag.asked(), 0
                self.values[flag.register] &= ~(1 << flag.bit)
        self.check()

    def _has_clock(self, name: str) -> bool:
        gate = self.GATES.get(name.partition("_")[0])
        return gate is None or bool(self.bit(*gate))

    def _let_come(self, name: str) -> None:
        for flag in self._flags:
            if flag.register == name and flag.known is not None:
                flag.reads += 1
                if flag.reads > DELAY and not self.dead & {flag.name, "all"}:
                    self.values[name] |= 1 << flag.bit
        register, place, told, bits = self.SWITCH
        mask = (1 << bits) - 1
        wanted = self.field(register, place, bits)
        if name == register and wanted != self.field(register, told, bits):
            self._switching += 1
            if self._switching > DELAY:
                self.values[name] = self.values[name] & ~(mask << told) | wanted << told
                self._switching = 0

    def check(self) -> None:
        """Break where what is set now must not be."""
        if self.bit("RCC_CR", 24):
            pll = self.pll()
            low, high = self.INPUT
            need(low <= pll.input_hz <= high, f"the PLL's input has {pll.input_hz / MHZ} MHz")
            low, high = self.VCO
            need(low <= pll.vco_hz <= high, f"the PLL's VCO has {pll.vco_hz / MHZ} MHz")
            need(self.is_ready(pll.source), f"the PLL is on and {pll.source} is not ready")
        register, place, _, bits = self.SWITCH
        clock = self.CLOCKS[self.field(register, place, bits)]
        need(self.is_ready(clock), f"the core is switched to {clock}, which is not ready")
        if clock == "PLL":
            need(self.pll().output, "the PLL's output is off")
        # from now on, and as long as the switch is on its way
        for hz in {self.hz_of(clock), self.hz_of(self.clock)}:
            self._check_speed(hz)

    def _check_speed(self, hz: float) -> None:
        for bus, frequency, limit in self.buses(hz):
            need(frequency <= limit, f"{bus} has {frequency / MHZ} MHz, at most {limit / MHZ}")
        limits = self.flash_limits()
        flash = self.flash_hz(hz)
        need(
            flash <= limits[min(self.wait_states, len(limits) - 1)] * MHZ,
            f"{self.wait_states} wait states are too few for a flash at {flash / MHZ} MHz",
        )
        self.check_power(hz)


def divider(value: int, first: int = 8, skips: int = 0) -> int:
    """What a prescaler divides by: 1 below `first`, then 2, 4, 8 …; AHB prescalers skip 32."""
    if value < first:
        return 1
    power = value - first + 1
    return 1 << (power + (power > skips > 0))


class F1(Stm32):
    """STM32F103, RM0008."""

    REGISTERS = {
        "RCC_CR": Register(0x4002_1000, 0x83, 0x010D_00F9),
        "RCC_CFGR": Register(0x4002_1004, 0, 0x077F_FFF3),
        "FLASH_ACR": Register(0x4002_2000, 0x30, 0x1F),
    }
    PLL_LOCKED = {"RCC_CFGR": 0x003F_0000}
    SWITCH = ("RCC_CFGR", 0, 2, 2)
    CLOCKS = {0: "HSI", 1: "HSE", 2: "PLL"}
    OSCILLATORS = {"HSI": (8 * MHZ, 0, 1), "HSE": (0, 16, 17)}
    INPUT = (1 * MHZ, 25 * MHZ)
    VCO = (16 * MHZ, 72 * MHZ)

    def pll(self) -> Pll:
        by_hse = self.bit("RCC_CFGR", 16)
        source = "HSE" if by_hse else "HSI"
        hz = self.hz_of(source) / (1 + self.bit("RCC_CFGR", 17) if by_hse else 2)
        vco = hz * min(16, self.field("RCC_CFGR", 18, 4) + 2)
        return Pll(source, hz, vco, vco)

    def ahb_divider(self) -> int:
        return divider(self.field("RCC_CFGR", 4, 4), 8, 4)

    def buses(self, hz: float) -> Iterable[tuple[str, float, float]]:
        core = self.core_hz_of(hz)
        apb2 = core / divider(self.field("RCC_CFGR", 11, 3), 4)
        yield "AHB", core, 72 * MHZ
        yield "APB1", core / divider(self.field("RCC_CFGR", 8, 3), 4), 36 * MHZ
        yield "APB2", apb2, 72 * MHZ
        yield "ADC", apb2 / (2 * self.field("RCC_CFGR", 14, 2) + 2), 14 * MHZ

    def flash_limits(self) -> Sequence[float]:
        return 24, 48, 72

    def accelerators(self) -> tuple[bool, bool]:
        return bool(self.bit("FLASH_ACR", 4)), False


class F4(Stm32):
    """STM32F407, RM0090, at 2.7 to 3.6 V."""

    REGISTERS = {
        "RCC_CR": Register(0x4002_3800, 0x83, 0x050D_00F9),
        "RCC_PLLCFGR": Register(0x4002_3804, 0x2400_3010, 0x0F43_7FFF),
        "RCC_CFGR": Register(0x4002_3808, 0, 0xFFFF_FCF3),
        "RCC_APB1ENR": Register(0x4002_3840, 0, 0x36FE_C9FF),
        "PWR_CR": Register(0x4000_7000, 0x4000, 0x43FF),
        "PWR_CSR": Register(0x4000_7004, 0, 0x300),
        "FLASH_ACR": Register(0x4002_3C00, 0, 0x1F07),
    }
    GATES = {"PWR": ("RCC_APB1ENR", 28)}
    PLL_LOCKED = {"RCC_PLLCFGR": 0x0F43_7FFF}
    SWITCH = ("RCC_CFGR", 0, 2, 2)
    CLOCKS = {0: "HSI", 1: "HSE", 2: "PLL"}
    OSCILLATORS = {"HSI": (16 * MHZ, 0, 1), "HSE": (0, 16, 17)}
    INPUT = (0.95 * MHZ, 2.1 * MHZ)
    VCO = (100 * MHZ, 432 * MHZ)
    BUSES: ClassVar[tuple[int, int, int]] = (168, 42, 84)

    def flags(self) -> Iterable[Flag]:
        # the scale is applied once the PLL is on
        yield Flag("VOS", "PWR_CSR", 14, lambda: self.bit("RCC_CR", 24) or None)

    def pll(self) -> Pll:
        source = "HSE" if self.bit("RCC_PLLCFGR", 22) else "HSI"
        hz = self.hz_of(source) / self.field("RCC_PLLCFGR", 0, 6)
        vco = hz * self.field("RCC_PLLCFGR", 6, 9)
        need(vco / self.field("RCC_PLLCFGR", 24, 4) <= 48 * MHZ, "PLLQ gives more than 48 MHz")
        return Pll(source, hz, vco, vco / (2 * self.field("RCC_PLLCFGR", 16, 2) + 2))

    def ahb_divider(self) -> int:
        return divider(self.field("RCC_CFGR", 4, 4), 8, 4)

    def buses(self, hz: float) -> Iterable[tuple[str, float, float]]:
        core = self.core_hz_of(hz)
        ahb, apb1, apb2 = self.BUSES
        yield "AHB", core, ahb * MHZ
        yield "APB1", core / divider(self.field("RCC_CFGR", 10, 3), 4), apb1 * MHZ
        yield "APB2", core / divider(self.field("RCC_CFGR", 13, 3), 4), apb2 * MHZ

    def flash_limits(self) -> Sequence[float]:
        return 30, 60, 90, 120, 150, 168

    def check_power(self, hz: float) -> None:
        if hz > 144 * MHZ:
            need(self.bit("PWR_CR", 14), "more than 144 MHz need voltage scale 1")
        if hz > 16 * MHZ:
            need(self.bit("PWR_CSR", 14), "the voltage scale is not ready")

    def check_write(self, name: str, old: int, new: int) -> None:
        if name == "PWR_CR" and (old ^ new) & 1 << 14:
            need(not self.bit("RCC_CR", 24), "the voltage scale changes while the PLL is on")

    def accelerators(self) -> tuple[bool, bool]:
        return bool(self.bit("FLASH_ACR", 8)), self.field("FLASH_ACR", 9, 2) == 3


class F7(F4):
    """STM32F746, RM0385, at 2.7 to 3.6 V."""

    REGISTERS = {
        **{name: one for name, one in F4.REGISTERS.items() if not name.startswith("PWR")},
        "PWR_CR1": Register(0x4000_7000, 0xC000, 0x0007_CFFF),
        "PWR_CSR1": Register(0x4000_7004, 0, 0x000C_0300),
        "FLASH_ACR": Register(0x4002_3C00, 0, 0x0B0F),
    }
    LATENCY = 15
    BUSES = (216, 54, 108)

    def flags(self) -> Iterable[Flag]:
        yield Flag("VOS", "PWR_CSR1", 14, lambda: self.bit("RCC_CR", 24) or None)
        yield Flag("OD", "PWR_CSR1", 16, lambda: self.bit("PWR_CR1", 16) or None)
        yield Flag("ODSW", "PWR_CSR1", 17, lambda: self.bit("PWR_CR1", 17) or None)

    def flash_limits(self) -> Sequence[float]:
        return 30, 60, 90, 120, 150, 180, 210, 216

    def check_power(self, hz: float) -> None:
        scale = self.field("PWR_CR1", 14, 2)
        overdrive = self.bit("PWR_CSR1", 16) and self.bit("PWR_CSR1", 17)
        need(hz <= (144, 144, 168, 180)[scale] * MHZ or overdrive, "over-drive is needed")
        need(scale == 3 or not overdrive, "over-drive needs voltage scale 1")
        if hz > 16 * MHZ:
            need(self.bit("PWR_CSR1", 14), "the voltage scale is not ready")

    def check_write(self, name: str, old: int, new: int) -> None:
        if name != "PWR_CR1":
            return
        if (old ^ new) & 3 << 14:
            need(not self.bit("RCC_CR", 24), "the voltage scale changes while the PLL is on")
        if new & ~old & 1 << 17:
            need(self.bit("PWR_CSR1", 16), "over-drive is switched before it is ready")

    def accelerators(self) -> tuple[bool, bool]:
        return bool(self.bit("FLASH_ACR", 8)), bool(self.bit("FLASH_ACR", 9))


class G0(Stm32):
    """STM32G0B1, RM0444, in voltage range 1."""

    REGISTERS = {
        "RCC_CR": Register(0x4002_1000, 0x500, 0x014D_3B00),
        "RCC_CFGR": Register(0x4002_1008, 0, 0xFFFF_7F07),
        "RCC_PLLCFGR": Register(0x4002_100C, 0x1000, 0xFF3F_7F73),
        "FLASH_ACR": Register(0x4002_2000, 0x0004_0600, 0x0005_0B07),
    }
    PLL_LOCKED = {"RCC_PLLCFGR": 0xEE3E_7F73}
    SWITCH = ("RCC_CFGR", 0, 3, 3)
    CLOCKS = {0: "HSI", 1: "HSE", 2: "PLL"}
    OSCILLATORS = {"HSI": (16 * MHZ, 8, 10), "HSE": (0, 16, 17)}
    INPUT = (2.66 * MHZ, 16 * MHZ)
    VCO = (96 * MHZ, 344 * MHZ)

    def pll(self) -> Pll:
        source = {2: "HSI", 3: "HSE"}[self.field("RCC_PLLCFGR", 0, 2)]
        hz = self.hz_of(source) / (self.field("RCC_PLLCFGR", 4, 3) + 1)
        vco = hz * self.field("RCC_PLLCFGR", 8, 7)
        r = self.field("RCC_PLLCFGR", 29, 3)
        need(r > 0, "PLLR is reserved")
        return Pll(source, hz, vco, vco / (r + 1), bool(self.bit("RCC_PLLCFGR", 28)))

    def ahb_divider(self) -> int:
        return divider(self.field("RCC_CFGR", 8, 4), 8, 4)

    def buses(self, hz: float) -> Iterable[tuple[str, float, float]]:
        yield "AHB", self.core_hz_of(hz), 64 * MHZ

    def flash_limits(self) -> Sequence[float]:
        return 24, 48, 64

    def accelerators(self) -> tuple[bool, bool]:
        return bool(self.bit("FLASH_ACR", 8)), bool(self.bit("FLASH_ACR", 9))


class L4(Stm32):
    """STM32L4R5, RM0432, in voltage range 1."""

    REGISTERS = {
        "RCC_CR": Register(0x4002_1000, 0x63, 0x150D_0BFD),
        "RCC_CFGR": Register(0x4002_1008, 0, 0x7F00_BFF3),
        "RCC_PLLCFGR": Register(0x4002_100C, 0x1000, 0xFF73_7FF3),
        "RCC_APB1ENR1": Register(0x4002_1058, 0x400, 0xFFFF_FFFF),
        "PWR_CR1": Register(0x4000_7000, 0x200, 0x4717),
        "PWR_CR5": Register(0x4000_7080, 0x100, 0x100),
        "FLASH_ACR": Register(0x4002_2000, 0x600, 0x7F0F),
    }
    GATES = {"PWR": ("RCC_APB1ENR1", 28)}
    PLL_LOCKED = {"RCC_PLLCFGR": 0xFE72_7FF3 & ~(1 << 20)}
    SWITCH = ("RCC_CFGR", 0, 2, 2)
    CLOCKS = {0: "MSI", 1: "HSI", 2: "HSE", 3: "PLL"}
    OSCILLATORS = {"MSI": (4 * MHZ, 0, 1), "HSI": (16 * MHZ, 8, 10), "HSE": (0, 16, 17)}
    INPUT = (2.66 * MHZ, 16 * MHZ)
    VCO = (64 * MHZ, 344 * MHZ)
    LATENCY = 15

    def pll(self) -> Pll:
        source = {1: "MSI", 2: "HSI", 3: "HSE"}[self.field("RCC_PLLCFGR", 0, 2)]
        hz = self.hz_of(source) / (self.field("RCC_PLLCFGR", 4, 4) + 1)
        vco = hz * self.field("RCC_PLLCFGR", 8, 7)
        r = 2 * self.field("RCC_PLLCFGR", 25, 2) + 2
        return Pll(source, hz, vco, vco / r, bool(self.bit("RCC_PLLCFGR", 24)))

    def ahb_divider(self) -> int:
        return divider(self.field("RCC_CFGR", 4, 4), 8, 4)

    def buses(self, hz: float) -> Iterable[tuple[str, float, float]]:
        core = self.core_hz_of(hz)
        yield "AHB", core, 120 * MHZ
        yield "APB1", core / divider(self.field("RCC_CFGR", 8, 3), 4), 120 * MHZ
        yield "APB2", core / divider(self.field("RCC_CFGR", 11, 3), 4), 120 * MHZ

    @property
    def is_boosted(self) -> bool:
        return not self.bit("PWR_CR5", 8)

    def flash_limits(self) -> Sequence[float]:
        return (20, 40, 60, 80, 100, 120) if self.is_boosted else (20, 40, 60, 80)

    def check_power(self, hz: float) -> None:
        need(self.field("PWR_CR1", 9, 2) == 1, "range 1 is needed")
        need(hz <= 80 * MHZ or self.is_boosted, "more than 80 MHz need range 1 boosted")

    def check_write(self, name: str, old: int, new: int) -> None:
        if name != "RCC_CFGR" or (old ^ new) & 3 == 0:
            return
        if self.CLOCKS[new & 3] == "PLL" and self.pll().output_hz > 80 * MHZ:
            need(old >> 4 & 15 >= 8, "to more than 80 MHz by way of AHB ÷ 2")

    def accelerators(self) -> tuple[bool, bool]:
        return bool(self.bit("FLASH_ACR", 8)), self.field("FLASH_ACR", 9, 2) == 3


class U5(Stm32):
    """STM32U575, RM0456."""

    REGISTERS = {
        "RCC_CR": Register(0x4602_0C00, 0x35, 0x151D_53DB),
        "RCC_CFGR1": Register(0x4602_0C1C, 0, 0x7F00_0033),
        "RCC_CFGR2": Register(0x4602_0C20, 0x6000, 0x001F_077F),
        "RCC_PLL1CFGR": Register(0x4602_0C28, 0, 0x0007_FF1F),
        "RCC_PLL1DIVR": Register(0x4602_0C34, 0x0101_0280, 0x7F7F_FFFF),
        "RCC_AHB3ENR": Register(0x4602_0C94, 0, 0x8000_1667),
        "PWR_CR3": Register(0x4602_0808, 0, 6),
        "PWR_VOSR": Register(0x4602_080C, 0x8000, 0x0007_0000),
        "PWR_SVMSR": Register(0x4602_083C, 0x8000, 0),
        "FLASH_ACR": Register(0x4002_2000, 1, 0x790F),
        "ICACHE_CR": Register(0x4003_0400, 4, 0x000F_0007),
        "ICACHE_SR": Register(0x4003_0404, 1, 0),
    }
    GATES = {"PWR": ("RCC_AHB3ENR", 2)}
    PLL_LOCKED = {"RCC_PLL1CFGR": 0xFF0F, "RCC_PLL1DIVR": 0x7F7F_FFFF}
    SWITCH = ("RCC_CFGR1", 0, 2, 2)
    CLOCKS = {0: "MSI", 1: "HSI", 2: "HSE", 3: "PLL"}
    OSCILLATORS = {"MSI": (4 * MHZ, 0, 2), "HSI": (16 * MHZ, 8, 10), "HSE": (0, 16, 17)}
    INPUT = (4 * MHZ, 16 * MHZ)
    VCO = (128 * MHZ, 544 * MHZ)
    LATENCY = 15

    def __init__(self, crystal_hz: int = 0, dead: Iterable[str] = ()) -> None:
        super().__init__(crystal_hz, dead)
        self._emptying = DELAY

    def flags(self) -> Iterable[Flag]:
        yield Flag("VOS", "PWR_VOSR", 15, lambda: self.field("PWR_VOSR", 16, 2) + 1)
        yield Flag("BOOST", "PWR_VOSR", 14, lambda: self.bit("PWR_VOSR", 18) or None)
        yield Flag("SMPS", "PWR_SVMSR", 1, lambda: self.bit("PWR_CR3", 1) or None)

    def read(self, address: int, size: int) -> int:
        value = super().read(address, size)
        if address == self.REGISTERS["ICACHE_SR"].address and "all" not in self.dead:
            self._emptying -= 1
            if self._emptying <= 0:
                self.values["ICACHE_SR"] = 2  # BSYENDF
        return value

    @property
    def pll_source(self) -> str:
        return {0: "", 1: "MSI", 2: "HSI", 3: "HSE"}[self.field("RCC_PLL1CFGR", 0, 2)]

    def pll(self) -> Pll:
        source = self.pll_source
        hz = self.hz_of(source) / (self.field("RCC_PLL1CFGR", 8, 4) + 1)
        high = self.field("RCC_PLL1CFGR", 2, 2) == 3
        need(hz >= 8 * MHZ if high else hz <= 8 * MHZ, "PLL1RGE does not fit the PLL's input")
        vco = hz * (self.field("RCC_PLL1DIVR", 0, 9) + 1)
        r = self.field("RCC_PLL1DIVR", 24, 7) + 1
        need(r == 1 or r % 2 == 0, "PLL1R is odd")
        return Pll(source, hz, vco, vco / r, bool(self.bit("RCC_PLL1CFGR", 18)))

    def ahb_divider(self) -> int:
        return divider(self.field("RCC_CFGR2", 0, 4), 8, 4)

    def buses(self, hz: float) -> Iterable[tuple[str, float, float]]:
        yield "AHB", self.core_hz_of(hz), 160 * MHZ

    def flash_limits(self) -> Sequence[float]:
        return (
            (8, 16, 25), (12.5, 25, 37.5, 55), (25, 50, 75, 110), (32, 64, 96, 128, 160)
        )[self.field("PWR_VOSR", 16, 2)]  # fmt: skip

    def check_power(self, hz: float) -> None:
        need(hz <= (25, 55, 110, 160)[self.field("PWR_VOSR", 16, 2)] * MHZ, "the range is too low")
        if hz > 25 * MHZ:
            need(self.bit("PWR_VOSR", 15), "the voltage is not ready")
        need(hz <= 55 * MHZ or self.bit("PWR_VOSR", 14), "the booster is not ready")

    def check_write(self, name: str, old: int, new: int) -> None:
        if name == "RCC_PLL1CFGR" and (old ^ new) & 0xF003:
            need(not self.bit("PWR_VOSR", 18), "the booster's clock changes while it is on")
        if name == "PWR_VOSR" and new & 1 << 18:
            need(new >> 16 & 3 >= 2, "the booster needs range 1 or 2")
            need(self.bit("PWR_VOSR", 15), "the booster is turned on before the voltage is ready")
            source = self.pll_source
            need(source and self.is_ready(source), "the booster has no clock")
            steps = self.field("RCC_PLL1CFGR", 12, 4)
            hz = self.hz_of(source) / (2 * steps if steps else 1)
            need(4 * MHZ <= hz <= 16 * MHZ, f"the booster's clock has {hz / MHZ} MHz")
        if name == "RCC_CR" and new & 1 << 16 and self.crystal_hz > 25 * MHZ:
            need(self.field("PWR_VOSR", 16, 2), "range 4 takes a crystal of 25 MHz at most")
        if name == "RCC_CR" and new & 1 << 24:
            need(self.field("PWR_VOSR", 16, 2), "range 4 has no PLL")
        if name == "ICACHE_CR" and new & 1:
            need(not self.bit("ICACHE_SR", 0), "the cache is turned on while it empties itself")

    def accelerators(self) -> tuple[bool, bool]:
        return bool(self.bit("FLASH_ACR", 8)), bool(self.bit("ICACHE_CR", 0))


class H7(Stm32):
    """STM32H743, RM0433.

    Args:
        crystal_hz: as above.
        dead: as above.
        revision: of the silicon; V by default.
    """

    REGISTERS = {
        "RCC_CR": Register(0x5802_4400, 0x25, 0x150D_129B),
        "RCC_CFGR": Register(0x5802_4410, 0, 0xFFFF_FFC7),
        "RCC_D1CFGR": Register(0x5802_4418, 0, 0xF7F),
        "RCC_D2CFGR": Register(0x5802_441C, 0, 0x770),
        "RCC_D3CFGR": Register(0x5802_4420, 0, 0x70),
        "RCC_PLLCKSELR": Register(0x5802_4428, 0x0202_0200, 0x03F3_F3F3),
        "RCC_PLLCFGR": Register(0x5802_442C, 0x01FF_0000, 0x01FF_0FFF),
        "RCC_PLL1DIVR": Register(0x5802_4430, 0x0101_0280, 0x7F7F_FFFF),
        "RCC_APB4ENR": Register(0x5802_44F4, 0x0001_0000, 0x0021_DEAA),
        "PWR_CSR1": Register(0x5802_4804, 0x4000, 0),
        "PWR_CR3": Register(0x5802_480C, 6, 0x0300_0307),
        "PWR_D3CR": Register(0x5802_4818, 0x4000, 0xC000),
        "SYSCFG_PWRCR": Register(0x5800_042C, 0, 1),
        "FLASH_ACR": Register(0x5200_2000, 0x37, 0x3F),
        "DBGMCU_IDC": Register(0x5C00_1000, 0x2003_6450, 0),
    }
    GATES = {"SYSCFG": ("RCC_APB4ENR", 1)}
    PLL_LOCKED = {"RCC_PLLCKSELR": 0x3F3, "RCC_PLLCFGR": 0x7000E, "RCC_PLL1DIVR": 0x7F7F_FFFF}
    SWITCH = ("RCC_CFGR", 0, 3, 3)
    CLOCKS = {0: "HSI", 1: "CSI", 2: "HSE", 3: "PLL"}
    OSCILLATORS = {"HSI": (64 * MHZ, 0, 2), "CSI": (4 * MHZ, 7, 8), "HSE": (0, 16, 17)}
    INPUT = (2 * MHZ, 16 * MHZ)
    VCO = (192 * MHZ, 960 * MHZ)
    LATENCY = 15
    BUSES: ClassVar[tuple[int, int, int]] = (480, 240, 120)
    SCALES: ClassVar[Mapping[int, int]] = {1: 3, 2: 2, 3: 1}
    """What the values of VOS mean."""
    SCALE_MHZ: ClassVar[Sequence[int]] = (480, 400, 300, 200)

    def __init__(
        self, crystal_hz: int = 0, dead: Iterable[str] = (), revision: int = 0x2003
    ) -> None:
        super().__init__(crystal_hz, dead)
        self.values["DBGMCU_IDC"] = revision << 16 | 0x450
        self.supplies: list[int] = []

    def flags(self) -> Iterable[Flag]:
        # Run*, until the supply was told
        yield Flag("SUPPLY", "PWR_CSR1", 13, lambda: len(getattr(self, "supplies", ())) or None)
        yield Flag(
            "VOS", "PWR_D3CR", 13, lambda: (self.values["PWR_D3CR"] >> 14, self.has_overdrive)
        )

    @property
    def has_overdrive(self) -> int:
        return self.bit("SYSCFG_PWRCR", 0)

    @property
    def scale(self) -> int:
        scale = self.SCALES[self.field("PWR_D3CR", 14, 2)]
        return 0 if scale == 1 and self.has_overdrive else scale

    def pll(self) -> Pll:
        source = {0: "HSI", 1: "CSI", 2: "HSE"}[self.field("RCC_PLLCKSELR", 0, 2)]
        hz = self.hz_of(source) / self.field("RCC_PLLCKSELR", 4, 6)
        low, high = ((1, 2), (2, 4), (4, 8), (8, 16))[self.field("RCC_PLLCFGR", 2, 2)]
        need(low * MHZ <= hz <= high * MHZ, "PLL1RGE does not fit the PLL's input")
        need(not self.bit("RCC_PLLCFGR", 1), "the VCO is in its low range")
        vco = hz * (self.field("RCC_PLL1DIVR", 0, 9) + 1)
        p = self.field("RCC_PLL1DIVR", 9, 7) + 1
        need(p % 2 == 0, "P1 is odd")
        need(vco <= 836 * MHZ or self.scale == 0, "a VCO beyond 836 MHz needs voltage scale 0")
        return Pll(source, hz, vco, vco / p, bool(self.bit("RCC_PLLCFGR", 16)))

    def core_hz_of(self, hz: float) -> float:
        return hz / divider(self.field("RCC_D1CFGR", 8, 4), 8, 4)

    def ahb_divider(self) -> int:
        return divider(self.field("RCC_D1CFGR", 0, 4), 8, 4)

    def flash_hz(self, hz: float) -> float:
        return self.core_hz_of(hz) / self.ahb_divider()

    def buses(self, hz: float) -> Iterable[tuple[str, float, float]]:
        core, ahb, apb = self.BUSES
        bus = self.flash_hz(hz)
        yield "core", self.core_hz_of(hz), core * MHZ
        yield "AHB", bus, ahb * MHZ
        for name, register, place in (
            ("APB3", "RCC_D1CFGR", 4), ("APB1", "RCC_D2CFGR", 4), ("APB2", "RCC_D2CFGR", 8),
            ("APB4", "RCC_D3CFGR", 4),
        ):  # fmt: skip
            yield name, bus / divider(self.field(register, place, 3), 4), apb * MHZ

    def flash_limits(self) -> Sequence[float]:
        return (
            (70, 140, 210, 225, 240), (70, 140, 210, 225), (55, 110, 165, 225),
            (45, 90, 135, 180, 225),
        )[self.scale]  # fmt: skip

    def check_power(self, hz: float) -> None:
        need(hz <= self.SCALE_MHZ[self.scale] * MHZ, "the voltage scale is too low")
        if hz > 64 * MHZ:
            need(self.bit("PWR_CSR1", 13), "the supply is not ready")
            need(self.bit("PWR_D3CR", 13), "the voltage is not ready")

    def check_write(self, name: str, old: int, new: int) -> None:
        if name == "PWR_CR3":
            need(not self.supplies, "the supply can be said but once")
            self.check_supply(new & 7)
            self.supplies.append(new & 7)
        if name == "PWR_D3CR":
            need(self.bit("PWR_CSR1", 13), "the voltage is raised in mode Run*")
        if name == "SYSCFG_PWRCR":
            need(self.scale == 1 and self.bit("PWR_D3CR", 13), "over-drive needs scale 1")
            need(self.values["DBGMCU_IDC"] >> 16 >= 0x2003, "over-drive needs revision V")

    def check_supply(self, supply: int) -> None:
        """Break where the part has no such supply."""
        need(supply & 3 == 2, "the part has the LDO alone")

    def accelerators(self) -> tuple[bool, bool]:
        return False, False


class H7A3(H7):
    """STM32H7A3 without a step-down converter, RM0455."""

    REGISTERS = {
        **H7.REGISTERS,
        "PWR_CSR1": Register(0x5802_4804, 0, 0),
        "PWR_D3CR": Register(0x5802_4818, 0, 0xC000),
        "FLASH_ACR": Register(0x5200_2000, 0x13, 0x3F),
    }
    VCO = (128 * MHZ, 560 * MHZ)
    BUSES = (280, 280, 140)
    SCALES = {0: 3, 1: 2, 2: 1, 3: 0}
    SCALE_MHZ = (280, 225, 160, 88)

    def flash_limits(self) -> Sequence[float]:
        return (
            (42, 84, 126, 168, 210, 252, 280), (38, 76, 114, 152, 190, 225),
            (34, 68, 102, 136, 160), (22, 44, 66, 88),
        )[self.scale]  # fmt: skip

    def check_write(self, name: str, old: int, new: int) -> None:
        need(name != "SYSCFG_PWRCR", "there is no over-drive")
        super().check_write(name, old, new)


class H7A3Q(H7A3):
    """STM32H7A3 with the step-down converter, on a board that is wired for it."""

    def check_supply(self, supply: int) -> None:
        if supply == 6:  # both, as reset has it: no answer, and the part stays in Run*
            self.dead.add("SUPPLY")
        else:
            need(supply == 4, "the board is wired for the step-down converter: the part stops")


CHIPS: Mapping[str, type[Stm32]] = {
    "stm32f103": F1,
    "stm32f407": F4,
    "stm32f746": F7,
    "stm32g0b1": G0,
    "stm32h743": H7,
    "stm32h7a3": H7A3,
    "stm32l4r5": L4,
    "stm32u575": U5,
}
