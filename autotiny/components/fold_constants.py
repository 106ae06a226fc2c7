"""Compute what does not depend on the input now, so that the firmware need not.

On a frozen graph through Grappler's constant folding; on a graph of level tflite here. Constants
that are
dequantized stay as they are: folding them would store floats where bytes suffice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autotiny.components.base import Component, Work
from autotiny.components.editing import live, with_tensor
from autotiny.components.grappler import optimized
from autotiny.errors import NotApplicable
from autotiny.graph import Array, Graph, Op, Tensor
from autotiny.model import Level, Model, graph_def


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
            if "quantization_aware" in model.notes and _fakes(folded) < _fakes(model):
                raise NotApplicable(
                    "fold_constants: it would fold the trained ranges of the weights away"
                )
            return folded
        graph = with_constants_folded(model.network)
        if len(graph.ops) == len(model.network.ops):
            raise NotApplicable("fold_constants: every op depends on the input")
        return Model(Level.TFLITE, graph, graph.fingerprint(), dict(model.notes))


def _fakes(model: Model) -> int:
    """Fake quantizations in a frozen graph."""
    if model.level is not Level.GRAPH:
        return 0
    return sum(node.op.startswith("FakeQuant") for node in graph_def(model.network).node)


def with_constants_folded(graph: Graph) -> Graph:
    """The graph without the ops that compute constants."""
    for op in graph.ops:
        folded = _folded(graph, op)
        if folded is not None:
            graph = with_tensor(graph, op.outputs[0], folded)
            graph = graph.with_ops(tuple(other for other in graph.ops if other is not op))
    return live(graph)


def _folded(graph: Graph, op: Op) -> Tensor | None:
    """The constant that an op computes, or None if it computes none that we can tell."""
    if op.kind not in FOLDERS or len(op.outputs) != 1 or op.outputs[0] in graph.outputs:
        return None
    inputs = [graph.tensors[i] for i in op.inputs if i >= 0]
    output = graph.tensors[op.outputs[0]]
    static = op.kind == "SHAPE" or (inputs and all(t.data is not None for t in inputs))
    if not static or not _exact(op, inputs, output):
        return None
    value = FOLDERS[op.kind](op, inputs)
    if value.shape != output.shape:
        return None
    return replace(output, data=np.array(value, dtype=np.dtype(output.dtype)))


def _exact(op: Op, inputs: list[Tensor], output: Tensor) -> bool:
    """Whether folding gives the stored values that the kernel would compute."""
    if op.kind in MOVES:
        return all(t.quantization == output.quantization for t in inputs[:1])
    plain = all(t.quantization is None for t in (*inputs, output))
    return plain and op.options.get("fused_activation_function", "NONE") == "NONE"


def _numbers(tensor: Tensor) -> tuple[int, ...]:
    assert tensor.data is not None
    return tuple(int(value) for value in tensor.data.reshape(-1))


def _data(tensor: Tensor) -> Array:
    assert tensor.data is not None
    return tensor.data


def _axis(op: Op) -> int:
    axis = op.options.get("axis", 0)
    assert isinstance(axis, int)
    return axis


def _reshape(op: Op, inputs: list[Tensor]) -> Array:
    shape = _numbers(inputs[1]) if len(inputs) > 1 else op.options.get("new_shape", ())
    return _data(inputs[0]).reshape(shape)  # type: ignore[arg-type]


def _strided_slice(op: Op, inputs: list[Tensor]) -> Array:
    """Begin, end and stride, with masks for begin, end and dropped axes; others stay unfolded."""
    begin, end, stride = (_numbers(tensor) for tensor in inputs[1:4])
    masks = {name: int(op.options.get(f"{name}_mask", 0)) for name in MASKS}  # type: ignore[arg-type]
    if masks["ellipsis"] or masks["new_axis"]:
        return np.empty((0,) * 9)
    parts: list[Any] = []
    for axis, (first, last, step) in enumerate(zip(begin, end, stride, strict=True)):
        bit = 1 << axis
        if masks["shrink_axis"] & bit:
            parts.append(first)
        else:
            parts.append(
                slice(
                    None if masks["begin"] & bit else first,
                    None if masks["end"] & bit else last,
                    step,
                )
            )
    sliced: Array = _data(inputs[0])[tuple(parts)]
    return sliced


MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
MOVES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "STRIDED_SLICE", "GATHER")
"""Kinds that only move stored values, and so fold whatever the quantization."""

FOLDERS: Mapping[str, Callable[[Op, list[Tensor]], Array]] = {
    "SHAPE": lambda op, t: np.array(t[0].shape),
    "RESHAPE": _reshape,
    "SQUEEZE": lambda op, t: np.squeeze(
        _data(t[0]),
        tuple(op.options.get("squeeze_dims") or ()) or None,  # type: ignore[arg-type]
    ),
    "EXPAND_DIMS": lambda op, t: np.expand_dims(_data(t[0]), _numbers(t[1])[0]),
    "TRANSPOSE": lambda op, t: _data(t[0]).transpose(_numbers(t[1])),
    "STRIDED_SLICE": _strided_slice,
    "GATHER": lambda op, t: np.take(_data(t[0]), _data(t[1]), axis=_axis(op)),
    "PACK": lambda op, t: np.stack([_data(x) for x in t], axis=_axis(op)),
    "CONCATENATION": lambda op, t: np.concatenate([_data(x) for x in t], axis=_axis(op)),
    "CAST": lambda op, t: _data(t[0]),
    "FILL": lambda op, t: np.full(_numbers(t[0]), _data(t[1])),
    "RANGE": lambda op, t: np.arange(*(_data(x).item() for x in t)),
    "ADD": lambda op, t: _data(t[0]) + _data(t[1]),
    "SUB": lambda op, t: _data(t[0]) - _data(t[1]),
    "MUL": lambda op, t: _data(t[0]) * _data(t[1]),
    "NEG": lambda op, t: -_data(t[0]),
}
