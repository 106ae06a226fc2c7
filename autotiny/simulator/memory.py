"""Memory timing, simulated on the addresses that the firmware really uses.

Everything lives in one flat array of int64 that native hooks read and write, because a Python
callback per access would cost more than the emulation. The layout is a header of scalars followed
by the sections below. Times are in 1/`SCALE` cycles.

What is simulated, from the target's file:
- memories with wait states, behind a line buffer as wide as the memory array, with or without
  prefetch of the next line;
- line buffers of a flash controller (`accelerator`), one set for fetches and one for data reads;
- instruction and data caches, or one unified cache, before memories that are marked `cached`;
- tightly coupled memory and zero-wait SRAM cost nothing beyond the pipeline and are not even
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
from numpy.typing import NDArray
from unicorn.arm_const import UC_ARM_REG_XPSR

from autotiny.target import Cache, Memory, Target

State = NDArray[np.int64]
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


# --- header ------------------------------
TOTALS = 0  # since the last reset: cycles in 1/SCALE, instructions, and cycles lost by cause
TOTALS_FIELDS = 7
CYCLES, INSTRUCTIONS = TOTALS, TOTALS + 1
STALLS = TOTALS + 2  # five causes, in the order of cores.CAUSES
SETTLED = 8  # the totals as they stood when they were last put into a bucket
BUCKET = 16  # the bucket that is counted into
PREVIOUS = 17  # the block that ran before, −1 at the start
CALLBACK = 18  # address of the Python function that adds an edge
MISPREDICT = 19  # price of a wrong prediction
REGIONS_USED = 20
ICACHE, DCACHE = 21, 22  # places of the caches' sections, 0 if there is none
EPOCH = 23  # counts replacements among the lines that fetches use
CLOCK = 24  # stamps for least recently used
RANDOM = 25  # state of the replacement generator
LAST_REGION = 26
READ_REGISTER, WRITE_REGISTER = 27, 28  # addresses of Unicorn's functions
SCRATCH, SCRATCH_AT = 29, 30  # a register's value on its way, and its address
WHEN, STEP = 31, 32  # when the block's next data access comes, and how much later the one behind it
BLOCK_CYCLES = 33  # pipeline cycles of the block that runs
UNALIGNED = 34  # price of an access across a word border
LAST_EDGE = 35  # place of the edge that led to the block that runs
HEADER = 64

# --- regions: memories that cost something ------------------------------
REGIONS = HEADER
REGION_FIELDS = 24
REGIONS_MOST = 24
R_ORIGIN, R_END, R_FIRST, R_LINE_SHIFT, R_PREFETCH, R_CACHED = 0, 1, 2, 3, 4, 5
R_REFILL = 6  # cycles from a request until the word that a cache missed has come
R_FETCH_BUFFERS, R_DATA_BUFFERS = 7, 8  # places of the line buffers' sections, 0 if none
R_AHEAD_LINE, R_AHEAD_READY = 9, 10  # the line that is being prefetched
R_BUSY = 11  # the memory is reading until then
R_FETCH_LINE, R_DATA_LINE = 12, 13  # last line read, where there are no buffers
R_MISS, R_NEXT_LINE = 14, 15  # of an accelerator, in 1/SCALE cycles
R_OCCUPIED = 16  # cycles for which filling a cache line keeps the memory
R_PATH = 17  # cycles that a cache's request is on its way

BUCKETS = REGIONS + REGION_FIELDS * REGIONS_MOST
BUCKET_FIELDS = 8  # as the totals
BUCKETS_MOST = 4096

CACHES = BUCKETS + BUCKET_FIELDS * BUCKETS_MOST
CACHE_FIELDS = 6  # then, for each line: its number (−1 if empty) and when it was used last
C_SETS, C_WAYS, C_SHIFT, C_RANDOM = 0, 1, 2, 3
C_ALLOCATES = 4  # a store that misses brings the line in
C_FETCHES = 5  # code is fetched through it
CACHES_SIZE = 1 << 16

BLOCKS = CACHES + CACHES_SIZE
BLOCK_FIELDS = 12
BLOCKS_MOST = 1 << 16
B_END, B_INSTRUCTIONS = 0, 1
B_CONDITIONAL, B_PREDICTOR = 2, 3  # it ends in a conditional branch; that branch's two-bit counter
B_REGION, B_LINES, B_LINES_AT = 4, 5, 6  # the memory it is fetched from, and its lines
B_EPOCH = 7  # when all its lines were last seen in the cache
B_NEXT_LINES = 8  # price of the accelerator's lines that it runs across
B_ACCESSES = 9  # words that it loads and stores
B_PREDICATED = 10  # it does so inside an IT block
B_SWITCH = 11  # the bucket that begins with it, or −1

LINES = BLOCKS + BLOCK_FIELDS * BLOCKS_MOST
LINE_FIELDS = 2  # line number, when the block needs it
LINES_MOST = 1 << 18

EDGES = LINES + LINE_FIELDS * LINES_MOST
EDGE_FIELDS = 8
EDGES_BITS = 17
EDGES_MOST = 1 << EDGES_BITS
E_KEY, E_BLOCK, E_COUNT, E_CYCLES, E_DEPENDENCY, E_ISSUE, E_BRANCH = 0, 1, 2, 3, 4, 5, 6
E_NEXT = 7  # place of the edge that followed

TOTAL = EDGES + EDGE_FIELDS * EDGES_MOST


def build(target: Target) -> State:
    """The state for a target: its memories, caches and buffers, all empty."""
    state: State = np.zeros(TOTAL, np.int64)
    state[PREVIOUS] = -1
    state[RANDOM] = 0x2545F491
    state[LAST_EDGE] = EDGES
    place = CACHES
    if target.icache is not None:
        state[ICACHE] = place
        place = _add_cache(state, place, target.icache, fetches=True)
        if target.icache.unified:
            state[DCACHE] = state[ICACHE]
    if target.dcache is not None:
        state[DCACHE] = place
        place = _add_cache(state, place, target.dcache, fetches=False)
    for memory in target.memories:
        if not costs(target, memory):
            continue
        region = REGIONS + REGION_FIELDS * int(state[REGIONS_USED])
        state[REGIONS_USED] += 1
        line = memory.line_bytes or memory.bus_bytes
        state[region + R_ORIGIN] = memory.origin
        state[region + R_END] = memory.end
        state[region + R_FIRST] = memory.wait_states * memory.clock_divider * SCALE
        state[region + R_LINE_SHIFT] = line.bit_length() - 1
        state[region + R_PREFETCH] = memory.prefetch
        state[region + R_CACHED] = memory.cached and bool(target.icache or target.dcache)
        cache = target.dcache or target.icache
        if cache is not None:
            state[region + R_REFILL] = refill_cycles(memory, cache) * SCALE
            state[region + R_OCCUPIED] = occupied_cycles(memory, cache) * SCALE
            state[region + R_PATH] = cache.miss_cycles * SCALE // 2
        for field in (R_AHEAD_LINE, R_FETCH_LINE, R_DATA_LINE):
            state[region + field] = -1
        accelerator = target.accelerator
        if accelerator is not None and accelerator.memory == memory.name:
            # Counted in what one read of the memory brings: a line may be half full.
            state[region + R_MISS] = accelerator.miss_cycles * SCALE
            state[region + R_NEXT_LINE] = accelerator.next_line_cycles * SCALE
            for field, lines in (
                (R_FETCH_BUFFERS, accelerator.instruction_lines),
                (R_DATA_BUFFERS, accelerator.data_lines),
            ):
                if lines:
                    state[region + field] = place
                    reads = max(1, lines * accelerator.line_bytes // line)
                    buffers = Cache(reads * line, reads, line)
                    place = _add_cache(state, place, buffers, fetches=field == R_FETCH_BUFFERS)
    return state


def costs(target: Target, memory: Memory) -> bool:
    """Whether an access to a memory can take longer than the pipeline allows for."""
    caches = target.icache is not None or target.dcache is not None
    return memory.kind != "tcm" and (memory.wait_states > 0 or (memory.cached and caches))


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


def _add_cache(state: State, place: int, cache: Cache, *, fetches: bool) -> int:
    """Writes an empty cache at a place; returns the place behind it."""
    sets = cache.size_bytes // (cache.ways * cache.line_bytes)
    state[place : place + CACHE_FIELDS] = (
        sets, cache.ways, cache.line_bytes.bit_length() - 1, cache.replacement == "random",
        cache.policy == "write-back", fetches,
    )  # fmt: skip
    end = place + CACHE_FIELDS + 2 * sets * cache.ways
    if end > CACHES + CACHES_SIZE:
        raise ValueError(f"caches of {sets * cache.ways} lines are too large to simulate")
    state[place + CACHE_FIELDS : end : 2] = -1
    return end


def empty(state: State) -> None:
    """Empties caches, line buffers and predictors: the state after a reset of the chip."""
    for cache in _caches(state):
        sets, ways = int(state[cache + C_SETS]), int(state[cache + C_WAYS])
        first = cache + CACHE_FIELDS
        state[first : first + 2 * sets * ways : 2] = -1
    for number in range(int(state[REGIONS_USED])):
        region = REGIONS + REGION_FIELDS * number
        for field in (R_AHEAD_LINE, R_FETCH_LINE, R_DATA_LINE):
            state[region + field] = -1
    state[EPOCH] += 1
    state[BLOCKS + B_PREDICTOR : LINES : BLOCK_FIELDS] = 0


def _caches(state: State) -> list[int]:
    places = {int(state[ICACHE]), int(state[DCACHE])}
    for number in range(int(state[REGIONS_USED])):
        region = REGIONS + REGION_FIELDS * number
        places |= {int(state[region + R_FETCH_BUFFERS]), int(state[region + R_DATA_BUFFERS])}
    return sorted(places - {0})


@native
def settle(state: State) -> None:
    """Puts what was counted since the last time into the current bucket."""
    bucket = BUCKETS + BUCKET_FIELDS * state[BUCKET]
    for field in range(TOTALS_FIELDS):
        state[bucket + field] += state[TOTALS + field] - state[SETTLED + field]
        state[SETTLED + field] = state[TOTALS + field]


@native
def find(state: State, cache: int, line: int) -> bool:
    """Looks a line up and brings it in; tells whether it was there."""
    sets = state[cache + C_SETS]
    ways = state[cache + C_WAYS]
    first = cache + CACHE_FIELDS + 2 * ways * (line % sets)
    state[CLOCK] += 1
    victim = first
    for way in range(ways):
        place = first + 2 * way
        if state[place] == line:
            state[place + 1] = state[CLOCK]
            return True
        if state[place] < 0:
            if state[victim] >= 0:
                victim = place
        elif state[victim] >= 0 and state[place + 1] < state[victim + 1]:
            victim = place
    if state[cache + C_RANDOM] and state[victim] >= 0:
        state[RANDOM] = (state[RANDOM] * 1103515245 + 12345) & 0x7FFFFFFF
        victim = first + 2 * ((state[RANDOM] >> 8) % ways)
    if state[cache + C_FETCHES]:
        state[EPOCH] += 1
    state[victim] = line
    state[victim + 1] = state[CLOCK]
    return False


@native
def refill(state: State, region: int, now: int) -> int:
    """Cycles that the core waits for a line that a cache missed; the memory may still be busy."""
    arrives = now + state[region + R_PATH]
    waits = min(max(0, state[region + R_BUSY] - arrives), state[region + R_OCCUPIED])
    state[region + R_BUSY] = arrives + waits + state[region + R_OCCUPIED]
    return int(waits + state[region + R_REFILL])


@native
def fetch(state: State, block: int, now: int) -> int:
    """Cycles that a block waits for its code.

    Args:
        state: the memory system.
        block: place of the block's record.
        now: when the block begins, in 1/SCALE cycles.
    """
    region = state[block + B_REGION]
    stall = state[block + B_NEXT_LINES]
    if region == 0 or state[block + B_EPOCH] == state[EPOCH]:
        return int(stall)
    place = state[block + B_LINES_AT]
    cached = state[region + R_CACHED] and state[ICACHE] > 0
    cache = state[ICACHE] if cached else state[region + R_FETCH_BUFFERS]
    for index in range(state[block + B_LINES]):
        line = state[place + LINE_FIELDS * index]
        if cache:
            if find(state, cache, line):
                continue
        elif state[region + R_FETCH_LINE] == line:
            continue
        when = now + stall + state[place + LINE_FIELDS * index + 1]
        if cached:
            stall += refill(state, region, when)
            continue
        state[region + R_FETCH_LINE] = line
        if state[region + R_AHEAD_LINE] == line:
            ready = state[region + R_AHEAD_READY]
        else:
            ready = max(when, state[region + R_BUSY]) + state[region + R_FIRST]
        if ready > when:
            stall += ready - when
            when = ready
        if state[region + R_PREFETCH]:
            state[region + R_AHEAD_LINE] = line + 1
            state[region + R_AHEAD_READY] = when + SCALE + state[region + R_FIRST]
            state[region + R_BUSY] = state[region + R_AHEAD_READY]
    if cache:
        state[block + B_EPOCH] = state[EPOCH]
    return int(stall)


@native
def access(state: State, address: int, now: int, store: bool) -> int:
    """Cycles that a data access waits."""
    region = state[LAST_REGION]
    if region == 0 or address < state[region + R_ORIGIN] or address >= state[region + R_END]:
        region = 0
        for number in range(state[REGIONS_USED]):
            candidate = REGIONS + REGION_FIELDS * number
            if state[candidate + R_ORIGIN] <= address < state[candidate + R_END]:
                region = candidate
        if region == 0:
            return 0
        state[LAST_REGION] = region
    cache = state[DCACHE] if state[region + R_CACHED] else 0
    if cache:
        if store and not state[cache + C_ALLOCATES]:
            return 0
        if find(state, cache, address >> state[cache + C_SHIFT]):
            return 0
        waits = refill(state, region, now)
        # The store buffer hides a line's coming, but the memory is busy with it.
        return 0 if store else waits
    if store:
        return 0
    cache = state[region + R_DATA_BUFFERS]
    price = state[region + R_FIRST]
    if cache:
        price += SCALE + state[region + R_MISS]
        if find(state, cache, address >> state[cache + C_SHIFT]):
            return 0
    else:
        line = address >> state[region + R_LINE_SHIFT]
        if state[region + R_DATA_LINE] == line:
            return 0
        state[region + R_DATA_LINE] = line
    # A block's prefetches are simulated when it begins, so at most one of them can be in the way.
    waits = min(max(0, state[region + R_BUSY] - now), state[region + R_FIRST] + SCALE)
    ready = now + waits + price
    state[region + R_BUSY] = max(state[region + R_BUSY], ready)
    return int(ready - now)


@native
def edge_key(previous: int, address: int, size: int) -> int:
    """The key of an edge: never 0 (free) or −1 (forgotten)."""
    return ((previous + 2) << 45) | (size << 32) | address


@native
def edge_slot(state: State, key: int) -> int:
    """The place of an edge, or of the free slot where it belongs."""
    slot = (key * 0x1E3779B97F4A7C15 >> 20) & (EDGES_MOST - 1)
    while True:
        place = EDGES + EDGE_FIELDS * slot
        if state[place] == key or state[place] == 0:
            return place
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


def _block_begins(uc: int, address: int, size: int, state: State) -> None:
    """Runs at the start of every basic block."""
    at = np.int64(address)
    previous = state[PREVIOUS]
    key = edge_key(previous, at, np.int64(size))
    edge = state[state[LAST_EDGE] + E_NEXT]  # what followed the last time, most likely
    if state[edge] != key:
        edge = edge_slot(state, key)
        if state[edge] == 0:
            edge = _call(state[CALLBACK], previous, at, np.int64(size))
            if edge == 0:
                return
        state[state[LAST_EDGE] + E_NEXT] = edge
    state[LAST_EDGE] = edge
    state[edge + E_COUNT] += 1
    number = state[edge + E_BLOCK]
    block = BLOCKS + BLOCK_FIELDS * number
    if state[block + B_SWITCH] >= 0:
        settle(state)
        state[BUCKET] = state[block + B_SWITCH]
    branch = state[edge + E_BRANCH]
    cycles = state[edge + E_CYCLES]
    if previous >= 0 and state[MISPREDICT] > 0:
        before = BLOCKS + BLOCK_FIELDS * previous
        if state[before + B_CONDITIONAL]:
            taken = at != state[before + B_END]
            counter = state[before + B_PREDICTOR]
            if taken != (counter >= 2):
                branch += state[MISPREDICT]
                cycles += state[MISPREDICT]
            if taken:
                state[before + B_PREDICTOR] = min(counter + 1, 3)
            else:
                state[before + B_PREDICTOR] = max(counter - 1, 0)
    waited = fetch(state, block, state[CYCLES])
    state[WHEN] = state[CYCLES] + waited
    state[STEP] = 0
    state[BLOCK_CYCLES] = cycles
    cycles += waited
    state[PREVIOUS] = number
    state[CYCLES] += cycles
    state[INSTRUCTIONS] += state[block + B_INSTRUCTIONS]
    state[STALLS] += state[edge + E_DEPENDENCY]
    state[STALLS + 1] += state[edge + E_ISSUE]
    state[STALLS + 2] += branch
    state[STALLS + 3] += waited


def _data_moves(uc: int, kind: int, address: int, size: int, value: int, state: State) -> None:
    """Runs at every access to a memory that can make the core wait."""
    block = BLOCKS + BLOCK_FIELDS * state[PREVIOUS]
    if state[PREVIOUS] >= 0 and state[block + B_PREDICATED]:
        # To call a hook, Unicorn restores the IT state of the access and then forgets to clear
        # it: the next block would run as if it stood inside that IT block.
        _call(state[READ_REGISTER], uc, _XPSR, state[SCRATCH_AT])
        state[SCRATCH] &= ~_IT_BITS
        _call(state[WRITE_REGISTER], uc, _XPSR, state[SCRATCH_AT])
    if state[STEP] == 0:
        # The accesses of a block are spread evenly over its cycles.
        accesses = max(1, state[block + B_ACCESSES])
        state[STEP] = state[BLOCK_CYCLES] // accesses + 1
    store = kind == _WRITE
    waited = access(state, np.int64(address), state[WHEN], store)
    if not store and (np.int64(address) & 3) + size > 4 and size <= 4:
        waited += state[UNALIGNED]
    state[WHEN] += state[STEP] + waited
    if waited:
        state[CYCLES] += waited
        state[STALLS + 4] += waited


@lru_cache(maxsize=1)
def hooks() -> tuple[Native, Native]:
    """The native hooks for blocks and for data accesses, compiled when first needed.

    All that they call stands in this file: numba keeps the machine code on disk until this file
    changes, whatever happens to others.
    """
    t = numba.types
    state = t.CPointer(t.int64)
    on_block = t.void(t.int64, t.uint64, t.uint32, state)
    on_access = t.void(t.int64, t.int32, t.uint64, t.int32, t.int64, state)
    return (
        kept(lambda cache: numba.cfunc(on_block, cache=cache)(_block_begins)),
        kept(lambda cache: numba.cfunc(on_access, cache=cache)(_data_moves)),
    )
