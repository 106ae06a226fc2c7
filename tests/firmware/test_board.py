"""What a project adds to the program that was measured, so that it boots and keeps time."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from small_network import generated, int8_network

import autotiny
from autotiny.datafile import data_folder
from autotiny.engine import Sources
from autotiny.errors import UserError
from autotiny.evaluate import write_project
from autotiny.firmware import Firmware, link, link_board, link_selftest
from autotiny.firmware.board import board_bytes, board_header, check_board, with_board
from autotiny.firmware.formats import uf2
from autotiny.firmware.linking import BOARD, Symbol
from autotiny.firmware.ports import some_rows
from autotiny.firmware.project import export_project, gcc_machine_flags
from autotiny.simulator import measure
from autotiny.target import clock_families, load_target, target_names

RP2040 = (data_folder("targets") / "rp2040.toml").read_text()
WITH_CLOCK = [name for name in target_names() if load_target(name).clock]


def sources() -> Sources:
    return generated(int8_network())


def seen_by_fetches(started: Firmware, name: str) -> Symbol:
    """A symbol at the address that its place within a page of 64 KiB has where code lies."""
    symbol, app = started.symbols[name], started.target.app_image
    if app is None or symbol.address not in app.data_bus:
        return symbol
    place = symbol.address % 0x10000
    return replace(symbol, address=started.target.flash.origin + place)


@pytest.mark.parametrize("name", WITH_CLOCK)
@pytest.mark.everyday(4)
def test_the_model_lies_where_it_was_measured(name: str) -> None:
    target, model = load_target(name), sources()
    measured = link(model, target)
    started = link_board(model, measured, target, measure(model, target))
    assert started.boots
    assert not measured.boots
    ours = [name for name in measured.symbols if name.startswith(("model_", "at_"))]
    assert {"model_run", "model_arena"} <= set(ours)
    for symbol in ours:
        assert seen_by_fetches(started, symbol) == measured.symbols[symbol], symbol
    if started.as_app:
        return
    beyond = board_bytes(started, measured)
    assert target.boot_bytes <= beyond <= target.boot_bytes + 1024
    assert len(started.image) == len(measured.image) + beyond
    assert started.origin == target.flash.origin


def crc(data: bytes) -> int:
    """CRC-32 as the boot ROM of the RP2040 computes it (data sheet, section 2.8.1.3.1)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value >> 31 else value << 1) & 0xFFFFFFFF
    return value


def check_second_stage(boot: bytes) -> None:
    assert len(boot) == 256
    assert int.from_bytes(boot[252:], "little") == crc(boot[:252])
    assert boot[:252].strip(b"\0")


