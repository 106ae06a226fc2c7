"""Layers with a window computed row by row, so that the output may replace the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from autotiny.engine.kernel import Kernel, Operand, Overlap, Site, c_type, scratch
from autotiny.engine.layers.window import window, window_struct
from autotiny.graph import ITEM_BYTES

WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D")
"""The kinds of op whose plain kernels can be computed so."""

ARITHMETIC = ("int8", "int16", "float32", "float16")
"""And in which arithmetic."""

MOST_ROWS = 1 << 16
"""Of an image that is looked at row by row."""


def why_no_rows(site: Site) -> str | None:
    """Why a step cannot be computed row by row in place; None if it can."""
    step = site.step
    if site.op.kind not in WINDOWED or site.arithmetic not in ARITHMETIC:
        return "it has no plain kernel with a window"
    if site.fused:
        return "something is fused into it"
    if not step.kernel.row_by_row or step.weights.coding != "plain":
        return "it is not computed the plain way"
    shape = window(site, *_filter(site))
    if shape["in_h"] > MOST_ROWS:
        return f"it has more than {MOST_ROWS} rows"
    if _reach(shape) >= shape["in_h"]:
        return "its window reaches over all rows"
    return None


def _filter(site: Site) -> tuple[int, int]:
    """Height and width of the window, in taps."""
    if site.op.kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        return site.option("filter_height", 1), site.option("filter_width", 1)
    return site.input(1).shape[1], site.input(1).shape[2]


def _reach(shape: Mapping[str, int]) -> int:
    """Rows from the first to the last tap of a window."""
    return (shape["k_h"] - 1) * shape["step_h"] + 1


def windowed(
    site: Site,
    header: str,
    call: Callable[[str, str], str],
    operands: tuple[Operand, ...],
    overlaps: Mapping[tuple[str, str], Overlap] | None = None,
) -> Kernel:
    """A kernel that reads `x` through a window and writes `y`, as a whole or row by row.

    Args:
        site: the step; it may say `in_place`, and keeps its rows then if it can.
        header: of the kernel.
        call: (the image, the C value of its `at_window`) → the call of the kernel.
        operands: what the call names.
        overlaps: what the kernel allows of itself.
    """
    shape = window(site, *_filter(site))
    struct = window_struct(shape)
    if not site.step.in_place or why_no_rows(site):
        return Kernel((header,), call("x", struct), operands, overlaps or {})
    x, y = site.input(0), site.output
    row = shape["in_w"] * shape["in_c"] * ITEM_BYTES[x.dtype]
    written = shape["out_w"] * shape["out_c"]
    body = (
        f"for (int32_t r = 0; r < {shape['out_h']}; r++, y += {written}) {{\n"
        f"  const at_window s = at_keep_rows(kept, x, {struct}, r, {row});\n"
        f"  {call('kept', 's')}\n"
        "}"
    )
    kept = scratch("kept", _reach(shape) * row, c_type(x.dtype))
    until = _until(shape, row, written * ITEM_BYTES[y.dtype])
    return Kernel((header, "in_place.h"), body, (*operands, kept), {("x", "y"): Overlap(until)})


def _until(shape: Mapping[str, int], read: int, written: int) -> int:
    """How many bytes behind the start of the input the output may start.

    While rows of the input are to be kept yet, rows of the output must end before the first of
    them; `read` and `written` are the bytes of a row.
    """
    rooms = [shape["in_h"] * read]
    for r in range(shape["out_h"]):
        loaded = max(r * shape["stride_h"] - shape["pad_top"] + _reach(shape), 0)
        if loaded < shape["in_h"]:
            rooms.append(loaded * read - (r + 1) * written)
    return min(rooms)
