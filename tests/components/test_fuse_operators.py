import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.program._scheduling import as_program
from autotiny.dataset import synthetic
from autotiny.engine import generate
from autotiny.errors import NotApplicable
from autotiny.evaluate import sources_of
from autotiny.firmware import build_host
from autotiny.model import Level, Model, keras, keras_model, load_model, tensorflow


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


def activated() -> Model:
    """A convolution behind each of some activations that no single op computes."""
    k, tf = keras(), tensorflow()
    y = x = k.Input((12, 12, 3))
    for activation in (
        tf.nn.silu,
        lambda x: x * tf.nn.relu6(x + 2) / 4,
        lambda x: x * tf.tanh(x),
        lambda x: 0.5 * x * (1 + tf.tanh(0.8 * (x + 0.045 * x * x * x))),
        lambda x: x * (x + 1),
    ):
        y = activation(k.layers.Conv2D(6, 3)(y))
    return keras_model(k.Model(x, k.layers.Dense(10)(k.layers.Flatten()(y)), name="activated"))


def test_activations_of_several_ops_are_looked_up() -> None:
    model = activated()
    work = Work(synthetic(model, samples=20))
    plain = as_program(COMPONENTS["int8"]().apply(model, work))
    fused = COMPONENTS["fuse_operators"]().apply(plain, work)
    graph, steps = fused.program.graph, fused.program.schedule.steps
    alone = {graph.ops[step.ops[0]].kind for step in steps if len(step.ops) == 1}
    assert alone == {"CONV_2D", "RESHAPE", "FULLY_CONNECTED"}
    assert sum(len(step.ops) > 1 for step in steps) == 5
    x = np.random.default_rng(0).integers(-128, 128, (8, 12, 12, 3)).astype(np.int8)
    results = [
        build_host(generate(one.program.graph, one.program.schedule)).predict(x)
        for one in (plain, fused)
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
