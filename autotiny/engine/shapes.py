"""Whether the shapes of an op fit together: a file may say anything, and the kernels believe it.

Each entry of `ops.EMITTERS` names one of these in its declaration. Types, numbers of dimensions and
which operands are constant have been checked before, and nothing is empty: see `declared`.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from autotiny.engine.kernel import Site
from autotiny.graph import Tensor

MOST_CHANNELS: Final = 1 << 20
"""Of a layer: a scale and a bias of each are written down, however few bytes its file has."""


def result(site: Site) -> Tensor:
    """The result of the op itself; a fused step leaves another tensor behind."""
    return site.graph.tensors[site.op.outputs[0]]


def _image(site: Site) -> tuple[int, int, int]:
    shape = site.input(0).shape
    if len(shape) != 4 or shape[0] != 1:
        site.refuse(f"its input is {shape}; only (1, height, width, channels) is computed")
    return shape[1], shape[2], shape[3]


def _windows(site: Site, k_h: int, k_w: int, channels: int) -> None:
    """The result has one element for each place of the window, and `channels` channels."""
    h, w, _ = _image(site)
    sizes = [
        _places(site, size, window, site.option(f"stride_{a}", 1), site.option(step, 1))
        for size, window, a, step in (
            (h, k_h, "h", "dilation_h_factor"),
            (w, k_w, "w", "dilation_w_factor"),
        )
    ]
    wanted = (1, *sizes, channels)
    if result(site).shape != wanted:
        site.refuse(f"its result is {result(site).shape}, but its window gives {wanted}")


def _places(site: Site, size: int, window: int, stride: int, step: int) -> int:
    if min(window, stride, step) < 1:
        site.refuse(f"window {window}, stride {stride}, dilation {step}; all must be at least 1")
    if site.option("padding", "VALID") == "SAME":
        return -(-size // stride)
    return max((size - (window - 1) * step - 1) // stride + 1, 0)


def _channels(site: Site, count: int, bias: int = 2) -> None:
    """Scales of the weights and biases are as many as the result's channels."""
    if count > MOST_CHANNELS:
        site.refuse(f"it has {count} channels; {MOST_CHANNELS} are the most")
    weights = site.input(1).quantization
    if weights is not None and len(weights.scales) not in (1, count):
        site.refuse(f"its weights have {len(weights.scales)} scales for {count} channels")
    if site.has_input(bias) and site.input(bias).size != count:
        site.refuse(f"it has {site.input(bias).size} biases for {count} channels")


