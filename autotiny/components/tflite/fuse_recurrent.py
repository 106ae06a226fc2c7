"""Compute an LSTM that stands in the graph as separate ops, a copy a step, by one kernel.

Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, as LiteRT's UNIDIRECTIONAL_SEQUENCE_LSTM
computes it. The converter makes that op of a Keras LSTM alone, right from the Keras model, and not
for int16; here the cells are found by what they compute, whoever wrote them and however the
products are split: after a rewrite of the frozen graph, as a layer of the user's own, or in a
`.tflite` from elsewhere.

Integers change their value, for the better: the cell, which separate ops keep in the type of the
activations, gets 16 bits, and sums are no longer rounded between ops. Weights get one scale a gate.
The op keeps its state from one inference to the next, as in LiteRT; `<model>_reset` clears it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autotiny.components.base import Component, Work
from autotiny.errors import NotApplicable
from autotiny.graph import (
    Array,
    DType,
    Graph,
    Op,
    Option,
    Quantization,
    Tensor,
    dequantize,
    in_order,
    live,
    needed_tensors,
    producers,
    quantize,
)
from autotiny.model import Level, Model, successor

GATES = ("input", "forget", "cell", "output")
"""In the order of the op's weights."""

ALONE = -1
Row = tuple[int, int]
"""A tensor of shape (steps, 1, depth) or (1, steps, depth) and which step of it is meant; or a
tensor (1, depth) and `ALONE`."""


@dataclass(frozen=True)
class FuseRecurrent(Component):
    """Turns chains of LSTM cells into one op each."""

    name = "fuse_recurrent"
    level = Level.TFLITE

    def apply(self, model: Model, work: Work) -> Model:
        """The model with every LSTM that was found as one op."""
        graph = with_fused_layers(model.graph)
        if graph is model.graph:
            raise NotApplicable(
                "fuse_recurrent: no LSTM stands here as separate ops; it is the one recurrent "
                "layer that has a kernel"
            )
        return successor(model, graph)


def with_fused_layers(graph: Graph) -> Graph:
    """The graph with every LSTM that was found as one op."""
    while True:
        fused = (_fused(graph, layer) for layer in _layers(graph))
        better = next((one for one in fused if one is not None), None)
        if better is None:
            return graph
        graph = better


# What a tensor is a sum of


@dataclass(frozen=True)
class Linear:
    """Products with weights and a bias: how a gate hangs on inputs and state.

    Attributes:
        terms: the matrix (outputs, depth) of each source.
        bias: (outputs).
        grain: the step in which the bias is stored, in real numbers; 0 for floats.
    """

    terms: Mapping[Row, Array]
    bias: Array
    grain: float = 0.0

    def __add__(self, other: Linear) -> Linear:
        shared = {
            row: self.terms[row] + other.terms[row] for row in self.terms.keys() & other.terms
        }
        bias = self.bias + other.bias
        return Linear({**self.terms, **other.terms, **shared}, bias, self.grain + other.grain)

    def rows(self, part: slice) -> Linear:
        """Some of the outputs."""
        terms = {row: matrix[part] for row, matrix in self.terms.items()}
        return Linear(terms, self.bias[part], self.grain)


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


