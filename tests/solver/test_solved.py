"""Solved schedules as firmware: what is predicted, what it computes, what is asked of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from networks import two_layers

from autotiny.cache import Cache
from autotiny.engine import generate, plain_schedule
from autotiny.errors import NotApplicable, UserError
from autotiny.firmware import build_host
from autotiny.graph import Graph, Op, Tensor
from autotiny.simulator import measure
from autotiny.solver import (
    Problem,
    Wish,
    best,
    confirmed,
    front_of,
    nearest,
    reasons_of,
    tabled,
    wish_from,
)  # fmt: skip
from autotiny.solver.best import _form, bounds_of, linked
from autotiny.solver.problem import Bounded, chosen, solve
from autotiny.target import load_target

M4 = load_target("stm32l4r5")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("solver"))


@pytest.fixture(scope="module")
def problem(cache: Cache) -> Problem:
    return tabled(two_layers(), M4, cache)


def test_points_of_a_front_are_executed_as_predicted(problem: Problem) -> None:
    front = front_of(problem, most=6)
    assert 2 < len(front) <= 6
    for point in confirmed(problem, M4, front):
        assert abs(point.cycles_error) < 0.02
        assert point.predicted.arena_bytes == point.cost.arena_bytes
        assert point.predicted.flash_bytes == point.cost.flash_bytes
        assert point.predicted.sram_bytes == point.cost.sram_bytes


def test_no_schedule_changes_a_result(problem: Problem) -> None:
    graph = problem.graph
    rows = np.random.default_rng(0).integers(-128, 128, (4, 6, 6, 8)).astype(np.int8)
    plain = build_host(generate(graph, plain_schedule(graph))).predict(rows)
    for point in front_of(problem, most=4):
        found = build_host(generate(graph, point.schedule)).predict(rows)
        np.testing.assert_array_equal(found, plain)


def test_layers_of_another_network_are_not_measured_again(problem: Problem, cache: Cache) -> None:
    told: list[int] = []
    other = tabled(two_layers(seed=1), M4, cache, lambda done, of: told.append(done))
    assert not told
    assert len(other.items) == len(problem.items)


def test_functions_of_the_library_count_once(cache: Cache) -> None:
    tensors = tuple(Tensor(name, (1, 10), "float32") for name in ("logits", "classes"))
    graph = Graph(tensors, (Op("SOFTMAX", (0,), (1,), {"beta": 1.0}),), (0,), (1,))
    problem = tabled(graph, M4, cache)
    found = solve(problem, "flash")
    assert found is not None and "expf" in str(found.items[0].facts.shared)
    assert abs(found.flash_bytes - linked(problem, found, M4).flash_bytes) <= 64


def test_bounds_are_kept_by_the_linked_firmware(problem: Problem) -> None:
    free = best(problem, M4)
    flash, sram = free.flash_bytes - 300, free.sram_bytes - 100
    found = best(problem, M4, Wish(flash_bytes=flash, sram_bytes=sram))
    cost = measure(generate(problem.graph, found.schedule), M4)
    assert cost.flash_bytes <= flash and cost.sram_bytes <= sram
    assert found.cycles > free.cycles


def test_what_nothing_keeps_is_told_with_what_comes_nearest(problem: Problem) -> None:
    told = (
        r"at most 500 bytes of flash and 655,232 of SRAM: with that SRAM the smallest takes [\d,]+ "
        r"bytes of flash, [\d,]+ too many"
    )
    with pytest.raises(NotApplicable, match=told):
        best(problem, M4, Wish(flash_bytes=500))
    text = nearest(problem, Bounded(flash=500, sram=99))
    assert "the least there is takes" in text and text.count("too many") == 2


def test_the_target_bounds_what_is_not_bounded() -> None:
    memories = tuple(replace(one, size_bytes=256) if one.data else one for one in M4.memories)
    bounds = bounds_of(replace(M4, memories=memories), Wish(flash_bytes=1 << 30))
    assert bounds == Bounded(flash=M4.flash_bytes, sram=256 * len(M4.data_memories) - 128)


def test_reasons_name_every_layer_and_what_the_next_best_would_cost(problem: Problem) -> None:
    found = best(problem, M4)
    reasons = reasons_of(problem, found)
    assert [one.layer for one in reasons] == ["depthwise_conv_2d 6×6×8", "fully_connected 12"]
    assert sum(one.cycles for one in reasons) == found.cycles
    for one in reasons:
        assert one.next is not None and one.options > 2
        assert one.next.cycles >= 0 and one.next.way != one.way
    json.dumps([one.to_dict() for one in reasons])


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("best", Wish()),
        ("best:flash=40K,sram=12K", Wish(flash_bytes=40960, sram_bytes=12288)),
        ("best: minimize = sram , flash=1.5M", Wish("sram", 1572864)),
        ("best:minimize=energy,flash=40K", Wish("energy", 40960)),
        ("best:sram=900", Wish(sram_bytes=900)),
        ("best:flash=2kb", Wish(flash_bytes=2048)),
    ],
)
def test_bounds_are_read(text: str, wish: Wish) -> None:
    assert wish_from(text) == wish


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("best:flsh=4K", "cannot read 'flsh=4K'"),
        ("best:flash=4X", "cannot read the size in 'flash=4X'"),
        ("best:flash=", "cannot read the size in 'flash='"),
        ("best:flash=-1K", "cannot read the size"),
        ("best:minimize=latancy", "did you mean 'latency'"),
        ("best:flash", "cannot read the size in 'flash'"),
    ],
)
def test_what_is_no_bound_is_refused(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        wish_from(text)


@pytest.mark.slow
def test_no_other_form_of_a_function_makes_the_smallest_smaller(cache: Cache) -> None:
    """What calls take is known of linked firmware alone."""
    problem = tabled(two_layers(values=(-64, 0, 0, 0, 0, 64)), M4, cache)
    found = best(problem, M4, Wish("flash"))
    for k, item in enumerate(found.items):
        for other in problem.items:
            if other.at == item.at and _form(other) == _form(item):
                items = (*found.items[:k], other, *found.items[k + 1 :])
                swapped = linked(problem, chosen(problem, items), M4)
                assert swapped.flash_bytes >= found.flash_bytes
