"""Depthwise 3×3 convolutions from words that hold two rows of a channel (`row_pairs_s8.h`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autotiny.engine.kernel import Kernel, Operand, Overlap, Site, initializer, scratch, table
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
from autotiny.engine.layers.sharing import dies
from autotiny.engine.layers.window import window
from autotiny.engine.variants import planes
from autotiny.engine.variants.variant import Variant, with_each
from autotiny.graph import Graph
from autotiny.schedule import Schedule, Way

GROUP = 4
"""Channels whose plane lies in scratch memory at a time."""

WORTH = 1.15
"""Outputs computed for one that is kept, from which on planes of single rows are as fast."""


@dataclass(frozen=True)
class RowPairs(Way):
    """Two by two outputs of a channel at a time, or two of stride 2; odd ends come twice."""


def with_row_pairs(graph: Graph, schedule: Schedule) -> Schedule:
    """Compute int8 depthwise 3×3 convolutions from words that hold two rows.

    Raises:
        NotApplicable: no step is a convolution that can be computed so.
    """
    refusal = "with_row_pairs: no int8 depthwise 3×3 convolution of stride 1 or 2 is eligible"
    return with_each(graph, schedule, (chosen,), refusal)


def chosen(site: Site) -> RowPairs | None:
    """Row pairs, unless odd rows and columns are computed twice too often."""
    return None if why_not(site) or _outputs_each(site) > WORTH else RowPairs()


def roomy(site: Site) -> tuple[RowPairs, ...]:
    """The plane of four channels is four times one channel's."""
    way = chosen(site)
    return (way,) if way else ()


def _outputs_each(site: Site) -> float:
    """Outputs that are computed for one that is kept."""
    shape = window(site, 3, 3)
    h, w = shape["out_h"], shape["out_w"]
    rows = 2 * -(-h // 2) if shape["stride_h"] == 1 else h
    return rows * 2 * -(-w // 2) / (h * w)


def why_not(site: Site) -> str | None:
    """Why a depthwise convolution cannot be computed so; None if it can."""
    if why := planes.why_not(site):
        return why
    shape = window(site, 3, 3)
    if shape["out_w"] < 2:
        return "it has one column of outputs"
    if _pitch(shape) + 80 > 4095:  # an immediate operand
        return "its rows are too long"
    return None


def _pitch(shape: dict[str, int]) -> int:
    """Bytes of a pair of rows of the plane."""
    return 4 * GROUP * max(shape["pad_left"] + shape["in_w"], span(shape, "w"))


def emit(site: Site) -> Kernel:
    """DEPTHWISE_CONV_2D with 3×3 filters."""
    if why := why_not(site):
        site.refuse(f"its row pairs are not computed: {why}")
    shape = window(site, 3, 3)
    made = matrix(site)
    h, w, channels = shape["out_h"], shape["out_w"], shape["in_c"]
    same = (shape["in_h"], shape["in_w"]) == (h, w)
    # Fewer outputs than inputs first replace the inputs where they lie, then move together.
    within = not same and h <= shape["in_h"] and w <= shape["in_w"] and dies(site)
    pairs = 1 + (-(-h // 2) if shape["stride_h"] == 1 else h)
    fields = initializer(
        **{name: shape[name] for name in ("in_h", "in_w", "pad_top", "pad_left", "out_h", "out_w")},
        channels=channels,
        stride=shape["stride_w"],
        pitch=_pitch(shape),
        pairs=pairs,
        y_line=channels * (shape["in_w"] if within else w),
    )
    body = (
        f"at_depthwise_row_pairs_s8(x, w, {'x' if within else 'y'}, plane, "
        f"{-bounds_int8(site)['zero']},\n    (at_row_pairs){fields},\n    {finish_struct(made)});"
    )
    x = site.reads("x")
    if within:
        body += f"\nat_close_rows(x, y, {h}, {shape['in_w'] * channels}, {w * channels});"
        x = Operand("x", site.op.inputs[0], "int8_t")
    operands = (
        x,
        table("w", stream(made), site.step.weights.memory),
        site.writes(),
        scratch("plane", pairs * _pitch(shape), "uint32_t"),
    )
    return Kernel(
        ("row_pairs_s8.h", "columns_s8.h"),
        body,
        operands,
        {("x", "y"): Overlap() if within else Overlap(None, None, same=same)},
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
