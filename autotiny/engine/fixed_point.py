"""The integer arithmetic of quantized networks, decided at generation time.

TensorFlow Lite Micro scales an int32 accumulator by a real number m as a 31-bit integer and a power
of two, rounding twice; `quantized_multiplier` yields the same pair for the kernels to use.
"""

from __future__ import annotations

import math

import numpy as np

from autotiny.graph import DType, Quantization

INT_RANGE: dict[DType, tuple[int, int]] = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "int32": (-(1 << 31), (1 << 31) - 1),
}

_MOST = float(1 << 30)


def round_half_away(value: float) -> int:
    """The nearest integer; halves go away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


class UnscalableError(ValueError):
    """Numbers are to be multiplied by more than their arithmetic can."""


def quantized_multiplier(real: float) -> tuple[int, int]:
    """`(m, shift)` with real ≈ m · 2^(shift − 31), 2^30 ≤ m < 2^31; (0, 0) if real < 2^-32.

    Raises:
        UnscalableError: the number is 2^30 or more, negative, or none.
    """
    if not 0.0 <= real < _MOST:
        raise UnscalableError(
            f"its scales make a factor of {real:g} between stored numbers; it must be from 0 to "
            f"{_MOST:g}"
        )
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = round_half_away(fraction * (1 << 31))
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def multiply(value: int, multiplier: int, shift: int) -> int:
    """What a kernel's `at_rescale` computes, for constants and tests."""
    wide = ((value << max(shift, 0)) + (1 << 31)) % (1 << 32) - (1 << 31)  # as int32 holds it
    high = (wide * multiplier + (1 << 30)) >> 31
    right = max(-shift, 0)
    if right == 0:
        return high
    half = 1 << (right - 1)
    return (high + half - (1 if high < 0 else 0)) >> right


def activation_range(activation: str, quantization: Quantization, dtype: DType) -> tuple[int, int]:
    """The stored values between which a fused activation clamps."""
    low, high = INT_RANGE[dtype]
    scale = np.float32(quantization.scale)

    def stored(real: float) -> int:
        steps = min(max(real / float(scale), -_MOST), _MOST)  # of a tiny scale, beyond all numbers
        return quantization.zero_point + round_half_away(float(np.float32(steps)))

    if activation in ("RELU", "RELU6", "RELU_N1_TO_1"):
        low = max(low, stored(-1.0 if activation == "RELU_N1_TO_1" else 0.0))
    if activation == "RELU6":
        high = min(high, stored(6.0))
    if activation == "RELU_N1_TO_1":
        high = min(high, stored(1.0))
    return low, high


FLOAT_RANGE: dict[str, tuple[str, str]] = {
    "NONE": ("-AT_INFINITY", "AT_INFINITY"),
    "RELU": ("0.0f", "AT_INFINITY"),
    "RELU6": ("0.0f", "6.0f"),
    "RELU_N1_TO_1": ("-1.0f", "1.0f"),
}
"""The C constants between which a fused activation clamps floats."""
