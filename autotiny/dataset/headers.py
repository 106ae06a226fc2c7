"""What the header of an image says, and what is refused for it, before anything is decoded."""

from __future__ import annotations

import struct
from pathlib import Path

from autotiny.errors import InvalidData

MOST_PIXELS = 1 << 24
MOST_BYTES = 1 << 26
MOST_SCANS = 64
"""Of a progressive JPEG, each of which passes over all of its pixels."""

Size = tuple[int, int]


def image_size(path: Path) -> Size:
    """Height and width, read from an image's header; nothing is decoded.

    Raises:
        InvalidData: it is no image, too large, or of a kind of which decoding would lose something.
    """
    if not path.is_file():
        raise InvalidData(f"{path} is no file; remove it")
    held = path.stat().st_size
    if held > MOST_BYTES:
        raise InvalidData(
            f"{path} has {held:,} bytes; {MOST_BYTES:,} are the most: save it smaller"
        )
    data = path.read_bytes()
    readers = {b"\x89PNG": _png, b"GIF8": _gif, b"BM": _bmp, b"\xff\xd8": _jpeg}
    reader = next((one for start, one in readers.items() if data.startswith(start)), None)
    try:
        size = reader(data, path) if reader else None
    except (struct.error, IndexError):  # it ends inside of its header
        size = None
    if size is None or min(size) < 1:
        raise InvalidData(f"{path} is damaged or no image; remove it or save it again")
    if size[0] * size[1] > MOST_PIXELS:
        raise InvalidData(
            f"{path} has {size[0]}×{size[1]} pixels; {MOST_PIXELS:,} are the most: save it smaller"
        )
    return size


def _png(data: bytes, path: Path) -> Size:
    width, height, depth, colours = struct.unpack(">IIBB", data[16:26])
    if depth == 16:
        raise InvalidData(f"{path} has 16 bits a colour; save it with 8, or give arrays (.npz)")
    at = 8
    while at + 8 <= len(data) and data[at + 4 : at + 8] != b"IDAT":
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"tRNS" and colours != 3:  # of a palette, the pixels themselves are looked at
            raise _transparent(path)
        if kind == b"acTL":
            raise _animated(path)
        if kind == b"eXIf":
            _check_upright(data[at + 8 : at + 8 + length], path)
        at += 12 + length
    return height, width


def _gif(data: bytes, path: Path) -> Size:
    width, height, flags = struct.unpack("<HHB", data[6:11])
    at, frames = 13 + _table(flags), 0
    while at < len(data) and data[at] != ord(";"):
        if data[at] == ord("!"):
            if data[at + 1] == 0xF9 and data[at + 3] & 1:
                raise _transparent(path)
            at = _behind_blocks(data, at + 2)
        elif data[at] == ord(","):
            frames += 1
            left, top, wide, high, flags = struct.unpack("<HHHHB", data[at + 1 : at + 10])
            if frames > 1:
                raise _animated(path)
            if (left, top, wide, high) != (0, 0, width, height):
                raise InvalidData(
                    f"{path} has {height}×{width} pixels, of which its picture is {high}×{wide}; "
                    "save it again, as PNG"
                )
            at = _behind_blocks(data, at + 11 + _table(flags))
        else:
            break
    return height, width


def _table(flags: int) -> int:
    """Bytes of a table of colours."""
    return 3 << (1 + (flags & 7)) if flags & 0x80 else 0


def _behind_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _bmp(data: bytes, path: Path) -> Size:
    header, width, height, _, bits, packed = struct.unpack("<IiiHHI", data[14:34])
    if header < 40 or bits not in (8, 24, 32) or packed not in (0, 3):
        raise InvalidData(f"{path} is a BMP of {bits} bits a pixel, or packed; save it as PNG")
    if bits == 8:
        count = int.from_bytes(data[46:50], "little") or 256
        grey = bytes(value for level in range(256) for value in (level, level, level, 0))
        if data[14 + header : 14 + header + 4 * min(count, 256)] != grey[: 4 * count]:
            raise InvalidData(f"{path} is a BMP with a palette; save it as PNG")
    return abs(height), abs(width)


def _jpeg(data: bytes, path: Path) -> Size | None:
    if data.count(b"\xff\xda") > MOST_SCANS:
        raise InvalidData(f"{path} has more than {MOST_SCANS} scans; save it as a plain JPEG")
    size, at = None, 2
    while at + 9 < len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:
            at += 1
            continue
        if length < 2:
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, components = struct.unpack(">BHHB", data[at + 4 : at + 10])
            if components == 4 or bits != 8:
                kind = "CMYK" if components == 4 else f"{bits}-bit"
                raise InvalidData(f"{path} is a {kind} image; save it as RGB of 8 bits")
            if size not in (None, (height, width)):
                return None
            size = height, width
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            _check_upright(data[at + 10 : at + 2 + length], path)
        at += 2 + length
    return size


def _check_upright(exif: bytes, path: Path) -> None:
    """Refuses an image that some programs turn and others do not."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return
    start = struct.unpack(f"{order}I", exif[4:8])[0]
    entries = exif[start : start + 2]
    count = struct.unpack(f"{order}H", entries)[0] if len(entries) == 2 else 0
    for at in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack(f"{order}HHIH", exif[at : at + 10])
        if (tag, kind) == (0x0112, 3) and 2 <= value <= 8:
            raise InvalidData(
                f"{path} is stored turned (EXIF orientation {value}), which some programs obey and "
                "others do not; save it upright"
            )


def _transparent(path: Path) -> InvalidData:
    return InvalidData(f"{path} has transparent pixels; save it without an alpha channel")


def _animated(path: Path) -> InvalidData:
    return InvalidData(f"{path} has several pictures; save the one that counts as PNG")
