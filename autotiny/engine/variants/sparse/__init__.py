"""Int8 convolutions and dense layers without their zero weights (`sparse_s8.h`).

A step says the same of layers on other types, which `ops/sparse.py` computes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from autotiny.engine.kernel import Kernel, Overlap, Site, scratch, table
from autotiny.engine.layers.constants import dense_shape, quantization_of
from autotiny.engine.layers.matrix import Matrix, matrix, why_not_fast
from autotiny.engine.layers.patches import overlap_until, pools_2x2, row_ring, why_no_patches
from autotiny.engine.layers.window import window
from autotiny.engine.variants.sparse import packing
from autotiny.engine.variants.variant import Variant
from autotiny.schedule import Way

PATCHES = 4
"""Outputs of a convolution that share the walk over its weights."""


@dataclass(frozen=True)
class Sparse(Way):
    """Only the weights that are not zero are stored, and multiplied."""

    stays = True


def why_not_shaped(site: Site) -> str | None:
    """Why no layer of its shape is computed so, in any arithmetic; None if it can be."""
    if site.op.kind == "FULLY_CONNECTED":
        if dense_shape(site)[0] != 1:
            return "it has several rows of inputs"
    elif site.op.kind == "CONV_2D":
        if why := why_no_patches(site, window(site, *site.input(1).shape[1:3])):
            return why
        if site.fused and not pools_2x2(site):
            return "only 2×2 max-pooling is fused into it"
    else:
        return "only convolutions and dense layers are computed so"
    return None


def why_not(site: Site) -> str | None:
    """Why a layer on int8 cannot be computed so; None if it can."""
    return why_not_shaped(site) or why_not_fast(matrix(site), lanes=False)


def emit(site: Site) -> Kernel:
    """CONV_2D or FULLY_CONNECTED."""
    if why := why_not(site):
        site.refuse(f"its zeros are not left out: {why}")
    return _dense(site) if site.op.kind == "FULLY_CONNECTED" else _conv(site)


def _dense(site: Site) -> Kernel:
    """Output by output."""
    made = matrix(site)
    zero = quantization_of(site, None).zero_point
    form, stream = packing.smallest(made, zero)
    body = f"@at_dense_sparse_{form}(x, w, y, {len(made.bias)}, {zero}, {made.low}, {made.high});"
    operands = (site.reads("x"), table("w", stream, site.step.weights.memory), site.writes())
    past = packing.reads_past(form)
    return Kernel(("sparse_s8.h",), body, operands, reads_past=past)


def _conv(site: Site) -> Kernel:
    """Four patches at a time; before max-pooling the four of a window."""
    shape = window(site, *site.input(1).shape[1:3])
    made = matrix(site)
    run = shape["k_w"] * shape["in_c"]
    filled = _filled_rows(made, run)
    zero = quantization_of(site, None).zero_point
    form, stream = packing.smallest(filled, zero, PATCHES)
    # Rows of outputs that a block reaches over: two of a window, or as many as four outputs take.
    over = 1 if site.fused else min(-(-(PATCHES - 1) // shape["out_w"]), shape["out_h"] - 1)
    rows, ring_bytes = row_ring(site, shape, slots=shape["k_h"] + over * shape["stride_h"])
    body = (
        f"static const at_rows rows = {rows};\n"
        f"@at_conv_sparse_{'max_pool_' if site.fused else ''}{form}(x, w, y, "
        f"{'ring' if ring_bytes else 'y'}, patches, &rows, {zero}, {made.low}, {made.high});"
    )
    patches = PATCHES * filled.weights.shape[1] + packing.reads_past(form, PATCHES)
    operands = [
        site.reads("x"),
        table("w", stream, site.step.weights.memory),
        site.writes(),
        scratch("patches", patches, "int8_t"),
    ]
    operands += [scratch("ring", ring_bytes, "int8_t")] if ring_bytes else []
    until = overlap_until(site, shape, ring=bool(ring_bytes), pixels=PATCHES)
    return Kernel(
        ("sparse_s8.h",),
        body,
        tuple(operands),
        {("x", "y"): Overlap(until)},
        reads_past=0 if ring_bytes else -run % 4,
    )


def _filled_rows(made: Matrix, run: int) -> Matrix:
    """The layer with every row of its filters, `run` taps, filled up to whole words."""
    rows = made.weights.reshape(-1, run)
    filled = np.pad(rows, ((0, 0), (0, -run % 4)))
    return replace(made, weights=filled.reshape(len(made.weights), -1))


VARIANT = Variant(Sparse, __name__, why_not, emit, ("sparse_s8.h",))
