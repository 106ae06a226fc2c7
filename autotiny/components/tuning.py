"""Fine-tuning as every trainable component does it: short, taught by the original, or rehearsed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autotiny.components.base import Work
from autotiny.model import Level, Model, fit

BATCH = 128
"""Larger than at first training: gradients of a trained network are small, and steps cost time."""

LEARNING_RATE = 1e-3


def fine_tune(
    network: Any,
    work: Work,
    *,
    learning_rate: float = LEARNING_RATE,
    batch: int = BATCH,
    first_best: int = 0,
    callbacks: Sequence[Any] = (),
) -> None:
    """Trains a tf_keras model in place, taught by the original; a rehearsal leaves it untrained.

    Args:
        network: the model as the component made it.
        work: data, seed and limits.
        learning_rate: of Adam.
        batch: samples a step.
        first_best: epochs before this one are no candidates for the best.
        callbacks: further Keras callbacks.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
    """
    if work.rehearse or work.epochs == 0:
        return
    fit(
        network,
        work.data,
        epochs=work.epochs,
        seed=work.seed,
        learning_rate=learning_rate,
        batch=batch,
        teacher=_teacher(work),
        first_best=first_best,
        callbacks=callbacks,
    )


def _teacher(work: Work) -> Model | None:
    """The original, if it can be run here and classifies."""
    original = work.original
    if original is None or work.data.classes == 0 or work.data.synthetic:
        return None
    return original if original.level in (Level.KERAS, Level.GRAPH) else None
