"""Compute what does not depend on the input now, so that the firmware need not.

On a frozen graph through Grappler's constant folding, else through that of our own graph. Constants
that are dequantized stay: folding them would store floats where bytes suffice.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.base import Component, Work
from autotiny.components.frozen._grappler import optimized
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, fold, live
from autotiny.model import Level, Model, graph_def, successor


@dataclass(frozen=True)
class FoldConstants(Component):
    """Replaces ops whose inputs are all constant by their results."""

    name = "fold_constants"
    level = Level.TFLITE
    leaves = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH, Level.TFLITE)

    def apply(self, model: Model, work: Work) -> Model:
        """The model with constants folded."""
        if model.level is not Level.TFLITE:
            folded = optimized(model, ("constfold",), self.name)
            if model.traits.quantization_aware and _fakes(folded) < _fakes(model):
                raise NotApplicable(
                    "fold_constants: it would fold the trained ranges of the weights away"
                )
            return folded
        graph = with_constants_folded(model.graph)
        if len(graph.ops) == len(model.graph.ops):
            raise NotApplicable("fold_constants: every op depends on the input")
        return successor(model, graph)


def _fakes(model: Model) -> int:
    """Fake quantizations in a frozen graph."""
    if model.level is not Level.GRAPH:
        return 0
    return sum(node.op.startswith("FakeQuant") for node in graph_def(model.frozen).node)


def with_constants_folded(graph: Graph) -> Graph:
    """The graph without the ops that compute constants."""
    stored = tuple(op for op in graph.ops if op.kind == "DEQUANTIZE")
    computed = fold(graph.with_ops(tuple(op for op in graph.ops if op not in stored)))
    left = tuple(
        op
        for op in graph.ops
        if op in stored or any(computed.tensors[index].data is None for index in op.outputs)
    )
    return live(computed.with_ops(left))
