"""Keeping some activations of an int8 graph in 16 bits: those whose rounding costs most.

An activation has 16 bits if the op that writes it and the ops that read it compute in int16; where
they meet the int8 rest stands a requantization. Weights are the same int8 in both. How much an
activation matters is measured as in Wu et al., "Integer Quantization for Deep Learning Inference",
2020, section 5 (partial quantization), the other way round: everything has 16 bits but this one,
and the mean squared change of the output (before a softmax) on calibration samples is what its 8
bits cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from autotiny.components.tflite._calibrating import SAME_RANGE
from autotiny.graph import (
    Array,
    Graph,
    Op,
    Option,
    Quantization,
    Tensor,
    dequantize,
    live,
    producers,
    quantize,
    readers,
    renumbered,
)
from autotiny.model import cut, silent_stderr
from autotiny.tflite import write_tflite

SAMPLES = 8
"""So many calibration samples decide which activations matter."""

TINY = 1e-30
"""The least variance that a change is compared with."""

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
UNIT_RANGE = ("SOFTMAX", "LOGISTIC", "TANH")
"""Ops whose int16 result has the fixed scale 1/32768."""

WIDE = frozenset({
    *LAYERS, *UNIT_RANGE, "ADD", "SUB", "MUL", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "RESHAPE",
    "SQUEEZE", "EXPAND_DIMS", "PAD", "TRANSPOSE",
})  # fmt: skip
"""Ops that TensorFlow Lite Micro and the engine compute in int16 as they do in int8."""

INT16_OPTIONS: Mapping[str, Option] = {"pot_scale_int16": False, "quantized_bias_type": "int64"}
"""What the options of such an op say in int16, where it has them."""

MOVES = SAME_RANGE & WIDE
"""Among them those that hand on what they get: their result has the bits of their input."""


def with_wide_activations(graph: Graph, count: int, samples: Array) -> Graph:
    """An int8 graph in which the activations that matter most have 16 bits.

    Args:
        graph: an int8 graph.
        count: how many activations; as many as there are if there are fewer.
        samples: inputs, (N, …), in real numbers; those of several side by side.
    """
    candidates = activations(graph)
    if len(candidates) > count:
        costs = _costs(graph, candidates, samples[:SAMPLES])
        best = sorted(range(len(candidates)), key=lambda place: -costs[place])[:count]
        candidates = [candidates[place] for place in sorted(best)]
    chosen = frozenset(tensor for group in candidates for tensor in group)
    return live(widened(graph, chosen)) if chosen else graph


def activations(graph: Graph) -> list[tuple[int, ...]]:
    """What can have 16 bits, in the order of the graph: a tensor and what is moved out of it."""
    made_by, read_by = producers(graph), readers(graph)
    groups: dict[int, list[int]] = {}
    for op in graph.ops:
        for index in op.outputs:
            groups.setdefault(_root(made_by, index), []).append(index)
    found = []
    for members in groups.values():
        ops = [op for index in members for op in (made_by[index], *read_by.get(index, ()))]
        fixed = {*graph.inputs, *graph.outputs}.intersection(members)
        if not fixed and all(_can_be_wide(graph, op) for op in ops):
            found.append(tuple(members))
    return found


def _root(made_by: Mapping[int, Op], index: int) -> int:
    """The first of the tensors that another is moved out of."""
    while made_by[index].kind in MOVES and made_by[index].inputs[0] in made_by:
        index = made_by[index].inputs[0]
    return index


def _can_be_wide(graph: Graph, op: Op) -> bool:
    """Whether an op of an int8 graph computes int8, and has a form that computes int16."""
    values = [graph.tensors[index] for index in (op.inputs[0], *op.outputs)]
    if op.kind in LAYERS:
        values.append(graph.tensors[op.inputs[1]])
        if values[-1].data is None:
            return False
    return op.kind in WIDE and all(tensor.dtype == "int8" for tensor in values)


def _costs(graph: Graph, candidates: Sequence[tuple[int, ...]], samples: Array) -> list[float]:
    """The mean squared change of the outputs that the 8 bits of each activation make alone.

    Each output counts in shares of its own variance.
    """
    full = widened(graph, frozenset(index for group in candidates for index in group))
    full = replace(full, outputs=tuple(_scores(producers(full), end) for end in full.outputs))
    exact = _outputs(full, samples)
    costs = []
    for first, *_ in candidates:
        rounded = _outputs(_rounded(full, first, graph.tensors[first]), samples)
        shares = [
            np.mean((one - other) ** 2) / max(np.var(other), TINY)
            for one, other in zip(rounded, exact, strict=True)
        ]
        costs.append(float(np.sum(shares)))
    return costs


def _scores(made_by: Mapping[int, Op], index: int) -> int:
    """An output before it goes back to 8 bits and through a softmax, which hide most changes."""
    while made_by[index].kind in ("QUANTIZE", "SOFTMAX"):
        index = made_by[index].inputs[0]
    return index


def _rounded(graph: Graph, index: int, narrow: Tensor) -> Graph:
    """A graph in which a tensor only has values that it could have in int8."""
    before, stored = len(graph.tensors), len(graph.tensors) + 1
    ops: list[Op] = []
    for op in graph.ops:
        if index not in op.outputs:
            ops.append(op)
            continue
        ops.append(renumbered(op, {index: before}))
        ops.append(Op("QUANTIZE", (before,), (stored,)))
        ops.append(Op("QUANTIZE", (stored,), (index,)))
    tensors = (*graph.tensors, graph.tensors[index], narrow)
    return replace(graph, tensors=tensors, ops=tuple(ops))


def _outputs(graph: Graph, samples: Array) -> list[Array]:
    """What LiteRT computes of a graph for real inputs, in real numbers, (N, …) of each output."""
    from ai_edge_litert.interpreter import Interpreter

    inputs, ends = ([graph.tensors[i] for i in side] for side in (graph.inputs, graph.outputs))
    parts = cut(samples, [port.shape[1:] for port in inputs])
    rows: list[list[Array]] = [[] for _ in ends]
    with silent_stderr():
        interpreter = Interpreter(model_content=write_tflite(live(graph)))
        interpreter.allocate_tensors()
        places = [entry["index"] for entry in interpreter.get_input_details()]
        results = [entry["index"] for entry in interpreter.get_output_details()]
        for number in range(len(samples)):
            for place, port, part in zip(places, inputs, parts, strict=True):
                stored = quantize(part[number], port.quantization, port.dtype)
                interpreter.set_tensor(place, stored.reshape(port.shape))
            interpreter.invoke()
            for found, end, result in zip(rows, ends, results, strict=True):
                values = interpreter.get_tensor(result)
                found.append(dequantize(values, end.quantization, np.float64))
    return [np.stack(found) for found in rows]


def widened(graph: Graph, wide: frozenset[int]) -> Graph:
    """A graph with some int8 tensors in int16, each with all that is moved out of it.

    What stands between two ops that are both wide for another tensor's sake has 16 bits too.
    """
    widening = _Widening(graph, wide)
    for op in graph.ops:
        if wide.isdisjoint((*op.inputs, *op.outputs)):
            widening.ops.append(op)
        else:
            widening.widen(op)
    return replace(graph, tensors=tuple(widening.tensors), ops=tuple(widening.ops))


class _Widening:
    """A graph under work: its ops so far, and int16 twins of int8 tensors."""

    def __init__(self, graph: Graph, wide: frozenset[int]) -> None:
        self.graph = graph
        self.wide = wide
        self.tensors = list(graph.tensors)
        self.ops: list[Op] = []
        self.twins: dict[int, int] = {}
        self._made_by = producers(graph)
        for index in wide:
            self.tensors[index] = self._int16(index)

    def widen(self, op: Op) -> None:
        """Adds an op in int16, and what brings its int8 inputs and outputs there and back."""
        inputs = [
            self._read(index) if place != 1 or op.kind not in LAYERS else index
            for place, index in enumerate(op.inputs)
        ]
        if op.kind in LAYERS and len(inputs) > 2 and inputs[2] >= 0:
            inputs[2] = self._bias(inputs[2], op.inputs[0], inputs[0])
        outputs = [index if index in self.wide else self._twin(index) for index in op.outputs]
        options = dict(op.options)
        options.update({key: value for key, value in INT16_OPTIONS.items() if key in options})
        self.ops.append(replace(op, inputs=tuple(inputs), outputs=tuple(outputs), options=options))
        for twin, index in zip(outputs, op.outputs, strict=True):
            if twin != index:
                self.ops.append(Op("QUANTIZE", (twin,), (index,)))

    def _read(self, index: int) -> int:
        """An input in int16, if it is an activation."""
        if index < 0 or index in self.wide or self.graph.tensors[index].dtype != "int8":
            return index
        if index not in self.twins:
            twin = self._twin(index)
            if self.tensors[index].data is None:
                self.ops.append(Op("QUANTIZE", (index,), (twin,)))
        return self.twins[index]

    def _twin(self, index: int) -> int:
        self.tensors.append(self._int16(index))
        self.twins[index] = len(self.tensors) - 1
        return self.twins[index]

    def _int16(self, index: int) -> Tensor:
        """An int8 tensor in int16, over the same range."""
        tensor = self.graph.tensors[index]
        if tensor.quantization is None:
            raise ValueError(f"int8 tensor {tensor.name!r} has no scale")
        made_by = self._made_by
        maker = made_by[_root(made_by, index)].kind if index in made_by else None
        ends = dequantize(np.array([-128, 127]), tensor.quantization, np.float64)
        scale = 1 / 32768 if maker in UNIT_RANGE else float(np.abs(ends).max()) / 32767
        quantization = Quantization((float(np.float32(scale)),), (0,))
        data = tensor.data
        if data is not None:
            real = dequantize(data, tensor.quantization, np.float64)
            data = quantize(real, quantization, "int16")
        name = f"{tensor.name}/int16"
        return replace(tensor, name=name, dtype="int16", quantization=quantization, data=data)

    def _bias(self, bias: int, before: int, after: int) -> int:
        """The bias of a layer for another scale of its input."""
        tensor = self.tensors[bias]
        narrow, wide = self.graph.tensors[before].quantization, self.tensors[after].quantization
        if tensor.data is None or tensor.quantization is None or narrow is None or wide is None:
            raise ValueError(f"bias {tensor.name!r} is no constant of a known scale")
        ratio = narrow.scale / wide.scale
        scales = tuple(float(np.float32(scale / ratio)) for scale in tensor.quantization.scales)
        data = np.round(tensor.data.astype(np.float64) * ratio).astype(np.int64)
        quantization = replace(tensor.quantization, scales=scales)
        name = f"{tensor.name}/int16"
        self.tensors.append(Tensor(name, tensor.shape, "int64", quantization, data))
        return len(self.tensors) - 1
