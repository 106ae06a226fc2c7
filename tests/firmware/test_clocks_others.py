"""The start-up code of the parts that are no STM32, run on chips that obey their manuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from booting import Boot, boot
from other_chips import Chip, Nrf5340, Nrf52840, Samd21

from autotiny.engine import Port, Sources
from autotiny.firmware import Firmware, link
from autotiny.firmware.board import with_board
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
    """From reset to main; in the emulator the flash begins with what the boot ROM reads."""
    program = firmware(name)
    flash = replace(
        program.target.flash,
        origin=program.origin,
        size_bytes=program.target.flash.size_bytes + program.target.flash.origin - program.origin,
    )
    others = (memory for memory in program.target.memories if memory is not program.target.flash)
    target = replace(program.target, memories=(flash, *others))
    return boot(replace(program, target=target), chip)


CHIPS: dict[str, Callable[[], Chip]] = {
    "nrf52840": Nrf52840,
    "nrf5340": Nrf5340,
    "samd21": Samd21,
}
DEAD: dict[str, tuple[Callable[[], Chip], int]] = {
    "nrf52840": (lambda: Nrf52840(dead_crystal=True), 64_000_000),
    "nrf5340": (lambda: Nrf5340(dead_crystal=True), 128_000_000),
    "samd21": (lambda: Samd21(dead_loop=True), 1_000_000),
}


@pytest.mark.parametrize("name", CHIPS)
def test_the_core_comes_to_the_clock_of_its_target(name: str) -> None:
    chip = CHIPS[name]()
    booted = started(name, chip)
    assert chip.core_hz == load_target(name).clock_hz
    assert booted.call("board_clock_hz") == chip.core_hz


@pytest.mark.parametrize("case", DEAD)
def test_a_dead_clock_leaves_the_core_on_one_that_runs(case: str) -> None:
    chip, hz = DEAD[case][0](), DEAD[case][1]
    booted = started(case.split()[0], chip)
    assert chip.core_hz == hz
    assert booted.call("board_clock_hz") == hz


@pytest.mark.parametrize("name", CHIPS)
def test_the_start_up_code_is_small(name: str) -> None:
    assert firmware(name).symbols["board_start"].bytes < 500


@pytest.mark.parametrize("name", ["nrf52840", "nrf5340"])
def test_an_nrf_runs_by_its_crystal_with_its_cache_on(name: str) -> None:
    chip = Nrf52840() if name == "nrf52840" else Nrf5340()
    started(name, chip)
    assert chip.crystal.true
    assert chip.cached


def test_an_nrf5340_gets_the_trims_of_its_factory() -> None:
    chip = Nrf5340()
    started("nrf5340", chip)
    assert chip.trimmed


def test_a_samd21_without_calibration_takes_the_middle() -> None:
    chip = Samd21(uncalibrated=True)
    started("samd21", chip)
    assert chip.core_hz == 48_000_000
