"""SOFTMAX along the last dimension."""

from __future__ import annotations

import math

from autotiny.engine.fixed_point import quantized_multiplier
from autotiny.engine.kernel import Kernel, Overlap, Site
from autotiny.engine.ops.convolution import quantization_of

_IN_PLACE = {("x", "y"): Overlap()}


def softmax_int8(site: Site) -> Kernel:
    """SOFTMAX from int8 to int8 of scale 1/256 and zero-point −128."""
    if site.output.dtype != "int8":
        site.refuse(f"its output is {site.output.dtype}; only int8 is computed")
    x, y = quantization_of(site, 0), quantization_of(site, None)
    if y.zero_point != -128 or abs(y.scale * 256 - 1) > 1e-3:
        site.refuse("its output must have scale 1/256 and zero-point −128")
    # Differences to the maximum are scaled to 26 fraction bits; those below −31 vanish.
    beta = float(site.option("beta", 1.0))
    multiplier, shift = quantized_multiplier(min(beta * x.scale * (1 << 26), (1 << 31) - 1.0))
    diff_min = -math.floor(31 * (1 << 26) / (1 << shift))
    depth = site.input(0).shape[-1]
    rows = site.input(0).size // depth
    body = f"at_softmax_s8(x, y, {rows}, {depth}, {multiplier}, {shift}, {diff_min});"
    return Kernel(("softmax.h",), body, (site.reads("x"), site.writes()), _IN_PLACE)


def softmax_float32(site: Site) -> Kernel:
    """SOFTMAX on float32."""
    depth = site.input(0).shape[-1]
    rows = site.input(0).size // depth
    body = f"at_softmax_f32(x, y, {rows}, {depth}, {float(site.option('beta', 1.0))}f);"
    return Kernel(("softmax.h",), body, (site.reads("x"), site.writes()), _IN_PLACE)