class _Reading:
    """A graph as expressions: what made a tensor, conversions left aside."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._made_by = producers(graph)

    def origin(self, tensor: int) -> int:
        """A tensor before it was requantized, or turned into reals and back."""
        op = self._made_by.get(tensor)
        while op is not None and op.kind in ("QUANTIZE", "DEQUANTIZE"):
            tensor = op.inputs[0]
            op = self._made_by.get(tensor)
        return tensor

    def op(self, tensor: int, *kinds: str) -> Op | None:
        """The op that makes a tensor, if it is of one of some kinds and has no activation."""
        op = self._made_by.get(self.origin(tensor))
        if op is None or op.kind not in kinds:
            return None
        plain = op.option("fused_activation_function", "NONE") == "NONE"
        return op if plain else None

    def cells(self) -> Iterator[Cell]:
        """Every step of an LSTM in the graph."""
        for op in self.graph.ops:
            last = op.outputs[0]
            factors = self._factors(last, "LOGISTIC", "TANH") if op.kind == "MUL" else None
            if factors is not None:
                output, state = factors
                cell = self._cell(last, output, self.origin(state))
                if cell is not None:
                    yield cell

    def _cell(self, hidden: int, output: int, state: int) -> Cell | None:
        """The step that leaves a state; output is what its output gate is a function of."""
        arguments, before = {"output": output}, None
        fresh = self._factors(state, "LOGISTIC", "TANH")
        total = self.op(state, "ADD")
        if fresh is None and total is not None:
            for kept, added in (total.inputs, total.inputs[::-1]):
                fresh = self._factors(added, "LOGISTIC", "TANH")
                remembered = self._factors(kept, "LOGISTIC", None)
                if fresh is not None and remembered is not None:
                    arguments["forget"], before = remembered
                    break
        if fresh is None or (total is not None and "forget" not in arguments):
            return None
        arguments["input"], arguments["cell"] = fresh
        gates = {gate: self.linear(tensor) for gate, tensor in arguments.items()}
        if before is not None:
            before = None if self._is_zero(before) else self.origin(before)
        if any(gate is None for gate in gates.values()):
            return None
        return Cell(before, state, hidden, {k: v for k, v in gates.items() if v is not None})

    def _factors(self, product: int, first: str, second: str | None) -> tuple[int, int] | None:
        """Arguments of the functions that a product is made of; without a second, its factor."""
        op = self.op(product, "MUL")
        for one, other in (op.inputs, op.inputs[::-1]) if op is not None else ():
            left = self.op(one, first)
            right = None if second is None else self.op(other, second)
            if left is not None and (second is None or right is not None):
                return left.inputs[0], other if right is None else right.inputs[0]
        return None

    def linear(self, tensor: int) -> Linear | None:
        """A tensor as a sum of products with constants; None if it is something else."""
        size = self.graph.tensors[tensor].size
        constant = self._real(tensor)
        if constant is not None:
            quantization = self.graph.tensors[tensor].quantization
            grain = max(quantization.scales) if quantization is not None else 0.0
            return Linear({}, constant.reshape(-1), grain)
        op = self.op(tensor, "FULLY_CONNECTED", "ADD", "SPLIT", "UNPACK")
        if op is None:
            return None
        if op.kind == "FULLY_CONNECTED":
            return self._product(op, ALONE)
        if op.kind == "UNPACK":
            whole = self.op(op.inputs[0], "FULLY_CONNECTED")
            step = op.outputs.index(self.origin(tensor))
            return None if whole is None or op.option("axis", 0) else self._product(whole, step)
        if op.kind == "ADD":
            left, right = (self.linear(one) for one in op.inputs)
            fit = left is not None and right is not None and len(left.bias) == len(right.bias)
            return left + right if fit and left is not None and right is not None else None
        split = self.linear(op.inputs[1])
        axis = self.graph.tensors[op.inputs[0]].data
        last = axis is not None and int(axis) in (-1, len(self.graph.tensors[tensor].shape) - 1)
        first = op.outputs.index(self.origin(tensor)) * size
        return split.rows(slice(first, first + size)) if split is not None and last else None

    def _product(self, op: Op, step: int) -> Linear | None:
        """A dense layer, of all its rows or of one of them."""
        matrix = self._real(op.inputs[1])
        source, stored = (self.graph.tensors[self.origin(one)] for one in op.inputs[:2])
        if matrix is None or (source.dtype == "float32") != (stored.dtype == "float32"):
            return None
        bias, grain = np.zeros(len(matrix)), 0.0
        if len(op.inputs) > 2 and op.inputs[2] >= 0:
            found = self.linear(op.inputs[2])
            if found is None:
                return None
            bias, grain = found.bias, found.grain
        joined = self.op(op.inputs[0], "CONCATENATION")
        if joined is None or step >= 0:
            return Linear({self._row(op.inputs[0], step): matrix}, bias, grain)
        terms, first = {}, 0
        for part in joined.inputs:
            width = self.graph.tensors[part].shape[-1]
            if not self._is_zero(part):
                terms[self._row(part, ALONE)] = matrix[:, first : first + width]
            first += width
        return Linear(terms, bias, grain) if first == matrix.shape[1] else None

    def _row(self, tensor: int, step: int) -> Row:
        """Which step of which sequence a tensor is, if it was taken from one."""
        tensor = self.origin(tensor)
        op = self.op(tensor, "UNPACK", "STRIDED_SLICE")
        if op is None or step != ALONE:
            return tensor, step
        source = self.graph.tensors[op.inputs[0]].shape
        if len(source) != 3 or self.graph.tensors[tensor].shape != (1, source[2]):
            return tensor, ALONE
        if op.kind == "UNPACK":
            return self.origin(op.inputs[0]), op.outputs.index(tensor)
        axis = {1: 0, 2: 1}.get(op.option("shrink_axis_mask", 0))
        begin = self.graph.tensors[op.inputs[1]].data
        if axis is None or begin is None or source[1 - axis] != 1:
            return tensor, ALONE
        return self.origin(op.inputs[0]), int(begin[axis]) % source[axis]

    def _real(self, tensor: int) -> Array | None:
        """The values of a constant."""
        one = self.graph.tensors[self.origin(tensor)]
        if one.data is None or one.dtype not in ("float32", "int8", "int16", "int32", "int64"):
            return None
        if one.quantization is None and one.dtype != "float32":
            return None
        return dequantize(one.data, one.quantization, np.float64)

    def _is_zero(self, tensor: int) -> bool:
        values = self._real(tensor)
        return values is not None and not values.any()


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
    cells = list(_Reading(graph).cells())
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


class _Writing:
    """Tensors and ops that are added to a graph."""

    def __init__(self, graph: Graph) -> None:
        self.tensors = list(graph.tensors)
        self.ops: list[Op] = []

    def tensor(
        self,
        shape: Sequence[int],
        dtype: DType,
        quantization: Quantization | None = None,
        data: Array | None = None,
    ) -> int:
        """A new tensor."""
        name = f"lstm/{len(self.tensors)}"
        self.tensors.append(Tensor(name, tuple(shape), dtype, quantization, data))
        return len(self.tensors) - 1

    def quantized(self, values: Array, dtype: DType, scale: float) -> int:
        """A constant of real values, stored with a scale and no zero-point."""
        scales = Quantization((scale,), (0,))
        return self.tensor(values.shape, dtype, scales, quantize(values, scales, dtype))

    def like(self, tensor: int, shape: Sequence[int]) -> int:
        """A new tensor of the type of another."""
        one = self.tensors[tensor]
        return self.tensor(shape, one.dtype, one.quantization)

    def place(self, target: int, source: int) -> int:
        """Where to write what has the scale of a source, for a target to get it in its own."""
        wanted = self.tensors[target]
        if wanted.quantization == self.tensors[source].quantization:
            return target
        place = self.like(source, wanted.shape)
        self.op("QUANTIZE", (place,), (target,))
        return place

    def numbers(self, values: Sequence[int]) -> int:
        """A constant vector of whole numbers."""
        return self.tensor((len(values),), "int32", None, np.array(values, np.int32))

    def op(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], **options: Option
    ) -> None:
        """A new op."""
        self.ops.append(Op(kind, tuple(inputs), tuple(outputs), options))


def _fused(graph: Graph, layer: Lstm) -> Graph | None:
    """The graph with a layer as one op.

    None if its inputs hang on its own results, or if its steps are stored differently.
    """
    writing = _Writing(graph)
    sequence = _sequence(writing, layer.rows)
    if sequence is None or len(_types(writing, (sequence, *layer.hidden, *layer.states))) > 1:
        return None
    result = _op(writing, layer, sequence)
    reading, hidden = _Reading(graph), list(layer.hidden)
    rest = [op for op in graph.ops if op.outputs[0] not in hidden]
    packed = [
        op
        for op in rest
        if op.kind == "PACK"
        and not op.option("axis", 0)
        and [reading.origin(tensor) for tensor in op.inputs] == hidden
    ]
    for op in packed:
        rest.remove(op)
        shape = writing.numbers(writing.tensors[op.outputs[0]].shape)
        writing.op("RESHAPE", (result, shape), (writing.place(op.outputs[0], result),))
    read = (index for op in writing.ops for index in op.inputs)
    needed = needed_tensors(replace(graph, ops=tuple(rest), outputs=(*graph.outputs, *read)))
    if needed.isdisjoint(hidden[:-1]) and hidden[-1] in needed:
        _take_last(writing, result, hidden[-1])
    elif not needed.isdisjoint(hidden):
        _unpack(writing, result, [writing.place(tensor, result) for tensor in hidden])
    ops = in_order((*rest, *writing.ops))
    return None if ops is None else live(replace(graph, tensors=tuple(writing.tensors), ops=ops))


def _types(writing: _Writing, tensors: Sequence[int]) -> set[DType]:
    return {writing.tensors[tensor].dtype for tensor in tensors}


def _take_last(writing: _Writing, sequence: int, target: int) -> None:
    """The last step of a sequence as a tensor."""
    shape = writing.tensors[sequence].shape
    axis = _time_axis(shape)
    begin = [shape[axis] - 1 if place == axis else 0 for place in range(3)]
    bounds = [writing.numbers(values) for values in (begin, shape, (1, 1, 1))]
    outputs = (writing.place(target, sequence),)
    writing.op("STRIDED_SLICE", (sequence, *bounds), outputs, shrink_axis_mask=1 << axis)


def _unpack(writing: _Writing, sequence: int, rows: Sequence[int]) -> None:
    """The steps of a sequence, each a tensor."""
    axis = _time_axis(writing.tensors[sequence].shape)
    writing.op("UNPACK", (sequence,), rows, num=len(rows), axis=axis)


def _time_axis(shape: Sequence[int]) -> int:
    """Where the steps of a sequence of batch 1 run."""
    return 0 if shape[1] == 1 else 1


def _sequence(writing: _Writing, rows: Sequence[Row]) -> int | None:
    """One tensor of all steps' inputs; None if these have different scales."""
    first = rows[0][0]
    shape = writing.tensors[first].shape
    if list(rows) == [(first, step) for step in range(len(rows))]:
        return first if shape[_time_axis(shape)] == len(rows) else None
    taken: dict[int, list[int]] = {}
    for tensor in dict.fromkeys(tensor for tensor, step in rows if step != ALONE):
        shape = writing.tensors[tensor].shape
        count = shape[_time_axis(shape)]
        taken[tensor] = [writing.like(tensor, (1, shape[2])) for _ in range(count)]
        _unpack(writing, tensor, taken[tensor])
    parts = [tensor if step == ALONE else taken[tensor][step] for tensor, step in rows]
    if len({repr(writing.tensors[part].quantization) for part in parts}) > 1:
        return None
    sequence = writing.like(parts[0], (len(rows), *writing.tensors[parts[0]].shape))
    writing.op("PACK", parts, (sequence,), values_count=len(rows), axis=0)
    return sequence


