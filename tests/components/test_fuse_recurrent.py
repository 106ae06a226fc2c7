"""LSTMs written as separate ops, in the ways in which they reach the engine."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from build import tflm

from autotiny.components import COMPONENTS, Work
from autotiny.dataset import synthetic
from autotiny.errors import NotApplicable
from autotiny.evaluate import real, sources_of, stored
from autotiny.firmware import build_host, link
from autotiny.graph import Array, live
from autotiny.model import Model, freeze, keras, keras_model, predict, tensorflow
from autotiny.target import load_target
from autotiny.tflite import write_tflite

FUSE = COMPONENTS["fuse_recurrent"]()
BOARD = load_target("stm32l4r5")
STEPS, DEPTH, UNITS = 4, 6, 5


def sequential(*layers: Any) -> Any:
    k = keras()
    return k.Sequential([k.layers.InputLayer(input_shape=(STEPS, DEPTH)), *layers])


def own_cell(feedback: bool = False) -> Any:
    """A cell that joins input and state, of which it makes all gates with one product."""
    k, tf = keras(), tensorflow()
    x = k.Input((STEPS, DEPTH))
    gates, back = k.layers.Dense(4 * UNITS), k.layers.Dense(DEPTH)
    hidden = cell = None
    for step in range(STEPS):
        now = x[:, step]
        if hidden is None:
            joined = tf.concat([now, tf.zeros_like(now[:, :UNITS])], 1)
        else:
            joined = tf.concat([now + back(hidden) if feedback else now, hidden], 1)
        i, f, g, o = tf.split(gates(joined), 4, axis=1)
        fresh = tf.sigmoid(i) * tf.tanh(g)
        cell = fresh if cell is None else fresh + cell * tf.sigmoid(f)
        hidden = tf.tanh(cell) * tf.sigmoid(o)
    return k.Model(x, k.layers.Dense(3)(hidden))


def networks() -> dict[str, Callable[[], tuple[Any, int]]]:
    """Networks, and how many LSTMs they hold."""
    layers = keras().layers
    dense = layers.Dense
    lstm = layers.LSTM
    return {
        "one": lambda: (sequential(lstm(UNITS, bias_initializer="ones"), dense(3)), 1),
        "a product a gate": lambda: (sequential(lstm(UNITS, implementation=1), dense(3)), 1),
        "two": lambda: (sequential(lstm(UNITS, return_sequences=True), lstm(4), dense(3)), 2),
        "both ways": lambda: (sequential(layers.Bidirectional(lstm(UNITS)), dense(3)), 2),
        "every step read": lambda: (sequential(lstm(UNITS, return_sequences=True), dense(3)), 1),
        "own": lambda: (own_cell(), 1),
    }


CASES = [
    *((name, "float32") for name in ("one", "both ways", "own")),
    *((name, "int8") for name in ("one", "own")),
    *((name, "int16x8") for name in ("one", "every step read")),
]
MORE = [
    ("a product a gate", "float32"),
    *(("two", lowering) for lowering in ("float32", "int8", "int16x8")),
    *(("both ways", lowering) for lowering in ("int8", "int16x8")),
]


def computed(model: Model, x: Array) -> tuple[Array, Array]:
    """What the engine's C gives for real inputs, as stored and as real numbers."""
    sources = sources_of(model)
    y = build_host(sources).predict(stored(x, sources.inputs[0]))
    return y, real(y, sources.outputs[0])


def separate(model: Model, lowering: str, work: Work) -> Model:
    """A lowered model whose steps stay separate ops, as in files from elsewhere."""
    with mock.patch("autotiny.components.tflite._lowering.with_lstms", lambda graph: graph):
        return COMPONENTS[lowering]().apply(freeze(model), work)


@pytest.mark.parametrize(
    ("name", "lowering"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE)],
)
@pytest.mark.everyday(2)
def test_separate_ops_become_one(name: str, lowering: str, work: Work) -> None:
    keras().utils.set_random_seed(0)
    network, count = networks()[name]()
    model = keras_model(network)
    work = Work(synthetic(model))
    after = FUSE.apply(separate(model, lowering, work), work)
    kinds = [op.kind for op in after.graph.ops]
    assert kinds.count("UNIDIRECTIONAL_SEQUENCE_LSTM") == count
    assert not {"LOGISTIC", "TANH", "SPLIT"} & set(kinds)
    x = work.data.x_test[:4]
    wanted = predict(model, x)
    y, values = computed(after, x)
    error = np.abs(values.reshape(wanted.shape) - wanted).max()
    assert error <= (1e-6 if lowering == "float32" else 0.05 * np.abs(wanted).max())
    if lowering == "float32":
        return
    shape = after.graph.tensors[after.graph.inputs[0]].shape
    for row, result in zip(stored(x, sources_of(after).inputs[0]), y, strict=True):
        micro = tflm(write_tflite(after.graph), row.reshape(shape))[0]
        np.testing.assert_array_equal(micro.reshape(-1), result.reshape(-1))


