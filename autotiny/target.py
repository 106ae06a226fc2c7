"""Microcontrollers as data files: `targets/*.toml` read into `Target`.

Nothing about a board is in code; a new board is a new file. CONTRIBUTING says how to write one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, Union

from autotiny.cache import key_of
from autotiny.checked import TABLE, Within, filled
from autotiny.datafile import DataFiles, data_folder
from autotiny.errors import UserError, nearest, shown

Core = Literal["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "rv32imc"]
Fpu = Literal["none", "fpv4-sp-d16", "fpv5-sp-d16", "fpv5-d16"]
MemoryKind = Literal["flash", "sram", "tcm"]
Address = Annotated[int, Within(ge=0, le=(1 << 32) - 1)]
Size = Annotated[int, Within(ge=1, le=1 << 32)]
Count = Annotated[int, Within(ge=1, le=65_536)]
Amount = Annotated[int, Within(ge=0, le=65_536)]
Document = Annotated[str, Within(description="text that names a document")]
Setting = Annotated[
    Union[int, bool, str],  # noqa: UP007 - msgspec of Python 3.10
    Within(description="a whole number, true, false, or a word"),
]


class Traits(TypedDict):
    """What decides which kernels are fast on a core.

    Attributes:
        dsp: whether it has the DSP extension (SMLAD and its kin).
        loads_ahead: whether it issues a load beside a multiplication.
    """

    dsp: bool
    loads_ahead: bool


@dataclass(frozen=True)
class Memory:
    """One region of the address space.

    Attributes:
        name: as the reference manual names it, in lower case.
        kind: "flash", "sram", or "tcm" (bound to the core, no wait, never cached).
        origin: the address of the first byte.
        size_bytes: how many bytes follow it.
        wait_states: extra cycles of this memory's clock before the first beat of an access.
        burst_wait_states: the same before each further beat of one line.
        clock_divider: core clock ÷ this memory's clock.
        bus_bytes: width of the path to the core: what one beat brings.
        line_bytes: width of the memory array, which one buffer line holds; 0 if bus_bytes.
        first_load_cycles: what the first load of a run takes beyond those that pipeline behind it.
        prefetch: whether the controller reads the next line ahead of the core.
        cached: whether the core's caches (`icache`, `dcache`) stand before it.
        executable: whether code may run from it.
        data: whether variables may lie in it; false for flash and instruction memories.
    """

    name: str
    kind: MemoryKind
    origin: Address
    size_bytes: Size
    wait_states: Amount = 0
    burst_wait_states: Amount = 0
    clock_divider: Count = 1
    bus_bytes: Count = 4
    line_bytes: Amount = 0
    first_load_cycles: Amount = 0
    prefetch: bool = False
    cached: bool = False
    executable: bool = True
    data: bool = True

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.origin + self.size_bytes


@dataclass(frozen=True)
class Cache:
    """A set-associative cache before every memory that is marked `cached`.

    Attributes:
        size_bytes: what it holds.
        ways: associativity.
        line_bytes: bytes a line.
        policy: what a store does.
        replacement: which way a miss evicts.
        unified: as `icache`, it also serves data reads (the target has no `dcache` then).
        miss_cycles: what a miss costs beyond the memory's own cycles.
    """

    size_bytes: Size
    ways: Count
    line_bytes: Count
    policy: Literal["write-back", "write-through", "read-only"] = "read-only"
    replacement: Literal["lru", "random", "round-robin"] = "lru"
    unified: bool = False
    miss_cycles: Amount = 0


@dataclass(frozen=True)
class Accelerator:
    """Line buffers inside a flash controller (ST's ART and its relatives).

    Attributes:
        name: as the reference manual names it.
        memory: the region it stands before.
        instruction_lines: lines kept for fetches.
        data_lines: lines kept for data reads.
        line_bytes: bytes a line.
        miss_cycles: what a data read that misses costs beyond the memory's own cycles.
        keeps_prefetched: whether a line that a prefetch brought is kept too, or only one that a
            fetch had to wait for.
    """

    name: str
    memory: str
    instruction_lines: Amount
    data_lines: Amount
    line_bytes: Count
    miss_cycles: Amount = 0
    keeps_prefetched: bool = True


_DATA_BUS_BYTES = 1 << 23
"""Of flash that an ESP32-C3 can see, its TRM, section 3.3."""


@dataclass(frozen=True)
class AppImage:
    """How a boot loader of Espressif takes a program: in segments, each with its address.

    Attributes:
        chip_id: by which the boot loader knows the part.
        data_bus_origin: where loads see the flash, whose own address is that of fetches; a page of
            64 KiB is seen by one of the two.
        offset: of the program from the begin of the flash part.
    """

    chip_id: Annotated[int, Within(ge=0, le=65_535)]
    data_bus_origin: Address
    offset: Annotated[int, Within(ge=0, le=1 << 24, multiple_of=65_536)]

    @property
    def data_bus(self) -> range:
        """The addresses at which loads can see the flash."""
        return range(self.data_bus_origin, self.data_bus_origin + _DATA_BUS_BYTES)


@dataclass(frozen=True)
class Correction:
    """What a user's own board says of predicted cycles, as `autotiny calibrate` finds it.

    Attributes:
        cycles_factor: all cycles that the core's model counts are multiplied by it.
        models: whose selftests it was found with.
        cycles_error_percent: how far the worst of them was off with the factor of the others; None
            of a single one, which leaves nothing to test the factor on.
    """

    cycles_factor: Annotated[float, Within(ge=0.1, le=10)]
    models: Annotated[int, Within(ge=1, le=65_536)]
    cycles_error_percent: Annotated[float, Within(ge=0, le=10_000)] | None = None

    def __str__(self) -> str:
        """Factor, where it is from and its error, in words."""
        several = "s" * (self.models > 1)
        error = self.cycles_error_percent
        told = "error unknown" if error is None else f"± {error:g} %"
        return f"× {self.cycles_factor:.4g} by {self.models} selftest{several}, {told}"


@dataclass(frozen=True)
class Target:
    """A microcontroller at one clock and one voltage.

    Attributes:
        name: the file's name without its ending.
        title: the part, core and clock in words.
        core: which instruction set and which pipeline.
        clock_hz: core clock.
        fpu: "none" or the name of the floating-point unit.
        dsp: whether the core has the DSP extension (SMLAD and its kin).
        cores: cores that see the same memories and can run the same program.
        memories: all regions, in the order of the file.
        icache: the instruction cache, or the unified cache.
        dcache: the data cache.
        accelerator: line buffers of the flash controller.
        active_current_ma: of the whole chip at `clock_hz`, code in flash, peripherals off.
        supply_voltage_v: at which that current was stated.
        active_current_error_percent: by how much that current can be off, results/energy.md; None
            if nobody compared it.
        flash_tool: the command that writes `{elf}` to the board; "" if none takes it as it is, and
            `boot_note` says what to do.
        boot_note: what the part needs before it runs a bare firmware, a sentence; "" if nothing.
        advice: a setting that is worth time on this part, a sentence; "" if none.
        core_fifo: address of the FIFO through which two cores send each other words: its status
            word, with the words to write and to read behind it; 0 if there is none.
        cycle_csr: number of the register that counts cycles where a RISC-V core has not `mcycle`
            for it, behind Espressif's two that start it; 0 if there is none.
        clock: how the start-up code comes to `clock_hz`: "family" names the C that does it,
            `firmware/c/board_<family>.c`, the rest are its settings; empty if there is none.
        programmers: the tools that can write to it, best first, and what of their call is its own;
            see `firmware.programmers`.
        serial: settings of the serial port that a selftest reports by; empty if there is none.
        boot_bytes: bytes at the start of the flash that hold what the boot ROM reads first; the
            program lies behind them.
        interrupts: entries of its vector table behind those of the core; 0 for all that the core
            can have.
        uf2_family: number of its family in UF2 files, where a board takes them; 0 if none does.
        app_image: how its boot loader takes programs, where that is not as they lie in flash.
        correction: of the cycles that are predicted, by selftests on a user's board; None where
            there were none.
        file: path of a user's own file; "" for a target that comes with autotiny.
        sources: the document each figure comes from, by key.
    """

    name: str
    title: str
    core: Core
    clock_hz: Annotated[int, Within(gt=0, le=10**11)]
    fpu: Fpu
    dsp: bool
    cores: Annotated[int, Within(gt=0, le=256)]
    memories: tuple[Memory, ...] = field(metadata={"key": "memory"})
    icache: Cache | None
    dcache: Cache | None
    accelerator: Accelerator | None
    active_current_ma: Annotated[float, Within(gt=0, le=1e6)]
    supply_voltage_v: Annotated[float, Within(gt=0, le=1e3)]
    flash_tool: str
    sources: Mapping[str, Document]
    boot_note: str = ""
    advice: str = ""
    core_fifo: Annotated[int, Within(gt=0, le=(1 << 32) - 1)] = 0
    cycle_csr: Annotated[int, Within(gt=0, le=0xFFF)] = 0
    clock: Mapping[str, Setting] = field(default_factory=dict)
    serial: Mapping[str, Setting] = field(default_factory=dict)
    programmers: Mapping[str, str] = field(default_factory=dict)
    boot_bytes: Annotated[int, Within(ge=0, le=1 << 20, multiple_of=256)] = 0
    interrupts: Annotated[int, Within(gt=0, le=480)] = 0
    uf2_family: Annotated[int, Within(gt=0, le=(1 << 32) - 1)] = 0
    app_image: AppImage | None = None
    active_current_error_percent: Annotated[int, Within(ge=0, le=1000)] | None = None
    correction: Correction | None = None
    file: str = field(default="", compare=False, repr=False)

    @property
    def source(self) -> str:
        """How it was asked for: a name, or the path of a user's own file."""
        return self.file or self.name

    @property
    def traits(self) -> Traits:
        """What the engine asks of its core."""
        return {"dsp": self.dsp, "loads_ahead": self.loads_ahead}

    @property
    def cycles_factor(self) -> float:
        """What the cycles of the core's model are multiplied by."""
        return self.correction.cycles_factor if self.correction else 1.0

    @property
    def loads_ahead(self) -> bool:
        """Whether the core issues a load beside a multiplication.

        Kernels have an order for that, which a compiler must be told of.
        """
        return self.core in ("cortex-m7", "cortex-m33")

    @property
    def usable_cores(self) -> int:
        """How many cores a program can use at once: without a FIFO between them, one."""
        return self.cores if self.core_fifo else 1

    @property
    def flash(self) -> Memory:
        """The first flash region."""
        return next(memory for memory in self.memories if memory.kind == "flash")

    @property
    def written_at(self) -> int:
        """The address that a tool is told to write a program to.

        An image of a boot loader lies so far from the begin of the flash part, any other program
        where the core sees the flash.
        """
        return self.app_image.offset if self.app_image else self.flash.origin

    @property
    def data_memories(self) -> tuple[Memory, ...]:
        """The memories that can hold variables, in the order of the file."""
        return tuple(memory for memory in self.memories if memory.data and memory.kind != "flash")

    @property
    def flash_bytes(self) -> int:
        """The flash that a firmware can lie in."""
        return self.whole_flash.size_bytes

    @property
    def whole_flash(self) -> Memory:
        """What a firmware is stored in: the first flash, and those that follow it without a gap.

        What the boot ROM reads lies before it.
        """
        flash = self.flash
        for memory in sorted(self.memories, key=lambda memory: memory.origin):
            if memory.kind == "flash" and memory.origin == flash.end:
                flash = replace(flash, size_bytes=flash.size_bytes + memory.size_bytes)
        boot = self.boot_bytes
        return replace(flash, origin=flash.origin + boot, size_bytes=flash.size_bytes - boot)

    @property
    def sram_bytes(self) -> int:
        """All bytes that can hold variables; not all of them need lie in one piece."""
        return sum(memory.size_bytes for memory in self.data_memories)

    @property
    def largest_sram_span(self) -> tuple[int, int]:
        """Origin and bytes of the longest run of adjacent data memories: the most for one array."""
        spans: list[tuple[int, int]] = []
        for memory in sorted(self.data_memories, key=lambda memory: memory.origin):
            if spans and sum(spans[-1]) == memory.origin:
                spans[-1] = (spans[-1][0], spans[-1][1] + memory.size_bytes)
            else:
                spans.append((memory.origin, memory.size_bytes))
        return max(spans, key=lambda span: span[1])

    def energy_mj(self, latency_ms: float) -> float:
        """What the chip takes in that time, estimated: current × voltage × time."""
        return self.active_current_ma * self.supply_voltage_v * latency_ms / 1000.0

    @property
    def energy_error(self) -> str:
        """What stands beside every energy figure: "± 33 %", or "(unverified)"."""
        error = self.active_current_error_percent
        return "(unverified)" if error is None else f"± {error} %"

    def memory_at(self, address: int) -> Memory | None:
        """The region an address lies in."""
        for memory in self.memories:
            if memory.origin <= address < memory.end:
                return memory
        return None


def with_wait_states(target: Target, wait_states: int) -> Target:
    """The same target, with other wait states of its flash: as at another clock.

    Args:
        target: which keeps its clock, and so the time of a cycle.
        wait_states: extra cycles before the first beat of an access, of every flash memory.
    """
    memories = tuple(
        replace(memory, wait_states=wait_states) if memory.kind == "flash" else memory
        for memory in target.memories
    )
    return replace(target, memories=memories)


INFORMS = (
    "name", "title", "flash_tool", "boot_note", "advice", "file", "sources",
    "active_current_error_percent", "cycle_csr", "clock", "serial", "programmers",
    "interrupts", "uf2_family", "app_image", "correction",
)  # fmt: skip
"""The fields of a target on which no figure depends, but for the factor of the correction."""


def target_key(target: Target) -> str:
    """A digest of what figures depend on: two targets that differ in words alone share it."""
    values = {entry.name: getattr(target, entry.name) for entry in fields(target)}
    silent = INFORMS if target.boot_bytes else (*INFORMS, "boot_bytes")  # which came later
    parts = [(name, value) for name, value in values.items() if name not in silent]
    if target.cycles_factor != 1:
        parts.append(("cycles_factor", target.cycles_factor))
    return key_of(*parts)


def short_key(target: Target) -> str:
    """The begin of its digest, by which a selftest says for which figures it was made."""
    return target_key(target)[:8]


def target_from(facts: Mapping[str, Any]) -> Target:
    """The target that `dataclasses.asdict` took apart."""
    caches = {key: Cache(**facts[key]) for key in ("icache", "dcache") if facts[key]}
    accelerator, correction = facts["accelerator"], facts["correction"]
    image = facts["app_image"]
    parts = {
        "app_image": AppImage(**image) if image else None,
        "memories": tuple(Memory(**memory) for memory in facts["memories"]),
        "accelerator": Accelerator(**accelerator) if accelerator else None,
        "correction": Correction(**correction) if correction else None,
    }
    return Target(**{**facts, **caches, **parts})


TARGETS = DataFiles("targets", "target", "autotiny targets")


def target_names() -> list[str]:
    """The names of all targets that come with autotiny."""
    return TARGETS.names()


def load_target(name_or_path: str) -> Target:
    """Read a target by its name, or a user's own file by its path.

    Raises:
        UserError: there is no such target, or its file breaks a rule.
    """
    path, table = TARGETS.read(name_or_path)
    own = path.parent != data_folder(TARGETS.folder)
    return replace(_target(table, path), file=name_or_path if own else "")


def _target(table: Mapping[str, Any], path: Path) -> Target:
    place = path.name
    entries = table.get("memory", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{place}: memory must be tables, each headed [[memory]]")
    # Variables cannot lie in flash: there "data" is false where nothing is said.
    entries = [{"data": entry.get("kind") != "flash"} | entry for entry in entries]
    target = filled(Target, {**table, "memory": entries}, place, TABLE, name=path.stem, file="")
    for memory in target.memories:
        _check_memory(memory, f"{place}: memory {memory.name!r}")
    for key, cache in (("icache", target.icache), ("dcache", target.dcache)):
        if cache and cache.size_bytes % (cache.ways * cache.line_bytes):
            raise UserError(
                f"{place}: {key}: size_bytes = {cache.size_bytes} is no multiple of "
                f"ways × line_bytes = {cache.ways * cache.line_bytes}"
            )
    _check_map(target, place)
    _check_start(target, place)
    return target


def _check_start(target: Target, place: str) -> None:
    """Refuse what no start-up code can be made of: C is compiled with these settings."""
    if target.boot_bytes >= target.flash.size_bytes:
        raise UserError(
            f"{place}: boot_bytes = {target.boot_bytes}; it must be less than the flash has, "
            f"{target.flash.size_bytes}"
        )
    for table in ("clock", "serial"):
        for name, value in getattr(target, table).items():
            _check_setting(name, value, f"{place}: {table}")
    for tool, own in target.programmers.items():
        if tool not in TOOLS:
            near = nearest(tool, TOOLS)
            raise UserError(
                f"{place}: programmers: unknown tool {shown(tool)}; "
                f"{f'did you mean {near!r}? ' if near else ''}known tools: {', '.join(TOOLS)}"
            )
        if not all(_OWN.fullmatch(word) and ".." not in word for word in own.split(" ")):
            raise UserError(
                f"{place}: programmers: {tool} = {shown(own)}; it must be a name, or scripts of "
                "the tool such as interface/stlink.cfg target/stm32f1x.cfg"
            )
    families = clock_families()
    family = target.clock.get("family", "")
    if target.clock and family not in families:
        near = nearest(str(family), families)
        raise UserError(
            f"{place}: clock: family = {shown(family)}; "
            f"{f'did you mean {near!r}? ' if near else ''}it must be one of {', '.join(families)}"
        )
    if target.clock:
        _check_keys(target, place)
    if target.serial and not target.clock:
        raise UserError(f"{place}: serial needs a [clock], by which its speed is set; add one")
    baud = target.serial.get("baud", 0)
    if target.serial and not (type(baud) is int and 50 <= baud <= 4_000_000):
        raise UserError(
            f"{place}: serial: baud = {shown(baud)}; it must be a whole number from 50 to 4000000"
        )
    if not target.title.isprintable() or "*/" in target.title or not target.title.strip():
        raise UserError(
            f"{place}: title = {shown(target.title)}; it must be a line of text without */, for it "
            "stands in comments of C"
        )
    if {"uf2", "picotool"} & set(target.programmers) and not target.uf2_family:
        raise UserError(f"{place}: programmers: uf2 and picotool need uf2_family; add it")
    if "esptool" in target.programmers and not target.app_image:
        raise UserError(f"{place}: programmers: esptool needs an [app_image]; add one")
    if target.app_image and not target.clock:
        raise UserError(f"{place}: app_image needs a [clock], whose code starts the part; add one")


def _check_keys(target: Target, place: str) -> None:
    """Refuse settings that the start-up code of the family does not read."""
    family = target.clock["family"]
    code = (_C_FILES / f"board_{family}.c").read_text(encoding="utf-8")
    for table in ("clock", "serial"):
        macros = re.findall(rf"\b{table.upper()}_(\w+)", code)
        read = {macro.lower() for macro in macros} - {"hz"}
        for key, value in getattr(target, table).items():
            word = isinstance(value, str)
            known = f"{key}_{value}" in read if word else key in read
            usual = word and value in _USUAL and any(one.startswith(f"{key}_") for one in read)
            if key != "family" and not known and not usual:
                raise UserError(
                    f"{place}: {table}: {key} = {shown(value)} is no setting of {family}; "
                    f"it reads {', '.join(sorted(read)) or 'none'}"
                )


_USUAL = ("hsi", "ldo")
"""What start-up code does where no macro says otherwise."""


def _check_setting(name: str, value: Setting, place: str) -> None:
    if not _WORD.fullmatch(name):
        raise UserError(f"{place}: unknown key {shown(name)}; keys are words such as pll_m")
    word = isinstance(value, str) and _WORD.fullmatch(value)
    number = type(value) is int and 0 <= value < 1 << 32
    if not (word or number or (isinstance(value, bool) and name in _FLAGS)):
        raise UserError(
            f"{place}: {name} = {shown(value)}; it must be a number from 0 to 2³² − 1, or a word "
            f"such as hsi; true and false are for {', '.join(_FLAGS)}"
        )


TOOLS = ("pyocd", "openocd", "nrfjprog", "picotool", "stm32loader", "esptool", "uf2")
"""What can write to a part."""

_C_FILES = Path(__file__).parent / "firmware" / "c"
_OWN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,60}")
_FLAGS = ("bypass",)
_WORD = re.compile(r"[a-z][a-z0-9_]{0,30}")


def clock_families() -> tuple[str, ...]:
    """The families of parts whose clock our start-up code sets."""
    return tuple(sorted(file.stem.removeprefix("board_") for file in _C_FILES.glob("board_*.c")))


def _check_memory(memory: Memory, place: str) -> None:
    """Refuse a region that cannot be."""
    if memory.kind == "flash" and memory.data:
        raise UserError(f"{place}: data = true; variables cannot lie in flash, leave the key out")
    if memory.end > 1 << 32:
        raise UserError(
            f"{place}: ends at {memory.end:#x}, past the 32-bit address space; "
            "check origin and size_bytes"
        )
    if memory.line_bytes and memory.line_bytes % memory.bus_bytes:
        raise UserError(
            f"{place}: line_bytes = {memory.line_bytes}; it must be a multiple of "
            f"bus_bytes = {memory.bus_bytes}"
        )


def _check_map(target: Target, place: str) -> None:
    """Refuse a memory map that no firmware can be linked for."""
    if not any(memory.kind == "flash" for memory in target.memories):
        raise UserError(
            f'{place}: no memory of kind = "flash"; a firmware needs one to be stored in'
        )
    if not target.data_memories:
        raise UserError(f'{place}: no memory of kind = "sram" or "tcm" that holds data; add one')
    names = [memory.name for memory in target.memories]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{place}: two memories are named {name!r}; names must differ")
    for low, high in pairwise(sorted(target.memories, key=lambda memory: memory.origin)):
        if low.end > high.origin:
            raise UserError(
                f"{place}: memory {low.name!r} ({low.origin:#x} to {low.end:#x}) overlaps "
                f"{high.name!r} (from {high.origin:#x}); check origin and size_bytes"
            )
    if target.accelerator and target.accelerator.memory not in names:
        raise UserError(
            f"{place}: accelerator: memory = {target.accelerator.memory!r}; "
            f"it must be one of {', '.join(names)}"
        )
    if target.icache and target.icache.unified and target.dcache:
        raise UserError(f"{place}: a unified icache and a dcache exclude each other; remove one")
