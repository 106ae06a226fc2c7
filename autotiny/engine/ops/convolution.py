"""CONV_2D and DEPTHWISE_CONV_2D on float32, as they are defined."""

from __future__ import annotations

from autotiny.engine.kernel import Kernel, Site, table
from autotiny.engine.layers.constants import biases, bounds_float32
from autotiny.engine.layers.rows import windowed
from autotiny.engine.layers.window import groups, multiple, pooling_struct


def conv_float32(site: Site) -> Kernel:
    """CONV_2D on float32."""

    def call(x: str, shape: str) -> str:
        if site.fused:
            return (
                f"at_conv_max_pool_f32({x}, w, bias, y, {shape}, {groups(site)},\n"
                f"                     {pooling_struct(site)}, {bounds_float32(site)});"
            )
        return (
            f"at_conv_f32({x}, w, bias, y, {shape}, {groups(site)},\n"
            f"            {bounds_float32(site)});"
        )

    bias = table("bias", biases(site, site.input(1).shape[0]), site.step.weights.memory)
    operands = (site.reads("x"), site.reads("w", 1), bias, site.writes())
    return windowed(site, "conv_f32.h", call, operands)


def depthwise_float32(site: Site) -> Kernel:
    """DEPTHWISE_CONV_2D on float32."""

    def call(x: str, shape: str) -> str:
        return (
            f"at_depthwise_f32({x}, w, bias, y, {shape}, {multiple(site)},\n"
            f"                 {bounds_float32(site)});"
        )

    bias = table("bias", biases(site, site.input(1).shape[3]), site.step.weights.memory)
    operands = (site.reads("x"), site.reads("w", 1), bias, site.writes())
    return windowed(site, "conv_f32.h", call, operands)
