"""Which tensors of two lowered graphs stand for the same values of one network.

Names do not say it: the lowerings name tensors by their place, which shifts with every op that
another number format adds. So two ops are the same where their kind, shape and options are the
same, they read what is known to be the same, and their constants point the same way. What cannot
be told apart, or stands behind something that was changed, is left out and never guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from autotiny.engine import plain_schedule
from autotiny.graph import Array, Graph, Tensor, dequantize, fold, variables

MOVING: Final = frozenset({"QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
"""Ops whose result stands for the values of their first input, stored or shaped in another way."""

FORMAT_OPTIONS: Final = frozenset(
    {"asymmetric_quantize_inputs", "intermediates", "pot_scale_int16", "quantized_bias_type"}
)
"""Options that say how numbers are stored, and not what is computed."""

SAME_DIRECTION: Final = 0.8
"""Least cosine between the constants of one layer in two number formats. Rounding to int8 leaves
more than .99 of it; the scale of one channel may even be three times too large (.87 at least),
so that such a fault is found rather than left out. Other weights of the same shape have about 0."""


@dataclass(frozen=True)
class Pair:
    """A tensor of the reference and the one of the lowered graph that stands for the same.

    Attributes:
        reference: index of the tensor in the reference.
        lowered: index of the tensor in the lowered graph.
        kind: of the op that computes it; "INPUT" for an input of the network.
        sources: places, in the list of all pairs, of what it is computed from.
    """

    reference: int
    lowered: int
    kind: str
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Matching:
    """Pairs in the order of the lowered graph, and how many ops of each graph have no partner."""

    pairs: tuple[Pair, ...]
    only_reference: int
    only_lowered: int


def match(reference: Graph, lowered: Graph) -> Matching:
    """The tensors of two graphs that stand for the same values.

    From the inputs on, ops that read the same and mean the same are the same. Where that ends, at
    an op that one graph has not, it goes on at the next op whose weights the other graph has, too.
    """
    sides = _Side(reference), _Side(lowered)
    for before, after in zip(reference.inputs, lowered.inputs, strict=False):
        _number(sides, before, after)
    partners: dict[int, int] = {}
    while new := _next(sides):
        for both in new:
            partners[both[1]] = both[0]
            for side, op in zip(sides, both, strict=True):
                del side.open[op]
            results = [side.graph.ops[op].outputs for side, op in zip(sides, both, strict=True)]
            for before, after in zip(*results, strict=True):
                _number(sides, before, after)
    pairs = _pairs(sides, partners)
    return Matching(pairs, len(sides[0].open), len(sides[1].open))


class _Side:
    """One of the graphs, and which of its tensors have a number, the same as their partner's."""

    def __init__(self, graph: Graph) -> None:
        self.graph = fold(graph)
        self.states = frozenset(variables(graph))
        self.numbers: dict[int, int] = {}
        self.roots: dict[int, int] = {}
        self.readers: dict[int, list[int]] = defaultdict(list)
        self.open: dict[int, None] = {}
        for step in plain_schedule(self.graph).steps:
            (index,) = step.ops
            op = self.graph.ops[index]
            if all(self.constant(tensor) for tensor in op.outputs):
                continue
            if op.kind in MOVING:
                self.roots[op.outputs[0]] = self.root(op.inputs[0])
                continue
            self.open[index] = None
            for tensor in op.inputs:
                self.readers[self.root(tensor)].append(index)
        self.ready = {index: None for index in self.open if None not in self.reads(index)}

    def root(self, tensor: int) -> int:
        """The tensor whose values a tensor stands for."""
        return self.roots.get(tensor, tensor)

    def constant(self, tensor: int) -> bool:
        """Whether a tensor is known before the network runs."""
        return self.graph.tensors[tensor].data is not None

    def number(self, tensor: int, number: int) -> None:
        """Give a tensor its number; ops that miss no other one are ready."""
        self.numbers[tensor] = number
        for index in self.readers[tensor]:
            if index in self.open and None not in self.reads(index):
                self.ready[index] = None

    def reads(self, index: int) -> tuple[int | str | None, ...]:
        """What an op reads: the numbers of tensors, None for those that have none."""
        return tuple(self.read(tensor) for tensor in self.graph.ops[index].inputs)

    def read(self, tensor: int) -> int | str | None:
        """What a tensor is to the ops that read it."""
        if tensor < 0:
            return "absent"
        if self.constant(tensor):
            return "constant"
        return "state" if tensor in self.states else self.numbers.get(self.root(tensor))

    def meaning(self, index: int) -> Hashable:
        """Kind, shapes and options of an op: what it computes, in any number format."""
        op = self.graph.ops[index]
        shapes = tuple(self.graph.tensors[tensor].shape for tensor in op.outputs)
        options = {name: value for name, value in op.options.items() if name not in FORMAT_OPTIONS}
        return op.kind, len(op.inputs), shapes, tuple(sorted(options.items()))

    def by_inputs(self, index: int) -> Hashable:
        """What an op whose inputs all have numbers is known by."""
        return self.meaning(index), self.reads(index)

    def has_weights(self, index: int) -> bool:
        """Whether an op can be known by its constants: real numbers, and more than one."""
        tensors = [self.graph.tensors[i] for i in self.graph.ops[index].inputs if i >= 0]
        return any(one.data is not None and _is_real(one) and one.size > 1 for one in tensors)


