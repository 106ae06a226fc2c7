"""GRU: the one kind of op that LiteRT's schema lacks, and the ops of the schema that it stands for.

Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014, as Keras computes it.
Unlike an LSTM it has no op in LiteRT; a file holds its steps written out. The op means exactly
these: in integers all steps have the same scales, so that a loop gives what the file gives.

    inputs       x (1, steps, depth), or (steps, 1, depth) where `time_major`
                 weights (3 · units, depth) of the gates update, reset, candidate, and a bias
                 recurrent weights (3 · units, units) and a bias; where the reset gate works on the
                 state (`reset_after` false) these are (2 · units, units), and the candidate's
                 (units, units) and bias follow
    output       (1, units) after the last step, or of the shape of x, the results of all steps
    options      `time_major`, `reset_after`; `backwards`: from the last step to the first;
                 `results_backwards`: the result of the last step that is computed stands first;
                 `asymmetric_quantize_inputs` as in FULLY_CONNECTED;
                 `intermediates`: in integers a tensor for each of `ROLES`, of which only type and
                 quantization count
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from autotiny.graph.editing import compact
from autotiny.graph.quantizing import quantize
from autotiny.graph.types import Array, Graph, Op, Option, Quantization, Tensor

GRU: Final = "GRU"

ROLES: Final = (
    "from_input", "from_state", "candidate_from_state", "update_sum", "update", "reset_sum",
    "reset", "reset_product", "candidate_sum", "candidate", "one", "fresh_share", "kept", "fresh",
)  # fmt: skip
"""What is computed in a step between input and result."""

X, WEIGHTS, BIAS, RECURRENT, RECURRENT_BIAS, CANDIDATE, CANDIDATE_BIAS = range(7)


def single_step(graph: Graph, op: Op) -> Graph:
    """One step of a GRU of a graph: from a row of x and the state before to the state after."""
    writing = _Writing(graph, op)
    depth, units = graph.tensors[op.inputs[X]].shape[-1], writing.units
    x = writing.like(graph.tensors[op.inputs[X]], (1, depth), "x")
    before = writing.like(writing.result, (1, units), "before")
    after = writing.like(writing.result, (1, units), "after")
    writing.step(x, before, after)
    return compact(Graph(tuple(writing.tensors), tuple(writing.ops), (x, before), (after,)))


def written_out(graph: Graph) -> Graph:
    """The graph with every GRU as ops of LiteRT's schema, a copy of them for each step."""
    while (op := next((one for one in graph.ops if one.kind == GRU), None)) is not None:
        writing = _Writing(graph, op)
        writing.layer()
        place = graph.ops.index(op)
        ops = (*graph.ops[:place], *writing.ops, *graph.ops[place + 1 :])
        graph = replace(graph, tensors=tuple(writing.tensors), ops=ops)
    return graph


