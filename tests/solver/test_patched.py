"""Bounds that only regions in stripes keep."""

from dataclasses import replace

import numpy as np
import pytest
from networks import halved, mobile

from autotiny.cache import Cache
from autotiny.engine import generate, plain_schedule
from autotiny.engine.regions import Region, with_regions
from autotiny.errors import NotApplicable
from autotiny.firmware import build_host, link
from autotiny.schedule import Schedule
from autotiny.simulator import measure, run
from autotiny.solver import Wish, best, executed_front, solved, tabled
from autotiny.target import load_target

M4 = load_target("stm32l4r5")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("solver"))


@pytest.mark.slow
def test_where_no_layer_fits_the_network_is_computed_in_stripes(cache: Cache) -> None:
    graph = halved()
    whole = best(tabled(graph, M4, cache), M4, Wish("sram"))
    wish = Wish(sram_bytes=whole.sram_bytes - 100)
    problem, found = solved(graph, M4, cache, wish)
    assert len(problem.graph.ops) > len(graph.ops)
    cost = measure(generate(problem.graph, found.schedule), M4)
    assert cost.sram_bytes == found.sram_bytes <= whole.sram_bytes - 100
    assert abs(found.cycles / cost.cycles - 1) < 0.1  # a stripe finds its code in the cache

    rows = np.random.default_rng(0).integers(-128, 128, (4, 24, 24, 4)).astype(np.int8)
    plain = build_host(generate(graph, plain_schedule(graph))).predict(rows)
    striped = build_host(generate(problem.graph, found.schedule)).predict(rows)
    np.testing.assert_array_equal(striped, plain)

    least = solved(graph, M4, cache, Wish("sram"))[1]
    assert least.sram_bytes <= found.sram_bytes
    with pytest.raises(
        NotApplicable, match="in stripes the arena alone takes 2,352 bytes at least"
    ):
        solved(graph, M4, cache, Wish(sram_bytes=least.sram_bytes - 1))


@pytest.mark.slow
def test_a_front_goes_on_in_stripes_where_that_is_asked_for(cache: Cache) -> None:
    graph = halved()
    whole = [point.cost.sram_bytes for _, point in executed_front(graph, M4, cache, points=8)]
    front = executed_front(graph, M4, cache, points=8, patches=1)
    assert len(front) <= 8
    assert min(point.cost.sram_bytes for _, point in front) < min(whole)
    for problem, point in front:
        assert (len(problem.graph.ops) > len(graph.ops)) == bool(point.regions)
        assert point.predicted.sram_bytes == point.cost.sram_bytes
        assert point.to_dict()["regions"] == point.regions
    assert {point.regions for _, point in front} == {0, 1}

    within = executed_front(graph, M4, cache, Wish(sram_bytes=min(whole) - 1))
    assert all(point.regions and point.cost.sram_bytes < min(whole) for _, point in within)
    with pytest.raises(NotApplicable, match=r"no schedule takes at most .* in stripes the arena"):
        executed_front(graph, M4, cache, Wish(sram_bytes=500))


def test_stripes_are_not_tried_where_flash_lacks(cache: Cache) -> None:
    for refuse in (solved, executed_front):
        with pytest.raises(NotApplicable, match="at most 100 bytes of flash") as refusal:
            refuse(halved(), M4, cache, Wish(flash_bytes=100))
        assert "stripes" not in str(refusal.value)


@pytest.mark.parametrize(("first", "last"), [(0, 2), (1, 3)])
def test_a_row_that_lies_there_already_is_a_step_all_the_same(first: int, last: int) -> None:
    """Rows that two stripes need are moved, which may be to where they are."""
    graph = mobile(size=16)
    striped, plain = with_regions(graph, plain_schedule(graph), (Region(first, last, 4),))
    steps = tuple(replace(step, code="fixed") for step in plain.steps)
    sources = generate(striped, Schedule(steps))
    ran = run(link(sources, M4), M4, repeats=1)
    assert len(ran.layers) == len(sources.functions) > len(graph.ops)
