"""Layers with coded weights equal TensorFlow Lite Micro bit for bit, wherever they are decoded."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from build import tensor
from grid import Case, difference, expected, run_program
from test_entropy import clustered
from test_variants import CONV, CORES, DENSE, DEPTHWISE, SIMPLE_CORES, Layer, check, samples

from autotiny.engine import fuse, generate, plain_schedule, with_pairs
from autotiny.engine.entropy import CODINGS, Coding
from autotiny.engine.kernel import Site
from autotiny.engine.ops import coded
from autotiny.engine.variants.pairs import Pairs
from autotiny.engine.variants.winograd import Winograd
from autotiny.errors import UnsupportedOp
from autotiny.graph import Array, Graph, Op, Quantization, Tensor
from autotiny.schedule import Schedule, Weights
from autotiny.simulator import measure
from autotiny.target import load_target

Decode = Literal["row", "layer", "start"]
DECODES: tuple[Decode, ...] = ("row", "layer", "start")


def with_weights(graph: Graph, index: int, weights: Array) -> Graph:
    tensors = list(graph.tensors)
    data = weights.reshape(tensors[index].shape)
    tensors[index] = replace(tensors[index], data=data)
    return replace(graph, tensors=tuple(tensors))


def sparse(layer: Layer, sparsity: float = 0.8) -> Graph:
    """The layer with few different weights."""
    graph = layer.graph()
    return with_weights(graph, 1, clustered(1, graph.tensors[1].size, sparsity, 4))


def with_coding(schedule: Schedule, coding: Coding, decode: Decode) -> Schedule:
    return Schedule(
        tuple(replace(step, weights=Weights(coding, decode)) for step in schedule.steps)
    )


def network() -> Graph:
    """A convolution with max-pooling, a depthwise convolution, and a dense layer by channel."""
    x, w0, b0, y0, pooled = sparse(Layer(CONV, (8, 8, 4), 8, (3, 3), pool=True)).tensors
    _, w1, b1, y1 = sparse(Layer(DEPTHWISE, (4, 4, 8), 8, (3, 3), activation="NONE")).tensors
    dice = np.random.default_rng(5)
    real = dice.choice([-0.5, -0.2, 0.0, 0.0, 0.0, 0.3, 0.6], (10, 128))
    scales = dice.uniform(0.005, 0.02, 10)
    w2 = tensor((10, 128), "int8", scales, [0] * 10, data=np.round(real / scales[:, None]))
    assert y1.quantization is not None
    steps = scales * y1.quantization.scale
    b2 = tensor((10,), "int32", steps, [0] * 10, data=dice.integers(-900, 900, 10))
    y2 = tensor((1, 10), "int8", 40 * float(steps.mean()) * 128, 7)
    tensors: list[Tensor] = [x, w0, b0, y0, pooled, w1, b1, y1, w2, b2, y2]
    named = tuple(replace(one, name=f"t{i}") for i, one in enumerate(tensors))
    conv, pool = Layer(CONV, (8, 8, 4), 8, (3, 3), pool=True).graph().ops
    (deep,) = Layer(DEPTHWISE, (4, 4, 8), 8, (3, 3), activation="NONE").graph().ops
    ops = (
        conv,
        pool,
        replace(deep, inputs=(4, 5, 6), outputs=(7,)),
        Op(DENSE, (7, 8, 9), (10,), {"fused_activation_function": "NONE"}),
    )
    return Graph(named, ops, (0,), (10,))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("decode", DECODES)
@pytest.mark.everyday(3)
def test_a_network_of_coded_layers_is_exact(coding: Coding, decode: Decode) -> None:
    graph = network()
    schedule = with_coding(fuse(graph, plain_schedule(graph)), coding, decode)
    assert [len(step.ops) for step in schedule.steps] == [2, 1, 1]
    cores = {"row": CORES, "layer": SIMPLE_CORES[:1], "start": SIMPLE_CORES[2:]}
    check(graph, schedule, cores[decode])


@pytest.mark.slow
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("decode", DECODES)
@pytest.mark.parametrize(
    "layer",
    [
        Layer(DENSE, (1, 1, 1), 1),
        Layer(DENSE, (1, 1, 7), 3, activation="NONE"),
        Layer(DENSE, (1, 1, 300), 11, activation="RELU6"),
        Layer(DENSE, (1, 1, 64), 19),
        Layer(CONV, (9, 7, 3), 8, (3, 3), stride=2),
        Layer(DEPTHWISE, (5, 6, 20), 20, (3, 3), activation="RELU6"),
    ],
    ids=str,
)
def test_coded_layers_are_exact_on_every_core(layer: Layer, coding: Coding, decode: Decode) -> None:
    graph = sparse(layer)
    schedule = with_coding(plain_schedule(graph), coding, decode)
    check(graph, schedule, (*CORES, *SIMPLE_CORES))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.everyday(1)
def test_one_value_and_all_values_are_exact(coding: Coding) -> None:
    graph = Layer(DENSE, (1, 1, 32), 8, activation="NONE").graph()
    for weights in (np.full(256, -7, np.int8), np.arange(-128, 128).astype(np.int8)):
        filled = with_weights(graph, 1, weights)
        for decode in ("row", "layer"):
            check(filled, with_coding(plain_schedule(filled), coding, decode), ())


def test_what_cannot_be_used_one_by_one_is_decoded_first() -> None:
    graph = sparse(Layer(DENSE, (1, 1, 32), 4, activation="NONE"))
    x, w, b, y = graph.tensors
    assert coded.why_not_by_row(Site(graph, plain_schedule(graph).steps[0])) is None
    assert y.quantization is not None
    steep, faint = (
        replace(graph, tensors=(x, w, b, replace(y, quantization=Quantization((s,), (40,)))))
        for s in (1e-6, 1e5)
    )
    several = replace(graph, tensors=(replace(x, shape=(3, 32)), w, b, replace(y, shape=(3, 4))))
    for changed in (steep, faint, several):
        schedule = with_coding(plain_schedule(changed), "ans", "row")
        assert coded.why_not_by_row(Site(changed, schedule.steps[0]))
        check(changed, schedule, ())


def test_pairs_take_decoded_weights() -> None:
    graph = sparse(Layer(CONV, (6, 6, 8), 8, (3, 3)))
    schedule = with_coding(with_pairs(graph, plain_schedule(graph)), "ans", "layer")
    assert schedule.steps[0].kernel == Pairs()
    check(graph, schedule, (CORES[0], SIMPLE_CORES[0]))


def test_weights_in_another_order_are_refused() -> None:
    graph = sparse(Layer(CONV, (6, 6, 8), 8, (3, 3)))
    (step,) = plain_schedule(graph).steps
    blocked = replace(step, kernel=Winograd(), weights=Weights("ans", "layer"))
    with pytest.raises(UnsupportedOp, match="in an order of its own"):
        generate(graph, Schedule((blocked,)))


def test_decoding_at_the_start_costs_the_first_inference_only() -> None:
    graph = sparse(Layer(DENSE, (1, 1, 400), 10))
    plain = plain_schedule(graph)
    target = load_target("stm32l4r5")
    costs = {
        decode: measure(generate(graph, with_coding(plain, "ans", decode)), target)
        for decode in DECODES
    }
    assert 5 * costs["start"].cycles < costs["layer"].cycles
    assert costs["start"].cold_cycles == pytest.approx(costs["layer"].cycles, rel=0.01)
    assert costs["start"].static_bytes >= 4000
    assert costs["row"].sram_bytes < costs["layer"].sram_bytes - 3900
    assert costs["row"].flash_bytes < measure(generate(graph, plain), target).flash_bytes - 2500


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC and its sanitizers")
def test_the_sanitizers_are_silent(tmp_path: Path) -> None:
    layers = [sparse(Layer(DENSE, (1, 1, n), 3), 0.3) for n in (1, 16, 17)]
    layers.append(network())
    cases = [
        Case("", graph, (samples(graph)[0],), runs=2, schedule=schedule)
        for graph in layers
        for coding in CODINGS
        for decode in DECODES
        for schedule in [with_coding(plain_schedule(graph), coding, decode)]
    ]
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    compiler = ("gcc", "-std=c99", "-O1", "-g", *sanitizers)
    found = run_program(cases, tmp_path, compiler)
    for case, outputs in zip(cases, found, strict=True):
        assert not difference(case, outputs, expected(case))
