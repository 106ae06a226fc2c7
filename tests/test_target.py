import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from autotiny.datafile import data_folder
from autotiny.errors import UserError
from autotiny.target import (
    Target,
    load_target,
    target_from,
    target_key,
    target_names,
    with_wait_states,
)

EXPECTED = {
    "esp32c3", "imxrt1062", "nrf52840", "nrf5340", "rp2040", "rp2350", "samd21", "stm32f103",
    "stm32f407", "stm32f746", "stm32g0b1", "stm32h743", "stm32h7a3", "stm32l4r5", "stm32u575",
}  # fmt: skip

BOARD = """
title = "a board"
core = "cortex-m4"
clock_hz = 100_000_000
fpu = "none"
dsp = true
cores = 1
active_current_ma = 10
supply_voltage_v = 3.3
flash_tool = "flash {elf}"

[[memory]]
name = "flash"
kind = "flash"
origin = 0x0800_0000
size_bytes = 0x1_0000

[[memory]]
name = "sram"
kind = "sram"
origin = 0x2000_0000
size_bytes = 0x4000

[icache]
size_bytes = 1024
ways = 2
line_bytes = 16

[sources]
core = "the data sheet"
"""


def board(folder: Path, old: str = "", new: str = "") -> str:
    path = folder / "board.toml"
    assert old in BOARD
    path.write_text(BOARD.replace(old, new, 1))
    return str(path)


def figures(target: Target) -> set[str]:
    """The keys that a source must stand for."""
    keys = {"core", "clock_hz", "active_current_ma", "flash_tool"}
    keys |= {f"memory.{memory.name}" for memory in target.memories}
    optional = (
        "icache", "dcache", "accelerator", "core_fifo", "cycle_csr", "active_current_error_percent",
        "clock", "serial", "programmers", "boot_bytes", "interrupts", "uf2_family",
        "app_image",
    )  # fmt: skip
    keys |= {key for key in optional if getattr(target, key)}
    return keys


def test_the_promised_targets_are_there() -> None:
    assert set(target_names()) == EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_target_loads_and_every_figure_has_a_source(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert set(target.sources) == figures(target)
    assert "{elf}" in target.flash_tool or target.boot_note
    assert target.flash.executable
    assert not target.flash.data
    assert target.largest_sram_span[1] <= target.sram_bytes
    if any(memory.cached for memory in target.memories):
        assert target.icache is not None
    if target.core in ("cortex-m0plus", "cortex-m3", "rv32imc"):
        assert target.fpu == "none"
        assert not target.dsp


def test_no_board_is_in_code() -> None:
    package = Path(load_target.__code__.co_filename).parent
    for path in package.rglob("*.py"):
        if path.parent.name == "cli":  # its help shows examples
            continue
        code = re.sub(r'""".*?"""|#[^\n]*', "", path.read_text(), flags=re.DOTALL)
        found = [name for name in EXPECTED if re.search(rf"['\"]{name}['\"]", code)]
        assert not found, f"{path.name} names {found}"


def test_known_figures() -> None:
    target = load_target("stm32f746")
    assert (target.flash_bytes, target.sram_bytes) == (1 << 20, 320 << 10)
    assert target.largest_sram_span == (0x2000_0000, 320 << 10)
    assert target.memory_at(0x2000_FFFF) is not None
    assert target.memory_at(0x2000_FFFF).name == "dtcm"  # type: ignore[union-attr]
    assert target.memory_at(0x9000_0000) is None
    assert target.icache is not None
    assert target.icache.size_bytes == 4096


def test_a_users_file_works_by_path(tmp_path: Path) -> None:
    target = load_target(board(tmp_path))
    assert target.name == "board"
    assert target.flash_bytes == 0x1_0000
    assert target.active_current_ma == 10.0


def test_an_energy_figure_has_an_error_or_is_unverified(tmp_path: Path) -> None:
    silent = load_target(board(tmp_path))
    assert silent.active_current_error_percent is None
    assert silent.energy_error == "(unverified)"
    told = load_target(board(tmp_path, "dsp = ", "active_current_error_percent = 20\ndsp = "))
    assert told.energy_error == "± 20 %"
    assert target_key(told) == target_key(silent)


def test_advice_costs_nothing(tmp_path: Path) -> None:
    told = load_target(board(tmp_path, "dsp = ", 'advice = "turn it on"\ndsp = '))
    assert told.advice == "turn it on"
    assert target_key(told) == target_key(load_target(board(tmp_path)))


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown target 'stm32f764'; did you mean 'stm32f746'\?"):
        load_target("stm32f764")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no target file"):
        load_target(str(tmp_path / "none.toml"))


def test_a_folder_or_binary_in_place_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not TOML"):
        load_target(str(path))
    with pytest.raises(UserError, match="there is no target file"):
        load_target(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('core = "cortex-m4"', 'core = "cortex-m44"', "did you mean 'cortex-m4'"),
        ("dsp = true", "dsp = true\nactive_current_error_percent = -1", "be from 0 to 1000"),
        ("dsp = true", "dps = true", "unknown key 'dps'; did you mean 'dsp'"),
        ("size_bytes = 0x4000", "size_byte = 0x4000", "did you mean 'size_bytes'"),
        ("size_bytes = 0x4000", "size_bytes = -4", "size_bytes = -4; it must be from 1"),
        ("size_bytes = 0x4000", 'size_bytes = "16K"', "must be a whole number"),
        ("[sources]", "[sources]\nx = 3", "sources.x = 3; it must be text that names a document"),
        ("size_bytes = 0x4000", "", "size_bytes is missing"),
        ("size_bytes = 0x4000", "size_bytes = 0xF000_0000", "past the 32-bit address space"),
        ("0x2000_0000", "0x0800_8000", "overlaps"),
        ('name = "sram"', 'name = "flash"', "two memories are named 'flash'"),
        ('kind = "sram"', 'kind = "flash"', "that holds data"),
        ('kind = "flash"', 'kind = "sram"', 'no memory of kind = "flash"'),
        ('kind = "flash"', 'kind = "flash"\ndata = true', "variables cannot lie in flash"),
        ("clock_hz = 100_000_000", "clock_hz = 0", "must be above zero"),
        ("clock_hz = 100_000_000", "clock_hz = true", "must be a whole number"),
        ("size_bytes = 1024", "size_bytes = 1000", "no multiple of ways"),
        ("ways = 2", "ways = 0", "from 1 to"),
        ("[icache]", "[dcache]\nunified = 3", "must be true or false"),
        ("[[memory]]", "[memory]", "TOML"),
        ('title = "a board"', "", "title is missing"),
        ("title = ", "title ", "is not TOML"),
        ('core = "the data sheet"', "core = 3", "must be text"),
    ],
)  # fmt: skip
def test_broken_files_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_target(board(tmp_path, old, new))


def test_data_folders_are_found() -> None:
    assert (data_folder("targets") / "stm32f746.toml").is_file()


def test_other_wait_states_are_those_of_every_flash_memory() -> None:
    target = load_target("stm32h743")
    other = with_wait_states(target, 9)
    for before, after in zip(target.memories, other.memories, strict=True):
        assert after.wait_states == (9 if before.kind == "flash" else before.wait_states)
    assert target_key(other) != target_key(target)
    assert with_wait_states(other, target.flash.wait_states) == target


@pytest.mark.parametrize("name", target_names())
def test_a_target_taken_apart_is_put_together(name: str) -> None:
    target = load_target(name)
    assert target_from(json.loads(json.dumps(asdict(target)))) == target
