"""Projects of every target, built in every way that they say they can be, and read by checkers.

    python benchmarks/projects.py [--targets stm32f746,rp2040] [--networks cnn1,ds_cnn,imu_lstm]

The project of each network in int8, schedule `fastest`, for each target: firmware and selftest by
`make` with GCC at -O0, -Og, -O2, -Os and -O3 -flto, and by CMake; `make zig`, whose bytes must be
those that were measured; the model as C99, C11, C17 and C++17; all of its C read by cppcheck and
clang-tidy. Every warning of -Wall -Wextra -Wpedantic -Wconversion -Wshadow is an error, and so is
every finding. The table goes to results/projects.md; rows that are there already and are not asked
for stay.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from schedules import lowered
from writing import row, rows_beside, write_page

from autotiny.cores import CORES
from autotiny.engine import generate, schedule_for
from autotiny.evaluate.build import write_project
from autotiny.firmware.project import gcc_machine_flags
from autotiny.graph import Graph
from autotiny.simulator import measure_firmware
from autotiny.target import Target, load_target, target_names

RESULT = Path(__file__).parent.parent / "results" / "projects.md"
NETWORKS = ("cnn1", "ds_cnn", "imu_lstm")
LEVELS = ("-O0", "-Og", "-O2", "-Os", "-O3 -flto")
STRICT = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
LANGUAGES = ("c99", "c11", "c17", "c++17")
CPPCHECK = "cppcheck --enable=warning,performance,portability --quiet --error-exitcode=1"
CLANG_TIDY = (
    "clang-tidy --quiet --warnings-as-errors=* "
    "-checks=-*,clang-analyzer-*,bugprone-*,-bugprone-easily-swappable-parameters"
)
TOOLS = ("arm-none-eabi-gcc", "riscv64-unknown-elf-gcc", "cmake", "cppcheck", "clang-tidy")
TRIPLES = {"arm-none-eabi-": "arm-none-eabi", "riscv64-unknown-elf-": "riscv32-unknown-elf"}


@dataclass(frozen=True)
class Row:
    """A project.

    Attributes:
        builds: that were tried.
        failed: those that did not end well, with what was said first.
    """

    network: str
    target: str
    builds: int
    failed: tuple[str, ...]


def main() -> None:
    """Build what is asked, and write the table."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", default=",".join(target_names()))
    parser.add_argument("--networks", default=",".join(NETWORKS))
    asked = parser.parse_args()
    rows = {(one["network"], one["target"]): Row(**one) for one in rows_beside(RESULT)}
    for name in asked.networks.split(","):
        graph = lowered(name)
        for board in asked.targets.split(","):
            found = [*built(graph, load_target(board))]
            failed = tuple(f"{what}: {said}" for what, said in found if said)
            rows[name, board] = Row(name, board, len(found), failed)
            print(rows[name, board], flush=True)
            every = list(rows.values())
            write_page(RESULT, page(every), every)


def built(graph: Graph, target: Target) -> Iterator[tuple[str, str]]:
    """Each build of a project, and what is said of it that should not be."""
    sources = generate(graph, schedule_for(graph, "fastest", **target.traits))
    measured = measure_firmware(sources, target, simulate_memory=False)
    if measured.cost.unplaced_bytes or not measured.firmware.fits:
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_project(sources, target, measured.cost, folder, None)
        makefile = (folder / "Makefile").read_text()
        programs = "all selftest" if "selftest:" in makefile else "all"
        for level in LEVELS:
            usual = " -Os " if " -Os " in makefile else " -O3 "
            (folder / "Makefile").write_text(makefile.replace(usual, f" {level} {STRICT} ", 1))
            yield f"GCC {level}", said(f"make -s clean {programs}", folder)
        (folder / "Makefile").write_text(makefile)
        yield "zig", said(f"make -s zig ZIG={sys.executable}\\ -m\\ ziglang", folder)
        same = (folder / "build/zig/firmware.elf").read_bytes()
        yield "zig's bytes", "" if same == (folder / "firmware.elf").read_bytes() else "others"
        toolchain = "-DCMAKE_TOOLCHAIN_FILE=cmake/toolchain.cmake"
        configured = said(f"cmake -B build/cmake {toolchain} '-DCMAKE_C_FLAGS={STRICT}'", folder)
        yield "CMake", configured or said("cmake --build build/cmake", folder)
        yield from of_languages(target, folder)
        yield from checked(
            target, folder, "-DAUTOTINY_BOARD" if "-DAUTOTINY_BOARD" in makefile else ""
        )


def of_languages(target: Target, folder: Path) -> Iterator[tuple[str, str]]:
    """The model as other C, and as C++."""
    prefix = CORES[target.core].isa.gcc_prefix
    for language in LANGUAGES:
        front, program = ("c++", "g++") if "+" in language else ("c", "gcc")
        flags = f"{gcc_machine_flags(target)} -ffreestanding {STRICT} -x {front} -std={language}"
        for file in ("model.c", "weights.c"):
            command = f"{prefix}{program} {flags} -Os -c src/{file} -o model.o"
            yield f"{language} {file}", said(command, folder)


def checked(target: Target, folder: Path, defined: str) -> Iterator[tuple[str, str]]:
    """What checkers say of all its C."""
    yield "cppcheck", said(f"{CPPCHECK} {defined} src", folder)
    prefix = CORES[target.core].isa.gcc_prefix
    core = f"-mcpu={target.core}" if prefix == "arm-none-eabi-" else "-march=rv32imc"
    flags = f"{defined} -std=gnu11 --target={TRIPLES[prefix]} {core} -ffreestanding"
    yield "clang-tidy", said(f"{CLANG_TIDY} src/*.c -- {flags}", folder)


def said(command: str, folder: Path) -> str:
    """What a command complains of; nothing if it ends well and warns of nothing."""
    done = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, check=False
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    told = [line for line in lines if "warning" in line.lower() or "error" in line.lower()]
    if done.returncode:
        return (told or lines or [f"exit code {done.returncode}"])[0][:200]
    return told[0][:200] if told and "clang-tidy" not in command else ""


def page(rows: Sequence[Row]) -> str:
    """The text of results/projects.md."""
    assert __doc__
    command, text = __doc__.split("\n\n")[1:3]
    networks = list(dict.fromkeys(one.network for one in rows))
    of = {(one.network, one.target): one for one in rows}
    told = [f"- {one.target} {one.network}: {each}" for one in rows for each in one.failed]
    lines = [
        "# Projects\n", f"{command}\n", text.replace("\n", " ").strip() + "\n",
        *map(version, filter(shutil.which, TOOLS)),
        "",
        row("target", *networks),
        "|---" * (len(networks) + 1) + "|",
        *(
            row(target, *(cell(of.get((name, target))) for name in networks))
            for target in dict.fromkeys(one.target for one in rows)
        ),
        *(["", "What failed:\n", *told] if told else []),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def version(tool: str) -> str:
    """A line that says which it is."""
    done = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False)
    return f"- {next(filter(re.compile('[0-9]').search, done.stdout.splitlines())).strip()}"


def cell(one: Row | None) -> str:
    """How many of its builds went well, of how many."""
    if one is None:
        return ""
    return f"{one.builds - len(one.failed)} of {one.builds}" if one.builds else "no room"


if __name__ == "__main__":
    main()
