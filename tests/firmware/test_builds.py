"""Generated C with flags of a user's own, where the compiler keeps little in registers."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from images import Network, in_arithmetic
from small_network import generated, int8_network

from autotiny.cores import CORES
from autotiny.engine import (
    Sources,
    fuse,
    generate,
    plain_schedule,
    schedule_for,
    with_blocks,
    with_expanded_weights,
    with_strassen,
)
from autotiny.engine.variants.sparse import Sparse
from autotiny.errors import NotApplicable
from autotiny.evaluate.build import write_project
from autotiny.firmware import Firmware, link
from autotiny.firmware.linking import compiler_flags, symbols_of
from autotiny.firmware.project import gcc_machine_flags
from autotiny.firmware.zig import zig_cc
from autotiny.graph import Graph
from autotiny.schedule import Schedule, Weights
from autotiny.simulator import measure_firmware, run
from autotiny.target import Target, load_target

BOARDS = ("rp2040", "stm32f103", "stm32l4r5", "stm32f746", "stm32u575", "esp32c3")
LEVELS = ("-O0", "-Og", "-O1", "-O3")
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-std=c99")
PREFIXES = ("arm-none-eabi-", "riscv64-unknown-elf-")


def network() -> Graph:
    """A layer for each kernel with assembly: planes, windows, tiles, products, pooling."""
    net = Network(12, 12, 1)
    x = net.conv(net.conv(0, 4, 3, 1), 16, 3, 1)
    x = net.conv(net.conv(x, 16, 3, 1), 0, 3, 1)
    return net.graph(net.conv(net.pool(net.conv(x, 32, 1, 1)), 8, 1, 1))


def coded(graph: Graph) -> Schedule:
    """Weights as sparse as they are, and entropy-coded, in turn."""
    steps = plain_schedule(graph).steps
    return Schedule(
        tuple(
            replace(step, **({"kernel": Sparse()}, {"weights": Weights("huffman")})[k % 2])
            if graph.ops[step.ops[0]].kind == "CONV_2D"
            else step
            for k, step in enumerate(steps)
        )
    )


def without_zeros(graph: Graph) -> Schedule:
    """Convolutions without zero weights, of floats one with max-pooling."""
    schedule = plain_schedule(graph)
    with suppress(NotApplicable):
        schedule = fuse(graph, schedule)
    return Schedule(
        tuple(
            replace(step, kernel=Sparse()) if graph.ops[step.ops[0]].kind == "CONV_2D" else step
            for step in schedule.steps
        )
    )


def multiplied(graph: Graph) -> Schedule:
    """Strassen's products, and wide weights where there are none."""
    blocks = with_blocks(graph, plain_schedule(graph))
    return with_strassen(graph, with_expanded_weights(graph, blocks), pixels=8, least_depth=16)


TYPES = ("float32", "float16", "int16")
PROGRAMS: dict[str, Callable[[Graph, Target], Schedule]] = {
    "fastest": lambda graph, target: schedule_for(graph, "fastest", dsp=target.dsp),
    "smallest": lambda graph, target: schedule_for(graph, "smallest", dsp=target.dsp),
    "blocks": lambda graph, target: with_blocks(graph, plain_schedule(graph)),
    "products": lambda graph, target: multiplied(graph),
    "coded": lambda graph, target: coded(graph),
    **dict.fromkeys(TYPES, lambda graph, target: without_zeros(graph)),
}


def sources(program: str, target: Target) -> Sources:
    graph = in_arithmetic(network(), program) if program in TYPES else network()
    return generate(graph, PROGRAMS[program](graph, target))


def written(program: str, target: Target, folder: Path) -> None:
    for name, text in sources(program, target).files.items():
        (folder / name).write_text(text)


def zig_machine(target: Target) -> tuple[str, ...]:
    flags = compiler_flags(target, "-O0")
    return (*flags[: flags.index("-O0")], "-fno-sanitize=undefined")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("board", BOARDS)
