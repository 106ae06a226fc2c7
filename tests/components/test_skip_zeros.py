from dataclasses import replace

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Component, Work, objection
from autotiny.components.keras.prune_magnitude import PruneMagnitude
from autotiny.components.program._scheduling import as_program
from autotiny.components.program.skip_zeros import SkipZeros
from autotiny.engine import Sources, generate
from autotiny.engine.variants.blocks import Blocks
from autotiny.engine.variants.sparse import Sparse
from autotiny.errors import NotApplicable
from autotiny.firmware import build_host
from autotiny.graph import Array
from autotiny.model import Model
from autotiny.schedule import Plain, Way
from autotiny.simulator import measure
from autotiny.target import load_target


@pytest.fixture(scope="module")
def pruned(cnn1: Model, work: Work) -> Model:
    """A cnn1 in int8 of which four weights in five are zero."""
    sparse = PruneMagnitude(0.8).apply(cnn1, replace(work, rehearse=True))
    return COMPONENTS["int8"]().apply(sparse, work)


def kernels(model: Model) -> dict[str, Way]:
    graph = model.program.graph
    return {graph.ops[step.ops[0]].kind: step.kernel for step in model.program.schedule.steps}


def chain(model: Model, work: Work, *names: str) -> Model:
    for name in names:
        model = COMPONENTS[name]().apply(model, work)
    return model


def sources(model: Model) -> Sources:
    return generate(model.program.graph, model.program.schedule)


def weights_bytes(model: Model) -> int:
    return sources(model).weights_bytes


def computed(model: Model, x: Array) -> Array:
    return build_host(sources(model)).predict(x)


def test_four_fifths_of_zeros_more_than_halve_the_weights(pruned: Model, work: Work) -> None:
    plain, sparse = chain(pruned, work, "fuse_operators"), chain(pruned, work, "skip_zeros")
    assert kernels(sparse)["FULLY_CONNECTED"] == Sparse()
    assert 2.5 * weights_bytes(sparse) < weights_bytes(plain)
    x = np.round(work.data.x_test[:8] * 255 - 128).astype(np.int8)
    np.testing.assert_array_equal(computed(sparse, x), computed(plain, x))


@pytest.mark.parametrize(
    ("lowering", "share"), [("float32", 0.27), ("float16", 0.32), ("int16x8", 0.4)]
)
@pytest.mark.everyday(1)
def test_other_types_take_less_flash_and_give_the_same(
    lowering: str, share: float, cnn1: Model, work: Work
) -> None:
    target = load_target("stm32l4r5")
    rehearsed = PruneMagnitude(0.8).apply(cnn1, replace(work, rehearse=True))
    fusing = ("fuse_operators",) if lowering == "float32" else ()  # the others find nothing to do
    plain = as_program(chain(rehearsed, work, lowering, *fusing))
    sparse = chain(plain, work, "skip_zeros")
    assert kernels(sparse)["FULLY_CONNECTED"] == Sparse()
    before, after = (measure(sources(one), target) for one in (plain, sparse))
    assert after.flash_bytes < share * before.flash_bytes
    assert after.sram_bytes <= before.sram_bytes
    assert after.cycles < before.cycles
    x = work.data.x_test[:8]
    if lowering == "int16x8":
        x = np.round(x * 32767).astype(np.int16)
    assert computed(sparse, x).tobytes() == computed(plain, x).tobytes()
    with pytest.raises(NotApplicable, match="takes 10% less flash; prune_magnitude makes zeros"):
        chain(cnn1, work, lowering, "skip_zeros")


def test_blocks_leave_sparse_layers_and_sparse_layers_take_from_blocks(
    pruned: Model, work: Work
) -> None:
    for names in (("skip_zeros", "block_gemm"), ("block_gemm", "skip_zeros")):
        model = chain(pruned, work, "fuse_operators", *names)
        found = kernels(model)
        assert found["FULLY_CONNECTED"] == Sparse()
        assert set(found.values()) == {Sparse(), Blocks(4, 2), Plain()}


def test_what_does_not_save_enough_stays_plain(cnn1: Model, pruned: Model, work: Work) -> None:
    with pytest.raises(NotApplicable, match="takes 10% less flash; prune_magnitude makes zeros"):
        SkipZeros().apply(COMPONENTS["int8"]().apply(cnn1, work), work)
    assert kernels(SkipZeros(0.6).apply(pruned, work))["FULLY_CONNECTED"] == Sparse()
    with pytest.raises(NotApplicable, match="takes 80% less"):
        SkipZeros(0.8).apply(pruned, work)


def test_fusing_comes_first() -> None:
    kinds: list[type[Component]] = [
        COMPONENTS[name] for name in ("int8", "skip_zeros", "fuse_operators")
    ]
    assert "as it was fused" in str(objection(kinds))
