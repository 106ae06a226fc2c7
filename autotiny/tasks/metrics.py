"""Scores: what they are called, which way is better, and how they are computed.

What scikit-learn has is taken from there.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from autotiny.errors import UserError, unknown
from autotiny.graph import Array

Direction = Literal["maximize", "minimize"]
"""As Optuna calls it."""

THRESHOLDS = 256
"""So many thresholds are tried at most: the quantiles of what was found."""

LOW_FALSE_ALARMS = 0.1
"""Up to this rate of false alarms a partial AUC counts, as in DCASE's task 2 and MLPerf Tiny."""


@dataclass(frozen=True)
class Metric:
    """A score.

    Attributes:
        name: as `--metric` takes it; the figures of a study are named after it.
        title: in words.
        of: the score of (truth, found), or of (truth, found, threshold) where it decides.
        percent: whether it is a share, whose best is 1 and which is shown in percent; else it is an
            error in the unit of the targets.
        higher: whether a higher one is better.
        decides: whether it needs a threshold, from which on the answer is yes.
        error: the standard error of a score, from (truth, score); None where samples are redrawn.
    """

    name: str
    title: str
    of: Callable[..., float]
    percent: bool = True
    higher: bool = True
    decides: bool = False
    error: Callable[[Array, float], float] | None = None

    def __call__(self, truth: Array, found: Array, threshold: float | None = None) -> float:
        """The score; what a user's function gives must be a number."""
        arguments = (truth, found, threshold) if self.decides else (truth, found)
        return float(self.of(*arguments))

    @property
    def sign(self) -> int:
        """1 where a higher score is better, else −1."""
        return 1 if self.higher else -1

    @property
    def direction(self) -> Direction:
        """Which way is better."""
        return "maximize" if self.higher else "minimize"

    def better(self, one: float, other: float) -> bool:
        """Whether a score is truly better than another."""
        return one > other if self.higher else one < other

    def best_threshold(self, truth: Array, found: Array) -> float:
        """The threshold that gives these samples the best score.

        Between the values that were found, at most `THRESHOLDS` of them; of equally good ones the
        middle.
        """
        values = np.unique(found)
        if len(values) > THRESHOLDS:
            values = np.unique(np.quantile(found, np.linspace(0, 1, THRESHOLDS)))
        between = (values[1:] + values[:-1]) / 2 if len(values) > 1 else values
        scores = np.array([self(truth, found, float(value)) for value in between])
        best = np.flatnonzero(scores == scores[(self.sign * scores).argmax()])
        return float(between[best[len(best) // 2]])

    def text(self, value: float | None) -> str:
        """A score for the reader, with its unit."""
        shown = self.number(value)
        return f"{shown} %" if self.percent and value is not None else shown

    def number(self, value: float | None) -> str:
        """A score for a column that has its unit in the heading."""
        if value is None:
            return "–"
        return f"{100 * value:.2f}" if self.percent else f"{value:.4g}"

    @property
    def heading(self) -> str:
        """Of a column of such scores."""
        return "%" if self.percent else self.name.rpartition(":")[2]


def share_error(truth: Array, share: float) -> float:
    """Of a share of samples, e.g. an accuracy.

    Where all or none were found, two more, one right and one wrong, keep it above zero.
    """
    samples = len(truth)
    likely = share if 0 < share < 1 else (share * samples + 1) / (samples + 2)
    return math.sqrt(likely * (1 - likely) / samples)


def area_error(truth: Array, area: float) -> float:
    """Of an AUC (Hanley and McNeil, Radiology 143, 1982)."""
    yes = int((truth != 0).sum())
    no = len(truth) - yes
    if not yes or not no:
        return 0.0
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (yes - 1) * (first - area**2) + (no - 1) * (second - area**2)
    return math.sqrt(max(area * (1 - area) + spread, 0.0) / (yes * no))


def area_under_curve(truth: Array, found: Array) -> float:
    """Of the receiver operating characteristic; a half where all samples are of one kind."""
    from sklearn.metrics import roc_auc_score

    truth = truth.reshape(-1) != 0
    if truth.all() or not truth.any():
        return 0.5
    return float(roc_auc_score(truth, found.reshape(-1)))


def partial_area(truth: Array, found: Array) -> float:
    """AUC where at most a tenth of the normal samples raise an alarm, scaled: a half is chance."""
    from sklearn.metrics import roc_auc_score

    truth = truth.reshape(-1) != 0
    if truth.all() or not truth.any():
        return 0.5
    return float(roc_auc_score(truth, found.reshape(-1), max_fpr=LOW_FALSE_ALARMS))


def is_own(name: str) -> bool:
    """Whether a metric is a function of the user's own, `package.module:function`."""
    return ":" in name


def own_metric(name: str) -> Metric:
    """The metric that `package.module:function` names.

    The function takes targets (N, …) and outputs (N, …) as arrays and returns a number; a higher
    one is better unless the function has the attribute `lower_is_better = True`.

    Raises:
        UserError: there is no such function.
    """
    module_name, _, function_name = name.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        raise UserError(
            f"metric {name!r}: there is no module {missing.name!r}; "
            "start autotiny where Python finds it, or install it"
        ) from missing
    finally:
        sys.path.remove(here)
    function = getattr(module, function_name, None)
    if not callable(function):
        names = [n for n in vars(module) if callable(getattr(module, n)) and not n.startswith("_")]
        raise unknown("function", function_name, names, f"python -c 'help(\"{module_name}\")'")
    lower = bool(getattr(function, "lower_is_better", False))
    return Metric(name, function_name, function, percent=False, higher=not lower)
