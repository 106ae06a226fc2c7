"""Training and fine-tuning: seeded, deterministic, stopped early on validation."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from autotiny.errors import TrainingDiverged
from autotiny.graph import Array
from autotiny.model.doors import keras, tensorflow
from autotiny.model.freezing import predict, successor
from autotiny.model.kerastypes import KerasModel
from autotiny.model.levels import Level, Model

BATCH = 64
PATIENCE = 4
TEMPERATURE = 2.0
"""Softens the teacher's classes (Hinton et al., "Distilling the Knowledge", 2015)."""

DISTILLED = 0.7
"""Share of the teacher in the loss of a fine-tune; the labels have the rest."""


class Samples(Protocol):
    """The part of a data set that training sees."""

    @property
    def x_train(self) -> Array:
        """Inputs, (N, …)."""

    @property
    def y_train(self) -> Array:
        """Classes, (N,)."""

    @property
    def x_validation(self) -> Array:
        """Inputs, (N, …)."""

    @property
    def y_validation(self) -> Array:
        """Classes, (N,)."""

    def __hash__(self) -> int:
        """One data set is one key."""

    @property
    def classes(self) -> int:
        """How many classes there are; 0 where the model gives its input back."""


def train(
    model: Model,
    data: Samples,
    *,
    epochs: int,
    seed: int,
    learning_rate: float = 1e-3,
    batch: int = BATCH,
    teacher: Model | None = None,
    patience: int = PATIENCE,
    callbacks: Sequence[object] = (),
) -> Model:
    """A copy of a Keras model, trained on `data`; the model given stays as it is.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
    """
    network = copy_network(model.keras)
    fit(
        network, data, epochs=epochs, seed=seed, learning_rate=learning_rate, batch=batch,
        teacher=teacher, patience=patience, callbacks=callbacks,
    )  # fmt: skip
    return successor(model, network)


def copy_network(network: KerasModel) -> KerasModel:
    """A second Keras model with the same layers, names and weights."""
    twin: KerasModel = keras().models.clone_model(network)
    twin.set_weights(network.get_weights())
    return twin


def fit(
    network: KerasModel,
    data: Samples,
    *,
    epochs: int,
    seed: int,
    learning_rate: float | Callable[[int], object] = 1e-3,
    batch: int = BATCH,
    teacher: Model | None = None,
    first_best: int = 0,
    patience: int = PATIENCE,
    callbacks: Sequence[object] = (),
) -> None:
    """Trains a tf_keras model in place, and leaves it with the weights of its best epoch.

    Batches have `batch` samples, or fewer where the training set would make less than 64 of them.

    Args:
        network: the tf_keras model, wrapped by a component or not.
        data: samples; targets are the classes, or the inputs themselves where `classes` is 0.
        epochs: upper limit.
        seed: decides the order of the samples and every dropped unit.
        learning_rate: of Adam, a number or a Keras schedule.
        batch: samples a step.
        teacher: a model of level keras or graph whose outputs are learned beside the labels.
        first_best: epochs before this one, counted from 0, are no candidates for the best.
        patience: epochs without progress on validation that end it.
        callbacks: further Keras callbacks, such as those of TFMOT.
    """
    k = keras()
    k.utils.set_random_seed(seed)
    network.compile(
        optimizer=k.optimizers.Adam(learning_rate),
        loss=_loss(network, data.classes, taught=teacher is not None),
        metrics=[] if data.classes == 0 else [_accuracy],
    )
    x_train, x_validation = data.x_train, data.x_validation
    y_train, y_validation = _targets(data, teacher)
    watched = "val_loss" if data.classes == 0 else "val__accuracy"
    best = _KeepBest(watched, highest=data.classes != 0, first=first_best, patience=patience)
    network.fit(
        x_train,
        y_train,
        validation_data=(x_validation, y_validation),
        validation_batch_size=1024,
        batch_size=batch_size(len(x_train), batch),
        epochs=epochs,
        verbose=0,
        callbacks=[*callbacks, best.callback(k)],
    )
    if best.weights is None:
        raise TrainingDiverged("the loss became NaN or infinite; a lower learning rate may help")
    network.set_weights(best.weights)
    # The optimizer's slots would stay alive with the model, twice the size of its weights.
    network.optimizer = None
    gc.collect()  # a fit leaves cycles of objects that hold a copy of the training set


