"""Where small objects are: the class of each cell of a coarse grid, most of which hold none.

After Moreau and Kelcey, "Announcing FOMO (Faster Objects, More Objects)", Edge Impulse, 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotiny.graph import Array
from autotiny.tasks.base import Facts
from autotiny.tasks.metrics import Metric
from autotiny.tasks.names import class_name
from autotiny.tasks.segmentation import Segmentation, classes_at, places_found

OBJECT_WEIGHT = 100.0
"""What a cell with an object counts in the loss; one without counts 1."""

COARSE = 16
"""So many pixels an output has at least where it is taken for a cell rather than a pixel."""


def object_f1(truth: Array, found: Array) -> float:
    """Harmonic mean of precision and recall of cells with an object of the right class."""
    answers = classes_at(found)
    hits = int(((truth == answers) & (truth > 0)).sum())
    return 2 * hits / max(int((truth > 0).sum()) + int((answers > 0).sum()), 1)


@dataclass(frozen=True)
class Detection(Segmentation):
    """A class for each cell: targets (N, rows, columns), 0 for none, and an output for each."""

    name = "detection"
    metrics = (
        Metric("object_f1", "F1 of objects", object_f1),
        Metric("accuracy", "share of cells found", places_found),
    )

    metric: str = "object_f1"

    @classmethod
    def claims(cls, facts: Facts) -> bool:
        """Maps of class numbers that are much coarser than the input."""
        if facts.output is None or not Segmentation.claims(facts):
            return False
        return int(np.prod(facts.sample[:2])) >= COARSE * int(np.prod(facts.output[:2]))

    def loss(self, ends: str, tf: Any) -> Callable[[Any, Any], Any]:
        """Cross-entropy of each cell, of which those with objects count more."""

        def cells(target: Any, output: Any) -> Any:
            flat = tf.reshape(output, (tf.shape(output)[0], -1, self.outputs))
            logits = tf.math.log(tf.maximum(flat, 1e-9)) if ends == "softmax" else flat
            labels = tf.cast(target, tf.int32)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            weights = tf.where(labels > 0, OBJECT_WEIGHT, 1.0)
            return tf.reduce_sum(each * weights, axis=-1) / tf.reduce_sum(weights, axis=-1)

        return cells

    def guess(self, y: Array, count: int) -> Array:
        """Always the most frequent object, in every cell."""
        objects = y[y > 0]
        answers = np.zeros((count, y.shape[1], self.outputs), np.float32)
        answers[..., int(np.bincount(objects).argmax()) if objects.size else 0] = 1
        return answers

    def described(self, parts: Mapping[str, Array], labels: tuple[str, ...]) -> Iterable[str]:
        """How many objects of each class there are."""
        every = np.concatenate([y.reshape(-1) for y in parts.values()])
        counts = np.bincount(every, minlength=self.outputs)
        named = [f"{class_name(n, labels)} ({counts[n]:,})" for n in range(1, self.outputs)]
        samples = sum(len(y) for y in parts.values())
        yield f"objects: {', '.join(named)}; {counts[1:].sum() / samples:.2f} a sample"

    def interface(self, labels: tuple[str, ...], threshold: float | None) -> tuple[str, ...]:
        """What the outputs mean."""
        return (f"{self.outputs} outputs a cell, the largest is its class; class 0 is no object",)
