"""Which runtimes can run a lowered model."""

from __future__ import annotations

from autotiny.evaluate.program import program_of
from autotiny.graph import Graph
from autotiny.model import Model
from autotiny.signal import FRONT_ENDS


def runtimes(model: Model) -> tuple[str, ...]:
    """Which runtimes can run the `.tflite` of a lowered model.

    LiteRT reads every one. TensorFlow Lite Micro has kernels for neither float16 constants nor
    hybrid ops, which multiply integer weights with float activations. Nobody else has the front
    ends, without which the `.tflite` takes features.
    """
    graph = program_of(model).graph
    if any(op.kind in FRONT_ENDS for op in graph.ops):
        return ("autotiny",)
    micro = () if has_float16(graph) or has_hybrid(graph) else ("tflm",)
    return ("autotiny", *micro, "litert")


def has_float16(graph: Graph) -> bool:
    """Whether any tensor is stored in half precision."""
    return any(tensor.dtype == "float16" for tensor in graph.tensors)


def has_hybrid(graph: Graph) -> bool:
    """Whether any op computes float results from integer weights."""
    for op in graph.ops:
        inputs = [graph.tensors[index] for index in op.inputs if index >= 0]
        result = graph.tensors[op.outputs[0]]
        weights = [tensor for tensor in inputs if tensor.data is not None and tensor.quantization]
        if op.kind != "DEQUANTIZE" and result.dtype == "float32" and weights:
            return True
    return False
