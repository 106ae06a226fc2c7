"""Keras 3 model → tf_keras model, layer by layer, from configuration and weights.

tf_keras cannot read Keras 3 files, and the components that train need tf_keras. Only layers of
Keras itself are taken over.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Sequence
from typing import Any

from autotiny.errors import InvalidModel
from autotiny.model.doors import keras, tensorflow
from autotiny.model.kerastypes import Config, KerasLayer, KerasModel, KerasTensor
from autotiny.model.own_layers import PACKAGE, activation_named
from autotiny.model.twins import check_twins

BASE_ARGUMENTS = ("name", "trainable")
KEPT_BY_WEIGHTS = ("initializer", "regularizer", "constraint")
"""Arguments that only a training from the start would need; weights are copied instead."""

MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
ACTIVATIONS = ("Relu", "Sigmoid", "Tanh")
"""Operators and functions of Keras 3 for which there are layers."""

RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}
"""Arguments that Keras 2 calls by another name."""

UNWRAPPED = ("SpectralNormalization",)
"""Wrappers that do nothing in inference: what training made is in the weights of their layer."""

Port = tuple[str, int, int]
"""A result: of which layer, of which of its calls, at which place there."""


def first_line(error: Exception) -> str:
    """The first line of an error's text, cut where it is long."""
    text = io.StringIO(str(error)).readline().strip()
    return text[:200] or type(error).__name__


def is_keras3(network: object) -> bool:
    """Whether a model object belongs to Keras 3."""
    return any(cls.__module__.startswith("keras.src") for cls in type(network).__mro__)


def convert_keras3(network: Any) -> KerasModel:
    """A tf_keras model that computes what a Keras 3 model computes, with its weights.

    Raises:
        InvalidModel: a layer has no counterpart, or a subclassed model cannot be traced.
    """
    if "layers" not in network.get_config():
        import keras as keras3

        shapes = list((getattr(network, "_build_shapes_dict", None) or {}).values())
        network = traced(network, keras3, shapes[0] if len(shapes) == 1 else None)
    config = network.get_config()
    twin = _build(network, config)
    _copy_weights(network, twin)
    check_twins(network, twin)
    return twin


def traced(network: Any, module: Any, shape: Sequence[int | None] | None) -> KerasModel:
    """The functional model that a subclassed one amounts to when it is called on a symbolic input.

    Args:
        network: the model, of Keras 3 or tf_keras.
        module: the Keras it belongs to.
        shape: of its one input, (batch, …), as it was built or called with.

    Raises:
        InvalidModel: the shape is not known, or its code needs more than its layers and operators.
    """
    what = f"{type(network).__name__} {network.name!r} is a subclassed model"
    if not shape or not all(isinstance(size, int) for size in shape[1:]):
        raise InvalidModel(
            f"{what} whose input shape is unknown; call it once, or build it, before it is returned"
        )
    inputs = module.Input(tuple(shape[1:]))
    try:
        result: KerasModel = module.Model(inputs, network.call(inputs), name=network.name)
    except (TypeError, ValueError, AttributeError, NotImplementedError) as refusal:
        raise InvalidModel(
            f"{what} that cannot be traced ({first_line(refusal)}); "
            "export it with model.export('folder') and give that folder"
        ) from refusal
    return result


