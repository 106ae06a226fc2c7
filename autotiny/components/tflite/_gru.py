"""Finds the GRUs of a graph that stand there as separate ops, a copy a step, as Keras writes them.

All steps get the scales of one, for they are computed by one loop: where the steps of an integer
graph have scales of their own, those that cover all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autotiny.components.tflite._reading import ALONE, Reading, Row
from autotiny.components.tflite._replacing import (
    Writing,
    covering,
    sequence_of,
    time_axis,
    types,
    with_layer,
)
from autotiny.graph import Array, Graph, Op, Option, Quantization, Tensor, quantize
from autotiny.graph.gru import GRU, ROLES

GATES = ("update", "reset", "candidate")


def with_grus(graph: Graph, *, exact: bool = False) -> Graph:
    """The graph with every GRU that was found as one op.

    Args:
        graph: of level tflite.
        exact: leave those whose steps have different scales, so that no result changes.
    """
    while True:
        found = (_fused(graph, layer, exact=exact) for layer in _layers(graph))
        better = next((one for one in found if one is not None), None)
        if better is None:
            return graph
        graph = better


@dataclass(frozen=True)
class Product:
    """A product with constant weights, or a part of its outputs.

    Attributes:
        op: the dense layer.
        row: what is multiplied.
        rows: which of the outputs.
        result: the tensor of all of them.
    """

    op: Op
    row: Row
    rows: slice
    result: int


@dataclass(frozen=True)
class Cell:
    """One step of a GRU.

    Attributes:
        before: the state that it starts from; None for zeros.
        after: the state that it leaves.
        inputs: of each gate the product with the step's input.
        states: of each gate the product with the state; none where the state is zero.
        offsets: where the state is zero, what is added instead, where anything is.
        roles: the tensors of each of `ROLES` that are there.
    """

    before: int | None
    after: int
    inputs: Mapping[str, Product]
    states: Mapping[str, Product]
    offsets: Mapping[str, Array]
    roles: Mapping[str, tuple[int, ...]]

    @property
    def reset_after(self) -> bool:
        """Whether the reset gate works on the product and not on the state."""
        return "candidate_from_state" not in self.roles


class _Cells:
    """The steps of GRUs in a graph."""

    def __init__(self, graph: Graph) -> None:
        self.reading = Reading(graph)
        self.graph = graph

    def all(self) -> Iterator[Cell]:
        """Every step that starts from a state."""
        for op in self.graph.ops:
            if op.kind == "ADD":
                for kept, fresh in (op.inputs, op.inputs[::-1]):
                    cell = self._later(op.outputs[0], kept, fresh)
                    if cell is not None:
                        yield cell

    def _later(self, after: int, kept: int, fresh: int) -> Cell | None:
        read = self.reading
        remembered = read.factors(kept, "LOGISTIC", None)
        shares = self._shares(fresh)
        if remembered is None or shares is None:
            return None
        update_sum, before = remembered
        share, one, update, candidate, total = shares
        if read.argument(update, "LOGISTIC") != update_sum:
            return None
        before = read.origin(before)
        roles: dict[str, tuple[int, ...]] = {
            "update_sum": (update_sum,), "update": (update,), "candidate_sum": (total,),
            "candidate": (candidate,), "one": (one,), "fresh_share": (share,), "kept": (kept,),
            "fresh": (fresh,),
        }  # fmt: skip
        parts = self._two_products(update_sum, before)
        rest = self._candidate(total, before)
        if parts is None or rest is None:
            return None
        inputs, states = {"update": parts[0]}, {"update": parts[1]}
        inputs |= rest[0]
        states |= rest[1]
        roles |= rest[2]
        roles["from_input"] = tuple(part.result for part in inputs.values())
        own = {"candidate"} if "candidate_from_state" in roles else set()
        roles["from_state"] = tuple(p.result for gate, p in states.items() if gate not in own)
        zero = self.reading.is_zero(before)
        return Cell(None if zero else before, after, inputs, states, {}, roles)

    def first(self, after: int) -> Cell | None:
        """The step that leaves a state and started from zeros, which were folded into it."""
        read = self.reading
        shares = self._shares(after)
        if shares is None:
            return None
        share, one, update, candidate, total = shares
        update_sum = read.argument(update, "LOGISTIC")
        found = None if update_sum is None else self._shifted(update_sum)
        if found is None or update_sum is None:
            return None
        roles: dict[str, tuple[int, ...]] = {
            "update_sum": (update_sum,), "update": (update,), "candidate_sum": (total,),
            "candidate": (candidate,), "one": (one,), "fresh_share": (share,), "fresh": (after,),
        }  # fmt: skip
        inputs, offsets = {"update": found[0]}, {"update": found[1]}
        simple = self._shifted(total)
        if simple is not None:
            inputs["candidate"], offsets["candidate"] = simple
            return Cell(None, after, inputs, {}, offsets, roles)
        added = read.op(total, "ADD")
        for one_part, other in (added.inputs, added.inputs[::-1]) if added is not None else ():
            product, gated = self.product(one_part), read.factors(other, "LOGISTIC", None)
            if product is None or gated is None:
                continue
            constant, reset = read.real(gated[1]), self._shifted(gated[0])
            if constant is not None and reset is not None:
                inputs |= {"candidate": product, "reset": reset[0]}
                offsets |= {"candidate": constant.reshape(-1), "reset": reset[1]}
                roles |= {"reset_sum": (gated[0],), "reset_product": (other,)}
                return Cell(None, after, inputs, {}, offsets, roles)
        return None

    def _shares(self, fresh: int) -> tuple[int, int, int, int, int] | None:
        """Of (1 - update) · candidate: the first factor, the 1, update, candidate, its sum."""
        product = self.reading.op(fresh, "MUL")
        for share, candidate in (
            (product.inputs, product.inputs[::-1]) if product is not None else ()
        ):
            difference = self.reading.op(share, "SUB")
            total = self.reading.argument(candidate, "TANH")
            if difference is None or total is None:
                continue
            one, update = difference.inputs
            values = self.reading.real(one)
            if values is not None and np.allclose(values, 1, atol=1e-3):
                return share, one, update, candidate, total
        return None

    def _two_products(self, total: int, before: int) -> tuple[Product, Product] | None:
        """What a sum is of: a product with the input, one with the state."""
        added = self.reading.op(total, "ADD")
        for first, second in (added.inputs, added.inputs[::-1]) if added is not None else ():
            of_input, of_state = self.product(first), self.product(second)
            if of_input is None or of_state is None:
                continue
            if of_state.row == (before, ALONE) and of_input.row != (before, ALONE):
                return of_input, of_state
        return None

    def _candidate(
        self, total: int, before: int
    ) -> tuple[dict[str, Product], dict[str, Product], dict[str, tuple[int, ...]]] | None:
        """Products with input and state, and roles, of the candidate and its reset gate."""
        read = self.reading
        added = read.op(total, "ADD")
        for first, second in (added.inputs, added.inputs[::-1]) if added is not None else ():
            of_input = self.product(first)
            if of_input is None:
                continue
            inner = self.product(second)  # with the state that was reset before
            gated = read.factors(second if inner is None else inner.row[0], "LOGISTIC", None)
            reset = None if gated is None else self._two_products(gated[0], before)
            if gated is None or reset is None:
                continue
            of_state = self.product(gated[1]) if inner is None else inner
            multiplied = gated[1] if inner is not None else None
            if of_state is None or (
                of_state.row != (before, ALONE)
                if multiplied is None
                else read.origin(multiplied) != before
            ):
                continue
            roles: dict[str, tuple[int, ...]] = {
                "reset_sum": (gated[0],),
                "reset_product": (second if inner is None else inner.row[0],),
            }
            if inner is not None:
                roles["candidate_from_state"] = (inner.result,)
            inputs = {"reset": reset[0], "candidate": of_input}
            return inputs, {"reset": reset[1], "candidate": of_state}, roles
        return None

    def _shifted(self, total: int) -> tuple[Product, Array] | None:
        """A product, and a constant that is added to it."""
        product = self.product(total)
        if product is not None:
            return product, np.zeros(1)
        added = self.reading.op(total, "ADD")
        for one, other in (added.inputs, added.inputs[::-1]) if added is not None else ():
            product, constant = self.product(one), self.reading.real(other)
            if product is not None and constant is not None:
                return product, constant.reshape(-1)
        return None

    def product(self, tensor: int) -> Product | None:
        """A tensor as a product with constant weights."""
        read, tensors = self.reading, self.graph.tensors
        size = tensors[tensor].size
        whole, rows = tensor, slice(0, size)
        split = read.op(tensor, "SPLIT", "SPLIT_V")
        if split is not None:
            whole = split.inputs[1 if split.kind == "SPLIT" else 0]
            axis = tensors[split.inputs[0 if split.kind == "SPLIT" else 2]].data
            last = axis is not None and int(axis) in (-1, len(tensors[whole].shape) - 1)
            if not last:
                return None
            place = split.outputs.index(read.origin(tensor))
            first = sum(tensors[part].size for part in split.outputs[:place])
            rows = slice(first, first + size)
        step = ALONE
        taken = read.op(whole, "UNPACK")
        if taken is not None and not taken.option("axis", 0):  # of the products of all steps
            step, whole = taken.outputs.index(read.origin(whole)), taken.inputs[0]
        op = read.op(whole, "FULLY_CONNECTED")
        if op is None or read.constant(op.inputs[1]) is None:
            return None
        if len(op.inputs) > 2 and op.inputs[2] >= 0 and read.constant(op.inputs[2]) is None:
            return None
        return Product(op, read.row(op.inputs[0], step), rows, op.outputs[0])


@dataclass(frozen=True)
class Layer:
    """A chain of steps with the same weights."""

    cells: Sequence[Cell]

    @property
    def model(self) -> Cell:
        """A step that has all products."""
        return self.cells[-1]

    @property
    def rows(self) -> list[Row]:
        """The inputs, in the order of the steps."""
        return [cell.inputs["update"].row for cell in self.cells]

    @property
    def hidden(self) -> list[int]:
        """What the steps leave."""
        return [cell.after for cell in self.cells]

    def tensors(self, role: str) -> list[int]:
        """Those of a role, of all steps."""
        return [index for cell in self.cells for index in cell.roles.get(role, ())]


def _layers(graph: Graph) -> Iterator[Layer]:
    """Every GRU whose steps are separate ops."""
    finder = _Cells(graph)
    cells = list(finder.all())
    by_after = {cell.after: cell for cell in cells}
    by_before: dict[int, list[Cell]] = {}
    for cell in cells:
        if cell.before is not None:
            by_before.setdefault(cell.before, []).append(cell)
    starts = [cell for cell in cells if cell.before is None]
    for before in by_before:
        if before not in by_after:
            first = finder.first(before)
            starts += [] if first is None else [first]
    for first in starts:
        chain = [first]
        while len(after := by_before.get(chain[-1].after, [])) == 1:
            chain += after
        layer = Layer(chain)
        if len(chain) > 1 and _repeats(finder.reading, layer):
            yield layer


def _repeats(reading: Reading, layer: Layer) -> bool:
    """Whether all steps have the same weights, and the first one those that zeros leave of them."""
    model, tensors = layer.model, reading.graph.tensors

    def same(a: Product, b: Product) -> bool:
        if a.op is b.op or a.rows != b.rows:
            return a.rows == b.rows
        (first, one), (second, other) = _bias(reading, a), _bias(reading, b)
        alike = np.abs(first - second).max() <= one + other
        w, v = (_only(reading.constant(p.op.inputs[1])) for p in (a, b))
        return bool(alike) and np.array_equal(w, v)

    for cell in layer.cells:
        for gate, product in cell.inputs.items():
            if product.row != cell.inputs["update"].row or not same(product, model.inputs[gate]):
                return False
        if any(not same(product, model.states[gate]) for gate, product in cell.states.items()):
            return False
        if cell.states and cell.reset_after != model.reset_after:
            return False
        for gate in GATES if cell.offsets else ():
            bias, grain = _bias(reading, model.states[gate])
            found = cell.offsets.get(gate, np.zeros(1))
            skipped = gate == "reset" and gate not in cell.offsets
            if not skipped and np.abs(bias - found).max() > grain + _grain(tensors, cell):
                return False
    return True


def _grain(tensors: Sequence[Tensor], cell: Cell) -> float:
    """How far folded constants may be from those that they come of."""
    stored = [tensors[index].quantization for index in cell.roles["candidate_sum"]]
    return max((one.scale for one in stored if one is not None), default=1e-6)


def _bias(reading: Reading, product: Product) -> tuple[Array, float]:
    """The bias of a product in real numbers, and the step in which it is stored."""
    inputs = product.op.inputs
    values = reading.real(inputs[2]) if len(inputs) > 2 and inputs[2] >= 0 else None
    if values is None:
        return np.zeros(product.rows.stop - product.rows.start), 0.0
    stored = reading.graph.tensors[reading.origin(inputs[2])].quantization
    grain = max(stored.scales) if stored is not None else 0.0
    return values.reshape(-1)[product.rows], grain


# The op in their place


def _fused(graph: Graph, layer: Layer, *, exact: bool) -> Graph | None:
    """The graph with a layer as one op; None if its steps are stored differently.

    None too if its inputs hang on its own results.
    """
    model, reading = layer.model, Reading(graph)
    inner = {role: layer.tensors(role) for role in ROLES}
    inner["reset"] = inner["update"]  # gates have one scale
    inner["candidate_from_state"] = inner["candidate_from_state"] or inner["from_state"]
    writing = Writing(graph)
    rows = layer.rows
    backwards = rows == [(rows[0][0], step) for step in reversed(range(len(rows)))]
    sequence = sequence_of(writing, rows[::-1] if backwards else rows)
    named = [index for found in inner.values() for index in found]
    if sequence is None or len(types(writing, (sequence, *layer.hidden, *named))) > 1:
        return None
    integer = writing.tensors[sequence].quantization is not None
    if integer and exact and not _alike(reading, layer, inner):
        return None

    def scales(indices: Sequence[int]) -> Quantization | None:
        return covering([writing.tensors[index] for index in indices]) if integer else None

    state = scales(layer.hidden)
    dtype, units = writing.tensors[sequence].dtype, writing.tensors[layer.hidden[0]].size
    product = scales(inner["reset_product"])
    inputs = [
        sequence,
        *_weights(reading, writing, model.inputs, GATES, writing.tensors[sequence].quantization),
    ]
    if model.reset_after:
        inputs += _weights(reading, writing, model.states, GATES, state)
    else:
        inputs += _weights(reading, writing, model.states, GATES[:2], state)
        inputs += _weights(reading, writing, model.states, GATES[2:], product)
    options: dict[str, Option] = {
        "time_major": time_axis(writing.tensors[sequence].shape) == 0,
        "reset_after": model.reset_after,
        "backwards": backwards,
    }
    products = (*model.inputs.values(), *model.states.values())
    if any(one.op.option("asymmetric_quantize_inputs", False) for one in products):
        options["asymmetric_quantize_inputs"] = True
    if integer:
        empty = np.zeros(0, dtype)
        options["intermediates"] = tuple(
            writing.tensor((0,), dtype, scales(inner[role]), empty) for role in ROLES
        )

    def result(whole: bool, results_backwards: bool) -> int:
        shape = (*writing.tensors[sequence].shape[:2], units) if whole else (1, units)
        made = writing.tensor(shape, dtype, state)
        target = made if whole else writing.place(layer.hidden[-1], made)
        more = {**options, "results_backwards": True} if results_backwards else options
        writing.op(GRU, inputs, (target,), **more)
        return target

    return with_layer(graph, writing, layer.hidden, result, turns=True)


def _alike(reading: Reading, layer: Layer, inner: Mapping[str, Sequence[int]]) -> bool:
    """Whether all steps have the same scales, and nothing is requantized between their ops."""
    tensors = reading.graph.tensors
    groups = [*inner.values(), layer.hidden]
    if any(reading.origin(index) != index for group in groups for index in group):
        return False
    complete = all(cell.states for cell in layer.cells)  # a first step may have folded constants
    return complete and all(
        len({repr(tensors[index].quantization) for index in group}) == 1 for group in groups
    )


def _weights(
    reading: Reading,
    writing: Writing,
    products: Mapping[str, Product],
    gates: Sequence[str],
    source: Quantization | None,
) -> tuple[int, int]:
    """The weights of some gates one behind the other, and their bias, or -1.

    Args:
        reading: the graph that they are in.
        writing: where to.
        products: of each gate.
        gates: which of them.
        source: the quantization that what they are multiplied with will have.
    """
    parts = [products[gate] for gate in gates]
    stored = [reading.graph.tensors[reading.origin(part.op.inputs[1])] for part in parts]
    data = np.concatenate([_only(reading.constant(p.op.inputs[1]))[p.rows] for p in parts])
    kept = _joined([one.quantization for one in stored], parts)
    matrix = writing.tensor(data.shape, stored[0].dtype, kept, data)
    biases = [part.op.inputs[2] for part in parts if len(part.op.inputs) > 2]
    biases = [index for index in biases if index >= 0]
    if not biases:
        return matrix, -1
    real = np.concatenate([_bias(reading, part)[0] for part in parts])
    if source is None or kept is None:
        return matrix, writing.tensor(real.shape, "float32", None, real.astype(np.float32))
    dtype = reading.graph.tensors[biases[0]].dtype
    scales = Quantization(
        tuple(float(np.float32(source.scale) * np.float32(scale)) for scale in kept.scales),
        kept.zero_points,
    )
    values = quantize(real, scales, dtype)
    if len(biases) == len(parts) and _reads(reading, parts, source):  # as they are, to the bit
        stored_values = [_only(reading.constant(index)).reshape(-1) for index in biases]
        values = np.concatenate([v[p.rows] for v, p in zip(stored_values, parts, strict=True)])
    return matrix, writing.tensor(values.shape, dtype, scales, values)


def _reads(reading: Reading, parts: Sequence[Product], source: Quantization) -> bool:
    """Whether all products are of what has a quantization."""
    read = [reading.graph.tensors[part.op.inputs[0]] for part in parts]
    return all(one.quantization == source for one in read)


def _only(values: Array | None) -> Array:
    """Values that were looked at before."""
    assert values is not None
    return values


def _joined(found: Sequence[Quantization | None], parts: Sequence[Product]) -> Quantization | None:
    """The quantization of matrices that stand one behind the other."""
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    if all(len(one.scales) == 1 and one == known[0] for one in known):
        return known[0]
    scales = [
        scale
        for one, part in zip(known, parts, strict=True)
        for scale in (
            one.scales[part.rows]
            if len(one.scales) > 1
            else one.scales * (part.rows.stop - part.rows.start)
        )
    ]
    return Quantization(tuple(scales), (0,) * len(scales), 0)
