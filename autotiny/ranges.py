"""What a parameter is drawn from: one value, a list of values, or the numbers between two bounds.

Whether a value makes a component is the component's to say; here stands what makes a range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from autotiny.checked import Wording, filled
from autotiny.errors import UserError, shown

DIGITS = 10
"""Digits behind the point of a number that is drawn; finer steps are lost."""


@dataclass(frozen=True)
class Fixed:
    """A parameter that is not drawn."""

    value: Any

    @property
    def corners(self) -> tuple[Any, ...]:
        """Values that stand for all that can be drawn."""
        return (self.value,)

    def holds(self, value: Any) -> bool:
        """Whether it can be drawn."""
        return bool(value == self.value)


@dataclass(frozen=True)
class Choice:
    """A parameter drawn from a list."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        """Refuses a list that leaves nothing to draw, or draws one value more often than others."""
        if not self.values:
            raise UserError("an empty list; name at least one value")
        for number, value in enumerate(self.values):
            if value in self.values[:number]:
                raise UserError(f"the list names {shown(value)} twice; name each value once")

    @property
    def corners(self) -> tuple[Any, ...]:
        """Values that stand for all that can be drawn: all of them."""
        return self.values

    def holds(self, value: Any) -> bool:
        """Whether it can be drawn."""
        return any(value == one for one in self.values)


@dataclass(frozen=True)
class Span:
    """A number drawn between two bounds, both included."""

    low: float
    high: float
    step: float | None = None
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        """Refuses bounds and steps that leave nothing to draw, or that no draw would keep."""
        low, high, step = self.low, self.high, self.step
        for name, value in (("low", low), ("high", high), ("step", step)):
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{name} is {value}; it must be a finite number")
        if low > high:
            raise UserError(f"low {shown(low)} lies above high {shown(high)}")
        if step is not None and step <= 0:
            raise UserError(f"step is {step!r}; it must be a number above 0")
        if step is not None and high > low and step > high - low:
            raise UserError(
                f"step {shown(step)} is larger than the range from {shown(low)} to {shown(high)}; "
                "make it smaller, or give the one value alone"
            )
        if step is not None and not self.whole and step < 10**-DIGITS:
            raise UserError(f"step is {step!r}; steps below {10**-DIGITS} are lost in rounding")
        if self.log and (step is not None or low <= 0):
            raise UserError("a logarithmic range starts above 0 and has no step")
        if self.whole and any(isinstance(value, float) for value in (low, high, step)):
            raise UserError(
                f"low {shown(low)}, high {shown(high)}, step {shown(step)} must be whole numbers"
            )

    @property
    def corners(self) -> tuple[Any, ...]:
        """Values that stand for all that can be drawn: the bounds, and a first step."""
        if not self.whole:
            return (float(self.low), float(self.high))
        second = min(self.low + (self.step or 1), self.high)
        return tuple(int(bound) for bound in (self.low, self.high, second))

    def holds(self, value: Any) -> bool:
        """Whether it can be drawn."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return bool(abs(steps - round(steps)) < 1e-6)

    def rounded(self, value: float) -> float:
        """A number that was drawn, as tables show it: 0.1 + 2 × 0.1 is 0.3."""
        return min(max(round(value, DIGITS), self.low), self.high)


Range = Fixed | Choice | Span


@dataclass(frozen=True)
class _Bounds:
    """A table that a parameter is drawn from."""

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False


KEYS = Wording(
    keys="keys",
    wrong="{key} is {value}; it must be {rule}",
    outside="{key} is {value}; it must be {rule}",
    choice="{key} is {value}; {near}it must be one of {choices}",
    missing="{key} is missing; it must be {rule}",
    unknown="unknown key {key!r}; {near}",
)
"""How errors about a search space read."""

_BOUNDS = replace(
    KEYS,
    wrong="{place}: {key} is {value}; it must be {rule}",
    outside="{place}: {key} is {value}; it must be {rule}",
    missing="{place} needs the numbers low and high; {key} is missing",
    unknown="unknown key of {place} {key!r}; {near}",
)


def range_from(place: str, entry: Any, hint: Any) -> Range:
    """What a search space says of a parameter: a value, a list, or a table with low and high.

    Args:
        place: what errors call it.
        entry: what stands in the file.
        hint: the type of the parameter; None where the component has none of that name.

    Raises:
        UserError: it is no range.
    """
    if isinstance(entry, list):
        return _placed(place, lambda: Choice(tuple(map(_plain, entry))))
    if not isinstance(entry, Mapping) or hint is None:
        return Fixed(entry)
    bounds = filled(_Bounds, entry, place, _BOUNDS)
    return _placed(
        place, lambda: Span(bounds.low, bounds.high, bounds.step, bounds.log, hint is int)
    )


def _plain(value: Any) -> Any:
    """A list as the tuple that a component makes of it."""
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def _placed(place: str, make: Callable[[], Range]) -> Range:
    try:
        return make()
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
