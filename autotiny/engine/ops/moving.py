"""Ops that only move elements: slices, paddings, transpositions, joining and splitting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from autotiny.engine import moved_shapes
from autotiny.engine.declared import (
    FLAG,
    NO_ACTIVATION,
    SIZE,
    Declared,
    Emitter,
    Ignored,
    OneOf,
    Takes,
    Values,
    Whole,
)
from autotiny.engine.kernel import Emit, Kernel, Overlap, Site, table
from autotiny.engine.ops.boxes import at, item_of, move, moving, steps
from autotiny.engine.ops.joining import concatenation, pack, split, unpack
from autotiny.engine.ops.shape import DTYPES, as_part
from autotiny.engine.shapes import axis_of, whole
from autotiny.graph import DType


def slice_(site: Site) -> Kernel:
    """SLICE by constant begins and sizes."""
    x, y, item = site.input(0), site.output, item_of(site)
    begin = whole(site, 1)
    strides = steps(x.shape, item)
    offset = sum(b * s for b, s in zip(begin, strides, strict=True))
    if alias := as_part(site, offset):
        return alias
    if x.shape == y.shape:
        body = f"at_move_all(x, y, {y.bytes}u);"
        anywhere = {("x", "y"): Overlap(until=y.bytes)}
        return Kernel(("move.h",), body, (site.reads("x"), site.writes()), anywhere)
    line = move(site, y.shape, strides, steps(y.shape, item), item, at("x", offset))
    return moving([line], site.reads("x"), site.writes())


def strided_slice(site: Site) -> Kernel:
    """STRIDED_SLICE by constants, with all its masks but ellipsis and new axes."""
    x, item = site.input(0), item_of(site)
    firsts, counts, taken = moved_shapes.strided_box(site)
    apart = steps(x.shape, item)
    strides = [step * size for step, size in zip(taken, apart, strict=True)]
    offset = sum(first * size for first, size in zip(firsts, apart, strict=True))
    line = move(site, counts, strides, steps(counts, item), item, at("x", offset))
    return moving([line], site.reads("x"), site.writes())


def transpose(site: Site) -> Kernel:
    """TRANSPOSE by a constant permutation."""
    x, y, item = site.input(0), site.output, item_of(site)
    axes = [axis % len(x.shape) for axis in whole(site, 1)]
    strides = steps(x.shape, item)
    line = move(site, y.shape, [strides[a] for a in axes], steps(y.shape, item), item)
    return moving([line], site.reads("x"), site.writes())


def pad(site: Site) -> Kernel:
    """PAD and PADV2: the zero-point, or a constant, around the input."""
    x, y, item = site.input(0), site.output, item_of(site)
    zero = y.quantization.zero_point if y.quantization is not None else 0
    value = np.array([zero]).astype(y.dtype)
    if site.op.kind == "PADV2":
        value = site.constant(2).reshape(-1)
        if value.size != 1:
            site.refuse(f"its value has {value.size} elements")
    strides = steps(y.shape, item)
    befores = (before for before, _ in moved_shapes.paddings(site))
    offset = sum(before * s for before, s in zip(befores, strides, strict=True))
    lines = [
        f"at_repeat(y, value, {y.size}, {item}u);",
        move(site, x.shape, steps(x.shape, item), strides, item, "x", at("y", offset)),
    ]
    return moving(lines, site.reads("x"), site.writes(), table("value", value))


def mirror_pad(site: Site) -> Kernel:
    """MIRROR_PAD: the input goes to the middle, then each dimension is mirrored in place."""
    x, y = site.input(0), site.output
    item, paddings = item_of(site), moved_shapes.paddings(site)
    skip = 1 if site.option("mode", "REFLECT") == "REFLECT" else 0
    strides = steps(y.shape, item)
    starts = [before for before, _ in paddings]
    offset = sum(b * s for b, s in zip(starts, strides, strict=True))
    lines = [move(site, x.shape, steps(x.shape, item), strides, item, "x", at("y", offset))]
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
            target = at("y", first + to * step)
            lines.append(move(site, counts, back, strides, item, source, target))
        counts[axis] = y.shape[axis]
    return moving(lines, site.reads("x"), site.writes())


def gather(site: Site) -> Kernel:
    """GATHER along one dimension, by constant or computed int32 indices."""
    x, indices = site.input(0), site.input(1)
    axis = axis_of(site, site.option("axis", 0), len(x.shape))
    outer = int(np.prod(x.shape[:axis], dtype=np.int64))
    inner = int(np.prod(x.shape[axis + 1 :], dtype=np.int64)) * item_of(site)
    body = f"at_gather(x, index, y, {outer}, {indices.size}, {x.shape[axis]}, {inner}u);"
    return moving([body], site.reads("x"), site.reads("index", 1), site.writes())


def depth_to_space(site: Site) -> Kernel:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH: a transposition of six dimensions."""
    x, y = site.input(0), site.output
    block, item = site.option("block_size", 1), item_of(site)
    down = site.op.kind == "SPACE_TO_DEPTH"
    _, h, w, c = y.shape if down else x.shape  # the side with more channels
    small = c // (block * block)
    deep = steps((h, w, block, block, small), item)
    wide = steps((h, block, w, block, small), item)
    wide = [wide[0], wide[2], wide[1], wide[3], wide[4]]
    pair = (wide, deep) if down else (deep, wide)
    line = move(site, (h, w, block, block, small), *pair, item)
    return moving([line], site.reads("x"), site.writes())