def _op(writing: _Writing, layer: Lstm, sequence: int) -> int:
    """Adds the op; its result."""
    source = writing.tensors[sequence]
    dtype, x, units = source.dtype, source.quantization, layer.bias[0].size
    hidden, cell = None, None
    if x is not None:
        hidden = _covering([writing.tensors[tensor] for tensor in layer.hidden])
        cell = _power_of_two([writing.tensors[tensor] for tensor in layer.states])

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
        "time_major": _time_axis(source.shape) == 0,
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


def _covering(tensors: Sequence[Tensor]) -> Quantization:
    """A quantization of the tensors' type that covers the values of all."""
    found = [one.quantization for one in tensors if one.quantization is not None]
    if all(one == found[0] for one in found):
        return found[0]
    low, high = _range(tensors)
    if tensors[0].dtype == "int16":
        return Quantization((float(np.float32(max(-low, high) / 32767)),), (0,))
    scale = float(np.float32((high - low) / 255))
    return Quantization((scale,), (int(np.clip(round(-128 - low / scale), -128, 127)),))


def _power_of_two(tensors: Sequence[Tensor]) -> Quantization:
    """The cell's int16 quantization, whose scale has to be a power of two."""
    low, high = _range(tensors)
    return Quantization((2.0 ** math.ceil(math.log2(max(-low, high) / 32768)),), (0,))


def _range(tensors: Sequence[Tensor]) -> tuple[float, float]:
    """The least and the greatest value that some tensors can hold."""
    ends = [
        dequantize(np.array([limits.min, limits.max]), one.quantization, np.float64)
        for one in tensors
        if one.quantization is not None
        for limits in (np.iinfo(one.dtype),)
    ]
    return float(np.min(ends)), float(np.max(ends))
