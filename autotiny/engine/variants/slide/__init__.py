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
"""Pairs of taps: each takes up to 56 bytes of code, once for every such layer."""

MOST_IN_ROW = 31
"""Pairs of taps: eight bytes each, over which an instruction moves a register, 255 at most."""

CACHED_STEPS = 10
"""Of which an instruction cache of 1 KB, as the STM32L4 and F4 have, holds a round."""

ROWS = 8, 4, 2, 1
"""Of outputs, for each copy of the weights: as many as there is room for."""

LONG_ROW = 12
"""Pixels: weights are copied for each row of outputs."""

FARTHEST = 4095
"""Bytes from a pair of pixels to the last of their words, as an instruction holds them."""


@dataclass(frozen=True)
class Slide(Way):
    """Patches are not copied: the window slides over rows that are spread to int16.

    Attributes:
        rows: of outputs, for each copy of the weights to SRAM.
    """

    rows: int = 1


def roomy(site: Site, loads_ahead: bool) -> tuple[Slide, ...]:
    """Where patches overlap in long rows; the plane of an image of a single channel is better."""
    if site.step.kernel.stores_factors or why_not(site):
        return ()
    shape = window(site, *site.input(1).shape[1:3])
    if shape["k_h"] * shape["k_w"] == 1 or shape["out_w"] < LONG_ROW:
        return ()
    if shape["in_c"] == 1 and planes.why_no_plane(shape) is None:
        return ()
    return tuple(map(Slide, ROWS))


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
    if _words(shape) > MOST_IN_ROW:
        return f"a row of a filter has more than {MOST_IN_ROW} pairs of taps"
    _, pitch, copies = _layout(shape)
    step = shape["stride_w"] * shape["in_c"]
    last = (shape["k_h"] - 1) * 4 * pitch + 4 * copies * _words(shape) + 2 * step + 4
    if max(last, 4 * pitch, 4 * copies * step) > FARTHEST:
        return "its rows lie too far apart"
    return None


def emit(site: Site) -> Kernel:
    """CONV_2D."""
    if why := why_not(site):
        site.refuse(f"its window does not slide: {why}")
    shape = window(site, *site.input(1).shape[1:3])
    made = matrix(site)
    lead, pitch, _ = _layout(shape)
    at_once = _at_once(site, shape)
    zero = quantization_of(site, 0).zero_point
    body = (
        f"at_slide_conv(x, w, y, rows, block, {window_struct(shape)}, {at_once}, {pitch}, {lead}, "
        f"{_in_code(shape)},\n    {zero}, {finish_struct(made, strip.finish(made))});"
    )
    taps = strip.row_pairs(made.weights, shape["k_h"])
    under = shape["k_h"] + (at_once - 1) * shape["stride_h"]
    operands = (
        site.reads("x"),
        strip.stream(site, made, taps),
        site.writes(),
        scratch("rows", 4 * under * pitch, "uint32_t"),
        strip.block(taps),
    )
    until = overlap_until(site, shape, ring=True, pixels=at_once * shape["out_w"])
    return Kernel(("slide_s8.h",), body, operands, {("x", "y"): Overlap(until)})


def _words(shape: dict[str, int]) -> int:
    """Pairs of taps of a row of a filter."""
    return -(-shape["k_w"] * shape["in_c"] // 2)


def _at_once(site: Site, shape: dict[str, int]) -> int:
    """Rows of outputs at a time, no more than there are."""
    rows = site.way(Slide).rows
    if rows < 1:
        site.refuse(f"{rows} rows at a time are not computed")
    return min(rows, shape["out_h"])


def _in_code(shape: dict[str, int]) -> int:
    """Rows of a filter, a divisor of all, whose steps a small cache holds beside the rest."""
    rows = range(shape["k_h"], 1, -1)
    fitting = (n for n in rows if shape["k_h"] % n == 0 and n * _words(shape) <= CACHED_STEPS)
    return next(fitting, 1)


def _layout(shape: dict[str, int]) -> tuple[int, int, int]:
    """(words before a row, words of a row with them, how often int16 stand in it).

    A row is a multiple of 4 words. What is read behind the last pixel is part of it: the second
    pixel of a last pair that is none, half a word behind taps, a word read ahead.
    """
    step, padding = shape["stride_w"] * shape["in_c"], shape["pad_left"] * shape["in_c"]
    row = shape["in_c"] * max(shape["pad_left"] + shape["in_w"], span(shape, "w")) + step + 4
    copies = 1 + step % 2
    lead = max(0, -((padding - step) // 2)) if copies == 2 else 0
    return copies * lead, -(-copies * (lead + -(-row // 2)) // 4) * 4, copies


VARIANT = Variant(
    Slide,
    __name__,
    why_not,
    emit,
    ("slide_s8.h", "slide_run_s8.h"),
    roomy,
    settings=lambda site: tuple(map(Slide, ROWS)),
)
