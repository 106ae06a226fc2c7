from collections.abc import Callable

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Component, Work
from autotiny.components.keras._channels import in_multiples
from autotiny.components.keras.prune_channels import PruneChannels
from autotiny.components.keras.select_subnetwork import SelectSubnetwork
from autotiny.dataset import synthetic
from autotiny.errors import NotApplicable
from autotiny.evaluate import sources_of
from autotiny.model import Model, keras, keras_model, load_model, predict
from autotiny.simulator import measure
from autotiny.target import load_target


def rehearsed(model: Model, ratio: float, data: object, multiple: int = 4) -> Model:
    return PruneChannels(ratio, multiple).apply(model, Work(data, rehearse=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["cnn1", "ds_cnn", "resnet8", "mobilenet_v1", "autoencoder"])
@pytest.mark.everyday(2)
def test_every_builtin_gets_narrower(name: str, data: object) -> None:
    model = load_model(name)
    narrow = rehearsed(model, 0.5, data, multiple=1)
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
    narrow = rehearsed(model, 0.3, data, multiple=1)
    sizes = {layer.name: layer.output_shape[-1] for layer in narrow.keras.layers}
    assert (sizes["a"], sizes["b"], sizes["c"], sizes["d"], sizes["e"]) == (6, 6, 12, 5, 7)
    x = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    shrunk = rehearsed(model, 0.25, data, multiple=1)
    assert {layer.name: layer.output_shape[-1] for layer in shrunk.keras.layers}["e"] == 8
    np.testing.assert_allclose(predict(shrunk, x), predict(model, x), atol=1e-5)


@pytest.mark.parametrize(
    ("wanted", "size", "multiple", "left"),
    [(9, 12, 4, 8), (12, 16, 4, 12), (15, 16, 4, 16), (10, 12, 4, 12), (9, 10, 4, 8), (1, 5, 4, 4),
     (9, 9, 4, 9), (2, 3, 4, 3), (0, 7, 1, 1), (9, 12, 1, 9), (23, 32, 8, 24), (14, 20, 8, 16)],
)  # fmt: skip
def test_the_nearest_multiple_stays(wanted: int, size: int, multiple: int, left: int) -> None:
    assert in_multiples(wanted, size, multiple) == left


@pytest.mark.parametrize(
    "narrowing", [PruneChannels(0.25), SelectSubnetwork(0.75), PruneChannels(0.5)], ids=str
)
@pytest.mark.everyday(1)
def test_a_narrower_network_is_a_faster_one(narrowing: Component, cnn1: Model) -> None:
    """Nine channels of twelve would take twice the time of twelve on a core with DSP."""
    board, work = load_target("stm32l4r5"), Work(synthetic(cnn1), rehearse=True)
    sequence = ("int8", "fuse_operators", "block_gemm")
    cycles = []
    for model in (cnn1, narrowing.apply(cnn1, work)):
        for name in sequence:
            model = COMPONENTS[name]().apply(model, work)
        cycles.append(measure(sources_of(model), board).cycles)
    assert cycles[1] < 0.75 * cycles[0]


def test_it_recovers_by_fine_tuning(
    residual: Model, work: Work, accuracy: Callable[[Model], float]
) -> None:
    narrow = PruneChannels(0.25, multiple=1).apply(residual, work)
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