def test_clang_compiles_without_a_warning(board: str, program: str, tmp_path: Path) -> None:
    target = load_target(board)
    written(program, target, tmp_path)
    # Each core at each level, if not each program.
    level = LEVELS[(BOARDS.index(board) + list(PROGRAMS).index(program)) % len(LEVELS)]
    flags = (*zig_machine(target), level, *WARNINGS, "-c", "model.c", "-o", "model.o")
    assert zig_cc(flags, tmp_path) == ""


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    "level", ["-O3", *(pytest.param(one, marks=pytest.mark.slow) for one in LEVELS[:-1])]
)
def test_gcc_compiles_without_a_warning(prefix: str, level: str, tmp_path: Path) -> None:
    if not shutil.which(f"{prefix}gcc"):
        pytest.skip(f"{prefix}gcc is not installed")
    for board in BOARDS:
        target = load_target(board)
        if CORES[target.core].isa.gcc_prefix != prefix:
            continue
        machine = (*gcc_machine_flags(target).split(), "-ffreestanding")
        for program in PROGRAMS:
            written(program, target, tmp_path)
            flags = (*machine, level, *WARNINGS, "-c", "model.c", "-o", "model.o")
            done = subprocess.run(
                [f"{prefix}gcc", *flags], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{board} {program}: {done.stderr[:2000]}"


STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")


@pytest.mark.parametrize("language", ["c99", "c11", "c17", "c++17"])
def test_it_is_c_and_cpp_of_every_standard(language: str, tmp_path: Path) -> None:
    """Each program for one core, with the warnings that careful projects have."""
    front = "c++" if "+" in language else "c"
    own = (*STRICT, "-x", front, f"-std={language}", "-Os", "-c", "model.c", "-o", "model.o")
    for board, program in zip((*BOARDS, *BOARDS), PROGRAMS, strict=False):
        target = load_target(board)
        written(program, target, tmp_path)
        assert zig_cc((*zig_machine(target), *own), tmp_path) == "", f"{board} {program}"
        compiler = f"{CORES[target.core].isa.gcc_prefix}{'g++' if front == 'c++' else 'gcc'}"
        if shutil.which(compiler):
            flags = (*gcc_machine_flags(target).split(), "-ffreestanding", *own)
            done = subprocess.run(
                [compiler, *flags], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{board} {program}: {done.stderr[:2000]}"


CHECKS = "clang-analyzer-*,bugprone-*,-bugprone-easily-swappable-parameters"
CHECKERS = {
    "cppcheck": (
        "cppcheck", "--enable=warning,performance,portability", "--quiet", "--error-exitcode=1",
        "-DAUTOTINY_BOARD", "src",
    ),
    "clang-tidy": ("clang-tidy", f"-checks=-*,{CHECKS}", "--warnings-as-errors=*", "--quiet"),
}  # fmt: skip


@pytest.mark.parametrize("board", ["stm32f746", "rp2040"])
@pytest.mark.parametrize("checker", CHECKERS)
def test_checkers_find_nothing_in_a_project(checker: str, board: str, tmp_path: Path) -> None:
    """Of the model and of all that starts and tests it."""
    if not shutil.which(checker):
        pytest.skip(f"{checker} is not installed")
    target, made = load_target(board), sources("fastest", load_target(board))
    measured = measure_firmware(made, target)
    write_project(made, target, measured.cost, tmp_path, None)
    command = [*CHECKERS[checker]]
    if checker == "clang-tidy":
        units = sorted(f"src/{path.name}" for path in (tmp_path / "src").glob("*.c"))
        core = f"-mcpu={target.core}"
        board_flags = ("-DAUTOTINY_BOARD", "-std=gnu11", "--target=arm-none-eabi", core)
        command += [*units, "--", *board_flags, "-ffreestanding"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("level", ["-O2", "-O3"])
def test_gcc_places_constants_near_enough_to_a_window(level: str, tmp_path: Path) -> None:
    """It must know how much code stands between a load and its constant."""
    if not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("arm-none-eabi-gcc is not installed")
    target = load_target("stm32u575")
    net = Network(48, 48, 3)
    graph = net.graph(net.conv(net.conv(0, 8, 3, 2), 0, 3, 1))
    for name, text in generate(graph, schedule_for(graph, "fastest", dsp=True)).files.items():
        (tmp_path / name).write_text(text)
    machine = (*gcc_machine_flags(target).split(), "-ffreestanding")
    flags = (*machine, level, *WARNINGS, "-c", "model.c", "-o", "model.o")
    subprocess.run(["arm-none-eabi-gcc", *flags], cwd=tmp_path, check=True)


@pytest.mark.parametrize("program", ["fastest", "products"])
@pytest.mark.parametrize("board", ["stm32f746", "rp2040"])
@pytest.mark.everyday(2)
def test_what_is_not_optimized_computes_the_same(board: str, program: str, tmp_path: Path) -> None:
    target = load_target(board)
    firmware = link(sources(program, target), target, stack_bytes=4096)
    other = at_level(firmware, target, "-O0", tmp_path)
    assert len(other.image) > len(firmware.image)
    found, expected = (run(one, target, repeats=1) for one in (other, firmware))
    np.testing.assert_array_equal(found.outputs, expected.outputs)
    assert len(np.unique(expected.outputs)) > 5


def at_level(firmware: Firmware, target: Target, level: str, folder: Path) -> Firmware:
    for name, text in firmware.files.items():
        (folder / name).write_text(text)
    units = [name for name in firmware.files if name.endswith(".c")]
    linking = ("-Wl,--gc-sections", "-Wl,--entry,Reset_Handler", "-T", "link.ld")
    flags = (*zig_machine(target), level, "-ffunction-sections", "-fdata-sections")
    assert zig_cc((*flags, *units, *linking, "-o", "other.elf"), folder) == ""
    elf = (folder / "other.elf").read_bytes()
    with BytesIO(elf) as file:
        symbols = symbols_of(ELFFile(file))
    limit, top = (symbols[name].address for name in ("link_stack_limit", "link_stack_top"))
    return replace(firmware, elf=elf, symbols=symbols, stack_limit=limit, stack_top=top)


def alignments(folder: Path, *flags: str) -> dict[str, int]:
    """Of each variable of a model, compiled for this machine, the border that it begins at."""
    names = ("model", "weights")
    for name in names:
        told = zig_cc([*flags, "-O2", "-fdata-sections", "-c", f"{name}.c"], folder)
        assert "error" not in told, told
    found = {}
    for name in names:
        with BytesIO((folder / f"{name}.o").read_bytes()) as file:
            for section in ELFFile(file).iter_sections():
                if re.fullmatch(r"\.(bss|data|rodata)\.model_\w+", section.name):
                    found[section.name.rpartition(".")[2]] = section["sh_addralign"]
    return found


def test_a_compiler_that_is_not_gnu_keeps_alignments_or_is_refused(tmp_path: Path) -> None:
    for name, text in generated(int8_network()).files.items():
        (tmp_path / name).write_text(text)
    usual = alignments(tmp_path, "-std=c11")
    assert usual["model_arena"] == 16
    assert {size for name, size in usual.items() if "_w" in name} >= {4}
    other = alignments(tmp_path, "-std=c11", "-U__GNUC__", "-w")
    assert set(other) == set(usual)
    assert all(other[name] >= usual[name] for name in usual)
    told = zig_cc(["-std=c99", "-U__GNUC__", "-w", "-c", "weights.c"], tmp_path)
    assert "compile as C11" in told


def test_tiny_cc_computes_the_same(tmp_path: Path) -> None:
    if not shutil.which("tcc"):
        pytest.skip("tcc is not installed")
    sources = generated(int8_network())
    asked = ", ".join(map(str, range(-64, 64)))
    main = f"""
#include <stdio.h>
#include "model.h"
static const int8_t given[] = {{{asked}}};
static int8_t in[MODEL_INPUT_SIZE], out[MODEL_OUTPUT_SIZE];
int main(void) {{
  for (int i = 0; i < MODEL_INPUT_SIZE; i++) in[i] = given[i * 37 % 128];
  model_invoke(in, out);
  for (int i = 0; i < MODEL_OUTPUT_SIZE; i++) printf("%d ", out[i]);
  return 0;
}}
"""
    for name, text in {**sources.files, "main.c": main}.items():
        (tmp_path / name).write_text(text)
    units = ["main.c", "model.c", "weights.c", "-lm"]
    subprocess.run(["tcc", "-std=c11", *units, "-o", "by_tcc"], cwd=tmp_path, check=True)
    assert zig_cc(["-std=c11", *units, "-o", "by_clang"], tmp_path) == ""
    tcc, clang = (
        subprocess.run([tmp_path / by], capture_output=True, text=True, check=True).stdout
        for by in ("by_tcc", "by_clang")
    )
    assert tcc == clang != ""
