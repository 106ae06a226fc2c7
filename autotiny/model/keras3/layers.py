"""One layer of Keras 3 → the layers of tf_keras that compute the same, without weights."""

from __future__ import annotations

import inspect
from typing import Any

from autotiny.doors import keras
from autotiny.errors import InvalidModel
from autotiny.model.allowed.names import CONSTRAINTS, LAYERS, OPERATIONS, REGULARIZERS
from autotiny.model.keras3.own import (
    activation,
    keras3_module,
    operation,
    packed,
    whole_layer,
)
from autotiny.model.kerastypes import Config, KerasLayer

RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
"""Arguments that have another name in tf_keras."""

WITHOUT_EFFECT = ("seed", "use_cudnn", "flash_attention", "lora_alpha", "autocast")
"""Arguments that tf_keras may lack: they decide what is drawn, or by which code it is computed."""

ALWAYS_KNOWN = ("name", "trainable", "activity_regularizer", "zero_output_for_mask")
"""Arguments that layers of tf_keras take without naming them."""

NEUTRAL = {"rms_scaling": False, "data_format": "channels_last"}
"""Values with which an argument that tf_keras lacks says what tf_keras does anyway."""

DROPPED = ("initializer",)
"""Only a training from the start would need them; weights are copied instead."""

WHOLE = ("Resizing", "CenterCrop", "CategoryEncoding", "Discretization")
"""Layers that differ between the two in more than names, taken over whole as the `Random…` are."""

MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
MAPS = {
    "Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Tanh": "tanh", "Silu": "silu",
    "HardSigmoid": "hard_sigmoid", "HardSilu": "hard_silu", "Softplus": "softplus",
    "Softsign": "softsign", "Selu": "selu", "LogSigmoid": "log_sigmoid",
}  # fmt: skip
"""Functions of Keras 3 without arguments that are activations."""


def twins_of(layer: Any) -> list[KerasLayer]:
    """The tf_keras layers that compute what a Keras 3 layer does, one feeding the next.

    Raises:
        InvalidModel: there are none, by name.
    """
    kind, config = type(layer).__name__, _config_of(layer)
    keras3 = keras3_module()
    if kind not in LAYERS or getattr(keras3.layers, kind, None) is not type(layer):
        raise refusal(layer, "which has no Keras 2 counterpart")
    if "int8" in _type_name(layer) or "float8" in _type_name(layer):
        raise refusal(layer, f"quantized as {_type_name(layer)}; give the model before quantizing")
    if kind == "SpectralNormalization":
        # Between two steps of training the inner layer has the weights it computes with.
        return twins_of(layer.layer)
    if kind == "Normalization":
        return [_normalization(layer, config)]
    k = keras()
    cls = getattr(k.layers, kind, None)
    if cls is None or kind in WHOLE or kind.startswith("Random"):
        if layer.weights:
            raise refusal(layer, "which has no Keras 2 counterpart")
        if _seeded(layer) and config.get("seed") is None:
            # What is drawn must not depend on the process.
            config["seed"] = 1
        return [_whole(layer, kind, config)]
    arguments = _arguments(layer, cls, config)
    if arguments is None:
        return [_whole(layer, kind, config)]
    after: list[KerasLayer] = []
    if isinstance(getattr(layer, "activation", None), keras3.layers.Layer):
        # An activation with arguments is a layer of Keras 3: it becomes one of its own here.
        after = twins_of(layer.activation)
        after[0]._name = f"{layer.name}_{after[0].name}"
        arguments["activation"] = None
    try:
        return [cls(**arguments), *after]
    except (TypeError, ValueError, KeyError) as error:
        raise refusal(layer, f"which Keras 2 cannot build ({str(error).strip()[:150]})") from error


def operator_twin(operator: Any, arguments: Any, options: Any) -> tuple[list[Any], KerasLayer]:
    """An operator of Keras 3 in a functional model as a layer, with the tensors that this reads.

    Args:
        operator: such as `keras.src.ops.numpy.Mean`.
        arguments: of its call, with symbolic tensors in them.
        options: named ones.

    Raises:
        InvalidModel: it is not on the list, or called with something that is no data.
    """
    kind, module = type(operator).__name__, type(operator).__module__
    if kind not in OPERATIONS.get(module, ()):
        raise refusal(operator, "which has no Keras 2 counterpart")
    tensors: list[Any] = []
    try:
        text = packed([list(arguments), dict(options)], tensors)
        config = operator.get_config()
        plain = _plain_operator(operator, config, arguments, options)
        if plain is not None:
            return tensors, plain
        return tensors, operation(kind, module, config, text, operator.name)
    except (ValueError, NotImplementedError) as error:
        raise refusal(operator, f"called with what autotiny cannot store: {error}") from error


def refusal(layer: Any, why: str) -> InvalidModel:
    """The refusal of a layer, by its name and class."""
    return InvalidModel(f"layer {layer.name!r} is a {type(layer).__name__}, {why}")


def _plain_operator(
    operator: Any, config: Config, arguments: Any, options: Any
) -> KerasLayer | None:
    """The layer of tf_keras that is an operator, which components know better than ours."""
    layers, kind = keras().layers, type(operator).__name__
    found: KerasLayer | None = None
    if options:
        return None
    if kind in MERGES and len(arguments) == 2:
        ranks = {len(getattr(one, "shape", ())) for one in arguments}
        types = [str(getattr(one, "dtype", None)) for one in arguments]
        if len(ranks) == 1 and types == ["float32"] * 2:
            found = getattr(layers, kind)(name=operator.name)
    elif kind in MAPS and len(arguments) == 1:
        found = layers.Activation(activation(MAPS[kind]), name=operator.name)
    elif kind == "Softmax" and config.get("axis") == -1 and len(arguments[0].shape) > 1:
        found = layers.Activation("softmax", name=operator.name)
    elif kind == "LeakyRelu":
        found = layers.LeakyReLU(alpha=config["negative_slope"], name=operator.name)
    return found


