"""Firmware files of a user's, read and checked: ELF, raw binary, Intel HEX.

An ELF says where its bytes lie and what is called how, a HEX file says where, a binary neither.
All are foreign: what a file claims is compared with what it holds, and with the target's memories,
before anything is built on it. HEX is read as Intel's "Hexadecimal Object File Format
Specification", revision A, 1988, defines it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from autotiny.cores import CORES
from autotiny.errors import UserError, shown, unknown
from autotiny.firmware.linking import Symbol, symbols_of
from autotiny.simulator.disassembling import calls
from autotiny.simulator.processor import memory_map, room_at
from autotiny.target import Target

ELF_ENDINGS, BINARY_ENDING, HEX_ENDING = (".elf", ".axf"), ".bin", ".hex"
FIRMWARE_ENDINGS = (*ELF_ENDINGS, BINARY_ENDING, HEX_ENDING)
"""How the names of files end that are firmware, in lower case."""

_MOST_HEX_BYTES = 1 << 26
"""Of text; more than a target's flash takes, and little enough to be read whole."""

_ADDRESSES = 1 << 32

Segment = tuple[int, bytes]
"""Where bytes are stored, and the bytes."""


@dataclass(frozen=True)
class Function:
    """Code that is counted under one name."""

    name: str
    address: int
    code: bytes


@dataclass(frozen=True, eq=False)
class Image:
    """A firmware file.

    Attributes:
        path: of the file.
        segments: what it stores and where, by address.
        symbols: by name; empty where the file has none.
        functions: by address; where the file names none, the places that are called.
        entry: where execution begins unless a vector table says so.
        needs_vectors: whether nothing but a vector table can say so.
        static_bytes: of sections that lie in data memories; None where the file does not tell.
    """

    path: Path
    segments: tuple[Segment, ...]
    symbols: Mapping[str, Symbol]
    functions: tuple[Function, ...]
    entry: int
    needs_vectors: bool
    static_bytes: int | None


def read_image(path: Path, target: Target, origin: int | str | None = None) -> Image:
    """A firmware file, checked to be one for the target.

    Args:
        path: of an ELF, or of a file that ends in `.bin` or `.hex`.
        target: whose core and memories it must fit.
        origin: the address of a binary's first byte; by default that of the target's flash.

    Raises:
        UserError: the file cannot be read, is damaged or empty, or is not for this target.
    """
    ending = path.suffix.lower()
    if origin is not None and ending != BINARY_ENDING:
        raise UserError(
            f"{path} says itself where its bytes lie; --origin is for {BINARY_ENDING} files, "
            "leave it out"
        )
    if ending == BINARY_ENDING:
        return _plain_image(path, target, [_binary(path, target, origin)])
    if ending == HEX_ENDING:
        segments, entry = _read_hex(path)
        for begin, data in segments:
            _check_room(path, target, begin, len(data))
        return _plain_image(path, target, segments, entry)
    with _opened(path, target) as elf:
        segments = stored(elf)
        functions = functions_of(elf) or _called(target.core, segments)
        return Image(
            path, tuple(segments), symbols_of(elf), tuple(functions), int(elf["e_entry"]),
            needs_vectors=False, static_bytes=_static_bytes(elf, target),
        )  # fmt: skip


def stored(elf: ELFFile) -> list[Segment]:
    """The bytes that an ELF stores, by the address they are stored at."""
    segments = [
        (int(segment["p_paddr"]), segment.data())
        for segment in elf.iter_segments("PT_LOAD")
        if segment["p_filesz"]
    ]
    return sorted(segments)


def flash_bytes(segments: Iterable[Segment], target: Target) -> int:
    """Bytes stored in flash, padding between segments included."""
    flashes = [memory for memory in target.memories if memory.kind == "flash"]
    ends = [
        (begin, begin + len(data))
        for begin, data in segments
        if any(memory.origin <= begin < memory.end for memory in flashes)
    ]
    return max(end for _, end in ends) - min(begin for begin, _ in ends) if ends else 0


def address_of(given: int | str, what: str) -> int:
    """An address as a user writes it.

    Raises:
        UserError: it is no number, or none of 32 bits.
    """
    try:
        address = given if isinstance(given, int) else int(given, 0)
    except ValueError:
        address = -1
    if not 0 <= address < _ADDRESSES:
        raise UserError(
            f"{what} = {shown(given)}; it must be an address from 0 to 0xffffffff, written as "
            "0x0800_1234 or 134222388"
        )
    return address


