"""Operators that make an image smaller or larger without weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from autotiny.doors import tensorflow
from autotiny.graph import Array
from autotiny.model.onnx.node import Found, Node
from autotiny.model.onnx.values import Refused, Value, arranged, channels_last
from autotiny.model.onnx.windows import Windows, mirrored, windows, with_zeros


def image(node: Node) -> Value:
    """The first input with its channels last."""
    x = node.value()
    if x.rank not in (3, 4):
        raise Refused(f"an input of {x.rank} axes; rows and images (3 and 4 axes) are computed")
    return arranged(x, channels_last(x.rank))


def max_pool(node: Node) -> Found:
    """The largest value of each window."""
    x = image(node)
    if any(node.wanted[1:]):
        raise Refused("indices as a second output")
    w = _windows(node, x)
    if not w.padded:
        tensor = x.tensor
    elif x.least >= 0:
        tensor = with_zeros(node, x, w)
    else:
        tensor = mirrored(x, w)
    return x.of(_pooled(node, "MaxPooling", tensor, w), least=x.least)


def average_pool(node: Node) -> Found:
    """The mean of each window, with or without the zeros beside the input."""
    x = image(node)
    w = _windows(node, x)
    counted = bool(node.count("count_include_pad", 0))
    if w.same and not counted:  # as Keras counts
        return x.of(_pooled(node, "AveragePooling", x.tensor, w), least=x.least)
    w = replace(w, same=False)
    found = _pooled(node, "AveragePooling", with_zeros(node, x, w), w)
    share = _share(w, x.sizes[1:-1], counted)
    if not (share == 1).all():
        found = tensorflow().multiply(found, (1 / share)[None, ..., None].astype(np.float32))
    return x.of(found, least=x.least)


def _windows(node: Node, x: Value) -> Windows:
    kernel = node.attributes.get("kernel_shape")
    if kernel is None:
        raise Refused("kernel_shape is missing")
    w = windows(node, x.sizes[1:-1], [int(one) for one in kernel])
    if max(w.dilations) > 1:
        raise Refused("dilations above 1 in a pooling")
    return w


def _share(w: Windows, sizes: tuple[int, ...], counted: bool) -> Array:
    """Of each window, the share that counts."""
    shares = []
    for axis, size in enumerate(sizes):
        begins = np.arange(w.outputs[axis]) * w.strides[axis] - w.before[axis]
        low, high = (-w.pads[axis][0], size + w.pads[axis][1]) if counted else (0, size)
        inside = np.minimum(begins + w.kernel[axis], high) - np.maximum(begins, low)
        shares.append(inside / w.kernel[axis])
    return shares[0] if len(shares) == 1 else np.multiply.outer(*shares)


def _pooled(node: Node, kind: str, tensor: Any, w: Windows) -> Any:
    dimensions = len(w.kernel)
    sizes = (w.kernel, w.strides) if dimensions > 1 else (w.kernel[0], w.strides[0])
    return node.layer(
        f"{kind}{dimensions}D", tensor, pool_size=sizes[0], strides=sizes[1], padding=w.padding
    )


def global_average_pool(node: Node) -> Found:
    """The mean of each channel."""
    return _global(node, "GlobalAveragePooling")


def global_max_pool(node: Node) -> Found:
    """The largest value of each channel."""
    return _global(node, "GlobalMaxPooling")


def _global(node: Node, kind: str) -> Found:
    x = image(node)
    found = node.layer(f"{kind}{x.rank - 2}D", x.tensor, keepdims=True)
    return x.of(found, least=x.least)


def resize(node: Node) -> Found:
    """An image of another size: nearest values, or linear between them."""
    x = image(node)
    if x.rank != 4:
        raise Refused("a resized row; images are resized")
    if node.attributes.get("axes", [2, 3]) not in ([2, 3], [0, 1, 2, 3]):
        raise Refused(f"axes {list(node.attributes['axes'])}; height and width alone are resized")
    before, after = x.shape[2:], _size(node, x)
    old = node.kind == "Upsample" or node.opset < 11
    mode = node.word("mode", "nearest")
    between = node.word("coordinate_transformation_mode", "asymmetric" if old else "half_pixel")
    if between == "pytorch_half_pixel" and min(after) > 1:
        between = "half_pixel"
    whole = all(a % b == 0 for a, b in zip(after, before, strict=True))
    tf = tensorflow()
    if mode == "nearest" and whole and _repeats(node, between):
        factors = tuple(a // b for a, b in zip(after, before, strict=True))
        return x.of(node.layer("UpSampling2D", x.tensor, size=factors), least=x.least)
    if (
        mode == "linear"
        and between == "half_pixel"
        and all(a >= b for a, b in zip(after, before, strict=True))
    ):
        return x.of(tf.image.resize(x.tensor, after, "bilinear"), least=x.least)
    raise Refused(
        f"mode {mode!r} with coordinates {between!r} from {before} to {after}; nearest values at "
        "whole factors and linear ones with half_pixel are computed"
    )


def _repeats(node: Node, between: str) -> bool:
    """Whether each value of a nearest resize by whole factors is repeated."""
    rounding = node.word("nearest_mode", "round_prefer_floor")
    if between == "asymmetric":
        return node.kind == "Upsample" or rounding == "floor"
    return between == "half_pixel" and rounding in ("round_prefer_floor", "round_prefer_ceil")


def _size(node: Node, x: Value) -> tuple[int, ...]:
    """Height and width that are asked for."""
    last = len(node.inputs) - 1
    if node.kind == "Resize" and last == 3 and node.has(3) and node.needed(3).size:
        sizes = node.whole(3) or []
        return tuple(sizes[-2:])
    place = 1 if node.kind == "Upsample" or node.opset < 11 else 2
    scales = node.needed(place, "scales").reshape(-1)
    if scales.size == 4 and (scales[0] != 1 or scales[1] != 1):
        raise Refused(f"scales {scales.tolist()}; height and width alone are resized")
    return tuple(int(np.floor(n * s)) for n, s in zip(x.shape[2:], scales[-2:], strict=True))


def depth_to_space(node: Node) -> Found:
    """Channels as neighbours: ONNX's order of them, which Keras' differs from where it says CRD."""
    x, size = image(node), node.count("blocksize", 0)
    tensor = x.tensor
    if node.word("mode", "DCR") == "CRD":
        count = x.sizes[-1]
        order = np.arange(count).reshape(-1, size, size).transpose(1, 2, 0).reshape(-1)
        tensor = tensorflow().gather(tensor, order.astype(np.int32), axis=-1)
    return x.of(tensorflow().nn.depth_to_space(tensor, size), least=x.least)


def space_to_depth(node: Node) -> Found:
    """Neighbours as channels."""
    x = image(node)
    if node.word("mode", "DCR") != "DCR":
        raise Refused(f"mode {node.word('mode', '')!r}; DCR is computed")
    return x.of(tensorflow().nn.space_to_depth(x.tensor, node.count("blocksize", 0)), least=x.least)
