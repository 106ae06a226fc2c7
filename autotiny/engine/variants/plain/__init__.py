"""Int8 layers as LiteRT defines them (`kernels/conv_s8.h`, `kernels/dense.h`)."""

from __future__ import annotations

import numpy as np

from autotiny.engine.kernel import Kernel, Site, table
from autotiny.engine.layers.constants import (
    centred,
    dense_shape,
    multipliers,
    quantization_of,
    requantization,
    tensor_multiplier,
)
from autotiny.engine.layers.rows import windowed
from autotiny.engine.layers.sums import summed
from autotiny.engine.layers.window import groups, multiple, pooling_struct
from autotiny.engine.variants.variant import Variant
from autotiny.schedule import Plain


def why_not(site: Site) -> str | None:
    """None: every int8 layer can be computed so."""
    return None


def emit(site: Site) -> Kernel:
    """CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED."""
    return _EMITS[site.op.kind](site)


def _conv(site: Site) -> Kernel:
    """CONV_2D on int8, with a scale for each output channel."""
    multiplier, shift = multipliers(site, site.input(1).shape[0])
    bias, bounds = centred(site, shift)

    def call(x: str, shape: str, y: str = "y") -> str:
        if site.fused and site.addend is None:
            return (
                f"at_conv_max_pool_s8({x}, w, bias, multiplier, shift, y, {shape},\n"
                f"                    {groups(site)}, {pooling_struct(site)},\n"
                f"                    {bounds});"
            )
        return (
            f"at_conv_s8({x}, w, bias, multiplier, shift, {y}, {shape},\n"
            f"           {groups(site)}, {bounds});"
        )

    constants = requantization(site, bias, multiplier, shift)
    operands = (site.reads("x"), site.reads("w", 1), *constants, site.writes())
    if site.addend is not None:
        return summed(site, "conv_s8.h", call, operands)
    return windowed(site, "conv_s8.h", call, operands)


def _depthwise(site: Site) -> Kernel:
    """DEPTHWISE_CONV_2D on int8, with a scale for each output channel."""
    multiplier, shift = multipliers(site, site.input(1).shape[3])
    bias, bounds = centred(site, shift)

    def call(x: str, shape: str) -> str:
        return (
            f"at_depthwise_s8({x}, w, bias, multiplier, shift, y, {shape},\n"
            f"                {multiple(site)}, {bounds});"
        )

    constants = requantization(site, bias, multiplier, shift)
    operands = (site.reads("x"), site.reads("w", 1), *constants, site.writes())
    return windowed(site, "conv_s8.h", call, operands)


def _dense(site: Site) -> Kernel:
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
    start = table("bias", bias, site.step.weights.memory)
    return Kernel(("dense.h",), body, (site.reads("x"), site.reads("w", 1), start, site.writes()))


_EMITS = {"CONV_2D": _conv, "DEPTHWISE_CONV_2D": _depthwise, "FULLY_CONNECTED": _dense}

VARIANT = Variant(Plain, __name__, why_not, emit)
