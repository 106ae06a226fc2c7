"""A firmware as a project of its own: C, startup, linker script, build files, images to flash."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

from autotiny.cores import CORES
from autotiny.engine import Sources
from autotiny.errors import NoRoom, UserError
from autotiny.firmware.board import HEADER, board_bytes
from autotiny.firmware.folder import write_files
from autotiny.firmware.formats import intel_hex, uf2
from autotiny.firmware.layout import C_FILES
from autotiny.firmware.linking import BOARD, Firmware
from autotiny.firmware.readme import call_text, figures, memory_text, port_table
from autotiny.firmware.selftest import PROGRAM
from autotiny.firmware.vectors import VECTORS
from autotiny.metrics import Cost
from autotiny.target import Target

_GCC_FPUS: Mapping[str, str] = {
    "none": "",
    "fpv4-sp-d16": " -mfpu=fpv4-sp-d16 -mfloat-abi=hard",
    "fpv5-sp-d16": " -mfpu=fpv5-sp-d16 -mfloat-abi=hard",
    # generated code computes no double, and the measured firmware does without, too
    "fpv5-d16": " -mfpu=fpv5-sp-d16 -mfloat-abi=hard",
}
SCRIPT = "link.ld"
SELFTEST_SCRIPT = "selftest.ld"
SELFTEST = "selftest.c"

GENERATED = frozenset(
    f"{program}.{ending}"
    for program in ("firmware", "selftest")
    for ending in ("elf", "bin", "hex", "uf2")
) | {
    SCRIPT, SELFTEST_SCRIPT, "Makefile", "CMakeLists.txt", "cmake/toolchain.cmake", "README.md",
    f"src/{BOARD}", f"src/{HEADER}", f"src/{SELFTEST}", "src/selftest.h",
    "src/selftest_samples.c", "src/startup.c", "src/main.c", "src/second_core.c",
    *(f"src/{name}" for name in VECTORS),
}  # fmt: skip
"""What projects are made of besides the model."""


def export_project(
    sources: Sources,
    firmware: Firmware,
    target: Target,
    folder: str | Path,
    *,
    cost: Cost | None = None,
    measured: Firmware | None = None,
    tested: Firmware | None = None,
) -> list[Path]:
    """Write a project that builds and flashes without autotiny.

    Args:
        sources: the model as C.
        firmware: the program to flash, as `link` or `link_board` made it for the target.
        target: the board.
        folder: where to write; made if it does not exist, files of equal name are replaced.
        cost: figures to state in the README.
        measured: the program that these were measured on, if that is another one.
        tested: the program that checks the model on the chip, if there is one; see `link_selftest`.

    Returns:
        The files written, all of them inside the folder.

    Raises:
        NoRoom: the firmware does not fit the target.
        UserError: a file would lie outside the folder.
    """
    if not firmware.fits:
        raise NoRoom(
            f"the firmware does not fit {target.name}: flash {firmware.flash_bytes} of "
            f"{target.flash_bytes} bytes, SRAM without the stack "
            f"{firmware.arena_bytes + firmware.static_bytes} of {target.sram_bytes}; "
            "choose a smaller sequence"
        )
    folder = Path(folder)
    texts = {**(_selftest_files(tested) if tested else {}), **firmware.files}
    files = {f"src/{name}": text.encode() for name, text in texts.items() if name != SCRIPT}
    files[SCRIPT] = firmware.files[SCRIPT].encode()
    if tested is not None:
        files[SELFTEST_SCRIPT] = tested.files[SCRIPT].encode()
    building = _building(sources, firmware, target, tested)
    files["Makefile"] = _makefile(building, firmware).encode()
    files["CMakeLists.txt"] = _filled("project.cmake", **building).encode()
    files["cmake/toolchain.cmake"] = _filled("toolchain.cmake", **building).encode()
    files["README.md"] = _readme(sources, firmware, target, cost, measured, tested).encode()
    for name, program in (("firmware", firmware), ("selftest", tested)):
        if program is not None:
            files[f"{name}.elf"] = program.elf
            files[f"{name}.bin"] = program.image
            if not program.as_app:
                files[f"{name}.hex"] = intel_hex(program.image, program.origin).encode()
            if target.uf2_family:
                files[f"{name}.uf2"] = uf2(program.image, program.origin, target.uf2_family)
    for name in texts:
        if Path(name).name != name:
            raise UserError(
                f"{name!r} is no plain file name; it would lie outside {folder / 'src'}"
            )
    return write_files(files, folder, GENERATED)


def _selftest_files(tested: Firmware) -> dict[str, str]:
    """What only the program that checks the model is made of; its `main` has a file of its own."""
    files = {name: text for name, text in tested.files.items() if name.startswith("selftest")}
    return {**files, SELFTEST: tested.files[PROGRAM]}


def gcc_machine_flags(target: Target) -> str:
    """What tells GCC for which core and FPU it compiles."""
    core = CORES[target.core].gcc_flags + _GCC_FPUS[target.fpu]
    if target.core == "cortex-m33" and not target.dsp:
        core = core.replace("cortex-m33", "cortex-m33+nodsp")
    return core


def _building(
    sources: Sources, firmware: Firmware, target: Target, tested: Firmware | None
) -> dict[str, str]:
    """What the files say that build the project: compiler, flags, C files."""
    prefix, library = CORES[target.core].isa.gcc_prefix, CORES[target.core].isa.gcc_library
    images = ("", "") if firmware.as_app else (_filled("images.mk"), _filled("images.cmake"))
    selftest = _units([*tested.files, SELFTEST], without=PROGRAM) if tested else ""
    return {
        "name": sources.name,
        "title": target.title,
        "compiler": f"{prefix}gcc",
        "objcopy": f"{prefix}objcopy",
        "processor": target.core,
        "core_flags": gcc_machine_flags(target),
        # zig takes -O2 and -O3 for the same level, gcc does not
        "optimize": "-Os" if {"-Os", "-Oz"} & set(firmware.flags) else "-O3",
        "defines": "".join(f" {flag}" for flag in firmware.flags if flag.startswith("-D")),
        "units": _units(firmware.files),
        "selftest": f"add_program(selftest {SELFTEST_SCRIPT} {selftest})\n" if tested else "",
        "selftest_units": selftest,
        "endings": "" if firmware.as_app else ", .bin and .hex",
        "library_rules": _filled("library.mk", library=library) if library else "",
        "library_commands": _filled("library.cmake", library=library) if library else "",
        "image_rules": images[0],
        "image_commands": images[1],
        "also": "; selftest.elf as well" if tested else "",
        "flash": _flash_command(target, "$<"),
    }


def _makefile(building: Mapping[str, str], firmware: Firmware) -> str:
    def images(program: str) -> str:
        endings = () if firmware.as_app else ("bin", "hex")
        return "".join(f" build/gcc/{program}.{ending}" for ending in endings)

    rules = ""
    if building["selftest"]:
        rules = _filled("selftest.mk", **building, selftest_images=images("selftest"))
    return _filled(
        "project.mk",
        **building,
        images=images("firmware"),
        zig_flags=shlex.join((*firmware.flags, *firmware.link_flags)),
        selftest_rules=rules,
    )


def _flash_command(target: Target, elf: str) -> str:
    if not target.flash_tool:
        return "@echo 'no tool writes this program as it is: see README.md'; false"
    return target.flash_tool.replace("{elf}", elf)


def _units(files: Iterable[str], without: str = "") -> str:
    """The C files of a program, in the order in which they are linked."""
    return " ".join(
        sorted(f"src/{name}" for name in files if name.endswith(".c") and name != without)
    )


def _filled(template: str, **values: str) -> str:
    """A file of `c/` with its places filled in."""
    return Template((C_FILES / template).read_text(encoding="utf-8")).substitute(values)


def _readme(
    sources: Sources, firmware: Firmware, target: Target, cost: Cost | None,
    measured: Firmware | None, tested: Firmware | None,
) -> str:  # fmt: skip
    name = sources.name
    model_files = sorted(file for file in sources.files if file not in ("main.c", "startup.c"))
    return _filled(
        "project.md",
        name=name,
        title=target.title,
        images=(
            f"`.bin` is as the boot loader takes it, at {firmware.origin:#x} of the flash"
            if firmware.as_app
            else f"also as `.bin` and `.hex`, from address {firmware.origin:#010x}"
        ),
        program=_program(firmware, measured),
        clock=_clock(firmware, target),
        figures=figures(cost, target) if cost else "",
        writing=_writing(target),
        selftest=_filled("selftest.md", serial=_serial(target)) if tested else "",
        boot_note=f"\n**Before it boots:** {target.boot_note}\n" if target.boot_note else "",
        advice=f"\n**Worth time:** {target.advice}\n" if target.advice else "",
        interrupts=_INTERRUPTS if set(VECTORS) & set(firmware.files) else "",
        compiler=f"{CORES[target.core].isa.gcc_prefix}gcc",
        sources="`, `".join(model_files),
        call=call_text(sources),
        memory=memory_text(sources),
        arena_bytes=str(firmware.arena_bytes),
        ports=port_table(sources),
    )


def _program(firmware: Firmware, measured: Firmware | None) -> str:
    """What is flashed, beside what was measured."""
    if measured is None or not firmware.boots:
        return "is the program that was\nmeasured; the rest builds it again"
    if firmware.as_app:
        return (
            "is the program that was\nmeasured, with start-up code: the model's code lies where it "
            "was measured, its constants at the same places of their\npages, which loads see "
            "elsewhere than fetches do. The rest builds it again"
        )
    return (
        "is the program that was\nmeasured, and "
        f"{board_bytes(firmware, measured):,} bytes of start-up code beside it: the model's code "
        "and constants lie where\nthey were measured. The rest builds it again"
    )


def _writing(target: Target) -> str:
    """How the program gets to the board."""
    if not target.flash_tool:
        return "No tool writes `firmware.elf` to this part as it is."
    return (
        f"    {_flash_command(target, 'firmware.elf')}\n\n"
        "`make flash` does the same with what was built last, if anything was; `autotiny flash "
        "DIR` finds a tool that is installed."
    )


_INTERRUPTS = """
Interrupts: call `irq_start()` of `src/irq.h` once, and `void IRQ28_Handler(void)` handles number
28 of your vendor's `IRQn_Type`. A program that does not call it has none of their table.
"""


def _serial(target: Target) -> str:
    """By which serial port a selftest reports."""
    own = "define\n`void selftest_put(char)` for another"
    if target.app_image:
        return f"the UART of the boot loader and the part's own USB port, at 115200 baud; {own}"
    if not target.serial:
        return "define\n`void selftest_put(char)` for yours"
    pin = str(target.serial.get("tx_pin", "")).upper()
    return f"pin {pin} at {target.serial['baud']} baud; {own}"


def _clock(firmware: Firmware, target: Target) -> str:
    """Which clock the part runs at, in sentences."""
    megahertz = f"{target.clock_hz / 1e6:g} MHz"
    if firmware.boots:
        return (
            f"`src/board.c` sets the clock to {megahertz}, for which the latency is stated; its "
            "settings stand in\n`src/board.h`. Where an oscillator does not start, the part runs "
            "on with what it has: `board_clock_hz()` tells. What else\nyour board needs goes into "
            "a `SystemInit()` of your own, which is called then."
        )
    before = (
        f"\n\nThe first {target.boot_bytes:,} bytes of flash are left to what is there already: a "
        "boot loader, say."
    )
    return (
        "The part runs at its reset clock until `SystemInit()` sets another: define that function "
        "(your vendor's CMSIS\ndevice file has one), and the weak, empty one of `src/startup.c` "
        f"gives way. The latency above is for {megahertz}.{before if target.boot_bytes else ''}"
    )
