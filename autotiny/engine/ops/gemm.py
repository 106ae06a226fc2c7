"""Convolutions and dense layers on int8 as blocked matrix products (`kernels/gemm_s8.h`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autotiny.engine import packing
from autotiny.engine.kernel import Kernel, Operand, Overlap, Site, initializer, scratch, table
from autotiny.engine.ops.convolution import bounds_int8, quantization_of
from autotiny.engine.ops.dense import dense_shape
from autotiny.engine.ops.shape import MAKES_ANEW, window
from autotiny.engine.packing import Layer
from autotiny.graph import producers, read_once

_FAR = 1 << 40  # behind all
_MOST_PIXELS = 1 << 20  # of an output that is looked at pixel by pixel


def matrix(site: Site) -> Layer:
    """The convolution's weights as (outputs, taps)."""
    weights = site.constant(1).astype(np.int64)
    return packing.layer(site, weights.reshape(len(weights), -1))


def why_not(site: Site) -> str | None:
    """Why a convolution cannot be a blocked matrix product; None if it can."""
    if site.step.coding != "plain":
        return f"its weights are stored {site.step.coding}"
    shape = window(site, *site.input(1).shape[1:3])
    if why := why_no_patches(site, shape):
        return why
    if site.fused and site.step.expand_weights:
        return "its weights are expanded and a pooling is fused into it"
    if site.fused and (shape["out_c"] % 2 or not pools_2x2(site)):
        return "only 2×2 max-pooling over an even number of channels is fused into blocks"
    return packing.why_not_fast(matrix(site), lanes=not site.step.expand_weights)


def widened(site: Site) -> Site:
    """The step with its weights stored as int16."""
    return replace(site, step=replace(site.step, expand_weights=True))


def why_no_patches(site: Site, shape: dict[str, int]) -> str | None:
    """Why the patches of a convolution cannot be copied row by row; None if they can."""
    if shape["step_h"] != 1 or shape["step_w"] != 1:
        return "it is dilated"
    if shape["in_c"] != site.input(1).shape[3]:
        return "it has groups"
    if shape["k_h"] > 16:
        return "its filters have more than 16 rows"
    return None


def pools_2x2(site: Site) -> bool:
    """Whether what is fused into a convolution is max-pooling of 2×2 without overlap."""
    (op,) = site.fused
    names = ("filter_height", "filter_width", "stride_h", "stride_w")
    return op.kind == "MAX_POOL_2D" and all(op.integer(name) == 2 for name in names)


def finish(made: Layer, channels: int = 1) -> str:
    """What follows the accumulators: "relu", "signed" or "clamp".

    The first two are for whole blocks of that many channels; "clamp" is the general case.
    """
    return made.finish if len(made.bias) % channels == 0 else "clamp"


def finish_struct(made: Layer, channels: int = 1) -> str:
    """The C value of an `at_finish`."""
    return f"(at_finish){{AT_{finish(made, channels).upper()}, {made.low}, {made.high}}}"


def conv(site: Site) -> Kernel:
    """CONV_2D in blocks of 2 pixels × 4 channels or 4 × 2, the latter before max-pooling."""
    _check_block(site)
    if why := why_not(site):
        site.refuse(f"its blocks are not computed: {why}")
    shape = window(site, *site.input(1).shape[1:3])
    if product_shape(site) and shape["in_c"] % 4 == 0 and not site.fused:
        return _product(site)
    if shape["in_c"] == 1 and why_no_planes(shape) is None:
        return _plane(site, shape)
    return _patches(site, shape)


def _check_block(site: Site) -> None:
    blocks = ((4, 2),) if site.fused else ((2, 4), (4, 2))
    if site.step.expand_weights:
        blocks = ((2, 4),)
    if (site.step.rows, site.step.columns) not in blocks:
        site.refuse(f"blocks of {site.step.rows} × {site.step.columns} are not computed")


