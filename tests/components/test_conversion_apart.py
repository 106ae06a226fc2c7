"""TensorFlow's converter runs in the worker: what crashes it is an error, and the rest goes on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Work
from autotiny.dataset import Dataset, synthetic
from autotiny.errors import NotApplicable, WorkerEnded
from autotiny.model import (
    Model,
    freeze_function,
    graph_model,
    keras,
    keras_model,
    tensorflow,
)
from autotiny.recipe import Recipe, apply
from autotiny.tasks import Classification


@pytest.fixture(scope="module")
def endless() -> Model:
    """A network whose loop ends when a sum that began outside reaches what the input says."""
    tf = tensorflow()

    def scaled(x: Any) -> Any:
        end = tf.reduce_sum(x)
        (found,) = tf.while_loop(lambda s: s < end, lambda s: (s + 1.0,), (0.0,))
        return [x * found]

    function = tf.function(scaled).get_concrete_function(tf.TensorSpec((1, 4), tf.float32))
    return graph_model(freeze_function(function))


@pytest.mark.parametrize("name", ["int8", "int16x8", "int8_float_fallback"])
@pytest.mark.everyday(1)
def test_a_crash_of_the_converter_is_an_error(endless: Model, name: str) -> None:
    crashed = rf"^{name}: TensorFlow's converter crashed \(SIG\w+\); try another lowering, .*$"
    with pytest.raises(WorkerEnded, match=crashed):
        COMPONENTS[name]().apply(endless, Work(synthetic(endless)))


@pytest.mark.slow
def test_a_crash_is_not_kept_in_the_cache(endless: Model, tmp_path: Path) -> None:
    recipe, work = Recipe((COMPONENTS["int8"](),)), Work(synthetic(endless))
    cache = Cache(tmp_path)
    for _ in range(2):  # a system that kills for want of memory may have more the next time
        with pytest.raises(WorkerEnded):
            apply(recipe, endless, work, cache)
    assert not list(tmp_path.glob("??/*"))


@pytest.mark.parametrize("name", ["int8", "float32"])
@pytest.mark.everyday(1)
def test_it_gives_what_this_process_would(cnn1: Model, work: Work, name: str) -> None:
    step: Any = COMPONENTS[name]()
    shape = (-1, 28, 28)
    samples = work.data.calibration(100, 0).reshape(shape) if step.samples else None
    assert step.lowered(cnn1, samples) == step.convert(cnn1, samples)


def test_no_file_is_left(cnn1: Model, work: Work, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    COMPONENTS["float32"]().apply(cnn1, work)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layer", ["doubling", "lambda"])
@pytest.mark.everyday(1)
def test_a_recurrent_network_with_layers_of_the_users_own_is_converted_here(
    layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    k = keras()
    factor = 2.0

    base: Any = k.layers.Layer

    class Doubling(base):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x * factor

    own = Doubling() if layer == "doubling" else k.layers.Lambda(lambda x: x * factor)
    layers = [k.layers.InputLayer(input_shape=(5, 3)), own, k.layers.LSTM(4)]
    model = keras_model(k.Sequential(layers))
    zeros, classes = np.zeros((8, 5, 3), np.float32), np.zeros(8, np.int32)
    work = Work(
        Dataset(
            "zeros", zeros, classes, zeros, classes, zeros, classes, task=Classification(outputs=4)
        )
    )
    lowered = COMPONENTS["float32"]().apply(model, work)
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in {op.kind for op in lowered.graph.ops}


def test_what_the_converter_refuses_is_still_told_in_its_words(work: Work) -> None:
    k = keras()
    dense = k.layers.Dense(10, activation=tensorflow().math.erf)
    network = k.Sequential([k.layers.InputLayer(input_shape=(28, 28)), k.layers.Flatten(), dense])
    with pytest.raises(NotApplicable, match=r"^int8: .*[Ee]rf"):
        COMPONENTS["int8"]().apply(keras_model(network), work)
