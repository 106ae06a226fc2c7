import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.tflite._lowering import Lowering
from autotiny.dataset import synthetic
from autotiny.errors import InvalidModel, NotApplicable
from autotiny.graph import Array, Graph
from autotiny.model import Level, Model, freeze, keras, keras_model, load_model, predict, tensorflow
from autotiny.tflite import write_tflite

Executed = Callable[[Graph, Array], Array]
LOWERINGS = [kind for kind in COMPONENTS.values() if issubclass(kind, Lowering)]


@pytest.mark.parametrize("kind", LOWERINGS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("network", ["cnn1", "residual"])
@pytest.mark.everyday(3)
def test_it_computes_nearly_what_the_model_does(
    kind: type[Lowering],
    network: str,
    work: Work,
    executed: Executed,
    request: pytest.FixtureRequest,
) -> None:
    model: Model = request.getfixturevalue(network)
    lowered = kind().apply(model, work)
    assert lowered.level is Level.TFLITE
    x = work.data.x_test
    expected, found = predict(model, x), executed(lowered.graph, x)
    agreement = (expected.argmax(1) == found.argmax(1)).mean()
    assert agreement >= (0.9 if "8" in kind.name or "dynamic" in kind.name else 1.0)
    if kind.name == "float32":
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("kind", LOWERINGS, ids=lambda kind: kind.name)
def test_shapes_are_static_and_leave_no_chains(
    kind: type[Lowering], cnn1: Model, work: Work
) -> None:
    graph = kind().apply(cnn1, work).graph
    kinds = {op.kind for op in graph.ops}
    assert not kinds & {"SHAPE", "STRIDED_SLICE", "PACK"}
    assert all(size > 0 for tensor in graph.tensors for size in tensor.shape)


def test_the_frozen_graph_lowers_to_the_same(cnn1: Model, work: Work) -> None:
    lower = COMPONENTS["int8"]()
    assert lower.apply(cnn1, work).fingerprint == lower.apply(freeze(cnn1), work).fingerprint


def digest_of_a_lowering() -> str:
    model = load_model("cnn1")
    lowered = COMPONENTS["int8"]().apply(model, Work(synthetic(model)))
    return hashlib.sha256(write_tflite(lowered.graph)).hexdigest()


@pytest.mark.slow
def test_bytes_are_the_same_in_another_process() -> None:
    keras().Sequential([keras().layers.Dense(3, input_shape=(2,))])  # nothing precedes there
    there = subprocess.run(
        [sys.executable, "-c", "import test_lowering as t; print(t.digest_of_a_lowering())"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert there.stdout.strip() == digest_of_a_lowering()


def test_a_network_that_int8_lacks_drops_out(work: Work) -> None:
    k = keras()
    network = k.Sequential(
        [
            k.layers.InputLayer(input_shape=(28, 28)),
            k.layers.Flatten(),
            k.layers.Activation(tensorflow().math.erf),
            k.layers.Dense(10),
        ]
    )
    with pytest.raises(NotApplicable, match="int8: "):
        COMPONENTS["int8"]().apply(keras_model(network), work)


@pytest.mark.parametrize("kind", LOWERINGS, ids=lambda kind: kind.name)
def test_channels_that_pruning_emptied_stay_what_their_biases_say(
    kind: type[Lowering], work: Work, executed: Executed
) -> None:
    k = keras()
    k.utils.set_random_seed(0)
    image = k.Input((8, 8, 3))
    features = k.layers.Flatten()(k.layers.Conv2D(4, 3)(image))
    network = k.Model(image, k.layers.Dense(3)(features))
    kernel, bias, matrix, offsets = network.get_weights()
    kernel[..., 1], matrix[:, 1:], bias[:], offsets[2] = 0, 0, (0.3, 0.5, 0.2, 0.1), 0.7
    network.set_weights([kernel, bias, matrix, offsets])
    model = keras_model(network)
    data = synthetic(model)
    graph = kind().apply(model, replace(work, data=data)).graph
    x = data.x_test[:5]
    np.testing.assert_allclose(executed(graph, x), predict(model, x), atol=0.05)


def test_a_recurrent_layer_becomes_one_op(work: Work, executed: Executed) -> None:
    k = keras()
    network = k.Sequential(
        [k.layers.InputLayer(input_shape=(28, 28)), k.layers.LSTM(6), k.layers.Dense(10)]
    )
    model = keras_model(network)
    lowered = COMPONENTS["float32"]().apply(model, work)
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in {op.kind for op in lowered.graph.ops}
    x = work.data.x_test[:5]
    np.testing.assert_allclose(executed(lowered.graph, x), predict(model, x), atol=1e-5)


@pytest.mark.parametrize("layer", ["GRU", "SimpleRNN", "Bidirectional", "LSTM"])
@pytest.mark.parametrize("lowering", ["float32", "int8", "int16x8"])
@pytest.mark.everyday(3)
def test_recurrent_layers_lower_without_loops(
    layer: str, lowering: str, work: Work, executed: Executed
) -> None:
    k = keras()
    k.utils.set_random_seed(0)
    made = (
        k.layers.Bidirectional(k.layers.LSTM(3))
        if layer == "Bidirectional"
        else getattr(k.layers, layer)(4)
    )
    network = k.Sequential([k.layers.InputLayer(input_shape=(5, 28)), made, k.layers.Dense(10)])
    model = keras_model(network)
    x = work.data.x_train[:40, 8:13]
    data = replace(work.data, x_train=x)
    graph = COMPONENTS[lowering]().apply(model, replace(work, data=data)).graph
    assert not {"WHILE", "IF"} & {op.kind for op in graph.ops}
    np.testing.assert_allclose(
        executed(graph, x[:5]), predict(model, x[:5]), atol=1e-3 if lowering == "float32" else 0.15
    )


def test_a_tflite_file_loads_again_and_a_truncated_one_is_refused(
    cnn1: Model, work: Work, tmp_path: Path
) -> None:
    lowered = COMPONENTS["int8"]().apply(cnn1, work)
    file = tmp_path / "net.tflite"
    data = write_tflite(lowered.graph)
    file.write_bytes(data)
    loaded = load_model(file)
    assert loaded.level is Level.TFLITE
    assert loaded.fingerprint == lowered.fingerprint
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(InvalidModel):
        load_model(file)
