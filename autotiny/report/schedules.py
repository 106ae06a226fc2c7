"""The front of schedules of a network: as tables, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from rich.table import Table

from autotiny.report.plot import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    framed,
    linear_axis,
    log_axis,
)
from autotiny.report.tables import WIDE, kilobytes, milliseconds, table

if TYPE_CHECKING:
    from autotiny.solver import Point, Reason

LEAST_RADIUS, MORE_RADIUS = 3.0, 9.0
"""Pixels of a dot: the least, and what the largest SRAM adds."""


def front_table(points: Sequence[Point]) -> Table:
    """One line a schedule, the fastest first; "off" is the prediction against the execution.

    Where some compute regions of the network in stripes, how many those are.
    """
    striped = any(point.regions for point in points)
    made = table(
        "point", "ms", "cycles", "off %", "flash B", "SRAM B", "off B", "gap %",
        *(["in stripes"] if striped else []),
    )  # fmt: skip
    for number, point in enumerate(points, 1):
        cost, predicted = point.cost, point.predicted
        made.add_row(
            str(number),
            milliseconds(cost.latency_ms),
            f"{cost.cycles:,}",
            f"{100 * point.cycles_error:+.1f}",
            f"{cost.flash_bytes:,}",
            f"{cost.sram_bytes:,}",
            f"{predicted.sram_bytes - cost.sram_bytes:+,}",
            f"{100 * round(predicted.gap, 6):.2g}",
            *([f"{point.regions} regions"] if striped else []),
        )
    return made


def reason_table(reasons: Sequence[Reason], width: int) -> Table:
    """How each layer of a schedule is computed, and what the next best way would cost instead.

    What that way is has no room in a narrow terminal.
    """
    wide = width >= WIDE
    made = table(
        "layer", "computed by", "cycles", "of", *(["next best"] if wide else []),
        "cycles" if wide else "next cycles", "flash B", "SRAM B",
        wraps=("layer", "computed by", "next best"),
    )  # fmt: skip
    for reason in reasons:
        other = reason.next
        cells = [reason.layer, reason.way, f"{reason.cycles:,}", str(reason.options)]
        if wide:
            cells.append(other.way if other else "–")
        if other:
            more = (other.cycles, other.flash_bytes, other.sram_bytes)
            cells += [f"{value:+,}" for value in more]
        made.add_row(*cells)
    return made


def front_svg(points: Sequence[Point], title: str) -> str:
    """Flash over latency; the area of a dot grows with its SRAM."""
    across = log_axis([point.cost.latency_ms for point in points])
    up = linear_axis([point.cost.flash_bytes / 1024 for point in points])
    most = max(point.cost.sram_bytes for point in points)
    bottom = HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" fill="#222222">{escape(title)}</text>',
    ]
    parts += framed(across, up, "flash, KB")
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="40" text-anchor="end" fill="#555555">area of a dot: SRAM, '
        f"the largest {kilobytes(most)} KB</text>"
    )
    for number, point in enumerate(points, 1):
        cost = point.cost
        x = LEFT + across.share(cost.latency_ms) * (WIDTH - LEFT - RIGHT)
        y = bottom - up.share(cost.flash_bytes / 1024) * (bottom - TOP)
        radius = LEAST_RADIUS + MORE_RADIUS * (cost.sram_bytes / most) ** 0.5
        hint = (
            f"point {number}: {milliseconds(cost.latency_ms)} ms, {cost.flash_bytes:,} bytes of "
            f"flash, {cost.sram_bytes:,} of SRAM"
        )
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="#0b6e4f" '
            f'fill-opacity="0.55"><title>{hint}</title></circle>'
        )
    return "\n".join([*parts, "</svg>", ""])
