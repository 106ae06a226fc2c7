from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.tflite._calibrating import Kept, Method
from autotiny.components.tflite.int8 import Int8
from autotiny.components.tflite.int8_float_fallback import Int8FloatFallback
from autotiny.dataset import synthetic
from autotiny.graph import Array, Graph
from autotiny.model import Model, keras, keras_model, predict
from autotiny.recipe import component_from

Executed = Callable[[Graph, Array], Array]


def widths(graph: Graph) -> list[float]:
    """Scales of what layers give."""
    return [
        quantization.scale
        for op in graph.ops
        if (quantization := graph.tensors[op.outputs[0]].quantization) is not None
    ]


@pytest.mark.parametrize("network", ["cnn1", pytest.param("residual", marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_cut_ranges_are_narrower_and_compute_nearly_the_same(
    method: Method,
    network: str,
    work: Work,
    executed: Executed,
    request: pytest.FixtureRequest,
) -> None:
    model: Model = request.getfixturevalue(network)
    plain = Int8().apply(model, work).graph
    cut = Int8(method=method).apply(model, work).graph
    assert [op.kind for op in cut.ops] == [op.kind for op in plain.ops], "no requantization between"
    pairs = list(zip(widths(cut), widths(plain), strict=True))
    assert all(a <= b * 1.0001 for a, b in pairs)
    # The pictures of digits are so even that the least error is sometimes at the full range.
    assert method == "mse" or any(a < 0.999 * b for a, b in pairs)
    x = work.data.x_test
    agreement = (predict(model, x).argmax(1) == executed(cut, x).argmax(1)).mean()
    assert agreement >= 0.8


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("first", ["float32", "int8"]),
        ("last", ["int8", "float32"]),
        ("both", ["float32", "float32"]),
        ("nothing", ["int8", "int8"]),
    ],
)
def test_layers_stay_float_by_choice(
    keep: Kept, expected: list[str], cnn1: Model, work: Work, executed: Executed
) -> None:
    graph = Int8FloatFallback(keep_float=keep).apply(cnn1, work).graph
    layers = [op for op in graph.ops if op.kind in ("CONV_2D", "FULLY_CONNECTED")]
    assert [graph.tensors[op.outputs[0]].dtype for op in layers] == expected
    assert [graph.tensors[op.inputs[1]].dtype for op in layers] == expected
    assert graph.tensors[graph.inputs[0]].dtype == "float32"
    x = work.data.x_test[:20]
    agreement = (predict(cnn1, x).argmax(1) == executed(graph, x).argmax(1)).mean()
    assert agreement >= 0.9


def test_outliers_cost_less_resolution(cnn1: Model, work: Work) -> None:
    x = work.data.x_train.copy()
    x[:, 0, 0] = np.where(np.arange(len(x)) % 7 == 0, 30.0, 0.0)
    loud = replace(work, data=replace(work.data, x_train=x))
    scales = []
    for component in (Int8(), Int8(method="percentile")):
        graph = component.apply(cnn1, loud).graph
        quantization = graph.tensors[graph.inputs[0]].quantization
        assert quantization is not None
        scales.append(quantization.scale)
    assert scales[1] < scales[0] / 10


def test_choices_come_from_a_recipe() -> None:
    step = {"component": "int8_float_fallback", "method": "mse", "keep_float": "last"}
    assert component_from(step) == Int8FloatFallback(method="mse", keep_float="last")


@pytest.mark.parametrize("name", ["int8", "int8_float_fallback"])
@pytest.mark.parametrize(("layer", "method"), [("LSTM", "percentile"), ("GRU", "mse")])
@pytest.mark.everyday(2)
def test_what_has_no_memory_keeps_its_range(name: str, layer: str, method: str) -> None:
    k = keras()
    k.utils.set_random_seed(0)
    layers = k.layers
    inputs = layers.InputLayer((8, 3))
    recurrent = getattr(layers, layer)(4)
    model = keras_model(k.Sequential([inputs, recurrent, layers.Dense(2)]))
    data = synthetic(model, samples=40)
    step = COMPONENTS[name](calibration=10, method=method)  # type: ignore[call-arg]
    lowered = step.apply(model, Work(data))
    kinds = {op.kind for op in lowered.graph.ops}
    assert ("UNIDIRECTIONAL_SEQUENCE_LSTM" if layer == "LSTM" else "GRU") in kinds
