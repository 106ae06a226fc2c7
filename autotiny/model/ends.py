"""What a network ends in: a softmax, a sigmoid, or neither."""

from __future__ import annotations

from collections.abc import Mapping

from autotiny.doors import tensorflow
from autotiny.graph import Graph, Op
from autotiny.model.freezing import graph_def
from autotiny.model.graphtypes import NodeDef
from autotiny.model.kerastypes import KerasLayer, KerasModel, KerasTensor
from autotiny.model.levels import FrozenGraph, Level, Model

ENDS = {"softmax": "softmax", "sigmoid": "sigmoid", "logistic": "sigmoid"}
"""By the name of an activation, a layer, a node or an op."""

MOVING = {
    "identity", "reshape", "squeeze", "flatten", "dequantize", "quantize", "cast",
    "fakequantwithminmaxvars", "activation",
}  # fmt: skip
"""What may stand behind it and changes no value but by rounding."""


def ends_in(model: Model) -> str:
    """What a network ends in: "softmax", "sigmoid", or "" for anything else.

    Of several outputs each, in their order, separated by commas.
    """
    if model.level is Level.KERAS:
        return keras_ends_in(model.keras)
    if model.level is Level.GRAPH:
        return _nodes_end_in(model.frozen)
    graph = model.graph if model.level is Level.TFLITE else model.program.graph
    return _ops_end_in(graph)


def keras_ends_in(network: KerasModel) -> str:
    """Likewise of a Keras model, wrapped by a component or not."""
    if len(network.outputs) > 1:
        return ",".join(_tensor_ends_in(tensor) for tensor in network.outputs)
    for layer in reversed(network.layers):
        layer = getattr(layer, "layer", layer)
        if hasattr(layer, "layers"):
            inner: KerasModel = layer  # type: ignore[assignment]
            return keras_ends_in(inner)
        found = _layer_ends_in(layer)
        if found or type(layer).__name__.lower() not in MOVING:
            return found
    return ""


def _tensor_ends_in(tensor: KerasTensor) -> str:
    """What one of several outputs of a Keras model comes from."""
    history = tensor._keras_history
    layer = getattr(history.layer, "layer", history.layer)
    if hasattr(layer, "layers"):
        inner: KerasModel = layer  # type: ignore[assignment]
        return _tensor_ends_in(inner.outputs[history.tensor_index])
    found = _layer_ends_in(layer)
    if found or type(layer).__name__.lower() not in MOVING:
        return found
    node = history.layer._inbound_nodes[history.node_index]
    sources: list[KerasTensor] = tensorflow().nest.flatten(node.keras_inputs)
    return _tensor_ends_in(sources[0]) if len(sources) == 1 else ""


def _layer_ends_in(layer: KerasLayer) -> str:
    activation = getattr(layer, "activation", None)
    activation = getattr(activation, "activation", activation)
    names = (type(layer).__name__, getattr(activation, "__name__", ""))
    return next((ENDS[name.lower()] for name in names if name.lower() in ENDS), "")


def _nodes_end_in(frozen: FrozenGraph) -> str:
    nodes = {node.name: node for node in graph_def(frozen).node}
    return ",".join(_node_ends_in(nodes, name) for name in frozen.outputs)


def _node_ends_in(nodes: Mapping[str, NodeDef], output: str) -> str:
    node = nodes.get(output.partition(":")[0])
    while node is not None:
        kind = node.op.lower()
        if kind in ENDS or kind not in MOVING or not node.input:
            return ENDS.get(kind, "")
        node = nodes.get(node.input[0].partition(":")[0])
    return ""


def _ops_end_in(graph: Graph) -> str:
    makers = {output: op for op in graph.ops for output in op.outputs}
    return ",".join(_op_ends_in(makers, output) for output in graph.outputs)


def _op_ends_in(makers: Mapping[int, Op], output: int) -> str:
    op = makers.get(output)
    while op is not None:
        kind = op.kind.lower()
        if kind in ENDS or kind not in MOVING or not op.inputs:
            return ENDS.get(kind, "")
        op = makers.get(op.inputs[0])
    return ""
