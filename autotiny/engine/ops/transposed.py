"""TRANSPOSE_CONV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from autotiny.engine import shapes
from autotiny.engine.declared import ACTIVATION, STRIDES, TYPE, Declared, Emitter, Takes
from autotiny.engine.fixed_point import activation_range, quantized_multiplier
from autotiny.engine.kernel import (
    Kernel,
    Operand,
    Site,
    initializer,
    scratch,
    table,
)
from autotiny.engine.layers.constants import bounds_float32
from autotiny.graph import Array

WEIGHTS, INPUT, BIAS = 1, 2, 3


def emit(site: Site) -> Kernel:
    """TRANSPOSE_CONV on int8, int16 with int8 weights, and float32 with any weights."""
    x, w, y = site.input(INPUT), site.input(WEIGHTS), site.output
    if (x.dtype, w.dtype, y.dtype) not in KERNELS:
        site.refuse(f"{x.dtype} with {w.dtype} weights to {y.dtype} is not computed")
    window, function = _window(site), KERNELS[x.dtype, w.dtype, y.dtype]
    place = site.step.weights.memory
    reads = (site.reads("x", INPUT), site.reads("w", WEIGHTS))
    if x.dtype == "float32":
        bias = table("bias", _bias(site, np.float32), place)
        if w.dtype == "int8":
            return _hybrid(site, window, bias)
        body = f"{function}(x, w, bias, y, {window}, {bounds_float32(site)});"
        return Kernel(("conv_transpose.h",), body, (*reads, bias, site.writes()))
    limits, rescaling = _rescaling(site)
    body = f"{function}(x, w, bias, multiplier, shift, y, {window},\n    {limits});"
    return Kernel(("conv_transpose.h",), body, (*reads, *rescaling, site.writes()))


def _hybrid(site: Site, window: str, bias: Operand) -> Kernel:
    """Int8 weights: the input is quantized by one scale when it is known."""
    found = site.input(WEIGHTS).quantization
    assert found is not None
    scales = np.array(found.scales, np.float32)
    if len(scales) == 1:
        scales = np.repeat(scales, site.output.shape[3])
    body = (
        f"at_conv_transpose_hybrid(source, x, w, w_scale, bias, y, {window},\n"
        f"    {bounds_float32(site)});"
    )
    operands = (
        site.reads("source", INPUT),
        scratch("x", site.input(INPUT).size, "int8_t"),
        site.reads("w", WEIGHTS),
        table("w_scale", scales, site.step.weights.memory),
        bias,
        site.writes(),
    )
    return Kernel(("conv_transpose.h",), body, operands)


def _window(site: Site) -> str:
    _, in_h, in_w, in_c = site.input(INPUT).shape
    out_c, k_h, k_w, _ = site.input(WEIGHTS).shape
    _, out_h, out_w, _ = site.output.shape
    stride_h, stride_w = site.option("stride_h", 1), site.option("stride_w", 1)
    same = site.option("padding", "VALID") == "SAME"
    fields = initializer(
        in_h=in_h, in_w=in_w, in_c=in_c, out_h=out_h, out_w=out_w, out_c=out_c, k_h=k_h, k_w=k_w,
        stride_h=stride_h, stride_w=stride_w, step_h=1, step_w=1,
        pad_top=_before(out_h, k_h, stride_h) if same else 0,
        pad_left=_before(out_w, k_w, stride_w) if same else 0,
    )  # fmt: skip
    return f"(at_window){fields}"


def _before(out: int, window: int, stride: int) -> int:
    """The padding before the convolution that this one transposes; `out` is the input of that."""
    return max((-(-out // stride) - 1) * stride + window - out, 0) // 2


def _bias(site: Site, dtype: type[np.generic]) -> Array:
    if not site.has_input(BIAS):
        return np.zeros(site.output.shape[3], dtype)
    return site.constant(BIAS).reshape(-1).astype(dtype)


def _rescaling(site: Site) -> tuple[str, tuple[Operand, ...]]:
    """The last arguments, and the tables bias, multiplier and shift."""
    tensors = site.input(INPUT), site.input(WEIGHTS), site.output
    x, w, y = (
        one.quantization or site.refuse(f"tensor {one.name!r} has no quantization")
        for one in tensors
    )
    channels = site.output.shape[3]
    scales = w.scales if len(w.scales) > 1 else w.scales * channels
    pairs = [quantized_multiplier(x.scale * scale / y.scale) for scale in scales]
    multiplier = np.array([m for m, _ in pairs], np.int32)
    activation = site.option("fused_activation_function", "NONE")
    low, high = activation_range(activation, y, site.output.dtype)
    if site.output.dtype == "int8":
        limits = f"{-x.zero_point}, {y.zero_point}, {low}, {high}"
        bias = _bias(site, np.int32)
    else:
        reduced = [0x7FFF if m >= 0x7FFF0000 else (m + (1 << 15)) >> 16 for m, _ in pairs]
        multiplier = np.array(reduced, np.int16)
        limits = f"(at_range_s16){initializer(zero=0, out_zero=0, low=low, high=high)}"
        bias = _bias(site, np.int64)
        if max(shift for _, shift in pairs) >= 15:
            site.refuse("its output scale is too small for its products")
    place = site.step.weights.memory
    shift = np.array([shift for _, shift in pairs], np.int8)
    return limits, (
        table("bias", bias, place),
        table("multiplier", multiplier, place),
        table("shift", shift, place),
    )


KERNELS: Final[Mapping[tuple[str, str, str], str]] = {
    ("int8", "int8", "int8"): "at_conv_transpose_s8",
    ("int16", "int8", "int16"): "at_conv_transpose_s16",
    ("float32", "float32", "float32"): "at_conv_transpose_f32",
    ("float32", "float16", "float32"): "at_conv_transpose_f16",
    ("float32", "int8", "float32"): "at_conv_transpose_hybrid",
}

# The first input is the shape of the output, so its type says nothing of the arithmetic.
TRANSPOSED: Final[Mapping[tuple[str, str], Emitter]] = {
    ("TRANSPOSE_CONV", "int32"): Emitter(
        emit,
        Declared(
            inputs=(
                Takes("shape", ("int32",), (1, 1)),
                Takes(
                    "weights",
                    ("int8", "float16", "float32"),
                    (4, 4),
                    scales="channel",
                    symmetric=True,
                ),
                Takes("input", ("int8", "int16", "float32"), (4, 4), scales="one"),
                Takes(
                    "bias", ("int32", "int64", "float32", "float16"), constant=True, optional=True
                ),
            ),
            outputs=(Takes("result", ("int8", "int16", "float32"), (4, 4), scales="one"),),
            shapes=shapes.transposed_conv,
            options={**STRIDES, **ACTIVATION, "quantized_bias_type": TYPE},
        ),
    )
}
"""(kind, arithmetic) → emitter."""
