"""An LSTM whose steps are separate ops: found by what they compute, and put into one op.

Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, as LiteRT's UNIDIRECTIONAL_SEQUENCE_LSTM
computes it, whoever wrote the steps and however their products are split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autotiny.components.tflite._reading import ALONE, Linear, Reading, Row
from autotiny.components.tflite._replacing import (
    Writing,
    covering,
    power_of_two,
    sequence_of,
    time_axis,
    types,
    with_layer,
)
from autotiny.graph import Array, Graph, Op, Option, live, producers, readers, redirected

GATES = ("input", "forget", "cell", "output")
"""In the order of the op's weights."""


def with_lstms(graph: Graph) -> Graph:
    """The graph with every LSTM that was found as one op."""
    while True:
        fused = (_fused(graph, layer) for layer in _layers(graph))
        better = next((one for one in fused if one is not None), None)
        if better is None:
            return graph
        graph = _read_in_own_scale(better)


@dataclass(frozen=True)
class Cell:
    """One step of an LSTM.

    Attributes:
        before: the cell state that it starts from; None for zeros.
        state: the one it leaves.
        hidden: its result.
        gates: what each gate is a function of; the forget gate is missing where there is nothing to
            forget.
    """

    before: int | None
    state: int
    hidden: int
    gates: Mapping[str, Linear]


class _Cells:
    """The steps of LSTMs in a graph."""

    def __init__(self, graph: Graph) -> None:
        self._reading = Reading(graph)

    def cells(self) -> Iterator[Cell]:
        """Every step of an LSTM in the graph."""
        for op in self._reading.graph.ops:
            last = op.outputs[0]
            factors = self._reading.factors(last, "LOGISTIC", "TANH") if op.kind == "MUL" else None
            if factors is not None:
                output, state = factors
                cell = self._cell(last, output, self._reading.origin(state))
                if cell is not None:
                    yield cell

    def _cell(self, hidden: int, output: int, state: int) -> Cell | None:
        """The step that leaves a state; output is what its output gate is a function of."""
        arguments, before = {"output": output}, None
        fresh = self._reading.factors(state, "LOGISTIC", "TANH")
        total = self._reading.op(state, "ADD")
        if fresh is None and total is not None:
            for kept, added in (total.inputs, total.inputs[::-1]):
                fresh = self._reading.factors(added, "LOGISTIC", "TANH")
                remembered = self._reading.factors(kept, "LOGISTIC", None)
                if fresh is not None and remembered is not None:
                    arguments["forget"], before = remembered
                    break
        if fresh is None or (total is not None and "forget" not in arguments):
            return None
        arguments["input"], arguments["cell"] = fresh
        gates = {gate: self._reading.linear(tensor) for gate, tensor in arguments.items()}
        if before is not None:
            before = None if self._reading.is_zero(before) else self._reading.origin(before)
        if any(gate is None for gate in gates.values()):
            return None
        return Cell(before, state, hidden, {k: v for k, v in gates.items() if v is not None})


# Steps in a row


@dataclass(frozen=True)
class Lstm:
    """A chain of cells as one layer.

    Attributes:
        rows: the inputs, in the order of the steps.
        states, hidden: what the steps leave, tensors (1, units).
        weights: of each gate for the input, (units, depth).
        recurrent: of each gate for the step before, (units, units).
        bias: of each gate, (units).
    """

    rows: Sequence[Row]
    states: Sequence[int]
    hidden: Sequence[int]
    weights: Sequence[Array]
    recurrent: Sequence[Array]
    bias: Sequence[Array]


def _layers(graph: Graph) -> Iterator[Lstm]:
    """Every LSTM whose steps are separate ops."""
    cells = list(_Cells(graph).cells())
    for first in cells:
        chain = [first]
        while first.before is None:
            after = [cell for cell in cells if cell.before == chain[-1].state]
            if len(after) != 1:
                break
            chain += after
        layer = _layer(chain) if len(chain) > 1 else None
        if layer is not None:
            yield layer


def _layer(chain: Sequence[Cell]) -> Lstm | None:
    """A chain of cells as a layer; None if its steps have different weights."""
    rows: list[Row] = []
    for last, cell in zip((None, *chain), chain, strict=False):
        remembered = set() if last is None else {(last.hidden, ALONE)}
        sources = [set(gate.terms) for gate in cell.gates.values()]
        if any(source != sources[0] for source in sources) or not remembered <= sources[0]:
            return None
        if len(sources[0] - remembered) != 1:
            return None
        rows += sources[0] - remembered
    weights, recurrent, biases = [], [], []
    for gate in GATES:
        steps = [
            (cell.gates[gate], place) for place, cell in enumerate(chain) if gate in cell.gates
        ]
        w = [linear.terms[rows[place]] for linear, place in steps]
        r = [linear.terms[chain[p - 1].hidden, ALONE] for linear, p in steps if p]
        bias = min((linear for linear, _ in steps), key=lambda linear: linear.grain)
        alike = all(
            np.abs(linear.bias - bias.bias).max() <= linear.grain + bias.grain
            for linear, _ in steps
        )
        same = [np.array_equal(one, all_[0]) for all_ in (w, r) for one in all_]
        if not (alike and all(same)) or len(r) != len(chain) - 1:
            return None
        weights.append(w[0])
        recurrent.append(r[0])
        biases.append(bias.bias)
    states, hidden = [cell.state for cell in chain], [cell.hidden for cell in chain]
    return Lstm(rows, states, hidden, weights, recurrent, biases)