def conv(site: Site) -> None:
    """A convolution: groups, window, and a scale and a bias a channel."""
    out, k_h, k_w, depth = site.input(1).shape
    in_c = _image(site)[2]
    if in_c % depth or out % (in_c // depth):
        site.refuse(f"{in_c} input channels do not fall into groups of {depth}")
    _windows(site, k_h, k_w, out)
    _channels(site, out)


def depthwise(site: Site) -> None:
    """A depthwise convolution: whole multiples of the input's channels, window, scales, biases."""
    one, k_h, k_w, out = site.input(1).shape
    if one != 1 or out % _image(site)[2]:
        site.refuse(f"its weights {site.input(1).shape} do not fit {site.input(0).shape}")
    _windows(site, k_h, k_w, out)
    _channels(site, out)


def dense(site: Site) -> None:
    """A product with a matrix of weights, a scale and a bias a row."""
    out, depth = site.input(1).shape
    size = site.input(0).size
    if size % depth or result(site).size != size // depth * out:
        site.refuse(f"{site.input(0).shape} by {(out, depth)} is not {result(site).shape}")
    _channels(site, out)


def pool(site: Site) -> None:
    """A window without weights, channel by channel."""
    k_h, k_w = site.option("filter_height", 1), site.option("filter_width", 1)
    _windows(site, k_h, k_w, _image(site)[2])


def same_size(site: Site) -> None:
    """An op of as many results as inputs, element by element or renamed."""
    if result(site).size != site.input(0).size:
        site.refuse(f"{site.input(0).shape} does not become {result(site).shape}")


def same_shape(site: Site) -> None:
    """An op along the last dimension, of which the result has as many rows."""
    if result(site).shape != site.input(0).shape:
        site.refuse(f"{site.input(0).shape} does not become {result(site).shape}")


def broadcast(site: Site) -> None:
    """An op of two tensors, each repeated along the dimensions in which it has one element."""
    a, b, y = site.input(0).shape, site.input(1).shape, result(site).shape
    try:
        fits = np.broadcast_shapes(a, b) == y
    except ValueError:
        fits = False
    if not fits:
        site.refuse(f"{a} and {b} do not broadcast to {y}")


def axis_of(site: Site, axis: int, rank: int) -> int:
    """A dimension counted from the front, where a negative one counts from the back."""
    if not -rank <= axis < rank:
        site.refuse(f"axis {axis} of {rank} dimensions")
    return axis % rank


def whole(site: Site, position: int) -> list[int]:
    """The integers of a constant operand."""
    return [int(v) for v in site.constant(position).reshape(-1)]


# Reductions, products, resizing


def reduced_axes(site: Site) -> set[int]:
    """The dimensions that a reduction takes together."""
    rank = len(site.input(0).shape)
    return {axis_of(site, axis, rank) for axis in whole(site, 1)}


def reduced(site: Site) -> None:
    """MEAN, SUM, REDUCE_MAX, REDUCE_MIN: the result has the dimensions that are kept."""
    x, y, axes = site.input(0).shape, result(site).shape, reduced_axes(site)
    _kept(site, x, y, axes)


def placed(site: Site) -> None:
    """ARG_MAX, ARG_MIN: the same for one dimension."""
    x, y, axes = site.input(0).shape, result(site).shape, whole(site, 1)
    if len(axes) != 1:
        site.refuse(f"its axis has {len(axes)} elements")
    _kept(site, x, y, {axis_of(site, axes[0], len(x))})


def _kept(site: Site, x: tuple[int, ...], y: tuple[int, ...], axes: set[int]) -> None:
    """Kept dimensions stay in their order; whether those of one element stay does not matter."""
    kept = [n for axis, n in enumerate(x) if axis not in axes and n != 1]
    if [n for n in y if n != 1] != kept:
        site.refuse(f"reducing {sorted(axes)} of {x} does not give {y}")


def product(site: Site) -> None:
    """BATCH_MATMUL: matrices that meet in a dimension, and batches that broadcast."""
    a, b, y = site.input(0).shape, site.input(1).shape, result(site).shape
    rows, depth = a[-2:] if not site.option("adj_x", False) else a[:-3:-1]
    inner, columns = b[-2:] if not site.option("adj_y", False) else b[:-3:-1]
    try:
        batches = np.broadcast_shapes(a[:-2], b[:-2])
    except ValueError:
        site.refuse(f"{a} and {b} do not broadcast")
    if depth != inner or y[-2:] != (rows, columns) or math.prod(y[:-2]) != math.prod(batches):
        site.refuse(f"{a} times {b} is not {y}")


def resized(site: Site) -> None:
    """RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR: other rows and columns of the same channels."""
    x, y = site.input(0).shape, result(site).shape
    if x[0] != 1 or y[0] != 1 or x[3] != y[3]:
        site.refuse(f"{x} does not become {y}")
    if max(*x, *y) > 32767:
        site.refuse("it has more than 32767 rows, columns or channels")
    if site.input(1).data is not None and whole(site, 1) != list(y[1:3]):
        site.refuse(f"its size is {whole(site, 1)}, but its result {y}")


def transposed_conv(site: Site) -> None:
    """TRANSPOSE_CONV: a convolution from the result to the input has this window."""
    w, x, y = site.input(1).shape, site.input(2).shape, result(site).shape
    if x[0] != 1 or y[0] != 1 or w[3] != x[3] or w[0] != y[3]:
        site.refuse(f"{x} with weights {w} does not give {y}")
    if site.input(0).data is not None and whole(site, 0) != list(y):
        site.refuse(f"its shape is {whole(site, 0)}, but its result {y}")
    for out, size, window, side in zip(y[1:3], x[1:3], w[1:3], "hw", strict=True):
        if _places(site, out, window, site.option(f"stride_{side}", 1), 1) != size:
            site.refuse(f"a window of {window} over {out} has not {size} places")
    _channels(site, w[0], bias=3)


# Layers that remember


def svdf(site: Site) -> None:
    """SVDF: filters of features and of time, so many for each unit."""
    (filters, depth), memory = site.input(1).shape, site.input(2).shape[1]
    rank, units = site.option("rank", 1), result(site).size
    fits = site.input(0).size == depth and site.input(2).shape[0] == filters == rank * units
    if not fits or site.input(4).size != filters * memory:
        site.refuse(f"{filters} filters of rank {rank} do not give {units} units")
    if site.has_input(3) and site.input(3).size != units:
        site.refuse(f"it has {site.input(3).size} biases for {units} units")


def lstm(site: Site) -> None:
    """UNIDIRECTIONAL_SEQUENCE_LSTM: four gates of one size, over steps of one sequence."""
    x, y = site.input(0).shape, result(site)
    batch, steps = (x[1], x[0]) if site.option("time_major", False) else x[:2]
    units = site.input(1).shape[0]
    if batch != 1 or y.size != steps * units:
        site.refuse(f"{x} does not become {y.shape} with {units} units")
    wanted = {range(1, 5): (units, x[2]), range(5, 9): (units, units)}
    for positions, shape in wanted.items():
        for position in positions:
            if site.input(position).shape != shape:
                site.refuse(f"the weights {site.input(position).shape} of a gate are not {shape}")
    for position in (*range(12, 16), 18, 19):
        if site.input(position).size != units:
            site.refuse(f"a bias or state is {site.input(position).shape} for {units} units")
