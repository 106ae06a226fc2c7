"""Ops that only move elements: slices, paddings, transpositions, joining and splitting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from autotiny.engine import shapes
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
from autotiny.engine.kernel import Emit, Kernel, Operand, Site, table
from autotiny.engine.ops.shape import DTYPES, as_part, as_whole
from autotiny.engine.shapes import axis_of, whole
from autotiny.graph import ITEM_BYTES, DType

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


def _kernel(lines: Sequence[str], *operands: Operand) -> Kernel:
    body = "\n".join(line for line in lines if line)
    return Kernel(("move.h",), body or "(void)x;\n(void)y;", operands)


def slice_(site: Site) -> Kernel:
    """SLICE by constant begins and sizes."""
    x, y = site.input(0), site.output
    begin = whole(site, 1)
    strides = steps(x.shape, _item(site))
    offset = sum(b * s for b, s in zip(begin, strides, strict=True))
    if alias := as_part(site, offset):
        return alias
    line = move(site, y.shape, strides, steps(y.shape, _item(site)), _item(site), _at("x", offset))
    return _kernel([line], site.reads("x"), site.writes())


def strided_slice(site: Site) -> Kernel:
    """STRIDED_SLICE by constants, with all its masks but ellipsis and new axes."""
    x = site.input(0)
    firsts, counts, taken = shapes.strided_box(site)
    apart = steps(x.shape, _item(site))
    strides = [step * size for step, size in zip(taken, apart, strict=True)]
    offset = sum(first * size for first, size in zip(firsts, apart, strict=True))
    line = move(site, counts, strides, steps(counts, _item(site)), _item(site), _at("x", offset))
    return _kernel([line], site.reads("x"), site.writes())


def transpose(site: Site) -> Kernel:
    """TRANSPOSE by a constant permutation."""
    x, y = site.input(0), site.output
    axes = [axis % len(x.shape) for axis in whole(site, 1)]
    strides = steps(x.shape, _item(site))
    line = move(site, y.shape, [strides[a] for a in axes], steps(y.shape, _item(site)), _item(site))
    return _kernel([line], site.reads("x"), site.writes())


def concatenation(site: Site) -> Kernel:
    """CONCATENATION of tensors of one scale."""
    y = site.output
    axis = axis_of(site, site.option("axis", 0), len(y.shape))
    parts = [site.input(i) for i in range(len(site.op.inputs))]
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
    axis = axis_of(site, whole(site, 0 if site.op.kind == "SPLIT" else 2)[0], len(x.shape))
    parts = [site.graph.tensors[index] for index in site.op.outputs]
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
    axis = axis_of(site, site.option("axis", 0), len(y.shape))
    parts = [site.input(i) for i in range(len(site.op.inputs))]
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
    axis = axis_of(site, site.option("axis", 0), len(x.shape))
    parts = [site.graph.tensors[index] for index in site.op.outputs]
    item = ITEM_BYTES[x.dtype]
    strides = steps(x.shape, item)
    step = strides.pop(axis)
    lines = [
        move(site, part.shape, strides, steps(part.shape, item), item, _at("x", i * step), f"y{i}")
        for i, part in enumerate(parts)
    ]
    return _kernel(lines, site.reads("x"), *(site.writes(f"y{i}", i) for i in range(len(parts))))


def pad(site: Site) -> Kernel:
    """PAD and PADV2: the zero-point, or a constant, around the input."""
    x, y = site.input(0), site.output
    zero = y.quantization.zero_point if y.quantization is not None else 0
    value = np.array([zero]).astype(y.dtype)
    if site.op.kind == "PADV2":
        value = site.constant(2).reshape(-1)
        if value.size != 1:
            site.refuse(f"its value has {value.size} elements")
    strides = steps(y.shape, _item(site))
    offset = sum(before * s for (before, _), s in zip(shapes.paddings(site), strides, strict=True))
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
    item, paddings = _item(site), shapes.paddings(site)
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
    x, indices = site.input(0), site.input(1)
    axis = axis_of(site, site.option("axis", 0), len(x.shape))
    outer = int(np.prod(x.shape[:axis], dtype=np.int64))
    inner = int(np.prod(x.shape[axis + 1 :], dtype=np.int64)) * _item(site)
    body = f"at_gather(x, index, y, {outer}, {indices.size}, {x.shape[axis]}, {inner}u);"
    return _kernel([body], site.reads("x"), site.reads("index", 1), site.writes())


def depth_to_space(site: Site) -> Kernel:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH: a transposition of six dimensions."""
    x, y = site.input(0), site.output
    block, item = site.option("block_size", 1), _item(site)
    down = site.op.kind == "SPACE_TO_DEPTH"
    _, h, w, c = y.shape if down else x.shape  # the side with more channels
    small = c // (block * block)
    deep = steps((h, w, block, block, small), item)
    wide = steps((h, block, w, block, small), item)
    wide = [wide[0], wide[2], wide[1], wide[3], wide[4]]
    pair = (wide, deep) if down else (deep, wide)
    line = move(site, (h, w, block, block, small), *pair, item)
    return _kernel([line], site.reads("x"), site.writes())


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
    "SLICE": (slice_, shapes.sliced, {}),
    "STRIDED_SLICE": (
        strided_slice,
        shapes.strided,
        {
            "begin_mask": _MASK,
            "end_mask": _MASK,
            "shrink_axis_mask": _MASK,
            "ellipsis_mask": OneOf((0,)),
            "new_axis_mask": OneOf((0,)),
            "offset": FLAG,
        },
    ),
    "TRANSPOSE": (transpose, shapes.transposed, {}),
    "CONCATENATION": (concatenation, shapes.joined, {"axis": Whole(), **NO_ACTIVATION}),
    "SPLIT": (split, shapes.split, {"num_splits": Ignored(int)}),
    "SPLIT_V": (split, shapes.split, {"num_splits": Ignored(int)}),
    "PACK": (pack, shapes.packed, {"axis": Whole(), "values_count": Ignored(int)}),
    "UNPACK": (unpack, shapes.unpacked, {"axis": Whole(), "num": Ignored(int)}),
    "PAD": (pad, shapes.padded, {}),
    "PADV2": (pad, shapes.padded, {}),
    "MIRROR_PAD": (mirror_pad, shapes.padded, {"mode": OneOf(("REFLECT", "SYMMETRIC"))}),
    "GATHER": (gather, shapes.gathered, {"axis": Whole(), "batch_dims": OneOf((0,))}),
    "DEPTH_TO_SPACE": (depth_to_space, shapes.blocks, {"block_size": SIZE}),
    "SPACE_TO_DEPTH": (depth_to_space, shapes.blocks, {"block_size": SIZE}),
}
"""Kind → emitter, shapes, options."""

MOVING: Final[Mapping[tuple[str, str], Emitter]] = {
    (kind, dtype): Emitter(emit, _declared(kind, dtype))
    for kind, (emit, _, _) in _OPS.items()
    for dtype in DTYPES
    if kind != "SPLIT" or dtype == "int32"
}
"""(kind, arithmetic) → emitter; the first input of SPLIT is its axis."""
