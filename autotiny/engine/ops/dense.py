"""FULLY_CONNECTED on float32, as it is defined."""

from __future__ import annotations

from autotiny.engine.kernel import Kernel, Site, table
from autotiny.engine.layers.constants import biases, bounds_float32, dense_shape


def dense_float32(site: Site) -> Kernel:
    """FULLY_CONNECTED on float32."""
    rows, depth, out = dense_shape(site)
    body = f"at_dense_f32(x, w, bias, y, {rows}, {depth}, {out}, {bounds_float32(site)});"
    bias = table("bias", biases(site, out), site.step.weights.memory)
    return Kernel(("dense.h",), body, (site.reads("x"), site.reads("w", 1), bias, site.writes()))
