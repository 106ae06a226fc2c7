"""Functions of fixed-point numbers, as TensorFlow Lite Micro approximates them, for tables.

Numbers are int32 with a stated count of integer bits k, so that `raw` stands for raw · 2^(k − 31).
The constants are those of gemmlowp's `fixedpoint.h`.
"""

from __future__ import annotations

INT32_MAX = (1 << 31) - 1
INT32_MIN = -(1 << 31)


def saturate(raw: int) -> int:
    """The nearest int32."""
    return min(max(raw, INT32_MIN), INT32_MAX)


def product(a: int, b: int) -> int:
    """High 32 bits of 2·a·b, rounded; the product of two numbers, its integer bits added."""
    return saturate((a * b + (1 << 30)) >> 31)


def halved(raw: int, shift: int) -> int:
    """Raw / 2^shift to the nearest; halves go away from zero."""
    if shift == 0:
        return raw
    half = 1 << (shift - 1)
    return (raw + half - (1 if raw < 0 else 0)) >> shift


# exp(−2^i) for i = −2 … 4, with 31 fraction bits.
POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def exp_negative(raw: int, integer_bits: int) -> int:
    """Exp of a number ≤ 0, with no integer bits.

    A Taylor series around −1/8 gives the last quarter, stored powers the rest.
    """
    if raw == 0:
        return INT32_MAX
    quarter = 1 << (31 - integer_bits - 2)
    last = (raw & (quarter - 1)) - quarter
    x = (last << integer_bits) + (1 << 28)
    x2 = product(x, x)
    x3, x4 = product(x2, x), product(x2, x2)
    series = x + halved(product(halved(x4, 2) + x3, 715827883) + x2, 1)
    result = 1895147668 + product(1895147668, series)
    rest = last - raw
    for i, power in enumerate(POWERS):
        if integer_bits > i - 2 and rest & (quarter << i):
            result = product(result, power)
    return result


def _newton(x: int) -> int:
    """2 / (1 + x) for x in [0, 1] with no integer bits; the result has two integer bits."""
    half = (x + INT32_MAX + 1) >> 1
    guess = 1515870810 + product(half, -1010580540)
    for _ in range(3):
        error = (1 << 29) - product(half, guess)
        guess += saturate(product(guess, error) << 2)
    return guess


def logistic(raw: int, integer_bits: int) -> int:
    """The logistic function, 1 / (1 + exp(−x)), with no integer bits."""
    if raw == 0:
        return 1 << 30
    reciprocal = saturate(_newton(exp_negative(-abs(raw), integer_bits)) << 1)
    return reciprocal if raw > 0 else INT32_MAX - reciprocal


def tanh(raw: int, integer_bits: int) -> int:
    """The hyperbolic tangent, with no integer bits."""
    if raw == 0:
        return 0
    # With one more integer bit the same raw number is twice as large.
    size = saturate((_newton(exp_negative(-abs(raw), integer_bits + 1)) - (1 << 29)) << 2)
    return size if raw > 0 else -size
