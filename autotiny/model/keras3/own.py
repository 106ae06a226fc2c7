"""Layers and activations of Keras 3 that Keras 2 lacks, as layers and functions of tf_keras.

They compute with Keras 3 itself, so they compute the same. What they are made of stands in their
configuration as plain data: a model that has them can be cloned, rewritten and stored.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from autotiny.doors import keras, silent_stderr, tensorflow
from autotiny.errors import InvalidModel
from autotiny.model.allowed.names import ACTIVATIONS, LAYERS, OPERATIONS
from autotiny.model.kerastypes import Config, KerasLayer

PACKAGE = "autotiny"
OWN_LAYERS = (f"{PACKAGE}>Operation", f"{PACKAGE}>WholeLayer", f"{PACKAGE}>Keras3Activation")
"""Registered names of the layers that stand here, and of the activations that they may have."""

SAME_ACTIVATIONS = frozenset(
    ("elu", "exponential", "gelu", "linear", "relu", "relu6", "selu", "sigmoid", "softmax",
     "softplus", "softsign", "swish", "tanh")
)  # fmt: skip
"""Activations that have the same name in Keras 2 and compute the same there."""

RENAMED_ACTIVATIONS = {"silu": "swish", "hard_swish": "hard_silu"}
MOST_CONSTANTS = 1 << 16
"""Values of an array that an operator takes beside its tensors."""


def keras3_module() -> Any:
    """Keras 3, on TensorFlow.

    Raises:
        InvalidModel: it computes with another framework.
    """
    tensorflow()
    with silent_stderr():
        import keras as keras3
    if keras3.backend.backend() != "tensorflow":
        raise InvalidModel(
            f"Keras 3 computes with {keras3.backend.backend()}, and is read only where it computes "
            "with TensorFlow; set KERAS_BACKEND=tensorflow"
        )
    return keras3


def activation(name: str) -> object:
    """The activation of Keras 3 of a name, as tf_keras takes it.

    Raises:
        KeyError: there is none.
    """
    name = RENAMED_ACTIVATIONS.get(name, name)
    if name not in ACTIVATIONS:
        raise KeyError(name)
    return name if name in SAME_ACTIVATIONS else _register()["Keras3Activation"](name)


def operation(kind: str, module: str, config: Config, arguments: str, name: str) -> KerasLayer:
    """A layer that applies an operator of Keras 3.

    Args:
        kind: its class, such as "Mean".
        module: where Keras 3 has that, such as "keras.src.ops.numpy".
        config: its own arguments.
        arguments: what it is called with, as `packed` writes it.
        name: of the layer.
    """
    plain = {key: value for key, value in config.items() if key != "name"}
    layer: KerasLayer = _register()["Operation"](
        kind=kind, module=module, operation=packed(plain, []), arguments=arguments, name=name
    )
    return layer


def whole_layer(kind: str, config: Config) -> KerasLayer:
    """A layer that computes what a layer of Keras 3 without weights computes."""
    plain = {key: value for key, value in config.items() if key not in ("name", "dtype")}
    layer: KerasLayer = _register()["WholeLayer"](
        kind=kind, arguments=packed(plain, []), name=config["name"]
    )
    return layer


def own_classes() -> dict[str, Any]:
    """The classes by the names that models with such layers are stored with."""
    return _register()


def packed(value: object, tensors: list[Any]) -> str:
    """Arguments of a call as text.

    Args:
        value: nested lists, tuples, dictionaries and slices of plain values, arrays and tensors.
        tensors: the symbolic tensors of Keras 3 in it are appended here.

    Raises:
        ValueError: there is something else in it.
    """
    return json.dumps(_pack(value, tensors))


def _pack(value: Any, tensors: list[Any]) -> object:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if type(value).__name__ == "KerasTensor":
        tensors.append(value)
        return {"tensor": len(tensors) - 1}
    if isinstance(value, slice):
        return {"slice": [_pack(part, tensors) for part in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": None}
    if isinstance(value, tuple):
        return {"tuple": [_pack(part, tensors) for part in value]}
    if isinstance(value, list):
        return [_pack(part, tensors) for part in value]
    if isinstance(value, dict):
        return {"dict": {str(key): _pack(part, tensors) for key, part in value.items()}}
    try:
        constant = np.asarray(value)
    except (TypeError, ValueError, NotImplementedError) as refusal:
        raise ValueError(f"a {type(value).__name__}") from refusal
    if constant.dtype.kind not in "biuf":
        raise ValueError(f"a {type(value).__name__}")
    if constant.size > MOST_CONSTANTS:
        raise ValueError(f"an array of {constant.size:,} values; at most {MOST_CONSTANTS:,}")
    return {"constant": constant.tolist(), "dtype": str(constant.dtype)}


def unpacked(text: str, tensors: Sequence[Any] = ()) -> Any:
    """Arguments of a call from text that `packed` wrote, with tensors in their places."""
    return _unpack(json.loads(text), tensors)


def _unpack(value: Any, tensors: Sequence[Any]) -> Any:
    if isinstance(value, list):
        return [_unpack(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    (kind, inner), *_ = value.items()
    if kind == "tensor":
        return tensors[inner]
    if kind == "slice":
        return slice(*(_unpack(part, tensors) for part in inner))
    if kind == "ellipsis":
        return Ellipsis
    if kind == "tuple":
        return tuple(_unpack(part, tensors) for part in inner)
    if kind == "constant":
        return np.array(inner, value["dtype"])
    return {key: _unpack(part, tensors) for key, part in inner.items()}


@cache
def _register() -> dict[str, Any]:
    k: Any = keras()
    tf = tensorflow()
    base: Any = k.layers.Layer

    @k.utils.register_keras_serializable(PACKAGE)
    class Operation(base):  # type: ignore[misc]
        """An operator of Keras 3 on tensors, with its further arguments as data."""

        def __init__(
            self, kind: str, module: str, operation: str, arguments: str, **options: object
        ) -> None:
            if kind not in OPERATIONS.get(module, ()):
                raise ValueError(f"{module}.{kind} is no operator that autotiny applies")
            super().__init__(**options, autocast=False)
            self.facts = {
                "kind": kind, "module": module, "operation": operation, "arguments": arguments,
            }  # fmt: skip
            keras3_module()
            config = unpacked(operation)
            applied: Any = getattr(importlib.import_module(module), kind)(**config)
            # A function, since tf_keras would track an object with weights.
            self.apply_it: Callable[[Any, Any], Any] = lambda arguments, options: applied.call(
                *arguments, **options
            )

        def call(self, inputs: Any) -> Any:
            positional, named = unpacked(self.facts["arguments"], tf.nest.flatten(inputs))
            return self.apply_it(positional, named)

        def compute_mask(self, inputs: Any, mask: Any = None) -> None:
            """Operators of Keras 3 pass no mask on."""

        def get_config(self) -> Config:
            return {**super().get_config(), **self.facts}

    @k.utils.register_keras_serializable(PACKAGE)
    class WholeLayer(base):  # type: ignore[misc]
        """A layer of Keras 3 without weights; a random one acts in training alone."""

        def __init__(self, kind: str, arguments: str, **options: object) -> None:
            if kind not in LAYERS:
                raise ValueError(f"{kind} is no layer that autotiny applies")
            super().__init__(**options, autocast=False)
            self.facts = {"kind": kind, "arguments": arguments}
            config = unpacked(arguments)
            layer = getattr(keras3_module().layers, kind)(**config)
            self.supports_masking = layer.supports_masking
            takes = layer._call_has_training_arg
            # Most random layers draw in inference too, and then leave the image alone.
            seeded = any("seed_generator" in one.path for one in layer.variables)
            idle = seeded and kind not in ("RandomCrop", "Pipeline")

            def apply_it(inputs: Any, training: bool) -> Any:
                if idle and not training:
                    return tf.cast(inputs, layer.compute_dtype)
                return layer(inputs, training=training) if takes else layer(inputs)

            self.apply_it = apply_it

        def call(self, inputs: Any, training: Any = None) -> Any:
            return self.apply_it(inputs, bool(training))

        def get_config(self) -> Config:
            return {**super().get_config(), **self.facts}

    @k.utils.register_keras_serializable(PACKAGE)
    class Keras3Activation:
        """An activation of Keras 3; an object, since tf_keras stores those with their arguments."""

        def __init__(self, function: str) -> None:
            if function not in ACTIVATIONS:
                raise ValueError(f"{function} is no activation that autotiny applies")
            self.function = function
            self.__name__ = f"keras3_{function}"

        def __call__(self, x: Any) -> Any:
            return _applied(self.function, x)

        def get_config(self) -> Config:
            return {"function": self.function}

        @classmethod
        def from_config(cls, config: Config) -> Any:
            return cls(**config)

    return {"Operation": Operation, "WholeLayer": WholeLayer, "Keras3Activation": Keras3Activation}


def _applied(activation: str, x: Any) -> Any:
    """What an activation of Keras 3 gives."""
    tf = tensorflow()
    # The hard ones as TensorFlow's converter writes them: other forms take more ops.
    if activation == "hard_sigmoid":
        return tf.nn.relu6(x + 3.0) * (1 / 6)
    if activation == "hard_silu":
        return x * tf.nn.relu6(x + 3.0) * (1 / 6)
    return getattr(keras3_module().activations, activation)(x)