# The op in their place


def _fused(graph: Graph, layer: Lstm) -> Graph | None:
    """The graph with a layer as one op.

    None if its inputs hang on its own results, or if its steps are stored differently.
    """
    writing = Writing(graph)
    sequence = sequence_of(writing, layer.rows)
    if sequence is None or len(types(writing, (sequence, *layer.hidden, *layer.states))) > 1:
        return None

    def result(whole: bool, results_backwards: bool) -> int:
        return _op(writing, layer, sequence)

    return with_layer(graph, writing, layer.hidden, result, turns=False)


def _read_in_own_scale(graph: Graph) -> Graph:
    """The graph whose dense layers read a layer's results in the scale that the op gives them.

    Their bias takes the other scale instead, so that nothing is requantized between.
    """
    made_by, read_by = producers(graph), readers(graph)
    tensors, instead = list(graph.tensors), {}
    for op in graph.ops:
        if op.kind != "QUANTIZE" or not _is_result(op.inputs[0], made_by):
            continue
        source, target = (graph.tensors[index] for index in (op.inputs[0], op.outputs[0]))
        dense = read_by.get(op.outputs[0], [])
        alike = source.dtype == target.dtype and op.outputs[0] not in graph.outputs
        if not dense or not alike or not all(_rescalable(graph, one, op, read_by) for one in dense):
            continue
        instead[op.outputs[0]] = op.inputs[0]
        for bias in {index for one in dense for index in one.inputs[2:3] if index >= 0}:
            stored = tensors[bias]
            assert stored.data is not None and stored.quantization is not None
            assert source.quantization is not None and target.quantization is not None
            factor = source.quantization.scale / target.quantization.scale
            scales = tuple(scale * factor for scale in stored.quantization.scales)
            values = np.round(stored.data / factor).astype(stored.data.dtype)
            scaled = replace(stored.quantization, scales=scales)
            tensors[bias] = replace(stored, quantization=scaled, data=values)
    return live(redirected(replace(graph, tensors=tuple(tensors)), instead)) if instead else graph


def _is_result(tensor: int, made_by: Mapping[int, Op]) -> bool:
    """Whether a tensor is a layer's result, or a part of it."""
    op = made_by.get(tensor)
    while op is not None and op.kind in ("STRIDED_SLICE", "UNPACK", "RESHAPE"):
        op = made_by.get(op.inputs[0])
    return op is not None and op.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM"


def _rescalable(graph: Graph, op: Op, before: Op, read_by: Mapping[int, list[Op]]) -> bool:
    """Whether an op is a dense layer on what another gives, with constants that it alone reads.

    Files from elsewhere may leave a bias without a scale, which is then nobody's to change.
    """
    constants = [index for index in op.inputs[1:] if index >= 0]
    return (
        op.kind == "FULLY_CONNECTED"
        and op.inputs[0] == before.outputs[0]
        and all(graph.tensors[index].data is not None for index in constants)
        and all(graph.tensors[index].quantization is not None for index in constants)
        and all(read_by[index] == [op] for index in constants)
    )


def _op(writing: Writing, layer: Lstm, sequence: int) -> int:
    """Adds the op; its result."""
    source = writing.tensors[sequence]
    dtype, x, units = source.dtype, source.quantization, layer.bias[0].size
    hidden, cell = None, None
    if x is not None:
        hidden = covering([writing.tensors[tensor] for tensor in layer.hidden])
        cell = power_of_two([writing.tensors[tensor] for tensor in layer.states])

    def matrix(values: Array) -> int:
        if x is None:
            return writing.tensor(values.shape, "float32", None, values.astype(np.float32))
        scale = float(np.float32(np.abs(values).max() / 127 or 1))
        return writing.quantized(values, "int8", scale)

    def offsets(values: Array, weights: int) -> int:
        w = writing.tensors[weights].quantization
        if x is None or w is None:
            return writing.tensor(values.shape, "float32", None, values.astype(np.float32))
        scale = float(np.float32(x.scale) * np.float32(w.scale))
        return writing.quantized(values, "int32" if dtype == "int8" else "int64", scale)

    weights = [matrix(values) for values in layer.weights]
    recurrent = [matrix(values) for values in layer.recurrent]
    bias = [offsets(values, w) for values, w in zip(layer.bias, weights, strict=True)]
    state = writing.tensor((1, units), dtype, hidden)
    memory = writing.tensor((1, units), "float32" if x is None else "int16", cell)
    result = writing.tensor((*source.shape[:2], units), dtype, hidden)
    options: dict[str, Option] = {
        "fused_activation_function": "TANH",
        "time_major": time_axis(source.shape) == 0,
    }
    if x is not None:
        # LiteRT reads the scale of the hidden state from the last of five tensors without data.
        unused = [writing.tensor((0,), "float32", None, np.zeros(0, np.float32)) for _ in range(4)]
        scale = writing.tensor((0,), dtype, hidden, np.zeros(0, dtype))
        options["intermediates"] = (*unused, scale)
    none = (-1,)
    inputs = (
        sequence, *weights, *recurrent, *none * 3, *bias, *none * 2, state, memory, *none * 4,
    )  # fmt: skip
    writing.op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, (result,), **options)
    return result
