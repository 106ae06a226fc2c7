"""Ops that only move elements: slices, paddings, transpositions, joining and splitting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from autotiny.engine.kernel import Emitter, Kernel, Operand, Site, checked, table
from autotiny.engine.ops.shape import as_part, as_whole
from autotiny.engine.shapes import no_check
from autotiny.graph import ITEM_BYTES, Tensor

DTYPES: Final = ("int8", "uint8", "int16", "int32", "int64", "float32", "bool")
DIMENSIONS: Final = 5


def steps(shape: Sequence[int], item: int) -> list[int]:
    """Bytes from one index of each dimension to the next, row-major."""
    return [item * int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]


def move(
    site: Site,
    counts: Sequence[int],
    x: Sequence[int],
    y: Sequence[int],
    item: int,
    source: str = "x",
    target: str = "y",
) -> str:
    """A call of `at_move_box`: `counts` elements along each dimension, byte strides x and y.

    Dimensions that are one piece of memory on both sides are joined. Empty if nothing is moved.
    """
    if 0 in counts:
        return ""
    kept: list[tuple[int, int, int]] = []
    run = item
    for n, xs, ys in reversed(list(zip(counts, x, y, strict=True))):
        if n == 1:
            continue
        if not kept and xs == ys == run:
            run *= n
        elif kept and xs == kept[-1][0] * kept[-1][1] and ys == kept[-1][0] * kept[-1][2]:
            kept[-1] = (kept[-1][0] * n, kept[-1][1], kept[-1][2])
        else:
            kept.append((n, xs, ys))
    if len(kept) > DIMENSIONS:
        site.refuse(f"it moves elements along more than {DIMENSIONS} dimensions")
    kept += [(1, 0, 0)] * (DIMENSIONS - len(kept))
    fields = ", ".join(
        "{" + ", ".join(str(part[i]) for part in reversed(kept)) + "}" for i in range(3)
    )
    return f"at_move_box({source}, {target}, (at_layout){{{fields}}}, {run}u);"


def _at(name: str, offset: int) -> str:
    """A byte address inside an operand that is written or read."""
    return (
        f"(const uint8_t *){name} + {offset}"
        if name.startswith("x")
        else (f"(uint8_t *){name} + {offset}")
    )


def _item(site: Site) -> int:
    return ITEM_BYTES[site.output.dtype]


def _same_stored(site: Site, *tensors: Tensor) -> None:
    """Refuse where stored numbers would change their meaning on the way."""
    if len({(one.dtype, one.quantization) for one in tensors}) > 1:
        site.refuse("its tensors have different types or scales")


def _whole(site: Site, position: int) -> list[int]:
    return [int(v) for v in site.constant(position).reshape(-1)]


def _kernel(lines: Sequence[str], *operands: Operand) -> Kernel:
    body = "\n".join(line for line in lines if line)
    return Kernel(("move.h",), body or "(void)x;\n(void)y;", operands)


def slice_(site: Site) -> Kernel:
    """SLICE by constant begins and sizes."""
    x, y = site.input(0), site.output
    _same_stored(site, x, y)
    begin = _whole(site, 1)
    if len(begin) != len(x.shape) or len(y.shape) != len(x.shape):
        site.refuse(f"{x.shape} is not sliced by {begin}")
    for b, n, limit in zip(begin, y.shape, x.shape, strict=True):
        if b < 0 or b + n > limit:
            site.refuse(f"{begin} and {y.shape} leave {x.shape}")
    strides = steps(x.shape, _item(site))
    offset = sum(b * s for b, s in zip(begin, strides, strict=True))
    if alias := as_part(site, offset):
        return alias
    line = move(site, y.shape, strides, steps(y.shape, _item(site)), _item(site), _at("x", offset))
    return _kernel([line], site.reads("x"), site.writes())


def strided_slice(site: Site) -> Kernel:
    """STRIDED_SLICE by constants, with all its masks but ellipsis and new axes."""
    x, y = site.input(0), site.output
    _same_stored(site, x, y)
    if site.option("ellipsis_mask", 0) or site.option("new_axis_mask", 0):
        site.refuse("an ellipsis or a new axis is not computed")
    begin, end, stride = (_whole(site, position) for position in (1, 2, 3))
    if not len(begin) == len(end) == len(stride) <= len(x.shape) or 0 in stride:
        site.refuse(f"{x.shape} is not sliced by {begin} to {end} in steps of {stride}")
    masks = {name: int(site.option(f"{name}_mask", 0)) for name in ("begin", "end", "shrink_axis")}
    if site.option("offset", False):
        end = [b + e for b, e in zip(begin, end, strict=True)]
    counts, strides, offset = [], [], 0
    for i, (size, step) in enumerate(zip(x.shape, steps(x.shape, _item(site)), strict=True)):
        if i >= len(begin):
            counts.append(size)
            strides.append(step)
            continue
        index = slice(
            None if masks["begin"] >> i & 1 else begin[i],
            None if masks["end"] >> i & 1 else end[i],
            stride[i],
        )
        if masks["shrink_axis"] >> i & 1:
            first = begin[i] + (size if begin[i] < 0 else 0)
            if not 0 <= first < size:
                site.refuse(f"index {begin[i]} leaves a dimension of {size}")
            taken = range(first, first + 1)
        else:
            taken = range(size)[index]
        counts.append(len(taken))
        strides.append(step * stride[i])
        offset += step * (taken[0] if len(taken) else 0)
    if int(np.prod(counts, dtype=np.int64)) != y.size:
        site.refuse(f"slicing {x.shape} gives {counts}, not {y.shape}")
    line = move(site, counts, strides, steps(counts, _item(site)), _item(site), _at("x", offset))
    return _kernel([line], site.reads("x"), site.writes())


def transpose(site: Site) -> Kernel:
    """TRANSPOSE by a constant permutation."""
    x, y = site.input(0), site.output
    _same_stored(site, x, y)
    axes = [axis % len(x.shape) for axis in _whole(site, 1)]
    if sorted(axes) != list(range(len(x.shape))) or y.shape != tuple(x.shape[a] for a in axes):
        site.refuse(f"{x.shape} is not transposed to {y.shape} by {axes}")
    strides = steps(x.shape, _item(site))
    line = move(site, y.shape, [strides[a] for a in axes], steps(y.shape, _item(site)), _item(site))
    return _kernel([line], site.reads("x"), site.writes())


def _axis(site: Site, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        site.refuse(f"axis {axis} of {rank} dimensions")
    return axis % rank


def concatenation(site: Site) -> Kernel:
    """CONCATENATION of tensors of one scale."""
    y = site.output
    axis = _axis(site, site.option("axis", 0), len(y.shape))
    parts = [site.input(i) for i in range(len(site.op.inputs))]
    _same_stored(site, y, *parts)
    if site.option("fused_activation_function", "NONE") != "NONE":
        site.refuse("an activation after it is not computed")
    if sum(part.shape[axis] for part in parts) != y.shape[axis]:
        site.refuse(f"its inputs do not fill {y.shape} along dimension {axis}")
    strides = steps(y.shape, _item(site))
    sizes = [one.shape[axis] * strides[axis] for one in parts]
    offsets = [sum(sizes[:i]) for i in range(len(parts))]
    if alias := as_whole(site, offsets):
        return alias
    lines = [
        move(
            site,
            one.shape,
            steps(one.shape, _item(site)),
            strides,
            _item(site),
            f"x{i}",
            _at("y", offset),
        )
        for i, (one, offset) in enumerate(zip(parts, offsets, strict=True))
    ]
    return _kernel(lines, *(site.reads(f"x{i}", i) for i in range(len(parts))), site.writes())


def split(site: Site) -> Kernel:
    """SPLIT and SPLIT_V along a constant dimension."""
    source = 1 if site.op.kind == "SPLIT" else 0
    x = site.input(source)
    axis = _axis(site, _whole(site, 0 if site.op.kind == "SPLIT" else 2)[0], len(x.shape))
    parts = [site.graph.tensors[index] for index in site.op.outputs]
    _same_stored(site, x, *parts)
    if sum(part.shape[axis] for part in parts) != x.shape[axis]:
        site.refuse(f"its outputs do not fill {x.shape} along dimension {axis}")
    strides = steps(x.shape, ITEM_BYTES[x.dtype])
    lines, offset = [], 0
    for i, part in enumerate(parts):
        own = steps(part.shape, ITEM_BYTES[x.dtype])
        lines.append(
            move(site, part.shape, strides, own, ITEM_BYTES[x.dtype], _at("x", offset), f"y{i}")
        )
        offset += part.shape[axis] * strides[axis]
    writes = (site.writes(f"y{i}", i) for i in range(len(parts)))
    return _kernel(lines, site.reads("x", source), *writes)


def pack(site: Site) -> Kernel:
    """PACK: tensors of one shape along a new dimension."""
    y = site.output
    axis = _axis(site, site.option("axis", 0), len(y.shape))
    parts = [site.input(i) for i in range(len(site.op.inputs))]
    _same_stored(site, y, *parts)
    if len(parts) != y.shape[axis]:
        site.refuse(f"{len(parts)} inputs for {y.shape} along dimension {axis}")
    strides = steps(y.shape, _item(site))
    step = strides.pop(axis)
    lines = [
        move(
            site,
            part.shape,
            steps(part.shape, _item(site)),
            strides,
            _item(site),
            f"x{i}",
            _at("y", i * step),
        )
        for i, part in enumerate(parts)
    ]
    return _kernel(lines, *(site.reads(f"x{i}", i) for i in range(len(parts))), site.writes())


def unpack(site: Site) -> Kernel:
    """UNPACK: a tensor for each index of a dimension."""
    x = site.input(0)
    axis = _axis(site, site.option("axis", 0), len(x.shape))
    parts = [site.graph.tensors[index] for index in site.op.outputs]
    _same_stored(site, x, *parts)
    if len(parts) != x.shape[axis]:
        site.refuse(f"{len(parts)} outputs for {x.shape} along dimension {axis}")
    item = ITEM_BYTES[x.dtype]
    strides = steps(x.shape, item)
    step = strides.pop(axis)
    lines = [
        move(site, part.shape, strides, steps(part.shape, item), item, _at("x", i * step), f"y{i}")
        for i, part in enumerate(parts)
    ]
    return _kernel(lines, site.reads("x"), *(site.writes(f"y{i}", i) for i in range(len(parts))))


def _paddings(site: Site) -> list[tuple[int, int]]:
    pairs = site.constant(1).reshape(-1, 2)
    paddings = [(int(before), int(after)) for before, after in pairs]
    sizes = tuple(
        size + before + after
        for size, (before, after) in zip(site.input(0).shape, paddings, strict=True)
    )
    if sizes != site.output.shape or min(min(pair) for pair in paddings) < 0:
        site.refuse(f"{site.input(0).shape} padded by {paddings} is not {site.output.shape}")
    return paddings


def pad(site: Site) -> Kernel:
    """PAD and PADV2: the zero-point, or a constant, around the input."""
    x, y = site.input(0), site.output
    _same_stored(site, x, y)
    zero = y.quantization.zero_point if y.quantization is not None else 0
    value = np.array([zero]).astype(y.dtype)
    if site.op.kind == "PADV2":
        _same_stored(site, y, site.input(2))
        value = site.constant(2).reshape(-1)[:1]
    strides = steps(y.shape, _item(site))
    offset = sum(before * s for (before, _), s in zip(_paddings(site), strides, strict=True))
    lines = [
        f"at_repeat(y, value, {y.size}, {_item(site)}u);",
        move(
            site, x.shape, steps(x.shape, _item(site)), strides, _item(site), "x", _at("y", offset)
        ),
    ]
    return _kernel(lines, site.reads("x"), site.writes(), table("value", value))


def mirror_pad(site: Site) -> Kernel:
    """MIRROR_PAD: the input goes to the middle, then each dimension is mirrored in place."""
    x, y = site.input(0), site.output
    _same_stored(site, x, y)
    item, paddings = _item(site), _paddings(site)
    skip = 1 if site.option("mode", "REFLECT") == "REFLECT" else 0
    strides = steps(y.shape, item)
    starts = [before for before, _ in paddings]
    offset = sum(b * s for b, s in zip(starts, strides, strict=True))
    lines = [move(site, x.shape, steps(x.shape, item), strides, item, "x", _at("y", offset))]
    counts = list(x.shape)
    for axis in reversed(range(len(counts))):
        before, after = paddings[axis]
        if max(before, after) > x.shape[axis] - skip:
            site.refuse(f"it mirrors more than the {x.shape[axis]} elements of dimension {axis}")
        # Dimensions behind this one are whole already, those before it have their padding to come.
        first = sum(starts[i] * strides[i] for i in range(axis))
        step = strides[axis]
        back = [*strides[:axis], -step, *strides[axis + 1 :]]
        for count, to, start in (
            (before, 0, before + skip + before - 1),
            (after, before + x.shape[axis], before + x.shape[axis] - 1 - skip),
        ):
            counts[axis] = count
            source = f"(const uint8_t *)y + {first + start * step}"
            target = _at("y", first + to * step)
            lines.append(move(site, counts, back, strides, item, source, target))
        counts[axis] = y.shape[axis]
    return _kernel(lines, site.reads("x"), site.writes())


def gather(site: Site) -> Kernel:
    """GATHER along one dimension, by constant or computed int32 indices."""
    x, indices, y = site.input(0), site.input(1), site.output
    _same_stored(site, x, y)
    axis = _axis(site, site.option("axis", 0), len(x.shape))
    if site.option("batch_dims", 0) or indices.dtype != "int32":
        site.refuse("batch dimensions, or indices that are not int32, are not computed")
    outer = int(np.prod(x.shape[:axis], dtype=np.int64))
    inner = int(np.prod(x.shape[axis + 1 :], dtype=np.int64)) * _item(site)
    if y.size * _item(site) != outer * indices.size * inner:
        site.refuse(f"{x.shape} gathered by {indices.shape} is not {y.shape}")
    if (
        indices.data is not None
        and not ((indices.data >= 0) & (indices.data < x.shape[axis])).all()
    ):
        site.refuse(f"an index leaves the {x.shape[axis]} elements of dimension {axis}")
    body = f"at_gather(x, index, y, {outer}, {indices.size}, {x.shape[axis]}, {inner}u);"
    return _kernel([body], site.reads("x"), site.reads("index", 1), site.writes())


def depth_to_space(site: Site) -> Kernel:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH: a transposition of six dimensions."""
    x, y = site.input(0), site.output
    _same_stored(site, x, y)
    block, item = site.option("block_size", 1), _item(site)
    down = site.op.kind == "SPACE_TO_DEPTH"
    _, h, w, c = y.shape if down else x.shape  # the side with more channels
    small = c // (block * block)
    deep = steps((h, w, block, block, small), item)
    wide = steps((h, block, w, block, small), item)
    wide = [wide[0], wide[2], wide[1], wide[3], wide[4]]
    if x.size != y.size or x.shape[0] != 1 or c != small * block * block:
        site.refuse(f"{x.shape} does not become {y.shape} by blocks of {block}")
    pair = (wide, deep) if down else (deep, wide)
    line = move(site, (h, w, block, block, small), *pair, item)
    return _kernel([line], site.reads("x"), site.writes())


MOVING: Final[Mapping[tuple[str, str], Emitter]] = checked(
    no_check,
    {
        (kind, dtype): emit
        for kind, emit in {
            "SLICE": slice_,
            "STRIDED_SLICE": strided_slice,
            "TRANSPOSE": transpose,
            "CONCATENATION": concatenation,
            "SPLIT_V": split,
            "PACK": pack,
            "UNPACK": unpack,
            "PAD": pad,
            "PADV2": pad,
            "MIRROR_PAD": mirror_pad,
            "GATHER": gather,
            "DEPTH_TO_SPACE": depth_to_space,
            "SPACE_TO_DEPTH": depth_to_space,
        }.items()
        for dtype in DTYPES
    }
    | {("SPLIT", "int32"): split},
)
"""(kind, arithmetic) → emitter; the first input of SPLIT is its axis."""
