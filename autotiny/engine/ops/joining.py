"""Ops that join tensors to one, or split one: CONCATENATION, SPLIT, SPLIT_V, PACK, UNPACK."""

from __future__ import annotations

from autotiny.engine.kernel import Kernel, Site
from autotiny.engine.ops.boxes import at, item_of, move, moving, steps
from autotiny.engine.ops.shape import as_whole
from autotiny.engine.shapes import axis_of, whole
from autotiny.graph import ITEM_BYTES


def concatenation(site: Site) -> Kernel:
    """CONCATENATION of tensors of one scale."""
    y = site.output
    axis = axis_of(site, site.option("axis", 0), len(y.shape))
    parts = [site.input(i) for i in range(len(site.op.inputs))]
    strides = steps(y.shape, item_of(site))
    sizes = [one.shape[axis] * strides[axis] for one in parts]
    offsets = [sum(sizes[:i]) for i in range(len(parts))]
    if alias := as_whole(site, offsets):
        return alias
    lines = [
        move(
            site,
            one.shape,
            steps(one.shape, item_of(site)),
            strides,
            item_of(site),
            f"x{i}",
            at("y", offset),
        )
        for i, (one, offset) in enumerate(zip(parts, offsets, strict=True))
    ]
    return moving(lines, *(site.reads(f"x{i}", i) for i in range(len(parts))), site.writes())


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
            move(site, part.shape, strides, own, ITEM_BYTES[x.dtype], at("x", offset), f"y{i}")
        )
        offset += part.shape[axis] * strides[axis]
    writes = (site.writes(f"y{i}", i) for i in range(len(parts)))
    return moving(lines, site.reads("x", source), *writes)


def pack(site: Site) -> Kernel:
    """PACK: tensors of one shape along a new dimension."""
    y = site.output
    axis = axis_of(site, site.option("axis", 0), len(y.shape))
    parts = [site.input(i) for i in range(len(site.op.inputs))]
    strides = steps(y.shape, item_of(site))
    step = strides.pop(axis)
    lines = [
        move(
            site,
            part.shape,
            steps(part.shape, item_of(site)),
            strides,
            item_of(site),
            f"x{i}",
            at("y", i * step),
        )
        for i, part in enumerate(parts)
    ]
    return moving(lines, *(site.reads(f"x{i}", i) for i in range(len(parts))), site.writes())


def unpack(site: Site) -> Kernel:
    """UNPACK: a tensor for each index of a dimension."""
    x = site.input(0)
    axis = axis_of(site, site.option("axis", 0), len(x.shape))
    parts = [site.graph.tensors[index] for index in site.op.outputs]
    item = ITEM_BYTES[x.dtype]
    strides = steps(x.shape, item)
    step = strides.pop(axis)
    lines = [
        move(site, part.shape, strides, steps(part.shape, item), item, at("x", i * step), f"y{i}")
        for i, part in enumerate(parts)
    ]
    return moving(lines, site.reads("x"), *(site.writes(f"y{i}", i) for i in range(len(parts))))