def _product(site: Site) -> Kernel:
    """A 1×1 convolution, or a dense layer of several rows."""
    shape = product_shape(site)
    assert shape is not None
    count, depth, out = shape
    made = matrix(site)
    rows, columns = site.step.rows, site.step.columns
    pairs = packing.in_pairs(made.weights).shape[1]
    body = (
        f"at_pointwise_{finish(made, columns)}_{_block(site)}(x, w, y, columns, {count}, {depth}, "
        f"{out}, {pairs},\n    {made.low}, {made.high});"
    )
    operands = (
        site.reads("x"),
        _stream(site, made),
        site.writes(),
        scratch("columns", 4 * rows * pairs, "uint32_t"),
    )
    until = product_overlap(count, depth, out, rows)
    return Kernel(("conv_gemm_s8.h",), body, operands, {("x", "y"): Overlap(until)})


def product_shape(site: Site) -> tuple[int, int, int] | None:
    """(pixels, inputs, outputs) of a layer that is a matrix product as it stands, else None."""
    if site.op.kind == "FULLY_CONNECTED":
        return dense_shape(site)
    shape = window(site, *site.input(1).shape[1:3])
    strides = shape["stride_h"], shape["stride_w"]
    if (shape["k_h"], shape["k_w"], *strides) != (1, 1, 1, 1) or why_no_patches(site, shape):
        return None
    if (shape["out_h"], shape["out_w"]) != (shape["in_h"], shape["in_w"]):
        return None  # it is padded
    return shape["out_h"] * shape["out_w"], shape["in_c"], shape["out_c"]


def product_overlap(count: int, depth: int, out: int, block: int) -> int:
    """How many bytes behind the start of the input the output of a matrix product may start.

    A block of pixels is read, then written. While more remain, they must not be overwritten.
    """
    if count <= block:
        return count * depth
    first, last = block, (count - 1) // block * block
    return min(first * (depth - out), last * (depth - out))


def _stream(site: Site, made: Layer) -> Operand:
    if site.step.expand_weights:
        return table("w", packing.expanded_stream(made), site.step.weights_in)
    return table("w", packing.gemm_stream(made, site.step.columns), site.step.weights_in)


def _block(site: Site) -> str:
    """The end of the kernels' names."""
    expanded = "_expanded" if site.step.expand_weights else ""
    return f"{site.step.rows}x{site.step.columns}{expanded}"