_Sides = tuple[_Side, _Side]
_Ops = list[tuple[int, int]]


def _number(sides: _Sides, before: int, after: int) -> None:
    """Two tensors are the same from now on."""
    number = len(sides[0].numbers)
    for side, tensor in zip(sides, (before, after), strict=True):
        side.number(tensor, number)


def _next(sides: _Sides) -> _Ops:
    """Further ops that are the same; none where nothing more can be told."""
    # What reads the same tensors is ready at the same time, so each op is looked at once.
    ready = [list(side.ready) for side in sides]
    for side in sides:
        side.ready.clear()
    found: _Ops = []
    for before, after in _groups(sides, ready, _Side.by_inputs):
        found += _told(sides, before, after)
    if found:
        return found
    weighed = [[index for index in side.open if side.has_weights(index)] for side in sides]
    for before, after in _groups(sides, weighed, _Side.meaning):
        # One group at a time: what follows from it is surer than what weights alone say.
        if told := _told(sides, before, after):
            return told
    return []


def _groups(
    sides: _Sides, ops: Sequence[Sequence[int]], key: Callable[[_Side, int], Hashable]
) -> Iterator[tuple[list[int], list[int]]]:
    """Ops of both sides that share a key, in the order of the reference."""
    groups: dict[Hashable, tuple[list[int], list[int]]] = {}
    for place, (side, indices) in enumerate(zip(sides, ops, strict=True)):
        for index in indices:
            groups.setdefault(key(side, index), ([], []))[place].append(index)
    yield from (group for group in groups.values() if all(group))


def _told(sides: _Sides, before: Sequence[int], after: Sequence[int]) -> _Ops:
    """The pairs among ops that look the same, by their constants and then by their order."""
    alike = {one: tuple(other for other in after if _alike(sides, one, other)) for one in before}
    found: _Ops = []
    for candidates in dict.fromkeys(alike.values()):
        same = [one for one in before if alike[one] == candidates]
        rest = {other for one in before if alike[one] != candidates for other in alike[one]}
        if len(same) == len(candidates) and rest.isdisjoint(candidates):
            found += zip(same, candidates, strict=True)
    return found


def _alike(sides: _Sides, before: int, after: int) -> bool:
    """Whether two ops of the same meaning can be the same: constants agree, and what they read."""
    reads = (side.reads(op) for side, op in zip(sides, (before, after), strict=True))
    if any(one != other for one, other in zip(*reads, strict=True) if None not in (one, other)):
        return False
    inputs = (side.graph.ops[op].inputs for side, op in zip(sides, (before, after), strict=True))
    for one, other in zip(*inputs, strict=True):
        if one >= 0 and sides[0].constant(one):
            tensors = sides[0].graph.tensors[one], sides[1].graph.tensors[other]
            if not _same_constant(*tensors):
                return False
    return True


def _same_constant(before: Tensor, after: Tensor) -> bool:
    """Whether constants are the same up to rounding and scale; whole numbers must be equal."""
    if before.data is None or after.data is None or before.shape != after.shape:
        return False
    if not _is_real(before):
        return np.array_equal(before.data, after.data)
    one, other = _reals(before), _reals(after)
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    # What was rounded to nothing has no direction.
    return not size or float(one @ other) >= SAME_DIRECTION * size


def _is_real(tensor: Tensor) -> bool:
    """Whether a tensor stands for real numbers."""
    return tensor.quantization is not None or tensor.dtype.startswith("float")


def _reals(tensor: Tensor) -> Array:
    """What a constant stands for, float64, as one vector."""
    return dequantize(np.asarray(tensor.data), tensor.quantization, np.float64).reshape(-1)


def _pairs(sides: _Sides, partners: Mapping[int, int]) -> tuple[Pair, ...]:
    """The pairs in the order of the lowered graph, each with the nearest ones before it."""
    reference, lowered = sides[0].graph, sides[1].graph
    ports = zip(reference.inputs, lowered.inputs, strict=False)
    found = [Pair(before, after, "INPUT", ()) for before, after in ports]
    nearest: dict[int, tuple[int, ...]] = {pair.lowered: (i,) for i, pair in enumerate(found)}
    for index, op in enumerate(lowered.ops):
        before = [place for tensor in op.inputs for place in nearest.get(tensor, ())]
        sources = tuple(dict.fromkeys(before))
        if index not in partners:
            nearest.update(dict.fromkeys(op.outputs, sources))
            continue
        for one, other in zip(reference.ops[partners[index]].outputs, op.outputs, strict=True):
            nearest[other] = (len(found),)
            found.append(Pair(one, other, op.kind, sources))
    return tuple(found)
