"""C sources → an ELF for a target, with the zig compiler from PyPI.

The same sources, target and flags give the same bytes, in any folder and on any machine: no debug
information, no paths, no time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from elftools.elf.segments import Segment

from autotiny.cores import CORES
from autotiny.engine.sources import Port, Sources
from autotiny.errors import LinkError, shown
from autotiny.firmware.app_image import app_image
from autotiny.firmware.formats import image_of
from autotiny.firmware.instance import calls_of
from autotiny.firmware.layout import C_FILES, Layout, enlarge, place
from autotiny.firmware.zig import MISFIT, zig_cc
from autotiny.target import AppImage, Fpu, Target

BOARD = "board.c"
"""The file that sets a part's clock, if a program has one; see `board.with_board`."""

USUAL_STACK_BYTES = 2048
LIKELY_STACK_BYTES = 256
"""Room for a stack that was not measured yet."""

_USUAL_STATIC_BYTES = 64

_LEAST_LIMIT = 100_000_000
_INSTRUCTIONS_A_WORK = 2000
"""More than the dearest there is: an exponential in software floating point."""

# Generated code computes no double: fpv5-d16 is used as the single-precision unit it contains.
_FPU_FEATURES: Mapping[Fpu, str] = {
    "none": "",
    "fpv4-sp-d16": "+vfp4d16sp",
    "fpv5-sp-d16": "+fp_armv8d16sp",
    "fpv5-d16": "+fp_armv8d16sp",
}

_C_FLAGS = (
    "-std=gnu11",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-math-errno",
    "-fomit-frame-pointer",
    "-fno-sanitize=undefined",
    "-fno-stack-protector",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
)


# without pages, or the linker puts the ELF header into flash where boot bytes leave room for it
_LINK_FLAGS = (
    "-Wl,--gc-sections",
    "-Wl,--entry,Reset_Handler",
    "-Wl,-z,max-page-size=4",
)


@dataclass(frozen=True)
class Symbol:
    """A name of the ELF; `address` is without the Thumb bit."""

    address: int
    bytes: int
    is_function: bool


@dataclass(frozen=True, eq=False)
class Firmware:
    """A linked program for one target.

    Attributes:
        name: prefix of the model's symbols.
        inputs: where the inputs lie in the arena.
        outputs: where the outputs lie in the arena.
        steps: one label a step, in the order in which the model runs them.
        elf: the linked file.
        target: what it was linked for; with enlarged memories where it does not fit.
        fits: whether the real target holds it, the stack that it was linked for included.
        flash_bytes: from the first to the last byte stored in flash: vectors, code, constants,
            initial data.
        code_bytes: of them up to the end of the last function.
        data_bytes: .data.
        slow_bytes: .slow, the variables that may lie in a slower memory.
        bss_bytes: .bss without the arena.
        arena_bytes: the model's working memory.
        stack_limit: the lowest address the stack may take.
        stack_top: the address after the stack's first byte.
        symbols: name to symbol; of equal names the last.
        files: the C files and the linker script it was linked from, by name.
        flags: what the compiler was called with.
        link_flags: and what the linker was called with, besides the script.
        work: of an inference; see `work_of`.
        kept_bytes: as `Sources` has them.
    """

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    steps: tuple[str, ...]
    elf: bytes
    target: Target
    fits: bool
    flash_bytes: int
    code_bytes: int
    data_bytes: int
    slow_bytes: int
    bss_bytes: int
    arena_bytes: int
    stack_limit: int
    stack_top: int
    symbols: Mapping[str, Symbol]
    files: Mapping[str, str]
    flags: tuple[str, ...]
    link_flags: tuple[str, ...] = _LINK_FLAGS
    work: int = 0
    kept_bytes: int = 0

    @property
    def instruction_limit(self) -> int:
        """What an inference may execute before it counts as a loop without end."""
        return _LEAST_LIMIT + _INSTRUCTIONS_A_WORK * self.work

    @property
    def static_bytes(self) -> int:
        """Variables without the arena."""
        return self.near_bytes + self.slow_bytes

    @property
    def near_bytes(self) -> int:
        """Those of them that lie beside the stack."""
        return self.data_bytes + self.bss_bytes

    @property
    def stack_room_bytes(self) -> int:
        """What the stack may take."""
        return self.stack_top - self.stack_limit

    @property
    def boots(self) -> bool:
        """Whether it has what the part runs before `main`."""
        return BOARD in self.files

    @property
    def as_app(self) -> AppImage | None:
        """How the part's boot loader takes it; None where that is as it lies in flash."""
        return self.target.app_image if self.boots else None

    @property
    def origin(self) -> int:
        """The address of the first byte that is written to the part."""
        if self.as_app:
            return self.target.written_at
        with BytesIO(self.elf) as file:
            return int(_stored_segments(ELFFile(file), self.target.flash.origin)[0]["p_paddr"])

    @property
    def image(self) -> bytes:
        """What is written to the part, from `origin` on."""
        with BytesIO(self.elf) as file:
            if self.as_app:
                return app_image(ELFFile(file), self.as_app)
            stored = _stored_segments(ELFFile(file), self.target.flash.origin)
            return image_of([(int(segment["p_paddr"]), segment.data()) for segment in stored])


