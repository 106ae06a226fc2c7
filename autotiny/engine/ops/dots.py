"""Int8 convolutions and dense layers two dot products at a time (`kernels/dots_s8.h`).

For cores without the DSP extension; weights keep the order that they have in the model.
"""

from __future__ import annotations

import numpy as np

from autotiny.engine import packing
from autotiny.engine.kernel import Kernel, Operand, Overlap, Site, scratch, table
from autotiny.engine.ops import gemm
from autotiny.engine.ops.dense import dense_shape
from autotiny.engine.ops.shape import window
from autotiny.engine.packing import Layer


def why_not(site: Site) -> str | None:
    """Why a convolution or dense layer cannot be computed so; None if it can."""
    if site.step.coding != "plain":
        return f"its weights are stored {site.step.coding}"
    if site.op.kind == "FULLY_CONNECTED":
        if dense_shape(site)[0] != 1:
            return "it has several rows of inputs"
    else:
        if site.fused:
            return "something is fused into it"
        if why := gemm.why_no_patches(site, window(site, *site.input(1).shape[1:3])):
            return why
    return packing.why_not_fast(gemm.matrix(site), lanes=False)


def _constants(site: Site, made: Layer) -> Operand:
    columns = (made.bias, made.multiplier, made.rounding, made.shift)
    values = np.stack(columns, axis=1) & 0xFFFFFFFF
    return table("c", values.astype(np.uint32), site.step.weights_in)


def conv(site: Site) -> Kernel:
    """CONV_2D, two output pixels at a time."""
    if why := why_not(site):
        site.refuse(f"its dot products are not computed in pairs: {why}")
    shape = window(site, *site.input(1).shape[1:3])
    made = gemm.matrix(site)
    rows, ring_bytes = gemm.row_ring(site, shape, slots=shape["k_h"])
    taps = shape["k_h"] * shape["k_w"] * shape["in_c"]
    body = (
        f"static const at_rows rows = {rows};\n"
        f"at_conv_dots_{made.finish}(x, w, c, y, {'ring' if ring_bytes else 'y'}, patches, &rows, "
        f"{made.low}, {made.high});"
    )
    operands = [
        site.reads("x"),
        site.reads("w", 1),
        _constants(site, made),
        site.writes(),
        scratch("patches", 2 * taps, "int8_t"),
    ]
    operands += [scratch("ring", ring_bytes, "int8_t")] if ring_bytes else []
    # Two pixels are read, then written; as pairs begin anew with each row, any pixel may end one.
    until = gemm.overlap_until(site, shape, ring=bool(ring_bytes), pixels=1)
    return Kernel(("dots_s8.h",), body, tuple(operands), {("x", "y"): Overlap(until)})


def dense(site: Site) -> Kernel:
    """FULLY_CONNECTED, two outputs at a time."""
    if why := why_not(site):
        site.refuse(f"its dot products are not computed in pairs: {why}")
    _, depth, out = dense_shape(site)
    made = gemm.matrix(site)
    body = f"at_dense_dots_{made.finish}(x, w, c, y, {depth}, {out}, {made.low}, {made.high});"
    operands = (site.reads("x"), site.reads("w", 1), _constants(site, made), site.writes())
    return Kernel(("dots_s8.h",), body, operands)
