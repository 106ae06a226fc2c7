"""What is unlike the training samples, told by how badly an autoencoder gives it back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.mapped import Samples, lazy, let_go, spans
from autotiny.tasks.answers import AREA, LOW_AREA, answer_table, f1
from autotiny.tasks.base import Facts, Score
from autotiny.tasks.metrics import Metric, area_error
from autotiny.tasks.reconstruction import Reconstruction

NORMAL = {"normal", "good", "ok", "healthy", "nominal", "regular", "intact"}
"""Names of the class that is learned; of folders it is mostly not the first in the alphabet."""

CHANCE = 0.5
"""The area under the curve of scores that say nothing."""


@dataclass(frozen=True)
class Anomaly(Reconstruction):
    """An autoencoder that learns normal samples (0) and is judged on anomalies (1) too.

    The score of a sample is its mean squared error, as in DCASE's task 2 and MLPerf Tiny (Koizumi
    et al., "Description and Discussion on DCASE2020 Challenge Task 2", 2020).
    """

    name = "anomaly"
    metrics = (
        AREA,
        LOW_AREA,
        Metric("f1", "F1", f1, decides=True),
    )

    metric: str = "auc"

    @classmethod
    def claims(cls, facts: Facts) -> bool:
        """A network that gives its input's shape, and targets of 0 and 1, both of them."""
        return facts.gives_back and facts.both_answers and not facts.an_output_each

    @classmethod
    def made(cls, facts: Facts, metric: str) -> Anomaly:
        """Refuses another output, splits without anomalies, and a train of nothing else."""
        Reconstruction.made(facts, metric)
        made = cls(metric)
        if cls.reverses(facts.labels):
            facts = replace(facts, parts={split: 1 - y for split, y in facts.parts.items()})
        for y in facts.parts.values():
            made.targets(y, facts.name)
        for split in ("validation", "test"):
            part = facts.parts.get(split, np.arange(2))
            if len(np.unique(part)) < 2:
                kind = "normal samples (0)" if (part == 1).all() else "anomalies (1)"
                raise InvalidData(
                    f"{facts.name} has no {kind} in {split}; a score of anomalies needs both kinds "
                    "in validation and test"
                )
        if (facts.y == 1).all():
            raise InvalidData(
                f"{facts.name} has no normal sample (0) in train; those alone are learned"
            )
        return made

    @classmethod
    def reverses(cls, labels: tuple[str, ...]) -> bool:
        """Where the second class is called normal, and the first is not."""
        return len(labels) == 2 and [name.lower() in NORMAL for name in labels] == [False, True]

    def targets(self, y: Array, name: str) -> Array:
        """Answers, (N,) int32: 1 for an anomaly."""
        if y.size != len(y) or not ((y == 0) | (y == 1)).all():
            raise InvalidData(
                f"{name}: targets of anomaly are 0 for normal samples and 1 for anomalies"
            )
        answers: Array = np.ascontiguousarray(y if y.ndim == 1 else y.reshape(-1), np.int32)
        return answers

    def learned(self, x: Array, y: Array) -> tuple[Samples, Samples]:
        """Normal samples, which are their own targets."""
        normal = x if not y.any() else lazy(x, np.flatnonzero(y == 0))
        return normal, normal

    def judged(self, x: Array, y: Array, outputs: Array) -> tuple[Array, Array]:
        """Answers, (N,), and the mean squared error of each sample, (N,)."""
        errors = np.zeros(len(x))
        for span in spans(x):
            shape = (len(x[span]), -1)
            difference = outputs[span].reshape(shape) - x[span].reshape(shape)
            errors[span] = np.square(difference.astype(np.float64)).mean(axis=1)
            let_go(x)
        return y, errors

    def chance(self, x: Array, y: Array) -> Score | None:
        """Of an area, a half."""
        if self.metric not in (AREA.name, LOW_AREA.name):
            return None
        return Score(CHANCE, area_error(y, CHANCE))

    def described(self, parts: Mapping[str, Array], labels: tuple[str, ...]) -> Iterable[str]:
        """How many samples are normal, and what is learned."""
        every = np.concatenate(list(parts.values()))
        names = [f" ({name})" for name in labels] if len(labels) == 2 else ["", ""]
        yield (
            f"targets: {int((every == 0).sum()):,} normal{names[0]}, "
            f"{int((every == 1).sum()):,} anomalies{names[1]}"
        )
        left = int((parts["train"] == 1).sum())
        if left:
            yield f"{left:,} anomalies in train are left out: normal samples alone are learned"

    def details(
        self, y: Array, outputs: Array, labels: tuple[str, ...], threshold: float | None
    ) -> list[tuple[str, list[tuple[str, ...]]]]:
        """What is found and missed from a threshold on; outputs are the errors of samples, (N,)."""
        heading = "An anomaly from a mean squared error"
        return answer_table(heading, y, outputs, ("anomaly",), threshold)

    def interface(self, labels: tuple[str, ...], threshold: float | None) -> tuple[str, ...]:
        """What the outputs are, and from which error on a sample is an anomaly."""
        rule = "" if threshold is None else f": an anomaly from {threshold:.6g} on"
        return (
            "the outputs are the input as the network gives it back; the mean of the squared "
            f"differences is the score{rule}",
        )
