import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from booting import loaded
from elftools.elf.elffile import ELFFile
from images import Network

from autotiny.cores import CORES
from autotiny.engine import Port, Sources, Style, generate, schedule_for
from autotiny.errors import UserError
from autotiny.firmware import link, link_board, link_selftest
from autotiny.firmware.app_image import app_image_of
from autotiny.firmware.board import with_board
from autotiny.firmware.formats import intel_hex
from autotiny.firmware.linking import symbols_of
from autotiny.firmware.ports import some_rows
from autotiny.firmware.project import export_project
from autotiny.graph import Quantization
from autotiny.simulator import measure, measure_elf, run
from autotiny.target import Target, load_target

HEADER = """
#include <stdint.h>
extern uint8_t model_arena[4096];
int model_run(void);
int model_invoke(const int8_t *in, int8_t *out);
"""

PROGRAM = """
#include "model.h"
uint8_t model_arena[4096] __attribute__((aligned(16)));
extern const int8_t model_table[64];
static __attribute__((noinline)) void look_up(int8_t *x) {
  for (int k = 0; k < 64; k++) x[k] = model_table[x[k] & 63];
}
int model_run(void) {
  look_up((int8_t *)model_arena);
  return 0;
}
int model_invoke(const int8_t *in, int8_t *out) {
  for (int k = 0; k < 64; k++) model_arena[k] = (uint8_t)in[k];
  model_run();
  for (int k = 0; k < 64; k++) out[k] = (int8_t)model_arena[k];
  return 0;
}
"""


def sources() -> Sources:
    table = ", ".join(str((7 * k) % 64) for k in range(64))
    declaration = "const int8_t model_table[64]"
    weights = f'#include "model.h"\nextern {declaration};\n{declaration} = {{{table}}};\n'
    port = Port("x", 0, (1, 64), "int8", Quantization((0.5,), (-3,)))
    return Sources(
        name="model",
        files={"model.h": HEADER, "model.c": PROGRAM, "weights.c": weights},
        inputs=(port,),
        outputs=(replace(port, name="y"),),
        arena_bytes=4096,
        weights_bytes=64,
        steps=("look up",),
        step_weights_bytes=(64,),
    )


def exported(target: Target, folder: Path, *, selftest: bool = False) -> Path:
    measured, cost = link(sources(), target), measure(sources(), target)
    started = link_board(sources(), measured, target, cost)
    rows = some_rows(sources().inputs)
    tested = link_selftest(sources(), measured, target, cost, rows) if selftest else None
    export_project(sources(), started, target, folder, cost=cost, measured=measured, tested=tested)
    return folder


def test_the_project_is_complete(tmp_path: Path) -> None:
    target = load_target("stm32f746")
    folder = exported(target, tmp_path / "project")
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == [
        "CMakeLists.txt", "Makefile", "README.md", "cmake/toolchain.cmake",
        "firmware.bin", "firmware.elf", "firmware.hex", "link.ld", "src/board.c", "src/board.h",
        "src/irq.c", "src/irq.h", "src/main.c", "src/model.c", "src/model.h", "src/startup.c",
        "src/weights.c",
    ]  # fmt: skip
    readme = (folder / "README.md").read_text()
    assert target.flash_tool.replace("{elf}", "firmware.elf") in readme
    assert "model_invoke(in, out);" in readme
    assert "int8_t in[MODEL_INPUT_SIZE];" in readme
    assert "| in (x) | int8 | 1×64 | 0.5 | -3 |" in readme
    assert "$" not in readme
    assert f" mJ {target.energy_error} |" in readme
    assert "Before it boots" not in readme
    assert str(tmp_path) not in readme + (folder / "Makefile").read_text()


