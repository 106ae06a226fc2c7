from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from autotiny.components import Work
from autotiny.components.keras.factorize_low_rank import FactorizeLowRank
from autotiny.components.keras.factorize_spatial import FactorizeSpatial, spatial_factors
from autotiny.errors import NotApplicable
from autotiny.model import Model, keras, keras_model, predict


def test_spatial_factors_of_full_rank_are_exact() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 5, 2, 4)).astype(np.float32)
    vertical, horizontal = spatial_factors(kernel, 6)
    product = np.einsum("him,wmo->hwio", vertical[:, 0], horizontal[0])
    np.testing.assert_allclose(product, kernel, atol=1e-5)


@pytest.mark.parametrize(("strides", "padding"), [((1, 1), "same"), ((2, 1), "valid")])
def test_a_kernel_of_low_rank_loses_nothing(
    strides: tuple[int, int], padding: str, work: Work
) -> None:
    k = keras()
    rng = np.random.default_rng(0)
    kernel = np.einsum("him,wmo->hwio", rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 2, 6)))
    conv = k.layers.Conv2D(6, 3, strides, padding, activation="relu", name="conv")
    network = k.Sequential([k.layers.InputLayer(input_shape=(9, 8, 4)), conv])
    conv.set_weights([kernel, rng.normal(size=6)])
    model = keras_model(network)
    apart = FactorizeSpatial(2 / 12).apply(model, replace(work, rehearse=True))
    sizes = [layer.weights[0].shape[:2] for layer in apart.keras.layers[1:]]
    assert sizes == [(3, 1), (1, 3)]
    x = rng.random((5, 9, 8, 4), np.float32)
    np.testing.assert_allclose(predict(apart, x), predict(model, x), atol=1e-4)


def test_dense_and_pointwise_layers_of_low_rank_lose_nothing(work: Work) -> None:
    k = keras()
    rng = np.random.default_rng(0)
    network = k.Sequential(
        [
            k.layers.InputLayer(input_shape=(6, 6, 8)),
            k.layers.Conv2D(8, 1, 2, activation="relu", name="point"),
            k.layers.Flatten(),
            k.layers.Dense(10, name="dense"),
        ]
    )
    low = [rng.normal(size=(a, 2)) @ rng.normal(size=(2, b)) for a, b in ((8, 8), (72, 10))]
    network.get_layer("point").set_weights([low[0][None, None], rng.normal(size=8)])
    network.get_layer("dense").set_weights([low[1], rng.normal(size=10)])
    model = keras_model(network)
    apart = FactorizeLowRank(0.25).apply(model, replace(work, rehearse=True))
    assert [layer.name for layer in apart.keras.layers if layer.weights] == [
        "point_narrow", "point_wide", "dense_narrow", "dense_wide",
    ]  # fmt: skip
    x = rng.random((5, 6, 6, 8), np.float32)
    np.testing.assert_allclose(predict(apart, x), predict(model, x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("component", [FactorizeSpatial(0.2), FactorizeLowRank(0.5)])
@pytest.mark.everyday(1)
def test_it_learns_what_the_original_knows(
    component: FactorizeSpatial, residual: Model, work: Work, accuracy: Callable[[Model], float]
) -> None:
    apart = component.apply(residual, replace(work, original=residual, epochs=3))
    assert apart.keras.count_params() < residual.keras.count_params()
    assert accuracy(apart) >= accuracy(residual) - 0.15


@pytest.mark.parametrize("component", [FactorizeSpatial(1.0), FactorizeLowRank(1.0)])
def test_full_rank_pays_nowhere(component: FactorizeSpatial, cnn1: Model, work: Work) -> None:
    with pytest.raises(NotApplicable, match="has fewer weights at 100%"):
        component.apply(cnn1, work)
