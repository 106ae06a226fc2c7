"""Which regions of a network to compute stripe by stripe, for as little SRAM as is wanted.

A network is a way from its input to its output over the tensors that alone pass on. Each part of
the way is one layer, or a region in stripes: it takes so many bytes, and so much more work. The way
with the least work that never takes more than a bound is a shortest path; one is searched for each
bound, as Huang and Baccelli do ("msf-CNN", NeurIPS 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TypeVar

import numpy as np

from autotiny.engine.cutting import CONVOLUTIONS
from autotiny.engine.generate import arena_bytes, kernels_of
from autotiny.engine.kernel import Scratch
from autotiny.engine.regions import (
    Link,
    Region,
    Stripes,
    can_be_cut,
    computed_rows,
    kept_rows,
    links_of,
    with_regions,
)
from autotiny.graph import Graph, Op, variables
from autotiny.schedule import Schedule

MOST_PLANS = 12


@dataclass(frozen=True)
class PatchPlan:
    """Regions that are computed stripe by stripe.

    Attributes:
        regions: which, for `with_regions`.
        arena_bytes: how large the arena is with them.
        extra_multiplications: those computed twice; a byte of a row that is moved counts as one.
    """

    regions: tuple[Region, ...]
    arena_bytes: int
    extra_multiplications: int


@dataclass(frozen=True)
class _Part:
    """A part of the way: steps `first` to `end`, layer by layer or as a region."""

    first: int
    end: int
    need_bytes: int
    extra: int = 0
    region: Region | None = None


def patch_plans(
    graph: Graph, schedule: Schedule, *, most_patches: int = 4096
) -> tuple[PatchPlan, ...]:
    """Regions that make the arena smaller than it is, each plan smaller than those of less work.

    Args:
        graph: the network.
        schedule: its schedule; regions are of steps of one op each, computed the plain way.
        most_patches: stripes of a region, at most.
    """
    parts = _parts(graph, schedule, most_patches)
    ways = [
        way
        for order, most in ((_least_work, MOST_PLANS), (_fewest_regions, MOST_PLANS // 2))
        for way in spread(list(_ways(parts, len(schedule.steps), order)), most)
    ]
    found = []
    for way in dict.fromkeys(ways):
        regions = tuple(part.region for part in way if part.region)
        size = arena_bytes(*with_regions(graph, schedule, regions))
        found.append(PatchPlan(regions, size, sum(part.extra for part in way)))
    plans: list[PatchPlan] = []
    least = arena_bytes(graph, schedule)
    for plan in sorted(found, key=lambda plan: (plan.extra_multiplications, plan.arena_bytes)):
        if plan.arena_bytes < least:
            plans.append(plan)
            least = plan.arena_bytes
    return tuple(spread(plans, MOST_PLANS))


Some = TypeVar("Some")


def spread(ordered: Sequence[Some], most: int) -> list[Some]:
    """So many of them at most, the first and the last among them."""
    chosen = np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round()
    return [ordered[int(index)] for index in chosen]


def _least_work(way: Sequence[_Part]) -> tuple[int, ...]:
    """The way with the least work, in the fewest stripes."""
    patches = sum(part.region.patches for part in way if part.region)
    return sum(part.extra for part in way), patches


def _fewest_regions(way: Sequence[_Part]) -> tuple[int, ...]:
    """The way with the fewest regions, whose arena comes closest to what its parts need."""
    return sum(part.region is not None for part in way), *_least_work(way)


def _ways(
    parts: Sequence[_Part], end: int, order: Callable[[Sequence[_Part]], tuple[int, ...]]
) -> Iterator[tuple[_Part, ...]]:
    """Ways through the network of ever fewer bytes, each the first of its bytes by this order."""
    bound = max(part.need_bytes for part in parts) + 1
    while True:
        best: dict[int, tuple[_Part, ...]] = {0: ()}
        for part in parts:
            if part.need_bytes < bound and part.first in best:
                way = (*best[part.first], part)
                if part.end not in best or order(way) < order(best[part.end]):
                    best[part.end] = way
        if end not in best:
            return
        bound = max(part.need_bytes for part in best[end])
        if any(part.region for part in best[end]):
            yield best[end]


def _parts(graph: Graph, schedule: Schedule, most_patches: int) -> list[_Part]:
    """All parts of ways, in the order of their first steps."""
    lives = _lives(graph, schedule)
    passing = {place: live.pop() for place, live in _crossing(lives, schedule) if len(live) == 1}
    needs = _needs(graph, schedule, lives)
    places = sorted({0, *passing, len(needs)})
    found = [_Part(a, b, max(needs[a:b])) for a, b in pairwise(places)]
    able = [can_be_cut(graph, step) for step in schedule.steps]
    uncut = [need for need, one in zip(needs, able, strict=True) if not one]
    least = max([sum(graph.tensors[t].bytes for t in graph.inputs), *uncut])
    large = [index for index, need in enumerate(needs) if need > least]
    for first, end in combinations(sorted(passing), 2):
        inside = [index for index in large if first <= index < end]
        if not all(able[first:end]) or not inside:
            continue
        sizes = {p: graph.tensors[passing[p]].bytes for p in passing if first <= p <= end}
        if any(
            (p <= inside[0] and size <= sizes[first]) or (p > inside[-1] and size <= sizes[end])
            for p, size in sizes.items()
            if first < p < end
        ):
            continue  # a shorter region does as well
        ops = [graph.ops[step.ops[0]] for step in schedule.steps[first:end]]
        found.extend(_regions(graph, ops, first, most_patches))
    return sorted(found, key=lambda part: part.first)


def _lives(graph: Graph, schedule: Schedule) -> dict[int, tuple[int, int]]:
    """Tensor → the step that makes it (-1: none) and the last one that reads it."""
    lives = dict.fromkeys((*graph.inputs, *variables(graph)), (-1, -1))
    for index, step in enumerate(schedule.steps):
        for op in (graph.ops[op] for op in step.ops):
            lives |= {t: (lives[t][0], index) for t in op.inputs if t in lives}
            lives |= {t: (index, index) for t in op.outputs if graph.tensors[t].data is None}
    always = (*graph.outputs, *variables(graph))
    return lives | {t: (lives[t][0], len(schedule.steps)) for t in always if t in lives}


def _crossing(
    lives: Mapping[int, tuple[int, int]], schedule: Schedule
) -> Iterator[tuple[int, set[int]]]:
    """Each place between steps, and the tensors that are made before and read behind it."""
    for place in range(len(schedule.steps) + 1):
        yield place, {t for t, (made, read) in lives.items() if made < place <= read}


def _needs(graph: Graph, schedule: Schedule, lives: Mapping[int, tuple[int, int]]) -> list[int]:
    """Bytes that each step takes as it is, those counted once that it may replace."""
    found = []
    for index, kernel in enumerate(kernels_of(graph, schedule)):
        bytes_of = {
            operand.name: operand.what.bytes
            if isinstance(operand.what, Scratch)
            else graph.tensors[operand.what].bytes
            for operand in kernel.operands
            if isinstance(operand.what, int | Scratch)
        }
        needed = sum(
            graph.tensors[t].bytes for t, (made, read) in lives.items() if made <= index <= read
        )
        needed += sum(o.what.bytes for o in kernel.operands if isinstance(o.what, Scratch))
        dying = {
            o.name
            for o in kernel.operands
            if isinstance(o.what, int) and lives.get(o.what, (0, -1))[1] == index
        }
        shared = [min(bytes_of[a], bytes_of[b]) for a, b in kernel.overlaps if a in dying]
        found.append(needed - max(shared, default=0) if kernel.body else 0)
    return found


def _regions(graph: Graph, ops: Sequence[Op], first: int, most_patches: int) -> Iterator[_Part]:
    """A region in ever more stripes, with rows kept and with rows computed again."""
    links = links_of(graph, ops)
    height = graph.tensors[links[-1].made].shape[1]
    rows = sorted({-(-height // n) for n in _COUNTS if n < height} | {1}, reverse=True)
    for patches in (-(-height // one) for one in rows):
        if 1 < patches <= most_patches:
            for keep, stripes in (
                (True, kept_rows(graph, links, patches)),
                (False, computed_rows(graph, links, patches)),
            ):
                region = Region(first, first + len(ops) - 1, patches, keep)
                need, extra = _cost(graph, ops, links, stripes)
                yield _Part(first, first + len(ops), need, extra, region)


_COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Stripes that are tried, and one for each row."""


