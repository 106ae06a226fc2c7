"""Sums that a convolution adds to its results row by row: the same values, a tensor fewer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from build import tensor, tflm
from images import Network, samples
from test_stripes import check_memory
from test_variants import in_turn

from autotiny.engine import (
    fuse,
    generate,
    plain_schedule,
    schedule_for,
    with_blocks,
    with_coded_weights,
    with_expanded_weights,
    with_pairs,
    with_room,
    with_skipped_zeros,
    with_strassen,
    with_winograd,
)
from autotiny.engine.fusing import with_sums_fused
from autotiny.engine.in_place import with_steps_in_place
from autotiny.engine.regions import Region, with_regions
from autotiny.engine.stripes import with_two_cores
from autotiny.engine.variants.sparse import Sparse
from autotiny.errors import NotApplicable, UnsupportedOp
from autotiny.firmware import build_host, link
from autotiny.graph import Array, Graph, Op
from autotiny.schedule import Schedule, Step, Weights
from autotiny.simulator import run
from autotiny.target import load_target
from autotiny.tflite import write_tflite

CORES = ("stm32l4r5", "stm32h743", "stm32g0b1")


def block(
    channels: int = 5,
    k: int = 3,
    *,
    stride: int = 1,
    swapped: bool = False,
    activation: str = "NONE",
    padding: str = "SAME",
    size: tuple[int, int] = (7, 9),
) -> Graph:
    """Two convolutions beside what is added to them: the input of both, or its projection."""
    net = Network(*size, 2)
    x = net.conv(0, channels, 1, 1)
    options = {**net.ops[0].options, "fused_activation_function": "NONE"}
    net.ops[0] = replace(net.ops[0], options=options)  # what is added may be negative
    a = net.conv(x, channels, 3, 1)
    if stride > 1 or padding == "VALID":
        x = net.conv(x, channels, k if stride == 1 else 1, stride, padding)
    y = net.conv(a, channels, k, stride, padding)
    total = net.sum(*((x, y) if swapped else (y, x)))
    net.ops[-1] = replace(net.ops[-1], options={"fused_activation_function": activation})
    return net.graph(total)


def together(graph: Graph) -> Schedule:
    """The plain schedule with every sum in one step with the op before it."""
    steps: list[Step] = []
    for step in plain_schedule(graph).steps:
        if graph.ops[step.ops[0]].kind == "ADD":
            step = Step((*steps.pop().ops, *step.ops))
        steps.append(step)
    return Schedule(tuple(steps))


def computed(graph: Graph, schedule: Schedule, x: Array) -> Array:
    return build_host(generate(graph, schedule)).predict(x).reshape(len(x), -1)


def check(graph: Graph, schedule: Schedule, cores: tuple[str, ...] = ()) -> None:
    """The values of the plain schedule, which are the reference's, here and on cores."""
    x = samples(graph)
    wanted = np.array([tflm(write_tflite(graph), row)[0].reshape(-1) for row in x])
    np.testing.assert_array_equal(computed(graph, plain_schedule(graph), x), wanted)
    check_memory(graph, schedule)
    np.testing.assert_array_equal(computed(graph, schedule, x), wanted)
    for name in in_turn(cores, graph):
        target = load_target(name)
        ran = run(link(generate(graph, schedule), target), target, x, simulate_memory=False)
        np.testing.assert_array_equal(np.asarray(ran.outputs).reshape(wanted.shape), wanted)


CASES = (
    block(),
    block(swapped=True, activation="RELU"),
    block(8, 1, activation="RELU_N1_TO_1"),
    block(3, 5, stride=2, swapped=True),
    block(6, 3, padding="VALID", activation="RELU6"),
    block(1, 1, size=(9, 1)),
)


@pytest.mark.parametrize("graph", CASES)
@pytest.mark.everyday(2)
def test_sums_of_rows_are_exact(graph: Graph) -> None:
    schedule = together(graph)
    assert len(schedule.steps) == len(plain_schedule(graph).steps) - 1
    check(graph, schedule, CORES)


def residuals() -> Graph:
    """Two blocks that both need the largest arena, a smaller one, and the largest weights."""
    net = Network(12, 10, 3)
    x = net.conv(0, 8, 3, 1)
    for stride in (1, 1, 2, 1):
        if stride > 1:
            x = net.conv(x, 8, 3, stride)
            continue
        x = net.sum(net.conv(net.conv(x, 8, 3, 1), 8, 3, 1), x)
    return net.graph(net.conv(x, 56, 3, 1))


