from contextlib import suppress

import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.dataset import synthetic
from autotiny.errors import NotApplicable
from autotiny.evaluate import program_key
from autotiny.model import Model, load_model

COMMUTING = sorted(
    {
        tuple(sorted((kind.name, other)))
        for kind in COMPONENTS.values()
        for other in kind.commutes_with
    }
)


@pytest.fixture(scope="module")
def lowered() -> list[tuple[Model, Work]]:
    """Two networks in int8 with synthetic samples."""
    found = []
    for name in ("cnn1", "ds_cnn"):
        model = load_model(name)
        work = Work(synthetic(model))
        found.append((COMPONENTS["int8"]().apply(model, work), work))
    return found


def test_commuting_pairs_are_components() -> None:
    assert {name for pair in COMMUTING for name in pair} <= set(COMPONENTS)


@pytest.mark.parametrize("pair", COMMUTING, ids="-".join)
def test_pairs_that_are_said_to_commute_do(
    lowered: list[tuple[Model, Work]], pair: tuple[str, str]
) -> None:
    for model, work in lowered:
        results = set()
        for order in (pair, pair[::-1]):
            changed = model
            for name in order:
                with suppress(NotApplicable):
                    changed = COMPONENTS[name]().apply(changed, work)
            results.add(program_key(changed))
        assert len(results) == 1
