"""Microcontrollers as data files: `targets/*.toml` read into `Target`.

Nothing about a board is in code; a new board is a new file. CONTRIBUTING says how to write one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from autotiny.datafile import DataFiles, data_folder
from autotiny.errors import UserError

Core = Literal["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "rv32imc"]
Fpu = Literal["none", "fpv4-sp-d16", "fpv5-sp-d16", "fpv5-d16"]
MemoryKind = Literal["flash", "sram", "tcm"]


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
        prefetch: whether the controller reads the next line ahead of the core.
        cached: whether the core's caches (`icache`, `dcache`) stand before it.
        executable: whether code may run from it.
        data: whether variables may lie in it; false for flash and instruction memories.
    """

    name: str
    kind: MemoryKind
    origin: int
    size_bytes: int
    wait_states: int = 0
    burst_wait_states: int = 0
    clock_divider: int = 1
    bus_bytes: int = 4
    line_bytes: int = 0
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

    size_bytes: int
    ways: int
    line_bytes: int
    policy: Literal["write-back", "write-through", "read-only"] = "read-only"
    replacement: Literal["lru", "random", "round-robin"] = "lru"
    unified: bool = False
    miss_cycles: int = 0


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
        next_line_cycles: what it costs to go on fetching in the next line.
    """

    name: str
    memory: str
    instruction_lines: int
    data_lines: int
    line_bytes: int
    miss_cycles: int = 0
    next_line_cycles: int = 0


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
        flash_tool: the command that writes `{elf}` to the board.
        boot_note: what the part needs before it runs a bare firmware, a sentence; "" if nothing.
        core_fifo: address of the FIFO through which two cores send each other words: its status
            word, with the words to write and to read behind it; 0 if there is none.
        file: path of a user's own file; "" for a target that comes with autotiny.
        sources: the document each figure comes from, by key.
    """

    name: str
    title: str
    core: Core
    clock_hz: int
    fpu: Fpu
    dsp: bool
    cores: int
    memories: tuple[Memory, ...]
    icache: Cache | None
    dcache: Cache | None
    accelerator: Accelerator | None
    active_current_ma: float
    supply_voltage_v: float
    flash_tool: str
    sources: Mapping[str, str]
    boot_note: str = ""
    core_fifo: int = 0
    file: str = field(default="", compare=False, repr=False)

    @property
    def source(self) -> str:
        """How it was asked for: a name, or the path of a user's own file."""
        return self.file or self.name

    @property
    def usable_cores(self) -> int:
        """How many cores a program can use at once: without a FIFO between them, one."""
        return self.cores if self.core_fifo else 1

    @property
    def flash(self) -> Memory:
        """The memory that a firmware is stored in: the first flash region."""
        return next(memory for memory in self.memories if memory.kind == "flash")

    @property
    def data_memories(self) -> tuple[Memory, ...]:
        """The memories that can hold variables, in the order of the file."""
        return tuple(memory for memory in self.memories if memory.data and memory.kind != "flash")

    @property
    def flash_bytes(self) -> int:
        """All bytes of flash."""
        return sum(memory.size_bytes for memory in self.memories if memory.kind == "flash")

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

    def memory_at(self, address: int) -> Memory | None:
        """The region an address lies in."""
        for memory in self.memories:
            if memory.origin <= address < memory.end:
                return memory
        return None


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


_Record = TypeVar("_Record", Memory, Cache, Accelerator)
_TOP_KEYS = (
    "title", "core", "clock_hz", "fpu", "dsp", "cores", "active_current_ma", "supply_voltage_v",
    "flash_tool", "boot_note", "core_fifo", "memory", "icache", "dcache", "accelerator", "sources",
)  # fmt: skip


def _target(table: dict[str, Any], path: Path) -> Target:
    place = path.name
    _refuse_unknown_keys(table, _TOP_KEYS, place)
    memories = table.get("memory", [])
    if not isinstance(memories, list) or not all(isinstance(entry, dict) for entry in memories):
        raise UserError(f"{place}: memory must be tables, each headed [[memory]]")
    target = Target(
        name=path.stem,
        title=_value(table, "title", str, place),
        core=_choice(table, "core", get_args(Core), place),
        clock_hz=_positive(table, "clock_hz", int, place),
        fpu=_choice(table, "fpu", get_args(Fpu), place),
        dsp=_value(table, "dsp", bool, place),
        cores=_positive(table, "cores", int, place),
        memories=tuple(
            _memory(entry, f"{place}: memory {entry.get('name', number)!r}")
            for number, entry in enumerate(memories, start=1)
        ),
        icache=_cache(table, "icache", place),
        dcache=_cache(table, "dcache", place),
        accelerator=_optional_record(table, "accelerator", Accelerator, place),
        active_current_ma=float(_positive(table, "active_current_ma", float, place)),
        supply_voltage_v=float(_positive(table, "supply_voltage_v", float, place)),
        flash_tool=_value(table, "flash_tool", str, place),
        sources=_sources(table, place),
        boot_note=_value(table, "boot_note", str, place) if "boot_note" in table else "",
        core_fifo=_positive(table, "core_fifo", int, place) if "core_fifo" in table else 0,
    )
    _check_map(target, place)
    return target


