"""Which tensors share memory with others under another name, and which never do."""

from __future__ import annotations

from autotiny.engine.kernel import Site
from autotiny.graph import producers, read_once

MAKES_ANEW = (
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "AVERAGE_POOL_2D", "ADD",
    "SUB", "MUL", "PAD", "QUANTIZE", "RELU", "RELU6", "LOGISTIC", "TANH", "CONCATENATION",
)  # fmt: skip
"""Kinds whose output is memory of its own, never a view of another tensor."""


def dies(site: Site) -> bool:
    """Whether nothing but this op ever reads its input, under any name, so it may be spoilt."""
    index = site.op.inputs[0]
    maker = producers(site.graph).get(index)
    return read_once(site.graph, index) and (maker is None or maker.kind in MAKES_ANEW)
