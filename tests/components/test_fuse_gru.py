"""GRUs as Keras writes them: one op each in every number format, and what their C computes."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import pytest
from build import litert, tflm
from test_fuse_recurrent import computed

from autotiny.components import COMPONENTS, Work
from autotiny.components.tflite._gru import with_grus
from autotiny.dataset import Dataset, synthetic
from autotiny.evaluate import sources_of, stored
from autotiny.graph import Array, Graph
from autotiny.model import Model, freeze, keras, keras_model
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
    *((name, "int8") for name in VARIANTS),
    *((name, "float32") for name in VARIANTS if not name.endswith("units")),
    *((name, "int16x8") for name in ("plain", "reset before", "both ways, all steps")),
    *(("plain", lowering) for lowering in ("float16", "dynamic_range")),
]
RARELY = [(n, lowering) for n in VARIANTS for lowering in FORMATS if (n, lowering) not in OFTEN]


@cache
def network(name: str) -> Model:
    k = keras()
    k.utils.set_random_seed(0)
    entry = k.layers.InputLayer(input_shape=(STEPS, DEPTH))
    return keras_model(k.Sequential([entry, *VARIANTS[name][0](), k.layers.Dense(3)]))


@cache
def samples(name: str) -> Dataset:
    return synthetic(network(name))


@cache
def answers(name: str) -> Array:
    """What Keras says of the first samples."""
    return np.asarray(network(name).keras(samples(name).x_test[:4], training=False))


@cache
def frozen(name: str) -> Model:
    """The network as every lowering takes it."""
    return freeze(network(name))


@cache
def lowered_as(name: str, lowering: str) -> Model:
    return COMPONENTS[lowering]().apply(frozen(name), Work(samples(name)))


def check(name: str, lowering: str) -> None:
    lowered = lowered_as(name, lowering)
    kinds = [op.kind for op in lowered.graph.ops]
    assert kinds.count("GRU") == VARIANTS[name][1]
    assert not {"LOGISTIC", "TANH", "UNPACK", "REVERSE_V2"} & set(kinds)
    x, wanted = samples(name).x_test[:4], answers(name)
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
@pytest.mark.everyday(9)
def test_a_gru_becomes_one_op_that_computes_its_steps(name: str, lowering: str) -> None:
    check(name, lowering)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lowering"), RARELY)
def test_grus_in_the_rarer_number_formats(name: str, lowering: str) -> None:
    check(name, lowering)


@cache
def unfused(name: str, lowering: str) -> Graph:
    """What the converter gives: a copy of the ops a step."""
    with mock.patch("autotiny.components.tflite._lowering.with_grus", lambda graph: graph):
        return COMPONENTS[lowering]().apply(frozen(name), Work(samples(name))).graph


@pytest.mark.parametrize("name", ["plain", "reset before", "backwards", "both ways, all steps"])
@pytest.mark.parametrize(
    "lowering", ["float32", "int8", pytest.param("int16x8", marks=pytest.mark.slow)]
)
@pytest.mark.everyday(2)
def test_what_a_file_holds_is_found_again_to_the_bit(name: str, lowering: str) -> None:
    lowered = lowered_as(name, lowering)
    flat = write_tflite(lowered.graph)
    read = read_tflite(flat)
    assert "GRU" not in {op.kind for op in read.ops}
    again = with_grus(read, exact=True)
    assert [op.kind for op in again.ops].count("GRU") == VARIANTS[name][1]
    x = samples(name).x_test[:4]
    first, second = (computed(replace(lowered, network=g), x)[0] for g in (lowered.graph, again))
    np.testing.assert_array_equal(first, second)


def test_steps_with_scales_of_their_own_stay_apart_unless_asked() -> None:
    apart = unfused("plain", "int8")
    assert with_grus(apart, exact=True) is apart
    fused = COMPONENTS["fuse_recurrent"]().apply(
        replace(lowered_as("plain", "float32"), network=apart), Work(samples("plain"))
    )
    assert "GRU" in {op.kind for op in fused.graph.ops}


def test_a_gru_that_reads_its_own_result_stays(work: Work) -> None:
    """An input of a later step that hangs on an earlier one cannot be gathered first."""
    k = keras()
    x = k.Input((STEPS, DEPTH))
    cell, back = k.layers.GRUCell(5), k.layers.Dense(DEPTH)
    state = cell(x[:, 0], [k.layers.Lambda(lambda one: one[:, :5] * 0.0)(x[:, 0])])[0]
    for step in range(1, STEPS):
        state = cell(x[:, step] + back(state), [state])[0]
    graph = COMPONENTS["float32"]().apply(keras_model(k.Model(x, state)), work).graph
    assert "GRU" not in {op.kind for op in graph.ops}


def test_other_weights_in_one_step_are_no_loop() -> None:
    graph = unfused("plain", "float32")
    assert with_grus(graph) is not graph
    dense = [op for op in graph.ops if op.kind == "FULLY_CONNECTED"]
    for op in (dense[1], dense[4]):  # of the second step's input, and of its state
        tensors = list(graph.tensors)
        weights = tensors[op.inputs[1]]
        assert weights.data is not None
        tensors.append(replace(weights, data=weights.data * np.float32(1.5)))
        other = replace(op, inputs=(op.inputs[0], len(tensors) - 1, *op.inputs[2:]))
        ops = tuple(other if one is op else one for one in graph.ops)
        wrong = replace(graph, tensors=tuple(tensors), ops=ops)
        kept = with_grus(wrong)
        assert sum(one.kind == "LOGISTIC" for one in kept.ops) > 0


def test_measure_tells_of_steps_with_scales_of_their_own(tmp_path: Any) -> None:
    from autotiny import measure
    from autotiny.api import STEPS_APART

    graph = unfused("plain", "int8")
    heard: list[str] = []
    for name, one in (("apart", graph), ("alike", with_grus(graph))):
        file = tmp_path / f"{name}.tflite"
        file.write_bytes(write_tflite(one))
        cost = measure(file, "stm32f746", on_notice=heard.append).cost
        assert any(layer.name.startswith("gru") for layer in cost.layers) == (name == "alike")
        assert (STEPS_APART in heard) == (name == "apart")
        heard.clear()
