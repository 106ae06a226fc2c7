"""One class of several for each sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.tasks.base import DISTILLED, SPLITS, Facts, Task
from autotiny.tasks.metrics import Metric, share_error
from autotiny.tasks.names import MOST_NAMED, class_name, counted, listed_missing, shape_text

MOST_CLASSES = 1 << 16
TEMPERATURE = 2.0
"""Softens the teacher's classes (Hinton et al., "Distilling the Knowledge", 2015)."""

UNEVEN = 0.1
"""So much more than its even share a class has before it is told."""


def accuracy(truth: Array, found: Array) -> float:
    """Share of samples whose largest output is their class."""
    return float(np.mean(np.argmax(found, axis=1) == truth))


def balanced_accuracy(truth: Array, found: Array) -> float:
    """Mean over the classes of the share of their samples that is found."""
    right = np.argmax(found, axis=1) == truth
    return float(np.mean([right[truth == label].mean() for label in np.unique(truth)]))


def macro_f1(truth: Array, found: Array) -> float:
    """Mean over the classes of the harmonic mean of precision and recall."""
    answers, count = np.argmax(found, axis=1), found.shape[1]
    hits = np.bincount(truth[answers == truth], minlength=count)
    both = np.bincount(truth, minlength=count) + np.bincount(answers, minlength=count)
    return float(np.mean(2 * hits[both > 0] / both[both > 0]))


