"""What layers take alone on a target: how components know where they pay.

A layer is measured as any firmware is, in int8 and as `fastest` computes it, with weights and a
quantization that are made up, since time hangs on shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autotiny.cache import Cache, key_of, remembered
from autotiny.codeversion import code_version
from autotiny.engine import generate, schedule_for
from autotiny.graph import Graph, Op, Quantization, Tensor
from autotiny.graph.editing import compact
from autotiny.schedule import Schedule, Step
from autotiny.simulator import measure
from autotiny.target import Target, target_key

Shape = tuple[int, ...]

SCALE = Quantization((0.05,), (0,))


@dataclass(frozen=True)
class Layer:
    """A convolution, a dense layer, or a pooling.

    Attributes:
        kind: as the graph names it.
        weights: the shape of its weights, in LiteRT's order; () if it has none.
        gives: the shape of its result, with the batch of one.
        options: of the op.
    """

    kind: str
    weights: Shape
    gives: Shape
    options: dict[str, int | str]


def graph_of(shape: Shape, layers: Sequence[Layer]) -> Graph:
    """A network of layers one behind the other, for an input of a shape."""
    rng = np.random.default_rng(0)
    tensors = [Tensor("x", shape, "int8", SCALE)]
    ops = []
    for layer in layers:
        reads = [len(tensors) - 1]
        if layer.weights:
            axis = 3 if layer.kind == "DEPTHWISE_CONV_2D" else 0
            channels = layer.weights[axis]
            scales = Quantization((0.01,) * channels, (0,) * channels, axis)
            weights = rng.integers(-127, 128, layer.weights, np.int8)
            bias = rng.integers(-99, 100, channels, np.int32)
            reads += [len(tensors), len(tensors) + 1]
            tensors += [
                Tensor("w", layer.weights, "int8", scales, weights),
                Tensor("b", (channels,), "int32", replace(scales, axis=0), bias),
            ]
        tensors.append(Tensor("y", layer.gives, "int8", SCALE))
        ops.append(Op(layer.kind, tuple(reads), (len(tensors) - 1,), layer.options))
    return Graph(tuple(tensors), tuple(ops), (0,), (len(tensors) - 1,))


def step_alone(graph: Graph, step: Step) -> Graph:
    """The network of the first op of a step."""
    op = graph.ops[step.ops[0]]
    return compact(Graph(graph.tensors, (op,), (op.inputs[0],), op.outputs))


def cycles(graph: Graph, schedule: Schedule | None, target: Target, cache: Cache | None) -> int:
    """Cycles of an inference of a small network.

    Args:
        graph: the network.
        schedule: how it is computed; None as `fastest` would.
        target: what executes it.
        cache: keeps the figure; None measures each time.
    """
    chosen = schedule or schedule_for(graph, "fastest", **target.traits)

    def measured() -> int:
        return measure(generate(graph, chosen), target).cycles

    if cache is None:
        return measured()
    key = key_of("alone", graph.fingerprint(), chosen, target_key(target), code_version(__name__))
    return remembered(cache, key, measured)
