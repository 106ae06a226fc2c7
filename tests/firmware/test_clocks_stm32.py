"""The start-up code of the STM32 targets, from reset to main, on chips made from the manuals."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
from booting import Boot, boot
from small_network import int8_network
from stm32_chips import CHIPS, H7, H7A3Q, Broken, Stm32
from stm32_serial import SENDERS, SerialChip

from autotiny.engine import Sources, generate, plain_schedule
from autotiny.errors import LinkError
from autotiny.firmware import Firmware, link
from autotiny.firmware.board import HEADER, board_header, with_board
from autotiny.firmware.layout import C_FILES
from autotiny.firmware.linking import BOARD, compiler_flags, zig_object
from autotiny.firmware.project import gcc_machine_flags
from autotiny.target import Setting, Target, load_target

RESET_HZ = {
    "stm32f103": 8_000_000,
    "stm32f407": 16_000_000,
    "stm32f746": 16_000_000,
    "stm32g0b1": 16_000_000,
    "stm32h743": 64_000_000,
    "stm32h7a3": 64_000_000,
    "stm32l4r5": 4_000_000,
    "stm32u575": 4_000_000,
}
CRYSTALS: dict[str, dict[str, Setting]] = {
    "stm32f103": {"oscillator_hz": 12_000_000, "pll_n": 6},
    "stm32f407": {"oscillator_hz": 8_000_000, "pll_m": 4},
    "stm32f746": {"oscillator_hz": 25_000_000, "pll_m": 25, "pll_n": 432},
    "stm32g0b1": {"oscillator_hz": 8_000_000, "pll_n": 16},
    "stm32h743": {"oscillator_hz": 25_000_000, "pll_m": 5, "pll_n": 192},
    "stm32h7a3": {"oscillator_hz": 24_000_000, "pll_m": 6, "pll_n": 140},
    "stm32l4r5": {"oscillator_hz": 8_000_000, "pll_m": 1},
    "stm32u575": {"oscillator_hz": 32_000_000, "pll_m": 2},
}
FALLBACK_HZ = {
    "stm32f103": 64_000_000,  # the most that the HSI ÷ 2 reaches
    "stm32h743": 472_615_384,  # 64 MHz ÷ 13, for the 5 MHz of the crystal
}
"""Without the crystal, where it is not the stated clock."""

PLL_FACTORS = 512
"""Hertz that are lost where the PLL's input is no whole number of them."""


@lru_cache(maxsize=1)
def model() -> Sources:
    """The model with a main that calls what a selftest does, so that the linker keeps it."""
    graph = int8_network()
    sources = generate(graph, plain_schedule(graph))
    text = (C_FILES / "main.c").read_text(encoding="utf-8")
    text = text.replace("AUTOTINY_RUN", f"{sources.name}_run")
    ask = "int main(void) {\n  selftest_put(board_clock_hz() != 0);"
    text = text.replace("int main(void) {", ask, 1)
    main = f'#include "board.h"\n{text}'
    return replace(sources, files={**sources.files, "main.c": main})


def firmware(target: Target, *changes: tuple[str, str], **settings: Setting) -> Firmware:
    """The program for a target with other settings, and other start-up code."""
    target = replace(target, clock={**target.clock, **settings})
    sources = with_board(model(), target)
    code = sources.files[BOARD]
    for old, new in changes:
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    return link(replace(sources, files={**sources.files, BOARD: code}), target)


def crystal_of(target: Target) -> int:
    """Of a target file as it is."""
    return int(target.clock.get("oscillator_hz", 0))


def started(linked: Firmware, chip: Stm32) -> Boot:
    """Booted, and it tells the clock that the chip has."""
    booted = boot(linked, chip)
    assert booted.call("board_clock_hz") == pytest.approx(chip.core_hz, abs=PLL_FACTORS)
    return booted


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.everyday(2)
def test_the_clock_and_the_flash_are_as_the_target_states(name: str) -> None:
    target = load_target(name)
    chip = CHIPS[name](crystal_of(target))
    started(firmware(target), chip)
    assert chip.core_hz == target.clock_hz
    flash = target.flash
    assert chip.wait_states == flash.wait_states
    assert chip.core_hz / chip.flash_hz(chip.hz_of(chip.clock)) == flash.clock_divider
    accelerated = target.accelerator is not None or name == "stm32u575"
    assert chip.accelerators() == (flash.prefetch, accelerated)


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.everyday(2)
def test_a_clock_at_the_pins_of_the_crystal_gives_the_same(name: str) -> None:
    target = load_target(name)
    linked = firmware(target, source="hse", bypass=True, **CRYSTALS[name])
    chip = CHIPS[name](int(CRYSTALS[name]["oscillator_hz"]))
    started(linked, chip)
    assert chip.clock == "PLL"
    assert chip.pll().source == "HSE"
    assert chip.bit("RCC_CR", 18)
    assert chip.core_hz == target.clock_hz
    assert chip.wait_states == target.flash.wait_states


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.everyday(2)
def test_without_its_crystal_a_part_runs_by_its_own_oscillator(name: str) -> None:
    target = load_target(name)
    chip = CHIPS[name]()
    started(firmware(target, source="hse", **CRYSTALS[name]), chip)
    assert chip.pll().source == "HSI"
    assert int(chip.core_hz) == FALLBACK_HZ.get(name, target.clock_hz)
    assert not chip.bit("RCC_CR", 16)  # it is turned off


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.everyday(2)
def test_where_nothing_answers_main_comes_by_the_clock_of_reset(name: str) -> None:
    target = load_target(name)
    chip = CHIPS[name](crystal_of(target), dead=["all"])
    started(firmware(target), chip)
    assert chip.core_hz == RESET_HZ[name]
    chip.check()


