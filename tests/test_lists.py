"""Lists that loops fill, and control flow built by hand: written out, they give the same values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from build import tensor

from autotiny.errors import UnsupportedOp
from autotiny.graph import Array, Graph, Op, Quantization, Tensor
from autotiny.tflite.flat import flattened
from autotiny.tflite.lists import joined_once

X = tensor((3, 2), "float32", name="x")


def executed(graph: Graph, x: Array) -> list[Array]:
    """The outputs of a graph of CONCATENATION, SLICE and RELU."""
    values = {i: one.data for i, one in enumerate(graph.tensors) if one.data is not None}
    values[graph.inputs[0]] = x
    for op in graph.ops:
        read = [values[index] for index in op.inputs]
        if op.kind == "CONCATENATION":
            result = np.concatenate(read, axis=op.integer("axis"))
            if op.option("fused_activation_function", "NONE") == "RELU":
                result = np.maximum(result, 0)
        elif op.kind == "RELU":
            result = np.maximum(read[0], 0)
        else:
            result = read[0][
                tuple(slice(b, None if n < 0 else b + n) for b, n in zip(*read[1:], strict=True))
            ]
        assert result.shape == graph.tensors[op.outputs[0]].shape
        values[op.outputs[0]] = result
    return [values[index] for index in graph.outputs]


class Growing:
    """A graph that random ops are added to."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: list[Tensor] = [X]
        self.ops: list[Op] = []
        self.constant(self.rng.normal(size=(4, 2)).astype(np.float32))

    def constant(self, data: Array) -> int:
        dtype = "int32" if data.dtype == np.int32 else "float32"
        self.tensors.append(tensor(data.shape, dtype, data=data))  # type: ignore[arg-type]
        return len(self.tensors) - 1

    def add(self, kind: str, inputs: list[int], shape: tuple[int, ...], **options: int) -> None:
        self.tensors.append(tensor(shape, "float32"))
        self.ops.append(Op(kind, tuple(inputs), (len(self.tensors) - 1,), options))

    def rows(self) -> list[int]:
        """Tensors of two columns."""
        return [i for i, one in enumerate(self.tensors) if one.shape[1:] == (2,)]

    def join(self) -> None:
        parts = [int(i) for i in self.rng.choice(self.rows(), size=int(self.rng.integers(1, 4)))]
        heights = [self.tensors[i].shape[0] for i in parts]
        if self.rng.integers(5):
            axis = int(self.rng.choice([0, -2]))
            self.add("CONCATENATION", parts, (sum(heights), 2), axis=axis)
        elif len(set(heights)) == 1:
            self.add("CONCATENATION", parts, (heights[0], 2 * len(parts)), axis=1)

    def cut(self) -> None:
        source = int(self.rng.integers(len(self.tensors)))
        shape = self.tensors[source].shape
        if len(shape) != 2 or self.tensors[source].dtype != "float32":
            return
        begin = int(self.rng.integers(shape[0] + 1))
        count = int(self.rng.integers(shape[0] - begin + 1))
        left = int(self.rng.integers(2)) if shape[1] > 1 else 0
        to_end = bool(self.rng.integers(2))
        size = [-1 if to_end else count, -1]
        box = [self.constant(np.array(values, np.int32)) for values in ([begin, left], size)]
        rows = shape[0] - begin if to_end else count
        self.add("SLICE", [source, *box], (rows, shape[1] - left))

    def graph(self) -> Graph:
        for _ in range(12):
            (self.join if self.rng.integers(2) else self.cut)()
        made = [op.outputs[0] for op in self.ops]
        outputs = sorted({made[-1], *(int(i) for i in self.rng.choice(made, 2))})
        return Graph(tuple(self.tensors), tuple(self.ops), (0,), tuple(outputs))


