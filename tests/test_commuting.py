"""Pairs that are said to commute give one program, on networks on which each of them acts."""

from contextlib import suppress
from itertools import product
from typing import get_args

import pytest

from autotiny.checked import hints_of
from autotiny.components import COMPONENTS, Component, Work
from autotiny.errors import NotApplicable
from autotiny.evaluate import program_key
from autotiny.model import Model

COMMUTING = sorted(
    {
        tuple(sorted((kind.name, other)))
        for kind in COMPONENTS.values()
        for other in kind.commutes_with
    }
)


@pytest.fixture(scope="module")
def lowered(wide: Model, compressed: Model, work: Work) -> list[Model]:
    """A network in int8, as it is, and with zeros and few different weights."""
    return [COMPONENTS["int8"]().apply(model, work) for model in (wide, compressed)]


def test_commuting_pairs_are_components() -> None:
    assert {name for pair in COMMUTING for name in pair} <= set(COMPONENTS)


def variants(name: str) -> list[Component]:
    """A component as it is, and for dense layers alone if it can be that."""
    kind = COMPONENTS[name]
    choices = get_args(hints_of(kind).get("layers"))
    dense = [kind(layers="dense")] if "dense" in choices else []  # type: ignore[call-arg]
    return [kind(), *dense]


def run(order: tuple[Component, Component], model: Model, work: Work) -> tuple[Model, int]:
    """The model behind both, and how many of them found something to do."""
    acted = 0
    for step in order:
        with suppress(NotApplicable):
            model = step.apply(model, work)
            acted += 1
    return model, acted


@pytest.mark.parametrize("pair", COMMUTING, ids="-".join)
def test_pairs_that_are_said_to_commute_do(
    lowered: list[Model], work: Work, pair: tuple[str, str]
) -> None:
    both_acted = False
    for model in lowered:
        for first, second in product(variants(pair[0]), variants(pair[1])):
            one, acted = run((first, second), model, work)
            other, too = run((second, first), model, work)
            assert program_key(one) == program_key(other)
            both_acted |= acted == too == 2
    assert both_acted, "on no network do both find something to do in either order"
