"""Whether a model scales its input itself, so that it is open what it should be given."""

from __future__ import annotations

from collections.abc import Iterator

from autotiny.dataset.samples import Dataset
from autotiny.errors import InvalidData
from autotiny.graph import Graph
from autotiny.model import FrozenGraph, KerasLayer, KerasModel, Level, Model, graph_def

SCALING_LAYERS = ("Rescaling", "Normalization", "BatchNormalization")
ARITHMETIC = {"add", "addv2", "sub", "subtract", "mul", "multiply", "div", "divide", "truediv",
              "realdiv", "fusedbatchnormv3"}  # fmt: skip
MOVING = {
    "cast", "dequantize", "expanddims", "fakequantwithminmaxvars", "identity", "mirrorpad", "pad",
    "padv2", "quantize",
    "reshape", "resizebilinear", "resizenearestneighbor", "slice", "squeeze", "stridedslice",
    "transpose", "reversev2", "crop",
}  # fmt: skip
"""Ops that leave values as they are, or between those they are given, in any spelling."""

BYTES_SPAN = 16.0
"""Of a quantized input that covers so much, numbers in [0, 1] would use a sixteenth at most."""


def check_scaling(model: Model, data: Dataset) -> None:
    """Refuses bytes that were divided without being asked where the model may divide them too.

    Raises:
        InvalidData: the message names both readings.
    """
    several = [data.inputs, *(port.inputs for port in data.ports)]
    divided = [one for one in several if one is not None and not one.asked and one.factor != 1]
    if not divided:
        return
    stored = divided[0]
    scales = own_scaling(model)
    if scales:
        raise InvalidData(
            f"{data.name} holds {stored.type} up to {stored.high:.0f}, and {scales}; "
            "--scale none gives the model the stored numbers, --scale 1/255 gives it [0, 1]"
        )


def own_scaling(model: Model) -> str:
    """What a model does to its input that one may take for a scaling, in words; else nothing."""
    if model.level is Level.KERAS:
        first = _scaling_layer(model.keras)
    elif model.level is Level.GRAPH:
        first = _scaling_node(model.frozen)
    elif model.level is Level.TFLITE:
        quantization = model.graph.tensors[model.graph.inputs[0]].quantization
        span = 255 * quantization.scale if quantization is not None else 0.0
        if span > BYTES_SPAN:
            return f"the model's input is quantized for numbers that span {span:.4g}"
        first = _scaling_op(model.graph)
    else:
        return ""
    return f"the model begins with {first}" if first else ""


def _scaling_layer(network: KerasModel) -> str:
    """The first layer that scales, of those before the first that has weights."""
    for layer in _flat(network):
        kind = type(layer).__name__
        if kind in SCALING_LAYERS:
            return kind
        operation = str(getattr(layer, "operation", "") or getattr(layer, "symbol", ""))
        if _plain(operation.rpartition(".")[2]) in ARITHMETIC:
            return operation
        if layer.weights and not kind.startswith("Random"):
            return ""
    return ""


def _flat(network: KerasModel) -> Iterator[KerasLayer]:
    for layer in network.layers:
        inner: KerasModel | None = layer if hasattr(layer, "layers") else None  # type: ignore[assignment]
        yield from _flat(inner) if inner is not None else (layer,)


def _scaling_node(frozen: FrozenGraph) -> str:
    """The first arithmetic on the input of a frozen graph, behind what only moves values."""
    nodes = graph_def(frozen).node
    reached = {name.partition(":")[0] for name in frozen.inputs}
    grown = True
    while grown:
        grown = False
        for node in nodes:
            if node.name in reached or not {_source(name) for name in node.input} & reached:
                continue
            if _plain(node.op) in ARITHMETIC:
                return str(node.op)
            if _plain(node.op) in MOVING:
                reached.add(node.name)
                grown = True
    return ""


def _source(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]


def _scaling_op(graph: Graph) -> str:
    """The first arithmetic on the input of a lowered graph, behind what only moves values."""
    reached = set(graph.inputs)
    for op in graph.ops:
        if not reached & set(op.inputs):
            continue
        if _plain(op.kind) in ARITHMETIC:
            return op.kind
        if _plain(op.kind) in MOVING:
            reached |= set(op.outputs)
    return ""


def _plain(name: str) -> str:
    """An op's name in one spelling: RESIZE_BILINEAR, ResizeBilinear."""
    return name.replace("_", "").lower()
