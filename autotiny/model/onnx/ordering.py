"""In which order of axes an input is read, so that nothing has to be moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autotiny.model.onnx.elementwise import ACTIVATIONS, FUNCTIONS, OPERATORS
from autotiny.model.onnx.values import channels_last, identity

CHANNELS_LAST = frozenset((
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
    "BatchNormalization", "InstanceNormalization", "GroupNormalization", "Resize", "Upsample",
    "DepthToSpace", "SpaceToDepth", "LRN", "PRelu",
))  # fmt: skip
"""Operators whose layers read channels last."""

RECURRENT = frozenset(("LSTM", "GRU", "RNN"))

PASSING = frozenset((
    *FUNCTIONS, *ACTIVATIONS, *OPERATORS, "Cast", "Clip", "Dropout", "Elu", "Gelu", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Pad", "Relu", "Selu", "Slice",
))  # fmt: skip
"""Operators that take any order."""

Order = tuple[int, ...]


def input_order(graph: Any, name: str, sizes: Sequence[int | None]) -> Order:
    """The order of an input's axes that the first layer to care for it reads.

    Where none does, the batch comes first: the first axis that can be one.
    """
    rank = len(sizes)
    pending: list[tuple[str, Order]] = [(name, identity(rank))]
    seen = {name}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for source in node.input:
            readers.setdefault(source, []).append(node)
    while pending:
        tensor, axes = pending.pop(0)
        for node in readers.get(tensor, []):
            kind = node.op_type
            wanted: Order | None = None
            if kind in CHANNELS_LAST and node.input[0] == tensor and rank >= 3:
                wanted = channels_last(rank)
            elif kind in RECURRENT and node.input[0] == tensor and rank == 3:
                layout = next((one.i for one in node.attribute if one.name == "layout"), 0)
                wanted = identity(3) if layout else (1, 0, 2)
            if wanted is not None:
                return tuple(axes[place] for place in wanted)
            passed = axes
            if kind == "Transpose":
                given = next((list(one.ints) for one in node.attribute if one.name == "perm"), None)
                order = given if given and len(given) == rank else list(range(rank))[::-1]
                passed = tuple(axes[place] for place in order)
            elif kind not in PASSING:
                continue
            for target in node.output:
                if target not in seen:
                    seen.add(target)
                    pending.append((target, passed))
    batch = next((axis for axis, size in enumerate(sizes) if size in (None, 1)), 0)
    return (batch, *(axis for axis in range(rank) if axis != batch))[:rank]
