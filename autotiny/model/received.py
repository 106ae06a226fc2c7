"""A model that the worker stored: checked again before this process builds it.

What a file brings is on the lists of `allowed` when the worker builds it. If the file takes the
worker over all the same, what that stores is as hostile as the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autotiny.doors import keras
from autotiny.errors import InvalidModel, shown
from autotiny.model.allowed import checked_config, checked_graph
from autotiny.model.allowed.names import ACTIVATIONS, OPERATIONS
from autotiny.model.keras3 import own
from autotiny.model.keras3.own import OWN_LAYERS, unpacked
from autotiny.model.levels import Model
from autotiny.model.storing import restore

OPERATION, WHOLE_LAYER, ACTIVATION = OWN_LAYERS
MODULE = own.__name__


def received(folder: Path, where: str) -> Model:
    """The model that the worker stored in a folder.

    Args:
        folder: what `save` wrote.
        where: where the model comes from, for messages.

    Raises:
        InvalidModel: it holds what no model of a file can hold.
    """
    check_stored(folder, where)
    return restore(folder)


def check_stored(folder: Path, where: str) -> None:
    """Refuse stored files that hold what no model of a file can hold.

    Raises:
        InvalidModel: they do.
    """
    keras()  # before anything here imports TensorFlow
    network, graph = folder / "model.h5", folder / "graph.pb"
    if network.exists():
        import h5py  # type: ignore[import-untyped]

        with h5py.File(network, "r") as file:
            config = json.loads(file.attrs["model_config"])
        checked_config(json.dumps(_as_in_files(config, where)), where, keras3=False)
    if graph.exists():
        checked_graph(graph.read_bytes(), where)


def _as_in_files(value: Any, where: str) -> Any:
    """A configuration with layers and activations of ours in the form of such that files hold."""
    if isinstance(value, list):
        return [_as_in_files(one, where) for one in value]
    if not isinstance(value, dict):
        return value
    kind = _own_kind(value)
    if kind is None:
        return {key: _as_in_files(one, where) for key, one in value.items()}
    config = value["config"]
    if kind == ACTIVATION:
        _check(config.get("function"), ACTIVATIONS, "activation", where)
        return "linear"
    if kind == OPERATION:
        listed = OPERATIONS.get(str(config.get("module")), frozenset())
        _check(config.get("kind"), listed, "operation", where)
    else:
        layer = {"class_name": config.get("kind"), "config": unpacked(config["arguments"])}
        whole = {"class_name": "Sequential", "config": {"layers": [layer]}}
        checked_config(json.dumps(whole), where, keras3=True)
    kept = {key: value[key] for key in ("name", "inbound_nodes") if key in value}
    plain = {"name": config.get("name"), "activation": "linear"}
    return {"class_name": "Activation", "config": plain, **kept}


def _own_kind(value: dict[str, Any]) -> str | None:
    """Which of our layers or activations a configuration describes, by every name that it has."""
    if not isinstance(value.get("config"), dict):
        return None
    for kind in OWN_LAYERS:
        plain = kind.partition(">")[2]
        if value.get("registered_name", kind) == kind and value.get("class_name") in (kind, plain):
            return kind if value.get("module", MODULE) == MODULE else None
    return None


def _check(name: object, listed: frozenset[str], what: str, where: str) -> None:
    if name not in listed:
        raise InvalidModel(f"{where}: it came back with the {what} {shown(name)}")
