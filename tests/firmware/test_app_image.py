"""The image that the boot loader of ESP-IDF takes, and the program that it starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from booting import boot
from other_chips import Esp32c3
from small_network import generated, int8_network

from autotiny.api import flash
from autotiny.datafile import data_folder
from autotiny.engine import Sources
from autotiny.errors import FirmwareFault, UserError
from autotiny.firmware import Firmware, link, link_board, link_selftest
from autotiny.firmware.ports import some_rows
from autotiny.firmware.project import export_project
from autotiny.simulator import measure
from autotiny.target import load_target

ESP32C3 = load_target("esp32c3")


def with_constants(size: int) -> Sources:
    """A model with constants and variables, and so many bytes of code."""
    model = generated(int8_network())
    filler = f"""
#include <stdint.h>
int32_t model_counter = 7;
extern int model_more(int k);
__attribute__((noinline, used)) int model_more(int k) {{
  __asm volatile("j 1f\\n.zero {size}\\n1:");
  return k + model_counter;
}}
"""
    main = """
int model_run(void);
int model_more(int k);
int main(void) { for (;;) { model_run(); if (model_more(1) != 8) { model_more(2); } } }
"""
    return replace(model, files={**model.files, "more.c": filler, "main.c": main})


@pytest.mark.parametrize("size", [0, 61_000, 62_500, 63_000, 64_000, 130_000])
def test_the_boot_loader_finds_code_constants_and_variables(size: int) -> None:
    """Wherever the code ends within a page."""
    firmware = linked(with_constants(size))
    assert firmware.fits and firmware.as_app
    booted = boot(firmware, Esp32c3())  # which reads the image as the boot loader does
    assert booted.call("model_more", 3) == 10


def linked(model: Sources) -> Firmware:
    cost = measure(generated(int8_network()), ESP32C3)
    return link_board(model, link(model, ESP32C3), ESP32C3, cost)


def test_constants_keep_their_places_within_a_page() -> None:
    model = generated(int8_network())
    measured, started = link(model, ESP32C3), linked(model)
    names = [name for name in measured.symbols if re.fullmatch(r"model_w\d+", name)]
    assert names
    for name in names:
        here, there = started.symbols[name].address, measured.symbols[name].address
        assert here % 0x10000 == there % 0x10000, name
        assert here >> 24 == 0x3C


def listed(image: bytes) -> list[tuple[int, int]]:
    """The segments that esptool lists: their addresses and bytes."""
    found, at = [], 24
    for _ in range(image[1]):
        address, size = struct.unpack("<2I", image[at : at + 8])
        found.append((address, size))
        at += 8 + size
    return found


def esptool(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "esptool", "--chip", "esp32c3", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("size", [0, 61_000, 63_000])
def test_esptool_makes_the_same_image_and_finds_nothing_wrong(size: int, tmp_path: Path) -> None:
    pytest.importorskip("esptool")
    firmware = linked(with_constants(size))
    ours, elf, theirs = (tmp_path / name for name in ("ours.bin", "firmware.elf", "theirs.bin"))
    ours.write_bytes(firmware.image)
    elf.write_bytes(firmware.elf)
    told = esptool("image-info", str(ours))
    assert told.count("(valid)") == 2
    for line in (
        "Chip ID: 5 (ESP32-C3)", "MMU page size: 64 KB", "Minimal eFuse block revision: 0.0",
        "Maximal eFuse block revision: 655.35",
    ):  # fmt: skip
        assert line in told
    flash_settings = ["--flash-mode", "dio", "--flash-freq", "80m", "--flash-size", "4MB"]
    esptool("elf2image", *flash_settings, "-o", str(theirs), str(elf))
    kept = [segment for segment in listed(firmware.image) if segment[0]]
    assert sorted(kept) == sorted(one for one in listed(theirs.read_bytes()) if one[0])
    described = slice(0x20 + 144, 0x20 + 176)  # where esptool notes the digest of the ELF
    first = slice(0x18 + 8 + kept[0][1])  # the header and the segment behind it
    a, b = bytearray(firmware.image), bytearray(theirs.read_bytes())
    a[described] = b[described] = bytes(32)
    assert a[first] == b[first]


@pytest.mark.parametrize("usb_reads", [0, 400, None], ids=["heard", "slow USB", "nobody at USB"])
def test_a_selftest_reports_by_uart_and_usb(usb_reads: int | None) -> None:
    target = replace(ESP32C3, cycle_csr=0)  # the emulator has no counter but mcycle
    model = generated(int8_network())
    cost, measured = measure(model, target), link(model, target)
    tested = link_selftest(model, measured, target, cost, some_rows(model.inputs, 2))
    assert tested is not None
    chip = Esp32c3(usb_reads=usb_reads)
    with pytest.raises(FirmwareFault):  # the emulator has no semihosting, whose ebreak ends it
        boot(tested, chip, limit=200_000_000, until="")
    assert not chip.guarded
    assert tested.symbols["step_over"].address % 256 == 0  # as mtvec of this core has it
    line = json.loads(chip.uart)
    assert chip.sent == (b"" if usb_reads is None else chip.uart)
    assert chip.usb == b"", "a line is sent when it is whole"
    assert line["outputs_equal"] is True
    assert line["samples"] == line["samples_right"] == 2
    assert line["running_hz"] == target.clock_hz


@pytest.fixture(name="project")
def a_project(tmp_path: Path) -> Path:
    model = generated(int8_network())
    cost, measured = measure(model, ESP32C3), link(model, ESP32C3)
    started = link_board(model, measured, ESP32C3, cost)
    tested = link_selftest(model, measured, ESP32C3, cost, some_rows(model.inputs, 1))
    export_project(model, started, ESP32C3, tmp_path, cost=cost, measured=measured, tested=tested)
    return tmp_path


def test_a_project_is_flashed_by_esptool(project: Path) -> None:
    told = flash(project, "esp32c3", dry_run=True, tool="esptool", port="/dev/ttyACM0")
    assert told.command[1:] == (
        "--chip", "esp32c3", "--port", "/dev/ttyACM0", "write-flash", "0x10000",
        str(project / "firmware.bin"),
    )  # fmt: skip
    alone = flash(project, "esp32c3", dry_run=True, tool="esptool", selftest=True)
    assert alone.command[1:3] == ("--chip", "esp32c3")
    assert "--port" not in alone.command
    assert alone.file == project / "selftest.bin"
    assert not (project / "firmware.hex").exists()


def test_esptool_takes_the_call(project: Path) -> None:
    pytest.importorskip("esptool")
    told = flash(project, "esp32c3", dry_run=True, tool="esptool", port="/dev/there-is-none")
    done = subprocess.run(
        [sys.executable, "-m", "esptool", *told.command[1:]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Usage" not in done.stdout + done.stderr
    assert "/dev/there-is-none" in done.stdout + done.stderr


def test_what_is_no_image_of_the_program_is_refused(project: Path) -> None:
    image = bytearray((project / "firmware.bin").read_bytes())
    image[200] ^= 1
    (project / "firmware.bin").write_bytes(image)
    with pytest.raises(UserError, match=r"does not hold what firmware\.elf beside it does"):
        flash(project, "esp32c3", dry_run=True, tool="esptool")


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize(
    ("goal", "name"), [("flash", "firmware.bin"), ("flash-selftest", "selftest.bin")]
)
def test_make_writes_the_image_of_what_was_measured(goal: str, name: str, project: Path) -> None:
    pytest.importorskip("esptool")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["make", goal], cwd=project, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": path, "ESPTOOL_PORT": "/dev/there-is-none"},
    )  # fmt: skip
    assert done.returncode
    assert "/dev/there-is-none" in done.stdout + done.stderr
    made, ours = ((project / one).read_bytes() for one in ("build/app.bin", name))
    assert sorted(filter(all, listed(made))) == sorted(filter(all, listed(ours)))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("chip_id = 5", "chip = 5", "chip"),
        ("chip_id = 5", "chip_id = 65_536", "chip_id"),
        ("offset = 0x1_0000", "offset = 0x1_0001", "offset"),
        ('[clock]\nfamily = "esp32c3"\n', "", r"app_image needs a \[clock\]"),
        ("[app_image]\n", "[spare]\n", "spare"),
    ],
)
def test_bad_settings_of_an_image_are_refused(
    old: str, new: str, told: str, tmp_path: Path
) -> None:
    text = (data_folder("targets") / "esp32c3.toml").read_text()
    assert old in text
    (tmp_path / "own.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=told):
        load_target(str(tmp_path / "own.toml"))
