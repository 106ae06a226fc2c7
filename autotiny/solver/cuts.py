"""What a plan of the arena shows that no single step does: neighbours that have no room together.

A choice whose plan is larger than each of its steps becomes a rule, and is solved again. The rule
holds for as many options at these places as possible, so that few such rounds are needed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from autotiny.engine.arena import lay_out
from autotiny.engine.kernel import Kernel, Operand, Overlap, Scratch
from autotiny.graph import Graph
from autotiny.solver.items import Item

LONGEST_TRIED = 6
"""Of windows of neighbours; a longer one is found by bisection, and holds for what needs more."""


@dataclass(frozen=True)
class Cut:
    """Neighbours whose buffers cannot lie in less than so many bytes of arena.

    Attributes:
        bytes: that they take.
        places: of each of them, which items need at least as much there; positions in `items`.
            None: it holds whatever is chosen.
    """

    bytes: int
    places: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Need:
    """What a plan of the arena knows of a step.

    Attributes:
        tensors: that it reads or writes.
        scratch: bytes of its working memory, the largest first.
        overlaps: (tensor read, tensor written) → how the second may lie over the first.
        aliases: as those of a kernel.
        reads_past: likewise.
    """

    tensors: tuple[int, ...]
    scratch: tuple[int, ...]
    overlaps: Mapping[tuple[int, int], Overlap]
    aliases: Mapping[int, tuple[int, int]]
    reads_past: int

    @property
    def kernel(self) -> Kernel:
        """One that needs this, and computes nothing."""
        tensors = [Operand(str(tensor), tensor, "") for tensor in self.tensors]
        scratch = [Operand(f"s{k}", Scratch(size), "") for k, size in enumerate(self.scratch)]
        return Kernel(
            operands=(*tensors, *scratch),
            overlaps={(str(a), str(b)): overlap for (a, b), overlap in self.overlaps.items()},
            aliases=self.aliases,
            reads_past=self.reads_past,
        )


def need_of(kernel: Kernel) -> Need:
    """What a kernel needs; working memory that may share with a tensor counts as none."""
    tensor = {one.name: one.what for one in kernel.operands if isinstance(one.what, int)}
    shared = {name for pair in kernel.overlaps for name in pair if name not in tensor}
    return Need(
        tuple(sorted(set(tensor.values()))),
        tuple(
            sorted(
                (
                    one.what.bytes
                    for one in kernel.operands
                    if isinstance(one.what, Scratch) and one.name not in shared
                ),
                reverse=True,
            )
        ),
        {
            (tensor[read], tensor[written]): overlap
            for (read, written), overlap in kernel.overlaps.items()
            if read in tensor and written in tensor
        },
        kernel.aliases,
        kernel.reads_past,
    )


def lesser(one: Need, other: Need) -> Need | None:
    """The most that needs no more than either; None if they have other tensors."""
    if one.tensors != other.tensors or one.aliases != other.aliases:
        return None
    pairs = one.overlaps.keys() | other.overlaps.keys()
    return Need(
        one.tensors,
        tuple(min(pair) for pair in zip(one.scratch, other.scratch, strict=False)),
        {pair: _looser(one.overlaps.get(pair), other.overlaps.get(pair)) for pair in pairs},
        one.aliases,
        min(one.reads_past, other.reads_past),
    )


def asks_no_more(one: Need, other: Need) -> bool:
    """Whether a step has room wherever another one at its place has it."""
    return lesser(one, other) == one


def _looser(one: Overlap | None, other: Overlap | None) -> Overlap:
    """What allows all that either does."""
    if one is None or other is None:
        given = one or other
        assert given is not None
        return given
    until = [bound for bound in (one.until, other.until) if bound is not None]
    since = [bound for bound in (one.since, other.since) if bound is not None]
    return Overlap(max(until, default=None), min(since, default=None), one.same or other.same)


def cuts_of(
    graph: Graph, items: Sequence[Item], chosen: Sequence[Item], room: int
) -> Iterator[Cut]:
    """As few neighbours as an arena of so many bytes has no room for, wherever they are.

    Args:
        graph: the network.
        items: all options at their places.
        chosen: one for each step, in the order of execution; their plan takes more.
        room: bytes.
    """

    def needed(some: Sequence[Need]) -> int:
        kernels = [need.kernel for need in some]
        return lay_out(graph, kernels, enough=room).bytes

    def is_full(window: slice) -> bool:
        return needed(needs[window]) > room

    needs = [need_of(item.option.kernel) for item in chosen]
    for window in _blamed(len(chosen), is_full):
        least, places = needs[window], []
        for k, item in enumerate(chosen[window]):
            members = []
            for number, one in _at(items, item):
                need = lesser(least[k], need_of(one.option.kernel))
                if need is None:
                    continue
                if need == least[k] or (
                    len(least) <= LONGEST_TRIED
                    and needed([*least[:k], need, *least[k + 1 :]]) > room
                ):
                    least[k] = need
                    members.append(number)
            places.append(tuple(members))
        yield Cut(max(needed(least), room + 1), tuple(places))


def _blamed(steps: int, is_full: Callable[[slice], bool]) -> list[slice]:
    """The shortest windows of so many steps that have no room, or a short one of many."""
    for length in range(1, min(steps, LONGEST_TRIED) + 1):
        windows = (slice(first, first + length) for first in range(steps - length + 1))
        if found := [window for window in windows if is_full(window)]:
            return found
    ends = range(1, steps)
    end = 1 + bisect_left(ends, True, key=lambda end: is_full(slice(0, end)))
    firsts = range(end)
    first = bisect_left(firsts, True, key=lambda first: not is_full(slice(first, end))) - 1
    window = slice(max(first, 0), end)
    return [window if is_full(window) else slice(0, steps)]


def _at(items: Sequence[Item], item: Item) -> Iterator[tuple[int, Item]]:
    """The items at the place of one, with their numbers."""
    return ((k, one) for k, one in enumerate(items) if one.at == item.at)
