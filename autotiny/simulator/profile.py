"""Where the cycles of a firmware go: by op, by function, by cause of stall; for any ELF.

A profile is also written as a file for https://www.speedscope.app, which draws flame graphs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from unicorn import UC_HOOK_CODE

from autotiny.checked import arguments
from autotiny.errors import FirmwareFault, UserError
from autotiny.firmware.linking import Firmware
from autotiny.firmware.ports import some_rows
from autotiny.graph import Array
from autotiny.simulator.cycles import CycleCounter, Report, Share
from autotiny.simulator.disassembling import call_ends
from autotiny.simulator.images import (
    Function,
    Image,
    code_at,
    flash_bytes,
    functions_of,
    read_image,
)
from autotiny.simulator.machine import (
    BEYOND,
    MOST_BUCKETS,
    NOTHING,
    bench,
    difference,
    step_ends,
    without,
)
from autotiny.simulator.processor import INSTRUCTION_LIMIT, Processor
from autotiny.simulator.waiting import run_watched
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
        static_bytes: variables, the model's arena among them; without the stack. None for a file
            that does not tell.
        flash_wait_states: of the first flash memory of the target that was simulated.
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
    static_bytes: int | None
    flash_wait_states: int
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
    """Profile one inference of a linked model, the last one of those that `run` executes.

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
            functions = functions_of(ELFFile(file))
        buckets = _count_by_function(at.counter, functions)
        so_far: list[Report] = []
        ends = step_ends(firmware)
        for end in ends[:-1]:
            at.processor.uc.hook_add(
                UC_HOOK_CODE, lambda *_: so_far.append(at.report()), begin=end, end=end
            )
        for report in at.infer_each([sample], limit=limit, bucket=buckets["main"]):
            reports = [*so_far, report]
            so_far.clear()
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
    start: str | int | None = None,
    stop: str | int | None = None,
    function: str | int | None = None,
    origin: str | int | None = None,
    repeat: int | None = None,
    limit: int = INSTRUCTION_LIMIT,
) -> Profile:
    """Profile any firmware between two of its places, or one call of a function.

    The firmware runs from reset. It is alone: no interrupt comes, and a peripheral's register reads
    back what was written to it. A place is the name of a symbol, or an address; the lowest bit of
    one, by which Arm marks Thumb code, does not matter.

    Args:
        path: an ELF file, or an image of it (`.bin`, `.hex`), linked for the target.
        target: whose memories and timing count.
        start: where counting begins; `autotiny_ready` if nothing is given.
        stop: where it ends; `autotiny_done` if nothing is given.
        function: counts from its entry to its return instead.
        origin: the address of a `.bin` file's first byte, by default that of the target's flash.
        repeat: how often to count; the last time is reported, so that caches are warm. By default
            once, or twice where autotiny's own symbols are used.
        limit: instructions that each part may take.

    Raises:
        UserError: the file is no firmware for the target, lacks a symbol, or waits for hardware.
        FirmwareFault: the firmware faults, does not end, or lies outside the target's memories.
    """
    path = Path(path)
    repeat = arguments(repeat=repeat)["repeat"]
    if function is not None and (start is not None or stop is not None):
        raise UserError("give either a function, or the symbols start and stop")
    if function is None and (start is None) != (stop is None):
        raise UserError(f"start = {start!r} and stop = {stop!r} belong together; give both")
    image = read_image(path, target, origin)
    if function is None and start is None:
        (start, stop), repeat = _marks(image), repeat or 2
    begin = function if start is None else start
    assert begin is not None
    first = code_at(image, target, begin)
    last = None if stop is None else code_at(image, target, stop)
    if first == last:
        raise UserError(f"start and stop are both {first:#010x}; give two places")
    name = " to ".join(
        str(given) if given in image.symbols else f"{address:#010x}"
        for given, address in ((begin, first), (stop, last))
        if address is not None
    )
    with Processor(target, image.symbols) as processor:
        if processor.is_arm:
            processor.uc.mem_map(*_PERIPHERALS)
        processor.load(image.segments)
        processor.stop_at([first, *([last] if last is not None else [])])
        report, buckets = _passes(processor, image, (first, last), repeat or 1, limit, name)
    sizes = flash_bytes(image.segments, target), image.static_bytes
    step = name if repeat in (None, 1) else f"{name}, pass {repeat}"
    return _profile(path.name, target, sizes, [(step, report)], buckets)


