import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from front_ends import headers_of
from tiny_model import PROGRAM, tiny_sources

import autotiny.engine
from autotiny.engine import Sources
from autotiny.errors import LinkError, MachineFault
from autotiny.firmware import link, zig
from autotiny.firmware.layout import place, unplaced_bytes
from autotiny.firmware.linking import symbols_of
from autotiny.firmware.pieces import compiled
from autotiny.simulator import run
from autotiny.target import load_target, target_names


@pytest.mark.parametrize("name", target_names())
def test_links_for_every_target(name: str) -> None:
    target = load_target(name)
    firmware = link(tiny_sources(), target)
    assert firmware.fits
    assert firmware.flash_bytes == len(firmware.image) < 2000
    assert firmware.arena_bytes == 64
    assert firmware.static_bytes == 0
    assert target.memory_at(firmware.stack_top - 1) in target.data_memories


@pytest.mark.parametrize(
    ("name", "ahead"), [("stm32f746", 1), ("stm32h743", 1), ("stm32u575", 1), ("stm32l4r5", 0)]
)
def test_kernels_are_told_which_cores_load_ahead(name: str, ahead: int) -> None:
    told = f"#if AT_LOADS_AHEAD != {ahead}\n#error it is told otherwise\n#endif\n"
    sources = tiny_sources('#include "port.h"\n' + told + PROGRAM)
    files = {**sources.files, **headers_of("port.h")}
    assert link(replace(sources, files=files), load_target(name)).fits


def test_same_bytes_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = load_target("stm32f746")
    first = link(tiny_sources(), target)
    elsewhere = tmp_path / "a folder with spaces"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    second = link(tiny_sources(), target)
    assert first.elf == second.elf
    assert str(tmp_path).encode() not in second.elf
    assert b"zig-cache" not in second.elf
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["stm32f746", "esp32c3"])
def test_a_program_that_was_compiled_before_gives_the_same_image(name: str) -> None:
    target, sources = load_target(name), tiny_sources()
    firmware = link(sources, target, program=compiled(sources, target))
    assert firmware.image == link(sources, target).image


def test_no_debug_sections_and_the_vector_table_first() -> None:
    firmware = link(tiny_sources(), load_target("stm32l4r5"))
    names = [section.name for section in ELFFile(BytesIO(firmware.elf)).iter_sections()]
    assert not [name for name in names if "debug" in name or "exidx" in name]
    assert int.from_bytes(firmware.image[:4], "little") == firmware.stack_top
    reset = int.from_bytes(firmware.image[4:8], "little")
    assert reset == firmware.symbols["Reset_Handler"].address | 1


def test_names_that_move_the_cursor_are_shown_escaped() -> None:
    elf = link(tiny_sources(), load_target("stm32l4r5")).elf
    odd = elf.replace(b"\0model_run\0", b"\0\x1b[2Jl_run\0")
    assert len(odd) == len(elf)
    names = symbols_of(ELFFile(BytesIO(odd)))
    assert r"'\x1b[2Jl_run'" in names
    assert all(name.isprintable() for name in names)


def test_small_code_keeps_its_names() -> None:
    target = load_target("stm32l4r5")
    fast, small = link(tiny_sources(), target), link(tiny_sources(), target, optimize="-Os")
    assert small.flash_bytes < fast.flash_bytes
    assert {"main", "model_run", "Reset_Handler"} <= set(small.symbols)
    assert b".debug" not in small.elf


def test_constants_in_flash_and_initial_data_count_as_flash_and_static() -> None:
    table = "static volatile int8_t table[1000] = {1};\n"
    use = "int model_run(void) {\n  table[3]++;"
    program = PROGRAM.replace("int model_run(void) {", table + use)
    target = load_target("stm32l4r5")
    plain, tabled = link(tiny_sources(), target), link(tiny_sources(program), target)
    assert tabled.data_bytes == 1000
    assert 1000 < tabled.flash_bytes - plain.flash_bytes < 1100


def arena_memories(name: str, arena_bytes: int) -> tuple[str, str]:
    layout = place(load_target(name), arena_bytes, 0, 2048)
    assert layout
    return layout.arena.name, layout.static.name


def test_the_arena_lies_in_the_fastest_memory_it_fits() -> None:
    assert arena_memories("stm32f746", 20_000) == ("dtcm", "dtcm")
    assert arena_memories("stm32f746", 65_000) == ("dtcm", "sram1")
    assert arena_memories("stm32f746", 100_000) == ("sram1", "dtcm")
    assert arena_memories("stm32f746", 250_000) == ("sram1_sram2", "dtcm")
    assert arena_memories("stm32g0b1", 100_000)[0] == arena_memories("stm32g0b1", 100_000)[1]
    assert place(load_target("stm32f746"), 330_000, 0, 2048) is None


def slow_sources(size: int) -> Sources:
    """The tiny model with a table that may lie in slower memory, and adds it to its results."""
    table = f"AT_SLOW volatile int8_t slow[{size}] = {{[{size - 1}] = 3}};\n"
    adds = f"  model_arena[32] += slow[{size - 1}];\n  return 0;"
    program = PROGRAM.replace("int model_run", f"{table}int model_run").replace("  return 0;", adds)
    sources = tiny_sources('#include "slow.h"\n' + program)
    header = (Path(autotiny.engine.__file__).parent / "kernels" / "slow.h").read_text("utf-8")
    return replace(sources, files={**sources.files, "slow.h": header}, slow_bytes=size)


