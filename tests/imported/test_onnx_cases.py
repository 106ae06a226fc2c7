"""The operators of ONNX on the cases that ONNX itself has for them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from autotiny.errors import InvalidModel
from autotiny.graph import Array
from autotiny.model.onnx.building import built
from autotiny.model.onnx.elementwise import LAYERS, OPERATORS
from autotiny.model.onnx.table import HANDLERS

PARTS = 8
TWO_TENSORS = {*LAYERS, *OPERATORS, "Where", "MatMul", "Concat"}
"""Operators whose inputs may all be computed; of others the first one is, the rest is constant."""

UNLIKE = {
    # float16 is computed in float32.
    "test_flexattention_fp16_expanded_ver26",
}


@cache
def cases() -> list[Any]:
    """All cases whose operators are computed, by name."""
    known = {*HANDLERS, "Constant"}
    found = [
        case
        for case in collect_testcases(None)
        if {node.op_type for node in case.model.graph.node} <= known
    ]
    return sorted(found, key=lambda case: str(case.name))


@pytest.mark.everyday(2)
@pytest.mark.parametrize("part", range(PARTS))
def test_operators_give_what_their_own_cases_say(part: int) -> None:
    computed, wrong = 0, []
    for case in cases()[part::PARTS]:
        inputs, outputs = case.data_sets[0]
        if case.name in UNLIKE or not all(numeric(one) for one in (*inputs, *outputs)):
            continue
        inputs = [np.asarray(one) for one in inputs]
        model, fed = with_constants(case.model, inputs)
        try:
            found = built(model, case.name, {})
        except InvalidModel:  # says why; no other error may come
            continue
        computed += 1
        gap = max(gaps(found, fed, [np.asarray(one) for one in outputs]), default=0.0)
        if not gap < 1e-4:
            wrong.append(f"{case.name}: {gap:.2g}")
    assert not wrong
    assert computed > 45


def numeric(x: Any) -> bool:
    """Whether a case's input or output is an array of numbers with an axis."""
    return isinstance(x, np.ndarray) and x.dtype.kind in "biuf" and x.ndim > 0


def with_constants(model: Any, inputs: list[Array]) -> tuple[Any, list[Array]]:
    """A model whose further inputs are constants where a network has constants; and the others."""
    copied = ModelProto()
    copied.CopyFrom(model)
    kinds = {node.op_type for node in model.graph.node}
    if kinds <= TWO_TENSORS or len(inputs) == 1:
        return copied, inputs
    for port, value in zip(list(copied.graph.input)[1:], inputs[1:], strict=True):
        copied.graph.initializer.append(numpy_helper.from_array(value, port.name))
        copied.graph.input.remove(port)
    return copied, inputs[:1]


def gaps(found: Any, inputs: list[Array], outputs: list[Array]) -> Iterator[float]:
    """The largest difference of each output, as a share of its largest value or of 1."""
    tensors = found.network.inputs
    fed = [
        x.transpose(axes).astype(tensor.dtype.name)
        for x, axes, tensor in zip(inputs, found.inputs, tensors, strict=True)
    ]
    given = found.network(fed if len(fed) > 1 else fed[0], training=False)
    results = given if isinstance(given, (list, tuple)) else [given]
    for mine, axes, theirs in zip(results, found.outputs, outputs, strict=True):
        lying = np.asarray(mine).transpose([axes.index(axis) for axis in range(len(axes))])
        assert lying.shape == theirs.shape
        with np.errstate(invalid="ignore"):
            gap = np.abs(lying.astype(np.float64) - theirs.astype(np.float64))
            largest = np.nanmax(np.abs(theirs.astype(np.float64)), initial=1.0)
        assert (np.isnan(lying) == np.isnan(theirs)).all() if theirs.dtype.kind == "f" else True
        yield float(np.nanmax(gap, initial=0.0) / largest)
