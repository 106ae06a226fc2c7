"""Shapes that fit together are computed, and what is one element off is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from build import single, tensor

from autotiny.engine import check_supported
from autotiny.engine.declared import MOST_DIMENSIONS
from autotiny.engine.layers.window import padding_before
from autotiny.engine.ops.boxes import steps
from autotiny.engine.shapes import MOST_CHANNELS
from autotiny.errors import UnsupportedOp
from autotiny.graph import DType, Graph, Quantization, Tensor

Shape = tuple[int, ...]


def real(*shape: int, data: bool = False) -> Tensor:
    return tensor(shape, "float32", data=np.ones(shape) if data else None)


def ints(*values: int) -> Tensor:
    return tensor((len(values),), "int32", data=values)


def pairs(*values: Sequence[int]) -> Tensor:
    return tensor((len(values), 2), "int32", data=values)


def refused(text: str, graph: Graph) -> None:
    with pytest.raises(UnsupportedOp, match=text):
        check_supported(graph)


def one(kind: str, inputs: Sequence[Tensor | None], *results: Shape, **options: Any) -> Graph:
    dtype: DType = "int32" if kind == "ARG_MAX" else "float32"
    return single(kind, inputs, [tensor(shape, dtype) for shape in results], **options)


X = real(2, 3, 4)
TAKEN = (
    one("SLICE", [X, ints(0, 1, 2), ints(2, -1, 2)], (2, 2, 2)),
    one("SLICE", [X, ints(0, 0, 0), ints(2, 3, 4)], (2, 3, 4)),
    one("STRIDED_SLICE", [X, ints(0, 1), ints(2, 3), ints(1, 2)], (2, 1, 4)),
    one("STRIDED_SLICE", [X, ints(1), ints(2), ints(1)], (3, 4), shrink_axis_mask=1),
    one("STRIDED_SLICE", [X, ints(-2), ints(-1), ints(1)], (3, 4), shrink_axis_mask=1),
    one("STRIDED_SLICE", [X, ints(1, 1), ints(1, 1), ints(1, 1)], (2, 3, 4), begin_mask=3,
        end_mask=3),
    one("STRIDED_SLICE", [X, ints(0, 1), ints(2, 2), ints(1, 1)], (2, 2, 4), offset=True),
    one("STRIDED_SLICE", [X, ints(0, 2), ints(2, 0), ints(1, -1)], (2, 2, 4)),
    one("TRANSPOSE", [X, ints(2, 0, 1)], (4, 2, 3)),
    one("TRANSPOSE", [X, ints(-1, 0, -2)], (4, 2, 3)),
    one("CONCATENATION", [X, real(2, 5, 4)], (2, 8, 4), axis=1),
    one("CONCATENATION", [X, real(2, 5, 4)], (2, 8, 4), axis=-2),
    one("SPLIT", [ints(1), X], (2, 1, 4), (2, 1, 4), (2, 1, 4)),
    one("SPLIT_V", [X, ints(1, 2), ints(1)], (2, 1, 4), (2, 2, 4)),
    one("SPLIT_V", [X, ints(1, -1), ints(-2)], (2, 1, 4), (2, 2, 4)),
    one("PACK", [X, X], (2, 3, 2, 4), axis=2),
    one("UNPACK", [X], (2, 4), (2, 4), (2, 4), axis=1),
    one("PAD", [X, pairs((0, 0), (1, 2), (3, 0))], (2, 6, 7)),
    one("GATHER", [X, ints(0, 2)], (2, 2, 4), axis=1),
    one("SPACE_TO_DEPTH", [real(1, 4, 6, 2)], (1, 2, 3, 8), block_size=2),
    one("DEPTH_TO_SPACE", [real(1, 2, 3, 8)], (1, 4, 6, 2), block_size=2),
    one("SUM", [X, ints(-1)], (2, 3)),
    one("SUM", [X, ints(0, 1)], (1, 1, 4)),
    one("ARG_MAX", [X, ints(1)], (2, 4)),
    one("BATCH_MATMUL", [real(2, 3, 4), real(2, 4, 5)], (2, 3, 5)),
    one("BATCH_MATMUL", [real(2, 4, 3), real(1, 5, 4)], (2, 3, 5), adj_x=True, adj_y=True),
    one("RESIZE_BILINEAR", [real(1, 2, 2, 3), ints(4, 5)], (1, 4, 5, 3)),
    one("RESIZE_NEAREST_NEIGHBOR", [real(1, 2, 2, 1), ints(1, 32767)], (1, 1, 32767, 1)),
    one("ADD", [X, real(3, 1)], (2, 3, 4)),
    one("RELU", [X], (6, 4)),
    one("SOFTMAX", [X], (2, 3, 4), beta=1.0),
)  # fmt: skip

REFUSED = (
    ("leave", one("SLICE", [X, ints(0, 1, 3), ints(2, -1, 2)], (2, 2, 2))),
    ("leave", one("SLICE", [X, ints(-1, 0, 0), ints(2, 3, 4)], (2, 3, 4))),
    ("is sliced to", one("SLICE", [X, ints(0, 1, 2), ints(2, 1, 2)], (2, 2, 2))),
    ("is sliced to", one("SLICE", [X, ints(0, 0, 2), ints(2, -1, 2)], (2, 2, 2))),
    ("is not sliced by", one("SLICE", [X, ints(0, 1), ints(2, -1, 2)], (2, 2, 2))),
    ("is not sliced by", one("SLICE", [X, ints(0, 1, 2), ints(2, -1, 2)], (2, 2))),
    ("operands have", one("SLICE", [X, ints(0, 1, 2), ints(2, -1)], (2, 2, 2))),
    ("in steps of", one("STRIDED_SLICE", [X, ints(0), ints(2), ints(0)], (2, 3, 4))),
    ("in steps of", one("STRIDED_SLICE", [X, *[ints(0, 0, 0, 0)] * 2, ints(1, 1, 1, 1)], (2,))),
    ("gives", one("STRIDED_SLICE", [X, ints(0), ints(1), ints(1)], (2, 3, 4))),
    (
        "index 2 leaves",
        one("STRIDED_SLICE", [X, ints(2), ints(3), ints(1)], (3, 4), shrink_axis_mask=1),
    ),
    (
        "index -3 leaves",
        one("STRIDED_SLICE", [X, ints(-3), ints(3), ints(1)], (3, 4), shrink_axis_mask=1),
    ),
    ("is no order of", one("TRANSPOSE", [X, ints(2, 0, 0)], (4, 2, 2))),
    ("axis 3 of 3", one("TRANSPOSE", [X, ints(3, 0, 1)], (4, 2, 3))),
    ("axis -4 of 3", one("TRANSPOSE", [X, ints(-4, 0, 1)], (4, 2, 3))),
    ("is not transposed", one("TRANSPOSE", [X, ints(2, 0, 1)], (4, 3, 2))),
    ("do not fill", one("CONCATENATION", [X, real(2, 5, 4)], (2, 9, 4), axis=1)),
    ("is no part of", one("CONCATENATION", [X, real(3, 5, 4)], (2, 8, 4), axis=1)),
    ("is no part of", one("CONCATENATION", [X, real(2, 5)], (2, 8, 4), axis=1)),
    ("axis has 2", one("SPLIT", [ints(1, 1), X], (2, 1, 4), (2, 2, 4))),
    ("its sizes are", one("SPLIT_V", [X, ints(2, 1), ints(1)], (2, 1, 4), (2, 2, 4))),
    ("operands have", one("SPLIT_V", [X, ints(3), ints(1)], (2, 1, 4), (2, 2, 4))),
    ("3 tensors make", one("PACK", [X, X], (2, 3, 3, 4), axis=2)),
    ("is no layer of", one("PACK", [X, X], (2, 3, 2, 5), axis=2)),
    ("3 tensors make", one("UNPACK", [X], (2, 4), (2, 4), axis=1)),
    ("padded by", one("PAD", [X, pairs((0, 0), (1, 2), (3, 0))], (2, 6, 8))),
    ("padded by", one("PAD", [X, pairs((0, 0), (3, -1), (0, 0))], (2, 5, 4))),
    ("its paddings are", one("PAD", [X, pairs((0, 0), (1, 2))], (2, 6, 4))),
    ("an index leaves", one("GATHER", [X, ints(0, 3)], (2, 2, 4), axis=1)),
    ("an index leaves", one("GATHER", [X, ints(0, -1)], (2, 2, 4), axis=1)),
    ("gathered by", one("GATHER", [X, ints(0, 2)], (2, 3, 4), axis=1)),
    ("by blocks of 2", one("SPACE_TO_DEPTH", [real(1, 4, 6, 2)], (1, 2, 3, 6), block_size=2)),
    ("by blocks of 2", one("SPACE_TO_DEPTH", [real(1, 5, 6, 2)], (1, 2, 3, 8), block_size=2)),
    ("by blocks of 2", one("DEPTH_TO_SPACE", [real(1, 2, 3, 9)], (1, 4, 6, 2), block_size=2)),
    ("reducing", one("SUM", [X, ints(-1)], (2, 4))),
    ("axis has 2", one("ARG_MAX", [X, ints(1, 2)], (2,))),
    ("reducing", one("ARG_MAX", [X, ints(1)], (2, 3))),
    ("is not", one("BATCH_MATMUL", [real(2, 3, 4), real(2, 5, 4)], (2, 3, 5))),
    ("is not", one("BATCH_MATMUL", [real(2, 3, 4), real(2, 4, 5)], (1, 3, 5))),
    ("do not broadcast", one("BATCH_MATMUL", [real(2, 3, 4), real(3, 4, 5)], (2, 3, 5))),
    ("does not become", one("RESIZE_BILINEAR", [real(1, 2, 2, 3), ints(4, 5)], (1, 4, 5, 2))),
    ("its size is", one("RESIZE_BILINEAR", [real(1, 2, 2, 3), ints(5, 4)], (1, 4, 5, 3))),
    (
        "more than 32767 rows",
        one("RESIZE_NEAREST_NEIGHBOR", [real(1, 2, 2, 1), ints(1, 32768)], (1, 1, 32768, 1)),
    ),
    ("do not broadcast", one("ADD", [X, real(3, 2)], (2, 3, 4))),
    ("do not broadcast", one("ADD", [X, real(3, 1)], (2, 3, 5))),
    ("does not become", one("RELU", [X], (6, 5))),
    ("does not become", one("SOFTMAX", [X], (6, 4), beta=1.0)),
)


def test_shapes_that_fit_are_computed() -> None:
    for graph in TAKEN:
        check_supported(graph)


def test_shapes_that_do_not_fit_are_refused() -> None:
    for text, graph in REFUSED:
        refused(f"op 0 {graph.ops[0].kind} .*{text}", graph)


def windowed(kind: str, x: Shape, window: tuple[int, int], y: Shape, **options: Any) -> Graph:
    """A convolution or pooling of strides 1, if no others are given."""
    usual = {"stride_h": 1, "stride_w": 1, "padding": "VALID", **options}
    if kind == "MAX_POOL_2D":
        usual |= {"filter_height": window[0], "filter_width": window[1]}
        return one(kind, [real(*x)], y, **usual)
    if kind == "DEPTHWISE_CONV_2D":
        return one(kind, [real(*x), real(1, *window, y[3], data=True)], y, **usual)
    depth = int(usual.pop("depth", x[3]))
    return one(kind, [real(*x), real(y[3], *window, depth, data=True)], y, **usual)


@pytest.mark.parametrize(
    ("x", "window", "y", "options", "fits"),
    [
        ((1, 5, 6, 1), (3, 2), (1, 3, 5, 1), {}, True),
        ((1, 5, 6, 1), (3, 2), (1, 3, 5, 2), {}, False),
        ((1, 5, 6, 1), (3, 2), (1, 4, 5, 1), {}, False),
        ((1, 5, 6, 1), (3, 2), (1, 3, 6, 1), {}, False),
        ((1, 5, 6, 1), (3, 2), (1, 5, 6, 1), {"padding": "SAME"}, True),
        ((1, 5, 6, 1), (3, 2), (1, 3, 3, 1), {"padding": "SAME", "stride_h": 2, "stride_w": 2}, 1),
        ((1, 5, 6, 1), (3, 2), (1, 2, 3, 1), {"stride_h": 2, "stride_w": 2}, True),
        ((1, 5, 6, 1), (3, 2), (1, 2, 5, 1), {"stride_h": 2}, True),
        ((1, 5, 6, 1), (5, 6), (1, 1, 1, 1), {}, True),
        ((2, 5, 6, 1), (3, 2), (2, 3, 5, 1), {}, False),
    ],
)
def test_a_window_has_as_many_places_as_the_result(
    x: Shape, window: tuple[int, int], y: Shape, options: dict[str, Any], fits: bool
) -> None:
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D"):
        graph = windowed(kind, x, window, y, **options)
        if fits or (y[3] == 2 and kind != "MAX_POOL_2D"):  # two channels have weights of their own
            check_supported(graph)
        else:
            refused("its window gives|only .1, height, width, channels. is computed", graph)


def test_a_dilated_window_reaches_further() -> None:
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        for side, y in (("h", (1, 1, 5, 1)), ("w", (1, 3, 4, 1))):
            check_supported(
                windowed(kind, (1, 5, 6, 1), (3, 2), y, **{f"dilation_{side}_factor": 2})
            )
            refused(
                "its window gives",
                windowed(kind, (1, 5, 6, 1), (3, 2), y, **{f"dilation_{side}_factor": 1}),
            )


@pytest.mark.parametrize(
    ("kind", "x", "y", "options", "text"),
    [
        ("CONV_2D", 4, 6, {"depth": 2}, ""),
        ("CONV_2D", 4, 5, {"depth": 2}, "do not fall into groups of 2"),
        ("CONV_2D", 4, 6, {"depth": 3}, "do not fall into groups of 3"),
        ("DEPTHWISE_CONV_2D", 4, 8, {}, ""),
        ("DEPTHWISE_CONV_2D", 4, 6, {}, "do not fit"),
    ],
)
def test_channels_fall_into_groups(
    kind: str, x: int, y: int, options: dict[str, int], text: str
) -> None:
    graph = windowed(kind, (1, 2, 2, x), (1, 1), (1, 2, 2, y), **options)
    if text:
        refused(text, graph)
    else:
        check_supported(graph)


def dense(rows: int, depth: int, out: int, **changed: Tensor) -> Graph:
    x, w = real(rows, depth), real(out, depth, data=True)
    tensors = {"x": x, "w": w, "b": real(out, data=True), "y": real(rows, out), **changed}
    return single("FULLY_CONNECTED", [tensors[k] for k in "xwb"], tensors["y"])


def test_a_dense_layer_is_a_product_of_matrices() -> None:
    check_supported(dense(2, 3, 4))
    check_supported(dense(2, 3, 4, x=real(1, 6)))
    refused("is not", dense(2, 3, 4, x=real(2, 4)))
    refused("is not", dense(2, 3, 4, y=real(2, 5)))
    refused("is not", dense(2, 3, 4, x=real(3, 3)))
    refused("it has 3 biases for 4 channels", dense(2, 3, 4, b=real(3, data=True)))


def test_scales_are_one_or_one_a_channel() -> None:
    assert MOST_CHANNELS == 1 << 20
    for count, fits in ((1, True), (4, True), (3, False)):
        graph = single(
            "FULLY_CONNECTED",
            [
                tensor((1, 3), "int8", 0.5),
                tensor((4, 3), "int8", 0.5, data=np.ones((4, 3))),
                tensor((4,), "int32", 0.25, data=np.ones(4)),
            ],
            tensor((1, 4), "int8", 0.5),
        )
        tensors = list(graph.tensors)
        scales = Quantization((0.5,) * count, (0,) * count)
        tensors[1] = replace(tensors[1], quantization=scales)
        graph = replace(graph, tensors=tuple(tensors))
        if fits:
            check_supported(graph)
        else:
            refused("its weights have 3 scales for 4 channels", graph)


def upward(out: Shape = (1, 6, 6, 2), size: Shape | None = None, **options: Any) -> Graph:
    """A TRANSPOSE_CONV from 3 × 3 pixels of 4 channels, its window 2 × 2."""
    usual = {"stride_h": 2, "stride_w": 2, "padding": "VALID", **options}
    inputs = [ints(*(size or out)), real(2, 2, 2, 4, data=True), real(1, 3, 3, 4)]
    return single("TRANSPOSE_CONV", inputs, real(*out), **usual)


def test_a_transposed_convolution_has_the_size_that_a_convolution_comes_from() -> None:
    check_supported(upward())
    check_supported(upward((1, 7, 6, 2)))  # the last row is beyond all windows
    check_supported(upward((1, 5, 6, 2), padding="SAME"))
    check_supported(upward((1, 6, 4, 2), stride_w=1))
    refused("has not 3 places", upward((1, 8, 6, 2)))
    refused("has not 3 places", upward((1, 6, 5, 2)))
    refused("has not 3 places", upward((1, 4, 6, 2), padding="SAME"))
    refused("its shape is", upward(size=(1, 6, 7, 2)))
    refused("does not give", upward((1, 6, 6, 3)))


@pytest.mark.parametrize(
    ("size", "out", "window", "stride", "step", "padding", "before"),
    [
        (5, 5, 3, 1, 1, "SAME", 1),
        (5, 5, 3, 1, 1, "VALID", 0),
        (5, 5, 4, 1, 1, "SAME", 1),  # three, the larger half behind
        (5, 5, 3, 1, 2, "SAME", 2),
        (6, 3, 3, 2, 1, "SAME", 0),
        (5, 3, 3, 2, 1, "SAME", 1),
        (4, 2, 1, 2, 1, "SAME", 0),
    ],
)
def test_the_larger_half_of_padding_stands_behind(
    size: int, out: int, window: int, stride: int, step: int, padding: str, before: int
) -> None:
    assert padding_before(size, out, window, stride, step, padding) == before


def test_steps_are_those_of_numpy() -> None:
    array = np.zeros((2, 3, 4, 5), np.int16)
    assert tuple(steps(array.shape, 2)) == array.strides
    assert steps((), 4) == []


def test_tensors_have_eight_dimensions_and_no_more() -> None:
    assert MOST_DIMENSIONS == 8
    check_supported(one("RELU", [real(*(1,) * 8)], (1,) * 8))
    refused("dimensions are computed", one("RELU", [real(*(1,) * 9)], (1,) * 9))
