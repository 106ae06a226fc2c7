"""Depthwise convolutions with any filter, from a plane of int16 a channel (`lines_s8.h`)."""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.engine.kernel import Kernel, Site, initializer, scratch
from autotiny.engine.layers.constants import bounds_int8
from autotiny.engine.layers.matrix import channel_constants, finish_struct, matrix, why_not_fast
from autotiny.engine.layers.sharing import placed
from autotiny.engine.layers.window import window
from autotiny.engine.variants.planes import planes_struct, why_no_distance
from autotiny.engine.variants.variant import Variant
from autotiny.schedule import Way

_MOST_WORDS = 6  # of a line of the filter, for which there is code


@dataclass(frozen=True)
class Lines(Way):
    """A depthwise convolution channel by channel, four outputs of a line at a time."""

    in_model_order = True


def why_not(site: Site) -> str | None:
    """Why a depthwise convolution cannot be computed so; None if it can."""
    if site.op.kind != "DEPTHWISE_CONV_2D":
        return "it is no depthwise convolution"
    if site.fused:
        return "something is fused into it"
    shape = window(site, *site.input(1).shape[1:3])
    if shape["in_c"] != shape["out_c"]:
        return "it has several outputs a channel"
    if min(shape["k_h"], shape["k_w"]) > 2 * _MOST_WORDS - 1:
        return "its filters are too large"
    return why_no_distance(shape) or why_not_fast(matrix(site), lanes=False)


def chosen(site: Site) -> Lines | None:
    """Lines wherever they can be and spread inputs serve several outputs."""
    if why_not(site):
        return None
    shape = window(site, *site.input(1).shape[1:3])
    return Lines() if shape["k_h"] * shape["k_w"] > 2 * shape["stride_w"] else None


@dataclass(frozen=True)
class Cut:
    """How filters are cut in lines.

    Attributes:
        turned: lines are columns.
        lines, taps: of a filter, filled up with zeros.
        words: of a line.
        along: the filter has one line, cut in several that lie behind each other.
    """

    turned: bool
    lines: int
    taps: int
    words: int
    along: bool = False


def cut(shape: dict[str, int]) -> Cut:
    """The cut that takes the fewest steps for all outputs of a channel."""

    def words(taps: int) -> int:
        # At stride 1 there are pairs that begin before the first tap, too.
        return max(2, taps // 2 + 1 if shape["stride_w"] == 1 else -(-taps // 2))

    def steps(way: Cut) -> int:
        along, line = ("h", "w") if way.turned else ("w", "h")
        fours = -(-shape[f"out_{along}"] // 4)
        return shape[f"out_{line}"] * fours * (2 + way.lines * (1 + way.words))

    ways = []
    for turned, lines, taps in ((False, "k_h", "k_w"), (True, "k_w", "k_h")):
        size = shape[taps]
        ways.append(Cut(turned, shape[lines], size, words(size)))
        if shape[lines] == 1:
            parts = range(4, min(size, 2 * _MOST_WORDS), 2)
            ways += [Cut(turned, -(-size // part), part, words(part), along=True) for part in parts]
    return min((way for way in ways if way.words <= _MOST_WORDS), key=steps)


def emit(site: Site) -> Kernel:
    """DEPTHWISE_CONV_2D with filters of any size."""
    if why := why_not(site):
        site.refuse(f"its lines are not computed: {why}")
    shape = window(site, *site.input(1).shape[1:3])
    made = matrix(site)
    way = cut(shape)
    along, across = ("h", "w") if way.turned else ("w", "h")
    stride, channels = shape["stride_w"], shape["in_c"]
    # What four outputs read of a line of the plane.
    reads = -(-shape[f"out_{along}"] // 4) * 4 * stride + 2 * way.words
    if way.along:
        reads += (way.lines - 1) * way.taps
    place = placed(site, shape)
    planes, bytes_ = planes_struct(shape, site.output.shape, place.row, reads, turned=way.turned)
    distance = {"w": channels, "h": shape["k_w"] * channels}
    lines = initializer(
        lines=way.lines,
        taps=way.taps,
        last=shape[f"k_{along}"] - (way.lines - 1) * way.taps if way.along else way.taps,
        next=distance[along],
        line=way.taps * distance[along] if way.along else distance[across],
        words=way.words,
        apart=way.taps if way.along else "planes.pitch",
    )
    body = (
        f"const at_planes planes = {planes};\n"
        f"const at_filter_lines filter = {lines};\n"
        f"const at_finish finish = {finish_struct(made)};\n"
        f"@at_lines_s8(x, w, c, {place.name}, pairs, plane, {channels}, "
        f"{-bounds_int8(site)['zero']}, &filter, &planes, &finish, "
        f"at_run_line_{stride}_{way.words}_s8);{place.closing}"
    )
    operands = (
        place.x,
        site.reads("w", 1),
        channel_constants(site, made),
        site.writes(),
        scratch("pairs", 4 * way.lines * way.words * (2 if stride == 1 else 1), "int16_t"),
        scratch("plane", bytes_, "int16_t"),
    )
    headers = ("lines_s8.h", "depthwise_s8.h", "columns_s8.h")
    return Kernel(headers, body, operands, {("x", "y"): place.overlap})


VARIANT = Variant(Lines, __name__, why_not, emit, ("lines_s8.h",))
