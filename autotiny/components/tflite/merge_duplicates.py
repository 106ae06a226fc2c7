"""Compute what is computed twice once, and store equal constants once.

Common subexpression elimination (Cocke, 1970): on a frozen graph through Grappler, on a graph of
level tflite here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autotiny.components.base import Component, Work
from autotiny.components.frozen._grappler import optimized
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, live, redirected
from autotiny.model import Level, Model, successor


@dataclass(frozen=True)
class MergeDuplicates(Component):
    """Lets readers of equal tensors read one of them."""

    name = "merge_duplicates"
    level = Level.TFLITE
    leaves = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH, Level.TFLITE)

    def apply(self, model: Model, work: Work) -> Model:
        """The model without duplicates."""
        if model.level is not Level.TFLITE:
            return optimized(model, ("common_subgraph_elimination",), self.name)
        graph = without_duplicates(model.graph)
        if len(graph.tensors) == len(live(model.graph).tensors):
            raise NotApplicable("merge_duplicates: no two tensors are equal")
        return successor(model, graph)


def without_duplicates(graph: Graph) -> Graph:
    """The graph in which equal constants, and results of equal ops, are one tensor each."""
    first: dict[object, int] = {}
    instead: dict[int, int] = {}
    for index, tensor in enumerate(graph.tensors):
        if tensor.data is not None and index not in (*graph.inputs, *graph.outputs):
            data = np.ascontiguousarray(tensor.data).tobytes()
            key = (tensor.shape, tensor.dtype, repr(tensor.quantization), data)
            if first.setdefault(key, index) != index:
                instead[index] = first[key]
    graph = redirected(graph, instead)
    done: dict[object, tuple[int, ...]] = {}
    for position in range(len(graph.ops)):
        op = graph.ops[position]
        if set(op.outputs) & set(graph.outputs):
            # The graph's own results stay apart, even where two of them are equal.
            continue
        results = tuple(
            (t.shape, t.dtype, repr(t.quantization))
            for t in (graph.tensors[index] for index in op.outputs)
        )
        work = (op.kind, op.inputs, repr(sorted(op.options.items())), results)
        if work in done:
            graph = redirected(graph, dict(zip(op.outputs, done[work], strict=True)))
        else:
            done[work] = op.outputs
    return live(graph)
