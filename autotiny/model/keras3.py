"""Keras 3 model → tf_keras model, layer by layer, from configuration and weights.

tf_keras cannot read Keras 3 files, and the components that train need tf_keras. Only layers of
Keras itself are taken over; code stored inside a file (Lambda layers, custom objects) is never
executed.
"""

from __future__ import annotations

import inspect
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autotiny.errors import InvalidModel
from autotiny.model.doors import keras, silent_stderr, tensorflow
from autotiny.model.kerastypes import Config, KerasLayer, KerasModel, KerasTensor

BASE_ARGUMENTS = ("name", "trainable")
LARGEST_CONFIG_BYTES = 16 << 20
KEPT_BY_WEIGHTS = ("initializer", "regularizer", "constraint")
"""Arguments that only a training from the start would need; weights are copied instead."""

MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
ACTIVATIONS = ("Relu", "Relu6", "Sigmoid", "Tanh", "Softmax")
"""Operators and functions of Keras 3 for which there are layers."""

Port = tuple[str, int, int]
"""A result: of which layer, of which of its calls, at which place there."""


def read_keras3(path: Path) -> KerasModel:
    """A tf_keras model with the layers and weights of a Keras 3 `.keras` file."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > LARGEST_CONFIG_BYTES:
                raise InvalidModel(f"{path}: its config.json is too large to be a model's")
            config = json.loads(archive.read("config.json"))
            metadata = json.loads(archive.read("metadata.json"))
            archive.getinfo("model.weights.h5")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as damage:
        raise InvalidModel(
            f"{path} is not a Keras file ({damage}); model.save('name.keras') writes one"
        ) from damage
    if damaged:
        raise InvalidModel(f"{path}: {damaged} inside it is damaged; save the model again")
    refuse_code(config, str(path))
    if not str(metadata.get("keras_version", "")).startswith("3"):
        return _read_tf_keras(path)
    return convert_keras3(_keras3_model(path))


def read_h5(path: Path) -> KerasModel:
    """A tf_keras model from an HDF5 file that Keras 2 or Keras 3 wrote."""
    keras()
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(path, "r") as file:
            written = file.attrs.get("model_config")
            version = str(file.attrs.get("keras_version", ""))
    except OSError as damage:
        raise InvalidModel(
            f"{path} is not an HDF5 file, or is truncated; model.save('name.h5') writes one"
        ) from damage
    if written is None:
        raise InvalidModel(
            f"{path} holds weights but no architecture; use model.save, not model.save_weights"
        )
    try:
        refuse_code(json.loads(written), str(path))
    except ValueError as damage:
        raise InvalidModel(
            f"{path}: its configuration is damaged; save the model again"
        ) from damage
    if version.startswith("3"):
        return convert_keras3(_keras3_model(path))
    return _read_tf_keras(path)


def refuse_code(config: object, where: str) -> None:
    """Refuses a configuration that names code: Lambda layers, or classes not of Keras itself."""
    if isinstance(config, list):
        for item in config:
            refuse_code(item, where)
    if not isinstance(config, dict):
        return
    name, module = config.get("class_name"), config.get("module")
    own = module is None or str(module).split(".")[0] in ("keras", "tf_keras", "builtins")
    inside = isinstance(config.get("config"), dict)
    # TFMOT's wrappers carry a registered name of their own and no code.
    known = str(config.get("registered_name") or "").startswith("TensorFlowModelOptimization")
    if (name in ("Lambda", "__lambda__", "function") and inside) or not (own or known):
        raise InvalidModel(
            f"{where} holds the custom object {name!r}, which autotiny does not execute from a "
            "file; "
            "give the function that builds the network as package.module:function"
        )
    for item in config.values():
        refuse_code(item, where)


def _keras3_model(path: Path) -> Any:
    tensorflow()
    with silent_stderr():
        import keras as keras3
    try:
        return keras3.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, AttributeError) as damage:
        raise InvalidModel(
            f"{path} does not load as a Keras 3 model: {_first_line(damage)}"
        ) from damage


def _read_tf_keras(path: Path) -> KerasModel:
    tensorflow()
    import tensorflow_model_optimization as tfmot

    k = keras()
    try:
        with (
            tfmot.quantization.keras.quantize_scope(),
            tfmot.sparsity.keras.prune_scope(),
            tfmot.clustering.keras.cluster_scope(),
        ):
            network: KerasModel = k.models.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, OSError, AttributeError) as damage:
        raise InvalidModel(
            f"{path} does not load as a Keras model: {_first_line(damage)}"
        ) from damage
    return network


def _first_line(error: Exception) -> str:
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
            f"{what} that cannot be traced ({_first_line(refusal)}); "
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
    if _is_operator(entry) and len(arguments) > 1:
        if any(isinstance(value, (int, float)) for value in arguments):
            raise InvalidModel(
                f"operator {name!r} takes a number, which no Keras 2 layer of that kind does; "
                "use a Rescaling layer"
            )
        arguments = [arguments]
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
    if _is_operator(entry) and name in ACTIVATIONS:
        activation: KerasLayer = k.layers.Activation(name.lower(), name=config["name"])
        return activation
    cls = getattr(k.layers, name, None)
    if cls is None or (_is_operator(entry) and name not in MERGES):
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
    known = {
        parameter
        for parent in cls.__mro__
        if parent.__module__.startswith("tf_keras")
        for parameter in inspect.signature(parent.__init__).parameters
    }
    arguments = {}
    for key, value in config.items():
        if any(word in key for word in KEPT_BY_WEIGHTS) or key not in {*known, *BASE_ARGUMENTS}:
            continue
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
            layer.set_weights(theirs[layer.name].get_weights())
