"""Where every tensor and scratch buffer lies in the arena.

Buffers that live at the same time must not overlap, unless a kernel allows its output to run over
an input that dies with it. Every such rule between two buffers is a forbidden open interval or two
for the difference of their offsets, so placing a buffer is choosing the lowest address outside a
union of intervals. The order of placing decides the result: a few good orders are tried, then
random exchanges, until the arena is as small as the largest live set or the tries are used up.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotiny.engine.kernel import Overlap

ALIGNMENT = 4  # words and int16 pairs are read from every buffer
EXCHANGES = 400


@dataclass(frozen=True)
class Buffer:
    """Memory that is needed from the beginning of step `first` to the end of step `last`."""

    bytes: int
    first: int
    last: int
    alignment: int = ALIGNMENT


@dataclass(frozen=True)
class Plan:
    """Offsets in bytes, one a buffer, and the size of the whole."""

    offsets: tuple[int, ...]
    bytes: int


def plan(buffers: Sequence[Buffer], overlaps: Mapping[tuple[int, int], Overlap]) -> Plan:
    """Place the buffers; `overlaps` maps (read, written) pairs of buffers to what is allowed."""
    forbidden = _forbidden(buffers, overlaps)
    bound = _lower_bound(buffers, overlaps)
    orders = [
        sorted(range(len(buffers)), key=key)
        for key in (
            lambda i: (-buffers[i].bytes, buffers[i].first),
            lambda i: (buffers[i].first, -buffers[i].bytes),
            lambda i: (-buffers[i].first, -buffers[i].bytes),
            lambda i: (buffers[i].first - buffers[i].last, -buffers[i].bytes),
        )
    ]
    best = min((_place(buffers, forbidden, order) for order in orders), key=lambda p: p.bytes)
    order = orders[0]
    dice = random.Random(0)
    for _ in range(EXCHANGES if len(buffers) > 1 else 0):
        if best.bytes <= bound:
            break
        i, j = dice.sample(range(len(order)), 2)
        trial = list(order)
        trial[i], trial[j] = trial[j], trial[i]
        placed = _place(buffers, forbidden, trial)
        if placed.bytes <= best.bytes:
            best, order = placed, trial
    return best


Interval = tuple[int, int]


def _forbidden(
    buffers: Sequence[Buffer], overlaps: Mapping[tuple[int, int], Overlap]
) -> dict[tuple[int, int], tuple[Interval, ...]]:
    """(a, b) → open intervals that offset(b) − offset(a) must avoid, for buffers alive together."""
    result = {}
    for a, one in enumerate(buffers):
        for b, other in enumerate(buffers):
            if a == b or one.last < other.first or other.last < one.first:
                continue
            low, high = -other.bytes, one.bytes
            if overlap := overlaps.get((a, b)):
                result[a, b] = _gaps(low, high, overlap)
            elif overlap := overlaps.get((b, a)):
                gaps = _gaps(-high, -low, overlap)
                result[a, b] = tuple((-end, -start) for start, end in reversed(gaps))
            else:
                result[a, b] = ((low, high),)
    return result


def _gaps(low: int, high: int, overlap: Overlap) -> tuple[Interval, ...]:
    """What remains forbidden of the open interval (low, high)."""
    low = low if overlap.until is None else max(low, overlap.until)
    high = high if overlap.since is None else min(high, overlap.since)
    halves = ((low, 0), (0, high)) if overlap.same and low < 0 < high else ((low, high),)
    return tuple(half for half in halves if half[0] < half[1])


def _place(
    buffers: Sequence[Buffer],
    forbidden: Mapping[tuple[int, int], tuple[Interval, ...]],
    order: Sequence[int],
) -> Plan:
    """Give each buffer, in this order, the lowest address that the earlier ones leave."""
    offsets: dict[int, int] = {}
    for index in order:
        intervals = sorted(
            (at + low, at + high)
            for other, at in offsets.items()
            for low, high in forbidden.get((other, index), ())
        )
        alignment = buffers[index].alignment
        offset = 0
        for low, high in intervals:
            # Sorted by their starts, those that were passed before hold the buffer no more.
            if low < offset < high:
                offset = -(-high // alignment) * alignment
        offsets[index] = offset
    end = max((offsets[i] + b.bytes for i, b in enumerate(buffers)), default=0)
    return Plan(tuple(offsets[i] for i in range(len(buffers))), end)


def _lower_bound(buffers: Sequence[Buffer], overlaps: Mapping[tuple[int, int], Overlap]) -> int:
    """The largest live set, every allowed overlap used in full."""
    bound = 0
    for step in {b.first for b in buffers}:
        live = [i for i, b in enumerate(buffers) if b.first <= step <= b.last]
        shared = sum(
            min(buffers[a].bytes, buffers[b].bytes) for a, b in overlaps if a in live and b in live
        )
        bound = max(bound, sum(buffers[i].bytes for i in live) - shared)
    return bound