def test_as_many_sums_are_fused_as_the_smallest_arena_needs() -> None:
    graph = residuals()
    plain, fused = plain_schedule(graph), fuse(graph, plain_schedule(graph))
    assert fused == schedule_for(graph, "smallest", dsp=True)
    assert [len(step.ops) for step in fused.steps] == [1, 1, 2, 1, 2, 1, 1, 1, 1, 1]
    image, row = 12 * 10 * 8, 10 * 8
    assert generate(graph, plain).arena_bytes == 3 * image
    assert generate(graph, fused).arena_bytes == 2 * image + row
    check(graph, fused, CORES[:1])
    for style in ("fastest", "balanced"):  # their kernels overwrite what they read
        steps = schedule_for(graph, style, dsp=True).steps
        assert all(len(step.ops) == 1 for step in steps)


def test_an_arena_that_is_large_elsewhere_stays() -> None:
    net = Network(12, 10, 3)
    x = net.conv(net.conv(net.conv(0, 24, 3, 1), 24, 3, 1), 4, 3, 1)
    graph = net.graph(net.sum(x, net.conv(x, 4, 3, 1)))
    with pytest.raises(NotApplicable, match=r"^with_sums_fused: the arena of 5760 bytes stays"):
        with_sums_fused(graph, plain_schedule(graph))
    with pytest.raises(NotApplicable, match=r"^fuse: no convolution stands behind a PAD"):
        fuse(graph, plain_schedule(graph))


def test_what_is_added_may_be_read_later_again() -> None:
    net = Network(9, 7, 4)
    x = net.conv(0, 5, 3, 1)
    y = net.sum(x, net.conv(net.conv(x, 5, 3, 1), 5, 3, 1))
    graph = net.graph(net.sum(y, x))
    steps = plain_schedule(graph).steps
    check(graph, Schedule((*steps[:2], Step((2, 3)), steps[4])), CORES[:1])


@pytest.mark.parametrize("view", [False, True])
def test_a_convolution_may_be_added_to_its_own_input(view: bool) -> None:
    net = Network(9, 7, 1)
    x = seen = net.conv(0, 5, 3, 1)
    if view:
        shape = net.add(tensor((4,), "int32", data=(1, 9, 7, 5)))
        seen = net.add(net.tensors[x])
        net.ops.append(Op("RESHAPE", (x, shape), (seen,)))
    graph = net.graph(net.sum(seen, net.conv(x, 5, 3, 1)))
    check(graph, together(graph), CORES[:1])


def refused(graph: Graph) -> None:
    with pytest.raises(NotApplicable, match=r"^with_sums_fused: no sum follows"):
        with_sums_fused(graph, plain_schedule(graph))


def test_other_sums_stay() -> None:
    net = Network(9, 7, 5)
    x = net.conv(0, 5, 3, 1)
    y = net.conv(net.conv(x, 5, 3, 1), 5, 3, 1)
    total = net.sum(y, x)
    graph = net.graph(total)
    assert len(with_sums_fused(graph, plain_schedule(graph)).steps) == 3
    refused(replace(graph, outputs=(total, y)))
    refused(Graph(graph.tensors, (*graph.ops[:-1], Op("ADD", (y, y), (total,))), (0,), (total,)))
    steps = plain_schedule(graph).steps
    with pytest.raises(NotApplicable, match="no sum follows"):
        with_sums_fused(graph, Schedule((*steps[:-1], replace(steps[-1], core=1))))
    other = Op("ADD", (y, x), (net.add(net.tensors[total]),))
    refused(Graph(tuple(net.tensors), (*graph.ops, other), (0,), (total, other.outputs[0])))
    deep = net.conv(x, 0, 3, 1)
    refused(net.graph(net.sum(x, deep)))
    constant = net.add(replace(net.tensors[x], data=np.ones((1, 9, 7, 5), np.int8)))
    refused(net.graph(net.sum(net.conv(x, 5, 3, 1), constant)))


