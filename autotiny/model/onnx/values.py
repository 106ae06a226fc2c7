"""What stands between nodes of ONNX: constants, and tensors of Keras with their axes in any order.

ONNX has channels behind the batch, Keras has them last. A tensor keeps the order in which it was
computed and remembers which axis of ONNX each of its axes is, so that a transposition costs nothing
until something reads the axes in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Any

import numpy as np

from autotiny.doors import keras, tensorflow
from autotiny.graph import Array


class Refused(Exception):
    """A node cannot be computed; the message says why, and what can be done."""


class NoBatch(Exception):
    """A node uses the batch as if it were an axis like others; so the batch is fixed to 1."""


@dataclass(frozen=True)
class Folded:
    """How an axis was made of several that lie in another order than ONNX's.

    Attributes:
        sizes: of those axes, in ONNX's order.
        order: which of them comes first, second, … in the tensor.
    """

    sizes: tuple[int, ...]
    order: tuple[int, ...]

    def apply(self, x: Array, axis: int) -> Array:
        """A constant of ONNX with one of its axes in the order of the tensor."""
        axis %= x.ndim
        head, tail = x.shape[:axis], x.shape[axis + 1 :]
        cut = x.reshape(*head, *self.sizes, *tail)
        moved = [axis + place for place in self.order]
        behind = range(axis + len(self.sizes), cut.ndim)
        lying: Array = cut.transpose(*range(axis), *moved, *behind).reshape(x.shape)
        return lying


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that is computed.

    Attributes:
        tensor: of Keras. Its first axis is the batch.
        axes: which axis of ONNX each of its axes is.
        least: no value is below it.
        folded: how its last axis lies, if in another order than ONNX's.
    """

    tensor: Any
    axes: tuple[int, ...]
    least: float = -inf
    folded: Folded | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape of the tensor; a free batch counts as 1."""
        return tuple(1 if size is None else int(size) for size in self.tensor.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape as ONNX has it."""
        return tuple(self.sizes[self.axes.index(axis)] for axis in range(self.rank))

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.axes)

    @property
    def free(self) -> bool:
        """Whether the batch is free."""
        return self.rank > 0 and self.tensor.shape[0] is None

    def place(self, axis: int) -> int:
        """Where an axis of ONNX lies in the tensor."""
        return self.axes.index(axis % self.rank)

    def of(self, tensor: Any, *, least: float = -inf) -> Value:
        """Another tensor with the same axes."""
        return replace(self, tensor=tensor, least=least)


Operand = Value | Array
"""What a node reads."""


def identity(rank: int) -> tuple[int, ...]:
    """ONNX's own order of axes."""
    return tuple(range(rank))


def channels_last(rank: int) -> tuple[int, ...]:
    """The order of axes that Keras' convolutions read."""
    return (0, *range(2, rank), 1)


def arranged(value: Value, axes: tuple[int, ...]) -> Value:
    """A value with its axes in an order."""
    value = unfolded(value)
    if value.axes == axes:
        return value
    order = tuple(value.axes.index(axis) for axis in axes)
    if value.free and order[0] != 0:
        raise NoBatch
    large = [place for place in order if value.sizes[place] > 1]
    if large == sorted(large):  # axes of one value alone change their places
        moved = reshaped(value.tensor, tuple(value.sizes[place] for place in order))
    elif order[0] == 0:
        moved = keras().layers.Permute(order[1:])(value.tensor)
    else:
        moved = tensorflow().transpose(value.tensor, order)
    return Value(moved, axes, value.least)


def in_order(value: Value) -> Value:
    """A value as ONNX has it."""
    return arranged(value, identity(value.rank))


def with_last(value: Value, axis: int) -> Value:
    """A value in whose tensor an axis of ONNX comes last."""
    axis %= value.rank
    if value.axes[-1] == axis:
        return value
    others = tuple(one for one in value.axes if one != axis)
    return arranged(value, (*others, axis))


def unfolded(value: Value) -> Value:
    """A value whose last axis lies as ONNX's."""
    if value.folded is None:
        return value
    sizes, order = value.folded.sizes, value.folded.order
    head = value.sizes[:-1]
    lying = [sizes[place] for place in order]
    back = [order.index(place) for place in range(len(order))]
    cut = reshaped(value.tensor, (*head, *lying))
    moved = keras().layers.Permute([*range(1, len(head)), *(len(head) + p for p in back)])(cut)
    flat = reshaped(moved, value.sizes)
    return replace(value, tensor=flat, folded=None)


