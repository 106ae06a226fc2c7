"""What a model file may hold besides layers: names, numbers, texts, and lists of them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
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
_HOME = r"(tf_)?keras(\.src)?"
_MODULES = {
    "": re.compile(r"tensorflow_model_optimization(\.[a-z_0-9]+){1,9}"),
    "keras": re.compile(rf"{_HOME}(\.(models|engine|dtype_policies)(\.[a-z_0-9]+)*)?"),
}
"""Modules that may be named for a class, by the one that it is public in: see `head_of`."""
_COUNTS = frozenset(
    ("units", "filters", "input_dim", "output_dim", "num_heads", "key_dim", "value_dim", "head_dim",
     "num_query_heads", "num_key_value_heads", "depth_multiplier", "n", "height", "width", "groups",
     "num_tokens", "num_clusters", "number_of_clusters", "num_bits", "maxlen", "input_length",
     "sampling_rate", "sequence_stride", "num_classes")
)  # fmt: skip
_LIMITS = {
    "fft_length": 1 << 15, "sequence_length": 1 << 15, "num_mel_bins": 1 << 9, "num_bins": 1 << 16,
    "rank": 16, "power_iterations": 1000,
}  # fmt: skip
_SIZES = re.compile(
    r".*shape.*|.*size|strides|padding|output_padding|cropping|dilation_rate|rank|repeats?|multiples"
)
WAY_OUT = "give the function that builds the network as package.module:function"


@dataclass(frozen=True)
class Place:
    """Where in a configuration the check stands, for messages and limits."""

    where: str
    keras3: bool
    layer: str = "the model"
    depth: int = 0

    def refuse(self, why: str) -> NoReturn:
        """Refuses the file for what is here, in words that follow the name of the layer."""
        raise InvalidModel(f"{self.where}: {self.layer} {why}")

    def inside(self, layer: object = None) -> Place:
        """The place one level deeper; of another layer, if its name is given."""
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

    def once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = Counter(key for key, _ in pairs)
            twice, _ = keys.most_common(1)[0]
            raise ValueError(f"key {shown(twice)} stands twice in one table")
        return found

    def special(name: str) -> float:
        if name == "NaN":
            raise ValueError("it holds NaN")
        return float(name)

    try:
        return json.loads(written, object_pairs_hook=once, parse_constant=special)
    except (ValueError, RecursionError) as damage:
        why = "it is nested too deeply" if isinstance(damage, RecursionError) else damage
        raise InvalidModel(
            f"{where}: its configuration is damaged ({why}); save the model again"
        ) from damage


def refuse_lambda(place: Place) -> NoReturn:
    """Refuses the file for code in it."""
    place.refuse(
        "is a Lambda, which holds code; autotiny does not execute code from a file; " + WAY_OUT
    )


def described(entry: Json, place: Place, what: str) -> tuple[str, dict[str, Json]]:
    """The class and the arguments of a table that describes an object."""
    if not isinstance(entry, dict):
        place.refuse(f"has {shown(entry)} in the place of {what}; save the model again")
    name, config = entry.get("class_name"), entry.get("config")
    if not isinstance(name, str):
        place.refuse(f"has {what} without a class_name; save the model again")
    if name in ("Lambda", "__lambda__", "function") and not isinstance(config, (str, type(None))):
        refuse_lambda(place)
    if not isinstance(config, dict):
        place.refuse(f"has {what} {name!r:.80} without a config; save the model again")
    return name, config


def head_of(entry: dict[str, Json], place: Place, name: str, package: str) -> dict[str, Json]:
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
            f"file; {WAY_OUT}"
        )
    if registered not in (None, name, f"TensorFlowModelOptimization>{name}", f"keras>{name}"):
        place.refuse(
            f"is a {name} that is registered as {shown(registered)}, a custom object which "
            f"autotiny does not execute from a file; {WAY_OUT}"
        )
    if "module" in entry:
        head["module"] = None if module is None else package or module
    if "registered_name" in entry:
        public = package.startswith("keras") and not package.startswith("keras.src")
        head["registered_name"] = None if public else name
    if isinstance(entry.get("shared_object_id"), int):
        head["shared_object_id"] = data(entry["shared_object_id"], place)
    return head


def dtype(value: Json, place: Place) -> Json:
    """The name of a type or a policy, or a policy."""
    if isinstance(value, dict):
        name, config = described(value, place, "a type")
        if name not in names.POLICIES or config.get("source_name") is not None:
            place.refuse(f"has the type {name!r:.80}, which autotiny does not read from a file")
        package = "keras.mixed_precision" if name == "Policy" else "keras"
        head = head_of(value, place, name, package)
        return head | {"config": {"name": dtype(config.get("name"), place)}}
    if not isinstance(value, str) or value not in names.DTYPES:
        place.refuse(f"has the type {shown(value)}, which autotiny does not read from a file")
    return value


def table(
    value: Json, place: Place, key: str, read: Callable[[Json, Place, str], Json]
) -> dict[str, Json]:
    """A table whose keys are only names, each value read by a function."""
    place = place.inside()
    if not isinstance(value, dict) or "class_name" in value:
        place.refuse(f"has {shown(value)} for {key!r:.80}; save the model again")
    return {text(name, place, key): read(one, place, name) for name, one in value.items()}


def bounded(value: list[Json], place: Place) -> list[Json]:
    """A list that is not too long."""
    if len(value) > MOST_VALUES:
        place.refuse(f"has a list of {len(value):,} values; at most {MOST_VALUES:,} are read")
    return value


def text(value: Json, place: Place, key: str) -> str:
    """A short text, such as a name."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or "\0" in value:
        place.refuse(f"has {shown(value)} for {key!r:.80}, which is no name; save the model again")
    return value


