"""Operators with weights: layers of Keras, which stay trainable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from autotiny.doors import tensorflow
from autotiny.graph import Array
from autotiny.model.onnx.node import Found, Node
from autotiny.model.onnx.values import (
    Refused,
    Value,
    arranged,
    channels_last,
    in_order,
    unfolded,
    with_last,
)
from autotiny.model.onnx.windows import windows, with_zeros


def conv(node: Node) -> Found:
    """A convolution; one of a group a channel is depthwise."""
    x, kernel = node.value(), node.needed(1)
    dimensions = kernel.ndim - 2
    if dimensions not in (1, 2):
        raise Refused(f"a convolution over {dimensions} axes; those over 1 and 2 are computed")
    x = arranged(x, channels_last(x.rank))
    w = windows(node, x.sizes[1:-1], kernel.shape[2:])
    if max(w.strides) > 1 and max(w.dilations) > 1:
        raise Refused("strides and dilations above 1 at once")
    groups, channels = node.count("group", 1), x.sizes[-1]
    if kernel.shape[1] * groups != channels or kernel.shape[0] % groups:
        raise Refused(f"weights {kernel.shape} in {groups} groups do not fit {channels} channels")
    bias = node.constant(2)
    shared: dict[str, Any] = {
        "kernel_size": w.kernel, "strides": w.strides, "dilation_rate": w.dilations,
        "padding": w.padding, "use_bias": bias is not None,
    }  # fmt: skip
    # (M, C / groups, …) as ONNX has them, (…, C / groups, M) as Keras does.
    moved = np.moveaxis(kernel, (1, 0), (-2, -1))
    tensor = with_zeros(node, x, w)
    biases = [] if bias is None else [bias]
    if groups == channels and groups > 1:
        multiplier = kernel.shape[0] // groups
        depthwise = moved.reshape(*w.kernel, groups, multiplier)
        uneven = len(set(w.strides)) > 1
        if uneven:  # which TensorFlow computes on no CPU
            tensor = with_zeros(node, x, replace(w, same=False))
            shared |= {"strides": (1,) * dimensions, "padding": "valid"}
        found = node.layer(
            f"DepthwiseConv{dimensions}D", tensor, weights=[depthwise, *biases],
            depth_multiplier=multiplier, **shared,
        )  # fmt: skip
        if uneven:
            found = found[:, :: w.strides[0], :: w.strides[1]]
    else:
        found = node.layer(
            f"Conv{dimensions}D", tensor, weights=[moved, *biases], filters=kernel.shape[0],
            groups=groups, **shared,
        )  # fmt: skip
    return Value(found, x.axes)


def conv_transpose(node: Node) -> Found:
    """A transposed convolution: as large as it gets, then cropped."""
    x, kernel = node.value(), node.needed(1)
    dimensions = kernel.ndim - 2
    if dimensions not in (1, 2):
        raise Refused(f"a convolution over {dimensions} axes; those over 1 and 2 are computed")
    if node.count("group", 1) != 1:
        raise Refused(f"{node.count('group', 1)} groups; a transposed convolution of 1 is computed")
    x = arranged(x, channels_last(x.rank))
    sizes, extents = x.sizes[1:-1], kernel.shape[2:]
    ones = [1] * dimensions
    strides = [int(one) for one in node.attributes.get("strides", ones)]
    if any(int(one) != 1 for one in node.attributes.get("dilations", ones)):
        raise Refused("dilations above 1 in a transposed convolution")
    more = [int(one) for one in node.attributes.get("output_padding", [0] * dimensions)]
    largest = [(n - 1) * s + k for n, s, k in zip(sizes, strides, extents, strict=True)]
    before, behind = _cropped(node, sizes, strides, largest, more)
    bias = node.constant(2)
    # (C, M, …) as ONNX has them, (…, M, C) as Keras does.
    moved = np.moveaxis(kernel, (1, 0), (-2, -1))
    found = node.layer(
        f"Conv{dimensions}DTranspose", x.tensor,
        weights=[moved, *([] if bias is None else [bias])], filters=kernel.shape[1],
        kernel_size=tuple(extents), strides=tuple(strides), padding="valid",
        use_bias=bias is not None,
    )  # fmt: skip
    if any((*before, *behind)):
        crops = tuple(zip(before, behind, strict=True))
        cropping = crops if dimensions > 1 else crops[0]
        found = node.layer(f"Cropping{dimensions}D", found, cropping=cropping, part="crop")
    return Value(found, x.axes)


def _cropped(
    node: Node, sizes: Any, strides: list[int], largest: list[int], more: list[int]
) -> tuple[list[int], list[int]]:
    """What is left out of the largest output, before and behind."""
    count = len(strides)
    asked = node.attributes.get("output_shape")
    automatic = node.word("auto_pad", "NOTSET")
    pads = [int(one) for one in node.attributes.get("pads", [0] * (2 * count))]
    before, behind = pads[:count], [p - m for p, m in zip(pads[count:], more, strict=True)]
    if asked is not None or automatic.startswith("SAME"):
        wanted = [n * s for n, s in zip(sizes, strides, strict=True)] if asked is None else asked
        total = [
            most - int(size) for most, size in zip(largest, list(wanted)[-count:], strict=True)
        ]
        before = [t // 2 if automatic != "SAME_LOWER" else t - t // 2 for t in total]
        behind = [t - b for t, b in zip(total, before, strict=True)]
    if min(*before, *behind) < 0:
        raise Refused(
            f"it gives more than it computes (pads {pads}, output_padding {more}); the rest is zero"
        )
    return before, behind


def gemm(node: Node) -> Found:
    """A dense layer: alpha A·B + beta C with constant B."""
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    if node.count("transA", 0):
        raise Refused("transA; A is read by rows")
    kernel = node.needed(1)
    kernel = kernel.T if node.count("transB", 0) else kernel
    bias = node.constant(2)
    kernel = kernel * np.float32(alpha)
    if bias is not None:
        bias = np.broadcast_to(bias * np.float32(beta), (1, kernel.shape[1])).reshape(-1)
    return dense(node, with_last(node.value(), -1), kernel, bias)


def dense(node: Node, x: Value, kernel: Array, bias: Array | None) -> Value:
    """A dense layer on the last axis of a tensor, whose weights lie as that does."""
    if x.folded is not None:
        kernel = x.folded.apply(kernel, 0)
    if kernel.shape[0] != x.sizes[-1]:
        raise Refused(f"weights {kernel.shape} do not fit rows of {x.sizes[-1]} values")
    found = node.layer(
        "Dense", x.tensor, weights=[kernel, *([] if bias is None else [bias])],
        units=kernel.shape[1], use_bias=bias is not None,
    )  # fmt: skip
    return Value(found, x.axes)


def matmul(node: Node) -> Found:
    """A product of matrices: a dense layer where the second one is constant."""
    first, second = node.operand(0), node.operand(1)
    if isinstance(first, Value) and not isinstance(second, Value) and second.ndim == 2:
        # The last axis of the tensor need not be the last of ONNX's: the others only pass.
        x = first if first.axes[-1] == first.rank - 1 else with_last(first, -1)
        bias = node.constant(2)
        return dense(node, x, second, None if bias is None else bias.reshape(-1))
    ordered = [in_order(one) if isinstance(one, Value) else one for one in (first, second)]
    computed = [one for one in ordered if isinstance(one, Value)]
    if any(one.free and one.rank < 3 for one in computed) or len({o.rank for o in computed}) > 1:
        raise Refused("a product of matrices of different ranks; reshape them to equal ones")
    tensors = [one.tensor if isinstance(one, Value) else one for one in ordered]
    found = tensorflow().matmul(*tensors)
    return Value(found, tuple(range(len(found.shape))))


def batch_normalization(node: Node) -> Found:
    """Channels, moved and scaled by constants."""
    x = node.value()
    x = x if x.rank < 3 else arranged(x, channels_last(x.rank))
    weights = [node.needed(place) for place in range(1, 5)]
    if node.count("training_mode", 0):
        raise Refused("training_mode; export the network in evaluation mode")
    if x.folded is not None:
        weights = [x.folded.apply(one, 0) for one in weights]
    found = node.layer(
        "BatchNormalization", x.tensor, weights=weights, epsilon=node.number("epsilon", 1e-5),
        momentum=node.number("momentum", 0.9),
    )  # fmt: skip
    return replace(x.of(found), folded=x.folded)


def layer_normalization(node: Node) -> Found:
    """Rows of the last axis, each with mean 0 and variance 1, then scaled."""
    x = node.value()
    if node.count("axis", -1) % x.rank != x.rank - 1:
        raise Refused(f"axis {node.count('axis', -1)}; the last one alone is normalized")
    if any(node.wanted[1:]):
        raise Refused("mean or deviation as outputs")
    x = unfolded(with_last(x, -1))
    bias = node.constant(2)
    weights = [node.needed(1), *([] if bias is None else [bias])]
    found = node.layer(
        "LayerNormalization", x.tensor, weights=weights, epsilon=node.number("epsilon", 1e-5),
        center=bias is not None,
    )  # fmt: skip
    return x.of(found)


def instance_normalization(node: Node) -> Found:
    """Each channel of a sample with mean 0 and variance 1, then scaled."""
    return _group_normalization(node, node.value().shape[1])


def group_normalization(node: Node) -> Found:
    """Groups of channels of a sample with mean 0 and variance 1, then scaled."""
    return _group_normalization(node, node.count("num_groups", 1))


def _group_normalization(node: Node, groups: int) -> Found:
    x = arranged(node.value(), channels_last(node.value().rank))
    channels = x.sizes[-1]
    weights = [node.needed(1), node.needed(2)]
    if weights[0].size == groups != channels:  # one a group, before opset 21
        weights = [np.repeat(one, channels // groups) for one in weights]
    found = node.layer(
        "GroupNormalization", x.tensor, weights=weights, groups=groups,
        epsilon=node.number("epsilon", 1e-5),
    )  # fmt: skip
    return x.of(found)
