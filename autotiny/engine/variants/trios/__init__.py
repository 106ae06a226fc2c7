"""Int8 convolutions with two multiplications for three pixels (`trios_s8.h`).

For cores without the DSP extension; weights keep the order that they have in the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autotiny.engine.kernel import Kernel, Overlap, Site, initializer, scratch, table
from autotiny.engine.layers.matrix import Ints, channel_constants, matrix, why_not_fast
from autotiny.engine.layers.patches import (
    overlap_until,
    row_ring,
    why_no_patches,
)
from autotiny.engine.layers.window import window
from autotiny.engine.variants.variant import Variant
from autotiny.schedule import Way

TRIO, BLOCK = 3, 6
"""Pixels that are multiplied at once, at least and at most."""

LIMIT = 1 << 20
"""A sum of inputs times weights is smaller."""


@dataclass(frozen=True)
class Trios(Way):
    """Three pixels by two multiplications, six pixels at a time where there is room.

    Attributes:
        pixels: for each reading of the weights, 3 or a multiple of 6; three take 8 bytes a tap of
            SRAM.
    """

    pixels: int = BLOCK

    without_dsp = True


def roomy(site: Site, loads_ahead: bool) -> tuple[Trios, ...]:
    """Trios wherever they can be; wider strips read the weights less often."""
    return () if why_not(site) else WIDTHS


def why_not(site: Site) -> str | None:
    """Why a layer cannot be computed so; None if it can."""
    if site.op.kind != "CONV_2D":
        return "only convolutions are computed so"
    if site.fused:
        return "something is fused into it"
    if why := why_no_patches(site, window(site, *site.input(1).shape[1:3])):
        return why
    return why_not_fast(matrix(site), lanes=False)


def emit(site: Site) -> Kernel:
    """CONV_2D."""
    if why := why_not(site):
        site.refuse(f"its pixels are not computed in trios: {why}")
    shape = window(site, *site.input(1).shape[1:3])
    made = matrix(site)
    weights = np.pad(made.weights, ((0, 0), (0, -made.weights.shape[1] % 4)))
    later = (BLOCK - 2) // shape["out_w"] + 1  # rows of outputs behind the first, of a block
    strip = _strip(site, shape["out_h"] * shape["out_w"])
    rows, ring_bytes = row_ring(site, shape, slots=shape["k_h"] + later * shape["stride_h"])
    trios = initializer(rows=rows, taps=weights.shape[1], part=_part(weights), strip=strip)
    body = (
        f"static const at_trios trios = {trios};\n"
        f"@at_conv_trios_{made.finish}(x, w, c, y, {'ring' if ring_bytes else 'y'}, columns, "
        f"&trios, {made.low}, {made.high});"
    )
    operands = [
        site.reads("x"),
        table("w", weights.astype(np.int8), site.step.weights.memory),
        channel_constants(site, made),
        site.writes(),
        scratch("columns", strip // TRIO * 8 * weights.shape[1], "uint32_t"),
    ]
    operands += [scratch("ring", ring_bytes, "int8_t")] if ring_bytes else []
    until = overlap_until(site, shape, ring=bool(ring_bytes), pixels=strip)
    return Kernel(("trios_s8.h",), body, tuple(operands), {("x", "y"): Overlap(until)})


def _strip(site: Site, pixels: int) -> int:
    """The pixels of a strip, no more than there are in whole blocks."""
    wanted = site.way(Trios).pixels
    if wanted != TRIO and (wanted < BLOCK or wanted % BLOCK):
        rule = f"{TRIO}, or a multiple of {BLOCK}, are"
        site.refuse(f"strips of {wanted} pixels are not computed; {rule}")
    return min(wanted, -(-pixels // BLOCK) * BLOCK)


def _part(weights: Ints) -> int:
    """How many taps, a multiple of 4, have sums below the limit, in parts as equal as can be."""
    taps = int(weights.shape[1])
    for parts in range(1, taps // 4 + 1):
        part = -(-taps // (4 * parts)) * 4
        sums = np.add.reduceat(np.abs(weights), range(0, taps, part), axis=1)
        if (128 * sums < LIMIT).all():
            return part
    raise AssertionError("four taps stay below the limit")


WIDTHS = (Trios(24), Trios(12), Trios(), Trios(TRIO))
"""The most pixels first."""

VARIANT = Variant(
    Trios,
    __name__,
    why_not,
    emit,
    ("trios_s8.h", "trios_run_s8.h"),
    roomy,
    settings=lambda site: WIDTHS,
)
