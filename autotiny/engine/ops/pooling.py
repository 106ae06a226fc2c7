"""MAX_POOL_2D and AVERAGE_POOL_2D."""

from __future__ import annotations

from autotiny.engine.fixed_point import activation_range
from autotiny.engine.kernel import Kernel, Overlap, Site
from autotiny.engine.ops.convolution import bounds_float32, quantization_of
from autotiny.engine.ops.in_place import windowed
from autotiny.engine.ops.shape import window


def _pool(site: Site, function: str, bounds: str) -> Kernel:
    shape = window(site, site.option("filter_height", 1), site.option("filter_width", 1))

    def call(x: str, window: str) -> str:
        return f"{function}({x}, y, {window}, {bounds});"

    # Each window is read before its output is written. Windows that do not meet lie at or behind
    # their outputs, channel by channel, so the output may replace the input.
    apart = (
        shape["pad_top"] == shape["pad_left"] == 0
        and shape["stride_h"] >= shape["k_h"]
        and shape["stride_w"] >= shape["k_w"]
    )
    overlaps = {("x", "y"): Overlap()} if apart else {}
    return windowed(site, "pool.h", call, (site.reads("x"), site.writes()), overlaps)


def _int8_bounds(site: Site) -> str:
    low, high = activation_range(
        site.option("fused_activation_function", "NONE"), quantization_of(site, None), "int8"
    )
    return f"{low}, {high}"


def max_int8(site: Site) -> Kernel:
    """MAX_POOL_2D on int8."""
    return _pool(site, "at_max_pool_s8", _int8_bounds(site))


def average_int8(site: Site) -> Kernel:
    """AVERAGE_POOL_2D on int8."""
    return _pool(site, "at_average_pool_s8", _int8_bounds(site))


def max_float32(site: Site) -> Kernel:
    """MAX_POOL_2D on float32."""
    return _pool(site, "at_max_pool_f32", bounds_float32(site))


def average_float32(site: Site) -> Kernel:
    """AVERAGE_POOL_2D on float32."""
    return _pool(site, "at_average_pool_f32", bounds_float32(site))