def test_the_readme_says_what_a_boot_rom_expects(tmp_path: Path) -> None:
    target = replace(load_target("esp32c3"), flash_tool="")
    assert target.boot_note
    readme = (exported(target, tmp_path) / "README.md").read_text()
    assert target.boot_note in readme
    assert "No tool writes `firmware.elf` to this part as it is." in readme
    done = subprocess.run(
        ["make", "flash"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert "no tool writes this program as it is: see README.md" in done.stdout


def test_the_readme_tells_what_is_worth_time(tmp_path: Path) -> None:
    target = load_target("stm32l4r5")
    advised = f"**Worth time:** {target.advice}\n"
    assert target.advice
    assert advised in (exported(target, tmp_path / "told") / "README.md").read_text()
    silent = exported(replace(target, advice=""), tmp_path / "silent")
    assert "Worth time" not in (silent / "README.md").read_text()


@pytest.mark.parametrize(("level", "of_gcc"), [("-O2", "-O3"), ("-Os", "-Os")])
def test_gcc_optimizes_as_zig_does(level: str, of_gcc: str, tmp_path: Path) -> None:
    target = load_target("stm32l4r5")
    firmware = link(sources(), target, optimize=level)
    export_project(sources(), firmware, target, tmp_path)
    assert f"CFLAGS = -std=gnu11 {of_gcc} " in (tmp_path / "Makefile").read_text()


def test_elf_bin_and_hex_are_one_image(tmp_path: Path) -> None:
    target = load_target("stm32f746")
    folder = exported(target, tmp_path)
    image = (folder / "firmware.bin").read_bytes()
    assert image == link(with_board(sources(), target), target).image
    memory: dict[int, int] = {}
    base = 0
    for line in (folder / "firmware.hex").read_text().splitlines():
        record = bytes.fromhex(line[1:])
        assert sum(record) & 0xFF == 0
        size, offset, kind = record[0], int.from_bytes(record[1:3], "big"), record[3]
        if kind == 4:
            base = int.from_bytes(record[4:6], "big") << 16
        elif kind == 0:
            memory.update({base + offset + k: record[4 + k] for k in range(size)})
    assert bytes(memory[target.flash.origin + k] for k in range(len(image))) == image
    assert len(memory) == len(image)


def test_hex_records_do_not_cross_64_kib() -> None:
    lines = intel_hex(bytes(100), 0x0800FFF0).splitlines()
    assert lines[0] == ":020000040800F2"
    assert lines[1].startswith(":10FFF000")
    assert lines[2] == ":020000040801F1"
    assert lines[-1] == ":00000001FF"


def test_what_does_not_fit_is_not_exported(tmp_path: Path) -> None:
    target = load_target("samd21")
    small = replace(target, memories=(replace(target.flash, size_bytes=256), *target.memories[1:]))
    with pytest.raises(UserError, match="does not fit samd21"):
        export_project(sources(), link(sources(), small), small, tmp_path)


@pytest.mark.parametrize("name", ["../outside.c", "/tmp/outside.c", "a/../../../outside.c"])
def test_no_file_leaves_the_folder(name: str, tmp_path: Path) -> None:
    target = load_target("stm32f746")
    firmware = link(sources(), target)
    hostile = replace(firmware, files={**firmware.files, name: "int x;"})
    folder = tmp_path / "deep" / "project"
    with pytest.raises(UserError, match="outside"):
        export_project(sources(), hostile, target, folder)
    assert not folder.exists()


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    target = load_target("stm32f746")
    folder, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "src").symlink_to(elsewhere)
    with pytest.raises(UserError, match="outside"):
        export_project(sources(), link(sources(), target), target, folder)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("name", ["stm32f746", "esp32c3"])
def test_zig_builds_the_same_bytes(name: str, tmp_path: Path) -> None:
    folder = exported(load_target(name), tmp_path / "a project")
    subprocess.run(
        ["make", "zig", f"ZIG={sys.executable} -m ziglang"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    built = (folder / "build" / "zig" / "firmware.elf").read_bytes()
    assert built == (folder / "firmware.elf").read_bytes()


def needed(target: Target, *tools: str) -> None:
    """Skip where GCC for a target or another tool is not there."""
    missing = [
        tool for tool in (f"{CORES[target.core].isa.gcc_prefix}gcc", *tools)
        if not shutil.which(tool)
    ]  # fmt: skip
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")


def extensions(path: Path) -> str:
    """The instruction set that a program for RISC-V says it is for, without what that implies."""
    with path.open("rb") as file:
        text = ELFFile(file).get_section_by_name(".riscv.attributes").data()
    (named,) = re.findall(rb"rv32\w+", text)  # each with its version, as in rv32i2p1_m2p0
    parts = [re.sub(r"\d+p\d+$", "", part) for part in named.decode().split("_")]
    return "".join(part for part in parts if not part.startswith("z"))


@pytest.mark.parametrize(
    "name", ["stm32f746", "stm32l4r5", "stm32u575", "stm32f103", "rp2040", "esp32c3"]
)
def test_gcc_builds_a_firmware_that_runs(name: str, tmp_path: Path) -> None:
    target = load_target(name)
    needed(target, "make")
    folder = exported(target, tmp_path)
    done = subprocess.run(
        ["make"], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    elf = folder / "build" / "gcc" / "firmware.elf"
    with BytesIO(elf.read_bytes()) as file:
        assert ELFFile(file)["e_machine"] == CORES[target.core].isa.elf_machine
    if target.app_image:
        assert loaded(app_image_of(elf, target.app_image))
        assert extensions(elf) == target.core
        return
    measured = measure_elf(elf, target)
    assert 200 < measured.instructions < 2000
    binary = (folder / "build" / "gcc" / "firmware.bin").read_bytes()
    assert len(binary) == measured.flash_bytes
    assert (folder / "build" / "gcc" / "firmware.hex").stat().st_size > 2 * len(binary)


@pytest.mark.parametrize("name", ["stm32f746", "rp2040", "esp32c3"])
def test_cmake_builds_what_make_builds(name: str, tmp_path: Path) -> None:
    target = load_target(name)
    needed(target, "make", "cmake")
    folder = exported(target, tmp_path / "a project", selftest=True)
    toolchain = "-DCMAKE_TOOLCHAIN_FILE=cmake/toolchain.cmake"
    for command in (
        ["make", "all", "selftest"],
        ["cmake", "-B", "build/cmake", toolchain, "-DCMAKE_C_FLAGS=-Wextra -Werror"],
        ["cmake", "--build", "build/cmake"],
    ):
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr.lower()
    for program in ("firmware", "selftest"):
        if target.app_image:
            made, other = (
                app_image_of(folder / "build" / by / f"{program}.elf", target.app_image)
                for by in ("cmake", "gcc")
            )
            assert made == other
            assert loaded(made)
            continue
        for ending in ("bin", "hex"):
            made, other = (
                (folder / "build" / by / f"{program}.{ending}").read_bytes()
                for by in ("cmake", "gcc")
            )
            assert made == other
    if target.app_image:
        return
    measured = measure_elf(folder / "build" / "cmake" / "firmware.elf", target)
    assert 200 < measured.instructions < 2000


OWN = """
#include <string.h>
#if !defined(__thumb__) && __riscv_xlen != 32
#error "compiled for another core"
#endif
size_t own_length(const char *text);
size_t own_length(const char *text) { return strlen(text); }
"""


@pytest.mark.parametrize("name", ["rp2040", "esp32c3"])
def test_the_toolchain_file_serves_a_library_of_ones_own(name: str, tmp_path: Path) -> None:
    """Which has neither the compile options of our CMakeLists.txt nor a linker script."""
    needed(load_target(name), "cmake")
    toolchain = exported(load_target(name), tmp_path / "project") / "cmake" / "toolchain.cmake"
    (tmp_path / "own.c").write_text(OWN)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(own C)\nadd_library(own STATIC own.c)\n"
    )
    for command in (
        ["cmake", "-B", "build", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}"],
        ["cmake", "--build", "build"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(
    not (shutil.which("make") and shutil.which("arm-none-eabi-gcc")),
    reason="make or arm-none-eabi-gcc is not installed",
)
@pytest.mark.parametrize("level", ["-O0", "-O1", "-Og", "-Os", "-O3"])
@pytest.mark.parametrize(
    ("style", "kernel"),
    [("fastest", "at_depthwise_row_pairs_s8("), ("balanced", "at_depthwise_3x3_s8(")],
)
def test_gcc_computes_the_same_at_every_level(
    style: Style, kernel: str, level: str, tmp_path: Path
) -> None:
    net = Network(9, 9, 1)
    x = net.conv(0, 8, 3, 1)
    x = net.conv(net.conv(x, 0, 3, 1), 8, 1, 1)
    graph, target = net.graph(net.conv(x, 0, 3, 2)), load_target("stm32l4r5")
    made = generate(graph, schedule_for(graph, style, dsp=True))
    assert kernel in made.files["model.c"]
    assert "at_conv_plane_3x3_s8(" in made.files["model.c"]
    firmware = link(made, target)
    export_project(made, firmware, target, tmp_path)
    makefile = (tmp_path / "Makefile").read_text()
    (tmp_path / "Makefile").write_text(makefile.replace(" -O3 ", f" {level} "))
    done = subprocess.run(["make"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    elf = (tmp_path / "build" / "gcc" / "firmware.elf").read_bytes()
    with BytesIO(elf) as file:
        symbols = symbols_of(ELFFile(file))
    limit, top = (symbols[name].address for name in ("link_stack_limit", "link_stack_top"))
    by_gcc = replace(firmware, elf=elf, symbols=symbols, stack_limit=limit, stack_top=top)
    np.testing.assert_array_equal(run(by_gcc, target).outputs, run(firmware, target).outputs)
