"""Fine-tuning as every trainable component does it: short, taught by the original, or rehearsed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from autotiny.components.base import Work
from autotiny.components.keras._weights import kernels, sparsity
from autotiny.errors import BrokenPromise
from autotiny.model import (
    KerasModel,
    Level,
    Model,
    fit,
    keras,
    steps_per_epoch,
    successor,
    tensorflow,
)

BATCH = 128
"""Larger than at first training: gradients of a trained network are small, and steps cost time."""

LEARNING_RATE = 3e-3


def fine_tuned(network: KerasModel, model: Model, work: Work) -> Model:
    """A changed network after its fine-tune, as a `Model`; zeros of a pruned model stay zero.

    Args:
        network: the tf_keras model as the component made it; it is trained in place.
        model: the one it was made from, for its traits.
        work: data, seed and limits.
    """
    with zeros_kept(network, model):
        fine_tune(network, work)
    return changed(network, model)


def changed(network: KerasModel, model: Model) -> Model:
    """A network that was made from a model, with that model's traits as they are now."""
    traits = model.traits
    if traits.sparsity is not None:
        traits = replace(traits, sparsity=round(sparsity(network), 4))
    return replace(successor(model, network), traits=traits)


def fine_tune(
    network: KerasModel,
    work: Work,
    *,
    learning_rate: float = LEARNING_RATE,
    batch: int = BATCH,
    first_best: int = 0,
    callbacks: Sequence[object] = (),
) -> None:
    """Trains a tf_keras model in place, taught by the original; a rehearsal leaves it untrained.

    Args:
        network: the model as the component made it.
        work: data, seed and limits.
        learning_rate: of Adam at first; it falls to zero along a cosine.
        batch: samples a step.
        first_best: epochs before this one are no candidates for the best.
        callbacks: further Keras callbacks.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
        BrokenPromise: a toolkit's wrapper cannot train a layer of this shape.
    """
    if work.rehearse or work.epochs == 0:
        return
    try:
        fit(
            network,
            work.data,
            epochs=work.epochs,
            seed=work.seed,
            learning_rate=_falling(learning_rate, work, batch),
            batch=batch,
            teacher=_teacher(work),
            first_best=first_best,
            callbacks=callbacks,
        )
    except ValueError as refusal:
        raise BrokenPromise(f"the fine-tune cannot run: {_reason(refusal)}") from refusal


def _reason(refusal: ValueError) -> str:
    """The line that tells why, of the many that Keras puts around it."""
    lines = [line.strip() for line in str(refusal).splitlines() if line.strip()]
    telling = [line for line in lines if "Error:" in line] or lines or ["no reason is given"]
    return telling[0][:300]


def _falling(learning_rate: float, work: Work, batch: int) -> Callable[[int], object]:
    """A rate that falls to zero along a cosine (Loshchilov and Hutter, SGDR, ICLR 2017)."""
    steps = work.epochs * steps_per_epoch(len(work.data.x_train), batch)
    rate: Callable[[int], object] = keras().optimizers.schedules.CosineDecay(learning_rate, steps)
    return rate


def _teacher(work: Work) -> Model | None:
    """The original, if it can be run here; what it teaches, the task says."""
    original = work.original
    if original is None or work.data.synthetic:
        return None
    return original if original.level in (Level.KERAS, Level.GRAPH) else None


@contextmanager
def zeros_kept(network: KerasModel, model: Model) -> Iterator[None]:
    """Lets each kernel keep the zeros it has, if a pruned model is what the network was made from.

    A constraint does it, which the optimizer applies at each step.
    """
    tf = tensorflow()
    constrained = []
    for layer, kernel in kernels(network) if model.traits.sparsity is not None else ():
        mask = tf.constant((kernel != 0).astype(np.float32))
        # Keras takes a constraint on building only, and would store it with the layer.
        layer.kernel._constraint = lambda weights, mask=mask: weights * mask
        constrained.append(layer.kernel)
    try:
        yield
    finally:
        for variable in constrained:
            variable._constraint = None
