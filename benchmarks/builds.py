"""Build generated C as users build it, with flags of their own, and execute some of what was built.

    python benchmarks/builds.py [--programs cnn1/fastest …] [--levels O0 …] [--jobs 2]

Compiles the C of the built-in networks in all three schedules, of other number formats and of each
way to store or multiply weights, for six cores: with clang (zig), and with GCC where it is on PATH,
at every level, as C99 and as GNU C11, every warning an error. Then links what -O0 and -O3 make,
with and without link-time optimization, executes it, and compares the outputs for one input with
those of autotiny's own firmware. Writes results/builds.md.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from elftools.elf.elffile import ELFFile
from writing import row, step

from autotiny.components import COMPONENTS, Work
from autotiny.cores import CORES
from autotiny.dataset import synthetic
from autotiny.engine import Sources, Style, generate, schedule_for
from autotiny.errors import NotApplicable
from autotiny.firmware import Firmware, link
from autotiny.firmware.linking import compiler_flags, symbols_of
from autotiny.firmware.project import gcc_machine_flags
from autotiny.graph import Array
from autotiny.model import Model, keras, keras_model, load_model
from autotiny.simulator import run
from autotiny.target import Target, load_target

RESULT = Path(__file__).parent.parent / "results" / "builds.md"
BOARDS = ("rp2040", "stm32f103", "stm32l4r5", "stm32f746", "stm32u575", "esp32c3")
"""A board of each core."""

NETWORKS = ("cnn1", "ds_cnn", "resnet8", "mobilenet_v1", "autoencoder")
STYLES: tuple[Style, ...] = ("fastest", "balanced", "smallest")
FORMATS = ("float32", "float16", "dynamic_range", "int16x8")
WAYS: Mapping[str, tuple[str, ...]] = {
    "sparse": ("skip_zeros",),
    "shared": ("share_weights",),
    "coded": ("huffman_code",),
    "strassen": ("block_gemm", "strassen"),
    "expanded": ("block_gemm", "expand_weights"),
    "winograd": ("block_gemm", "use_winograd"),
    "pairs": ("pair_products",),
    "patches": ("execute_patchwise",),
}
"""Schedules by the components that make them."""

LEVELS = ("O0", "Og", "O1", "O2", "O3", "Os")
STANDARDS = ("c99", "gnu11")
WARNINGS = ("-Wall", "-Wextra", "-Werror")


# What is built


@cache
def lowered(network: str, lowering: str) -> Model:
    """A built-in network, untrained, in a number format."""
    model = OWN[network]() if network in OWN else load_model(network)
    return COMPONENTS[lowering]().apply(model, Work(synthetic(model)))


def gru() -> Model:
    """Two layers over 16 steps, one of them both ways."""
    k = keras()
    k.utils.set_random_seed(0)
    layers = k.layers
    both = layers.Bidirectional(layers.GRU(12, return_sequences=True))
    last = layers.GRU(9, reset_after=False)
    return keras_model(
        k.Sequential([layers.InputLayer(input_shape=(16, 7)), both, last, layers.Dense(5)])
    )


def windows() -> Model:
    """Depthwise convolutions with other filters than 3×3, and others with odd channels."""
    k = keras()
    k.utils.set_random_seed(0)
    layers = k.layers
    image = x = k.Input((20, 19, 4), name="image")
    for window, stride in ((5, 1), (7, 2), ((9, 1), 1), ((1, 4), 1), (5, 2)):
        x = layers.DepthwiseConv2D(window, stride, padding="same", activation="relu")(x)
    for filters, window in ((7, 1), (9, 3)):
        x = layers.Conv2D(filters, window, padding="same", activation="relu")(x)
    return keras_model(k.Model(image, layers.Dense(10)(layers.Flatten()(x)), name="windows"))


def odd() -> Model:
    """Convolutions whose channels fill no fours."""
    k = keras()
    k.utils.set_random_seed(0)
    layers = k.layers
    image = x = k.Input((10, 9, 5), name="image")
    for filters, window in ((11, 3), (19, 3), (23, 3), (10, 1)):
        x = layers.Conv2D(filters, window, padding="same", activation="relu")(x)
    return keras_model(k.Model(image, layers.Dense(10)(layers.Flatten()(x)), name="odd"))


OWN: Mapping[str, Callable[[], Model]] = {"gru": gru, "windows": windows, "odd": odd}


def wide() -> Model:
    """Convolutions of every kind that a schedule treats, and dense layers."""
    k = keras()
    k.utils.set_random_seed(0)
    layers = k.layers
    image = k.Input((28, 28), name="image")
    x = layers.Reshape((14, 14, 4))(image)
    for filters, window in ((16, 3), (16, 3), (192, 1), (32, 1)):
        x = layers.Conv2D(filters, window, padding="same", activation="relu")(x)
    x = layers.Flatten()(layers.MaxPooling2D(4)(x))
    x = layers.Dense(10)(layers.Dense(64, activation="relu")(x))
    return keras_model(k.Model(image, x, name="wide"))


@cache
def compressed() -> Model:
    """The same with zeros and few different weights, in int8."""
    model = wide()
    work = Work(synthetic(model), rehearse=True)
    for one in (step("prune_magnitude", sparsity=0.8), step("cluster_weights", clusters=8)):
        model = one.apply(model, work)
    return COMPONENTS["int8"]().apply(model, work)


def programs() -> dict[str, Callable[[Target], Sources]]:
    """Name → the C of a program for a target."""

    def scheduled(network: str, lowering: str, style: Style) -> Callable[[Target], Sources]:
        def made(target: Target) -> Sources:
            graph = lowered(network, lowering).graph
            return generate(graph, schedule_for(graph, style, **target.traits))

        return made

    def composed(ways: Sequence[str]) -> Callable[[Target], Sources]:
        def made(target: Target) -> Sources:
            model = compressed()
            for name in ways:
                model = COMPONENTS[name]().apply(model, Work(synthetic(model)))
            program = model.program
            return generate(program.graph, program.schedule)

        return made

    whole = {
        f"{network}/{style}": scheduled(network, "int8", style)
        for network in NETWORKS
        for style in STYLES
    }
    formats = {f"cnn1/{name}": scheduled("cnn1", name, "fastest") for name in FORMATS}
    filters = {f"{name}/fastest": scheduled(name, "int8", "fastest") for name in ("windows", "odd")}
    loops = {f"gru/{name}": scheduled("gru", name, "fastest") for name in ("int8", *FORMATS)}
    ways = {f"wide/{name}": composed(parts) for name, parts in WAYS.items()}
    return {**whole, **filters, **formats, **loops, **ways}


# Compilers


@dataclass(frozen=True)
class Compiler:
    """A compiler for a target.

    Attributes:
        name: in the table.
        command: with what says for which machine.
    """

    name: str
    command: tuple[str, ...]


def compilers(target: Target) -> Iterator[Compiler]:
    """Those that this machine has for a target."""
    machine = compiler_flags(target, "-O0")
    kept = machine[: machine.index("-O0")]
    zig = (sys.executable, "-m", "ziglang", "cc", *kept, "-fno-sanitize=undefined")
    yield Compiler("clang", zig)
    gcc = f"{CORES[target.core].isa.gcc_prefix}gcc"
    if shutil.which(gcc):
        own = CORES[target.core].isa.gcc_library.split()
        yield Compiler("gcc", (gcc, *gcc_machine_flags(target).split(), *own))


@dataclass(frozen=True)
class Build:
    """One way to build a program.

    Attributes:
        program: its name.
        board: the target.
        compiler: its name.
        level: of optimization.
        standard: of C.
        lto: whether the linker optimizes.
    """

    program: str
    board: str
    compiler: str
    level: str
    standard: str
    lto: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """What a user would give."""
        lto = ("-flto",) if self.lto else ()
        return (f"-{self.level}", f"-std={self.standard}", *WARNINGS, *lto)


def compiled(folder: Path, build: Build, compiler: Compiler) -> str:
    """What the compiler complains of; "" if nothing."""
    command = [*compiler.command, *build.flags, "-c", "model.c", "-o", f"{abs(hash(build))}.o"]
    return complaint(command, folder)


def complaint(command: Sequence[str], folder: Path) -> str:
    """What a command says when it fails; "" if it does not."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr or f"exit code {done.returncode}"


