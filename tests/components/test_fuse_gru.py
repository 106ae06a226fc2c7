"""GRUs as Keras writes them: one op each in every number format, and what their C computes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from build import litert, tflm
from test_fuse_recurrent import computed

from autotiny.components import COMPONENTS, Work
from autotiny.components.tflite._gru import with_grus
from autotiny.dataset import synthetic
from autotiny.errors import NotApplicable
from autotiny.evaluate import sources_of, stored
from autotiny.graph import Graph, Quantization, written_out
from autotiny.model import Model, freeze, keras, keras_model, predict
from autotiny.tflite import read_tflite, write_tflite

STEPS, DEPTH = 4, 6
Build = Callable[[], Any]


def gru(units: int = 5, **options: Any) -> Any:
    return keras().layers.GRU(units, bias_initializer="random_normal", **options)


def both(mode: str, **options: Any) -> Any:
    return keras().layers.Bidirectional(gru(**options), merge_mode=mode)


VARIANTS: dict[str, tuple[Callable[[], list[Any]], int]] = {
    "plain": (lambda: [gru()], 1),
    "reset before": (lambda: [gru(reset_after=False)], 1),
    "no bias": (lambda: [gru(use_bias=False)], 1),
    "no bias, reset before": (lambda: [gru(use_bias=False, reset_after=False)], 1),
    "backwards": (lambda: [gru(go_backwards=True)], 1),
    "all steps": (lambda: [gru(return_sequences=True)], 1),
    "all steps, backwards": (lambda: [gru(go_backwards=True, return_sequences=True)], 1),
    "a product a gate": (lambda: [gru(implementation=1)], 1),
    "stacked": (lambda: [gru(return_sequences=True), gru(3)], 2),
    **{f"both ways, {mode}": (lambda mode=mode: [both(mode)], 2)  # type: ignore[misc]
       for mode in ("concat", "sum", "ave", "mul")},
    "both ways, all steps": (lambda: [both("concat", return_sequences=True)], 2),
    "both ways, all steps, summed": (lambda: [both("sum", return_sequences=True)], 2),
    **{f"{units} units": (lambda units=units: [gru(units)], 1)  # type: ignore[misc]
       for units in range(1, 10)},
}  # fmt: skip
"""Layers, and how many GRUs they are."""

FORMATS = ("float32", "float16", "dynamic_range", "int8", "int16x8")
OFTEN = [
    *((name, lowering) for name in VARIANTS for lowering in ("float32", "int8")),
    *((name, "int16x8") for name in ("plain", "reset before", "both ways, all steps")),
    *(("plain", lowering) for lowering in ("float16", "dynamic_range")),
]
RARELY = [(n, lowering) for n in VARIANTS for lowering in FORMATS if (n, lowering) not in OFTEN]


def network(name: str) -> Model:
    k = keras()
    k.utils.set_random_seed(0)
    entry = k.layers.InputLayer(input_shape=(STEPS, DEPTH))
    return keras_model(k.Sequential([entry, *VARIANTS[name][0](), k.layers.Dense(3)]))


def check(name: str, lowering: str) -> None:
    model = network(name)
    data = synthetic(model)
    lowered = COMPONENTS[lowering]().apply(model, Work(data))
    kinds = [op.kind for op in lowered.graph.ops]
    assert kinds.count("GRU") == VARIANTS[name][1]
    assert not {"LOGISTIC", "TANH", "UNPACK", "REVERSE_V2"} & set(kinds)
    x = data.x_test[:4]
    wanted = predict(model, x)
    y, values = computed(lowered, x)
    error = np.abs(values.reshape(wanted.shape) - wanted).max()
    exact = {"float32": 1e-6, "float16": 2e-3, "int16x8": 1e-2}
    assert error <= exact.get(lowering, 0.1) * max(1, np.abs(wanted).max())
    flat = write_tflite(lowered.graph)
    shape = lowered.graph.tensors[lowered.graph.inputs[0]].shape
    for row, result in zip(stored(x, sources_of(lowered).inputs[0]), y, strict=True):
        if lowering in ("int8", "int16x8"):
            found = tflm(flat, row.reshape(shape))[0]
            np.testing.assert_array_equal(found.reshape(-1), result.reshape(-1))
        else:
            found = litert(flat, row.reshape(shape))[0]
            np.testing.assert_allclose(found.reshape(-1), result.reshape(-1), atol=1e-5)


@pytest.mark.parametrize(("name", "lowering"), OFTEN)
def test_a_gru_becomes_one_op_that_computes_its_steps(name: str, lowering: str) -> None:
    check(name, lowering)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lowering"), RARELY)
def test_grus_in_the_rarer_number_formats(name: str, lowering: str) -> None:
    check(name, lowering)