def _build(network: KerasModel, config: Config) -> KerasModel:
    """The tf_keras model of a Keras 3 model's configuration, without weights."""
    k = keras()
    if "input_layers" not in config:
        layers = [_layer(network, entry) for entry in config["layers"]]
        twin: KerasModel = k.Sequential(layers, name=config["name"])
        if not twin.built:
            twin.build(network.input_shape)
        return twin
    results: dict[Port, KerasTensor] = {}
    layers_of = {entry["name"]: _layer(network, entry) for entry in config["layers"]}
    pending = [
        (entry, index)
        for entry in config["layers"]
        for index in range(max(1, len(entry["inbound_nodes"])))
    ]
    while pending:
        waiting = []
        for entry, index in pending:
            if not _call(layers_of[entry["name"]], entry, index, results):
                waiting.append((entry, index))
        if len(waiting) == len(pending):
            raise InvalidModel(f"the layers of {config['name']!r} wait for each other")
        pending = waiting

    def collect(ports: Any) -> KerasTensor | list[KerasTensor]:
        # One port is ["name", 0, 0], several are a list of those.
        if isinstance(ports[0], str):
            return results[tuple(ports)]
        return [results[tuple(port)] for port in ports]

    functional: KerasModel = k.Model(
        collect(config["input_layers"]), collect(config["output_layers"]), name=config["name"]
    )
    return functional


def _call(layer: KerasLayer, entry: Config, index: int, results: dict[Port, KerasTensor]) -> bool:
    """Calls a layer once more; False if an input of that call is not there yet."""
    name = entry["name"]
    if not entry["inbound_nodes"]:
        results[name, 0, 0] = layer.output
        return True
    node = entry["inbound_nodes"][index]
    missing = object()

    def fill(value: object) -> object:
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            return results.get(tuple(value["config"]["keras_history"]), missing)
        if isinstance(value, (list, tuple)):
            return [fill(item) for item in value]
        return value

    arguments = [fill(value) for value in node["args"]]
    keywords = {key: fill(value) for key, value in node["kwargs"].items()}
    flat = tensorflow().nest.flatten([arguments, list(keywords.values())])
    if any(value is missing for value in flat):
        return False
    keywords = {key: value for key, value in keywords.items() if value is not None}
    keywords.pop("mask", None)
    # Whether a network trains is said when it is called; what was recorded then counts for nothing.
    keywords.pop("training", None)
    if _is_operator(entry):
        tensors = [one for one in tensorflow().nest.flatten(arguments) if hasattr(one, "shape")]
        keywords, arguments = {}, [tensors if len(tensors) > 1 else tensors[0]]
    outputs = layer(*arguments, **keywords)
    for place, output in enumerate(outputs if isinstance(outputs, (list, tuple)) else [outputs]):
        results[name, index, place] = output
    return True


def _layer(network: Any, entry: Config) -> KerasLayer:
    """The tf_keras layer of one entry of a Keras 3 configuration."""
    k = keras()
    name, config = entry["class_name"], entry["config"]
    if name in ("Functional", "Sequential"):
        return _build(network.get_layer(config["name"]), config)
    if _is_operator(entry):
        return _operator(entry)
    if name in UNWRAPPED:
        inner = config["layer"]
        named = {**inner, "config": {**inner["config"], "name": config["name"]}}
        return _layer(network, {**named, "name": config["name"]})
    cls = getattr(k.layers, name, None)
    if cls is None:
        called = config.get("name") or entry.get("name")
        inner = next((layer for layer in network.layers if layer.name == called), None)
        if hasattr(inner, "layers"):
            return convert_keras3(inner)
        raise InvalidModel(f"layer {called!r} is a {name}, which has no Keras 2 counterpart")
    if name == "InputLayer":
        start: KerasLayer = k.layers.InputLayer(
            input_shape=tuple(config["batch_shape"][1:]),
            dtype=_type_name(config.get("dtype")),
            name=config["name"],
        )
        return start
    known = {*_parameters(cls, "tf_keras"), *BASE_ARGUMENTS, *UNLISTED}
    usual = _parameters(getattr(_keras3().layers, name), "keras.src")
    arguments = {}
    for key, value in config.items():
        if any(word in key for word in KEPT_BY_WEIGHTS) or key == "dtype":
            continue
        key = RENAMED.get((name, key), key)
        if key not in known:
            if value in (None, False) or value == usual.get(key) or (key, value) in HARMLESS:
                continue
            raise InvalidModel(
                f"{name} {config.get('name')!r}: its argument {key} = {value!r} does not exist in "
                "Keras 2, which the components that train need"
            )
        if key.endswith("activation") and isinstance(value, str):
            value = activation_named(k, value, f"{name} {config.get('name')!r}")
        if isinstance(value, dict) and key in ("layer", "backward_layer"):
            value = _layer(network, {**value, "name": value["config"]["name"]})
        elif isinstance(value, dict) and key != "dtype" and "class_name" in value:
            raise InvalidModel(
                f"{name} {config.get('name')!r}: its {key} {value['class_name']!r} has no Keras 2 "
                "counterpart"
            )
        arguments[key] = value
    arguments["dtype"] = _type_name(config.get("dtype"))
    layer: KerasLayer = cls(**arguments)
    return layer


