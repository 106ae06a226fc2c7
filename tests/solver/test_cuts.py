"""What plans of neighbours say of all choices there are."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pytest
from networks import mobile

from autotiny.engine.arena import lay_out, tensor_buffers
from autotiny.engine.kernel import Kernel, Operand, Overlap
from autotiny.engine.memory import Part
from autotiny.graph import Graph, fold
from autotiny.solver.beside import numbers_beside, numbers_within
from autotiny.solver.cuts import Cut, Need, cuts_of, lesser, need_of
from autotiny.solver.items import Item, items_of
from autotiny.solver.measuring import Base, Facts
from autotiny.solver.options import places_of

BASE = Base(0, 0, 0.0, 0, 0, 0)
Choice = tuple[Item, ...]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return fold(mobile(12, 8))


@pytest.fixture(scope="module")
def items(graph: Graph) -> tuple[Item, ...]:
    segments = places_of(graph, dsp=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autotiny.solver.items._undominated", list)
        options = {one.key for chains in segments for c in chains for place in c for one in place}
        facts = dict.fromkeys(options, Facts(1, 0, 0, 0, 0, ()))
        return items_of(graph, segments, facts, BASE)


def choices(items: Sequence[Item]) -> Iterator[Choice]:
    """Those that differ in what plans know of them, of few at a place."""
    places: dict[tuple[int, int, int], dict[str, Item]] = {}
    for item in items:
        places.setdefault(item.at, {}).setdefault(str(need_of(item.option.kernel)), item)
    return product(*(list(place.values())[:: -(-len(place) // 4)] for place in places.values()))


def arena_bytes(graph: Graph, chosen: Sequence[Item]) -> int:
    return lay_out(graph, [item.option.kernel for item in chosen]).bytes


def is_cut(cut: Cut, items: Sequence[Item], chosen: Choice) -> bool:
    return all(any(items[k] in chosen for k in place) for place in cut.places)


def test_a_rule_holds_for_every_choice(graph: Graph, items: tuple[Item, ...]) -> None:
    planned = [(chosen, arena_bytes(graph, chosen)) for chosen in choices(items)]
    assert len(planned) > 50
    sizes = [size for _, size in planned]
    for room in {int(np.quantile(sizes, share)) for share in (0, 0.25, 0.5, 0.75)}:
        chosen, size = max(planned, key=lambda one: one[1])
        cuts = list(cuts_of(graph, items, chosen, room))
        assert size > room and any(is_cut(cut, items, chosen) for cut in cuts)
        for cut in cuts:
            assert cut.bytes > room
            assert all(size >= cut.bytes for one, size in planned if is_cut(cut, items, one))


def test_one_rule_says_it_of_all_that_need_no_less(graph: Graph, items: tuple[Item, ...]) -> None:
    """Otherwise each would be met in its turn."""
    planned = [(chosen, arena_bytes(graph, chosen)) for chosen in choices(items)]
    room = min(size for _, size in planned)
    most = max(planned, key=lambda one: one[1])[0]
    cuts = list(cuts_of(graph, items, most, room))
    assert sum(any(is_cut(cut, items, one) for cut in cuts) for one, _ in planned) > 1


def test_what_needs_no_more_than_two_kernels(items: tuple[Item, ...]) -> None:
    needs = [need_of(item.option.kernel) for item in items if item.at == items[-1].at]
    for one, other in product(needs, needs):
        least = lesser(one, other)
        assert least is not None and lesser(least, one) == least == lesser(least, other)
        assert least == lesser(other, one)
    assert all(lesser(one, one) == one for one in needs)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Overlap(until=0), Overlap(until=4), Overlap(until=4)),
        (Overlap(until=None, since=8), Overlap(until=-4), Overlap(until=-4, since=8)),
        (Overlap(until=None, since=8), Overlap(since=4, same=True), Overlap(since=4, same=True)),
        (None, Overlap(until=2), Overlap(until=2)),
    ],
)
def test_what_either_allows(one: Overlap | None, other: Overlap, both: Overlap) -> None:
    def need(overlap: Overlap | None) -> Need:
        return Need((0, 1), (), {(0, 1): overlap} if overlap else {}, {}, 0)

    assert lesser(need(one), need(other)) == need(both) == lesser(need(other), need(one))


def test_steps_take_what_is_free_beside_the_tensors(graph: Graph, items: tuple[Item, ...]) -> None:
    leanest = min(choices(items), key=lambda chosen: arena_bytes(graph, chosen))
    room = arena_bytes(graph, leanest)
    allowed = numbers_beside(graph, items, leanest)
    assert numbers_within(items, leanest) < allowed
    assert {k for k, item in enumerate(items) if item in leanest} < allowed
    assert len(allowed) < len(items)
    place = {item.at: k for k, item in enumerate(leanest)}
    for number in allowed:
        k = place[items[number].at]
        swapped = (*leanest[:k], items[number], *leanest[k + 1 :])
        kernels = [item.option.kernel for item in swapped]
        assert lay_out(graph, kernels, exchanges=4000, enough=room).bytes <= room


def test_of_a_tensor_that_is_read_in_part_the_rest_is_free(graph: Graph) -> None:
    """Half of an image is read: the other half may be anything's."""
    image, view = graph.ops[0].outputs[0], graph.ops[1].outputs[0]
    half = graph.tensors[image].bytes // 2
    kernel = Kernel(operands=(Operand("x", view, ""),), aliases={view: (image, half)})
    (buffer,) = (
        one for owner, one in tensor_buffers(graph, [kernel], [0]).items() if owner == image
    )
    end = half + graph.tensors[view].bytes
    assert buffer.parts == (Part(half, end, 0, 0),)
