import json
from contextlib import suppress
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from small_network import float_network, generated, int8_network
from tiny_model import PROGRAM, tiny_sources

from autotiny.errors import FirmwareFault, UserError
from autotiny.firmware import Firmware, link
from autotiny.simulator import measure_elf, profile, run
from autotiny.target import Target, load_target


@cache
def tiny_firmware() -> Firmware:
    return link(tiny_sources(), load_target("stm32l4r5"))


def written(firmware: Firmware, folder: Path) -> Path:
    path = folder / "firmware.elf"
    path.write_bytes(firmware.elf)
    return path


@pytest.fixture(scope="module")
def m7() -> Target:
    return load_target("stm32f746")


@pytest.fixture(scope="module")
def firmware(m7: Target) -> Firmware:
    return link(generated(int8_network()), m7)


def test_steps_and_functions_add_up(firmware: Firmware, m7: Target) -> None:
    profiled, ran = profile(firmware, m7), run(firmware, m7)
    assert profiled.instructions == ran.instructions
    assert profiled.cycles == ran.cycles
    assert [step.name for step in profiled.steps] == list(firmware.steps)
    assert sum(step.instructions for step in profiled.steps) == profiled.instructions
    assert sum(one.instructions for one in profiled.functions) == profiled.instructions
    assert sum(one.cycles for one in profiled.functions) == pytest.approx(profiled.cycles, abs=20)
    convolution, layer = profiled.steps[0], ran.layers[0]
    assert convolution.functions[0].name == "model_conv_2d_0"
    assert convolution.cycles == pytest.approx(layer.cycles, abs=50)
    assert set(profiled.stalls) == {"dependency", "issue", "branch", "fetch", "data"}


def test_library_functions_are_counted_where_they_are_called() -> None:
    target = load_target("rp2040")
    profiled = profile(link(generated(float_network()), target), target)
    first, second = (
        {one.name: one.instructions for one in step.functions} for step in profiled.steps
    )
    assert first["__aeabi_fmul"] > 5 * second["__aeabi_fmul"] > 0
    assert profiled.functions[0].name not in ("model_run", "main")


def test_speedscope(firmware: Firmware, m7: Target) -> None:
    profiled = profile(firmware, m7)
    written = json.loads(json.dumps(profiled.speedscope()))
    frames = [frame["name"] for frame in written["shared"]["frames"]]
    (samples,) = written["profiles"]
    assert samples["type"] == "sampled"
    assert samples["endValue"] == sum(samples["weights"])
    assert samples["endValue"] == pytest.approx(profiled.cycles, rel=0.01)
    assert len(samples["samples"]) == len(samples["weights"])
    stacks = {tuple(frames[index] for index in stack) for stack in samples["samples"]}
    assert ("model", firmware.steps[0], "model_conv_2d_0") in stacks
    assert ("model", firmware.steps[0], "model_conv_2d_0", "stall: issue") in stacks


def test_an_elf_between_its_markers(firmware: Firmware, m7: Target, tmp_path: Path) -> None:
    measured = measure_elf(written(firmware, tmp_path), m7)
    port = firmware.inputs[0]
    ran = run(firmware, m7, np.zeros(port.shape, port.dtype))
    assert abs(measured.instructions - ran.instructions) < 10
    assert abs(measured.cycles - ran.cycles) < 0.05 * ran.cycles
    assert measured.flash_bytes == firmware.flash_bytes
    assert measured.static_bytes == firmware.arena_bytes + firmware.static_bytes


@pytest.mark.parametrize("name", ["stm32l4r5", "rp2040", "esp32c3"])
def test_one_call_of_a_function(name: str, tmp_path: Path) -> None:
    target = load_target(name)
    path = written(link(tiny_sources(), target), tmp_path)
    whole = measure_elf(path, target, function="model_run")
    part = measure_elf(path, target, function="dense")
    between = measure_elf(path, target, start="dense", stop="relu")
    assert 700 < part.instructions < whole.instructions
    assert 0 < between.instructions - part.instructions < 10  # the call of the next
    assert [one.name for one in part.functions] == ["dense", "model_run"][: len(part.functions)]
    assert part.latency_ms == pytest.approx(1000 * part.cycles / target.clock_hz)


def test_later_times_find_warm_caches(tmp_path: Path) -> None:
    target = load_target("rp2040")
    path = written(link(tiny_sources(), target), tmp_path)
    cold = measure_elf(path, target, function="dense")
    warm = measure_elf(path, target, function="dense", repeat=3)
    assert warm.instructions == cold.instructions
    assert warm.cycles < cold.cycles


