"""Simplify arithmetic: like terms become one, factors are hoisted, inverse ops cancelled.

On a frozen graph through Grappler's arithmetic optimizer (Larsen and Shpeisman, "TensorFlow Graph
Optimizations", 2019), then as `components.sums` does it. On a graph of level tflite by the latter
alone, and floats only: integers are rounded behind every op, so that another order of ops would
give other results. Those of floats differ in the last bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from autotiny.components.base import Component, Work
from autotiny.components.frozen._arithmetic import with_simple_sums
from autotiny.components.frozen._grappler import run_passes
from autotiny.components.sums import Apply, Constant, Expression, Kind, Leaf, simplified
from autotiny.components.tflite._replacing import Writing
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, Op, live, producers, readers, redirected
from autotiny.model import Level, Model, freeze, successor

KINDS: Mapping[str, Kind] = {"ADD": "ADD", "SUB": "SUB", "MUL": "MUL", "DIV": "DIV"}


@dataclass(frozen=True)
class SimplifyArithmetic(Component):
    """Rewrites expressions into cheaper ones of the same value."""

    name = "simplify_arithmetic"
    level = Level.TFLITE
    leaves = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH, Level.TFLITE)

    def apply(self, model: Model, work: Work) -> Model:
        """The model with simplified arithmetic."""
        if model.level is Level.TFLITE:
            before, after = model, successor(model, with_cheaper_sums(model.graph))
        else:
            before = freeze(model)
            network = run_passes(before.frozen, ("arithmetic", "constfold", "arithmetic"))
            after = successor(before, with_simple_sums(network))
        if after.fingerprint == before.fingerprint:
            raise NotApplicable("simplify_arithmetic: no cheaper form is known of any expression")
        return after


def with_cheaper_sums(graph: Graph) -> Graph:
    """The graph with each sum of products of floats in the cheapest form that is known."""
    while True:
        better = (_cheaper(graph, op) for op in graph.ops if _is_sum(graph, op))
        changed = next((one for one in better if one is not None), None)
        if changed is None:
            return graph
        graph = live(changed)


def _cheaper(graph: Graph, root: Op) -> Graph | None:
    """The graph with the sum that ends in an op in a cheaper form; None if none is known."""
    made_by, read_by = producers(graph), readers(graph)

    def is_inside(tensor: int) -> bool:
        """Whether a tensor is a part of one sum and nothing else."""
        maker, read = made_by.get(tensor), read_by.get(tensor, [])
        if maker is None or len(read) != 1 or tensor in graph.outputs:
            return False
        return all(_is_sum(graph, op) for op in (maker, *read)) and not _activation(maker)

    leaves: dict[int, Leaf] = {}

    def part(tensor: int) -> Expression:
        one = graph.tensors[tensor]
        if one.data is not None:
            return Constant(one.data)
        if is_inside(tensor):
            return whole(made_by[tensor])
        return leaves.setdefault(tensor, Leaf(tensor, one.shape))

    def whole(op: Op) -> Expression:
        left, right = op.inputs
        return Apply(KINDS[op.kind], part(left), part(right))

    result = root.outputs[0]
    better = None if is_inside(result) else simplified(whole(root))
    if better is None:
        return None
    writing = Writing(graph)
    source = _written(better, writing)
    if isinstance(better, Apply):
        options = {"fused_activation_function": _activation(root) or "NONE"}
        writing.ops[-1] = replace(writing.ops[-1], outputs=root.outputs, options=options)
    elif _activation(root) or result in graph.outputs:
        return None
    changed = writing.instead(graph, graph.ops.index(root))
    return changed if isinstance(better, Apply) else redirected(changed, {result: source})


def _is_sum(graph: Graph, op: Op) -> bool:
    tensors = (graph.tensors[index] for index in (*op.inputs, *op.outputs))
    return op.kind in KINDS and all(one.dtype == "float32" for one in tensors)


def _activation(op: Op) -> str:
    """What an op does to its result besides; empty for nothing."""
    name = op.option("fused_activation_function", "NONE")
    return "" if name == "NONE" else name


def _written(expression: Expression, writing: Writing) -> int:
    """Adds the ops of an expression, the last one last; its tensor."""
    if isinstance(expression, Leaf):
        assert isinstance(expression.name, int)
        return expression.name
    if isinstance(expression, Constant):
        values = np.asarray(expression.values, np.float32)
        return writing.tensor(expression.shape, "float32", None, values)
    sides = [_written(side, writing) for side in (expression.left, expression.right)]
    result = writing.tensor(expression.shape, "float32")
    writing.op(expression.kind, sides, (result,))
    return result
