"""A class for each place of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.tasks.answers import cross_entropy
from autotiny.tasks.base import Facts, Task, is_whole
from autotiny.tasks.metrics import Metric
from autotiny.tasks.names import MOST_NAMED, class_name, shape_text


def classes_at(found: Array) -> Array:
    """The class at each place, (N, places), of outputs (N, places, classes).

    One output a place is a logit for the classes 0 and 1.
    """
    answers: Array = found[..., 0] > 0 if found.shape[-1] == 1 else found.argmax(axis=-1)
    return answers.astype(np.int32)


def intersections(truth: Array, answers: Array) -> dict[int, float]:
    """Of each class that occurs or is answered: intersection over union, over all places."""
    shares = {}
    for label in np.union1d(np.unique(truth), np.unique(answers)):
        either = int(((truth == label) | (answers == label)).sum())
        shares[int(label)] = int(((truth == label) & (answers == label)).sum()) / either
    return shares


def mean_intersection(truth: Array, found: Array) -> float:
    """Mean over the classes of intersection over union (mIoU)."""
    return float(np.mean(list(intersections(truth, classes_at(found)).values())))


def places_found(truth: Array, found: Array) -> float:
    """Share of places whose class is found."""
    return float((classes_at(found) == truth).mean())


@dataclass(frozen=True)
class Segmentation(Task):
    """A class for each place: targets (N, height, width), outputs (N, height, width, classes)."""

    name = "segmentation"
    metrics = (
        Metric("miou", "mean intersection over union", mean_intersection),
        Metric("accuracy", "share of places found", places_found),
    )

    metric: str = "miou"
    outputs: int = 2

    @classmethod
    def claims(cls, facts: Facts) -> bool:
        """Whole numbers at the places that the network answers."""
        places = _places(facts.y)
        return places is not None and facts.whole and facts.output in _outputs(facts, places)

    @classmethod
    def made(cls, facts: Facts, metric: str) -> Segmentation:
        """Refuses other places, and classes that the network has no output for."""
        places = _places(facts.y)
        if places is None or not facts.whole:
            raise InvalidData(
                f"{facts.name}: targets of shape {shape_text(facts.y.shape[1:])} are no maps of "
                "class numbers; segmentation needs (samples, height, width)"
            )
        count = facts.count or 1 + facts.highest
        if facts.output is None:
            return cls(metric, count)
        if len(facts.output) != 3 or facts.output[:2] != places:
            raise InvalidData(
                f"the model's output is {shape_text(facts.output)}, the targets are "
                f"{shape_text(places)}; segmentation needs a class at each of these places"
            )
        made = cls(metric, facts.output[-1])
        for y in facts.parts.values():
            made.targets(y, facts.name)
        return made

    def targets(self, y: Array, name: str) -> Array:
        """Class numbers, (N, height × width) int32."""
        low, high, most = int(y.min()), int(y.max()), max(self.outputs, 2) - 1
        if not is_whole(y) or low < 0 or high > most:
            raise InvalidData(
                f"{name}: targets go from {low} to {high}; the model has outputs for the classes 0 "
                f"to {most}"
            )
        numbers: Array = np.ascontiguousarray(y.reshape(len(y), -1), dtype=np.int32)
        return numbers

    def loss(self, ends: str, tf: Any) -> Callable[[Any, Any], Any]:
        """Cross-entropy at each place."""
        if self.outputs == 1:
            binary = cross_entropy(ends, tf)
            return lambda target, output: binary(target, tf.reshape(output, tf.shape(target)))

        def places(target: Any, output: Any) -> Any:
            flat = tf.reshape(output, (tf.shape(output)[0], -1, self.outputs))
            logits = tf.math.log(tf.maximum(flat, 1e-9)) if ends == "softmax" else flat
            labels = tf.cast(target, tf.int32)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            return tf.reduce_mean(each, axis=-1)

        return places

    def judged(self, x: Array, y: Array, outputs: Array) -> tuple[Array, Array]:
        """Classes, (N, places), and outputs, (N, places, classes)."""
        return y, outputs.reshape(*y.shape, self.outputs)

    def guess(self, y: Array, count: int) -> Array:
        """Always the most frequent class."""
        most = int(np.bincount(y.reshape(-1)).argmax())
        if self.outputs == 1:
            return np.full((count, y.shape[1], 1), 2.0 * most - 1, np.float32)
        answers = np.zeros((count, y.shape[1], self.outputs), np.float32)
        answers[..., most] = 1
        return answers

    def described(self, parts: Mapping[str, Array], labels: tuple[str, ...]) -> Iterable[str]:
        """Which share of the places each class has."""
        count = max(self.outputs, 2)
        counts = sum(np.bincount(y.reshape(-1), minlength=count) for y in parts.values())
        shares = 100 * np.asarray(counts) / np.sum(counts)
        named = [
            f"{class_name(number, labels)} ({share:.1f} % of the places)"
            for number, share in enumerate(shares[:MOST_NAMED])
        ]
        yield f"classes: {', '.join(named)}" + (", …" * (count > MOST_NAMED))

    def details(
        self, y: Array, outputs: Array, labels: tuple[str, ...], threshold: float | None
    ) -> list[tuple[str, list[tuple[str, ...]]]]:
        """Intersection over union of each class."""
        shares = intersections(y, classes_at(outputs.reshape(*y.shape, self.outputs)))
        rows = [(class_name(n, labels), f"{100 * share:.2f}") for n, share in shares.items()]
        return [("Each class", [("class", "IoU %"), *rows])]

    def equal_answers(
        self, one: Array, other: Array, thresholds: tuple[float | None, float | None]
    ) -> float:
        """The share of places that are taken for the same class."""
        maps = (outputs.reshape(len(one), -1, self.outputs) for outputs in (one, other))
        first, second = map(classes_at, maps)
        return float(np.mean(first == second))

    def interface(self, labels: tuple[str, ...], threshold: float | None) -> tuple[str, ...]:
        """What the outputs mean."""
        if self.outputs == 1:
            return ("one output a place: class 1 above 0",)
        return (f"{self.outputs} outputs a place, the largest is its class",)


def _places(y: Array) -> tuple[int, int] | None:
    """Height and width of maps."""
    if y.ndim == 3 or (y.ndim == 4 and y.shape[-1] == 1):
        return int(y.shape[1]), int(y.shape[2])
    return None


def _outputs(facts: Facts, places: tuple[int, int]) -> tuple[tuple[int, ...] | None, ...]:
    """The outputs that answer such places; any where no network is known."""
    if facts.output is None:
        return (None,)
    return ((*places, facts.output[-1]),) if len(facts.output) == 3 else ()