def batch_size(samples: int, batch: int = BATCH) -> int:
    """Samples a step: at least 64 steps an epoch on small data, which would stay untrained."""
    return max(1, min(batch, samples // 64))


def steps_per_epoch(samples: int, batch: int = BATCH) -> int:
    """Optimizer steps of one epoch of `fit`."""
    return -(-samples // batch_size(samples, batch))


class _KeepBest:
    """Remembers the weights of the best epoch on validation, and ends a hopeless training."""

    def __init__(self, watched: str, *, highest: bool, first: int, patience: int) -> None:
        self.watched, self.sign, self.first = watched, 1.0 if highest else -1.0, first
        self.patience = patience
        self.best, self.idle = -np.inf, 0
        self.weights: list[Array] | None = None

    def callback(self, k: Any) -> object:
        keeper = self

        class KeepBest(k.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                keeper.epoch_end(self.model, epoch, logs)

        return KeepBest()

    def epoch_end(self, network: KerasModel, epoch: int, logs: dict[str, float]) -> None:
        if not np.isfinite(logs["loss"]) or not np.isfinite(logs["val_loss"]):
            self.weights, network.stop_training = None, True
            return
        if epoch < self.first:
            return
        score = self.sign * logs[self.watched]
        # The last of two equal epochs is the better trained one.
        if score >= self.best:
            self.idle = 0 if score > self.best else self.idle + 1
            self.best, self.weights = score, network.get_weights()
        else:
            self.idle += 1
        if self.idle >= self.patience:
            network.stop_training = True


def gives_probabilities(network: KerasModel) -> bool:
    """Whether a Keras model ends in a softmax rather than in logits."""
    layer = network.layers[-1]
    layer = getattr(layer, "layer", layer)
    if type(layer).__name__ == "Softmax":
        return True
    activation = getattr(layer, "activation", None)
    activation = getattr(activation, "activation", activation)
    return getattr(activation, "__name__", "") == "softmax"


def _targets(data: Samples, teacher: Model | None) -> tuple[Array, Array]:
    """What is learned: classes (N,); classes and a teacher's logits (N, 1 + classes); inputs."""
    if data.classes == 0:
        return data.x_train, data.x_validation
    if teacher is None:
        return data.y_train, data.y_validation
    return _taught(data, teacher)


@lru_cache(maxsize=1)
def _taught(data: Samples, teacher: Model) -> tuple[Array, Array]:
    """Classes and a teacher's logits; kept, since one search fine-tunes with one teacher often."""
    parts = ((data.x_train, data.y_train), (data.x_validation, data.y_validation))
    train, validation = (
        np.column_stack([y, log_probabilities(teacher, x)]).astype(np.float32) for x, y in parts
    )
    return train, validation


def log_probabilities(model: Model, x: Array) -> Array:
    """Logarithms of a classifier's probabilities, (N, classes), up to a constant per row."""
    if model.level is Level.KERAS and not gives_probabilities(model.keras):
        return predict(model, x)
    outputs = predict(model, x)
    certain = np.allclose(outputs.sum(axis=1), 1, atol=1e-3) and outputs.min() >= 0
    return np.log(np.maximum(outputs, 1e-9)) if certain else outputs


def _loss(network: KerasModel, classes: int, *, taught: bool) -> Callable[[Any, Any], Any]:
    """Cross-entropy with the labels and, with a teacher, with its softened classes."""
    tf = tensorflow()
    if classes == 0:
        loss: Callable[[Any, Any], Any] = keras().losses.MeanSquaredError()
        return loss
    softmax_inside = gives_probabilities(network)

    def cross_entropy(target: Any, output: Any) -> Any:
        logits = tf.math.log(tf.maximum(output, 1e-9)) if softmax_inside else output
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


def _accuracy(target: Any, output: Any) -> Any:
    """Share of samples whose largest output is their class."""
    tf = tensorflow()
    labels = target[:, 0] if target.shape.rank == 2 else target
    found = tf.argmax(output, axis=-1, output_type=tf.int32)
    return tf.cast(found == tf.cast(tf.reshape(labels, (-1,)), tf.int32), tf.float32)
