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

    Whatever it tells is multiplied by the target's `cycles_factor`, so that all figures agree.

    Args:
        target: whose core and memories are modelled.
        simulate_memory: False counts pipeline cycles alone, as if every memory answered at once.
    """

    def __init__(self, target: Target, *, simulate_memory: bool = True) -> None:
        self.target = target
        self.timing = CORES[target.core].timing
        self.simulates_memory = simulate_memory
        self._state: State = memory.build(target)
        self._place: int = self._state.__array_interface__["data"][0]
        self._arm = CORES[target.core].isa.is_arm
        self._blocks: list[tuple[Instruction, ...]] = []
        self._numbers: dict[int, dict[bytes, int]] = {}  # by address, then by code
        self._switches: dict[int, int] = {}
        self._predictors: dict[int, int] = {}  # by the branch's address: its first block
        self._lines_used = 0
        self._edges_used = 0
        times, parts = target.cycles_factor.as_integer_ratio()
        self._times, self._parts = times, parts * SCALE  # whole numbers: no count is rounded
        self._uc: Any = None
        self._error: BaseException | None = None
        self._add_edge = _CALLBACK(self._new_edge)
        state = self._state
        state.callback = _address(self._add_edge)
        state.read_register = _address(uclib.uc_reg_read)
        state.write_register = _address(uclib.uc_reg_write)
        state.scratch_at = self._place + memory.SCRATCH_BYTES
        state.unaligned = round(self.timing.unaligned_load * SCALE)
        state.mispredict = round(self.timing.mispredict * SCALE) if self.timing.predicts else 0

    def attach(self, uc: Uc) -> CycleCounter:
        """Adds the counting hooks to a Unicorn instance; returns the counter."""
        if self._uc is not None:
            raise ValueError("this CycleCounter is attached already; make another one")
        self._uc = uc
        uc.ctl_flush_tb()  # code that is translated already would not see the hooks
        on_block, on_access, on_read = memory.hooks()
        self._hook(UC_HOOK_BLOCK, on_block, 1, 0)
        uc.hook_add(UC_HOOK_EDGE_GENERATED, self._translated)
        if self.simulates_memory:
            for begin, end in _spans(self.target, costly=True):
                self._hook(UC_HOOK_MEM_READ, on_access, begin, end - 1)
                if self.target.dcache is not None:
                    self._hook(UC_HOOK_MEM_WRITE, on_access, begin, end - 1)
            if self.timing.unaligned_load:
                for begin, end in _spans(self.target, costly=False):
                    self._hook(UC_HOOK_MEM_READ, on_read, begin, end - 1)
        return self

    @property
    def cycles(self) -> int:
        """Cycles since the last reset."""
        return self._told(self._state.totals.cycles)

    @property
    def waited(self) -> int:
        """Those of them that were spent waiting for memories."""
        stalls = self._state.totals.stalls
        return self._told(sum(int(stalls[CAUSES.index(cause)]) for cause in ("fetch", "data")))

    @property
    def bucket(self) -> int:
        """The bucket that is counted into, 0 at the start."""
        return int(self._state.bucket)

    @bucket.setter
    def bucket(self, number: int) -> None:
        _check_bucket(number)
        memory.settle(self._state)
        self._state.bucket = number

    def cycles_by_bucket(self) -> dict[int, int]:
        """Cycles since the last reset, for the buckets that ran."""
        memory.settle(self._state)
        return {number: self._told(row.cycles) for number, row in self._rows()}

    def switch_at(self, address: int, bucket: int) -> None:
        """Counts into a bucket from every time on that the block at an address begins."""
        _check_bucket(bucket)
        address &= ~1
        self._switches[address] = bucket
        for number, block in enumerate(self._blocks):
            if block[0].address == address:
                self._state.blocks[number].switch = bucket

    def reset(self, *, cold: bool = False) -> None:
        """Sets the counts to zero; caches and predictors keep what they learnt unless `cold`."""
        state = self._state
        # Times that the memory system remembers are relative to the cycle count.
        for field in ("busy", "ahead_ready", "filling_until"):
            times = state.regions[field]
            times[:] = np.maximum(0, times - state.totals.cycles)
        for counts in ("totals", "settled", "buckets"):
            state[counts] = np.zeros_like(state[counts])
        state.edges["count"] = 0
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
        totals: dict[int, list[float]] = {}
        for edge in state.edges[state.edges["count"] > 0]:
            total = totals.setdefault(int(edge["block"]), [0, 0.0])
            total[0] += int(edge["count"])
            total[1] += int(edge["count"]) * int(edge["cycles"]) * self._times / self._parts
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
            cycles=self._told(state.totals.cycles),
            instructions=int(state.totals.instructions),
            stalls=self._stalls(state.totals),
            buckets={
                number: Share(self._told(row.cycles), int(row.instructions), self._stalls(row))
                for number, row in self._rows()
            },
            blocks=blocks,
        )

    def _told(self, counted: int) -> int:
        """Whole cycles, corrected, of what the hooks count in parts of one."""
        return int(counted) * self._times // self._parts

    def _stalls(self, totals: State) -> dict[str, int]:
        """Cycles lost by cause."""
        return {cause: self._told(n) for cause, n in zip(CAUSES, totals.stalls, strict=True)}

    def _rows(self) -> list[tuple[int, State]]:
        """The state of each bucket that ran."""
        rows = self._state.buckets
        return [(int(number), rows[number]) for number in np.flatnonzero(rows["instructions"])]

    def _hook(self, kind: int, function: memory.Native, begin: int, end: int) -> None:
        """Adds a native hook by its address, which the Python binding has no call for."""
        handle = ctypes.c_size_t()
        status = uclib.uc_hook_add(
            self._uc._uch, ctypes.byref(handle), kind, ctypes.c_void_p(function.address),
            ctypes.c_void_p(self._place), ctypes.c_uint64(begin), ctypes.c_uint64(end),
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
                edges = state.edges
                edges["key"][(edges["block"] == number) & (edges["key"] > 0)] = -1

    def _new_edge(self, previous: int, address: int, size: int) -> int:
        """Adds the pair of a block and its predecessor; returns its number, or 0 after an error."""
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
        edge = memory.edge_slot(state, key)
        lost = [round(causes.get(cause, 0.0) * SCALE) for cause in CAUSES[:4]]
        state.edges[edge] = (key, number, 0, round(cycles * SCALE), *lost, 0)
        return int(edge)

    def _new_block(self, address: int, code: bytes) -> int:
        state = self._state
        number = len(self._blocks)
        if number >= memory.BLOCKS_MOST:
            raise FirmwareFault(
                f"the firmware has more than {memory.BLOCKS_MOST} basic blocks; "
                "the cycle counter holds no more"
            )
        block = decode(code, address, arm=self._arm)
        self._numbers.setdefault(address, {})[code] = number
        self._blocks.append(block)
        lines: list[tuple[int, int]] = []
        region = memory.NONE
        where = self.target.memory_at(address)
        if self.simulates_memory and where is not None and memory.costs(self.target, where):
            origins = state.regions["origin"][: state.regions_used]
            region = int(np.flatnonzero(origins == where.origin)[0])
            shift = memory.line_shift(self.target, where)
            _, starts, _ = block_cost(self.timing, (), block)
            for instruction, start in zip(block, starts, strict=True):
                for line in (instruction.address >> shift, (instruction.end - 1) >> shift):
                    if not lines or lines[-1][0] != line:
                        lines.append((line, round(start * SCALE)))
        if self._lines_used + len(lines) > memory.LINES_MOST:
            raise FirmwareFault("the firmware's code is larger than the cycle counter can hold")
        lines_at = self._lines_used
        self._lines_used += len(lines)
        for place, needed in enumerate(lines, lines_at):
            state.lines[place] = needed
        record = {
            "end": address + len(code),
            "instructions": len(block),
            "conditional": block[-1].kind == "branch_conditional",
            "predictor": self._predictors.setdefault(block[-1].address, number),
            "region": region,
            "lines": len(lines),
            "lines_at": lines_at,
            "epoch": -1,
            "accesses": sum(i.transfers for i in block),
            "first_loads": _first_loads(block),
            "predicated": any(
                i.kind in LOADS | STORES and (i.predicated or address % _PAGE == 0) for i in block
            ),
            "switch": self._switches.get(address, memory.NONE),
        }
        for field, value in record.items():
            state.blocks[number][field] = value
        return number


_PAGE = 1024
"""Bytes. Unicorn ends a block where a page does, even inside an IT block."""
_CONTEXT = 64
"""Instructions before a block that can still have a say in its cycles."""
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _first_loads(block: tuple[Instruction, ...]) -> int:
    """The share of a block's loaded words that pipeline behind no other one, in 1/SCALE."""
    words = first = 0
    chains = False
    for current in block:
        loads = current.kind in LOADS
        if loads:
            words += current.transfers
            first += not chains or current.transfers > 1
        chains = loads
    return SCALE * first // max(1, words)


def _check_bucket(number: int) -> None:
    if not 0 <= number < memory.BUCKETS_MOST:
        raise ValueError(f"bucket {number}; there are buckets 0 to {memory.BUCKETS_MOST - 1}")


def _spans(target: Target, *, costly: bool) -> list[tuple[int, int]]:
    """Address ranges whose accesses can take longer, or cannot: adjacent memories in one range."""
    spans: list[tuple[int, int]] = []
    for region in sorted(target.memories, key=lambda m: m.origin):
        if memory.costs(target, region) == costly:
            if spans and spans[-1][1] == region.origin:
                spans[-1] = (spans[-1][0], region.end)
            else:
                spans.append((region.origin, region.end))
    return spans
