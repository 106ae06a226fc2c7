"""BATCH_MATMUL and L2_NORMALIZATION."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from autotiny.engine import shapes
from autotiny.engine.declared import FLAG, NO_ACTIVATION, Declared, Emitter, Takes, alike
from autotiny.engine.fixed_point import quantized_multiplier
from autotiny.engine.kernel import Kernel, Overlap, Site
from autotiny.engine.layers.constants import quantization_of
from autotiny.graph import DType

BATCHES: Final = 3


def _shape(site: Site) -> str:
    """The C value of an `at_product_shape`."""
    a, b, y = site.input(0).shape, site.input(1).shape, site.output.shape
    rows, depth = a[-2:] if not site.option("adj_x", False) else a[:-3:-1]
    cols = y[-1]
    batches = np.broadcast_shapes(a[:-2], b[:-2])
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
    shape = _shape(site)
    operands = (site.reads("a", 0), site.reads("b", 1), site.writes())
    if site.output.dtype == "float32":
        return Kernel(("matmul.h",), f"at_matmul_f32(a, b, y,\n    {shape});", operands)
    a, b, y = (quantization_of(site, which) for which in (0, 1, None))
    # The reference multiplies the two input scales in float32, as for dense layers.
    product = float(np.float32(a.scale) * np.float32(b.scale))
    multiplier, shift = quantized_multiplier(product / y.scale)
    if site.output.dtype == "int8":
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
    rows = site.input(0).size // depth
    operands = (site.reads("x"), site.writes())
    overlaps = {("x", "y"): Overlap()}
    if site.output.dtype == "float32":
        return Kernel(("matmul.h",), f"at_l2_norm_f32(x, y, {rows}, {depth});", operands, overlaps)
    x, y = quantization_of(site, 0), quantization_of(site, None)
    if y.zero_point or abs(y.scale * 128 - 1) > 1e-3:
        site.refuse("its output must be int8 of scale 1/128 and zero-point 0")
    if depth * 255 * 255 >= 1 << 31:
        site.refuse(f"the squares of {depth} elements leave int32")
    body = f"at_l2_norm_s8(x, y, {rows}, {depth}, {x.zero_point});"
    return Kernel(("matmul.h",), body, operands, overlaps)


def declared_product(dtype: DType) -> Declared:
    """What a BATCH_MATMUL must be."""
    ranks = (2, BATCHES + 2)
    return Declared(
        inputs=(
            Takes("input", (dtype,), ranks, scales="one"),
            Takes("other", (dtype,), ranks, scales="one"),
        ),
        outputs=(Takes("result", (dtype,), ranks, scales="one"),),
        shapes=shapes.product,
        options={"adj_x": FLAG, "adj_y": FLAG, "asymmetric_quantize_inputs": FLAG},
    )


def declared_norm(dtype: DType) -> Declared:
    """What an L2_NORMALIZATION must be."""
    return Declared(
        inputs=(Takes("input", (dtype,), (1, 8), scales="one"),),
        outputs=(Takes("result", (dtype,), scales="one"),),
        shapes=shapes.same_shape,
        options=NO_ACTIVATION,
    )


MATMUL: Final[Mapping[tuple[str, str], Emitter]] = {
    **alike(
        declared_product,
        {("BATCH_MATMUL", "int8"): matmul, ("BATCH_MATMUL", "int16"): matmul,
         ("BATCH_MATMUL", "float32"): matmul},
    ),
    **alike(
        declared_norm,
        {("L2_NORMALIZATION", "int8"): l2_norm, ("L2_NORMALIZATION", "float32"): l2_norm},
    ),
}  # fmt: skip
"""(kind, arithmetic) → emitter."""