def test_a_sum_that_repeats_what_it_adds_stays() -> None:
    net = Network(1, 1, 5)
    y = net.conv(net.conv(0, 5, 1, 1), 5, 1, 1)
    wide = net.add(replace(net.tensors[y], shape=(1, 3, 3, 5)))
    refused(Graph(
        (*net.tensors, replace(net.tensors[wide], name="sum")),
        (*net.ops, Op("ADD", (y, wide), (wide + 1,))), (0, wide), (wide + 1,),
    ))  # fmt: skip


def test_only_int8_convolutions_add_to_their_results() -> None:
    graph = block()
    for dtype in ("float32", "int16"):
        other = replace(
            graph,
            tensors=tuple(
                replace(one, dtype=dtype) if one.data is None else one for one in graph.tensors
            ),
        )
        refused(other)
    real = tuple(
        replace(
            one,
            dtype="float32",
            quantization=None,
            data=None if one.data is None else one.data.astype(np.float32),
        )
        for one in graph.tensors
    )
    floats = replace(graph, tensors=real)
    with pytest.raises(UnsupportedOp, match="float32 kernel computes no fused ADD"):
        generate(floats, together(floats))


def with_zeros(graph: Graph) -> Graph:
    """The network with nine of ten weights zero, and two values for the others."""
    dice = np.random.default_rng(3)
    tensors = tuple(
        one
        if one.data is None or one.dtype != "int8"
        else replace(
            one, data=dice.choice([0, -90, 90], one.shape, p=(0.9, 0.05, 0.05)).astype(np.int8)
        )
        for one in graph.tensors
    )
    return replace(graph, tensors=tensors)


@pytest.mark.parametrize(
    "change",
    [
        with_blocks,
        with_pairs,
        with_winograd,
        with_expanded_weights,
        with_skipped_zeros,
        lambda graph, schedule: with_strassen(graph, schedule, least_depth=8),
    ],
)
def test_faster_kernels_leave_the_sum_to_a_step_of_its_own(
    change: Callable[[Graph, Schedule], Schedule],
) -> None:
    net = Network(8, 8, 4)
    x = net.conv(0, 32, 1, 1)
    k = 1 if change not in (with_winograd,) else 3
    x = net.sum(net.conv(net.conv(x, 32, 3, 1), 32, k, 1), x)
    graph = with_zeros(net.graph(net.conv(x, 32, 3, 1)))
    plain = plain_schedule(graph)
    fused = with_sums_fused(graph, plain)
    assert len(fused.steps) == len(plain.steps) - 1
    assert change(graph, fused) == change(graph, plain)


def test_zeros_that_do_not_pay_leave_a_sum_fused() -> None:
    net = Network(8, 8, 4)
    x = net.conv(0, 8, 3, 1)
    x = net.sum(net.conv(net.conv(x, 8, 3, 1), 8, 3, 1), x)
    flat = net.add(replace(net.tensors[x], shape=(1, 512)))
    net.ops.append(Op("RESHAPE", (x,), (flat,)))
    w = net.add(tensor((4, 512), "int8", 0.01, data=np.ones((4, 512))))
    y = net.add(tensor((1, 4), "int8", 9.0, 2))
    net.ops.append(Op("FULLY_CONNECTED", (flat, w, -1), (y,)))
    graph = with_zeros(net.graph(y))
    fused = with_sums_fused(graph, plain_schedule(graph))
    skipped = with_skipped_zeros(graph, fused)
    assert skipped.steps[:-1] == fused.steps[:-1]
    assert skipped.steps[-1].kernel == Sparse()


def test_what_cannot_be_faster_stays_fused() -> None:
    net = Network(9, 7, 4)
    x = net.conv(0, 8, 3, 1)
    net.sum(net.conv(net.conv(x, 8, 3, 1), 8, 3, 1), x)
    conv = net.ops[2]
    net.ops[2] = replace(conv, options={**conv.options, "dilation_h_factor": 2})
    graph = net.graph(len(net.tensors) - 1)
    fast = with_blocks(graph, with_sums_fused(graph, plain_schedule(graph)))
    assert [len(step.ops) for step in fast.steps] == [1, 1, 2]
    check(graph, fast, CORES[:1])


def test_room_is_spent_on_fused_convolutions_too() -> None:
    graph = residuals()
    fused = with_sums_fused(graph, plain_schedule(graph))
    assert len(with_room(graph, fused, 1 << 14, dsp=True).steps) == len(fused.steps) + 2
    tight = with_room(graph, fused, 600, dsp=True)
    assert generate(graph, tight).arena_bytes <= generate(graph, fused).arena_bytes + 600
    for schedule in (tight, with_room(graph, fused, 1 << 14, dsp=True)):
        check(graph, schedule, CORES[:1])


