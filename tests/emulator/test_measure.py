import pytest
from tiny_model import PROGRAM, tiny_sources

from autotiny.emulator import measure, measure_firmware
from autotiny.metrics import overshoot
from autotiny.target import load_target


def test_the_parts_add_up() -> None:
    cost = measure(tiny_sources(), load_target("stm32f746"))
    assert cost.flash_bytes == cost.weights_bytes + cost.code_bytes
    assert cost.sram_bytes == cost.arena_bytes + cost.static_bytes + cost.stack_bytes
    assert sum(layer.cycles for layer in cost.layers) == pytest.approx(cost.cycles, abs=2)
    assert sum(layer.instructions for layer in cost.layers) == cost.instructions
    assert [layer.name for layer in cost.layers] == ["dense", "relu"]
    assert cost.latency_ms == pytest.approx(cost.cycles / 216e3)
    assert cost.energy_estimated_mj > 0
    assert cost.cold_cycles > cost.cycles


def test_what_does_not_fit_is_a_figure() -> None:
    target = load_target("samd21")
    assert overshoot(measure(tiny_sources(), target), target)["sram"] < 0
    too_large = measure(tiny_sources(arena_bytes=40_000), target)
    assert (
        overshoot(too_large, target)["sram"] == 40_000 + too_large.stack_bytes - target.sram_bytes
    )


def test_a_hundredfold_overshoot_is_still_a_figure() -> None:
    target = load_target("esp32c3")
    cost = measure(tiny_sources(arena_bytes=60_000_000), target)
    assert overshoot(cost, target)["sram"] > 59_000_000
    assert cost.instructions > 1000


def test_enough_memory_in_pieces_is_not_enough() -> None:
    target = load_target("stm32h743")
    largest = target.largest_sram_span[1]
    cost = measure(tiny_sources(arena_bytes=largest + 16), target)
    assert cost.sram_bytes < target.sram_bytes
    assert overshoot(cost, target)["sram"] > 0


def test_a_stack_that_outgrows_its_room_is_placed_elsewhere() -> None:
    deep = """
  volatile uint8_t frame[6000];
  for (int k = 0; k < 6000; k++) frame[k] = (uint8_t)k;
  for (int k = 0; k < 10; k++) {"""
    program = PROGRAM.replace("\n  for (int k = 0; k < 10; k++) {", deep, 1)
    target = load_target("stm32f746")
    measured = measure_firmware(tiny_sources(program, arena_bytes=62_000), target)
    assert measured.firmware.fits
    assert measured.cost.stack_bytes > 6000
    assert not measured.run.stack_overflowed
    memory = target.memory_at(measured.firmware.stack_limit)
    assert memory is not None
    assert memory.name == "sram1"
