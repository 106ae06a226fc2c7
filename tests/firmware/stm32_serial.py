"""The pin by which an STM32 sends, and the USART behind it, beside the chip that has the clocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from stm32_chips import DELAY, Stm32, need


class Sender(NamedTuple):
    """How a pin sends, by the data sheet and the manual.

    Attributes:
        usart: its address; `bus` feeds it.
        usart_clock: address and bit that turn it on.
        bus: its name in `Stm32.buses`; "" is that of the core.
        gpio: the address of the pin's port.
        gpio_clock: address and bit that turn it on.
        pin: the number of the pin.
        alternate: its alternate function; -1 where the port has none to choose from.
        is_old: whether the USART is the one with a status and a data register.
        low_power: whether it is an LPUART.
        supply: address and bit that supply the port, if it has a supply of its own.
    """

    usart: int
    usart_clock: tuple[int, int]
    bus: str
    gpio: int
    gpio_clock: tuple[int, int]
    pin: int
    alternate: int
    is_old: bool = False
    low_power: bool = False
    supply: tuple[int, int] | None = None


SENDERS: Mapping[str, Sender] = {
    "stm32f103": Sender(
        0x4000_4400, (0x4002_101C, 17), "APB1", 0x4001_0800, (0x4002_1018, 2), 2, -1, is_old=True
    ),
    "stm32f407": Sender(
        0x4000_4400, (0x4002_3840, 17), "APB1", 0x4002_0000, (0x4002_3830, 0), 2, 7, is_old=True
    ),
    "stm32f746": Sender(
        0x4001_1000, (0x4002_3844, 4), "APB2", 0x4002_0000, (0x4002_3830, 0), 9, 7
    ),
    "stm32g0b1": Sender(
        0x4000_4400, (0x4002_103C, 17), "", 0x5000_0000, (0x4002_1034, 0), 2, 1
    ),
    "stm32h743": Sender(
        0x4000_4800, (0x5802_44E8, 18), "APB1", 0x5802_0C00, (0x5802_44E0, 3), 8, 7
    ),
    "stm32h7a3": Sender(
        0x4000_4800, (0x5802_44E8, 18), "APB1", 0x5802_0C00, (0x5802_44E0, 3), 8, 7
    ),
    "stm32l4r5": Sender(
        0x4000_8000, (0x4002_105C, 0), "APB1", 0x4800_1800, (0x4002_104C, 6), 7, 8,
        low_power=True, supply=(0x4000_7004, 9),
    ),
    "stm32u575": Sender(
        0x4001_3800, (0x4602_0CA4, 14), "", 0x4202_0000, (0x4602_0C8C, 0), 9, 7
    ),
}  # fmt: skip
"""Of the pin that each target file names."""

READY = 1 << 7


class SerialChip:
    """A chip with its sender.

    Args:
        chip: what has the clocks.
        sender: what has the pin.

    Attributes:
        sent: what came out.
    """

    def __init__(self, chip: Stm32, sender: Sender) -> None:
        self.chip = chip
        self.sender = sender
        self.regions = chip.regions
        self.sent = b""
        self._reads = DELAY
        old = sender.is_old
        self._control = sender.usart + (0xC if old else 0)
        self._rate = sender.usart + (8 if old else 0xC)
        self._status = sender.usart + (0 if old else 0x1C)
        self._data = sender.usart + (4 if old else 0x28)
        known = {register.address for register in chip.REGISTERS.values()}
        ours = [sender.usart_clock[0], sender.gpio_clock[0]]
        ours += [self._control, self._rate, self._status, self._data]
        ours += [sender.gpio + offset for offset in (0, 4, 0x20, 0x24)]
        ours += [sender.supply[0]] if sender.supply else []
        self._values = {address: 0 for address in ours if address not in known}
        self._names = {register.address: name for name, register in chip.REGISTERS.items()}

    def value(self, address: int) -> int:
        name = self._names.get(address)
        return self._values[address] if name is None else self.chip.values[name]

    def is_on(self, place: tuple[int, int]) -> int:
        return self.value(place[0]) >> place[1] & 1

    def _has_clock(self, address: int) -> int:
        if self.sender.supply and address == self.sender.supply[0]:
            return self.chip.bit(*self.chip.GATES["PWR"])
        for start, clock in (
            (self.sender.usart, self.sender.usart_clock),
            (self.sender.gpio, self.sender.gpio_clock),
        ):
            if start <= address < start + 0x400:
                return self.is_on(clock)
        return 1

    def read(self, address: int, size: int) -> int:
        if address not in self._values:
            return self.chip.read(address, size)
        if address == self._status:
            self._reads += 1
            self._values[address] = READY if self._reads > DELAY else 0
        return self._values[address] if self._has_clock(address) else 0

    def write(self, address: int, size: int, value: int) -> None:
        if address not in self._values:
            self.chip.write(address, size, value)
        elif self._has_clock(address):
            if address == self._data:
                self._send(value)
            if address == self._rate:
                need(not self._values[self._control] & 1, "the rate changes while the USART is on")
            self._values[address] = value

    def _send(self, value: int) -> None:
        sender = self.sender
        need(self._reads > DELAY, "the USART is given a character before it can take it")
        enabled = 1 << 13 | 1 << 3 if sender.is_old else 1 | 1 << 3
        need(self._values[self._control] == enabled, "the USART does not send")
        need(sender.supply is None or self.is_on(sender.supply), "the port has no supply")
        pin, port = sender.pin, sender.gpio
        if sender.alternate < 0:
            place = port + pin // 8 * 4
            need(self.value(place) >> pin % 8 * 4 & 15 == 10, "the pin is not the USART's")
        else:
            need(self.value(port) >> 2 * pin & 3 == 2, "the pin has no alternate function")
            chosen = self.value(port + 0x20 + pin // 8 * 4) >> pin % 8 * 4 & 15
            need(chosen == sender.alternate, f"the pin has alternate function {chosen}")
        hz = self.chip.hz_of(self.chip.clock)
        buses = {name: frequency for name, frequency, _ in self.chip.buses(hz)}
        periods = buses.get(sender.bus, self.chip.core_hz) * (256 if sender.low_power else 1)
        baud = periods / (self._values[self._rate] or 1)
        need(abs(baud / 115_200 - 1) < 0.02, f"the USART sends {baud} bits a second")
        self.sent += bytes((value,))
        self._reads = 0