class _Writing:
    """The ops that a GRU stands for, and the tensors of the graph with those in between."""

    def __init__(self, graph: Graph, op: Op) -> None:
        self.tensors = list(graph.tensors)
        self.ops: list[Op] = []
        self._op = op
        self._name = graph.tensors[op.outputs[0]].name
        self.result = graph.tensors[op.outputs[0]]
        self.units = self.result.shape[-1]
        inner = op.intermediates
        self._roles: Mapping[str, int] = dict(zip(ROLES, inner, strict=False)) if inner else {}
        self._after = op.option("reset_after", True)
        self._axis = self._constant(np.array(1, np.int32))
        self._one = self._unit()
        self._weights = {place: self._readable(self._input(place)) for place in range(1, 7)}

    def _input(self, place: int) -> int:
        inputs = self._op.inputs
        return inputs[place] if place < len(inputs) else -1

    def layer(self) -> None:
        """All steps."""
        x, y = self._op.inputs[X], self._op.outputs[0]
        axis = 0 if self._op.option("time_major", False) else 1
        source = self.tensors[x]
        steps = source.shape[axis]
        rows = [self.like(source, (1, source.shape[2]), f"x_{t}") for t in range(steps)]
        self._add("UNPACK", (x,), rows, num=steps, axis=axis)
        whole = len(self.result.shape) == 3
        states = [self.like(self.result, (1, self.units), f"state_{t}") for t in range(steps)]
        if not whole:
            states[-1] = y
        before = self._zeros()
        order = rows[::-1] if self._op.option("backwards", False) else rows
        for row, after in zip(order, states, strict=True):
            self.step(row, before, after)
            before = after
        if whole:
            if self._op.option("results_backwards", False):
                states.reverse()
            self._add("PACK", states, (y,), values_count=steps, axis=axis)

    def step(self, x: int, before: int, after: int) -> None:
        """One step."""
        from_x = self._split(self._dense(x, WEIGHTS, BIAS, "from_input"), "from_input", 3)
        gates = 3 if self._after else 2
        product = self._dense(before, RECURRENT, RECURRENT_BIAS, "from_state")
        from_state = self._split(product, "from_state", gates)
        gate = zip(("update", "reset"), from_x, from_state, strict=False)
        sums = [(role, self._made("ADD", (a, b), f"{role}_sum")) for role, a, b in gate]
        update, reset = (self._made("LOGISTIC", (total,), role) for role, total in sums)
        if self._after:
            other = self._made("MUL", (reset, from_state[2]), "reset_product")
        else:
            product = self._made("MUL", (reset, before), "reset_product")
            other = self._dense(product, CANDIDATE, CANDIDATE_BIAS, "candidate_from_state")
        total = self._made("ADD", (from_x[2], other), "candidate_sum")
        candidate = self._made("TANH", (total,), "candidate")
        kept = self._made("MUL", (update, before), "kept")
        share = self._made("SUB", (self._one, update), "fresh_share")
        fresh = self._made("MUL", (share, candidate), "fresh")
        self._arithmetic("ADD", (kept, fresh), after)

    def like(self, one: Tensor, shape: Sequence[int], name: str) -> int:
        """A new tensor of the type of another."""
        made = Tensor(f"{self._name}/{name}", tuple(shape), one.dtype, one.quantization)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def _between(self, role: str, units: int) -> int:
        """A new tensor of a role."""
        inside = self._roles.get(role)
        one = self.result if inside is None else self.tensors[inside]
        return self.like(one, (1, units), f"{role}_{len(self.tensors)}")

    def _constant(self, data: Array, quantization: Quantization | None = None) -> int:
        name = f"{self._name}/constant_{len(self.tensors)}"
        dtype = str(data.dtype)
        self.tensors.append(Tensor(name, data.shape, dtype, quantization, data))  # type: ignore[arg-type]
        return len(self.tensors) - 1

    def _unit(self) -> int:
        """The constant 1."""
        inside = self._roles.get("one")
        one = self.result if inside is None else self.tensors[inside]
        value = quantize(np.ones((), np.float32), one.quantization, one.dtype)
        return self._constant(np.asarray(value), one.quantization)

    def _zeros(self) -> int:
        """The state before the first step."""
        kind = self.result.quantization
        value = quantize(np.zeros((1, self.units), np.float32), kind, self.result.dtype)
        return self._constant(value, kind)

    def _readable(self, weights: int) -> int:
        """Weights as FULLY_CONNECTED reads them: half-precision ones have to be widened first."""
        if weights < 0 or self.tensors[weights].dtype != "float16":
            return weights
        one = self.tensors[weights]
        wide = self.like(replace(one, dtype="float32"), one.shape, f"wide_{weights}")
        self._add("DEQUANTIZE", (weights,), (wide,))
        return wide

    def _dense(self, x: int, weights: int, bias: int, role: str) -> int:
        matrix, offsets = self._weights[weights], self._weights[bias]
        y = self._between(role, self.tensors[matrix].shape[0])
        inputs = (x, matrix, offsets)
        options: dict[str, Option] = {}
        if self._op.option("asymmetric_quantize_inputs", False):
            options["asymmetric_quantize_inputs"] = True
        if self.result.dtype == "int16":
            options["quantized_bias_type"] = "int64"
        self._add("FULLY_CONNECTED", inputs, (y,), **options)
        return y

    def _split(self, whole: int, role: str, parts: int) -> list[int]:
        made = [self._between(role, self.units) for _ in range(parts)]
        self._add("SPLIT", (self._axis, whole), made, num_splits=parts)
        return made

    def _made(self, kind: str, inputs: Sequence[int], role: str) -> int:
        made = self._between(role, self.units)
        self._arithmetic(kind, inputs, made)
        return made

    def _arithmetic(self, kind: str, inputs: Sequence[int], output: int) -> None:
        options: dict[str, Option] = {}
        if kind in ("ADD", "SUB") and self.result.dtype == "int16":
            options["pot_scale_int16"] = False  # scales need not be powers of two
        self._add(kind, inputs, (output,), **options)

    def _add(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], **options: Option
    ) -> None:
        self.ops.append(Op(kind, tuple(inputs), tuple(outputs), options))
