"""Where the cycles of a firmware go: by op, by function, by cause of stall; for any ELF.

A profile is also written as a file for https://www.speedscope.app, which draws flame graphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile
from unicorn import UC_HOOK_CODE

from autotiny.cores import CORES
from autotiny.errors import FirmwareFault, UserError, unknown
from autotiny.firmware.linking import Firmware, Symbol, symbols_of
from autotiny.firmware.ports import some_rows
from autotiny.graph import Array
from autotiny.simulator.cycles import CycleCounter, Report, Share
from autotiny.simulator.machine import (
    BEYOND,
    MOST_BUCKETS,
    NOTHING,
    bench,
    difference,
    step_ends,
    without,
)
from autotiny.simulator.processor import INSTRUCTION_LIMIT, Processor, call_ends
from autotiny.target import Target

_ELSEWHERE = "(other code)"
"""What lies in no function, and what is beyond `MOST_BUCKETS` functions."""

_PERIPHERALS = (0x40000000, 0x20000000)
"""Where a Cortex-M has peripherals; for an ELF, registers there read back what was written."""


@dataclass(frozen=True)
class FunctionProfile:
    """What ran in one function itself, without what it called."""

    name: str
    instructions: int
    cycles: int
    stalls: Mapping[str, int]


@dataclass(frozen=True)
class StepProfile:
    """One step of the model with everything it called."""

    name: str
    instructions: int
    cycles: int
    stalls: Mapping[str, int]
    functions: tuple[FunctionProfile, ...]


@dataclass(frozen=True)
class Profile:
    """Where the cycles went between two points of a firmware.

    Attributes:
        name: of the model, or of the ELF file.
        target: the target's name.
        instructions: executed.
        cycles: of the core's clock.
        latency_ms: cycles ÷ clock.
        energy_estimated_mj: active current × supply voltage × latency, an estimate.
        flash_bytes: everything the ELF stores in flash.
        static_bytes: variables, the model's arena among them; without the stack.
        stalls: cycles lost, by cause.
        steps: in the order of execution; a single one for an ELF that is not autotiny's.
        functions: most cycles first.
    """

    name: str
    target: str
    instructions: int
    cycles: int
    latency_ms: float
    energy_estimated_mj: float
    flash_bytes: int
    static_bytes: int
    stalls: Mapping[str, int]
    steps: tuple[StepProfile, ...]
    functions: tuple[FunctionProfile, ...]

    def to_dict(self) -> dict[str, Any]:
        """The profile as plain data, for JSON."""
        return asdict(self)

    def speedscope(self) -> dict[str, Any]:
        """The profile in speedscope's file format: step, function, cause of stall, in cycles."""
        frames: dict[str, int] = {}
        samples: list[list[int]] = []
        weights: list[int] = []

        def add(stack: Sequence[str], cycles: int) -> None:
            if cycles > 0:
                samples.append([frames.setdefault(name, len(frames)) for name in stack])
                weights.append(cycles)

        for step in self.steps:
            for function in step.functions:
                stack = (self.name, step.name, function.name)
                # cycles that pairing won back count against a cause and may turn it negative
                stalls = {cause: max(0, cycles) for cause, cycles in function.stalls.items()}
                for cause, cycles in stalls.items():
                    add((*stack, f"stall: {cause}"), cycles)
                add(stack, function.cycles - sum(stalls.values()))
        return {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "exporter": "autotiny",
            "name": f"{self.name} on {self.target}",
            "activeProfileIndex": 0,
            "shared": {"frames": [{"name": name} for name in frames]},
            "profiles": [
                {
                    "type": "sampled",
                    "name": "cycles",
                    "unit": "none",
                    "startValue": 0,
                    "endValue": sum(weights),
                    "samples": samples,
                    "weights": weights,
                }
            ],
        }


