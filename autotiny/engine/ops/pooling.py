"""MAX_POOL_2D and AVERAGE_POOL_2D."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from autotiny.engine import shapes
from autotiny.engine.declared import ACTIVATION, SIZE, STRIDES, Declared, Emitter, Takes, alike
from autotiny.engine.fixed_point import activation_range
from autotiny.engine.kernel import Kernel, Overlap, Site
from autotiny.engine.layers.constants import bounds_float32, quantization_of
from autotiny.engine.layers.rows import windowed
from autotiny.engine.layers.window import window
from autotiny.graph import DType

_NAMES: Final[Mapping[DType, str]] = {"int8": "s8", "int16": "s16", "float32": "f32"}


def maximum(site: Site) -> Kernel:
    """MAX_POOL_2D."""
    return _pool(site, "at_max_pool")


def average(site: Site) -> Kernel:
    """AVERAGE_POOL_2D."""
    return _pool(site, "at_average_pool")


def _pool(site: Site, function: str) -> Kernel:
    shape = window(site, site.option("filter_height", 1), site.option("filter_width", 1))
    name, bounds = f"{function}_{_NAMES[site.output.dtype]}", _bounds(site)

    def call(x: str, window: str) -> str:
        return f"{name}({x}, y, {window}, {bounds});"

    # Each window is read before its output is written. Windows that do not meet lie at or behind
    # their outputs, channel by channel, so the output may replace the input.
    apart = (
        shape["pad_top"] == shape["pad_left"] == 0
        and shape["stride_h"] >= shape["k_h"]
        and shape["stride_w"] >= shape["k_w"]
    )
    overlaps = {("x", "y"): Overlap()} if apart else {}
    return windowed(site, "pool.h", call, (site.reads("x"), site.writes()), overlaps)


def _bounds(site: Site) -> str:
    """The two C constants between which the fused activation clamps."""
    if site.arithmetic == "float32":
        return bounds_float32(site)
    activation = site.option("fused_activation_function", "NONE")
    low, high = activation_range(activation, quantization_of(site, None), site.output.dtype)
    return f"{low}, {high}"


def declared(dtype: DType) -> Declared:
    """What a pooling must be."""
    return Declared(
        inputs=(Takes("input", (dtype,), (4, 4)),),
        outputs=(Takes("result", (dtype,), scales="one"),),
        shapes=shapes.pool,
        options={**STRIDES, **ACTIVATION, "filter_height": SIZE, "filter_width": SIZE},
    )


POOLING: Final[Mapping[tuple[str, str], Emitter]] = alike(
    declared,
    {
        (kind, dtype): emit
        for kind, emit in (("MAX_POOL_2D", maximum), ("AVERAGE_POOL_2D", average))
        for dtype in _NAMES
    },
)
"""(kind, arithmetic) → emitter."""
