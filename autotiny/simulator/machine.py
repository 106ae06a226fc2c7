"""Executes a firmware: outputs, instructions, cycles and stack of its inference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from elftools.elf.elffile import ELFFile
from unicorn import UC_HOOK_CODE, Uc

from autotiny.firmware.linking import Firmware
from autotiny.firmware.ports import port_bytes, port_rows, sample_shape, some_rows
from autotiny.graph import Array
from autotiny.simulator.cycles import CycleCounter, Report, Share
from autotiny.simulator.disassembling import call_ends
from autotiny.simulator.images import stored
from autotiny.simulator.processor import Processor
from autotiny.simulator.second_core import Moment, SecondCore, second_core
from autotiny.target import Target

_LONG_RUN = 50_000_000
"""Instructions of an inference beside which the filling of caches is nothing."""

NOTHING = Share(0, 0, {})

MOST_BUCKETS = 4000
"""What the counter tells apart besides bucket 0."""

BEYOND = MOST_BUCKETS + 1
"""The bucket of the block that a run stops at: the emulator counts it, but it was not executed."""

_PAINT = b"\xa5\x5a\xc3\x3c"


@dataclass(frozen=True)
class Step:
    """One step of the model as it was executed.

    Attributes:
        instructions: executed.
        cycles: taken.
        stalls: cycles by cause within `cycles`.
        stack_bytes: high-water mark below the frame of the function that calls the steps.
    """

    instructions: int
    cycles: int
    stalls: Mapping[str, int]
    stack_bytes: int = 0


@dataclass(frozen=True)
class StackMark:
    """How deep the stack was, and the lowest address that it took."""

    bytes: int
    lowest: int


_NO_MARKS: Mapping[int, StackMark] = {}


@dataclass(frozen=True, eq=False)
class Run:
    """What a firmware did.

    Attributes:
        outputs: of the first output port, one row an input, in its stored type.
        further_outputs: of the other ports.
        instructions: executed by the last inference, on all cores.
        cycles: of the last inference, caches warm; what two cores do at once counts once.
        cold_cycles: of the first inference, caches empty.
        stack_bytes: high-water mark, the startup code's frame included.
        stack_overflowed: the whole room for the stack was used, so the mark is a lower bound.
        layers: the last inference by step; empty if `model_run` is not one call a step.
        stalls: cycles by cause within `cycles`, of all cores.
    """

    outputs: Array
    further_outputs: tuple[Array, ...]
    instructions: int
    cycles: int
    cold_cycles: int
    stack_bytes: int
    stack_overflowed: bool
    layers: tuple[Step, ...]
    stalls: Mapping[str, int]


def run(
    firmware: Firmware,
    target: Target,
    inputs: Array | Sequence[Array] | None = None,
    *,
    repeats: int | None = None,
    limit: int | None = None,
    simulate_memory: bool = True,
    keep_state: bool = False,
    on_step: Callable[[int], None] | None = None,
) -> Run:
    """Execute a firmware from reset, then one inference after the other.

    Args:
        firmware: what `link` returned.
        target: whose timing counts; the firmware's own memories where it does not fit.
        inputs: rows for the input port (one array a port, if there are several); by default one
            seeded row.
        repeats: inferences at least; rows are taken in turn and the last one repeats. By default
            two, the second with warm caches, or one where it is so long that this hardly counts.
        limit: instructions an inference may take, by default what its work bounds.
        simulate_memory: False counts the cycles of the pipeline alone, in a fraction of the time.
        keep_state: whether an inference finds what the one before left behind, as those of a stream
            do; otherwise each is independent.
        on_step: called now and then with the step that is executed.

    Raises:
        FirmwareFault: the firmware faults or does not end.
    """
    ports = firmware.inputs
    columns = some_rows(ports) if inputs is None else port_rows(ports, inputs)
    rows = [[row.tobytes() for row in sample] for sample in zip(*columns, strict=True)]
    with bench(firmware, target, simulate_memory=simulate_memory) as at:
        boundaries = step_ends(firmware)
        for step, address in enumerate(boundaries[:-1], start=1):
            at.counter.switch_at(address, step)
        if on_step is not None:
            at.processor.watch = lambda: on_step(at.counter.bucket)
        marks = at.mark_stacks(boundaries)
        outputs: list[list[bytes]] = []
        cold_cycles = 0
        for report in at.infer_each(rows, repeats, limit, keep_state=keep_state):
            cold_cycles = cold_cycles or report.cycles
            if len(outputs) < len(rows):
                outputs.append(at.outputs())
        at.check_stacks()
        stack_bytes, stack_overflowed = at.stack(marks)
    arrays = [
        np.frombuffer(b"".join(row[k] for row in outputs), port.dtype).reshape(
            len(outputs), *sample_shape(port)
        )
        for k, port in enumerate(firmware.outputs)
    ]
    return Run(
        outputs=arrays[0],
        further_outputs=tuple(arrays[1:]),
        instructions=report.instructions,
        cycles=report.cycles,
        cold_cycles=cold_cycles,
        stack_bytes=stack_bytes,
        stack_overflowed=stack_overflowed,
        layers=tuple(
            Step(share.instructions, share.cycles, share.stalls, marks[end].bytes)
            for step, end in enumerate(boundaries)
            for share in (report.buckets.get(step, NOTHING),)
        ),
        stalls=report.stalls,
    )


@dataclass(frozen=True, eq=False)
class Bench:
    """A firmware that waits for its input, with what counts an inference.

    Attributes:
        firmware: that was started.
        processor: core 0, and the memories.
        counter: counts into bucket 0 until it is told to switch.
        second: core 1, where the firmware uses it.
        begin: the address from which an inference runs to `autotiny_done`.
    """

    firmware: Firmware
    processor: Processor
    counter: CycleCounter
    second: SecondCore | None
    begin: int

    def infer_each(
        self,
        samples: Sequence[Sequence[bytes]],
        repeats: int | None = None,
        limit: int | None = None,
        bucket: int = 0,
        *,
        keep_state: bool = False,
    ) -> Iterator[Report]:
        """Run one inference after the other; gives what each of them took.

        Args:
            samples: taken in turn, and the last one repeats.
            repeats: inferences at least; by default two, the second with warm caches, or one where
                it is so long that this hardly counts.
            limit: as `infer` takes it.
            bucket: likewise.
            keep_state: whether what a model keeps outlives an inference.
        """
        number = 0
        while number < max(repeats or 2, len(samples)):
            if not keep_state or number == 0:
                # as after reset: what a model keeps between inferences starts as zeros
                cleared = self.firmware.arena_bytes - self.firmware.kept_bytes
                self.processor.write(self._arena, bytes(cleared))
            self.infer(samples[min(number, len(samples) - 1)], limit, bucket)
            report = self.report()
            if repeats is None and report.instructions > _LONG_RUN:
                repeats = 1
            number += 1
            yield report

    def infer(self, sample: Sequence[bytes], limit: int | None, bucket: int = 0) -> None:
        """Run one inference, counted from zero.

        Args:
            sample: the bytes of each input port.
            limit: instructions it may take, by default what its work bounds.
            bucket: that is counted into at first.
        """
        limit = self.firmware.instruction_limit if limit is None else limit
        arena = self._arena
        for port, data in zip(self.firmware.inputs, sample, strict=True):
            self.processor.write(arena + port.offset, data)
        self.counter.bucket = bucket
        self.counter.reset()
        if self.second is not None:
            self.second.overlaps.clear()
        done = self.firmware.symbols["autotiny_done"].address
        self.counter.switch_at(done, BEYOND)
        self.processor.run(self.begin, limit, done)

    def outputs(self) -> list[bytes]:
        """The bytes of each output port after an inference."""
        return [
            self.processor.read(self._arena + port.offset, port_bytes(port))
            for port in self.firmware.outputs
        ]

    def report(self) -> Report:
        """What the inference took so far; what two cores did at once counts once."""
        overlaps = self.second.overlaps if self.second is not None else Counter[int]()
        report = without(self.counter.report(), BEYOND)
        buckets = {
            bucket: replace(share, cycles=share.cycles - overlaps[bucket])
            for bucket, share in report.buckets.items()
        }
        return replace(report, cycles=report.cycles - overlaps.total(), buckets=buckets)

    def check_stacks(self) -> None:
        """Refuse a run in which core 1 used all of its stack."""
        if self.second is not None:
            self.second.check_stack()

    def mark_stacks(self, ends: Sequence[int]) -> dict[int, StackMark]:
        """Have it noted at these addresses how deep the stack was since the one before.

        Returns:
            What was noted, by the address, once it was executed.
        """
        marks: dict[int, StackMark] = {}
        limit = self.firmware.stack_limit

        def note(_uc: Uc, address: int, _size: int, _data: object) -> None:
            top = self.processor.register("sp")
            below = self.processor.read(limit, top - limit)
            lowest = limit + _painted_bytes(below)
            if address not in marks or lowest < marks[address].lowest:
                marks[address] = StackMark(top - lowest, lowest)
            self.processor.write(lowest, painted(lowest, top))

        for end in ends:
            self.processor.uc.hook_add(UC_HOOK_CODE, note, begin=end, end=end)
        return marks

    def stack(self, marks: Mapping[int, StackMark] = _NO_MARKS) -> tuple[int, bool]:
        """How many bytes of the stack were used, and whether that is all there was room for."""
        firmware = self.firmware
        room = self.processor.read(firmware.stack_limit, firmware.stack_room_bytes)
        lowest = firmware.stack_limit + _painted_bytes(room)
        lowest = min([lowest, *(mark.lowest for mark in marks.values())])
        return firmware.stack_top - lowest, lowest == firmware.stack_limit

    @property
    def _arena(self) -> int:
        return self.firmware.symbols[f"{self.firmware.name}_arena"].address


@contextmanager
def bench(firmware: Firmware, target: Target, *, simulate_memory: bool = True) -> Iterator[Bench]:
    """A firmware, started on a target and waiting for its input.

    Args:
        firmware: what `link` returned.
        target: whose timing counts; the firmware's own memories where it does not fit.
        simulate_memory: False counts the cycles of the pipeline alone.
    """
    target = target if firmware.fits else firmware.target
    with power_up(firmware, target) as processor:
        begin = processor.register("lr")  # where autotiny_ready() returns to
        second = second_core(processor, firmware)
        # only now, so that the start is not simulated
        counter = CycleCounter(target, simulate_memory=simulate_memory).attach(processor.uc)
        if second is not None:
            second.clock = lambda: Moment(
                counter.cycles, counter.waited, counter.cycles_by_bucket()
            )
        yield Bench(firmware, processor, counter, second, begin)


def without(report: Report, bucket: int) -> Report:
    """A count without one of its buckets."""
    part = report.buckets.get(bucket, NOTHING)
    rest = difference(Share(report.cycles, report.instructions, report.stalls), part)
    buckets = {number: share for number, share in report.buckets.items() if number != bucket}
    return replace(
        report, cycles=rest.cycles, instructions=rest.instructions, stalls=rest.stalls,
        buckets=buckets,
    )  # fmt: skip


def difference(whole: Share, part: Share) -> Share:
    """What is left of a count without a part of it."""
    return Share(
        whole.cycles - part.cycles,
        whole.instructions - part.instructions,
        {cause: n - part.stalls.get(cause, 0) for cause, n in whole.stalls.items()},
    )


def power_up(firmware: Firmware, target: Target) -> Processor:
    """A processor that has run from reset to where it waits for an input, the stack below painted.

    An inference runs from the address in `lr` to `autotiny_done`.
    """
    processor = Processor(target, firmware.symbols)
    try:
        _boot(processor, firmware)
    except BaseException:
        processor.close()
        raise
    return processor


def _boot(processor: Processor, firmware: Firmware) -> None:
    with BytesIO(firmware.elf) as file:
        processor.load(stored(ELFFile(file)))
    ready, done = (firmware.symbols[name].address for name in ("autotiny_ready", "autotiny_done"))
    processor.stop_at((ready, done))
    if processor.is_arm:
        stack, start = np.frombuffer(firmware.image[:8], "<u4")
        processor.set_register("sp", int(stack))
    else:
        start = firmware.symbols["Reset_Handler"].address
    processor.run(int(start) & ~1)
    limit = firmware.stack_limit
    processor.write(limit, painted(limit, processor.register("sp")))


def painted(begin: int, end: int) -> bytes:
    """What lies in an unused stack between two addresses, the first one a multiple of 4."""
    return (_PAINT * ((end - begin) // 4 + 1))[: end - begin]


def step_ends(firmware: Firmware) -> list[int]:
    """Where the calls of the model's run function return to; empty if they are not its steps."""
    function = firmware.symbols.get(f"{firmware.name}_run")
    if function is None:  # it was inlined, where the linker optimizes
        return []
    start = function.address - firmware.target.whole_flash.origin
    code = firmware.image[start : start + function.bytes]
    ends = call_ends(firmware.target.core, code, function.address)
    return ends if len(ends) == len(firmware.steps) else []


def _painted_bytes(stack: bytes) -> int:
    """How many bytes at the bottom of the stack still carry the paint."""
    words = np.frombuffer(stack[: len(stack) & ~3], "<u4")
    used = np.flatnonzero(words != np.frombuffer(_PAINT, "<u4")[0])
    return 4 * int(used[0]) if used.size else len(stack)