def linked(
    build: Build, compiler: Compiler, firmware: Firmware, folder: Path
) -> tuple[Firmware | None, str]:
    """Autotiny's firmware, built in another way, or what the compiler complains of."""
    units = sorted(name for name in firmware.files if name.endswith(".c"))
    output = f"{build.compiler}-{build.level}-{build.lto}.elf"
    libraries = ("-nostdlib", "-lm", "-lc", "-lgcc") if build.compiler == "gcc" else ()
    defines = [flag for flag in firmware.flags if flag.startswith("-D")]
    command = [
        *compiler.command, *build.flags, *defines, "-ffunction-sections", "-fdata-sections", *units,
        "-Wl,--gc-sections", "-Wl,--entry,Reset_Handler", "-T", "link.ld", *libraries, "-o", output,
    ]  # fmt: skip
    why = complaint(command, folder)
    if why:
        return None, why
    elf = (folder / output).read_bytes()
    with BytesIO(elf) as file:
        symbols = symbols_of(ELFFile(file))
    limit, top = (symbols[name].address for name in ("link_stack_limit", "link_stack_top"))
    return replace(firmware, elf=elf, symbols=symbols, stack_limit=limit, stack_top=top), ""


def executed(
    build: Build, compiler: Compiler, firmware: Firmware, expected: Array, folder: Path
) -> str:
    """What is wrong with a program that was built and run; "" if it computes the same."""
    other, why = linked(build, compiler, firmware, folder)
    if other is None:
        return why
    found = outputs(other)
    near = found.dtype == np.float32 and np.allclose(found, expected, rtol=1e-5, atol=1e-6)
    return "" if near or np.array_equal(found, expected) else "other outputs"


