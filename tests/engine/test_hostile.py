"""Damaged models that still can be read: refused by name, or compiled to C that stays in bounds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import samples
from grid import Case, run_program
from test_tflite import LOWERINGS, converted, mutants

from autotiny.engine import check_supported
from autotiny.errors import InvalidModel, UnsupportedOp
from autotiny.graph import Graph
from autotiny.tflite import read_tflite

MOST_BYTES = 1 << 20  # of one tensor, to keep the programs small


def accepted(count: int, seed: int) -> list[Graph]:
    """The graphs of mutated models that the engine takes."""
    models = [converted(lowering) for lowering in LOWERINGS]
    found = []
    for data in mutants(models, count, seed):
        graph = taken(data)
        if graph is not None and max(one.bytes for one in graph.tensors) < MOST_BYTES:
            found.append(graph)
    return found


def taken(data: bytes) -> Graph | None:
    try:
        graph = read_tflite(data)
        check_supported(graph)
    except (InvalidModel, UnsupportedOp):
        return None
    return graph


@pytest.mark.slow
def test_damaged_models_are_taken_or_refused() -> None:
    assert len(accepted(400, seed=5)) > 50


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC and its sanitizers")
def test_what_is_taken_stays_in_bounds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cases = [Case("", graph, samples(rng, graph)) for graph in accepted(60, seed=6)]
    # A damaged scale may overflow a sum: what counts here is that memory is safe.
    run_program(cases, tmp_path, ("gcc", "-std=c99", "-O1", "-fsanitize=address", "-fwrapv"))


def test_contradicting_shapes_are_refused_with_their_place() -> None:
    from dataclasses import replace

    from build import single, tensor

    graph = single(
        "CONV_2D",
        [
            tensor((1, 8, 8, 2), "float32"),
            tensor((4, 3, 3, 2), "float32", data=np.ones((4, 3, 3, 2))),
            tensor((4,), "float32", data=np.ones(4)),
        ],
        tensor((1, 8, 8, 4), "float32"),
        padding="SAME",
        stride_h=1,
        stride_w=1,
    )
    check_supported(graph)
    for index, shape, text in (
        (3, (1, 9, 8, 4), "op 0 CONV_2D .*its window gives"),
        (3, (1, 8, 8, 5), "op 0 CONV_2D .*its window gives"),
        (0, (1, 8, 8, 3), "do not fall into groups"),
        (3, (1, 0, 8, 4), "is empty"),
    ):
        tensors = list(graph.tensors)
        tensors[index] = replace(tensors[index], shape=shape)
        with pytest.raises(UnsupportedOp, match=text):
            check_supported(replace(graph, tensors=tuple(tensors)))


def test_a_result_that_nothing_computes_is_refused() -> None:
    from build import tensor

    constant = tensor((1, 2), "float32", data=[1, 2], name="fixed")
    with pytest.raises(UnsupportedOp, match="the result 'fixed' of model is a constant"):
        check_supported(Graph((constant,), (), (), (0,)))
