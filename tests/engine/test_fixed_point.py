"""Integer arithmetic at its boundaries; what is expected is worked out in fractions or reals."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from autotiny.engine import fixed_math
from autotiny.engine.fixed_point import (
    FLOAT_RANGE,
    INT_RANGE,
    UnscalableError,
    activation_range,
    multiply,
    quantized_multiplier,
    round_half_away,
)
from autotiny.graph import DType, Quantization


def halves_away(value: Fraction) -> int:
    whole = math.floor(abs(value) + Fraction(1, 2))
    return whole if value > 0 else -whole


def test_halves_are_rounded_away_from_zero() -> None:
    values = [0.0, 0.49, 0.5, 1.5, 2.5, -0.49, -0.5, -1.5, -2.5]
    assert [round_half_away(v) for v in values] == [0, 0, 1, 2, 3, 0, -1, -2, -3]


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (1.0, (1 << 30, 1)),
        (0.5, (1 << 30, 0)),
        (0.75, (3 << 29, 0)),
        (6.0, (3 << 29, 3)),
        (1 - 2.0**-31, ((1 << 31) - 1, 0)),
        (1 - 2.0**-33, (1 << 30, 1)),  # rounds up to 1
        (2.0**-32, (1 << 30, -31)),
        (2.0**-33, (0, 0)),
        (float(np.nextafter(2.0**-32, 0)), (1 << 30, -31)),  # rounds up to 2^-32
        (2.0**-32 * (1 - 2.0**-20), (0, 0)),
        (2.0**29, (1 << 30, 30)),
        (2.0**30 - 1, ((1 << 31) - 2, 30)),
    ],
)
def test_a_number_as_integer_and_power_of_two(real: float, expected: tuple[int, int]) -> None:
    assert quantized_multiplier(real) == expected


@pytest.mark.parametrize("real", [2.0**30, -1e-30, float("nan"), float("inf")])
def test_what_no_multiplier_can_be_is_refused(real: float) -> None:
    with pytest.raises(UnscalableError, match="it must be from 0 to"):
        quantized_multiplier(real)


def test_multiplying_rounds_twice() -> None:
    dice = np.random.default_rng(0)
    pairs = [(1 << 30, 0), ((1 << 31) - 1, 0), (1 << 30, -1), (3 << 29, -2), (1 << 30, 3)]
    values = [0, 1, -1, 2, -2, 3, -3, 5, -6, 7, *dice.integers(-(1 << 24), 1 << 24, 40).tolist()]
    for multiplier, shift in pairs:
        for value in values:
            product = Fraction(value << max(shift, 0)) * multiplier / (1 << 31)
            first = math.floor(product + Fraction(1, 2))
            expected = halves_away(Fraction(first, 1 << max(-shift, 0)))
            assert multiply(value, multiplier, shift) == expected


def test_integers_reach_as_far_as_numpy_s() -> None:
    assert {k: (np.iinfo(k).min, np.iinfo(k).max) for k in INT_RANGE} == INT_RANGE


@pytest.mark.parametrize(
    ("activation", "scale", "zero", "dtype", "expected"),
    [
        ("NONE", 0.5, -10, "int8", (-128, 127)),
        ("RELU", 0.5, -10, "int8", (-10, 127)),
        ("RELU6", 0.5, -10, "int8", (-10, 2)),
        ("RELU_N1_TO_1", 0.5, -10, "int8", (-12, -8)),
        ("RELU6", 0.01, 0, "int8", (0, 127)),
        ("RELU_N1_TO_1", 0.001, 5, "int8", (-128, 127)),
        ("RELU_N1_TO_1", 4.0, 5, "int8", (5, 5)),  # a quarter of a step
        ("RELU_N1_TO_1", 2.0, 5, "int8", (4, 6)),  # half a step goes away from zero
        ("RELU6", 0.5, 0, "int16", (0, 12)),
        ("RELU", 0.5, 0, "uint8", (0, 255)),
        ("RELU6", 1e-40, 0, "int32", (0, 1 << 30)),
        ("TANH", 0.5, 0, "int8", (-128, 127)),
    ],
)
def test_activations_clamp_stored_values(
    activation: str, scale: float, zero: int, dtype: DType, expected: tuple[int, int]
) -> None:
    assert activation_range(activation, Quantization((scale,), (zero,)), dtype) == expected


def test_activations_clamp_floats() -> None:
    infinity = {"-AT_INFINITY": -math.inf, "AT_INFINITY": math.inf}

    def value(text: str) -> float:
        return infinity[text] if text in infinity else float(text.removesuffix("f"))

    assert {k: (value(a), value(b)) for k, (a, b) in FLOAT_RANGE.items()} == {
        "NONE": (-math.inf, math.inf),
        "RELU": (0, math.inf),
        "RELU6": (0, 6),
        "RELU_N1_TO_1": (-1, 1),
    }


ONE = 1 << 31


def test_powers_are_those_of_e() -> None:
    exact = [round(math.exp(-(2.0**i)) * ONE) for i in range(-2, 5)]
    assert list(fixed_math.POWERS) == exact


def test_products_and_halves_saturate_and_round() -> None:
    low, high = -ONE, ONE - 1
    assert [fixed_math.saturate(n) for n in (low - 1, low, 0, high, high + 1)] == [
        low, low, 0, high, high,
    ]  # fmt: skip
    assert fixed_math.product(low, low) == high
    assert fixed_math.product(1 << 30, 1 << 30) == 1 << 29
    assert [fixed_math.product(n, 1 << 30) for n in (1, -1, 2, 3)] == [1, 0, 1, 2]
    assert [fixed_math.halved(n, 1) for n in (3, -3, 2, 1, -1)] == [2, -2, 1, 1, -1]
    assert [fixed_math.halved(n, 3) for n in (3, 4, 11, 12, -4, -3)] == [0, 1, 1, 2, -1, 0]
    assert fixed_math.halved(-7, 0) == -7


@pytest.mark.parametrize("integer_bits", [4, 5])
def test_functions_are_near_their_real_values(integer_bits: int) -> None:
    unit = 2.0 ** (integer_bits - 31)

    def check(fixed: Callable[[int, int], int], real: Callable[[float], float], n: float) -> None:
        raw = round(n / unit)
        error = fixed(raw, integer_bits) / ONE - real(raw * unit)
        assert abs(error) < 3e-7, (n, error)

    for n in (*np.linspace(-15.9, 15.9, 97), 0.0, 1e-6, -1e-6):
        if n <= 0:
            check(fixed_math.exp_negative, math.exp, n)
        check(fixed_math.logistic, lambda x: 1 / (1 + math.exp(-x)), n)
        check(fixed_math.tanh, math.tanh, n)


def test_functions_are_symmetric_and_exact_at_zero() -> None:
    assert fixed_math.exp_negative(0, 4) == ONE - 1
    assert fixed_math.logistic(0, 4) == ONE // 2
    assert fixed_math.tanh(0, 4) == 0
    for raw in (1, 1000, 1 << 27, 1 << 30):
        assert fixed_math.tanh(-raw, 4) == -fixed_math.tanh(raw, 4)
        assert fixed_math.logistic(raw, 4) + fixed_math.logistic(-raw, 4) == ONE - 1
