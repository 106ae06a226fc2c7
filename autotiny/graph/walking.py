"""Walking a graph: who makes and who reads a tensor, what its outputs need, in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from operator import attrgetter

from autotiny.graph.types import Graph, Op

Reads = Callable[[Op], Iterable[int]]
"""The tensors that an op needs; by default all that it reads."""

_ALL: Reads = attrgetter("inputs")


def producers(graph: Graph) -> dict[int, Op]:
    """The op that computes each tensor; inputs of the graph and constants have none."""
    return {index: op for op in graph.ops for index in op.outputs}


def readers(graph: Graph) -> dict[int, list[Op]]:
    """The ops that read each tensor, in their order; what nothing reads is not there.

    An op that reads a tensor twice stands there twice. That the graph gives a tensor out, or that
    an op names it among its `intermediates`, counts for nothing.
    """
    found: dict[int, list[Op]] = {}
    for op in graph.ops:
        for index in op.inputs:
            if index >= 0:
                found.setdefault(index, []).append(op)
    return found


def read_once(graph: Graph, tensor: int) -> bool:
    """Whether one op reads a tensor, at one of its inputs, and nothing else ever does."""
    return tensor not in graph.outputs and len(readers(graph).get(tensor, ())) == 1


def variables(graph: Graph) -> tuple[int, ...]:
    """Tensors that keep their value from one inference to the next: read, but never computed."""
    constants = {i for i, tensor in enumerate(graph.tensors) if tensor.data is not None}
    known = constants.union(graph.inputs, producers(graph))
    return tuple(index for index in readers(graph) if index not in known)


def needed_tensors(graph: Graph, reads: Reads = _ALL) -> set[int]:
    """The outputs of a graph and all that they are computed from."""
    needed = set(graph.outputs)
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            needed.update(index for index in reads(op) if index >= 0)
    return needed


def needed_ops(graph: Graph, reads: Reads = _ALL) -> tuple[int, ...]:
    """Which ops the outputs of a graph depend on, in their order."""
    needed = needed_tensors(graph, reads)
    return tuple(i for i, op in enumerate(graph.ops) if needed.intersection(op.outputs))


def in_order(ops: Iterable[Op]) -> tuple[Op, ...] | None:
    """Ops in an order in which they can be executed; None if they wait for each other."""
    left = list(ops)
    waiting = Counter(index for op in left for index in op.outputs)
    ordered: list[Op] = []
    while left:
        blocked = []
        for op in left:
            if any(waiting[index] for index in op.inputs):
                blocked.append(op)
            else:
                ordered.append(op)
                waiting.subtract(op.outputs)
        if len(blocked) == len(left):
            return None
        left = blocked
    return tuple(ordered)
