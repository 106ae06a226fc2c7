from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Work
from autotiny.components.keras._elastic import Elastic, by_batch, recalibrate
from autotiny.components.keras._rewriting import rewrite
from autotiny.components.keras._tuning import fine_tune
from autotiny.components.keras.select_subnetwork import SelectSubnetwork
from autotiny.dataset import Dataset, synthetic
from autotiny.errors import NotApplicable, TrainingDiverged
from autotiny.model import Model, keras, keras_model, load_model, tensorflow


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("cnn1", []),
        ("ds_cnn", [f"block{n}_pointwise_relu" for n in (1, 2, 3, 4)]),
        ("resnet8", ["stack1_add", "stack2_conv2_norm", "stack3_conv2_norm"]),
        # The first of each stage stay longest: a network without the last four keeps these.
        ("mobilenet_v1", [f"block{n}_pointwise_relu" for n in (3, 5, 7, 13, 8, 9, 10, 11)]),
        ("autoencoder", [f"dense{n}_relu" for n in (2, 7, 3, 8, 4, 9)]),
    ],
)
def test_blocks_that_keep_their_shape_are_removable(name: str, blocks: list[str]) -> None:
    assert [block.last for block in Elastic.of(load_model(name).keras).blocks] == blocks


@pytest.mark.parametrize("name", ["cnn1", "resnet8", "residual"])
def test_a_masked_network_computes_what_the_small_one_does(name: str, residual: Model) -> None:
    network = residual.keras if name == "residual" else load_model(name).keras
    tf = tensorflow()
    elastic = Elastic.of(network)
    twin = elastic.trainable(network)
    x = np.random.default_rng(0).random((8, *network.input_shape[1:]), np.float32)
    for width, depth in [(0.25, 0.0), (0.5, 0.4), (0.7, 1.0)]:
        masked = twin([x, tf.constant([width]), tf.constant([depth])])
        small = rewrite(elastic.subnetwork(network, elastic.kept(width, 1), depth), by_batch)
        np.testing.assert_allclose(np.asarray(small(x)), np.asarray(masked), atol=1e-4)


def test_a_rehearsal_has_the_shapes_of_the_real_one(residual: Model, work: Work) -> None:
    real = SelectSubnetwork(0.5, 0.0).apply(residual, replace(work, epochs=1))
    rehearsed = SelectSubnetwork(0.5, 0.0).apply(residual, replace(work, rehearse=True))
    shapes = [[w.shape for w in model.keras.get_weights()] for model in (real, rehearsed)]
    assert shapes[0] == shapes[1]
    assert "sum" not in {layer.name for layer in real.keras.layers}
    COMPONENTS["int8"]().apply(rehearsed, Work(synthetic(residual), rehearse=True))


@pytest.mark.slow
def test_one_training_serves_all_widths(
    cnn1: Model, work: Work, accuracy: Callable[[Model], float], tmp_path: Path
) -> None:
    with mock.patch(
        "autotiny.components.keras._elastic.fine_tune", side_effect=fine_tune
    ) as training:
        half = SelectSubnetwork(0.5).apply(cnn1, replace(work, cache=Cache(tmp_path)))
        work = replace(work, cache=Cache(tmp_path))
        quarter = SelectSubnetwork(0.25).apply(cnn1, work)
        again = SelectSubnetwork(0.5).apply(cnn1, work)
        assert training.call_count == 1
        SelectSubnetwork(0.5).apply(cnn1, replace(work, seed=1, epochs=0))
        assert training.call_count == 2
    assert again.fingerprint == half.fingerprint
    assert accuracy(half) >= accuracy(cnn1) - 0.1
    assert accuracy(quarter) >= accuracy(cnn1) - 0.2


def test_statistics_are_those_of_the_training_samples(data: Dataset) -> None:
    k = keras()
    network = k.Sequential(
        [
            k.Input((28, 28)),
            k.layers.Flatten(),
            k.layers.Dense(4, name="dense"),
            k.layers.Dropout(0.5),
            k.layers.BatchNormalization(name="norm"),
        ]
    )
    recalibrate(network, Work(data))
    given = data.x_train.reshape(len(data.x_train), -1) @ network.get_layer("dense").kernel.numpy()
    norm = network.get_layer("norm")
    np.testing.assert_allclose(norm.moving_mean, given.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, given.var(axis=0), rtol=0.02)


@pytest.mark.slow
def test_zeros_of_a_pruned_model_stay(cnn1: Model, work: Work) -> None:
    pruned = COMPONENTS["prune_magnitude"](sparsity=0.6).apply(cnn1, work)  # type: ignore[call-arg]
    small = SelectSubnetwork(0.75).apply(pruned, replace(work, epochs=1))
    # The weakest channels hold most zeros: somewhat fewer are left of the whole.
    assert (small.traits.sparsity or 0) > 0.45


def test_a_training_that_diverges_says_so(cnn1: Model, work: Work, data: Dataset) -> None:
    broken = replace(data, x_train=data.x_train * np.float32(1e38))
    with pytest.raises(TrainingDiverged):
        SelectSubnetwork(0.5).apply(cnn1, replace(work, data=broken, original=None))


@pytest.mark.parametrize(
    ("width", "depth", "reason"),
    [
        (1.0, 0.5, "keep all channels and all of the 0 removable blocks"),
        (0.2, 1.0, "below 0.25, the smallest that is trained"),
    ],
)
def test_nothing_to_select(
    width: float, depth: float, reason: str, cnn1: Model, work: Work
) -> None:
    with pytest.raises(NotApplicable, match=reason):
        SelectSubnetwork(width, depth).apply(cnn1, work)


def test_layers_called_twice_and_unknown_ones_keep_their_channels(work: Work) -> None:
    k = keras()
    shared = k.layers.Dense(8, activation="relu", name="shared")
    steps = k.Input((6, 3))
    x = k.layers.LSTM(8, name="lstm")(steps)
    x = shared(shared(x))
    x = k.layers.Dense(16, activation="relu", name="wide")(x)
    model = keras_model(k.Model(steps, k.layers.Dense(2, name="out")(x)))
    small = SelectSubnetwork(0.5, 0.0).apply(model, replace(work, rehearse=True)).keras
    layers: Any = small.layers
    sizes = {layer.name: layer.get_output_at(0).shape[-1] for layer in layers}
    assert (sizes["lstm"], sizes["shared"], sizes["wide"], sizes["out"]) == (8, 8, 8, 2)