def profile(
    firmware: Firmware,
    target: Target,
    inputs: Array | None = None,
    *,
    limit: int | None = None,
) -> Profile:
    """Profile one inference of a linked model, caches warm.

    Args:
        firmware: what `link` returned.
        target: whose timing counts.
        inputs: one row for the input port; by default a seeded one.
        limit: instructions the inference may take, by default what its work bounds.

    Raises:
        FirmwareFault: the firmware faults or does not end.
    """
    target = target if firmware.fits else firmware.target
    rows = some_rows(firmware.inputs) if inputs is None else [inputs]
    sample = [row.tobytes() for row in rows]
    with bench(firmware, target) as at:
        with BytesIO(firmware.elf) as file:
            functions = _functions(ELFFile(file))
        buckets = _count_by_function(at.counter, functions)
        reports: list[Report] = []
        ends = step_ends(firmware)
        for end in ends[:-1]:
            at.processor.uc.hook_add(
                UC_HOOK_CODE, lambda *_: reports.append(at.report()), begin=end, end=end
            )
        for _ in range(2):
            reports.clear()
            at.infer(sample, limit, buckets["main"])
        reports.append(at.report())
    names = firmware.steps if ends else (firmware.name,)
    return _profile(
        firmware.name,
        target,
        (firmware.flash_bytes, firmware.static_bytes + firmware.arena_bytes),
        list(zip(names, reports, strict=True)),
        buckets,
    )


def measure_elf(
    path: str | Path,
    target: Target,
    *,
    start: str | None = None,
    stop: str | None = None,
    function: str | None = None,
    repeat: int | None = None,
    limit: int = INSTRUCTION_LIMIT,
) -> Profile:
    """Profile any firmware between two of its symbols, or one call of a function.

    The firmware runs from reset. It is alone: no interrupt comes, and a peripheral's register reads
    back what was written to it.

    Args:
        path: an ELF file, linked for the target.
        target: whose memories and timing count.
        start: the symbol where counting begins; `autotiny_ready` if nothing is given.
        stop: the symbol where it ends; `autotiny_done` if nothing is given.
        function: counts from its entry to its return instead.
        repeat: how often to count; the last time is reported, so that caches are warm. By default
            once, or twice where autotiny's own symbols are used.
        limit: instructions that each part may take.

    Raises:
        UserError: the file is no ELF for the core, or lacks a symbol.
        FirmwareFault: the firmware faults, does not end, or lies outside the target's memories.
    """
    path = Path(path)
    if function is not None and (start or stop):
        raise UserError("give either a function, or the symbols start and stop")
    if function is None and bool(start) != bool(stop):
        raise UserError(f"start = {start!r} and stop = {stop!r} belong together; give both")
    if function is None and start is None:
        start, stop, repeat = "autotiny_ready", "autotiny_done", repeat or 2
    with _opened(path, target) as elf:
        symbols = symbols_of(elf)
        first, last = (
            _find(symbols, name, path) if name else None for name in (function or start, stop)
        )
        assert first is not None
        with Processor(target, symbols) as processor:
            if processor.is_arm:
                processor.uc.mem_map(*_PERIPHERALS)
            processor.load(elf)
            functions = _functions(elf)
            sizes = _flash_bytes(elf, target), _static_bytes(elf, target)
            entry = _boot(processor, elf)
            processor.stop_at([first, *([last] if last is not None else [])])
            processor.run(entry, limit, first)
            if last is None:
                last = processor.register("lr") & ~1
                processor.stop_at([last])
            counter = CycleCounter(target).attach(processor.uc)
            buckets = _count_by_function(counter, functions)
            counter.switch_at(last, BEYOND)
            here = _function_at(functions, first)
            for count in range(repeat or 1):
                if count:
                    processor.run(last, limit, first)
                counter.bucket = buckets.get(here, 0)
                counter.reset()
                processor.run(first, limit, last)
    name = function or f"{start} to {stop}"
    return _profile(path.name, target, sizes, [(name, without(counter.report(), BEYOND))], buckets)


