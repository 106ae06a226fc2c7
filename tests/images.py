"""Small int8 networks on images, layer by layer, and samples for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from build import tensor

from autotiny.graph import Array, DType, Graph, Op, Option, Tensor


@dataclass
class Network:
    """An int8 network under construction, with seeded weights."""

    height: int
    width: int
    channels: int

    def __post_init__(self) -> None:
        self.dice = np.random.default_rng(crc32(repr(self).encode()))
        x = tensor((1, self.height, self.width, self.channels), "int8", 0.03, 5, name="x")
        self.tensors: list[Tensor] = [x]
        self.ops: list[Op] = []

    def add(self, one: Tensor) -> int:
        self.tensors.append(one)
        return len(self.tensors) - 1

    def conv(self, x: int, channels: int, k: int, stride: int, padding: str = "SAME") -> int:
        """A convolution; depthwise if `channels` is 0."""
        _, h, w, c = self.tensors[x].shape
        n, depthwise = channels or c, not channels
        shape = (1, k, k, c) if depthwise else (n, k, k, c)
        taps = k * k * (1 if depthwise else c)
        weights = np.clip(self.dice.normal(0, 40, shape), -127, 127).round()
        scales = self.dice.uniform(0.004, 0.01, n)
        w_ = self.add(tensor(shape, "int8", scales, axis=3 if depthwise else 0, data=weights))
        bias = self.dice.integers(-9000, 9000, n)
        b = self.add(tensor((n,), "int32", scales * 0.03, [0] * n, data=bias))
        if padding == "SAME":
            rows, columns = -(-h // stride), -(-w // stride)
        else:
            rows, columns = (h - k) // stride + 1, (w - k) // stride + 1
        y = self.add(tensor((1, rows, columns, n), "int8", 0.03 * 0.3 * taps**0.5, -7))
        options: dict[str, Option] = {
            "stride_h": stride, "stride_w": stride, "padding": padding, "dilation_h_factor": 1,
            "dilation_w_factor": 1, "fused_activation_function": "RELU",
        }  # fmt: skip
        if depthwise:
            options["depth_multiplier"] = 1
        kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        self.ops.append(Op(kind, (x, w_, b), (y,), options))
        return y

    def pool(self, x: int, kind: str = "MAX_POOL_2D", size: int = 2, stride: int = 0) -> int:
        """A pooling without padding; its windows lie side by side unless a stride is given."""
        one, step = self.tensors[x], stride or size
        _, h, w, c = one.shape
        y = self.add(replace(one, shape=(1, (h - size) // step + 1, (w - size) // step + 1, c)))
        options: dict[str, Option] = {
            "filter_height": size, "filter_width": size, "stride_h": step, "stride_w": step,
            "padding": "VALID", "fused_activation_function": "NONE",
        }  # fmt: skip
        self.ops.append(Op(kind, (x,), (y,), options))
        return y

    def sum(self, a: int, b: int) -> int:
        y = self.add(
            replace(self.tensors[a], quantization=tensor((1,), "int8", 0.2, 3).quantization)
        )
        self.ops.append(Op("ADD", (a, b), (y,), {"fused_activation_function": "NONE"}))
        return y

    def graph(self, result: int) -> Graph:
        return Graph(tuple(self.tensors), tuple(self.ops), (0,), (result,))


def in_arithmetic(graph: Graph, arithmetic: str) -> Graph:
    """An int8 graph on float32, on "float16" weights of it, or on int16 with int8 weights."""

    def changed(one: Tensor) -> Tensor:
        if arithmetic == "int16":
            if one.data is None:
                return tensor(one.shape, "int16", 0.03, name=one.name)
            if one.dtype == "int32":
                return replace(one, dtype="int64", data=one.data.astype(np.int64))
            return one
        if one.data is None:
            return replace(one, dtype="float32", quantization=None)
        half = arithmetic == "float16" and one.dtype == "int8"
        dtype: DType = "float16" if half else "float32"
        return replace(one, dtype=dtype, quantization=None, data=(one.data / 100).astype(dtype))

    return replace(graph, tensors=tuple(map(changed, graph.tensors)))


def samples(graph: Graph) -> Array:
    """Random images and extreme ones."""
    dice = np.random.default_rng(1)
    shape = graph.tensors[graph.inputs[0]].shape
    return np.array([dice.integers(-128, 128, shape), dice.choice([-128, 127], shape)], np.int8)