UNLISTED = ("zero_output_for_mask",)
"""What recurrent layers of Keras 2 take without a parameter of that name."""

HARMLESS = (("data_format", "channels_last"),)
"""What Keras 2 has no argument for, since it knows nothing else."""


def _parameters(cls: Any, package: str) -> dict[str, object]:
    """What the constructors of a class and its parents take, with the defaults."""
    return {
        parameter.name: parameter.default
        for parent in reversed(cls.__mro__)
        if parent.__module__.startswith(package)
        for parameter in inspect.signature(parent.__init__).parameters.values()
    }


def _keras3() -> Any:
    import keras as keras3

    return keras3


def _operator(entry: Config) -> KerasLayer:
    """The layer of an operator or function: one of Keras 2 where there is one, else our own."""
    k = keras()
    name, config = entry["class_name"], entry["config"]
    nodes = entry["inbound_nodes"]
    if name in ACTIVATIONS:
        activation: KerasLayer = k.layers.Activation(name.lower(), name=config["name"])
        return activation
    plain = all(_is_tensor(one) for node in nodes for one in node["args"]) and len(nodes) == 1
    if name in MERGES and plain:
        merge: KerasLayer = getattr(k.layers, name)(name=config["name"])
        return merge
    if name == "Concatenate":
        joined: KerasLayer = k.layers.Concatenate(axis=config["axis"], name=config["name"])
        return joined
    if len(nodes) != 1 or nodes[0]["kwargs"]:
        raise InvalidModel(
            f"operator {config['name']!r}, a {name}, is called with named arguments or more than "
            "once; give the network as a SavedModel: model.export('folder')"
        )
    count = iter(range(1 << 20))

    def placed(value: Any) -> Any:
        if _is_tensor(value):
            return {"tensor": next(count)}
        return [placed(one) for one in value] if isinstance(value, (list, tuple)) else value

    layer: KerasLayer = k.utils.get_custom_objects()[f"{PACKAGE}>Operation"](
        operation=f"{str(entry['module']).rsplit('.', 1)[1]}.{name}",
        options={key: value for key, value in config.items() if key not in ("name", "dtype")},
        call_arguments=[placed(value) for value in nodes[0]["args"]],
        name=config["name"],
    )
    return layer


def _is_tensor(value: object) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _is_operator(entry: Config) -> bool:
    """Whether an entry is a function or operator of Keras 3 and no layer, e.g. `x + y`."""
    return str(entry.get("module")).startswith("keras.src.ops")


def _type_name(dtype: object) -> str:
    """The name of a type or policy; mixed precision becomes float32, the type of its weights."""
    if isinstance(dtype, dict):
        dtype = dtype["config"]["name"]
    return "float32" if dtype is None or str(dtype).startswith("mixed") else str(dtype)


def _copy_weights(source: Any, twin: Any) -> None:
    theirs = {layer.name: layer for layer in source.layers}
    for layer in twin.layers:
        if layer.name not in theirs:
            continue
        if hasattr(layer, "layers"):
            _copy_weights(theirs[layer.name], layer)
        elif layer.weights:
            original = theirs[layer.name]
            if type(original).__name__ in UNWRAPPED:
                original = original.layer
            layer.set_weights(original.get_weights())
