"""A program as the boot loader of ESP-IDF takes it.

Format: ESP-IDF, components/bootloader_support/include/esp_app_format.h; esptool, `elf2image`.
"""

from __future__ import annotations

import hashlib
import struct
from functools import reduce
from operator import xor
from pathlib import Path

from elftools.elf.elffile import ELFFile

from autotiny.target import AppImage

_MAGIC, _CHECKSUM = 0xE9, 0xEF
_FLASH = (2, 0x2F)
"""Dual I/O; 4 MB at 80 MHz. The boot loader goes by its own header, not by the program's."""

_ANY_REVISION = (0, 0, 0xFFFF)
_WITH_DIGEST = 1
_PAGE_BYTES = 0x10000
_HEADER_BYTES, _SEGMENT_HEADER_BYTES = 24, 8


def app_image(elf: ELFFile, image: AppImage) -> bytes:
    """The image of a linked program.

    What is mapped lies at offsets that are those of its addresses within a page; what lies in SRAM
    is copied there. Constants come first, for they begin with what describes the program.
    """
    segments = [
        (int(one["p_vaddr"]), one.data()) for one in elf.iter_segments("PT_LOAD") if one["p_filesz"]
    ]
    code = int(elf["e_entry"])

    def order(segment: tuple[int, bytes]) -> int:
        address, data = segment
        return 0 if address in image.data_bus else 1 if address <= code < address + len(data) else 2

    placed: list[bytes] = []
    at = _HEADER_BYTES
    for address, data in sorted(segments, key=order):
        if order((address, data)) < 2:
            gap = (address - at - _SEGMENT_HEADER_BYTES) % _PAGE_BYTES
            if gap:  # filled by a segment that is loaded nowhere, which has a header, too
                placed.append(_segment(0, bytes((gap - _SEGMENT_HEADER_BYTES) % _PAGE_BYTES)))
                at += len(placed[-1])
        placed.append(_segment(address, data))
        at += len(placed[-1])
    header = struct.pack(
        "<4BI B3x HBHH 4xB", _MAGIC, len(placed), *_FLASH, code, 0xEE, image.chip_id,
        *_ANY_REVISION, _WITH_DIGEST,
    )  # fmt: skip
    stored = (part[_SEGMENT_HEADER_BYTES:] for part in placed)
    checksum = reduce(xor, (byte for part in stored for byte in part), _CHECKSUM)
    body = header + b"".join(placed)
    body += bytes(15 - len(body) % 16) + bytes((checksum,))
    return body + hashlib.sha256(body).digest()


def app_image_of(path: Path, image: AppImage) -> bytes:
    """The image of the program in a file."""
    with path.open("rb") as file:
        return app_image(ELFFile(file), image)


def _segment(address: int, data: bytes) -> bytes:
    """A segment of whole words behind its header."""
    words = data + bytes(-len(data) % 4)
    return struct.pack("<II", address, len(words)) + words