def test_fused_sums_compose_with_what_stands_before_and_behind() -> None:
    graph = residuals()
    plain = plain_schedule(graph)
    fused = with_sums_fused(graph, plain)
    within = with_steps_in_place(graph, plain)
    with pytest.raises(NotApplicable, match="no sum follows a plain int8 convolution"):
        with_sums_fused(graph, with_blocks(graph, plain))
    stored = Weights(memory="sram")
    check(graph, Schedule(tuple(replace(step, weights=stored) for step in fused.steps)), CORES[:1])
    changed = with_sums_fused(graph, within)
    assert generate(graph, changed).arena_bytes < generate(graph, within).arena_bytes
    check(graph, changed)


def test_sums_behind_patches_are_fused() -> None:
    net = Network(20, 12, 4)
    x = net.conv(0, 16, 3, 1)
    total = net.sum(net.conv(net.conv(x, 4, 1, 1), 16, 3, 1), x)
    graph = net.graph(net.conv(total, 4, 3, 2))
    regions = [Region(0, 4, patches=5, keep=True)]
    patched, stripes = with_regions(graph, plain_schedule(graph), regions)
    fused = with_sums_fused(patched, stripes)
    assert generate(patched, fused).arena_bytes < generate(patched, stripes).arena_bytes
    check_memory(patched, fused)
    x_ = samples(graph)
    expected = computed(graph, plain_schedule(graph), x_)
    np.testing.assert_array_equal(computed(patched, fused, x_), expected)


@pytest.mark.parametrize("coding", ["shared", "huffman", "ans"])
@pytest.mark.everyday(1)
def test_coded_weights_are_decoded_for_fused_convolutions(coding: str) -> None:
    graph = with_zeros(residuals())
    fused = with_sums_fused(graph, plain_schedule(graph))
    coded = with_coded_weights(graph, fused, coding)  # type: ignore[arg-type]
    assert [step.ops for step in coded.steps] == [step.ops for step in fused.steps]
    before = with_coded_weights(graph, plain_schedule(graph), coding)  # type: ignore[arg-type]
    assert with_sums_fused(graph, before) == coded
    check(graph, coded, CORES[:1])


def test_two_cores_add_a_half_each() -> None:
    net = Network(12, 10, 3)
    x = net.conv(0, 8, 3, 1)
    graph = net.graph(net.sum(net.conv(net.conv(x, 8, 3, 1), 8, 3, 1), x))
    fused = with_sums_fused(graph, plain_schedule(graph))
    new, halves = with_two_cores(graph, fused)
    kinds = [[new.ops[index].kind for index in step.ops] for step in halves.steps]
    assert kinds.count(["CONV_2D", "PAD", "ADD"]) == 2
    check_memory(new, halves)
    x_ = samples(graph)
    expected = computed(graph, plain_schedule(graph), x_)
    np.testing.assert_array_equal(computed(new, halves, x_), expected)
    target = load_target("rp2040")
    ran = run(link(generate(new, halves), target), target, x_, simulate_memory=False)
    np.testing.assert_array_equal(np.asarray(ran.outputs).reshape(expected.shape), expected)


def test_a_pad_before_a_fused_convolution_is_seen_to() -> None:
    net = Network(9, 7, 4)
    x = net.conv(0, 5, 3, 1)
    a = net.conv(x, 5, 3, 1)
    padded = net.add(replace(net.tensors[a], shape=(1, 11, 9, 5)))
    sides = net.add(tensor((4, 2), "int32", data=[[0, 0], [1, 1], [1, 1], [0, 0]]))
    net.ops.append(Op("PAD", (a, sides), (padded,)))
    graph = net.graph(net.sum(x, net.conv(padded, 5, 3, 1, "VALID")))
    fused = fuse(graph, plain_schedule(graph))
    assert fused.steps[-1].ops == (3, 2, 4)
    check(graph, fused, CORES)
    parted = with_blocks(graph, fused)
    assert [step.ops for step in parted.steps] == [(0,), (1,), (3, 2), (4,)]
    check(graph, parted)
