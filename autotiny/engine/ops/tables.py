"""Steps that are a function of one byte, by a table: the result for each of the 256 inputs.

An op of one element on int8 is such a step, a sum or product with a single number, and any tree of
such ops that begins with one tensor: x · sigmoid(x) takes no longer than sigmoid(x).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from autotiny.engine.kernel import Emit, Kernel, Overlap, Site, table
from autotiny.engine.layers import stored
from autotiny.engine.ops import lookup
from autotiny.graph import Array, Graph
from autotiny.schedule import Step

FUNCTIONS: Final[Mapping[str, Callable[[Site], Callable[..., int]]]] = {
    **lookup.FUNCTIONS,
    "QUANTIZE": stored.requantized,
    "ADD": stored.added,
    "SUB": stored.added,
    "MUL": stored.multiplied,
    "PRELU": stored.sloped,
    "MAXIMUM": lambda _: max,
    "MINIMUM": lambda _: min,
}
"""Kind → what an op on int8 makes of one element of each of its inputs."""

COMPARED: Final = ("MAXIMUM", "MINIMUM")
"""Kinds whose own kernels are as fast as a table, and smaller."""

LEAST_REQUANTIZED: Final = 1024
"""Elements of a QUANTIZE for which a table is worth 150 bytes more than its own kernel."""


def source_of(graph: Graph, ops: Sequence[int]) -> int | None:
    """The int8 tensor of which the result of some ops is a function, element by element.

    Args:
        graph: the network, its constants folded.
        ops: in an order in which they can be executed.

    Returns:
        None if there is no such tensor.
    """
    chain = [graph.ops[index] for index in ops]
    made = {tensor for op in chain for tensor in op.outputs}
    read = {tensor for op in chain for tensor in op.inputs if tensor >= 0} - made
    varying = {tensor for tensor in read if graph.tensors[tensor].data is None}
    if len(varying) != 1 or any(op.kind not in FUNCTIONS for op in chain):
        return None
    if any(graph.tensors[tensor].dtype != "int8" for tensor in made | read):
        return None
    sizes = {graph.tensors[tensor].size for tensor in made | varying}
    single = all(graph.tensors[tensor].size == 1 for tensor in read - varying)
    return varying.pop() if single and len(sizes) == 1 else None


def tabulated(emit: Emit) -> Emit:
    """An emitter that takes a table where it pays, and what is given elsewhere."""

    def chosen(site: Site) -> Kernel:
        return by_table(site) if site.fused or _pays(site) else emit(site)

    return chosen


def _pays(site: Site) -> bool:
    """Whether a table is faster than the kernel of a single op, and not much larger."""
    if site.op.kind in COMPARED or source_of(site.graph, site.step.ops) is None:
        return False
    return site.op.kind != "QUANTIZE" or site.output.size >= LEAST_REQUANTIZED


def by_table(site: Site) -> Kernel:
    """A step that is a function of one byte."""
    alone = len(site.step.ops) == len(site.op.inputs) == 1  # of a constant, too
    source = site.op.inputs[0] if alone else source_of(site.graph, site.step.ops)
    if source is None:
        others = " and ".join(op.kind for op in site.fused)
        site.refuse(f"with {others} it is no function of one int8 tensor")
    results = table("table", _results(site, source), site.step.weights.memory)
    body = f"at_lookup_s8(x, y, table, {site.output.size});"
    operands = (site.reads_tensor("x", source), site.writes(), results)
    return Kernel(("unary.h",), body, operands, {("x", "y"): Overlap()})


def _results(site: Site, source: int) -> Array:
    """(256,) int8: what a step makes of 0, 1, …, 127, −128, …, −1."""
    graph = site.graph
    values: dict[int, Sequence[int]] = {source: (*range(128), *range(-128, 0))}
    for index in site.step.ops:
        op = graph.ops[index]
        one = FUNCTIONS[op.kind](Site(graph, Step((index,))))
        inputs = [values.get(tensor) or _repeated(graph, tensor) for tensor in op.inputs]
        found = (one(*row) for row in zip(*inputs, strict=True))
        values[op.outputs[0]] = [min(max(value, -128), 127) for value in found]
    return np.array(values[site.output_index], np.int8)


def _repeated(graph: Graph, tensor: int) -> list[int]:
    """The number that a constant holds, for each of the 256."""
    data = graph.tensors[tensor].data
    assert data is not None
    return [int(data.reshape(-1)[0])] * 256
