"""Layers in stripes of rows compute the same values, in less memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from build import tensor, tflm
from images import Network, samples

from autotiny.engine import fuse, generate, plain_schedule, with_blocks
from autotiny.engine.arena import homes, lay_out
from autotiny.engine.generate import kernels_of
from autotiny.engine.kernel import Scratch
from autotiny.engine.regions import Region, with_regions
from autotiny.engine.stripes import with_patches, with_two_cores
from autotiny.errors import NotApplicable
from autotiny.firmware import build_host, link
from autotiny.graph import Graph, Op
from autotiny.schedule import Schedule
from autotiny.simulator import run
from autotiny.target import load_target
from autotiny.tflite import write_tflite


def chain() -> Graph:
    """Odd sizes, both strides, both paddings, then what is small."""
    net = Network(23, 14, 3)
    y = net.conv(0, 8, 3, 2)
    y = net.conv(y, 0, 3, 1)
    y = net.conv(y, 20, 1, 1)
    y = net.conv(y, 0, 3, 2)
    y = net.conv(y, 8, 3, 1, "VALID")
    return net.graph(y)


def pooled() -> Graph:
    net = Network(21, 18, 1)
    y = net.conv(0, 12, 5, 1, "VALID")
    y = net.pool(y)
    y = net.conv(y, 8, 2, 2)
    return net.graph(net.pool(y, "AVERAGE_POOL_2D"))


def residual() -> Graph:
    """Two readers of one tensor that need different rows of it."""
    net = Network(17, 12, 4)
    y = net.conv(0, 16, 3, 1)
    left = net.conv(y, 16, 3, 1)
    left = net.conv(left, 16, 5, 1)
    return net.graph(net.conv(net.sum(y, left), 4, 3, 2))


@pytest.mark.parametrize(
    ("network", "patches", "core"),
    [(chain, 3, "stm32l4r5"), (chain, 5, ""), (pooled, 2, "stm32g0b1"), (residual, 3, "")],
)
@pytest.mark.everyday(2)
def test_patches_are_exact(network: Callable[[], Graph], patches: int, core: str) -> None:
    graph = network()
    x = samples(graph)
    expected = np.array([tflm(write_tflite(graph), row)[0].reshape(-1) for row in x])
    new, schedule = with_patches(graph, plain_schedule(graph), patches=patches)
    assert generate(new, schedule).arena_bytes < generate(graph, plain_schedule(graph)).arena_bytes
    rewritten = np.array([tflm(write_tflite(new), row)[0].reshape(-1) for row in x])
    np.testing.assert_array_equal(rewritten, expected)
    fast = with_blocks(new, fuse(new, schedule) if network is pooled else schedule)
    for one in (schedule, fast):
        check_memory(new, one)
        found = build_host(generate(new, one)).predict(x).reshape(len(x), -1)
        np.testing.assert_array_equal(found, expected)
    if core:
        target = load_target(core)
        ran = run(link(generate(new, fast), target), target, x, simulate_memory=False)
        np.testing.assert_array_equal(np.asarray(ran.outputs).reshape(len(x), -1), expected)


def check_memory(graph: Graph, schedule: Schedule) -> None:
    """Executes the plan on a memory of names: every byte read is the one that was written there."""
    kernels = kernels_of(graph, schedule)
    arena, home = lay_out(graph, kernels), homes(kernels)
    memory: dict[int, tuple[int, int]] = {}

    def bytes_of(index: int) -> list[tuple[int, tuple[int, int]]]:
        owner, start = home.get(index, (index, 0))
        at, size = arena.offset_of(index), graph.tensors[index].bytes
        return [(at + i, (owner, start + i)) for i in range(size)]

    for index in graph.inputs:
        memory.update(bytes_of(index))
    for step, kernel in enumerate(kernels):
        tensors = [o.what for o in kernel.operands if isinstance(o.what, int)]
        written = [o for o in kernel.operands if o.name.startswith("y")]
        made = {o.what for o in written}
        for index in tensors:
            if index not in made:
                assert all(memory[at] == name for at, name in bytes_of(index)), (step, index)
        for operand in kernel.operands:
            if isinstance(operand.what, Scratch):
                at = arena.offset(step, operand)
                memory.update((at + i, (-1, step)) for i in range(operand.what.bytes))
        for operand in written:
            assert isinstance(operand.what, int)
            memory.update(bytes_of(operand.what))
    for index in graph.outputs:
        assert all(memory[at] == name for at, name in bytes_of(index))


def test_slices_and_joints_of_rows_take_no_memory_and_no_time() -> None:
    graph = chain()
    new, schedule = with_regions(graph, plain_schedule(graph), [Region(0, 4, 3, keep=False)])
    moved = [o.kind for o in new.ops if o.kind in ("SLICE", "CONCATENATION")]
    sources = generate(new, schedule)
    assert len(moved) > 2
    moves = ("slice", "concatenation", "pad")
    assert not any(move in step for step in sources.steps for move in moves)


@pytest.mark.parametrize(("keep", "steps", "functions"), [(False, 16, 6), (True, 25, 8)])
def test_equal_stripes_share_their_code(keep: bool, steps: int, functions: int) -> None:
    net = Network(32, 8, 4)
    y = net.conv(0, 8, 3, 1)
    graph = net.graph(net.conv(y, 4, 3, 1))
    new, schedule = with_regions(graph, plain_schedule(graph), [Region(0, 1, 8, keep)])
    sources = generate(new, schedule)
    assert len(sources.steps) == steps
    assert sources.files["model.c"].count("AT_STEP void") == functions


def test_what_brings_nothing_is_refused_with_the_figures() -> None:
    net = Network(6, 6, 4)
    graph = net.graph(net.sum(0, 0))
    with pytest.raises(NotApplicable, match="its largest tensors lie elsewhere"):
        with_patches(graph, plain_schedule(graph), patches=2)
    with pytest.raises(NotApplicable, match="no image passes"):
        with_patches(chain(), with_blocks(chain(), plain_schedule(chain())), patches=2)


def test_the_scales_inside_an_lstm_behind_stripes_stay_its_own() -> None:
    w = tensor((64, 64), "int8", 0.01, data=np.ones((64, 64)))
    values = (tensor((1, 64), "int8", 0.1), w, *(tensor((1, 64), "int8", 0.1) for _ in range(2)))
    inside = tensor((0,), "int8", 0.25, data=[], name="inside")
    ops = (
        Op("FULLY_CONNECTED", (0, 1, -1), (2,)),
        Op("UNIDIRECTIONAL_SEQUENCE_LSTM", (2,), (3,), {"intermediates": (4,)}),
    )
    graph = Graph((*values, inside), ops, (0,), (3,))
    divided, schedule = with_two_cores(graph, plain_schedule(graph))
    assert len(schedule.steps) == 4
    (scales,) = divided.ops[-1].intermediates
    assert divided.tensors[scales].name == "inside"
