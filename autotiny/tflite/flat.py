"""Control flow written out: the branch that is taken, and a loop's rounds one behind the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from autotiny.errors import InvalidModel, UnsupportedOp
from autotiny.graph import Graph, Op, Tensor, folded, live, named, renumbered
from autotiny.tflite.lists import cut_shape, joined_once

CALLS: Final[Mapping[str, tuple[str, str]]] = {
    "IF": ("then_subgraph_index", "else_subgraph_index"),
    "WHILE": ("cond_subgraph_index", "body_subgraph_index"),
}
"""Ops that run subgraphs, and the options that name these."""

MOST_NAMES: Final = 100_000
"""Tensors that the ops of a network may name, written out: a loop of 2,000 rounds of ten ops."""
MOST_DEPTH: Final = 16
"""Subgraphs that run inside each other."""
MOST_ELEMENTS: Final = 64
"""Of a value that is followed through the ops: counters, and what is made of them."""


def called(op: Op) -> tuple[int, ...]:
    """The subgraphs that an op runs."""
    return tuple(op.integer(name) for name in CALLS.get(op.kind, ()))


def flattened(parts: Mapping[int, Graph]) -> Graph:
    """The network of some subgraphs, the first of which is 0, as one without control flow.

    An IF becomes the ops of its branch, a WHILE those of its body as often as it runs. Which, and
    how often, must follow from constants. Constants and state of a body are there once.

    Raises:
        InvalidModel: subgraphs that do not fit the ops that run them, or that run themselves.
        UnsupportedOp: control flow that depends on the input, or is too long to be written out.
    """
    writing = _Writing(parts)
    main = parts[0]
    writing.tensors = [main.tensors[index] for index in main.inputs]
    inputs = tuple(range(len(writing.tensors)))
    outputs = tuple(writing.run(0, inputs, "the caller"))
    tensors, ops = tuple(writing.tensors), tuple(writing.ops)
    return joined_once(live(Graph(tensors, ops, inputs, outputs, main.name)))


class _Writing:
    """The network as far as it is written."""

    def __init__(self, parts: Mapping[int, Graph]) -> None:
        self.parts = parts
        self.name = parts[0].name
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.kept: dict[tuple[int, int], int] = {}  # where constants and state of subgraphs stand
        self.running: list[int] = []
        self.names = 0

    def run(self, number: int, arguments: Sequence[int], caller: str) -> list[int]:
        """Writes a subgraph behind the rest; where its results stand."""
        graph = self.parts[number]
        if number in self.running:
            raise InvalidModel(f"{self.name}: subgraph {number} runs itself")
        if len(self.running) == MOST_DEPTH:
            raise UnsupportedOp(f"{self.name}: more than {MOST_DEPTH} subgraphs inside each other")
        self.running.append(number)
        self.check(arguments, [graph.tensors[i] for i in graph.inputs], f"{caller} gives", number)
        places = dict(zip(graph.inputs, arguments, strict=True))
        for position, op in enumerate(graph.ops):
            self.spend(1 + len(named(op)))
            for index in (*op.inputs, *op.intermediates):
                if index >= 0 and index not in places:
                    places[index] = self.constant(number, index)
            here = "" if number == 0 else f" of subgraph {number}"
            results = self.results(op, graph, places, f"op {position} ({op.kind}){here}")
            places.update(zip(op.outputs, results, strict=True))
        self.running.pop()
        return [places[i] if i in places else self.constant(number, i) for i in graph.outputs]

    def results(self, op: Op, graph: Graph, places: Mapping[int, int], place: str) -> list[int]:
        """Writes an op; where its results stand."""
        inputs = [places.get(index, -1) for index in op.inputs]
        outputs = [graph.tensors[index] for index in op.outputs]
        if op.kind in CALLS:
            if -1 in inputs:
                raise InvalidModel(f"{self.name}: {place} leaves an input out")
            results, number = self.controlled(op, inputs, place)
            self.check(results, outputs, f"{place} takes from", number)
            return results
        followed = all(
            one.dtype in ("int32", "int64", "bool") and one.size <= MOST_ELEMENTS for one in outputs
        )
        known = [self.tensors[index] if index >= 0 else None for index in inputs]
        shape = cut_shape(op, known)
        if shape is not None:
            outputs = [replace(outputs[0], shape=shape)]
        values = folded(op, known, outputs, f"{self.name}: {place}") if followed else []
        if values:
            outputs = [replace(one, data=v) for one, v in zip(outputs, values, strict=True)]
        first = len(self.tensors)
        self.tensors += outputs
        written = list(range(first, len(self.tensors)))
        if not values:
            new = {**places, **dict(zip(op.outputs, written, strict=True))}
            self.ops.append(renumbered(op, {index: new[index] for index in named(op)}))
        return written

    def controlled(self, op: Op, inputs: Sequence[int], place: str) -> tuple[list[int], int]:
        """Writes what an IF or a WHILE runs; where its results stand, and whose they are."""
        first, second = called(op)
        if op.kind == "IF":
            number = first if self.truth(inputs[0], place) else second
            return self.run(number, inputs[1:], place), number
        state = list(inputs)
        while self.truth(self.run(first, state, place)[0], place):
            self.spend(1)
            state = self.run(second, state, place)
        return state, second

    def truth(self, index: int, place: str) -> bool:
        """A condition, which must be known."""
        condition = self.tensors[index]
        if condition.dtype != "bool" or condition.size != 1:
            raise InvalidModel(
                f"{self.name}: {place}: its condition is {condition.dtype} of shape "
                f"{list(condition.shape)}; it must be one bool"
            )
        if condition.data is None:
            raise UnsupportedOp(
                f"{self.name}: {place}: what it runs depends on the input; autotiny writes control "
                "flow out, so it must follow from constants"
            )
        return bool(condition.data.reshape(-1)[0])

    def constant(self, number: int, index: int) -> int:
        """Where a tensor stands that no op of a subgraph computes."""
        place = self.kept.setdefault((number, index), len(self.tensors))
        if place == len(self.tensors):
            self.tensors.append(self.parts[number].tensors[index])
        return place

    def check(self, given: Sequence[int], wanted: Sequence[Tensor], who: str, number: int) -> None:
        """Tensors between an op and a subgraph agree, so that one can stand for the other."""
        if len(given) != len(wanted):
            raise InvalidModel(
                f"{self.name}: {who} subgraph {number} {len(given)} tensors; "
                f"there are {len(wanted)}"
            )
        for i, other in enumerate(wanted):
            one = self.tensors[given[i]]
            for what in ("shape", "dtype", "quantization"):
                here, there = getattr(one, what), getattr(other, what)
                if here != there:
                    raise UnsupportedOp(
                        f"{self.name}: {who} subgraph {number} a tensor {i} whose {what} is "
                        f"{here}, not {there}"
                    )

    def spend(self, count: int) -> None:
        """Counts what is written, and refuses what has no end."""
        self.names += count
        if self.names > MOST_NAMES:
            raise UnsupportedOp(
                f"{self.name}: its loops name more than {MOST_NAMES:,} tensors when they are "
                "written out; convert the model with fewer steps"
            )
