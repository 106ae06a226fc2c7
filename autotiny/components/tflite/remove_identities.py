"""Remove ops that hand on what they get: identities, chains of moves, conversions and back.

On a frozen graph through Grappler's pruning of identities and NoOps; on a graph of level tflite
here. What stands there between a conversion to reals and back, and only moves them, moves stored
numbers instead: the converter leaves such islands in recurrent layers. Reshapes cost the engine
nothing in any case, for they rename memory; transpositions do, and models that come from frameworks
with channels first are full of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from autotiny.components.base import Component, Work
from autotiny.components.frozen._grappler import optimized
from autotiny.components.tflite._transpositions import without_transposition
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, Op, Tensor, live, producers, readers, redirected, renumbered
from autotiny.model import Level, Model, successor

RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
MOVES = (*RESHAPES, "SPLIT", "SPLIT_V", "UNPACK", "STRIDED_SLICE", "SLICE", "TRANSPOSE")
"""Ops that place stored numbers elsewhere, whatever these stand for."""


@dataclass(frozen=True)
class RemoveIdentities(Component):
    """Drops ops without effect and joins chains of reshapes and transpositions."""

    name = "remove_identities"
    level = Level.TFLITE
    leaves = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH, Level.TFLITE)

    def apply(self, model: Model, work: Work) -> Model:
        """The model without identities."""
        if model.level is not Level.TFLITE:
            return optimized(model, ("pruning",), self.name)
        graph = without_identities(model.graph)
        if graph.fingerprint() == live(model.graph).fingerprint():
            raise NotApplicable("remove_identities: every op changes something")
        return successor(model, graph)


def without_identities(graph: Graph) -> Graph:
    """The graph with every removable op removed; repeated until nothing is left to do."""
    while True:
        changed = _step(graph)
        if changed is None:
            return live(graph)
        graph = live(changed)


def _step(graph: Graph) -> Graph | None:
    made_by, read_by = producers(graph), readers(graph)
    for position, op in enumerate(graph.ops):
        moved = without_transposition(graph, position, made_by)
        if moved is not None:
            return moved
        if op.kind in MOVES and _moves_stored(graph, op, made_by, read_by):
            return _without_conversions(graph, position, made_by)
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


def _moves_stored(
    graph: Graph, op: Op, made_by: Mapping[int, Op], read_by: Mapping[int, list[Op]]
) -> bool:
    """Whether an op moves reals that are stored numbers before it, and become the same after."""
    before = made_by.get(op.inputs[_moved(op)])
    after = [reader for index in op.outputs for reader in read_by.get(index, ())]
    if before is None or before.kind != "DEQUANTIZE" or not after:
        return False
    stored = graph.tensors[before.inputs[0]]
    return not set(op.outputs) & set(graph.outputs) and all(
        reader.kind == "QUANTIZE" and _comes_back(stored, graph.tensors[reader.outputs[0]])
        for reader in after
    )


def _moved(op: Op) -> int:
    """Which input of an op is moved; the first of a split is its axis."""
    return 1 if op.kind == "SPLIT" else 0


def _comes_back(first: Tensor, last: Tensor) -> bool:
    """Whether a tensor that is turned into reals and those into another has its old values.

    x → s(x − z) → x holds in float32 for every stored value of 8 bits, with one scale a tensor.
    """
    same = (first.dtype, first.quantization) == (last.dtype, last.quantization)
    return same and first.dtype in ("int8", "uint8")


def _without_conversions(graph: Graph, position: int, made_by: Mapping[int, Op]) -> Graph:
    """The graph in which an op moves stored numbers; the conversions after it are identities."""
    op = graph.ops[position]
    source = made_by[op.inputs[_moved(op)]].inputs[0]
    stored = graph.tensors[source]
    tensors = list(graph.tensors)
    for index in op.outputs:
        tensors[index] = replace(
            tensors[index], dtype=stored.dtype, quantization=stored.quantization
        )
    inputs = tuple(source if i == _moved(op) else old for i, old in enumerate(op.inputs))
    ops = list(graph.ops)
    ops[position] = replace(op, inputs=inputs)
    return replace(graph, tensors=tuple(tensors), ops=tuple(ops))


def _taken_over(graph: Graph, source: int, target: int, identity: Op) -> Graph:
    """The graph in which the op before an identity computes its output itself."""
    kept = (op for op in graph.ops if op is not identity)
    return graph.with_ops(tuple(renumbered(op, {source: target}) for op in kept))


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
        if _comes_back(stored, last):
            return earlier.inputs[0]
    return None
