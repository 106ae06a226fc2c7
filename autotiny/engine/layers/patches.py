"""How kernels get at the inputs of an output: patches of an image, or pixels as they lie."""

from __future__ import annotations

import numpy as np

from autotiny.engine.kernel import Site, initializer
from autotiny.engine.layers.constants import dense_shape, quantization_of
from autotiny.engine.layers.window import window
from autotiny.graph import ITEM_BYTES

_FAR = 1 << 40  # behind all
_MOST_PIXELS = 1 << 20  # of an output that is looked at pixel by pixel


def why_no_patches(site: Site, shape: dict[str, int]) -> str | None:
    """Why the patches of a convolution cannot be copied row by row; None if they can."""
    if shape["step_h"] != 1 or shape["step_w"] != 1:
        return "it is dilated"
    if shape["in_c"] != site.input(1).shape[3]:
        return "it has groups"
    if shape["k_h"] > 16:
        return "its filters have more than 16 rows"
    return None


def pools_2x2(site: Site) -> bool:
    """Whether what is fused into a convolution is max-pooling of 2×2 without overlap."""
    (op,) = site.fused
    names = ("filter_height", "filter_width", "stride_h", "stride_w")
    return op.kind == "MAX_POOL_2D" and all(op.integer(name) == 2 for name in names)


def product_shape(site: Site) -> tuple[int, int, int] | None:
    """(pixels, inputs, outputs) of a layer that is a matrix product as it stands, else None."""
    if site.op.kind == "FULLY_CONNECTED":
        return dense_shape(site)
    shape = window(site, *site.input(1).shape[1:3])
    strides = shape["stride_h"], shape["stride_w"]
    if (shape["k_h"], shape["k_w"], *strides) != (1, 1, 1, 1) or why_no_patches(site, shape):
        return None
    if (shape["out_h"], shape["out_w"]) != (shape["in_h"], shape["in_w"]):
        return None  # it is padded
    return shape["out_h"] * shape["out_w"], shape["in_c"], shape["out_c"]


def product_overlap(count: int, depth: int, out: int, block: int) -> int:
    """How many bytes behind the start of the input the output of a matrix product may start.

    A block of pixels is read, then written. While more remain, they must not be overwritten.
    """
    if count <= block:
        return count * depth
    first, last = block, (count - 1) // block * block
    return min(first * (depth - out), last * (depth - out))


def row_ring(site: Site, shape: dict[str, int], slots: int) -> tuple[str, int]:
    """(the initializer of an `at_rows`, bytes of its ring); without padding there is no ring."""
    wide = max(shape["pad_left"] + shape["in_w"], span(shape, "w"))
    high = max(shape["pad_top"] + shape["in_h"], span(shape, "h"))
    if wide == shape["in_w"] and high == shape["in_h"]:
        return rows_struct(site, shape, slots=0, pitch=0), 0
    pitch = -(-wide * shape["in_c"] // 4) * 4
    # Whole words may be read from the last row.
    return rows_struct(site, shape, slots=slots, pitch=pitch), slots * pitch + 4


def rows_struct(site: Site, shape: dict[str, int], *, slots: int, pitch: int) -> str:
    """The initializer of an `at_rows`."""
    zero = quantization_of(site, 0).zero_point
    return initializer(s=initializer(**shape), slots=slots, pitch=pitch, zero=zero)


def span(shape: dict[str, int], side: str) -> int:
    """Rows or columns that the windows reach over, padding included."""
    return (shape[f"out_{side}"] - 1) * shape[f"stride_{side}"] + shape[f"k_{side}"]


def overlap_until(site: Site, shape: dict[str, int], *, ring: bool, pixels: int) -> int | None:
    """How many bytes behind the start of the input the output may start; None if nowhere.

    After each block, the first input byte that is still to be read must lie behind the last output
    byte written. A ring has read whole rows; without one each patch is read when its turn comes.
    """
    at_once = 2 if site.fused else 1  # rows and columns of the convolution under one output
    item = ITEM_BYTES[site.output.dtype]
    column_bytes = shape["in_c"] * item
    row_bytes = shape["in_w"] * column_bytes
    _, out_h, out_w, channels = site.output.shape
    if out_h * out_w > _MOST_PIXELS:
        return None
    r, c = np.divmod(np.arange(out_h * out_w), out_w)
    top = r * at_once * shape["stride_h"] - shape["pad_top"]
    if ring:
        reached = top + (at_once - 1) * shape["stride_h"] + shape["k_h"]
        unread = np.where(reached < shape["in_h"], np.maximum(reached, 0) * row_bytes, _FAR)
    else:
        left = c * at_once * shape["stride_w"] - shape["pad_left"]
        first = top * row_bytes + left * column_bytes
        later = np.minimum.accumulate(first[::-1])[::-1]
        unread = np.append(later[1:], _FAR)
    written = np.arange(1, len(r) + 1) * channels * item
    ends = np.arange(len(r)) if site.fused else np.arange(pixels - 1, len(r), pixels)
    rooms = (unread - written)[ends[ends < len(r) - 1]]
    return int(min(rooms.min(initial=_FAR), site.input(0).bytes))