def link(
    sources: Sources,
    target: Target,
    *,
    optimize: str = "-O2",
    stack_bytes: int = LIKELY_STACK_BYTES,
    program: bytes | None = None,
    layout: Layout | None = None,
) -> Firmware:
    """Compile and link a model with startup code and a loop that runs it.

    What does not fit the target is linked against enlarged memories, so that the overshoot can be
    measured.

    Args:
        sources: the model as C; a main.c or startup.c among its files replaces the usual one.
        target: decides core, memory map and flags.
        optimize: "-O2" or "-Os"; zig knows no levels between the two.
        stack_bytes: room that the stack needs at least; it gets 2 KiB where there are.
        program: the model's C file, compiled with the same flags; None compiles it.
        layout: the memories that it is linked against; None finds those of the target.

    Raises:
        LinkError: the compiler or linker refused the sources.
    """
    flags = compiler_flags(target, optimize)
    usual = harness(sources, target)
    files = {**usual, **sources.files}
    if 1 < sources.cores <= target.usable_cores:
        flags = (*flags, f"-DAT_CORE_FIFO={target.core_fifo:#010x}u")
        files["second_core.c"] = (C_FILES / "second_core.c").read_text(encoding="utf-8")
    if sources.slow_bytes:
        flags = (*flags, "-DAT_SLOW_DATA")
    if BOARD in files:
        flags = (*flags, "-DAUTOTINY_BOARD")
    boot_bytes, image = (target.boot_bytes, target.app_image) if BOARD in files else (0, None)
    with TemporaryDirectory(prefix="autotiny-") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8", newline="\n")
        units = sorted(name for name in files if name.endswith(".c"))
        if program is not None:
            # all as objects, which the linker takes in the order of C files
            known = {name: text for name, text in usual.items() if files[name] == text}
            objects = {name: _compiled(name, text, flags) for name, text in known.items()}
            objects[f"{sources.name}.c"] = program
            for k, name in enumerate(units):
                unit = objects.get(name) or zig_object(flags, name, Path(folder))
                (Path(folder) / f"{name}.o").write_bytes(unit)
                units[k] = f"{name}.o"

        def attempt(on: Layout | None) -> Firmware | None:
            if on is None:
                return None
            script = on.linker_script(target.title, f"{sources.name}_arena", boot_bytes, image)
            elf = _link(Path(folder), units, script, flags)
            if elf is None:
                return None
            return _firmware(sources, elf, on, target, {**files, "link.ld": script}, flags)

        firmware = attempt(
            layout
            or _layout(
                target, sources.arena_bytes, _USUAL_STATIC_BYTES, stack_bytes, sources.slow_bytes
            )
        )
        if firmware and (layout or firmware.near_bytes <= _USUAL_STATIC_BYTES):
            return firmware
        # only a link on memories without end tells how much there is to place
        roomy = attempt(enlarge(target, sources.arena_bytes))
        if roomy is None:
            raise LinkError(
                f"{sources.name} is too large to be linked at all: "
                f"its arena takes {sources.arena_bytes} bytes"
            )
        if roomy.flash_bytes > target.flash_bytes:
            return roomy
        exact = _layout(target, roomy.arena_bytes, roomy.near_bytes, stack_bytes, roomy.slow_bytes)
        return attempt(exact) or roomy


@lru_cache(maxsize=64)
def _compiled(name: str, text: str, flags: tuple[str, ...]) -> bytes:
    """The object of a C file that most programs have; compiled once a process."""
    with TemporaryDirectory(prefix="autotiny-") as folder:
        (Path(folder) / name).write_text(text, encoding="utf-8", newline="\n")
        return zig_object(flags, name, Path(folder))


def zig_object(flags: Sequence[str], name: str, folder: Path) -> bytes:
    """The object file of a C file in a folder.

    Raises:
        LinkError: the compiler refused it.
    """
    complaint = zig_cc([*flags, "-c", name, "-o", f"{name}.o"], folder)
    if complaint:
        raise LinkError(f"the compiler refused the sources:\n{complaint}")
    return (folder / f"{name}.o").read_bytes()


