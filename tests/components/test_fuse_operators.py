import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.program._scheduling import as_program
from autotiny.engine import generate
from autotiny.errors import NotApplicable
from autotiny.firmware import build_host
from autotiny.model import Level, Model


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
