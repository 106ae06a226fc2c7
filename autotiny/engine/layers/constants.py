"""What the numbers of a layer give: scales, biases and bounds as its kernels take them."""

from __future__ import annotations

import numpy as np

from autotiny.engine.fixed_point import FLOAT_RANGE, activation_range, quantized_multiplier
from autotiny.engine.kernel import Operand, Site, initializer, table
from autotiny.engine.layers.window import window
from autotiny.graph import Array, Quantization


def quantization_of(site: Site, position: int | None) -> Quantization:
    """The quantization of an input, or of the output of `op` (None); refused if there is none."""
    tensor = site.graph.tensors[site.op.outputs[0]] if position is None else site.input(position)
    return tensor.quantization or site.refuse(f"tensor {tensor.name!r} has no quantization")


def multipliers(site: Site, channels: int) -> tuple[Array, Array]:
    """(multiplier, shift) of each output channel: input scale × weight scale ÷ output scale."""
    x, w, y = (quantization_of(site, which) for which in (0, 1, None))
    scales = w.scales if len(w.scales) > 1 else w.scales * channels
    pairs = [quantized_multiplier(x.scale * scale / y.scale) for scale in scales]
    return (
        np.array([m for m, _ in pairs], np.int32),
        np.array([s for _, s in pairs], np.int8),
    )


def biases(site: Site, channels: int) -> Array:
    """The bias of each output channel, zeros if the op has none."""
    if site.has_input(2):
        return site.constant(2).reshape(-1)
    return np.zeros(channels, np.float32 if site.input(0).dtype == "float32" else np.int32)


def bounds_int8(site: Site) -> dict[str, int]:
    """The fields of `at_range_s8`, the bounds of a fused pooling included."""
    x, y = quantization_of(site, 0), quantization_of(site, None)
    low, high = activation_range(site.option("fused_activation_function", "NONE"), y, "int8")
    for op in site.fused if site.addend is None else ():
        bounds = activation_range(op.option("fused_activation_function", "NONE"), y, "int8")
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return {"zero": -x.zero_point, "out_zero": y.zero_point, "low": low, "high": high}


def bounds_float32(site: Site) -> str:
    """The two C constants between which the fused activation clamps."""
    return ", ".join(FLOAT_RANGE[site.option("fused_activation_function", "NONE")])


def dense_shape(site: Site) -> tuple[int, int, int]:
    """(rows, depth, out): the input as a matrix, and the number of outputs."""
    out, depth = site.input(1).shape
    size = site.input(0).size
    if size % depth:
        site.refuse(f"{size} inputs do not fill rows of {depth}")
    return size // depth, depth, out


def tensor_multiplier(site: Site) -> tuple[int, int]:
    """(multiplier, shift) where one scale holds for all weights.

    TensorFlow Lite multiplies the two input scales in float32 here, unlike for convolutions.
    """
    x, w, y = (quantization_of(site, which) for which in (0, 1, None))
    product = float(np.float32(x.scale) * np.float32(w.scale))
    return quantized_multiplier(product / float(np.float32(y.scale)))


def centred(site: Site, shift: Array) -> tuple[Array, str]:
    """(bias of each output channel, the C value of its `at_range_s8`) of an int8 layer.

    Together they see to the input's zero-point. Where no tap lies outside the input all of it is
    part of the bias, and nothing is added to inputs.

    Args:
        site: the layer.
        shift: (channels,) what its sums are shifted by, to the left.
    """
    bias, bounds = biases(site, len(shift)), bounds_int8(site)
    weights = site.input(1).data
    if weights is None:
        return bias, _range_int8(bounds, down=False)
    by_channel = weights.astype(np.int64)
    axes = (0, 1, 2) if site.op.kind == "DEPTHWISE_CONV_2D" else tuple(range(1, weights.ndim))
    sums, magnitudes = by_channel.sum(axis=axes), np.abs(by_channel).sum(axis=axes)
    whole = bias + bounds["zero"] * sums
    if _stays_inside(site) and (np.abs(whole) + 128 * magnitudes < 1 << 31).all():
        bias, bounds["zero"] = whole.astype(np.int32), 0
    reach = np.abs(bias.astype(np.int64)) + (128 + abs(bounds["zero"])) * magnitudes
    down = (reach < 1 << 30).all() and shift.max() < 0 and shift.min() >= -30
    return bias, _range_int8(bounds, down=bool(down))


def _range_int8(bounds: dict[str, int], *, down: bool) -> str:
    return f"(at_range_s8){initializer(**bounds, down=int(down))}"


def _stays_inside(site: Site) -> bool:
    """Whether every tap of every output lies inside the input."""
    if site.op.kind == "FULLY_CONNECTED":
        return True
    s = window(site, *site.input(1).shape[1:3])
    return s["pad_top"] == s["pad_left"] == 0 and all(
        (s[f"out_{side}"] - 1) * s[f"stride_{side}"] + (s[f"k_{side}"] - 1) * s[f"step_{side}"]
        < s[f"in_{side}"]
        for side in ("h", "w")
    )


def requantization(
    site: Site, bias: Array, multiplier: Array, shift: Array
) -> tuple[Operand, Operand, Operand]:
    """The operands bias, multiplier and shift, one value a channel each."""
    place = site.step.weights.memory
    return (
        table("bias", bias, place),
        table("multiplier", multiplier, place),
        table("shift", shift, place),
    )
