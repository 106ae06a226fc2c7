"""What a tensor of a recurrent layer's step is made of, however its products are split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autotiny.graph import Array, Graph, Op, dequantize, producers

ALONE = -1
Row = tuple[int, int]
"""A tensor of shape (steps, 1, depth) or (1, steps, depth) and which step of it is meant; or a
tensor (1, depth) and `ALONE`."""


@dataclass(frozen=True)
class Linear:
    """Products with weights and a bias: how a gate hangs on inputs and state.

    Attributes:
        terms: the matrix (outputs, depth) of each source.
        bias: (outputs).
        grain: the step in which the bias is stored, in real numbers; 0 for floats.
    """

    terms: Mapping[Row, Array]
    bias: Array
    grain: float = 0.0

    def __add__(self, other: Linear) -> Linear:
        shared = {
            row: self.terms[row] + other.terms[row] for row in self.terms.keys() & other.terms
        }
        bias = self.bias + other.bias
        return Linear({**self.terms, **other.terms, **shared}, bias, self.grain + other.grain)

    def rows(self, part: slice) -> Linear:
        """Some of the outputs."""
        terms = {row: matrix[part] for row, matrix in self.terms.items()}
        return Linear(terms, self.bias[part], self.grain)


class Reading:
    """A graph as expressions: what made a tensor, conversions left aside."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._made_by = producers(graph)

    def origin(self, tensor: int) -> int:
        """A tensor before it was requantized, or turned into reals and back."""
        op = self._made_by.get(tensor)
        while op is not None and op.kind in ("QUANTIZE", "DEQUANTIZE"):
            tensor = op.inputs[0]
            op = self._made_by.get(tensor)
        return tensor

    def op(self, tensor: int, *kinds: str) -> Op | None:
        """The op that makes a tensor, if it is of one of some kinds and has no activation."""
        op = self._made_by.get(self.origin(tensor))
        if op is None or op.kind not in kinds:
            return None
        plain = op.option("fused_activation_function", "NONE") == "NONE"
        return op if plain else None

    def argument(self, tensor: int, kind: str) -> int | None:
        """What a tensor is a function of, before conversions, if it is that function."""
        op = self.op(tensor, kind)
        return None if op is None else op.inputs[0]

    def constant(self, tensor: int) -> Array | None:
        """The stored values of a constant."""
        return self.graph.tensors[self.origin(tensor)].data

    def factors(self, product: int, first: str, second: str | None) -> tuple[int, int] | None:
        """Arguments of the functions that a product is made of; without a second, its factor."""
        op = self.op(product, "MUL")
        for one, other in (op.inputs, op.inputs[::-1]) if op is not None else ():
            left = self.op(one, first)
            right = None if second is None else self.op(other, second)
            if left is not None and (second is None or right is not None):
                return left.inputs[0], other if right is None else right.inputs[0]
        return None

    def linear(self, tensor: int) -> Linear | None:
        """A tensor as a sum of products with constants; None if it is something else."""
        size = self.graph.tensors[tensor].size
        constant = self.real(tensor)
        if constant is not None:
            quantization = self.graph.tensors[tensor].quantization
            grain = max(quantization.scales) if quantization is not None else 0.0
            return Linear({}, constant.reshape(-1), grain)
        op = self.op(tensor, "FULLY_CONNECTED", "ADD", "SPLIT", "UNPACK")
        if op is None:
            return None
        if op.kind == "FULLY_CONNECTED":
            return self._product(op, ALONE)
        if op.kind == "UNPACK":
            whole = self.op(op.inputs[0], "FULLY_CONNECTED")
            step = op.outputs.index(self.origin(tensor))
            return None if whole is None or op.option("axis", 0) else self._product(whole, step)
        if op.kind == "ADD":
            left, right = (self.linear(one) for one in op.inputs)
            fit = left is not None and right is not None and len(left.bias) == len(right.bias)
            return left + right if fit and left is not None and right is not None else None
        split = self.linear(op.inputs[1])
        axis = self.graph.tensors[op.inputs[0]].data
        last = axis is not None and int(axis) in (-1, len(self.graph.tensors[tensor].shape) - 1)
        first = op.outputs.index(self.origin(tensor)) * size
        return split.rows(slice(first, first + size)) if split is not None and last else None

    def _product(self, op: Op, step: int) -> Linear | None:
        """A dense layer, of all its rows or of one of them."""
        matrix = self.real(op.inputs[1])
        source, stored = (self.graph.tensors[self.origin(one)] for one in op.inputs[:2])
        if matrix is None or (source.dtype == "float32") != (stored.dtype == "float32"):
            return None
        bias, grain = np.zeros(len(matrix)), 0.0
        if len(op.inputs) > 2 and op.inputs[2] >= 0:
            found = self.linear(op.inputs[2])
            if found is None:
                return None
            bias, grain = found.bias, found.grain
        joined = self.op(op.inputs[0], "CONCATENATION")
        if joined is None or step >= 0:
            return Linear({self.row(op.inputs[0], step): matrix}, bias, grain)
        terms, first = {}, 0
        for part in joined.inputs:
            width = self.graph.tensors[part].shape[-1]
            if not self.is_zero(part):
                terms[self.row(part, ALONE)] = matrix[:, first : first + width]
            first += width
        return Linear(terms, bias, grain) if first == matrix.shape[1] else None

    def row(self, tensor: int, step: int) -> Row:
        """Which step of which sequence a tensor is, if it was taken from one."""
        tensor = self.origin(tensor)
        op = self.op(tensor, "UNPACK", "STRIDED_SLICE")
        if op is None or step != ALONE:
            return tensor, step
        source = self.graph.tensors[op.inputs[0]].shape
        if len(source) != 3 or self.graph.tensors[tensor].shape != (1, source[2]):
            return tensor, ALONE
        if op.kind == "UNPACK":
            return self.origin(op.inputs[0]), op.outputs.index(tensor)
        axis = {1: 0, 2: 1}.get(op.option("shrink_axis_mask", 0))
        begin = self.graph.tensors[op.inputs[1]].data
        if axis is None or begin is None or source[1 - axis] != 1:
            return tensor, ALONE
        return self.origin(op.inputs[0]), int(begin[axis]) % source[axis]

    def real(self, tensor: int) -> Array | None:
        """The values of a constant."""
        one = self.graph.tensors[self.origin(tensor)]
        known = ("float32", "float16", "int8", "int16", "int32", "int64")
        if one.data is None or one.dtype not in known:
            return None
        if one.quantization is None and not one.dtype.startswith("float"):
            return None
        return dequantize(one.data, one.quantization, np.float64)

    def is_zero(self, tensor: int) -> bool:
        values = self.real(tensor)
        return values is not None and not values.any()
