"""Control flow in TFLite files: written out where it follows from constants, else refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from build import litert
from test_tflite import end, mutants

from autotiny.engine import generate, plain_schedule
from autotiny.errors import AutotinyError, InvalidModel, UnsupportedOp
from autotiny.firmware import build_host
from autotiny.graph import Graph
from autotiny.model import keras, tensorflow
from autotiny.tflite import read_tflite

STEPS, WIDTH = 5, 3


def recurrent(name: str) -> Any:
    """A recurrent network whose steps TensorFlow leaves in a loop."""
    layers = keras().layers
    keras().utils.set_random_seed(2)
    made = {
        "simple": lambda: [layers.SimpleRNN(4)],
        "gru": lambda: [layers.GRU(4)],
        "all steps": lambda: [layers.GRU(4, reset_after=False, return_sequences=True)],
        "two": lambda: [
            layers.LSTM(4, recurrent_activation="hard_sigmoid", return_sequences=True),
            layers.SimpleRNN(4),
        ],
        "cells": lambda: [
            layers.RNN(layers.StackedRNNCells([layers.GRUCell(4), layers.LSTMCell(3)]))
        ],
    }[name]()
    return keras().Sequential([layers.Input((STEPS, WIDTH)), *made, layers.Dense(2)])


def nested() -> Any:
    """A loop of three rounds, each of which has a loop of two, that also ends at a bound."""
    tf = tensorflow()

    def inner(outer: Any, x: Any) -> Any:
        return tf.while_loop(
            lambda i, _: tf.logical_and(i < 4, tf.logical_not(tf.equal(i, 2))),
            lambda i, y: (i + 1, tf.tanh(y) * (tf.cast(i + outer, tf.float32) + 0.5)),
            (0, x),
        )[1]

    return lambda x: tf.while_loop(lambda i, _: i >= 1, lambda i, y: (i - 1, inner(i, y)), (3, x))[
        1
    ]


@cache
def converted(name: str) -> bytes:
    """What TensorFlow's converter makes of one of the above, with its loops."""
    tf = tensorflow()
    network = nested() if name == "nested" else recurrent(name)
    function = tf.function(lambda x: network(x)).get_concrete_function(
        tf.TensorSpec((1, STEPS, WIDTH), name="x")
    )
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], network).convert())


