from dataclasses import replace
from unittest import mock

import pytest
from small_network import generated, int8_network
from tiny_model import PROGRAM, tiny_sources

from autotiny.engine.work import work_of
from autotiny.firmware import link
from autotiny.metrics import STACK_MARGIN_BYTES, missing, overshoot
from autotiny.simulator import Tell, measure, measure_firmware, measured_firmware
from autotiny.simulator.processor import INSTRUCTION_LIMIT
from autotiny.target import Target, load_target


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
    needed = 40_000 + too_large.stack_bytes + STACK_MARGIN_BYTES
    assert 0 <= overshoot(too_large, target)["sram"] - (needed - target.sram_bytes) < 48


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


def test_what_is_missing_is_said_before_anything_is_executed() -> None:
    said: list[str] = []
    tell = Tell(lambda lacking: said.extend(lacking), said.append)
    sources, target = generated(int8_network()), load_target("samd21")
    with (
        mock.patch(
            "autotiny.simulator.measure.run", side_effect=lambda *_, **__: said.append("ran")
        ),
        pytest.raises(AttributeError),
    ):
        measure(sources, sized(target, 4000, 1000), tell=tell)
    assert said[-1] == "ran"
    assert [text.split(" ", 1)[1] for text in said[:-1]] == ["bytes of flash", "bytes of sram"]


def test_a_long_run_tells_its_steps() -> None:
    slow = PROGRAM.replace(
        "int32_t sum = 0;", "int32_t sum = 0; for (volatile int i = 0; i < 900000; i++) {}"
    )
    said: list[str] = []
    measure(tiny_sources(slow), load_target("samd21"), tell=Tell(stage=said.append))
    assert "executing step 1 of 2, dense" in said


def test_the_limit_of_an_inference_grows_with_its_work() -> None:
    graph = int8_network()
    multiplications = 10 * 10 * 8 * 27 + 10 * 200
    assert multiplications < work_of(graph) < 5 * multiplications
    sources = generated(graph)
    firmware = link(replace(sources, work=1000 * sources.work), load_target("samd21"))
    assert (
        firmware.instruction_limit
        > INSTRUCTION_LIMIT
        > link(sources, firmware.target).instruction_limit
    )


def sized(target: Target, flash_bytes: int, sram_bytes: int, reserved: int = 0) -> Target:
    flash, sram = target.memories
    flash = replace(flash, size_bytes=flash_bytes)
    sram = replace(sram, size_bytes=sram_bytes, origin=sram.origin + reserved)
    return replace(target, memories=(flash, sram))


@pytest.mark.parametrize(
    "variables",
    [pytest.param("", marks=pytest.mark.slow), "static uint8_t counter[37] = {1};\n"],
)
def test_there_is_one_answer_to_whether_a_firmware_fits(variables: str) -> None:
    program = PROGRAM.replace("int model_run(void) {", f"{variables}int model_run(void) {{", 1)
    if variables:
        program = program.replace("model_run(void) {", "model_run(void) {\n  counter[3]++;", 1)
    sources, target = tiny_sources(program), load_target("samd21")
    roomy = measure(sources, target)
    flash, sram = roomy.flash_bytes, roomy.sram_bytes + STACK_MARGIN_BYTES
    fitting = []
    sizes = [(flash + extra, sram + 48, 0) for extra in (-2, -1, 0, 1)]
    sizes += [(flash, sram + extra, 0) for extra in (-16, -1, 0, 5, 11, 16, 21)]
    sizes += [(flash, sram + extra, 8) for extra in (8, 12, 16, 20, 24, 48)]
    for flash_bytes, sram_bytes, reserved in sizes:
        small = sized(target, flash_bytes, sram_bytes, reserved)
        found = measure_firmware(sources, small)
        again = measured_firmware(sources, small, found.cost)
        fits = not missing(overshoot(found.cost, small))
        assert found.firmware.fits is again.fits is fits
        assert again.elf == found.firmware.elf
        needed = found.cost.stack_bytes + STACK_MARGIN_BYTES
        assert again.stack_room_bytes >= needed or not fits
        assert found.cost.flash_bytes == flash
        fitting.append(fits)
    assert fitting[:4] == [False, False, True, True]
    assert fitting[4:6] == [False, False]
    assert fitting[-1]
