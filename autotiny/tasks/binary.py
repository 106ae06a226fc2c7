"""Yes or no for each sample, from one output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.tasks.answers import (
    AREA,
    LOW_AREA,
    answer_table,
    cross_entropy,
    f1,
    right,
    same_answers,
    taught_probabilities,
)
from autotiny.tasks.base import Facts, Task
from autotiny.tasks.metrics import Metric, share_error
from autotiny.tasks.names import class_name, counted, shape_text

UNEVEN = 0.6
"""A share of one answer that is told."""


@dataclass(frozen=True)
class Binary(Task):
    """Yes or no: targets 0 and 1, (N,), and one output, a probability or a logit.

    Where a score needs a threshold, it is the one that is best on validation.
    """

    name = "binary"
    metrics = (
        AREA,
        Metric("f1", "F1", f1, decides=True),
        Metric("accuracy", "accuracy", right, decides=True, error=share_error),
        LOW_AREA,
    )

    teachable = True

    metric: str = "auc"
    outputs: int = 1

    @classmethod
    def claims(cls, facts: Facts) -> bool:
        """Targets of 0 and 1 for a network of one output."""
        flat = facts.y.size == len(facts.y)
        return flat and facts.truths and facts.values == 1

    @classmethod
    def made(cls, facts: Facts, metric: str) -> Binary:
        """Refuses other targets than 0 and 1, and more than one output."""
        cls(metric).targets(facts.y, facts.name)
        if facts.output is not None and facts.values != 1:
            raise InvalidData(
                f"the model's output is {shape_text(facts.output)}; binary needs one value: give "
                "it a Dense(1), or leave --task out"
            )
        return cls(metric)

    def targets(self, y: Array, name: str) -> Array:
        """Answers, (N,) int32, 0 or 1."""
        if y.size != len(y) or not ((y == 0) | (y == 1)).all():
            odd = y[(y != 0) & (y != 1)]
            raise InvalidData(
                f"{name}: targets of shape {shape_text(y.shape[1:])}"
                f"{f' such as {odd.flat[0]:g}' if odd.size else ''} are no answers; binary needs "
                "one 0 or 1 a sample"
            )
        answers: Array = np.ascontiguousarray(y if y.ndim == 1 else y.reshape(-1), np.int32)
        return answers

    def loss(self, ends: str, tf: Any) -> Callable[[Any, Any], Any]:
        """Binary cross-entropy."""
        return cross_entropy(ends, tf)

    def taught(self, y: Array, outputs: Array, ends: str) -> Array:
        """Answers mixed with a teacher's probabilities, (N, 1)."""
        return taught_probabilities(y, outputs, ends)

    def judged(self, x: Array, y: Array, outputs: Array) -> tuple[Array, Array]:
        """Answers, (N,), and outputs, (N,)."""
        return y, outputs.reshape(len(y))

    def guess(self, y: Array, count: int) -> Array:
        """Always the more frequent answer."""
        return np.full((count, 1), float(y.mean() >= 0.5), np.float32)

    def doubts(self, y: Array, outputs: Array, labels: tuple[str, ...], ends: str) -> Iterable[str]:
        """One answer has most of the samples, or probabilities are taken for logits."""
        shares = outputs.min() >= 0 and outputs.max() <= 1 and len(np.unique(outputs)) > 1
        if not ends and shares:
            yield (
                "the outputs lie between 0 and 1, and no sigmoid is seen at the end of the "
                "network: fine-tuning takes them for logits; if they are probabilities, end it in "
                "a sigmoid"
            )
        share = max(float(y.mean()), 1 - float(y.mean()))
        if self.metric == "accuracy" and share > UNEVEN:
            yield (
                f"the answers are uneven: always the same one finds {100 * share:.1f} % of the "
                "validation samples; read every accuracy against that, or score by --metric auc"
            )

    def described(self, parts: Mapping[str, Array], labels: tuple[str, ...]) -> Iterable[str]:
        """How many samples each answer has."""
        counts = np.bincount(np.concatenate(list(parts.values())), minlength=2)
        yield f"answers: {counted([class_name(n, labels) for n in (0, 1)], counts)}"
        for split, y in parts.items():
            for number in (0, 1):
                if not (y == number).any():
                    yield f"no sample in {split} of answer {class_name(number, labels)}"

    def details(
        self, y: Array, outputs: Array, labels: tuple[str, ...], threshold: float | None
    ) -> list[tuple[str, list[tuple[str, ...]]]]:
        """What is found and missed from a threshold on."""
        return answer_table("Yes from an output", y, outputs, ("yes",), threshold)

    def equal_answers(
        self, one: Array, other: Array, thresholds: tuple[float | None, float | None]
    ) -> float | None:
        """The share of answers that are both yes or both no."""
        return same_answers(one, other, thresholds)

    def interface(self, labels: tuple[str, ...], threshold: float | None) -> tuple[str, ...]:
        """What the output means."""
        yes = class_name(1, labels) if labels else "yes"
        if threshold is None:
            return (f"one output: the larger, the more likely {yes}",)
        return (f"one output: {yes} from {threshold:.6g} on",)