def reshaped(tensor: Any, sizes: tuple[int, ...]) -> Any:
    """A tensor of another shape; the first size is that of the batch, and counts no free one."""
    if tensor.shape[0] is None:
        return keras().layers.Reshape(sizes[1:])(tensor)
    if sizes and sizes[0] == tensor.shape[0]:
        return keras().layers.Reshape(sizes[1:])(tensor)
    return tensorflow().reshape(tensor, sizes)


def regrouped(value: Value, shape: tuple[int, ...]) -> Value:
    """A value in another shape: what ONNX's Reshape gives.

    Axes are split and merged where they lie. Where axes that are merged lie apart, they are moved
    together, but for the last step of most networks: an image that becomes a row stays as it lies,
    and who reads the row is told by `Value.folded`.
    """
    value = unfolded(value)
    groups = _groups(value.shape, shape)
    merged = {axis: group for group in groups for axis in group[0]}
    if len(shape) == 2 and len(groups) == 2 and len(groups[1][1]) == 1 and value.axes[0] == 0:
        order = value.axes[1:]
        folded = Folded(value.shape[1:], tuple(axis - 1 for axis in order))
        flat = reshaped(value.tensor, shape)
        return Value(flat, (0, 1), value.least, None if _alike(folded) else folded)
    together: list[int] = []
    for axis in value.axes:
        if axis not in together:
            together.extend(merged[axis][0])
    value = arranged(value, tuple(together))
    axes: list[int] = []
    for axis in value.axes:
        inside, outside = merged[axis]
        if axis == inside[0]:
            axes.extend(outside)
    sizes = tuple(shape[axis] for axis in axes)
    if value.free and (not axes or shape[axes[0]] != 1 or merged[value.axes[0]][1] != [axes[0]]):
        raise NoBatch
    return Value(reshaped(value.tensor, sizes), tuple(axes), value.least)


def without(axes: tuple[int, ...], gone: Sequence[int]) -> tuple[int, ...]:
    """An order of axes some of which are gone; the others are numbered anew."""
    left = sorted(set(axes) - set(gone))
    return tuple(left.index(axis) for axis in axes if axis in left)


def squeezed(value: Value, gone: Sequence[int]) -> Value:
    """A value without some axes of one value."""
    value = unfolded(value)
    kept = [place for place, axis in enumerate(value.axes) if axis not in gone]
    if value.free and 0 not in kept:
        raise NoBatch
    sizes = tuple(value.sizes[place] for place in kept)
    return Value(reshaped(value.tensor, sizes), without(value.axes, gone), value.least)


def inserted(value: Value, new: Sequence[int]) -> Value:
    """A value with more axes of one value, told by their places among all; they lie last."""
    value = unfolded(value)
    rank = value.rank + len(new)
    old = [axis for axis in range(rank) if axis not in new]
    axes = (*(old[axis] for axis in value.axes), *new)
    tensor = reshaped(value.tensor, (*value.sizes, *(1,) * len(new)))
    return Value(tensor, axes, value.least)


def _alike(folded: Folded) -> bool:
    """Whether an order differs from ONNX's by axes of one value alone."""
    count = prod(folded.sizes)
    index = np.arange(count)
    return bool((folded.apply(index, 0) == index).all())


Group = tuple[list[int], list[int]]
"""Axes that become other axes, of as many values."""


def _groups(before: tuple[int, ...], after: tuple[int, ...]) -> list[Group]:
    """Which axes become which: the finest groups that have as many values on both sides."""
    groups: list[Group] = []
    i = j = 0
    while i < len(before) and j < len(after):
        inside, outside = [i], [j]
        left, right = before[i], after[j]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                inside.append(i)
                left *= before[i]
                i += 1
            else:
                outside.append(j)
                right *= after[j]
                j += 1
        groups.append((inside, outside))
    if not groups:
        return [(list(range(len(before))), list(range(len(after))))]
    groups[-1][0].extend(range(i, len(before)))  # axes of one value
    groups[-1][1].extend(range(j, len(after)))
    return groups
