"""Ops of one element: by a table of 256 results on int8, computed on int16 and float32."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal

import numpy as np

from autotiny.engine import shapes
from autotiny.engine.declared import TYPE, Declared, Emitter, Real, Takes, Values
from autotiny.engine.fixed_point import (
    FLOAT_RANGE,
    activation_range,
    quantized_multiplier,
    round_half_away,
)
from autotiny.engine.kernel import Emit, Kernel, Overlap, Site, table
from autotiny.engine.layers.constants import quantization_of
from autotiny.engine.ops import lookup
from autotiny.engine.ops.lookup import ACTIVATIONS
from autotiny.engine.ops.quantization import c_float
from autotiny.engine.ops.tables import by_table
from autotiny.graph import Array, DType

IN_PLACE: Final = {("x", "y"): Overlap()}

# int16


def relu_int16(site: Site) -> Kernel:
    """RELU, RELU6 and RELU_N1_TO_1 on int16."""
    x, y = quantization_of(site, 0), quantization_of(site, None)
    multiplier, shift = quantized_multiplier(x.scale / y.scale)
    if x.zero_point or y.zero_point:
        site.refuse("its zero-points must be 0")
    low, high = activation_range(ACTIVATIONS[site.op.kind], y, "int16")
    body = f"at_relu_s16(x, y, {site.output.size}, {multiplier}, {shift}, {low}, {high});"
    return Kernel(("unary.h",), body, (site.reads("x"), site.writes()), IN_PLACE)


def leaky_relu_int16(site: Site) -> Kernel:
    """LEAKY_RELU on int16."""
    x, y = quantization_of(site, 0), quantization_of(site, None)
    positive, negative, sign = lookup.leaky(site)
    body = (
        f"at_leaky_relu_s16(x, y, {site.output.size}, {x.zero_point}, {y.zero_point}, "
        f"{positive[0]}, {positive[1]},\n                  {negative[0]}, {negative[1]}, {sign});"
    )
    return Kernel(("unary.h",), body, (site.reads("x"), site.writes()), IN_PLACE)


def sigmoidal_int16(site: Site) -> Kernel:
    """LOGISTIC and TANH on int16, by one table with interpolation."""
    x, y = quantization_of(site, 0), quantization_of(site, None)
    if x.zero_point or y.zero_point or abs(y.scale * 32768 - 1) > 1e-3:
        site.refuse("its output must have scale 1/32768, and zero-points must be 0")
    kind = site.op.kind.lower()
    shift = 12 + round(math.log2(x.scale))
    power_of_two = abs(math.log2(x.scale) - round(math.log2(x.scale))) < 1e-3
    if power_of_two and shift in ((0,) if kind == "logistic" else (0, 1)):
        multiplier, shift = 3 << shift, 0
    else:
        real, shift = x.scale * 4096.0 * 3.0, 0
        while real <= 32767.0 / 2.0 and shift <= 30:
            real, shift = real * 2.0, shift + 1
        multiplier = int(real)
    if multiplier > 32767:
        site.refuse(f"its input scale {x.scale} is too large")
    body = f"at_{kind}_s16(x, y, table, {site.output.size}, {multiplier}, {shift});"
    results = table("table", logistic_samples(), site.step.weights.memory)
    return Kernel(("unary.h",), body, (site.reads("x"), site.writes(), results), IN_PLACE)


def logistic_samples() -> Array:
    """The logistic function at multiples of 1/24, raised by half the error of interpolation."""

    def real(i: float) -> float:
        return 65536 / (1 + math.exp(-i / 24))

    values = [
        round_half_away(real(i) + (real(i + 0.5) - (real(i) + real(i + 1)) / 2) / 2)
        for i in range(255)
    ]
    return np.array([*values, 65535], np.uint16)


# float32


def mapped(site: Site) -> Kernel:
    """A function of float32 that needs no parameters."""
    body = f"at_map_{site.op.kind.lower()}(x, y, {site.output.size});"
    return Kernel(("unary.h",), body, (site.reads("x"), site.writes()), IN_PLACE)


def relu_float32(site: Site) -> Kernel:
    """RELU, RELU6 and RELU_N1_TO_1 on float32."""
    low, high = FLOAT_RANGE[ACTIVATIONS[site.op.kind]]
    body = f"at_clamp_f32(x, y, {site.output.size}, {low}, {high});"
    return Kernel(("unary.h",), body, (site.reads("x"), site.writes()), IN_PLACE)


def leaky_relu_float32(site: Site) -> Kernel:
    """LEAKY_RELU on float32."""
    alpha = c_float(site.option("alpha", 0.0))
    body = f"at_leaky_relu_f32(x, y, {site.output.size}, {alpha});"
    return Kernel(("unary.h",), body, (site.reads("x"), site.writes()), IN_PLACE)


def log_softmax(site: Site) -> Kernel:
    """LOG_SOFTMAX on float32, along the last dimension."""
    depth = site.input(0).shape[-1]
    body = f"at_log_softmax_f32(x, y, {site.input(0).size // depth}, {depth});"
    return Kernel(("unary.h",), body, (site.reads("x"), site.writes()), IN_PLACE)


def cast(site: Site) -> Kernel:
    """CAST between reals and integers; reals outside an int32 become its ends."""
    body = f"at_cast_{site.input(0).dtype}_{site.output.dtype}(x, y, {site.output.size});"
    narrower = site.output.bytes <= site.input(0).bytes
    return Kernel(
        ("unary.h",), body, (site.reads("x"), site.writes()), IN_PLACE if narrower else {}
    )


CASTS: Final[Mapping[DType, tuple[DType, ...]]] = {
    "float32": ("int8", "int16", "int32"),
    "int8": ("float32", "int16", "int32"),
    "int16": ("float32", "int32"),
    "int32": ("float32", "int8", "int16"),
    "bool": ("float32",),
}
"""Which types become which."""

FLOAT_MAPS: Final = (
    "LOGISTIC", "TANH", "EXP", "ELU", "HARD_SWISH", "ABS", "NEG", "SQUARE", "SQRT", "RSQRT",
    "LOG",
)  # fmt: skip


def declared(kind: str, dtype: DType) -> Declared:
    """What an op of one element must be."""
    options: dict[str, Values] = {}
    if kind == "LEAKY_RELU":
        options = {"alpha": Real()}
    if kind == "CAST":
        options = {"in_data_type": TYPE, "out_data_type": TYPE}
    results = CASTS[dtype] if kind == "CAST" else (dtype,)
    scales: Literal["any", "one"] = "any" if kind == "CAST" else "one"
    rows = kind == "LOG_SOFTMAX"
    return Declared(
        inputs=(Takes("input", (dtype,), (int(rows), 8), scales=scales),),
        outputs=(Takes("result", results, scales=scales),),
        shapes=shapes.same_shape if rows else shapes.same_size,
        options=options,
    )


_EMITS: Final[Mapping[tuple[str, DType], Emit]] = {
    **{(kind, "int8"): by_table for kind in lookup.FUNCTIONS},
    **{(kind, "int16"): relu_int16 for kind in ACTIVATIONS},
    ("LEAKY_RELU", "int16"): leaky_relu_int16,
    ("LOGISTIC", "int16"): sigmoidal_int16,
    ("TANH", "int16"): sigmoidal_int16,
    **{(kind, "float32"): relu_float32 for kind in ACTIVATIONS},
    ("LEAKY_RELU", "float32"): leaky_relu_float32,
    **{(kind, "float32"): mapped for kind in FLOAT_MAPS},
    ("LOG_SOFTMAX", "float32"): log_softmax,
    **{("CAST", dtype): cast for dtype in CASTS},
}

UNARY: Final[Mapping[tuple[str, str], Emitter]] = {
    (kind, dtype): Emitter(emit, declared(kind, dtype)) for (kind, dtype), emit in _EMITS.items()
}
"""(kind, arithmetic) → emitter."""
