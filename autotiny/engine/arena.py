"""Which bytes of the arena each step needs, and where all tensors and scratch buffers lie in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from autotiny.engine.kernel import Kernel, Operand, Scratch
from autotiny.engine.memory import ALIGNMENT, EXCHANGES, Buffer, Meeting, Part, plan
from autotiny.graph import ITEM_BYTES, Graph, variables

Homes = Mapping[int, tuple[int, int]]
"""Tensor that is a part of another one's memory → (that tensor, byte offset in it)."""


@dataclass(frozen=True)
class Arena:
    """Offsets of tensors, and of each step's scratch, into the arena."""

    tensors: Mapping[int, int]
    scratch: Mapping[tuple[int, str], int]
    bytes: int

    def offset_of(self, tensor: int) -> int:
        """Where a tensor lies."""
        return self.tensors[tensor]

    def offset(self, step: int, operand: Operand) -> int:
        """Where an operand of a step lies."""
        if isinstance(operand.what, int):
            return self.tensors[operand.what]
        return self.scratch[step, operand.name]


def lay_out(
    graph: Graph,
    kernels: Sequence[Kernel],
    cores: Sequence[int] = (),
    exchanges: int = EXCHANGES,
    enough: int | None = None,
) -> Arena:
    """Plan the arena: one buffer a tensor (aliases share theirs), one a scratch operand.

    Args:
        graph: the network.
        kernels: of its steps, in order.
        cores: which core computes each step; by default the first one.
        exchanges: how long to search, see `plan`.
        enough: bytes that satisfy, see there.
    """
    home = homes(kernels)
    times = _times(kernels, cores)
    held = tensor_buffers(graph, kernels, times)
    owners, buffers = list(held), list(held.values())
    position = {owner: i for i, owner in enumerate(owners)}
    scratch = {}
    for step, kernel in enumerate(kernels):
        for operand in kernel.operands:
            if isinstance(operand.what, Scratch):
                scratch[step, operand.name] = len(buffers)
                alignment = operand.what.alignment
                buffers.append(Buffer(operand.what.bytes, times[step], times[step], alignment))
    meetings = _meetings(graph, kernels, times, home, position, scratch)
    placed = plan(buffers, list(meetings), exchanges, enough)
    tensors = {owner: placed.offsets[position[owner]] for owner in owners}
    for tensor, (owner, offset) in home.items():
        if owner in position:
            tensors[tensor] = tensors[owner] + offset
    return Arena(
        tensors,
        {key: placed.offsets[i] for key, i in scratch.items()},
        max(placed.bytes, _end_of_reads(graph, kernels, tensors), 1),
    )


def tensor_buffers(
    graph: Graph, kernels: Sequence[Kernel], times: Sequence[int]
) -> dict[int, Buffer]:
    """The memory of every tensor that owns some, by its index.

    Args:
        graph: the network.
        kernels: of its steps, in order.
        times: when each step runs.
    """
    home = homes(kernels)
    accesses: dict[int, list[Part]] = {}

    def touch(tensor: int, step: int) -> None:
        owner, start = home.get(tensor, (tensor, 0))
        part = Part(start, start + graph.tensors[tensor].bytes, step, step)
        accesses.setdefault(owner, []).append(part)

    for tensor in graph.inputs:
        touch(tensor, -1)
    for tensor in graph.outputs:
        touch(tensor, len(kernels))
    for tensor in variables(graph):
        touch(tensor, -1)
        touch(tensor, len(kernels))
    for time, kernel in zip(times, kernels, strict=True):
        for operand in kernel.operands:
            if isinstance(operand.what, int):
                touch(operand.what, time)
    return {owner: _buffer(graph, owner, touched) for owner, touched in accesses.items()}


def beside(kernels: Sequence[Kernel], cores: Sequence[int]) -> dict[int, int]:
    """Step of another core → the step of core 0 before it, at the same time as which it runs."""
    found = {}
    before = -1
    for step, kernel in enumerate(kernels):
        if kernel.body:
            if before >= 0 and cores[step] and not cores[before]:
                found[step] = before
            before = step
    return found


def _times(kernels: Sequence[Kernel], cores: Sequence[int]) -> list[int]:
    """When each step runs."""
    partners = beside(kernels, cores or [0] * len(kernels))
    return [partners.get(step, step) for step in range(len(kernels))]


def homes(kernels: Sequence[Kernel]) -> Homes:
    """Where the memory of every aliased tensor is, chains followed to the tensor that owns it."""
    views = {view: place for kernel in kernels for view, place in kernel.aliases.items()}
    found = {}
    for view, (owner, offset) in views.items():
        while owner in views:
            owner, further = views[owner]
            offset += further
        found[view] = (owner, offset)
    return found


def _buffer(graph: Graph, owner: int, accesses: Sequence[Part]) -> Buffer:
    """The memory of a tensor and its views; each byte lives from its first access to its last."""
    borders = sorted({edge for one in accesses for edge in (one.start, one.end)})
    parts: list[Part] = []
    for start, end in pairwise(borders):
        steps = [one.first for one in accesses if one.start <= start and end <= one.end]
        if not steps:
            continue
        first, last = min(steps), max(steps)
        if parts and (parts[-1].end, parts[-1].first, parts[-1].last) == (start, first, last):
            start = parts.pop().start
        parts.append(Part(start, end, first, last))
    size = max(borders[-1], graph.tensors[owner].bytes)
    first, last = min(part.first for part in parts), max(part.last for part in parts)
    return Buffer(
        size,
        first,
        last,
        max(ALIGNMENT, ITEM_BYTES[graph.tensors[owner].dtype]),
        () if parts == [Part(0, size, first, last)] else tuple(parts),
    )


def _meetings(
    graph: Graph,
    kernels: Sequence[Kernel],
    times: Sequence[int],
    home: Homes,
    position: Mapping[int, int],
    scratch: Mapping[tuple[int, str], int],
) -> Iterator[Meeting]:
    """Where a kernel that runs alone allows what it writes to lie over what it reads."""
    for step, kernel in enumerate(kernels):
        if times.count(step) != 1:
            continue  # the other core may still read it
        operands = {operand.name: operand for operand in kernel.operands}

        def place(
            operand: Operand, step: int = step
        ) -> tuple[int, tuple[int, int]]:  # the buffer, and the range in it
            if isinstance(operand.what, int):
                owner, start = home.get(operand.what, (operand.what, 0))
                return position[owner], (start, start + graph.tensors[operand.what].bytes)
            assert isinstance(operand.what, Scratch)
            return scratch[step, operand.name], (0, operand.what.bytes)

        for (read, written), overlap in kernel.overlaps.items():
            if not isinstance(operands[read].what, int):
                continue  # a constant
            a, read_range = place(operands[read])
            b, written_range = place(operands[written])
            if a != b:
                yield Meeting(a, b, times[step], overlap, read_range, written_range)


def _end_of_reads(graph: Graph, kernels: Sequence[Kernel], tensors: Mapping[int, int]) -> int:
    """The end of the last byte that a kernel may read behind an input."""
    return max(
        (
            tensors[operand.what] + graph.tensors[operand.what].bytes + kernel.reads_past
            for kernel in kernels
            if kernel.reads_past
            for operand in kernel.operands
            if isinstance(operand.what, int)
        ),
        default=0,
    )
