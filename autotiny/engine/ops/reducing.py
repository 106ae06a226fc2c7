"""Ops that reduce dimensions: MEAN, SUM, REDUCE_MAX, REDUCE_MIN, ARG_MAX, ARG_MIN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from autotiny.engine import shapes
from autotiny.engine.declared import FLAG, TYPE, Declared, Emitter, Takes, alike
from autotiny.engine.fixed_point import quantized_multiplier
from autotiny.engine.kernel import Kernel, Site
from autotiny.engine.layers.constants import quantization_of
from autotiny.graph import DType

SUFFIX: Final[Mapping[DType, str]] = {"int8": "s8", "int16": "s16", "float32": "f32"}
PARTS: Final = 5


def reduced(site: Site) -> tuple[str, int]:
    """The C value of an `at_reduced`, and how many elements each result is made of."""
    shape = site.input(0).shape
    axes = shapes.reduced_axes(site)
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
    return f"(at_reduced){{{', '.join(map(str, parts))}}}", count


def _kernel(body: str, site: Site) -> Kernel:
    return Kernel(("reduce_any.h",), body, (site.reads("x"), site.writes()))


def total_stored(site: Site) -> Kernel:
    """MEAN and SUM on int8 and int16; a mean's division is folded into the multiplier."""
    shape, count = reduced(site)
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
    name = "maximum" if site.op.kind == "REDUCE_MAX" else "minimum"
    return _kernel(f"at_{name}_over_{SUFFIX[site.output.dtype]}(x, y, {shape});", site)


def place(site: Site) -> Kernel:
    """ARG_MAX and ARG_MIN; of equal elements the first counts."""
    shape = site.input(0).shape
    (axis,) = shapes.reduced_axes(site)
    bits = "s32" if site.output.dtype == "int32" else "s64"
    body = (
        f"at_arg_{SUFFIX[site.input(0).dtype]}_{bits}(x, y, {math.prod(shape[:axis])}, "
        f"{shape[axis]}, {math.prod(shape[axis + 1 :])}, {int(site.op.kind == 'ARG_MAX')});"
    )
    return _kernel(body, site)


def declared_total(dtype: DType) -> Declared:
    """What a MEAN or SUM must be."""
    return Declared(
        inputs=(Takes("input", (dtype,), scales="one"), _AXES),
        outputs=(Takes("result", (dtype,), scales="one"),),
        shapes=shapes.reduced,
        options={"keep_dims": FLAG},
    )


def declared_extreme(dtype: DType) -> Declared:
    """What a REDUCE_MAX or REDUCE_MIN must be."""
    return Declared(
        inputs=(Takes("input", (dtype,)), _AXES),
        outputs=(Takes("result", (dtype,), scales="same"),),
        shapes=shapes.reduced,
        options={"keep_dims": FLAG},
    )


def declared_place(dtype: DType) -> Declared:
    """What an ARG_MAX or ARG_MIN must be."""
    return Declared(
        inputs=(Takes("input", (dtype,), (1, 8)), Takes("axis", _AXES.dtypes, constant=True)),
        outputs=(Takes("result", ("int32", "int64")),),
        shapes=shapes.placed,
        options={"output_type": TYPE},
    )


_AXES: Final = Takes("axes", ("int32", "int64"), constant=True, empty=True)

REDUCING: Final[Mapping[tuple[str, str], Emitter]] = {
    **alike(
        declared_total,
        {
            (kind, dtype): total_float32 if dtype == "float32" else total_stored
            for kind in ("MEAN", "SUM")
            for dtype in SUFFIX
        },
    ),
    **alike(
        declared_extreme,
        {(kind, dtype): extreme for kind in ("REDUCE_MAX", "REDUCE_MIN") for dtype in SUFFIX},
    ),
    **alike(
        declared_place,
        {
            ("ARG_MAX", "int8"): place,
            ("ARG_MAX", "float32"): place,
            ("ARG_MIN", "int8"): place,
            ("ARG_MIN", "float32"): place,
        },
    ),
}
"""(kind, arithmetic) → emitter."""
