"""Operators that move values and compute none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf, prod
from typing import Any

import numpy as np

from autotiny.doors import tensorflow
from autotiny.graph import Array
from autotiny.model.onnx.node import Found, Node, single
from autotiny.model.onnx.values import (
    NoBatch,
    Refused,
    Value,
    arranged,
    in_order,
    inserted,
    regrouped,
    squeezed,
    unfolded,
)


def unchanged(node: Node) -> Found:
    """The same value."""
    return node.value()


def dropout(node: Node) -> Found:
    """What acts in training alone."""
    training = node.constant(2)
    if (training is not None and training.any()) or any(node.wanted[1:]):
        raise Refused("training_mode, or its mask; export the network in evaluation mode")
    return [node.value()] * len(node.wanted)


def cast(node: Node) -> Found:
    """Values in another type; floats of all lengths are float32."""
    x = node.value()
    wanted, given = _type(node.count("to", 1)), x.tensor.dtype
    found = x if wanted == given else x.of(tensorflow().cast(x.tensor, wanted))
    return replace(found, folded=x.folded)


def _type(code: int) -> str:
    """The type of TensorFlow that stands for one of ONNX's."""
    from onnx import TensorProto

    name: str = TensorProto.DataType.Name(code)
    if name in ("FLOAT", "FLOAT16", "DOUBLE", "BFLOAT16"):
        return "float32"
    if name in ("INT32", "INT64"):
        return "int32"
    if name in ("BOOL", "INT8", "UINT8", "INT16"):
        return name.lower()
    raise Refused(f"values of type {name}")


def transpose(node: Node) -> Found:
    """Axes in another order: nothing moves until somebody reads them."""
    x = unfolded(node.value())
    order = list(node.attributes.get("perm", range(x.rank)[::-1]))
    return replace(x, axes=tuple(order.index(axis) for axis in x.axes))


def reshape(node: Node) -> Found:
    """The same values in another shape."""
    x = node.value()
    asked = node.whole(1, "shape")
    if asked is None:
        raise Refused("its shape is missing")
    kept = not node.count("allowzero", 0)
    shape = [x.shape[at] if size == 0 and kept else size for at, size in enumerate(asked)]
    count = prod(x.shape)
    if -1 in shape:
        rest = prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = count // rest if rest else 0
    if prod(shape) != count:
        raise Refused(f"shape {asked} does not hold the {count} values of {x.shape}")
    return _reshaped(x, tuple(shape))


