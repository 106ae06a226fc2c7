from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.keras.prune_magnitude import PruneMagnitude
from autotiny.components.keras.quantize_aware import QuantizeAware, _set_ranges, _wrapped
from autotiny.dataset import Dataset
from autotiny.errors import NotApplicable
from autotiny.graph import Array
from autotiny.model import Level, Model, graph_def, keras, keras_model, predict
from autotiny.tasks import Regression


@pytest.mark.parametrize("network", ["cnn1", "residual"])
@pytest.mark.everyday(1)
def test_it_lowers_to_int8(network: str, work: Work, request: pytest.FixtureRequest) -> None:
    trained = QuantizeAware().apply(request.getfixturevalue(network), work)
    assert trained.level is Level.GRAPH
    for lowering in ("int8", "int8_float_fallback", "dynamic_range", "float16"):
        graph = COMPONENTS[lowering]().apply(trained, work).graph
        weights = [
            graph.tensors[op.inputs[1]]
            for op in graph.ops
            if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
        ]
        assert weights
        assert {tensor.dtype for tensor in weights} == {"int8"}, lowering


def test_it_keeps_the_accuracy(cnn1: Model, work: Work, accuracy: Callable[[Model], float]) -> None:
    trained = QuantizeAware().apply(cnn1, work)
    assert any(node.op.startswith("FakeQuant") for node in graph_def(trained.frozen).node)
    assert accuracy(trained) >= accuracy(cnn1) - 0.03


@pytest.mark.parametrize("network", ["cnn1", "residual"])
@pytest.mark.everyday(1)
def test_a_relu_uses_the_whole_range(
    network: str, work: Work, request: pytest.FixtureRequest
) -> None:
    """Where the least value is 0 no stored number stands for less, however short the fine-tune."""
    trained = QuantizeAware().apply(request.getfixturevalue(network), replace(work, epochs=1))
    graph = COMPONENTS["int8"]().apply(trained, work).graph
    results = [
        graph.tensors[op.outputs[0]].quantization
        for op in graph.ops
        if op.option("fused_activation_function", "NONE") == "RELU"
    ]
    assert results
    assert {one.zero_point for one in results if one is not None} == {-128}


def test_averages_need_no_requantization(work: Work) -> None:
    k = keras()
    k.utils.set_random_seed(0)
    image = k.Input((28, 28))
    x = k.layers.Conv2D(4, 3, activation="relu")(k.layers.Reshape((28, 28, 1))(image))
    x = k.layers.AveragePooling2D(2)(x)
    model = keras_model(k.Model(image, k.layers.Dense(10)(k.layers.Flatten()(x))))
    trained = QuantizeAware(1e-3).apply(model, replace(work, epochs=1))
    kinds = [op.kind for op in COMPONENTS["int8"]().apply(trained, work).graph.ops]
    assert "AVERAGE_POOL_2D" in kinds
    assert "QUANTIZE" not in kinds


@pytest.mark.slow
def test_what_was_quantized_before_in_the_same_process_changes_nothing(work: Work) -> None:
    """Keras numbers the layer behind an input, whose range an average keeps."""
    k = keras()
    kinds = []
    for _ in range(2):
        image = k.Input((28, 28))
        x = k.layers.AveragePooling2D(2)(k.layers.Reshape((28, 28, 1))(image))
        model = keras_model(k.Model(image, k.layers.Dense(10)(k.layers.Flatten()(x))))
        trained = QuantizeAware(1e-3).apply(model, replace(work, epochs=1))
        kinds.append([op.kind for op in COMPONENTS["int8"]().apply(trained, work).graph.ops])
    assert "QUANTIZE" not in kinds[0]
    assert kinds[0] == kinds[1]


def test_ranges_are_those_of_samples_and_statistics_stay(residual: Model, work: Work) -> None:
    wrapped = _wrapped(residual)

    def named(part: str) -> list[Array]:
        return [one.numpy() for one in wrapped.weights if part in one.name]

    before = named("/moving_")
    _set_ranges(wrapped, work)
    assert before
    for was, now in zip(before, named("/moving_"), strict=True):
        np.testing.assert_array_equal(now, was)
    assert not any(6.0 in one.reshape(-1) for one in named("activation_max"))


def test_activations_in_the_hundreds_keep_their_values() -> None:
    """The toolkit's ranges begin at −6 to 6, which a short fine-tune hardly leaves."""
    k = keras()
    k.utils.set_random_seed(0)
    x = np.random.default_rng(0).random((320, 8), np.float32)
    network = k.Sequential([k.Input((8,)), k.layers.Dense(8, "relu"), k.layers.Dense(1)])
    for layer, scale in zip(network.layers, (8, 50), strict=True):
        layer.set_weights([scale * np.abs(layer.get_weights()[0]), layer.get_weights()[1]])
    model = keras_model(network)
    y = predict(model, x)
    assert y.min() > 100
    parts = (x[:192], y[:192], x[192:256], y[192:256], x[256:], y[256:])
    data = Dataset("sums", *parts, Regression())
    trained = QuantizeAware().apply(model, Work(data, epochs=1))
    error = np.abs(predict(trained, data.x_test) - data.y_test).mean()
    assert error < 0.02 * np.ptp(y)


@pytest.mark.parametrize("network", ["cnn1", pytest.param("residual", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_zeros_survive_it(network: str, work: Work, request: pytest.FixtureRequest) -> None:
    work = replace(work, epochs=1)
    pruned = PruneMagnitude(0.8).apply(request.getfixturevalue(network), work)
    trained = QuantizeAware(1e-3).apply(pruned, work)
    graph = COMPONENTS["int8"]().apply(trained, work).graph
    found = [
        graph.tensors[op.inputs[1]].data
        for op in graph.ops
        if op.kind in ("CONV_2D", "FULLY_CONNECTED")
    ]
    for weights in found:
        assert weights is not None
        # a hundredth of all weights is not worth pruning
        if weights.size > 0.01 * sum(one.size for one in found if one is not None):
            assert (weights == 0).mean() >= 0.77


def test_a_layer_that_it_cannot_treat_is_named(work: Work) -> None:
    k = keras()
    network = k.Sequential(
        [k.layers.InputLayer(input_shape=(28, 28)), k.layers.LSTM(4), k.layers.Dense(10)]
    )
    with pytest.raises(NotApplicable, match=r"quantize_aware: .*(lstm|LSTM)"):
        QuantizeAware().apply(keras_model(network), work)


def test_units_dropped_while_ranges_are_found_follow_from_the_seed(work: Work) -> None:
    k = keras()
    layers = [k.layers.Flatten(input_shape=(28, 28)), k.layers.Dropout(0.5), k.layers.Dense(10)]
    k.utils.set_random_seed(0)
    model = keras_model(k.Sequential(layers))
    work = replace(work, epochs=0)
    one, other = (QuantizeAware().apply(model, work).fingerprint for _ in range(2))
    assert one == other