def _patches(site: Site, shape: dict[str, int]) -> Kernel:
    made = matrix(site)
    pooled = bool(site.fused)
    pixels, columns = site.step.rows, site.step.columns
    pairs = packing.in_pairs(made.weights).shape[1]
    rows, ring_bytes = row_ring(site, shape, slots=shape["k_h"] + pooled * shape["stride_h"])
    run = shape["k_w"] * shape["in_c"]
    joined = 0 if run % 4 == 0 else (shape["k_h"] - 1) * run + -(-run // 4) * 4
    spread = -(-shape["k_h"] * run // 4) * 2  # pairs that a column is written to
    operands = [
        site.reads("x"),
        _stream(site, made),
        site.writes(),
        scratch("columns", 4 * pixels * max(pairs, spread), "uint32_t"),
    ]
    operands += [scratch("ring", ring_bytes, "int8_t")] if ring_bytes else []
    operands += [scratch("joined", joined, "int8_t")] if joined else []
    kind = "max_pool" if pooled else finish(made, columns)
    body = (
        f"static const at_rows rows = {rows};\n"
        f"at_conv_gemm_{kind}_{_block(site)}(x, w, y, {'ring' if ring_bytes else 'y'}, columns, "
        f"{'joined' if joined else 'y'}, &rows, {pairs},\n    {made.low}, {made.high});"
    )
    until = overlap_until(site, shape, ring=bool(ring_bytes), pixels=pixels)
    return Kernel(
        ("conv_gemm_s8.h",),
        body,
        tuple(operands),
        {("x", "y"): Overlap(until)},
        reads_past=0 if ring_bytes else -run % 4,
    )


def row_ring(site: Site, shape: dict[str, int], slots: int) -> tuple[str, int]:
    """(the initializer of an `at_rows`, bytes of its ring); without padding there is no ring."""
    wide = max(shape["pad_left"] + shape["in_w"], _span(shape, "w"))
    high = max(shape["pad_top"] + shape["in_h"], _span(shape, "h"))
    if wide == shape["in_w"] and high == shape["in_h"]:
        return rows_struct(site, shape, slots=0, pitch=0), 0
    pitch = -(-wide * shape["in_c"] // 4) * 4
    # Whole words may be read from the last row.
    return rows_struct(site, shape, slots=slots, pitch=pitch), slots * pitch + 4


def rows_struct(site: Site, shape: dict[str, int], *, slots: int, pitch: int) -> str:
    """The initializer of an `at_rows`."""
    zero = quantization_of(site, 0).zero_point
    return initializer(s=initializer(**shape), slots=slots, pitch=pitch, zero=zero)


def _span(shape: dict[str, int], side: str) -> int:
    """Rows or columns that the windows reach over, padding included."""
    return (shape[f"out_{side}"] - 1) * shape[f"stride_{side}"] + shape[f"k_{side}"]


def overlap_until(site: Site, shape: dict[str, int], *, ring: bool, pixels: int) -> int | None:
    """How many bytes behind the start of the input the output may start; None if nowhere.

    After each block, the first input byte that is still to be read must lie behind the last output
    byte written. A ring has read whole rows; without one each patch is read when its turn comes.
    """
    at_once = 2 if site.fused else 1  # rows and columns of the convolution under one output
    row_bytes = shape["in_w"] * shape["in_c"]
    _, out_h, out_w, channels = site.output.shape
    if out_h * out_w > _MOST_PIXELS:
        return None
    r, c = np.divmod(np.arange(out_h * out_w), out_w)
    top = r * at_once * shape["stride_h"] - shape["pad_top"]
    if ring:
        reached = top + (at_once - 1) * shape["stride_h"] + shape["k_h"]
        unread = np.where(reached < shape["in_h"], np.maximum(reached, 0) * row_bytes, _FAR)
    else:
        first = top * row_bytes + c * at_once * shape["stride_w"] * shape["in_c"]
        later = np.minimum.accumulate(first[::-1])[::-1]
        unread = np.append(later[1:], _FAR)
    written = np.arange(1, len(r) + 1) * channels
    ends = np.arange(len(r)) if site.fused else np.arange(pixels - 1, len(r), pixels)
    rooms = (unread - written)[ends[ends < len(r) - 1]]
    return int(min(rooms.min(initial=_FAR), site.input(0).bytes))


def why_not_dense(site: Site) -> str | None:
    """Why a dense layer cannot be computed in blocks; None if it can."""
    if site.step.coding != "plain":
        return f"its weights are stored {site.step.coding}"
    rows, depth, _ = dense_shape(site)
    if depth % 4:
        return "its inputs do not fill words"
    return packing.why_not_fast(matrix(site), dense=rows == 1)


def dense(site: Site) -> Kernel:
    """FULLY_CONNECTED: of one row in blocks of 8 outputs, the rest by 2; of several as a 1×1."""
    if why := why_not_dense(site):
        site.refuse(f"its blocks are not computed: {why}")
    rows, depth, out = dense_shape(site)
    if rows > 1:
        _check_block(site)
        return _product(site)
    made = matrix(site)
    parts = packing.dense_parts(made)
    words, eights = packing.dense_stream(made)
    bounds = f", {made.low}, {made.high}"
    if parts > 1:
        body = f"at_dense_cut_s8(x, w, y, {depth}, {eights}, {out - 8 * eights}{bounds}, {parts});"
    else:
        bounds = bounds if made.finish == "clamp" else ""
        body = f"at_dense_{made.finish}_s8(x, w, y, {depth}, {eights}, {out - 8 * eights}{bounds});"
    stream = table("w", words, site.step.weights_in)
    return Kernel(("dense_gemm_s8.h",), body, (site.reads("x"), stream, site.writes()))


def why_not_depthwise(site: Site) -> str | None:
    """Why a depthwise convolution cannot be computed channel by channel; None if it can."""
    if site.step.coding != "plain":
        return f"its weights are stored {site.step.coding}"
    shape = window(site, *site.input(1).shape[1:3])
    if shape["in_c"] != shape["out_c"]:
        return "it has several outputs a channel"
    return why_no_planes(shape) or packing.why_not_fast(depthwise_matrix(site), lanes=False)


def why_no_planes(shape: dict[str, int]) -> str | None:
    """Why a window cannot be computed from a plane of one channel; None if it can."""
    if (shape["k_h"], shape["k_w"]) != (3, 3):
        return "only 3×3 is computed so"
    if shape["step_h"] != 1 or shape["step_w"] != 1:
        return "it is dilated"
    if shape["stride_w"] not in (1, 2) or shape["stride_h"] != shape["stride_w"]:
        return "its strides are not both 1 or both 2"
    # Distances are immediate operands.
    if max(shape["in_w"], shape["in_h"]) > 120:
        return "its lines are too long"
    if max(shape["in_w"] * shape["in_c"], 2 * shape["out_w"] * shape["out_c"]) > 4000:
        return "its rows are too long"
    return None


def _plane(site: Site, shape: dict[str, int]) -> Kernel:
    """CONV_2D of one channel, from a plane of int16."""
    made = matrix(site)
    stream = packing.depthwise_stream(made, turned=False)
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
        table("w", stream, site.step.weights_in),
        site.writes(),
        scratch("plane", bytes_, "int16_t"),
    )
    # The image is read before the first output is written.
    overlap = Overlap(until=site.input(0).bytes)
    return Kernel(("depthwise_s8.h",), body, operands, {("x", "y"): overlap})


def depthwise_matrix(site: Site) -> Layer:
    """The depthwise convolution's weights as (channels, taps)."""
    weights = site.constant(1).astype(np.int64)
    return packing.layer(site, weights.reshape(-1, weights.shape[3]).T)


def depthwise(site: Site) -> Kernel:
    """DEPTHWISE_CONV_2D with 3×3 filters, channel by channel from a plane of int16."""
    if why := why_not_depthwise(site):
        site.refuse(f"its planes are not computed: {why}")
    shape = window(site, 3, 3)
    made = depthwise_matrix(site)
    # Outputs come in pairs along a line: lines are the side that leaves fewer odd ends.
    h, w = shape["out_h"], shape["out_w"]
    turned = shape["stride_h"] == 1 == shape["stride_w"] and w * -(-h // 2) < h * -(-w // 2)
    same = (shape["in_h"], shape["in_w"]) == (h, w)
    # Fewer outputs than inputs first replace the inputs where they lie, then move together.
    within = not same and h <= shape["in_h"] and w <= shape["in_w"] and _dies(site)
    row = shape["in_w"] if within else w
    planes, bytes_ = _planes(shape, site.output.shape, row, turned=turned)
    body = (
        f"at_depthwise_3x3_s8(x, w, {'x' if within else 'y'}, plane, {shape['in_c']}, "
        f"{-bounds_int8(site)['zero']},\n"
        f"                    {planes},\n"
        f"                    {finish_struct(made)});"
    )
    x = site.reads("x")
    if within:
        channels = shape["in_c"]
        body += f"\nat_close_rows(x, y, {h}, {shape['in_w'] * channels}, {w * channels});"
        x = Operand("x", site.op.inputs[0], "int8_t")
    operands = (
        x,
        table("w", packing.depthwise_stream(made, turned=turned), site.step.weights_in),
        site.writes(),
        scratch("plane", bytes_, "int16_t"),
    )
    overlap = Overlap() if within else Overlap(None, None, same=same)
    return Kernel(("depthwise_s8.h", "columns_s8.h"), body, operands, {("x", "y"): overlap})


def _dies(site: Site) -> bool:
    """Whether nothing but this op ever reads its input, under any name, so it may be spoilt."""
    index = site.op.inputs[0]
    maker = producers(site.graph).get(index)
    return read_once(site.graph, index) and (maker is None or maker.kind in MAKES_ANEW)


def _planes(
    shape: dict[str, int], out: tuple[int, ...], row: int, *, turned: bool
) -> tuple[str, int]:
    """(the C value of an `at_planes`, bytes of the plane); turned: lines are columns.

    `out` is the shape of what is written, which a fused pooling makes smaller; its rows begin `row`
    pixels apart.
    """
    line, along = ("w", "h") if turned else ("h", "w")
    pads = {"h": shape["pad_top"], "w": shape["pad_left"]}
    written = {"h": out[1], "w": out[2]}

    def distance(width: int, channels: int, side: str) -> int:
        return channels if side == "w" else width * channels

    # Two outputs of stride 1 read four elements, a word pair; an output of stride 2 as well.
    steps = -(-shape[f"out_{along}"] // 2) if shape["stride_w"] == 1 else shape[f"out_{along}"]
    pitch = -(-max(pads[along] + shape[f"in_{along}"], 2 * steps + 2) // 2) * 2
    lines = max(pads[line] + shape[f"in_{line}"], _span(shape, line))
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
