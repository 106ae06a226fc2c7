"""What tasks of yes and no share: losses, teachers, scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autotiny.graph import Array
from autotiny.tasks.base import mixed
from autotiny.tasks.metrics import Metric, area_error, area_under_curve, partial_area

AREA = Metric("auc", "area under the ROC curve", area_under_curve, error=area_error)
LOW_AREA = Metric("pauc", "partial area under the ROC curve", partial_area)


def cross_entropy(ends: str, tf: Any) -> Callable[[Any, Any], Any]:
    """Binary cross-entropy of each value, for probabilities or logits."""
    loss: Callable[[Any, Any], Any] = tf.keras.losses.BinaryCrossentropy(
        from_logits=ends != "sigmoid"
    )
    return loss


def taught_probabilities(y: Array, outputs: Array, ends: str) -> Array:
    """Answers mixed with a teacher's probabilities, (N, k) float32."""
    certain = outputs if ends == "sigmoid" else 1 / (1 + np.exp(-outputs.astype(np.float64)))
    return mixed(y, certain)


def f1(truth: Array, found: Array, threshold: float) -> float:
    """Harmonic mean of precision and recall of the answers from a threshold on."""
    answers, truth = found >= threshold, truth != 0
    hits = int((answers & truth).sum())
    return 2 * hits / max(int(answers.sum()) + int(truth.sum()), 1)


def macro_f1(truth: Array, found: Array, threshold: float) -> float:
    """Mean of the F1 of each column."""
    return float(np.mean([f1(t, o, threshold) for t, o in zip(truth.T, found.T, strict=True)]))


def right(truth: Array, found: Array, threshold: float) -> float:
    """Share of answers that are right."""
    return float(np.mean((found >= threshold) == (truth != 0)))


def same_answers(
    one: Array, other: Array, thresholds: tuple[float | None, float | None]
) -> float | None:
    """The share of answers that are both yes or both no; None without thresholds."""
    first, second = thresholds
    if first is None or second is None:
        return None
    return float(np.mean((one >= first) == (other >= second)))


def answer_table(
    heading: str, y: Array, outputs: Array, names: Sequence[str], threshold: float | None
) -> list[tuple[str, list[tuple[str, ...]]]]:
    """A line for each name: how many there are, how many are found, and how many alarms are false.

    Args:
        heading: of the table, which goes on with the threshold.
        y: answers, (N,) or (N, names).
        outputs: what was found, likewise.
        names: of the answers.
        threshold: from which output on the answer is yes; without one there is no table.
    """
    if threshold is None:
        return []
    y, outputs = (values.reshape(len(y), -1) for values in (y, outputs))
    head = ("answer", "samples", "found", "false alarms", "recall %", "precision %")
    rows: list[tuple[str, ...]] = [head]
    for number, name in enumerate(names):
        truth, answers = y[:, number] != 0, outputs[:, number] >= threshold
        hits, alarms = int((truth & answers).sum()), int(answers.sum())
        rows.append(
            (
                name, str(int(truth.sum())), str(hits), str(alarms - hits),
                f"{100 * hits / max(int(truth.sum()), 1):.1f}",
                f"{100 * hits / max(alarms, 1):.1f}",
            )
        )  # fmt: skip
    return [(f"{heading} of {threshold:.6g} on", rows)]
