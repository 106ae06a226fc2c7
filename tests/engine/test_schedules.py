"""Which ops are computed, and what each change of a schedule does to the steps that it fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from build import single, tensor
from images import in_arithmetic
from test_variants import CONV, DENSE, DEPTHWISE, Layer

from autotiny.engine import (
    fuse,
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
from autotiny.engine.coding import constant_bytes
from autotiny.engine.generate import arena_bytes
from autotiny.engine.kernel import Site
from autotiny.engine.schedules import data_inputs
from autotiny.engine.variants import strip
from autotiny.engine.variants.blocks import EXPANDED, Blocks, best_blocks
from autotiny.engine.variants.pairs import Pairs
from autotiny.engine.variants.planes import Planes
from autotiny.engine.variants.row_pairs import RowPairs
from autotiny.engine.variants.slide import Slide
from autotiny.engine.variants.sparse import Sparse
from autotiny.engine.variants.strassen import Strassen
from autotiny.engine.variants.strip import Strip, widths
from autotiny.engine.variants.winograd import Winograd
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, Op, Quantization
from autotiny.schedule import Schedule, Step, Weights

REAL = tensor((1, 4), "float32")


def site_of(layer: Layer) -> Site:
    graph = layer.graph()
    return Site(graph, plain_schedule(graph).steps[0])


def only_step(graph: Graph, change: Any, *arguments: Any) -> Step:
    (step,) = change(graph, plain_schedule(graph), *arguments).steps
    assert isinstance(step, Step)
    return step


def test_only_what_the_results_need_is_computed() -> None:
    ops = (
        Op("RELU", (1,), (0,)),  # makes tensor 0
        Op("TANH", (1,), (2,)),  # for nothing
        Op("ADD", (0, -1), (3,)),
        Op("SHAPE", (3,), (4,)),  # only says a shape
        Op("RESHAPE", (3, 4), (5,)),
    )
    graph = Graph((REAL,) * 6, ops, (1,), (5,))
    assert [step.ops for step in plain_schedule(graph).steps] == [(0,), (2,), (4,)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("RESHAPE", (0,)), ("SQUEEZE", (0,)), ("EXPAND_DIMS", (0,)), ("CONCATENATION", (0, 2))],
)
def test_of_shape_arguments_the_values_are_not_needed(kind: str, expected: tuple[int, ...]) -> None:
    assert data_inputs(Op(kind, (0, -1, 2)[: 3 if len(expected) > 1 else 2], (3,))) == expected


# Fusing


def pooled(**options: Any) -> Graph:
    """An int8 convolution to (1, 8, 8, 4) and a max-pooling of it, some of its options changed."""
    graph = Layer(CONV, (8, 8, 4), 4, (3, 3), pool=True).graph()
    conv, pool = graph.ops
    return graph.with_ops((conv, replace(pool, options={**pool.options, **options})))


def fuses(graph: Graph) -> bool:
    schedule = plain_schedule(graph)
    try:
        return len(fuse(graph, schedule).steps) < len(schedule.steps)
    except NotApplicable:
        return False


def with_shape(graph: Graph, index: int, **fields: Any) -> Graph:
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **fields)
    return replace(graph, tensors=tuple(tensors))


def test_a_pooling_fuses_whose_windows_are_apart() -> None:
    assert fuses(pooled())
    assert not fuses(pooled(filter_height=3))
    assert not fuses(pooled(filter_width=3))
    assert fuses(with_shape(pooled(stride_h=3, stride_w=4), 4, shape=(1, 3, 2, 4)))
    # the last window ends with the last row and column, or behind it
    assert fuses(with_shape(pooled(filter_height=2, stride_h=3), 4, shape=(1, 3, 4, 4)))
    assert not fuses(with_shape(pooled(filter_height=3, stride_h=3), 4, shape=(1, 3, 4, 4)))
    assert not fuses(with_shape(pooled(filter_width=3, stride_w=3), 4, shape=(1, 4, 3, 4)))


def test_a_pooling_of_floats_with_an_activation_of_its_own_does_not_fuse() -> None:
    for activation in ("NONE", "RELU"):
        int8 = pooled(fused_activation_function=activation)
        assert fuses(int8)
        assert fuses(in_arithmetic(int8, "float32")) == (activation == "NONE")


def test_a_pooling_fuses_that_alone_reads_a_convolution_of_its_own_kind() -> None:
    graph = pooled()
    conv, pool = graph.ops
    assert not fuses(replace(graph, outputs=(3, 4)))
    twice = (*graph.ops, replace(pool, outputs=(5,)))
    assert not fuses(Graph((*graph.tensors, graph.tensors[4]), twice, (0,), (4, 5)))
    assert not fuses(graph.with_ops((conv, replace(pool, kind="AVERAGE_POOL_2D"))))
    assert not fuses(graph.with_ops((replace(conv, kind="DEPTHWISE_CONV_2D"), pool)))
    other = Quantization((0.5,), (3,))
    assert not fuses(with_shape(graph, 4, quantization=other))
    y = graph.tensors[4].quantization
    assert y is not None
    assert fuses(with_shape(graph, 4, quantization=replace(y)))  # an equal one
    assert not fuses(with_shape(graph, 4, quantization=replace(y, zero_points=(5,))))
    assert not fuses(with_shape(graph, 4, quantization=None))
    assert not fuses(with_shape(graph, 0, dtype="int16"))
    assert not fuses(with_shape(graph, 1, dtype="int4"))
    assert not fuses(with_shape(graph, 3, dtype="int16"))
    assert not fuses(with_shape(graph, 1, data=None))


def test_a_second_pooling_stays_a_step() -> None:
    graph = pooled()
    small = replace(graph.tensors[4], shape=(1, 2, 2, 4))
    again = replace(graph.ops[1], inputs=(4,), outputs=(5,))
    both = Graph((*graph.tensors, small), (*graph.ops, again), (0,), (5,))
    assert [step.ops for step in fuse(both, plain_schedule(both)).steps] == [(0, 1), (2,)]


def padded(sides: Any = ((0, 0), (1, 1), (1, 1), (0, 0)), padding: str = "VALID") -> Graph:
    """A PAD of (1, 6, 6, 4) before a convolution without padding."""
    graph = Layer(CONV, (8, 8, 4), 4, (3, 3), padding="VALID").graph()
    x, *rest = graph.tensors
    (conv,) = graph.ops
    conv = replace(conv, options={**conv.options, "padding": padding})
    tensors = (x, *rest, replace(x, shape=(1, 6, 6, 4)), tensor((4, 2), "int32", data=sides))
    return Graph(tensors, (Op("PAD", (4, 5), (0,)), conv), (4,), graph.outputs)


def test_a_pad_fuses_with_the_convolution_that_alone_reads_it() -> None:
    graph = padded()
    (step,) = fuse(graph, plain_schedule(graph)).steps
    assert step.ops == (1, 0)
    options = Site(graph, step).op.options
    names = ("padding", "pad_top", "pad_bottom", "pad_left", "pad_right")
    assert [options[name] for name in names] == ["EXPLICIT", 1, 1, 1, 1]
    uneven = padded(((0, 0), (0, 2), (2, 0), (0, 0)))
    options = Site(uneven, fuse(uneven, plain_schedule(uneven)).steps[0]).op.options
    assert [options[name] for name in names[1:]] == [0, 2, 2, 0]
    assert not fuses(padded(padding="SAME"))
    assert not fuses(padded(((0, 0), (-1, 3), (1, 1), (0, 0))))
    assert not fuses(padded(((0, 0), (1, 1), (1, 1), (0, 1))))
    assert not fuses(padded(((1, 0), (1, 1), (1, 1), (0, 0))))
    assert not fuses(replace(graph, outputs=(3, 0)))
    assert not fuses(with_shape(graph, 5, data=None))
    assert not fuses(with_shape(graph, 4, quantization=Quantization((0.5,), (3,))))
    pad, conv = graph.ops
    assert not fuses(graph.with_ops((replace(pad, kind="MIRROR_PAD"), conv)))
    pools = replace(conv, kind="MAX_POOL_2D", inputs=(0,))
    assert not fuses(graph.with_ops((pad, pools)))


# Blocks


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (Layer(CONV, (2, 2, 8), 8), (4, 2)),
        (Layer(CONV, (1, 1, 8), 8), (2, 4)),
        (Layer(CONV, (3, 2, 8), 8), (2, 4)),  # 6 pixels: 8 in fours, 6 in twos
        (Layer(CONV, (7, 1, 8), 8), (4, 2)),  # 8 either way
        (Layer(CONV, (1, 42, 8), 8), (4, 2)),  # 44 for 42, less than 5 % more
        (Layer(CONV, (1, 38, 8), 8), (2, 4)),  # 40 for 38, more than 5 %
        (Layer(CONV, (1, 40, 8), 8), (4, 2)),
        (Layer(DENSE, (1, 1, 8), 8), (1, 8)),
        (Layer(DENSE, (1, 1, 8), 8, rows=2), (2, 4)),
        (Layer(DENSE, (1, 1, 8), 8, rows=4), (4, 2)),
    ],
    ids=str,
)
def test_blocks_waste_few_pixels(layer: Layer, expected: tuple[int, int]) -> None:
    assert best_blocks(site_of(layer)) == Blocks(*expected)


def test_before_a_pooling_blocks_have_its_four_pixels() -> None:
    graph = Layer(CONV, (2, 2, 8), 8, pool=True).graph()
    (step,) = fuse(graph, plain_schedule(graph)).steps
    assert best_blocks(Site(graph, step)) == Blocks(4, 2)


WIDE = Layer(CONV, (2, 2, 1024), 4, spread=1000.0)  # sums too large for two in a word
CHANGES: tuple[tuple[Any, Layer, Step], ...] = (
    (with_blocks, Layer(CONV, (4, 4, 8), 8, (3, 3)), Step((0,), Blocks(4, 2))),
    (with_blocks, WIDE, Step((0,), EXPANDED)),
    (with_blocks, Layer(DEPTHWISE, (5, 5, 8), 8, (3, 3)), Step((0,), Planes())),
    (with_blocks, Layer(DENSE, (1, 1, 8), 8), Step((0,), Blocks(1, 8))),
    (with_pairs, Layer(CONV, (4, 4, 8), 8, (3, 3)), Step((0,), Pairs())),
    (with_pairs, Layer(DEPTHWISE, (5, 5, 8), 8, (3, 3)), Step((0,), Planes())),
    (with_pairs, Layer(DENSE, (1, 1, 8), 8), Step((0,), Pairs())),
    (with_winograd, Layer(CONV, (4, 4, 8), 8, (3, 3)), Step((0,), Winograd())),
    (with_strassen, Layer(CONV, (4, 4, 192), 8), Step((0,), Strassen(32))),
    (
        with_expanded_weights,
        Layer(CONV, (4, 4, 8), 8),
        Step((0,), EXPANDED),
    ),
)


def test_each_way_to_compute_a_layer_is_a_step_of_its_own() -> None:
    for change, layer, expected in CHANGES:
        assert only_step(layer.graph(), change) == expected, (change, layer)


def test_what_was_expanded_stays_so_in_blocks_only() -> None:
    graph = Layer(CONV, (4, 4, 8), 8, (3, 3)).graph()
    wide = with_expanded_weights(graph, plain_schedule(graph))
    with pytest.raises(NotApplicable):
        with_blocks(graph, wide)
    assert with_pairs(graph, wide).steps == (Step((0,), Pairs()),)
    filtered = with_winograd(graph, wide)
    assert filtered.steps == (Step((0,), Winograd()),)
    with pytest.raises(NotApplicable):
        with_expanded_weights(graph, filtered)
    deep = Layer(CONV, (4, 4, 192), 8).graph()
    multiplied = with_strassen(deep, with_expanded_weights(deep, plain_schedule(deep)))
    assert multiplied.steps == (Step((0,), Strassen(32)),)
    with pytest.raises(NotApplicable):
        with_expanded_weights(deep, multiplied)


def test_strassen_takes_depths_from_the_least_on() -> None:
    graph = Layer(CONV, (4, 4, 176), 8).graph()
    with pytest.raises(NotApplicable, match="16 inputs, at least 192, of 4 outputs"):
        with_strassen(graph, plain_schedule(graph))
    assert only_step(graph, with_strassen, 16, 176).kernel == Strassen(16)
    with pytest.raises(NotApplicable, match="at least 177"):
        with_strassen(graph, plain_schedule(graph), 16, 177)


def test_filtering_is_taken_where_it_is_faster() -> None:
    """By inputs, outputs and pixels, on a Cortex-M4 and on an M7 (results/widths.md)."""
    for shape, channels, *pays in (
        ((8, 8, 8), 8, False, True),
        ((8, 8, 11), 11, False, True),  # as 12
        ((8, 8, 16), 16, True, True),
        ((8, 8, 17), 17, False, True),  # as 20
        ((8, 8, 19), 19, True, True),
        ((8, 8, 9), 9, False, False),
        ((8, 8, 5), 32, False, False),
        ((1, 1, 64), 64, False, False),  # eight pixels are computed
        ((4, 4, 64), 64, True, True),
    ):
        graph = Layer(CONV, shape, channels, (3, 3)).graph()
        for loads_ahead, wanted in zip((False, True), pays, strict=True):
            chosen = schedule_for(graph, "fastest", dsp=True, loads_ahead=loads_ahead)
            found = isinstance(chosen.steps[0].kernel, Winograd)
            assert found == wanted, (shape, channels, loads_ahead)


def test_filtering_copies_weights_that_no_cache_keeps() -> None:
    for channels, pairs in ((16, 1), (32, 8)):
        graph = Layer(CONV, (8, 8, channels), channels, (3, 3)).graph()
        filtered = with_winograd(graph, plain_schedule(graph))
        found = [
            with_room(graph, filtered, 1 << 16, dsp=True, loads_ahead=ahead).steps[0].kernel
            for ahead in (False, True)
        ]
        assert found == [Winograd(8), Winograd(pairs)]


def test_strips_become_narrower_to_the_end() -> None:
    for channels in range(4, 9):
        for height in range(1, 9):
            site = Site(Layer(CONV, (height, 5, 8), channels).graph(), Step((0,)))
            found = [way.pixels for way in strip.roomy(site, False)]
            assert found == sorted(set(found), reverse=True)


def test_a_style_is_a_row_of_changes() -> None:
    graph = Layer(CONV, (4, 4, 8), 8, (3, 3)).graph()
    plain, blocks = plain_schedule(graph), with_blocks(graph, plain_schedule(graph))
    pairs = with_pairs(graph, plain)
    assert schedule_for(graph, "smallest", dsp=True) == plain
    assert schedule_for(graph, "smallest", dsp=False) == plain
    assert schedule_for(graph, "balanced", dsp=True) == with_room(graph, blocks, 0, dsp=True)
    assert schedule_for(graph, "balanced", dsp=False) == with_room(graph, pairs, 0, dsp=False)
    assert schedule_for(graph, "fastest", dsp=True) == with_room(graph, blocks, 3200, dsp=True)
    filtered = with_winograd(graph, blocks)
    ahead = with_room(graph, filtered, 3200, dsp=True, loads_ahead=True)
    assert schedule_for(graph, "fastest", dsp=True, loads_ahead=True) == ahead
    assert schedule_for(graph, "fastest", dsp=False) == with_room(graph, pairs, 3200, dsp=False)
    pooling = pooled()
    assert len(schedule_for(pooling, "smallest", dsp=False).steps) == 1


def test_kernels_are_as_fast_as_there_is_room_for() -> None:
    graph = Layer(CONV, (12, 12, 32), 32).graph()
    few = Layer(CONV, (2, 4, 32), 32).graph()
    blocks = with_blocks(few, plain_schedule(few))
    assert with_room(few, blocks, 1 << 16, dsp=True) == blocks
    blocks = with_blocks(graph, plain_schedule(graph))
    least = arena_bytes(graph, blocks)
    wide = []
    for more in (0, 900, 1600, 1 << 16):
        roomy = with_room(graph, blocks, more, dsp=True)
        assert arena_bytes(graph, roomy) <= least + more
        kernel = roomy.steps[0].kernel
        wide.append(kernel.pixels if isinstance(kernel, Strip) else 0)
    assert wide == sorted(wide) and wide[0] == 0 and wide[-1] == 144
    assert len(set(wide)) > 2


def test_strips_are_as_wide_as_their_number_asks() -> None:
    assert list(widths(125, 128, 12)) == [42, 32, 26, 22, 18, 14, 12]
    assert list(widths(36, 128, 12)) == [36, 18, 12]
    assert list(widths(9, 256, 12)) == [10]  # one strip is never too narrow
    assert next(widths(70, 1024, 12)) == 24  # of 32 pixels as many are needed
    assert min(widths(125, 128, 8)) == 8


def test_row_pairs_are_taken_where_few_outputs_come_twice() -> None:
    shapes = {(6, 6): RowPairs(), (5, 5): RowPairs(), (3, 4): RowPairs(), (3, 5): Planes(),
              (1, 4): Planes(), (4, 1): Planes()}  # fmt: skip
    for (rows, columns), kernel in shapes.items():
        graph = Layer(DEPTHWISE, (rows, columns, 4), 4, (3, 3)).graph()
        planes = with_blocks(graph, plain_schedule(graph))
        assert with_room(graph, planes, 1 << 16, dsp=True).steps[0].kernel == kernel


def test_an_image_of_one_channel_stays_in_its_plane() -> None:
    for channels, kernel in ((1, Blocks(4, 2)), (2, Slide(8))):
        graph = Layer(CONV, (16, 16, channels), 8, (3, 3)).graph()
        blocks = with_blocks(graph, plain_schedule(graph))
        assert with_room(graph, blocks, 1 << 16, dsp=True).steps[0].kernel == kernel


def test_only_int8_becomes_faster() -> None:
    layer = single(
        "FULLY_CONNECTED",
        [tensor((1, 8), "float32"), tensor((4, 8), "float32", data=np.ones((4, 8)))],
        tensor((1, 4), "float32"),
    )
    for change in (with_blocks, with_pairs, with_winograd, with_strassen, with_expanded_weights):
        with pytest.raises(NotApplicable):
            change(layer, plain_schedule(layer))


# Weights stored in other ways


def with_weights(graph: Graph, values: Any) -> Graph:
    w = graph.tensors[1]
    return with_shape(graph, 1, data=np.resize(np.array(values, np.int8), w.shape))


FEW = [0] * 30 + [5, -9]


def test_zeros_are_skipped_by_steps_of_their_own() -> None:
    dense, conv = Layer(DENSE, (1, 1, 64), 32), Layer(CONV, (4, 4, 16), 32, (3, 3))
    for layer in (dense, conv):
        graph = with_weights(layer.graph(), FEW)
        assert only_step(graph, with_skipped_zeros) == Step((0,), Sparse())


def test_skipping_zeros_saves_the_share_that_is_asked_for() -> None:
    graph = with_weights(Layer(DENSE, (1, 1, 64), 32).graph(), FEW)
    site = Site(graph, plain_schedule(graph).steps[0])
    before, after = constant_bytes(site), constant_bytes(site.by(Sparse()))
    assert before == 32 * 64 + 4 * 32  # weights and biases
    share = (before - after) / before
    assert only_step(graph, with_skipped_zeros, share - 0.001).kernel == Sparse()
    with pytest.raises(NotApplicable, match="takes 100% less flash"):
        with_skipped_zeros(graph, plain_schedule(graph), 1.0)
    with pytest.raises(NotApplicable, match=f"takes {share + 0.001:.0%} less flash"):
        with_skipped_zeros(graph, plain_schedule(graph), share + 0.001)


@pytest.mark.parametrize(("values", "codes"), [([1, -1], 1), ([1, 2, 3], 2), ([1, 2, 3, 4, 5], 3)])
def test_indices_take_as_many_bits_as_there_are_values(values: list[int], codes: int) -> None:
    """Stream: as many words as the bits need and one to read ahead; a book of a byte a value."""
    graph = with_weights(Layer(DENSE, (1, 1, 64), 32).graph(), values)
    step = only_step(graph, with_coded_weights, "shared")
    assert step == Step((0,), weights=Weights("shared", "row"))
    after = constant_bytes(Site(graph, step))
    bits = 32 * 64 * codes
    assert after == bits // 8 + 2 + len(values) + 32 * 4 + 4 + 1  # biases, multiplier, shift


def test_coding_must_save_a_hundred_and_twenty_eight_bytes() -> None:
    for depth, worth in ((151, False), (152, True)):  # a bit for each of two values
        graph = with_weights(Layer(DENSE, (1, 1, depth), 1).graph(), [3, -3])
        stream = 2 * (-(-(depth - 1) // 16) + 1)  # a whole word behind the last code
        assert (stream + 2 + 128 <= depth) == worth
        if worth:
            assert only_step(graph, with_coded_weights, "shared").weights.coding == "shared"
        else:
            with pytest.raises(NotApplicable, match="no layer takes 128 bytes less flash"):
                with_coded_weights(graph, plain_schedule(graph), "shared")


def test_coded_layers_are_computed_the_plain_way_unless_in_pairs() -> None:
    graph = with_weights(Layer(CONV, (4, 4, 16), 32, (3, 3)).graph(), FEW)
    blocks = with_blocks(graph, plain_schedule(graph))
    expected = Step((0,), weights=Weights("huffman", "layer"))
    assert with_coded_weights(graph, blocks, "huffman").steps == (expected,)
    wide = with_expanded_weights(graph, plain_schedule(graph))
    assert with_coded_weights(graph, wide, "huffman").steps == (expected,)
    pairs = with_pairs(graph, plain_schedule(graph))
    assert with_coded_weights(graph, pairs, "huffman", "start").steps == (
        Step((0,), Pairs(), Weights("huffman", "start")),
    )
    # a dense layer decoded row by row uses one weight after the other
    dense = with_weights(Layer(DENSE, (1, 1, 64), 32).graph(), FEW)
    paired = with_pairs(dense, plain_schedule(dense))
    assert with_coded_weights(dense, paired, "ans").steps == (
        Step((0,), weights=Weights("ans", "row")),
    )
    assert with_coded_weights(dense, paired, "ans", "layer").steps == (
        Step((0,), Pairs(), Weights("ans", "layer")),
    )
    deep = with_weights(Layer(DEPTHWISE, (5, 5, 96), 96, (3, 3)).graph(), FEW)
    rows = with_pairs(deep, plain_schedule(deep))
    assert rows.steps[0].kernel == Planes()
    assert with_coded_weights(deep, rows, "shared", "layer").steps == (
        Step((0,), weights=Weights("shared", "layer")),
    )


def test_only_indices_are_coded_anew() -> None:
    graph = with_weights(Layer(DENSE, (1, 1, 64), 32).graph(), FEW)
    shared = with_coded_weights(graph, plain_schedule(graph), "shared")
    assert with_coded_weights(graph, shared, "ans").steps[0].weights.coding == "ans"
    for before, coding in (("shared", "shared"), ("huffman", "ans"), ("ans", "shared")):
        step = replace(shared.steps[0], weights=Weights(before))  # type: ignore[arg-type]
        with pytest.raises(NotApplicable):
            with_coded_weights(graph, Schedule((step,)), coding)  # type: ignore[arg-type]


def test_of_all_layers_or_of_dense_ones_weights_are_coded() -> None:
    conv = with_weights(Layer(CONV, (4, 4, 16), 32, (3, 3)).graph(), FEW)
    with pytest.raises(NotApplicable):
        with_coded_weights(conv, plain_schedule(conv), "ans", layers="dense")
    assert only_step(conv, with_coded_weights, "ans").weights.coding == "ans"
    dense = with_weights(Layer(DENSE, (1, 1, 64), 32).graph(), FEW)
    found = with_coded_weights(dense, plain_schedule(dense), "ans", layers="dense")
    assert found.steps[0].weights.coding == "ans"
