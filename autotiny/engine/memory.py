"""Where every tensor and scratch buffer lies in the arena.

Buffers that live at the same time must not overlap, unless a kernel allows its output to run over
an input that dies with it. A buffer may be needed in parts: of an image that is read stripe by
stripe, the rows that were read last are free first. Every such rule between two buffers is a
forbidden open interval or several for the difference of their offsets, so placing a buffer is
choosing the lowest address outside a union of intervals. The order of placing decides the result: a
few good orders are tried, then exchanges, once with a buffer that ends last every other time and
once at random alone, until the arena is as small as the largest live set or the tries are used up.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from autotiny.engine.kernel import Overlap

ALIGNMENT = 4  # words and int16 pairs are read from every buffer
EXCHANGES = 400


@dataclass(frozen=True)
class Part:
    """Bytes `start` to `end` of a buffer, needed from step `first` to the end of step `last`."""

    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True)
class Buffer:
    """Memory that is needed from the beginning of step `first` to the end of step `last`.

    Attributes:
        bytes: how many.
        first: the step that begins with it.
        last: the step that ends with it.
        alignment: of its offset.
        pieces: where not all of it is needed all the time, the parts that it falls into.
    """

    bytes: int
    first: int
    last: int
    alignment: int = ALIGNMENT
    pieces: tuple[Part, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that live at times of their own; one, if it is needed as a whole."""
        return self.pieces or (Part(0, self.bytes, self.first, self.last),)

    def bytes_at(self, step: int) -> int:
        """How many of its bytes are needed at a step."""
        return sum(p.end - p.start for p in self.parts if p.first <= step <= p.last)


@dataclass(frozen=True)
class Meeting:
    """A step at which one buffer may be written over another that it reads.

    Attributes:
        read: the buffer read, by its position.
        written: the buffer written, by its position.
        step: when.
        overlap: how the bytes written may lie over those read.
        read_range: begin and end of what the step reads of the one buffer.
        written_range: begin and end of what it writes of the other.
    """

    read: int
    written: int
    step: int
    overlap: Overlap
    read_range: tuple[int, int]
    written_range: tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """Offsets in bytes, one a buffer, and the size of the whole."""

    offsets: tuple[int, ...]
    bytes: int


def plan(
    buffers: Sequence[Buffer],
    meetings: Sequence[Meeting] = (),
    exchanges: int = EXCHANGES,
    enough: int | None = None,
) -> Plan:
    """Place the buffers.

    Args:
        buffers: what is to be placed.
        meetings: where a buffer may overlap another one all the same.
        exchanges: how many are tried at most.
        enough: bytes that satisfy; no plan is searched for that is smaller, nor one at all if none
            can be as small. None asks for the smallest.
    """
    forbidden = _forbidden(buffers, meetings)
    bound = _lower_bound(buffers, meetings)
    orders = [
        sorted(range(len(buffers)), key=key)
        for key in (
            lambda i: (-buffers[i].bytes, buffers[i].first),
            lambda i: (buffers[i].first, -buffers[i].bytes),
            lambda i: (-buffers[i].first, -buffers[i].bytes),
            lambda i: (buffers[i].first - buffers[i].last, -buffers[i].bytes),
        )
    ]
    plans = [
        (placed, order)
        for order in orders
        if (placed := _place(buffers, forbidden, order, {}, sys.maxsize))
    ]
    tries = exchanges if len(buffers) > 1 else 0
    if enough is not None:
        tries = tries if bound <= enough else 0
        bound = max(bound, enough)
    best = min(plans, key=lambda planned: planned[0].bytes)
    found = _exchanged(buffers, forbidden, best, tries, bound, guided=True)
    if found.bytes > bound:
        other = _exchanged(buffers, forbidden, plans[0], tries, bound, guided=False)
        found = min(found, other, key=lambda placed: placed.bytes)
    return found


def _exchanged(
    buffers: Sequence[Buffer], forbidden: list[dict[int, tuple[Interval, ...]]],
    start: tuple[Plan, list[int]], tries: int, bound: int, *, guided: bool,
) -> Plan:  # fmt: skip
    """The best plan that exchanges lead to, at random or every other one with a last buffer."""
    best, order = start
    dice = random.Random(0)
    for turn in range(tries):
        if best.bytes <= bound:
            break
        i, j = dice.sample(range(len(order)), 2)
        if guided and turn % 2:  # one that reaches the end gets the place of an earlier one
            ends = [
                k for k, b in enumerate(order) if best.offsets[b] + buffers[b].bytes == best.bytes
            ]
            i = dice.choice(ends)
            j = dice.randrange(max(i, 1))
        trial = list(order)
        trial[i], trial[j] = trial[j], trial[i]
        placed = {b: best.offsets[b] for b in order[: min(i, j)]}
        if found := _place(buffers, forbidden, trial, placed, best.bytes):
            best, order = found, trial
    return best


Interval = tuple[int, int]


