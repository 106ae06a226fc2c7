"""Weights in fast and in slow data memory: what is chosen, and what is predicted of it."""

from collections import Counter
from dataclasses import replace

import pytest
from networks import halved, two_layers

from autotiny.cache import Cache
from autotiny.engine import generate
from autotiny.firmware import link
from autotiny.graph import Graph, fold
from autotiny.solver import Problem, best, confirmed, front_of, reasons_of, tabled
from autotiny.solver.options import Option, places_of, with_slow_sram
from autotiny.solver.problem import most_sram
from autotiny.solver.reasons import step_words
from autotiny.solver.speeds import Speeds, speeds_of
from autotiny.target import Target, load_target

M4 = load_target("stm32l4r5")


def with_fast_bytes(size: int) -> Target:
    """The target with so much of its fast memory, and the slow one right behind it."""
    fast, slow = M4.data_memories[:2]
    memories = (
        M4.flash,
        replace(fast, size_bytes=size),
        replace(slow, origin=fast.origin + size),
    )
    return replace(M4, memories=memories)


SCARCE = with_fast_bytes(3072)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("speeds"))


@pytest.fixture(scope="module")
def problem(cache: Cache) -> Problem:
    return tabled(two_layers(), SCARCE, cache)


def speeds(graph: Graph, target: Target) -> Speeds | None:
    graph = fold(graph)
    return speeds_of(graph, places_of(graph, dsp=target.dsp), target)


def test_the_slow_memory_is_for_what_would_be_fastest_in_the_fast_one() -> None:
    graph = fold(halved())
    segments = places_of(graph, dsp=True)
    (((place,),),) = segments
    in_sram = [one for one in place if one.step.weights.memory == "sram"]
    quick = in_sram[-1].step.kernel
    assert {one.step.kernel for one in in_sram} > {quick}

    def slowed(fast: int) -> list[Option]:
        def cycles(one: Option) -> int:
            in_fast = one.step.weights.memory == "sram" and one.step.kernel == quick
            return fast if in_fast and one.step.code == "fixed" else 100

        (((found,),),) = with_slow_sram(graph, segments, cycles)
        assert found[: len(place)] == place
        return list(found[len(place) :])

    assert slowed(100) == []
    added = [one.step for one in slowed(99)]
    assert {(one.kernel, one.weights.memory) for one in added} == {(quick, "slow_sram")}
    assert {one.code for one in added} == {"fixed"}


@pytest.mark.slow
def test_weights_in_either_memory_are_executed_as_predicted(problem: Problem) -> None:
    chosen: set[str] = set()
    for point in confirmed(problem, SCARCE, front_of(problem, most=5)):
        assert abs(point.cycles_error) < 0.02
        assert point.predicted.flash_bytes == point.cost.flash_bytes
        assert (
            point.predicted.sram_bytes
            == point.cost.sram_bytes
            <= most_sram(problem, point.predicted)
        )
        firmware = link(generate(problem.graph, point.predicted.schedule), SCARCE)
        lying = Counter[str]()
        for name, symbol in firmware.symbols.items():
            memory = SCARCE.memory_at(symbol.address)
            if memory and name.startswith("model_w"):
                lying[memory.name] += symbol.bytes
        slow = sum(item.slow_bytes for item in point.predicted.items)
        assert lying["sram2"] == firmware.slow_bytes == slow
        assert lying["sram1"] == firmware.near_bytes
        assert SCARCE.memory_at(firmware.symbols["model_arena"].address) == SCARCE.data_memories[0]
        chosen |= {item.option.step.weights.memory for item in point.predicted.items}
    assert chosen == {"flash", "sram", "slow_sram"}


def test_the_same_weights_are_slower_in_slow_memory(problem: Problem) -> None:
    cycles = {item.option.step: item.cycles for item in problem.items}
    pairs = [
        (cycles[step], cycles[other])
        for step in cycles
        if step.weights.memory == "slow_sram"
        for other in [replace(step, weights=replace(step.weights, memory="sram"))]
        if other in cycles
    ]
    assert pairs and all(slow > fast for slow, fast in pairs)


def test_the_next_best_way_has_room_in_the_fast_memory(problem: Problem) -> None:
    found = best(problem, SCARCE)
    dense = reasons_of(problem, found)[1]
    assert dense.way.endswith("weights in slower SRAM, code of its own")
    assert dense.next is not None and dense.next.cycles > 0
    ways = [step_words(item.option.step) for item in problem.items]
    assert dense.way.replace("slower ", "") in ways


def test_an_arena_that_the_fast_memory_cannot_hold_is_measured_in_the_slow_one(
    cache: Cache,
) -> None:
    target = with_fast_bytes(2412)
    problem = tabled(halved(), target, cache)
    assert problem.speeds is not None and not problem.speeds.holds_arena
    for point in confirmed(problem, target, front_of(problem, most=3)):
        assert abs(point.cycles_error) < 0.015


def test_memories_are_told_apart_where_that_says_something() -> None:
    graph = two_layers()
    told = speeds(graph, M4)
    assert told is not None and told.fast.name == "sram1" and told.slow.first_load_cycles == 1
    assert told.holds_arena and not told.is_scarce
    scarce = speeds(graph, SCARCE)
    assert scarce is not None and scarce.holds_arena and scarce.is_scarce
    assert speeds(graph, with_fast_bytes(2048)) is None  # no more than a stack
    assert speeds(graph, load_target("stm32f746")) is None  # caches
    assert speeds(graph, load_target("stm32f407")) is None  # two that are as fast
    assert speeds(graph, load_target("stm32u575")) is None  # all are


def test_where_all_has_room_in_the_fast_memory_there_is_no_other_choice(cache: Cache) -> None:
    problem = tabled(halved(), with_fast_bytes(16_384), cache)
    assert problem.speeds is not None and problem.speeds.holds_arena
    memories = {item.option.step.weights.memory for item in problem.items}
    assert memories == {"flash", "sram"}
