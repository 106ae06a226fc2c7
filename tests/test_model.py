import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autotiny.cache import Cache
from autotiny.dataset import Dataset, digits
from autotiny.engine.variants import WAYS
from autotiny.engine.variants.blocks import Blocks
from autotiny.errors import InvalidModel, TrainingDiverged, UserError
from autotiny.graph import Graph, Op, Quantization, Tensor
from autotiny.model import (
    BUILTIN,
    Level,
    Model,
    Program,
    Traits,
    freeze,
    keras,
    keras_model,
    load_model,
    ports,
    predict,
    restore,
    save,
    successor,
    tensorflow,
    train,
)
from autotiny.schedule import Schedule, Step


@pytest.fixture(scope="module")
def small_digits() -> Dataset:
    return digits().shrunk(320, 100, 100)


def macs(network: object) -> int:
    """Multiplications of the convolutions and dense layers, batch 1."""
    k = keras()
    total = 0
    for layer in network.layers:  # type: ignore[attr-defined]
        if isinstance(layer, (k.layers.Conv2D, k.layers.DepthwiseConv2D, k.layers.Dense)):
            kernel = layer.weights[0].shape
            places = int(np.prod(layer.output_shape[1:-1]))
            total += places * int(np.prod(kernel))
    return total


@pytest.mark.parametrize(
    ("name", "multiplications", "parameters"),
    [
        ("cnn1", 93_288, 20_410),
        ("ds_cnn", 2_656_768, 24_908),
        ("resnet8", 12_501_632, 78_666),
        ("mobilenet_v1", 7_489_664, 221_794),
        ("mobilenet_v2", 10_656_688, 419_810),  # Keras' own, with biases before normalizations
        ("autoencoder", 264_192, 269_992),
    ],
)
@pytest.mark.everyday(2)
def test_builtin_networks_have_the_published_size(
    name: str, multiplications: int, parameters: int
) -> None:
    network = load_model(name).keras
    assert (macs(network), network.count_params()) == (multiplications, parameters)


def test_every_builtin_is_listed_by_its_name() -> None:
    assert set(BUILTIN) == {
        "cnn1",
        "ds_cnn",
        "resnet8",
        "mobilenet_v1",
        "mobilenet_v2",
        "autoencoder",
    }


