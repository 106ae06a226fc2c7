"""The streams of the fast kernels, word by word, as the kernels' comments say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import numpy as np
import pytest
from build import single, tensor

import autotiny.engine
import autotiny.tflite
from autotiny.engine.kernel import Site
from autotiny.engine.layers.lanes import lane_stream
from autotiny.engine.layers.matrix import (
    Matrix,
    Tiling,
    dense_parts,
    finish_struct,
    in_pairs,
    matrix,
    padded,
)
from autotiny.engine.ops import sparse as sparse_layers
from autotiny.engine.variants import planes, strassen, winograd
from autotiny.engine.variants.blocks.packing import expanded_stream
from autotiny.engine.variants.sparse import packing as sparse_packing
from autotiny.engine.variants.sparse.packing import Format
from autotiny.schedule import Step


def made(weights: Any, **changed: Any) -> Matrix:
    """A layer of these weights; its constants tell its channels apart."""
    taps = np.array(weights, np.int64)
    channels = np.arange(1, len(taps) + 1)
    usual: dict[str, Any] = {
        "bias": 10 * channels,
        "multiplier": 1000 * channels,
        "rounding": 100 * channels,
        "shift": channels,
        "low": -128,
        "high": 127,
        "swallows_negatives": False,
    }
    return Matrix(taps, **{**usual, **changed})


def ends(*channels: int) -> list[int]:
    return [n for c in channels for n in (1000 * c, 100 * c, c)]


def two(high: int, low: int) -> int:
    """Weights of two channels in a lane."""
    return (256 * high + low) & 0xFFFF


def word(first: int, second: int) -> int:
    return first & 0xFFFF | (second & 0xFFFF) << 16


def lanes_of(layer: Matrix, columns: int) -> Any:
    """The stream of a product in blocks of so many channels."""
    return lane_stream(layer, in_pairs(layer.weights), Tiling(len(layer.bias), columns, columns))


FOUR = [[1, 2, 3, 4], [5, 6, 7, 8], [-1, -2, -3, -4], [9, 10, 11, 12]]
ROWS = np.array(FOUR).T


@pytest.mark.parametrize(
    ("taps", "pairs"), [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (8, 4), (9, 5), (10, 6)]
)
def test_taps_are_paired_as_the_input_is_spread(taps: int, pairs: int) -> None:
    found = in_pairs(np.arange(1, taps + 1)[None])
    assert found.shape == (1, pairs, 2)
    first = [[1, 3], [2, 4]] if taps >= 4 else [[1, 3 if taps > 2 else 0], [2, 0]]
    assert found[0, :2].tolist() == first[:pairs]
    assert found.sum() == taps * (taps + 1) // 2


def test_two_channels_share_the_lanes_of_a_word() -> None:
    stream = lanes_of(made(FOUR[:2]), 2)
    weights = [word(two(1, 5), two(3, 7)), word(two(2, 6), two(4, 8))]
    assert stream.tolist() == [256 * 10 + 20, 20, *weights, *ends(1, 2)]


def test_four_columns_stand_side_by_side() -> None:
    stream = lanes_of(made(FOUR), 4)
    a, b = (word(two(r[0], r[1]), two(s[0], s[1])) for r, s in ((ROWS[0], ROWS[2]), ROWS[1::2]))
    c, d = (word(two(r[2], r[3]), two(s[2], s[3])) for r, s in ((ROWS[0], ROWS[2]), ROWS[1::2]))
    starts = [256 * 10 + 20, 20, 256 * 30 + 40, 40]
    assert stream.tolist() == [*starts, a, c, b, d, *ends(1, 2, 3, 4)]


def test_missing_channels_are_empty() -> None:
    grown = padded(made(FOUR[:3]), 4)
    assert grown.weights.tolist() == [*FOUR[:3], [0] * 4]
    assert grown.bias.tolist() == [10, 20, 30, 0]
    assert padded(made(FOUR), 4).weights.tolist() == FOUR
    stream = lanes_of(made(FOUR[:1]), 2).tolist()
    weights = [word(two(1, 0), two(3, 0)), word(two(2, 0), two(4, 0))]
    assert stream == [2560, 0, *weights, *ends(1), 0, 0, 0]


def test_negative_numbers_are_words_too() -> None:
    stream = lanes_of(made([[-1, 0, 0, 0], [0] * 4], bias=np.array([-1, -2])), 2)
    assert stream[:3].tolist() == [2**32 - 258, 2**32 - 2, word(two(-1, 0), 0)]


def test_expanded_weights_are_doubled() -> None:
    stream = expanded_stream(made(FOUR), Tiling(4, 4, 4)).tolist()
    words = [word(2 * row[k], 2 * row[k + 2]) for k in (0, 1) for row in FOUR]
    assert stream == [20, 40, 60, 80, *words, *ends(1, 2, 3, 4)]
    assert len(expanded_stream(made(FOUR * 2), Tiling(8, 4, 4))) == 2 * (4 + 8 + 12)


def test_a_dense_layer_is_cut_in_eights_and_twos() -> None:
    layer = made([[k, 0, 0, 0] for k in range(1, 12)])
    tiling = Tiling(11, 8, 2)
    stream = lane_stream(layer, in_pairs(layer.weights), tiling)
    assert (tiling.blocks, tiling.left) == (1, 3)
    # 8 starts, 2 pairs of 4 words, 8 ends; then twice 2, 2 and 2 ends
    assert len(stream) == (8 + 8 + 24) + 2 * (2 + 2 + 6)
    assert stream[:2].tolist() == [256 * 10 + 20, 20]
    assert stream[8:12].tolist() == [two(k, k + 1) for k in (1, 3, 5, 7)]
    assert stream[40:42].tolist() == [256 * 90 + 100, 100]
    assert stream[50:52].tolist() == [256 * 110, 0]
    assert stream[-6:].tolist() == [*ends(11), 0, 0, 0]


@pytest.mark.parametrize(
    ("depth", "weight", "bias", "parts"),
    [
        (8, 1, 0, 1),
        (1024, 63, 0, 1),  # 1024 · 63 · 128 + 0 < 2^23
        (1024, 64, 0, 2),  # exactly 2^23
        (1024, 127, 0, 2),
        (2048, 64, 1, 4),
        (1024, 64, (1 << 22) - 1, 2),
        (1024, 64, 1 << 22, 4),
        (8, 1, 1 << 23, 0),
        (12, 127, (1 << 23) - 1, 0),
        (1020, 127, 0, 3),  # not 2: 1020 is no multiple of 8
    ],
)
def test_parts_are_whole_words_whose_sums_fit(
    depth: int, weight: int, bias: int, parts: int
) -> None:
    layer = made(np.full((1, depth), weight), bias=np.array([bias]))
    assert dense_parts(layer) == parts


def test_a_plane_s_filters_are_lines_of_overlapping_pairs() -> None:
    layer = made([range(1, 10)])
    upright = [(1, 2), (2, 3), (4, 5), (5, 6), (7, 8), (8, 9)]
    turned = [(1, 4), (4, 7), (2, 5), (5, 8), (3, 6), (6, 9)]
    for expected, way in ((upright, False), (turned, True)):
        words = [word(2 * a, 2 * b) for a, b in expected]
        assert planes.stream(layer, turned=way).tolist() == [20, *words, *ends(1)]


def dense_site(zero: int = 3, out_zero: int = -5, out_scale: float = 1.0, **options: Any) -> Site:
    graph = single(
        "FULLY_CONNECTED",
        [
            tensor((1, 4), "int8", 0.5, zero),
            tensor((2, 4), "int8", 0.25, data=[[1, 2, 3, 4], [-1, -1, -1, -1]]),
            tensor((2,), "int32", 0.125, data=[100, -100]),
        ],
        tensor((1, 2), "int8", out_scale, out_zero),
        **options,
    )
    return Site(graph, Step((0,)))


def test_a_layer_is_made_of_its_scales_and_zero_points() -> None:
    layer = matrix(dense_site())
    assert layer.bias.tolist() == [100 - 3 * 10, -100 + 3 * 4]
    assert layer.reach.tolist() == [70 + 128 * 10, 88 + 128 * 4]
    assert layer.multiplier.tolist() == [1 << 30] * 2  # 1/8 is half of 2^-2
    assert layer.shift.tolist() == [2, 2]
    assert layer.rounding.tolist() == [2 + (-5 << 2)] * 2
    assert (layer.low, layer.high, layer.finish) == (-128, 127, "signed")
    halved = matrix(dense_site(out_scale=0.25))
    assert (halved.shift.tolist(), halved.rounding.tolist()) == ([0, 0], [-5, -5])
    finer = matrix(dense_site(out_scale=0.0625))
    assert (finer.shift.tolist(), finer.rounding.tolist()) == ([-2, -2], [-5, -5])


@pytest.mark.parametrize(
    ("activation", "zero", "finish"),
    [
        ("NONE", -128, "relu"),  # nothing stored is below −128
        ("RELU", -128, "relu"),
        ("RELU", -127, "clamp"),
        ("RELU6", -128, "clamp"),
        ("NONE", -127, "signed"),
    ],
)
def test_what_follows_the_sums(activation: str, zero: int, finish: str) -> None:
    site = dense_site(out_zero=zero, out_scale=0.125, fused_activation_function=activation)
    layer = matrix(site)
    assert layer.finish == finish
    assert Tiling(2, 2, 2).finish(layer) == finish
    assert Tiling(2, 4, 4).finish(layer) == "clamp"  # no whole blocks
    assert finish_struct(layer).startswith(f"(at_finish){{AT_{finish.upper()}, ")


def test_winograd_s_filters_are_transformed_on_both_sides() -> None:
    """One tap in the middle of a filter: G e eᵀ Gᵀ, four times."""
    weights = np.zeros((4, 9, 8), np.int64)
    weights[0, 4, 3] = 5  # the middle row and column
    weights[1, 0, 0] = 7  # the first ones
    found = winograd.transformed(made(weights.reshape(4, -1)), 8).reshape(4, 4, 4, 8)
    half = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    middle, first = np.outer(half[:, 1], half[:, 1]), np.outer(half[:, 0], half[:, 0])
    np.testing.assert_array_equal(found[:, :, 0, 3], 4 * 5 * middle)
    np.testing.assert_array_equal(found[:, :, 1, 0], 4 * 7 * first)
    assert not found[:, :, 2:].any()
    stream = winograd.stream(made(weights.reshape(4, -1)), 8)
    assert len(stream) == 16 * (4 + 4 * 4) + 12
    blocks = stream[:-12].reshape(16, 20)
    assert blocks[5, :4].tolist() == [40, 80, 120, 160]
    assert not np.delete(blocks[:, :4], 5, axis=0).any()
    # channels 1 and 3 are a pair, the second one
    assert blocks[5, 4:].reshape(4, 4)[1, 0] == word(0, int(4 * 5 * middle[1, 1]))
    assert blocks[5, 4:].reshape(4, 4)[0, 1] == word(int(4 * 7 * first[1, 1]), 0)


def test_strassen_s_seven_factors() -> None:
    """Channels 0 and 1 are left, 2 and 3 right; of four inputs 0 and 2 are the upper half."""
    weights = np.zeros((4, 16), np.int64)
    weights[0, 0], weights[2, 0] = 3, 11
    stream = strassen.stream(made(weights))
    blocks = stream[:-12].reshape(7, 1 + 4, 2)
    left, right = 2 * 10, 2 * 30
    assert blocks[0, 0].tolist() == [left, 2 * 20]
    assert blocks[4, 0].tolist() == [right - left, 2 * 40 - 2 * 20]
    assert len(stream) == 7 * 10 + 12
    # b11 = 3, b12 = 11: t1 = b12 − b11 = 8, t2 = b22 − t1, t3 = b22 − b12
    assert [int(block[1, 0]) & 0xFFFF for block in blocks] == [
        2 * 3, 0, 0, 2 * -8 & 0xFFFF, 2 * 8, 2 * -8 & 0xFFFF, 2 * -11 & 0xFFFF,
    ]  # fmt: skip


# Without zeros


def sparse(row: list[int], form: Format, zero: int = 0, patches: int = 1) -> list[int]:
    """The stream of one output behind its bias and multiplier."""
    layer = made([row], rounding=np.array([1 + (zero << 1)]))
    words: list[int] = sparse_packing.stream(layer, form, zero, patches).tolist()
    return words[2:]


def packed(*values: int) -> int:
    return int.from_bytes(bytes(v & 0xFF for v in values), "little")


ONE, FINE, RUNS = Format(1, 4), Format(1, 2), Format(4, 4)


@pytest.mark.parametrize(
    ("row", "form", "expected"),
    [
        ([0, 0, 5, 0, 7], ONE, [1 | 1 << 8, packed(2, 1, 0, 0), packed(5, 7, 0, 0)]),
        ([0] * 9, ONE, [1]),
        ([0] * 15 + [3], ONE, [1 | 1 << 8, packed(15, 0, 0, 0), packed(3, 0, 0, 0)]),
        ([0] * 16 + [3], ONE, [1 | 1 << 8, packed(15, 0, 0, 0), packed(0, 3, 0, 0)]),
        ([0] * 3 + [-3], FINE, [1 | 1 << 8, packed(3, 0, 0, 0), packed(-3, 0, 0, 0)]),
        ([0] * 5 + [-3], FINE, [1 | 1 << 8, packed(3, 1, 0, 0), packed(0, -3, 0, 0)]),
        (
            [1, 2, 3, 4, 5, 0, 6],  # two fours: the steps of the second in the high bits
            ONE,
            [1 | 2 << 8, packed(0 | 0 << 4, 0 | 1 << 4, 0, 0), packed(1, 2, 3, 4),
             packed(5, 6, 0, 0)],
        ),
        (
            [0, 0, 0, 0, 0, 7],
            RUNS,
            [1 | 1 << 8, packed(1 << 2, 0, 0, 0), packed(0, 7, 0, 0), 0, 0, 0],
        ),
    ],
)  # fmt: skip
def test_steps_stand_before_the_weights_that_they_lead_to(
    row: list[int], form: Format, expected: list[int]
) -> None:
    assert sparse(row, form) == expected


def kept(rows: Sequence[Sequence[float]]) -> tuple[list[float], list[int], list[int], int]:
    """(weights, steps, counts, bits) of a layer on floats."""
    found = sparse_layers.stored(np.array(rows, np.float32))
    return found.weights.tolist(), found.steps.tolist(), found.counts.tolist(), found.bits


def test_steps_of_other_types_share_a_byte_where_that_is_smaller() -> None:
    # every output begins a byte
    rows = [[0, 0, 5, 0, 7], [1, 0, 0, 0, 0], [0] * 5]
    assert kept(rows) == ([5, 7, 1], [2 | 1 << 4, 0], [2, 1, 0], 4)
    assert kept([[0] * 15 + [3]]) == ([3], [15], [1], 4)
    assert kept([[0] * 16 + [3]]) == ([3], [16], [1], 8)
    assert kept([[0] * 16 + [3] * 9]) == ([0] + [3] * 9, [15] + [0] * 4, [10], 4)
    assert kept([[0] * 255 + [3]]) == ([3], [255], [1], 8)
    assert kept([[0] * 256 + [3]]) == ([0, 3], [255, 0], [2], 8)
    assert kept([[0] * 600 + [3]]) == ([0, 0, 3], [255, 255, 88], [3], 8)


def test_without_any_weight_one_is_stored_and_none_is_counted() -> None:
    assert kept([[0] * 5, [-0.0] * 5]) == ([0], [0], [0, 0], 4)


def test_steps_count_the_bytes_of_all_patches() -> None:
    found = sparse([0, 0, 5, 0, 7], ONE, patches=4)
    assert found == [1 | 1 << 8, packed(2 << 2, 1 << 2, 0, 0), packed(5, 7, 0, 0)]


def test_an_output_begins_with_its_constants() -> None:
    layer = made([[0, 1]], rounding=np.array([1 + (7 << 1)]))
    assert sparse_packing.stream(layer, ONE, 7)[:3].tolist() == [10, 1000, 1 | 1 << 8]
    # twice the output of a channel found constant: a bias of four times its distance from zero
    constant = made([[0, 0]], rounding=np.array([2 * 20]))
    assert sparse_packing.stream(constant, ONE, 7).tolist() == [4 * (20 - 7), 1 << 30, 1]


@pytest.mark.parametrize("form", sparse_packing.FORMATS, ids=str)
@pytest.mark.parametrize("kept", [0.0, 0.05, 0.4, 0.97, 1.0])
def test_how_long_a_stream_is_needs_no_stream(form: Format, kept: float) -> None:
    dice = np.random.default_rng(7)
    weights = dice.integers(1, 128, (5, 203)) * (dice.random((5, 203)) < kept)
    layer = made(weights.tolist(), rounding=np.ones(5, np.int64))
    stream = sparse_packing.stream(layer, form, 0)
    assert sparse_packing.stream_words(layer, form) == len(stream)
    assert sparse_packing.least_bytes(layer.weights) <= stream.nbytes


@pytest.mark.parametrize(
    ("form", "patches", "past"), [(ONE, 1, 3), (RUNS, 1, 15), (ONE, 4, 12), (RUNS, 4, 60)]
)
def test_entries_of_nothing_read_past_the_inputs(form: Format, patches: int, past: int) -> None:
    assert sparse_packing.reads_past(form, patches) == past


def test_what_the_engine_passes_on_cannot_be_changed() -> None:
    """And arrays, of which == asks each element, are no part of an ==."""
    found = 0
    for package in (autotiny.engine, autotiny.tflite):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            for one in vars(import_module(module.name)).values():
                if isinstance(one, type) and is_dataclass(one):
                    found += 1
                    parameters = one.__dataclass_params__  # type: ignore[attr-defined]
                    assert parameters.frozen, one
                    types = {str(field.type) for field in fields(one)}
                    if types & {"Array", "Ints", "Words"}:
                        assert not parameters.eq, one
    assert found > 20
    layer = made(FOUR)
    assert layer != replace(layer)
