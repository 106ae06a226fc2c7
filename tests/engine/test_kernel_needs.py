"""What each kernel needs of a layer, and how much memory it asks for, at the boundaries."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from build import single, tensor
from test_variants import CONV, DENSE, DEPTHWISE, Layer

from autotiny.engine import check_supported, fuse, plain_schedule, schedule_for
from autotiny.engine.declared import (
    FLAG,
    SIZE,
    Declared,
    Ignored,
    OneOf,
    Real,
    Takes,
    Values,
    Whole,
    check,
    check_sizes,
)
from autotiny.engine.kernel import C_TYPE, Kernel, Scratch, Site, Table, initializer
from autotiny.engine.layers import constants, rows
from autotiny.engine.layers.matrix import Matrix, why_not_fast
from autotiny.engine.layers.patches import product_overlap
from autotiny.engine.variants import blocks, emit, lines, pairs, planes, sparse, strassen, winograd
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
from autotiny.errors import UnsupportedOp
from autotiny.graph import ITEM_BYTES, DType, Graph, Option, Tensor
from autotiny.schedule import Plain, Step, Way, Weights

WhyNot = Callable[[Site], str | None]


def site_of(layer: Layer, fused: bool = False, **options: Option) -> Site:
    graph = layer.graph()
    op, *others = graph.ops
    graph = graph.with_ops((replace(op, options={**op.options, **options}), *others))
    schedule = fuse(graph, plain_schedule(graph)) if fused else plain_schedule(graph)
    return Site(graph, schedule.steps[0])


def with_step(site: Site, **fields: Any) -> Site:
    return replace(site, step=replace(site.step, **fields))


def with_tensor(graph: Graph, index: int, **fields: Any) -> Graph:
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **fields)
    return replace(graph, tensors=tuple(tensors))


def in_blocks(site: Site) -> str | None:
    return blocks.why_not(site.by(Blocks(4, 2)))


def expanded(site: Site) -> str | None:
    return blocks.why_not(site.by(EXPANDED))


GEMM, DEEP, LINE = in_blocks, planes.why_not, lines.why_not
REFUSALS: tuple[tuple[WhyNot, Site, str | None], ...] = (
    (GEMM, site_of(Layer(CONV, (20, 4, 4), 8, (16, 1), padding="VALID")), None),
    (GEMM, site_of(Layer(CONV, (20, 4, 4), 8, (17, 1), padding="VALID")), "more than 16 rows"),
    (GEMM, site_of(Layer(CONV, (6, 6, 4), 8, (3, 3)), dilation_h_factor=2), "it is dilated"),
    (GEMM, site_of(Layer(CONV, (6, 6, 4), 8, (3, 3)), dilation_w_factor=2), "it is dilated"),
    (GEMM, site_of(Layer(CONV, (4, 4, 4), 6, pool=True), fused=True), None),
    (GEMM, site_of(Layer(CONV, (4, 4, 4), 5, pool=True), fused=True), "even number of channels"),
    (
        expanded,
        site_of(Layer(CONV, (4, 4, 4), 6, pool=True), fused=True),
        "expanded and a pooling is fused",
    ),
    (GEMM, site_of(Layer(DENSE, (1, 1, 8), 3)), None),
    (GEMM, site_of(Layer(DENSE, (1, 1, 9), 3)), "do not fill words"),
    (DEEP, site_of(Layer(DEPTHWISE, (5, 5, 8), 8, (3, 3))), None),
    (DEEP, site_of(Layer(DEPTHWISE, (5, 5, 8), 16, (3, 3))), "several outputs a channel"),
    (DEEP, site_of(Layer(DEPTHWISE, (5, 5, 8), 8, (3, 2))), "only 3×3"),
    (DEEP, site_of(Layer(DEPTHWISE, (5, 5, 8), 8, (2, 3))), "only 3×3"),
    (DEEP, site_of(Layer(DEPTHWISE, (5, 5, 8), 8, (3, 3)), dilation_h_factor=2), "is dilated"),
    (DEEP, site_of(Layer(DEPTHWISE, (5, 5, 8), 8, (3, 3)), dilation_w_factor=2), "is dilated"),
    (DEEP, site_of(Layer(DEPTHWISE, (5, 5, 8), 8, (3, 3)), stride_h=2), "not both 1 or both 2"),
    (DEEP, site_of(Layer(DEPTHWISE, (9, 9, 8), 8, (3, 3), stride=2)), None),
    (DEEP, site_of(Layer(DEPTHWISE, (9, 9, 8), 8, (3, 3), stride=3)), "not both 1 or both 2"),
    (DEEP, site_of(Layer(DEPTHWISE, (120, 3, 2), 2, (3, 3))), None),
    (DEEP, site_of(Layer(DEPTHWISE, (121, 3, 2), 2, (3, 3))), "lines are too long"),
    (DEEP, site_of(Layer(DEPTHWISE, (3, 120, 2), 2, (3, 3))), None),
    (DEEP, site_of(Layer(DEPTHWISE, (3, 121, 2), 2, (3, 3))), "lines are too long"),
    (DEEP, site_of(Layer(DEPTHWISE, (3, 4, 500), 500, (3, 3))), None),  # 2 · 4 · 500
    (DEEP, site_of(Layer(DEPTHWISE, (3, 4, 501), 501, (3, 3))), "rows are too long"),
    (DEEP, site_of(Layer(DEPTHWISE, (5, 5, 800), 800, (3, 3), 2, "VALID")), None),  # 5 · 800
    (DEEP, site_of(Layer(DEPTHWISE, (5, 5, 801), 801, (3, 3), 2, "VALID")), "rows are too long"),
    (LINE, site_of(Layer(DEPTHWISE, (15, 9, 8), 8, (11, 11))), None),
    (LINE, site_of(Layer(DEPTHWISE, (15, 9, 8), 8, (12, 11))), None),
    (LINE, site_of(Layer(DEPTHWISE, (15, 9, 8), 8, (12, 12))), "filters are too large"),
    (LINE, site_of(Layer(DEPTHWISE, (40, 1, 8), 8, (40, 1))), None),
    (LINE, site_of(Layer(DEPTHWISE, (5, 5, 8), 16, (5, 5))), "several outputs a channel"),
    (LINE, site_of(Layer(CONV, (5, 5, 8), 8, (5, 5))), "no depthwise convolution"),
    (
        lines.why_not,
        site_of(Layer(DEPTHWISE, (9, 9, 8), 8, (5, 5), stride=3)),
        "not both 1 or both 2",
    ),
    (
        lines.why_not,
        site_of(Layer(DEPTHWISE, (9, 9, 8), 8, (5, 5)), dilation_w_factor=2),
        "dilated",
    ),
    (LINE, site_of(Layer(DEPTHWISE, (4, 5, 401), 401, (5, 5))), "rows are too long"),
    (winograd.why_not, site_of(Layer(CONV, (5, 5, 8), 4, (3, 3))), None),
    (winograd.why_not, site_of(Layer(CONV, (5, 5, 5), 7, (3, 3))), None),
    (winograd.why_not, site_of(Layer(CONV, (5, 5, 3), 4, (3, 3))), "fewer than 4 input"),
    (winograd.why_not, site_of(Layer(CONV, (5, 5, 4), 3, (3, 3))), "fewer than 4 input or output"),
    (winograd.why_not, site_of(Layer(CONV, (5, 5, 8), 4, (3, 3), 2)), "3×3 of stride 1"),
    (winograd.why_not, site_of(Layer(CONV, (5, 5, 8), 4, (3, 3)), stride_w=2), "of stride 1"),
    (winograd.why_not, site_of(Layer(CONV, (5, 5, 8), 4, (1, 3))), "3×3 of stride 1"),
    (winograd.why_not, site_of(Layer(CONV, (5, 5, 8), 4, (3, 1))), "3×3 of stride 1"),
    (winograd.why_not, site_of(Layer(CONV, (3, 3, 1024), 4, (3, 3))), None),
    (winograd.why_not, site_of(Layer(CONV, (3, 3, 1032), 4, (3, 3))), "more than 1,024"),
    (
        winograd.why_not,
        site_of(Layer(CONV, (4, 4, 8), 4, (3, 3), pool=True), fused=True),
        "is fused into it",
    ),
    (strassen.why_not, site_of(Layer(CONV, (4, 4, 16), 4)), None),
    (strassen.why_not, site_of(Layer(CONV, (4, 4, 24), 4)), "a multiple of 16 inputs"),
    (strassen.why_not, site_of(Layer(CONV, (4, 4, 16), 6)), "and of 4 outputs"),
    (strassen.why_not, site_of(Layer(CONV, (4, 4, 16), 4, (3, 3))), "not 1×1 of stride 1"),
    (strassen.why_not, site_of(Layer(CONV, (4, 4, 16), 4, (1, 1), 2)), "not 1×1 of stride 1"),
    (strassen.why_not, site_of(Layer(CONV, (2, 4, 16), 4)), None),
    (strassen.why_not, site_of(Layer(CONV, (1, 7, 16), 4)), "fill blocks of eight too badly"),
    (strassen.why_not, site_of(Layer(CONV, (3, 5, 16), 4)), None),  # 7 · 16 < 8 · 15
    (strassen.why_not, site_of(Layer(CONV, (2, 7, 16), 4)), "too badly"),  # 7 · 16 = 8 · 14
    (
        strassen.why_not,
        site_of(Layer(CONV, (4, 4, 16), 4, pool=True), fused=True),
        "is fused into it",
    ),
    (pairs.why_not, site_of(Layer(DENSE, (1, 1, 9), 3)), None),
    (pairs.why_not, site_of(Layer(DENSE, (1, 1, 9), 3, rows=2)), "several rows"),
    (pairs.why_not, site_of(Layer(CONV, (4, 4, 3), 5, (3, 3))), None),
    (pairs.why_not, site_of(Layer(CONV, (4, 4, 4), 4, pool=True), fused=True), "is fused"),
    (pairs.why_not, site_of(Layer(CONV, (6, 6, 3), 5, (3, 3)), dilation_h_factor=2), "is dilated"),
    (sparse.why_not, site_of(Layer(DENSE, (1, 1, 9), 3)), None),
    (sparse.why_not, site_of(Layer(DENSE, (1, 1, 9), 3, rows=2)), "several rows"),
    (sparse.why_not, site_of(Layer(CONV, (4, 4, 4), 5, pool=True), fused=True), None),
    (sparse.why_not, site_of(Layer(CONV, (6, 6, 3), 5, (3, 3)), dilation_h_factor=2), "dilated"),
    (rows.why_no_rows, site_of(Layer(CONV, (4, 4, 4), 5, (3, 3))), None),
    (rows.why_no_rows, site_of(Layer(CONV, (3, 4, 4), 5, (3, 3))), "reaches over all rows"),
    (
        rows.why_no_rows,
        site_of(Layer(CONV, (5, 4, 4), 5, (3, 3)), dilation_h_factor=2),
        "reaches over all rows",
    ),
    (rows.why_no_rows, site_of(Layer(CONV, (6, 4, 4), 5, (3, 3)), dilation_h_factor=2), None),
    (rows.why_no_rows, site_of(Layer(CONV, (1 << 16, 1, 1), 1)), None),
    (rows.why_no_rows, site_of(Layer(CONV, ((1 << 16) + 1, 1, 1), 1)), "more than 65536 rows"),
    (rows.why_no_rows, site_of(Layer(DENSE, (1, 1, 9), 3)), "no plain kernel with a window"),
    (
        rows.why_no_rows,
        site_of(Layer(CONV, (4, 4, 4), 4, pool=True), fused=True),
        "something is fused",
    ),
    *(
        (rows.why_no_rows, with_step(site_of(Layer(CONV, (4, 4, 4), 5)), **field), "the plain way")
        for field in ({"kernel": Blocks(4, 2)}, {"kernel": Pairs()}, {"weights": Weights("ans")})
    ),
)


def test_every_kernel_says_what_it_needs() -> None:
    for why_not, site, text in REFUSALS:
        found, where = why_not(site), (why_not, site.op, site.input(0).shape)
        if text is None:
            assert found is None, where
        else:
            assert found is not None and text in found, (where, found)


def test_groups_have_no_patches() -> None:
    graph = Layer(CONV, (6, 6, 4), 8, (3, 3)).graph()
    half = np.ones((8, 3, 3, 2), np.int8)
    site = Site(with_tensor(graph, 1, shape=half.shape, data=half), Step((0,)))
    assert in_blocks(site) == "it has groups"


def test_only_two_by_two_max_pooling_is_computed_in_blocks() -> None:
    graph = Layer(CONV, (8, 8, 4), 4, pool=True).graph()
    conv, pool = graph.ops
    for name in ("filter_height", "filter_width", "stride_h", "stride_w"):
        other = replace(pool, options={**pool.options, name: 1})
        site = Site(graph.with_ops((conv, other)), Step((0, 1)))
        assert "only 2×2 max-pooling" in str(in_blocks(site))
        assert sparse.why_not(site) == "only 2×2 max-pooling is fused into it"


def made(**fields: Any) -> Matrix:
    """Two channels of four taps, scaled by 1/4."""
    two = np.ones(2, np.int64)
    usual: dict[str, Any] = {
        "weights": np.ones((2, 4), np.int64),
        "bias": 0 * two,
        "multiplier": two << 30,
        "rounding": 2 * two,
        "shift": 2 * two,
        "low": -128,
        "high": 127,
        "swallows_negatives": False,
    }
    return Matrix(**{**usual, **fields})


LANES = (1 << 23) - 4 * 128  # what is left of a lane for a bias
HALVES = (1 << 29) - 4 * 128  # of a sum that is multiplied in halves


@pytest.mark.parametrize(
    ("fields", "arguments", "text"),
    [
        ({}, {}, None),
        ({"shift": [2, 1]}, {}, None),
        ({"shift": [2, -1]}, {}, "scaled by more than 1$"),
        ({"shift": [2, 0]}, {}, "scaled by more than 1/2"),
        ({"shift": [2, 0], "swallows_negatives": True}, {}, None),
        ({"shift": [2, 0], "swallows_negatives": True, "low": 0}, {}, "more than 1/2"),
        ({"weights": [[1, 1, 1, 1], [-127, 1, 1, 1]]}, {}, None),
        ({"weights": [[1, 1, 1, 1], [-128, 1, 1, 1]]}, {}, "a weight is −128"),
        ({"weights": [[1, 1, 1, 1], [-128, 1, 1, 1]]}, {"lanes": False}, None),
        ({"bias": [0, LANES - 1]}, {}, None),
        ({"bias": [0, LANES]}, {}, "exceed 23 bits"),
        ({"bias": [0, -LANES]}, {}, "exceed 23 bits"),
        ({"bias": [0, LANES]}, {"dense": True}, "exceed 23 bits"),  # the bias is in each part
        ({"bias": [0, LANES]}, {"lanes": False}, None),
        ({"bias": [0, HALVES - 1]}, {"lanes": False}, None),
        ({"bias": [0, -HALVES]}, {"lanes": False}, "exceed 29 bits"),
        ({"bias": [0, HALVES - 1], "rounding": [0, (1 << 30) + 1]}, {"lanes": False}, None),
        ({"bias": [0, HALVES - 1], "rounding": [0, (1 << 30) + 2]}, {"lanes": False}, "32 bits"),
        ({"bias": [0, HALVES - 1], "rounding": [0, -(1 << 30) - 2]}, {"lanes": False}, "32 bits"),
    ],
)
def test_sums_fit_their_words(
    fields: dict[str, Any], arguments: dict[str, bool], text: str | None
) -> None:
    arrays = {
        name: np.array(value, np.int64) if isinstance(value, list) else value
        for name, value in fields.items()
    }
    found = why_not_fast(made(**arrays), **arguments)
    assert found is None if text is None else re.search(text, str(found))


def test_inputs_are_cut_where_whole_sums_do_not_fit() -> None:
    weights = np.full((2, 1024), 100, np.int64)
    large = made(weights=weights)  # 1024 · 100 · 128 exceeds 2^23
    assert "exceed 23 bits" in str(why_not_fast(large))
    assert why_not_fast(large, dense=True) is None


# Memory


def scratch_of(kernel: Kernel) -> dict[str, int]:
    return {o.name: o.what.bytes for o in kernel.operands if isinstance(o.what, Scratch)}


@pytest.mark.parametrize(
    ("layer", "kernel", "expected"),
    [
        # 45 taps: 12 fours, read whole, of two pairs each, written though the last is not read
        (
            Layer(CONV, (6, 6, 5), 4, (3, 3), padding="VALID"),
            Blocks(2, 4),
            {"columns": 4 * 2 * 24, "joined": 12 * 4},
        ),
        (
            Layer(CONV, (6, 6, 4), 4, (3, 3)),
            Blocks(4, 2),
            {"columns": 4 * 4 * 18, "ring": 3 * 8 * 4 + 4},
        ),
        (
            Layer(CONV, (7, 6, 3), 4, (3, 3), stride=2),
            Blocks(2, 4),
            # 7 columns (one behind) of 3 channels in words; the first padding stands behind
            {"columns": 4 * 2 * 14, "ring": 3 * 24 + 4, "joined": 2 * 9 + 12},
        ),
        (
            Layer(CONV, (4, 4, 8), 4),
            Blocks(4, 2),
            {"columns": 4 * 4 * 4},
        ),
        (
            Layer(CONV, (6, 6, 8), 4, (3, 3)),
            Winograd(),
            {"ring": 4 * 8 * 8, "v": 16 * 4 * 8 + 128, "m": 16 * 8 * 4},
        ),
        (
            Layer(CONV, (6, 6, 8), 4, (3, 3)),
            Winograd(8),  # there are six pairs of patches
            {
                "ring": 4 * 8 * 8,
                "v": 6 * 16 * 4 * 8 + 128,
                "m": 6 * 16 * 8 * 4,
                "block": 4 * (16 * (4 + 16) + 12),
            },
        ),
        (
            Layer(CONV, (6, 6, 6), 5, (3, 3)),
            Winograd(8),  # as eight inputs
            {
                "ring": 4 * 8 * 8,
                "v": 6 * 16 * 4 * 8 + 128,
                "m": 6 * 16 * 8 * 4,
                "block": 4 * (16 * (4 + 16) + 12),
            },
        ),
        (
            Layer(CONV, (4, 4, 8), 4),
            Strip(6),
            {"columns": 4 * (6 * 4 + 2), "block": 4 * (4 + 4 * 4 + 12)},
        ),
        (
            Layer(CONV, (3, 3, 3), 4, (3, 3)),
            Strip(64),
            # 9 pixels; a row of 9 taps takes 5 words; a lead, 5 columns of 3 int16, half a word
            {
                "columns": 4 * (10 * 15 + 2),
                "block": 4 * (4 + 4 * 15 + 12),
                "ring": 4 * 3 * (8 + 1),
            },
        ),
        (
            Layer(CONV, (6, 6, 3), 4, (3, 3)),
            Slide(),
            # rows of 3 · (8 + 1) int16 and 4 more, twice
            {"rows": 4 * 3 * 2 * 16, "block": 4 * (4 + 4 * 15 + 12)},
        ),
        (
            Layer(CONV, (6, 6, 3), 4, (3, 3)),
            Slide(2),  # four rows are under two of outputs
            {"rows": 4 * 4 * 2 * 16, "block": 4 * (4 + 4 * 15 + 12)},
        ),
        (
            Layer(CONV, (6, 6, 3), 4, (3, 3)),
            Trios(),
            # 27 taps and one behind; a block of six pixels reaches over two rows of outputs
            {"columns": 16 * 28, "ring": 4 * 24 + 4},
        ),
        (
            Layer(CONV, (6, 6, 3), 4, (3, 3)),
            Trios(3),
            {"columns": 8 * 28, "ring": 4 * 24 + 4},
        ),
        (
            Layer(CONV, (6, 2, 8), 4, (3, 3)),
            Trios(18),  # there are 12 pixels, a block reaches over four rows
            {"columns": 2 * 16 * 72, "ring": 6 * 4 * 8 + 4},
        ),
        (
            Layer(DEPTHWISE, (6, 5, 8), 8, (3, 3)),
            RowPairs(),
            {"plane": 4 * 4 * 7 * 4},  # pairs of rows, columns, channels, bytes
        ),
        (
            Layer(CONV, (6, 6, 3), 4, (3, 3)),
            Pairs(),
            {"patches": 2 * 27, "ring": 3 * 24 + 4},
        ),
        (
            Layer(CONV, (4, 4, 32), 4),
            Strassen(32),
            {"v": 28 * 32 * 2, "m": 224 * 2},  # 16 pixels are two blocks of eight
        ),
        (
            Layer(CONV, (4, 4, 32), 4),
            Strassen(8),
            {"v": 28 * 32, "m": 224},
        ),
    ],
)
def test_working_memory_holds_what_is_computed_at_once(
    layer: Layer, kernel: Way, expected: dict[str, int]
) -> None:
    assert scratch_of(emit(site_of(layer).by(kernel))) == expected


@pytest.mark.parametrize(
    ("layer", "lines", "pitch"),
    [
        # stride 1, two outputs a time: the longer of what is read and of 2 outputs and 2 more
        (Layer(DEPTHWISE, (6, 6, 2), 2, (3, 3)), 8, 8),
        (Layer(DEPTHWISE, (6, 5, 2), 2, (3, 3)), 7, 8),  # lines are columns: 3·6 < 3·5 steps
        (Layer(DEPTHWISE, (9, 8, 2), 2, (3, 3), stride=2), 11, 10),
        (Layer(DEPTHWISE, (7, 7, 2), 2, (3, 3), padding="VALID"), 7, 8),
    ],
    ids=str,
)
def test_a_plane_holds_its_padding_and_whole_words(layer: Layer, lines: int, pitch: int) -> None:
    kernel = emit(site_of(layer).by(Planes()))
    assert scratch_of(kernel) == {"plane": 2 * lines * pitch}
    assert f".pitch = {pitch}" in kernel.body
    assert f".size = {lines * pitch}" in kernel.body


@pytest.mark.parametrize(
    ("count", "depth", "out", "block", "expected"),
    [
        (4, 8, 5, 4, 32),  # all is read before anything is written
        (3, 8, 5, 4, 24),
        (5, 8, 5, 4, 4 * 3),  # behind the first block 4 pixels are read, 4 written
        (9, 8, 5, 4, 4 * 3),
        (9, 5, 8, 4, 8 * -3),
        (8, 5, 8, 4, 4 * -3),
        (9, 8, 8, 4, 0),
    ],
)
def test_the_output_of_a_product_starts_behind_what_is_unread(
    count: int, depth: int, out: int, block: int, expected: int
) -> None:
    assert product_overlap(count, depth, out, block) == expected


# The input's zero-point


def centred(bias: int, zero: int = -1, weight: int = 1, padding: str = "VALID") -> Any:
    """The bias and zero-point of a convolution of one tap."""
    graph = single(
        "CONV_2D",
        [
            tensor((1, 1, 1, 1), "int8", 1.0, zero),
            tensor((1, 1, 1, 1), "int8", 1.0, data=[weight]),
            tensor((1,), "int32", 1.0, data=[bias]),
        ],
        tensor((1, 1, 1, 1), "int8", 4.0),
        stride_h=1,
        stride_w=1,
        padding=padding,
    )
    found, bounds = constants.centred(Site(graph, Step((0,))), np.array([-2]))
    return found.tolist(), *(re.findall(rf"\.{f} = (-?\d+)", bounds)[0] for f in ("zero", "down"))


def test_a_zero_point_is_part_of_the_bias_if_no_sum_overflows() -> None:
    most = (1 << 31) - 128 - 1
    assert centred(most - 1) == ([most], "0", "0")
    assert centred(most) == ([most], "1", "0")
    assert centred(-most + 1, 1) == ([-most], "0", "0")
    assert centred(5, 3, -2) == ([5 + 6], "0", "1")


def test_sums_below_half_a_word_are_shifted_down_at_once() -> None:
    most = (1 << 30) - 128 - 1
    assert centred(most, 0) == ([most], "0", "1")
    assert centred(most + 1, 0) == ([most + 1], "0", "0")


# Ops that move, repeat and reduce


def test_five_dimensions_are_moved_and_no_more() -> None:
    for rank, fits in ((5, True), (6, False)):
        shape = tuple(range(2, rank + 2))
        axes = tuple(reversed(range(rank)))
        graph = single(
            "TRANSPOSE",
            [tensor(shape, "int8"), tensor((rank,), "int32", data=axes)],
            tensor(shape[::-1], "int8"),
        )
        if fits:
            check_supported(graph)
        else:
            with pytest.raises(UnsupportedOp, match="moves elements along more than 5 dimensions"):
                check_supported(graph)


def test_inputs_alternate_in_five_dimensions_and_no_more() -> None:
    for rank, fits in ((5, True), (6, False)):
        a = tuple(2 if k % 2 else 1 for k in range(rank))
        b = tuple(1 if k % 2 else 2 for k in range(rank))
        graph = single(
            "MUL", [tensor(a, "float32"), tensor(b, "float32")], tensor((2,) * rank, "float32")
        )
        if fits:
            check_supported(graph)
        else:
            with pytest.raises(UnsupportedOp, match="alternate in more than 5 dimensions"):
                check_supported(graph)


@pytest.mark.parametrize(("axes", "fits"), [((1, 3), 1), ((0, 2, 4), 0), ((0, 1), 1), ((4,), 1)])
def test_reduced_dimensions_lie_in_two_places(axes: tuple[int, ...], fits: int) -> None:
    shape = (2, 3, 4, 5, 6)
    kept = tuple(n for k, n in enumerate(shape) if k not in axes)
    graph = single(
        "SUM",
        [tensor(shape, "float32"), tensor((len(axes),), "int32", data=axes)],
        tensor(kept, "float32"),
    )
    if fits:
        check_supported(graph)
    else:
        with pytest.raises(UnsupportedOp, match="lie in too many places"):
            check_supported(graph)


# Declarations


@pytest.mark.parametrize(
    ("values", "taken", "refused"),
    [
        (FLAG, [False, True], [0, 1, "True"]),
        (SIZE, [1, 2**31 - 1], [0, 2**31, True, 1.0]),
        (Whole(), [-(2**31), 2**31 - 1], [-(2**31) - 1, 2**31]),
        (Whole(0), [0], [-1]),
        (OneOf(("A", 0)), ["A", 0], ["B", False, 0.0]),
        (Real(), [-1e30, 0, 2.5], [float("inf"), float("nan"), True, "1"]),
        (Real(0.0), [0.0, 1], [-1e-9]),
        (Ignored(str), ["any"], [1]),
    ],
)
def test_options_have_the_values_that_are_declared(
    values: Values, taken: list[Any], refused: list[Any]
) -> None:
    assert [values.takes(one) for one in taken] == [True] * len(taken)
    assert [values.takes(one) for one in refused] == [False] * len(refused)


def sized(shape: tuple[int, ...], dtype: DType) -> Graph:
    return Graph((Tensor("x", shape, dtype),), (), (0,), (0,))


def test_a_tensor_is_as_large_as_an_offset_can_say() -> None:
    check_sizes(sized((2**31 - 1,), "int8"))
    check_sizes(sized((2**29 - 1,), "float32"))
    check_sizes(sized((0, 2), "int8"))
    check_sizes(sized((), "int64"))
    for shape, dtype in (((2**31,), "int8"), ((2**29,), "float32"), ((-1,), "int8"),
                         ((-1, -1), "int8")):  # fmt: skip
        with pytest.raises(UnsupportedOp, match="its bytes at most 2147483647"):
            check_sizes(sized(shape, dtype))  # type: ignore[arg-type]


def test_types_of_c_have_the_bytes_of_their_elements() -> None:
    bits = {"float32": 32, "float16": 16, "int4": 8, "bool": 8}
    for dtype, c in C_TYPE.items():
        size = int(re.sub(r"\D", "", c) or 32)
        assert size == bits.get(dtype, int(re.sub(r"\D", "", dtype) or 0))
        unsigned = dtype in ("float16", "bool") or dtype.startswith("u")
        assert c.startswith("u") == unsigned
    assert set(ITEM_BYTES) <= set(C_TYPE)
    assert initializer(a=1, b="x") == "{.a = 1, .b = x}"


def test_weights_lie_where_the_step_says() -> None:
    for place in ("flash", "sram"):
        site = with_step(site_of(Layer(CONV, (4, 4, 4), 5)), weights=Weights(memory=place))
        tables = [o.what for o in emit(site).operands if isinstance(o.what, Table)]
        assert len(tables) == 4
        assert {one.memory for one in tables} == {place}


def relu(x: Tensor, y: Tensor | None = None) -> Site:
    graph = single("RELU", [x], tensor((2,), "int8") if y is None else y)
    return Site(graph, Step((0,)))


def test_of_a_tensor_only_what_is_declared_is_asked() -> None:
    """By default one that is there and not empty, of any rank up to 8 and any scale."""
    one = Takes("input", ("int8",))

    def check_with(site: Site, takes: Takes = one, **options: Values) -> None:
        check(site, Declared((takes,), (one,), lambda site: None, options))

    x = tensor((2,), "int8")
    taken: list[tuple[Tensor, Takes]] = [
        (x, one),
        (tensor((2,), "int8", data=[1, 2]), one),
        (tensor((2,), "int8", [0.5, 1.0], [3, 4]), one),
        (tensor((1,) * 8, "int8"), one),
        (tensor((), "int8"), one),
        (tensor((0,), "int8"), replace(one, empty=True)),
        (tensor((2,), "int8", 0.5, 3), replace(one, scales="one")),
        (tensor((2,), "int8", [0.5, 1.0], [0, 0]), replace(one, scales="channel", symmetric=True)),
        (tensor((2,), "int8", data=[1, 2]), replace(one, constant=True)),
    ]
    for given, takes in taken:
        check_with(relu(given), takes)
    refused: list[tuple[Tensor, Takes, str]] = [
        (tensor((2,), "int16"), one, "the type of its input is int16; int8 is computed"),
        (tensor((1,) * 9, "int8"), one, "0 to 8 dimensions are computed"),
        (x, replace(one, ranks=(2, 2)), "; 2 dimensions are computed"),
        (tensor((0,), "int8"), one, "it is empty"),
        (x, replace(one, constant=True), "its input must be constant"),
        (x, replace(one, scales="one"), "has no quantization"),
        (x, replace(one, scales="channel"), "has no quantization"),
        (tensor((2,), "int8", [0.5, 1.0]), replace(one, scales="one"), "there are 2"),
        (tensor((2,), "int8", 0.5, 3), replace(one, scales="one", symmetric=True), "is not 0"),
        (x, replace(one, dtypes=()), "an op with input is not computed"),
    ]
    for given, takes, text in refused:
        with pytest.raises(UnsupportedOp, match=text):
            check_with(relu(given), takes)
    graph = relu(x).graph
    for inputs, takes, text in (
        ((-1,), replace(one, optional=True), ""),
        ((-1,), one, "it has no input"),
        ((0, 0), one, "it has 2 inputs; 1 are computed"),
        ((0, 0), replace(one, many=True), ""),
    ):
        site = Site(graph.with_ops((replace(graph.ops[0], inputs=inputs),)), Step((0,)))
        if text:
            with pytest.raises(UnsupportedOp, match=text):
                check_with(site, takes)
        else:
            check_with(site, takes)
    with_option = graph.with_ops((replace(graph.ops[0], options={"n": 1}),))
    check_with(Site(with_option, Step((0,))), n=SIZE)
    with pytest.raises(UnsupportedOp, match="its option n = 1 is unknown"):
        check_with(Site(with_option, Step((0,))))
    with pytest.raises(UnsupportedOp, match="its option n is 1; it must be False or True"):
        check_with(Site(with_option, Step((0,))), n=FLAG)


@pytest.mark.parametrize(
    ("window", "stride", "way"),
    [
        ((3, 3), 1, RowPairs()),
        ((5, 5), 2, Lines()),
        ((3, 1), 1, Lines()),
        ((1, 2), 1, Plain()),
        ((1, 4), 2, Plain()),
        ((5, 1), 2, Lines()),
    ],
)
def test_lines_are_chosen_where_spreading_pays(
    window: tuple[int, int], stride: int, way: Way
) -> None:
    graph = Layer(DEPTHWISE, (12, 12, 4), 4, window, stride=stride).graph()
    (step,) = schedule_for(graph, "fastest", dsp=True).steps
    assert step.kernel == way
