"""The options of a network at their places, with all that each of them takes there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from autotiny.graph import Graph
from autotiny.solver.measuring import Base, Facts, passed, usual
from autotiny.solver.memory import Living
from autotiny.solver.options import Chain, Option

LEAST_FRAME_BYTES = 8
"""Of a function that passes nothing: where it returns to, and what fills two words."""


@dataclass(frozen=True, eq=False)
class Item:
    """An option at its place, with what it takes there.

    Attributes:
        segment, chain, place: where.
        option: the step.
        facts: what was measured of it.
        own_bytes: of flash, that no other place shares.
        shared: names and bytes of the functions and constants that others may use, too.
        arena_bytes: that its step needs.
        frame_bytes: of the function that calls it, about.
    """

    segment: int
    chain: int
    place: int
    option: Option
    facts: Facts
    own_bytes: float
    shared: Mapping[str, int]
    arena_bytes: int
    frame_bytes: int

    @property
    def at(self) -> tuple[int, int, int]:
        """Its place."""
        return self.segment, self.chain, self.place

    @property
    def cycles(self) -> int:
        """Of an inference."""
        return self.facts.cycles

    @property
    def static_bytes(self) -> int:
        """Of SRAM that it occupies all the time."""
        return self.option.static_bytes

    @property
    def slow_bytes(self) -> int:
        """Of them, those in a slower memory."""
        return self.option.slow_bytes

    @property
    def near_bytes(self) -> int:
        """Of them, the others."""
        return self.static_bytes - self.slow_bytes

    @property
    def stack_bytes(self) -> int:
        """Below the frame of the function that calls the steps."""
        return self.facts.stack_bytes


def items_of(
    graph: Graph,
    segments: Sequence[Sequence[Chain]],
    facts: Mapping[str, Facts],
    base: Base,
) -> tuple[Item, ...]:
    """Every option that could be part of a best schedule.

    Args:
        graph: with constants folded.
        segments: its chains of places.
        facts: of each option, by its key.
        base: what the firmware takes besides.
    """
    once = _shareable(segments)
    found: list[Item] = []
    plain = _living(graph, _usual(segments))
    for s, chains in enumerate(segments):
        before = _usual(segments[:s])
        for c, chain in enumerate(chains):
            living = plain
            if c:
                program = [*before, *map(usual, chain), *_usual(segments[s + 1 :])]
                living = _living(graph, program)
            for p, place in enumerate(chain):
                here = [
                    _item((s, c, p), option, facts[option.key], living, len(before) + p, once, base)
                    for option in place
                ]
                found += _undominated(here)
    return tuple(found)


def _living(graph: Graph, program: Sequence[Option]) -> Living:
    return Living(graph, [option.kernel for option in program])


def _usual(segments: Sequence[Sequence[Chain]]) -> list[Option]:
    return [usual(place) for chains in segments for place in chains[0]]


def _shareable(segments: Sequence[Sequence[Chain]]) -> set[str]:
    """Digests of functions and constants that occur at several places."""
    places: Counter[str] = Counter()
    for chains in segments:
        for chain in chains:
            for place in chain:
                functions = {option.function for option in place}
                places.update(functions | {c.name for one in place for c in one.constants})
    return {name for name, count in places.items() if count > 1}


def _item(
    at: tuple[int, int, int], option: Option, facts: Facts, living: Living, step: int,
    once: set[str], base: Base,
) -> Item:  # fmt: skip
    shared = dict(facts.shared)
    own = facts.array_bytes + base.operand_bytes * passed(option)
    parts = {one.name: one.bytes for one in option.constants}
    for name, size in {option.function: facts.code_bytes, **parts}.items():
        if name in once:
            shared[name] = size
        else:
            own += size
    return Item(
        *at,
        option=option,
        facts=facts,
        own_bytes=own,
        shared={name: size for name, size in shared.items() if size},
        arena_bytes=living.needed_bytes(step, option.kernel),
        frame_bytes=base.frame_bytes if passed(option) else LEAST_FRAME_BYTES,
    )


def _undominated(items: Iterable[Item]) -> Iterator[Item]:
    """Those of a place that no other one is at least as good as in everything."""
    kept: list[Item] = []
    for item in sorted(items, key=lambda one: (figures(one), len(one.shared))):
        if not any(_as_good(other, item) for other in kept):
            kept.append(item)
            yield item


def figures(item: Item) -> tuple[float, ...]:
    """What an item takes, but for what it shares."""
    return (
        item.cycles,
        item.own_bytes,
        item.static_bytes,
        item.near_bytes,
        item.arena_bytes,
        item.stack_bytes,
        item.frame_bytes,
    )


def _as_good(one: Item, other: Item) -> bool:
    pairs = zip(figures(one), figures(other), strict=True)
    return all(a <= b for a, b in pairs) and one.shared.keys() <= other.shared.keys()
