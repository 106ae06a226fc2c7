"""Firmware files without symbols: raw binaries and Intel HEX."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from tiny_model import tiny_sources

from autotiny.errors import FirmwareFault, UserError
from autotiny.firmware import Firmware, link
from autotiny.simulator import measure_elf
from autotiny.simulator.images import functions_of, read_image, stored
from autotiny.simulator.processor import Processor
from autotiny.target import Target, load_target

END = ":00000001FF"


def record(kind: int, offset: int, data: bytes) -> str:
    body = bytes([len(data)]) + offset.to_bytes(2, "big") + bytes([kind]) + data
    return f":{body.hex()}{-sum(body) % 256:02x}".upper()


def upper(address: int) -> str:
    """The record that sets the upper half of addresses."""
    return record(4, 0, (address >> 16).to_bytes(2, "big"))


def as_hex(origin: int, image: bytes, entry: int, size: int = 16) -> str:
    lines = []
    for at in range(0, len(image), size):
        lines += [upper(origin + at), record(0, (origin + at) & 0xFFFF, image[at : at + size])]
    return "\n".join([*lines, record(5, 0, entry.to_bytes(4, "big")), END]) + "\n"


@pytest.fixture(scope="module")
def target() -> Target:
    return load_target("stm32l4r5")


@pytest.fixture(scope="module")
def firmware(target: Target) -> Firmware:
    return link(tiny_sources(), target)


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("board", ["stm32l4r5", "stm32f746", "rp2040", "esp32c3"])
def test_every_kind_of_file_gives_the_same_figures(board: str, tmp_path: Path) -> None:
    target = load_target(board)
    firmware = link(tiny_sources(), target)
    dense = firmware.symbols["dense"].address
    origin, image = firmware.origin, firmware.image
    elf = measure_elf(written(tmp_path, "f.elf", firmware.elf), target, function="dense", repeat=1)
    binary = "f.BIN" if target.core != "rv32imc" else ""  # which begins with no vector table
    start = firmware.symbols["Reset_Handler"].address
    files: list[tuple[str, bytes | str]] = [
        (binary, image), ("f.hex", as_hex(origin, image, start)), ("f.elf", firmware.elf)
    ]  # fmt: skip
    spaced = f"0x{dense >> 16:x}_{dense & 0xFFFF:04x}"
    for name, content in filter(lambda file: file[0], files):
        path = written(tmp_path, name, content)
        for place in (dense, dense | 1, hex(dense), str(dense), spaced):
            at = origin if name == binary and target.boot_bytes else None
            found = measure_elf(path, target, function=place, origin=at)
            assert (found.cycles, found.instructions) == (elf.cycles, elf.instructions)
            assert found.flash_bytes == elf.flash_bytes
            known = name == "f.elf"
            assert found.static_bytes == (elf.static_bytes if known else None)
            assert found.functions[0].name == ("dense" if known else f"{dense:#010x}")


def test_between_two_addresses(firmware: Firmware, target: Target, tmp_path: Path) -> None:
    dense, relu = (firmware.symbols[name].address for name in ("dense", "relu"))
    named = measure_elf(
        written(tmp_path, "f.elf", firmware.elf), target, start="dense", stop="relu"
    )
    found = measure_elf(
        written(tmp_path, "f.bin", firmware.image), target, start=dense, stop=f"{relu:#x}"
    )
    assert (found.cycles, found.instructions) == (named.cycles, named.instructions)
    assert found.steps[0].name == f"{dense:#010x} to {relu:#010x}"


def test_a_binary_elsewhere_in_flash(firmware: Firmware, target: Target, tmp_path: Path) -> None:
    flash, *others = target.memories
    moved = replace(flash, origin=flash.origin + 0x4000, size_bytes=flash.size_bytes - 0x4000)
    other = link(tiny_sources(), replace(target, memories=(moved, *others)))
    path = written(tmp_path, "f.bin", other.image)
    dense = other.symbols["dense"].address
    for origin in ("0x0800_4000", "134234112", moved.origin):
        assert measure_elf(path, target, function=dense, origin=origin).instructions > 700
    with pytest.raises(UserError, match=r"no vector table at 0x08000000: its first words are 0x20"):
        measure_elf(path, target, function=dense, origin=0x08000000)
    with pytest.raises(UserError, match="says itself where its bytes lie; --origin is for"):
        measure_elf(written(tmp_path, "f.hex", END), target, function=dense, origin=0)


def test_the_places_that_are_called_are_the_functions(firmware: Firmware, tmp_path: Path) -> None:
    with BytesIO(firmware.elf) as file:
        named = {one.address: len(one.code) for one in functions_of(ELFFile(file))}
    image = read_image(written(tmp_path, "f.bin", firmware.image), firmware.target)
    found = {one.address: len(one.code) for one in image.functions}
    assert {firmware.symbols[name].address for name in ("dense", "relu", "model_run")} <= set(found)
    assert set(found) <= set(named)
    assert all(found[at] == to - at for at, to in pairwise(sorted(found)))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("f.bin", b"", "is empty; a firmware has at least a vector table"),
        ("f.hex", b"", "is empty; a firmware has at least a vector table"),
        ("f.bin", bytes(64), "no vector table at 0x08000000: its first words are 0x00000000 and"),
        ("f.bin", b"\x00\x00\x01\x20\x00\x01\x00\x08" * 99, "and an odd address inside the image"),
        ("f.bin", b"\x00\x00\x01\x08\x01\x01\x00\x08" * 99, "the end of a stack in a data memory"),
        ("f.bin", b"\x00\x00\x01\x20\x01\x00\x02\x08" * 99, "no vector table at 0x08000000"),
        ("f.bin", b"x", "no vector table at 0x08000000"),
        ("f.bin", bytes(0x20_0001), "has 2,097,153 bytes at 0x08000000, where stm32l4r5 has room "
         "for 2,097,152: flash 0x08000000 to"),
    ],
)  # fmt: skip
def test_bad_binaries(name: str, content: bytes, told: str, target: Target, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told) as error:
        measure_elf(written(tmp_path, name, content), target, function=0x08000100)
    assert name in str(error.value)
    assert len(str(error.value).splitlines()) == 1


DATA = record(0, 0x10, b"abcd")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([DATA], r"has no end record \(:00000001FF\): it was cut off"),
        ([END], "stores no byte"),
        ([END, DATA], "line 2 stands behind the end record"),
        (["hello", END], "line 1 is 'hello'; a record is a colon and"),
        (["x" * 500, END], r"line 1 is 'x{90,100}…; a record"),
        ([":0", END], "line 1 is ':0'; a record is a colon and"),
        ([":000000", END], "line 1 is ':000000'; a record is a colon and"),
        ([":00 00 00 01 FF", END], "line 1 is .*; a record is a colon and"),
        ([DATA[:-2] + "00", END], "line 1 has the checksum 0x00; its bytes make 0x62"),
        ([":05" + DATA[3:], END], "line 1 holds 4 bytes of data, and says 5"),
        ([record(6, 0, b""), END], "line 1 has the type 6; Intel HEX has types 0 to 5"),
        ([record(4, 0, b"abc"), END], "line 1 has 3 bytes; type 4 has 2"),
        ([DATA, record(1, 0, b"a")], "line 2 has 1 bytes; type 1 has 0"),
        ([DATA, record(0, 0x13, b"x"), END], "stores two values at 0x00000013; records must not"),
        ([record(2, 0, b"\x10\x00"), record(0, 0xFFFE, b"abcd"), END], "past the end of its seg"),
        ([upper(0xFFFF0000), record(0, 0xFFFE, b"abcd"), END], "runs past the end of the 32-bit"),
        ([DATA, END], "would lie at 0x00000010, in no memory of stm32l4r5: flash 0x08000000 to"),
        ([upper(0x08200000), DATA, END], "would lie at 0x08200010, in no memory"),
    ],
)  # fmt: skip
def test_bad_hex_files(lines: list[str], told: str, target: Target, tmp_path: Path) -> None:
    path = written(tmp_path, "f.hex", "\n".join(lines))
    with pytest.raises(UserError, match=told) as error:
        measure_elf(path, target, function=0x08000100)
    assert str(path) in str(error.value)


def test_hex_records_are_joined_whatever_their_order(target: Target, tmp_path: Path) -> None:
    lines = [
        upper(0x08010000), record(0, 4, b"efgh"), record(0, 0, b"abcd"), "",
        record(2, 0, b"\x00\x00"), upper(0x08000000), record(0, 0xFFFC, b"ABCDEF"[:4]), END,
    ]  # fmt: skip
    image = read_image(written(tmp_path, "f.hex", "\r\n".join(lines)), target)
    assert image.segments == ((0x0800FFFC, b"ABCDabcdefgh"),)


def test_gaps_take_no_memory(target: Target, tmp_path: Path) -> None:
    flash, *_ = target.memories
    wide = replace(target, memories=(replace(flash, origin=0, size_bytes=1 << 32),))
    lines = [upper(0), DATA, upper(0xFFFF0000), DATA, END]
    path = written(tmp_path, "f.hex", "\n".join(lines))
    tracemalloc.start()
    image = read_image(path, wide)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [begin for begin, _ in image.segments] == [0x10, 0xFFFF0010]
    assert peak < 1 << 20


def test_files_that_have_no_end_are_not_read(target: Target, tmp_path: Path) -> None:
    for name in ("f.bin", "f.hex", "f.elf"):
        (tmp_path / name).symlink_to("/dev/zero")
        with pytest.raises(UserError, match="is no regular file"):
            read_image(tmp_path / name, target)
    with (tmp_path / "large.hex").open("wb") as file:
        file.truncate(1 << 40)  # takes no room
    with pytest.raises(UserError, match=r"a \.hex file may have 67,108,864, give the ELF"):
        read_image(tmp_path / "large.hex", target)
    with pytest.raises(UserError, match=r"cannot read .*none\.bin: No such file"):
        read_image(tmp_path / "none.bin", target)


def test_places_that_cannot_be(firmware: Firmware, target: Target, tmp_path: Path) -> None:
    image = written(tmp_path, "f.bin", firmware.image)
    elf = written(tmp_path, "f.elf", firmware.elf)
    for given, told in (
        ("dense", "has no symbols, and so no 'dense'; give the address instead, as 0x0800_1234"),
        ("0x0800_123g", "address = '0x0800_123g'; it must be an address from 0 to 0xffffffff"),
        ("08000000", "address = '08000000'; it must be an address"),
        (1 << 32, "address = 4294967296; it must be an address"),
        (0x20000001, "address = 536870913 lies in no memory of .*code: flash 0x08000000"),
        ("0x9000_0000", "address = '0x9000_0000' lies in no memory of stm32l4r5 that holds code"),
    ):
        nocode = replace(
            target,
            memories=tuple(replace(one, executable=not one.data) for one in target.memories),
        )
        with pytest.raises(UserError, match=told):
            measure_elf(image, nocode, function=given)
    with pytest.raises(UserError, match=r"has no symbols autotiny_ready .*an address as 0x0800_12"):
        measure_elf(image, target)
    with pytest.raises(UserError, match="start and stop are both 0x0800"):
        measure_elf(elf, target, start="dense", stop=firmware.symbols["dense"].address)
    for origin, told in (
        (0x90000000, "would lie at 0x90000000, in no memory of stm32l4r5: flash .*; give another"),
        ("flash", "origin = 'flash'; it must be an address from 0 to 0xffffffff"),
    ):
        with pytest.raises(UserError, match=told):
            measure_elf(image, target, function=0x08000100, origin=origin)


def test_segments_that_run_over_a_gap_are_refused(firmware: Firmware, target: Target) -> None:
    with BytesIO(firmware.elf) as file:
        (begin, data), *_ = stored(ELFFile(file))
    with (
        Processor(target, {}) as processor,
        pytest.raises(FirmwareFault, match="outside the memories of stm32l4r5"),
    ):
        processor.load([(begin, data + bytes(0x18000000))])