def _cost(
    graph: Graph, ops: Sequence[Op], links: Sequence[Link], stripes: Stripes
) -> tuple[int, int]:
    """Bytes that a region takes at most, and multiplications beyond those of whole layers."""
    order = [links[0].read, *(op.outputs[0] for op in ops)]
    places = {tensor: place for place, tensor in enumerate(order)}
    readers = [0] * (len(ops) + 1)
    for link in links:
        readers[places[link.read]] = max(places[link.made], readers[places[link.read]])
    since, ends, starts = (
        np.array([one[tensor] for tensor in order])
        for one in (stripes.since, stripes.ends, stripes.starts)
    )
    taken = np.maximum(starts - since, 0)  # rows that are there before a stripe
    left = np.pad(taken[:, 1:], ((0, 0), (0, 1)))  # and behind it
    there = ends - np.minimum(since, starts)  # and in between
    moved = taken[1:-1].sum(axis=1)
    taken[-1], there[-1] = starts[-1], ends[-1]  # what is made of the result stays
    heights = np.array([graph.tensors[tensor].shape[1] for tensor in order])
    there[0] = heights[0] - since[0]  # of the input everything was there
    left[0] = np.append(there[0][1:], 0)
    row_bytes = np.array([graph.tensors[t].bytes for t in order]) // heights
    step, tensor = np.ogrid[1 : len(order), : len(order)]
    last = np.array(readers)[None, :]
    during = (tensor == step) | ((tensor < step) & (last >= step))
    bytes_at = (
        during @ (there * row_bytes[:, None])
        + ((tensor < step) & ~during) @ (left * row_bytes[:, None])
        + (tensor > step) @ (taken * row_bytes[:, None])
    )
    again = np.maximum((ends - starts).sum(axis=1) - heights, 0)[1:]
    work = np.array([_row_multiplications(graph, op) for op in ops])
    return int(bytes_at.max()), int(again @ work + moved @ row_bytes[1:-1])


def _row_multiplications(graph: Graph, op: Op) -> int:
    """Multiplications for a row of a convolution; of other ops, results."""
    row = graph.tensors[op.outputs[0]].size // graph.tensors[op.outputs[0]].shape[1]
    if op.kind not in CONVOLUTIONS:
        return row
    weights = graph.tensors[op.inputs[1]]
    return row * weights.size // weights.shape[3 if op.kind == "DEPTHWISE_CONV_2D" else 0]
