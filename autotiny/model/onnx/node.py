"""A node of an ONNX graph as what computes it reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import inf
from typing import Any

from autotiny.doors import keras, tensorflow
from autotiny.graph import Array
from autotiny.model.onnx.values import Operand, Refused, Value


@dataclass(frozen=True, eq=False)
class Node:
    """One node.

    Attributes:
        kind: its operator, such as "Conv".
        label: a name that no other node has, fit for a layer.
        inputs: what it reads; None where an input is left out.
        attributes: by name, as Python values and arrays.
        opset: the version of the operators.
        wanted: whether somebody reads each of its outputs.
    """

    kind: str
    label: str
    inputs: tuple[Operand | None, ...]
    attributes: Mapping[str, Any]
    opset: int
    wanted: tuple[bool, ...]

    def has(self, place: int) -> bool:
        """Whether there is an input at a place."""
        return place < len(self.inputs) and self.inputs[place] is not None

    def operand(self, place: int) -> Operand:
        """An input, computed or constant."""
        found = self.inputs[place] if place < len(self.inputs) else None
        if found is None:
            raise Refused(f"its input {place} is left out")
        return found

    def value(self, place: int = 0) -> Value:
        """An input that is computed."""
        found = self.operand(place)
        if not isinstance(found, Value):
            raise Refused(f"its input {place} is a constant while others are computed")
        return found

    def constant(self, place: int, attribute: str = "") -> Array | None:
        """An input that must be constant, else the attribute that it was once, else None."""
        if not self.has(place):
            found = self.attributes.get(attribute)
            return None if found is None else _array(found)
        operand = self.operand(place)
        if isinstance(operand, Value):
            what = attribute or ("its weights" if place else "its input")
            raise Refused(f"{what} (input {place}) are computed by the network; only constants are")
        return operand

    def needed(self, place: int, attribute: str = "") -> Array:
        """A constant that cannot be left out."""
        found = self.constant(place, attribute)
        if found is None:
            raise Refused(f"{attribute or f'input {place}'} is missing")
        return found

    def whole(self, place: int, attribute: str = "") -> list[int] | None:
        """Such a constant as whole numbers."""
        found = self.constant(place, attribute)
        return None if found is None else [int(one) for one in found.reshape(-1)]

    def number(self, name: str, default: float) -> float:
        """An attribute that is a number."""
        return float(self.attributes.get(name, default))

    def count(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        return int(self.attributes.get(name, default))

    def word(self, name: str, default: str) -> str:
        """An attribute that is text."""
        found = self.attributes.get(name, default)
        return found.decode(errors="replace") if isinstance(found, bytes) else str(found)

    def layer(
        self, kind: str, *tensors: Any, weights: Sequence[Array] = (), part: str = "", **config: Any
    ) -> Any:
        """What a layer of Keras gives.

        Args:
            kind: its class.
            tensors: what it reads.
            weights: its weights, in Keras' order.
            part: what is put behind the node's name, where it needs several layers.
            config: the arguments of the layer.
        """
        name = f"{self.label}_{part}" if part else self.label
        made = getattr(keras().layers, kind)(name=name, **config)
        found = made(tensors[0] if len(tensors) == 1 else list(tensors))
        if weights:
            made.set_weights(list(weights))
        return found


Found = Operand | Sequence[Operand]
Handler = Callable[[Node], Found]
"""What gives a node's outputs."""


def function(name: str) -> Callable[..., Any]:
    """A function of TensorFlow by its name, such as "math.erf"."""
    found: Callable[..., Any] = reduce(getattr, name.split("."), tensorflow())
    return found


def single(x: Array) -> float:
    """The value of a constant of one value."""
    if x.size != 1:
        raise Refused(f"a constant of {x.size} values stands where one value is taken")
    return float(x.reshape(-1)[0])


def bound(x: Array | None, default: float) -> float:
    """A limit that may be left out; what float32 holds no more is no limit."""
    found = default if x is None else single(x)
    return found if abs(found) < 3.4e38 else (inf if found > 0 else -inf)


def _array(value: Any) -> Array:
    import numpy as np

    return np.asarray(value)
