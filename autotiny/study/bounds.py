"""What is asked of a firmware besides that it fits: at most so much, at least such a score.

A bound on what a firmware takes is judged as the target's memory is, before any training; one on
the score once that is known. What other programs take of the chip is none of the target's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from autotiny.checked import near_to
from autotiny.errors import UserError, shown, unknown
from autotiny.metrics import STACK_MARGIN_BYTES, Cost, missing, overshoot
from autotiny.target import Target
from autotiny.tasks import TASKS, Metric, Several
from autotiny.units import ENERGY, SIZE, TIME, Quantity, amount, size_bytes

Amounts: TypeAlias = str | Sequence[str] | Mapping[str, Any]
"""Names with values: `{"latency": "20ms"}`, "latency=20ms,flash=60K", or a list of such texts."""

Side: TypeAlias = Literal["max", "min"]

ROUNDING = 1e-9
"""What a score may lack by the way it was computed."""


@dataclass(frozen=True)
class Figure:
    """Something that a firmware takes, and that can be bounded.

    Attributes:
        quantity: what it is counted in.
        of: its value for a cost on a target.
    """

    quantity: Quantity
    of: Callable[[Cost, Target], float]


def worst_latency_ms(cost: Cost, target: Target) -> float:
    """Time of the slowest inference: the first after reset, with cold caches, as a rule."""
    return max(cost.latency_ms, 1000 * cost.cold_cycles / target.clock_hz)


FIGURES = {
    "latency": Figure(TIME, lambda cost, target: cost.latency_ms),
    "worst_latency": Figure(TIME, worst_latency_ms),
    "flash": Figure(SIZE, lambda cost, target: cost.flash_bytes),
    "sram": Figure(SIZE, lambda cost, target: cost.sram_bytes),
    "energy": Figure(ENERGY, lambda cost, target: cost.energy_estimated_mj),
}
"""What can be bounded before a network is trained, by its name."""


@dataclass(frozen=True)
class Bound:
    """One thing that is asked.

    Attributes:
        name: of `FIGURES`, or of the metric.
        side: whether it may be no more, or no less.
        limit: in bytes, milliseconds, millijoules, or the metric's own unit.
        unit: that the user gave it in.
        factor: how much one such unit is.
    """

    name: str
    side: Side
    limit: float
    unit: str = ""
    factor: float = 1.0

    def value(self, cost: Cost, target: Target, score: float | None) -> float | None:
        """What a firmware has of it; None where its score is not known."""
        figure = FIGURES.get(self.name)
        return score if figure is None else figure.of(cost, target)

    def excess(self, value: float) -> float:
        """By how much a value misses; zero or less where it does not."""
        if self.name in FIGURES:
            return value - self.limit
        return (value - self.limit) * (1 if self.side == "max" else -1) - ROUNDING

    def text(self, value: float) -> str:
        """A value in the unit that the user gave."""
        if self.unit == "bytes":
            return f"{value:,.0f} byte{'s' * (value != 1)}"
        return f"{value / self.factor:.4g} {self.unit}".rstrip()

    def missed(self, value: float) -> str:
        """By how much a value misses, in words."""
        word = "above" if self.side == "max" else "below"
        return f"{self.text(abs(value - self.limit))} {word} {self._limit}"

    @property
    def _limit(self) -> str:
        """The limit with all its digits."""
        if self.unit == "bytes":
            return self.text(self.limit)
        return f"{self.limit / self.factor:.10g} {self.unit}".rstrip()

    def __str__(self) -> str:
        return f"{self.name} at {'most' if self.side == 'max' else 'least'} {self._limit}"


@dataclass(frozen=True)
class Reserve:
    """What of a target belongs to other programs.

    Attributes:
        flash: bytes.
        sram: bytes.
        stack: bytes below the deepest stack that was measured, beyond `STACK_MARGIN_BYTES`.
    """

    flash: int = 0
    sram: int = 0
    stack: int = 0

    def beside(self, cost: Cost) -> Cost:
        """A cost with what the others take."""
        return replace(
            cost,
            flash_bytes=cost.flash_bytes + self.flash,
            sram_bytes=cost.sram_bytes + self.sram + self.stack,
        )

    def __str__(self) -> str:
        named = {"flash": self.flash, "SRAM": self.sram, "stack": self.stack}
        return ", ".join(f"{size:,} bytes of {name}" for name, size in named.items() if size)

    @property
    def beside_text(self) -> str:
        """The same behind the name of a target; "" where nothing is reserved."""
        return f" beside {self} that are reserved" if str(self) else ""


NOTHING = Reserve()


@dataclass(frozen=True)
class Bounds:
    """All that is asked.

    Attributes:
        each: the bounds, sorted by name.
        reserve: what of the target belongs to others.
    """

    each: tuple[Bound, ...] = ()
    reserve: Reserve = NOTHING

    @property
    def of_costs(self) -> tuple[Bound, ...]:
        """Those that are known before training."""
        return tuple(bound for bound in self.each if bound.name in FIGURES)

    @property
    def score_limit(self) -> float | None:
        """The worst score that is taken; None where any is."""
        return next((bound.limit for bound in self.each if bound.name not in FIGURES), None)

    def most_bytes(self, target: Target) -> dict[str, int]:
        """What a firmware may take of flash and SRAM; 0 for all that the target has."""
        has = {"flash": target.flash_bytes, "sram": target.sram_bytes - STACK_MARGIN_BYTES}
        reserved = {"flash": self.reserve.flash, "sram": self.reserve.sram + self.reserve.stack}
        asked = {bound.name: int(bound.limit) for bound in self.of_costs}
        left = {name: min(has[name] - reserved[name], asked.get(name, has[name])) for name in has}
        return {name: most if most < has[name] else 0 for name, most in left.items()}

    def excess(self, cost: Cost, target: Target, score: float | None = None) -> dict[str, float]:
        """By how much a firmware misses what is asked; zero or less where it does not.

        Of the target as `overshoot` counts it, of a bound as a share of it.
        """
        found: dict[str, float] = dict(overshoot(self.reserve.beside(cost), target))
        for bound in self.each:
            value = bound.value(cost, target, score)
            if value is not None:
                share = bound.excess(value) / (abs(bound.limit) or 1)
                found[f"{bound.side} {bound.name}"] = share
        return found

    def missed(self, cost: Cost, target: Target, score: float | None = None) -> list[str]:
        """The same in words; empty where nothing is missed."""
        beside = " beside what is reserved" if self.reserve != NOTHING else ""
        lacking = missing(overshoot(self.reserve.beside(cost), target))
        words = [f"misses {target.name}{beside} by {' and '.join(lacking)}"] if lacking else []
        for bound in self.each:
            value = bound.value(cost, target, score)
            if value is not None and bound.excess(value) > 0:
                words.append(f"{bound.name} is {bound.text(value)}, {bound.missed(value)}")
        return words

    @property
    def texts(self) -> tuple[str, ...]:
        """What is asked, in words."""
        reserved = str(self.reserve)
        return (*map(str, self.each), *([f"{reserved} reserved"] if reserved else []))

    def __str__(self) -> str:
        return ", ".join(self.texts) or "none"


NO_BOUNDS = Bounds()


def wanted_bounds(
    target: Target,
    metric: Metric | None,
    at_most: Amounts | None = None,
    at_least: Amounts | None = None,
    reserve: Amounts | None = None,
) -> Bounds:
    """What a user asks of a firmware.

    Args:
        target: the microcontroller.
        metric: what is scored by; None where that is not known yet, and scores are only read.
        at_most: as `--max` takes it.
        at_least: as `--min` takes it.
        reserve: as `--reserve` takes it.

    Raises:
        UserError: a name is unknown or stands there twice, a value is no such amount, or the target
            has less than is reserved.
    """
    bounds = [_bound("max", name, value, metric) for name, value in _entries("max", at_most)]
    bounds += [_bound("min", name, value, metric) for name, value in _entries("min", at_least)]
    _refuse_twice([bound.name for bound in bounds], "bound")
    ordered = tuple(sorted(bounds, key=lambda bound: bound.name))
    return Bounds(ordered, reserved(target, reserve))


def _entries(option: str, asked: Amounts | None) -> list[tuple[str, str]]:
    """Names and values, as text."""
    if asked is None:
        return []
    if isinstance(asked, Mapping):
        return [(str(name).strip(), str(value).strip()) for name, value in asked.items()]
    texts = asked if isinstance(asked, Sequence) and not isinstance(asked, str) else [asked]
    found = []
    for entry in (part for text in texts for part in str(text).split(",")):
        name, equals, value = (part.strip() for part in entry.partition("="))
        if not name or not equals or not value:
            example = "flash=64K" if option == "reserve" else "latency=20ms"
            raise UserError(
                f"cannot read {shown(entry)} of --{option}; say a name and a value, e.g. {example}"
            )
        found.append((name, value))
    return found


def _refuse_twice(names: Sequence[str], kind: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name} has two {kind}s; give one")


def _bound(side: Side, name: str, text: str, metric: Metric | None) -> Bound:
    """One bound."""
    name = {"size": "flash"}.get(name, name)  # as the objective is called
    figure = FIGURES.get(name)
    if figure is None:
        return _score_bound(side, name, text, metric)
    entry = f"--{side} {name}={text}"
    if side == "min":
        raise UserError(f"{shown(entry)}: {name} is better small; bound it by --max, not by --min")
    limit, unit = amount(figure.quantity, entry, text)
    if figure.quantity is SIZE:
        limit, unit = int(limit), "bytes"
    if limit <= 0:
        raise UserError(f"{shown(entry)}: it must be above zero; leave it out for no bound")
    return Bound(name, side, limit, unit, figure.quantity.units.get(unit.casefold(), 1))


def _score_bound(side: Side, name: str, text: str, metric: Metric | None) -> Bound:
    """A bound on the score."""
    listed = (*Several.metrics, *(one for kind in TASKS.values() for one in kind.metrics))
    known = {one.name for one in listed}
    if name != "score" and name not in known and ":" not in name:
        names = (*FIGURES, "score", *sorted(known))
        raise UserError(
            f"unknown bound {shown(name)}; {near_to(name, names)}there are {', '.join(FIGURES)}, "
            "score, and the score by the name of its metric, which 'autotiny tasks' lists"
        )
    entry = shown(f"--{side} {name}={text}")
    number = text.removesuffix("%").strip()
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise UserError(f"{entry}: a score is a number, e.g. 0.95, or 95% where it is a share")
    in_percent = text.endswith("%")
    limit = limit / 100 if in_percent else limit
    if metric is None:
        return Bound(name, side, limit)
    if name not in ("score", metric.name):
        raise UserError(f"{entry}: the score is {metric.name} here; bound that, or give --metric")
    if metric.higher != (side == "min"):
        right = "min" if metric.higher else "max"
        better = "high" if metric.higher else "small"
        raise UserError(f"{entry}: {metric.title} is better {better}; bound it by --{right}")
    if metric.percent and not 0 < limit <= 1:
        raise UserError(f"{entry}: {metric.title} is a share; say e.g. 0.95 or 95%")
    if in_percent and not metric.percent:
        raise UserError(f"{entry}: {metric.title} is no share; say a number in its unit")
    if not metric.higher and limit <= 0 and ":" not in metric.name:
        raise UserError(f"{entry}: it must be above zero; leave it out for no bound")
    return Bound(metric.name, side, limit, *(("%", 0.01) if metric.percent else ()))


def reserved(target: Target, asked: Amounts | None) -> Reserve:
    """What of a target belongs to other programs, as `--reserve` takes it.

    Raises:
        UserError: it is no such amount, or more than the target has.
    """
    entries = _entries("reserve", asked)
    _refuse_twice([name for name, _ in entries], "reserve")
    names = [entry.name for entry in fields(Reserve)]
    sizes = {}
    for name, text in entries:
        if name not in names:
            raise unknown("resource to reserve", name, names, "autotiny search --help")
        entry = f"--reserve {name}={text}"
        sizes[name] = size_bytes(entry, text)
        if sizes[name] <= 0:
            raise UserError(f"{shown(entry)}: it must be above zero; leave it out to reserve none")
    found = Reserve(**sizes)
    taken = found.sram + found.stack
    for name, size, there in (
        ("flash", found.flash, target.flash_bytes),
        ("SRAM", taken, target.sram_bytes - STACK_MARGIN_BYTES),
    ):
        if size >= there:
            raise UserError(
                f"--reserve takes {size:,} bytes of {name}, and {target.name} has {there:,} for "
                "firmware; reserve less, or choose a larger target"
            )
    return found
