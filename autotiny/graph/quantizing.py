"""From real numbers to stored ones and back."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from autotiny.graph.types import Array, DType, Quantization

Ties = Literal["even", "away"]
"""Where a number goes that lies between two: to the even one, as in LiteRT's kernels for NEON and
SSE (`RoundToNearest` of optimized_ops.h), or away from zero, as in its reference QUANTIZE and in
TensorFlow Lite Micro (`TfLiteRound` of reference/quantize.h)."""


def quantize(
    real: Array, quantization: Quantization | None, dtype: DType, ties: Ties = "even"
) -> Array:
    """Real numbers as a tensor holds them: the nearest stored number, the last one beyond the ends.

    Args:
        real: of any shape; divided by the scales, which are float32 in every file, in its own type.
        quantization: of the tensor; without one, and in floats, numbers are stored as they are.
        dtype: of the tensor.
        ties: see `Ties`.

    Raises:
        TypeError: NumPy has no such type (int4).
    """
    if quantization is None or np.dtype(dtype).kind == "f":
        return real.astype(dtype)
    scales, zeros = _along(quantization, real.ndim)
    steps = (real / scales.astype(np.float32)).astype(np.float64)
    whole = np.rint(steps) if ties == "even" else np.copysign(np.floor(np.abs(steps) + 0.5), steps)
    limits = np.iinfo(dtype)
    # Just below the first number that is too large: the greatest int64 is no float64.
    last = np.nextafter(float(limits.max) + 1, 0)
    stored: Array = np.clip(whole + zeros, limits.min, last).astype(dtype)
    return stored


def dequantize(
    stored: Array, quantization: Quantization | None, dtype: type[np.floating[Any]] = np.float32
) -> Array:
    """What stored numbers stand for; floats, and numbers without a quantization, for themselves.

    Args:
        stored: of the shape of the tensor, or any shape if it has one scale.
        quantization: of the tensor.
        dtype: in which to compute; float32 as LiteRT does.
    """
    if quantization is None or stored.dtype.kind == "f":
        return stored.astype(dtype)
    scales, zeros = _along(quantization, stored.ndim)
    real: Array = scales.astype(dtype) * (stored.astype(np.int64) - zeros).astype(dtype)
    return real


def _along(quantization: Quantization, rank: int) -> tuple[Array, Array]:
    """Scales (float64) and zero-points (int64) in a shape that broadcasts along their axis."""
    shape = [1] * rank
    if len(quantization.scales) > 1:
        shape[quantization.axis] = -1
    zeros = np.array(quantization.zero_points, np.int64)
    return np.array(quantization.scales).reshape(shape), zeros.reshape(shape)