def _forbidden(
    buffers: Sequence[Buffer], meetings: Sequence[Meeting]
) -> list[dict[int, tuple[Interval, ...]]]:
    """For each b: a → open intervals that offset(b) − offset(a) must avoid."""
    of_pair: dict[tuple[int, int], list[Meeting]] = {}
    for meeting in meetings:
        of_pair.setdefault((meeting.read, meeting.written), []).append(meeting)
    result: list[dict[int, tuple[Interval, ...]]] = [{} for _ in buffers]
    for a, one in enumerate(buffers):
        for b, other in enumerate(buffers[:a]):
            if one.last < other.first or other.last < one.first:
                continue
            intervals = _united(
                interval
                for p in one.parts
                for q in other.parts
                if p.first <= q.last and q.first <= p.last
                for interval in _conflict(p, q, of_pair.get((a, b), ()), of_pair.get((b, a), ()))
            )
            if intervals:
                result[b][a] = intervals
                result[a][b] = _mirrored(intervals)
    return result


def _conflict(
    p: Part, q: Part, from_p: Sequence[Meeting], from_q: Sequence[Meeting]
) -> tuple[Interval, ...]:
    """Where q's buffer must not begin, seen from the beginning of p's, for q not to touch p."""
    low, high = p.start - q.end, p.end - q.start
    for meeting in from_p:
        if _meets(p, q, meeting):
            return _gaps(low, high, meeting)
    for meeting in from_q:
        if _meets(q, p, meeting):
            return _mirrored(_gaps(-high, -low, meeting))
    return ((low, high),)


def _meets(read: Part, written: Part, meeting: Meeting) -> bool:
    """Whether a part dies at the step that writes the other one, and is what the step reads."""
    return (
        read.last == meeting.step == written.first
        and meeting.read_range[0] <= read.start
        and read.end <= meeting.read_range[1]
        and meeting.written_range[0] <= written.start
        and written.end <= meeting.written_range[1]
    )


def _mirrored(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """The same rule, seen from the other buffer."""
    return tuple((-end, -start) for start, end in reversed(intervals))


def _united(intervals: Iterator[Interval]) -> tuple[Interval, ...]:
    """Open intervals joined where they overlap."""
    united: list[Interval] = []
    for low, high in sorted(intervals):
        if united and low < united[-1][1]:
            united[-1] = (united[-1][0], max(high, united[-1][1]))
        else:
            united.append((low, high))
    return tuple(united)


def _gaps(low: int, high: int, meeting: Meeting) -> tuple[Interval, ...]:
    """What remains forbidden of the open interval (low, high)."""
    overlap, shift = meeting.overlap, meeting.read_range[0] - meeting.written_range[0]
    if overlap.until is not None:
        low = max(low, overlap.until + shift)
    if overlap.since is not None:
        high = min(high, overlap.since + shift)
    split = overlap.same and low < shift < high
    halves = ((low, shift), (shift, high)) if split else ((low, high),)
    return tuple(half for half in halves if half[0] < half[1])


def _place(
    buffers: Sequence[Buffer],
    forbidden: Sequence[Mapping[int, tuple[Interval, ...]]],
    order: Sequence[int],
    placed: Mapping[int, int],
    most: int,
) -> Plan | None:
    """Give each buffer, in this order, the lowest address that the earlier ones leave.

    The first ones of the order may be placed already. None if they take more than `most` bytes.
    """
    offsets = dict(placed)
    for index in order[len(placed) :]:
        intervals = sorted(
            (offsets[other] + low, offsets[other] + high)
            for other, gaps in forbidden[index].items()
            if other in offsets
            for low, high in gaps
        )
        alignment = buffers[index].alignment
        offset = 0
        for low, high in intervals:
            # Sorted by their starts, those that were passed before hold the buffer no more.
            if low < offset < high:
                offset = -(-high // alignment) * alignment
        offsets[index] = offset
        if offset + buffers[index].bytes > most:
            return None
    end = max((offsets[i] + b.bytes for i, b in enumerate(buffers)), default=0)
    return Plan(tuple(offsets[i] for i in range(len(buffers))), end)


def _lower_bound(buffers: Sequence[Buffer], meetings: Sequence[Meeting]) -> int:
    """The largest live set, every allowed overlap used in full."""
    changes: dict[int, int] = {}  # step → bytes that are needed from it on, less those that were
    for part in (part for buffer in buffers for part in buffer.parts):
        size = part.end - part.start
        changes[part.first] = changes.get(part.first, 0) + size
        changes[part.last + 1] = changes.get(part.last + 1, 0) - size
    shared: dict[int, int] = {}
    for meeting in meetings:
        least = min(buffers[b].bytes_at(meeting.step) for b in (meeting.read, meeting.written))
        shared[meeting.step] = shared.get(meeting.step, 0) + least
    bound = needed = 0
    for step in sorted(changes):
        needed += changes[step]
        bound = max(bound, needed - shared.get(step, 0))
    return bound