def code_at(image: Image, target: Target, given: int | str) -> int:
    """The address of code that a user gives by a symbol's name, or as a number.

    Raises:
        UserError: there is no such symbol, or no code can lie there.
    """
    if isinstance(given, str) and not given[:1].isdecimal():
        if not image.symbols:
            raise UserError(
                f"{image.path} has no symbols, and so no {shown(given)}; give the address instead, "
                "as 0x0800_1234: the map file of the linker tells it, or nm of the ELF"
            )
        if given not in image.symbols:
            raise unknown("symbol", given, image.symbols, f"nm {image.path}")
        return image.symbols[given].address
    address = address_of(given, "address") & ~1
    memory = target.memory_at(address)
    if memory is None or not memory.executable:
        raise UserError(
            f"address = {shown(given)} lies in no memory of {target.name} that holds code: "
            f"{memory_map(target, lambda one: one.executable)}"
        )
    return address


def _plain_image(
    path: Path, target: Target, segments: Sequence[Segment], entry: int | None = None
) -> Image:
    """An image of bytes without names."""
    functions = _called(target.core, segments)
    first = segments[0][0] if entry is None else entry
    is_arm = CORES[target.core].isa.is_arm
    return Image(path, tuple(segments), {}, tuple(functions), first, is_arm, None)


def _binary(path: Path, target: Target, origin: int | str | None) -> Segment:
    """The bytes of a raw binary, and where they lie."""
    begin = target.flash.origin if origin is None else address_of(origin, "origin")
    size = _size(path)
    _check_room(path, target, begin, size)
    return begin, _bytes_of(path)


def _check_room(path: Path, target: Target, begin: int, size: int) -> None:
    """Refuse bytes that no memory of the target can hold."""
    room = room_at(target, begin)
    if size <= room:
        return
    memories = memory_map(target)
    if not room:
        way = "give another --origin" if path.suffix.lower() == BINARY_ENDING else "link it for it"
        raise UserError(
            f"{path} would lie at {begin:#010x}, in no memory of {target.name}: {memories}; {way}"
        )
    raise UserError(
        f"{path} has {size:,} bytes at {begin:#010x}, where {target.name} has room for {room:,}: "
        f"{memories}; choose a larger target, or the address that it was linked for"
    )


