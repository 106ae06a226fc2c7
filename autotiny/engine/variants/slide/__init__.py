"""Int8 convolutions with few channels, read where their rows lie (`slide_s8.h`)."""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.engine.kernel import Kernel, Overlap, Site, scratch
from autotiny.engine.layers.constants import quantization_of
from autotiny.engine.layers.matrix import finish_struct, matrix
from autotiny.engine.layers.patches import overlap_until, span
from autotiny.engine.layers.window import window, window_struct
from autotiny.engine.variants import planes, strip
from autotiny.engine.variants.variant import Variant
from autotiny.schedule import Way

MOST_STEPS = 32
"""Pairs of taps: each takes 56 bytes of code, once for every such layer."""

CACHED_STEPS = 10
"""Of which an instruction cache of 1 KB, as the STM32L4 and F4 have, holds a round."""

LONG_ROW = 12
"""Pixels: weights are copied for each row of outputs."""

FARTHEST = 4095
"""Bytes from a pair of pixels to the last of their words, as an instruction holds them."""


@dataclass(frozen=True)
class Slide(Way):
    """Patches are not copied: the window slides over rows that are spread to int16."""


def roomy(site: Site) -> tuple[Slide, ...]:
    """Where patches overlap in long rows; the plane of an image of a single channel is better."""
    if site.step.kernel.stores_factors or why_not(site):
        return ()
    shape = window(site, *site.input(1).shape[1:3])
    if shape["k_h"] * shape["k_w"] == 1 or shape["out_w"] < LONG_ROW:
        return ()
    if shape["in_c"] == 1 and planes.why_no_plane(shape) is None:
        return ()
    return (Slide(),)


def why_not(site: Site) -> str | None:
    """Why a layer cannot be computed so; None if it can."""
    if site.op.kind != "CONV_2D":
        return "only convolutions are computed so"
    if site.input(1).shape[0] % strip.CHANNELS:
        return "its outputs are no multiple of 4"
    if why := strip.why_not(site):
        return why
    shape = window(site, *site.input(1).shape[1:3])
    if shape["k_h"] * _words(shape) > MOST_STEPS:
        return f"a filter has more than {MOST_STEPS} pairs of taps"
    step, pitch = shape["stride_w"] * shape["in_c"], 4 * _pitch(shape)
    beside = (step % 2) * shape["k_h"] * pitch + 2 * step + 2
    last = (shape["k_h"] - 1) * pitch + 4 * _words(shape)
    if max(last + beside, shape["k_h"] * pitch // 2 + 1, 4 * step) > FARTHEST:
        return "its rows lie too far apart"
    return None


def emit(site: Site) -> Kernel:
    """CONV_2D."""
    if why := why_not(site):
        site.refuse(f"its window does not slide: {why}")
    shape = window(site, *site.input(1).shape[1:3])
    made = matrix(site)
    pitch = _pitch(shape)
    zero = quantization_of(site, 0).zero_point
    finish = finish_struct(made, strip.finish(made))
    body = (
        f"at_slide_conv(x, w, y, rows, block, {window_struct(shape)}, {pitch}, {_at_once(shape)}, "
        f"{zero},\n    {finish});"
    )
    taps = strip.row_pairs(made.weights, shape["k_h"])
    copies = 1 + shape["stride_w"] * shape["in_c"] % 2
    operands = (
        site.reads("x"),
        strip.stream(site, made, taps),
        site.writes(),
        scratch("rows", 4 * copies * shape["k_h"] * pitch, "uint32_t"),
        strip.block(taps),
    )
    until = overlap_until(site, shape, ring=True, pixels=shape["out_w"])
    return Kernel(("slide_s8.h",), body, operands, {("x", "y"): Overlap(until)})


def _words(shape: dict[str, int]) -> int:
    """Pairs of taps of a row of a filter."""
    return -(-shape["k_w"] * shape["in_c"] // 2)


def _at_once(shape: dict[str, int]) -> int:
    """Rows of a filter, a divisor of all, whose steps a small cache holds beside the rest."""
    rows = range(shape["k_h"], 1, -1)
    fitting = (n for n in rows if shape["k_h"] % n == 0 and n * _words(shape) <= CACHED_STEPS)
    return next(fitting, 1)


def _pitch(shape: dict[str, int]) -> int:
    """Words of a row, a multiple of 4; what is read behind the last pixel is part of it.

    The second pixel of a last pair that is none, half a word behind taps, a word read ahead.
    """
    step = shape["stride_w"] * shape["in_c"]
    row = shape["in_c"] * max(shape["pad_left"] + shape["in_w"], span(shape, "w")) + step + 4
    return -(-row // 8) * 4


VARIANT = Variant(Slide, __name__, why_not, emit, ("slide_s8.h", "slide_run_s8.h"), roomy)
