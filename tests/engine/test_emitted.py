"""The constants and calls that ops become, executed or worked out by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from build import single, tensor
from images import Network

from autotiny.engine import generate, plain_schedule
from autotiny.engine.c_files import LICENSE
from autotiny.engine.generate import kernels_of
from autotiny.engine.headers import kernel_text
from autotiny.engine.kernel import Kernel, Overlap, Table
from autotiny.engine.ops.shape import DTYPES
from autotiny.engine.variants.blocks import Blocks
from autotiny.engine.work import work_of
from autotiny.errors import UnsupportedOp, UserError
from autotiny.graph import Array, DType, Graph, Op, Quantization, Tensor
from autotiny.schedule import Step
from autotiny.version import __version__


def kernel(graph: Graph) -> Kernel:
    (found,) = kernels_of(graph, plain_schedule(graph))
    return found


def tables(found: Kernel) -> dict[str, list[Any]]:
    return {o.name: o.what.values.tolist() for o in found.operands if isinstance(o.what, Table)}


def field(found: Kernel, name: str) -> int:
    return int(re.findall(rf"\.{name} = (-?\d+)", found.body)[0])


def ints(*values: int) -> Tensor:
    return tensor((len(values),), "int32", data=values)


# Ops that move: their calls are executed on bytes

PLACE = r"(?:\((?:const )?uint8_t \*\))?(\w+)(?: \+ (-?\d+))?"
LAYOUT = r"\(at_layout\)\{\{(.*?)\}, \{(.*?)\}, \{(.*?)\}\}"


def moved(graph: Graph, *arrays: Array) -> list[Array]:
    """The results of an op that moves elements, its calls done one by one."""
    found = kernel(graph)
    results = [graph.tensors[index] for index in graph.outputs]
    memory: dict[str, bytearray] = {}
    given = iter(arrays)
    for operand in found.operands:
        if isinstance(operand.what, Table):
            memory[operand.name] = bytearray(operand.what.values.tobytes())
        elif operand.what in graph.outputs:
            memory[operand.name] = bytearray(b"\xee" * graph.tensors[operand.what].bytes)
        else:
            memory[operand.name] = bytearray(next(given).tobytes())
    for line in found.body.splitlines():
        if box := re.fullmatch(rf"at_move_box\({PLACE}, {PLACE}, {LAYOUT}, (\d+)u\);", line):
            source, start, target, to, *rest = box.groups()
            counts, x, y = (tuple(map(int, part.split(", "))) for part in rest[:3])
            run = int(rest[3])
            assert len(counts) == len(x) == len(y) == 5
            for index in np.ndindex(counts):
                a = int(start or 0) + int(np.dot(index, x))
                b = int(to or 0) + int(np.dot(index, y))
                assert 0 <= a <= len(memory[source]) - run
                assert 0 <= b <= len(memory[target]) - run
                memory[target][b : b + run] = memory[source][a : a + run]
        elif fill := re.fullmatch(r"at_repeat\(y, value, (\d+), (\d+)u\);", line):
            count, size = map(int, fill.groups())
            memory["y"][: count * size] = memory["value"][:size] * count
        else:
            assert line in ("(void)x;", "(void)y;")
    names = [o.name for o in found.operands if o.what in graph.outputs]
    return [
        np.frombuffer(memory[name], np.dtype(one.dtype)).reshape(one.shape)
        for name, one in zip(names, results, strict=True)
    ]


def counted(*shape: int, dtype: str = "int16") -> Array:
    return np.arange(1, np.prod(shape) + 1).astype(dtype).reshape(shape)


def check(kind: str, inputs: Sequence[Any], expected: Sequence[Array], **options: Any) -> None:
    """Arrays are inputs, tensors constants."""
    arrays = [one for one in inputs if not isinstance(one, Tensor)]
    given = [
        one if isinstance(one, Tensor) else tensor(one.shape, str(one.dtype))  # type: ignore[arg-type]
        for one in inputs
    ]
    results = [tensor(one.shape, str(one.dtype)) for one in expected]  # type: ignore[arg-type]
    found = moved(single(kind, given, results, **options), *arrays)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32", "int64"])
def test_elements_of_every_size_move_as_in_numpy(dtype: str) -> None:
    x = counted(2, 3, 4, 5, dtype=dtype)
    check("SLICE", [x, ints(1, 0, 1, 2), ints(1, 2, 3, -1)], [x[1:, :2, 1:4, 2:]])
    check("STRIDED_SLICE", [x, ints(1, 2, 0, 4), ints(2, 0, 4, 0), ints(1, -1, 2, -2)],
          [x[1:2, 2:0:-1, 0:4:2, 4:0:-2]])  # fmt: skip
    check("STRIDED_SLICE", [x, ints(0, -1), ints(2, 0), ints(1, 1)], [x[:, -1]],
          shrink_axis_mask=2)  # fmt: skip
    check("TRANSPOSE", [x, ints(3, 1, 0, 2)], [x.transpose(3, 1, 0, 2)])
    check("TRANSPOSE", [x, ints(0, 2, 1, 3)], [x.transpose(0, 2, 1, 3)])
    for axis in (1, -1):
        check("CONCATENATION", [x, x[:, :, :, :] + 1], [np.concatenate((x, x + 1), axis)],
              axis=axis)  # fmt: skip
        check("SPLIT", [ints(axis), x[:, :2, :, :4]], np.split(x[:, :2, :, :4], 2, axis))
    check("SPLIT_V", [x, ints(1, 3), ints(2)], [x[:, :, :1], x[:, :, 1:]])
    for axis in (0, 2, 4):
        check("PACK", [x, x + 1], [np.stack((x, x + 1), axis)], axis=axis)
    for axis in (0, 1, 3):
        parts = [x.take(k, axis) for k in range(x.shape[axis])]
        check("UNPACK", [x], parts, axis=axis)
    sides = [(0, 0), (1, 2), (0, 3), (2, 0)]
    paddings = tensor((4, 2), "int32", data=sides)
    check("PAD", [x, paddings], [np.pad(x, sides)])
    seven = tensor((1,), dtype, data=[7])  # type: ignore[arg-type]
    check("PADV2", [x, paddings, seven], [np.pad(x, sides, constant_values=7)])


def test_mirrors_repeat_the_border_or_do_not() -> None:
    x = counted(2, 3, 4)
    for mode, most in (("REFLECT", 1), ("SYMMETRIC", 0)):
        sides = [(2 - most, 1), (3 - most, 0), (1, 4 - most)]
        paddings = tensor((3, 2), "int32", data=sides)
        mirrored = np.pad(x, sides, mode.lower())  # type: ignore[call-overload]
        check("MIRROR_PAD", [x, paddings], [mirrored], mode=mode)
        for before in (True, False):
            more = 3 - most + 1
            sides = [(0, 0), (more, 0) if before else (0, more), (0, 0)]
            graph = single(
                "MIRROR_PAD",
                [tensor(x.shape, "int16"), tensor((3, 2), "int32", data=sides)],
                tensor((2, 3 + more, 4), "int16"),
                mode=mode,
            )
            with pytest.raises(UnsupportedOp, match="mirrors more than the 3 elements"):
                kernel(graph)


def test_squares_of_pixels_become_channels_and_back() -> None:
    x = counted(1, 4, 6, 3)
    deep = x.reshape(1, 2, 2, 3, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(1, 2, 3, 12)
    check("SPACE_TO_DEPTH", [x], [deep], block_size=2)
    check("DEPTH_TO_SPACE", [deep], [x], block_size=2)


def test_padding_is_the_zero_point() -> None:
    graph = single("PAD", [tensor((1,), "int8", 0.5, -7), tensor((1, 2), "int32", data=[[1, 1]])],
                   tensor((3,), "int8", 0.5, -7))  # fmt: skip
    assert moved(graph, np.array([5], np.int8))[0].tolist() == [-7, 5, -7]


def test_a_gather_copies_runs() -> None:
    graph = single("GATHER", [tensor((2, 3, 4, 5), "int16"), ints(2, 0)],
                   tensor((2, 3, 2, 5), "int16"), axis=2)  # fmt: skip
    assert kernel(graph).body == "at_gather(x, index, y, 6, 2, 4, 10u);"


def test_what_is_one_piece_is_one_run() -> None:
    graph = single("SPLIT", [ints(1), tensor((1, 4, 6), "int16")],
                   [tensor((1, 2, 6), "int16")] * 2)  # fmt: skip
    ones = "{1, 1, 1, 1, 1}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}"
    assert kernel(graph).body.splitlines() == [
        f"at_move_box((const uint8_t *)x + {at}, y{k}, (at_layout){{{ones}}}, 24u);"
        for k, at in enumerate((0, 24))
    ]


# Ops of two tensors, reductions, products


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((2, 3, 4), (2, 3, 4), "{1, 1, 1, 1, 24}, {0, 0, 0, 0, 1}, {0, 0, 0, 0, 1}"),
        ((2, 3, 4), (4,), "{1, 1, 1, 6, 4}, {0, 0, 0, 4, 1}, {0, 0, 0, 0, 1}"),
        ((2, 3, 4), (1,), "{1, 1, 1, 1, 24}, {0, 0, 0, 0, 1}, {0, 0, 0, 0, 0}"),
        ((2, 1, 4), (1, 3, 4), "{1, 1, 2, 3, 4}, {0, 0, 4, 0, 1}, {0, 0, 0, 4, 1}"),
        ((1, 1), (1, 1), "{1, 1, 1, 1, 1}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}"),
        ((1, 5), (3, 1, 5), "{1, 1, 1, 3, 5}, {0, 0, 0, 0, 1}, {0, 0, 0, 5, 1}"),
    ],
)
def test_inputs_are_repeated_by_steps_of_nothing(
    a: tuple[int, ...], b: tuple[int, ...], expected: str
) -> None:
    y = np.broadcast_shapes(a, b)
    graph = single("MUL", [tensor(a, "float32"), tensor(b, "float32")], tensor(y, "float32"))
    found = kernel(graph)
    assert f"(at_broadcast){{{expected}}}" in found.body
    whole = {(name, "y") for name, shape in zip("ab", (a, b), strict=True) if shape == y}
    assert set(found.overlaps) == whole


@pytest.mark.parametrize(
    ("axes", "parts", "count"),
    [
        ((1, 2), "2, 12, 5, 1, 1", 12),
        ((0,), "1, 2, 60, 1, 1", 2),
        ((3,), "24, 5, 1, 1, 1", 5),
        ((0, 2), "1, 2, 3, 4, 5", 8),
        ((1, 3), "2, 3, 4, 5, 1", 15),
        ((0, 1, 2, 3), "1, 120, 1, 1, 1", 120),
    ],
)
def test_kept_and_reduced_dimensions_take_turns(
    axes: tuple[int, ...], parts: str, count: int
) -> None:
    shape = (2, 3, 4, 5)
    kept = tuple(n for k, n in enumerate(shape) if k not in axes)
    x, y = tensor(shape, "float32"), tensor(kept, "float32")
    assert kernel(single("MEAN", [x, ints(*axes)], y)).body == (
        f"at_sum_over_f32(x, y, (at_reduced){{{parts}}}, {count}.0f);"
    )
    assert kernel(single("SUM", [x, ints(*axes)], y)).body.endswith(", 1.0f);")
    for kind, name in (("REDUCE_MAX", "maximum"), ("REDUCE_MIN", "minimum")):
        body = kernel(single(kind, [x, ints(*axes)], y)).body
        assert body == f"at_{name}_over_f32(x, y, (at_reduced){{{parts}}});"


@pytest.mark.parametrize(("count", "real"), [(7, 1 / 7), (1, 1.0), (4, 0.25), (100, 0.01)])
def test_the_division_of_a_mean_is_part_of_its_multiplier(count: int, real: float) -> None:
    graph = single("MEAN", [tensor((1, count), "int8", 0.5, -3), ints(1)],
                   tensor((1,), "int8", 0.5, 4))  # fmt: skip
    *_, zero, multiplier, shift, out_zero = re.findall(r"-?\d+", kernel(graph).body)
    assert (int(zero), int(out_zero)) == (3 * count, 4)
    found = int(multiplier) * 2.0 ** (int(shift) - 31)
    assert real * (1 - 2.0**-23) < found <= real
    assert 0 < int(multiplier) < 1 << 31


def test_the_place_of_the_largest_is_sought_along_one_dimension() -> None:
    x = tensor((2, 3, 4, 5), "float32")
    rows: tuple[tuple[str, DType, str, int], ...] = (
        ("ARG_MAX", "int32", "s32", 1),
        ("ARG_MIN", "int64", "s64", 0),
    )
    for kind, dtype, bits, largest in rows:
        graph = single(kind, [x, ints(-2)], tensor((2, 3, 5), dtype))
        assert kernel(graph).body == f"at_arg_f32_{bits}(x, y, 6, 4, 5, {largest});"


@pytest.mark.parametrize(
    ("a", "b", "options", "expected"),
    [
        ((2, 3), (3, 4), {}, "{1, 1, 1}, {0, 0, 0}, {0, 0, 0}, 2, 4, 3, 3, 1, 4, 1"),
        ((5, 2, 3), (3, 4), {}, "{1, 1, 5}, {0, 0, 6}, {0, 0, 0}, 2, 4, 3, 3, 1, 4, 1"),
        (
            (7, 1, 3, 2),
            (5, 4, 3),
            {"adj_x": True, "adj_y": True},
            "{1, 7, 5}, {0, 6, 0}, {0, 0, 12}, 2, 4, 3, 1, 2, 1, 3",
        ),
    ],
)
def test_matrices_lie_as_their_options_say(
    a: tuple[int, ...], b: tuple[int, ...], options: dict[str, bool], expected: str
) -> None:
    x = np.zeros(a).swapaxes(-1, -2) if options else np.zeros(a)
    y = (x @ (np.zeros(b).swapaxes(-1, -2) if options else np.zeros(b))).shape
    graph = single("BATCH_MATMUL", [tensor(a, "float32"), tensor(b, "float32")],
                   tensor(y, "float32"), **options)  # type: ignore[arg-type] # fmt: skip
    assert f"(at_product_shape){{{expected}}}" in kernel(graph).body


# Resizing


def resized(kind: str, size: int, out: int, dtype: DType = "int8", **options: Any) -> Kernel:
    x, y = tensor((1, size, 1, 1), dtype, 0.5), tensor((1, out, 1, 1), dtype, 0.5)
    return kernel(single(kind, [x, ints(out, 1)], y, **options))


@pytest.mark.parametrize(
    ("size", "out", "options", "rows"),
    [
        (4, 2, {}, [0, 2]),
        (2, 4, {}, [0, 0, 1, 1]),
        (3, 5, {"align_corners": True}, [0, 1, 1, 2, 2]),
        (3, 1, {"align_corners": True}, [0]),
        (3, 2, {"half_pixel_centers": True}, [0, 2]),
        (2, 5, {"half_pixel_centers": True}, [0, 0, 1, 1, 1]),
    ],
)
def test_the_nearest_pixel(size: int, out: int, options: dict[str, Any], rows: list[int]) -> None:
    assert tables(resized("RESIZE_NEAREST_NEIGHBOR", size, out, **options))["rows"] == rows


@pytest.mark.parametrize(
    ("size", "out", "options", "places"),
    [
        (2, 4, {}, [0, 0.5, 1, 1.5]),
        (3, 2, {"align_corners": True}, [0, 2]),
        (3, 5, {"align_corners": True}, [0, 0.5, 1, 1.5, 2]),
        (3, 1, {"align_corners": True}, [0]),
        (2, 4, {"half_pixel_centers": True}, [-0.25, 0.25, 0.75, 1.25]),
        (4, 2, {"half_pixel_centers": True}, [0.5, 2.5]),
    ],
)
def test_pixels_between_which_a_row_lies(
    size: int, out: int, options: dict[str, Any], places: list[float]
) -> None:
    before = [max(int(np.floor(at)), 0) for at in places]
    behind = [min(int(np.ceil(at)), size - 1) for at in places]
    distance = [at - b for at, b in zip(places, before, strict=True)]
    stored = tables(resized("RESIZE_BILINEAR", size, out, **options))["rows"]
    assert stored == [[a, b, 1024 * d] for a, b, d in zip(before, behind, distance, strict=True)]
    real = tables(resized("RESIZE_BILINEAR", size, out, "float32", **options))
    assert real["rows"] == [list(pair) for pair in zip(before, behind, strict=True)]
    assert real["v_of"] == distance


# What may lie over what


def elementwise(kind: str, source: DType, result: DType, **options: Any) -> Kernel:
    scales = {"int8": 1 / 256, "int16": 1 / 32768}
    zero = -128 if kind == "SOFTMAX" and result == "int8" else 0
    y = tensor((1, 8), result, scales.get(result, 0.5), zero)
    return kernel(single(kind, [tensor((1, 8), source, 0.5)], y, **options))


@pytest.mark.parametrize(
    ("kind", "source", "result", "over"),
    [
        ("RELU", "float32", "float32", True),
        ("RELU", "int8", "int8", True),
        ("RELU", "int16", "int16", True),
        ("LOG_SOFTMAX", "float32", "float32", True),
        ("QUANTIZE", "float32", "int8", True),
        ("QUANTIZE", "float32", "int16", True),
        ("QUANTIZE", "int16", "int8", True),
        ("QUANTIZE", "int8", "int8", True),
        ("QUANTIZE", "int8", "int16", False),
        ("DEQUANTIZE", "int8", "float32", False),
        ("CAST", "float32", "int8", True),
        ("CAST", "int32", "float32", True),
        ("CAST", "int8", "int16", False),
        ("CAST", "bool", "float32", False),
        ("SOFTMAX", "int8", "int8", True),
        ("SOFTMAX", "int16", "int16", True),
        ("SOFTMAX", "float32", "float32", True),
    ],
)
def test_results_that_are_no_wider_may_replace_their_input(
    kind: str, source: DType, result: DType, over: bool
) -> None:
    options = {"beta": 1.0} if kind == "SOFTMAX" else {}
    found = elementwise(kind, source, result, **options)
    assert found.overlaps == ({("x", "y"): Overlap()} if over else {})


@pytest.mark.parametrize(
    ("size", "stride", "over"), [(2, 2, True), (2, 3, True), (3, 2, False), (1, 1, True)]
)
def test_windows_that_do_not_meet_may_replace_their_input(
    size: int, stride: int, over: bool
) -> None:
    net = Network(9, 9, 4)
    graph = net.graph(net.pool(0, size=size, stride=stride))
    assert bool(kernel(graph).overlaps) == over
    for side in "hw":
        (op,) = graph.ops
        one = replace(op, options={**op.options, f"stride_{side}": 1})
        y = list(graph.tensors[1].shape)
        y[1 + "hw".index(side)] = 9 - size + 1
        tensors = (graph.tensors[0], replace(graph.tensors[1], shape=tuple(y)))
        other = replace(graph, tensors=tensors, ops=(one,))
        assert bool(kernel(other).overlaps) == (size == 1)


def unread(net: Network, over: int, stride: int, ring: bool, block: int) -> int:
    """The room behind the start of the input, byte by byte, pixel by pixel, as it is read."""
    _, h, w, c = net.tensors[0].shape
    _, rows, columns, n = net.tensors[-1].shape
    pad = (max((rows - 1) * stride + over - h, 0)) // 2
    rooms = [h * w * c]
    for last in range(block - 1, rows * columns - 1, block):
        written = (last + 1) * n
        if ring:
            loaded = last // columns * stride - pad + over
            if loaded < h:
                rooms.append(max(loaded, 0) * w * c - written)
        else:
            later = [divmod(k, columns) for k in range(last + 1, rows * columns)]
            first = min((r * w + q) * stride * c for r, q in later)
            rooms.append(first - written)
    return min(rooms)


@pytest.mark.parametrize(
    ("size", "channels", "k", "stride", "padding"),
    [
        ((6, 5, 8), 4, 3, 1, "SAME"),
        ((6, 5, 4), 12, 3, 1, "SAME"),
        ((9, 7, 8), 8, 3, 2, "SAME"),
        ((6, 5, 8), 8, 3, 1, "VALID"),
        ((9, 8, 4), 8, 3, 2, "VALID"),
        ((7, 7, 4), 4, 1, 2, "VALID"),
    ],
)
def test_a_block_may_be_written_where_all_has_been_read(
    size: tuple[int, int, int], channels: int, k: int, stride: int, padding: str
) -> None:
    net = Network(*size)
    graph = net.graph(net.conv(0, channels, k, stride, padding))
    for rows, columns in ((2, 4), (4, 2)):
        step = Step((0,), Blocks(rows, columns))
        (found,) = kernels_of(graph, replace(plain_schedule(graph), steps=(step,)))
        expected = unread(net, k, stride, "ring," in found.body, rows)
        assert found.overlaps == {("x", "y"): Overlap(expected)}
    assert ("ring," in found.body) == (padding == "SAME")


def test_rows_in_place_leave_those_to_come() -> None:
    net = Network(6, 5, 8)
    graph = net.graph(net.conv(0, 16, 3, 1))
    (found,) = kernels_of(graph, replace(plain_schedule(graph), steps=(Step((0,), in_place=True),)))
    # after row r, rows up to r + 1 have been read and r + 1 rows written: the least at row 3
    rooms = [(r + 2) * 40 - (r + 1) * 80 for r in range(4)]
    assert found.overlaps == {("x", "y"): Overlap(min(rooms))}
    assert [o.what.bytes for o in found.operands if o.name == "kept"] == [3 * 40]  # type: ignore[union-attr]
    assert "r < 6; r++, y += 80)" in found.body


# Whole programs


def test_numbers_are_written_so_that_c_reads_the_same() -> None:
    def texts(dtype: DType, values: list[Any]) -> list[str]:
        x = tensor((1, len(values)), dtype)
        kind = "ADD" if dtype in ("int32", "float32") else "CONCATENATION"
        options: dict[str, Any] = {"axis": 0} if kind == "CONCATENATION" else {}
        shape = (1, len(values)) if kind == "ADD" else (2, len(values))
        constant = tensor((1, len(values)), dtype, data=values)
        graph = single(kind, [x, constant], tensor(shape, dtype), **options)
        text = generate(graph, plain_schedule(graph)).files["weights.c"]
        return text.partition("= {\n")[2].partition(",\n};")[0].split(", ")

    def stripped(texts: list[str]) -> list[str]:
        return [text.strip() for text in texts]

    ends = [-(2**31), 2**31 - 1, -5]
    assert stripped(texts("int32", ends)) == ["(-2147483647 - 1)", "2147483647", "-5"]
    assert stripped(texts("int64", [-(2**63), 2**63 - 1, -(2**31)])) == [
        "INT64_MIN", "INT64_C(9223372036854775807)", "INT64_C(-2147483648)",
    ]  # fmt: skip
    assert stripped(texts("bool", [True, False])) == ["1", "0"]
    assert stripped(texts("int8", [-128, 127])) == ["-128", "127"]
    reals = [np.nan, np.inf, -np.inf, 1.5, 1e-45, np.float32(0.1)]
    found = stripped(texts("float32", reals))
    assert found[:3] == ["AT_NAN", "AT_INFINITY", "-AT_INFINITY"]
    assert all(text.endswith("f") for text in found[3:])
    assert [np.float32(text[:-1]) for text in found[3:]] == [np.float32(v) for v in reals[3:]]


@pytest.mark.parametrize(("dtype", "most"), [("int8", 16), ("int16", 16), ("float32", 8)])
def test_a_line_holds_as_many_numbers(dtype: DType, most: int) -> None:
    shape = (1, 40)
    constant = tensor(shape, dtype, data=np.ones(shape))
    graph = single("CONCATENATION", [tensor(shape, dtype), constant], tensor((2, 40), dtype),
                   axis=0)  # fmt: skip
    text = generate(graph, plain_schedule(graph)).files["weights.c"]
    lines = [line.count(",") for line in text.splitlines() if line.startswith("  ")]
    assert lines == [most] * (40 // most) + [40 % most] * (40 % most > 0)


def two_ports() -> Graph:
    a, b = tensor((1, 3), "int8", 0.5, -3), tensor((1, 3), "float32")
    y, z = tensor((1, 3), "float32", name="y"), tensor((1, 3), "float32", name="z")
    ops = (Op("DEQUANTIZE", (0,), (2,)), Op("RELU", (1,), (3,)))
    return Graph((a, b, y, z), ops, (0, 1), (2, 3))


def test_the_header_tells_of_every_port() -> None:
    graph = two_ports()
    sources = generate(graph, plain_schedule(graph), "net", comment="first\n\nsecond")
    header = sources.files["net.h"]
    head = f"// Generated by autotiny {__version__}.\n// {LICENSE}\n"
    assert header.startswith(f"{head}// first\n//\n// second\n#ifndef NET_H")
    for line in (
        f"NET_ARENA_BYTES {sources.arena_bytes}", "NET_INPUT_SIZE 3", "NET_INPUT_SHAPE {1, 3}",
        "NET_INPUT_TYPE int8_t", "NET_INPUT_SCALE 5.e-01f", "NET_INPUT_ZERO_POINT (-3)",
        "NET_INPUT1_TYPE float", "NET_OUTPUT_TYPE float", "NET_OUTPUT1_SIZE 3",
        f"NET_OUTPUT1_OFFSET {sources.outputs[1].offset}",
    ):  # fmt: skip
        assert f"#define {line}\n" in header
    assert "NET_INPUT1_SCALE" not in header
    assert "net_reset" not in header
    signature = "int net_invoke(const int8_t *in, const float *in1, float *out, float *out1)"
    assert f"{signature};" in header
    body = sources.files["net.c"].partition(signature)[2]
    assert f"at_copy(net_arena + {sources.inputs[0].offset}, in, 3u);" in body
    assert f"at_copy(net_arena + {sources.inputs[1].offset}, in1, 12u);" in body
    assert f"at_copy(out1, net_arena + {sources.outputs[1].offset}, 12u);" in body
    assert set(sources.files) >= {"net.h", "net.c", "net_weights.c", "port.h", "unary.h"}
    assert sources.steps == ("dequantize 3", "relu 3")


@pytest.mark.parametrize("name", ["", "1a", "a-b", "ä", "a b"])
def test_a_name_is_one_of_c(name: str) -> None:
    graph = two_ports()
    with pytest.raises(UserError, match="must be a C identifier"):
        generate(graph, plain_schedule(graph), name)
    assert "_A1.h" in generate(graph, plain_schedule(graph), "_A1").files


@pytest.mark.parametrize("name", ["main", "weights", "port", "Port", "at_x", "AT_copy", "string"])
def test_a_name_is_not_that_of_another_file(name: str) -> None:
    with pytest.raises(UserError, match=f"choose another one, e.g. 'my_{name}'"):
        generate(two_ports(), plain_schedule(two_ports()), name)


def test_equal_constants_and_bodies_are_written_once() -> None:
    weights = np.ones((3, 3), np.float32)
    x, w = tensor((1, 3), "float32"), tensor((3, 3), "float32", data=weights)
    layer = {"fused_activation_function": "NONE"}
    ops = (
        Op("FULLY_CONNECTED", (0, 1), (3,), layer),
        Op("FULLY_CONNECTED", (3, 2), (4,), layer),
    )
    same = Graph((x, w, w, x, x), ops, (0,), (4,))
    sources = generate(same, plain_schedule(same))
    assert sources.files["model.c"].count("AT_STEP void") == 1
    assert sources.weights_bytes == 3 * 3 * 4 + 3 * 4
    assert sources.step_weights_bytes == (48, 0)
    other = replace(w, data=2 * weights)
    two = replace(same, tensors=(x, w, other, x, x))
    assert generate(two, plain_schedule(two)).step_weights_bytes == (48, 36)


def test_headers_bring_those_they_include() -> None:
    sources = generate(two_ports(), plain_schedule(two_ports()))
    for name, text in sources.files.items():
        if name in ("port.h", "unary.h", "quantize.h"):
            assert text == kernel_text(name)
        for included in re.findall(r'#include "([^"]+)"', text):
            assert included in sources.files


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (single("RELU", [tensor((1, 6), "float32")], tensor((1, 6), "float32")), 12),
        (
            single(
                "FULLY_CONNECTED",
                [tensor((3, 4), "float32"), tensor((5, 4), "float32", data=np.ones((5, 4))),
                 tensor((5,), "float32", data=np.ones(5))],
                tensor((3, 5), "float32"),
            ),
            3 * 20 + 12 + 20 + 5 + 15,  # for each row all weights; and all elements
        ),
        (
            single(
                "BATCH_MATMUL",
                [tensor((2, 3), "float32"), tensor((3, 4), "float32")],
                tensor((2, 4), "float32"),
            ),
            3 * 12 + 6 + 12 + 8,
        ),
        (single("RELU", [tensor((), "float32")], tensor((), "float32")), 2),
    ],
)  # fmt: skip
def test_work_counts_products_and_elements(graph: Graph, expected: int) -> None:
    assert work_of(graph) == expected


def test_types_that_are_moved_are_those_of_memory() -> None:
    one: Callable[[DType], Tensor] = lambda dtype: tensor((1, 2), dtype)  # noqa: E731
    for dtype in DTYPES:
        graph = single("CONCATENATION", [one(dtype), one(dtype)], tensor((2, 2), dtype), axis=0)
        size = one(dtype).bytes
        assert f"{size}u);" in kernel(graph).body
    scaled = replace(tensor((1, 2), "int8"), quantization=Quantization((0.5,), (1,)))
    with pytest.raises(UnsupportedOp, match="is not that of its input"):
        kernel(single("CONCATENATION", [one("int8"), scaled], tensor((2, 2), "int8"), axis=0))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_pooled_output_waits_for_the_rows_of_its_window(stride: int) -> None:
    net = Network(17, 16, 8)
    graph = net.graph(net.pool(net.conv(0, 16, 3, stride)))
    step = Step((0, 1), Blocks(4, 2))
    (found,) = kernels_of(graph, replace(plain_schedule(graph), steps=(step,)))
    assert "ring," in found.body
    rows, columns = -(-17 // stride) // 2, -(-16 // stride) // 2
    rooms = [17 * 16 * 8]
    for last in range(rows * columns - 1):
        # two rows of the convolution, 3 rows of the input each, the first one row of padding
        loaded = last // columns * 2 * stride - 1 + stride + 3
        if loaded < 17:
            rooms.append(loaded * 16 * 8 - (last + 1) * 16)
    assert found.overlaps == {("x", "y"): Overlap(min(rooms))}
