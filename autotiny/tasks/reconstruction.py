"""The input given back, as autoencoders do, where no sample is labelled as an anomaly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.mapped import Samples
from autotiny.tasks.base import Facts, Score, Task
from autotiny.tasks.metrics import Metric
from autotiny.tasks.names import shape_text


def explained(truth: Array, found: Array) -> float:
    """Share of the inputs' variance that is given back."""
    variance = float(np.square(truth - truth.mean()).sum())
    return max(0.0, 1.0 - float(np.square(found - truth).sum()) / variance) if variance else 0.0


def absolute_error(truth: Array, found: Array) -> float:
    """Mean absolute error of a value, in the unit of the inputs."""
    return float(np.abs(found - truth).mean())


@dataclass(frozen=True)
class Reconstruction(Task):
    """The input given back: no targets but the inputs themselves."""

    name = "reconstruction"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("explained_variance", "explained variance", explained),
        Metric("mae", "mean absolute error", absolute_error, percent=False, higher=False),
    )

    gives_back: ClassVar[bool] = True

    metric: str = "explained_variance"
    outputs: int = 0

    @classmethod
    def claims(cls, facts: Facts) -> bool:
        """A network that gives its input's shape, and targets that say nothing of it."""
        classes = facts.y.ndim == 1 and facts.whole
        told = facts.an_output_each or facts.both_answers
        return facts.gives_back and classes and not told

    @classmethod
    def made(cls, facts: Facts, metric: str) -> Reconstruction:
        """Refuses a network that gives another shape than its input's."""
        if facts.output is not None and facts.output != facts.sample:
            raise InvalidData(
                f"the model takes {shape_text(facts.sample)} and gives {shape_text(facts.output)}; "
                "reconstruction needs a model that gives its input's shape"
            )
        return cls(metric)

    def targets(self, y: Array, name: str) -> Array:
        """The stored ones, which play no part."""
        return y

    def learned(self, x: Array, y: Array) -> tuple[Samples, Samples]:
        """The inputs are the targets."""
        return x, x

    def loss(self, ends: str, tf: Any) -> Callable[[Any, Any], Any]:
        """Mean squared error."""
        loss: Callable[[Any, Any], Any] = tf.keras.losses.MeanSquaredError()
        return loss

    def judged(self, x: Array, y: Array, outputs: Array) -> tuple[Array, Array]:
        """The input, and what was given back."""
        return x.reshape(len(x), -1), outputs.reshape(len(x), -1)

    def chance(self, x: Array, y: Array) -> Score | None:
        """Nothing of the variance is explained by the mean."""
        return Score(0.0) if self.metric == "explained_variance" else None

    def described(self, parts: Mapping[str, Array], labels: tuple[str, ...]) -> Iterable[str]:
        """That no label counts."""
        return ("labels: none are used, the network gives its input back",)

    def interface(self, labels: tuple[str, ...], threshold: float | None) -> tuple[str, ...]:
        """What the outputs are."""
        return ("the outputs are the input as the network gives it back",)
