"""The configuration of a model in a file, checked before any framework reads it.

What comes out is a new configuration that holds only what was understood: layers, functions and
arguments of the lists in `names`, plain values, and references between layers. Frameworks find
classes by module, by registered name and by class name; here all three must mean the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from autotiny.errors import InvalidModel, shown
from autotiny.model.allowed import names
from autotiny.model.allowed.sizes import LARGEST_TENSOR

Json = Any
"""A value as JSON has it."""

LARGEST_CONFIG = 4 << 20
DEEPEST = 64
"""Levels of lists and tables; a model in a model in a model has about twelve."""
LONGEST_TEXT = 1000
MOST_VALUES = 1 << 20
MOST_LAYERS = 2000
"""Layers in one configuration, each as often as it is called."""

_HOME = r"(tf_)?keras(\.src)?"
_MODULES = {
    "": re.compile(r"tensorflow_model_optimization(\.[a-z_0-9]+){1,9}"),
    "keras": re.compile(rf"{_HOME}(\.(models|engine|dtype_policies)(\.[a-z_0-9]+)*)?"),
}
"""Modules that may be named for a class, by the one that it is public in: see `_head`."""
_ENTRY = frozenset(
    ("class_name", "config", "module", "registered_name", "name", "inbound_nodes",
     "build_config", "compile_config", "shared_object_id")
)  # fmt: skip
_COUNTS = frozenset(
    ("units", "filters", "input_dim", "output_dim", "num_heads", "key_dim", "value_dim", "head_dim",
     "num_query_heads", "num_key_value_heads", "depth_multiplier", "n", "height", "width", "groups",
     "num_tokens", "num_clusters", "number_of_clusters", "num_bits", "maxlen", "input_length",
     "sampling_rate", "sequence_stride", "num_classes")
)  # fmt: skip
_HOLDERS = ("layers", "layer", "backward_layer", "forward_layer", "cell", "cells")
_QUANTIZED = frozenset(
    ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings",
     "activation", "recurrent_activation")
)  # fmt: skip
_LIMITS = {
    "fft_length": 1 << 16, "sequence_length": 1 << 16, "num_mel_bins": 1 << 10, "num_bins": 1 << 16,
    "rank": 16, "power_iterations": 1000,
}  # fmt: skip
_SIZES = re.compile(
    r".*shape.*|.*size|strides|padding|output_padding|cropping|dilation_rate|rank|repeats?|multiples"
)
_FUNCTIONAL = "tf_keras.src.engine.functional"
_WAY_OUT = "give the function that builds the network as package.module:function"


@dataclass(frozen=True)
class _Place:
    """Where in a configuration the check stands, for messages and limits."""

    where: str
    keras3: bool
    layer: str = "the model"
    depth: int = 0

    def refuse(self, why: str) -> NoReturn:
        raise InvalidModel(f"{self.where}: {self.layer} {why}")

    def inside(self, layer: object = None) -> _Place:
        if self.depth > DEEPEST:
            self.refuse(f"is nested in more than {DEEPEST} levels; save the model again")
        called = self.layer if layer is None else f"layer {shown(layer)}"
        return replace(self, layer=called, depth=self.depth + 1)


def read_json(written: object, where: str) -> Json:
    """What a text in a model file says, each key of a table once, all numbers finite or infinite.

    Raises:
        InvalidModel: it is no JSON, too long, too deep, or ambiguous.
    """
    if isinstance(written, bytes):
        written = written.decode("utf-8", "replace")
    if not isinstance(written, str):
        kind = type(written).__name__
        raise InvalidModel(f"{where}: its configuration is {kind}, not text; save the model again")
    if len(written) > LARGEST_CONFIG:
        raise InvalidModel(f"{where}: its configuration is too large to be a model's")

    def table(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = next(key for key, _ in pairs if sum(key == one for one, _ in pairs) > 1)
            raise ValueError(f"key {twice!r:.50} stands twice in one table")
        return found

    def constant(name: str) -> float:
        if name == "NaN":
            raise ValueError("it holds NaN")
        return float(name)

    try:
        return json.loads(written, object_pairs_hook=table, parse_constant=constant)
    except (ValueError, RecursionError) as damage:
        why = "it is nested too deeply" if isinstance(damage, RecursionError) else damage
        raise InvalidModel(
            f"{where}: its configuration is damaged ({why}); save the model again"
        ) from damage


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
    place = _Place(where, keras3)
    kind = config.get("class_name") if isinstance(config, dict) else config
    if not isinstance(config, dict) or not isinstance(kind, str) or kind not in names.MODELS:
        if kind == "Lambda":
            _lambda(place)
        place.refuse(
            f"is a {shown(kind)}, neither a Sequential nor a Functional model of Keras; {_WAY_OUT}"
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


def _lambda(place: _Place) -> NoReturn:
    place.refuse(
        "is a Lambda, which holds code; autotiny does not execute code from a file; " + _WAY_OUT
    )


def _object(entry: Json, place: _Place, what: str) -> tuple[str, dict[str, Json]]:
    """The class and the arguments of a table that describes an object."""
    if not isinstance(entry, dict):
        place.refuse(f"has {shown(entry)} in the place of {what}; save the model again")
    name, config = entry.get("class_name"), entry.get("config")
    if not isinstance(name, str):
        place.refuse(f"has {what} without a class_name; save the model again")
    if name in ("Lambda", "__lambda__", "function") and not isinstance(config, (str, type(None))):
        _lambda(place)
    if not isinstance(config, dict):
        place.refuse(f"has {what} {name!r:.80} without a config; save the model again")
    return name, config


def _head(entry: dict[str, Json], place: _Place, name: str, package: str) -> dict[str, Json]:
    """The names of an object: as many as are given, all of which mean the same class.

    Args:
        entry: the object.
        place: where it stands.
        name: its class.
        package: the module that the class is found in; "" for the optimization toolkit, whose
            classes are found by their names.
    """
    head: dict[str, Json] = {"class_name": name}
    module, registered = entry.get("module"), entry.get("registered_name")
    kind = "keras" if ".src." in package or package == "keras" else package
    near = rf"{_HOME}\.({kind.removeprefix('keras.')}|engine)(\.[a-z_0-9]+)*"
    pattern = _MODULES.get(kind) or re.compile(near)
    known = module in (None, package) or (isinstance(module, str) and pattern.fullmatch(module))
    if not known:
        place.refuse(
            f"is a {name} of module {shown(module)}, which autotiny does not execute from a "
            f"file; {_WAY_OUT}"
        )
    if registered not in (None, name, f"TensorFlowModelOptimization>{name}", f"keras>{name}"):
        place.refuse(
            f"is a {name} that is registered as {shown(registered)}, a custom object which "
            f"autotiny does not execute from a file; {_WAY_OUT}"
        )
    if "module" in entry:
        head["module"] = None if module is None else package or module
    if "registered_name" in entry:
        public = package.startswith("keras") and not package.startswith("keras.src")
        head["registered_name"] = None if public else name
    if isinstance(entry.get("shared_object_id"), int):
        head["shared_object_id"] = data(entry["shared_object_id"], place)
    return head


def _layer(entry: Json, place: _Place) -> dict[str, Json]:
    """A layer or model, and all that it holds."""
    called = None
    if isinstance(entry, dict):
        inner = entry.get("config")
        called = entry.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
    place = place.inside(called)
    name, config = _object(entry, place, "a layer")
    for key, value in entry.items():
        if key not in _ENTRY and isinstance(value, (dict, list)):
            place.refuse(f"has the unknown entry {key!r:.80}; save the model again")

    module = entry.get("module")
    tensors = False
    if name in ("TFOpLambda", "SlicingOpLambda") and not place.keras3:
        head = _head(entry, place, name, "keras.layers")
        if head.get("module"):
            head |= {"module": "tf_keras.src.layers.core.tf_op_layer", "registered_name": name}
        function = config.get("function")
        plain = function.removeprefix("compat.v1.") if isinstance(function, str) else None
        if plain not in names.FUNCTIONS:
            place.refuse(
                f"calls the function {shown(function)}, which autotiny does not execute from a "
                f"file; {_WAY_OUT}"
            )
        arguments = {key: data(value, place, key) for key, value in config.items()}
        tensors = True
    elif place.keras3 and isinstance(module, str) and module.startswith("keras.src.ops"):
        if name not in names.OPERATIONS.get(module, ()):
            place.refuse(
                f"is the operation {name!r:.80} of {shown(module)}, which is not among those that "
                f"autotiny reads from a file; {_WAY_OUT}"
            )
        head = _head(entry, place, name, module)
        arguments = {key: _argument(value, place, key) for key, value in config.items()}
        tensors = True
    elif name in names.MODELS:
        functional = "keras.src.models.functional" if place.keras3 else _FUNCTIONAL
        head = _head(entry, place, name, functional if name == "Functional" else "keras")
        arguments = _model(config, place)
    elif name in names.LAYERS:
        head = _head(entry, place, name, "keras.layers")
        arguments = {key: _argument(value, place, key) for key, value in config.items()}
    elif name in names.OPTIMIZED:
        head = _head(entry, place, name, "")
        arguments = {key: _argument(value, place, key) for key, value in config.items()}
    elif place.keras3 and module is None and "inbound_nodes" in entry and _operation(name):
        # HDF5 files of Keras 3 leave the module of an operation out.
        head = _head(entry, place, name, "keras.ops")
        arguments = {key: _argument(value, place, key) for key, value in config.items()}
        tensors = True
    else:
        of = f" of module {shown(module)}" if module is not None else ""
        place.refuse(
            f"is a {name!r:.80}{of}, which is not among the layers that autotiny reads from a "
            f"file, since it does not execute code from one; {_WAY_OUT}"
        )
    clean = head | {"config": arguments}
    if "name" in entry:
        clean["name"] = _text(entry["name"], place, "name")
    if "inbound_nodes" in entry:
        clean["inbound_nodes"] = _nodes(entry["inbound_nodes"], place, tensors)
    if entry.get("build_config") is not None:
        clean["build_config"] = _table(entry["build_config"], place, "build_config", _shapes)
    return clean


def _operation(name: str) -> bool:
    return any(name in listed for listed in names.OPERATIONS.values())


def _model(config: dict[str, Json], place: _Place) -> dict[str, Json]:
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


def _argument(value: Json, place: _Place, key: str) -> Json:
    """One argument of a layer: an object of the kind that its name says, or plain data."""
    place = place.inside()
    for pattern, what, listed, package in _KINDS:
        if pattern.fullmatch(key):
            return _named(value, place, what, listed, package)
    if value is None:
        return None
    if key == "dtype":
        return _dtype(value, place)
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


def _named(value: Json, place: _Place, what: str, listed: Collection[str], package: str) -> Json:
    """An initializer, regularizer, constraint or activation, by name or as an object."""
    if value is None:
        return None
    if isinstance(value, str):
        if value not in listed:
            place.refuse(
                f"has the {what} {shown(value)}, which is not among those that autotiny reads from "
                f"a file; {_WAY_OUT}"
            )
        return value
    if isinstance(value, dict) and value.get("class_name") == "function":
        return _named(value.get("config"), place, what, listed, package)
    name, config = _object(value, place, f"an {what}" if what[0] in "ai" else f"a {what}")
    if what == "activation" and name in names.OPTIMIZERS_PARTS:
        return _part(value, place, what)
    if what == "activation" and name in names.ACTIVATION_LAYERS:
        return _layer(value, place)
    if name not in listed:
        place.refuse(
            f"has the {what} {name!r:.80}, which is not among those that autotiny reads from a "
            f"file; {_WAY_OUT}"
        )
    head = _head(value, place, name, package)
    return head | {"config": {key: data(one, place, key) for key, one in config.items()}}


def _part(value: Json, place: _Place, what: str) -> Json:
    """A schedule, quantizer or quantized activation of the optimization toolkit."""
    if isinstance(value, str):
        return _named(value, place, what, names.ACTIVATIONS, "")
    place = place.inside()
    name, config = _object(value, place, f"a {what}")
    if name not in names.OPTIMIZERS_PARTS:
        place.refuse(
            f"has the {what} {name!r:.80}, which is not among those that autotiny reads from a "
            f"file; {_WAY_OUT}"
        )
    head = _head(value, place, name, "")
    return head | {"config": {key: _argument(one, place, key) for key, one in config.items()}}


def _dtype(value: Json, place: _Place) -> Json:
    if isinstance(value, dict):
        name, config = _object(value, place, "a type")
        if name not in names.POLICIES or config.get("source_name") is not None:
            place.refuse(f"has the type {name!r:.80}, which autotiny does not read from a file")
        package = "keras.mixed_precision" if name == "Policy" else "keras"
        head = _head(value, place, name, package)
        return head | {"config": {"name": _dtype(config.get("name"), place)}}
    if not isinstance(value, str) or value not in names.DTYPES:
        place.refuse(f"has the type {shown(value)}, which autotiny does not read from a file")
    return value


def _nodes(nodes: Json, place: _Place, tensors: bool) -> Json:
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


def _shapes(value: Json, place: _Place, key: str) -> Json:
    if isinstance(value, dict):
        return _table(value, place, key, _shapes)
    return data(value, place, "shape")


def _values(value: Json, place: _Place, key: str) -> Json:
    """Plain values, and tables of such by name, as in the arguments of a call."""
    if isinstance(value, dict) and "class_name" not in value:
        return _table(value, place, key, _values)
    if isinstance(value, list):
        place = place.inside()
        return [_values(one, place, "") for one in _bounded(value, place)]
    return data(value, place, key)


def _table(
    value: Json, place: _Place, key: str, read: Callable[[Json, _Place, str], Json]
) -> dict[str, Json]:
    place = place.inside()
    if not isinstance(value, dict) or "class_name" in value:
        place.refuse(f"has {shown(value)} for {key!r:.80}; save the model again")
    return {_text(name, place, key): read(one, place, name) for name, one in value.items()}


def _bounded(value: list[Json], place: _Place) -> list[Json]:
    if len(value) > MOST_VALUES:
        place.refuse(f"has a list of {len(value):,} values; at most {MOST_VALUES:,} are read")
    return value


def _text(value: Json, place: _Place, key: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or "\0" in value:
        place.refuse(f"has {shown(value)} for {key!r:.80}, which is no name; save the model again")
    return value


def data(value: Json, place: _Place, key: str = "") -> Json:
    """A value that is nothing but data: numbers, texts, lists of them, slices, constants."""
    place = place.inside()
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        highest = _LIMITS.get(key, LARGEST_TENSOR if key in _COUNTS else 1 << 63)
        if not -(1 << 63) <= value <= highest:
            place.refuse(f"has {key or 'a number'} {shown(value)}; at most {highest:,} can be")
        return value
    if isinstance(value, str):
        return _text(value, place, key)
    if isinstance(value, list):
        if _SIZES.fullmatch(key):
            sides = [side for side in value if type(side) is int and side > 0]
            if math.prod(sides) > LARGEST_TENSOR:
                place.refuse(
                    f"has {key} {shown(value)}: at most {LARGEST_TENSOR:,} values are computed"
                )
        return [data(one, place, key) for one in _bounded(value, place)]
    return _constant(value, place, key)


def _constant(value: dict[str, Json], place: _Place, key: str) -> Json:
    """A table that stands for a value: a slice, a tuple, a tensor of another layer, a constant."""
    name = value.get("class_name")
    if name is None and set(value) <= {"start", "stop", "step"}:
        return {one: data(bound, place) for one, bound in value.items()}
    if name in ("__tuple__", "TensorShape") and set(value) <= {"class_name", "items"}:
        return data(value.get("items"), place, key)
    if name == "DTypePolicy":
        return _dtype(value, place)
    fields = {
        "__keras_tensor__": {"shape", "dtype", "keras_history", "name"},
        "__tensor__": {"value", "dtype"},
        "__numpy__": {"value", "dtype"},
        "__slice__": {"start", "stop", "step"},
        "__ellipsis__": set(),
        "SeedGenerator": {"name", "seed"},
    }.get(str(name))
    inner = value.get("config")
    if fields is None or not isinstance(inner, dict) or not set(inner) <= fields:
        if name in ("Lambda", "__lambda__", "function"):
            _lambda(place)
        place.refuse(
            f"has {shown(value)} for {key or 'a value'!r:.80}, where autotiny reads only data "
            f"from a file; {_WAY_OUT}"
        )
    clean = {one: data(part, place, one) for one, part in inner.items()}
    if inner.get("dtype") is not None and "dtype" in inner:
        clean["dtype"] = _dtype(inner["dtype"], place)
    head = {"class_name": name}
    if name == "SeedGenerator":
        head |= {"module": "keras.random", "registered_name": None}
    return head | {"config": clean}
