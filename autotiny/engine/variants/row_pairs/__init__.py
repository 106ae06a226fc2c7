"""Depthwise 3×3 convolutions from words that hold two rows of a channel (`row_pairs_s8.h`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autotiny.engine.kernel import Kernel, Site, initializer, scratch, table
from autotiny.engine.layers.constants import bounds_int8
from autotiny.engine.layers.matrix import (
    Ints,
    Matrix,
    Words,
    finish_struct,
    halfwords,
    matrix,
    words_of,
)
from autotiny.engine.layers.patches import span
from autotiny.engine.layers.sharing import placed
from autotiny.engine.layers.window import window
from autotiny.engine.variants import planes
from autotiny.engine.variants.variant import Variant
from autotiny.schedule import Way

GROUP = 4
"""Channels whose plane lies in scratch memory at a time."""

WORTH, WORTH_IF_NARROW = 1.25, 1.34
"""Outputs computed for one that is kept, from which on planes of single rows are as fast."""

NARROW = 4
"""Columns up to which a plane of single rows takes more time for its ends."""


@dataclass(frozen=True)
class RowPairs(Way):
    """Two by two outputs of a channel at a time, or two of stride 2; odd rows: one comes twice."""


def roomy(site: Site, loads_ahead: bool) -> tuple[RowPairs, ...]:
    """Row pairs, unless they are few and odd.

    Their plane of four channels is four times that of one.
    """
    return (RowPairs(),) if why_not(site) is None and _worth(site) else ()


def _worth(site: Site) -> bool:
    """Whether few rows are computed for one that is kept."""
    shape = window(site, 3, 3)
    rows = shape["out_h"]
    computed = 2 * -(-rows // 2) if shape["stride_h"] == 1 else rows
    return computed / rows <= (WORTH_IF_NARROW if shape["out_w"] <= NARROW else WORTH)


def why_not(site: Site) -> str | None:
    """Why a depthwise convolution cannot be computed so; None if it can."""
    if why := planes.why_not(site):
        return why
    shape = window(site, 3, 3)
    if shape["out_w"] < 2:
        return "it has one column of outputs"
    if max(_pitch(shape) + 80, _advance(shape)) > 4095:  # immediate operands
        return "its rows are too long"
    return None


def _advance(shape: dict[str, int]) -> int:
    """Bytes from the end of a line of outputs to the next one, which may lie a row below."""
    at_once = 2 if shape["stride_h"] == 1 else 1
    row = max(shape["in_w"], shape["out_w"])  # outputs may first replace the inputs
    return (at_once * row - shape["out_w"] // 2 * 2) * shape["in_c"]


def _pitch(shape: dict[str, int]) -> int:
    """Bytes of a pair of rows of the plane."""
    return 4 * GROUP * max(shape["pad_left"] + shape["in_w"], span(shape, "w"))


def emit(site: Site) -> Kernel:
    """DEPTHWISE_CONV_2D with 3×3 filters."""
    if why := why_not(site):
        site.refuse(f"its row pairs are not computed: {why}")
    shape = window(site, 3, 3)
    made = matrix(site)
    channels, place = shape["in_c"], placed(site, shape)
    pairs = 1 + (-(-shape["out_h"] // 2) if shape["stride_h"] == 1 else shape["out_h"])
    fields = initializer(
        in_h=shape["in_h"],
        in_w=shape["in_w"],
        channels=channels,
        pad_top=shape["pad_top"],
        pad_left=shape["pad_left"],
        out_h=shape["out_h"],
        out_w=shape["out_w"],
        stride=shape["stride_w"],
        pitch=_pitch(shape),
        pairs=pairs,
        y_line=place.row * channels,
    )
    body = (
        f"at_depthwise_row_pairs_s8(x, w, {place.name}, plane, {-bounds_int8(site)['zero']},\n"
        f"    (at_row_pairs){fields},\n    {finish_struct(made)});{place.closing}"
    )
    operands = (
        place.x,
        table("w", stream(made), site.step.weights.memory),
        site.writes(),
        scratch("plane", pairs * _pitch(shape), "uint32_t"),
    )
    return Kernel(
        ("row_pairs_s8.h", "columns_s8.h"),
        body,
        operands,
        {("x", "y"): place.overlap},
        reads_past=-channels % GROUP,
    )


def stream(made: Matrix) -> Words:
    """The stream of `at_depthwise_row_pairs_s8`, ten words a channel."""
    filters: Ints = 2 * made.weights.reshape(-1, 3, 3)
    columns = filters.transpose(0, 2, 1)
    words = halfwords(np.stack((columns[:, :, 0:2], columns[:, :, 1:3]), axis=2)).reshape(-1, 6)
    ends = np.stack((made.multiplier, made.rounding, made.shift), axis=1)
    return words_of(np.concatenate((2 * made.bias[:, None], words, ends), axis=1))


VARIANT = Variant(
    RowPairs,
    __name__,
    why_not,
    emit,
    ("row_pairs_s8.h", "row_pairs_run_s8.h", "row_pairs_order_s8.h"),
    roomy,
)
