"""Which tensors share memory with others under another name, and which never do."""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.engine.kernel import Operand, Overlap, Site
from autotiny.graph import Graph, producers, read_once

MAKES_ANEW = (
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "AVERAGE_POOL_2D", "ADD",
    "SUB", "MUL", "PAD", "QUANTIZE", "RELU", "RELU6", "LOGISTIC", "TANH", "CONCATENATION",
)  # fmt: skip
"""Kinds whose output is memory of its own, never a view of another tensor."""


def dies(site: Site) -> bool:
    """Whether nothing but this op ever reads its input, under any name, so it may be spoilt."""
    index = site.op.inputs[0]
    return read_once(site.graph, index) and made_anew(site.graph, index)


def made_anew(graph: Graph, tensor: int) -> bool:
    """Whether a tensor is memory of its own; two such tensors never share any."""
    maker = producers(graph).get(tensor)
    return maker is None or maker.kind in MAKES_ANEW


@dataclass(frozen=True)
class Placed:
    """Where a depthwise layer puts its outputs, which reads all of a channel before it writes it.

    Fewer outputs than inputs first replace the inputs where they lie, if those die, and then move
    together.

    Attributes:
        x: the input, to be written too where it is replaced.
        name: of the operand that outputs are written to.
        row: pixels from one row of outputs to the next.
        closing: the statement that moves the rows together, or nothing.
        overlap: how the output may lie over the input.
    """

    x: Operand
    name: str
    row: int
    closing: str
    overlap: Overlap


def placed(site: Site, shape: dict[str, int]) -> Placed:
    """Where a depthwise layer of one output a channel puts its outputs."""
    h, w, channels = shape["out_h"], shape["out_w"], shape["in_c"]
    same = (shape["in_h"], shape["in_w"]) == (h, w)
    if same or h > shape["in_h"] or w > shape["in_w"] or not dies(site):
        return Placed(site.reads("x"), "y", w, "", Overlap(None, None, same=same))
    row = shape["in_w"]
    closing = f"\nat_close_rows(x, y, {h}, {row * channels}, {w * channels});"
    return Placed(Operand("x", site.op.inputs[0], "int8_t"), "x", row, closing, Overlap())
