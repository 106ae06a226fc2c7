"""A model that the worker stored: checked again before this process builds it.

What a file brings is on the lists of `allowed` when the worker builds it. If the file takes the
worker over all the same, what that stores is as hostile as the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autotiny.errors import InvalidModel
from autotiny.model.allowed import checked_config, checked_graph
from autotiny.model.allowed.names import OPERATIONS
from autotiny.model.doors import keras
from autotiny.model.levels import Model
from autotiny.model.own_layers import PACKAGE, activations
from autotiny.model.storing import restore

OPERATION = f"{PACKAGE}>Operation"


def received(folder: Path, where: str) -> Model:
    """The model that the worker stored in a folder.

    Args:
        folder: what `save` wrote.
        where: where the model comes from, for messages.

    Raises:
        InvalidModel: it holds what no model of a file can hold.
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
    return restore(folder)


def _as_in_files(value: Any, where: str) -> Any:
    """A configuration with layers and activations of ours in the form of such that files hold."""
    if isinstance(value, list):
        return [_as_in_files(one, where) for one in value]
    if not isinstance(value, dict):
        return value
    value = {
        key: "linear" if key.endswith("activation") and _is_ours(one) else _as_in_files(one, where)
        for key, one in value.items()
    }
    if OPERATION not in (value.get("class_name"), value.get("registered_name")):
        return value
    module, _, name = str(value["config"].get("operation")).partition(".")
    if name not in OPERATIONS.get(f"keras.src.ops.{module}", ()):
        raise InvalidModel(f"{where}: it came back with the operation {module}.{name:.80}")
    config = {"name": value["config"].get("name"), "activation": "linear"}
    kept = {key: value[key] for key in ("name", "inbound_nodes") if key in value}
    return {"class_name": "Activation", "config": config, **kept}


def _is_ours(activation: Any) -> bool:
    return isinstance(activation, str) and activation in {
        function.__name__ for function in activations().values()
    }
