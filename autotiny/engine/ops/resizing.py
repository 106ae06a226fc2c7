"""RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR: where each pixel comes from is known beforehand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from autotiny.engine import shapes
from autotiny.engine.declared import FLAG, Declared, Emitter, Takes, alike
from autotiny.engine.fixed_point import round_half_away
from autotiny.engine.kernel import Kernel, Site, table
from autotiny.graph import ITEM_BYTES, DType

f32 = np.float32


def nearest(site: Site) -> Kernel:
    """RESIZE_NEAREST_NEIGHBOR of any type."""
    _, in_h, in_w, depth = site.input(0).shape
    _, out_h, out_w, _ = site.output.shape
    rows = [_nearest(site, i, in_h, out_h) for i in range(out_h)]
    cols = [_nearest(site, i, in_w, out_w) for i in range(out_w)]
    run = depth * ITEM_BYTES[site.output.dtype]
    body = f"at_resize_nearest(x, y, rows, cols, {out_h}, {out_w}, {in_w}, {run}u);"
    operands = (
        site.reads("x"),
        site.writes(),
        table("rows", np.array(rows, np.int16), site.step.weights.memory),
        table("cols", np.array(cols, np.int16), site.step.weights.memory),
    )
    return Kernel(("resize.h",), body, operands)


def _nearest(site: Site, index: int, size: int, out: int) -> int:
    aligned = site.option("align_corners", False)
    half = f32(0.5 if site.option("half_pixel_centers", False) else 0.0)
    scale = f32(size - 1) / f32(out - 1) if aligned and out > 1 else f32(size) / f32(out)
    at = float((f32(index) + half) * scale)
    found = round_half_away(at) if aligned else math.floor(at)
    return max(min(found, size - 1), 0)


def bilinear_stored(site: Site) -> Kernel:
    """RESIZE_BILINEAR on int8 and int16, with distances of 10 bits."""
    _, in_h, in_w, depth = site.input(0).shape
    _, out_h, out_w, _ = site.output.shape
    name = "s8" if site.output.dtype == "int8" else "s16"
    body = f"at_resize_bilinear_{name}(x, y, rows, cols, {out_h}, {out_w}, {in_w}, {depth});"
    tables = [
        np.array([_between(site, i, size, out) for i in range(out)], np.int16)
        for size, out in ((in_h, out_h), (in_w, out_w))
    ]
    operands = (
        site.reads("x"),
        site.writes(),
        table("rows", tables[0], site.step.weights.memory),
        table("cols", tables[1], site.step.weights.memory),
    )
    return Kernel(("resize.h",), body, operands)


def _between(site: Site, index: int, size: int, out: int) -> tuple[int, int, int]:
    """(pixel before, pixel behind, distance from the first in 1/1024); divisions drop the rest."""
    scale = ((1 << 10) * size + out // 2) // out
    if site.option("align_corners", False) and out > 1:
        scale = ((1 << 10) * (size - 1) + (out - 1) // 2) // (out - 1)
    at = index * scale
    if site.option("half_pixel_centers", False):
        at += scale // 2 - (1 << 9)
    before = max(int(at / 1024), 0)
    behind = min(int((at + 1023) / 1024), size - 1)
    return before, behind, at - 1024 * before


def bilinear_float32(site: Site) -> Kernel:
    """RESIZE_BILINEAR on float32."""
    _, in_h, in_w, depth = site.input(0).shape
    _, out_h, out_w, _ = site.output.shape
    rows = [_real_between(site, i, in_h, out_h) for i in range(out_h)]
    cols = [_real_between(site, i, in_w, out_w) for i in range(out_w)]
    body = (
        f"at_resize_bilinear_f32(x, y, rows, cols, v_of, u_of, {out_h}, {out_w}, {in_w}, {depth});"
    )
    place = site.step.weights.memory
    operands = (
        site.reads("x"),
        site.writes(),
        table("rows", np.array([pixels for pixels, _ in rows], np.int16), place),
        table("cols", np.array([pixels for pixels, _ in cols], np.int16), place),
        table("v_of", np.array([distance for _, distance in rows], np.float32), place),
        table("u_of", np.array([distance for _, distance in cols], np.float32), place),
    )
    return Kernel(("resize.h",), body, operands)


def _real_between(site: Site, index: int, size: int, out: int) -> tuple[tuple[int, int], float]:
    scale = f32(size) / f32(out)
    if site.option("align_corners", False) and out > 1:
        scale = f32(size - 1) / f32(out - 1)
    at = f32(index) * scale
    if site.option("half_pixel_centers", False):
        at = (f32(index) + f32(0.5)) * scale - f32(0.5)
    before = max(math.floor(at), 0)
    return (before, min(math.ceil(at), size - 1)), float(at - f32(before))


def declared(dtype: DType) -> Declared:
    """What a resizing must be."""
    return Declared(
        inputs=(Takes("input", (dtype,), (4, 4)), Takes("size", ("int32",), (1, 1))),
        outputs=(Takes("result", (dtype,), (4, 4), scales="same"),),
        shapes=shapes.resized,
        options={"align_corners": FLAG, "half_pixel_centers": FLAG},
    )


RESIZING: Final[Mapping[tuple[str, str], Emitter]] = alike(
    declared,
    {
        ("RESIZE_NEAREST_NEIGHBOR", "int8"): nearest,
        ("RESIZE_NEAREST_NEIGHBOR", "uint8"): nearest,
        ("RESIZE_NEAREST_NEIGHBOR", "int16"): nearest,
        ("RESIZE_NEAREST_NEIGHBOR", "float32"): nearest,
        ("RESIZE_BILINEAR", "int8"): bilinear_stored,
        ("RESIZE_BILINEAR", "int16"): bilinear_stored,
        ("RESIZE_BILINEAR", "float32"): bilinear_float32,
    },
)
"""(kind, arithmetic) → emitter."""