@pytest.mark.slow
def test_fingerprint_is_the_same_in_another_process() -> None:
    code = (
        "from autotiny.model import load_model, freeze, keras\n"
        "keras().layers.Dense(3)\n"
        "m = load_model('resnet8'); print(m.fingerprint, freeze(m).fingerprint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    model = load_model("resnet8")
    assert done.stdout.split() == [model.fingerprint, freeze(model).fingerprint]
    assert done.stderr == "", "TensorFlow must be imported quietly"


def test_fingerprint_depends_on_weights_and_architecture() -> None:
    prints = {load_model("cnn1", seed=seed).fingerprint for seed in (0, 1)}
    prints |= {load_model(name).fingerprint for name in ("ds_cnn", "cnn1")}
    assert len(prints) == 3


def test_fingerprint_tells_layers_apart_that_are_named_as_what_they_do() -> None:
    k = keras()

    def named(name: str, dtype: str = "float32") -> str:
        layer = k.layers.Activation(name, name=name, dtype=k.mixed_precision.Policy(dtype))
        start = k.Input((3,), name="start")
        return keras_model(k.Model(start, layer(start), name="net")).fingerprint

    prints = {named("relu"), named("sigmoid"), named("relu", "mixed_bfloat16")}
    assert len(prints) == 3


def test_training_is_seeded_learns_and_leaves_its_input_alone(small_digits: Dataset) -> None:
    model = load_model("cnn1")
    before = model.keras.get_weights()
    once, again, other = (train(model, small_digits, epochs=3, seed=s) for s in (1, 1, 2))
    assert once.fingerprint == again.fingerprint != other.fingerprint
    assert all(np.array_equal(a, b) for a, b in zip(before, model.keras.get_weights(), strict=True))
    right = predict(once, small_digits.x_validation).argmax(1) == small_digits.y_validation
    assert right.mean() > 0.6


@pytest.mark.slow
def test_a_teacher_changes_what_is_learned(small_digits: Dataset) -> None:
    model = load_model("cnn1")
    teacher = train(model, small_digits, epochs=4, seed=1)
    alone = train(model, small_digits, epochs=2, seed=1)
    taught = train(model, small_digits, epochs=2, seed=1, teacher=teacher)
    assert taught.fingerprint != alone.fingerprint
    right = predict(taught, small_digits.x_validation).argmax(1) == small_digits.y_validation
    assert right.mean() > 0.5


def test_a_diverged_training_says_so(small_digits: Dataset) -> None:
    with pytest.raises(TrainingDiverged):
        train(load_model("cnn1"), small_digits, epochs=2, seed=0, learning_rate=1e30)


def test_frozen_graph_computes_the_same(small_digits: Dataset) -> None:
    model = load_model("cnn1")
    x = small_digits.x_test[:5]
    np.testing.assert_allclose(predict(freeze(model), x), predict(model, x), atol=1e-5)
    assert ports(freeze(model)) == ports(model)


SPARSE = Traits(sparsity=0.5)


def a_graph() -> Graph:
    tensors = (
        Tensor("in", (1, 4), "int8", Quantization((0.5,), (3,))),
        Tensor("w", (2, 4), "int8", Quantization((0.1, 0.2), (0, 0)), np.ones((2, 4), np.int8)),
        Tensor("out", (1, 2), "int8", Quantization((0.25,), (-1,))),
    )
    op = Op("FULLY_CONNECTED", (0, 1, -1), (2,), {"fused_activation_function": "RELU", "p": (1, 2)})
    return Graph(tensors, (op,), (0,), (2,), "net")


def test_a_model_cannot_contradict_its_level() -> None:
    with pytest.raises(TypeError, match="a Graph is a network of level tflite; a model of level k"):
        Model(Level.KERAS, a_graph(), "ab")


def test_a_network_of_another_level_is_not_given_out() -> None:
    model = Model(Level.TFLITE, a_graph(), "ab")
    assert model.graph is model.network
    for level, asked in (("keras", "keras"), ("graph", "frozen"), ("program", "program")):
        with pytest.raises(TypeError, match=f"of level {level} was asked of a model of level tfl"):
            getattr(model, asked)


def test_what_users_are_told_of_a_model_are_its_traits_and_notes() -> None:
    notes = {"number_format": "int8"}
    graph = a_graph()
    plain = Model(Level.TFLITE, graph, "ab", notes)
    assert plain.facts() == notes
    treated = Model(Level.TFLITE, graph, "ab", notes, Traits(0.5, 16, quantization_aware=True))
    told = {"sparsity": 0.5, "clusters": 16, "quantization_aware": "quantize_aware", **notes}
    assert list(treated.facts().items()) == list(told.items())
    program = Program(graph, Schedule((Step((0,)),)))
    after = successor(treated, program)
    assert (after.level, after.program, after.facts()) == (Level.PROGRAM, program, told)
    assert after.fingerprint != treated.fingerprint


@pytest.mark.parametrize("level", list(Level)[1:])
def test_every_level_survives_its_folder(level: Level, tmp_path: Path) -> None:
    graph = a_graph()
    model = {
        Level.KERAS: lambda: load_model("cnn1"),
        Level.GRAPH: lambda: freeze(load_model("cnn1")),
        Level.TFLITE: lambda: Model(
            level, graph, graph.fingerprint(), {"number_format": "int8"}, SPARSE
        ),
        Level.PROGRAM: lambda: Model(
            level, Program(graph, Schedule((Step((0,), Blocks(4, 2)),))), "ab", {}
        ),
    }[level]()
    save(model, tmp_path / "m")
    back = restore(tmp_path / "m", WAYS)
    assert (back.level, back.fingerprint, dict(back.notes), back.traits) == (
        model.level, model.fingerprint, dict(model.notes), model.traits,
    )  # fmt: skip
    assert ports(back) == ports(model)
    if level is Level.TFLITE:
        assert back.graph.fingerprint() == graph.fingerprint()
        assert back.graph.ops == graph.ops
    if level is Level.PROGRAM:
        assert back.program.schedule == model.program.schedule
    if level is Level.KERAS:
        x = np.random.default_rng(0).random((3, 28, 28), np.float32)
        np.testing.assert_array_equal(predict(back, x), predict(model, x))


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(InvalidModel, match="does not hold a saved model"):
        restore(tmp_path)


def keras3_models() -> dict[str, object]:
    tensorflow()
    import keras as keras3

    layers = keras3.layers
    image = keras3.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(image)
    x = layers.BatchNormalization()(x)
    x = y = layers.ReLU()(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
    x = layers.add([x, y])
    x = layers.concatenate([x, layers.SeparableConv2D(4, 3, padding="same")(y)])
    x = layers.Activation("swish")(x)
    x = layers.GlobalAveragePooling2D()(x)
    functional = keras3.Model(image, layers.Dense(5, activation="softmax")(x))
    recurrent = keras3.Sequential(
        [
            keras3.Input((6, 3)),
            layers.Bidirectional(layers.GRU(4, return_sequences=True)),
            layers.LSTM(5),
            layers.Dropout(0.2),
            layers.Dense(2),
        ]
    )
    inner = keras3.Sequential([keras3.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.Flatten()])
    nested = keras3.Sequential([keras3.Input((8, 8, 3)), inner, layers.Dense(3)])
    return {"functional": functional, "recurrent": recurrent, "nested": nested}


@pytest.mark.parametrize("kind", ["functional", "recurrent", "nested"])
@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.everyday(2)
def test_keras3_files_compute_the_same_after_conversion(
    kind: str, ending: str, tmp_path: Path
) -> None:
    source = keras3_models()[kind]
    rng = np.random.default_rng(0)
    for weight in source.weights:  # type: ignore[attr-defined]
        weight.assign(rng.uniform(0.1, 0.9, weight.shape))
    file = tmp_path / f"net.{ending}"
    source.save(file)  # type: ignore[attr-defined]
    model = load_model(file)
    assert model.level is Level.KERAS
    assert isinstance(model.network, keras().Model)
    x = rng.random((4, *source.input_shape[1:]), np.float32)  # type: ignore[attr-defined]
    np.testing.assert_allclose(
        predict(model, x),
        source.predict(x, verbose=0),  # type: ignore[attr-defined]
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_saved_model_folder_is_frozen_or_trainable(tmp_path: Path) -> None:
    model = load_model("cnn1")
    model.keras.save(tmp_path / "k2", save_format="tf")
    trainable = load_model(tmp_path / "k2")
    assert trainable.level is Level.KERAS
    source = keras3_models()["functional"]
    source.export(tmp_path / "k3", verbose=False)  # type: ignore[attr-defined]
    frozen = load_model(tmp_path / "k3")
    assert frozen.level is Level.GRAPH
    x = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    np.testing.assert_allclose(
        predict(frozen, x),
        source.predict(x, verbose=0),  # type: ignore[attr-defined]
        atol=1e-5,
    )


def test_a_function_is_built_and_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_digits: Dataset
) -> None:
    (tmp_path / "my_nets.py").write_text(
        "import keras\n"
        "def build():\n"
        "    return keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(),"
        " keras.layers.Dense(10)])\n"
        "def wrong():\n    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    cache = Cache(tmp_path / "cache")
    first = load_model("my_nets:build", small_digits, epochs=2, cache=cache)
    again = load_model("my_nets:build", small_digits, epochs=2, cache=cache)
    assert first.fingerprint == again.fingerprint != load_model("my_nets:build").fingerprint
    assert cache.hits == 1
    with pytest.raises(UserError, match="did you mean 'build'"):
        load_model("my_nets:biuld")
    with pytest.raises(InvalidModel, match="gives a int"):
        load_model("my_nets:wrong")
    with pytest.raises(UserError, match="no module 'their_nets'"):
        load_model("their_nets:build")


SUBCLASSED = """
import keras
import numpy as np
import tf_keras

class Residual(keras.Model):
    def __init__(self):
        super().__init__()
        self.stem = keras.layers.Conv2D(4, 3, padding="same")
        self.conv = keras.layers.Conv2D(4, 3, padding="same")
        self.norm = keras.layers.BatchNormalization()
        self.mean = keras.layers.GlobalAveragePooling2D()
        self.out = keras.layers.Dense(5, activation="softmax")

    def call(self, x, training=None):
        x = keras.ops.relu(self.stem(x))
        x = x + self.norm(self.conv(x), training=training)
        return self.out(self.mean(x))

class Branching(Residual):
    def call(self, x):
        return self.out(self.mean(x if x[0, 0, 0, 0] > 0 else self.stem(x)))

class Old(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.stem = tf_keras.layers.Conv2D(4, 3, activation="relu")
        self.flat = tf_keras.layers.Flatten()
        self.out = tf_keras.layers.Dense(5)

    def call(self, x):
        return self.out(self.flat(self.stem(x)))

def called(kind):
    network = kind()
    network(np.zeros((1, 8, 8, 3), "float32"))
    return network

def residual(): return called(Residual)
def wrapped():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, Residual()(image))
def old(): return called(Old)
def unknown(): return Residual()
def unknown_old(): return Old()
def branching():
    network = Branching()
    network.build((None, 8, 8, 3))
    return network
def scaled():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Flatten()(image * 2.0))
def inverted():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Flatten()(keras.ops.erfinv(image)))
"""


@pytest.fixture
def subclassed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensorflow()
    (tmp_path / "subclassed_nets.py").write_text(SUBCLASSED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "subclassed_nets", raising=False)


@pytest.mark.usefixtures("subclassed")
@pytest.mark.parametrize("name", ["residual", "wrapped", "old", "scaled"])
def test_a_subclassed_model_is_traced_and_stays_trainable(name: str) -> None:
    model = load_model(f"subclassed_nets:{name}")
    assert model.level is Level.KERAS
    keras().utils.set_random_seed(0)
    source = getattr(sys.modules["subclassed_nets"], name)()
    source.set_weights(model.keras.get_weights())
    x = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    np.testing.assert_allclose(predict(model, x), source.predict(x, verbose=0), atol=1e-5)


@pytest.mark.usefixtures("subclassed")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unknown", "input shape is unknown; call it once, or build it"),
        ("unknown_old", "input shape is unknown; call it once, or build it"),
        ("branching", r"cannot be traced .* export it with model\.export"),
        ("inverted", "layer 'erfinv.*' is a Erfinv, which has no Keras 2 counterpart"),
    ],
)
def test_what_cannot_be_traced_is_said(name: str, message: str) -> None:
    with pytest.raises(InvalidModel, match=message):
        load_model(f"subclassed_nets:{name}")


def test_unknown_and_missing_models_name_the_way_out() -> None:
    with pytest.raises(UserError, match="did you mean 'cnn1'"):
        load_model("cnn2")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        load_model("nowhere/net.keras")


@pytest.mark.parametrize("ending", ["keras", "h5", "onnx"])
@pytest.mark.parametrize("content", [b"", b"no model at all", b"PK\x03\x04 cut off"])
def test_files_that_are_not_what_they_say(ending: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"net.{ending}"
    file.write_bytes(content)
    with pytest.raises(UserError):
        load_model(file)


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_truncated_files_are_refused(ending: str, tmp_path: Path) -> None:
    whole = tmp_path / f"whole.{ending}"
    load_model("cnn1").keras.save(whole)
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    assert load_model(whole).level is Level.KERAS
    with pytest.raises(InvalidModel):
        load_model(cut)


def test_code_inside_a_file_is_not_executed(tmp_path: Path) -> None:
    k = keras()
    network = k.Sequential([k.layers.Dense(2, input_shape=(3,)), k.layers.Lambda(lambda x: x + 1)])
    for name in ("net.h5", "net.keras"):
        network.save(tmp_path / name)
        with pytest.raises(InvalidModel, match="does not execute"):
            load_model(tmp_path / name)
    network.save(tmp_path / "folder", save_format="tf")
    with pytest.raises(InvalidModel, match="does not execute"):
        load_model(tmp_path / "folder")


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    load_model("cnn1").keras.save_weights(tmp_path / "w.h5")
    with pytest.raises(InvalidModel, match="no architecture"):
        load_model(tmp_path / "w.h5")


def test_an_empty_folder_is_no_saved_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"saved_model\.pb"):
        load_model(tmp_path)