@dataclass(frozen=True)
class Classification(Task):
    """One class of several: class numbers (N,), and an output for each class."""

    name = "classification"
    metrics = (
        Metric("accuracy", "accuracy", accuracy, error=share_error),
        Metric("balanced_accuracy", "balanced accuracy", balanced_accuracy),
        Metric("macro_f1", "macro F1", macro_f1),
    )
    watched = "val_found"

    teachable = True

    metric: str = "accuracy"
    outputs: int = 2

    @classmethod
    def claims(cls, facts: Facts) -> bool:
        """Class numbers, and more than one output."""
        several = facts.values is None or facts.values > 1
        stored = all(y.dtype.kind in "iu" for y in facts.parts.values())
        kind = stored if facts.values is None else facts.whole
        gives_back = facts.gives_back and kind and not facts.an_output_each
        return facts.y.ndim == 1 and kind and several and not gives_back

    @classmethod
    def made(cls, facts: Facts, metric: str) -> Classification:
        """Refuses what is no class number, and an output of another width."""
        if facts.y.ndim != 1 or not facts.whole:
            raise InvalidData(
                f"{facts.name}: targets of shape {shape_text(facts.y.shape[1:])} are no class "
                "numbers; classification needs one whole number a sample, from 0"
            )
        for y in facts.parts.values():
            _check_range(y, facts.name)
        _check_known(facts)
        count, values = facts.classes, facts.values
        if values is None or facts.output is None:
            return cls(metric, count)
        if facts.from_one:
            raise InvalidData(
                f"{facts.name} has labels from 1 to {values}, and the model's outputs are "
                f"counted from 0 to {values - 1}; subtract 1 from the labels"
            )
        if sum(size > 1 for size in facts.output) > 1:
            raise InvalidData(
                f"the model's output is {shape_text(facts.output)}, and {facts.name} has one class "
                "a sample; give the model one output a class, or targets for each place"
            )
        if values == 1:
            raise InvalidData(
                f"the model gives one value and {facts.name} has {count} classes; give the model "
                "one output a class, or name another --task: one output is for two classes "
                "(binary) or a value to predict (regression)"
            )
        if values != count:
            highest = "" if facts.labels else f" (the highest label is {count - 1})"
            raise InvalidData(
                f"{facts.name} has {count} classes{highest}, the model's output has "
                f"{shape_text(facts.output)}; the last layer needs one value a class"
            )
        return cls(metric, count)

    def targets(self, y: Array, name: str) -> Array:
        """Class numbers, (N,) int32."""
        if y.ndim == 2:  # one-hot rows, as multi-label data keeps them
            y = y.argmax(axis=1)
        _check_range(y, name)
        numbers: Array = np.ascontiguousarray(y, dtype=np.int32)
        return numbers

    def loss(self, ends: str, tf: Any) -> Callable[[Any, Any], Any]:
        """Cross-entropy with the labels and, with a teacher, with its softened classes."""

        def cross_entropy(target: Any, output: Any) -> Any:
            output = tf.reshape(output, (-1, self.outputs))
            logits = tf.math.log(tf.maximum(output, 1e-9)) if ends == "softmax" else output
            taught = _is_taught(target)
            labels = tf.cast(tf.reshape(target[:, 0] if taught else target, (-1,)), tf.int32)
            hard = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            if not taught:
                return hard
            soft = tf.nn.softmax_cross_entropy_with_logits(
                tf.nn.softmax(target[:, 1:] / TEMPERATURE), logits / TEMPERATURE
            )
            # Gradients of the soft part shrink with the square of the temperature.
            return (1 - DISTILLED) * hard + DISTILLED * TEMPERATURE**2 * soft

        return cross_entropy

    def taught(self, y: Array, outputs: Array, ends: str) -> Array:
        """Class numbers beside a teacher's logits, (N, 1 + classes)."""
        logits = log_probabilities(outputs.reshape(len(y), -1), ends)
        made: Array = np.column_stack([y, logits]).astype(np.float32)
        return made

    def watches(self, tf: Any) -> list[Callable[[Any, Any], Any]]:
        """The share of samples whose largest output is their class."""

        def found(target: Any, output: Any) -> Any:
            labels = target[:, 0] if target.shape.rank == 2 else target
            answers = tf.argmax(
                tf.reshape(output, (-1, self.outputs)), axis=-1, output_type=tf.int32
            )
            return tf.cast(answers == tf.cast(tf.reshape(labels, (-1,)), tf.int32), tf.float32)

        return [found]

    def guess(self, y: Array, count: int) -> Array:
        """Always the most frequent class."""
        answers = np.zeros((count, max(self.outputs, 1 + int(y.max()))), np.float32)
        answers[:, int(np.bincount(y).argmax())] = 1
        return answers

    def doubts(self, y: Array, outputs: Array, labels: tuple[str, ...], ends: str) -> Iterable[str]:
        """One class has most of the samples, or probabilities are taken for logits."""
        sums = outputs.sum(axis=1)
        if not ends and outputs.min() >= 0 and bool(np.allclose(sums, 1, atol=1e-3)):
            yield (
                "the outputs are probabilities, and no softmax is seen at the end of the network: "
                "fine-tuning takes them for logits; end it in a Softmax layer"
            )
        counts = np.bincount(y, minlength=1)
        answer, guessed = int(counts.argmax()), float(counts.max()) / len(y)
        even = self.metric != "accuracy" or self.outputs < 2
        if not even and guessed > 1 / self.outputs + UNEVEN:
            yield (
                f"the classes are uneven: always answering class {class_name(answer, labels)} "
                f"finds {100 * guessed:.1f} % of the validation samples; read every accuracy "
                "against that, or score by --metric balanced_accuracy"
            )

    def described(self, parts: Mapping[str, Array], labels: tuple[str, ...]) -> Iterable[str]:
        """How many samples each class has."""
        counts = {part: np.bincount(y, minlength=self.outputs) for part, y in parts.items()}
        totals = np.sum(list(counts.values()), axis=0)
        names = [class_name(number, labels) for number in range(self.outputs)]
        if self.outputs <= MOST_NAMED:
            yield f"classes: {counted(names, totals)}"
        else:
            yield f"classes: {self.outputs}, {names[0]} to {names[-1]}"
        for split in SPLITS:
            missing = [name for name, n in zip(names, counts[split], strict=True) if n == 0]
            if missing:
                yield f"no sample in {split} of class {listed_missing(missing)}"

    def details(
        self, y: Array, outputs: Array, labels: tuple[str, ...], threshold: float | None
    ) -> list[tuple[str, list[tuple[str, ...]]]]:
        """Recall of each class, and which is taken for which."""
        answers = outputs.reshape(len(y), -1).argmax(axis=1)
        names = [class_name(number, labels) for number in range(self.outputs)]
        matrix = np.zeros((self.outputs, self.outputs), int)
        np.add.at(matrix, (y, answers), 1)
        rows: list[tuple[str, ...]] = [("class", "samples", "recall %", "precision %")]
        for number, name in enumerate(names):
            found, real = matrix[:, number].sum(), matrix[number].sum()
            right = matrix[number, number]
            rows.append((name, str(real), _ratio(right, real), _ratio(right, found)))
        tables = [("Each class", rows)]
        if self.outputs <= MOST_NAMED:
            head = ("class \\ found", *names)
            lines = [(name, *map(str, matrix[number])) for number, name in enumerate(names)]
            tables.append(("Which class was taken for which", [head, *lines]))
        return tables

    def equal_answers(
        self, one: Array, other: Array, thresholds: tuple[float | None, float | None]
    ) -> float:
        """The share of samples that are taken for the same class."""
        return float(np.mean(one.argmax(axis=1) == other.argmax(axis=1)))

    def interface(self, labels: tuple[str, ...], threshold: float | None) -> tuple[str, ...]:
        """Which output stands for which class."""
        if not labels or self.outputs > MOST_NAMED:
            return (f"{self.outputs} outputs, one a class; the largest is the answer",)
        names = ", ".join(class_name(number, labels) for number in range(self.outputs))
        return (f"one output a class, the largest is the answer: {names}",)


def _ratio(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "–"


def _is_taught(target: Any) -> bool:
    """Whether targets hold a teacher's logits beside the class."""
    return target.shape.rank == 2 and target.shape[1] is not None and target.shape[1] > 1


def log_probabilities(outputs: Array, ends: str) -> Array:
    """Logarithms of a classifier's probabilities, (N, classes), up to a constant per row."""
    return np.log(np.maximum(outputs, 1e-9)) if ends == "softmax" else outputs


def _check_known(facts: Facts) -> None:
    """Refuses splits of the source whose classes are not those that training sees."""
    for split, y in facts.parts.items() if facts.given else ():
        odd = np.setdiff1d(y, facts.y)
        if odd.size:
            first = int(facts.y.min())
            hint = f"; train counts its classes from {first}" if first else ""
            raise InvalidData(
                f"{facts.name}: {split} has the class {int(odd[0])}, of which train has no sample"
                f"{hint}; remove it, or split anew"
            )


def _check_range(y: Array, name: str) -> None:
    low, high = int(y.min()), int(y.max())
    if low < 0:
        raise InvalidData(f"{name} has the label {low}; classes are counted from 0")
    if high >= MOST_CLASSES:
        raise InvalidData(f"{name} has the label {high}; class numbers are below {MOST_CLASSES:,}")