def test_the_boot_rom_of_an_rp2040_takes_the_second_stage() -> None:
    target = load_target("rp2040")
    image = link(with_board(sources(), target), target).image
    check_second_stage(image[:256])
    stack, reset = struct.unpack("<2I", image[256:264])
    assert target.memory_at(stack - 4) in target.data_memories
    assert 0x10000100 < reset < 0x10000100 + len(image)
    assert reset & 1


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="there is no GCC for Arm")
@pytest.mark.parametrize("level", ["-O0", "-Os", "-O3"])
def test_gcc_makes_the_same_second_stage(level: str, tmp_path: Path) -> None:
    target = load_target("rp2040")
    for name, text in with_board(sources(), target).files.items():
        (tmp_path / name).write_text(text)
    warnings = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
    command = (
        f"arm-none-eabi-gcc {gcc_machine_flags(target)} {level} -std=c99 {warnings} -c {BOARD}"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    with BytesIO((tmp_path / "board.o").read_bytes()) as file:
        check_second_stage(ELFFile(file).get_section_by_name(".boot").data())


def test_a_uf2_file_is_of_whole_blocks() -> None:
    image = bytes(range(256)) * 3 + b"end"
    file = uf2(image, 0x1000_0000, 0xE48BFF56)
    assert len(file) == 4 * 512
    found = bytearray()
    for number in range(4):
        block = file[512 * number : 512 * (number + 1)]
        words = struct.unpack("<8I", block[:32])
        assert words[:3] == (0x0A324655, 0x9E5D5157, 0x2000)
        assert words[3:] == (0x1000_0000 + 256 * number, 256, number, 4, 0xE48BFF56)
        assert block[-4:] == struct.pack("<I", 0x0AB16F30)
        assert not block[32 + 256 : -4].strip(b"\0")
        found += block[32 : 32 + 256]
    assert bytes(found).rstrip(b"\0") == image


@pytest.mark.parametrize("name", ["rp2040"])
def test_a_project_has_what_its_board_takes(name: str, tmp_path: Path) -> None:
    target, model = load_target(name), sources()
    cost, measured = measure(model, target), link(model, target)
    started = link_board(model, measured, target, cost)
    tested = link_selftest(model, measured, target, cost, some_rows(model.inputs, 1))
    export_project(model, started, target, tmp_path, cost=cost, measured=measured, tested=tested)
    for program in ("firmware", "selftest"):
        image = (tmp_path / f"{program}.bin").read_bytes()
        file = (tmp_path / f"{program}.uf2").read_bytes()
        assert file[32 : 32 + 256] == image[:256]
        assert struct.unpack("<I", file[12:16]) == (target.flash.origin,)
    readme = (tmp_path / "README.md").read_text()
    assert f"{board_bytes(started, measured):,} bytes of start-up code" in readme
    assert "`src/board.c` sets the clock to 125 MHz" in readme
    assert "| flash | " + f"{cost.flash_bytes:,} bytes" in readme


def test_no_board_no_start_up_code(tmp_path: Path) -> None:
    path = tmp_path / "plain.toml"
    text = RP2040
    head, _, tail = text.partition("[clock]")
    path.write_text(head + tail[tail.index("#") :])
    target, model = load_target(str(path)), sources()
    measured = link(model, target)
    started = link_board(model, measured, target, measure(model, target))
    assert started.image == measured.image and not started.boots
    assert measured.origin == 0x1000_0100
    assert {*with_board(model, target).files} - {*model.files} == {"irq.c", "irq.h"}


def test_flash_that_only_the_model_fits(tmp_path: Path) -> None:
    model, usual = sources(), load_target("rp2040")
    taken = link(model, usual).flash_bytes
    text = RP2040
    path = tmp_path / "small.toml"
    path.write_text(text.replace("size_bytes = 0x20_0000", f"size_bytes = {256 + taken + 16}"))
    target = load_target(str(path))
    measured = link(model, target)
    assert measured.fits
    with pytest.raises(UserError, match="code that sets its clock does not fit beside it"):
        link_board(model, measured, target, measure(model, target))


def test_what_does_not_fit_is_measured_behind_the_boot_bytes(tmp_path: Path) -> None:
    model, usual = sources(), load_target("rp2040")
    fitting = link(model, usual)
    path = tmp_path / "small.toml"
    path.write_text(RP2040.replace("size_bytes = 0x20_0000", "size_bytes = 1024"))
    enlarged = link(model, load_target(str(path)))
    assert not enlarged.fits
    assert enlarged.flash_bytes == fitting.flash_bytes
    assert enlarged.origin == fitting.origin
    assert enlarged.image[4:8] == fitting.image[4:8]  # the reset vector; the stack is elsewhere


SETTINGS = [
    ('family = "rp2040"', 'family = "rp2041"', "family = 'rp2041'; did you mean 'rp2040'?"),
    ('family = "rp2040"', "", "clock: family = ''; it must be one of"),
    ('family = "rp2040"', 'family = "../../etc"', "it must be a number from 0 to 2³² − 1"),
    ("pll_fbdiv = 125", "pll_fbdiv = -1", "clock: pll_fbdiv = -1; it must be a number from 0"),
    ("pll_fbdiv = 125", "pll_fbdiv = 4294967296", "it must be a number from 0 to 2³² − 1"),
    ("pll_fbdiv = 125", "pll_fbdiv = 1.5", "clock.pll_fbdiv = 1.5; it must be"),
    ("pll_fbdiv = 125", 'pll_fbdiv = "1\\n#include <x>"', "it must be a number from 0"),
    ("pll_fbdiv = 125", '"pll fbdiv" = 125', "unknown key 'pll fbdiv'; keys are words"),
    ("baud = 115_200", 'baud = "x()"', "serial: baud = 'x()'; it must be a number"),
    ("boot_bytes = 256", "boot_bytes = 0x8000_0000", "boot_bytes"),
    ("boot_bytes = 256", "boot_bytes = 257", "boot_bytes = 257; it must be a multiple of 256"),
    ("pll_fbdiv = 125", "pll_fbdif = 125", "clock: pll_fbdif = 125 is no setting of rp2040; it"),
    ("pll_fbdiv = 125", "pll_fbdiv = 125\nhz = 5", "clock: hz = 5 is no setting of rp2040"),
    ("tx_pin = 0", 'tx_pin = "pa2"', "serial: tx_pin = 'pa2' is no setting of rp2040"),
    ("baud = 115_200", "baud = 0", "serial: baud = 0; it must be a whole number from 50"),
    ("baud = 115_200", "", "serial: baud = 0; it must be a whole number from 50"),
    ('title = "RP2040', 'title = "*/ RP2040', "it must be a line of text without */"),
    ("uf2_family = 0xe48b_ff56", "", "programmers: uf2 and picotool need uf2_family"),
]


@pytest.mark.parametrize(("old", "new", "told"), SETTINGS)
def test_settings_that_no_c_can_be_made_of(old: str, new: str, told: str, tmp_path: Path) -> None:
    text = RP2040
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as failed:
        load_target(str(path))
    assert told in str(failed.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("boot_bytes = 256", "boot_bytes = 512", "boot_bytes must be 256: the boot ROM reads so"),
        ("boot_bytes = 256\n", "", "boot_bytes must be 256"),
        ("pll_postdiv1 = 6", "pll_postdiv1 = 12", "must be from 1 to 7"),
        ("pll_fbdiv = 125", "pll_fbdiv = 120", "is not clock_hz"),
        ("clock_hz = 125_000_000", "clock_hz = 150_000_000", "at most 133 MHz"),
        ("tx_pin = 0", "tx_pin = 5", "UART0 sends on pin 0, 12, 16 or 28"),
    ],
)
def test_settings_that_the_start_up_code_refuses(
    old: str, new: str, told: str, tmp_path: Path
) -> None:
    text = RP2040
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(
        UserError, match=r"wrong\.toml: \[clock\] or \[serial\] cannot be: "
    ) as failed:
        check_board(load_target(str(path)))
    assert told in str(failed.value)
    with pytest.raises(UserError, match="cannot be: "):  # before anything is trained
        autotiny.search("cnn1", "digits", str(path), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", WITH_CLOCK)
def test_the_settings_of_our_targets_compile(name: str) -> None:
    check_board(load_target(name))


def test_a_project_leaves_nothing_of_another_behind(tmp_path: Path) -> None:
    model = sources()
    for name in ("rp2040", "stm32f103"):
        target = load_target(name)
        write_project(model, target, measure(model, target), tmp_path, None)
    names = {path.name for path in tmp_path.iterdir()}
    assert "firmware.elf" in names
    assert not {"firmware.uf2", "selftest.uf2"} & names
    assert "RP2040" not in (tmp_path / "src" / "board.c").read_text()


def test_settings_become_macros() -> None:
    header = board_header(load_target("rp2040"))
    assert "#define CLOCK_HZ 125000000u\n" in header
    assert "#define CLOCK_PLL_FBDIV 125u\n" in header
    assert "FAMILY" not in header
    assert "rp2040" in clock_families()
