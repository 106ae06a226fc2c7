"""Values to predict for each sample, one or several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.tasks.base import Facts, Task
from autotiny.tasks.metrics import Metric
from autotiny.tasks.names import shape_text

LARGEST = 1e18
"""Beyond it the square of a number is none in float32."""

ROWS = 2
"""Axes of targets, a row a sample."""

MOST_DESCRIBED = 8
"""Values that are described one by one."""


def absolute_error(truth: Array, found: Array) -> float:
    """Mean absolute error, in the unit of the targets."""
    return float(np.abs(found - truth).mean())


def root_squared_error(truth: Array, found: Array) -> float:
    """Root of the mean squared error, in the unit of the targets."""
    return float(np.sqrt(np.square(found - truth).mean()))


def determination(truth: Array, found: Array) -> float:
    """R²: the share of the targets' variance that is explained, the mean over the values."""
    spread = np.square(truth - truth.mean(axis=0)).sum(axis=0)
    left = np.square(found - truth).sum(axis=0)
    return float(np.mean(1 - left / np.where(spread > 0, spread, 1)))


@dataclass(frozen=True)
class Regression(Task):
    """Values to predict: targets (N,) or (N, …), and as many outputs."""

    name = "regression"
    metrics = (
        Metric("mae", "mean absolute error", absolute_error, percent=False, higher=False),
        Metric("rmse", "root mean squared error", root_squared_error, percent=False, higher=False),
        Metric("r2", "R²", determination),
    )

    teachable = True

    metric: str = "mae"
    outputs: int = 1

    @classmethod
    def claims(cls, facts: Facts) -> bool:
        """Fractions, or whole numbers that one output cannot have as classes."""
        width = _width(facts.y)
        fits = facts.values is None or facts.values == width
        if facts.y.dtype.kind == "f":
            answers = facts.truths and (width > 1 or facts.ends == "sigmoid")
            places = facts.y.ndim > 2 and facts.whole
            return fits and not answers and not places
        counts = facts.values == 1 and facts.y.size == len(facts.y) and not facts.truths
        rows = facts.y.ndim == 2 and width > 1 and not facts.truths
        return counts or (fits and rows)

    @classmethod
    def made(cls, facts: Facts, metric: str) -> Regression:
        """Refuses an output of another width."""
        width = _width(facts.y)
        if facts.output is not None and facts.values != width:
            raise InvalidData(
                f"{facts.name} has {width} value{'s' * (width > 1)} to predict a sample, the "
                f"model's output has {shape_text(facts.output)}; the last layer needs one output a "
                "value"
            )
        if facts.ends == "softmax":
            raise InvalidData(
                "the model ends in a softmax, whose outputs sum to 1; for --task regression end it "
                "in a plain Dense"
            )
        made = cls(metric, width)
        made.targets(facts.y, facts.name)
        return made

    def targets(self, y: Array, name: str) -> Array:
        """Values, (N, k) float32."""
        if y.dtype.kind not in "iufb" or not np.isfinite(y).all() or np.abs(y).max() > LARGEST:
            raise InvalidData(
                f"{name}: a target is NaN, infinite or beyond {LARGEST:g}; remove those samples"
            )
        values: Array = np.ascontiguousarray(
            y if y.ndim == ROWS else y.reshape(len(y), -1), np.float32
        )
        return values

    def loss(self, ends: str, tf: Any) -> Callable[[Any, Any], Any]:
        """Mean squared error."""

        def squared_error(target: Any, output: Any) -> Any:
            flat = tf.reshape(output, (-1, self.outputs))
            return tf.reduce_mean(tf.square(flat - tf.cast(target, flat.dtype)), axis=-1)

        return squared_error

    def guess(self, y: Array, count: int) -> Array:
        """Always the same: the median, of which the absolute error is least, or the mean."""
        best = np.median(y, axis=0) if self.metric == "mae" else y.mean(axis=0)
        return np.broadcast_to(best, (count, y.shape[1])).astype(np.float32)

    def described(self, parts: Mapping[str, Array], labels: tuple[str, ...]) -> Iterable[str]:
        """From where to where the values go."""
        every = np.concatenate(list(parts.values()))
        for column in range(min(every.shape[1], MOST_DESCRIBED)):
            values = every[:, column]
            name = f" {labels[column] if labels else column}" if every.shape[1] > 1 else ""
            yield (
                f"value{name}: from {values.min():.6g} to {values.max():.6g}, mean "
                f"{values.mean():.4g}, standard deviation {values.std():.4g}"
            )
        if every.shape[1] > MOST_DESCRIBED:
            yield f"and {every.shape[1] - MOST_DESCRIBED} more values"

    def details(
        self, y: Array, outputs: Array, labels: tuple[str, ...], threshold: float | None
    ) -> list[tuple[str, list[tuple[str, ...]]]]:
        """The errors of each value."""
        found = outputs.reshape(y.shape)
        rows: list[tuple[str, ...]] = [("value", "MAE", "RMSE", "largest error", "R²")]
        for column in range(min(y.shape[1], MOST_DESCRIBED)):
            truth, given = y[:, [column]], found[:, [column]]
            figures = (
                absolute_error(truth, given), root_squared_error(truth, given),
                float(np.abs(given - truth).max()), determination(truth, given),
            )  # fmt: skip
            name = labels[column] if labels else str(column)
            rows.append((name, *(f"{figure:.4g}" for figure in figures)))
        return [("Each value", rows)]

    def interface(self, labels: tuple[str, ...], threshold: float | None) -> tuple[str, ...]:
        """What the outputs mean."""
        named = f": {', '.join(labels)}" if labels and self.outputs <= MOST_DESCRIBED else ""
        plural = "s" * (self.outputs > 1)
        return (f"{self.outputs} predicted value{plural}, in the unit of the targets{named}",)


def _width(y: Array) -> int:
    return int(np.prod(y.shape[1:]))
