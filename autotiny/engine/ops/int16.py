"""Layers on int16 with int8 weights, as TensorFlow Lite Micro computes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autotiny.engine.fixed_point import activation_range, quantized_multiplier
from autotiny.engine.kernel import Kernel, Operand, Overlap, Site, initializer, table
from autotiny.engine.layers.constants import quantization_of, requantization
from autotiny.engine.layers.rows import windowed
from autotiny.engine.ops.layer import Layer, layer_of
from autotiny.graph import Array


@dataclass(frozen=True, eq=False)
class Finish:
    """How the sums of a layer on int16 become its outputs.

    Attributes:
        name: of the functions of C that do so.
        constants: the operands bias, multiplier and shift, one value a channel each.
        bounds: the C value of an `at_range_s16`.
        zero_point: of the input, as far as it counts.
    """

    name: str
    constants: tuple[Operand, Operand, Operand]
    bounds: str
    zero_point: int


def finish(site: Site, form: Layer) -> Finish:
    """How the sums of a layer become its outputs; refused where they cannot."""
    if site.input(1).dtype != "int8":
        site.refuse(f"its weights are {site.input(1).dtype}; int16 takes int8 weights")
    x, y = quantization_of(site, 0), quantization_of(site, None)
    low, high = activation_range(site.option("fused_activation_function", "NONE"), y, "int16")
    # Convolutions ignore zero-points, which this arithmetic has at 0.
    zeros = (x.zero_point, y.zero_point) if form.dense else (0, 0)
    fields = initializer(zero=-zeros[0], out_zero=zeros[1], low=low, high=high)
    pairs = _multipliers(site, form)
    shift = np.array([shift for _, shift in pairs], np.int8)
    narrow = _bias_type(site) == "int32" and form.function == "conv"
    if narrow:
        multiplier = np.array([m for m, _ in pairs], np.int32)
        bias = _bias(site, form.channels, np.int32)
        name = "int32"
    else:
        if shift.max() >= 15:
            site.refuse(f"its output scale is 2^{shift.max()} times smaller than its products")
        reduced = [0x7FFF if m >= 0x7FFF0000 else (m + (1 << 15)) >> 16 for m, _ in pairs]
        multiplier = np.array(reduced, np.int16)
        bias = _bias(site, form.channels, np.int64)
        if np.array_equal(bias, bias.astype(np.int32)):
            bias = bias.astype(np.int32)
        name = f"s{_sum_bits(site, form)}_b{8 * bias.dtype.itemsize}"
    constants = requantization(site, bias, multiplier, shift)
    return Finish(name, constants, f"(at_range_s16){fields}", zeros[0])


def layer(site: Site) -> Kernel:
    """CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED on int16 with int8 weights."""
    form = layer_of(site)
    end = finish(site, form)
    operands = (site.reads("x"), site.reads("w", 1), *end.constants, site.writes())

    def call(x: str, shape: str) -> str:
        return (
            f"at_{form.function}_s16_{end.name}({x}, w, bias, multiplier, shift, y, {shape},\n"
            f"    {form.groups}, {end.bounds});"
        )

    if form.dense:
        return Kernel(("conv_s16.h",), call("x", form.window), operands)
    return windowed(site, "conv_s16.h", call, operands)


def _bias_type(site: Site) -> str:
    if site.has_input(2):
        return site.input(2).dtype
    return str(site.option("quantized_bias_type", "float32"))


def _bias(site: Site, channels: int, dtype: type[np.signedinteger]) -> Array:
    if not site.has_input(2):
        return np.zeros(channels, dtype)
    return site.constant(2).reshape(-1).astype(dtype)


def _multipliers(site: Site, form: Layer) -> list[tuple[int, int]]:
    """(multiplier, shift) of each channel."""
    x, w, y = (quantization_of(site, which) for which in (0, 1, None))
    if form.dense and len(w.scales) == 1:
        # A dense layer multiplies the two input scales in float32, unlike a convolution.
        product = float(np.float32(x.scale) * np.float32(w.scale))
        return [quantized_multiplier(product / y.scale)] * form.channels
    scales = w.scales if len(w.scales) > 1 else w.scales * form.channels
    return [quantized_multiplier(x.scale * scale / y.scale) for scale in scales]


def _sum_bits(site: Site, form: Layer) -> int:
    """32 if no sum of products can leave int32, else 64."""
    weights = np.abs(site.constant(1).astype(np.int64))
    axes = (0, 1, 2) if form.function == "depthwise" else tuple(range(1, weights.ndim))
    largest = int(weights.sum(axis=axes).max())
    zero = abs(quantization_of(site, 0).zero_point) if form.dense else 0
    return 32 if largest * (32768 + zero) < 1 << 31 else 64


def sampled(
    function: Callable[[float], float],
    input_scale: float,
    input_zero: int,
    output_scale: float,
    output_zero: int,
) -> Array:
    """513 samples of a function of int16, corrected for the error of interpolation halfway.

    All arithmetic is float32, so that the table equals TensorFlow Lite Micro's.
    """
    f = np.float32

    def call(value: float | np.floating) -> np.float32:
        result: np.float32 = np.float32(function(float(value)))
        return result

    def rounded(value: float | np.floating) -> np.float32:
        result: np.float32 = np.float32(
            math.copysign(math.floor(abs(float(value)) + 0.5), float(value))
        )
        return result

    low = f(input_scale) * f(-32768 - input_zero)
    high = f(input_scale) * f(32767 - input_zero)
    out_low = f(output_scale) * f(-32768 - output_zero)
    out_high = f(output_scale) * f(32767 - output_zero)
    step = (high - low) / f(512)
    half = step / f(2)
    scaling = f(65536) / (out_high - out_low)
    values = []
    for i in range(512):
        at = low + f(i) * step
        value, middle = call(at), call(at + half)
        following = call(low + f(i + 1) * step)
        sample = rounded(value * scaling)
        between = rounded((following * scaling + rounded(value * scaling)) / f(2))
        error = rounded((between - rounded(middle * scaling)) / f(2))
        values.append(sample - error)
    values.append(rounded(call(high) * scaling))
    return np.clip(np.array(values, np.float32), -32768, 32767).astype(np.int16)


def softmax(site: Site) -> Kernel:
    """SOFTMAX on int16, by the tables of exp and of 1 / (1 + x)."""
    x, y = quantization_of(site, 0), quantization_of(site, None)
    if site.output.dtype != "int16" or y.zero_point or abs(y.scale * 32768 - 1) > 1e-3:
        site.refuse("its output must be int16 of scale 1/32768 and zero-point 0")
    f = np.float32
    exp = sampled(math.exp, f(10) / f(65535), 32767, f(2) / f(65535), 0)
    reciprocal = sampled(
        lambda v: float(f(1) / (f(1) + f(v))), f(1) / f(65535), -32768, f(2) / f(65535), 0
    )
    beta = float(site.option("beta", 1.0))
    multiplier, shift = quantized_multiplier(x.scale * beta / (10.0 / 65535.0))
    depth = site.input(0).shape[-1]
    rows = site.input(0).size // depth
    body = (
        f"at_softmax_s16(x, y, exp_table, reciprocal_table, {rows}, {depth}, {multiplier}, "
        f"{shift});"
    )
    operands: tuple[Operand, ...] = (
        site.reads("x"),
        site.writes(),
        table("exp_table", exp, site.step.weights.memory),
        table("reciprocal_table", reciprocal, site.step.weights.memory),
    )
    # The exponentials stand in y, but x is read again only for the maximum before them.
    return Kernel(("softmax_s16.h",), body, operands, {("x", "y"): Overlap()})
