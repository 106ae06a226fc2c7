"""Whether the shapes of an op that moves elements fit together, as `shapes` says of the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autotiny.engine.kernel import Site
from autotiny.engine.shapes import axis_of, result, whole
from autotiny.graph import Tensor


def sliced(site: Site) -> None:
    """SLICE: a box inside the input, of the size that the constants or the result say."""
    x, y, begin = site.input(0).shape, result(site).shape, whole(site, 1)
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
    if math.prod(counts) != result(site).size:
        site.refuse(f"slicing {site.input(0).shape} gives {counts}, not {result(site).shape}")


def transposed(site: Site) -> None:
    """TRANSPOSE: the dimensions of the input in another order."""
    x, y, axes = site.input(0).shape, result(site).shape, whole(site, 1)
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
    y = result(site).shape
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
    y = result(site).shape
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
    x, y, sides = site.input(0).shape, result(site).shape, paddings(site)
    sizes = tuple(n + before + after for n, (before, after) in zip(x, sides, strict=True))
    if sizes != y or min((min(pair) for pair in sides), default=0) < 0:
        site.refuse(f"{x} padded by {sides} is not {y}")


def gathered(site: Site) -> None:
    """GATHER: one dimension becomes those of the indices, which stay inside it."""
    x, indices, y = site.input(0).shape, site.input(1), result(site).shape
    axis = axis_of(site, site.option("axis", 0), len(x))
    if y != (*x[:axis], *indices.shape, *x[axis + 1 :]):
        site.refuse(f"{x} gathered by {indices.shape} along dimension {axis} is not {y}")
    known = indices.data
    if known is not None and not ((known >= 0) & (known < x[axis])).all():
        site.refuse(f"an index leaves the {x[axis]} elements of dimension {axis}")


def blocks(site: Site) -> None:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH: squares of pixels become channels, or the other way."""
    x, y, n = site.input(0).shape, result(site).shape, site.option("block_size", 1)
    deep, wide = (y, x) if site.op.kind == "SPACE_TO_DEPTH" else (x, y)
    if deep[0] != 1 or (*wide, 0) != (1, deep[1] * n, deep[2] * n, *divmod(deep[3], n * n)):
        site.refuse(f"{x} does not become {y} by blocks of {n}")
