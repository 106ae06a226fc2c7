"""The front as a picture: an SVG that any browser and README shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from xml.sax.saxutils import escape

from autotiny.tasks import Metric

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 48, 56
"""Pixels of the whole picture, and from its edges to the axes."""

COLOURS = {"front": "#0b6e4f", "other": "#b9c0c7", "baseline": "#c44536"}


@dataclass(frozen=True)
class Dot:
    """One measured firmware.

    Attributes:
        x: latency in ms.
        y: score.
        weight: flash in bytes; the dot's area grows with it.
        kind: what it is.
        label: short, beside the dot; empty for none.
        hint: long, shown when the mouse rests on it.
    """

    x: float
    y: float
    weight: float
    kind: Literal["front", "other", "baseline"]
    label: str = ""
    hint: str = ""


def pareto_svg(dots: Sequence[Dot], title: str, metric: Metric) -> str:
    """Score over latency, the better the higher; the same dots give the same text."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" fill="#222222">{escape(title)}</text>',
    ]
    if dots:
        parts += _drawn(dots, metric)
    else:
        parts.append(
            f'<text x="{LEFT}" y="{HEIGHT / 2:.0f}" fill="#222222">nothing measured</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _drawn(dots: Sequence[Dot], metric: Metric) -> list[str]:
    across = log_axis([dot.x for dot in dots])
    up = linear_axis([dot.y for dot in dots])
    if not metric.higher:
        up = replace(up, low=up.high, high=up.low)
    largest = max(dot.weight for dot in dots) or 1.0

    def place(dot: Dot) -> tuple[float, float]:
        x = LEFT + across.share(dot.x) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - up.share(dot.y) * (HEIGHT - TOP - BOTTOM)
        return x, y

    parts = _frame(across, up, metric)
    # A point dominates everything to its right and below: the front of these two figures is a
    # staircase. A point that is on the front for a third figure does not stand on it.
    steps: list[str] = []
    highest = -math.inf
    for dot in sorted(
        (dot for dot in dots if dot.kind == "front"),
        key=lambda dot: (dot.x, -metric.sign * dot.y),
    ):
        if metric.sign * dot.y > highest:
            highest = metric.sign * dot.y
            x, y = place(dot)
            steps.append(f"H{x:.1f} V{y:.1f}" if steps else f"M{x:.1f} {y:.1f}")
    if steps:
        parts.append(
            f'<path d="{" ".join(steps)}" fill="none" stroke="{COLOURS["front"]}" '
            'stroke-opacity="0.35" stroke-width="1.5"/>'
        )
    for dot in sorted(dots, key=lambda dot: ("other", "baseline", "front").index(dot.kind)):
        x, y = place(dot)
        radius = 3.5 + 7.5 * math.sqrt(dot.weight / largest)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{COLOURS[dot.kind]}" '
            f'fill-opacity="0.75"><title>{escape(dot.hint or dot.label)}</title></circle>'
        )
        if dot.label:
            left = x < WIDTH - 120
            parts.append(
                f'<text x="{x + (radius + 3) * (1 if left else -1):.1f}" y="{y + 4:.1f}" '
                f'text-anchor="{"start" if left else "end"}" fill="#222222">'
                f"{escape(dot.label)}</text>"
            )
    return parts


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value stands between the ends, in [0, 1]."""
        if self.log:
            low, high, value = math.log(self.low), math.log(self.high), math.log(value)
        else:
            low, high = self.low, self.high
        return (value - low) / (high - low)


def log_axis(values: Iterable[float]) -> _Axis:
    """A logarithmic axis with room for values."""
    positive = [max(value, 1e-9) for value in values]
    low, high = min(positive) / 1.25, max(positive) * 1.25
    ticks = [
        digit * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digit in ((1, 2, 5) if high / low < 1000 else (1,))
    ]
    return _Axis(low, high, tuple(tick for tick in ticks if low <= tick <= high), log=True)


def linear_axis(values: Iterable[float]) -> _Axis:
    """An axis with room for values."""
    found = list(values)
    low, high = min(found), max(found)
    margin = max((high - low) * 0.1, 0.005)
    low, high = low - margin, high + margin
    step = 10.0 ** math.floor(math.log10(high - low))
    while (high - low) / step < 4:
        step /= 2
    ticks = [step * count for count in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return _Axis(low, high, tuple(ticks))


def _frame(across: _Axis, up: _Axis, metric: Metric) -> list[str]:
    def named(tick: float) -> str:
        return f"{100 * tick:.4g} %" if metric.percent else f"{tick:.4g}"

    parts = framed(across, up, f"{metric.title} on validation", named)
    x = WIDTH - RIGHT - 278
    for kind, name, offset in (("front", "front", 0), ("baseline", "original", 56),
                               ("other", "other", 130)):  # fmt: skip
        parts.append(
            f'<circle cx="{x + offset}" cy="36" r="5" fill="{COLOURS[kind]}"/>'
            f'<text x="{x + offset + 9}" y="40" fill="#555555">{name}</text>'
        )
    parts.append(f'<text x="{x + 190}" y="40" fill="#555555">area of a dot: flash</text>')
    return parts


def framed(
    across: _Axis, up: _Axis, title: str, named: Callable[[float], str] = "{:.4g}".format
) -> list[str]:
    """Axes of latency and of something else, with their ticks.

    Args:
        across: of latency, in ms.
        up: of what `title` names.
        title: of the axis that goes up.
        named: what stands at one of its ticks.
    """
    bottom = HEIGHT - BOTTOM
    parts = []
    for tick in across.ticks:
        x = LEFT + across.share(tick) * (WIDTH - LEFT - RIGHT)
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#eeeeee"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="#555555">'
            f"{tick:.4g}</text>"
        )
    for tick in up.ticks:
        y = bottom - up.share(tick) * (bottom - TOP)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#eeeeee"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#555555">'
            f"{named(tick)}</text>"
        )
    parts.append(f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="#555555"/>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 14}" text-anchor="middle" '
        'fill="#222222">latency, ms (log scale)</text>'
    )
    parts.append(
        f'<text x="18" y="{(TOP + bottom) / 2:.0f}" text-anchor="middle" fill="#222222" '
        f'transform="rotate(-90 18 {(TOP + bottom) / 2:.0f})">{escape(title)}</text>'
    )
    return parts