def compiler_flags(target: Target, optimize: str) -> tuple[str, ...]:
    """What decides the machine code, besides the sources: core, FPU, level."""
    core = CORES[target.core]
    triple, cpu = core.isa.zig_triple, core.zig_cpu
    if target.fpu != "none":
        triple += "hf"
        cpu += _FPU_FEATURES[target.fpu]
    if target.core == "cortex-m33" and target.dsp:
        cpu += "+dsp"
    caches = ("-DAUTOTINY_L1_CACHES",) if target.core == "cortex-m7" and target.icache else ()
    # at -Os zig drops the names of functions unless it makes debug information, which link.ld drops
    names = "-g" if optimize in ("-Os", "-Oz") else "-g0"
    machine = ("-target", triple, f"-mcpu={cpu}", "-ffreestanding")
    ahead = ("-DAT_LOADS_AHEAD=1",) if target.loads_ahead else ()
    return (*machine, optimize, names, *_C_FLAGS, *caches, *ahead)


def harness(sources: Sources, target: Target) -> dict[str, str]:
    """The startup code and the main loop for a model."""
    calls = calls_of(sources)
    startup = CORES[target.core].isa.startup
    main = (C_FILES / "main.c").read_text(encoding="utf-8")
    if calls.instance:
        known = f'#include "{sources.name}.h"\n\nstatic {calls.instance}\n'
        main = main.replace("int AUTOTINY_RUN(void);", known)
    return {
        "startup.c": (C_FILES / startup).read_text(encoding="utf-8"),
        "main.c": main.replace("AUTOTINY_RUN()", calls.run).replace(
            "AUTOTINY_RUN", f"{sources.name}_run"
        ),
    }


def symbols_of(elf: ELFFile) -> dict[str, Symbol]:
    """Functions, objects and labels by name."""
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return {}
    thumb = elf["e_machine"] == "EM_ARM"  # the lowest bit of a function's address says so
    symbols = {}
    for entry in table.iter_symbols():
        kind, address = entry["st_info"]["type"], entry["st_value"]
        is_function = kind == "STT_FUNC"
        if entry.name and kind not in ("STT_FILE", "STT_SECTION"):
            # other people's ELF files: names are printed
            name = entry.name if entry.name.isprintable() else shown(entry.name)
            symbols[name] = Symbol(
                address & ~1 if thumb and is_function else address, entry["st_size"], is_function
            )
    return symbols


def _layout(
    target: Target, arena_bytes: int, near_bytes: int, stack_bytes: int, slow_bytes: int
) -> Layout | None:
    roomy = max(USUAL_STACK_BYTES, stack_bytes)
    return place(target, arena_bytes, near_bytes, roomy, slow_bytes) or place(
        target, arena_bytes, near_bytes, stack_bytes, slow_bytes
    )


def _link(folder: Path, units: Sequence[str], script: str, flags: Sequence[str]) -> bytes | None:
    """The linked ELF; None if it does not fit the memories of the script."""
    (folder / "link.ld").write_text(script, encoding="utf-8", newline="\n")
    arguments = [*flags, *_LINK_FLAGS, *units, "-T", "link.ld", "-o", "firmware.elf"]
    complaint = zig_cc(arguments, folder)
    if not complaint:
        return (folder / "firmware.elf").read_bytes()
    if MISFIT in complaint:
        return None
    raise LinkError(f"the compiler refused the sources:\n{complaint}")


def _firmware(
    sources: Sources,
    elf: bytes,
    layout: Layout,
    target: Target,
    files: Mapping[str, str],
    flags: tuple[str, ...],
) -> Firmware:
    linked_for = layout.on(target)
    with BytesIO(elf) as file:
        parsed = ELFFile(file)
        sizes = {section.name: section["sh_size"] for section in parsed.iter_sections()}
        text = parsed.get_section_by_name(".text")
        code_end = text["sh_addr"] + text["sh_size"]
        stored = [
            segment["p_paddr"] + segment["p_filesz"]
            for segment in _stored_segments(parsed, linked_for.whole_flash.origin)
        ]
        symbols = symbols_of(parsed)
    return Firmware(
        name=sources.name,
        inputs=sources.inputs,
        outputs=sources.outputs,
        steps=sources.steps,
        elf=elf,
        target=linked_for,
        fits=layout.fits,
        flash_bytes=max(stored) - linked_for.whole_flash.origin,
        code_bytes=code_end - linked_for.whole_flash.origin,
        data_bytes=sizes.get(".data", 0),
        slow_bytes=sizes.get(".slow", 0),
        bss_bytes=sizes.get(".bss", 0),
        arena_bytes=sizes.get(".arena", 0),
        stack_limit=symbols["link_stack_limit"].address,
        stack_top=symbols["link_stack_top"].address,
        symbols=symbols,
        files=files,
        flags=flags,
        work=sources.work,
        kept_bytes=sources.kept_bytes,
    )


def _stored_segments(elf: ELFFile, origin: int) -> list[Segment]:
    """The segments with bytes in flash, which begins at an address; by theirs."""
    return sorted(
        (
            segment
            for segment in elf.iter_segments("PT_LOAD")
            if segment["p_filesz"] and segment["p_paddr"] >= origin
        ),
        key=lambda segment: int(segment["p_paddr"]),
    )