def test_peripherals_read_back(tmp_path: Path) -> None:
    wait = """int model_run(void) {
  volatile uint32_t *control = (uint32_t *)0x40021000;
  *control |= 1;
  while (!(*control & 1)) {}"""
    target = load_target("stm32l4r5")
    sources = tiny_sources(PROGRAM.replace("int model_run(void) {", wait))
    assert measure_elf(written(link(sources, target), tmp_path), target).instructions > 800


def test_bad_requests(firmware: Firmware, m7: Target, tmp_path: Path) -> None:
    path = written(firmware, tmp_path)
    with pytest.raises(UserError, match=r"unknown symbol 'model_ran'; did you mean 'model_run'\?"):
        measure_elf(path, m7, function="model_ran")
    with pytest.raises(UserError, match="belong together"):
        measure_elf(path, m7, start="main")
    with pytest.raises(UserError, match="either a function, or the symbols"):
        measure_elf(path, m7, start="main", stop="model_run", function="main")
    with pytest.raises(UserError, match="cannot read"):
        measure_elf(tmp_path / "none.elf", m7)
    with pytest.raises(UserError, match="is for ARM, 32 bit; esp32c3 is a rv32imc"):
        measure_elf(path, load_target("esp32c3"))
    (tmp_path / "text.elf").write_text("hello")
    with pytest.raises(UserError, match="is no ELF file, or"):
        measure_elf(tmp_path / "text.elf", m7)
    (tmp_path / "cut.elf").write_bytes(firmware.elf[:3000])
    with pytest.raises(UserError, match="or a damaged one"):
        measure_elf(tmp_path / "cut.elf", m7)


def test_an_elf_for_another_memory_map(firmware: Firmware, tmp_path: Path) -> None:
    with pytest.raises(FirmwareFault, match="outside the memories of rp2350"):
        measure_elf(written(firmware, tmp_path), load_target("rp2350"))


def test_a_symbol_that_is_never_reached(tmp_path: Path) -> None:
    target = load_target("stm32l4r5")
    path = written(link(tiny_sources(), target), tmp_path)
    told = "the firmware ends in a loop without end in .*; so Default_Handler never begins; build"
    with pytest.raises(UserError, match=told):
        measure_elf(path, target, function="Default_Handler", limit=100_000)


def test_no_symbols_at_all(firmware: Firmware, m7: Target, tmp_path: Path) -> None:
    stripped = replace(firmware, elf=firmware.elf.replace(b".symtab", b".nosyms"))
    with pytest.raises(UserError, match=r"has no symbols autotiny_ready and .*; give --function"):
        measure_elf(written(stripped, tmp_path), m7)


def test_tables_that_say_more_than_the_file_holds(
    firmware: Firmware, m7: Target, tmp_path: Path
) -> None:
    def planted(values: dict[int, int]) -> Path:
        data = bytearray(firmware.elf)
        for at, value in values.items():
            data[at : at + 4] = value.to_bytes(4, "little")
        path = tmp_path / "planted.elf"
        path.write_bytes(data)
        return path

    with BytesIO(firmware.elf) as file:
        elf = ELFFile(file)
        first = elf["e_shoff"]
        symbols = first + 40 * elf.get_section_index(".symtab")
        segment = elf["e_phoff"]
    kind, size = 4, 20
    with pytest.raises(UserError, match="has no symbols autotiny_ready"):
        measure_elf(planted({symbols + kind: 1}), m7)
    for values, text in (
        ({symbols + size: 1 << 31}, r"section '.symtab' is 2147483648 bytes at \d+ of \d+"),
        ({segment + 16: 1 << 31}, "a segment is 2147483648 bytes"),
        # no number of sections: the size of the first one says how many there are
        ({48: 0, first + size: (1 << 32) - 1}, "its table of sections is 171798691800 bytes"),
        ({40: 52, 44: 40 << 16 | 1}, "its table of segments has entries of 0 bytes"),
    ):
        with pytest.raises(UserError, match=f"no ELF file, or a damaged one: .*{text}"):
            measure_elf(planted(values), m7)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_end_in_a_clear_error(seed: int, tmp_path: Path) -> None:
    target = load_target("stm32l4r5")
    damaged = bytearray(tiny_firmware().elf)
    generator = np.random.default_rng(seed)
    if seed % 2:
        del damaged[int(generator.integers(len(damaged))) :]
    for _ in range(4):
        places = [300, len(damaged) // 2, len(damaged)]
        if damaged:
            damaged[int(generator.integers(min(generator.choice(places) + 1, len(damaged))))] ^= (
                0x5A
            )
    path = tmp_path / "damaged.elf"
    path.write_bytes(damaged)
    with suppress(UserError, FirmwareFault):  # some damage does not matter
        measure_elf(path, target, limit=1_000_000)
