"""A SavedModel, checked before TensorFlow reads it: pure ops, variables, and nothing else.

What is handed on is a clean copy that holds only the functions which can be called, the constants
and the variables.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from autotiny.doors import tensorflow
from autotiny.errors import InvalidModel
from autotiny.model.allowed.names import GRAPH_OPS
from autotiny.model.allowed.sizes import LARGEST_TENSOR, LARGEST_WEIGHTS
from autotiny.model.allowed.values import Json, read_json

LARGEST_GRAPH = 256 << 20
MOST_NODES = 1 << 20
"""Nodes of a graph when each function stands in it as often as it is called."""
OBJECTS = ("user_object", "function", "variable", "bare_concrete_function", "constant",
           "captured_tensor")  # fmt: skip
_SHARD = re.compile(r"variables\.(index|data-\d{5}-of-\d{5})")
_WAY_OUT = "export the model with ops that compute only"


def clean_saved_model(folder: Path, target: Path) -> int:
    """Writes a clean copy of a SavedModel into a folder, and gives how many weights it has.

    Raises:
        InvalidModel: it is damaged or too large, or a function of it does more than compute.
    """
    tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    _parse(saved, _bytes(folder, "saved_model.pb", LARGEST_GRAPH), folder)
    if len(saved.meta_graphs) != 1:
        raise InvalidModel(
            f"{folder} holds {len(saved.meta_graphs)} graphs; a model for firmware has one"
        )
    graph = saved.meta_graphs[0]
    objects = graph.object_graph_def
    if not objects.nodes:
        raise InvalidModel(
            f"{folder} was written by TensorFlow 1; load and export it with TensorFlow 2"
        )
    if graph.asset_file_def or "saved_model_assets" in graph.collection_def:
        raise InvalidModel(f"{folder} reads files of its own (assets); {_WAY_OUT}")
    for node in objects.nodes:
        kind = node.WhichOneof("kind")
        if kind is not None and kind not in OBJECTS:
            raise InvalidModel(f"{folder} holds a {kind}, which is more than a model; {_WAY_OUT}")
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    called = _reached(graph, functions)
    for name in sorted(called):
        _check_ops(functions[name].node_def, f"function {name}", folder)
    _check_calls(called, functions, folder)
    constants = [node for node in graph.graph_def.node if node.op == "Const"]
    _check_ops(constants, "the graph", folder)

    kept = [functions[name] for name in functions if name in called]
    del graph.graph_def.library.function[:]
    graph.graph_def.library.function.extend(kept)
    del graph.graph_def.node[:]
    graph.graph_def.node.extend(constants)
    graph.collection_def.clear()
    (target / "saved_model.pb").write_bytes(saved.SerializeToString())
    return _copy_variables(folder, target)


def checked_graph(written: bytes, where: str) -> None:
    """Refuses a GraphDef with an op that is not among those that files may hold."""
    from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef()
    _parse(graph, written, Path(where))
    named = {function.signature.name for function in graph.library.function}
    bodies = (graph.node, *(function.node_def for function in graph.library.function))
    for nodes in bodies:
        _check_ops([node for node in nodes if node.op not in named], "the graph", Path(where))


def metadata_config(folder: Path) -> Json:
    """The configuration that tf_keras saved with a SavedModel; None if it saved none."""
    if not (folder / "keras_metadata.pb").is_file():
        return None
    tensorflow()
    from tf_keras.protobuf import saved_metadata_pb2

    facts = saved_metadata_pb2.SavedMetadata()
    _parse(facts, _bytes(folder, "keras_metadata.pb", LARGEST_GRAPH), folder)
    root = next((node for node in facts.nodes if node.node_id == 0), None)
    if root is None or not root.metadata:
        return None
    entry = read_json(root.metadata, str(folder))
    return entry.get("model_config") if isinstance(entry, dict) else None


def _bytes(folder: Path, name: str, limit: int) -> bytes:
    """A file of a folder that is there itself, no link to elsewhere."""
    path = folder / name
    if not path.is_file() or folder.resolve() not in path.resolve().parents:
        raise InvalidModel(f"{path} is not a file in the model's own folder; save the model again")
    size = path.stat().st_size
    if size > limit:
        raise InvalidModel(f"{path} has {size:,} bytes; at most {limit:,} are read")
    return path.read_bytes()


def _parse(message: Any, content: bytes, folder: Path) -> None:
    from google.protobuf import message as protobuf  # type: ignore[import-untyped]

    try:
        message.ParseFromString(content)
    except protobuf.DecodeError as damage:
        raise InvalidModel(f"{folder} does not load as a SavedModel: {damage}"[:300]) from damage


def _reached(graph: Any, functions: dict[str, Any]) -> set[str]:
    """Names of the functions of a library that its objects can call, directly or not."""
    objects = graph.object_graph_def
    start = set(objects.concrete_functions)
    for node in objects.nodes:
        start.update(node.function.concrete_functions)
        start.add(node.bare_concrete_function.concrete_function_name)
    library = graph.graph_def.library
    start.update(one.gradient_func for one in library.gradient)
    start.update(one.gradient_func for one in library.registered_gradients)
    reached: set[str] = set()
    waiting = [name for name in start if name in functions]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        waiting.extend(_calls(functions[name], functions))
    return reached


def _calls(function: Any, functions: dict[str, Any]) -> Iterator[str]:
    """Functions of a library that the nodes of one of them call, as often as they do."""
    for node in function.node_def:
        named = [node.op]
        for value in node.attr.values():
            named += [value.func.name, *(one.name for one in value.list.func)]
        yield from (name for name in named if name in functions)


def _check_calls(called: set[str], functions: dict[str, Any], folder: Path) -> None:
    """Refuses functions that call themselves, or each other so often that no graph holds them."""
    calls = {name: tuple(_calls(functions[name], functions)) for name in sorted(called)}
    sizes: dict[str, int] = {}
    try:
        for name in TopologicalSorter(calls).static_order():
            sizes[name] = len(functions[name].node_def) + sum(sizes[one] for one in calls[name])
            if sizes[name] > MOST_NODES:
                raise InvalidModel(
                    f"{folder}: function {name!r:.80} has {sizes[name]:,} nodes with all that it "
                    f"calls; at most {MOST_NODES:,} are built"
                )
    except CycleError as damage:
        raise InvalidModel(
            f"{folder}: function {damage.args[1][0]!r:.80} calls itself; {_WAY_OUT}"
        ) from damage


def _check_ops(nodes: Any, inside: str, folder: Path) -> None:
    functions_ops = {node.op for node in nodes} - GRAPH_OPS
    if functions_ops:
        listed = ", ".join(sorted(functions_ops)[:5])
        raise InvalidModel(
            f"{folder}: {inside} holds the op {listed}, which is not among those that autotiny "
            f"takes from a file, since it may do more than compute; {_WAY_OUT}"
        )
    for node in nodes:
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            size = math.prod(max(side.size, 1) for side in tensor.tensor_shape.dim)
            if size > LARGEST_TENSOR or size > LARGEST_WEIGHTS:
                raise InvalidModel(
                    f"{folder}: constant {node.name!r:.80} claims {size:,} values; at most "
                    f"{LARGEST_TENSOR:,} are read"
                )


def _copy_variables(folder: Path, target: Path) -> int:
    """Copies the variables, whose sizes must be those of their files; gives how many values."""
    source = folder / "variables"
    if not source.is_dir():
        raise InvalidModel(f"{folder} has no folder variables; save the model again")
    (target / "variables").mkdir()
    total = 0
    for path in sorted(source.iterdir()):
        if _SHARD.fullmatch(path.name):
            content = _bytes(folder, f"variables/{path.name}", LARGEST_WEIGHTS)
            total += len(content)
            if total > LARGEST_WEIGHTS + LARGEST_TENSOR:
                raise InvalidModel(f"{folder} has more than {LARGEST_WEIGHTS:,} bytes of weights")
            (target / "variables" / path.name).write_bytes(content)
    prefix = target / "variables" / "variables"
    if not prefix.with_suffix(".index").is_file():
        return 0
    tf = tensorflow()
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        shapes = reader.get_variable_to_shape_map()
        types = reader.get_variable_to_dtype_map()
    except Exception as damage:  # TensorFlow has many names for a file that is cut off
        raise InvalidModel(f"{folder}: its variables are damaged: {damage}"[:200]) from damage
    values = {name: math.prod(shape) for name, shape in shapes.items()}
    claimed = sum(size * max(types[name].size or 1, 1) for name, size in values.items())
    if claimed > 2 * total + 4096:
        raise InvalidModel(
            f"{folder}: its variables claim {claimed:,} bytes where its files have {total:,}; "
            "save the model again"
        )
    return sum(values.values())
