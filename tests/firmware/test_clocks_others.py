"""The start-up code of the parts that are no STM32, run on chips that obey their manuals."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from booting import Boot, boot
from elftools.elf.elffile import ELFFile
from other_chips import Chip, Esp32c3, Imxrt, Nrf5340, Nrf52840, Rp2040, Rp2350, Samd21
from unicorn import UC_HOOK_MEM_WRITE, Uc
from unicorn.riscv_const import UC_RISCV_REG_MTVEC

from autotiny.cores import CORES
from autotiny.engine import Port, Sources
from autotiny.firmware import Firmware, link
from autotiny.firmware.board import with_board
from autotiny.firmware.linking import BOARD, compiler_flags
from autotiny.firmware.project import gcc_machine_flags
from autotiny.firmware.zig import zig_cc
from autotiny.target import load_target

MODEL = """
#include "board.h"
uint8_t model_arena[64] __attribute__((aligned(16)));
int model_run(void) { return (int)board_clock_hz(); }
"""


@cache
def firmware(name: str) -> Firmware:
    port = Port("x", 0, (1, 16), "int8", None)
    target = load_target(name)
    sources = Sources(
        name="model",
        files={"model.c": MODEL},
        inputs=(port,),
        outputs=(port,),
        arena_bytes=64,
        weights_bytes=0,
        steps=(),
        step_weights_bytes=(),
    )
    return link(with_board(sources, target), target)


def started(name: str, chip: Chip) -> Boot:
    return boot(firmware(name), chip)


CHIPS: dict[str, Callable[[], Chip]] = {
    "nrf52840": Nrf52840,
    "nrf5340": Nrf5340,
    "samd21": Samd21,
    "rp2350": Rp2350,
    "rp2040": Rp2040,
    "imxrt1062": Imxrt,
    "esp32c3": Esp32c3,
}
DEAD: dict[str, tuple[Callable[[], Chip], int]] = {
    "nrf52840": (lambda: Nrf52840(dead_crystal=True), 64_000_000),
    "nrf5340": (lambda: Nrf5340(dead_crystal=True), 128_000_000),
    "samd21": (lambda: Samd21(dead_loop=True), 1_000_000),
    "rp2350 without a crystal": (lambda: Rp2350(dead_crystal=True), 11_000_000),
    "rp2350 without a PLL": (lambda: Rp2350(dead_loop=True), 12_000_000),
    "rp2040 without a crystal": (lambda: Rp2040(dead_crystal=True), 6_500_000),
    "rp2040 without a PLL": (lambda: Rp2040(dead_loop=True), 12_000_000),
    "rp2040 as another program left it": (lambda: Rp2040(warm=True), 125_000_000),
    "imxrt1062 without its voltage": (lambda: Imxrt(dead_voltage=True), 396_000_000),
    "esp32c3 at its crystal": (lambda: Esp32c3(no_pll=True), 20_000_000),
    "imxrt1062 without a PLL": (lambda: Imxrt(dead_loop=True), 24_000_000),
}


@pytest.mark.parametrize("name", CHIPS)
def test_the_core_comes_to_the_clock_of_its_target(name: str) -> None:
    chip = CHIPS[name]()
    booted = started(name, chip)
    assert chip.core_hz == load_target(name).clock_hz
    assert booted.call("board_clock_hz") == chip.core_hz


@pytest.mark.parametrize("case", DEAD)
@pytest.mark.everyday(3)
def test_a_dead_clock_leaves_the_core_on_one_that_runs(case: str) -> None:
    chip, hz = DEAD[case][0](), DEAD[case][1]
    booted = started(case.split()[0], chip)
    assert chip.core_hz == hz
    assert booted.call("board_clock_hz") == hz


@pytest.mark.parametrize("name", CHIPS)
def test_the_start_up_code_is_small(name: str) -> None:
    with BytesIO(firmware(name).elf) as file:
        section = ELFFile(file).get_section_by_name(".board")
        assert 0 < section["sh_size"] < 520


LEVELS = ("-O0", "-Os", "-O3")
STANDARDS = ("-std=c99", "-std=c11", "-std=c17")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")


def written(name: str, folder: Path) -> None:
    for file in (BOARD, "board.h"):
        (folder / file).write_text(firmware(name).files[file], encoding="utf-8")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.everyday(5)
def test_clang_compiles_it_without_a_warning(name: str, level: str, tmp_path: Path) -> None:
    written(name, tmp_path)
    flags = compiler_flags(load_target(name), level)
    machine = flags[: flags.index(level)]
    for standard in STANDARDS:
        assert zig_cc([*machine, standard, level, *WARNINGS, "-c", BOARD], tmp_path) == ""


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.everyday(5)
def test_gcc_compiles_it_without_a_warning(name: str, level: str, tmp_path: Path) -> None:
    prefix = CORES[load_target(name).core].isa.gcc_prefix
    compiler = shutil.which(f"{prefix}gcc")
    if compiler is None:
        pytest.skip(f"no {prefix}gcc here")
    written(name, tmp_path)
    machine = [*gcc_machine_flags(load_target(name)).split(), "-ffreestanding"]
    for standard in STANDARDS:
        subprocess.run(
            [compiler, *machine, standard, level, *WARNINGS, "-c", BOARD], cwd=tmp_path, check=True
        )


@pytest.mark.parametrize("name", ["nrf52840", "nrf5340"])
def test_an_nrf_runs_by_its_crystal_with_its_cache_on_and_its_debug_port_open(name: str) -> None:
    chip = Nrf52840() if name == "nrf52840" else Nrf5340()
    started(name, chip)
    assert chip.crystal.true
    assert chip.cached
    assert chip.opened


def test_an_esp32c3_has_its_traps_and_no_watchdog() -> None:
    chip = Esp32c3()
    booted = started("esp32c3", chip)
    assert not chip.guarded
    traps = booted.processor.uc.reg_read(UC_RISCV_REG_MTVEC)
    assert traps % 256 in (0, 1)
    assert traps & ~1 == booted.firmware.symbols["board_traps"].address


def test_an_nrf52840_before_revision_3_has_no_port_to_open() -> None:
    chip = Nrf52840(revision=4)
    started("nrf52840", chip)
    assert chip.crystal.true


def test_an_nrf5340_gets_the_trims_of_its_factory() -> None:
    chip = Nrf5340()
    started("nrf5340", chip)
    assert chip.trimmed


def test_a_samd21_without_calibration_takes_the_middle() -> None:
    chip = Samd21(uncalibrated=True)
    started("samd21", chip)
    assert chip.core_hz == 48_000_000


def test_an_rp2350_gives_its_peripherals_a_clock() -> None:
    chip = Rp2350()
    started("rp2350", chip)
    assert chip.words[chip.PERI] & 0x8E0 == 0x800  # on, by clk_sys


def word(image: bytes, offset: int) -> int:
    return int.from_bytes(image[offset : offset + 4], "little")


def test_the_boot_rom_of_an_rp2350_finds_its_block() -> None:
    """RP2350 data sheet, section 5.9: a loop of blocks that begins in the first 4 KB."""
    program = firmware("rp2350")
    image, origin = program.image, 0x10000000
    assert program.origin == origin
    starts = [at for at in range(0, 4096, 4) if word(image, at) == 0xFFFFDED3]
    first = at = starts[0]
    items: dict[int, bytes] = {}
    while True:
        assert word(image, at) == 0xFFFFDED3
        block, at = at, at + 4
        while image[at] != 0xFF:  # the last item, which holds the words of those before
            size = 4 * image[at + 1]
            items[image[at]] = image[at : at + size]
            at += size
        assert at - block - 4 == 4 * int.from_bytes(image[at + 1 : at + 3], "little")
        assert word(image, at + 8) == 0xAB123579
        if word(image, at + 4) == 0:
            break
        at = block + word(image, at + 4)
        if at == first:
            break
    kind = int.from_bytes(items[0x42][2:4], "little")
    assert kind & 0xF == 1  # executable
    assert kind >> 4 & 3 == 2  # secure
    assert kind >> 8 & 7 == 0  # Arm
    assert kind >> 12 & 7 == 1  # RP2350
    vectors = word(items[0x03], 4)
    assert vectors % 512 == 0  # 68 of them are to fit, if a program takes interrupts
    assert word(image, vectors - origin) == program.stack_top
    assert word(image, vectors - origin + 4) == program.symbols["Reset_Handler"].address | 1


def test_the_boot_rom_of_an_imxrt1062_finds_its_flash_and_its_program() -> None:
    """IMXRT1060RM, chapter System Boot: FlexSPI NOR configuration block, IVT, boot data."""
    program = firmware("imxrt1062")
    image, origin = program.image, 0x60000000
    assert program.origin == origin

    assert image[:4] == b"FCFB"
    assert image[7:8] == b"V"
    assert image[0x44] == 1  # serial NOR
    assert image[0x45] == 4  # lines
    assert word(image, 0x50) == load_target("imxrt1062").flash.size_bytes
    assert word(image, 0x1C0) == 256
    assert word(image, 0x1C4) == 4096
    assert word(image, 0x1D0) == 65536

    ivt = image[0x1000:0x1020]
    assert ivt[0] == 0xD1
    assert int.from_bytes(ivt[1:3], "big") == 32
    assert ivt[3] >> 4 == 4
    entry, _, dcd, data, itself, csf, _ = (word(ivt, at) for at in range(4, 32, 4))
    assert itself == origin + 0x1000
    assert dcd == csf == 0
    assert entry % 512 == 0  # 174 vectors fit 1024 bytes, of which 16 are there
    assert word(image, entry - origin) == program.stack_top
    assert word(image, entry - origin + 4) == program.symbols["Reset_Handler"].address | 1

    start, length, plugin = (word(image, data - origin + at) for at in (0, 4, 8))
    assert start == origin
    assert length >= len(image)
    assert plugin == 0


def test_the_flash_of_an_imxrt1062_reads_as_its_wait_states_say() -> None:
    """The commands of the configuration block: operation, lines and operand of each, 16 bits."""
    image = firmware("imxrt1062").image
    flash = load_target("imxrt1062").flash
    clocks, line_clocks = int(image[0x0E]), 0
    for at in range(0x80, 0x90, 2):
        step = int.from_bytes(image[at : at + 2], "little")
        operation, lines, operand = step >> 10, 1 << (step >> 8 & 3), step & 0xFF
        if operation == 1:  # a command
            clocks += 8 // lines
        elif operation == 2:  # an address
            clocks += operand // lines
        elif operation == 0x0C:  # wait
            clocks += operand
        elif operation == 9:  # data, of a whole line
            line_clocks = 8 * flash.line_bytes // lines
        else:
            assert step == 0
    assert image[0x46] == 6  # 100 MHz
    assert flash.clock_divider == 600 // 100
    words = flash.line_bytes // flash.bus_bytes
    waits = flash.wait_states + (words - 1) * flash.burst_wait_states
    assert clocks + line_clocks == waits + words


def test_an_imxrt1062_reads_ahead_only_of_memory_that_is_there() -> None:
    """ARMv7-M, MPU: of the regions that hold an address, that of the highest number counts."""
    booted = Boot(firmware("imxrt1062"), Imxrt())
    control, number, base = 0, 0, 0
    regions: dict[int, tuple[int, int, int]] = {}

    def note(uc: Uc, access: int, address: int, size: int, value: int, data: object) -> None:
        nonlocal control, number, base
        if address == 0xE000ED94:
            control = value
        elif address == 0xE000ED9C:
            assert value & 1 << 4  # with the number of the region
            number, base = value & 0xF, value & ~0x1F
        elif address == 0xE000EDA0 and value & 1:
            size = 2 << (value >> 1 & 0x1F)
            assert base % size == 0
            assert value & 0xFF00 == 0  # no part of it is left out
            regions[number] = base, base + size, value

    booted.processor.uc.hook_add(UC_HOOK_MEM_WRITE, note, begin=0xE000ED90, end=0xE000EDAF)
    booted.start()
    assert control == 1 | 1 << 2  # elsewhere the map of the architecture

    def attributes(address: int) -> int:
        holding = [n for n, (first, end, _) in regions.items() if first <= address < end]
        return regions[max(holding)][2]

    flash = load_target("imxrt1062").flash
    for address in (flash.origin, flash.end - 1):
        assert attributes(address) >> 16 & 0x3B == 0b011  # normal memory, cached, written back
        assert attributes(address) >> 24 & 7 == 6  # read-only
        assert not attributes(address) >> 28 & 1
    for address in (flash.end, 0x70000000, 0x80000000, 0x9FFFFFFF):
        assert attributes(address) >> 16 & 0x3B == 0b001  # a device
        assert attributes(address) >> 28 & 1  # no code


def test_an_imxrt1062_takes_its_own_vector_table() -> None:
    booted = started("imxrt1062", Imxrt())
    table = int.from_bytes(booted.processor.read(0xE000ED08, 4), "little")
    assert table == load_target("imxrt1062").whole_flash.origin