def data(value: Json, place: Place, key: str = "") -> Json:
    """A value that is nothing but data: numbers, texts, lists of them, slices, constants."""
    place = place.inside()
    if value is None or isinstance(value, bool):
        return value
    highest = _LIMITS.get(key, LARGEST_TENSOR if key in _COUNTS else None)
    if isinstance(value, int) or (highest is not None and not isinstance(value, list)):
        highest = (1 << 63) - 1 if highest is None else highest
        # Keras takes a count as text, too.
        if not isinstance(value, (int, float)) or not -(1 << 63) <= value <= highest:
            place.refuse(f"has {key or 'a number'} {shown(value)}; at most {highest:,} can be")
        return value
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        return text(value, place, key)
    if isinstance(value, list):
        if _SIZES.fullmatch(key):
            sides = [side for side in value if type(side) is int and side > 0]
            if math.prod(sides) > LARGEST_TENSOR:
                place.refuse(
                    f"has {key} {shown(value)}: at most {LARGEST_TENSOR:,} values are computed"
                )
        return [data(one, place, key) for one in bounded(value, place)]
    return _constant(value, place, key)


def _constant(value: dict[str, Json], place: Place, key: str) -> Json:
    """A table that stands for a value: a slice, a tuple, a tensor of another layer, a constant."""
    name = value.get("class_name")
    if name is None and set(value) <= {"start", "stop", "step"}:
        return {one: data(bound, place) for one, bound in value.items()}
    if name in ("__tuple__", "TensorShape") and set(value) <= {"class_name", "items"}:
        return data(value.get("items"), place, key)
    if name == "DTypePolicy":
        return dtype(value, place)
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
            refuse_lambda(place)
        place.refuse(
            f"has {shown(value)} for {key or 'a value'!r:.80}, where autotiny reads only data "
            f"from a file; {WAY_OUT}"
        )
    clean = {one: data(part, place, one) for one, part in inner.items()}
    if inner.get("dtype") is not None and "dtype" in inner:
        clean["dtype"] = dtype(inner["dtype"], place)
    head = {"class_name": name}
    if name == "SeedGenerator":
        head |= {"module": "keras.random", "registered_name": None}
    return head | {"config": clean}
