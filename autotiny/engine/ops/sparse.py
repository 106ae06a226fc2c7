"""Int8 convolutions and dense layers without their zero weights (`kernels/sparse_s8.h`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autotiny.engine import packing, sparse_packing
from autotiny.engine.kernel import Kernel, Overlap, Site, scratch, table
from autotiny.engine.ops import gemm
from autotiny.engine.ops.convolution import quantization_of
from autotiny.engine.ops.dense import dense_shape
from autotiny.engine.ops.shape import window
from autotiny.engine.packing import Layer

PATCHES = 4
"""Outputs of a convolution that share the walk over its weights."""


def skipping(site: Site) -> Site:
    """The step without its zero weights."""
    conv = site.op.kind == "CONV_2D"
    step = replace(
        site.step,
        method="im2col" if conv else "direct",
        rows=PATCHES if conv else 1,
        columns=1,
        expand_weights=False,
        coding="sparse",
    )
    return replace(site, step=step)


def why_not(site: Site) -> str | None:
    """Why a layer cannot be computed so; None if it can."""
    if site.op.kind == "FULLY_CONNECTED":
        if dense_shape(site)[0] != 1:
            return "it has several rows of inputs"
    elif site.op.kind == "CONV_2D":
        if why := gemm.why_no_patches(site, window(site, *site.input(1).shape[1:3])):
            return why
        if site.fused and not gemm.pools_2x2(site):
            return "only 2×2 max-pooling is fused into it"
    else:
        return "only convolutions and dense layers are computed so"
    return packing.why_not_fast(gemm.matrix(site), lanes=False)


def dense(site: Site) -> Kernel:
    """FULLY_CONNECTED, output by output."""
    if why := why_not(site):
        site.refuse(f"its zeros are not left out: {why}")
    made = gemm.matrix(site)
    zero = quantization_of(site, None).zero_point
    form, stream = sparse_packing.smallest(made, zero)
    body = f"at_dense_sparse_{form}(x, w, y, {len(made.bias)}, {zero}, {made.low}, {made.high});"
    operands = (site.reads("x"), table("w", stream, site.step.weights_in), site.writes())
    past = sparse_packing.reads_past(form)
    return Kernel(("sparse_s8.h",), body, operands, reads_past=past)


def conv(site: Site) -> Kernel:
    """CONV_2D, four patches at a time; before max-pooling the four of a window."""
    if why := why_not(site):
        site.refuse(f"its zeros are not left out: {why}")
    shape = window(site, *site.input(1).shape[1:3])
    made = gemm.matrix(site)
    run = shape["k_w"] * shape["in_c"]
    filled = _filled_rows(made, run)
    zero = quantization_of(site, None).zero_point
    form, stream = sparse_packing.smallest(filled, zero, PATCHES)
    # Rows of outputs that a block reaches over: two of a window, or as many as four outputs take.
    over = 1 if site.fused else min(-(-(PATCHES - 1) // shape["out_w"]), shape["out_h"] - 1)
    rows, ring_bytes = gemm.row_ring(site, shape, slots=shape["k_h"] + over * shape["stride_h"])
    body = (
        f"static const at_rows rows = {rows};\n"
        f"at_conv_sparse_{'max_pool_' if site.fused else ''}{form}(x, w, y, "
        f"{'ring' if ring_bytes else 'y'}, patches, &rows, {zero}, {made.low}, {made.high});"
    )
    patches = PATCHES * filled.weights.shape[1] + sparse_packing.reads_past(form, PATCHES)
    operands = [
        site.reads("x"),
        table("w", stream, site.step.weights_in),
        site.writes(),
        scratch("patches", patches, "int8_t"),
    ]
    operands += [scratch("ring", ring_bytes, "int8_t")] if ring_bytes else []
    until = gemm.overlap_until(site, shape, ring=bool(ring_bytes), pixels=PATCHES)
    return Kernel(
        ("sparse_s8.h",),
        body,
        tuple(operands),
        {("x", "y"): Overlap(until)},
        reads_past=0 if ring_bytes else -run % 4,
    )


def _filled_rows(made: Layer, run: int) -> Layer:
    """The layer with every row of its filters, `run` taps, filled up to whole words."""
    rows = made.weights.reshape(-1, run)
    filled = np.pad(rows, ((0, 0), (0, -run % 4)))
    return replace(made, weights=filled.reshape(len(made.weights), -1))
