"""Several classes at once for each sample, one output each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.tasks.answers import (
    answer_table,
    cross_entropy,
    macro_f1,
    right,
    same_answers,
    taught_probabilities,
)
from autotiny.tasks.base import Facts, Task
from autotiny.tasks.metrics import Metric
from autotiny.tasks.names import MOST_NAMED, class_name, counted, listed_missing, shape_text


def mean_precision(truth: Array, found: Array) -> float:
    """Mean over the classes that occur of the average precision (mAP)."""
    from sklearn.metrics import average_precision_score

    occur = [n for n in range(truth.shape[1]) if truth[:, n].any()]
    return float(np.mean([average_precision_score(truth[:, n], found[:, n]) for n in occur] or [0]))


@dataclass(frozen=True)
class Multilabel(Task):
    """Several classes at once: rows of 0 and 1, (N, k), and an output for each class.

    Where a score needs a threshold, it is one for all classes, the one best on validation.
    """

    name = "multilabel"
    metrics = (
        Metric("macro_f1", "macro F1", macro_f1, decides=True),
        Metric("map", "mean average precision", mean_precision),
        Metric("accuracy", "share of right answers", right, decides=True),
    )

    teachable = True

    metric: str = "macro_f1"
    outputs: int = 2

    @classmethod
    def claims(cls, facts: Facts) -> bool:
        """Rows of 0 and 1."""
        rows = facts.y.ndim == 2 and facts.y.shape[1] > 1
        fits = facts.values in (None, facts.y.shape[-1])
        return rows and facts.truths and fits

    @classmethod
    def made(cls, facts: Facts, metric: str) -> Multilabel:
        """Refuses other rows, and an output of another width."""
        if facts.y.ndim == 1 and facts.whole:
            width = facts.count or 1 + facts.highest
        else:
            width = facts.y.shape[1] if facts.y.ndim == 2 else 1
        made = cls(metric, width)
        made.targets(facts.y, facts.name)
        if facts.output is not None and facts.values != width:
            raise InvalidData(
                f"{facts.name} has rows of {width}, the model's output has "
                f"{shape_text(facts.output)}; multilabel needs one output a class"
            )
        if facts.ends == "softmax":
            raise InvalidData(
                "the model ends in a softmax, whose outputs say one class in all; end it in a "
                "sigmoid or in logits for --task multilabel"
            )
        return made

    def targets(self, y: Array, name: str) -> Array:
        """Rows of 0 and 1, (N, k) float32; class numbers become rows of one 1."""
        if y.ndim == 1 and y.dtype.kind in "iu" and int(y.min()) >= 0 and y.max() < self.outputs:
            y = np.eye(self.outputs, dtype=np.float32)[y]
        if y.ndim != 2 or y.shape[1] != self.outputs or not ((y == 0) | (y == 1)).all():
            raise InvalidData(
                f"{name}: targets of shape {shape_text(y.shape[1:])} are no rows of "
                f"{self.outputs} zeros and ones; multilabel needs one such row a sample"
            )
        rows: Array = np.ascontiguousarray(y, dtype=np.float32)
        return rows

    def loss(self, ends: str, tf: Any) -> Callable[[Any, Any], Any]:
        """Binary cross-entropy."""
        return cross_entropy(ends, tf)

    def taught(self, y: Array, outputs: Array, ends: str) -> Array:
        """Rows mixed with a teacher's probabilities, (N, k)."""
        return taught_probabilities(y, outputs, ends)

    def guess(self, y: Array, count: int) -> Array:
        """Always yes, to every class: the best macro F1 that knows no input."""
        return np.ones((count, self.outputs), np.float32)

    def described(self, parts: Mapping[str, Array], labels: tuple[str, ...]) -> Iterable[str]:
        """How many samples each class has, and how many classes a sample."""
        names = [class_name(number, labels) for number in range(self.outputs)]
        every = np.concatenate(list(parts.values()))
        each = f"{every.sum(axis=1).mean():.3g} a sample"
        if self.outputs <= MOST_NAMED:
            yield f"classes: {counted(names, every.sum(axis=0).astype(int))}; {each}"
        else:
            yield f"classes: {self.outputs}, {names[0]} to {names[-1]}; {each}"
        for split, y in parts.items():
            missing = [name for name, n in zip(names, y.sum(axis=0), strict=True) if n == 0]
            if missing:
                yield f"no sample in {split} of class {listed_missing(missing)}"

    def details(
        self, y: Array, outputs: Array, labels: tuple[str, ...], threshold: float | None
    ) -> list[tuple[str, list[tuple[str, ...]]]]:
        """What is found and missed of each class."""
        names = [class_name(number, labels) for number in range(self.outputs)]
        return answer_table("Each class, yes from an output", y, outputs, names, threshold)

    def equal_answers(
        self, one: Array, other: Array, thresholds: tuple[float | None, float | None]
    ) -> float | None:
        """The share of answers that are both yes or both no."""
        return same_answers(one, other, thresholds)

    def interface(self, labels: tuple[str, ...], threshold: float | None) -> tuple[str, ...]:
        """What the outputs mean."""
        names = [class_name(number, labels) for number in range(self.outputs)]
        of = f": {', '.join(names)}" if labels and self.outputs <= MOST_NAMED else ""
        rule = "" if threshold is None else f", yes from {threshold:.6g} on"
        return (f"one output a class{rule}{of}",)
