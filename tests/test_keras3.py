"""What a Keras 3 model becomes: it computes the same, trains, can be stored; or is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotiny.errors import InvalidModel
from autotiny.model import (
    Level,
    Model,
    freeze,
    keras,
    keras_model,
    load_model,
    predict,
    restore,
    save,
    tensorflow,
)
from autotiny.model.allowed.names import ACTIVATIONS
from autotiny.model.keras3 import convert_keras3, layers
from autotiny.model.training import copy_network

tensorflow()
import keras as keras3  # noqa: E402 - TensorFlow must be asked for legacy Keras first

K: Any = keras3.layers
OPS = keras3.ops
DENSE: Any = K.Dense
Call = Callable[[Any], Any]


def net(shape: tuple[int, ...], *calls: Call, dtype: str = "float32") -> Any:
    """A functional model of one input with seeded weights."""
    keras3.utils.set_random_seed(1)
    x = start = keras3.Input(shape, dtype=dtype)
    for call in calls:
        x = call(x)
    network = keras3.Model(start, x)
    rng = np.random.default_rng(3)
    for variable in network.weights:
        variable.assign(rng.uniform(0.1, 0.9, variable.shape))
    return network


def check_same(network: Any, folder: Path, x: Any = None) -> Model:
    """The model computes the same after its conversion, and after copying and storing that."""
    if x is None:
        x = 3 * np.random.default_rng(9).normal(size=(5, *network.inputs[0].shape[1:]))
    x = np.asarray(x, network.inputs[0].dtype)
    outputs = network(x, training=False)
    wanted = np.asarray(outputs[0] if isinstance(outputs, (list, tuple)) else outputs)
    model = load_model(network)
    save(model, folder)
    for found in (model, keras_model(copy_network(model.keras)), restore(folder), freeze(model)):
        got = predict(found, x)
        np.testing.assert_allclose(got, wanted, atol=1e-4 * max(1e-9, np.abs(wanted).max()))
    return model


UNUSABLE = {"threshold"}
"""Keras 3 itself cannot call it by its name alone."""


@pytest.mark.parametrize("name", sorted(set(dir(keras3.activations)) & ACTIVATIONS - UNUSABLE))
@pytest.mark.everyday(7)
def test_every_activation_is_that_of_keras_3(name: str, tmp_path: Path) -> None:
    check_same(net((6,), K.Dense(8, activation=name)), tmp_path / "in")
    check_same(net((8,), K.Activation(name)), tmp_path / "alone")


def test_no_activation_of_keras_3_is_left_out() -> None:
    known = {"get", "serialize", "deserialize"}
    assert {one for one in dir(keras3.activations) if one[0] != "_"} - known <= ACTIVATIONS


LAYERS: dict[str, Callable[[], Any]] = {
    "leaky_relu": lambda: net((6,), K.LeakyReLU(negative_slope=0.05)),
    "relu": lambda: net((6,), K.ReLU(max_value=2, negative_slope=0.2, threshold=0.5)),
    "prelu": lambda: net((4, 4, 3), K.PReLU(shared_axes=[1, 2])),
    "elu": lambda: net((6,), K.ELU(alpha=0.3)),
    "softmax": lambda: net((4, 5), K.Softmax(axis=1)),
    "activation_with_slope": lambda: net((6,), K.Dense(4, activation=K.LeakyReLU(0.4))),
    "gru": lambda: net((5, 3), K.GRU(4, recurrent_activation="hard_sigmoid", reset_after=False)),
    "lstm": lambda: net((5, 3), K.LSTM(4, activation="hard_silu", go_backwards=True)),
    "cells": lambda: net((5, 3), K.RNN([K.LSTMCell(4), K.GRUCell(3)])),
    "bidirectional": lambda: net(
        (5, 3), K.Bidirectional(K.GRU(4), backward_layer=K.LSTM(2, go_backwards=True))
    ),
    "masked": lambda: net((5, 3), K.Masking(0.5), K.LSTM(4, return_sequences=True)),
    "time": lambda: net((5, 4, 3), K.TimeDistributed(K.Conv1D(2, 3, activation="hard_swish"))),
    "spectral": lambda: net((8, 8, 3), K.SpectralNormalization(K.Conv2D(4, 3))),
    "normalization": lambda: net((3,), K.Normalization(mean=[1, 2, 3], variance=[4, 5, 6])),
    "attention": lambda: net((5, 8), lambda x: K.MultiHeadAttention(2, 4)(x, x)),
    "dot": lambda: net((5, 8), lambda x: K.Attention(use_scale=True, score_mode="dot")([x, x])),
    "layer_norm": lambda: net((5, 8), K.LayerNormalization(epsilon=0.01)),
    "group_norm": lambda: net((4, 4, 8), K.GroupNormalization(4)),
    "adaptive": lambda: net((8, 8, 3), K.AdaptiveAveragePooling2D((2, 4))),
    "center": lambda: net((8, 8, 3), K.CenterCrop(5, 4)),
    "resizing": lambda: net((8, 8, 3), K.Resizing(5, 7, pad_to_aspect_ratio=True)),
    "embedding": lambda: net((5,), K.Embedding(9, 4, mask_zero=True), K.LSTM(3), dtype="int32"),
    "constrained": lambda: net(
        (6,), K.Dense(3, kernel_regularizer="l2", kernel_constraint="non_neg")
    ),
    "noise": lambda: net((6,), K.GaussianNoise(1), K.AlphaDropout(0.3), K.GaussianDropout(0.3)),
    "augmented": lambda: net(
        (8, 8, 3), K.RandomFlip(), K.RandomContrast(0.3, value_range=(0, 1)), K.RandomHue(0.2),
        K.MixUp(), K.RandomCrop(6, 6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.everyday(7)
def test_layers_compute_what_keras_3_computes(kind: str, tmp_path: Path) -> None:
    network = LAYERS[kind]()
    whole = "int" in network.inputs[0].dtype
    check_same(network, tmp_path, np.arange(20).reshape(4, 5) % 9 if whole else None)


OPERATORS: dict[str, Call] = {
    "scaled": lambda x: x * 2,
    "one minus": lambda x: 1 - x,
    "divided": lambda x: x / (1 + OPS.abs(x)),
    "negated": lambda x: -x,
    "power": lambda x: x**2,
    "slice": lambda x: x[:, 1:-1, ::2, 0],
    "ellipsis": lambda x: x[..., :2],
    "new axis": lambda x: x[:, None],
    "mean": lambda x: OPS.mean(x, axis=(1, 2), keepdims=True),
    "sum": lambda x: OPS.sum(x, axis=-1),
    "max": lambda x: OPS.max(x, axis=1),
    "concatenate": lambda x: OPS.concatenate([x, x * x], axis=2),
    "stack": lambda x: OPS.stack([x, x], axis=1),
    "split": lambda x: OPS.split(x, 2, axis=1)[1],
    "reshape": lambda x: OPS.reshape(x, (-1, 4, 18)),
    "transpose": lambda x: OPS.transpose(x, (0, 3, 1, 2)),
    "squeeze": lambda x: OPS.squeeze(OPS.expand_dims(x, 1), 1),
    "constant": lambda x: x + np.arange(3, dtype="float32"),
    "of other rank": lambda x: x + OPS.mean(x, axis=(1, 2, 3), keepdims=False)[:, None, None, None],
    "clipped": lambda x: OPS.clip(x, -1, 0.5),
    "chosen": lambda x: OPS.where(x > 0, x, 0.1 * x),
    "gelu": OPS.gelu,
    "relu6": OPS.relu6,
    "hard_silu": OPS.hard_silu,
    "leaky": lambda x: OPS.leaky_relu(x, 0.3),
    "celu": lambda x: OPS.celu(x, 2.0),
    "softmax": lambda x: OPS.softmax(x, axis=1),
    "normalized": lambda x: OPS.normalize(x, axis=-1),
    "einsum": lambda x: OPS.einsum("bhwc,bhwc->bhw", x, x),
}


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.everyday(8)
def test_operators_compute_what_keras_3_computes(kind: str, tmp_path: Path) -> None:
    check_same(net((4, 6, 3), OPERATORS[kind]), tmp_path)


def test_shared_nested_and_repeated_layers_stay_what_they_are(tmp_path: Path) -> None:
    dense = K.Dense(6, activation="tanh")
    inner = keras3.Sequential([keras3.Input((6,)), dense, K.Dropout(0.2)])
    outer = net((6,), lambda x: inner(inner(x)) + dense(x) * inner(x))
    model = check_same(outer, tmp_path)
    assert len(model.keras.get_weights()) == 2


def test_several_inputs_and_outputs_keep_their_order() -> None:
    a, b = keras3.Input((3,), name="z"), keras3.Input((2,), name="a")
    network = keras3.Model({"z": a, "a": b}, {"y": K.Dense(2)(a), "x": K.Concatenate()([a, b])})
    twin = convert_keras3(network)
    x = [np.ones((1, 2), np.float32), np.zeros((1, 3), np.float32)]
    sizes = [t.shape[1] for t in twin.inputs]
    theirs = network({"a": x[0], "z": x[1]})
    mine = twin(x if sizes == [2, 3] else x[::-1])
    for one, two in zip(keras3.tree.flatten(theirs), mine, strict=True):  # type: ignore[call-overload]
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_what_is_random_acts_in_training_and_vanishes_in_inference() -> None:
    network = net((8, 8, 3), K.RandomFlip(), K.RandomHue(0.5), K.GaussianNoise(1), K.Dropout(0.5))
    model = load_model(network)
    x = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    assert (predict(model, x) == x).all()
    keras().utils.set_random_seed(0)
    value = x
    for layer in model.keras.layers[1:]:
        after = [np.asarray(layer(value, training=True)) for _ in range(9)]
        assert any((one != value).any() for one in after), layer.name
        assert any((one != after[0]).any() for one in after), layer.name
    nodes = {node.op for node in graph_nodes(freeze(model))}
    assert not {op for op in nodes if "Random" in op or "Rng" in op}


def graph_nodes(model: Model) -> Any:
    definition = tensorflow().compat.v1.GraphDef()
    definition.ParseFromString(model.frozen.graph_def)
    return definition.node


def drawn_in_training() -> float:
    """What layers that draw make of a sample, as a number."""
    network = keras3.Sequential([keras3.Input((8, 8, 3)), K.RandomFlip(), K.Dropout(0.5)])
    twin = copy_network(load_model(network).keras)
    keras().utils.set_random_seed(4)
    x = np.arange(192, dtype=np.float32).reshape(1, 8, 8, 3)
    return float(np.sum(np.asarray(twin(x, training=True)) * x))


@pytest.mark.slow
def test_what_is_drawn_in_training_hangs_on_the_seed_alone() -> None:
    there = subprocess.run(
        [sys.executable, "-c", "import test_keras3 as t; print(t.drawn_in_training())"],
        capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert float(there.stdout) == drawn_in_training()


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "training": (
        lambda: net((6,), lambda x: K.Dropout(0.5, name="mc")(x, training=True)),
        "layer 'mc' is a Dropout, called with training=True",
    ),
    "gated": (
        lambda: net((5, 8), lambda x: K.MultiHeadAttention(2, 4, use_gate=True, name="a")(x, x)),
        "layer 'a' is a MultiHeadAttention, whose use_gate=True Keras 2 does not know",
    ),
    "weights": (
        lambda: net((6,), K.RMSNormalization(name="r")),
        "layer 'r' is a RMSNormalization, which has no Keras 2 counterpart",
    ),
    "function": (
        lambda: net((6,), K.Dense(2, activation=lambda x: x, name="d")),
        "layer 'd' is a Dense, whose activation .* is not one of Keras",
    ),
    "lambda": (
        lambda: net((6,), K.Lambda(lambda x: x, name="l")),
        "layer 'l' is a Lambda, which has no Keras 2 counterpart",
    ),
    "operator": (
        lambda: net((6,), OPS.erfinv),
        "layer 'erfinv.*' is a Erfinv, which has no Keras 2 counterpart",
    ),
    "large constant": (
        lambda: net((70_000,), lambda x: x * np.ones(70_000, "float32")),
        "is a Multiply, called with what autotiny cannot store: an array of 70,000 values",
    ),
}


@pytest.mark.filterwarnings("ignore:.*lambda")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_twin_is_refused_by_name(kind: str) -> None:
    build, message = REFUSED[kind]
    with pytest.raises(InvalidModel, match=message) as refusal:
        load_model(build())
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "call",
    [lambda x: OPS.concatenate([x, x]), lambda x: OPS.transpose(OPS.reshape(x, (-1, 4)))],
    ids=["concatenate", "transpose"],
)
def test_what_mixes_samples_is_refused(call: Call) -> None:
    with pytest.raises(InvalidModel, match=r"for \d samples: .*mixes samples.* axis 0; firmware"):
        convert_keras3(net((4,), K.Dense(4), call))


def test_a_layer_named_as_one_of_keras_is_none() -> None:
    class Dense(DENSE):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None) -> Any:
            return super().call(inputs) + 1

    with pytest.raises(InvalidModel, match="layer 'mine' is a Dense, which has no"):
        load_model(net((6,), Dense(3, name="mine")))


def test_a_quantized_model_is_refused() -> None:
    network = net((6,), K.Dense(3, name="d"))
    network.quantize("int8")
    with pytest.raises(InvalidModel, match="layer 'd' is a Dense, quantized as int8"):
        load_model(network)


def test_a_twin_that_differs_is_refused_with_the_first_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = net((6,), K.Dense(4, name="a"), K.LeakyReLU(0.05, name="b"), K.Dense(2, name="c"))
    load_model(network)
    monkeypatch.setattr(layers, "RENAMED", {"LeakyReLU": {"negative_slope": "name"}})
    monkeypatch.setattr(layers, "_argument", lambda layer, key, value: (
        layer.name if key in ("name", "negative_slope") else value
    ))  # fmt: skip
    with pytest.raises(InvalidModel, match="layer 'b' is a LeakyReLU, which computes something e"):
        load_model(network)


def test_what_a_softmax_hides_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tail = (K.Rescaling(1e-6), K.Dense(3, activation="softmax"))
    network = net((6,), K.Dense(4, activation="hard_sigmoid", name="a"), *tail)
    monkeypatch.setattr(layers, "activation", lambda name: name)
    with pytest.raises(InvalidModel, match="layer 'a' is a Dense, which computes something else"):
        load_model(network)


def test_a_conversion_leaves_the_figures_of_batch_normalization_alone() -> None:
    network = net((6,), K.BatchNormalization(), K.Dropout(0.5))
    before = network.get_weights()
    twin = convert_keras3(network)
    for one, two in zip(before, twin.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    with_halves = net((6,), K.Dense(4, dtype="mixed_float16"), K.Dense(2, dtype="mixed_bfloat16"))
    assert load_model(with_halves).keras.layers[-1].output.dtype.name == "float32"


def test_an_adapted_normalization_survives_copying() -> None:
    k = keras()
    norm = k.layers.Normalization()
    norm.adapt(np.array([[1.0, 5.0], [3.0, 9.0]]))
    network = k.Sequential([k.Input((2,)), norm])
    x = np.ones((1, 2), np.float32)
    np.testing.assert_allclose(predict(load_model(network), x), [[-1, -3]], atol=1e-5)


@pytest.mark.slow
def test_own_layers_are_known_in_another_process(tmp_path: Path) -> None:
    network = net((6,), K.Dense(3, activation="celu"), lambda x: x * 2, K.UnitNormalization())
    save(load_model(network), tmp_path / "net")
    x = np.ones((1, 6), np.float32)
    code = (
        "import sys, pathlib, numpy as np\n"
        "from autotiny.model import restore, predict\n"
        "print(predict(restore(pathlib.Path(sys.argv[1])), np.ones((1, 6), np.float32)).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "net"], capture_output=True, text=True, check=True
    )
    np.testing.assert_allclose(json.loads(done.stdout), network.predict(x, verbose=0), atol=1e-5)


def toolkit(kind: str) -> Any:
    import tensorflow_model_optimization as tfmot

    k = keras()
    k.utils.set_random_seed(0)
    network = k.Sequential(
        [k.Input((8, 8, 1)), k.layers.Conv2D(4, 3), k.layers.Flatten(), k.layers.Dense(3)]
    )
    if kind == "pruned":
        schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, 0, frequency=1)
        wrapped = tfmot.sparsity.keras.prune_low_magnitude(network, schedule)
        callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
    elif kind == "clustered":
        wrapped = tfmot.clustering.keras.cluster_weights(network, number_of_clusters=4)
        callbacks = []
    else:
        wrapped = tfmot.quantization.keras.quantize_model(network)
        callbacks = []
    wrapped.compile("adam", "mse")
    x = np.random.default_rng(0).random((16, 8, 8, 1))
    wrapped.fit(x, np.ones((16, 3)), epochs=1, verbose=0, callbacks=callbacks)
    return wrapped


@pytest.mark.parametrize("kind", ["pruned", "clustered", "quantized"])
@pytest.mark.parametrize("form", ["h5", "object"])
@pytest.mark.everyday(2)
def test_wrappers_of_the_toolkit_are_understood(kind: str, form: str, tmp_path: Path) -> None:
    network = toolkit(kind)
    x = np.random.default_rng(1).random((3, 8, 8, 1), np.float32)
    wanted = network.predict(x, verbose=0)
    if form == "h5":
        network.save(tmp_path / "net.h5", include_optimizer=False)
    model = load_model(tmp_path / "net.h5" if form == "h5" else network)
    np.testing.assert_allclose(predict(model, x), wanted, atol=1e-5)
    traits = model.traits
    assert model.level is (Level.GRAPH if kind == "quantized" else Level.KERAS)
    assert traits.quantization_aware == (kind == "quantized")
    assert traits.clusters == (4 if kind == "clustered" else None)
    assert (traits.sparsity or 0) == (pytest.approx(0.5, abs=0.03) if kind == "pruned" else 0)