@pytest.mark.parametrize(
    ("name", "dead"),
    [
        ("stm32f103", "PLL"), ("stm32f407", "PLL"), ("stm32f407", "VOS"), ("stm32f746", "OD"),
        ("stm32f746", "ODSW"), ("stm32g0b1", "PLL"), ("stm32h743", "SUPPLY"), ("stm32h743", "VOS"),
        ("stm32h743", "PLL"), ("stm32h7a3", "VOS"), ("stm32l4r5", "HSI"), ("stm32l4r5", "PLL"),
        ("stm32u575", "HSI"), ("stm32u575", "VOS"), ("stm32u575", "BOOST"), ("stm32u575", "PLL"),
    ],
)  # fmt: skip
@pytest.mark.everyday(4)
def test_what_does_not_answer_leaves_the_clock_of_reset(name: str, dead: str) -> None:
    target = load_target(name)
    chip = CHIPS[name](crystal_of(target), dead=[dead])
    started(firmware(target), chip)
    assert chip.core_hz == RESET_HZ[name]


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("dead", [(), ("all",)])
@pytest.mark.everyday(4)
def test_a_selftest_sends_by_the_clock_that_runs(name: str, dead: tuple[str, ...]) -> None:
    target = load_target(name)
    chip = SerialChip(CHIPS[name](crystal_of(target), dead), SENDERS[name])
    booted = boot(firmware(target), chip)
    for character in b"ok\n":
        booted.call("selftest_put", character)
    assert chip.sent == b"ok\n"


@pytest.mark.parametrize(
    ("name", "old", "new", "rule"),
    [
        ("stm32f103", "board_clock_hz() >>", "CLOCK_HZ / 2u >>", "bits a second"),
        ("stm32f407", "REGISTER(RCC_AHB1ENR) |= 1u << PORT;", "", "no alternate function"),
        ("stm32f746", "(void)came(USART_STATUS, CAN_TAKE, CAN_TAKE);", "", "before it can take"),
        ("stm32h743", "bus >> (", "bus << (", "bits a second"),
        ("stm32l4r5", "REGISTER(PWR_CR2) |= 1u << 9;", "", "no supply"),
        ("stm32u575", "| 7u << PLACE", "| 6u << PLACE", "alternate function 6"),
    ],
)  # fmt: skip
def test_a_selftest_that_cannot_be_heard_is_noticed(
    name: str, old: str, new: str, rule: str
) -> None:
    target = load_target(name)
    booted = boot(
        firmware(target, (old, new)), SerialChip(CHIPS[name](crystal_of(target)), SENDERS[name])
    )
    with pytest.raises(Broken, match=rule):
        for character in b"ok":
            booted.call("selftest_put", character)


def test_silicon_without_over_drive_runs_at_400_mhz() -> None:
    chip = H7(revision=0x1003)
    started(firmware(load_target("stm32h743")), chip)
    assert chip.core_hz == 400_000_000


@pytest.mark.parametrize(("supply", "hz"), [({}, 64_000_000), ({"supply": "smps"}, 280_000_000)])
def test_a_step_down_converter_has_to_be_named(supply: dict[str, Setting], hz: int) -> None:
    chip = H7A3Q()
    started(firmware(load_target("stm32h7a3"), **supply), chip)
    assert chip.core_hz == hz


def test_the_core_of_an_stm32u575_goes_to_the_step_down_converter_where_that_is_said() -> None:
    chip = CHIPS["stm32u575"]()
    started(firmware(load_target("stm32u575"), supply="smps"), chip)
    assert chip.bit("PWR_SVMSR", 1)
    assert chip.core_hz == 160_000_000


