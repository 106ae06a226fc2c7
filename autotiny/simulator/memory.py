"""Memory timing, simulated on the addresses that the firmware really uses.

Everything lives in one record (`STATE`) that native hooks read and write, because a Python callback
per access would cost more than the emulation. Times are in 1/`SCALE` cycles.

What is simulated, from the target's file:
- memories with wait states, behind a line buffer as wide as the memory array, with or without
  prefetch of the next line;
- line buffers of a flash controller (`accelerator`), one set for fetches and one for data reads;
- instruction and data caches, or one unified cache, before memories that are marked `cached`;
- memories whose loads take longer where they pipeline behind no other load;
- tightly coupled memory and other zero-wait SRAM cost nothing beyond the pipeline and are not even
  traced.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.extending import intrinsic
from unicorn.arm_const import UC_ARM_REG_XPSR

from autotiny.cores import CAUSES
from autotiny.target import Cache, Memory, Target

State = Any
"""A record of the type `STATE`, its fields as attributes: `state.regions[2].busy`."""

_Compiled = TypeVar("_Compiled")
_Function = TypeVar("_Function", bound=Callable[..., object])

SCALE = 256
"""Fixed point: units a cycle."""
_WRITE = 17  # Unicorn's UC_MEM_WRITE
_XPSR = UC_ARM_REG_XPSR
_IT_BITS = 0x0600_FC00


class Native(Protocol):
    """A function as machine code."""

    @property
    def address(self) -> int:
        """Where it lies."""


def native(function: _Function) -> _Function:
    """Compiles a function for calls from native hooks."""
    return kept(lambda cache: numba.njit(cache=cache)(function))  # type: ignore[no-any-return]


def kept(compiled: Callable[[bool], _Compiled]) -> _Compiled:
    """Machine code that is kept on disk, where there is a folder that it can be kept in."""
    try:
        return compiled(True)
    except RuntimeError:
        return compiled(False)


REGIONS_MOST = 24
BUCKETS_MOST = 4096
CACHES_MOST = 4
CACHE_LINES_MOST = 1 << 15
BLOCKS_MOST = 1 << 16
LINES_MOST = 1 << 18
EDGES_BITS = 17
EDGES_MOST = 1 << EDGES_BITS

NONE = -1
"""The place of what there is not."""


def _record(*fields: Any) -> np.dtype[np.void]:
    """A record of int64, or of what a field says besides its name."""
    types = [(field, np.int64) if isinstance(field, str) else field for field in fields]
    return np.dtype((np.record, types))


_TOTALS = _record("cycles", "instructions", ("stalls", np.int64, (len(CAUSES),)))
"""Cycles in 1/SCALE; stalls in the order of `CAUSES`."""

_REGION = _record(
    "origin", "end",
    "first",  # what a read of the memory waits
    "line_shift", "prefetch", "cached",
    "refill", "fetch_refill",  # from a request until the word that a cache missed has come
    "occupied", "fetch_occupied",  # for how long filling a cache line keeps the memory
    "path", "fetch_path",  # how long a cache's request is on its way
    "fetch_buffers", "data_buffers",  # which caches are its line buffers, or NONE
    "ahead_line", "ahead_ready",  # the line that is being prefetched
    "busy",  # the memory is reading until then
    "keeps_prefetched",
    "filled", "filling_until", "chunk",  # the line being filled, until when; what came of it first
    "fetch_line", "data_line",  # last line read, where there are no buffers
    "miss",  # of an accelerator
    "first_load",  # what the first load of a run takes more
)  # fmt: skip
"""A memory that costs something; times in 1/SCALE cycles."""

_CACHE = _record(
    "sets", "ways", "shift",
    "random",  # it replaces any line, not the one that was used least recently
    "allocates",  # a store that misses brings the line in
    "fetches",  # code is fetched through it
    "lines_at",  # its first line among `cache_lines`
)  # fmt: skip

_BLOCK = _record(
    "end", "instructions",
    "conditional", "counter",  # it ends in a conditional branch; that one's two-bit counter
    "predictor",  # the first block that ends in the same branch: its counter is used
    "region", "lines", "lines_at",  # the memory it is fetched from, or NONE, and its lines
    "epoch",  # when all its lines were last seen in the cache
    "accesses",  # words that it loads and stores
    "first_loads",  # the share of its loads that begin a run, in 1/SCALE
    "predicated",  # it does so inside an IT block
    "switch",  # the bucket that begins with it, or NONE
)  # fmt: skip

_EDGE = _record(
    "key", "block", "count", "cycles", "dependency", "issue", "branch", "fetch",
    "next",  # the edge that followed
)  # fmt: skip
"""Two blocks, one behind the other; `block` is the second one."""

STATE = _record(
    ("totals", _TOTALS),  # since the last reset
    ("settled", _TOTALS),  # as they stood when they were last put into a bucket
    "bucket",  # the one that is counted into
    "previous",  # the block that ran before, or NONE
    "callback",  # address of the Python function that adds an edge
    "mispredict",  # price of a wrong prediction
    "unaligned",  # price of an access across a word border
    "regions_used",
    "caches_used",
    "cache_lines_used",
    "icache",  # which cache, or NONE
    "dcache",
    "epoch",  # counts replacements among the lines that fetches use
    "clock",  # stamps for least recently used
    "random",  # state of the replacement generator
    "last_region",
    "read_register",  # addresses of Unicorn's functions
    "write_register",
    "scratch",  # a register's value on its way
    "scratch_at",  # and the address of that
    "when",  # when the block's next data access comes
    "step",  # and how much later the one behind it
    "block_cycles",  # pipeline cycles of the block that runs
    "last_edge",  # the edge that led to the block that runs
    ("regions", _REGION, (REGIONS_MOST,)),
    ("buckets", _TOTALS, (BUCKETS_MOST,)),
    ("caches", _CACHE, (CACHES_MOST,)),
    ("cache_lines", _record("line", "used"), (CACHE_LINES_MOST,)),  # NONE if it is empty
    ("blocks", _BLOCK, (BLOCKS_MOST,)),
    ("lines", _record("line", "when"), (LINES_MOST,)),  # when the block needs it
    ("edges", _EDGE, (EDGES_MOST,)),
)
"""All that the hooks know, in one record."""

SCRATCH_BYTES: int = dict(STATE.fields or {})["scratch"][1]
"""Where `scratch` lies in the record."""

_RECORD = numba.from_dtype(STATE)


def build(target: Target) -> State:
    """The state for a target: its memories, caches and buffers, all empty."""
    state: State = np.zeros(1, STATE)[0]
    state.previous = state.icache = state.dcache = state.last_region = NONE
    state.random = 0x2545F491
    if target.icache is not None:
        state.icache = _add_cache(state, target.icache, fetches=True)
        if target.icache.unified:
            state.dcache = state.icache
    if target.dcache is not None:
        state.dcache = _add_cache(state, target.dcache, fetches=False)
    for memory in target.memories:
        if not costs(target, memory):
            continue
        region = state.regions[state.regions_used]
        state.regions_used += 1
        line = memory.line_bytes or memory.bus_bytes
        region.origin, region.end = memory.origin, memory.end
        region.keeps_prefetched = True
        region.first = memory.wait_states * memory.clock_divider * SCALE
        region.line_shift = line.bit_length() - 1
        region.prefetch = memory.prefetch
        region.cached = memory.cached and bool(target.icache or target.dcache)
        region.first_load = 0 if region.cached else memory.first_load_cycles * SCALE
        for prefix, cache in (("", target.dcache or target.icache), ("fetch_", target.icache)):
            if cache is not None:
                region[f"{prefix}refill"] = refill_cycles(memory, cache) * SCALE
                region[f"{prefix}occupied"] = occupied_cycles(memory, cache) * SCALE
                region[f"{prefix}path"] = cache.miss_cycles * SCALE // 2
        region.ahead_line = region.fetch_line = region.data_line = region.filled = NONE
        region.fetch_buffers = region.data_buffers = NONE
        accelerator = target.accelerator
        if accelerator is not None and accelerator.memory == memory.name:
            # Counted in what one read of the memory brings: a line may be half full.
            region.miss = accelerator.miss_cycles * SCALE
            region.keeps_prefetched = accelerator.keeps_prefetched

            for field, lines in (
                ("fetch_buffers", accelerator.instruction_lines),
                ("data_buffers", accelerator.data_lines),
            ):
                if lines:
                    reads = max(1, lines * accelerator.line_bytes // line)
                    buffers = Cache(reads * line, reads, line)
                    region[field] = _add_cache(state, buffers, fetches=field == "fetch_buffers")
    return state


def costs(target: Target, memory: Memory) -> bool:
    """Whether an access to a memory can take longer than the pipeline allows for."""
    caches = target.icache is not None or target.dcache is not None
    accelerator = target.accelerator is not None and target.accelerator.memory == memory.name
    cached = memory.cached and caches
    slow = memory.wait_states > 0 or memory.first_load_cycles > 0 or cached or accelerator
    return memory.kind != "tcm" and slow


def refill_cycles(memory: Memory, cache: Cache) -> int:
    """Cycles for which a cache miss stalls the core.

    From a parallel memory the word that was asked for comes first, and the rest of the line
    follows in the background; a serial memory (one with waits inside a burst) sends the line in
    order.
    """
    cycles = 1 + memory.wait_states
    if memory.burst_wait_states:
        cycles += (cache.line_bytes // memory.bus_bytes - 1) * (1 + memory.burst_wait_states)
    return cycles * memory.clock_divider + cache.miss_cycles


def occupied_cycles(memory: Memory, cache: Cache) -> int:
    """Cycles for which filling a cache line keeps a memory from answering the next request."""
    if memory.burst_wait_states:
        return refill_cycles(memory, cache) - cache.miss_cycles
    reads = max(1, cache.line_bytes // (memory.line_bytes or memory.bus_bytes))
    return reads * (1 + memory.wait_states) * memory.clock_divider


def line_shift(target: Target, memory: Memory) -> int:
    """log2 of the bytes that fetches from a memory are counted in."""
    if memory.cached and target.icache is not None:
        return target.icache.line_bytes.bit_length() - 1
    return (memory.line_bytes or memory.bus_bytes).bit_length() - 1


def _add_cache(state: State, cache: Cache, *, fetches: bool) -> int:
    """Adds an empty cache; returns its number."""
    number = int(state.caches_used)
    sets = cache.size_bytes // (cache.ways * cache.line_bytes)
    at = int(state.cache_lines_used)
    end = at + sets * cache.ways
    if end > CACHE_LINES_MOST:
        raise ValueError(f"caches of {sets * cache.ways} lines are too large to simulate")
    state.caches[number] = (
        sets, cache.ways, cache.line_bytes.bit_length() - 1, cache.replacement == "random",
        cache.policy == "write-back", fetches, at,
    )  # fmt: skip
    state.cache_lines["line"][at:end] = NONE
    state.caches_used, state.cache_lines_used = number + 1, end
    return number


def empty(state: State) -> None:
    """Empties caches, line buffers and predictors: the state after a reset of the chip."""
    state.cache_lines["line"][: state.cache_lines_used] = NONE
    for field in ("ahead_line", "fetch_line", "data_line", "filled"):
        state.regions[field][: state.regions_used] = NONE
    state.epoch += 1
    state.blocks["counter"] = 0


@native
def settle(state: State) -> None:
    """Puts what was counted since the last time into the current bucket."""
    bucket, totals, settled = state.buckets[state.bucket], state.totals, state.settled
    bucket.cycles += totals.cycles - settled.cycles
    bucket.instructions += totals.instructions - settled.instructions
    settled.cycles, settled.instructions = totals.cycles, totals.instructions
    for cause in range(len(totals.stalls)):
        bucket.stalls[cause] += totals.stalls[cause] - settled.stalls[cause]
        settled.stalls[cause] = totals.stalls[cause]


@native
def find(state: State, number: int, line: int) -> bool:
    """Looks a line up in a cache and brings it in; tells whether it was there."""
    cache, lines = state.caches[number], state.cache_lines
    ways = cache.ways
    first = cache.lines_at + ways * (line % cache.sets)
    state.clock += 1
    victim = first
    for place in range(first, first + ways):
        if lines[place].line == line:
            lines[place].used = state.clock
            return True
        if lines[place].line < 0:
            if lines[victim].line >= 0:
                victim = place
        elif lines[victim].line >= 0 and lines[place].used < lines[victim].used:
            victim = place
    if cache.random and lines[victim].line >= 0:
        state.random = (state.random * 1103515245 + 12345) & 0x7FFFFFFF
        victim = first + (state.random >> 8) % ways
    if cache.fetches:
        state.epoch += 1
    lines[victim].line = line
    lines[victim].used = state.clock
    return False


@native
def refill(region: Any, line: int, now: int, path: int, occupied: int, price: int) -> int:
    """Cycles that the core waits for a line that a cache missed; the memory may still be busy.

    A memory with prefetch reads the line behind the last one that it was asked for; nothing but
    another request for that line profits.

    Args:
        region: the memory.
        line: number of the line.
        now: of the miss.
        path: how long the request is on its way.
        occupied: for how long filling a line keeps the memory.
        price: cycles of a miss, the memory's wait states among them.
    """
    arrives = now + path
    if region.prefetch and region.ahead_line == line:
        waits = max(0, region.ahead_ready - arrives)
        price -= region.first
        region.busy = arrives + waits
    else:
        waits = min(max(0, region.busy - arrives), occupied)
        region.busy = arrives + waits + occupied
    if region.prefetch:
        region.ahead_line = line + 1
        region.ahead_ready = region.busy + region.first + SCALE
    return waits + price  # type: ignore[no-any-return]


@native
def read_ahead(region: Any, line: int, now: int) -> None:
    """A memory begins to read the line behind the one that is being executed."""
    region.ahead_line = line
    region.ahead_ready = now + SCALE + region.first


@native
def fetch(state: State, block: Any, now: int) -> int:
    """Cycles that a block waits for its code.

    Args:
        state: the memory system.
        block: the block's record.
        now: when the block begins, in 1/SCALE cycles.
    """
    if block.region < 0:
        return 0
    region = state.regions[block.region]
    if block.epoch == state.epoch:
        return 0
    stall, epoch = 0, state.epoch
    cached = region.cached and state.icache >= 0
    cache = state.icache if cached else region.fetch_buffers
    forgets = cache < 0 or not region.keeps_prefetched
    for index in range(block.lines_at, block.lines_at + block.lines):
        line = state.lines[index].line
        if forgets and region.fetch_line == line:
            continue
        when = now + stall + state.lines[index].when
        ahead = region.ahead_line == line and not cached
        if not (ahead and forgets) and cache >= 0 and find(state, cache, line):
            region.fetch_line = line
            if region.prefetch and forgets:
                read_ahead(region, line + 1, when)
            continue
        if cached:
            path, occupied = region.fetch_path, region.fetch_occupied
            stall += refill(region, line, when, path, occupied, region.fetch_refill)
            continue
        region.fetch_line = line
        ready = region.ahead_ready if ahead else max(when, region.busy) + region.first
        if ready > when:
            stall += ready - when
            when = ready
        if region.prefetch:
            read_ahead(region, line + 1, when)
    if not forgets and epoch == state.epoch:  # else one of its lines may have ousted another
        block.epoch = epoch
    return stall


@native
def access(state: State, address: int, now: int, store: bool) -> int:
    """Cycles that a data access waits."""
    number = state.last_region
    if number < 0 or address < state.regions[number].origin or address >= state.regions[number].end:
        number = NONE
        for candidate in range(state.regions_used):
            if state.regions[candidate].origin <= address < state.regions[candidate].end:
                number = candidate
        if number < 0:
            return 0
        state.last_region = number
    region = state.regions[number]
    cache = state.dcache if region.cached else NONE
    if cache >= 0:
        if store and not state.caches[cache].allocates:
            return 0
        line = address >> state.caches[cache].shift
        chunk = address >> region.line_shift
        if find(state, cache, line):
            if line == region.filled and chunk != region.chunk and not store:
                return max(0, region.filling_until - now)  # type: ignore[no-any-return]
            return 0
        waits = refill(region, line, now, region.path, region.occupied, region.refill)
        region.filled, region.chunk = line, chunk
        region.filling_until = region.busy + region.path
        # The store buffer hides a line's coming, but the memory is busy with it.
        return 0 if store else waits
    if store:
        return 0
    cache = region.data_buffers
    price = region.first
    if cache >= 0:
        price += SCALE + region.miss
        if find(state, cache, address >> state.caches[cache].shift):
            return 0
    else:
        line = address >> region.line_shift
        if region.data_line == line:
            return 0
        region.data_line = line
    # It goes before a prefetch, which comes later for it.
    waits = min(max(0, region.busy - now), region.first + SCALE)
    ready = now + waits + price
    region.busy = max(region.busy, ready)
    if region.ahead_ready > now:
        region.ahead_ready += price
    return ready - now  # type: ignore[no-any-return]


@native
def edge_key(previous: int, address: int, size: int) -> int:
    """The key of an edge: never 0 (free) or −1 (forgotten)."""
    return ((previous + 2) << 45) | (size << 32) | address


@native
def edge_slot(state: State, key: int) -> int:
    """The number of an edge, or of the free one where it belongs; 0 is never used."""
    slot = (key * 0x1E3779B97F4A7C15 >> 20) & (EDGES_MOST - 1)
    while True:
        if slot and (state.edges[slot].key == key or state.edges[slot].key == 0):
            return slot
        slot = (slot + 1) & (EDGES_MOST - 1)


@intrinsic  # type: ignore[untyped-decorator]
def _call(typing_context: Any, pointer: Any, a: Any, b: Any, c: Any) -> Any:
    """Calls a C function of three int64 by its address."""
    signature = numba.types.int64(*(numba.types.int64,) * 4)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(word, [word] * 3)
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        return builder.call(function, arguments[1:])

    return signature, generate


@native
def leave_it(uc: int, state: State) -> None:
    """Clears the IT state, in a hook that an access inside an IT block called.

    To call a hook, Unicorn restores the IT state of the access and then forgets to clear it: the
    next block would run as if it stood inside that IT block.
    """
    _call(state.read_register, uc, _XPSR, state.scratch_at)
    state.scratch &= ~_IT_BITS
    _call(state.write_register, uc, _XPSR, state.scratch_at)


def _block_begins(uc: int, address: int, size: int, pointer: Any) -> None:
    """Runs at the start of every basic block."""
    state = numba.carray(pointer, 1)[0]
    at = np.int64(address)
    previous = state.previous
    key = edge_key(previous, at, np.int64(size))
    last = state.edges[state.last_edge]
    number = last.next  # what followed the last time, most likely
    if state.edges[number].key != key:
        number = edge_slot(state, key)
        if state.edges[number].key == 0:
            number = _call(state.callback, previous, at, np.int64(size))
            if number == 0:
                return
        last.next = number
    state.last_edge = number
    edge = state.edges[number]
    edge.count += 1
    block = state.blocks[edge.block]
    if block.switch >= 0:
        settle(state)
        state.bucket = block.switch
    branch, cycles = edge.branch, edge.cycles
    if previous >= 0 and state.mispredict > 0:
        before = state.blocks[previous]
        if before.conditional:
            taken = at != before.end
            predictor = state.blocks[before.predictor]
            counter = predictor.counter
            if taken != (counter >= 2):
                branch += state.mispredict
                cycles += state.mispredict
            predictor.counter = min(counter + 1, 3) if taken else max(counter - 1, 0)
    totals = state.totals
    state.block_cycles = cycles
    waited = fetch(state, block, totals.cycles)
    state.when = totals.cycles + waited
    state.step = 0
    state.previous = edge.block
    totals.cycles += cycles + waited
    totals.instructions += block.instructions
    totals.stalls[0] += edge.dependency
    totals.stalls[1] += edge.issue
    totals.stalls[2] += branch
    totals.stalls[3] += edge.fetch + waited


def _quick_read(uc: int, kind: int, address: int, size: int, value: int, pointer: Any) -> None:
    """Runs at every read of a memory that answers at once: such a read may be unaligned."""
    state = numba.carray(pointer, 1)[0]
    if state.blocks[max(0, state.previous)].predicated and state.previous >= 0:
        leave_it(uc, state)
    if (np.int64(address) & 3) + size > 4 and size <= 4:
        state.totals.cycles += state.unaligned
        state.totals.stalls[4] += state.unaligned


def _data_moves(uc: int, kind: int, address: int, size: int, value: int, pointer: Any) -> None:
    """Runs at every access to a memory that can make the core wait."""
    state = numba.carray(pointer, 1)[0]
    block = state.blocks[max(0, state.previous)]
    if state.previous >= 0 and block.predicated:
        leave_it(uc, state)
    if state.step == 0:
        # The accesses of a block are spread evenly over its cycles.
        state.step = state.block_cycles // max(1, block.accesses) + 1
    store = kind == _WRITE
    waited = access(state, np.int64(address), state.when, store)
    if not store:
        waited += state.regions[state.last_region].first_load * block.first_loads // SCALE
        if (np.int64(address) & 3) + size > 4 and size <= 4:
            waited += state.unaligned
    state.when += state.step + waited
    if waited:
        state.totals.cycles += waited
        state.totals.stalls[4] += waited


@lru_cache(maxsize=1)
def hooks() -> tuple[Native, Native, Native]:
    """The native hooks for blocks, data accesses, and reads of memories that answer at once.

    Compiled when first needed.

    All that they call stands in this file: numba keeps the machine code on disk until this file
    changes, whatever happens to others.
    """
    t = numba.types
    state = t.CPointer(_RECORD)
    on_block = t.void(t.int64, t.uint64, t.uint32, state)
    on_access = t.void(t.int64, t.int32, t.uint64, t.int32, t.int64, state)
    return (
        kept(lambda cache: numba.cfunc(on_block, cache=cache)(_block_begins)),
        kept(lambda cache: numba.cfunc(on_access, cache=cache)(_data_moves)),
        kept(lambda cache: numba.cfunc(on_access, cache=cache)(_quick_read)),
    )
