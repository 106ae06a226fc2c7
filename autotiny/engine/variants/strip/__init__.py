"""Convolutions and dense layers on int8 by strips of pixels (`strip_s8.h`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from autotiny.engine.kernel import Kernel, Operand, Overlap, Site, initializer, scratch, table
from autotiny.engine.layers.constants import quantization_of
from autotiny.engine.layers.lanes import lane_stream
from autotiny.engine.layers.matrix import (
    Ints,
    Matrix,
    Tiling,
    constants,
    halfwords,
    in_pairs,
    matrix,
    why_not_fast,
    words_of,
)
from autotiny.engine.layers.patches import (
    overlap_until,
    product_overlap,
    product_shape,
    span,
    why_no_patches,
)
from autotiny.engine.layers.window import window
from autotiny.engine.variants import planes
from autotiny.engine.variants.variant import Variant
from autotiny.schedule import Way

CHANNELS = 4
"""Whose weights lie in SRAM at a time."""

FEW_PIXELS = 8
"""For so many, blocks are as fast."""

WIDE_PIXELS, WIDE_BYTES = 32, 12 << 10
"""The widest strip: as many, or of as many bytes, for which a data cache of 16 KB has room."""

NARROWEST = (12, 6, 8, 6)
"""Pixels of the narrowest of several strips, by channels behind the fours; copies of weights for
narrower ones cost what they save. Blocks, too, have to fill such channels up."""


@dataclass(frozen=True)
class Strip(Way):
    """Some pixels for each reading of the weights, which are copied to SRAM for them.

    Attributes:
        pixels: of a strip, an even number; one takes two bytes a tap of SRAM.
    """

    pixels: int


def roomy(site: Site, loads_ahead: bool) -> tuple[Strip, ...]:
    """Wider strips read the weights less often; few pixels are not worth copies of them.

    Filtering is better, and so is the plane of an image of a single channel.
    """
    if site.step.kernel.stores_factors or why_not(site):
        return ()
    if site.output.size // site.output.shape[-1] <= FEW_PIXELS:
        return ()
    shape = window(site, *site.input(1).shape[1:3]) if site.op.kind == "CONV_2D" else {}
    if shape.get("in_c") == 1 and planes.why_no_plane(shape) is None:
        return ()
    narrowest = NARROWEST[site.output.shape[-1] % CHANNELS]
    pixels, taps = site.output.size // site.output.shape[-1], site.input(1).size
    taps //= site.input(1).shape[0]
    return tuple(map(Strip, widths(pixels, taps, narrowest)))


MOST_WIDTHS = 6
"""Of strips that are measured for a layer."""


def settings(site: Site) -> tuple[Strip, ...]:
    """Widths of strips from the widest to the narrowest, a few of those between."""
    if why_not(site):
        return ()
    pixels = site.output.size // site.output.shape[-1]
    taps = site.input(1).size // site.input(1).shape[0]
    every = list(widths(pixels, taps, NARROWEST[site.output.shape[-1] % CHANNELS]))
    kept = np.linspace(0, len(every) - 1, min(len(every), MOST_WIDTHS)).round().astype(int)
    return tuple(Strip(every[k]) for k in kept)


def widths(pixels: int, taps: int, narrowest: int) -> Iterator[int]:
    """Even widths of strips, the widest first, none wider than their number asks for."""
    width = max(WIDE_PIXELS, WIDE_BYTES // (2 * taps))
    while True:
        strips = -(-pixels // width)
        width = -(-pixels // strips)
        width += width % 2
        if strips > 1 and width < narrowest:
            return
        yield width
        width = min(width * 5 // 6, width - 2)


def why_not(site: Site) -> str | None:
    """Why a layer cannot be computed by strips; None if it can."""
    if site.op.kind not in ("CONV_2D", "FULLY_CONNECTED"):
        return "only convolutions and dense layers are computed so"
    if site.fused:
        return "something is fused into it"
    if site.input(1).shape[0] < CHANNELS:
        return "it has fewer than 4 outputs"
    if site.op.kind == "CONV_2D":
        shape = window(site, *site.input(1).shape[1:3])
        if why := why_no_patches(site, shape):
            return why
    elif _product(site) is None:
        return "it is dense, and has one row"
    return why_not_fast(matrix(site))


def _product(site: Site) -> tuple[int, int, int] | None:
    """(pixels, inputs, outputs) of a layer whose inputs are read as they lie, else None."""
    shape = product_shape(site)
    if shape is None or (site.op.kind == "FULLY_CONNECTED" and shape[0] == 1):
        return None
    return shape


def emit(site: Site) -> Kernel:
    """CONV_2D or FULLY_CONNECTED."""
    if why := why_not(site):
        site.refuse(f"its strips are not computed: {why}")
    made = matrix(site)
    shape = _product(site)
    return _patches(site, made) if shape is None else _pixels(site, made, shape)


def _pixels(site: Site, made: Matrix, shape: tuple[int, int, int]) -> Kernel:
    count, depth, out = shape
    strip = _strip(site, count)
    taps = _column_pairs(made.weights)
    body = (
        f"@at_strip_pointwise_{_name(made)}_s8(x, w, y, columns, block, {strip}, {count}, "
        f"{depth}, {out},\n    {made.low}, {made.high});"
    )
    operands = (site.reads("x"), stream(site, made, taps), site.writes(), *_rooms(strip, taps))
    until = product_overlap(count, depth, out, strip)
    return Kernel(("strip_s8.h",), body, operands, {("x", "y"): Overlap(until)})


def _patches(site: Site, made: Matrix) -> Kernel:
    """Any convolution: its rows are spread to int16, and patches are copied from them."""
    shape = window(site, *site.input(1).shape[1:3])
    strip = _strip(site, shape["out_h"] * shape["out_w"])
    in_c = shape["in_c"]
    lead = shape["pad_left"] * in_c % 2
    row = lead + in_c * max(shape["pad_left"] + shape["in_w"], span(shape, "w"))
    pitch = -(-row // 2) + 1  # a row of taps may end with half a word
    zero = quantization_of(site, 0).zero_point
    rows = initializer(s=initializer(**shape), pitch=pitch, lead=lead, zero=zero)
    taps = row_pairs(made.weights, shape["k_h"])
    body = (
        f"static const at_wide_rows rows = {rows};\n"
        f"@at_strip_conv_{_name(made)}_s8(x, w, y, ring, columns, block, {strip}, &rows, "
        f"{made.low}, {made.high});"
    )
    ring = scratch("ring", 4 * shape["k_h"] * pitch, "uint32_t")
    operands = (
        site.reads("x"),
        stream(site, made, taps),
        site.writes(),
        ring,
        *_rooms(strip, taps),
    )
    until = overlap_until(site, shape, ring=True, pixels=strip)
    return Kernel(("strip_s8.h",), body, operands, {("x", "y"): Overlap(until)})


def _strip(site: Site, pixels: int) -> int:
    """The pixels of a strip, no more than there are."""
    wanted = site.way(Strip).pixels
    if wanted < 2 or wanted % 2:
        site.refuse(f"strips of {wanted} pixels are not computed; an even number is")
    return min(wanted, pixels + pixels % 2)


def finish(made: Matrix) -> str:
    """What follows the accumulators: "cap" where only the upper bound counts."""
    only_above = made.finish == "clamp" and made.swallows_negatives and made.low == -128
    return "cap" if only_above else made.finish


def _name(made: Matrix) -> str:
    """Of the function for a finish, with channels that do not fill fours or without."""
    return finish(made) + ("_rest" if len(made.bias) % CHANNELS else "")


def _column_pairs(weights: Ints) -> Ints:
    """(outputs, pairs, 2): taps in the order of `at_two_columns`."""
    words = weights.shape[1] // 4 * 4
    return np.concatenate((in_pairs(weights[:, :words]), row_pairs(weights[:, words:], 1)), axis=1)


def row_pairs(weights: Ints, rows: int) -> Ints:
    """(outputs, pairs, 2): taps in their order, each row of a filter filled up to whole pairs."""
    by_row = weights.reshape(len(weights), rows, -1)
    filled = np.pad(by_row, ((0, 0), (0, 0), (0, by_row.shape[2] % 2)))
    pairs: Ints = filled.reshape(len(weights), -1, 2)
    return pairs


def stream(site: Site, made: Matrix, taps: Ints) -> Operand:
    """The weights in lanes, four channels at a time, then one or two by themselves.

    Where three are left, they come with the one before them, which is computed twice.
    """
    channels = np.arange(len(taps))
    fours = channels[: len(taps) // CHANNELS * CHANNELS]
    alone = channels[len(fours) :]
    if len(alone) == CHANNELS - 1:
        fours, alone = np.concatenate((fours, channels[-CHANNELS:])), alone[:0]
    parts = [lane_stream(made.of(fours), taps[fours], Tiling(len(fours), CHANNELS, CHANNELS))]
    for channel in alone:
        one = slice(channel, channel + 1)
        words = halfwords(2 * taps[one]).reshape(-1)
        parts.append(words_of(np.concatenate((2 * made.bias[one], words, constants(made, one)))))
    if not len(alone) and taps.shape[1] % 2:  # the copy of the last block reads fours of words
        parts.append(np.zeros(2, np.uint32))
    return table("w", np.concatenate(parts), site.step.weights.memory)


def _rooms(strip: int, taps: Ints) -> tuple[Operand, Operand]:
    """Scratch for the columns, two words behind them that are read ahead, and for a block."""
    pairs = taps.shape[1]
    return (
        scratch("columns", 4 * (strip * pairs + 2), "uint32_t"),
        block(taps),
    )


def block(taps: Ints) -> Operand:
    """Scratch for the weights of four channels as pairs, their start values and constants."""
    return scratch("block", 4 * (16 + CHANNELS * taps.shape[1]), "uint32_t")


VARIANT = Variant(
    Strip,
    __name__,
    why_not,
    emit,
    ("strip_s8.h", "strip_run_s8.h", "strip_order_s8.h"),
    roomy,
    settings=settings,
)
