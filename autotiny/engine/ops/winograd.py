"""CONV_2D with 3×3 filters of stride 1 by exact Winograd filtering (`kernels/winograd_s8.h`)."""

from __future__ import annotations

import numpy as np

from autotiny.engine import packing
from autotiny.engine.kernel import Kernel, Overlap, Site, scratch, table
from autotiny.engine.ops import gemm
from autotiny.engine.ops.shape import window
from autotiny.engine.packing import Ints, Layer, Words

# Twice the matrix that transforms filters, so that it has no halves; both sides: four times.
FILTER = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]], np.int64)
BIAS_PRODUCT = 5  # the one product, (1, 1), that adds to all four outputs


def why_not(site: Site) -> str | None:
    """Why a convolution cannot be computed so; None if it can."""
    shape = window(site, *site.input(1).shape[1:3])
    if (shape["k_h"], shape["k_w"]) != (3, 3) or shape["stride_h"] != 1 or shape["stride_w"] != 1:
        return "it is not 3×3 of stride 1"
    if site.fused:
        return "something is fused into it"
    if shape["in_c"] % 8 or shape["out_c"] % 4:
        return "it needs a multiple of 8 input and of 4 output channels"
    if shape["in_c"] * 16 * 4 > 1 << 16:
        return "it has more than 1,024 input channels"
    if why := gemm.why_not(gemm.widened(site)):  # transformed, weights take 16 bits
        return why
    made = gemm.matrix(site)
    if (np.abs(transformed(made, shape["in_c"])) > 32767).any():
        return "a transformed weight leaves 16 bits"
    if (4 * made.reach >= 1 << 31).any():
        return "four times an accumulator may exceed 32 bits"
    return None


def transformed(made: Layer, in_c: int) -> Ints:
    """(16, outputs, in_c): four times the filters in the domain of the products."""
    filters = made.weights.reshape(-1, 3, 3, in_c)
    products: Ints = np.einsum("ai,kijc,bj->abkc", FILTER, filters, FILTER)
    return products.reshape(16, -1, in_c)


def stream(made: Layer, in_c: int) -> Words:
    """The stream of `at_winograd`; channels in the input transform's pairs (0, 2), (1, 3), …."""
    filters = transformed(made, in_c)
    order = np.arange(in_c).reshape(-1, 4)[:, [0, 2, 1, 3]].reshape(-1)
    pairs = filters[:, :, order].reshape(16, -1, in_c // 2, 2) & 0xFFFF
    words = pairs[..., 0] | pairs[..., 1] << 16  # (16, outputs, pairs)
    parts: list[Ints] = []
    for first in range(0, len(made.bias), 4):
        channels = slice(first, first + 4)
        for product in range(16):
            start = 4 * made.bias[channels] if product == BIAS_PRODUCT else np.zeros(4, np.int64)
            parts.append(start)
            parts.append(words[product, channels].T.reshape(-1))
        parts.append(np.array(packing.constants(made, channels), np.int64))
    return (np.concatenate(parts) & 0xFFFFFFFF).astype(np.uint32)


def conv(site: Site) -> Kernel:
    """CONV_2D; its step's method is "winograd"."""
    if why := why_not(site):
        site.refuse(f"Winograd filtering is not computed: {why}")
    shape = window(site, 3, 3)
    made = gemm.matrix(site)
    columns = 2 * -(-shape["out_w"] // 2) + 2  # patches are whole: the last may reach further
    pitch = max(shape["pad_left"] + shape["in_w"], columns) * shape["in_c"]
    rows = gemm.rows_struct(site, shape, slots=4, pitch=pitch)
    bounds = f", {made.low}, {made.high}" if made.finish == "clamp" else ""
    body = (
        f"static const at_rows rows = {rows};\n"
        f"at_winograd_{made.finish}_s8(x, w, y, ring, v, m, &rows{bounds});"
    )
    operands = (
        site.reads("x"),
        table("w", stream(made, shape["in_c"]), site.step.weights_in),
        site.writes(),
        scratch("ring", 4 * pitch, "uint32_t"),
        scratch("v", 64 * shape["in_c"], "uint32_t"),
        scratch("m", 512, "int32_t"),
    )
    return Kernel(("winograd_s8.h",), body, operands, {("x", "y"): Overlap(_until(shape))})


def _until(shape: dict[str, int]) -> int:
    """How many bytes behind the start of the input the output may start.

    Before rows r and r + 1 are written, the input rows below r + 4 − padding are in the ring.
    """
    row = shape["in_w"] * shape["in_c"]
    rooms = [shape["in_h"] * row]
    for r in range(0, shape["out_h"] - 2, 2):
        loaded = r + 4 - shape["pad_top"]
        if loaded < shape["in_h"]:
            rooms.append(loaded * row - (r + 2) * shape["out_w"] * shape["out_c"])
    return min(rooms)
