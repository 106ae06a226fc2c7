"""What Keras 3 computes and Keras 2 does not: activations, and operators on tensors, as layers.

They are registered with tf_keras, so that networks with them are copied and stored like others.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from autotiny.errors import InvalidModel

PACKAGE = "autotiny"
ACTIVATIONS_MODULE = "tf_keras.src.activations"

SAME_ACTIVATIONS = frozenset({
    "elu", "exponential", "gelu", "linear", "mish", "relu", "selu", "sigmoid", "softmax",
    "softplus", "softsign", "tanh",
})  # fmt: skip
"""Activations that Keras 2 and 3 compute alike."""

RENAMED_ACTIVATIONS = {"silu": "swish", "swish": "swish", "hard_swish": "hard_silu"}


def activations() -> dict[str, Callable[[Any], Any]]:
    """Activations of Keras 3 that Keras 2 lacks, or computes differently (keras.activations)."""
    import tensorflow as tf

    def relu6(x: Any) -> Any:
        return tf.nn.relu6(x)

    def hard_sigmoid(x: Any) -> Any:
        return tf.nn.relu6(x + 3.0) * (1.0 / 6.0)

    def hard_silu(x: Any) -> Any:
        return x * (tf.nn.relu6(x + 3.0) * (1.0 / 6.0))

    def celu(x: Any) -> Any:
        return tf.nn.elu(x)

    def glu(x: Any) -> Any:
        left, right = tf.split(x, 2, axis=-1)
        return left * tf.sigmoid(right)

    def hard_shrink(x: Any) -> Any:
        return tf.where(tf.abs(x) > 0.5, x, tf.zeros_like(x))

    def hard_tanh(x: Any) -> Any:
        return tf.maximum(tf.minimum(x, 1.0), -1.0)

    def leaky_relu(x: Any) -> Any:
        return tf.nn.leaky_relu(x, 0.2)

    def log_sigmoid(x: Any) -> Any:
        return tf.math.log_sigmoid(x)

    def log_softmax(x: Any) -> Any:
        return tf.nn.log_softmax(x)

    def soft_shrink(x: Any) -> Any:
        return tf.nn.relu(x - 0.5) - tf.nn.relu(-x - 0.5)

    def sparse_plus(x: Any) -> Any:
        near = tf.square(x + 1.0) * 0.25
        return tf.where(x <= -1.0, tf.zeros_like(x), tf.where(x < 1.0, near, x))

    def sparse_sigmoid(x: Any) -> Any:
        return tf.maximum(tf.minimum(0.5 * (x + 1.0), 1.0), 0.0)

    def squareplus(x: Any) -> Any:
        return 0.5 * (x + tf.sqrt(tf.square(x) + 4.0))

    def tanh_shrink(x: Any) -> Any:
        return x - tf.tanh(x)

    functions = (
        relu6, hard_sigmoid, hard_silu, celu, glu, hard_shrink, hard_tanh, leaky_relu, log_sigmoid,
        log_softmax, soft_shrink, sparse_plus, sparse_sigmoid, squareplus, tanh_shrink,
    )  # fmt: skip
    known: dict[str, Callable[[Any], Any]] = {one.__name__: one for one in functions}
    for name, function in known.items():
        function.__name__, function.__module__ = f"keras3_{name}", ACTIVATIONS_MODULE
    return known


def register(tf_keras: Any) -> None:
    """Make the activations and the operator known to tf_keras, once a process."""
    serializable = tf_keras.utils.register_keras_serializable
    # tf_keras reads and writes activations by their names in this module; registered functions are
    # not found again in HDF5.
    home = import_module(ACTIVATIONS_MODULE)
    for function in activations().values():
        setattr(home, function.__name__, function)

    @serializable(PACKAGE, "Operation")
    class Operation(tf_keras.layers.Layer):  # type: ignore[misc]
        """An operator or function of Keras 3 on tensors, e.g. `x * 2`.

        Args:
            operation: module and class of Keras 3, e.g. "numpy.Multiply".
            options: its arguments.
            call_arguments: those of the call; {"tensor": n} stands for the n-th input.
        """

        def __init__(self, operation: str, options: Any, call_arguments: Any, **base: Any) -> None:
            super().__init__(**base)
            self.operation, self.options = operation, options
            self.call_arguments = call_arguments

        def call(self, inputs: Any) -> Any:
            """The result on tensors."""
            module, name = self.operation.split(".")
            kind = getattr(import_module(f"keras.src.ops.{module}"), name)
            tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            arguments = [filled_in(one, tensors) for one in self.call_arguments]
            options = {key: filled_in(value, ()) for key, value in self.options.items()}
            return kind(**options).call(*arguments)

        def get_config(self) -> Any:
            """Its arguments."""
            own = {
                "operation": self.operation,
                "options": self.options,
                "call_arguments": self.call_arguments,
            }
            return {**super().get_config(), **own}


def filled_in(value: Any, tensors: Any) -> Any:
    """A stored argument with tensors, slices and tuples in it."""
    if isinstance(value, (list, tuple)):
        items = [filled_in(item, tensors) for item in value]
        return items if any(hasattr(item, "shape") for item in items) else tuple(items)
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    config = value.get("config", {})
    if value.get("class_name") == "__slice__":
        return slice(config["start"], config["stop"], config["step"])
    if value.get("class_name") == "__ellipsis__":
        return ...
    raise InvalidModel(
        f"an operator has the argument {value.get('class_name')!r}, which is no data"
    )


def activation_named(tf_keras: Any, name: str, where: str) -> Any:
    """The activation that Keras 3 calls by a name, for a layer of tf_keras.

    Raises:
        InvalidModel: there is none; `where` names the layer.
    """
    name = RENAMED_ACTIVATIONS.get(name, name)
    if name in SAME_ACTIVATIONS or name == "swish":
        return name
    known = activations()
    if name not in known:
        raise InvalidModel(f"{where}: its activation {name!r} has no Keras 2 counterpart")
    return known[name].__name__