@cache
def choosing() -> bytes:
    """A network of which an input says what it does."""
    tf = tensorflow()
    weights = tf.constant(np.random.default_rng(3).normal(size=(WIDTH, 2)).astype(np.float32))
    function = tf.function(
        lambda x, c: tf.cond(c, lambda: tf.tanh(x) @ weights, lambda: x[:, :2] * 3.0)
    ).get_concrete_function(
        tf.TensorSpec((1, WIDTH), name="x"), tf.TensorSpec((), tf.bool, name="c")
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
    return bytes(converter.convert())


def changed(model: bytes, change: Callable[[Any, Any], None]) -> bytes:
    """A file after a change to it, given the file and the generated classes."""
    tensorflow()
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as generated

    file = generated.ModelT.InitFromPackedBuf(model)
    change(file, generated)
    builder = flatbuffers.Builder(1024)
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def decided(truth: bool) -> bytes:
    """The network that chooses, its choice made."""

    def change(file: Any, generated: Any) -> None:
        main = file.subgraphs[0]
        (choice,) = (i for i in main.inputs if main.tensors[i].type == generated.TensorType.BOOL)
        buffer = generated.BufferT()
        buffer.data = np.array([truth], np.uint8)
        file.buffers.append(buffer)
        main.tensors[choice].buffer = len(file.buffers) - 1
        main.inputs = [i for i in main.inputs if i != choice]
        file.signatureDefs = []

    return changed(choosing(), change)


def check(model: bytes) -> Graph:
    """The network as the engine computes it, next to LiteRT."""
    graph = read_tflite(model)
    host = build_host(generate(graph, plain_schedule(graph)))
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(4, *graph.tensors[graph.inputs[0]].shape[1:])).astype(np.float32)
    expected = np.array([litert(model, row[None])[0].reshape(-1) for row in rows])
    found = host.predict(rows).reshape(len(rows), -1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    return graph


@pytest.mark.parametrize("name", ["simple", "gru", "all steps", "two", "cells", "nested"])
@pytest.mark.everyday(2)
def test_loops_are_written_out(name: str) -> None:
    graph = check(converted(name))
    kinds = Counter(op.kind for op in graph.ops)
    assert not {"WHILE", "LESS", "SLICE"} & set(kinds)
    if name == "simple":
        assert kinds["TANH"] == STEPS
        assert kinds["CONCATENATION"] == 0
    if name == "nested":
        assert kinds["TANH"] == 6
    if name == "all steps":  # joined once, not once a step
        assert kinds["CONCATENATION"] == 1
    weights = [t for t in graph.tensors if t.data is not None and t.data.dtype == np.float32]
    assert len(weights) == len({t.data.tobytes() for t in weights if t.data is not None})


@pytest.mark.parametrize("truth", [True, False])
def test_a_branch_is_taken_that_is_known(truth: bool) -> None:
    graph = check(decided(truth))
    assert ("TANH" in {op.kind for op in graph.ops}) == truth


def operator(file: Any, code: int) -> Any:
    """The options of the first op of a kind in the network itself."""
    codes = [one.builtinCode for one in file.operatorCodes]
    return next(
        op.builtinOptions for op in file.subgraphs[0].operators if codes[op.opcodeIndex] == code
    )


def itself(file: Any, generated: Any) -> None:
    operator(file, generated.BuiltinOperator.WHILE).bodySubgraphIndex = 0


def missing(file: Any, generated: Any) -> None:
    operator(file, generated.BuiltinOperator.WHILE).condSubgraphIndex = 9


def negative(file: Any, generated: Any) -> None:
    operator(file, generated.BuiltinOperator.WHILE).condSubgraphIndex = -1


def endless(file: Any, generated: Any) -> None:
    """Its condition is the constant `True`."""
    condition = file.subgraphs[operator(file, generated.BuiltinOperator.WHILE).condSubgraphIndex]
    buffer = generated.BufferT()
    buffer.data = np.ones(1, np.uint8)
    file.buffers.append(buffer)
    condition.operators = []
    condition.tensors[condition.outputs[0]].buffer = len(file.buffers) - 1


def of_the_input(file: Any, generated: Any) -> None:
    """Its first counter begins where an input says."""
    main = file.subgraphs[0]
    counters = {i for op in main.operators if len(op.inputs) == 5 for i in op.inputs[:2]}
    copy = generated.TensorT()
    copy.__dict__.update(main.tensors[min(counters)].__dict__)
    copy.buffer = 0
    main.tensors.append(copy)
    added = len(main.tensors) - 1
    main.inputs = [*main.inputs, added]
    for op in main.operators:
        if len(op.inputs) == 5:
            op.inputs = [added, added, *op.inputs[2:]]
    file.signatureDefs = []


def narrower(file: Any, generated: Any) -> None:
    """The body takes another shape than it is given."""
    body = file.subgraphs[operator(file, generated.BuiltinOperator.WHILE).bodySubgraphIndex]
    body.tensors[body.inputs[3]].shape = np.array([1, 3], np.int32)


def fewer(file: Any, generated: Any) -> None:
    body = file.subgraphs[operator(file, generated.BuiltinOperator.WHILE).bodySubgraphIndex]
    body.outputs = body.outputs[:-1]


def left_out(file: Any, generated: Any) -> None:
    for op in file.subgraphs[0].operators:
        if len(op.inputs) == 5:
            op.inputs = [-1, *op.inputs[1:]]


def number(file: Any, generated: Any) -> None:
    """The condition gives its counter."""
    condition = file.subgraphs[operator(file, generated.BuiltinOperator.WHILE).condSubgraphIndex]
    condition.outputs = [condition.inputs[1]]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (itself, InvalidModel, "subgraph 0 runs itself"),
        (missing, InvalidModel, "subgraph 9, but there are 3"),
        (negative, InvalidModel, "subgraph -1, but there are 3"),
        (endless, UnsupportedOp, "its loops name more than 100,000 tensors"),
        (of_the_input, UnsupportedOp, r"op 1 \(WHILE\): what it runs depends on the input"),
        (narrower, UnsupportedOp, r"whose shape is \(1, 4\), not \(1, 3\)"),
        (fewer, InvalidModel, "4 tensors; there are 5"),
        (left_out, InvalidModel, r"op 1 \(WHILE\) leaves an input out"),
        (number, InvalidModel, r"its condition is int32 of shape \[\]; it must be one bool"),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_loops_that_cannot_be_written_out(
    change: Callable[[Any, Any], None], kind: type[AutotinyError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        read_tflite(changed(converted("simple"), change))


def test_what_a_body_takes_is_no_input_of_the_network() -> None:
    """There a shape may be called open, which the network's inputs may not be."""

    def open_shape(file: Any, generated: Any) -> None:
        options = operator(file, generated.BuiltinOperator.WHILE)
        body = file.subgraphs[options.bodySubgraphIndex]
        body.tensors[body.inputs[3]].shapeSignature = np.array([1, -1], np.int32)

    check(changed(converted("simple"), open_shape))


def test_a_branch_that_the_input_chooses() -> None:
    with pytest.raises(UnsupportedOp, match=r"\(IF\): what it runs depends on the input"):
        read_tflite(choosing())


def test_mutated_control_flow_is_written_out_or_refused() -> None:
    models = [*(converted(name) for name in ("simple", "all steps", "nested")), decided(True)]
    ends = Counter(end(data) for data in mutants(models, 600, seed=5))
    assert min(ends[kind] for kind in ("read", "InvalidModel", "UnsupportedOp")) > 1, ends
