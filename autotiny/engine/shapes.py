"""Whether the shapes of an op fit together: a file may say anything, and the kernels believe it.

Each entry of `ops.EMITTERS` names one of these in its declaration. Types, numbers of dimensions and
which operands are constant have been checked before, and nothing is empty: see `declared`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from autotiny.engine.kernel import Site
from autotiny.graph import Tensor

MOST_CHANNELS: Final = 1 << 20
"""Of a layer: a scale and a bias of each are written down, however few bytes its file has."""


def _result(site: Site) -> Tensor:
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
    if _result(site).shape != wanted:
        site.refuse(f"its result is {_result(site).shape}, but its window gives {wanted}")


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
    if size % depth or _result(site).size != size // depth * out:
        site.refuse(f"{site.input(0).shape} by {(out, depth)} is not {_result(site).shape}")
    _channels(site, out)


def pool(site: Site) -> None:
    """A window without weights, channel by channel."""
    k_h, k_w = site.option("filter_height", 1), site.option("filter_width", 1)
    _windows(site, k_h, k_w, _image(site)[2])


def same_size(site: Site) -> None:
    """An op of as many results as inputs, element by element or renamed."""
    if _result(site).size != site.input(0).size:
        site.refuse(f"{site.input(0).shape} does not become {_result(site).shape}")


def same_shape(site: Site) -> None:
    """An op along the last dimension, of which the result has as many rows."""
    if _result(site).shape != site.input(0).shape:
        site.refuse(f"{site.input(0).shape} does not become {_result(site).shape}")


def broadcast(site: Site) -> None:
    """An op of two tensors, each repeated along the dimensions in which it has one element."""
    a, b, y = site.input(0).shape, site.input(1).shape, _result(site).shape
    try:
        fits = np.broadcast_shapes(a, b) == y
    except ValueError:
        fits = False
    if not fits:
        site.refuse(f"{a} and {b} do not broadcast to {y}")


# Ops that move elements


def axis_of(site: Site, axis: int, rank: int) -> int:
    """A dimension counted from the front, where a negative one counts from the back."""
    if not -rank <= axis < rank:
        site.refuse(f"axis {axis} of {rank} dimensions")
    return axis % rank


def whole(site: Site, position: int) -> list[int]:
    """The integers of a constant operand."""
    return [int(v) for v in site.constant(position).reshape(-1)]


def sliced(site: Site) -> None:
    """SLICE: a box inside the input, of the size that the constants or the result say."""
    x, y, begin = site.input(0).shape, _result(site).shape, whole(site, 1)
    if len(begin) != len(x) or len(y) != len(x):
        site.refuse(f"{x} is not sliced by {begin} to {y}")
    if any(b < 0 or b + n > limit for b, n, limit in zip(begin, y, x, strict=True)):
        site.refuse(f"{begin} and {y} leave {x}")
    if site.input(2).data is not None:
        size = [limit - b if n < 0 else n
                for n, b, limit in zip_equal(site, whole(site, 2), begin, x)]  # fmt: skip
        if tuple(size) != y:
            site.refuse(f"{x} is sliced to {size}, not {y}")


def zip_equal(site: Site, *rows: Sequence[int]) -> list[tuple[int, ...]]:
    """Operands that have as many elements each, side by side."""
    if len({len(row) for row in rows}) > 1:
        site.refuse(f"its operands have {', '.join(str(len(row)) for row in rows)} elements")
    return list(zip(*rows, strict=True))


Box = tuple[list[int], list[int], list[int]]
"""Of each dimension: the first index, how many, and the step from one to the next."""


def strided_box(site: Site) -> Box:
    """What STRIDED_SLICE takes of its input."""
    x = site.input(0).shape
    begin, end, stride = (whole(site, position) for position in (1, 2, 3))
    rows = zip_equal(site, begin, end, stride)
    if len(rows) > len(x) or 0 in stride:
        site.refuse(f"{x} is not sliced by {begin} to {end} in steps of {stride}")
    masks = {name: site.option(f"{name}_mask", 0) for name in ("begin", "end", "shrink_axis")}
    if site.option("offset", False):
        end = [b + e for b, e in zip(begin, end, strict=True)]
    firsts, counts, steps = [], [], []
    for i, size in enumerate(x):
        taken = range(size)
        if i < len(begin) and masks["shrink_axis"] >> i & 1:
            first = begin[i] + (size if begin[i] < 0 else 0)
            if not 0 <= first < size:
                site.refuse(f"index {begin[i]} leaves a dimension of {size}")
            taken = range(first, first + 1)
        elif i < len(begin):
            low = None if masks["begin"] >> i & 1 else begin[i]
            high = None if masks["end"] >> i & 1 else end[i]
            taken = taken[slice(low, high, stride[i])]
        firsts.append(taken[0] if len(taken) else 0)
        counts.append(len(taken))
        steps.append(stride[i] if i < len(begin) else 1)
    return firsts, counts, steps


def strided(site: Site) -> None:
    """STRIDED_SLICE: as many elements as the box holds."""
    _, counts, _ = strided_box(site)
    if math.prod(counts) != _result(site).size:
        site.refuse(f"slicing {site.input(0).shape} gives {counts}, not {_result(site).shape}")


def transposed(site: Site) -> None:
    """TRANSPOSE: the dimensions of the input in another order."""
    x, y, axes = site.input(0).shape, _result(site).shape, whole(site, 1)
    if sorted(axis_of(site, a, len(x)) for a in axes) != list(range(len(x))):
        site.refuse(f"{axes} is no order of {len(x)} dimensions")
    if y != tuple(x[a] for a in axes):
        site.refuse(f"{x} is not transposed to {y} by {axes}")


def _parts(site: Site, of: tuple[int, ...], parts: Sequence[Tensor], axis: int, what: str) -> None:
    """Tensors that lie one behind the other along a dimension of a shape."""
    for part in parts:
        wanted = (*of[:axis], *part.shape[axis : axis + 1], *of[axis + 1 :])
        if len(part.shape) != len(of) or part.shape != wanted:
            site.refuse(f"{part.shape} is no part of {of} along dimension {axis}")
    if sum(part.shape[axis] for part in parts) != of[axis]:
        site.refuse(f"its {what} do not fill {of} along dimension {axis}")


def _layers(site: Site, of: tuple[int, ...], parts: Sequence[Tensor], axis: int) -> None:
    """Tensors that are the layers of a shape along a dimension."""
    if len(parts) != of[axis]:
        site.refuse(f"{of[axis]} tensors make {of} along dimension {axis}, not {len(parts)}")
    for part in parts:
        if part.shape != of[:axis] + of[axis + 1 :]:
            site.refuse(f"{part.shape} is no layer of {of} along dimension {axis}")


def _inputs(site: Site) -> list[Tensor]:
    return [site.input(i) for i in range(len(site.op.inputs))]


def _results(site: Site) -> list[Tensor]:
    return [site.graph.tensors[index] for index in site.op.outputs]


def joined(site: Site) -> None:
    """CONCATENATION: the inputs fill the result along a dimension."""
    y = _result(site).shape
    _parts(site, y, _inputs(site), axis_of(site, site.option("axis", 0), len(y)), "inputs")


def split(site: Site) -> None:
    """SPLIT and SPLIT_V: the results fill the input along a constant dimension."""
    source, axis = (1, 0) if site.op.kind == "SPLIT" else (0, 2)
    x, axes = site.input(source).shape, whole(site, axis)
    if len(axes) != 1:
        site.refuse(f"its axis has {len(axes)} elements")
    at = axis_of(site, axes[0], len(x))
    _parts(site, x, _results(site), at, "results")
    if site.op.kind == "SPLIT_V":
        sizes = [one.shape[at] for one in _results(site)]
        wanted = whole(site, 1)
        if any(w not in (n, -1) for w, n in zip_equal(site, wanted, sizes)):
            site.refuse(f"its sizes are {wanted}, but those of its results {sizes}")


def packed(site: Site) -> None:
    """PACK: the inputs are the layers of the result."""
    y = _result(site).shape
    _layers(site, y, _inputs(site), axis_of(site, site.option("axis", 0), len(y)))


def unpacked(site: Site) -> None:
    """UNPACK: the results are the layers of the input."""
    x = site.input(0).shape
    _layers(site, x, _results(site), axis_of(site, site.option("axis", 0), len(x)))


def paddings(site: Site) -> list[tuple[int, int]]:
    """(before, after) of each dimension of the input of a padding."""
    found = site.constant(1)
    if found.shape != (len(site.input(0).shape), 2):
        site.refuse(f"its paddings are {found.shape} for an input {site.input(0).shape}")
    return [(int(before), int(after)) for before, after in found]


def padded(site: Site) -> None:
    """PAD, PADV2 and MIRROR_PAD: the result has room for what stands around the input."""
    x, y, sides = site.input(0).shape, _result(site).shape, paddings(site)
    sizes = tuple(n + before + after for n, (before, after) in zip(x, sides, strict=True))
    if sizes != y or min((min(pair) for pair in sides), default=0) < 0:
        site.refuse(f"{x} padded by {sides} is not {y}")


def gathered(site: Site) -> None:
    """GATHER: one dimension becomes those of the indices, which stay inside it."""
    x, indices, y = site.input(0).shape, site.input(1), _result(site).shape
    axis = axis_of(site, site.option("axis", 0), len(x))
    if y != (*x[:axis], *indices.shape, *x[axis + 1 :]):
        site.refuse(f"{x} gathered by {indices.shape} along dimension {axis} is not {y}")
    known = indices.data
    if known is not None and not ((known >= 0) & (known < x[axis])).all():
        site.refuse(f"an index leaves the {x[axis]} elements of dimension {axis}")


def blocks(site: Site) -> None:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH: squares of pixels become channels, or the other way."""
    x, y, n = site.input(0).shape, _result(site).shape, site.option("block_size", 1)
    deep, wide = (y, x) if site.op.kind == "SPACE_TO_DEPTH" else (x, y)
    if deep[0] != 1 or (*wide, 0) != (1, deep[1] * n, deep[2] * n, *divmod(deep[3], n * n)):
        site.refuse(f"{x} does not become {y} by blocks of {n}")