_LEAST = {
    "origin": 0, "size_bytes": 1, "wait_states": 0, "burst_wait_states": 0, "clock_divider": 1,
    "bus_bytes": 1, "line_bytes": 0,
}  # fmt: skip


def _memory(entry: dict[str, Any], place: str) -> Memory:
    entry = dict(entry)
    if entry.get("kind") == "flash":
        entry["data"] = entry.get("data", False)
    memory = _record(entry, Memory, place)
    if memory.kind == "flash" and memory.data:
        raise UserError(f"{place}: data = true; variables cannot lie in flash, leave the key out")
    for key, least in _LEAST.items():
        if getattr(memory, key) < least:
            raise UserError(f"{place}: {key} = {getattr(memory, key)}; it must be at least {least}")
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
    return memory


def _cache(table: dict[str, Any], key: str, place: str) -> Cache | None:
    cache = _optional_record(table, key, Cache, place)
    if cache is None:
        return None
    for name in ("size_bytes", "ways", "line_bytes"):
        if getattr(cache, name) < 1:
            raise UserError(
                f"{place}: {key}: {name} = {getattr(cache, name)}; it must be at least 1"
            )
    if cache.size_bytes % (cache.ways * cache.line_bytes):
        raise UserError(
            f"{place}: {key}: size_bytes = {cache.size_bytes} is no multiple of "
            f"ways × line_bytes = {cache.ways * cache.line_bytes}"
        )
    return cache


def _sources(table: dict[str, Any], place: str) -> dict[str, str]:
    sources: dict[str, str] = _value(table, "sources", dict, place)
    for key, text in sources.items():
        if not isinstance(text, str):
            raise UserError(
                f"{place}: sources.{key} must be text that names a document; got {text!r}"
            )
    return sources


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


_TYPE_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table",
}


def _refuse_unknown_keys(table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise UserError(f"{place}: unknown key {key!r}; {hint}")


def _value(table: Mapping[str, Any], key: str, kind: type, place: str) -> Any:
    if key not in table:
        raise UserError(f"{place}: {key} is missing; it must be {_TYPE_NAMES[kind]}")
    value = table[key]
    # bool is an int to isinstance, and a whole number will do where any number is asked
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{place}: {key} = {value!r}; it must be {_TYPE_NAMES[kind]}")
    return value


def _positive(table: Mapping[str, Any], key: str, kind: type, place: str) -> Any:
    value = _value(table, key, kind, place)
    if value <= 0:
        raise UserError(f"{place}: {key} = {value}; it must be above zero")
    return value


def _choice(table: Mapping[str, Any], key: str, choices: tuple[str, ...], place: str) -> Any:
    value = _value(table, key, str, place)
    if value not in choices:
        near = get_close_matches(value, choices, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(f"{place}: {key} = {value!r}; {hint}it must be one of {', '.join(choices)}")
    return value


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "kind": get_args(MemoryKind),
    "policy": ("write-back", "write-through", "read-only"),
    "replacement": ("lru", "random", "round-robin"),
}


def _record(entry: Mapping[str, Any], record: type[_Record], place: str) -> _Record:
    """Fill a dataclass from a table, by the types of its fields."""
    _refuse_unknown_keys(entry, tuple(known.name for known in fields(record)), place)
    values: dict[str, Any] = {}
    for known in fields(record):
        name = known.name
        if name not in entry and known.default is not MISSING:
            continue
        if name in _CHOICES:
            values[name] = _choice(entry, name, _CHOICES[name], place)
        else:
            kind = {"str": str, "int": int, "bool": bool}[str(known.type)]
            values[name] = _value(entry, name, kind, place)
    return record(**values)


def _optional_record(
    table: Mapping[str, Any], key: str, record: type[_Record], place: str
) -> _Record | None:
    if key not in table:
        return None
    return _record(_value(table, key, dict, place), record, f"{place}: {key}")
