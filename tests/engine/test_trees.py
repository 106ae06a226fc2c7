"""Ops that are together a function of one byte become one step, and others do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from build import tensor, tflm
from elementwise import BYTES, Tree, drawn_tree

from autotiny.engine import fuse, generate, plain_schedule
from autotiny.engine.stripes import with_patches, with_two_cores
from autotiny.errors import NotApplicable, UnsupportedOp
from autotiny.firmware import build_host, link
from autotiny.graph import Array, Graph, Op, Tensor
from autotiny.schedule import Schedule, Step
from autotiny.simulator import run
from autotiny.target import load_target
from autotiny.tflite import write_tflite


def joined(graph: Graph) -> list[tuple[int, ...]]:
    """The ops of each step, once all that can be is fused."""
    try:
        return [step.ops for step in fuse(graph, plain_schedule(graph)).steps]
    except NotApplicable:
        return [step.ops for step in plain_schedule(graph).steps]


def test_whatever_tree_is_one_step() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        graph = drawn_tree(rng)
        assert joined(graph) == [tuple(range(len(graph.ops)))], str(graph)


def silu() -> Graph:
    tree = Tree()
    tree.silu()
    return tree.graph()


def h_swish() -> Graph:
    tree = Tree()
    gate = tree.add("ADD", 0, tree.number(100), fused_activation_function="RELU6")
    tree.add("MUL", 0, tree.add("MUL", gate, tree.number(11)))
    return tree.graph()


def of_two_branches() -> Graph:
    """Neither branch can be joined with the product without the other one."""
    tree = Tree()
    left = tree.add("LOGISTIC", 0, scale=1 / 256, zero=-128)
    tree.add("MUL", left, tree.add("TANH", 0, scale=1 / 128, zero=0))
    return tree.graph()


def of_a_value_that_is_read_twice() -> Graph:
    """The first product can be joined only when the last sum is there."""
    tree = Tree()
    left = tree.add("RELU", 0)
    product = tree.add("MUL", left, tree.add("TANH", 0, scale=1 / 128, zero=0))
    tree.add("ADD", product, tree.add("MUL", left, left))
    return tree.graph()


def behind_a_relu() -> Graph:
    """Two ops read what the first one makes, and both are joined with it."""
    tree = Tree()
    tree.silu(tree.add("RELU", 0))
    return tree.graph()


def of_numbers_that_are_compared() -> Graph:
    """Alone, neither the first op nor the last one would take a table."""
    tree = Tree()
    x = tree.add("MAXIMUM", 0, tree.number(-50, 0.05, 3), scale=0.05, zero=3)
    tree.add("QUANTIZE", x)
    return tree.graph()


@pytest.mark.parametrize(
    "made",
    [
        of_numbers_that_are_compared,
        silu,
        h_swish,
        of_two_branches,
        of_a_value_that_is_read_twice,
        behind_a_relu,
    ],
)
@pytest.mark.everyday(2)
def test_a_function_of_one_tensor_is_one_step(made: Callable[[], Graph]) -> None:
    graph = made()
    assert joined(graph) == [tuple(range(len(graph.ops)))]
    (expected,) = tflm(write_tflite(graph), BYTES)
    sources = generate(graph, fuse(graph, plain_schedule(graph)))
    assert sources.arena_bytes == 256  # the output lies over the input
    found = build_host(sources).predict([BYTES[None]])
    np.testing.assert_array_equal(found.reshape(-1), expected.reshape(-1))
    for name in ("stm32l4r5", "stm32g0b1", "esp32c3"):
        target = load_target(name)
        report = run(link(sources, target), target, [BYTES[None]], repeats=1, simulate_memory=False)
        np.testing.assert_array_equal(np.asarray(report.outputs).reshape(-1), expected.reshape(-1))


def test_what_others_read_stays() -> None:
    tree = Tree()
    y = tree.silu()
    assert joined(tree.graph(y)) == [(0, 1)]
    assert joined(tree.graph(y, 1)) == [(0,), (1,)]  # the network gives it out
    tree.tensors.append(tensor((1, 1, 16, 16), "int8", 1 / 256, -128))
    tree.ops.append(Op("RESHAPE", (1,), (len(tree.tensors) - 1,)))
    assert joined(tree.graph(y, y + 1)) == [(0,), (1,), (2,)]


def test_a_tensor_that_others_read_too_may_be_the_source() -> None:
    tree = Tree()
    x = tree.add("RELU", 0)
    y = tree.silu(x)
    assert joined(tree.graph(x, y)) == [(0,), (1, 2)]


def test_two_tensors_are_no_byte() -> None:
    tree = Tree()
    other = len(tree.tensors)
    tree.tensors.append(tensor((1, 256), "int8", 0.04, 2))
    tree.add("MUL", tree.add("LOGISTIC", 0, scale=1 / 256, zero=-128), other)
    graph = replace(tree.graph(), inputs=(0, other))
    assert joined(graph) == [(0,), (1,)]
    with pytest.raises(UnsupportedOp, match=r"LOGISTIC.*with MUL it is no function of one int8"):
        generate(graph, Schedule((Step((0, 1)),)))


def test_a_pooling_is_no_function_of_an_element() -> None:
    tree = Tree(1, 16, 16, 1)
    sizes = {"stride_h": 1, "stride_w": 1, "filter_height": 1, "filter_width": 1}
    pooled = tree.add("MAX_POOL_2D", tree.add("RELU", 0), padding="VALID", **sizes)
    tree.add("RELU", pooled)
    graph = tree.graph()
    assert joined(graph) == [(0,), (1,), (2,)]
    with pytest.raises(UnsupportedOp, match="its int8 kernel computes no fused MAX_POOL_2D"):
        generate(graph, Schedule((Step((0, 1)), Step((2,)))))


def test_a_sum_is_not_computed_without_what_is_fused_into_it() -> None:
    tree = Tree()
    tree.add("RELU", tree.add("ADD", 0, tree.number(3, size=256)))
    with pytest.raises(UnsupportedOp, match="with RELU it is no function of one int8 tensor"):
        generate(tree.graph(), Schedule((Step((0, 1)),)))


def test_behind_what_two_tensors_make_a_tree_is_joined() -> None:
    tree = Tree()
    other = len(tree.tensors)
    tree.tensors.append(tensor((1, 256), "int8", 0.04, 2))
    tree.silu(tree.add("ADD", 0, other))
    assert joined(replace(tree.graph(), inputs=(0, other))) == [(0,), (1, 2)]


def test_constants_are_single_numbers() -> None:
    tree = Tree()
    tree.add("RELU", tree.add("ADD", 0, tree.number(3, size=256)))
    assert joined(tree.graph()) == [(0,), (1,)]


def test_a_number_may_be_made_of_others() -> None:
    tree = Tree()
    tree.tensors.append(tensor((1,), "float32", data=[0.7]))
    tree.shape = (1,)
    number = tree.add("QUANTIZE", len(tree.tensors) - 1)
    tree.shape = (1, 256)
    tree.add("MUL", tree.add("RELU", 0), number)
    graph = tree.graph()
    assert joined(graph) == [(0,), (1, 2)]
    (expected,) = tflm(write_tflite(graph), BYTES)
    found = build_host(generate(graph, fuse(graph, plain_schedule(graph)))).predict([BYTES[None]])
    np.testing.assert_array_equal(found.reshape(-1), expected.reshape(-1))


def test_rows_by_columns_are_no_function_of_an_element() -> None:
    tree = Tree(1, 4, 1)
    tree.shape = (1, 1, 4)
    gate = tree.add("LOGISTIC", 0, scale=1 / 256, zero=-128)
    tree.shape = (1, 4, 4)
    tree.add("MUL", 0, gate)
    assert joined(tree.graph()) == [(0,), (1,)]


def with_tensor(graph: Graph, index: int, one: Tensor) -> Graph:
    return replace(graph, tensors=(*graph.tensors[:index], one, *graph.tensors[index + 1 :]))


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_only_int8_is_a_byte(dtype: Any) -> None:
    graph = silu()
    scales = {"int16": (0.001, 1 / 32768, 0.001)}.get(dtype, (None,) * 3)
    for index, one in enumerate(scales):
        graph = with_tensor(graph, index, tensor((1, 256), dtype, one))
    assert joined(graph) == [(0,), (1,)]
    # from int16 to int8
    tree = Tree()
    tree.silu(tree.add("QUANTIZE", 0))
    graph = with_tensor(tree.graph(), 0, tensor((1, 256), "int16", 0.001))
    assert joined(graph) == [(0,), (1, 2)]


def test_steps_that_are_not_plain_stay() -> None:
    graph = silu()
    for changed in (Step((0,), core=1), Step((0,), in_place=True)):
        for steps in ((changed, Step((1,))), (Step((0,)), replace(changed, ops=(1,)))):
            with pytest.raises(NotApplicable, match="no ops make one function of an int8 tensor"):
                fuse(graph, Schedule(steps))


def test_a_joined_step_stands_where_its_last_op_stood() -> None:
    tree = Tree()
    y = tree.silu()
    early = tree.add("RELU", 0)
    graph = tree.graph(y, early)
    steps = tuple(Step((index,)) for index in (0, 2, 1))
    assert [step.ops for step in fuse(graph, Schedule(steps)).steps] == [(2,), (0, 1)]


# With other schedules


def image() -> Graph:
    """SiLU and h-swish between convolutions and poolings of (1, 40, 32, 4)."""
    tree = Tree(1, 40, 32, 4)
    x = tree.silu()
    options: dict[str, Any] = {
        "padding": "VALID", "stride_h": 2, "stride_w": 2, "filter_height": 2, "filter_width": 2,
    }  # fmt: skip
    tree.shape = (1, 20, 16, 4)
    x = tree.add("MAX_POOL_2D", x, **options)
    gate = tree.add("ADD", x, tree.number(100), fused_activation_function="RELU6")
    tree.add("MUL", x, gate)
    return tree.graph()


def predicted(graph: Graph, schedule: Schedule) -> Array:
    values = np.random.default_rng(3).integers(-128, 128, graph.tensors[0].shape, np.int8)
    return build_host(generate(graph, schedule)).predict([values])


def kinds(graph: Graph, schedule: Schedule) -> list[str]:
    return ["+".join(graph.ops[index].kind for index in step.ops) for step in schedule.steps]


def test_stripes_have_their_trees_joined() -> None:
    graph = image()
    plain = plain_schedule(graph)
    cut, schedule = with_patches(graph, plain, patches=4)
    found = fuse(cut, schedule)
    assert kinds(cut, found).count("LOGISTIC+MUL") == 4
    np.testing.assert_array_equal(predicted(cut, found), predicted(graph, plain))


def test_a_joined_step_is_divided_between_cores() -> None:
    graph = image()
    fused = fuse(graph, plain_schedule(graph))
    cut, schedule = with_two_cores(graph, fused)
    found = zip(kinds(cut, schedule), (step.core for step in schedule.steps), strict=True)
    assert [core for name, core in found if name == "LOGISTIC+MUL"] == [0, 1]
    np.testing.assert_array_equal(predicted(cut, schedule), predicted(graph, fused))