def _config_of(layer: Any) -> Config:
    try:
        return dict(layer.get_config())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise refusal(layer, "which does not say what it is made of") from error


def _seeded(layer: Any) -> bool:
    return any("seed_generator" in variable.path for variable in layer.variables)


def _whole(layer: Any, kind: str, config: Config) -> KerasLayer:
    try:
        return whole_layer(kind, config)
    except (TypeError, ValueError, KeyError) as error:
        raise refusal(layer, "which cannot be taken over from its configuration") from error


def _normalization(layer: Any, config: Config) -> KerasLayer:
    """Normalization with its figures as arguments: as weights a copied layer would not use them."""
    figures: Config = {}
    if not config["invert"] or layer.built:
        figures = {"mean": layer.mean, "variance": layer.variance}
    values = {key: keras3_module().ops.convert_to_numpy(one) for key, one in figures.items()}
    axes = tuple(config["axis"] or ())
    if len(axes) > 1:
        raise refusal(layer, f"over axes {axes}; only one is taken over")
    twin: KerasLayer = keras().layers.Normalization(
        axis=axes[0] if axes else None, invert=config["invert"], name=config["name"],
        **{key: one.ravel().tolist() if axes else float(one) for key, one in values.items()},
    )  # fmt: skip
    return twin


def _arguments(layer: Any, cls: Any, config: Config) -> Config | None:
    """What to build a layer of tf_keras with; None if that lacks one and the layer has no weights.

    Raises:
        InvalidModel: there is an argument that tf_keras has not, and that has an effect.
    """
    kind = type(layer).__name__
    known = {
        parameter
        for parent in cls.__mro__
        if parent.__module__.startswith("tf_keras")
        for parameter in inspect.signature(parent.__init__).parameters
    } | set(ALWAYS_KNOWN)
    usual = {
        name: parameter.default
        for parent in reversed(type(layer).__mro__)
        for name, parameter in inspect.signature(parent).parameters.items()
    }
    found: Config = {}
    for key, value in config.items():
        mine = RENAMED.get(kind, {}).get(key, key)
        if any(word in key for word in DROPPED) or key == "dtype":
            continue
        if mine in known:
            found[mine] = _argument(layer, key, value)
        elif not (
            key in WITHOUT_EFFECT
            or value is None
            or (key in NEUTRAL and value == NEUTRAL[key])
            or (key in usual and value == usual[key])
        ):
            if not layer.weights:
                return None
            raise refusal(layer, f"whose {key}={value!r} Keras 2 does not know")
    found["dtype"] = _type_name(layer)
    return found


def _argument(layer: Any, key: str, value: Any) -> object:
    """The value of one argument for tf_keras."""
    k = keras()
    if value is None:
        return None
    if key in ("layer", "forward_layer", "backward_layer", "cell", "cells"):
        return _inner(layer, key)
    if key.endswith("activation"):
        called = value.get("config") if isinstance(value, dict) else value
        if isinstance(getattr(layer, key, None), keras3_module().layers.Layer):
            return None
        try:
            return activation(str(called))
        except KeyError:
            raise refusal(
                layer, f"whose {key} {called if isinstance(called, str) else value!r:.80} is not "
                "one of Keras; use one that is, by name"
            ) from None  # fmt: skip
    for kind, listed, module in (
        ("regularizer", REGULARIZERS, k.regularizers),
        ("constraint", CONSTRAINTS, k.constraints),
    ):
        if key.endswith(kind):
            if not isinstance(value, dict) or value.get("class_name") not in listed:
                raise refusal(layer, f"whose {key} is not one of Keras")
            return module.deserialize(
                {"class_name": value["class_name"], "config": value["config"]}
            )
    if isinstance(value, dict) and "class_name" in value:
        raise refusal(layer, f"whose {key} {value['class_name']!r} has no Keras 2 counterpart")
    return value


def _inner(layer: Any, key: str) -> object:
    """The twin of a layer that another one wraps."""
    if key == "cells":
        return [_single(cell, layer) for cell in layer.cells]
    if key == "backward_layer":
        ahead, back = _config_of(layer.forward_layer), _config_of(layer.backward_layer)
        for config in (ahead, back):
            config.pop("name")
        if back == {**ahead, "go_backwards": not ahead["go_backwards"]}:
            return None
        return _single(layer.backward_layer, layer)
    inner = _single(layer.forward_layer if hasattr(layer, "forward_layer") else
                    layer.cell if key == "cell" else layer.layer, layer)  # fmt: skip
    if hasattr(layer, "forward_layer"):
        inner._name = inner.name.removeprefix("forward_")
    return inner


def _single(inner: Any, layer: Any) -> KerasLayer:
    if hasattr(inner, "layers"):
        raise refusal(layer, "around a model, which is not taken over; wrap its layers one by one")
    found = twins_of(inner)
    if len(found) > 1:
        raise refusal(
            layer, f"around {inner.name!r}, whose activation is a layer; make that one of its own"
        )
    return found[0]


def _type_name(layer: Any) -> str:
    """The type of a layer; mixed precision becomes float32, the type of its weights."""
    name = str(layer.dtype_policy.name)
    return "float32" if name.startswith("mixed") else name
