"""Several outputs, each with a task of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotiny.errors import InvalidData
from autotiny.graph import Array, Threshold
from autotiny.tasks.base import Facts, Score, Task
from autotiny.tasks.classification import Classification
from autotiny.tasks.metrics import Metric
from autotiny.tasks.names import output_name

SEPARATOR = ","
"""Between what is said of the outputs: tasks, metrics, and what a network ends in."""


def _each_alone(truth: Array, found: Array) -> float:
    raise NotImplementedError("each output is scored by its own metric")


MEAN = Metric("mean_score", "mean score of the outputs", _each_alone)


@dataclass(frozen=True)
class Several(Task):
    """Outputs side by side, each judged by a task of its own.

    The loss is the sum of theirs, each times its weight. Where all of their metrics are shares,
    whose best is 1, the score is the mean of their scores, with these weights. Where one is in the
    unit of its targets, no mean says anything: the score is that of the first output, and the
    others are shown beside it.

    Attributes:
        metric: `MEAN`, or the metric of the first output.
        outputs: values of all outputs.
        tasks: of the outputs.
        names: of the outputs, as the data calls them.
        labels: names of the classes or values of each output, where the data has them.
        widths: how many values each output's targets have as they are stored.
        weights: of the outputs.
    """

    name = "several"
    metrics = (MEAN,)
    teachable = True

    metric: str
    outputs: int
    tasks: tuple[Task, ...] = ()
    names: tuple[str, ...] = ()
    labels: tuple[tuple[str, ...], ...] = ()
    widths: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()

    @classmethod
    def of(
        cls, tasks: Sequence[Task], names: Sequence[str], labels: Sequence[tuple[str, ...]],
        widths: Sequence[int], weights: Sequence[float],
    ) -> Several:  # fmt: skip
        """The task of outputs with these tasks."""
        shares = all(task.scored_by.percent for task in tasks)
        metric = MEAN.name if shares else tasks[0].metric
        outputs = sum(task.outputs for task in tasks)
        return cls(
            metric, outputs, tuple(tasks), tuple(names), tuple(labels), tuple(widths),
            tuple(map(float, weights)),
        )  # fmt: skip

    @classmethod
    def claims(cls, facts: Facts) -> bool:
        """Never: it is told by the number of outputs."""
        return False

    @classmethod
    def made(cls, facts: Facts, metric: str) -> Several:
        """Refuses a network of one output."""
        raise InvalidData(
            f"{facts.name} has one target a sample; a task for each output needs y1, y2, …"
        )

    @property
    def asked(self) -> str:
        """Its tasks, as `--task` takes them."""
        pairs = zip(self.tasks, self.weights, strict=True)
        return SEPARATOR.join(
            task.name + (f"*{weight:g}" if weight != 1 else "") for task, weight in pairs
        )

    @property
    def asked_metric(self) -> str:
        """Its metrics, as `--metric` takes them."""
        return SEPARATOR.join(task.metric for task in self.tasks)

    @property
    def scored_by(self) -> Metric:
        """The mean, or the metric of the first output."""
        return MEAN if self.metric == MEAN.name else self.tasks[0].scored_by

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of the scores of the outputs: output and metric."""
        pairs = zip(self.names, self.tasks, strict=True)
        return tuple(f"{name}_{task.metric}" for name, task in pairs)

    @property
    def decides(self) -> bool:
        """Whether an output's score needs a threshold."""
        return any(task.decides for task in self.tasks)

    def targets(self, y: Array, name: str) -> Array:
        """The targets of all outputs side by side, (N, values) float32."""
        made = [
            task.targets(part[:, 0] if _of_numbers(task) and part.shape[1] == 1 else part, name)
            for task, part in zip(self.tasks, _parts(y, self.widths), strict=True)
        ]
        return _beside(made)

    def loss(self, ends: str, tf: Any) -> Callable[[Any, Any], Any]:
        """The sum of the losses of the outputs, each the mean over a batch times its weight."""
        losses = [task.loss(end, tf) for task, end in zip(self.tasks, _split(ends), strict=True)]
        given = [task.outputs for task in self.tasks]
        plain, taught = ([width(task) for task in self.tasks] for width in (_width, _taught_width))

        def total(target: Any, output: Any) -> Any:
            widths = taught if target.shape[-1] == sum(taught) else plain
            targets, outputs = tf.split(target, widths, -1), tf.split(output, given, -1)
            each = [one(*pair) for one, *pair in zip(losses, targets, outputs, strict=True)]
            heavy = zip(each, self.weights, strict=True)
            return tf.add_n([tf.reduce_mean(loss) * weight for loss, weight in heavy])

        return total

    def taught(self, y: Array, outputs: Array, ends: str) -> Array:
        """Targets in which a teacher has its share, side by side."""
        cut = zip(self.tasks, self._truths(y), self._found(outputs), _split(ends), strict=True)
        return _beside([
            task.taught(truth, found, end) if task.teachable else truth
            for task, truth, found, end in cut
        ])  # fmt: skip

    def each(self, y: Array, outputs: Array, threshold: Threshold = None) -> tuple[Score, ...]:
        """The score of each output."""
        thresholds = self._thresholds(threshold)
        cut = zip(self.tasks, self._truths(y), self._found(outputs), thresholds, strict=True)
        return tuple(task.score(truth, truth, found, limit) for task, truth, found, limit in cut)

    def score(self, x: Array, y: Array, outputs: Array, threshold: Threshold = None) -> Score:
        """The mean of the outputs' scores, or that of the first, with those of all.

        Errors on the same samples may go together, so that the mean's is the mean of them.
        """
        return self._whole(self.each(y, outputs, threshold))

    def _whole(self, scores: tuple[Score, ...]) -> Score:
        counted = scores if self.metric == MEAN.name else scores[:1]
        value, error = (
            float(np.average([getattr(score, name) for score in counted],
                             weights=self.weights[: len(counted)]))
            for name in ("value", "error")
        )  # fmt: skip
        thresholds: tuple[Any, ...] = tuple(score.threshold for score in scores)
        return Score(value, error, thresholds if self.decides else None, scores)

    def judged(self, x: Array, y: Array, outputs: Array) -> tuple[Array, Array]:
        """Targets and outputs, side by side."""
        return y, outputs.reshape(len(outputs), -1)

    def chance(self, x: Array, y: Array) -> Score | None:
        """Of the best answers that know no input; None where an output that counts has none."""
        each = [task.chance(truth, truth)
                for task, truth in zip(self.tasks, self._truths(y), strict=True)]  # fmt: skip
        counted = each if self.metric == MEAN.name else each[:1]
        if None in counted:
            return None
        return self._whole(tuple(score or Score(0.0) for score in each))

    def described(self, parts: Mapping[str, Array], labels: tuple[str, ...]) -> Iterable[str]:
        """What was understood of each output's targets."""
        truths = {split: self._truths(y) for split, y in parts.items()}
        for place, task in enumerate(self.tasks):
            own = {split: each[place] for split, each in truths.items()}
            title = f"{output_name(self.names[place])}: {task.name}, {task.scored_by.title}"
            yield "; ".join((title, *task.described(own, self.labels[place])))
        if self.metric != MEAN.name:
            named = output_name(self.names[0])
            yield (
                f"the score is that of {named}, since an error has a unit and no mean with others; "
                "--metric with shares alone, e.g. accuracy,r2, scores by their mean"
            )

    def doubts(self, y: Array, outputs: Array, labels: tuple[str, ...], ends: str) -> Iterable[str]:
        """The doubts of each output."""
        cut = zip(self.tasks, self._truths(y), self._found(outputs), _split(ends), strict=True)
        for place, (task, truth, found, end) in enumerate(cut):
            truth, found = task.judged(truth, truth, found)
            for line in task.doubts(truth, found, self.labels[place], end):
                yield f"{output_name(self.names[place])}: {line}"

    def details(
        self, y: Array, outputs: Array, labels: tuple[str, ...], threshold: Threshold
    ) -> list[tuple[str, list[tuple[str, ...]]]]:
        """The tables of each output, and all scores first."""
        rows: list[tuple[str, ...]] = [("output", "task", "scored by", "score")]
        tables = []
        scores, limits = self.each(y, outputs, threshold), self._thresholds(threshold)
        for place, (task, truth, found) in enumerate(
            zip(self.tasks, self._truths(y), self._found(outputs), strict=True)
        ):
            name, metric = self.names[place], task.scored_by
            rows.append((name, task.name, metric.title, metric.text(scores[place].value)))
            judged = task.judged(truth, truth, found)
            for heading, table in task.details(*judged, self.labels[place], limits[place]):
                tables.append((f"{output_name(name)}: {heading}", table))
        return [("Each output", rows), *tables]

    def equal_answers(
        self, one: Array, other: Array, thresholds: tuple[Threshold, Threshold]
    ) -> float | None:
        """The least share of the outputs that have answers."""
        limits = zip(*(self._thresholds(each) for each in thresholds), strict=True)
        cut = zip(self.tasks, self._found(one), self._found(other), limits, strict=True)
        shares = [task.equal_answers(before, after, limit) for task, before, after, limit in cut]
        return min((share for share in shares if share is not None), default=None)

    def interface(self, labels: tuple[str, ...], threshold: Threshold) -> tuple[str, ...]:
        """What each output means."""
        limits = self._thresholds(threshold)
        return tuple(
            f"output {place} ({self.names[place]}): {line}"
            for place, task in enumerate(self.tasks)
            for line in task.interface(self.labels[place], limits[place])
        )

    def to_dict(self) -> dict[str, Any]:
        """The task as plain data."""
        return {
            **super().to_dict(),
            "tasks": [task.to_dict() for task in self.tasks],
            "names": list(self.names),
            "labels": [list(labels) for labels in self.labels],
            "widths": list(self.widths),
            "weights": list(self.weights),
        }

    def _truths(self, y: Array) -> list[Array]:
        """Each output's targets, as its task has them."""
        parts = _parts(y, [_width(task) for task in self.tasks])
        return [
            np.rint(part[:, 0]).astype(np.int32) if _of_numbers(task)
            else np.ascontiguousarray(part)
            for task, part in zip(self.tasks, parts, strict=True)
        ]  # fmt: skip

    def _found(self, outputs: Array) -> list[Array]:
        """Each output, (N, values)."""
        return _parts(outputs, [task.outputs for task in self.tasks])

    def _thresholds(self, threshold: Threshold) -> tuple[float | None, ...]:
        return threshold if isinstance(threshold, tuple) else (None,) * len(self.tasks)


def _of_numbers(task: Task) -> bool:
    """Whether targets are one whole number a sample."""
    return task.name in ("classification", "binary")


def _width(task: Task) -> int:
    """How many values a sample's targets have."""
    return 1 if _of_numbers(task) else task.outputs


def _taught_width(task: Task) -> int:
    """The same with a teacher's share: logits stand beside a class."""
    return task.outputs + isinstance(task, Classification)


def _split(ends: str) -> list[str]:
    return ends.split(SEPARATOR)


def _parts(rows: Array, widths: Sequence[int]) -> list[Array]:
    flat = rows.reshape(len(rows), -1)
    return np.split(flat, np.cumsum(widths)[:-1], axis=1)


def _beside(parts: Sequence[Array]) -> Array:
    flat = [part.reshape(len(part), -1).astype(np.float32) for part in parts]
    return np.concatenate(flat, axis=1)
