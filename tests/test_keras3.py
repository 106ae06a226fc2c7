"""Networks of Keras 3 and of TFMOT, loaded without changing what they compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotiny.errors import InvalidModel
from autotiny.model import copy_network, freeze, keras, load_model, restore, save, tensorflow


@pytest.fixture(scope="module")
def k3() -> Any:
    keras()
    import keras as keras3

    keras3.utils.set_random_seed(0)
    return keras3


def twins_of(model: Any, folder: Path) -> tuple[Any, Any]:
    """A network copied, and stored and read again."""
    save(model, folder)
    return copy_network(model.keras), restore(folder).keras


def apart(network: Any, x: Any) -> float:
    """By how much the loaded network differs from `predict` of the original."""
    wanted = network.predict(x, verbose=0)
    twin: Any = load_model(network).network
    found = twin.predict(x, verbose=0)
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def samples(*shape: int) -> Any:
    return np.random.default_rng(1).normal(0, 3, (16, *shape)).astype(np.float32)


@pytest.mark.parametrize("slope", [0.05, 0.3, 0.7])
def test_leaky_relu_keeps_its_slope(k3: Any, slope: float) -> None:
    layer = k3.layers.LeakyReLU(negative_slope=slope)
    assert apart(k3.Sequential([k3.Input((5,)), layer]), samples(5)) < 1e-6


ACTIVATIONS = (
    "celu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "leaky_relu", "log_sigmoid", "log_softmax", "relu6", "soft_shrink", "softsign", "sparse_plus",
    "sparse_sigmoid", "squareplus", "tanh_shrink", "gelu", "mish", "silu", "elu", "selu",
    "softplus", "exponential",
)  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_that_of_keras_3(k3: Any, name: str, tmp_path: Path) -> None:
    layers = [k3.Input((6,)), k3.layers.Dense(4), k3.layers.Activation(name)]
    network, x = k3.Sequential(layers), samples(6)
    assert apart(network, x) < 1e-5
    model: Any = load_model(network)
    for twin in twins_of(model, tmp_path):
        np.testing.assert_allclose(
            twin.predict(x, verbose=0), network.predict(x, verbose=0), rtol=1e-4, atol=1e-5
        )


def test_gates_of_recurrent_layers_are_those_of_keras_3(k3: Any) -> None:
    gru = k3.layers.GRU(4, recurrent_activation="hard_sigmoid")
    assert apart(k3.Sequential([k3.Input((6, 3)), gru]), samples(6, 3)) < 1e-5


@pytest.mark.parametrize("layer", ["RMSNormalization", "MelSpectrogram"])
def test_a_layer_without_counterpart_is_refused_by_name(k3: Any, layer: str) -> None:
    network = k3.Sequential([k3.Input((4000,)), getattr(k3.layers, layer)()])
    with pytest.raises(InvalidModel, match=f"is a {layer}, which has no Keras 2 counterpart"):
        load_model(network)


def test_an_argument_that_matters_is_not_dropped(k3: Any) -> None:
    resizing = k3.layers.Resizing(4, 4, pad_to_aspect_ratio=True)
    with pytest.raises(InvalidModel, match="pad_to_aspect_ratio = True does not exist in Keras 2"):
        load_model(k3.Sequential([k3.Input((8, 6, 1)), resizing]))


def test_random_layers_act_in_training_alone(k3: Any) -> None:
    tf = tensorflow()
    start = k3.Input((8, 8, 3))
    x = k3.layers.Flatten()(k3.layers.RandomFlip("horizontal")(start))
    x = k3.layers.GaussianNoise(0.5)(k3.layers.Dropout(0.5)(x))
    network = k3.Model(start, k3.layers.Dense(3)(x))
    twin: Any = load_model(network).keras
    given = samples(8, 8, 3)
    np.testing.assert_allclose(
        twin.predict(given, verbose=0), network.predict(given, verbose=0), rtol=1e-4
    )
    tf.random.set_seed(0)
    trained = [np.asarray(twin(given, training=True)) for _ in range(2)]
    assert np.abs(trained[0] - trained[1]).max() > 0.1


def test_operators_on_tensors_are_layers_that_are_copied_and_stored(
    k3: Any, tmp_path: Path
) -> None:
    ops = k3.ops
    start = k3.Input((4, 6))
    y = 1 - start * 2
    y = (y / (start * start + 1.0))[:, 1:3, ::2]
    y = ops.concatenate([ops.mean(y, axis=1), ops.max(y, axis=1)], axis=-1)
    y = ops.abs(ops.transpose(ops.reshape(y, (-1, 2, 3)), (0, 2, 1))) ** 2
    y = ops.maximum(ops.leaky_relu(-y, 0.1), -3.0)[..., 0]
    network = k3.Model(start, k3.layers.Dense(2)(ops.stack([y, y], axis=1)[:, 0]))
    x = samples(4, 6)
    assert apart(network, x) < 1e-5
    model: Any = load_model(network)
    for twin in twins_of(model, tmp_path):
        np.testing.assert_allclose(
            twin.predict(x, verbose=0), network.predict(x, verbose=0), rtol=1e-4, atol=1e-5
        )
    network.save(tmp_path / "net.keras")
    stored: Any = load_model(tmp_path / "net.keras")
    found = stored.network.predict(x, verbose=0)
    np.testing.assert_allclose(found, network.predict(x, verbose=0), rtol=1e-4, atol=1e-5)


def test_spectral_normalization_is_in_the_weights(k3: Any) -> None:
    wrapped = k3.layers.SpectralNormalization(k3.layers.Dense(4))
    network = k3.Sequential([k3.Input((6,)), wrapped, k3.layers.Dense(2)])
    network(samples(6), training=True)
    assert apart(network, samples(6)) < 1e-5


def test_a_twin_that_computes_something_else_is_refused_with_its_layer(
    k3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = k3.layers
    network = k3.Sequential(
        [k3.Input((5,)), layers.Dense(5, name="first"), layers.LeakyReLU(0.05, name="leaky")]
    )
    monkeypatch.setattr("autotiny.model.keras3.RENAMED", {})
    monkeypatch.setattr("autotiny.model.keras3.HARMLESS", (("negative_slope", 0.05),))
    with pytest.raises(InvalidModel, match="layer 'leaky', a LeakyReLU, computes something else"):
        load_model(network)


def test_pruned_and_clustered_networks_lose_their_wrappers(tmp_path: Path) -> None:
    k = keras()
    import tensorflow_model_optimization as tfmot

    k.utils.set_random_seed(0)
    plain = k.Sequential(
        [k.layers.Dense(8, activation="relu", input_shape=(6,)), k.layers.Dense(3)]
    )
    prune = tfmot.sparsity.keras
    pruned = prune.prune_low_magnitude(plain, prune.ConstantSparsity(0.5, 0, frequency=1))
    pruned.compile("adam", "mse")
    x = samples(6)
    pruned.fit(x, np.zeros((16, 3)), epochs=3, verbose=0, callbacks=[prune.UpdatePruningStep()])
    pruned.save(tmp_path / "pruned.h5")
    model: Any = load_model(tmp_path / "pruned.h5")
    assert [type(layer).__name__ for layer in model.keras.layers] == ["Dense", "Dense"]
    assert model.traits.sparsity == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(
        model.network.predict(x, verbose=0), pruned.predict(x, verbose=0), rtol=1e-5
    )
    start = tfmot.clustering.keras.CentroidInitialization.LINEAR
    clustered = tfmot.clustering.keras.cluster_weights(
        k.models.clone_model(plain), number_of_clusters=4, cluster_centroids_init=start
    )
    model = load_model(clustered)
    assert [type(layer).__name__ for layer in model.keras.layers] == ["Dense", "Dense"]
    np.testing.assert_allclose(
        model.network.predict(x, verbose=0), clustered.predict(x, verbose=0), rtol=1e-5
    )


def test_a_loop_that_cannot_be_written_out_is_refused_by_name(k3: Any) -> None:
    network = k3.Sequential([k3.Input((4, 8, 3)), k3.layers.ConvLSTM1D(2, 3)])
    with pytest.raises(InvalidModel, match="is a ConvLSTM1D, whose loop cannot be written"):
        freeze(load_model(network))