def _size(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if path.is_file() and not size:
        raise UserError(f"{path} is empty; a firmware has at least a vector table")
    return size


def _bytes_of(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a device or a pipe may have no end
            raise UserError(f"{path} is no regular file; copy the firmware into one")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


_DATA, _END, _SEGMENT, _SEGMENT_START, _LINEAR, _LINEAR_START = range(6)
_LENGTHS = {_END: 0, _SEGMENT: 2, _SEGMENT_START: 4, _LINEAR: 2, _LINEAR_START: 4}
"""Bytes of a record by its type; a record of data has any number."""


def _read_hex(path: Path) -> tuple[list[Segment], int | None]:
    """What an Intel HEX file stores, adjacent records joined, and where it begins if it says so.

    Memory is taken for the bytes of its records, and none for the gaps between them.
    """
    size = _size(path)
    if size > _MOST_HEX_BYTES:
        raise UserError(
            f"{path} has {size:,} bytes; a {HEX_ENDING} file may have {_MOST_HEX_BYTES:,}, give "
            "the ELF or a binary"
        )
    chunks: list[Segment] = []
    base, wraps, entry, ended = 0, False, None, False
    for number, line in enumerate(_bytes_of(path).splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{path}: line {number}"
        if ended:
            raise UserError(f"{place} stands behind the end record; it must be the last one")
        kind, offset, data = _record(line.strip(), place)
        if kind == _DATA and data:
            if wraps and offset + len(data) > 0x10000:
                raise UserError(f"{place} runs past the end of its segment of 65,536 bytes")
            if base + offset + len(data) > _ADDRESSES:
                raise UserError(f"{place} runs past the end of the 32-bit address space")
            chunks.append((base + offset, data))
        elif kind == _END:
            ended = True
        elif kind in (_SEGMENT, _LINEAR):
            wraps = kind == _SEGMENT
            base = int.from_bytes(data, "big") << (4 if wraps else 16)
        elif kind == _LINEAR_START:
            entry = int.from_bytes(data, "big")
    if not ended:
        raise UserError(f"{path} has no end record (:00000001FF): it was cut off; copy it again")
    if not chunks:
        raise UserError(f"{path} stores no byte; a firmware has at least a vector table")
    return _joined(chunks, path), entry


def _record(line: bytes, place: str) -> tuple[int, int, bytes]:
    """Type, offset and data of one record, each of its fields checked."""
    try:
        fields = bytes.fromhex(line[1:].decode("ascii"))
    except ValueError:
        fields = b""
    if line[:1] != b":" or len(line) != 1 + 2 * len(fields) or len(fields) < 5:
        raise UserError(
            f"{place} is {shown(line.decode('ascii', 'replace'))}; a record is a colon and at "
            "least ten hexadecimal digits"
        )
    length, kind, data = fields[0], fields[3], fields[4:-1]
    if length != len(data):
        raise UserError(f"{place} holds {len(data)} bytes of data, and says {length}")
    if sum(fields) % 256:
        right = -sum(fields[:-1]) % 256
        raise UserError(f"{place} has the checksum {fields[-1]:#04x}; its bytes make {right:#04x}")
    if kind != _DATA and kind not in _LENGTHS:
        raise UserError(f"{place} has the type {kind}; Intel HEX has types 0 to {_LINEAR_START}")
    if kind != _DATA and length != _LENGTHS[kind]:
        raise UserError(f"{place} has {length} bytes; type {kind} has {_LENGTHS[kind]}")
    return kind, int.from_bytes(fields[1:3], "big"), data


def _joined(chunks: list[Segment], path: Path) -> list[Segment]:
    """Segments by address, those without a gap between them as one."""
    chunks = sorted(chunks)
    for (low, data), (high, _) in pairwise(chunks):
        if low + len(data) > high:
            raise UserError(f"{path} stores two values at {high:#010x}; records must not overlap")
    groups: list[tuple[int, list[bytes]]] = []
    end = None
    for begin, data in chunks:
        if begin != end:
            groups.append((begin, []))
        groups[-1][1].append(data)
        end = begin + len(data)
    return [(begin, b"".join(parts)) for begin, parts in groups]


@contextmanager
def _opened(path: Path, target: Target) -> Iterator[ELFFile]:
    """The ELF file, checked to be one for the target's core."""
    data = _bytes_of(path)
    try:
        with BytesIO(data) as file:
            elf = ELFFile(file)
            machine = CORES[target.core].isa.elf_machine
            if elf["e_machine"] != machine or elf.elfclass != 32:
                raise UserError(
                    f"{path} is for {elf.get_machine_arch()}, {elf.elfclass} bit; "
                    f"{target.name} is a {target.core}"
                )
            _check_tables(elf, len(data))
            yield elf
    except (ELFError, ConstructError) as error:
        raise UserError(f"{path} is no ELF file, or a damaged one: {error}") from error


def _check_tables(elf: ELFFile, size: int) -> None:
    """Refuse tables that say more than the file holds, before anybody follows them."""

    def check(what: str, offset: int, count: int) -> None:
        if offset + count > size:
            raise ELFError(f"{what} is {count} bytes at {offset} of {size}")

    for what, name, count, item in (
        ("its table of segments", "ph", elf.num_segments(), _SEGMENT_BYTES),
        ("its table of sections", "sh", elf.num_sections(), _SECTION_BYTES),
    ):
        if count and elf[f"e_{name}entsize"] != item:
            raise ELFError(f"{what} has entries of {elf[f'e_{name}entsize']} bytes")
        check(what, elf[f"e_{name}off"], count * item)
    for segment in elf.iter_segments():
        check("a segment", segment["p_offset"], segment["p_filesz"])
    for section in elf.iter_sections():
        if section["sh_type"] not in ("SHT_NOBITS", "SHT_NULL"):
            check(f"section {section.name!r}", section["sh_offset"], section["sh_size"])


def functions_of(elf: ELFFile) -> list[Function]:
    """The functions of an ELF by address; of several names for one, the plainest."""
    names: dict[int, tuple[str, Symbol]] = {}
    for name, symbol in symbols_of(elf).items():
        known = names.get(symbol.address)
        if symbol.is_function and (known is None or _plainness(name) < _plainness(known[0])):
            names[symbol.address] = name, symbol
    functions = []
    for section in elf.iter_sections():
        if section["sh_type"] != "SHT_PROGBITS" or not section["sh_flags"] & _EXECUTABLE:
            continue
        begin, data = section["sh_addr"], section.data()
        starts = sorted(at for at in names if begin <= at < begin + len(data))
        for at, following in zip(starts, [*starts, begin + len(data)][1:], strict=True):
            name, symbol = names[at]
            end = min(at + symbol.bytes, following) if symbol.bytes else following
            functions.append(Function(name, at, data[at - begin : end - begin]))
    return functions


def _plainness(name: str) -> tuple[bool, int, str]:
    return "." in name, len(name), name


def _called(core: str, segments: Iterable[Segment]) -> list[Function]:
    """The places that are called, each named by its address and reaching to the next one.

    Data that looks like a call gives a place too many; cycles are counted there only if a block
    begins at it.
    """
    segments = list(segments)
    places = {to for begin, data in segments for _, to in calls(core, data, begin)}
    functions = []
    for begin, data in segments:
        end = begin + len(data)
        starts = sorted(to for to in places if to is not None and begin <= to < end)
        for at, following in pairwise([*starts, end]):
            functions.append(Function(f"{at:#010x}", at, data[at - begin : following - begin]))
    return functions


def _static_bytes(elf: ELFFile, target: Target) -> int:
    """Bytes of sections that lie in data memories."""
    return sum(
        section["sh_size"]
        for section in elf.iter_sections()
        if section["sh_flags"] & _ALLOCATED
        and any(memory.origin <= section["sh_addr"] < memory.end for memory in target.data_memories)
    )


_ALLOCATED, _EXECUTABLE = 2, 4
_SEGMENT_BYTES, _SECTION_BYTES = 32, 40
