"""Ops of one element on int8 as functions of integers, in the arithmetic of the reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from autotiny.engine import fixed_math
from autotiny.engine.fixed_point import (
    activation_range,
    multiply,
    quantized_multiplier,
    round_half_away,
)
from autotiny.engine.kernel import Site
from autotiny.engine.layers.constants import quantization_of

ACTIVATIONS: Final[Mapping[str, str]] = {
    "RELU": "RELU",
    "RELU6": "RELU6",
    "RELU_N1_TO_1": "RELU_N1_TO_1",
}
f32 = np.float32


def relu(site: Site) -> Callable[[int], int]:
    """RELU and its kin."""
    x, y = quantization_of(site, 0), quantization_of(site, None)
    multiplier, shift = quantized_multiplier(x.scale / y.scale)
    low, high = activation_range(ACTIVATIONS[site.op.kind], y, "int8")

    def one(value: int) -> int:
        scaled = y.zero_point + multiply(value - x.zero_point, multiplier, shift)
        return min(max(scaled, low), high)

    return one


def leaky(site: Site) -> tuple[tuple[int, int], tuple[int, int], int]:
    """(multiplier, shift) of positive and of negative values, and the sign of alpha."""
    x, y = quantization_of(site, 0), quantization_of(site, None)
    negative = x.scale * float(f32(site.option("alpha", 0.0))) / y.scale
    positive = quantized_multiplier(x.scale / y.scale)
    return positive, quantized_multiplier(abs(negative)), -1 if negative < 0 else 1


def leaky_relu(site: Site) -> Callable[[int], int]:
    """LEAKY_RELU."""
    x, y = quantization_of(site, 0), quantization_of(site, None)
    positive, negative, sign = leaky(site)

    def one(value: int) -> int:
        v = value - x.zero_point
        scaled = multiply(v, *positive) if v >= 0 else sign * multiply(v, *negative)
        return y.zero_point + scaled

    return one


def sigmoidal(site: Site) -> tuple[int, int, int]:
    """(multiplier, shift, radius): the input with 4 integer bits, and where it saturates."""
    fraction, shift = math.frexp(quantization_of(site, 0).scale * (1 << 27))
    radius = math.floor(15 * 2.0**27 / 2.0**shift)
    return round_half_away(fraction * (1 << 31)), shift, radius


def logistic(site: Site) -> Callable[[int], int]:
    """LOGISTIC."""
    zero = quantization_of(site, 0).zero_point
    multiplier, shift, radius = sigmoidal(site)
    y = quantization_of(site, None)
    if y.zero_point != -128 or abs(y.scale * 256 - 1) > 1e-3:
        site.refuse("its output must have scale 1/256 and zero-point −128")

    def one(value: int) -> int:
        v = value - zero
        if abs(v) >= radius:
            return 127 if v > 0 else -128
        raw = fixed_math.logistic(multiply(v, multiplier, shift), 4)
        return fixed_math.halved(raw, 23) - 128

    return one


def tanh(site: Site) -> Callable[[int], int]:
    """TANH."""
    zero = quantization_of(site, 0).zero_point
    multiplier, shift, radius = sigmoidal(site)
    y = quantization_of(site, None)
    if y.zero_point != 0 or abs(y.scale * 128 - 1) > 1e-3:
        site.refuse("its output must have scale 1/128 and zero-point 0")

    def one(value: int) -> int:
        v = value - zero
        if abs(v) >= radius:
            return 127 if v > 0 else -128
        return fixed_math.halved(fixed_math.tanh(multiply(v, multiplier, shift), 4), 24)

    return one


def hard_swish(site: Site) -> Callable[[int], int]:
    """HARD_SWISH."""
    x, y = quantization_of(site, 0), quantization_of(site, None)
    fine = f32(1 / 128) * f32(x.scale)
    out = quantized_multiplier(float(fine / f32(y.scale)))
    gate = quantized_multiplier(float(fine / f32(f32(3.0) / f32(32768.0))))
    if out[1] > 0:
        site.refuse("its output scale is less than 1/128 of its input scale")

    def short(multiplier: int) -> int:
        return min((multiplier + (1 << 15)) >> 16, 0x7FFF)

    def high(a: int, b: int) -> int:
        return min((a * b + (1 << 14)) >> 15, 0x7FFF)

    def saturate(value: int) -> int:
        return min(max(value, -(1 << 15)), (1 << 15) - 1)

    def one(value: int) -> int:
        shifted = (value - x.zero_point) * 128
        before = high(shifted, short(out[0]))
        relu = shifted
        if gate[1] > 0:
            relu = saturate(relu << (gate[1] - 1))
        relu = high(relu, short(gate[0]))
        if gate[1] > 0:
            relu = saturate(relu << 1)
        if gate[1] < 0:
            relu = fixed_math.halved(relu, -gate[1])
        relu = (relu + (1 << 15)) >> 1
        both = relu * before
        both = both // (1 << 15) if both >= 0 else -(-both // (1 << 15))
        return fixed_math.halved(both, -out[1]) + y.zero_point

    return one


def sampled(function: Callable[[float], float]) -> Callable[[Site], Callable[[int], int]]:
    """A real function, computed in float32 between dequantizing and quantizing."""

    def of(site: Site) -> Callable[[int], int]:
        x, y = quantization_of(site, 0), quantization_of(site, None)
        inverse = f32(1) / f32(y.scale)
        if not np.isfinite(inverse):
            site.refuse(f"its output scale {y.scale:g} has no inverse in float32")

        def one(value: int) -> int:
            real = f32(function(float(f32(x.scale) * f32(value - x.zero_point))))
            steps = min(max(float(real * inverse), -1e6), 1e6)
            return int(f32(round_half_away(steps)) + f32(y.zero_point))

        return one

    return of


def elu(x: float) -> float:
    """ELU of a real number."""
    return float(f32(f32(math.exp(x)) - f32(1))) if x < 0 else x


def exp(x: float) -> float:
    """EXP of a real number."""
    return math.exp(min(x, 700.0))  # no float32 is as large


FUNCTIONS: Final[Mapping[str, Callable[[Site], Callable[[int], int]]]] = {
    **dict.fromkeys(ACTIVATIONS, relu),
    "LEAKY_RELU": leaky_relu,
    "LOGISTIC": logistic,
    "TANH": tanh,
    "HARD_SWISH": hard_swish,
    "ELU": sampled(elu),
    "EXP": sampled(exp),
}
"""Kind → what an op makes of a stored number; what leaves int8 is clamped."""
