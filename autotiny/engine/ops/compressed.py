"""Float32 layers whose weights are stored smaller: as half-precision floats or as int8."""

from __future__ import annotations

import numpy as np

from autotiny.engine.kernel import Kernel, Site, scratch, table
from autotiny.engine.layers.constants import biases, bounds_float32, quantization_of
from autotiny.engine.layers.rows import windowed
from autotiny.engine.ops.layer import layer_of


def half(site: Site) -> Kernel:
    """CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED with float16 weights."""
    form = layer_of(site)
    if not np.isfinite(site.constant(1).astype(np.float32)).all():
        site.refuse("a float16 weight is not finite")
    bias = table("bias", biases(site, form.channels).astype(np.float32), site.step.weights.memory)
    operands = (site.reads("x"), site.reads("w", 1), bias, site.writes())

    def call(x: str, shape: str) -> str:
        return (
            f"at_{form.function}_f16({x}, w, bias, y, {shape}, {form.groups},\n"
            f"            {bounds_float32(site)});"
        )

    if form.dense:
        return Kernel(("conv_f16.h",), call("x", form.window), operands)
    return windowed(site, "conv_f16.h", call, operands)


def hybrid(site: Site) -> Kernel:
    """The same with int8 weights; the input is quantized to int8 when it is known.

    As LiteRT does it: a whole input by one scale for convolutions, each row by its own for dense
    layers. The scales are computed in float32, where LiteRT divides in double precision: in about
    one input of 10^5 a zero-point lies one step away, which moves results by less than one step of
    the input.
    """
    form = layer_of(site)
    scales = np.array(quantization_of(site, 1).scales, np.float32)
    if any(quantization_of(site, 1).zero_points):
        site.refuse("its int8 weights have a zero-point that is not 0")
    place = site.step.weights.memory
    depth = site.input(1).shape[-1] if form.dense else site.input(0).size
    operands = [
        site.reads("source"),
        scratch("x", depth, "int8_t"),
        site.reads("w", 1),
        table("w_scale", scales, place),
        table("bias", biases(site, form.channels).astype(np.float32), place),
        site.writes(),
    ]
    bounds = bounds_float32(site)
    if form.dense:
        balanced = int(not site.option("asymmetric_quantize_inputs", False))
        rows = site.input(0).size // depth
        body = (
            f"at_dense_hybrid(source, x, w, w_scale, bias, y, {rows}, {depth}, {form.channels},\n"
            f"                {len(scales)}, {balanced}, {bounds});"
        )
    else:
        if len(scales) == 1:
            operands[3] = table("w_scale", np.repeat(scales, form.channels), place)
        # LiteRT has an older way for a convolution with a single scale.
        symmetric = f" {int(len(scales) == 1)}," if form.function == "conv" else ""
        body = (
            f"at_{form.function}_hybrid(source, x, w, w_scale, bias, y, {form.window},\n"
            f"    {form.groups},{symmetric} {bounds});"
        )
    return Kernel(("hybrid.h",), body, tuple(operands))