def flatten(node: Node) -> Found:
    """A matrix: the axes before one, and the others."""
    x = node.value()
    axis = node.count("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    return _reshaped(x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


def _reshaped(x: Value, shape: tuple[int, ...]) -> Value:
    return x if shape == x.shape else regrouped(x, shape)


def squeeze(node: Node) -> Found:
    """A shape without axes of one value."""
    x = node.value()
    asked = node.whole(1, "axes")
    gone = [a for a, n in enumerate(x.shape) if n == 1] if asked is None else asked
    return squeezed(x, [axis % x.rank for axis in gone])


def unsqueeze(node: Node) -> Found:
    """A shape with more axes of one value."""
    x, asked = node.value(), node.whole(1, "axes")
    if asked is None:
        raise Refused("axes are missing")
    return inserted(x, [axis % (x.rank + len(asked)) for axis in asked])


def concat(node: Node) -> Found:
    """Values side by side along an axis."""
    operands = [node.operand(place) for place in range(len(node.inputs))]
    operands = [one for one in operands if not (isinstance(one, np.ndarray) and one.size == 0)]
    computed = [unfolded(one) for one in operands if isinstance(one, Value)]
    like = max(computed, key=lambda one: prod(one.sizes))
    place = like.place(node.count("axis", 0))
    if place == 0 and like.free:
        raise NoBatch
    if len(computed) == len(operands):
        tensors = [arranged(one, like.axes).tensor for one in computed]
        if len(tensors) == 1:
            return computed[0]
        found = node.layer("Concatenate", *tensors, axis=place)
    else:
        if like.free:
            raise NoBatch
        tensors = [
            arranged(one, like.axes).tensor if isinstance(one, Value) else one.transpose(like.axes)
            for one in operands
        ]
        found = tensorflow().concat(tensors, axis=place)
    return like.of(found, least=min(one.least for one in computed))


def split(node: Node) -> Found:
    """Parts of a value along an axis."""
    x = unfolded(node.value())
    place = x.place(node.count("axis", 0))
    size, count = x.sizes[place], len(node.wanted)
    lengths = node.whole(1, "split")
    if lengths is None:
        each = -(-size // count)
        lengths = [min(each, size - each * at) for at in range(count)]
    if place == 0 and x.free and len(lengths) > 1:
        raise NoBatch
    begins = np.cumsum([0, *lengths])
    return [
        x.of(_cut(x, {place: slice(int(begin), int(end))}), least=x.least)
        for begin, end in pairwise(begins)
    ]


def _cut(x: Value, cuts: dict[int, slice]) -> Any:
    """A part of a tensor."""
    return x.tensor[tuple(cuts.get(place, slice(None)) for place in range(x.rank))]


def slices(node: Node) -> Found:
    """A part of a value."""
    x = unfolded(node.value())
    begins, ends = node.whole(1, "starts"), node.whole(2, "ends")
    if begins is None or ends is None:
        raise Refused("starts or ends are missing")
    axes = node.whole(3, "axes") or list(range(len(begins)))
    steps = node.whole(4) or [1] * len(begins)
    cuts: dict[int, slice] = {}
    for begin, end, axis, step in zip(begins, ends, axes, steps, strict=True):
        place = x.place(axis)
        start, stop, stride = slice(begin, end, step).indices(x.sizes[place])
        if (start, stop, stride) == (0, x.sizes[place], 1):
            continue
        if place == 0 and x.free:
            raise NoBatch
        cuts[place] = slice(start, None if stop < 0 else stop, stride)
    return x.of(_cut(x, cuts), least=x.least) if cuts else x


def gather(node: Node) -> Found:
    """Values along an axis by their places; rows of a constant table."""
    table, places = node.operand(0), node.operand(1)
    axis = node.count("axis", 0)
    if not isinstance(table, Value):
        return _embedded(node, table, node.value(1), axis)
    x = unfolded(table)
    at = x.place(axis)
    if at == 0 and x.free:
        raise NoBatch
    if isinstance(places, Value):
        raise Refused("places that are computed, in values that are computed")
    chosen = places.astype(np.int32).reshape(-1) % x.sizes[at]
    steps = set(np.diff(chosen).tolist())
    if steps <= {1}:
        begin = int(chosen[0])
        found = x.of(_cut(x, {at: slice(begin, begin + chosen.size)}), least=x.least)
    else:
        found = x.of(tensorflow().gather(x.tensor, chosen, axis=at), least=x.least)
    if places.ndim == 1:
        return found
    if places.ndim == 0:
        return squeezed(found, [axis % x.rank])
    return regrouped(
        found, (*x.shape[: axis % x.rank], *places.shape, *x.shape[axis % x.rank + 1 :])
    )


def _embedded(node: Node, table: Array, places: Value, axis: int) -> Value:
    if axis % table.ndim or table.ndim != 2:
        raise Refused(
            f"axis {axis} of a constant of shape {table.shape}; rows of a table are found"
        )
    places = in_order(places)
    found = node.layer(
        "Embedding", places.tensor, weights=[table], input_dim=table.shape[0],
        output_dim=table.shape[1],
    )  # fmt: skip
    return Value(found, tuple(range(places.rank + 1)))


def pad(node: Node) -> Found:
    """Values with others around them."""
    x, asked = unfolded(node.value()), node.whole(1, "pads")
    if asked is None:
        raise Refused("pads are missing")
    filling = node.constant(2, "value")
    value = 0.0 if filling is None or not filling.size else single(filling)
    axes = node.whole(3) or list(range(x.rank))
    sides = {x.place(a): (asked[i], asked[i + len(axes)]) for i, a in enumerate(axes)}
    if any(min(pair) < 0 for pair in sides.values()):
        cuts = {p: slice(max(-a, 0), x.sizes[p] - max(-b, 0)) for p, (a, b) in sides.items()}
        x = x.of(_cut(x, cuts), least=x.least)
        sides = {place: (max(a, 0), max(b, 0)) for place, (a, b) in sides.items()}
    if any(sides.get(0, (0, 0))) and x.free:
        raise NoBatch
    pairs = [sides.get(place, (0, 0)) for place in range(x.rank)]
    mode = {"constant": "CONSTANT", "reflect": "REFLECT"}.get(node.word("mode", "constant"))
    if mode is None:
        raise Refused(f"mode {node.word('mode', '')!r}; constant and reflect are computed")
    inner = not any((*pairs[0], *pairs[-1]))
    if mode == "CONSTANT" and value == 0 and x.rank in (3, 4) and inner:
        padding = tuple(pairs[1:-1]) if x.rank == 4 else pairs[1]
        found = node.layer(f"ZeroPadding{x.rank - 2}D", x.tensor, padding=padding)
    elif mode == "CONSTANT":
        found = tensorflow().pad(x.tensor, pairs, constant_values=value)
    else:
        found = tensorflow().pad(x.tensor, pairs, mode=mode)
    return x.of(found, least=min(x.least, value if mode == "CONSTANT" else inf))


def tile(node: Node) -> Found:
    """Values, repeated along axes."""
    repeats = node.whole(1)
    return _repeated(unfolded(node.value()), repeats or [])


def expand(node: Node) -> Found:
    """Values, repeated along axes of one value until they have a shape."""
    x, shape = unfolded(node.value()), node.whole(1) or []
    if len(shape) > x.rank:
        if x.free:
            raise NoBatch
        x = inserted(x, range(len(shape) - x.rank))
    shape = [1] * (x.rank - len(shape)) + shape
    return _repeated(x, [n if have == 1 else 1 for n, have in zip(shape, x.shape, strict=True)])


def _repeated(x: Value, repeats: Sequence[int]) -> Value:
    if len(repeats) != x.rank or min(repeats) < 1:
        raise Refused(f"{list(repeats)} repetitions of a value of shape {x.shape}")
    lying = [repeats[axis] for axis in x.axes]
    if set(lying) == {1}:
        return x
    if lying[0] > 1 and x.free:
        raise NoBatch
    return x.of(tensorflow().tile(x.tensor, lying), least=x.least)


def shape(node: Node) -> Found:
    """Sizes, which are known: the batch is 1."""
    found = np.array(node.value().shape, np.int64)
    return found[node.count("start", 0) : node.attributes.get("end")]


def size(node: Node) -> Found:
    """How many values there are."""
    return np.array(prod(node.value().shape), np.int64)
