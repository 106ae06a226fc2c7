"""The memory model at its boundaries, with cycles that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import unicorn
from assembly import assemble
from unicorn import arm_const

from autotiny.simulator import memory
from autotiny.simulator.cycles import CycleCounter
from autotiny.target import Accelerator, Cache, Memory, Target, load_target

FLASH = 0x0800_0000
RAM = 0x2000_0000
PLAIN = Memory("flash", "flash", FLASH, 0x1000, wait_states=3, line_bytes=8)
CACHED = Memory("flash", "flash", FLASH, 0x1000, 6, bus_bytes=8, line_bytes=16, cached=True)
SERIAL = Memory("flash", "flash", FLASH, 0x1000, 27, 7, 2, line_bytes=32, cached=True)
SRAM = Memory("sram", "sram", RAM, 0x1000)
DCACHE = Cache(256, 2, 32, policy="write-back", miss_cycles=4)  # four sets of two lines
CODE = Cache(256, 2, 32, miss_cycles=4)
BUFFERS = Accelerator("art", "flash", 2, 2, 32, miss_cycles=2)


def target(*memories: Memory, **parts: Any) -> Target:
    """A Cortex-M4 with these memories, and no cache that is not named."""
    bare = {"icache": None, "dcache": None, "accelerator": None}
    return replace(load_target("stm32l4r5"), memories=memories, **(bare | parts))


def through(**cache: Any) -> Target:
    """The same with a data cache."""
    return target(CACHED, SRAM, dcache=replace(DCACHE, **cache))


def through_prefetch() -> Target:
    """And with a flash that reads ahead."""
    return target(replace(CACHED, prefetch=True), SRAM, dcache=DCACHE)


ART = target(replace(PLAIN, wait_states=5, line_bytes=16), accelerator=BUFFERS)
APART = (PLAIN, replace(PLAIN, name="other", origin=FLASH + 0x4000))

# what is shown, a target, accesses: "r" or "w", offset in flash, cycle, cycles that it waits
WAITS: list[tuple[str, Target, list[tuple[str, int, int, int]]]] = [
    ("wait states", target(PLAIN), [("r", 0, 0, 3)]),
    ("of a slower clock", target(replace(PLAIN, clock_divider=2)), [("r", 0, 0, 6)]),
    ("a line is read once", target(PLAIN), [("r", 0, 0, 3), ("r", 7, 9, 0), ("r", 8, 9, 3)]),
    ("without lines, a word", target(replace(PLAIN, line_bytes=0)),
        [("r", 0, 0, 3), ("r", 3, 9, 0), ("r", 4, 9, 3)]),
    ("the last line is kept", target(PLAIN), [("r", 0, 0, 3), ("r", 8, 9, 3), ("r", 0, 19, 3)]),
    ("a memory that is busy", target(PLAIN), [("r", 0, 0, 3), ("r", 8, 1, 5), ("r", 16, 6, 3)]),
    ("one read at most is in the way", target(PLAIN),
        [("r", 0, 0, 3), ("r", 8, 0, 6), ("r", 16, 0, 7)]),
    ("stores do not wait", target(PLAIN), [("r", 0, 0, 3), ("w", 8, 9, 0), ("r", 4, 9, 0)]),
    ("the first and the last byte", target(PLAIN), [("r", 0xFFF, 0, 3), ("r", 0, 9, 3)]),
    ("nothing outside", target(PLAIN), [("r", -1, 0, 0), ("r", 0x1000, 0, 0), ("r", 0, 0, 3)]),
    ("each memory has its line", target(*APART),
        [("r", 0, 0, 3), ("r", 0x4000, 0, 3), ("r", 4, 9, 0), ("r", 0x4004, 9, 0)]),
    ("memories behind one another", target(PLAIN, replace(PLAIN, name="b", origin=FLASH + 0x1000)),
        [("r", 0xFF8, 0, 3), ("r", 0x1000, 0, 3), ("r", 0xFFF, 9, 0), ("r", 0x1007, 9, 0)]),
    # an accelerator: 5 wait states, 1 for the read and 2 for its miss; four reads of 16 bytes
    ("buffers", ART, [("r", 0, 0, 8), ("r", 15, 20, 0), ("r", 16, 20, 8), ("r", 0, 40, 0)]),
    ("four buffers", ART, [("r", 16 * n, 20 * n, 8) for n in range(4)] + [("r", 0, 90, 0)]),
    ("the fifth takes the oldest", ART,
        [("r", 16 * n, 20 * n, 8) for n in range(5)] + [("r", 0, 100, 8), ("r", 64, 110, 0)]),
    ("a used one is not the oldest", ART,
        [("r", 16 * n, 20 * n, 8) for n in range(4)]
        + [("r", 0, 80, 0), ("r", 64, 90, 8), ("r", 0, 110, 0), ("r", 16, 110, 8)]),
    ("busy buffers", ART, [("r", 0, 0, 8), ("r", 16, 6, 10)]),
    ("no data buffers", replace(ART, accelerator=replace(BUFFERS, data_lines=0)),
        [("r", 0, 0, 5), ("r", 16, 20, 5), ("r", 0, 40, 5)]),
    ("buffers before another memory", replace(ART, accelerator=replace(BUFFERS, memory="sram")),
        [("r", 0, 0, 5), ("r", 16, 20, 5), ("r", 0, 40, 5)]),
    ("a narrow buffer", replace(ART, accelerator=replace(BUFFERS, data_lines=1, line_bytes=8)),
        [("r", 0, 0, 8), ("r", 8, 20, 0), ("r", 16, 20, 8), ("r", 0, 40, 8)]),
    # a cache: 1 + 6 for the first word and 4 for the miss; two reads of 7 fill the line
    ("a miss and hits", through(),
        [("r", 0, 0, 11), ("r", 15, 12, 0), ("r", 31, 20, 0), ("r", 32, 40, 11)]),
    # its second half has come when the memory has read it and it has been on its way, at 2 + 14 + 2
    ("the other half of a line", through(), [("r", 0, 0, 11), ("r", 31, 12, 6), ("r", 31, 18, 0)]),
    ("is not waited for to be written", through(), [("r", 0, 0, 11), ("w", 31, 12, 0)]),
    # a memory that reads ahead has the line behind the last one, 1 + 6 after it was read
    ("a line that was read ahead", through_prefetch(), [("r", 0, 0, 11), ("r", 32, 60, 11 - 6)]),
    ("and one that is still on its way", through_prefetch(),
        [("r", 0, 0, 11), ("r", 32, 17, 11 - 6 + 23 - 19)]),
    ("only the line behind", through_prefetch(), [("r", 0, 0, 11), ("r", 64, 60, 11)]),
    ("filling lasts till 2 + 14", through(), [("r", 0, 0, 11), ("r", 32, 5, 11 + 9)]),
    ("and one filling is waited for", through(),
        [("r", 0, 0, 11), ("r", 32, 0, 11 + 14), ("r", 64, 0, 11 + 14)]),
    ("without arrays, by the bus", target(replace(CACHED, line_bytes=0), dcache=DCACHE),
        [("r", 0, 0, 11), ("r", 32, 5, 11 + 23)]),
    ("a serial memory sends it in order", target(SERIAL, dcache=replace(DCACHE, miss_cycles=0)),
        [("r", 0, 0, 168), ("r", 32, 200, 168), ("r", 64, 200, 168 + 168)]),
    ("zero-wait memory behind a cache", target(replace(CACHED, wait_states=0), dcache=DCACHE),
        [("r", 0, 0, 5), ("r", 31, 9, 0)]),
    ("the oldest of two ways goes", through(),
        [("r", 0, 0, 11), ("r", 128, 50, 11), ("r", 256, 100, 11), ("r", 128, 150, 0),
         ("r", 0, 150, 11)]),
    ("the one not used goes", through(),
        [("r", 0, 0, 11), ("r", 128, 50, 11), ("r", 0, 90, 0), ("r", 256, 100, 11),
         ("r", 0, 150, 0), ("r", 128, 150, 11)]),
    ("sets do not meet", through(),
        [("r", 32 * n, 50 * n, 11) for n in range(8)] + [("r", 0, 400, 0)]),
    ("a store brings its line, unseen", through(), [("w", 0, 0, 0), ("r", 4, 0, 0)]),
    ("but the memory is busy", through(), [("w", 0, 0, 0), ("r", 32, 0, 11 + 14)]),
    ("written through, it brings none", through(policy="write-through"),
        [("w", 0, 0, 0), ("r", 4, 0, 11), ("w", 4, 50, 0), ("r", 0, 50, 0)]),
    ("an instruction cache is not for data", target(CACHED, icache=CODE),
        [("r", 0, 0, 6), ("r", 15, 20, 0), ("r", 16, 20, 6)]),
    ("a unified one is", target(CACHED, icache=replace(CODE, unified=True)),
        [("r", 0, 0, 11), ("r", 31, 20, 0), ("w", 64, 40, 0), ("r", 64, 40, 11)]),
    ("not before every memory", target(replace(CACHED, cached=False), dcache=DCACHE),
        [("r", 0, 0, 6), ("r", 16, 20, 6), ("r", 0, 40, 6)]),
]  # fmt: skip


@pytest.mark.parametrize("case", WAITS, ids=lambda case: case[0])
def test_a_data_access_waits_so_many_cycles(
    case: tuple[str, Target, list[tuple[str, int, int, int]]],
) -> None:
    _, board, accesses = case
    state = memory.build(board)
    found = [
        memory.access(state, FLASH + offset, cycle * memory.SCALE, kind == "w") / memory.SCALE
        for kind, offset, cycle, _ in accesses
    ]
    assert found == [expected for *_, expected in accesses]


def test_what_lies_outside_changes_nothing() -> None:
    for board in (target(PLAIN), ART, through()):
        state = memory.build(board)
        memory.access(state, FLASH, 0, False)
        state.totals = (1, 2, (3, 4, 5, 6, 7))
        before = state.copy()
        for address in (FLASH - 1, FLASH + 0x1000, RAM, 0):
            assert memory.access(state, address, 0, False) == 0
            assert state == before


@pytest.mark.parametrize("previous", [-1, 0, (1 << 16) - 1])
def test_pairs_of_blocks_have_keys_of_their_own(previous: int) -> None:
    largest = memory.edge_key(previous, 0xFFFF_FFFF, 0x1FFF)
    keys = {
        memory.edge_key(before, address, size)
        for before in (previous, previous + 1)
        for address in (0, 2, FLASH, 0xFFFF_FFFE)
        for size in (2, 4, 1024)
    }
    assert len(keys) == 2 * 4 * 3
    assert 0 < min(keys) < largest < 1 << 63
    assert memory.EDGES_MOST & (memory.EDGES_MOST - 1) == 0  # places are found with a mask


def test_random_replacement_fills_empty_ways_and_then_takes_any() -> None:
    ways = 4
    state = memory.build(through(size_bytes=32 * ways, ways=ways, replacement="random"))
    cache = int(state.dcache)
    assert not any(memory.find(state, cache, line) for line in range(ways))
    assert all(memory.find(state, cache, line) for line in range(ways))
    first = int(state.caches[cache].lines_at)
    taken = []
    for line in range(ways, 400):
        before = state.cache_lines["line"][first : first + ways].tolist()
        assert not memory.find(state, cache, line)
        after = state.cache_lines["line"][first : first + ways].tolist()
        (way,) = (n for n in range(ways) if before[n] != after[n])
        assert after[way] == line
        taken.append(way)
    assert all(60 < taken.count(way) < 140 for way in range(ways))
    assert len(set(pairwise(taken))) == ways**2  # any way behind any other


def test_a_cold_memory_forgets_lines_buffers_and_caches() -> None:
    for board in (target(PLAIN), ART, through(), through(replacement="random")):
        state = memory.build(board)
        first = memory.access(state, FLASH, 0, False)
        assert first > 0 == memory.access(state, FLASH + 4, 0, False)
        state.totals = (1, 2, (3, 4, 5, 6, 7))
        memory.empty(state)
        assert state.totals.tolist()[:2] == (1, 2)
        assert state.totals.stalls.tolist() == [3, 4, 5, 6, 7]
        assert memory.access(state, FLASH, 1000 * memory.SCALE, False) == first


def test_caches_that_are_too_large_are_refused() -> None:
    memory.build(through(size_bytes=32 << 15, ways=4))
    with pytest.raises(ValueError, match="caches of 65536 lines are too large"):
        memory.build(through(size_bytes=32 << 16, ways=4))


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        (target(PLAIN, SRAM), [True, False]),
        (target(replace(PLAIN, wait_states=1), replace(SRAM, wait_states=1)), [True, True]),
        (target(replace(SRAM, kind="tcm", wait_states=1)), [False]),
        (target(replace(SRAM, cached=True)), [False]),
        (target(replace(SRAM, first_load_cycles=1)), [True]),
        (target(replace(SRAM, cached=True), dcache=DCACHE), [True]),
        (target(replace(SRAM, cached=True), icache=DCACHE), [True]),
        (target(SRAM, dcache=DCACHE, icache=DCACHE), [False]),
    ],
)
def test_what_can_wait_is_slow_or_cached(board: Target, expected: list[bool]) -> None:
    assert [memory.costs(board, one) for one in board.memories] == expected


NOPS = ".balign 32; " + "; ".join(["nop"] * 16)  # 32 bytes, 16 cycles
ICACHE = Cache(64, 1, 16, miss_cycles=0)  # four sets of one line
SLOW = replace(PLAIN, wait_states=5)
MORE = replace(BUFFERS, instruction_lines=4)
AHEAD = replace(PLAIN, prefetch=True)
ONE = Accelerator("art", "flash", 1, 0, 8)
WAITED = replace(ONE, keeps_prefetched=False)
BEHIND = replace(PLAIN, wait_states=4, cached=True)
FAR = "b.w 1f; .balign 64; .space 64; 1: nop"

# what is shown, a target, code, cycles that fetches wait in a cold run and in the next one
FETCHES = [
    ("four lines", target(PLAIN), NOPS, 4 * 3, 4 * 3),
    ("four lines of a slower clock", target(replace(PLAIN, clock_divider=3)), NOPS, 36, 36),
    ("one line", target(PLAIN), "nop; nop; nop; nop", 3, 0),
    ("across a border", target(PLAIN), "nop; nop; nop; nop.w", 3 + 3, 3 + 3),
    ("eight words", target(replace(PLAIN, line_bytes=0)), NOPS, 8 * 3, 8 * 3),
    ("tightly coupled", target(replace(PLAIN, kind="tcm")), NOPS, 0, 0),
    # the line ahead comes 1 + 3 cycles behind its predecessor: as long as four nops take
    ("read ahead", target(AHEAD), NOPS, 3, 3),
    # 1 + 5 cycles, so two are waited for at each of three lines
    ("read ahead too late", target(replace(AHEAD, wait_states=5)), NOPS, 5 + 3 * 2, 5 + 3 * 2),
    ("far jump", target(PLAIN), FAR, 3 + 3, 3 + 3),
    # what was read ahead for nothing is in nobody's way
    ("far jump from a read ahead", target(AHEAD), FAR, 3 + 3, 3 + 3),
    # a cache: 1 + 4 for the first word of each of two lines
    ("cache", target(BEHIND, icache=ICACHE), NOPS, 2 * 5, 0),
    ("longer than its cache", target(BEHIND, icache=Cache(16, 1, 16)), NOPS, 2 * 5, 2 * 5),
    ("a price of its own", target(BEHIND, icache=ICACHE, dcache=DCACHE), NOPS, 2 * 5, 0),
    ("cache with a price", target(BEHIND, icache=replace(ICACHE, miss_cycles=2)), NOPS, 2 * 7, 0),
    # two reads of 20 fill the line; the next is asked for at 20 + 8, when 12 more are left
    ("busy cache", target(replace(BEHIND, wait_states=19), icache=ICACHE), NOPS, 20 + 12 + 20, 0),
    ("cache before others", target(replace(BEHIND, cached=False), icache=ICACHE), NOPS, 16, 16),
    # a buffer of one line of 8 bytes, and a loop of four: what was read ahead is as good as there
    ("keeps what it read ahead", target(AHEAD, accelerator=ONE), NOPS, 3, 3),
    ("keeps what it waited for", target(AHEAD, accelerator=WAITED), NOPS, 3, 0),
    # buffers of an accelerator: two lines of 32 bytes, each four reads of 5 wait states
    ("buffers", target(SLOW, accelerator=BUFFERS), NOPS, 4 * 5, 0),
    ("more lines than buffers", target(SLOW, accelerator=BUFFERS), f"{NOPS}; {NOPS}; {NOPS}",
        12 * 5, 12 * 5),
    ("as many", target(SLOW, accelerator=MORE), f"{NOPS}; {NOPS}; {NOPS}; {NOPS}", 16 * 5, 0),
    ("another memory's", target(SLOW, accelerator=replace(MORE, memory="sram")), NOPS, 20, 20),
    ("no buffers", target(SLOW, accelerator=replace(BUFFERS, instruction_lines=0)), NOPS, 20, 20),
]  # fmt: skip


# each block of a loop of two, 64 bytes apart, in a cache line of its own
LOOP = ".balign 64; 1: b.w 2f; .balign 64; 2: subs r0, #1; bne 1b"
ROUNDS = 10

PAIR = "ldr r1, [r2]; ldr r1, [r3]"
"""Loads of two memories."""
ONE_LOAD = "ldr r1, [r3]; nop"
MIDDLE = "b 2f; 1: adds r1, #1; 2: subs r0, #1; bne 1b"
NEAR = "ldr r1, [r3]; ldr r4, [r3, #32]"
WIDE = "ldr r1, [r3]; nop; nop; nop; nop; nop; nop; nop; ldr r4, [r3, #32]"
"""Loads of two lines, in a block of 3 and of 10 cycles."""

LATE = "ldr r1, [r3]"
# code, and how many of its loads begin a run
FIRST_LOADS = [
    (f"{LATE}; nop", 1),
    (f"{LATE}; {LATE}; {LATE}; nop", 1),
    (f"{LATE}; nop; {LATE}; nop", 2),
    (f"str r1, [r3]; nop; str r1, [r3]; {LATE}", 1),
    ("ldm r3, {r1, r4, r5}; nop", 1),
    ("ldrd r4, r5, [r3, #8]; nop", 1),
    (f"{LATE}; ldm r3, {{r1, r4}}; {LATE}; nop", 2),
    ("str r1, [r3]; nop", 0),
]

# what is shown, a cache, cycles that fetches wait in ROUNDS rounds, 1 + 4 for each miss
LOOPS = [
    ("two sets", Cache(128, 1, 16), 2 * 5),
    ("one set of two ways", Cache(32, 2, 16), 2 * 5),
    ("one set of one way", Cache(64, 1, 16), ROUNDS * 2 * 5),
]


@cache
def codes() -> dict[str, bytes]:
    """Every program, assembled in one go."""
    single = [LOOP, PAIR, NEAR, WIDE, ONE_LOAD, MIDDLE, *(text for text, _ in FIRST_LOADS)]
    texts = list(dict.fromkeys([case[2] for case in FETCHES] + single))
    return dict(zip(texts, assemble("cortex-m4", texts), strict=True))


def emulated(text: str) -> tuple[Any, int]:
    """A Unicorn instance with the program at the start of flash; where it ends."""
    uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M33)
    uc.mem_map(FLASH, 0x1_0000)
    uc.mem_map(RAM, 0x1_0000)
    uc.mem_write(FLASH, codes()[text])
    uc.reg_write(arm_const.UC_ARM_REG_R0, ROUNDS)
    uc.reg_write(arm_const.UC_ARM_REG_R2, FLASH + 0x800)
    uc.reg_write(arm_const.UC_ARM_REG_R3, RAM)
    return uc, FLASH + len(codes()[text])


@pytest.mark.parametrize("case", FETCHES, ids=lambda case: case[0])
def test_fetches_wait_so_many_cycles(case: tuple[str, Target, str, int, int]) -> None:
    _, board, text, cold, warm = case
    uc, end = emulated(text)
    counter = CycleCounter(board).attach(uc)
    waits = []
    for _ in range(2):
        counter.reset()
        uc.emu_start(FLASH | 1, end)
        report = counter.report()
        assert counter.cycles == report.cycles
        assert counter.waited == report.stalls["fetch"]
        waits.append(report.stalls["fetch"])
    assert waits == [cold, warm]


@pytest.mark.parametrize(
    ("board", "cold"),
    [
        (target(PLAIN), 4 * 3),
        (target(SLOW, accelerator=BUFFERS), 4 * 5),
        (target(BEHIND, icache=ICACHE), 2 * 5),
    ],
)
def test_a_cold_reset_makes_fetches_wait_again(board: Target, cold: int) -> None:
    uc, end = emulated(NOPS)
    counter = CycleCounter(board).attach(uc)
    waits = []
    for empties in (False, False, True, False):
        counter.reset(cold=empties)
        uc.emu_start(FLASH | 1, end)
        waits.append(counter.report().stalls["fetch"])
    assert waits[0] == waits[2] == cold
    assert waits[1] == waits[3]


@pytest.mark.parametrize("case", LOOPS, ids=lambda case: case[0])
def test_blocks_that_share_a_set_put_each_other_out(case: tuple[str, Cache, int]) -> None:
    _, icache, expected = case
    uc, end = emulated(LOOP)
    counter = CycleCounter(target(replace(BEHIND, line_bytes=16), icache=icache)).attach(uc)
    uc.emu_start(FLASH | 1, end)
    assert counter.report().stalls["fetch"] == expected


def test_two_memories_apart_are_both_traced() -> None:
    uc, end = emulated(PAIR)
    slow = replace(SRAM, wait_states=7)
    counter = CycleCounter(target(PLAIN, slow)).attach(uc)
    uc.emu_start(FLASH | 1, end)
    report = counter.report()
    assert report.stalls["data"] == 3 + 7
    assert counter.waited == 3 + 7 + report.stalls["fetch"]


# the second load is asked for at 24 + half of the block's cycles, 2 cycles later it has arrived,
# and the memory fills the first one's line till 2 + 4 × 20
@pytest.mark.parametrize(("text", "apart"), [(NEAR, 1.5), (WIDE, 5)])
def test_accesses_are_spread_evenly_over_the_cycles_of_a_block(text: str, apart: float) -> None:
    uc, end = emulated(text)
    slow = replace(CACHED, origin=RAM, wait_states=19, line_bytes=8)
    counter = CycleCounter(target(replace(SRAM, origin=FLASH), slow, dcache=DCACHE)).attach(uc)
    uc.emu_start(FLASH | 1, end)
    waits = 24 + (82 - (24 + apart + 2)) + 24
    assert counter.report().stalls["data"] == pytest.approx(waits, abs=1)


def test_times_are_counted_anew_after_a_reset() -> None:
    # the store's line is filled till 2 + 80; a reset at 60 leaves 22 of them
    board = target(replace(CACHED, wait_states=19, line_bytes=8), dcache=DCACHE)
    counter = CycleCounter(board)
    state = counter._state
    memory.access(state, FLASH, 0, True)
    state.totals.cycles = 60 * memory.SCALE
    counter.reset()
    assert memory.access(state, FLASH + 32, 0, False) == (24 + 22 - 2) * memory.SCALE
    state.totals.cycles = 10_000 * memory.SCALE
    counter.reset()
    assert memory.access(state, FLASH + 64, 0, False) == 24 * memory.SCALE


@pytest.mark.parametrize(
    ("core", "cycles"), [("cortex-m4", 1), ("cortex-m33", 1), ("cortex-m7", 3)]
)
@pytest.mark.parametrize("address", [RAM, RAM + 1, RAM + 2, RAM + 3])
def test_a_load_across_a_word_border_takes_longer_in_any_memory(
    core: Any, cycles: int, address: int
) -> None:
    board = replace(target(replace(SRAM, origin=FLASH), replace(SRAM, kind="tcm")), core=core)
    uc, end = emulated(ONE_LOAD)
    uc.reg_write(arm_const.UC_ARM_REG_R3, address)
    counter = CycleCounter(board).attach(uc)
    uc.emu_start(FLASH | 1, end)
    assert counter.report().stalls["data"] == (cycles if address % 4 else 0)


@pytest.mark.parametrize(("text", "runs"), FIRST_LOADS)
def test_the_first_load_of_a_run_takes_longer_in_some_memories(text: str, runs: int) -> None:
    code = replace(SRAM, origin=FLASH)
    late = replace(SRAM, first_load_cycles=2)
    for sram, cycles in ((SRAM, 0), (late, 2)):
        uc, end = emulated(text)
        counter = CycleCounter(target(code, sram)).attach(uc)
        uc.emu_start(FLASH | 1, end)
        waited = int(counter._state.totals.stalls[4]) / memory.SCALE
        assert waited == pytest.approx(runs * cycles, abs=0.02)


def test_a_cache_hides_it() -> None:
    late = replace(SRAM, first_load_cycles=2, cached=True)
    uc, end = emulated(ONE_LOAD)
    counter = CycleCounter(target(replace(SRAM, origin=FLASH), late, dcache=DCACHE)).attach(uc)
    for waited in (1 + DCACHE.miss_cycles, 0):
        counter.reset()
        uc.emu_start(FLASH | 1, end)
        assert counter.report().stalls["data"] == waited


def test_a_data_read_goes_before_what_is_read_ahead() -> None:
    state = memory.build(target(AHEAD))
    region = state.regions[0]
    memory.read_ahead(region, 7, 0)
    due = int(region.ahead_ready)
    assert memory.access(state, FLASH + 0x100, 0, False) == 3 * memory.SCALE
    assert region.ahead_ready == due + 3 * memory.SCALE


def test_a_branch_has_one_predictor_whatever_block_ends_with_it() -> None:
    # the jump into the middle makes a second block that ends in the same branch
    uc, end = emulated(MIDDLE)
    board = replace(target(replace(SRAM, origin=FLASH), SRAM), core="cortex-m7")
    counter = CycleCounter(board).attach(uc)
    uc.emu_start(FLASH | 1, end)
    state = counter._state
    branches = [block for block in state.blocks[: len(counter._blocks)] if block.conditional]
    assert len(branches) == 2
    assert {int(block.predictor) for block in branches} == {int(branches[0].predictor)}
    assert sorted(int(block.counter) for block in branches)[0] == 0