_WAY_OUT = "build it so that it goes on without, or measure what runs before"

_MARKS = "autotiny_ready", "autotiny_done"


def _marks(image: Image) -> tuple[str, str]:
    """The symbols between which autotiny's own firmware computes."""
    if not set(_MARKS) <= set(image.symbols):
        raise UserError(
            f"{image.path} has no symbols {' and '.join(_MARKS)}, between which autotiny's own "
            "firmware is measured; give --function for one call of a function, or --symbol twice, "
            "where to start and where to stop: a symbol, or an address as 0x0800_1234"
        )
    return _MARKS


def _passes(
    processor: Processor,
    image: Image,
    between: tuple[int, int | None],
    repeat: int,
    limit: int,
    name: str,
) -> tuple[Report, dict[str, int]]:
    """What the last pass from one address to another took, and the bucket of each function.

    Where no second address is given, a pass ends where the first one returns to.
    """
    first, last = between
    counter: CycleCounter | None = None
    buckets: dict[str, int] = {}

    def bucket_at(address: int) -> int:
        return buckets.get(_function_at(image.functions, address), 0)

    place = _boot(processor, image)
    for count in range(1, repeat + 1):
        way = f"ask for --repeat {count - 1}" if count > 1 else _WAY_OUT
        which = f"pass {count} of {repeat} of {name}" if repeat > 1 else name
        run_watched(processor, place, limit, first, f"so {which} never begins; {way}")
        if counter is not None:
            counter.switch_at(place, bucket_at(place))
        place = processor.register("lr") & ~1 if last is None else last
        processor.stop_at([place])
        if counter is None:
            counter = CycleCounter(processor.target)
            buckets = _count_by_function(counter, image.functions)
            counter.attach(processor.uc)
        processor.uc.ctl_flush_tb()  # code that is translated already would not stop there
        counter.switch_at(place, BEYOND)
        counter.bucket = bucket_at(first)
        counter.reset()
        run_watched(processor, first, limit, place, f"so {which} never ends; {way}")
    assert counter is not None
    return without(counter.report(), BEYOND), buckets


def _profile(
    name: str,
    target: Target,
    sizes: tuple[int, int | None],
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
        flash_wait_states=target.flash.wait_states,
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


def _function_at(functions: Sequence[Function], address: int) -> str:
    for function in functions:
        if function.address <= address < function.address + len(function.code):
            return function.name
    return _ELSEWHERE


def _count_by_function(counter: CycleCounter, functions: Sequence[Function]) -> dict[str, int]:
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


def _boot(processor: Processor, image: Image) -> int:
    """Set the stack pointer as the core does at reset; return where execution begins."""
    target = processor.target
    if not image.segments:
        raise FirmwareFault("the ELF stores nothing: it is not a linked firmware")
    if not processor.is_arm:
        return image.entry
    lowest = image.segments[0][0]
    # what the boot ROM reads, or a boot loader, may lie before the vector table
    for table in dict.fromkeys((lowest, lowest + target.boot_bytes)):
        stack, start = _vectors(processor, table)
        memory, code = target.memory_at(stack - 4), target.memory_at(start)
        inside = any(begin < start < begin + len(data) for begin, data in image.segments)
        starts = start & 1 and (inside or not image.needs_vectors)
        if starts and code and code.executable and memory and memory.data:
            processor.set_register("sp", stack)
            return start & ~1
    if image.needs_vectors:
        stack, start = _vectors(processor, lowest)
        raise UserError(
            f"{image.path} has no vector table at {lowest:#010x}: its first words are "
            f"{stack:#010x} and {start:#010x}, which should be the end of a stack in a data memory "
            f"of {target.name} and an odd address inside the image; give the --origin or the "
            "target that it was linked for"
        )
    processor.set_register("sp", sum(target.largest_sram_span) & ~7)
    return image.entry & ~1


def _vectors(processor: Processor, table: int) -> tuple[int, int]:
    """The first two words of a vector table: stack pointer and reset handler."""
    words = processor.read(table, 8)
    return int.from_bytes(words[:4], "little"), int.from_bytes(words[4:], "little")
