"""Ops that only rename memory: the output is the input's, or a part of it, or joins its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from autotiny.engine import shapes
from autotiny.engine.declared import Declared, Emitter, Ignored, Takes, Values
from autotiny.engine.kernel import Kernel, Site, initializer
from autotiny.graph import DType, Graph, Op, Tensor, producers, read_once

MAKES_ANEW = (
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "AVERAGE_POOL_2D", "ADD",
    "SUB", "MUL", "PAD", "QUANTIZE", "RELU", "RELU6", "LOGISTIC", "TANH", "CONCATENATION",
)  # fmt: skip
"""Kinds whose output is memory of its own, never a view of another tensor."""

DTYPES: Final[tuple[DType, ...]] = (
    "int8", "uint8", "int16", "int32", "int64", "float32", "bool",
)  # fmt: skip
"""Types that can be moved and renamed, whatever they mean."""


def alias(site: Site) -> Kernel:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the same bytes under another shape."""
    source, result = site.input(0), site.output
    feeds_out = site.output_index in site.graph.outputs
    if source.data is not None or (feeds_out and site.op.inputs[0] in site.graph.inputs):
        body = f"at_copy(y, x, {result.bytes}u);"
        return Kernel(body=body, operands=(site.reads("x"), site.writes()))
    return Kernel(aliases={site.output_index: (site.op.inputs[0], 0)})


def as_part(site: Site, offset: int) -> Kernel | None:
    """The output as a part of the input, so many bytes behind its beginning.

    Kernels read words from any address, so the part may begin at any element.

    None if it is not one piece of it, or must be memory of its own.
    """
    index, graph = site.op.inputs[0], site.graph
    made = index in graph.inputs or index in producers(graph)
    if site.input(0).data is not None or not made or site.output_index in graph.outputs:
        return None
    if not _one_piece(site.output, site.input(0)):
        return None
    return Kernel(aliases={site.output_index: (index, offset)})


def as_whole(site: Site, offsets: list[int]) -> Kernel | None:
    """The inputs as parts of the output, each so many bytes behind its beginning.

    None if one is not one piece of it, or is more than that to another op.
    """
    graph, places = site.graph, {}
    made_by = producers(graph)
    for index, offset in zip(site.op.inputs, offsets, strict=True):
        tensor = graph.tensors[index]
        if tensor.data is not None or index in graph.inputs or index not in made_by:
            return None
        if made_by[index].kind not in MAKES_ANEW or not read_once(graph, index):
            return None
        if not _one_piece(tensor, site.output):
            return None
        places[index] = (site.output_index, offset)
    return Kernel(aliases=places)


def _one_piece(small: Tensor, large: Tensor) -> bool:
    """Whether a box of a tensor is one piece of its memory: whole behind its first dimension."""
    if len(small.shape) != len(large.shape):
        return False
    first = next((d for d, n in enumerate(small.shape) if n > 1), len(small.shape))
    return small.shape[first + 1 :] == large.shape[first + 1 :]


def padding_before(size: int, out: int, window: int, stride: int, step: int, padding: str) -> int:
    """Rows or columns of padding before the first; the rest of an odd number stands behind."""
    if padding == "VALID":
        return 0
    return max((out - 1) * stride + (window - 1) * step + 1 - size, 0) // 2


def window(site: Site, k_h: int, k_w: int) -> dict[str, int]:
    """The fields of `at_window` for a convolution or pooling over (1, H, W, C) with this window."""
    return window_of(site.graph, site.op, k_h, k_w)


def window_of(graph: Graph, op: Op, k_h: int, k_w: int) -> dict[str, int]:
    """The same for any op of a graph."""
    x, y = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    stride_h, stride_w, step_h, step_w = (
        op.option(name, 1)
        for name in ("stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor")
    )
    padding = op.option("padding", "VALID")
    explicit = padding == "EXPLICIT"
    _, in_h, in_w, in_c = x.shape
    _, out_h, out_w, out_c = y.shape
    return {
        "in_h": in_h,
        "in_w": in_w,
        "in_c": in_c,
        "out_h": out_h,
        "out_w": out_w,
        "out_c": out_c,
        "k_h": k_h,
        "k_w": k_w,
        "stride_h": stride_h,
        "stride_w": stride_w,
        "step_h": step_h,
        "step_w": step_w,
        "pad_top": op.integer("pad_top")
        if explicit
        else padding_before(in_h, out_h, k_h, stride_h, step_h, padding),
        "pad_left": op.integer("pad_left")
        if explicit
        else padding_before(in_w, out_w, k_w, stride_w, step_w, padding),
    }


def window_struct(fields: dict[str, int]) -> str:
    """The C value of an `at_window`."""
    return f"(at_window){initializer(**fields)}"


_SHAPE_OPTIONS: Final[Mapping[str, Mapping[str, Values]]] = {
    "RESHAPE": {"new_shape": Ignored(tuple)},
    "SQUEEZE": {"squeeze_dims": Ignored(tuple)},
    "EXPAND_DIMS": {},
}

RENAMING: Final[Mapping[tuple[str, str], Emitter]] = {
    (kind, dtype): Emitter(
        alias,
        Declared(
            inputs=(
                Takes("input", (dtype,)),
                Takes("shape", ("int32", "int64"), optional=True, empty=True),
            ),
            outputs=(Takes("result", (dtype,)),),
            shapes=shapes.same_size,
            options=options,
        ),
    )
    for kind, options in _SHAPE_OPTIONS.items()
    for dtype in DTYPES
}
"""(kind, arithmetic) → emitter."""
