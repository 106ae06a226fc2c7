"""Networks of which a test knows the channels that are constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from build import tensor

from autotiny.graph import DType, Graph, Op, Tensor

ZERO = 3
"""Zero-point of the results of layers, unless a test says otherwise."""

How = Literal["zero weights", "closed ReLU", "saturated"]


@dataclass
class Net:
    """A graph that a test writes op by op; what it has not said is drawn from the seed."""

    seed: int = 0
    dtype: DType = "int8"
    tensors: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def add(self, one: Tensor) -> int:
        self.tensors.append(replace(one, name=f"t{len(self.tensors)}"))
        return len(self.tensors) - 1

    def input(self, *shape: int) -> int:
        zero = 0 if self.dtype == "int16" else -5
        self.inputs.append(self.add(tensor(shape, self.dtype, 0.05, zero)))
        return self.inputs[-1]

    def op(self, kind: str, inputs: Sequence[int], y: Tensor, **options: Any) -> int:
        index = self.add(y)
        self.ops.append(Op(kind, tuple(inputs), (index,), options))
        return index

    def each(self, kind: str, x: int, *others: int, **options: Any) -> int:
        """An op whose result is like its first input."""
        return self.op(kind, (x, *others), self.tensors[x], **options)

    def layer(
        self,
        x: int,
        outputs: int,
        *,
        constant: Sequence[int] = (),
        value: int | None = None,
        how: How = "zero weights",
        unread: Sequence[int] = (),
        kind: str = "CONV_2D",
        window: int = 1,
        stride: int = 1,
        padding: str = "VALID",
        activation: str = "NONE",
        per_channel: bool = True,
        bias: bool = True,
        zero: int = ZERO,
    ) -> int:
        """A convolution or dense layer.

        Args:
            x: its input.
            outputs: its channels.
            constant: those that are constant.
            value: what these are; the zero-point if left out. Others but "zero weights" decide it
                themselves.
            how: why they are.
            unread: input channels that have zero weights.
        """
        rng, source = self.rng, self.tensors[x]
        wide = self.dtype == "int16"
        zero = 0 if wide else zero
        in_c = source.shape[-1]
        shape, axis = [outputs, window, window, in_c], 0
        if kind == "DEPTHWISE_CONV_2D":
            shape, axis = [1, window, window, outputs], 3
        if kind == "FULLY_CONNECTED":
            shape = [outputs, int(np.prod(source.shape))]
        weights = rng.integers(-127, 128, shape)
        weights[..., list(unread)] = 0
        assert source.quantization is not None
        scales = np.exp(rng.uniform(np.log(0.002), np.log(0.02), outputs)).astype(np.float32)
        kept = scales if per_channel else scales[:1]
        products = kept * np.float32(source.quantization.scale)
        terms = weights.size // outputs
        out_scale = float(products.mean()) * np.sqrt(terms) * 70 * 70 / 60
        biases = rng.integers(-3000, 3000, outputs)
        for k in constant:
            if how == "zero weights":
                wanted = 0 if value is None else value - zero
                weights[(slice(None),) * axis + (k,)] = 0
                biases[k] = round(wanted * out_scale / products[k % len(products)])
            else:
                biases[k] = -(1 << 24) if how == "closed ReLU" else 1 << 24
        y_shape: tuple[int, ...] = (1, outputs)
        if kind != "FULLY_CONNECTED":
            h, w = (
                -(-n // stride) if padding == "SAME" else (n - window) // stride + 1
                for n in source.shape[1:3]
            )
            y_shape = (1, h, w, outputs)
        options: dict[str, Any] = {"fused_activation_function": activation}
        if kind != "FULLY_CONNECTED":
            options |= {"padding": padding, "stride_h": stride, "stride_w": stride}
        if kind == "DEPTHWISE_CONV_2D":
            options["depth_multiplier"] = outputs // in_c
        operands = [x, self.add(tensor(shape, "int8", kept, axis=axis, data=weights))]
        if bias:
            stored: DType = "int64" if wide else "int32"
            operands.append(self.add(tensor((outputs,), stored, products, data=biases)))
        return self.op(kind, operands, tensor(y_shape, self.dtype, out_scale, zero), **options)

    def graph(self, *outputs: int) -> Graph:
        return Graph(tuple(self.tensors), tuple(self.ops), tuple(self.inputs), outputs)


def planted(net: Net, constant: Sequence[int] = (1, 4, 5), **fields: Any) -> int:
    """A layer on (1, 6, 6, 3), with three of its 8 channels constant."""
    return net.layer(net.input(1, 6, 6, 3), 8, constant=constant, **fields)