@pytest.mark.parametrize(
    ("name", "old", "new", "rule"),
    [
        ("stm32f103", "(CLOCK_HZ - 1u) / 24000000u", "0u", "wait states"),
        ("stm32f103", "4u << 8 | 2u << 14", "2u << 14", "APB1"),
        ("stm32f407", "if (came(RCC_CR, PLL_READY, PLL_READY) &&", "if (", "not ready"),
        ("stm32f407", "| PLL_Q << 24", "| 4u << 24", "PLLQ"),
        ("stm32f407", "5u << 10 | 4u << 13", "4u << 10 | 4u << 13", "APB1"),
        ("stm32f746", "REGISTER(PWR_CR1) |= OVERDRIVE_SWITCHED;", "", "reset"),
        ("stm32f746", "#if CLOCK_HZ > 180000000", "#if 0", "over-drive"),
        ("stm32f746", "REGISTER(RCC_APB1ENR) |= 1u << 28;", "", "reset"),
        ("stm32g0b1", "pll | 1u << 28", "pll", "output is off"),
        ("stm32g0b1", "(CLOCK_HZ > 24000000u) +", "", "wait states"),
        ("stm32h743", "REGISTER(SYSCFG_PWRCR) |= 1u;", "", "scale 0"),
        ("stm32h743", "4u << 4 | 8u;", "4u << 4;", "AHB"),
        ("stm32h743", "REGISTER(RCC_APB4ENR) |= 1u << 1;", "", "scale 0"),
        ("stm32h7a3", "REGISTER(PWR_CR3) = REGISTER(PWR_CR3);", "", "reset"),
        ("stm32h7a3", "range << 2 |", "3u << 2 |", "PLL1RGE"),
        ("stm32l4r5", "REGISTER(PWR_CR5) &= ~(1u << 8);", "", "boosted"),
        ("stm32l4r5", "REGISTER(RCC_CFGR) = 8u << 4;", "", "AHB ÷ 2"),
        ("stm32u575", "if (!came(PWR_VOSR, BOOST_READY, BOOST_READY))", "if (0)", "booster"),
        ("stm32u575", "if (!came(PWR_VOSR, VOLTAGE_READY, VOLTAGE_READY))", "if (0)", "voltage"),
        ("stm32u575", "if (came(ICACHE_SR, 1u, 0))", "if (1)", "empties"),
    ],
)  # fmt: skip
@pytest.mark.everyday(5)
def test_the_chips_notice_what_is_left_out(name: str, old: str, new: str, rule: str) -> None:
    target = load_target(name)
    chip = CHIPS[name](crystal_of(target))
    linked = firmware(target, (old, new))
    if rule == "reset":
        started(linked, chip)
        assert chip.core_hz == RESET_HZ[name]
        return
    with pytest.raises(Broken, match=rule):
        boot(linked, chip)


def compiled(folder: Path, target: Target, **settings: Setting) -> None:
    """The start-up code of a target with other settings."""
    target = replace(target, clock={**target.clock, **settings})
    code = C_FILES / f"board_{target.clock['family']}.c"
    (folder / BOARD).write_text(code.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / HEADER).write_text(board_header(target), encoding="utf-8")
    zig_object(compiler_flags(target, "-O2"), BOARD, folder)


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="there is no GCC for Arm")
@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.everyday(2)
def test_gcc_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    target = load_target(name)
    code = (C_FILES / f"board_{target.clock['family']}.c").read_text(encoding="utf-8")
    (tmp_path / BOARD).write_text(code, encoding="utf-8")
    pins = sorted(set(re.findall(r"if SERIAL_TX_PIN_(\w+)\n#define (?:PORT|PIN) ", code)))
    assert target.serial["tx_pin"] in [pin.lower() for pin in pins]
    warnings = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
    for k, pin in enumerate(pins):
        clock = {**target.clock, **({"source": "hse", **CRYSTALS[name]} if k else {})}
        serial = {**target.serial, "tx_pin": pin.lower()}
        header = board_header(replace(target, clock=clock, serial=serial))
        (tmp_path / HEADER).write_text(header, encoding="utf-8")
        for level, standard in (("-O0", "c99"), ("-Os", "c11"), ("-O3", "c17")):
            command = (
                f"arm-none-eabi-gcc {gcc_machine_flags(target)} {level} -std={standard} "
                f"{warnings} -c {BOARD}"
            )
            subprocess.run(command.split(), cwd=tmp_path, check=True)


@pytest.mark.parametrize("name", CHIPS)
def test_settings_that_do_not_give_the_clock_are_refused(name: str, tmp_path: Path) -> None:
    target = load_target(name)
    compiled(tmp_path, target)
    with pytest.raises(LinkError, match="is not clock_hz"):
        compiled(tmp_path, target, pll_n=int(target.clock["pll_n"]) - 1)


@pytest.mark.parametrize(
    ("name", "settings", "complaint"),
    [
        ("stm32f407", {"pll_m": 16, "pll_n": 1344, "pll_p": 8}, "432 MHz"),
        ("stm32f746", {"pll_m": 4, "pll_n": 108}, "1 to 2 MHz"),
        ("stm32g0b1", {"pll_m": 8, "pll_n": 64}, "2.66 to 16 MHz"),
        ("stm32h743", {"pll_m": 32, "pll_n": 480}, "2 to 16 MHz"),
        ("stm32h7a3", {"pll_n": 350, "pll_p": 4}, "560"),
        ("stm32l4r5", {"pll_n": 60, "pll_r": 4}, "344 MHz"),
        ("stm32u575", {"pll_n": 40, "pll_r": 4}, "544 MHz"),
    ],
)  # fmt: skip
def test_settings_beyond_the_limits_of_a_pll_are_refused(
    name: str, settings: dict[str, Setting], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(LinkError, match=complaint):
        compiled(tmp_path, load_target(name), **settings)
