"""Convolutions and dense layers on int8 as blocked matrix products (`kernels/gemm_s8.h`)."""

from __future__ import annotations

import numpy as np

from autotiny.engine import packing
from autotiny.engine.kernel import Kernel, Operand, Overlap, Site, initializer, scratch, table
from autotiny.engine.ops.shape import window, window_struct
from autotiny.engine.packing import Layer


def matrix(site: Site) -> Layer:
    """The convolution's weights as (outputs, taps)."""
    weights = site.constant(1).astype(np.int64)
    return packing.layer(site, weights.reshape(len(weights), -1))


def why_not(site: Site) -> str | None:
    """Why a convolution cannot be a blocked matrix product; None if it can."""
    if site.step.coding != "plain":
        return f"its weights are stored {site.step.coding}"
    shape = window(site, *site.input(1).shape[1:3])
    if shape["step_h"] != 1 or shape["step_w"] != 1:
        return "it is dilated"
    if shape["in_c"] != site.input(1).shape[3]:
        return "it has groups"
    if site.fused and (shape["out_c"] % 2 or not _pools_2x2(site)):
        return "only 2×2 max-pooling over an even number of channels is fused into blocks"
    return packing.why_not_fast(matrix(site))


def _pools_2x2(site: Site) -> bool:
    (op,) = site.fused
    names = ("filter_height", "filter_width", "stride_h", "stride_w")
    return op.kind == "MAX_POOL_2D" and all(op.options[name] == 2 for name in names)


def finish(made: Layer) -> str:
    """The C value of an `at_finish`."""
    return f"(at_finish){{AT_{made.finish.upper()}, {made.low}, {made.high}}}"


def conv(site: Site) -> Kernel:
    """CONV_2D, alone in blocks of 2 pixels × 4 channels, before max-pooling 4 × 2."""
    if why := why_not(site):
        site.refuse(f"its blocks are not computed: {why}")
    k_h, k_w = site.input(1).shape[1:3]
    shape = window(site, k_h, k_w)
    pointwise = k_h == k_w == shape["stride_h"] == shape["stride_w"] == 1
    if pointwise and shape["in_c"] % 4 == 0 and not site.fused:
        return _pointwise(site, shape)
    return _patches(site, shape)


def _pointwise(site: Site, shape: dict[str, int]) -> Kernel:
    made = matrix(site)
    pixels, in_c, out_c = shape["out_h"] * shape["out_w"], shape["in_c"], shape["out_c"]
    pairs = packing.in_pairs(made.weights, 4).shape[1]
    bounds = f", {made.low}, {made.high}" if made.finish == "clamp" else ""
    body = (
        f"at_pointwise_{made.finish}_s8(x, w, y, columns, {pixels}, {in_c}, {out_c}, {pairs}"
        f"{bounds});"
    )
    operands = (
        site.reads("x"),
        _stream(site, made, unroll=4, columns=4),
        site.writes(),
        scratch("columns", 8 * pairs, "uint32_t"),
    )
    # Two pixels are read, then written. While more remain, they must not be overwritten.
    done = np.arange(2, pixels, 2)
    until = int((done * (in_c - out_c)).min()) if len(done) else pixels * in_c
    return Kernel(("conv_gemm_s8.h",), body, operands, {("x", "y"): Overlap(until)})


def _stream(site: Site, made: Layer, *, unroll: int, columns: int) -> Operand:
    return table("w", packing.gemm_stream(made, unroll, columns), site.step.weights_in)


def _patches(site: Site, shape: dict[str, int]) -> Kernel:
    made = matrix(site)
    pooled = bool(site.fused)
    unroll = packing.best_unroll(made.weights.shape[1])
    pairs = packing.in_pairs(made.weights, unroll).shape[1]
    rows, ring_bytes = row_ring(site, shape, rows_at_once=2 if pooled else 1)
    patch = shape["k_h"] * shape["k_w"] * shape["in_c"]
    joined = 0 if shape["k_w"] * shape["in_c"] % 4 == 0 else -(-patch // 4) * 4
    pixels, columns = (4, 2) if pooled else (2, 4)
    operands = [
        site.reads("x"),
        _stream(site, made, unroll=unroll, columns=columns),
        site.writes(),
        scratch("columns", 4 * pixels * pairs, "uint32_t"),
    ]
    operands += [scratch("ring", ring_bytes, "int8_t")] if ring_bytes else []
    operands += [scratch("joined", joined, "int8_t")] if joined else []
    body = (
        f"at_conv_gemm{'_max_pool' if pooled else ''}_s8(\n"
        f"    x, w, y, {'ring' if ring_bytes else '0'}, columns, {'joined' if joined else '0'},\n"
        f"    {rows},\n"
        f"    {pairs}, {unroll}, {finish(made)});"
    )
    until = overlap_until(site, shape, ring=bool(ring_bytes), rows_at_once=2 if pooled else 1)
    return Kernel(("conv_gemm_s8.h",), body, tuple(operands), {("x", "y"): Overlap(until)})


def row_ring(site: Site, shape: dict[str, int], rows_at_once: int) -> tuple[str, int]:
    """(the C value of an `at_rows`, bytes of its ring); without padding there is no ring."""
    wide = max(shape["pad_left"] + shape["in_w"], _span(shape, "w"))
    high = max(shape["pad_top"] + shape["in_h"], _span(shape, "h"))
    padded = wide > shape["in_w"] or high > shape["in_h"]
    slots = shape["k_h"] + (rows_at_once - 1) * shape["stride_h"] if padded else 0
    pitch = -(-wide * shape["in_c"] // 4) * 4
    quantization = site.input(0).quantization
    zero = quantization.zero_point if quantization else 0
    fields = initializer(s=window_struct(shape), slots=slots, pitch=pitch, zero=zero)
    return f"(at_rows){fields}", slots * pitch


def _span(shape: dict[str, int], side: str) -> int:
    """Rows or columns that the windows reach over, padding included."""
    return (shape[f"out_{side}"] - 1) * shape[f"stride_{side}"] + shape[f"k_{side}"]


def overlap_until(site: Site, shape: dict[str, int], *, ring: bool, rows_at_once: int) -> int:
    """How many bytes behind the start of the input the output may start.

    After each block or row of blocks: the first input byte that is still to be read must lie
    behind the last output byte written.
    """
    row_bytes = shape["in_w"] * shape["in_c"]
    _, out_rows, out_columns, channels = site.output.shape
    rooms = [site.input(0).bytes]
    for r in range(out_rows):
        top = r * rows_at_once * shape["stride_h"] - shape["pad_top"]
        next_top = top + rows_at_once * shape["stride_h"]
        written = (r + 1) * out_columns * channels
        if ring:
            loaded = top + (rows_at_once - 1) * shape["stride_h"] + shape["k_h"]
            if loaded < shape["in_h"] and r + 1 < out_rows:
                rooms.append(max(loaded, 0) * row_bytes - written)
            continue
        if r + 1 < out_rows:
            rooms.append(next_top * row_bytes - written)
        for c in range(2 if rows_at_once == 1 else 1, out_columns, 2 if rows_at_once == 1 else 1):
            left = c * rows_at_once * shape["stride_w"] * shape["in_c"]
            rooms.append(top * row_bytes + left - (r * out_columns + c) * channels)
    return min(rooms)
