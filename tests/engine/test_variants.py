"""The fast kernels, whatever they change of a schedule, equal TensorFlow Lite Micro bit for bit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from build import tensor, tflm
from c_structs import misordered

from autotiny.engine import (
    Sources,
    fuse,
    generate,
    plain_schedule,
    schedule_for,
    with_blocks,
    with_expanded_weights,
    with_least_memory,
    with_pairs,
    with_room,
    with_strassen,
    with_winograd,
)
from autotiny.engine.kernel import Site
from autotiny.engine.variants import slide
from autotiny.engine.variants.blocks import EXPANDED, Blocks
from autotiny.engine.variants.lines import Lines
from autotiny.engine.variants.pairs import Pairs
from autotiny.engine.variants.planes import Planes
from autotiny.engine.variants.row_pairs import RowPairs
from autotiny.engine.variants.slide import Slide
from autotiny.engine.variants.strassen import Strassen
from autotiny.engine.variants.strip import Strip
from autotiny.engine.variants.trios import Trios
from autotiny.engine.variants.winograd import Winograd
from autotiny.errors import NotApplicable
from autotiny.firmware import build_host, link
from autotiny.graph import Array, Graph, Op, Option, Quantization
from autotiny.schedule import Plain, Schedule, Way, Weights
from autotiny.simulator import run
from autotiny.target import Target, load_target
from autotiny.tflite import write_tflite

CORES = ("stm32l4r5", "stm32h7a3")
ALL_DSP = (*CORES, "stm32u575")  # M4, M7, M33
SIMPLE_CORES = ("stm32g0b1", "stm32f103", "esp32c3")  # M0+, M3, RV32
EVERY_CORE = bool(os.environ.get("AUTOTINY_EVERY_CORE"))
"""Whether each case runs on all cores, as `make slow` lets it; else on one of each kind in turn."""


def half(cases: Sequence[Any]) -> list[Any]:
    """Every second case; the others are slow."""
    return [
        pytest.param(case, marks=pytest.mark.slow) if place % 2 else case
        for place, case in enumerate(cases)
    ]


@dataclass(frozen=True)
class Layer:
    """A convolution, depthwise convolution or dense layer over (height, width, channels)."""

    kind: str
    shape: tuple[int, int, int]
    channels: int
    window: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"
    activation: str = "RELU"
    pool: bool = False
    spread: float = 40.0  # standard deviation of the weights
    rows: int = 1  # of a dense layer

    def __str__(self) -> str:
        size = "x".join(map(str, (*self.shape, self.channels)))
        window = "x".join(map(str, (*self.window, self.stride)))
        return f"{self.kind}-{size}-{window}-{self.padding}-{self.activation}"

    def graph(self) -> Graph:
        dice = np.random.default_rng(crc32(repr(self).encode()))
        dense, depthwise = self.kind == "FULLY_CONNECTED", self.kind == "DEPTHWISE_CONV_2D"
        h, w, c = self.shape
        (k_h, k_w), n = self.window, self.channels
        weights_shape = (
            (n, h * w * c) if dense else (1, k_h, k_w, n) if depthwise else (n, k_h, k_w, c)
        )
        weights = np.clip(dice.normal(0, self.spread, weights_shape), -127, 127).round()
        scales = dice.uniform(0.002, 0.02, 1 if dense else n)
        taps = k_h * k_w * (1 if depthwise else h * w * c if dense else c)
        in_scale, out_scale = 0.03, 0.03 * float(scales.mean()) * self.spread * 2 * taps**0.5
        in_zero = int(dice.integers(-128, 128))
        relu = self.activation != "NONE"
        x = tensor(
            (self.rows, h * w * c) if dense else (1, h, w, c), "int8", in_scale, in_zero, name="x"
        )
        filters = tensor(
            weights_shape, "int8", scales, axis=3 if depthwise else 0, data=weights, name="w"
        )
        bias = tensor(
            (n,),
            "int32",
            scales * in_scale,
            [0] * len(scales),
            data=dice.integers(-20000, 20000, n),
            name="b",
        )
        if self.padding == "SAME":
            rows, columns = -(-h // self.stride), -(-w // self.stride)
        else:
            rows, columns = (h - k_h) // self.stride + 1, (w - k_w) // self.stride + 1
        out_shape = (self.rows, n) if dense else (1, rows, columns, n)
        quantization = (out_scale, -128 if relu else int(dice.integers(-40, 40)))
        y = tensor(out_shape, "int8", *quantization, name="y")
        options: dict[str, Option] = {"fused_activation_function": self.activation}
        if not dense:
            options |= {"stride_h": self.stride, "stride_w": self.stride, "padding": self.padding}
            options |= {"dilation_h_factor": 1, "dilation_w_factor": 1}
        if depthwise:
            options["depth_multiplier"] = n // c
        ops = [Op(self.kind, (0, 1, 2), (3,), options)]
        tensors = [x, filters, bias, y]
        if self.pool:
            pooled = (1, rows // 2, columns // 2, n)
            tensors.append(tensor(pooled, "int8", *quantization, name="pooled"))
            names = ("stride_h", "stride_w", "filter_height", "filter_width")
            pool: dict[str, Option] = dict.fromkeys(names, 2)
            pool |= {"padding": "VALID", "fused_activation_function": "NONE"}
            ops.append(Op("MAX_POOL_2D", (3,), (4,), pool))
        return Graph(tuple(tensors), tuple(ops), (0,), (len(tensors) - 1,))


CONV, DEPTHWISE, DENSE = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"
BLOCKED = (
    Layer(CONV, (5, 5, 8), 16),
    Layer(CONV, (3, 3, 20), 6, activation="NONE"),
    Layer(CONV, (1, 7, 36), 12, activation="RELU6"),
    Layer(CONV, (4, 4, 64), 4, activation="NONE"),
    Layer(CONV, (9, 7, 3), 8, (3, 3), stride=2),
    Layer(CONV, (6, 6, 16), 10, (3, 3), padding="VALID", activation="NONE"),
    Layer(CONV, (12, 5, 1), 8, (10, 4), stride=2),
    Layer(CONV, (8, 8, 12), 8, (1, 1), stride=2, activation="NONE"),
    Layer(CONV, (9, 9, 1), 5, (3, 3), padding="VALID"),
    Layer(CONV, (7, 6, 1), 4, (3, 3), stride=2, activation="NONE"),
    Layer(CONV, (5, 7, 1), 3, (3, 3), activation="RELU6"),
    Layer(DEPTHWISE, (6, 6, 8), 8, (3, 3)),
    Layer(DEPTHWISE, (7, 5, 4), 4, (3, 3), activation="NONE"),
    Layer(DEPTHWISE, (5, 6, 260), 260, (3, 3), activation="RELU6"),
    # columns are lines, and from one to the next it is further than an immediate reaches
    Layer(DEPTHWISE, (31, 13, 48), 48, (3, 3), padding="VALID"),
    Layer(DEPTHWISE, (50, 7, 32), 32, (3, 3), activation="NONE"),
    Layer(DEPTHWISE, (23, 10, 220), 220, (3, 3), padding="VALID", activation="RELU6"),
    Layer(DEPTHWISE, (9, 8, 12), 12, (3, 3), stride=2),
    Layer(DEPTHWISE, (8, 7, 4), 4, (3, 3), stride=2, activation="RELU6"),
    Layer(DEPTHWISE, (7, 7, 3), 3, (3, 3), stride=2, padding="VALID", activation="NONE"),
    Layer(DEPTHWISE, (1, 1, 8), 8, (3, 3)),
    Layer(DENSE, (1, 1, 64), 19),
    Layer(DENSE, (1, 1, 20), 8, activation="NONE"),
    Layer(DENSE, (1, 1, 12), 1, activation="RELU6"),
    Layer(DENSE, (8, 8, 36), 11, activation="NONE", spread=120.0),  # cut in parts
)
POOLED = (
    Layer(CONV, (10, 10, 1), 6, (3, 3), padding="VALID", pool=True),
    Layer(CONV, (9, 11, 1), 4, (3, 3), activation="NONE", pool=True),
    Layer(CONV, (10, 12, 1), 6, (3, 3), padding="VALID", activation="RELU6", pool=True),
    Layer(CONV, (8, 8, 4), 6, (3, 3), pool=True),
    Layer(CONV, (9, 8, 3), 2, (2, 2), padding="VALID", activation="NONE", pool=True),
)
FILTERED = (
    Layer(CONV, (8, 8, 16), 8, (3, 3)),
    Layer(CONV, (7, 5, 8), 4, (3, 3), activation="NONE"),
    Layer(CONV, (6, 9, 24), 12, (3, 3), padding="VALID", activation="RELU6"),
    # channels that fill no fours
    Layer(CONV, (4, 6, 5), 4, (3, 3)),
    Layer(CONV, (5, 4, 6), 7, (3, 3), activation="NONE"),
    Layer(CONV, (3, 3, 11), 5, (3, 3), activation="RELU6"),
    Layer(CONV, (6, 5, 4), 6, (3, 3), padding="VALID"),
)
MULTIPLIED = (
    Layer(CONV, (4, 4, 16), 4),
    Layer(CONV, (5, 9, 48), 12, activation="NONE"),
    Layer(CONV, (4, 6, 32), 8, activation="RELU6", spread=120.0),
    Layer(DENSE, (1, 1, 64), 8, activation="NONE", rows=15),
)

STRIPPED = (
    Layer(CONV, (5, 5, 8), 16),
    Layer(CONV, (1, 7, 36), 12, activation="RELU6"),
    Layer(CONV, (1, 1, 68), 4, activation="NONE"),
    Layer(DENSE, (1, 1, 40), 24, rows=5),
    Layer(CONV, (9, 7, 3), 8, (3, 3), stride=2),  # a row of taps ends with half a word
    Layer(CONV, (9, 8, 3), 4, (3, 3)),  # every other patch begins with half a word
    Layer(CONV, (6, 6, 16), 12, (3, 3), padding="VALID", activation="NONE"),
    Layer(CONV, (12, 5, 1), 8, (10, 4), stride=2, activation="RELU6"),
    Layer(CONV, (8, 8, 12), 8, (1, 1), stride=2, activation="NONE"),
    Layer(CONV, (5, 5, 7), 4),
    Layer(CONV, (5, 3, 10), 7),  # a rest of three channels, an odd pixel at the end
    Layer(CONV, (1, 4, 9), 6, activation="NONE"),
    Layer(CONV, (3, 5, 6), 5, activation="RELU6"),
    Layer(CONV, (5, 4, 3), 7, (3, 3), activation="NONE"),
    Layer(CONV, (6, 5, 4), 10, (3, 3), stride=2),
    Layer(CONV, (2, 4, 5), 11),  # three channels behind two blocks
    Layer(CONV, (1, 1, 6), 7, activation="NONE"),  # and a single pixel
)
PAIRED = (
    Layer(DEPTHWISE, (6, 6, 8), 8, (3, 3)),
    Layer(DEPTHWISE, (7, 5, 6), 6, (3, 3), activation="NONE"),  # odd rows and columns
    Layer(DEPTHWISE, (6, 9, 5), 5, (3, 3), activation="RELU6"),
    Layer(DEPTHWISE, (5, 3, 4), 4, (3, 3), activation="RELU6"),
    Layer(DEPTHWISE, (9, 7, 4), 4, (3, 3), stride=2, activation="NONE"),
    Layer(DEPTHWISE, (9, 9, 4), 4, (3, 3), stride=2, activation="NONE"),
    Layer(DEPTHWISE, (8, 10, 4), 4, (3, 3), stride=2),
    Layer(DEPTHWISE, (9, 10, 3), 3, (3, 3), stride=2, activation="RELU6"),
    Layer(DEPTHWISE, (6, 7, 4), 4, (3, 3), padding="VALID"),
    Layer(DEPTHWISE, (1, 2, 2), 2, (3, 3)),
    Layer(DEPTHWISE, (4, 4, 680), 680, (3, 3), padding="VALID"),  # lines 4,080 bytes apart
)


def samples(graph: Graph) -> Array:
    dice = np.random.default_rng(1)
    shape = graph.tensors[graph.inputs[0]].shape
    extremes = [np.full(shape, -128), np.full(shape, 127), dice.choice([-128, 127], shape)]
    random = [dice.integers(-128, 128, shape) for _ in range(2)]
    return np.array([*extremes, *random], np.int8)


def reference(graph: Graph, rows: Array) -> Array:
    model = write_tflite(graph)
    return np.array([tflm(model, row)[0].reshape(-1) for row in rows])


def check(graph: Graph, schedule: Schedule, cores: tuple[str, ...] = CORES) -> None:
    rows = samples(graph)
    expected = reference(graph, rows)
    sources = generate(graph, schedule)
    assert not misordered(sources.files)
    found = build_host(sources).predict(rows).reshape(len(rows), -1)
    np.testing.assert_array_equal(found, expected)
    for core in in_turn(cores, graph):
        np.testing.assert_array_equal(on_core(sources, core, rows), expected)


def in_turn(cores: tuple[str, ...], graph: Graph) -> tuple[str, ...]:
    """Of the cores with and without DSP instructions one each, another one for another case."""
    if EVERY_CORE:
        return cores
    kinds = [
        [core for core in cores if core not in SIMPLE_CORES],
        [core for core in cores if core in SIMPLE_CORES],
    ]
    turn = crc32(graph.fingerprint().encode())
    return tuple(kind[turn % len(kind)] for kind in kinds if kind)


def on_core(sources: Sources, core: str | Target, rows: Array) -> Array:
    target = core if isinstance(core, Target) else load_target(core)
    firmware = link(sources, target)
    found = run(firmware, target, rows, repeats=len(rows), simulate_memory=False).outputs
    return np.asarray(found).reshape(len(rows), -1)


@pytest.mark.parametrize("layer", half(BLOCKED), ids=str)
@pytest.mark.everyday(4)
def test_blocks_are_exact(layer: Layer) -> None:
    graph = layer.graph()
    schedule = with_blocks(graph, plain_schedule(graph))
    check(graph, schedule)


@pytest.mark.parametrize("block", [(2, 4), (4, 2)])
@pytest.mark.everyday(1)
def test_every_block_is_exact(block: tuple[int, int]) -> None:
    for layer in BLOCKED[:8]:
        graph = layer.graph()
        (step,) = with_blocks(graph, plain_schedule(graph)).steps
        check(graph, Schedule((replace(step, kernel=Blocks(*block)),)))


def test_expanded_weights_are_exact() -> None:
    for layer in BLOCKED[:8]:
        graph = layer.graph()
        schedule = with_expanded_weights(graph, plain_schedule(graph))
        assert schedule.steps[0].kernel == EXPANDED
        check(graph, schedule)


def test_expanded_weights_take_sums_that_lanes_do_not() -> None:
    graph = Layer(CONV, (2, 2, 1024), 4, spread=1000.0).graph()
    check(graph, with_expanded_weights(graph, plain_schedule(graph)))


def test_weights_can_lie_in_sram() -> None:
    graph = BLOCKED[0].graph()
    (step,) = with_blocks(graph, plain_schedule(graph)).steps
    check(graph, Schedule((replace(step, weights=Weights(memory="sram")),)))


@pytest.mark.parametrize("layer", half(POOLED), ids=str)
@pytest.mark.everyday(1)
def test_pooling_fused_into_blocks_is_exact(layer: Layer) -> None:
    graph = layer.graph()
    fused = fuse(graph, plain_schedule(graph))
    assert len(fused.steps) == 1
    check(graph, fused)
    check(graph, with_blocks(graph, fused))


@pytest.mark.parametrize("layer", FILTERED, ids=str)
@pytest.mark.everyday(2)
def test_winograd_is_exact(layer: Layer) -> None:
    graph = layer.graph()
    schedule = with_winograd(graph, plain_schedule(graph))
    assert schedule.steps[0].kernel == Winograd()
    check(graph, schedule)


@pytest.mark.parametrize("layer", half(FILTERED), ids=str)
@pytest.mark.everyday(2)
def test_winograd_with_weights_in_sram_is_exact(layer: Layer) -> None:
    graph = layer.graph()
    (step,) = plain_schedule(graph).steps
    check(graph, Schedule((replace(step, kernel=Winograd(3)),)))


@pytest.mark.parametrize("layer", half(STRIPPED), ids=str)
@pytest.mark.parametrize("pixels", [2, 6])
@pytest.mark.everyday(5)
def test_strips_are_exact(layer: Layer, pixels: int) -> None:
    graph = layer.graph()
    (step,) = plain_schedule(graph).steps
    check(graph, Schedule((replace(step, kernel=Strip(pixels)),)), ALL_DSP)


@pytest.mark.parametrize("layer", half(PAIRED), ids=str)
@pytest.mark.everyday(2)
def test_row_pairs_are_exact(layer: Layer) -> None:
    graph = layer.graph()
    (step,) = plain_schedule(graph).steps
    schedule = Schedule((replace(step, kernel=RowPairs()),))
    check(graph, schedule, ALL_DSP)
    bare = replace(load_target("stm32l4r5"), fpu="none")  # what waits in its registers must not
    rows = samples(graph)
    found = on_core(generate(graph, schedule), bare, rows)
    np.testing.assert_array_equal(found, reference(graph, rows))


LINED = (
    Layer(DEPTHWISE, (7, 9, 4), 4, (5, 5)),
    Layer(DEPTHWISE, (9, 6, 3), 3, (5, 5), stride=2, activation="NONE"),
    Layer(DEPTHWISE, (8, 8, 5), 5, (7, 7), activation="RELU6"),
    Layer(DEPTHWISE, (11, 10, 2), 2, (7, 7), stride=2, padding="VALID"),
    Layer(DEPTHWISE, (20, 1, 6), 6, (9, 1)),
    Layer(DEPTHWISE, (1, 21, 6), 6, (1, 8), stride=2, activation="NONE"),
    Layer(DEPTHWISE, (6, 5, 4), 4, (2, 4), padding="VALID"),
    Layer(DEPTHWISE, (5, 7, 4), 4, (4, 3), activation="RELU6"),
    Layer(DEPTHWISE, (6, 7, 3), 3, (3, 2), stride=2),
    Layer(DEPTHWISE, (4, 4, 3), 3),  # a window of one tap
    Layer(DEPTHWISE, (5, 6, 4), 4, (5, 6), padding="VALID"),  # one output
    Layer(DEPTHWISE, (2, 3, 4), 4, (7, 5)),  # windows larger than the image
    Layer(DEPTHWISE, (3, 130, 2), 2, (3, 3)),  # lines that planes do not take
    Layer(DEPTHWISE, (30, 1, 3), 3, (23, 1), padding="VALID"),  # a line cut in several
    Layer(DEPTHWISE, (1, 40, 3), 3, (1, 14), stride=2, activation="RELU6"),
    Layer(DEPTHWISE, (13, 12, 2), 2, (11, 11)),
    Layer(DEPTHWISE, (13, 12, 2), 2, (11, 10), stride=2, padding="VALID"),
    Layer(DEPTHWISE, (14, 13, 2), 2, (11, 11), stride=2),
    Layer(DEPTHWISE, (12, 15, 2), 2, (9, 13)),
)


@pytest.mark.parametrize("layer", half(LINED), ids=str)
@pytest.mark.everyday(3)
def test_lines_are_exact(layer: Layer) -> None:
    graph = layer.graph()
    (step,) = plain_schedule(graph).steps
    check(graph, Schedule((replace(step, kernel=Lines()),)), (*ALL_DSP, *SIMPLE_CORES))


@pytest.mark.parametrize("kernel", [Plain(), Planes(), Lines(), RowPairs()], ids=str)
@pytest.mark.everyday(2)
def test_halves_below_zero_go_away_from_zero(kernel: Way) -> None:
    made = Layer(DEPTHWISE, (8, 8, 4), 4, (3, 3), activation="NONE", spread=1.0).graph()
    x, w, b, y = made.tensors
    tensors = (
        replace(x, quantization=Quantization((1.0,), (-3,))),
        replace(w, quantization=Quantization((1.0,) * 4, (0,) * 4, 3)),
        replace(b, quantization=Quantization((1.0,) * 4, (0,) * 4), data=np.zeros(4, np.int32)),
        replace(y, quantization=Quantization((16.0,), (0,))),
    )
    graph = replace(made, tensors=tensors)
    (step,) = plain_schedule(graph).steps
    check(graph, Schedule((replace(step, kernel=kernel),)), (*ALL_DSP, *SIMPLE_CORES))


def test_distances_that_no_instruction_holds_are_left_to_planes() -> None:
    longest = ((4, 680, RowPairs()), (4, 684, Planes()), (5, 508, RowPairs()), (5, 512, Planes()))
    for side, channels, kernel in longest:
        graph = Layer(DEPTHWISE, (side, side, channels), channels, (3, 3), padding="VALID").graph()
        planes = with_blocks(graph, plain_schedule(graph))
        assert with_room(graph, planes, 1 << 20, dsp=True).steps[0].kernel == kernel


SLID = (
    Layer(CONV, (9, 7, 3), 8, (3, 3), stride=2),
    Layer(CONV, (9, 8, 3), 8, (3, 3)),  # an odd step: the second pixel is read from a copy
    Layer(CONV, (7, 10, 3), 4, (3, 3), padding="VALID"),  # which begins before the image
    Layer(CONV, (6, 9, 5), 4, (2, 3), stride=3),
    Layer(CONV, (8, 6, 1), 4, (2, 2), stride=3),  # rows that no window reads lie between others
    Layer(CONV, (12, 5, 1), 8, (10, 4), stride=2, activation="NONE"),
    Layer(CONV, (7, 9, 5), 4, (2, 3), stride=2, padding="VALID", activation="RELU6"),
    Layer(CONV, (6, 6, 3), 4, (3, 3), stride=3, padding="VALID"),
    Layer(CONV, (4, 1, 3), 4, (3, 3)),
    Layer(CONV, (7, 7, 4), 8, stride=2),
    Layer(CONV, (5, 6, 1), 4, (5, 5), activation="RELU6"),
    Layer(CONV, (5, 5, 2), 4, (1, 7), activation="NONE"),
    Layer(CONV, (5, 330, 3), 4, (3, 3), stride=2),  # as far apart as rows may lie
    Layer(CONV, (4, 163, 3), 4, (3, 3)),
    Layer(CONV, (1, 14, 31), 4, (1, 2)),  # as many taps in a row as an instruction moves over
)


@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("layer", half(SLID), ids=str)
@pytest.mark.everyday(6)
def test_sliding_windows_are_exact(layer: Layer, rows: int) -> None:
    graph = layer.graph()
    (step,) = plain_schedule(graph).steps
    check(graph, Schedule((replace(step, kernel=Slide(rows)),)), ALL_DSP)


def test_a_window_slides_over_long_rows_where_its_steps_are_few_and_its_rows_near() -> None:
    slid = ((12, 12, 6), (6, 163, 3))
    stripped = ((12, 12, 8), (24, 8, 6), (6, 164, 3))
    for shapes, kernel in ((slid, Slide), (stripped, Strip)):
        for shape in shapes:
            graph = Layer(CONV, shape, 4, (3, 3)).graph()
            blocks = with_blocks(graph, plain_schedule(graph))
            roomy = with_room(graph, blocks, 1 << 20, dsp=True)
            assert isinstance(roomy.steps[0].kernel, kernel)


def test_a_window_with_too_long_rows_of_taps_does_not_slide() -> None:
    graph = Layer(CONV, (1, 14, 16), 4, (1, 4)).graph()
    (step,) = plain_schedule(graph).steps
    why = slide.why_not(Site(graph, replace(step, kernel=Slide())))
    assert why == "a row of a filter has more than 31 pairs of taps"


@pytest.mark.parametrize("layer", half(MULTIPLIED), ids=str)
def test_strassen_is_exact(layer: Layer) -> None:
    graph = layer.graph()
    schedule = with_strassen(graph, plain_schedule(graph), 16, 16)
    assert schedule.steps[0].kernel == Strassen(16)
    check(graph, schedule)


def test_strassen_is_exact_at_the_ends_of_its_lanes() -> None:
    graph = Layer(CONV, (4, 4, 32), 4).graph()
    x, w, b, y = graph.tensors
    assert w.data is not None
    corners = np.where(np.indices(w.data.shape).sum(axis=0) % 2, -128, 127).astype(np.int8)
    graph = replace(graph, tensors=(x, replace(w, data=corners), b, y))
    check(graph, with_strassen(graph, plain_schedule(graph), 8, 16))


def test_a_dense_layer_of_several_rows_is_blocked() -> None:
    graph = MULTIPLIED[-1].graph()
    schedule = with_blocks(graph, plain_schedule(graph))
    assert schedule.steps[0].kernel == Blocks(4, 2)
    check(graph, schedule)


def test_what_does_not_fit_is_not_applicable() -> None:
    graph = Layer(DENSE, (1, 1, 7), 3).graph()  # seven bytes fill no words
    with pytest.raises(NotApplicable):
        with_blocks(graph, plain_schedule(graph))
    with pytest.raises(NotApplicable):
        with_winograd(graph, plain_schedule(graph))
    with pytest.raises(NotApplicable):
        with_strassen(graph, plain_schedule(graph), 8, 0)
    with pytest.raises(NotApplicable):
        fuse(graph, plain_schedule(graph))


def test_sums_beyond_the_lanes_take_expanded_weights() -> None:
    graph = Layer(CONV, (2, 2, 1024), 4, spread=1000.0).graph()
    assert with_blocks(graph, plain_schedule(graph)).steps[0].kernel == EXPANDED


def test_a_pointwise_layer_works_in_place() -> None:
    graph = Layer(CONV, (10, 10, 32), 32).graph()
    sources = generate(graph, with_blocks(graph, plain_schedule(graph)))
    assert sources.arena_bytes <= 3200 + 4 * 32 * 2 + 16
    assert sources.inputs[0].offset == sources.outputs[0].offset


@pytest.mark.parametrize("layer", [*BLOCKED[:8:2], *BLOCKED[10::3]], ids=str)
@pytest.mark.everyday(3)
def test_pairs_are_exact_on_simple_cores(layer: Layer) -> None:
    graph = layer.graph()
    check(graph, with_pairs(graph, plain_schedule(graph)), SIMPLE_CORES)


IN_TRIOS = (
    *(layer for layer in BLOCKED if layer.kind == CONV and not layer.pool),
    Layer(CONV, (3, 3, 64), 5, (3, 3), activation="NONE"),  # a block reaches over three rows
    Layer(CONV, (4, 1, 12), 7, (3, 3)),  # and over six
    Layer(CONV, (6, 6, 300), 3, (3, 3), spread=90.0),  # its sums are cut in parts
    Layer(CONV, (7, 9, 5), 6, (2, 3), stride=2, padding="VALID", activation="RELU6"),
)


@pytest.mark.parametrize("layer", half(IN_TRIOS), ids=str)
@pytest.mark.everyday(2)
def test_trios_are_exact(layer: Layer) -> None:
    graph = layer.graph()
    (step,) = plain_schedule(graph).steps
    for pixels in (3, 6, 18):
        check(graph, Schedule((replace(step, kernel=Trios(pixels)),)), SIMPLE_CORES)


@pytest.mark.parametrize("taps", [64, 68])
def test_trios_are_exact_at_the_ends_of_their_sums(taps: int) -> None:
    """Weights and inputs as large as can be: 64 taps just fit, more are cut in parts."""
    graph = Layer(CONV, (3, 2, taps), 4, activation="NONE").graph()
    x, w, b, y = graph.tensors
    assert w.data is not None
    signs = np.where(np.indices((4, taps)).sum(axis=0) // 2 % 2, 1, -1)
    signs[1:3] = [[1], [-1]]
    edges = (127 * signs).reshape(w.shape).astype(np.int8)
    graph = replace(graph, tensors=(x, replace(w, data=edges), b, y))
    (step,) = plain_schedule(graph).steps
    schedule = Schedule((replace(step, kernel=Trios()),))
    ends = np.array([-128, 127], np.int8)
    fixed = [np.full(x.shape, end) for end in ends]
    fixed += [
        np.broadcast_to(np.where(signs[0] > 0, *pair), x.shape) for pair in (ends, ends[::-1])
    ]
    rows = np.array([*fixed, *np.random.default_rng(0).choice(ends, (6, *x.shape))])
    for core in SIMPLE_CORES:
        found = on_core(generate(graph, schedule), load_target(core), rows)
        np.testing.assert_array_equal(found, reference(graph, rows))


@pytest.mark.parametrize(("activation", "sign"), [("RELU", 1), ("NONE", 1), ("NONE", -1)])
@pytest.mark.parametrize(
    ("layer", "kernel"),
    [
        (Layer(CONV, (3, 3, 64), 8, (3, 3), spread=90.0), Trios()),
        (Layer(DEPTHWISE, (5, 7, 8), 8, (3, 3), spread=1000.0), Planes()),
    ],
    ids=str,
)
@pytest.mark.everyday(2)
def test_the_largest_sums_are_scaled_exactly(
    layer: Layer, kernel: Way, activation: str, sign: int
) -> None:
    """Biases up to the limit, halfway between two outputs, so that what is added to them counts."""
    graph = replace(layer, activation=activation).graph()
    x, w, b, y = graph.tensors
    assert x.quantization and w.quantization and y.quantization
    step_of_output = (1 << 29) // 250
    one = x.quantization.scale * w.quantization.scales[0]
    scale = float(np.float32(one * step_of_output))
    quantization = Quantization((scale,), (-128 if sign > 0 else 127,))
    even = replace(w.quantization, scales=w.quantization.scales[:1] * 8)
    outputs = np.array([245.5, 0.5, 100.5, 17.5, 244.5, 3.5, 60.5, 200.5])

    def with_biases(outputs: Array) -> Graph:
        biases = (sign * outputs * step_of_output).astype(np.int32)
        tensors = (
            x,
            replace(w, quantization=even),
            replace(b, data=biases),
            replace(y, quantization=quantization),
        )
        return replace(graph, tensors=tensors)

    widest = with_biases(outputs)
    (step,) = plain_schedule(widest).steps
    rows = samples(widest)
    assert all(len(np.unique(channel)) > 1 for channel in reference(widest, rows).reshape(-1, 8).T)
    check(widest, Schedule((replace(step, kernel=kernel),)), SIMPLE_CORES)
    beyond = with_biases(outputs + 5)
    with pytest.raises(NotApplicable):
        with_pairs(beyond, plain_schedule(beyond))


@pytest.mark.parametrize("activation", ["RELU", "NONE"])
@pytest.mark.parametrize(("kind", "kernel"), [(CONV, Trios()), (DEPTHWISE, Planes())])
def test_sums_that_are_hardly_scaled_are_rounded_exactly(
    activation: str, kind: str, kernel: Way
) -> None:
    """Every bit of a product counts where little of it is shifted out."""
    graph = Layer(kind, (16, 16, 8), 8, (3, 3), activation=activation, spread=0.5).graph()
    x, w, b, y = graph.tensors
    assert x.quantization and w.quantization and y.quantization
    factors = np.random.default_rng(0).uniform(0.13, 0.49, 8)
    scales = (factors * y.quantization.scale / x.quantization.scale).astype(np.float32)
    w = replace(w, quantization=replace(w.quantization, scales=tuple(map(float, scales))))
    b = replace(b, data=np.arange(-4, 4).astype(np.int32))
    graph = replace(graph, tensors=(x, w, b, y))
    (step,) = plain_schedule(graph).steps
    check(graph, Schedule((replace(step, kernel=kernel),)), SIMPLE_CORES)


def test_the_style_follows_the_core() -> None:
    graph = BLOCKED[0].graph()
    plain = plain_schedule(graph)
    assert with_pairs(graph, plain).steps[0].kernel == Pairs()
    assert schedule_for(graph, "fastest", dsp=False).steps[0].kernel == Trios(24)
    assert schedule_for(graph, "fastest", dsp=True).steps[0].kernel == Strip(26)
    assert schedule_for(graph, "smallest", dsp=True) == plain


def test_branches_run_in_the_order_that_keeps_least_alive() -> None:
    # Two wide branches, each summed up at once: one after the other holds one wide tensor only.
    tensors = [tensor((1, 4, 4, 4), name="x")]
    ops = []
    for branch in range(2):
        tensors += [tensor((1, 4, 4, 64)), tensor((1, 4, 4, 4))]
        wide, narrow = 1 + 2 * branch, 2 + 2 * branch
        ops.append((Op("CONV_2D", (0,), (wide,)), Op("CONV_2D", (wide,), (narrow,))))
    tensors.append(tensor((1, 4, 4, 4)))
    (wide0, narrow0), (wide1, narrow1) = ops
    graph = Graph(
        tuple(tensors), (wide0, wide1, narrow0, narrow1, Op("ADD", (2, 4), (5,))), (0,), (5,)
    )
    order = [step.ops[0] for step in with_least_memory(graph, plain_schedule(graph)).steps]
    assert order == [0, 2, 1, 3, 4]


@pytest.mark.parametrize(
    ("kind", "window", "stride"),
    [(CONV, 3, 1), (CONV, 3, 2), (CONV, 1, 1), (DEPTHWISE, 3, 1), (DEPTHWISE, 3, 2)],
)
@pytest.mark.everyday(2)
def test_padding_fused_into_a_convolution_is_exact(kind: str, window: int, stride: int) -> None:
    graph = Layer(kind, (9, 8, 8), 8, (window, window), stride, "VALID").graph()
    x, rest = graph.tensors[0], graph.tensors[1:]
    small = replace(x, name="small", shape=(1, 7, 5, 8))
    sides = tensor((4, 2), "int32", data=[0, 0, 0, 2, 1, 2, 0, 0], name="sides")
    tensors = (x, *rest, small, sides)
    pad = Op("PAD", (len(tensors) - 2, len(tensors) - 1), (0,))
    padded = Graph(tensors, (pad, *graph.ops), (len(tensors) - 2,), graph.outputs)
    fused = fuse(padded, plain_schedule(padded))
    assert len(fused.steps) == 1
    check(padded, fused)
    check(padded, with_blocks(padded, fused))
    if (kind, window, stride) == (CONV, 3, 1):
        check(padded, with_winograd(padded, fused))


@pytest.mark.parametrize("bias", [2_000_000_000, -2_000_000_000, 900_000_000])
def test_a_channel_that_training_left_constant_stays_exact(bias: int) -> None:
    graph = Layer(CONV, (3, 3, 16), 8).graph()
    x, w, b, y = graph.tensors
    assert w.quantization is not None
    assert w.data is not None
    assert b.data is not None
    scales = list(w.quantization.scales)
    scales[2] *= 1_300 / abs(bias)
    values = b.data.copy()
    values[2] = bias
    tiny = replace(w, quantization=replace(w.quantization, scales=tuple(scales)))
    graph = replace(graph, tensors=(x, tiny, replace(b, data=values), y))
    schedule = with_blocks(graph, plain_schedule(graph))
    assert schedule.steps[0].kernel == Blocks(2, 4)
    check(graph, schedule, CORES[:1])


@pytest.mark.parametrize("level", [60.5, -20.5, 100.5])
def test_a_channel_of_two_outputs_is_not_taken_for_constant(level: float) -> None:
    """Its bias stands between two outputs, and its sums decide which."""
    graph = Layer(CONV, (3, 3, 16), 8, activation="NONE").graph()
    x, w, b, y = graph.tensors
    assert x.quantization and w.quantization and y.quantization
    assert b.data is not None
    bias, scales = 2_000_000_000 if level > 0 else -2_000_000_000, list(w.quantization.scales)
    between = level - y.quantization.zero_points[0]
    scales[2] = between * y.quantization.scales[0] / (x.quantization.scales[0] * bias)
    values = b.data.copy()
    values[2] = bias
    near = replace(w, quantization=replace(w.quantization, scales=tuple(scales)))
    assert b.quantization is not None
    biases = replace(b.quantization, scales=tuple(x.quantization.scales[0] * s for s in scales))
    moved = replace(b, data=values, quantization=biases)
    graph = replace(graph, tensors=(x, near, moved, y))
    with pytest.raises(NotApplicable):  # its sums need room that the blocks do not have
        with_blocks(graph, plain_schedule(graph))
    found = build_host(generate(graph, plain_schedule(graph))).predict(samples(graph))
    assert len(np.unique(found[..., 2])) == 2


def peak_of(graph: Graph, order: tuple[int, ...]) -> int:
    """The most bytes alive at once, written plainly: at each step what it reads, writes, keeps."""
    last = {index: time for time, op in enumerate(order) for index in graph.ops[op].inputs}
    last |= dict.fromkeys(graph.outputs, len(order))
    first = {index: time for time, op in enumerate(order) for index in graph.ops[op].outputs}
    first |= dict.fromkeys(graph.inputs, 0)
    return max(
        sum(graph.tensors[i].bytes for i in last if first[i] <= time <= last[i])
        for time in range(len(order))
    )


def is_legal(graph: Graph, order: tuple[int, ...]) -> bool:
    """Whether each op, the number of which is that of its result less one, has what it reads."""
    places = {op + 1: place for place, op in enumerate(order)}
    return all(
        index == 0 or places[index] < place
        for place, op in enumerate(order)
        for index in graph.ops[op].inputs
    )


@pytest.mark.parametrize("seed", [0, 1, 10, 15, 23, 28, 41, 45])
def test_no_other_order_keeps_less_alive(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tensors, ops = [tensor((1, int(rng.integers(8, 900))))], []
    for number in range(6):
        known = [int(i) for i in rng.choice(number + 1, min(2, number + 1), replace=False)]
        tensors.append(tensor((1, int(rng.integers(8, 900)))))
        ops.append(Op("ADD", (*known, *known)[:2], (number + 1,)))
    read = {index for op in ops for index in op.inputs}
    results = tuple(index for index in range(1, 7) if index not in read)
    graph = Graph(tuple(tensors), tuple(ops), (0,), results)
    found = tuple(step.ops[0] for step in with_least_memory(graph, plain_schedule(graph)).steps)
    legal = [order for order in permutations(range(6)) if is_legal(graph, order)]
    assert found in legal
    assert peak_of(graph, found) == min(peak_of(graph, order) for order in legal)
