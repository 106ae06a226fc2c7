"""The network as data: tensors and ops. How each op is computed is the business of `schedule`.

Nothing here imports TensorFlow. Op kinds and option names are those of the LiteRT schema
(`CONV_2D`, `stride_w`, …), shapes are in LiteRT order (NHWC; convolution weights
`(out, height, width, in)`; depthwise weights `(1, height, width, out)`; dense weights `(out, in)`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from autotiny.errors import InvalidModel, shown

DType = Literal["float32", "float16", "int4", "int8", "uint8", "int16", "int32", "int64", "bool"]
Option = int | float | bool | str | tuple[int, ...]
Array = NDArray[Any]

Threshold = float | tuple[float | None, ...] | None
"""From which output on the answer is yes; of several outputs one each; None where there is none."""
Kind = TypeVar("Kind", bound=Option)


@dataclass(frozen=True)
class Quantization:
    """Affine quantization: real = scale × (stored − zero_point).

    Attributes:
        scales: one per tensor, or one per index of `axis`.
        zero_points: as many as scales.
        axis: the dimension that scales of a per-channel tensor run along.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    @property
    def scale(self) -> float:
        """The scale of a per-tensor quantization."""
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        """The zero-point of a per-tensor quantization."""
        return self.zero_points[0]


@dataclass(frozen=True, eq=False)
class Tensor:
    """One value of the graph; a constant if it has `data`."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    quantization: Quantization | None = None
    data: Array | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self) -> int:
        """Bytes the elements take in memory."""
        return self.size * ITEM_BYTES[self.dtype]


ITEM_BYTES: Mapping[DType, int] = {
    "float32": 4, "float16": 2, "int4": 1, "int8": 1, "uint8": 1,
    "int16": 2, "int32": 4, "int64": 8, "bool": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Op:
    """One operation; inputs and outputs index `Graph.tensors`, −1 where an input is absent."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Option] = field(default_factory=dict)

    def option(self, name: str, default: Kind) -> Kind:
        """An option, or its default; `InvalidModel` if it is not of the type of the default.

        A whole number serves as a float.
        """
        return self._typed(name, type(default), default)

    def integer(self, name: str) -> int:
        """An option that is a whole number; `InvalidModel` if it is missing or something else."""
        return self._typed(name, int)

    def text(self, name: str) -> str:
        """An option that is a name; `InvalidModel` if it is missing or something else."""
        return self._typed(name, str)

    @property
    def intermediates(self) -> tuple[int, ...]:
        """The tensors that the options name: the scales inside an LSTM."""
        none: tuple[int, ...] = ()
        return self.option("intermediates", none)

    def _typed(self, name: str, kind: type[Kind], default: Option | None = None) -> Kind:
        value = self.options.get(name, default)
        if kind is float and type(value) is int:
            value = float(value)
        if isinstance(value, kind) and type(value) is kind:  # True is an int to isinstance
            return value
        found = "missing" if value is None else shown(value)
        raise InvalidModel(
            f"{self.kind}: its option {name} is {found}; it must be of type {kind.__name__}"
        )


@dataclass(frozen=True, eq=False)
class Graph:
    """A static network, batch 1, its ops in an order in which they can be executed."""

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    name: str = "model"

    def with_ops(self, ops: tuple[Op, ...]) -> Graph:
        """The same tensors under other ops."""
        return replace(self, ops=ops)

    def fingerprint(self) -> str:
        """A digest of everything that decides what the graph computes; names do not count."""
        digest = hashlib.sha256()
        for tensor in self.tensors:
            digest.update(repr((tensor.shape, tensor.dtype, tensor.quantization)).encode())
            if tensor.data is not None:
                digest.update(np.ascontiguousarray(tensor.data).tobytes())
        for op in self.ops:
            digest.update(
                repr((op.kind, op.inputs, op.outputs, sorted(op.options.items()))).encode()
            )
        digest.update(repr((self.inputs, self.outputs)).encode())
        return digest.hexdigest()[:16]
