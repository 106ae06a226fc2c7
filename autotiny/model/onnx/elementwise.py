"""Operators that compute each value by itself, and those that sum over axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from autotiny.doors import keras, tensorflow
from autotiny.graph import Array
from autotiny.model.onnx.node import Found, Node, bound, function
from autotiny.model.onnx.values import (
    NoBatch,
    Operand,
    Refused,
    Value,
    arranged,
    channels_last,
    identity,
    in_order,
    inserted,
    reshaped,
    unfolded,
    without,
)

FUNCTIONS: Mapping[str, str] = {
    "Abs": "abs", "Ceil": "math.ceil", "Cos": "cos", "Erf": "math.erf", "Exp": "exp",
    "Floor": "math.floor", "Log": "math.log", "Neg": "negative", "Not": "logical_not",
    "Reciprocal": "math.reciprocal", "Round": "round", "Sign": "sign", "Sin": "sin",
    "Sqrt": "sqrt", "Tan": "math.tan",
}  # fmt: skip
"""Functions of one value, as TensorFlow calls them."""

ACTIVATIONS: Mapping[str, str] = {
    "Sigmoid": "sigmoid", "Softplus": "softplus", "Softsign": "softsign",
    "Tanh": "tanh",
}  # fmt: skip
"""Those that are activations of Keras."""

POSITIVE = frozenset(("Abs", "Exp", "Sigmoid", "Softplus", "Sqrt"))
"""Those that give no value below 0."""


def unary(node: Node) -> Found:
    """A function of each value."""
    x = node.value()
    if node.kind in ACTIVATIONS:
        found = node.layer("Activation", x.tensor, activation=ACTIVATIONS[node.kind])
    else:
        found = function(FUNCTIONS[node.kind])(x.tensor)
    return x.of(found, least=0.0 if node.kind in POSITIVE else -inf)


def relu(node: Node) -> Found:
    """max(x, 0)."""
    x = node.value()
    return x.of(node.layer("ReLU", x.tensor), least=max(0.0, x.least))


def clip(node: Node) -> Found:
    """Values between two constants."""
    x = node.value()
    low = bound(node.constant(1, "min"), -inf)
    high = bound(node.constant(2, "max"), inf)
    low = min(low, high)  # the upper limit is applied last
    if low == 0:
        found = node.layer("ReLU", x.tensor, max_value=None if high == inf else high)
    elif low == -inf and high == inf:
        return x
    elif low == -inf:
        found = tensorflow().minimum(x.tensor, high)
    elif high == inf:
        found = tensorflow().maximum(x.tensor, low)
    else:
        found = tensorflow().clip_by_value(x.tensor, low, high)
    return x.of(found, least=max(low, x.least))


def leaky_relu(node: Node) -> Found:
    """x, or alpha x below 0."""
    x = node.value()
    return x.of(node.layer("LeakyReLU", x.tensor, alpha=node.number("alpha", 0.01)))


def elu(node: Node) -> Found:
    """x, or alpha (exp x − 1) below 0."""
    x = node.value()
    return x.of(node.layer("ELU", x.tensor, alpha=node.number("alpha", 1.0)))


def selu(node: Node) -> Found:
    """Gamma times what ELU gives, where the two are not the usual ones."""
    x = node.value()
    alpha, gamma = node.number("alpha", 1.67326319), node.number("gamma", 1.05070102)
    if abs(alpha - 1.67326319) < 1e-6 and abs(gamma - 1.05070102) < 1e-6:
        return x.of(node.layer("Activation", x.tensor, activation="selu"))
    return x.of(tensorflow().multiply(node.layer("ELU", x.tensor, alpha=alpha), gamma))


def prelu(node: Node) -> Found:
    """x, or below 0 the product with a slope a channel."""
    x, slope = unfolded(node.value()), node.needed(1)
    x = x if x.rank < 3 else arranged(x, channels_last(x.rank))
    if node.opset < 7 and slope.size > 1:  # one a channel
        slope = slope.reshape(-1, *(1,) * (x.rank - 2))
    lying = lying_as(slope, x)
    shared = [axis for axis in range(1, x.rank) if lying.shape[axis] == 1]
    if lying.shape[0] != 1:
        raise Refused(f"a slope of shape {slope.shape}, one a sample")
    return x.of(node.layer("PReLU", x.tensor, weights=[lying[0]], shared_axes=shared or None))


def hard_sigmoid(node: Node) -> Found:
    """Alpha x + beta between 0 and 1."""
    x = node.value()
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    return x.of(_hard_sigmoid(node, x.tensor, alpha, beta), least=0.0)


def hard_swish(node: Node) -> Found:
    """X times the hard sigmoid of slope 1/6."""
    x = node.value()
    gate = _hard_sigmoid(node, x.tensor, 1 / 6, 0.5)
    return x.of(keras().layers.Multiply()([x.tensor, gate]))


def _hard_sigmoid(node: Node, tensor: Any, alpha: float, beta: float) -> Any:
    """As ReLU6, which kernels are made for: min(max(x + beta / alpha, 0), 1 / alpha) · alpha."""
    if alpha <= 0:
        raise Refused(f"a slope of {alpha}")
    moved = tensorflow().add(tensor, beta / alpha)
    most = round(1 / alpha, 4)
    return tensorflow().multiply(node.layer("ReLU", moved, max_value=most, part="gate"), alpha)


def gelu(node: Node) -> Found:
    """X times the share of a normal distribution below it."""
    x = node.value()
    return x.of(tensorflow().nn.gelu(x.tensor, node.word("approximate", "none") == "tanh"))


def mish(node: Node) -> Found:
    """X tanh(softplus x)."""
    x, tf = node.value(), tensorflow()
    return x.of(tf.multiply(x.tensor, tf.tanh(tf.math.softplus(x.tensor))))


def softmax(node: Node) -> Found:
    """Shares along an axis, or their logarithms."""
    x = unfolded(node.value())
    axis = node.count("axis", -1 if node.opset >= 13 else 1) % x.rank
    behind = [size for size in x.shape[axis + 1 :] if size > 1]
    if node.opset < 13 and behind:
        # All axes from that one on are one distribution.
        x = in_order(x)
        if axis != 1:
            raise Refused(f"axis {axis} of {x.rank} before opset 13")
        flat = reshaped(x.tensor, (x.sizes[0], int(np.prod(x.sizes[1:]))))
        return x.of(reshaped(_softmax(node, flat, 1), x.sizes))
    return x.of(
        _softmax(node, x.tensor, x.place(axis)), least=0.0 if node.kind == "Softmax" else -inf
    )


def _softmax(node: Node, tensor: Any, axis: int) -> Any:
    if node.kind == "LogSoftmax":
        return tensorflow().nn.log_softmax(tensor, axis=axis)
    last = axis == len(tensor.shape) - 1
    return node.layer("Softmax", tensor, axis=-1 if last else axis)


LAYERS: Mapping[str, str] = {
    "Add": "Add", "Sub": "Subtract", "Mul": "Multiply", "Sum": "Add", "Mean": "Average",
    "Max": "Maximum", "Min": "Minimum",
}  # fmt: skip
"""Functions of two or more values that are layers of Keras."""

OPERATORS: Mapping[str, str] = {
    "Add": "add", "Sub": "subtract", "Mul": "multiply", "Sum": "add", "Div": "divide",
    "Max": "maximum", "Min": "minimum", "Pow": "pow", "Equal": "equal", "Greater": "greater",
    "GreaterOrEqual": "greater_equal", "Less": "less", "LessOrEqual": "less_equal",
    "And": "logical_and", "Or": "logical_or", "Xor": "math.logical_xor",
}  # fmt: skip
"""Functions of two values, as TensorFlow calls them."""


def elementwise(node: Node) -> Found:
    """A function of several values."""
    operands = [node.operand(place) for place in range(len(node.inputs))]
    if len(operands) == 1:
        return operands[0]
    if node.opset < 7 and node.attributes.get("axis") is not None:
        raise Refused("axis, which says how shapes are matched before opset 7")
    tensors, like = alike(operands)
    computed = all(isinstance(one, Value) for one in operands)
    if node.kind in LAYERS and computed and len({tuple(t.shape) for t in tensors}) == 1:
        return replace(like, tensor=node.layer(LAYERS[node.kind], *tensors), least=_least(node))
    if node.kind not in OPERATORS:
        raise Refused("operands of different shapes")
    apply = function(OPERATORS[node.kind])
    if node.kind == "Div" and whole(tensors[0]):
        apply = function("truncatediv")
    elif node.kind == "Div" and isinstance(tensors[1], np.ndarray):
        tensors[1], apply = 1 / tensors[1], function("multiply")
    found = tensors[0]
    for other in tensors[1:]:
        found = apply(found, other)
    return replace(like, tensor=found, least=_least(node))


def whole(tensor: Any) -> bool:
    """Whether a tensor or constant holds whole numbers."""
    return np.dtype(getattr(tensor.dtype, "name", tensor.dtype)).kind in "iu"


def _least(node: Node) -> float:
    """No sum or product of values that are not negative is negative."""
    if node.kind not in ("Add", "Sum", "Mul", "Mean"):
        return -inf
    bounds = [
        one.least if isinstance(one, Value) else float(one.min()) if one.size else 0.0
        for one in node.inputs if one is not None
    ]  # fmt: skip
    return 0.0 if min(bounds) >= 0 else -inf


def alike(operands: Sequence[Operand]) -> tuple[list[Any], Value]:
    """Operands as tensors and constants whose axes lie alike, and a value with such axes.

    Those of fewer axes have theirs at the end, as NumPy has it.
    """
    computed = [one for one in operands if isinstance(one, Value)]
    like = max(computed, key=lambda one: (one.rank, np.prod(one.sizes)))
    rank = max(len(one.shape) for one in operands)
    if like.folded is not None and any(
        isinstance(one, Value) and one.folded != like.folded for one in operands
    ):
        like = unfolded(like)
    if like.rank < rank:
        like = _deeper(like, rank)
    tensors: list[Any] = []
    for one in operands:
        if not isinstance(one, Value):
            tensors.append(lying_as(one, like))
        elif one.folded == like.folded and one.axes == like.axes:
            tensors.append(one.tensor)
        else:
            same = _deeper(one, rank) if one.rank < rank else one
            tensors.append(arranged(same, like.axes).tensor)
    return tensors, like


def _deeper(value: Value, rank: int) -> Value:
    """A value with more axes, of one value each, before its own."""
    if value.free:
        raise NoBatch
    value = in_order(value)
    more = rank - value.rank
    return Value(
        tensorflow().reshape(value.tensor, (*(1,) * more, *value.sizes)),
        identity(rank),
        value.least,
    )


def lying_as(x: Array, like: Value) -> Array:
    """A constant whose axes lie as those of a value."""
    if x.dtype == np.int64:
        x = x.astype(np.int32)
    if like.folded is not None and x.ndim and x.shape[-1] > 1:
        x = like.folded.apply(x, -1)
    lying: Array = x.reshape((1,) * (like.rank - x.ndim) + x.shape).transpose(like.axes)
    return lying


def where(node: Node) -> Found:
    """One value or the other."""
    tensors, like = alike([node.operand(place) for place in range(3)])
    return replace(like, tensor=function("where")(*tensors), least=-inf)


REDUCTIONS: Mapping[str, str] = {
    "ReduceMax": "reduce_max", "ReduceMean": "reduce_mean", "ReduceMin": "reduce_min",
    "ReduceProd": "reduce_prod", "ReduceSum": "reduce_sum",
}  # fmt: skip
"""Functions along axes, as TensorFlow calls them."""

COMPOSED: Mapping[str, Callable[[Any, list[int], bool], Any]] = {
    "ReduceL1": lambda x, axes, kept: _sum(function("abs")(x), axes, kept),
    "ReduceL2": lambda x, axes, kept: function("sqrt")(_sum(function("square")(x), axes, kept)),
    "ReduceSumSquare": lambda x, axes, kept: _sum(function("square")(x), axes, kept),
    "ReduceLogSum": lambda x, axes, kept: function("math.log")(_sum(x, axes, kept)),
    "ReduceLogSumExp": lambda x, axes, kept: function("math.log")(
        _sum(function("exp")(x), axes, kept)
    ),
}
"""Those that are made of two functions."""


def _sum(x: Any, axes: list[int], kept: bool) -> Any:
    return tensorflow().reduce_sum(x, axis=axes, keepdims=kept)


def reduction(node: Node) -> Found:
    """A function along axes."""
    x = unfolded(node.value())
    asked = node.whole(1, "axes")
    if not asked:
        if node.count("noop_with_empty_axes", 0):
            return x
        asked = list(range(x.rank))
    axes, kept = sorted(axis % x.rank for axis in asked), bool(node.count("keepdims", 1))
    spatial = x.rank == 4 and axes == [2, 3] and node.kind == "ReduceMean"
    if spatial and (kept or x.axes == channels_last(4)):
        x = arranged(x, channels_last(4))
        found = node.layer("GlobalAveragePooling2D", x.tensor, keepdims=kept)
    else:
        if 0 in axes and x.free:
            raise NoBatch
        places = sorted(x.place(axis) for axis in axes)
        if node.kind in REDUCTIONS:
            found = function(REDUCTIONS[node.kind])(x.tensor, axis=places, keepdims=kept)
        else:
            found = COMPOSED[node.kind](x.tensor, places, kept)
    return Value(found, x.axes if kept else without(x.axes, axes), _kept_bound(node, x))


def _kept_bound(node: Node, x: Value) -> float:
    return x.least if node.kind in ("ReduceMax", "ReduceMean", "ReduceMin") else -inf


def arg(node: Node) -> Found:
    """Where the largest or smallest value along an axis stands."""
    x = unfolded(node.value())
    axis, kept = node.count("axis", 0) % x.rank, bool(node.count("keepdims", 1))
    if node.count("select_last_index", 0):
        raise Refused("select_last_index; the first one is found")
    if axis == 0 and x.free:
        raise NoBatch
    name = "math.argmax" if node.kind == "ArgMax" else "math.argmin"
    found = function(name)(x.tensor, axis=x.place(axis), output_type=tensorflow().int32)
    y = Value(found, without(x.axes, [axis]))
    return inserted(y, [axis]) if kept else y


def lrn(node: Node) -> Found:
    """Each value divided by a power of the squares of its neighbours' channels."""
    x = arranged(node.value(), channels_last(node.value().rank))
    size = node.count("size", 1)
    if size % 2 == 0:
        raise Refused(f"size {size}; odd ones are computed")
    found = tensorflow().nn.local_response_normalization(
        x.tensor, depth_radius=size // 2, bias=node.number("bias", 1.0),
        alpha=node.number("alpha", 1e-4) / size, beta=node.number("beta", 0.75),
    )  # fmt: skip
    return x.of(found)
