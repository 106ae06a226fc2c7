"""FULLY_CONNECTED, as it is defined."""

from __future__ import annotations

import numpy as np

from autotiny.engine.fixed_point import quantized_multiplier
from autotiny.engine.kernel import Kernel, Site, table
from autotiny.engine.ops.convolution import (
    biases,
    bounds_float32,
    centred,
    multipliers,
    quantization_of,
    requantization,
)


def dense_shape(site: Site) -> tuple[int, int, int]:
    """(rows, depth, out): the input as a matrix, and the number of outputs."""
    out, depth = site.input(1).shape
    size = site.input(0).size
    if size % depth:
        site.refuse(f"{size} inputs do not fill rows of {depth}")
    return size // depth, depth, out


def tensor_multiplier(site: Site) -> tuple[int, int]:
    """(multiplier, shift) where one scale holds for all weights.

    TensorFlow Lite multiplies the two input scales in float32 here, unlike for convolutions.
    """
    x, w, y = (quantization_of(site, which) for which in (0, 1, None))
    product = float(np.float32(x.scale) * np.float32(w.scale))
    return quantized_multiplier(product / float(np.float32(y.scale)))


def dense_int8(site: Site) -> Kernel:
    """FULLY_CONNECTED on int8, with one scale for all weights or one for each output."""
    rows, depth, out = dense_shape(site)
    if len(quantization_of(site, 1).scales) > 1:
        multiplier, shift = multipliers(site, out)
        bias, bounds = centred(site, shift)
        body = (
            f"at_dense_per_channel_s8(x, w, bias, multiplier, shift, y, {rows}, {depth}, {out},\n"
            f"                        {bounds});"
        )
        constants = requantization(site, bias, multiplier, shift)
        operands = (site.reads("x"), site.reads("w", 1), *constants, site.writes())
        return Kernel(("dense.h",), body, operands)
    one, power = tensor_multiplier(site)
    bias, bounds = centred(site, np.full(out, power))
    body = (
        f"at_dense_s8(x, w, bias, y, {rows}, {depth}, {out}, {one}, {power},\n"
        f"            {bounds});"
    )
    start = table("bias", bias, site.step.weights_in)
    return Kernel(("dense.h",), body, (site.reads("x"), site.reads("w", 1), start, site.writes()))


def dense_float32(site: Site) -> Kernel:
    """FULLY_CONNECTED on float32."""
    rows, depth, out = dense_shape(site)
    body = f"at_dense_f32(x, w, bias, y, {rows}, {depth}, {out}, {bounds_float32(site)});"
    bias = table("bias", biases(site, out), site.step.weights_in)
    return Kernel(("dense.h",), body, (site.reads("x"), site.reads("w", 1), bias, site.writes()))
