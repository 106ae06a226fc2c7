"""How much of its score a best point may lose."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from autotiny.errors import UserError, shown
from autotiny.tasks.metrics import Metric

USUAL_POINTS = 0.01
"""Of a metric in percent."""

USUAL_SHARE = 0.05
"""Of an error, as a share of the original's."""


@dataclass(frozen=True)
class Drop:
    """How much of its score a best point may lose.

    Attributes:
        amount: in the metric's own unit, or as a share of the original's score.
        relative: whether it is such a share.
    """

    amount: float
    relative: bool = False

    def of(self, score: float) -> float:
        """How much that is of a score, in its unit."""
        return self.amount * abs(score) if self.relative else self.amount

    def text(self, metric: Metric) -> str:
        """For the reader: "1 %", of an accuracy or of an error, or "0.02" of an error."""
        share = self.relative or metric.percent
        return f"{100 * self.amount:g} %" if share else f"{self.amount:g}"


def wanted_drop(
    metric: Metric, score_drop: str | float | None, accuracy_drop: float | None
) -> Drop:
    """What a user allows.

    Args:
        metric: what is scored by.
        score_drop: a number in the metric's unit; or text: "0.02", or "2%", which are percentage
            points of a metric in percent, and of an error a share of the original's.
        accuracy_drop: a number in [0, 1], of metrics in percent.

    Raises:
        UserError: it is none, or both are given, or the metric is no share.
    """
    if accuracy_drop is not None and score_drop is not None:
        raise UserError("accuracy_drop and score_drop exclude each other; give one of them")
    if accuracy_drop is not None:
        if not metric.percent:
            raise UserError(
                f"accuracy_drop is for scores in percent, and {metric.title} is none; give "
                "--score-drop, e.g. 5% of the original's or an amount in its unit"
            )
        return Drop(accuracy_drop)
    if score_drop is None:
        return Drop(USUAL_POINTS) if metric.percent else Drop(USUAL_SHARE, relative=True)
    found = re.fullmatch(r"([0-9.eE+-]+)\s*(%?)", str(score_drop).strip())
    try:
        amount = float(found[1]) if found else math.nan
    except ValueError:
        amount = math.nan
    share = bool(found and found[2])
    amount = amount / 100 if share else amount
    if not 0 <= amount < math.inf or (metric.percent and amount > 1):
        raise UserError(
            f"score_drop = {shown(score_drop)}; it must be an amount of {metric.title} such as "
            f"{0.01 if metric.percent else 0.5}, or a percentage such as 2%"
        )
    return Drop(amount, relative=share and not metric.percent)
