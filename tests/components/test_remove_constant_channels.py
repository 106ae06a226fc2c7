"""Constant channels go, and not one stored value of a result changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build import tensor, tflm
from grid import Case, build
from planted import ZERO, How, Net, planted

from autotiny.components import COMPONENTS, Work
from autotiny.components.tflite._bounds import bounds_of
from autotiny.components.tflite.remove_constant_channels import (
    RemoveConstantChannels,
    without_constant_channels,
)
from autotiny.engine import schedule_for
from autotiny.errors import NotApplicable
from autotiny.graph import Array, Graph
from autotiny.model import Model, copy_network, keras_model, successor
from autotiny.tflite import write_tflite


def samples(graph: Graph, count: int = 12, seed: int = 0) -> list[Array]:
    """Inputs over their whole range, the first two of one value."""
    one = graph.tensors[graph.inputs[0]]
    limits = np.iinfo(one.dtype)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(limits.min, limits.max + 1, (count, *one.shape)).astype(one.dtype)
    drawn[0], drawn[1] = limits.min, limits.max
    drawn[2] = rng.choice([limits.min, limits.max], one.shape)
    return list(drawn)


def assert_same(before: Graph, after: Graph) -> None:
    """Two graphs compute the same, in TensorFlow Lite Micro."""
    models = [write_tflite(graph) for graph in (before, after)]
    for x in samples(before):
        outputs = [tflm(model, x, outputs=len(before.outputs)) for model in models]
        for a, b in zip(*outputs, strict=True):
            np.testing.assert_array_equal(a, b)


def left(graph: Graph, multiple: int = 1) -> list[int]:
    """How many channels the results of layers still have, once the results were compared."""
    after = without_constant_channels(graph, multiple)
    assert_same(graph, after)
    layers = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    return [after.tensors[op.outputs[0]].shape[-1] for op in after.ops if op.kind in layers]


# Layers


@pytest.mark.parametrize(
    ("how", "activation"),
    [
        ("zero weights", "NONE"), ("zero weights", "RELU"), ("closed ReLU", "RELU"),
        ("closed ReLU", "RELU6"), ("saturated", "NONE"), ("saturated", "RELU6"),
    ],
)  # fmt: skip
def test_constant_channels_go_whatever_made_them(how: How, activation: str) -> None:
    net = Net()
    y = planted(net, how=how, activation=activation, window=3, padding="SAME")
    assert left(net.graph(net.layer(y, 4))) == [5, 4]


@pytest.mark.parametrize("value", [-20, ZERO, 90])
def test_what_a_constant_adds_is_in_the_bias(value: int) -> None:
    net = Net()
    graph = net.graph(net.layer(planted(net, value=value), 4, window=2))
    assert left(graph) == [5, 4]


def test_a_layer_without_a_bias_gets_one() -> None:
    net = Net()
    graph = net.graph(net.layer(planted(net, value=50), 4, bias=False))
    assert left(graph) == [5, 4]
    last = without_constant_channels(graph, 1).ops[-1]
    assert len(last.inputs) == 3
    net = Net()
    graph = net.graph(net.layer(planted(net), 4, bias=False))
    assert len(without_constant_channels(graph, 1).ops[-1].inputs) == 2


@pytest.mark.parametrize(
    ("value", "padding", "channels"),
    [(ZERO, "SAME", 5), (40, "SAME", 8), (40, "VALID", 5)],
)
def test_outside_the_input_lies_a_zero(value: int, padding: str, channels: int) -> None:
    net = Net()
    y = planted(net, value=value)
    assert left(net.graph(net.layer(y, 4, window=3, padding=padding)))[0] == channels


@pytest.mark.parametrize(
    ("stride", "blank", "channels"), [(2, (), 8), (2, (2,), 6), (1, (2,), 8), (1, (0, 2), 6)]
)
def test_taps_that_stay_inside_or_weigh_nothing_do_not_see_it(
    stride: int, blank: tuple[int, ...], channels: int
) -> None:
    net = Net()
    y = planted(net, value=40)  # 6 × 6: at stride 2 a window of 3 leaves it at the end alone
    graph = net.graph(net.layer(y, 4, window=3, stride=stride, padding="SAME"))
    weights = graph.tensors[graph.ops[-1].inputs[1]].data
    assert weights is not None
    for tap in blank:
        weights[:, tap, :, [1, 4]] = weights[:, :, tap, [1, 4]] = 0
    assert left(graph)[0] == channels


def test_a_sum_that_may_wrap_is_no_saturated_one() -> None:
    counts = []
    for room in (0, 1 << 20):
        net = Net()
        y = net.layer(net.input(1, 4, 4, 3), 8)
        weights, bias = (net.tensors[index].data for index in net.ops[-1].inputs[1:])
        assert weights is not None
        assert bias is not None
        weights[3], bias[3] = 127, (1 << 31) - 1 - room
        counts.append(left(net.graph(net.layer(y, 4)))[0])
    assert counts == [8, 7]


def test_a_bias_stays_in_its_type() -> None:
    counts = []
    for room in (0, 1 << 20):
        net = Net()
        graph = net.graph(net.layer(planted(net, value=127), 4, activation="RELU6"))
        weights, bias = (graph.tensors[index].data for index in graph.ops[-1].inputs[1:])
        assert weights is not None
        assert bias is not None
        weights[0, ..., 1] = 127
        bias[0] = (1 << 31) - 1 - room
        after = without_constant_channels(graph, 1)
        counts.append(after.tensors[after.ops[0].outputs[0]].shape[-1])
    assert counts == [8, 5]


def test_what_nobody_reads_goes_though_it_changes() -> None:
    net = Net()
    x = net.input(1, 5, 5, 3)
    y = net.layer(x, 8)
    assert left(net.graph(net.layer(y, 4, window=3, padding="SAME", unread=(0, 2, 7)))) == [5, 4]


def test_what_only_constant_channels_read_goes_too() -> None:
    net = Net()
    first = net.layer(net.input(1, 5, 5, 3), 8)
    second = net.layer(first, 8, unread=(0, 2, 7))
    weights = net.tensors[net.ops[-1].inputs[1]].data
    assert weights is not None
    weights[6, ..., [0, 2]] = 100  # the only one that reads them, and saturated
    bias = net.tensors[net.ops[-1].inputs[2]].data
    assert bias is not None
    bias[6] = 1 << 24
    assert left(net.graph(net.layer(second, 4))) == [5, 7, 4]


@pytest.mark.parametrize(
    ("multiple", "channels"), [(1, 7), (2, 8), (3, 9), (4, 8), (5, 10), (64, 10)]
)
def test_as_many_stay_as_the_kernels_take_at_once(multiple: int, channels: int) -> None:
    net = Net()
    y = net.layer(net.input(1, 4, 4, 2), 10, constant=(0, 5, 9), value=20)
    assert left(net.graph(net.layer(y, 3)), multiple)[0] == channels


@pytest.mark.parametrize(("multiple", "channels"), [(1, 1), (4, 4)])
def test_a_layer_keeps_a_channel(multiple: int, channels: int) -> None:
    net = Net()
    y = net.layer(net.input(1, 4, 4, 2), 8, constant=range(8), value=20)
    assert left(net.graph(net.layer(y, 3)), multiple)[0] == channels


@pytest.mark.parametrize("per_channel", [True, False], ids=["a scale each", "one scale"])
def test_dense_layers(per_channel: bool) -> None:
    net = Net()
    x = net.input(1, 9)
    y = net.layer(
        x, 8, kind="FULLY_CONNECTED", constant=(1, 4, 5), value=-60, per_channel=per_channel
    )
    y = net.layer(y, 6, kind="FULLY_CONNECTED", per_channel=per_channel)
    assert left(net.graph(y)) == [5, 6]


def test_a_dense_layer_keeps_the_rounding_of_several_scales() -> None:
    net = Net()
    y = net.layer(net.input(1, 9), 4, kind="FULLY_CONNECTED", constant=(0, 1, 3), value=9)
    assert left(net.graph(net.layer(y, 6, kind="FULLY_CONNECTED"))) == [2, 6]


@pytest.mark.parametrize("window", [1, 3])
def test_a_depthwise_convolution_goes_with_its_input(window: int) -> None:
    net = Net()
    y = planted(net)
    y = net.layer(y, 8, kind="DEPTHWISE_CONV_2D", window=window, padding="SAME")
    assert left(net.graph(net.layer(y, 4))) == [5, 5, 4]


def test_a_depthwise_convolution_sees_the_border_too() -> None:
    net = Net()
    y = net.layer(planted(net, value=60), 8, kind="DEPTHWISE_CONV_2D", window=3, padding="SAME")
    assert left(net.graph(net.layer(y, 4))) == [8, 8, 4]
    net = Net()
    y = planted(net, value=60)
    y = net.layer(
        y, 8, kind="DEPTHWISE_CONV_2D", window=3, padding="SAME", constant=(1, 5), how="saturated"
    )
    assert left(net.graph(net.layer(y, 4))) == [6, 6, 4]


def test_a_depthwise_convolution_of_several_outputs_a_channel() -> None:
    net = Net()
    y = net.layer(planted(net), 16, kind="DEPTHWISE_CONV_2D", constant=(0, 6, 7))
    # 1, 4 and 5 are constant before, 3 behind; 0 only by half
    assert left(net.graph(net.layer(y, 4))) == [4, 8, 4]


def test_a_depthwise_convolution_of_one_channel_is_free() -> None:
    net = Net()
    y = net.layer(net.input(1, 6, 6, 1), 8, kind="DEPTHWISE_CONV_2D", window=3, constant=(2, 3))
    graph = net.graph(net.layer(y, 4))
    assert left(graph) == [6, 4]
    assert without_constant_channels(graph, 1).ops[0].options["depth_multiplier"] == 6


def test_a_grouped_convolution_keeps_its_groups() -> None:
    net = Net()
    y = planted(net)
    weights = net.add(tensor((4, 1, 1, 4), "int8", [0.01] * 4, data=net.rng.integers(-9, 9, 16)))
    options = {"padding": "VALID", "stride_h": 1, "stride_w": 1}
    y = net.op("CONV_2D", (y, weights), tensor((1, 6, 6, 4), "int8", 0.1, 0), **options)
    graph = net.graph(net.layer(y, 3))
    assert without_constant_channels(graph, 1) is graph


# What stands between layers


LIKE_INPUT: dict[str, dict[str, Any]] = {
    "RELU": {}, "RELU6": {}, "LEAKY_RELU": {"alpha": 0.3}, "HARD_SWISH": {}, "ELU": {},
}  # fmt: skip
WINDOW = {
    "filter_height": 3, "filter_width": 3, "stride_h": 2, "stride_w": 2, "padding": "SAME",
}  # fmt: skip


def through(net: Net, y: int, kind: str) -> int:
    """One op on (1, 6, 6, 8)."""
    one = net.tensors[y]
    q = one.quantization
    assert q is not None
    if kind in LIKE_INPUT:
        return net.each(kind, y, **LIKE_INPUT[kind])
    if kind in ("LOGISTIC", "TANH"):
        fixed = (1 / 256, -128) if kind == "LOGISTIC" else (1 / 128, 0)
        return net.op(kind, (y,), tensor(one.shape, "int8", *fixed))
    if kind == "QUANTIZE":
        return net.op(kind, (y,), tensor(one.shape, "int8", q.scale * 1.7, -9))
    if kind.endswith("POOL_2D"):
        return net.op(kind, (y,), replace(one, shape=(1, 3, 3, 8)), **WINDOW)
    if kind in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"):
        data = net.rng.integers(-30, 30, 8)
        same = kind in ("MAXIMUM", "MINIMUM")
        other = tensor((8,), "int8", q.scale if same else 0.02, ZERO if same else 7, data=data)
        result = one if same else tensor(one.shape, "int8", q.scale * 1.2, 11)
        return net.op(kind, (y, net.add(other)), result)
    if kind == "MEAN":
        axes = net.add(tensor((2,), "int32", data=[1, 2]))
        result = tensor((1, 1, 1, 8), "int8", q.scale * 0.7, -20)
        return net.op(kind, (y, axes), result, keep_dims=True)
    if kind in ("PAD", "PADV2"):
        sides = [net.add(tensor((4, 2), "int32", data=[0, 0, 1, 0, 2, 1, 0, 0]))]
        if kind == "PADV2":
            sides.append(net.add(tensor((1,), "int8", q.scale, ZERO, data=[77])))
        return net.op(kind, (y, *sides), replace(one, shape=(1, 7, 9, 8)))
    assert kind == "RESIZE_NEAREST_NEIGHBOR"
    size = net.add(tensor((2,), "int32", data=[12, 12]))
    return net.op(kind, (y, size), replace(one, shape=(1, 12, 12, 8)))


BETWEEN = (
    *LIKE_INPUT, "LOGISTIC", "TANH", "QUANTIZE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "ADD", "MUL",
    "MAXIMUM", "MINIMUM", "MEAN", "PADV2",
)  # fmt: skip


@pytest.mark.parametrize("kind", BETWEEN)
def test_constants_are_followed_through(kind: str) -> None:
    net = Net()
    graph = net.graph(net.layer(through(net, planted(net, value=77), kind), 4))
    assert left(graph) == [5, 4]


@pytest.mark.parametrize("kind", ["MAX_POOL_2D", "AVERAGE_POOL_2D"])
def test_a_pooling_may_clamp(kind: str) -> None:
    net = Net()
    y = planted(net, value=-60)
    one = replace(net.tensors[y], shape=(1, 3, 3, 8))
    y = net.op(kind, (y,), one, **WINDOW, fused_activation_function="RELU")
    assert left(net.graph(net.layer(y, 4))) == [5, 4]


@pytest.mark.parametrize("kind", [*BETWEEN, "SUB", "PAD", "RESIZE_NEAREST_NEIGHBOR"])
def test_what_is_not_read_goes_through_everything(kind: str) -> None:
    net = Net()
    y = through(net, net.layer(net.input(1, 6, 6, 3), 8), kind)
    assert left(net.graph(net.layer(y, 4, unread=(0, 6, 7)))) == [5, 4]


@pytest.mark.parametrize(("kind", "value"), [("PAD", 40), ("PADV2", ZERO)])
def test_a_pad_of_another_value_makes_it_change(kind: str, value: int) -> None:
    net = Net()
    y = through(net, planted(net, value=value), kind)
    assert left(net.graph(net.layer(y, 4))) == [8, 4]


@pytest.mark.parametrize("explicit", [True, False])
def test_columns_of_a_flattened_image(explicit: bool) -> None:
    net = Net()
    y = planted(net, value=30, window=3, padding="SAME")
    if explicit:
        shape = net.add(tensor((2,), "int32", data=[-1, 288]))
        y = net.op(
            "RESHAPE", (y, shape), replace(net.tensors[y], shape=(1, 288)), new_shape=(1, 288)
        )
    graph = net.graph(net.layer(y, 6, kind="FULLY_CONNECTED"))
    assert left(graph) == [5, 6]
    after = without_constant_channels(graph, 1)
    if explicit:
        said = after.tensors[after.ops[1].inputs[1]].data
        assert said is not None
        assert (*said,) == after.ops[1].options["new_shape"] == (1, 180)


def test_a_squeeze_names_what_it_leaves_out() -> None:
    graphs = []
    for options in ({"squeeze_dims": (1, 2)}, {}):
        net = Net()
        y = net.layer(net.input(1, 1, 1, 3), 8, constant=(1, 4, 5), value=30)
        y = net.op("SQUEEZE", (y,), replace(net.tensors[y], shape=(1, 8)), **options)
        graphs.append(net.graph(net.layer(y, 6, kind="FULLY_CONNECTED")))
    assert left(graphs[0]) == [5, 6]
    assert without_constant_channels(graphs[1], 1) is graphs[1]


def test_a_mean_before_a_dense_layer() -> None:
    net = Net()
    y = planted(net, value=30)
    axes = net.add(tensor((2,), "int32", data=[1, 2]))
    y = net.op("MEAN", (y, axes), tensor((1, 8), "int8", 0.05, 9), keep_dims=False)
    assert left(net.graph(net.layer(y, 6, kind="FULLY_CONNECTED"))) == [5, 6]


def test_a_mean_over_channels_keeps_them() -> None:
    net = Net()
    y = net.layer(net.input(1, 6, 8, 3), 8, constant=(1, 4, 5))
    axes = net.add(tensor((1,), "int32", data=[3]))
    y = net.op("MEAN", (y, axes), tensor((1, 6, 8), "int8", 0.1, 9), keep_dims=False)
    assert left(net.graph(net.layer(y, 6, kind="FULLY_CONNECTED"))) == [8, 6]


def test_parts_of_a_concatenation() -> None:
    net = Net()
    x = net.input(1, 6, 6, 3)
    parts = [net.layer(x, n, constant=(0, n - 1), value=5) for n in (4, 6)]
    for index in parts:
        net.tensors[index] = replace(net.tensors[index], quantization=net.tensors[x].quantization)
    one = replace(net.tensors[x], shape=(1, 6, 6, 10))
    y = net.op("CONCATENATION", parts, one, axis=3)
    assert left(net.graph(net.layer(y, 4))) == [2, 4, 4]


@pytest.mark.parametrize(("second", "channels"), [((1, 4, 5), 5), ((1, 7), 7), ((0,), 8)])
def test_images_that_are_joined_go_together(second: tuple[int, ...], channels: int) -> None:
    net = Net()
    x = net.input(1, 6, 6, 3)
    parts = [net.layer(x, 8, constant=which, value=5) for which in ((1, 4, 5), second)]
    for index in parts:
        net.tensors[index] = replace(net.tensors[index], quantization=net.tensors[x].quantization)
    one = replace(net.tensors[x], shape=(1, 12, 6, 8))
    y = net.op("CONCATENATION", parts, one, axis=1)
    assert left(net.graph(net.layer(y, 4))) == [channels, channels, 4]


# Branches


def residual(net: Net, second: Sequence[int], **fields: Any) -> int:
    """The sum of a planted layer and another."""
    x = net.input(1, 6, 6, 3)
    a = net.layer(x, 8, constant=(1, 4, 5), value=-30)
    b = net.layer(x, 8, constant=second, value=70)
    return net.op("ADD", (a, b), tensor((1, 6, 6, 8), "int8", 0.3, 2), **fields)


@pytest.mark.parametrize(("second", "channels"), [((1, 4, 5), 5), ((1, 7), 7), ((0,), 8)])
def test_a_sum_goes_where_both_addends_do(second: tuple[int, ...], channels: int) -> None:
    net = Net()
    y = residual(net, second, fused_activation_function="RELU")
    assert left(net.graph(net.layer(y, 4))) == [channels, channels, 4]


def test_a_sum_with_the_input_keeps_its_channels() -> None:
    net = Net()
    x = net.input(1, 6, 6, 8)
    a = net.layer(x, 8, constant=(1, 4, 5))
    y = net.op("ADD", (a, x), tensor((1, 6, 6, 8), "int8", 0.3, 2))
    assert left(net.graph(net.layer(y, 4))) == [8, 4]


@pytest.mark.parametrize(("padding", "channels"), [("VALID", 5), ("SAME", 8)])
def test_every_reader_must_be_able_to_be_without(padding: str, channels: int) -> None:
    net = Net()
    y = planted(net, value=44)
    readers = net.layer(y, 4), net.layer(y, 3, window=3, padding=padding)
    assert left(net.graph(*readers)) == [channels, 4, 3]


def test_results_keep_their_channels() -> None:
    net = Net()
    y = planted(net, value=44)
    graph = net.graph(net.layer(y, 4), y)
    assert without_constant_channels(graph, 1) is graph


def test_a_shape_that_is_computed_stays() -> None:
    net = Net()
    shape = net.add(tensor((2,), "int32"))
    net.inputs.append(shape)
    y = planted(net)
    y = net.op("RESHAPE", (y, shape), replace(net.tensors[y], shape=(1, 288)))
    graph = net.graph(net.layer(y, 6, kind="FULLY_CONNECTED"))
    assert without_constant_channels(graph, 1) is graph


@pytest.mark.parametrize("kind", ["SOFTMAX", "SPLIT", "TRANSPOSE", "FOREIGN"])
def test_ops_that_are_not_known_keep_their_channels(kind: str) -> None:
    net = Net()
    y = planted(net, value=44)
    others = {
        "TRANSPOSE": tensor((4,), "int32", data=[0, 3, 1, 2]),
        "SPLIT": tensor((), "int32", data=3),
    }
    operands = [y, net.add(others[kind])] if kind in others else [y]
    one = replace(net.tensors[y], shape=(1, 6, 6, 4) if kind == "SPLIT" else (1, 6, 6, 8))
    net.op(kind, operands[::-1] if kind == "SPLIT" else operands, one)
    graph = net.graph(net.layer(len(net.tensors) - 1, 4))
    assert without_constant_channels(graph, 1) is graph


def test_a_repeated_channel_stays() -> None:
    net = Net()
    y = planted(net, value=44)
    gate = net.layer(y, 1, constant=(0,), value=50)
    y = net.op("MUL", (y, gate), tensor((1, 6, 6, 8), "int8", 0.3, 2))
    assert left(net.graph(net.layer(y, 4))) == [5, 1, 4]


def test_a_repeated_channel_beside_a_constant_stays() -> None:
    net = Net()
    gate = net.layer(net.input(1, 6, 6, 3), 1, constant=(0,), value=50)
    other = net.add(tensor((1, 1, 1, 8), "int8", 0.1, 0, data=range(8)))
    y = net.op("ADD", (gate, other), tensor((1, 6, 6, 8), "int8", 0.3, 2))
    graph = net.graph(net.layer(y, 4))
    assert without_constant_channels(graph, 1) is graph


def test_what_claims_to_be_huge_is_left_alone() -> None:
    net = Net()
    y = planted(net)
    huge = net.input(1, 1 << 23)
    graph = net.graph(net.layer(y, 4), net.each("RELU", huge))
    assert without_constant_channels(graph, 1) is graph


# int16


def test_layers_on_int16() -> None:
    net = Net(dtype="int16")
    y = net.layer(net.input(1, 6, 6, 3), 8, constant=(1, 4), value=9000, window=3, padding="SAME")
    bias = net.tensors[net.ops[-1].inputs[2]].data
    assert bias is not None
    bias[5] = 1 << 40  # saturated
    z = net.layer(y, 8, kind="DEPTHWISE_CONV_2D", window=3, constant=(5,), value=-20000)
    graph = net.graph(net.layer(z, 4))
    assert left(graph) == [5, 5, 4]


# Random networks


def random_network(seed: int) -> Graph:
    """Layers and what stands between them, with constant channels of every kind."""
    net = Net(seed)
    rng = net.rng
    y = net.input(1, 9, 8, 3)
    branch: int | None = None
    for _ in range(int(rng.integers(3, 7))):
        shape = net.tensors[y].shape
        channels = shape[3]
        outputs = int(rng.integers(4, 14))
        choice = rng.integers(9)
        window = int(rng.integers(1, 4)) if min(shape[1:3]) > 3 else 1
        fields: dict[str, Any] = {
            "how": ("zero weights", "closed ReLU", "saturated")[rng.integers(3)],
            "activation": ("NONE", "RELU", "RELU6")[rng.integers(3)],
            "padding": ("SAME", "VALID")[rng.integers(2)],
            "window": window,
            "value": (None, int(rng.integers(-100, 100)))[rng.integers(2)],
            "zero": int(rng.integers(-128, 60)),
            "unread": np.flatnonzero(rng.random(channels) < 0.15).tolist(),
        }
        if choice == 0:
            halves = (-(-n // 2) for n in shape[1:3])
            one = replace(net.tensors[y], shape=(1, *halves, channels))
            y = net.op("AVERAGE_POOL_2D", (y,), one, **WINDOW)
        elif choice == 1:
            y = net.each(("RELU", "HARD_SWISH", "ELU")[rng.integers(3)], y)
        elif choice == 2:
            fields.pop("unread")
            constant = np.flatnonzero(rng.random(channels) < 0.4).tolist()
            y = net.layer(y, channels, kind="DEPTHWISE_CONV_2D", constant=constant, **fields)
        elif choice == 3 and branch is not None and net.tensors[branch].shape == shape:
            y = net.op("ADD", (y, branch), tensor(shape, "int8", 0.3, int(rng.integers(-90, 90))))
        else:
            branch = None
            if choice == 4:
                outputs = channels
                fields |= {"padding": "SAME"}
                branch = y
            constant = np.flatnonzero(rng.random(outputs) < 0.4).tolist()
            y = net.layer(y, outputs, constant=constant, **fields)
    return net.graph(net.layer(y, 5, window=1))


SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.everyday(12)
def test_random_networks_stay_the_same(seed: int) -> None:
    graph = random_network(seed)
    for multiple in (1, 4):
        assert_same(graph, without_constant_channels(graph, multiple))


def test_most_random_networks_become_smaller() -> None:
    graphs = [random_network(seed) for seed in SEEDS]
    smaller = [without_constant_channels(graph, 1) is not graph for graph in graphs]
    assert sum(smaller) > 0.8 * len(graphs)


def assert_bounded(graph: Graph) -> None:
    """Every value that is computed lies between its bounds."""
    computed = tuple(op.outputs[0] for op in graph.ops)
    bounds = bounds_of(graph)
    model = write_tflite(replace(graph, outputs=computed))
    for x in samples(graph):
        for index, values in zip(computed, tflm(model, x, outputs=len(computed)), strict=True):
            found = bounds[index]
            assert found is not None
            assert ((found.low <= values) & (values <= found.high)).all()


@pytest.mark.parametrize("seed", range(20))
def test_no_value_leaves_its_bounds(seed: int) -> None:
    assert_bounded(random_network(seed))


@pytest.mark.parametrize("kind", BETWEEN)
def test_no_op_leaves_its_bounds(kind: str) -> None:
    net = Net()
    y = net.layer(net.input(1, 6, 6, 1), 8)
    assert_bounded(net.graph(through(net, y, kind)))


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_the_engine_computes_the_same_in_its_fastest_way(half: int, tmp_path: Path) -> None:
    graphs = [random_network(seed) for seed in range(24)[half::2]]
    pairs = [(graph, without_constant_channels(graph, m)) for graph in graphs for m in (1, 4)]
    cases = [
        Case("", graph, (), schedule=schedule_for(graph, "fastest", dsp=True))
        for pair in pairs
        for graph in pair
    ]
    library = build(cases, tmp_path)
    for k, (graph, _) in enumerate(pairs):
        for x in samples(graph):
            (before,), (after,) = (library.run(2 * k + i, (x,)) for i in (0, 1))
            np.testing.assert_array_equal(before, after)


# The component


def test_a_model_says_what_was_removed(cnn1: Model, work: Work) -> None:
    net = Net()
    graph = net.graph(net.layer(planted(net), 4))
    model = successor(COMPONENTS["int8"]().apply(cnn1, work), graph)
    after = RemoveConstantChannels(1).apply(model, work)
    assert after.notes["constant_channels"] == (
        "3 of 12 channels removed, 2,016 → 1,260 multiplications"
    )
    assert after.notes["number_format"] == "int8"
    rehearsed = RemoveConstantChannels(1).apply(model, replace(work, rehearse=True))
    assert rehearsed.fingerprint == model.fingerprint
    with pytest.raises(NotApplicable, match="has 4 channels that are constant"):
        RemoveConstantChannels(4).apply(model, work)


@pytest.mark.parametrize("lowering", ["int8", "float32"])
def test_nothing_to_remove_is_no_change(lowering: str, cnn1: Model, work: Work) -> None:
    with pytest.raises(NotApplicable, match="prune_channels removes others"):
        RemoveConstantChannels().apply(COMPONENTS[lowering]().apply(cnn1, work), work)


def test_filters_that_training_killed_vanish(residual: Model, work: Work) -> None:
    network = copy_network(residual.keras)
    layer = network.get_layer("point")
    kernel, bias = layer.get_weights()
    kernel[..., [0, 3, 4, 7]] = bias[[0, 3, 4, 7]] = 0
    layer.set_weights([kernel, bias])
    model = COMPONENTS["int8"]().apply(keras_model(network), work)
    after = RemoveConstantChannels().apply(model, work)
    assert str(after.notes["constant_channels"]).startswith("4 of ")
    assert_same(model.graph, after.graph)
