"""SOFTMAX along the last dimension."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from autotiny.engine import shapes
from autotiny.engine.declared import Declared, Emitter, Real, Takes
from autotiny.engine.fixed_point import quantized_multiplier
from autotiny.engine.kernel import Emit, Kernel, Overlap, Site
from autotiny.engine.layers.constants import quantization_of
from autotiny.engine.ops import int16
from autotiny.graph import DType

_IN_PLACE = {("x", "y"): Overlap()}


def softmax_int8(site: Site) -> Kernel:
    """SOFTMAX from int8 to int8 or int16, whose range is that from 0 to 1."""
    bits = 8 if site.output.dtype == "int8" else 16
    x, y = quantization_of(site, 0), quantization_of(site, None)
    if y.zero_point != -(1 << (bits - 1)) or abs(y.scale * (1 << bits) - 1) > 1e-3:
        site.refuse(f"its output must have scale 1/{1 << bits} and zero-point −{1 << (bits - 1)}")
    # Differences to the maximum are scaled to 26 fraction bits; those below −31 vanish.
    beta = float(site.option("beta", 1.0))
    multiplier, shift = quantized_multiplier(min(beta * x.scale * (1 << 26), (1 << 31) - 1.0))
    diff_min = -math.floor(min(31 * (1 << 26) / 2.0**shift, 1 << 30))
    depth = site.input(0).shape[-1]
    rows = site.input(0).size // depth
    name = "s8" if bits == 8 else "s8_s16"
    body = f"at_softmax_{name}(x, y, {rows}, {depth}, {multiplier}, {shift}, {diff_min});"
    overlaps = _IN_PLACE if bits == 8 else {}
    return Kernel(("softmax.h",), body, (site.reads("x"), site.writes()), overlaps)


def softmax_float32(site: Site) -> Kernel:
    """SOFTMAX on float32."""
    depth = site.input(0).shape[-1]
    rows = site.input(0).size // depth
    body = f"at_softmax_f32(x, y, {rows}, {depth}, {float(site.option('beta', 1.0))}f);"
    return Kernel(("softmax.h",), body, (site.reads("x"), site.writes()), _IN_PLACE)


_RESULTS: Final[Mapping[DType, tuple[Emit, tuple[DType, ...]]]] = {
    "int8": (softmax_int8, ("int8", "int16")),
    "int16": (int16.softmax, ("int16",)),
    "float32": (softmax_float32, ("float32",)),
}

SOFTMAX: Final[Mapping[tuple[str, str], Emitter]] = {
    ("SOFTMAX", dtype): Emitter(
        emit,
        Declared(
            inputs=(Takes("input", (dtype,), (1, 8), scales="one"),),
            outputs=(Takes("result", results, scales="one"),),
            shapes=shapes.same_shape,
            options={"beta": Real(0.0)},
        ),
    )
    for dtype, (emit, results) in _RESULTS.items()
}
"""(kind, arithmetic) → emitter."""
