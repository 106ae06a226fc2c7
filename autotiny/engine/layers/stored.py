"""Ops on stored numbers: the fields of their kernels' structs, and as functions of integers.

A function computes what the kernel does with each element: it is how tables are made, and how
bounds are found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from autotiny.engine.fixed_point import activation_range, multiply, quantized_multiplier
from autotiny.engine.kernel import Site
from autotiny.engine.layers.constants import quantization_of
from autotiny.graph import DType

LEFT: Final[Mapping[DType, int]] = {"int8": 20, "int16": 15}
"""Bits that the addends of a sum gain first."""


def sum_fields(site: Site) -> dict[str, int]:
    """The fields of `at_sum`, for ADD and SUB."""
    dtype = site.output.dtype
    a, b, y = (quantization_of(site, which) for which in (0, 1, None))
    twice = 2.0 * max(a.scale, b.scale)
    ratios = (a.scale / twice, b.scale / twice, twice / ((1 << LEFT[dtype]) * y.scale))
    (am, ash), (bm, bsh), (m, sh) = (quantized_multiplier(ratio) for ratio in ratios)
    if sh > 0:
        site.refuse("its output scale is too small for its inputs")
    return {
        "left": LEFT[dtype],
        "a_zero": -a.zero_point, "a_multiplier": am, "a_shift": ash,
        "b_zero": -b.zero_point, "b_multiplier": bm, "b_shift": bsh,
        "b_sign": 1 if site.op.kind == "ADD" else -1,
        "multiplier": m, "shift": sh, "out_zero": y.zero_point,
        **limits(site),
    }  # fmt: skip


def times_fields(site: Site) -> dict[str, int]:
    """The fields of `at_times`, for MUL."""
    a, b, y = (quantization_of(site, which) for which in (0, 1, None))
    multiplier, shift = quantized_multiplier(a.scale * b.scale / y.scale)
    return {
        "a_zero": -a.zero_point, "b_zero": -b.zero_point,
        "multiplier": multiplier, "shift": shift, "out_zero": y.zero_point,
        **limits(site),
    }  # fmt: skip


def slope_fields(site: Site) -> dict[str, int]:
    """The fields of `at_slope`, for PRELU."""
    a, b, y = (quantization_of(site, which) for which in (0, 1, None))
    (m1, s1), (m2, s2) = (
        quantized_multiplier(ratio) for ratio in (a.scale / y.scale, a.scale * b.scale / y.scale)
    )
    return {
        "a_zero": -a.zero_point, "b_zero": -b.zero_point, "m1": m1, "s1": s1, "m2": m2, "s2": s2,
        "out_zero": y.zero_point,
        **limits(site),
    }  # fmt: skip


def quantize_fields(site: Site) -> dict[str, int]:
    """The arguments of `AT_REQUANTIZE` behind the size, for QUANTIZE."""
    x, y = quantization_of(site, 0), quantization_of(site, None)
    multiplier, shift = quantized_multiplier(x.scale / y.scale)
    return {
        "zero": x.zero_point, "multiplier": multiplier, "shift": shift, "out_zero": y.zero_point,
        **limits(site),
    }  # fmt: skip


def limits(site: Site) -> dict[str, int]:
    """The stored numbers between which the op's activation clamps."""
    activation = site.option("fused_activation_function", "NONE")
    low, high = activation_range(activation, quantization_of(site, None), site.output.dtype)
    return {"low": low, "high": high}


def added(site: Site) -> Callable[[int, int], int]:
    """ADD and SUB: `at_sum_of`."""
    q = sum_fields(site)

    def of(a: int, b: int) -> int:
        left = multiply((a + q["a_zero"]) << q["left"], q["a_multiplier"], q["a_shift"])
        right = multiply((b + q["b_zero"]) << q["left"], q["b_multiplier"], q["b_shift"])
        return _stored(multiply(left + q["b_sign"] * right, q["multiplier"], q["shift"]), q)

    return of


def multiplied(site: Site) -> Callable[[int, int], int]:
    """MUL: `at_times_of`."""
    q = times_fields(site)

    def of(a: int, b: int) -> int:
        return _stored(
            multiply((a + q["a_zero"]) * (b + q["b_zero"]), q["multiplier"], q["shift"]), q
        )

    return of


def sloped(site: Site) -> Callable[[int, int], int]:
    """PRELU: `at_slope_of`."""
    q = slope_fields(site)

    def of(a: int, b: int) -> int:
        v = a + q["a_zero"]
        if v >= 0:
            return _stored(multiply(v, q["m1"], q["s1"]), q)
        return _stored(multiply(v * (b + q["b_zero"]), q["m2"], q["s2"]), q)

    return of


def requantized(site: Site) -> Callable[[int], int]:
    """QUANTIZE from one integer scale to another: `AT_REQUANTIZE`."""
    q = quantize_fields(site)

    def of(x: int) -> int:
        return _stored(multiply(x - q["zero"], q["multiplier"], q["shift"]), q)

    return of


def _stored(scaled: int, q: Mapping[str, int]) -> int:
    return min(max(scaled + q["out_zero"], q["low"]), q["high"])
