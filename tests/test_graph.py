"""What work on a graph gives, at the edges: absent inputs, outputs that are read, ties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from autotiny.errors import InvalidModel
from autotiny.graph import (
    DType,
    Graph,
    Op,
    Quantization,
    Tensor,
    Ties,
    compact,
    dequantize,
    in_order,
    live,
    needed_ops,
    needed_tensors,
    producers,
    quantize,
    read_once,
    readers,
    redirected,
    renumbered,
    variables,
)

HALVES = Quantization((0.5,), (0,))
ROWS = Quantization((0.5, 0.25), (1, -1), axis=0)


def graph_of(
    *ops: Op, inputs: tuple[int, ...] = (0,), outputs: tuple[int, ...], constant: int = 1
) -> Graph:
    """A graph in which tensor `constant` has data, and tensors are named by their number."""
    count = 1 + max(index for op in ops for index in (*op.inputs, *op.outputs, *op.intermediates))
    tensors = [Tensor(str(index), (1, 4), "int8") for index in range(count)]
    tensors[constant] = replace(tensors[constant], data=np.zeros((1, 4), np.int8))
    return Graph(tuple(tensors), ops, inputs, outputs)


DENSE = Op("FULLY_CONNECTED", (0, 1, -1), (2,))
"""Without a bias: an input that is absent."""
TWICE = Op("MUL", (2, 2), (3,))
DEAD = Op("ADD", (2, 4), (5,))
NETWORK = graph_of(DENSE, TWICE, DEAD, outputs=(2, 3))
"""An output that is read too, an op that nobody needs, a state (4) that only that one reads."""

MEMORY = Op("LSTM", (0, -1, 4), (6,), {"intermediates": (2, 3)})


def names(graph: Graph) -> list[str]:
    return [tensor.name for tensor in graph.tensors]


def test_absent_inputs_are_read_by_nobody() -> None:
    assert readers(NETWORK) == {0: [DENSE], 1: [DENSE], 2: [TWICE, TWICE, DEAD], 4: [DEAD]}
    assert needed_tensors(replace(NETWORK, outputs=(3,))) == {0, 1, 2, 3}
    assert -1 not in producers(NETWORK)


def test_producers_are_the_ops_of_outputs() -> None:
    assert producers(NETWORK) == {2: DENSE, 3: TWICE, 5: DEAD}


@pytest.mark.parametrize(
    ("tensor", "outputs", "once"),
    [
        (0, (3,), True),
        (2, (3,), False),  # two ops read it
        (3, (3,), False),  # nobody reads it
        (4, (3,), True),
        (4, (3, 4), False),  # the graph gives it out
    ],
)
def test_what_is_read_once(tensor: int, outputs: tuple[int, ...], once: bool) -> None:
    assert read_once(replace(NETWORK, outputs=outputs), tensor) is once


def test_one_op_that_reads_a_tensor_at_both_of_its_inputs_reads_it_twice() -> None:
    assert not read_once(graph_of(DENSE, TWICE, outputs=(3,)), 2)


def test_variables_are_read_and_never_computed() -> None:
    assert variables(NETWORK) == (4,)
    assert variables(replace(NETWORK, inputs=(0, 4))) == ()
    assert variables(graph_of(MEMORY, TWICE, outputs=(6,))) == (4, 2)


def test_ops_are_needed_for_what_they_are_said_to_read() -> None:
    def second(op: Op) -> tuple[int, ...]:
        return op.inputs[1:]

    chain = graph_of(Op("SHAPE", (0,), (2,)), Op("RELU", (0,), (3,)), Op("RESHAPE", (3, 2), (4,)),
                     outputs=(4,))  # fmt: skip
    assert needed_ops(chain) == (0, 1, 2)
    assert needed_ops(chain, second) == (0, 2)
    assert needed_ops(NETWORK) == (0, 1)


def test_ops_that_wait_for_each_other_have_no_order() -> None:
    assert in_order([TWICE, DENSE]) == (DENSE, TWICE)
    assert in_order([DENSE, Op("ADD", (3, 5), (4,)), Op("ADD", (4, 2), (5,))]) is None
    assert in_order([]) == ()


def test_readers_and_outputs_read_another_tensor_instead() -> None:
    changed = redirected(NETWORK, {2: 3, 3: 0})
    assert [op.inputs for op in changed.ops] == [(0, 1, -1), (0, 0), (0, 4)]
    assert [op.outputs for op in changed.ops] == [(2,), (3,), (5,)]
    assert changed.outputs == (0, 0)


def test_what_nobody_needs_goes() -> None:
    lean = live(NETWORK)
    assert names(lean) == ["0", "1", "2", "3"]
    assert lean.ops == (DENSE, TWICE) and lean.outputs == (2, 3)
    assert names(compact(NETWORK)) == names(NETWORK)


def test_numbers_close_up_and_intermediates_with_them() -> None:
    graph = graph_of(MEMORY, outputs=(6,), constant=2)
    lean = compact(graph)
    assert names(lean) == ["0", "2", "3", "4", "6"]
    assert lean.ops == (Op("LSTM", (0, -1, 3), (4,), {"intermediates": (1, 2)}),)
    assert (lean.inputs, lean.outputs) == ((0,), (4,))
    assert graph.ops == (MEMORY,)


def test_an_input_that_nobody_reads_stays() -> None:
    lean = compact(graph_of(Op("RELU", (2,), (4,)), inputs=(2, 3), outputs=(4,)))
    assert names(lean) == ["2", "3", "4"] and lean.inputs == (0, 1)


def test_tensors_without_a_new_place_stay() -> None:
    assert renumbered(MEMORY, {6: 2, 3: 9}) == replace(
        MEMORY, outputs=(2,), options={"intermediates": (2, 9)}
    )


@pytest.mark.parametrize(
    ("ties", "stored"), [("even", [0, 2, 2, 0, -2, -2]), ("away", [1, 2, 3, -1, -2, -3])]
)
def test_numbers_between_two_go_to_the_even_one_or_away_from_zero(
    ties: Ties, stored: list[int]
) -> None:
    real = np.array([0.25, 0.75, 1.25, -0.25, -0.75, -1.25], np.float32)
    found = quantize(real, HALVES, "int8", ties)
    assert found.tolist() == stored and found.dtype == np.int8


def test_ties_are_even_unless_said_otherwise_and_settled_before_the_zero_point() -> None:
    odd = Quantization((0.5,), (1,))
    assert quantize(np.array([0.25, 0.75]), odd, "int16").tolist() == [1, 3]


@pytest.mark.parametrize("ties", ["even", "away"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_beyond_the_ends_the_last_number_is_stored(dtype: DType, ties: Ties) -> None:
    limits = np.iinfo(dtype)
    found = quantize(np.array([-1e30, -np.inf, 1e30, np.inf]), HALVES, dtype, ties)
    assert found.tolist()[:2] == [limits.min] * 2
    last = limits.max if dtype != "int64" else 2**63 - 1024  # the greatest that is a float64
    assert found.tolist()[2:] == [last] * 2


def test_each_row_has_its_own_scale() -> None:
    real = np.array([[1.0, -2.0], [1.0, -2.0]])
    stored = quantize(real, ROWS, "int8")
    assert stored.tolist() == [[3, -3], [3, -9]]
    assert np.array_equal(dequantize(stored, ROWS, np.float64), real)
    columns = replace(ROWS, axis=1)
    assert quantize(real, columns, "int8").tolist() == [[3, -9], [3, -9]]


def test_float32_is_computed_in_float32() -> None:
    tenth = Quantization((float(np.float32(0.1)),), (3,))
    found = dequantize(np.array([-125, 127], np.int8), tenth)
    assert found.dtype == np.float32
    assert found.tolist() == (np.float32(0.1) * np.array([-128, 124], np.float32)).tolist()
    tie = np.array([0.25], np.float32)  # 2.5 steps in float32, and less in float64
    assert quantize(tie, tenth, "int8", "away").tolist() == [3 + 3]
    assert quantize(tie.astype(np.float64), tenth, "int8", "away").tolist() == [2 + 3]
    below = np.nextafter(np.array([0.5], np.float32), np.float32(0))
    assert quantize(below, Quantization((1.0,), (0,)), "int8", "away").tolist() == [0]


def test_of_bytes_the_zero_point_is_taken_without_overflow() -> None:
    low = Quantization((1.0,), (255,))
    assert dequantize(np.array([0], np.uint8), low).tolist() == [-255]
    assert dequantize(np.array(0, np.uint8), low) == -255


def test_numbers_without_a_scale_and_floats_stand_for_themselves() -> None:
    assert quantize(np.array([2.7]), None, "int32").tolist() == [2]
    assert quantize(np.array([0.3]), HALVES, "float32").tolist() == [np.float32(0.3)]
    assert dequantize(np.array([7], np.int32), None).tolist() == [7.0]
    assert dequantize(np.array([0.5], np.float16), HALVES).tolist() == [0.5]


POOL = Op(
    "MAX_POOL_2D", (0,), (1,), {"stride_h": 2, "padding": "SAME", "alpha": 3, "keep_dims": True}
)


def test_options_have_the_type_that_is_asked_for() -> None:
    assert POOL.integer("stride_h") == 2 and POOL.text("padding") == "SAME"
    assert POOL.option("stride_h", 1) == 2 and POOL.option("stride_w", 1) == 1
    assert type(POOL.option("alpha", 0.5)) is float
    assert POOL.option("keep_dims", False) is True


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: POOL.integer("stride_w"), "MAX_POOL_2D: its option stride_w is missing; .* int"),
        (lambda: POOL.integer("padding"), "its option padding is 'SAME'; it must be of type int"),
        (lambda: POOL.text("stride_h"), "its option stride_h is 2; it must be of type str"),
        (lambda: POOL.integer("keep_dims"), "its option keep_dims is True; .* int"),
        (lambda: POOL.option("padding", 0.5), "its option padding is 'SAME'; .* float"),
        (lambda: POOL.option("stride_h", False), "its option stride_h is 2; .* bool"),
    ],
)
def test_another_type_is_refused_by_name(read: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidModel, match=message):
        read()
