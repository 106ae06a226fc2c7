"""The boot loader that STM32 parts have in ROM, as far as stm32loader speaks with it.

Written from ST's application notes AN2606 and AN3155, on a pseudo-terminal.
"""

from __future__ import annotations

import os
import pty
import threading
import tty
from functools import reduce
from operator import xor

ACK, NACK, SYNC = b"\x79", b"\x1f", 0x7F
COMMANDS = (0x00, 0x01, 0x02, 0x11, 0x21, 0x31, 0x43)


class Stm32Rom:
    """A part that is answered for by a thread.

    Attributes:
        port: what a tool opens.
        flash: its bytes, erased ones are 0xff.
        erased: how often all of it was erased.
        started: the address at which it was told to go on.
    """

    def __init__(self, origin: int, size: int, broken_byte: int | None = None) -> None:
        self.origin, self.broken_byte = origin, broken_byte
        self.flash = bytearray(os.urandom(size))
        self.erased, self.started = 0, None
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        self.port = os.ttyname(self._theirs)
        threading.Thread(target=self._serve, daemon=True).start()

    started: int | None

    def close(self) -> None:
        """Nothing answers any more."""
        os.close(self._ours)
        os.close(self._theirs)

    def _serve(self) -> None:
        try:
            while True:
                first = self._take(1)[0]
                if first == SYNC:
                    self._say(ACK)
                elif self._take(1)[0] == first ^ 0xFF and first in COMMANDS:
                    self._say(ACK)
                    self._obey(first)
                else:
                    self._say(NACK)
        except OSError:
            return  # closed

    def _take(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            found += os.read(self._ours, count - len(found))
        return found

    def _say(self, answer: bytes) -> None:
        os.write(self._ours, answer)

    def _checked(self, count: int) -> bytes:
        """Bytes, whose checksum follows."""
        found = self._take(count)
        right = self._take(1)[0] == reduce(xor, found)
        self._say(ACK if right else NACK)
        return found

    def _obey(self, command: int) -> None:
        if command == 0x00:
            self._say(bytes((len(COMMANDS), 0x22, *COMMANDS)) + ACK)
        elif command == 0x01:
            self._say(b"\x22\x00\x00" + ACK)
        elif command == 0x02:
            self._say(b"\x01\x04\x14" + ACK)
        elif command == 0x43:
            pages = self._take(2)
            assert pages == b"\xff\x00", "all of it is erased"
            self.flash[:] = b"\xff" * len(self.flash)
            self.erased += 1
            self._say(ACK)
        else:
            self._at(command, int.from_bytes(self._checked(4), "big") - self.origin)

    def _at(self, command: int, place: int) -> None:
        if command == 0x21:
            self.started = place + self.origin
        elif command == 0x11:
            count = self._take(1)[0]
            self._say(ACK if self._take(1)[0] == count ^ 0xFF else NACK)
            inside = 0 <= place < len(self.flash)
            self._say(bytes(self.flash[place : place + count + 1]) if inside else bytes(count + 1))
        else:
            count = self._take(1)[0]
            data = self._take(count + 1)
            if self._take(1)[0] != reduce(xor, data, count):
                self._say(NACK)
                return
            assert not count + 1 & 3, "words are written"
            for at, byte in enumerate(data, place):
                self.flash[at] &= byte  # only an erase brings ones back
            if self.broken_byte is not None:
                self.flash[self.broken_byte] = 0
            self._say(ACK)
