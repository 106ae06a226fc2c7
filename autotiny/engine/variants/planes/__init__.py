"""3×3 filters over a plane of one channel, spread to int16 (`depthwise_s8.h`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autotiny.engine.kernel import Kernel, Overlap, Site, initializer, scratch, table
from autotiny.engine.layers.constants import bounds_int8
from autotiny.engine.layers.matrix import (
    Matrix,
    Words,
    finish_struct,
    halfwords,
    matrix,
    why_not_fast,
    words_of,
)
from autotiny.engine.layers.patches import span
from autotiny.engine.layers.sharing import placed
from autotiny.engine.layers.window import window
from autotiny.engine.variants.variant import Variant
from autotiny.schedule import Way


@dataclass(frozen=True)
class Planes(Way):
    """A depthwise convolution channel by channel, each from a plane of int16."""


def why_not(site: Site) -> str | None:
    """Why a depthwise convolution cannot be computed channel by channel; None if it can."""
    if site.op.kind != "DEPTHWISE_CONV_2D":
        return "it is no depthwise convolution"
    shape = window(site, *site.input(1).shape[1:3])
    if shape["in_c"] != shape["out_c"]:
        return "it has several outputs a channel"
    return why_no_plane(shape) or why_not_fast(matrix(site), lanes=False)


def why_no_plane(shape: dict[str, int]) -> str | None:
    """Why a window cannot be computed from a plane of one channel; None if it can."""
    if (shape["k_h"], shape["k_w"]) != (3, 3):
        return "only 3×3 is computed so"
    # Distances are immediate operands.
    if max(shape["in_w"], shape["in_h"]) > 120:
        return "its lines are too long"
    return why_no_distance(shape)


def why_no_distance(shape: dict[str, int]) -> str | None:
    """Why planes do not serve the strides of a window, or its rows; None if they do."""
    if shape["step_h"] != 1 or shape["step_w"] != 1:
        return "it is dilated"
    if shape["stride_w"] not in (1, 2) or shape["stride_h"] != shape["stride_w"]:
        return "its strides are not both 1 or both 2"
    if max(shape["in_w"] * shape["in_c"], 2 * shape["out_w"] * shape["out_c"]) > 4000:
        return "its rows are too long"
    return None


def chosen(site: Site) -> Planes | None:
    """Planes wherever they can be."""
    return None if why_not(site) else Planes()


def emit(site: Site) -> Kernel:
    """DEPTHWISE_CONV_2D with 3×3 filters."""
    if why := why_not(site):
        site.refuse(f"its planes are not computed: {why}")
    shape = window(site, 3, 3)
    made = matrix(site)
    # Outputs come in pairs along a line: lines are the side that leaves fewer odd ends.
    h, w = shape["out_h"], shape["out_w"]
    turned = shape["stride_h"] == 1 == shape["stride_w"] and w * -(-h // 2) < h * -(-w // 2)
    place = placed(site, shape)
    planes, bytes_ = _planes(shape, site.output.shape, place.row, turned=turned)
    body = (
        f"at_depthwise_3x3_s8(x, w, {place.name}, plane, {shape['in_c']}, "
        f"{-bounds_int8(site)['zero']},\n"
        f"                    {planes},\n"
        f"                    {finish_struct(made)});{place.closing}"
    )
    operands = (
        place.x,
        table("w", stream(made, turned=turned), site.step.weights.memory),
        site.writes(),
        scratch("plane", bytes_, "int16_t"),
    )
    headers = ("depthwise_s8.h", "columns_s8.h")
    return Kernel(headers, body, operands, {("x", "y"): place.overlap})


def of_one_channel(site: Site, shape: dict[str, int]) -> Kernel:
    """CONV_2D of one input channel, which serves all outputs from one plane."""
    made = matrix(site)
    out = site.output.shape
    planes, bytes_ = _planes(shape, out, out[2], turned=False)
    name = f"at_conv_plane_3x3{'_max_pool' if site.fused else ''}_s8"
    body = (
        f"{name}(x, w, y, plane, {shape['out_c']}, {-bounds_int8(site)['zero']},\n"
        f"    {planes},\n"
        f"    {finish_struct(made)});"
    )
    operands = (
        site.reads("x"),
        table("w", stream(made, turned=False), site.step.weights.memory),
        site.writes(),
        scratch("plane", bytes_, "int16_t"),
    )
    # The image is read before the first output is written.
    overlap = Overlap(until=site.input(0).bytes)
    return Kernel(("depthwise_s8.h",), body, operands, {("x", "y"): overlap})


def _planes(
    shape: dict[str, int], out: tuple[int, ...], row: int, *, turned: bool
) -> tuple[str, int]:
    """(the C value of an `at_planes`, bytes of the plane); turned: lines are columns.

    `out` is the shape of what is written, which a fused pooling makes smaller; its rows begin `row`
    pixels apart.
    """
    along = "h" if turned else "w"
    # Two outputs of stride 1 read four elements, a word pair; an output of stride 2 as well.
    steps = -(-shape[f"out_{along}"] // 2) if shape["stride_w"] == 1 else shape[f"out_{along}"]
    return planes_struct(shape, out, row, 2 * steps + 2, turned=turned)


def planes_struct(
    shape: dict[str, int], out: tuple[int, ...], row: int, reads: int, *, turned: bool
) -> tuple[str, int]:
    """The same where the outputs of a line read as many elements of the plane as `reads` says."""
    line, along = ("w", "h") if turned else ("h", "w")
    pads = {"h": shape["pad_top"], "w": shape["pad_left"]}
    written = {"h": out[1], "w": out[2]}

    def distance(width: int, channels: int, side: str) -> int:
        return channels if side == "w" else width * channels

    pitch = -(-max(pads[along] + shape[f"in_{along}"], reads) // 2) * 2
    lines = max(pads[line] + shape[f"in_{line}"], span(shape, line))
    fields = initializer(
        x_lines=shape[f"in_{line}"],
        x_length=shape[f"in_{along}"],
        x_next=distance(shape["in_w"], shape["in_c"], along),
        x_line=distance(shape["in_w"], shape["in_c"], line),
        lines=written[line],
        length=written[along],
        y_next=distance(row, out[3], along),
        y_line=distance(row, out[3], line),
        stride=shape["stride_w"],
        pitch=pitch,
        apart=shape[f"stride_{line}"],
        first=pads[line] * pitch + pads[along],
        size=lines * pitch,
    )
    return f"(at_planes){fields}", 2 * lines * pitch


def stream(made: Matrix, *, turned: bool) -> Words:
    """The stream of `at_depthwise_3x3_s8`, ten words a channel; turned: lines are columns."""
    filters = 2 * made.weights.reshape(-1, 3, 3)
    lines = filters.transpose(0, 2, 1) if turned else filters
    words = halfwords(np.stack((lines[:, :, 0:2], lines[:, :, 1:3]), axis=2)).reshape(-1, 6)
    ends = np.stack((made.multiplier, made.rounding, made.shift), axis=1)
    return words_of(np.concatenate((2 * made.bias[:, None], words, ends), axis=1))


VARIANT = Variant(Planes, __name__, why_not, emit, ("depthwise_s8.h",))
