"""The window of a convolution or pooling over (1, height, width, channels)."""

from __future__ import annotations

from collections.abc import Mapping

from autotiny.engine.kernel import Site, initializer
from autotiny.graph import Graph, Op


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


def window_struct(fields: Mapping[str, int | str]) -> str:
    """The C value of an `at_window`."""
    return f"(at_window){initializer(**fields)}"


def groups(site: Site) -> int:
    """Of a convolution: into how many its channels fall; refused if they do not."""
    in_c, depth = site.input(0).shape[3], site.input(1).shape[3]
    if in_c % depth or site.input(1).shape[0] % (in_c // depth):
        site.refuse(f"{in_c} input channels do not fall into groups of {depth}")
    return in_c // depth


def multiple(site: Site) -> int:
    """Of a depthwise convolution: outputs of each channel; refused if they are not whole."""
    in_c, out_c = site.input(0).shape[3], site.input(1).shape[3]
    if out_c % in_c:
        site.refuse(f"{out_c} output channels are no multiple of {in_c} input channels")
    return out_c // in_c


def pooling_struct(site: Site) -> str:
    """The `at_window` of the max-pooling that is fused; its activation is part of the bounds."""
    (op,) = site.fused
    taps = op.integer("filter_height"), op.integer("filter_width")
    return window_struct(window_of(site.graph, op, *taps))
