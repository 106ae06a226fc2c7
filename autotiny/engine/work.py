"""How much a graph computes, without running it."""

from __future__ import annotations

from autotiny.graph import Graph, Op


def work_of(graph: Graph) -> int:
    """Multiplications, and elements read and written, of one inference: what its time grows with.

    A bound within a small factor, and no count: all weights (constants of two and more dimensions)
    are counted once for each row of the longest operand, as if each pixel or time step used them.
    """
    return sum(_work(graph, op) for op in graph.ops)


def _work(graph: Graph, op: Op) -> int:
    operands = [graph.tensors[index] for index in (*op.inputs, *op.outputs) if index >= 0]
    moving = [tensor for tensor in operands if tensor.data is None]
    rows = max(
        (tensor.size // max(1, tensor.shape[-1]) for tensor in moving if tensor.shape), default=1
    )
    weights = sum(
        tensor.size for tensor in operands if tensor.data is not None and len(tensor.shape) > 1
    )
    elements = sum(tensor.size for tensor in operands)
    if op.kind == "BATCH_MATMUL":
        weights = max(tensor.size for tensor in operands)
    return rows * weights + elements
