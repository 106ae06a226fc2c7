"""Layers whose output replaces their input, row by row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from images import Network, in_arithmetic, samples

from autotiny.engine import fuse, generate, plain_schedule, with_blocks
from autotiny.engine.in_place import with_steps_in_place
from autotiny.errors import NotApplicable
from autotiny.firmware import build_host, link
from autotiny.graph import Array, Graph, Op
from autotiny.schedule import Schedule
from autotiny.simulator import run
from autotiny.target import load_target


def rowwise(graph: Graph) -> Schedule:
    steps = plain_schedule(graph).steps
    return Schedule(tuple(replace(step, in_place=True) for step in steps))


def computed(graph: Graph, schedule: Schedule, x: Array) -> Array:
    return build_host(generate(graph, schedule)).predict(x)


def tower() -> Graph:
    """Odd sizes, both strides and paddings, windows that overlap and that leave gaps."""
    net = Network(31, 13, 3)
    y = net.conv(0, 8, 3, 2)
    y = net.conv(y, 0, 3, 1)
    y = net.conv(y, 16, 1, 1)
    y = net.pool(y, size=3, stride=1)
    y = net.conv(y, 6, 1, 2)
    return net.graph(net.conv(y, 0, 3, 2, "VALID"))


@pytest.mark.parametrize("core", ["stm32l4r5", "stm32g0b1"])
@pytest.mark.everyday(1)
def test_rows_in_place_are_exact(core: str) -> None:
    graph = tower()
    x = samples(graph)
    plain, schedule = plain_schedule(graph), rowwise(graph)
    expected = computed(graph, plain, x)
    np.testing.assert_array_equal(computed(graph, schedule, x), expected)
    assert generate(graph, schedule).arena_bytes < 0.75 * generate(graph, plain).arena_bytes
    target = load_target(core)
    ran = run(link(generate(graph, schedule), target), target, x, simulate_memory=False)
    np.testing.assert_array_equal(ran.outputs.reshape(expected.shape), expected)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("stride", [1, 2])
def test_other_arithmetics_are_exact(dtype: str, stride: int) -> None:
    net = Network(11, 7, 4)
    y = net.pool(net.conv(net.conv(0, 6, 3, stride), 0, 3, 1), "AVERAGE_POOL_2D")
    graph = in_arithmetic(net.graph(y), dtype)
    x = samples(graph).astype(dtype)
    expected = computed(graph, plain_schedule(graph), x)
    np.testing.assert_array_equal(computed(graph, rowwise(graph), x), expected)


def test_only_what_lowers_the_arena_is_computed_in_place() -> None:
    graph = tower()
    schedule = with_steps_in_place(graph, plain_schedule(graph))
    flags = [step.in_place for step in schedule.steps]
    assert any(flags)
    assert not all(flags)
    everywhere = generate(graph, rowwise(graph)).arena_bytes
    assert generate(graph, schedule).arena_bytes <= everywhere
    with pytest.raises(NotApplicable, match="bytes stays"):
        with_steps_in_place(graph, schedule)


def test_an_input_that_is_read_again_is_left_alone() -> None:
    net = Network(12, 9, 8)
    y = net.conv(0, 8, 3, 1)
    graph = net.graph(net.sum(y, net.conv(net.conv(y, 8, 3, 1), 8, 3, 1)))
    x = samples(graph)
    schedule = with_steps_in_place(graph, plain_schedule(graph))
    expected = computed(graph, plain_schedule(graph), x)
    np.testing.assert_array_equal(computed(graph, schedule, x), expected)


def test_blocks_next_to_copied_boxes_compile() -> None:
    net = Network(8, 8, 4)
    a, b = net.conv(0, 8, 3, 1), net.conv(0, 8, 3, 1)
    joined = net.add(replace(net.tensors[a], shape=(1, 8, 8, 16)))
    net.ops.append(Op("CONCATENATION", (a, b), (joined,), {"axis": 3}))
    graph = net.graph(net.conv(joined, 4, 3, 1))
    x = samples(graph)
    plain = plain_schedule(graph)
    blocks = with_blocks(graph, plain)
    np.testing.assert_array_equal(computed(graph, blocks, x), computed(graph, plain, x))


def test_a_fused_pooling_stays_whole() -> None:
    net = Network(16, 16, 2)
    graph = net.graph(net.pool(net.conv(0, 8, 3, 1)))
    schedule = fuse(graph, plain_schedule(graph))
    with pytest.raises(NotApplicable, match="bytes stays"):
        with_steps_in_place(graph, schedule)
    within = Schedule(tuple(replace(step, in_place=True) for step in schedule.steps))
    assert generate(graph, within).files == generate(graph, schedule).files
