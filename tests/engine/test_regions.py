"""Regions anywhere in a network, in stripes: the same values, and plans that say what they take."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from build import tflm
from images import Network, in_arithmetic, samples
from test_stripes import check_memory

from autotiny.engine import generate, plain_schedule, with_blocks, with_room
from autotiny.engine.generate import arena_bytes
from autotiny.engine.patch_plans import patch_plans
from autotiny.engine.regions import Region, with_regions
from autotiny.engine.stripes import with_patches
from autotiny.errors import NotApplicable
from autotiny.firmware import build_host, link
from autotiny.graph import Array, Graph
from autotiny.schedule import Schedule
from autotiny.simulator import run
from autotiny.target import load_target
from autotiny.tflite import write_tflite


@cache
def mobile() -> Graph:
    """Inverted residuals as in MobileNetV2, of odd heights, then what is small.

    0 convolution of stride 2; 1 to 4 a residual block; 5 to 7 one of stride 2; 8 to 11 a residual
    block; 12 a convolution without padding.
    """
    net = Network(27, 10, 3)
    y = net.conv(0, 4, 3, 2)
    y = net.sum(y, net.conv(net.conv(net.conv(y, 12, 1, 1), 0, 3, 1), 4, 1, 1))
    y = net.conv(net.conv(net.conv(y, 12, 1, 1), 0, 3, 2), 6, 1, 1)
    y = net.sum(net.conv(net.conv(net.conv(y, 18, 1, 1), 0, 5, 1), 6, 1, 1), y)
    return net.graph(net.conv(y, 4, 2, 1, "VALID"))


@cache
def expected() -> Array:
    graph = mobile()
    return np.array([tflm(write_tflite(graph), row)[0].reshape(-1) for row in samples(graph)])


def computed(graph: Graph, schedule: Schedule) -> Array:
    x = samples(mobile())
    return build_host(generate(graph, schedule)).predict(x).reshape(len(x), -1)


FIRST, MIDDLE, LAST, WHOLE = (0, 4), (5, 7), (8, 12), (0, 12)


def check(regions: list[tuple[int, int, int]], keep: bool) -> None:
    graph = mobile()
    wanted = [Region(*one, keep=keep) for one in regions]
    new, schedule = with_regions(graph, plain_schedule(graph), wanted)
    fast = with_blocks(new, schedule)
    for one in (schedule, fast):
        check_memory(new, one)
    np.testing.assert_array_equal(computed(new, fast), expected())


@pytest.mark.parametrize(
    ("regions", "keep"),
    [
        ([(*FIRST, 4)], True),
        ([(*MIDDLE, 7)], True),
        ([(*LAST, 3)], False),
        ([(*WHOLE, 3)], True),
        ([(*FIRST, 3), (*MIDDLE, 2), (*LAST, 2)], False),
    ],
    ids=["first", "middle", "last", "whole", "each"],
)
@pytest.mark.everyday(2)
def test_regions_are_exact(regions: list[tuple[int, int, int]], keep: bool) -> None:
    check(regions, keep)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [True, False], ids=["kept", "computed again"])
@pytest.mark.parametrize("patches", [2, 4, 6, 14])
@pytest.mark.parametrize("region", [FIRST, MIDDLE, LAST, WHOLE])
def test_any_region_is_exact(region: tuple[int, int], patches: int, keep: bool) -> None:
    check([(*region, patches)], keep)


def test_a_region_with_rows_kept_is_exact_on_a_core_and_in_the_file() -> None:
    graph, target = mobile(), load_target("stm32l4r5")
    x = samples(graph)
    new, schedule = with_regions(graph, plain_schedule(graph), [Region(*WHOLE, 2)])
    written = np.array([tflm(write_tflite(new), row)[0].reshape(-1) for row in x])
    np.testing.assert_array_equal(written, expected())
    fast = with_room(new, with_blocks(new, schedule), 500, dsp=True)
    ran = run(link(generate(new, fast), target), target, x, simulate_memory=False)
    np.testing.assert_array_equal(np.asarray(ran.outputs).reshape(len(x), -1), expected())


@pytest.mark.parametrize("arithmetic", ["float32", "int16"])
def test_rows_of_other_types_are_kept(arithmetic: str) -> None:
    graph = in_arithmetic(mobile(), arithmetic)
    plain = plain_schedule(graph)
    new, schedule = with_regions(graph, plain, [Region(*FIRST, 3), Region(*LAST, 2)])
    dice = np.random.default_rng(2)
    x = dice.integers(-99, 99, (2, *graph.tensors[0].shape)).astype(graph.tensors[0].dtype)
    found, whole = (
        build_host(generate(*one)).predict(x) for one in ((new, schedule), (graph, plain))
    )
    np.testing.assert_array_equal(found, whole)


def rows_computed(graph: Graph, name: str) -> int:
    """Rows that all ops together compute of a tensor."""
    made = (graph.tensors[op.outputs[0]] for op in graph.ops if "CONV" in op.kind)
    return sum(one.shape[1] for one in made if one.name.split("/")[0] == name)


def test_rows_that_are_kept_are_computed_once() -> None:
    net = Network(32, 8, 4)
    graph = net.graph(net.conv(net.conv(net.conv(0, 8, 3, 1), 8, 3, 1), 4, 3, 2))
    tensors = tuple(replace(one, name=f"y{i}") for i, one in enumerate(graph.tensors))
    named = replace(graph, tensors=tensors)
    first, second = (op.outputs[0] for op in graph.ops[:2])
    for keep, rows in ((True, (32, 32)), (False, (32 + 3 * 3, 32 + 3))):
        new, _ = with_regions(named, plain_schedule(named), [Region(0, 2, 4, keep)])
        assert (rows_computed(new, f"y{first}"), rows_computed(new, f"y{second}")) == rows


def test_kept_rows_move_over_themselves() -> None:
    """Eight rows are kept for a window of nine: they exist once, beside one or two new ones."""
    net = Network(24, 8, 1)
    graph = net.graph(net.conv(net.conv(net.conv(0, 32, 1, 1), 0, 9, 1), 1, 1, 1))
    new, schedule = with_regions(graph, plain_schedule(graph), [Region(0, 2, 24)])
    row = 8 * 32
    small = 24 * 8 + 24 * 8  # input and output
    assert arena_bytes(new, schedule) <= (8 + 2) * row + small
    assert not any("concatenation" in step for step in generate(new, schedule).steps)


def test_what_cannot_be_cut_is_refused_with_the_reason() -> None:
    graph = mobile()
    plain = plain_schedule(graph)
    with pytest.raises(NotApplicable, match="steps 0 to 2: not one tensor passes on but 2"):
        with_regions(graph, plain, [Region(0, 2, 4)])
    with pytest.raises(NotApplicable, match="each step belongs to one region at most"):
        with_regions(graph, plain, [Region(0, 7, 4), Region(5, 9, 4)])
    with pytest.raises(NotApplicable, match="steps 8 to 13 are not steps of their own among 13"):
        with_regions(graph, plain, [Region(8, 13, 4)])
    fast = with_blocks(graph, plain)
    with pytest.raises(NotApplicable, match=r"CONV_2D .* is not computed the plain way"):
        with_regions(graph, fast, [Region(*FIRST, 4)])


def test_plans_are_what_they_say_and_none_is_dominated() -> None:
    graph = mobile()
    plain = plain_schedule(graph)
    plans = patch_plans(graph, plain)
    assert plans == patch_plans(graph, plain)
    assert 3 < len(plans) <= 12
    before = arena_bytes(graph, plain)
    assert plans[-1].arena_bytes < before / 2
    assert all(plan.arena_bytes < before for plan in plans)
    for larger, smaller in pairwise(plans):
        assert larger.arena_bytes > smaller.arena_bytes
        assert larger.extra_multiplications <= smaller.extra_multiplications
    for plan in plans:
        new, schedule = with_regions(graph, plain, plan.regions)
        assert arena_bytes(new, schedule) == plan.arena_bytes
        check_memory(new, schedule)
    few = patch_plans(graph, plain, most_patches=3)
    assert max(region.patches for plan in few for region in plan.regions) <= 3


def test_a_network_that_stripes_do_not_help_has_no_plans() -> None:
    net = Network(6, 6, 4)
    graph = net.graph(net.sum(0, 0))
    assert patch_plans(graph, plain_schedule(graph)) == ()


def test_patches_reach_behind_the_first_stages_where_that_is_smaller() -> None:
    """The first layers are small here, and what one patch of them all would need is large."""
    net = Network(24, 12, 8)
    y = net.conv(net.conv(0, 4, 1, 1), 0, 3, 2)
    y = net.conv(net.conv(net.conv(y, 96, 1, 1), 0, 3, 1), 4, 1, 1)
    graph = net.graph(y)
    plain = plain_schedule(graph)
    new, schedule = with_patches(graph, plain, patches=6)
    all_first = min(
        arena_bytes(*with_regions(graph, plain, [Region(0, last, 6, keep)]))
        for last in range(len(plain.steps))
        for keep in (True, False)
    )
    assert arena_bytes(new, schedule) < all_first
    check_memory(new, schedule)
