"""A model of any level as a folder of plain files, and back; nothing is pickled."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from autotiny.doors import keras
from autotiny.errors import InvalidModel, UserError
from autotiny.graph import Graph, Op, Option, Quantization, Tensor
from autotiny.model.keras3.own import own_classes
from autotiny.model.kerastypes import KerasModel
from autotiny.model.levels import FrozenGraph, Level, Model, Network, Program, Traits
from autotiny.schedule import Schedule, Way, step_facts, step_from
from autotiny.signal import front_from

Facts = dict[str, Any]
"""A file of ours as JSON has it."""

_NO_WAYS: Mapping[str, type[Way]] = MappingProxyType({})


def save(model: Model, folder: Path) -> None:
    """Writes a model of any level into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    facts: Facts = {
        "level": model.level.value,
        "fingerprint": model.fingerprint,
        "notes": dict(model.notes),
        "traits": asdict(model.traits),
    }
    if model.front is not None:
        facts["front"] = model.front.to_dict()
    network = model.network
    if isinstance(network, FrozenGraph):
        facts |= {"inputs": network.inputs, "outputs": network.outputs}
        (folder / "graph.pb").write_bytes(network.graph_def)
    elif isinstance(network, Program):
        facts["schedule"] = [step_facts(step) for step in network.schedule.steps]
        _save_graph(network.graph, folder)
    elif isinstance(network, Graph):
        _save_graph(network, folder)
    else:
        with warnings.catch_warnings():
            # Keras calls HDF5 legacy; it is the one format that holds every layer met here.
            warnings.simplefilter("ignore")
            network.save(folder / "model.h5", save_format="h5", include_optimizer=False)
    (folder / "model.json").write_text(json.dumps(facts, indent=1))


def restore(folder: Path, ways: Mapping[str, type[Way]] = _NO_WAYS) -> Model:
    """Reads what `save` wrote.

    Args:
        folder: where it wrote.
        ways: the kernels that a program's steps may name, by their name; a model of another level
            names none.

    Raises:
        InvalidModel: the folder is not one, or a file of it is damaged.
    """
    try:
        facts = json.loads((folder / "model.json").read_text())
        level, traits = Level(facts["level"]), Traits(**facts["traits"])
        network = _network(level, facts, folder, ways)
        front = front_from(facts["front"]) if facts.get("front") else None
        model = Model(level, network, facts["fingerprint"], facts["notes"], traits)
        return replace(model, front=front)
    except (OSError, KeyError, ValueError, UserError) as damage:
        raise InvalidModel(f"{folder} does not hold a saved model: {damage}") from damage


def _network(level: Level, facts: Facts, folder: Path, ways: Mapping[str, type[Way]]) -> Network:
    if level is Level.KERAS:
        network: KerasModel = keras().models.load_model(
            folder / "model.h5", custom_objects=own_classes(), compile=False
        )
        return network
    if level is Level.GRAPH:
        return FrozenGraph(
            (folder / "graph.pb").read_bytes(), tuple(facts["inputs"]), tuple(facts["outputs"])
        )
    graph = _restore_graph(folder)
    if level is Level.TFLITE:
        return graph
    steps = tuple(step_from(one, ways) for one in facts["schedule"])
    return Program(graph, Schedule(steps))


def _save_graph(graph: Graph, folder: Path) -> None:
    constants = {
        str(index): tensor.data
        for index, tensor in enumerate(graph.tensors)
        if tensor.data is not None
    }
    np.savez(folder / "constants.npz", **constants)  # type: ignore[arg-type]
    tensors = [
        [t.name, t.shape, t.dtype, asdict(t.quantization) if t.quantization else None]
        for t in graph.tensors
    ]
    ops = [[op.kind, op.inputs, op.outputs, dict(op.options)] for op in graph.ops]
    facts = {
        "name": graph.name, "inputs": graph.inputs, "outputs": graph.outputs,
        "tensors": tensors, "ops": ops,
    }  # fmt: skip
    (folder / "graph.json").write_text(json.dumps(facts))


def _restore_graph(folder: Path) -> Graph:
    facts = json.loads((folder / "graph.json").read_text())
    with np.load(folder / "constants.npz", allow_pickle=False) as constants:
        data = {int(index): constants[index] for index in constants.files}
    tensors = tuple(
        Tensor(name, tuple(shape), dtype, _quantization(quantization), data.get(index))
        for index, (name, shape, dtype, quantization) in enumerate(facts["tensors"])
    )
    ops = tuple(
        Op(kind, tuple(inputs), tuple(outputs), {k: _option(v) for k, v in options.items()})
        for kind, inputs, outputs, options in facts["ops"]
    )
    return Graph(tensors, ops, tuple(facts["inputs"]), tuple(facts["outputs"]), facts["name"])


def _quantization(facts: Facts | None) -> Quantization | None:
    if facts is None:
        return None
    return Quantization(tuple(facts["scales"]), tuple(facts["zero_points"]), facts["axis"])


def _option(value: Option | list[int]) -> Option:
    return tuple(value) if isinstance(value, list) else value
