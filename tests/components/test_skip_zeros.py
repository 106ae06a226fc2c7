from dataclasses import replace

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Component, Work, objection
from autotiny.components.keras.prune_magnitude import PruneMagnitude
from autotiny.components.program.skip_zeros import SkipZeros
from autotiny.engine import generate
from autotiny.errors import NotApplicable
from autotiny.firmware import build_host
from autotiny.graph import Array
from autotiny.model import Model


@pytest.fixture(scope="module")
def pruned(cnn1: Model, work: Work) -> Model:
    """A cnn1 in int8 of which four weights in five are zero."""
    sparse = PruneMagnitude(0.8).apply(cnn1, replace(work, rehearse=True))
    return COMPONENTS["int8"]().apply(sparse, work)


def codings(model: Model) -> dict[str, str]:
    graph = model.program.graph
    return {graph.ops[step.ops[0]].kind: step.coding for step in model.program.schedule.steps}


def chain(model: Model, work: Work, *names: str) -> Model:
    for name in names:
        model = COMPONENTS[name]().apply(model, work)
    return model


def weights_bytes(model: Model) -> int:
    return generate(model.program.graph, model.program.schedule).weights_bytes


def computed(model: Model, x: Array) -> Array:
    return build_host(generate(model.program.graph, model.program.schedule)).predict(x)


def test_four_fifths_of_zeros_more_than_halve_the_weights(pruned: Model, work: Work) -> None:
    plain, sparse = chain(pruned, work, "fuse_operators"), chain(pruned, work, "skip_zeros")
    assert codings(sparse)["FULLY_CONNECTED"] == "sparse"
    assert 2.5 * weights_bytes(sparse) < weights_bytes(plain)
    x = np.round(work.data.x_test[:8] * 255 - 128).astype(np.int8)
    np.testing.assert_array_equal(computed(sparse, x), computed(plain, x))


def test_blocks_leave_sparse_layers_and_sparse_layers_take_from_blocks(
    pruned: Model, work: Work
) -> None:
    for names in (("skip_zeros", "block_gemm"), ("block_gemm", "skip_zeros")):
        model = chain(pruned, work, "fuse_operators", *names)
        assert codings(model) == {
            kind: "sparse" if kind == "FULLY_CONNECTED" else "plain" for kind in codings(model)
        }
        blocks = {(step.rows, step.columns) for step in model.program.schedule.steps}
        assert blocks == {(4, 2), (1, 1)}


def test_what_does_not_save_enough_stays_plain(cnn1: Model, pruned: Model, work: Work) -> None:
    with pytest.raises(NotApplicable, match="takes 10% less flash; prune_magnitude makes zeros"):
        SkipZeros().apply(COMPONENTS["int8"]().apply(cnn1, work), work)
    assert codings(SkipZeros(0.6).apply(pruned, work))["FULLY_CONNECTED"] == "sparse"
    with pytest.raises(NotApplicable, match="takes 80% less"):
        SkipZeros(0.8).apply(pruned, work)


def test_fusing_comes_first() -> None:
    kinds: list[type[Component]] = [
        COMPONENTS[name] for name in ("int8", "skip_zeros", "fuse_operators")
    ]
    assert "as it was fused" in str(objection(kinds))
