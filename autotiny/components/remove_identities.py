"""Remove ops that hand on what they get: identities, reshapes of reshapes, conversions and back.

On a frozen graph through Grappler's pruning of identities and NoOps; on a graph of level tflite
here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from autotiny.components.base import Component, Work
from autotiny.components.editing import live, producers, redirected
from autotiny.components.grappler import optimized
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, Op
from autotiny.model import Level, Model

RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


@dataclass(frozen=True)
class RemoveIdentities(Component):
    """Drops ops without effect and joins chains of reshapes."""

    name = "remove_identities"
    level = Level.TFLITE
    leaves = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH, Level.TFLITE)

    def apply(self, model: Model, work: Work) -> Model:
        """The model without identities."""
        if model.level is not Level.TFLITE:
            return optimized(model, ("pruning",), self.name)
        graph = without_identities(model.network)
        if graph.fingerprint() == live(model.network).fingerprint():
            raise NotApplicable("remove_identities: every op changes something")
        return Model(Level.TFLITE, graph, graph.fingerprint(), dict(model.notes))


def without_identities(graph: Graph) -> Graph:
    """The graph with every removable op removed; repeated until nothing is left to do."""
    while True:
        changed = _step(graph)
        if changed is None:
            return live(graph)
        graph = live(changed)


def _step(graph: Graph) -> Graph | None:
    made_by = producers(graph)
    for position, op in enumerate(graph.ops):
        source = _same_as(graph, op, made_by)
        if source is not None:
            target = op.outputs[0]
            if target not in graph.outputs:
                return redirected(graph, {target: source})
            if source not in graph.inputs and source not in graph.outputs and source in made_by:
                return _taken_over(graph, source, target, op)
        earlier = made_by.get(op.inputs[0]) if op.inputs else None
        if op.kind in RESHAPES and earlier is not None and earlier.kind in RESHAPES:
            joined = replace(op, inputs=(earlier.inputs[0], *op.inputs[1:]))
            # A squeeze or an expansion says its shape relative to its input: only a reshape is
            # free.
            if op.kind == "RESHAPE":
                ops = (*graph.ops[:position], joined, *graph.ops[position + 1 :])
                return graph.with_ops(ops)
    return None


def _taken_over(graph: Graph, source: int, target: int, identity: Op) -> Graph:
    """The graph in which the op before an identity computes its output itself."""
    ops = tuple(
        replace(
            op,
            inputs=tuple(target if i == source else i for i in op.inputs),
            outputs=tuple(target if i == source else i for i in op.outputs),
        )
        for op in graph.ops
        if op is not identity
    )
    return graph.with_ops(ops)


def _same_as(graph: Graph, op: Op, made_by: dict[int, Op]) -> int | None:
    """The earlier tensor that an op's result equals in every stored value, shape and type."""
    if not op.inputs or len(op.outputs) != 1:
        return None
    first, last = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    alike = (first.shape, first.dtype, first.quantization) == (
        last.shape,
        last.dtype,
        last.quantization,
    )
    if op.kind in (*RESHAPES, "CAST", "QUANTIZE") and alike:
        return op.inputs[0]
    constants = [graph.tensors[i].data for i in op.inputs[1:] if i >= 0]
    if alike and op.kind in ("PAD", "PADV2") and constants[0] is not None:
        return op.inputs[0] if not np.any(constants[0]) else None
    if alike and op.kind == "TRANSPOSE" and constants[0] is not None:
        return op.inputs[0] if np.array_equal(constants[0], range(len(first.shape))) else None
    if alike and op.kind == "STRIDED_SLICE" and constants[2] is not None:
        return op.inputs[0] if np.all(constants[2] == 1) else None
    if alike and op.kind == "CONCATENATION" and len(op.inputs) == 1:
        return op.inputs[0]
    earlier = made_by.get(op.inputs[0])
    if op.kind == "QUANTIZE" and earlier is not None and earlier.kind == "DEQUANTIZE":
        stored = graph.tensors[earlier.inputs[0]]
        same = (stored.dtype, stored.quantization) == (last.dtype, last.quantization)
        # Per-tensor scales only: x → s(x − z) → x holds in float32 for every stored value of 8
        # bits.
        if same and stored.dtype in ("int8", "uint8"):
            return earlier.inputs[0]
    return None
