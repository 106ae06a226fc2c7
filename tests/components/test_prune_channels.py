from collections.abc import Callable

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.keras.prune_channels import PruneChannels
from autotiny.dataset import synthetic
from autotiny.errors import NotApplicable
from autotiny.model import Model, keras, keras_model, load_model, predict


def rehearsed(model: Model, ratio: float, data: object) -> Model:
    return PruneChannels(ratio).apply(model, Work(data, rehearse=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["cnn1", "ds_cnn", "resnet8", "mobilenet_v1", "autoencoder"])
def test_every_builtin_gets_narrower(name: str, data: object) -> None:
    model = load_model(name)
    narrow = rehearsed(model, 0.5, data)
    # The first and the last layer keep one side each, so not quite a quarter of the weights is
    # left.
    assert narrow.keras.count_params() < 0.6 * model.keras.count_params()
    assert narrow.keras.output_shape == model.keras.output_shape
    COMPONENTS["int8"]().apply(narrow, Work(synthetic(model), rehearse=True))


def test_dead_channels_go_first_and_nothing_changes(data: object) -> None:
    """Channels of zero weight contribute nothing: without them the network computes the same."""
    k = keras()
    k.utils.set_random_seed(1)
    layers = k.layers
    image = k.Input((8, 8, 3))
    x = y = layers.Conv2D(8, 3, padding="same", activation="relu", name="a")(image)
    y = layers.Conv2D(8, 3, padding="same", use_bias=False, name="b")(y)
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="c")(x)
    z = layers.Conv2D(6, 1, name="d")(x)
    x = layers.Concatenate()([layers.MaxPooling2D(2)(x), layers.AveragePooling2D(2)(z)])
    x = layers.Dense(4, name="f")(
        layers.Dense(10, activation="relu", name="e")(layers.Flatten()(x))
    )
    network = k.Model(image, x)
    dead = {"a": [1, 4], "b": [1, 4], "d": [0, 5], "e": [2, 3]}
    for name, channels in dead.items():
        layer = network.get_layer(name)
        weights = layer.get_weights()
        for weight in weights:
            weight[..., channels] = 0
        layer.set_weights(weights)
    model = keras_model(network)
    narrow = rehearsed(model, 0.3, data)
    sizes = {layer.name: layer.output_shape[-1] for layer in narrow.keras.layers}
    assert (sizes["a"], sizes["b"], sizes["c"], sizes["d"], sizes["e"]) == (6, 6, 12, 5, 7)
    x = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    shrunk = rehearsed(model, 0.25, data)
    assert {layer.name: layer.output_shape[-1] for layer in shrunk.keras.layers}["e"] == 8
    np.testing.assert_allclose(predict(shrunk, x), predict(model, x), atol=1e-5)


def test_it_recovers_by_fine_tuning(
    residual: Model, work: Work, accuracy: Callable[[Model], float]
) -> None:
    narrow = PruneChannels(0.25).apply(residual, work)
    assert narrow.keras.count_params() < 0.75 * residual.keras.count_params()
    assert accuracy(narrow) >= accuracy(residual) - 0.15


def test_zeros_of_a_pruned_model_stay(cnn1: Model, work: Work) -> None:
    pruned = COMPONENTS["prune_magnitude"](sparsity=0.6).apply(cnn1, work)  # type: ignore[call-arg]
    narrow = PruneChannels(0.25).apply(pruned, work)
    # The weakest channels hold most zeros: somewhat fewer are left of the whole.
    assert (narrow.traits.sparsity or 0) > 0.45


def test_nothing_to_remove(cnn1: Model, work: Work) -> None:
    with pytest.raises(NotApplicable, match="removes none"):
        PruneChannels(0.01).apply(cnn1, work)
