"""Schedules change how a network is computed, and not one stored value of its result."""

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Component, Work
from autotiny.components.program._scheduling import Scheduling, as_program
from autotiny.components.program.place_weights import PlaceWeights
from autotiny.components.program.solve_schedule import SolveSchedule
from autotiny.engine import generate
from autotiny.errors import NotApplicable
from autotiny.firmware import build_host
from autotiny.graph import Array
from autotiny.model import Level, Model

SCHEDULINGS = [
    kind
    for kind in COMPONENTS.values()
    if issubclass(kind, Scheduling) and kind is not SolveSchedule  # which needs a target
]


def computed(model: Model, x: Array) -> Array:
    sources = generate(model.program.graph, model.program.schedule)
    return build_host(sources, optimize="-O1").predict(x)


@pytest.fixture(scope="module")
def plain() -> dict[tuple[str, str], tuple[Model, Array]]:
    """What was lowered for earlier tests, and what it computes."""
    return {}


NETWORKS = ("cnn1", "residual", "wide", "compressed")
INT8_ALONE = {
    "block_gemm", "pair_products", "expand_weights", "use_winograd", "strassen", "spend_sram",
    "share_weights", "huffman_code",
}  # fmt: skip
"""Schedules of int8 layers, which find nothing to do in a network of reals."""


@pytest.mark.parametrize("lowering", ["int8", "float32"])
@pytest.mark.parametrize("kind", SCHEDULINGS, ids=lambda kind: kind.name)
@pytest.mark.everyday(7)
def test_the_result_stays_the_same(
    kind: type[Component],
    lowering: str,
    work: Work,
    plain: dict[tuple[str, str], tuple[Model, Array]],
    request: pytest.FixtureRequest,
) -> None:
    acted = set()
    x = work.data.x_test[:8]
    if lowering == "int8":
        x = np.round(x * 255 - 128).astype(np.int8)
    for network in NETWORKS:
        if (network, lowering) not in plain:
            lowered = COMPONENTS[lowering]().apply(request.getfixturevalue(network), work)
            model = as_program(lowered)
            plain[network, lowering] = model, computed(model, x)
        before, expected = plain[network, lowering]
        try:
            changed = kind().apply(before, work)
        except NotApplicable:
            continue
        acted.add(network)
        assert changed.level is Level.PROGRAM
        assert changed.program.schedule != before.program.schedule
        np.testing.assert_array_equal(computed(changed, x), expected)
    assert bool(acted) == (lowering == "int8" or kind.name not in INT8_ALONE)


def test_weights_are_placed_most_used_first(cnn1: Model, work: Work) -> None:
    lowered = COMPONENTS["int8"]().apply(cnn1, work)
    steps = PlaceWeights(4096).apply(lowered, work).program.schedule.steps
    graph = lowered.graph
    places = {graph.ops[step.ops[0]].kind: step.weights.memory for step in steps}
    assert places["CONV_2D"] == "sram"
    assert places["FULLY_CONNECTED"] == "flash"
    steps = PlaceWeights(32768).apply(lowered, work).program.schedule.steps
    assert {graph.ops[step.ops[0]].kind for step in steps if step.weights.memory == "sram"} == {
        "CONV_2D", "FULLY_CONNECTED",
    }  # fmt: skip
    with pytest.raises(NotApplicable, match="fit into 16 bytes"):
        PlaceWeights(16).apply(lowered, work)
