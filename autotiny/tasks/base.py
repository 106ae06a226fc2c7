"""What a task is: targets, losses and a score, as one object that all else asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autotiny.graph import Array, Threshold
from autotiny.mapped import Samples
from autotiny.tasks.metrics import Metric, own_metric

DISTILLED = 0.7
"""Share of the teacher in the targets of a fine-tune; those of the data have the rest."""

RESAMPLES = 100
"""Of the samples, for the standard error of a score that has no formula (Efron, "Bootstrap methods:
another look at the jackknife", 1979)."""

FEWEST_RESAMPLES = 20
MOST_RESAMPLED = 20_000_000
"""Values that all resamples together may have: of larger outputs there are fewer."""

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of data and network when a task is chosen.

    Attributes:
        name: of the data, for messages.
        parts: targets by split, (N, …) each, as they were stored: whole numbers or fractions.
        labels: names of the classes, where the source has them.
        count: how many classes there are, where the source says it.
        sample: shape of one sample.
        output: shape of what the network gives for it; None where no network is known.
        ends: what the network ends in: "softmax", "sigmoid", or "" for anything else.
        given: whether the source itself has the splits.
        labelled: whether the source has targets; they are all 0 where it has none.
    """

    name: str
    parts: Mapping[str, Array]
    labels: tuple[str, ...] = ()
    count: int | None = None
    sample: tuple[int, ...] = ()
    output: tuple[int, ...] | None = None
    ends: str = ""
    given: bool = False
    labelled: bool = True

    @property
    def y(self) -> Array:
        """The targets of train, (N, …)."""
        return self.parts["train"]

    @property
    def values(self) -> int | None:
        """How many values the network gives; None where no network is known."""
        return None if self.output is None else int(np.prod(self.output))

    @property
    def whole(self) -> bool:
        """Whether all targets are whole numbers, however they are stored."""
        return all(is_whole(y) for y in self.parts.values())

    @property
    def highest(self) -> int:
        """The highest of the targets, which are whole numbers."""
        return max(int(y.max()) for y in self.parts.values())

    @property
    def truths(self) -> bool:
        """Whether all targets are 0 or 1."""
        return all(bool(((y == 0) | (y == 1)).all()) for y in self.parts.values())

    @property
    def classes(self) -> int:
        """How many classes there are, if targets are class numbers."""
        return self.count or max(len(self.labels), 1 + self.highest)

    @property
    def from_one(self) -> bool:
        """Whether class numbers seem to be counted from 1, and outputs from 0."""
        one_more = self.values is not None and self.classes == self.values + 1
        return one_more and not (self.y == 0).any()

    @property
    def an_output_each(self) -> bool:
        """Whether the last axis of the output has one value a class."""
        width = self.output[-1] if self.output else None
        return self.classes == width or self.from_one

    @property
    def both_answers(self) -> bool:
        """Whether targets are 0 and 1, and both of them occur."""
        ones = any(bool((y == 1).any()) for y in self.parts.values())
        return self.y.ndim == 1 and self.truths and ones

    @property
    def gives_back(self) -> bool:
        """Whether the network gives something of its input's shape."""
        plain = self.ends != "softmax" and int(np.prod(self.sample)) > 1
        return plain and self.output == self.sample


@dataclass(frozen=True)
class Score:
    """How well a network does on some samples.

    Attributes:
        value: in the metric's own unit.
        error: its standard error, from the samples.
        threshold: from which output on the answer is yes; None where the task has none.
        outputs: the score of each, where there are several.
    """

    value: float
    error: float = 0.0
    threshold: Threshold = None
    outputs: tuple[Score, ...] = ()


@dataclass(frozen=True)
class Task(ABC):
    """What a network is asked to do; a subclass is a file, its test, and a line in `TASKS`.

    Attributes:
        name: as `--task` takes it.
        metrics: what it can be scored by; the first is the usual one.
        metric: the name of the one that is used, or `package.module:function`.
        outputs: how many values it reads of a sample; 0 where the network gives its input back.
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    watched: ClassVar[str] = "val_loss"
    """What decides the best epoch of a training; of a loss the lowest, of all else the highest."""

    teachable: ClassVar[bool] = False
    """Whether a teacher is of use; see `taught`."""

    gives_back: ClassVar[bool] = False
    """Whether outputs are compared with what the network takes: behind front ends, its features."""

    metric: str
    outputs: int

    @classmethod
    @abstractmethod
    def claims(cls, facts: Facts) -> bool:
        """Whether targets and network are those of this task, as far as they tell."""

    @classmethod
    @abstractmethod
    def made(cls, facts: Facts, metric: str) -> Task:
        """The task of some data and a network.

        Raises:
            InvalidData: they do not fit it.
        """

    @abstractmethod
    def targets(self, y: Array, name: str) -> Array:
        """Stored targets of a split, (N, …), as this task trains on them.

        Raises:
            InvalidData: they are none of this task.
        """

    @abstractmethod
    def loss(self, ends: str, tf: Any) -> Callable[[Any, Any], Any]:
        """What a training makes small, of targets and outputs, for a network that ends so.

        Args:
            ends: what the network ends in: "softmax", "sigmoid" or "".
            tf: TensorFlow, which a task does not import: no score depends on its version.
        """

    @abstractmethod
    def described(self, parts: Mapping[str, Array], labels: tuple[str, ...]) -> Iterable[str]:
        """What was understood of the targets, in lines."""

    @property
    def scored_by(self) -> Metric:
        """The metric that is used."""
        known = {metric.name: metric for metric in self.metrics}
        return known.get(self.metric) or own_metric(self.metric)

    @property
    def asked(self) -> str:
        """As `--task` takes it."""
        return self.name

    @property
    def asked_metric(self) -> str:
        """What it is scored by, as `--metric` takes it."""
        return self.metric

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of the scores of its outputs, where there are several."""
        return ()

    @property
    def decides(self) -> bool:
        """Whether its score needs a threshold."""
        return self.scored_by.decides

    def learned(self, x: Array, y: Array) -> tuple[Samples, Samples]:
        """The samples and targets of a split that a training sees."""
        return x, y

    def taught(self, y: Array, outputs: Array, ends: str) -> Array:
        """Targets in which a teacher has its share, given its outputs and what it ends in.

        A loss that is linear in its targets, but for what no weight changes, needs no more.
        """
        return mixed(y, outputs)

    def watches(self, tf: Any) -> list[Callable[[Any, Any], Any]]:
        """What Keras measures beside the loss."""
        return []

    def judged(self, x: Array, y: Array, outputs: Array) -> tuple[Array, Array]:
        """What a metric compares: the truth, (N, …), and what was found, (N, …)."""
        return y, outputs.reshape(len(outputs), -1)

    def score(self, x: Array, y: Array, outputs: Array, threshold: Any = None) -> Score:
        """How well outputs answer samples.

        Args:
            x: inputs, (N, …).
            y: targets of this task, (N, …).
            outputs: what a network gave for them, (N, …), in real numbers.
            threshold: from which output on the answer is yes; by default the one that gives these
                samples the best score.
        """
        metric = self.scored_by
        truth, found = self.judged(x, y, outputs)
        if metric.decides and threshold is None:
            threshold = metric.best_threshold(truth, found)
        value = metric(truth, found, threshold)
        return Score(value, self.standard_error(truth, found, value, threshold), threshold)

    def standard_error(
        self, truth: Array, found: Array, value: float, threshold: float | None
    ) -> float:
        """Of a score, from the samples it was measured on: by resampling them."""
        metric, draw = self.scored_by, np.random.default_rng(0)
        if metric.error is not None:
            return metric.error(truth, value)
        count = max(FEWEST_RESAMPLES, min(RESAMPLES, MOST_RESAMPLED // found.size))
        drawn = (draw.integers(0, len(truth), len(truth)) for _ in range(count))
        return float(np.std([metric(truth[rows], found[rows], threshold) for rows in drawn]))

    def guess(self, y: Array, count: int) -> Array | None:
        """The best answer that knows no input, `count` times; None where guessing says nothing."""
        return None

    def chance(self, x: Array, y: Array) -> Score | None:
        """What the best answer that knows no input scores; None where that says nothing."""
        guessed = self.guess(y, len(y))
        return None if guessed is None else self.score(x, y, guessed)

    def at_chance(self, score: Score, chance: Score | None) -> bool:
        """Whether a score is no better than knowing nothing, up to one standard error of that."""
        if chance is None:
            return False
        return not self.scored_by.better(score.value, self.hoped(chance))

    def hoped(self, score: Score) -> float:
        """A score better by one standard error."""
        metric = self.scored_by
        better = score.value + metric.sign * score.error
        return min(better, 1.0) if metric.percent else better

    def doubts(self, y: Array, outputs: Array, labels: tuple[str, ...], ends: str) -> Iterable[str]:
        """Why a score says little, or outputs may mean something else than they are taken for.

        Args:
            y: the truth of validation, as `judged` gives it.
            outputs: what the original gives for it, likewise.
            labels: names of the classes, where the source has them.
            ends: what the original ends in: "softmax", "sigmoid" or "".
        """
        return ()

    def details(
        self, y: Array, outputs: Array, labels: tuple[str, ...], threshold: Any
    ) -> list[tuple[str, list[tuple[str, ...]]]]:
        """More than a score says: tables for the report, each a heading and rows, the first a head.

        Args:
            y: the truth, as `judged` gives it.
            outputs: what was found, likewise.
            labels: names of the classes, where the source has them.
            threshold: from which output on the answer is yes.
        """
        return []

    def equal_answers(self, one: Array, other: Array, thresholds: tuple[Any, Any]) -> float | None:
        """The share of answers that two networks have in common; None where outputs are no answers.

        Args:
            one: what a network gave, (N, values), in real numbers.
            other: what another one gave.
            thresholds: of both, from which output on the answer is yes.
        """
        return None

    def interface(self, labels: tuple[str, ...], threshold: Any) -> tuple[str, ...]:
        """What a user of the firmware reads of its outputs, in lines for the head of `model.h`."""
        return ()

    @classmethod
    def reverses(cls, labels: tuple[str, ...]) -> bool:
        """Whether two classes count the other way round, as their names tell."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """The task as plain data; `task_from` takes it."""
        return {"name": self.name, "metric": self.metric, "outputs": self.outputs}


def score_from(content: Mapping[str, Any]) -> Score:
    """The score that plain data, as `asdict` and JSON leave it, describes."""
    threshold = content["threshold"]
    return Score(
        content["value"], content["error"],
        tuple(threshold) if isinstance(threshold, (list, tuple)) else threshold,
        tuple(score_from(one) for one in content["outputs"]),
    )  # fmt: skip


def is_whole(y: Array) -> bool:
    """Whether numbers are whole, however they are stored."""
    return y.dtype.kind in "iub" or bool(np.isfinite(y).all() and np.array_equal(y, np.round(y)))


def mixed(y: Array, outputs: Array) -> Array:
    """Targets of a data set with a teacher's outputs of the same meaning, (N, k)."""
    flat = y.reshape(len(y), -1).astype(np.float32)
    made: Array = (1 - DISTILLED) * flat + DISTILLED * outputs.reshape(len(y), -1)
    return made.astype(np.float32)