_COUNTS: Final[tuple[DType, ...]] = ("int32", "int64")
_MASK: Final = Whole(0)
_BEGIN: Final = Takes("begin", _COUNTS, (1, 1), constant=True)
_AXIS: Final = Takes("axis", ("int32",), constant=True)
_PADDINGS: Final = Takes("paddings", _COUNTS, (2, 2), constant=True)


def _declared(kind: str, dtype: DType) -> Declared:
    """What an op that moves elements must be: its tensors have one type and one scale."""
    x = Takes("input", (dtype,), (1, 8))
    y = Takes("result", (dtype,), scales="same")
    split_sizes = Takes("sizes", _COUNTS, (1, 1), constant=True)
    value = Takes("value", (dtype,), constant=True, scales="same")
    indices = Takes("indices", ("int32",))
    image = replace(x, ranks=(4, 4))
    several = replace(x, scales="same", many=True)
    inputs: dict[str, tuple[Takes, ...]] = {
        "SLICE": (x, _BEGIN, Takes("size", _COUNTS, (1, 1))),
        "STRIDED_SLICE": (
            x, _BEGIN, replace(_BEGIN, name="end"), replace(_BEGIN, name="strides"),
        ),
        "TRANSPOSE": (x, Takes("permutation", _COUNTS, (1, 1), constant=True)),
        "CONCATENATION": (several,),
        "SPLIT": (_AXIS, replace(x, dtypes=DTYPES)),
        "SPLIT_V": (x, split_sizes, _AXIS),
        "PACK": (replace(several, ranks=(0, 7)),),
        "PAD": (x, _PADDINGS),
        "PADV2": (x, _PADDINGS, value),
        "MIRROR_PAD": (x, _PADDINGS),
        "GATHER": (x, indices),
        "DEPTH_TO_SPACE": (image,),
        "SPACE_TO_DEPTH": (image,),
    }  # fmt: skip
    outputs = {
        "SPLIT": replace(y, dtypes=DTYPES, many=True),
        "SPLIT_V": replace(y, many=True),
        "UNPACK": replace(y, many=True),
        "DEPTH_TO_SPACE": replace(y, ranks=(4, 4)),
        "SPACE_TO_DEPTH": replace(y, ranks=(4, 4)),
    }
    return Declared(
        inputs=inputs.get(kind, (x,)),
        outputs=(outputs.get(kind, y),),
        shapes=_OPS[kind][1],
        options=_OPS[kind][2],
        like=1 if kind == "SPLIT" else 0,
    )


_OPS: Final[Mapping[str, tuple[Emit, Callable[[Site], None], Mapping[str, Values]]]] = {
    "SLICE": (slice_, moved_shapes.sliced, {}),
    "STRIDED_SLICE": (
        strided_slice,
        moved_shapes.strided,
        {
            "begin_mask": _MASK,
            "end_mask": _MASK,
            "shrink_axis_mask": _MASK,
            "ellipsis_mask": OneOf((0,)),
            "new_axis_mask": OneOf((0,)),
            "offset": FLAG,
        },
    ),
    "TRANSPOSE": (transpose, moved_shapes.transposed, {}),
    "CONCATENATION": (concatenation, moved_shapes.joined, {"axis": Whole(), **NO_ACTIVATION}),
    "SPLIT": (split, moved_shapes.split, {"num_splits": Ignored(int)}),
    "SPLIT_V": (split, moved_shapes.split, {"num_splits": Ignored(int)}),
    "PACK": (pack, moved_shapes.packed, {"axis": Whole(), "values_count": Ignored(int)}),
    "UNPACK": (unpack, moved_shapes.unpacked, {"axis": Whole(), "num": Ignored(int)}),
    "PAD": (pad, moved_shapes.padded, {}),
    "PADV2": (pad, moved_shapes.padded, {}),
    "MIRROR_PAD": (mirror_pad, moved_shapes.padded, {"mode": OneOf(("REFLECT", "SYMMETRIC"))}),
    "GATHER": (gather, moved_shapes.gathered, {"axis": Whole(), "batch_dims": OneOf((0,))}),
    "DEPTH_TO_SPACE": (depth_to_space, moved_shapes.blocks, {"block_size": SIZE}),
    "SPACE_TO_DEPTH": (depth_to_space, moved_shapes.blocks, {"block_size": SIZE}),
}
"""Kind → emitter, shapes, options."""

MOVING: Final[Mapping[tuple[str, str], Emitter]] = {
    (kind, dtype): Emitter(emit, _declared(kind, dtype))
    for kind, (emit, _, _) in _OPS.items()
    for dtype in DTYPES
    if kind != "SPLIT" or dtype == "int32"
}
"""(kind, arithmetic) → emitter; the first input of SPLIT is its axis."""
