"""Counts the cycles that firmware takes on a microcontroller, while Unicorn executes it.

```python
# any Uc instance, any firmware, any peripherals
counter = CycleCounter(load_target("stm32h7a3")).attach(uc)
# cold: caches and predictors are empty
uc.emu_start(…)
counter.reset()                                                # counts to zero, caches stay warm
uc.emu_start(…)
report = counter.report()
report.cycles, report.instructions, report.stalls["fetch"], report.blocks, report.buckets[3].cycles
```

Cycles can be put into buckets: `counter.bucket = 3` before a run, or `counter.switch_at(address,
    3)`, which switches by
itself whenever the block at that address begins (a function's entry, or the address that a call
returns to).

Each basic block is decoded once, when it first runs after a certain other block, and issued
through the core's table (`cores/`); the cost is kept for this pair of blocks. A native hook looks
the pair up and adds its cost; another one simulates the memory system (`memory.py`) on the
addresses of fetches and data accesses.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from unicorn import (
    UC_HOOK_BLOCK,
    UC_HOOK_EDGE_GENERATED,
    UC_HOOK_MEM_READ,
    UC_HOOK_MEM_WRITE,
    Uc,
)
from unicorn.unicorn_py3.unicorn import uc_tb, uclib

from autotiny.cores import (
    CAUSES,
    CORES,
    LOADS,
    STORES,
    Instruction,
    block_cost,
    decode,
    riscv_decoder,
    thumb_decoder,
)
from autotiny.errors import FirmwareFault
from autotiny.simulator import memory
from autotiny.simulator.memory import SCALE, State
from autotiny.target import Target


@dataclass(frozen=True)
class Share:
    """What one bucket, or the whole run, took."""

    cycles: int
    instructions: int
    stalls: Mapping[str, int]


@dataclass(frozen=True)
class BlockCount:
    """One basic block: how often it ran, and its cycles without memory stalls."""

    address: int
    size: int
    instructions: int
    count: int
    cycles: float


@dataclass(frozen=True)
class Report:
    """The count since the last reset.

    Attributes:
        cycles: of the core's clock.
        instructions: executed, exactly.
        stalls: cycles by cause: "dependency", "issue", "branch" (pipeline), "fetch", "data"
            (memory).
        buckets: the same by bucket, for the buckets that ran.
        blocks: the basic blocks that ran, by address.
    """

    cycles: int
    instructions: int
    stalls: Mapping[str, int]
    buckets: Mapping[int, Share]
    blocks: tuple[BlockCount, ...]


class CycleCounter:
    """Counts cycles of one Unicorn instance for one target.

    Args:
        target: whose core and memories are modelled.
        simulate_memory: False counts pipeline cycles alone, as if every memory answered at once.
    """

    def __init__(self, target: Target, *, simulate_memory: bool = True) -> None:
        self.target = target
        self.timing = CORES[target.core].timing
        self.simulates_memory = simulate_memory
        self._state: State = memory.build(target)
        arm = CORES[target.core].isa.is_arm
        self._decoder = thumb_decoder() if arm else riscv_decoder()
        self._blocks: list[tuple[Instruction, ...]] = []
        self._numbers: dict[int, dict[bytes, int]] = {}  # by address, then by code
        self._switches: dict[int, int] = {}
        self._lines_used = 0
        self._edges_used = 0
        self._uc: Any = None
        self._error: BaseException | None = None
        self._add_edge = _CALLBACK(self._new_edge)
        self._state[memory.CALLBACK] = _address(self._add_edge)
        self._state[memory.READ_REGISTER] = _address(uclib.uc_reg_read)
        self._state[memory.WRITE_REGISTER] = _address(uclib.uc_reg_write)
        self._state[memory.SCRATCH_AT] = self._state.ctypes.data + 8 * memory.SCRATCH
        self._state[memory.UNALIGNED] = round(self.timing.unaligned_load * SCALE)
        self._state[memory.MISPREDICT] = (
            round(self.timing.mispredict * SCALE) if self.timing.predicts else 0
        )

    def attach(self, uc: Uc) -> CycleCounter:
        """Adds the counting hooks to a Unicorn instance; returns the counter."""
        if self._uc is not None:
            raise ValueError("this CycleCounter is attached already; make another one")
        self._uc = uc
        uc.ctl_flush_tb()  # code that is translated already would not see the hooks
        on_block, on_access = memory.hooks()
        self._hook(UC_HOOK_BLOCK, on_block, 1, 0)
        uc.hook_add(UC_HOOK_EDGE_GENERATED, self._translated)
        if self.simulates_memory:
            for begin, end in _spans(self.target):
                self._hook(UC_HOOK_MEM_READ, on_access, begin, end - 1)
                if self.target.dcache is not None:
                    self._hook(UC_HOOK_MEM_WRITE, on_access, begin, end - 1)
        return self

    @property
    def cycles(self) -> int:
        """Cycles since the last reset."""
        return int(self._state[memory.CYCLES]) // SCALE

    @property
    def waited(self) -> int:
        """Those of them that were spent waiting for memories."""
        fetch, data = (memory.STALLS + CAUSES.index(cause) for cause in ("fetch", "data"))
        return int(self._state[fetch] + self._state[data]) // SCALE

    @property
    def bucket(self) -> int:
        """The bucket that is counted into, 0 at the start."""
        return int(self._state[memory.BUCKET])

    @bucket.setter
    def bucket(self, number: int) -> None:
        _check_bucket(number)
        memory.settle(self._state)
        self._state[memory.BUCKET] = number

    def cycles_by_bucket(self) -> dict[int, int]:
        """Cycles since the last reset, for the buckets that ran."""
        memory.settle(self._state)
        return {number: int(row[0]) // SCALE for number, row in self._rows()}

    def switch_at(self, address: int, bucket: int) -> None:
        """Counts into a bucket from every time on that the block at an address begins."""
        _check_bucket(bucket)
        address &= ~1
        self._switches[address] = bucket
        for number, block in enumerate(self._blocks):
            if block[0].address == address:
                place = memory.BLOCKS + memory.BLOCK_FIELDS * number
                self._state[place + memory.B_SWITCH] = bucket

    def reset(self, *, cold: bool = False) -> None:
        """Sets the counts to zero; caches and predictors keep what they learnt unless `cold`."""
        state = self._state
        # Times that the memory system remembers are relative to the cycle count.
        elapsed = int(state[memory.CYCLES])
        for number in range(int(state[memory.REGIONS_USED])):
            region = memory.REGIONS + memory.REGION_FIELDS * number
            for field in (memory.R_BUSY, memory.R_AHEAD_READY):
                state[region + field] = max(0, int(state[region + field]) - elapsed)
        for totals in (memory.TOTALS, memory.SETTLED):
            state[totals : totals + memory.TOTALS_FIELDS] = 0
        state[memory.BUCKETS : memory.CACHES] = 0
        state[memory.EDGES + memory.E_COUNT : memory.TOTAL : memory.EDGE_FIELDS] = 0
        if cold:
            memory.empty(state)

    def report(self) -> Report:
        """The counts since the last reset.

        Raises:
            FirmwareFault: the firmware has more code than the counter can hold.
        """
        if self._error is not None:
            raise self._error
        state = self._state
        memory.settle(state)
        edges = state[memory.EDGES :].reshape(-1, memory.EDGE_FIELDS)
        ran = edges[edges[:, memory.E_COUNT] > 0]
        totals: dict[int, list[float]] = {}
        for edge in ran:
            total = totals.setdefault(int(edge[memory.E_BLOCK]), [0, 0.0])
            total[0] += int(edge[memory.E_COUNT])
            total[1] += int(edge[memory.E_COUNT]) * int(edge[memory.E_CYCLES]) / SCALE
        blocks = tuple(
            BlockCount(
                address=self._blocks[number][0].address,
                size=self._blocks[number][-1].end - self._blocks[number][0].address,
                instructions=len(self._blocks[number]),
                count=int(total[0]),
                cycles=total[1],
            )
            for number, total in sorted(
                totals.items(), key=lambda item: self._blocks[item[0]][0].address
            )
        )
        return Report(
            cycles=int(state[memory.CYCLES]) // SCALE,
            instructions=int(state[memory.INSTRUCTIONS]),
            stalls=_stalls(state[memory.STALLS : memory.STALLS + len(CAUSES)]),
            buckets={
                number: Share(int(row[0]) // SCALE, int(row[1]), _stalls(row[2 : 2 + len(CAUSES)]))
                for number, row in self._rows()
            },
            blocks=blocks,
        )

    def _rows(self) -> list[tuple[int, State]]:
        """The state of each bucket that ran."""
        rows = self._state[memory.BUCKETS : memory.CACHES].reshape(-1, memory.BUCKET_FIELDS)
        return [(int(number), rows[number]) for number in np.flatnonzero(rows[:, 1])]

    def _hook(self, kind: int, function: memory.Native, begin: int, end: int) -> None:
        """Adds a native hook by its address, which the Python binding has no call for."""
        handle = ctypes.c_size_t()
        status = uclib.uc_hook_add(
            self._uc._uch, ctypes.byref(handle), kind, ctypes.c_void_p(function.address),
            ctypes.c_void_p(self._state.ctypes.data), ctypes.c_uint64(begin), ctypes.c_uint64(end),
        )  # fmt: skip
        if status:
            raise FirmwareFault(f"the emulator refuses a hook of kind {kind}: error {status}")

    def _translated(self, uc: Uc, current: uc_tb, previous: uc_tb, data: object) -> None:
        """Forgets the edges to a block whose code was written anew since they were made."""
        address, size = int(current.pc) & ~1, int(current.size)
        code = bytes(uc.mem_read(address, size)) if size else b""
        state = self._state
        for known, number in self._numbers.get(address, {}).items():
            if len(known) == size and known != code:
                edges = state[memory.EDGES :].reshape(-1, memory.EDGE_FIELDS)
                stale = (edges[:, memory.E_BLOCK] == number) & (edges[:, memory.E_KEY] > 0)
                edges[stale, memory.E_KEY] = -1

    def _new_edge(self, previous: int, address: int, size: int) -> int:
        """Adds the pair of a block and its predecessor; returns its place, or 0 after an error."""
        try:
            return self._edge(previous, address, size)
        except BaseException as error:
            self._error = self._error or error
            return 0

    def _edge(self, previous: int, address: int, size: int) -> int:
        state = self._state
        code = bytes(self._uc.mem_read(address, size))
        number = self._numbers.get(address, {}).get(code)
        if number is None:
            number = self._new_block(address, code)
        before = self._blocks[previous] if previous >= 0 else ()
        if previous == number:  # a loop of one block: as it runs from its third round on
            before = (*before, *before)
        context = before[-_CONTEXT:]
        cycles, _, causes = block_cost(self.timing, context, self._blocks[number])
        if self._edges_used >= memory.EDGES_MOST // 2:
            raise FirmwareFault(
                f"the firmware ran through more than {memory.EDGES_MOST // 2} pairs of basic "
                "blocks; the cycle counter holds no more"
            )
        self._edges_used += 1
        key = memory.edge_key(previous, address, size)
        place = memory.edge_slot(state, key)
        lost = [round(causes.get(cause, 0.0) * SCALE) for cause in CAUSES[:3]]
        state[place : place + memory.EDGE_FIELDS] = (
            key,
            number,
            0,
            round(cycles * SCALE),
            *lost,
            0,
        )
        return place

    def _new_block(self, address: int, code: bytes) -> int:
        state = self._state
        number = len(self._blocks)
        if number >= memory.BLOCKS_MOST:
            raise FirmwareFault(
                f"the firmware has more than {memory.BLOCKS_MOST} basic blocks; "
                "the cycle counter holds no more"
            )
        block = decode(self._decoder, code, address)
        self._numbers.setdefault(address, {})[code] = number
        self._blocks.append(block)
        lines: list[tuple[int, int]] = []
        region = next_lines = 0
        where = self.target.memory_at(address)
        if self.simulates_memory and where is not None and memory.costs(self.target, where):
            region = next(
                place
                for place in range(memory.REGIONS, memory.BUCKETS, memory.REGION_FIELDS)
                if state[place + memory.R_ORIGIN] == where.origin
            )
            shift = memory.line_shift(self.target, where)
            _, starts, _ = block_cost(self.timing, (), block)
            for instruction, start in zip(block, starts, strict=True):
                for line in (instruction.address >> shift, (instruction.end - 1) >> shift):
                    if not lines or lines[-1][0] != line:
                        lines.append((line, round(start * SCALE)))
            accelerator = self.target.accelerator
            if accelerator is not None and accelerator.memory == where.name:
                size = accelerator.line_bytes
                crossings = (block[-1].end - 1) // size - address // size
                next_lines = crossings * int(state[region + memory.R_NEXT_LINE])
        if self._lines_used + len(lines) > memory.LINES_MOST:
            raise FirmwareFault("the firmware's code is larger than the cycle counter can hold")
        lines_at = memory.LINES + memory.LINE_FIELDS * self._lines_used
        if lines:
            behind = lines_at + memory.LINE_FIELDS * len(lines)
            state[lines_at:behind] = np.array(lines).ravel()
        self._lines_used += len(lines)
        record = {
            memory.B_END: address + len(code),
            memory.B_INSTRUCTIONS: len(block),
            memory.B_CONDITIONAL: block[-1].kind == "branch_conditional",
            memory.B_REGION: region,
            memory.B_LINES: len(lines),
            memory.B_LINES_AT: lines_at,
            memory.B_EPOCH: -1,
            memory.B_NEXT_LINES: next_lines,
            memory.B_ACCESSES: sum(i.transfers for i in block),
            memory.B_PREDICATED: any(
                i.kind in LOADS | STORES and (i.predicated or address % _PAGE == 0) for i in block
            ),
            memory.B_SWITCH: self._switches.get(address, -1),
        }
        place = memory.BLOCKS + memory.BLOCK_FIELDS * number
        for field, value in record.items():
            state[place + field] = value
        return number


_PAGE = 1024
"""Bytes. Unicorn ends a block where a page does, even inside an IT block."""
_CONTEXT = 64
"""Instructions before a block that can still have a say in its cycles."""
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _check_bucket(number: int) -> None:
    if not 0 <= number < memory.BUCKETS_MOST:
        raise ValueError(f"bucket {number}; there are buckets 0 to {memory.BUCKETS_MOST - 1}")


def _stalls(row: State) -> dict[str, int]:
    return {cause: int(value) // SCALE for cause, value in zip(CAUSES, row, strict=True)}


def _spans(target: Target) -> list[tuple[int, int]]:
    """Address ranges whose accesses are traced: adjacent memories in one range."""
    spans: list[tuple[int, int]] = []
    for region in sorted(target.memories, key=lambda m: m.origin):
        if memory.costs(target, region):
            if spans and spans[-1][1] == region.origin:
                spans[-1] = (spans[-1][0], region.end)
            else:
                spans.append((region.origin, region.end))
    return spans
