from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.keras.reduce_input import ReduceInput
from autotiny.dataset import synthetic
from autotiny.errors import NotApplicable
from autotiny.model import Model, keras, keras_model, load_model, predict


@pytest.mark.parametrize("name", ["cnn1", "ds_cnn", "resnet8", "mobilenet_v1"])
@pytest.mark.parametrize("axes", ["all", "first"])
@pytest.mark.everyday(2)
def test_every_builtin_gets_a_smaller_picture(name: str, axes: str, work: Work) -> None:
    model = load_model(name)
    small = ReduceInput(2, axes).apply(model, replace(work, rehearse=True))  # type: ignore[arg-type]
    assert small.keras.input_shape == model.keras.input_shape
    assert small.keras.output_shape == model.keras.output_shape
    graph = COMPONENTS["int8"]().apply(small, Work(synthetic(model), rehearse=True)).graph
    assert graph.tensors[graph.inputs[0]].shape[1:] == model.keras.input_shape[1:]


def test_a_picture_without_detail_gives_the_same(work: Work) -> None:
    """On cells of equal values, with pooling as wide as the picture, nothing gets lost."""
    k = keras()
    network = k.Sequential(
        [
            k.layers.InputLayer(input_shape=(8, 8, 2)),
            k.layers.Conv2D(3, 1, activation="relu"),
            k.layers.Flatten(),
            k.layers.Dense(4),
        ]
    )
    model = keras_model(network)
    small = ReduceInput(2).apply(model, replace(work, rehearse=True))
    cells = np.random.default_rng(0).random((5, 4, 4, 2), np.float32)
    x = cells.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(predict(small, x), predict(model, x), atol=1e-5)
    assert small.keras.layers[-1].weights[0].shape == (4 * 4 * 3, 4)


def test_it_recovers_by_fine_tuning(
    cnn1: Model, work: Work, accuracy: Callable[[Model], float]
) -> None:
    small = ReduceInput(2).apply(cnn1, replace(work, epochs=4))
    assert small.keras.count_params() < 0.3 * cnn1.keras.count_params()
    assert accuracy(small) >= accuracy(cnn1) - 0.1


def test_a_network_without_pictures_drops_out(work: Work) -> None:
    with pytest.raises(NotApplicable, match="no convolution reads the input"):
        ReduceInput().apply(load_model("autoencoder"), work)


def test_too_large_a_factor_drops_out(cnn1: Model, work: Work) -> None:
    with pytest.raises(NotApplicable, match="leaves too little"):
        ReduceInput(14).apply(cnn1, work)


def test_a_network_that_answers_each_place_keeps_its_output(work: Work) -> None:
    k = keras()
    layers = k.layers
    image = k.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same")(image)
    model = keras_model(k.Model(image, layers.Conv2D(2, 1)(x)))
    with pytest.raises(NotApplicable, match="a value for each place of the input"):
        ReduceInput(factor=2).apply(model, replace(work, rehearse=True))