def _profile(
    name: str,
    target: Target,
    sizes: tuple[int, int],
    reports: Sequence[tuple[str, Report]],
    buckets: Mapping[str, int],
) -> Profile:
    """The profile from what was counted in all when each step ended."""
    steps = []
    before: Mapping[int, Share] = {}
    report = None
    for step, report in reports:
        shares = {
            function: difference(report.buckets.get(bucket, NOTHING), before.get(bucket, NOTHING))
            for function, bucket in {_ELSEWHERE: 0, **buckets}.items()
        }
        functions = _by_cycles(shares)
        steps.append(
            StepProfile(
                step,
                sum(one.instructions for one in functions),
                sum(one.cycles for one in functions),
                _sum_stalls(functions),
                functions,
            )
        )
        before = report.buckets
    assert report is not None
    latency_ms = 1000.0 * report.cycles / target.clock_hz
    return Profile(
        name=name,
        target=target.name,
        instructions=report.instructions,
        cycles=report.cycles,
        latency_ms=latency_ms,
        energy_estimated_mj=target.energy_mj(latency_ms),
        flash_bytes=sizes[0],
        static_bytes=sizes[1],
        stalls=report.stalls,
        steps=tuple(steps),
        functions=_by_cycles(
            {
                function: report.buckets.get(bucket, NOTHING)
                for function, bucket in {_ELSEWHERE: 0, **buckets}.items()
            }
        ),
    )


def _by_cycles(shares: Mapping[str, Share]) -> tuple[FunctionProfile, ...]:
    """The functions that ran, most cycles first."""
    ran = [
        FunctionProfile(name, share.instructions, share.cycles, share.stalls)
        for name, share in shares.items()
        if share.instructions
    ]
    return tuple(sorted(ran, key=lambda one: (-one.cycles, one.name)))


def _sum_stalls(functions: Sequence[FunctionProfile]) -> dict[str, int]:
    causes = functions[0].stalls if functions else ()
    return {cause: sum(one.stalls.get(cause, 0) for one in functions) for cause in causes}


@dataclass(frozen=True)
class _Function:
    name: str
    address: int
    code: bytes


def _functions(elf: ELFFile) -> list[_Function]:
    """The functions of an ELF by address; of several names for one, the plainest."""
    names: dict[int, tuple[str, Symbol]] = {}
    for name, symbol in symbols_of(elf).items():
        known = names.get(symbol.address)
        if symbol.is_function and (known is None or _plainness(name) < _plainness(known[0])):
            names[symbol.address] = name, symbol
    functions = []
    for section in elf.iter_sections():
        if section["sh_type"] != "SHT_PROGBITS" or not section["sh_flags"] & _EXECUTABLE:
            continue
        begin, data = section["sh_addr"], section.data()
        starts = sorted(at for at in names if begin <= at < begin + len(data))
        for at, following in zip(starts, [*starts, begin + len(data)][1:], strict=True):
            name, symbol = names[at]
            end = min(at + symbol.bytes, following) if symbol.bytes else following
            functions.append(_Function(name, at, data[at - begin : end - begin]))
    return functions


_EXECUTABLE = 4


def _plainness(name: str) -> tuple[bool, int, str]:
    return "." in name, len(name), name


def _function_at(functions: Sequence[_Function], address: int) -> str:
    for function in functions:
        if function.address <= address < function.address + len(function.code):
            return function.name
    return _ELSEWHERE


def _count_by_function(counter: CycleCounter, functions: Sequence[_Function]) -> dict[str, int]:
    """Have a counter count each function into a bucket of its own; name to bucket."""
    buckets = {}
    for bucket, function in enumerate(functions[:MOST_BUCKETS], start=1):
        buckets[function.name] = bucket
    for function in functions:
        bucket = buckets.get(function.name, 0)
        counter.switch_at(function.address, bucket)
        for end in call_ends(counter.target.core, function.code, function.address):
            counter.switch_at(end, bucket)
    return buckets