@pytest.mark.parametrize("seed", range(60))
def test_lists_give_the_same_values_when_they_are_joined_once(seed: int) -> None:
    graph = Growing(seed).graph()
    x = np.random.default_rng(seed).normal(size=X.shape).astype(np.float32)
    once = joined_once(graph)
    assert len(once.ops) <= len(graph.ops)
    assert not set(once.outputs) & {*once.inputs}
    for found, expected in zip(executed(once, x), executed(graph, x), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_list_that_a_loop_fills_is_joined_from_its_entries() -> None:
    """Three rounds: what is before an entry, the entry, what is behind it."""
    growing = Growing(0)
    whole = growing.constant(np.zeros((3, 2), np.float32))
    for row in range(3):
        corner = growing.constant(np.array([0, 0], np.int32))
        behind = growing.constant(np.array([row + 1, 0], np.int32))
        before = growing.constant(np.array([row, -1], np.int32))
        rest = growing.constant(np.array([-1, -1], np.int32))
        growing.add("SLICE", [whole, corner, before], (row, 2))
        growing.add("SLICE", [whole, behind, rest], (2 - row, 2))
        line = growing.constant(np.array([row, 0], np.int32))
        growing.add("SLICE", [0, line, growing.constant(np.array([1, 2], np.int32))], (1, 2))
        growing.add("RELU", [len(growing.tensors) - 1], (1, 2))
        last = len(growing.tensors) - 1
        parts = [op.outputs[0] for op in growing.ops[-4:-2]]
        growing.add("CONCATENATION", [parts[0], last, parts[1]], (3, 2), axis=0)
        whole = len(growing.tensors) - 1
    graph = Graph(tuple(growing.tensors), tuple(growing.ops), (0,), (whole,))
    once = joined_once(graph)
    assert [op.kind for op in once.ops] == 3 * ["SLICE", "RELU"] + ["CONCATENATION"]
    x = np.array([[1, -1], [2, 3], [-4, 5]], np.float32)
    np.testing.assert_array_equal(executed(once, x)[0], np.maximum(x, 0))


@pytest.mark.parametrize("change", ["activation", "quantization", "rank", "rows", "columns"])
def test_a_join_that_changes_its_rows_stays(change: str) -> None:
    growing = Growing(0)
    growing.add("CONCATENATION", [0, 0], (6, 2), axis=0)
    growing.add("CONCATENATION", [len(growing.tensors) - 1, 0], (9, 2), axis=0)
    first, second = growing.ops
    if change == "activation":
        first = replace(first, options={"axis": 0, "fused_activation_function": "RELU"})
    else:
        inner = first.outputs[0]
        changed = {
            "quantization": {"quantization": Quantization((0.5,), (0,))},
            "rank": {"shape": ()}, "rows": {"shape": (5, 2)}, "columns": {"shape": (6, 3)},
        }[change]  # fmt: skip
        growing.tensors[inner] = replace(growing.tensors[inner], **changed)  # type: ignore[arg-type]
    graph = Graph(tuple(growing.tensors), (first, second), (0,), second.outputs)
    assert joined_once(graph).ops[-1].inputs != (0, 0, 0)
    assert len(joined_once(graph).ops) == 2


# Control flow


def calling(number: int, deepest: int) -> Graph:
    """A subgraph that runs the next one where True is true."""
    truth = tensor((), "bool", data=True)
    y = tensor(X.shape, "float32", name="y")
    if number == deepest:
        return Graph((X, y), (Op("RELU", (0,), (1,)),), (0,), (1,), "deep")
    names = ("then_subgraph_index", "else_subgraph_index")
    op = Op("IF", (2, 0), (1,), dict.fromkeys(names, number + 1))
    return Graph((X, y, truth), (op,), (0,), (1,), "deep")


def test_subgraphs_run_inside_each_other_to_some_depth() -> None:
    for deepest, refused in ((15, False), (16, True)):
        parts = {number: calling(number, deepest) for number in range(deepest + 1)}
        if refused:
            with pytest.raises(UnsupportedOp, match="more than 16 subgraphs inside each other"):
                flattened(parts)
        else:
            assert [op.kind for op in flattened(parts).ops] == ["RELU"]


def counting(rounds: int, names: int) -> dict[int, Graph]:
    """A loop whose body joins its input many times, which nothing reads."""
    counter, flag = tensor((), "int32"), tensor((), "bool")
    limit = tensor((), "int32", data=rounds)
    condition = Graph((counter, limit, flag), (Op("LESS", (0, 1), (2,)),), (0,), (2,), "counting")
    one, wide = tensor((), "int32", data=1), tensor((names, 1), "float32")
    row = tensor((1, 1), "float32")
    body = Graph(
        (counter, one, counter, row, row, wide),
        (
            Op("ADD", (0, 1), (2,)),
            Op("RELU", (3,), (4,)),
            Op("CONCATENATION", (3,) * names, (5,), {"axis": 0}),
        ),
        (0, 3), (2, 4), "counting",
    )  # fmt: skip
    condition = replace(condition, tensors=(*condition.tensors, row), inputs=(0, 3))
    begin = tensor((), "int32", data=0)
    options = {"cond_subgraph_index": 1, "body_subgraph_index": 2}
    main = Graph(
        (row, begin, counter, row), (Op("WHILE", (1, 0), (2, 3), options),), (0,), (3,), "counting"
    )
    return {0: main, 1: condition, 2: body}


def test_a_loop_is_as_long_as_its_counter_says() -> None:
    assert [op.kind for op in flattened(counting(4, 2)).ops] == 4 * ["RELU"]


def test_loops_that_name_too_many_tensors_are_refused() -> None:
    with pytest.raises(UnsupportedOp, match="more than 100,000 tensors"):
        flattened(counting(60, 2_000))


def test_a_slice_gets_the_shape_that_its_constants_say() -> None:
    """The file leaves the shape open, and states ones in its place."""
    box = [tensor((2,), "int32", data=values) for values in ([1, 0], [2, -1])]
    inner = Graph(
        (X, *box, tensor((1, 1), "float32"), tensor((2, 2), "float32")),
        (Op("SLICE", (0, 1, 2), (3,)), Op("RELU", (3,), (4,))), (0,), (4,), "cut",
    )  # fmt: skip
    result = tensor((2, 2), "float32")
    main = replace(calling(0, 1), tensors=(X, result, tensor((), "bool", data=True)))
    flat = flattened({0: main, 1: inner})
    assert [flat.tensors[op.outputs[0]].shape for op in flat.ops] == [(2, 2), (2, 2)]


def test_a_slice_that_leaves_its_input_stays_to_be_refused() -> None:
    for begin, size in ((2, 2), (-1, 1), (4, -1)):
        growing = Growing(0)
        box = [growing.constant(np.array(values, np.int32)) for values in ([begin, 0], [size, 2])]
        growing.add("SLICE", [0, *box], (1, 2))
        growing.add("CONCATENATION", [len(growing.tensors) - 1, 0], (4, 2), axis=0)
        graph = Graph(tuple(growing.tensors), tuple(growing.ops), (0,), growing.ops[-1].outputs)
        assert [op.kind for op in joined_once(graph).ops] == ["SLICE", "CONCATENATION"]


def test_a_slice_into_another_quantization_stays() -> None:
    growing = Growing(0)
    box = [growing.constant(np.array(values, np.int32)) for values in ([0, 0], [3, 2])]
    growing.add("SLICE", [0, *box], (3, 2))
    growing.add("RELU", [len(growing.tensors) - 1], (3, 2))
    inner, last = (op.outputs[0] for op in growing.ops)
    growing.tensors[inner] = replace(
        growing.tensors[inner], quantization=Quantization((0.5,), (0,))
    )
    graph = Graph(tuple(growing.tensors), tuple(growing.ops), (0,), (last,))
    assert [op.kind for op in joined_once(graph).ops] == ["SLICE", "RELU"]


def test_a_join_of_numbers_and_an_absent_one_stay() -> None:
    number, row, result = tensor((), "float32"), tensor((2,), "float32"), tensor((3,), "float32")
    for inputs in ((0, 1), (-1,)):
        ops = (Op("CONCATENATION", inputs, (2,), {"axis": 0}), Op("RELU", (2,), (3,)))
        graph = Graph((number, row, result, result), ops, (0, 1), (3,))
        assert joined_once(graph).ops == ops


def test_lists_of_lists_do_not_grow_without_end() -> None:
    """Each joins the one before it twice: 2^40 entries if all were written."""
    growing = Growing(0)
    growing.tensors[0] = tensor((1, 1), "float32")
    last = 0
    for n in range(40):
        growing.add("CONCATENATION", [last, last], (2 ** (n + 1), 1), axis=0)
        last = len(growing.tensors) - 1
    graph = Graph(tuple(growing.tensors), tuple(growing.ops), (0,), (last,))
    once = joined_once(graph)
    assert max(len(op.inputs) for op in once.ops) <= 4096


def test_entries_without_elements_are_left_out() -> None:
    growing = Growing(0)
    empty = growing.constant(np.zeros((0, 2), np.float32))
    growing.add("CONCATENATION", [empty, 0, empty, 0], (6, 2), axis=0)
    graph = Graph(tuple(growing.tensors), tuple(growing.ops), (0,), growing.ops[-1].outputs)
    assert joined_once(graph).ops[0].inputs == (0, 0)