@pytest.mark.parametrize(
    ("name", "size", "memory"),
    [
        ("stm32l4r5", 1000, "sram2"),
        ("stm32l4r5", 70_000, "sram3"),
        ("stm32f746", 1000, "sram1"),
        ("stm32u575", 1000, "sram1"),  # its data memories are alike
        ("esp32c3", 1000, "sram1"),
    ],
)
def test_what_may_lie_in_slower_memory_does_with_its_initial_values(
    name: str, size: int, memory: str
) -> None:
    target = load_target(name)
    plain, firmware = link(tiny_sources(), target), link(slow_sources(size), target)
    place = target.memory_at(firmware.symbols["slow"].address)
    assert place and place.name == memory
    assert (firmware.slow_bytes, firmware.near_bytes, firmware.static_bytes) == (size, 0, size)
    assert size < firmware.flash_bytes - plain.flash_bytes < size + 100
    x = np.zeros((1, 24), np.int8)
    found, usual = (run(one, target, x, repeats=2).outputs for one in (firmware, plain))
    assert found[0][0] == usual[0][0] + 3


def test_what_has_no_room_in_slower_memory_lies_beside_the_rest() -> None:
    target = load_target("stm32l4r5")
    layout = place(target, 1000, 1000, 2048, 460_000)
    assert layout and layout.arena.name == layout.static.name == "sram1_sram2_sram3"
    assert layout.slow == layout.static
    beside = place(target, 200_000, 1000, 2048, 200_000)
    assert beside and (beside.static.name, beside.arena.name) == ("sram1", "sram2_sram3")
    assert beside.slow == beside.arena
    assert unplaced_bytes(target, 1000, 1000, 2048, 460_000) == 0
    assert unplaced_bytes(target, 1000, 1000, 2048, 660_000) > 0


@pytest.mark.parametrize("name", ["samd21", "esp32c3", "rp2040", "imxrt1062"])
@pytest.mark.parametrize("arena_bytes", [2_000_000, 100_000_000])
def test_what_does_not_fit_is_linked_all_the_same(name: str, arena_bytes: int) -> None:
    firmware = link(tiny_sources(arena_bytes=arena_bytes), load_target(name))
    assert not firmware.fits
    assert firmware.arena_bytes == arena_bytes
    assert firmware.target.sram_bytes > arena_bytes


def test_flash_overshoot_is_measured() -> None:
    table = "const int8_t big[400000] = {1};\n"
    big = table + "int model_run(void) {\n  model_arena[0] = big[model_arena[1]];"
    firmware = link(
        tiny_sources(PROGRAM.replace("int model_run(void) {", big)), load_target("samd21")
    )
    assert not firmware.fits
    assert firmware.flash_bytes > 400_000


def test_a_compiler_error_is_a_link_error_with_its_output() -> None:
    with pytest.raises(LinkError, match=r"model\.c.*error"):
        link(tiny_sources("int model_run(void) { return nonsense; }"), load_target("stm32f746"))


def test_a_full_disk_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "zig"
    tool.write_text("#!/bin/sh\necho 'error: NoSpaceLeft' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setattr("autotiny.firmware.zig._zig", lambda: (str(tool),))
    with pytest.raises(OSError, match=os.strerror(28)):
        link(tiny_sources(), load_target("stm32f746"))


def test_a_compiler_that_was_killed_is_no_fault_of_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, line in (("killed", "kill -9 $$"), ("starved", "echo 'error: OutOfMemory' >&2")):
        compiler = tmp_path / name
        compiler.write_text(f"#!/bin/sh\n{line}\nexit 1\n")
        compiler.chmod(0o755)
    target = load_target("samd21")
    for name, told in (("killed", r"killed \(SIGKILL\)"), ("starved", "found no memory")):
        monkeypatch.setattr(zig, "_zig", lambda name=name: (str(tmp_path / name),))
        with pytest.raises(MachineFault, match=rf"^the compiler (was )?{told}.*fewer --jobs"):
            link(tiny_sources(), target)


@pytest.mark.parametrize(
    "name", ["file", *(pytest.param(n, marks=pytest.mark.slow) for n in ("50%20", "two\nlines"))]
)
@pytest.mark.slow
def test_it_links_where_the_users_cache_is_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    target = load_target("stm32f746")
    first = link(tiny_sources(), target)
    if name == "file":
        (tmp_path / name).write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
    assert link(tiny_sources(), target).elf == first.elf


@pytest.mark.slow
def test_a_cache_that_is_removed_meanwhile_is_no_fault_of_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = " ".join(zig._zig())
    compiler = tmp_path / "compiler"
    compiler.write_text(
        f'#!/bin/sh\ncase "$ZIG_GLOBAL_CACHE_DIR" in {tmp_path}/*) '
        f'echo "error: FileNotFound" >&2; exit 1;; esac\nexec {real} "$@"\n'
    )
    compiler.chmod(0o755)
    target = load_target("samd21")
    expected = link(tiny_sources(), target).elf
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(zig, "_zig", lambda: (str(compiler),))
    assert link(tiny_sources(), target).elf == expected


def test_what_does_not_fit_is_not_compiled_without_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would build anew what all programs share, to no other end."""
    compiler, calls = tmp_path / "compiler", tmp_path / "calls"
    compiler.write_text(
        f'#!/bin/sh\necho "$ZIG_GLOBAL_CACHE_DIR" >> {calls}\nexec {" ".join(zig._zig())} "$@"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setattr(zig, "_zig", lambda: (str(compiler),))
    table = "const volatile int8_t big[70000] = {1};\nint model_run(void) {\n  (void)big[3];"
    program = PROGRAM.replace("int model_run(void) {", table)
    target = load_target("samd21")
    flash, *others = target.memories
    small = replace(target, memories=(replace(flash, size_bytes=0x8000), *others))
    assert not link(tiny_sources(program), small).fits
    assert calls.read_text().splitlines() == 2 * [str(zig._shared_cache())]
