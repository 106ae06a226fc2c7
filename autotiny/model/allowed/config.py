"""The configuration of a model in a file, checked before any framework reads it.

What comes out is a new configuration that holds only what was understood: layers, functions and
arguments of the lists in `names`, plain values, and references between layers. Frameworks find
classes by module, by registered name and by class name; here all three must mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from autotiny.errors import shown
from autotiny.model.allowed import names
from autotiny.model.allowed.values import (
    WAY_OUT,
    Json,
    Place,
    bounded,
    data,
    described,
    dtype,
    head_of,
    read_json,
    refuse_lambda,
    table,
    text,
)

MOST_LAYERS = 2000
"""Layers in one configuration, each as often as it is called."""

_ENTRY = frozenset(
    ("class_name", "config", "module", "registered_name", "name", "inbound_nodes",
     "build_config", "compile_config", "shared_object_id")
)  # fmt: skip
_HOLDERS = ("layers", "layer", "backward_layer", "forward_layer", "cell", "cells")
_QUANTIZED = frozenset(
    ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings",
     "activation", "recurrent_activation")
)  # fmt: skip
_FUNCTIONAL = "tf_keras.src.engine.functional"


def checked_config(written: object, where: str, keras3: bool) -> dict[str, Json]:
    """The configuration of a model, as far as it is on the lists; anything else is refused by name.

    Args:
        written: the text that the file holds.
        where: the file, for messages.
        keras3: whether Keras 3 is to build it, or Keras 2.

    Raises:
        InvalidModel: it holds code, a class or function that is not listed, or no model.
    """
    config = read_json(written, where)
    place = Place(where, keras3)
    kind = config.get("class_name") if isinstance(config, dict) else config
    if not isinstance(config, dict) or not isinstance(kind, str) or kind not in names.MODELS:
        if kind == "Lambda":
            refuse_lambda(place)
        place.refuse(
            f"is a {shown(kind)}, neither a Sequential nor a Functional model of Keras; {WAY_OUT}"
        )
    layers = _count_layers(config)
    if layers > MOST_LAYERS:
        place.refuse(f"has {layers:,} layers; at most {MOST_LAYERS:,} are built")
    return _layer(config, place)


def _count_layers(config: Json) -> int:
    """How many layers a configuration has, each as often as it is called."""
    if isinstance(config, list):
        return sum(map(_count_layers, config))
    if not isinstance(config, dict):
        return 0
    calls = config.get("inbound_nodes")
    once = 1 if "class_name" in config and isinstance(config.get("config"), dict) else 0
    here = max(once, len(calls) if isinstance(calls, list) else 0)
    return here + sum(_count_layers(config.get(key)) for key in ("config", *_HOLDERS))


def _layer(entry: Json, place: Place) -> dict[str, Json]:
    """A layer or model, and all that it holds."""
    called = None
    if isinstance(entry, dict):
        inner = entry.get("config")
        called = entry.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
    place = place.inside(called)
    name, config = described(entry, place, "a layer")
    for key, value in entry.items():
        if key not in _ENTRY and isinstance(value, (dict, list)):
            place.refuse(f"has the unknown entry {key!r:.80}; save the model again")

    module = entry.get("module")
    tensors = False
    if name in ("TFOpLambda", "SlicingOpLambda") and not place.keras3:
        head = head_of(entry, place, name, "keras.layers")
        if head.get("module"):
            head |= {"module": "tf_keras.src.layers.core.tf_op_layer", "registered_name": name}
        function = config.get("function")
        plain = function.removeprefix("compat.v1.") if isinstance(function, str) else None
        if plain not in names.FUNCTIONS:
            place.refuse(
                f"calls the function {shown(function)}, which autotiny does not execute from a "
                f"file; {WAY_OUT}"
            )
        arguments = {key: data(value, place, key) for key, value in config.items()}
        tensors = True
    elif place.keras3 and isinstance(module, str) and module.startswith("keras.src.ops"):
        if name not in names.OPERATIONS.get(module, ()):
            place.refuse(
                f"is the operation {name!r:.80} of {shown(module)}, which is not among those that "
                f"autotiny reads from a file; {WAY_OUT}"
            )
        head = head_of(entry, place, name, module)
        arguments = {key: _argument(value, place, key) for key, value in config.items()}
        tensors = True
    elif name in names.MODELS:
        functional = "keras.src.models.functional" if place.keras3 else _FUNCTIONAL
        head = head_of(entry, place, name, functional if name == "Functional" else "keras")
        arguments = _model(config, place)
    elif name in names.LAYERS:
        head = head_of(entry, place, name, "keras.layers")
        arguments = {key: _argument(value, place, key) for key, value in config.items()}
    elif name in names.OPTIMIZED:
        head = head_of(entry, place, name, "")
        arguments = {key: _argument(value, place, key) for key, value in config.items()}
    elif place.keras3 and module is None and "inbound_nodes" in entry and _operation(name):
        # HDF5 files of Keras 3 leave the module of an operation out.
        head = head_of(entry, place, name, "keras.ops")
        arguments = {key: _argument(value, place, key) for key, value in config.items()}
        tensors = True
    else:
        of = f" of module {shown(module)}" if module is not None else ""
        place.refuse(
            f"is a {name!r:.80}{of}, which is not among the layers that autotiny reads from a "
            f"file, since it does not execute code from one; {WAY_OUT}"
        )
    clean = head | {"config": arguments}
    if "name" in entry:
        clean["name"] = text(entry["name"], place, "name")
    if "inbound_nodes" in entry:
        clean["inbound_nodes"] = _nodes(entry["inbound_nodes"], place, tensors)
    if entry.get("build_config") is not None:
        clean["build_config"] = table(entry["build_config"], place, "build_config", _shapes)
    return clean


def _operation(name: str) -> bool:
    return any(name in listed for listed in names.OPERATIONS.values())


def _model(config: dict[str, Json], place: Place) -> dict[str, Json]:
    """The arguments of a sequential or functional model."""
    layers = config.get("layers")
    if not isinstance(layers, list) or not layers:
        place.refuse("has no list of layers; save the model again")
    clean = {"layers": [_layer(entry, place) for entry in layers]}
    for key, value in config.items():
        if key != "layers":
            clean[key] = _argument(value, place, key)
    return {key: clean[key] for key in config}


_KINDS: tuple[tuple[re.Pattern[str], str, Collection[str], str], ...] = (
    (re.compile(r".*initializer"), "initializer", names.INITIALIZERS, "keras.initializers"),
    (re.compile(r".*regularizer"), "regularizer", names.REGULARIZERS, "keras.regularizers"),
    (re.compile(r".*constraint"), "constraint", names.CONSTRAINTS, "keras.constraints"),
    (re.compile(r".*activation"), "activation", names.ACTIVATIONS, "keras.activations"),
)


def _argument(value: Json, place: Place, key: str) -> Json:
    """One argument of a layer: an object of the kind that its name says, or plain data."""
    place = place.inside()
    for pattern, what, listed, package in _KINDS:
        if pattern.fullmatch(key):
            return _named(value, place, what, listed, package)
    if value is None:
        return None
    if key == "dtype":
        return dtype(value, place)
    if key == "name":
        return text(value, place, key)
    if key == "unroll":
        # It changes how the layer is computed and not what; a small file could unroll without end.
        return False
    if key in ("layer", "backward_layer", "forward_layer") or (key == "cell" and _described(value)):
        return _layer(value, place)
    if key in ("cells", "layers", "cell") and isinstance(value, list):
        return [_layer(entry, place) for entry in value]
    quantized = key in ("weight_attrs", "activation_attrs")
    if quantized and not (isinstance(value, list) and set(_texts(value)) <= _QUANTIZED):
        place.refuse(f"quantizes {shown(value)}; known are {', '.join(sorted(_QUANTIZED))}")
    if key in ("pruning_schedule", "quantizer", "quantize_config"):
        return _part(value, place, key)
    if key == "rnn_config" or (key == "quantization_config" and value):
        place.refuse(f"has the argument {key!r}, which autotiny does not read from a file")
    return data(value, place, key)


def _texts(values: list[Json]) -> list[str]:
    return [one if isinstance(one, str) else "" for one in values]


def _described(value: Json) -> bool:
    return isinstance(value, dict) and "class_name" in value


def _named(value: Json, place: Place, what: str, listed: Collection[str], package: str) -> Json:
    """An initializer, regularizer, constraint or activation, by name or as an object."""
    if value is None:
        return None
    if isinstance(value, str):
        if value not in listed:
            place.refuse(
                f"has the {what} {shown(value)}, which is not among those that autotiny reads from "
                f"a file; {WAY_OUT}"
            )
        return value
    if isinstance(value, dict) and value.get("class_name") == "function":
        return _named(value.get("config"), place, what, listed, package)
    name, config = described(value, place, f"an {what}" if what[0] in "ai" else f"a {what}")
    if what == "activation" and name in names.OPTIMIZERS_PARTS:
        return _part(value, place, what)
    if what == "activation" and name in names.ACTIVATION_LAYERS:
        return _layer(value, place)
    if name not in listed:
        place.refuse(
            f"has the {what} {name!r:.80}, which is not among those that autotiny reads from a "
            f"file; {WAY_OUT}"
        )
    head = head_of(value, place, name, package)
    return head | {"config": {key: data(one, place, key) for key, one in config.items()}}


def _part(value: Json, place: Place, what: str) -> Json:
    """A schedule, quantizer or quantized activation of the optimization toolkit."""
    if isinstance(value, str):
        return _named(value, place, what, names.ACTIVATIONS, "")
    place = place.inside()
    name, config = described(value, place, f"a {what}")
    if name not in names.OPTIMIZERS_PARTS:
        place.refuse(
            f"has the {what} {name!r:.80}, which is not among those that autotiny reads from a "
            f"file; {WAY_OUT}"
        )
    head = head_of(value, place, name, "")
    return head | {"config": {key: _argument(one, place, key) for key, one in config.items()}}


def _nodes(nodes: Json, place: Place, tensors: bool) -> Json:
    """The calls of a layer: which tensors it takes, with plain values beside them."""
    if not isinstance(nodes, list):
        place.refuse("has inbound_nodes that are no list; save the model again")
    clean = [_values(node, place, "inbound_nodes") for node in nodes]
    if tensors and any(not _refers(node) for node in clean):
        place.refuse("is called without a tensor; save the model again")
    return clean


def _refers(node: Json) -> bool:
    """Whether a call takes at least one tensor of another layer."""
    if isinstance(node, dict):
        keras3 = node.get("class_name") == "__keras_tensor__"
        return keras3 or any(_refers(one) for one in node.values())
    if not isinstance(node, list):
        return False
    port = len(node) >= 3 and isinstance(node[0], str) and node[0] != "_CONSTANT_VALUE"
    return (port and isinstance(node[1], int)) or any(_refers(one) for one in node)


def _shapes(value: Json, place: Place, key: str) -> Json:
    if isinstance(value, dict):
        return table(value, place, key, _shapes)
    return data(value, place, "shape")


def _values(value: Json, place: Place, key: str) -> Json:
    """Plain values, and tables of such by name, as in the arguments of a call."""
    if isinstance(value, dict) and "class_name" not in value:
        return table(value, place, key, _values)
    if isinstance(value, list):
        place = place.inside()
        return [_values(one, place, "") for one in bounded(value, place)]
    return data(value, place, key)