def test_products_that_were_joined_before_are_found_too(work: Work) -> None:
    model = keras_model(sequential(keras().layers.LSTM(UNITS), keras().layers.Dense(3)))
    lifted = COMPONENTS["remove_loop_invariants"]().apply(model, work)
    after = FUSE.apply(separate(lifted, "float32", work), work)
    x = synthetic(model).x_test[:4]
    np.testing.assert_allclose(computed(after, x)[1], predict(model, x), atol=1e-6)


REWRITES = (
    "reduce_control_edges", "simplify_arithmetic", "fold_constants", "remove_identities",
    "merge_duplicates",
)  # fmt: skip


def test_a_keras_lstm_stays_one_op_behind_the_frozen_graph() -> None:
    model = keras_model(sequential(keras().layers.LSTM(UNITS), keras().layers.Dense(3)))
    work, int8 = Work(synthetic(model)), COMPONENTS["int8"]()
    direct = link(sources_of(int8.apply(model, work)), BOARD).flash_bytes
    for rewrite in REWRITES:
        rewritten = int8.apply(COMPONENTS[rewrite]().apply(model, work), work)
        assert {op.kind for op in rewritten.graph.ops} <= {
            "RESHAPE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "STRIDED_SLICE", "FULLY_CONNECTED"
        }, rewrite  # fmt: skip
        assert link(sources_of(rewritten), BOARD).flash_bytes <= 1.02 * direct, rewrite


def test_a_bias_without_a_scale_keeps_the_requantization() -> None:
    """Files from elsewhere have such biases; the op's own scale cannot be worked into them."""
    keras().utils.set_random_seed(1)
    layers = keras().layers
    dense = layers.Dense(5, bias_initializer="ones")
    shape = layers.InputLayer(input_shape=(16, 7))
    model = keras_model(keras().Sequential([shape, layers.LSTM(12), dense]))
    work = Work(synthetic(model))
    lowered = separate(model, "int8", work)
    assert "QUANTIZE" not in {op.kind for op in FUSE.apply(lowered, work).graph.ops}
    bias = lowered.graph.ops[-1].inputs[2]
    tensors = list(lowered.graph.tensors)
    tensors[bias] = replace(tensors[bias], quantization=None)
    graph = replace(lowered.graph, tensors=tuple(tensors))
    after = FUSE.apply(replace(lowered, network=graph), work)
    assert [op.kind for op in after.graph.ops][-2:] == ["QUANTIZE", "FULLY_CONNECTED"]


def test_a_later_rewrite_keeps_the_scales_inside(work: Work) -> None:
    model = keras_model(sequential(keras().layers.LSTM(UNITS), keras().layers.Dense(3)))
    lowered = separate(model, "int8", Work(synthetic(model)))
    whole = FUSE.apply(lowered, work).graph
    end = next(i for i, op in enumerate(whole.ops) if op.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM")
    less = live(replace(whole, ops=whole.ops[: end + 1], outputs=whole.ops[end].outputs))
    assert len(less.tensors) < len(whole.tensors)
    for graph in (whole, less):
        lstm = graph.ops[end]
        inside = lstm.options["intermediates"]
        assert isinstance(inside, tuple)
        scale = graph.tensors[inside[-1]].quantization
        assert scale is not None
        assert scale == graph.tensors[lstm.outputs[0]].quantization


def test_what_feeds_its_result_back_stays(work: Work) -> None:
    model = keras_model(own_cell(feedback=True))
    lowered = COMPONENTS["float32"]().apply(freeze(model), Work(synthetic(model)))
    with pytest.raises(NotApplicable, match="no LSTM or GRU stands here"):
        FUSE.apply(lowered, work)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_other_recurrent_layers_have_no_kernel(activation: str, work: Work) -> None:
    layers = keras().layers
    layer = layers.SimpleRNN if activation == "tanh" else layers.GRU
    model = keras_model(sequential(layer(UNITS, activation=activation)))
    lowered = COMPONENTS["float32"]().apply(model, work)
    assert "TANH" in {op.kind for op in lowered.graph.ops} or activation == "relu"
    with pytest.raises(NotApplicable, match="the recurrent layers that have a kernel"):
        FUSE.apply(lowered, work)
