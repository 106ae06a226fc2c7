"""MEAN over any axes that are neighbours."""

from __future__ import annotations

import numpy as np

from autotiny.engine.fixed_point import quantized_multiplier
from autotiny.engine.kernel import Kernel, Site
from autotiny.engine.ops.convolution import quantization_of


def reduced(site: Site) -> tuple[int, int, int]:
    """(outer, count, inner): the input with all reduced axes as its middle dimension."""
    shape = site.input(0).shape
    axes = sorted({int(axis) % len(shape) for axis in site.constant(1).reshape(-1)})
    axes = [axis for axis in axes if shape[axis] > 1] or axes[:1]
    if axes != list(range(axes[0], axes[0] + len(axes))):
        site.refuse(f"the axes {axes} of {shape} are no neighbours")
    first, end = axes[0], axes[-1] + 1
    return tuple(  # type: ignore[return-value]
        int(np.prod(part, dtype=np.int64))
        for part in (shape[:first], shape[first:end], shape[end:])
    )


def mean_int8(site: Site) -> Kernel:
    """MEAN on int8: the division by the count is folded into the multiplier."""
    outer, count, inner = reduced(site)
    x, y = quantization_of(site, 0), quantization_of(site, None)
    multiplier, shift = quantized_multiplier(x.scale / y.scale)
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    multiplier, shift = (multiplier << bits) // count, shift - bits
    body = (
        f"at_reduce_s8(x, y, {outer}, {count}, {inner}, {-x.zero_point * count}, {multiplier}, "
        f"{shift},\n             {y.zero_point});"
    )
    return Kernel(("reduce.h",), body, (site.reads("x"), site.writes()))


def mean_float32(site: Site) -> Kernel:
    """MEAN on float32."""
    outer, count, inner = reduced(site)
    body = f"at_reduce_f32(x, y, {outer}, {count}, {inner}, {count}.0f);"
    return Kernel(("reduce.h",), body, (site.reads("x"), site.writes()))