@contextmanager
def _opened(path: Path, target: Target) -> Iterator[ELFFile]:
    """The ELF file, checked to be one for the target's core."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    try:
        with BytesIO(data) as file:
            elf = ELFFile(file)
            machine = CORES[target.core].isa.elf_machine
            if elf["e_machine"] != machine or elf.elfclass != 32:
                raise UserError(
                    f"{path} is for {elf.get_machine_arch()}, {elf.elfclass} bit; "
                    f"{target.name} is a {target.core}"
                )
            _check_tables(elf, len(data))
            yield elf
    except (ELFError, ConstructError) as error:
        raise UserError(f"{path} is no ELF file, or a damaged one: {error}") from error


def _check_tables(elf: ELFFile, size: int) -> None:
    """Refuse tables that say more than the file holds, before anybody follows them."""

    def check(what: str, offset: int, count: int) -> None:
        if offset + count > size:
            raise ELFError(f"{what} is {count} bytes at {offset} of {size}")

    for what, name, count, item in (
        ("its table of segments", "ph", elf.num_segments(), _SEGMENT_BYTES),
        ("its table of sections", "sh", elf.num_sections(), _SECTION_BYTES),
    ):
        if count and elf[f"e_{name}entsize"] != item:
            raise ELFError(f"{what} has entries of {elf[f'e_{name}entsize']} bytes")
        check(what, elf[f"e_{name}off"], count * item)
    for segment in elf.iter_segments():
        check("a segment", segment["p_offset"], segment["p_filesz"])
    for section in elf.iter_sections():
        if section["sh_type"] not in ("SHT_NOBITS", "SHT_NULL"):
            check(f"section {section.name!r}", section["sh_offset"], section["sh_size"])


def _find(symbols: Mapping[str, Symbol], name: str, path: Path) -> int:
    if name not in symbols:
        raise unknown("symbol", name, symbols, f"nm {path}")
    return symbols[name].address


def _boot(processor: Processor, elf: ELFFile) -> int:
    """Set the stack pointer as the core does at reset; return where execution begins."""
    target = processor.target
    stored = sorted(
        segment["p_paddr"] for segment in elf.iter_segments("PT_LOAD") if segment["p_filesz"]
    )
    if not stored:
        raise FirmwareFault("the ELF stores nothing: it is not a linked firmware")
    entry = elf["e_entry"]
    if not processor.is_arm:
        return int(entry)
    # an RP2040 has 256 bytes of second-stage boot loader before its vector table
    for table in (stored[0], stored[0] + 0x100):
        words = processor.read(table, 8)
        stack, start = int.from_bytes(words[:4], "little"), int.from_bytes(words[4:], "little")
        memory = target.memory_at(stack - 4)
        if start & 1 and target.memory_at(start) and memory and memory.data:
            processor.set_register("sp", stack)
            return start & ~1
    processor.set_register("sp", sum(target.largest_sram_span) & ~7)
    return int(entry) & ~1


def _flash_bytes(elf: ELFFile, target: Target) -> int:
    """Bytes stored in flash, padding between segments included."""
    flashes = [memory for memory in target.memories if memory.kind == "flash"]
    ends = [
        (segment["p_paddr"], segment["p_paddr"] + segment["p_filesz"])
        for segment in elf.iter_segments("PT_LOAD")
        if segment["p_filesz"]
        and any(memory.origin <= segment["p_paddr"] < memory.end for memory in flashes)
    ]
    return max(end for _, end in ends) - min(begin for begin, _ in ends) if ends else 0


def _static_bytes(elf: ELFFile, target: Target) -> int:
    """Bytes of sections that lie in data memories."""
    return sum(
        section["sh_size"]
        for section in elf.iter_sections()
        if section["sh_flags"] & _ALLOCATED
        and any(memory.origin <= section["sh_addr"] < memory.end for memory in target.data_memories)
    )


_ALLOCATED = 2
_SEGMENT_BYTES, _SECTION_BYTES = 32, 40
