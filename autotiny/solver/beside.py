"""Options that have room beside tensors which lie where a plan has put them.

With the tensors in place, the steps no longer hang on each other: each may take whatever working
memory is free while it runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from autotiny.engine.arena import Arena, lay_out, tensor_buffers
from autotiny.engine.kernel import Overlap
from autotiny.engine.memory import ALIGNMENT, Buffer
from autotiny.graph import Graph
from autotiny.solver.cuts import Need, asks_no_more, need_of
from autotiny.solver.items import Item

Range = tuple[int, int]


def numbers_beside(graph: Graph, items: Sequence[Item], chosen: Sequence[Item]) -> frozenset[int]:
    """Which items may replace others of a choice, with its tensors where they are.

    Args:
        graph: the network.
        items: all options at their places.
        chosen: one for each step, in the order of execution.
    """
    kernels = [item.option.kernel for item in chosen]
    arena = lay_out(graph, kernels)
    buffers = tensor_buffers(graph, kernels, range(len(kernels)))
    step = {item.at: k for k, item in enumerate(chosen)}
    return frozenset(
        k
        for k, item in enumerate(items)
        if item.at in step
        and _has_room(graph, arena, buffers, step[item.at], chosen[step[item.at]], item)
    )


def numbers_within(items: Sequence[Item], chosen: Sequence[Item]) -> frozenset[int]:
    """Which items need no more memory than those of a choice do in their places."""
    needs = {item.at: need_of(item.option.kernel) for item in chosen}
    return frozenset(
        k
        for k, item in enumerate(items)
        if item.at in needs and asks_no_more(need_of(item.option.kernel), needs[item.at])
    )


def _has_room(
    graph: Graph, arena: Arena, buffers: dict[int, Buffer], step: int, there: Item, item: Item
) -> bool:
    old, new = need_of(there.option.kernel), need_of(item.option.kernel)
    if item is there:
        return True
    if (old.tensors, old.aliases) != (new.tensors, new.aliases):
        return False
    ranges = {tensor: _range(graph, arena, tensor) for tensor in new.tensors}
    if any(end + new.reads_past > arena.bytes for _, end in ranges.values()):
        return False
    return _overlaps_allowed(new, old, ranges) and _scratch_fits(
        new, arena.bytes, _live(arena, buffers, step)
    )


def _range(graph: Graph, arena: Arena, tensor: int) -> Range:
    start = arena.offset_of(tensor)
    return start, start + graph.tensors[tensor].bytes


def _live(arena: Arena, buffers: dict[int, Buffer], step: int) -> list[Range]:
    """The ranges that tensors need at a step, by their beginning."""
    return sorted(
        (arena.offset_of(owner) + part.start, arena.offset_of(owner) + part.end)
        for owner, buffer in buffers.items()
        for part in buffer.parts
        if part.first <= step <= part.last
    )


def _overlaps_allowed(new: Need, old: Need, ranges: dict[int, Range]) -> bool:
    """Whether what is written may lie over what is read as it does."""
    return all(
        _apart(ranges[read], ranges[written])
        or _allows(new.overlaps.get((read, written)), ranges[written][0] - ranges[read][0])
        for read, written in old.overlaps
    )


def _apart(one: Range, other: Range) -> bool:
    return one[1] <= other[0] or other[1] <= one[0]


def _allows(overlap: Overlap | None, distance: int) -> bool:
    """Whether what is written may begin so many bytes after what is read."""
    return overlap is not None and (
        (overlap.same and distance == 0)
        or (overlap.until is not None and distance <= overlap.until)
        or (overlap.since is not None and distance >= overlap.since)
    )


def _scratch_fits(need: Need, room: int, live: Sequence[Range]) -> bool:
    """Whether working memory has room between what tensors need, the largest first."""
    taken = list(live)
    for size in need.scratch:
        start = 0
        for first, end in taken:
            if first - start >= size:
                break
            start = max(start, -(-end // ALIGNMENT) * ALIGNMENT)
        if start + size > room:
            return False
        taken = sorted([*taken, (start, start + size)])
    return True
