"""BATCH_MATMUL and L2_NORMALIZATION."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from autotiny.engine.fixed_point import quantized_multiplier
from autotiny.engine.kernel import Emitter, Kernel, Overlap, Site
from autotiny.engine.ops.convolution import quantization_of
from autotiny.engine.shapes import no_check, rows

BATCHES: Final = 3


def _shape(site: Site) -> str:
    """The C value of an `at_product_shape`."""
    a, b, y = site.input(0).shape, site.input(1).shape, site.output.shape
    if min(len(a), len(b), len(y)) < 2 or max(len(a), len(b), len(y)) > BATCHES + 2:
        site.refuse(f"{a} times {b} is not computed")
    rows, depth = a[-2:] if not site.option("adj_x", False) else a[:-3:-1]
    inner, cols = b[-2:] if not site.option("adj_y", False) else b[:-3:-1]
    try:
        batches = np.broadcast_shapes(a[:-2], b[:-2])
    except ValueError:
        site.refuse(f"{a} and {b} do not broadcast")
    if depth != inner or y[-2:] != (rows, cols) or math.prod(y[:-2]) != math.prod(batches):
        site.refuse(f"{a} times {b} is not {y}")
    counts = [1] * (BATCHES - len(batches)) + list(batches)

    def steps(shape: tuple[int, ...]) -> list[int]:
        padded = (1,) * (BATCHES + 2 - len(shape)) + shape
        return [0 if padded[i] == 1 else math.prod(padded[i + 1 :]) for i in range(BATCHES)]

    a_steps = (1, rows) if site.option("adj_x", False) else (depth, 1)
    b_steps = (1, depth) if site.option("adj_y", False) else (cols, 1)
    numbers = [", ".join(map(str, part)) for part in (counts, steps(a), steps(b))]
    last = ", ".join(map(str, (rows, cols, depth, *a_steps, *b_steps)))
    return f"(at_product_shape){{{', '.join(f'{{{part}}}' for part in numbers)}, {last}}}"


def matmul(site: Site) -> Kernel:
    """BATCH_MATMUL on int8, int16 and float32."""
    types = {site.input(0).dtype, site.input(1).dtype, site.output.dtype}
    if len(types) > 1:
        site.refuse(f"its tensors have different types: {', '.join(sorted(types))}")
    shape = _shape(site)
    operands = (site.reads("a", 0), site.reads("b", 1), site.writes())
    if types == {"float32"}:
        return Kernel(("matmul.h",), f"at_matmul_f32(a, b, y,\n    {shape});", operands)
    a, b, y = (quantization_of(site, which) for which in (0, 1, None))
    if len(b.scales) > 1:
        site.refuse("a scale for each column is not computed")
    # The reference multiplies the two input scales in float32, as for dense layers.
    product = float(np.float32(a.scale) * np.float32(b.scale))
    multiplier, shift = quantized_multiplier(product / y.scale)
    if types == {"int8"}:
        body = (
            f"at_matmul_s8(a, b, y,\n    {shape}, {-a.zero_point}, {-b.zero_point}, {multiplier}, "
            f"{shift}, {y.zero_point});"
        )
    else:
        if a.zero_point or b.zero_point or y.zero_point or shift >= 15:
            site.refuse("its zero-points must be 0, and its output scale not far below its inputs'")
        short = 0x7FFF if multiplier >= 0x7FFF0000 else (multiplier + (1 << 15)) >> 16
        body = f"at_matmul_s16(a, b, y,\n    {shape}, {short}, {shift});"
    return Kernel(("matmul.h",), body, operands)


def l2_norm(site: Site) -> Kernel:
    """L2_NORMALIZATION along the last dimension, on int8 and float32."""
    depth = site.input(0).shape[-1]
    rows = site.input(0).size // max(depth, 1)
    if site.option("fused_activation_function", "NONE") != "NONE":
        site.refuse("an activation after it is not computed")
    operands = (site.reads("x"), site.writes())
    overlaps = {("x", "y"): Overlap()}
    if site.output.dtype == "float32":
        return Kernel(("matmul.h",), f"at_l2_norm_f32(x, y, {rows}, {depth});", operands, overlaps)
    x, y = quantization_of(site, 0), quantization_of(site, None)
    if site.output.dtype != "int8" or y.zero_point or abs(y.scale * 128 - 1) > 1e-3:
        site.refuse("its output must be int8 of scale 1/128 and zero-point 0")
    if depth * 255 * 255 >= 1 << 31:
        site.refuse(f"the squares of {depth} elements leave int32")
    body = f"at_l2_norm_s8(x, y, {rows}, {depth}, {x.zero_point});"
    return Kernel(("matmul.h",), body, operands, overlaps)


MATMUL: Final[Mapping[tuple[str, str], Emitter]] = {
    **{
        ("BATCH_MATMUL", dtype): Emitter(matmul, no_check) for dtype in ("int8", "int16", "float32")
    },
    **{("L2_NORMALIZATION", dtype): Emitter(l2_norm, rows) for dtype in ("int8", "float32")},
}
"""(kind, arithmetic) → emitter."""
