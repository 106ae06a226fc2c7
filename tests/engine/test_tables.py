"""What a table holds of an op, or of several, on int8, and which ops take one."""

from __future__ import annotations

import numpy as np
import pytest
from build import litert, single, tensor, tflm
from cases import scale, whole
from elementwise import BYTES, LITERT_ALONE, Tree, drawn, drawn_tree

from autotiny.engine import generate, plain_schedule
from autotiny.engine.generate import kernel_of
from autotiny.engine.kernel import Site, Table
from autotiny.engine.ops.tables import FUNCTIONS, LEAST_REQUANTIZED, by_table
from autotiny.firmware import build_host
from autotiny.graph import Array, Graph, Tensor
from autotiny.schedule import Step
from autotiny.tflite import write_tflite


def results_of(graph: Graph) -> Array:
    """(256,) the table of a graph whose ops are one step."""
    step = Step(tuple(range(len(graph.ops))))
    operands = by_table(Site(graph, step)).operands
    (values,) = (one.what.values for one in operands if isinstance(one.what, Table))
    return values


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_table_holds_what_the_reference_computes(kind: str) -> None:
    rng = np.random.default_rng(0)
    reference = litert if kind in LITERT_ALONE else tflm
    for _ in range(10):
        tree = Tree(scale=scale(rng, 0.006), zero=whole(rng, -128, 127))
        drawn(rng, kind, tree, 0)
        graph = tree.graph()
        (expected,) = reference(write_tflite(graph), BYTES)
        np.testing.assert_array_equal(results_of(graph), expected.reshape(-1), str(graph))


def test_a_table_holds_what_a_whole_tree_computes() -> None:
    rng = np.random.default_rng(1)
    graphs = [drawn_tree(rng) for _ in range(60)]
    for graph in graphs:
        (expected,) = tflm(write_tflite(graph), BYTES)
        np.testing.assert_array_equal(results_of(graph), expected.reshape(-1), str(graph))
    assert max(len(graph.ops) for graph in graphs) > 7


@pytest.mark.parametrize("kind", ["MUL", "QUANTIZE", "PRELU"])
def test_numbers_that_leave_32_bits_wrap_as_in_the_kernel(kind: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(3):
        y = tensor((1, 256), "int8", rng.uniform(0.5, 1) * 2.0**-26, 5)
        x = tensor((1, 256), "int8", rng.uniform(0.5, 1), -3)
        made, inputs = [], []
        for size in (1, 256):
            number = tensor((1, size), "int8", 0.9, 7, data=np.full((1, size), 100))
            inputs = [x] if kind == "QUANTIZE" else [x, number]
            made.append(single(kind, inputs, y))
        by_table, by_kernel = made
        if kind != "QUANTIZE":
            assert any(o.name == "b" for o in kernel_of(Site(by_kernel, Step((0,)))).operands)
        program = build_host(generate(by_kernel, plain_schedule(by_kernel)))
        np.testing.assert_array_equal(results_of(by_table), program.predict([BYTES[None]])[0])


def test_a_single_op_takes_a_table_where_it_pays() -> None:
    def tabulated(kind: str, *inputs: Tensor, size: int = 256) -> bool:
        graph = single(kind, inputs, tensor((1, size), "int8", 0.06, 3))
        operands = kernel_of(Site(graph, Step((0,)))).operands
        return any(isinstance(one.what, Table) and one.what.values.size == 256 for one in operands)

    x, number = tensor((1, 256), "int8", 0.05, 3), tensor((1,), "int8", 0.05, 3, data=[4])
    assert all(tabulated(kind, x, number) for kind in ("ADD", "SUB", "MUL", "PRELU"))
    assert tabulated("SUB", number, x)
    assert not tabulated("ADD", x, x)
    same = tensor((1, 256), "int8", 0.06, 3), tensor((1,), "int8", 0.06, 3, data=[4])
    assert not tabulated("MAXIMUM", *same)
    for size in (LEAST_REQUANTIZED - 1, LEAST_REQUANTIZED):
        large = tensor((1, size), "int8", 0.05, 3)
        assert tabulated("QUANTIZE", large, size=size) == (size == LEAST_REQUANTIZED)
