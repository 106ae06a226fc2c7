"""ADD on int8 gives what TensorFlow Lite Micro gives, for every pair of values."""

from __future__ import annotations

import numpy as np
import pytest
from build import single, tensor, tflm

from autotiny.engine import generate, plain_schedule
from autotiny.errors import UnsupportedOp
from autotiny.firmware import build_host, link
from autotiny.graph import Array, Graph, Op
from autotiny.simulator import run
from autotiny.target import load_target
from autotiny.tflite import write_tflite

PAIRS: Array = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
SIZE = 1 << 16


def sums(
    scales: tuple[float, float, float], zeros: tuple[int, int, int], activation: str, size: int
) -> Graph:
    names = ("a", "b", "y")
    tensors = tuple(
        tensor((1, size), "int8", scale, zero, name=name)
        for name, scale, zero in zip(names, scales, zeros, strict=True)
    )
    op = Op("ADD", (0, 1), (2,), {"fused_activation_function": activation})
    return Graph(tensors, (op,), (0, 1), (2,))


CASES = (
    ((0.039, 0.104, 0.051), (-128, 4, -128), "RELU"),  # the second one is halved
    ((0.217, 0.084, 0.127), (-2, 38, -100), "NONE"),  # the first one
    ((0.05, 0.05, 0.05), (7, -9, 3), "NONE"),  # both
    ((0.3, 0.0004, 0.02), (-128, 127, -128), "RELU6"),
    ((0.05, 0.07, 0.11), (127, -128, -30), "RELU"),
    ((0.1, 0.3, 1e-6), (0, 0, 0), "NONE"),  # what rounding leaves of sums of zero shows
    ((0.1, 0.3, 1.3e-6), (1, -3, -128), "RELU"),
    ((2e-5, 3e-5, 7.0), (0, 0, 0), "NONE"),  # shifted so far that all sums are zero
)


@pytest.mark.parametrize(("scales", "zeros", "activation"), CASES)
@pytest.mark.everyday(2)
def test_every_sum_is_exact(
    scales: tuple[float, float, float], zeros: tuple[int, int, int], activation: str
) -> None:
    graph = sums(scales, zeros, activation, SIZE)
    a, b = (values.reshape(1, 1, SIZE).astype(np.int8) for values in PAIRS)
    (expected,) = tflm(write_tflite(graph), a[0], b[0])
    sources = generate(graph, plain_schedule(graph))
    np.testing.assert_array_equal(build_host(sources).predict([a, b]).reshape(-1), expected.ravel())
    for name in ("stm32l4r5", "stm32g0b1", "esp32c3"):
        target = load_target(name)
        report = run(link(sources, target), target, [a, b], repeats=1, simulate_memory=False)
        np.testing.assert_array_equal(np.asarray(report.outputs).reshape(-1), expected.ravel())


@pytest.mark.parametrize("numbers", [1, 8])
def test_a_scale_to_which_no_sum_is_scaled_down_is_refused(numbers: int) -> None:
    x, y = (tensor((1, 8), "int8", scale, 0) for scale in (0.3, 5e-7))
    number = tensor((1, numbers), "int8", 0.1, 0, data=np.ones((1, numbers)))
    graph = single("ADD", [x, number], y)
    with pytest.raises(UnsupportedOp, match="its output scale is too small for its inputs"):
        generate(graph, plain_schedule(graph))


@pytest.mark.parametrize("size", [1, 3, 5, 6])
def test_sums_that_fill_no_words_are_exact(size: int) -> None:
    graph = sums((0.039, 0.104, 0.051), (-128, 4, -9), "NONE", size)
    a, b = np.random.default_rng(size).integers(-128, 128, (2, 1, 1, size)).astype(np.int8)
    (expected,) = tflm(write_tflite(graph), a[0], b[0])
    target = load_target("stm32l4r5")
    firmware = link(generate(graph, plain_schedule(graph)), target)
    report = run(firmware, target, [a, b], repeats=1, simulate_memory=False)
    np.testing.assert_array_equal(np.asarray(report.outputs).reshape(-1), expected.ravel())