def outputs(firmware: Firmware) -> Array:
    """What a firmware computes of seeded inputs."""
    return run(firmware, firmware.target, repeats=1, simulate_memory=False).outputs


def roomy(target: Target) -> Target:
    """A target with flash for code that is not optimized."""
    memories = [
        replace(one, size_bytes=max(one.size_bytes, 1 << 22)) if one.kind == "flash" else one
        for one in target.memories
    ]
    return replace(target, memories=tuple(memories))


# The matrix


def tried(
    board: str, chosen: Sequence[str], levels: Sequence[str], jobs: int
) -> Iterator[tuple[Build, str, str]]:
    """Each build of the programs for a board: what was done, and what is wrong, or ""."""
    target = load_target(board)
    found, known = list(compilers(target)), set[str]()
    for name in chosen:
        try:
            sources = programs()[name](target)
        except NotApplicable:
            continue
        if sources.files["model.c"] in known:  # as that of another schedule
            continue
        known.add(sources.files["model.c"])
        with TemporaryDirectory(prefix="autotiny-") as made, ThreadPoolExecutor(jobs) as pool:
            folder = Path(made)
            firmware = link(sources, roomy(target), stack_bytes=8192)
            for file, text in firmware.files.items():
                (folder / file).write_text(text, encoding="utf-8")
            ways = [
                (Build(name, board, compiler.name, level, standard), compiler)
                for compiler, level, standard in product(found, levels, STANDARDS)
            ]
            results = pool.map(partial(compiled, folder), *zip(*ways, strict=True))
            for (build, _), why in zip(ways, results, strict=True):
                yield build, "compiled", why
            expected = outputs(firmware)
            for compiler, level, lto in product(found, levels, (False, True)):
                if level in ("O0", "O3"):
                    build = Build(name, board, compiler.name, level, "gnu11", lto)
                    why = executed(build, compiler, firmware, expected, folder)
                    yield build, "executed", why


def page(rows: Sequence[tuple[Build, str, str]]) -> str:
    """The page: a row a core and compiler, then every failure."""
    names = list(dict.fromkeys(build.program for build, *_ in rows))
    lines = [
        "# Builds with flags of one's own",
        "",
        f"`python benchmarks/builds.py --programs {' '.join(names)}`: {len(rows):,} builds of "
        f"{len(names)} of {len(programs())} programs, every warning an error. A cell says how many "
        "were right, of how many; those that were executed gave, for one input, the outputs of "
        "autotiny's own firmware (-O2, clang), integers to the bit, floats to 1e-5.",
        "",
        *(f"- {name}: {version()}" for name, version in VERSIONS.items()),
        "",
    ]
    heads = [f"compiled -{level}" for level in LEVELS]
    heads += [f"executed -{level}{more}" for level in ("O0", "O3") for more in ("", " -flto")]
    lines += [row("core", "compiler", *heads), row("---", "---", *("---:" for _ in heads))]
    for board in BOARDS:
        for compiler in ("clang", "gcc"):
            mine = [one for one in rows if (one[0].board, one[0].compiler) == (board, compiler)]
            if not mine:
                continue
            cells = [_cell(mine, "compiled", level, False) for level in LEVELS]
            cells += [_cell(mine, "executed", level, lto)
                      for level in ("O0", "O3") for lto in (False, True)]  # fmt: skip
            lines.append(row(load_target(board).core, compiler, *cells))
    wrong = [one for one in rows if one[2]]
    if wrong:
        lines += ["", "## What is wrong", ""]
        for build, what, why in wrong:
            first = next((x for x in why.splitlines() if "error" in x or "other" in x), why[:200])
            lines.append(f"- {build.program} for {build.board}, {build.compiler} "
                         f"{' '.join(build.flags)}, {what}: {first.strip()}")  # fmt: skip
    return "\n".join(lines) + "\n"


def _cell(rows: Sequence[tuple[Build, str, str]], what: str, level: str, lto: bool) -> str:
    mine = [why for build, done, why in rows
            if (done, build.level, build.lto) == (what, level, lto)]  # fmt: skip
    return f"{mine.count('')} of {len(mine)}" if mine else ""


def _version(*command: str) -> str:
    if not shutil.which(command[0]):
        return "none"
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0]


VERSIONS: Mapping[str, Callable[[], str]] = {
    "clang": lambda: _version(sys.executable, "-m", "ziglang", "cc"),
    "gcc for Arm": lambda: _version("arm-none-eabi-gcc"),
    "gcc for RISC-V": lambda: _version("riscv64-unknown-elf-gcc"),
}


def main() -> None:
    """Write results/builds.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", nargs="+", default=list(programs()))
    parser.add_argument("--boards", nargs="+", default=list(BOARDS))
    parser.add_argument("--levels", nargs="+", default=list(LEVELS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    rows = []
    for board in arguments.boards:
        for one in tried(board, arguments.programs, arguments.levels, arguments.jobs):
            rows.append(one)
            if one[2]:
                print(one[0], one[1], one[2], flush=True)
        print(board, len(rows), flush=True)
    arguments.out.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
