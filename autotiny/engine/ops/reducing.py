"""Ops that reduce dimensions: MEAN, SUM, REDUCE_MAX, REDUCE_MIN, ARG_MAX, ARG_MIN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from autotiny.engine.fixed_point import quantized_multiplier
from autotiny.engine.kernel import Emitter, Kernel, Site, checked
from autotiny.engine.ops.convolution import quantization_of
from autotiny.engine.shapes import no_check

SUFFIX: Final = {"int8": "s8", "int16": "s16", "float32": "f32"}
PARTS: Final = 5


def reduced(site: Site) -> tuple[str, int]:
    """The C value of an `at_reduced`, and how many elements each result is made of."""
    shape = site.input(0).shape
    axes = {int(axis) for axis in site.constant(1).reshape(-1)}
    if any(not -len(shape) <= axis < len(shape) for axis in axes):
        site.refuse(f"axes {sorted(axes)} of {len(shape)} dimensions")
    axes = {axis % len(shape) for axis in axes}
    parts = [1]  # kept and reduced in turn, a kept one first
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        if (axis in axes) == (len(parts) % 2 == 0):
            parts[-1] *= size
        else:
            parts.append(size)
    if len(parts) > PARTS:
        site.refuse(f"reduced dimensions {sorted(axes)} of {shape} lie in too many places")
    parts += [1] * (PARTS - len(parts))
    count = math.prod(size for axis, size in enumerate(shape) if axis in axes)
    if site.output.size * count != site.input(0).size:
        site.refuse(f"reducing {sorted(axes)} of {shape} does not give {site.output.shape}")
    return f"(at_reduced){{{', '.join(map(str, parts))}}}", count


def _kernel(body: str, site: Site) -> Kernel:
    return Kernel(("reduce_any.h",), body, (site.reads("x"), site.writes()))


def total_stored(site: Site) -> Kernel:
    """MEAN and SUM on int8 and int16; a mean's division is folded into the multiplier."""
    shape, count = reduced(site)
    if site.input(0).dtype != site.output.dtype:
        site.refuse("its output has another type")
    x, y = quantization_of(site, 0), quantization_of(site, None)
    multiplier, shift = quantized_multiplier(x.scale / y.scale)
    if site.op.kind == "MEAN":
        bits = min(count.bit_length() - 1, 32, 31 + shift)
        multiplier, shift = (multiplier << bits) // count, shift - bits
    body = (
        f"at_sum_over_{SUFFIX[site.output.dtype]}(x, y, {shape}, {-x.zero_point * count}, "
        f"{multiplier}, {shift}, {y.zero_point});"
    )
    return _kernel(body, site)


def total_float32(site: Site) -> Kernel:
    """MEAN and SUM on float32."""
    shape, count = reduced(site)
    divisor = count if site.op.kind == "MEAN" else 1
    return _kernel(f"at_sum_over_f32(x, y, {shape}, {divisor}.0f);", site)


def extreme(site: Site) -> Kernel:
    """REDUCE_MAX and REDUCE_MIN, between tensors of one scale."""
    shape, _ = reduced(site)
    x, y = site.input(0), site.output
    if x.dtype != y.dtype or x.quantization != y.quantization:
        site.refuse("its output has another type or scale")
    name = "maximum" if site.op.kind == "REDUCE_MAX" else "minimum"
    return _kernel(f"at_{name}_over_{SUFFIX[y.dtype]}(x, y, {shape});", site)


def place(site: Site) -> Kernel:
    """ARG_MAX and ARG_MIN; of equal elements the first counts."""
    shape = site.input(0).shape
    axis = int(site.constant(1).reshape(-1)[0])
    if not -len(shape) <= axis < len(shape):
        site.refuse(f"axis {axis} of {len(shape)} dimensions")
    if site.output.dtype not in ("int32", "int64"):
        site.refuse(f"its output is {site.output.dtype}")
    axis %= len(shape)
    bits = "s32" if site.output.dtype == "int32" else "s64"
    body = (
        f"at_arg_{SUFFIX[site.input(0).dtype]}_{bits}(x, y, {math.prod(shape[:axis])}, "
        f"{shape[axis]}, {math.prod(shape[axis + 1 :])}, {int(site.op.kind == 'ARG_MAX')});"
    )
    return _kernel(body, site)


REDUCING: Final[Mapping[tuple[str, str], Emitter]] = checked(
    no_check,
    {
        **{(kind, dtype): total_stored for kind in ("MEAN", "SUM") for dtype in ("int8", "int16")},
        **{(kind, "float32"): total_float32 for kind in ("MEAN", "SUM")},
        **{(kind, dtype): extreme for kind in ("REDUCE_MAX", "REDUCE_MIN") for dtype in SUFFIX},
        **{
            (kind, dtype): place for kind in ("ARG_MAX", "ARG_MIN") for dtype in ("int8", "float32")
        },
    },
)
"""(kind, arithmetic) → emitter."""
