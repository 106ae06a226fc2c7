"""Images as the files that flashing tools take: Intel HEX and UF2."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

_UF2_MAGIC = (0x0A324655, 0x9E5D5157)
_UF2_END = 0x0AB16F30
_UF2_HAS_FAMILY = 0x2000
_UF2_BLOCK_BYTES = 512
_UF2_BYTES = 256
_UF2_ROOM_BYTES = 476


def image_of(segments: Sequence[tuple[int, bytes]]) -> bytes:
    """Bytes by their addresses, in order, as one image from the first on; erased flash between."""
    image, origin = bytearray(), segments[0][0]
    for begin, data in segments:
        image.extend(b"\xff" * (begin - origin - len(image)))
        image[begin - origin : begin - origin + len(data)] = data
    return bytes(image)


def intel_hex(image: bytes, origin: int) -> str:
    """An image as Intel HEX records of up to 32 bytes, none of which crosses 64 KiB."""

    def record(kind: int, address: int, data: bytes) -> str:
        body = bytes((len(data), address >> 8 & 0xFF, address & 0xFF, kind)) + data
        return f":{(body + bytes((-sum(body) & 0xFF,))).hex().upper()}\n"

    def records() -> Iterator[str]:
        segment = None
        position = 0
        while position < len(image):
            address = origin + position
            if address >> 16 != segment:
                segment = address >> 16
                yield record(4, 0, segment.to_bytes(2, "big"))
            size = min(32, 0x10000 - (address & 0xFFFF), len(image) - position)
            yield record(0, address & 0xFFFF, image[position : position + size])
            position += size
        yield record(1, 0, b"")

    return "".join(records())


def uf2(image: bytes, origin: int, family: int) -> bytes:
    """An image as UF2, which a board takes that shows itself as a disk.

    Format: github.com/microsoft/uf2. Blocks of 256 bytes; the last one is filled up with zeros.

    Args:
        image: what is written.
        origin: where to.
        family: the number of the family of parts it is for.
    """
    pieces = [image[k : k + _UF2_BYTES] for k in range(0, len(image), _UF2_BYTES)]
    blocks = bytearray()
    for number, piece in enumerate(pieces):
        place = origin + number * _UF2_BYTES
        blocks += struct.pack(
            "<8I", *_UF2_MAGIC, _UF2_HAS_FAMILY, place, _UF2_BYTES, number, len(pieces), family
        )
        blocks += piece.ljust(_UF2_ROOM_BYTES, b"\0") + struct.pack("<I", _UF2_END)
    return bytes(blocks)


def uf2_families(content: bytes) -> set[int] | None:
    """The families that the blocks of a UF2 file name; None where they are no whole blocks."""
    blocks = [content[k : k + _UF2_BLOCK_BYTES] for k in range(0, len(content), _UF2_BLOCK_BYTES)]
    end = struct.pack("<I", _UF2_END)
    begin = struct.pack("<2I", *_UF2_MAGIC)
    for block in blocks:
        whole = len(block) == _UF2_BLOCK_BYTES
        if not (whole and block.startswith(begin) and block.endswith(end)):
            return None
    heads = [struct.unpack("<8I", block[:32]) for block in blocks]
    return {head[7] for head in heads if head[2] & _UF2_HAS_FAMILY} if heads else None
