import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.program._scheduling import as_program
from autotiny.dataset import synthetic
from autotiny.engine import generate
from autotiny.errors import NotApplicable
from autotiny.evaluate import sources_of
from autotiny.firmware import build_host
from autotiny.model import Level, Model, load_model


@pytest.mark.parametrize("lowering", ["int8", "float32"])
def test_fused_steps_compute_the_same(lowering: str, cnn1: Model, work: Work) -> None:
    plain = as_program(COMPONENTS[lowering]().apply(cnn1, work))
    fused = COMPONENTS["fuse_operators"]().apply(plain, work)
    assert fused.level is Level.PROGRAM
    assert len(fused.program.schedule.steps) == len(plain.program.schedule.steps) - 1
    x = work.data.x_test[:8]
    if lowering == "int8":
        x = np.round(x * 255 - 128).astype(np.int8)
    results = [
        build_host(generate(model.program.graph, model.program.schedule)).predict(x)
        for model in (plain, fused)
    ]
    np.testing.assert_array_equal(results[0], results[1])


def test_nothing_to_fuse(residual: Model, work: Work) -> None:
    with pytest.raises(NotApplicable, match="fuse_operators: no convolution"):
        COMPONENTS["fuse_operators"]().apply(COMPONENTS["int8"]().apply(residual, work), work)


def test_the_largest_residual_is_added_row_by_row() -> None:
    network = load_model("resnet8")
    work = Work(synthetic(network), rehearse=True)
    plain = as_program(COMPONENTS["int8"]().apply(network, work))
    fused = COMPONENTS["fuse_operators"]().apply(plain, work)
    assert sources_of(plain).arena_bytes == 3 * 32 * 32 * 16
    assert sources_of(fused).arena_bytes == 2 * 32 * 32 * 16 + 32 * 16
    blocks = COMPONENTS["block_gemm"]()
    alone = blocks.apply(plain, work)
    assert blocks.apply(fused, work).program.schedule == alone.program.schedule