# Reductions, products, resizing


def reduced_axes(site: Site) -> set[int]:
    """The dimensions that a reduction takes together."""
    rank = len(site.input(0).shape)
    return {axis_of(site, axis, rank) for axis in whole(site, 1)}


def reduced(site: Site) -> None:
    """MEAN, SUM, REDUCE_MAX, REDUCE_MIN: the result has the dimensions that are kept."""
    x, y, axes = site.input(0).shape, _result(site).shape, reduced_axes(site)
    _kept(site, x, y, axes)


def placed(site: Site) -> None:
    """ARG_MAX, ARG_MIN: the same for one dimension."""
    x, y, axes = site.input(0).shape, _result(site).shape, whole(site, 1)
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
    a, b, y = site.input(0).shape, site.input(1).shape, _result(site).shape
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
    x, y = site.input(0).shape, _result(site).shape
    if x[0] != 1 or y[0] != 1 or x[3] != y[3]:
        site.refuse(f"{x} does not become {y}")
    if max(*x, *y) > 32767:
        site.refuse("it has more than 32767 rows, columns or channels")
    if site.input(1).data is not None and whole(site, 1) != list(y[1:3]):
        site.refuse(f"its size is {whole(site, 1)}, but its result {y}")


def transposed_conv(site: Site) -> None:
    """TRANSPOSE_CONV: a convolution from the result to the input has this window."""
    w, x, y = site.input(1).shape, site.input(2).shape, _result(site).shape
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
    rank, units = site.option("rank", 1), _result(site).size
    fits = site.input(0).size == depth and site.input(2).shape[0] == filters == rank * units
    if not fits or site.input(4).size != filters * memory:
        site.refuse(f"{filters} filters of rank {rank} do not give {units} units")
    if site.has_input(3) and site.input(3).size != units:
        site.refuse(f"it has {site.input(3).size} biases for {units} units")


def lstm(site: Site) -> None:
    """UNIDIRECTIONAL_SEQUENCE_LSTM: four gates of one size, over steps of one sequence."""
    x, y = site.input(0).shape, _result(site)
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
