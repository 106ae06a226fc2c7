from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from build import tflm

from autotiny.components import Work
from autotiny.components.tflite._widening import activations, widened, with_wide_activations
from autotiny.components.tflite.int8 import Int8
from autotiny.evaluate import real, sources_of, stored
from autotiny.firmware import build_host
from autotiny.graph import Array, Graph, Op, Quantization, Tensor
from autotiny.model import Level, Model, predict
from autotiny.recipe import component_from
from autotiny.tflite import write_tflite

Executed = Callable[[Graph, Array], Array]


def computed(graph: Graph, x: Array) -> tuple[Array, Array, Array]:
    """Stored inputs, stored outputs and real outputs of the engine's C."""
    sources = sources_of(Model(Level.TFLITE, graph, graph.fingerprint()))
    inputs = stored(x, sources.inputs[0])
    y = build_host(sources).predict(inputs)
    return inputs, y, real(y, sources.outputs[0])


def wide(graph: Graph) -> list[int]:
    return [index for index, tensor in enumerate(graph.tensors) if tensor.dtype == "int16"]


@pytest.mark.parametrize(("network", "count"), [("cnn1", 1), ("residual", 2), ("residual", 99)])
@pytest.mark.everyday(1)
def test_a_mixed_graph_equals_tensorflow_lite_micro(
    network: str, count: int, work: Work, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(network)
    graph = Int8(keep_int16=count).apply(model, work).graph
    ports = [graph.tensors[index] for index in (*graph.inputs, *graph.outputs)]
    assert [port.dtype for port in ports] == ["int8", "int8"]
    assert wide(graph)
    inputs, y, _ = computed(graph, work.data.x_test[:8])
    for row, result in zip(inputs, y, strict=True):
        micro = tflm(write_tflite(graph), row.reshape(ports[0].shape))[0]
        np.testing.assert_array_equal(micro.reshape(-1), result.reshape(-1))


def test_sixteen_bits_come_nearer_to_the_floats(residual: Model, work: Work) -> None:
    x = work.data.x_test[:50]
    wanted = predict(residual, x)
    errors = []
    for count in (0, 99):
        graph = Int8(keep_int16=count).apply(residual, work).graph
        errors.append(np.mean((computed(graph, x)[2].reshape(wanted.shape) - wanted) ** 2))
    assert errors[1] < errors[0]


def test_what_costs_most_is_chosen(residual: Model, work: Work) -> None:
    """Coarser scales for one activation alone make it the one that gets 16 bits."""
    graph = Int8().apply(residual, work).graph
    candidates = activations(graph)
    assert len(candidates) > 3
    spoilt = candidates[2]
    tensors = list(graph.tensors)
    for index in spoilt:
        scale = tensors[index].quantization
        assert scale is not None
        coarse = Quantization((scale.scale * 16,), scale.zero_points)
        tensors[index] = replace(tensors[index], quantization=coarse)
    graph = replace(graph, tensors=tuple(tensors))
    result = with_wide_activations(graph, 1, work.data.x_train[:8])
    expected = widened(graph, frozenset(spoilt))
    assert [op.kind for op in result.ops] == [op.kind for op in expected.ops]
    assert len(wide(result)) == len(wide(expected))


def test_neighbours_share_an_island(residual: Model, work: Work) -> None:
    graph = Int8(keep_int16=99).apply(residual, work).graph
    kinds = [op.kind for op in graph.ops]
    assert kinds.count("QUANTIZE") == 2, "there from the input, and back at the output"


def test_a_rehearsal_has_as_many_wide_tensors(cnn1: Model, work: Work) -> None:
    lower = Int8(keep_int16=1)
    real_one, rehearsed = (
        lower.apply(cnn1, replace(work, rehearse=rehearse)).graph for rehearse in (False, True)
    )
    assert [t.dtype for t in real_one.tensors] == [t.dtype for t in rehearsed.tensors]
    assert [t.shape for t in real_one.tensors] == [t.shape for t in rehearsed.tensors]


def test_what_int16_cannot_compute_is_left_out() -> None:
    scale = Quantization((0.1,), (3,))
    tensors = tuple(Tensor(name, (1, 4), "int8", scale) for name in "abcd")
    ops = (Op("RELU6", (0,), (1,)), Op("TANH", (1,), (2,)), Op("RELU6", (2,), (3,)))
    graph = Graph(tensors, ops, (0,), (3,))
    assert activations(graph) == []
    assert with_wide_activations(graph, 2, np.zeros((1, 4))) is graph


def test_the_choice_comes_from_a_recipe() -> None:
    assert component_from({"component": "int8", "keep_int16": 2}) == Int8(keep_int16=2)
