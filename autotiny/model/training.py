"""Training and fine-tuning: seeded, deterministic, stopped early on validation."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from autotiny.doors import keras, tensorflow
from autotiny.errors import TrainingDiverged
from autotiny.graph import Array
from autotiny.mapped import Rows, lazy
from autotiny.mapped import Samples as Arrays
from autotiny.model.ends import ends_in, keras_ends_in
from autotiny.model.freezing import fed, predict, successor
from autotiny.model.kerastypes import KerasModel
from autotiny.model.levels import Model
from autotiny.signal import Front
from autotiny.tasks import Task

BATCH = 64
PATIENCE = 4

VALIDATION_BATCH = 1024
MAPPED_BATCH_BYTES = 16 << 20
"""Of samples that lie in a file, so many are validated together; several batches wait in memory."""


class Samples(Protocol):
    """The part of a data set that training sees."""

    @property
    def x_train(self) -> Array:
        """Inputs, (N, …)."""

    @property
    def y_train(self) -> Array:
        """Targets, (N, …)."""

    @property
    def x_validation(self) -> Array:
        """Inputs, (N, …)."""

    @property
    def y_validation(self) -> Array:
        """Targets, (N, …)."""

    def __hash__(self) -> int:
        """One data set is one key."""

    def through(self, front: Front | None) -> Samples:
        """The same samples as a network behind a front takes them."""

    @property
    def task(self) -> Task:
        """What a network is asked to do with them."""


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
        data: samples; what is learned of them, and by which loss, its task says.
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
    trained = _of_one_output(network)
    trained.compile(
        optimizer=k.optimizers.Adam(learning_rate),
        loss=data.task.loss(keras_ends_in(network), tensorflow()),
        metrics=data.task.watches(tensorflow()),
    )
    x_train, y_train, x_validation, y_validation = _targets(data, teacher)
    watched = data.task.watched
    best = _KeepBest(
        network, watched, highest=watched != "val_loss", first=first_best, patience=patience
    )
    trained.fit(
        fed(network, x_train),
        y_train,
        validation_data=(fed(network, x_validation), y_validation),
        validation_batch_size=_validation_batch(x_validation),
        batch_size=batch_size(len(x_train), batch),
        epochs=epochs,
        verbose=0,
        callbacks=[*callbacks, best.callback(k)],
    )
    if best.weights is None:
        raise TrainingDiverged("the loss became NaN or infinite; a lower learning rate may help")
    network.set_weights(best.weights)
    # The optimizer's slots would stay alive with the model, twice the size of its weights.
    trained.optimizer = None
    gc.collect()  # a fit leaves cycles of objects that hold a copy of the training set


def _validation_batch(x: Arrays) -> int:
    """Samples that are validated together."""
    if not isinstance(x, Rows):
        return VALIDATION_BATCH
    bytes_ = math.prod(x.shape[1:]) * x.dtype.itemsize
    return max(1, min(VALIDATION_BATCH, MAPPED_BATCH_BYTES // bytes_))


def _of_one_output(network: KerasModel) -> KerasModel:
    """A network whose outputs stand side by side, of the same layers; one of one output itself."""
    if len(network.outputs) == 1:
        return network
    k = keras()
    flat = [k.layers.Reshape((-1,))(output) for output in network.outputs]
    whole: KerasModel = k.Model(network.inputs, k.layers.Concatenate()(flat))
    return whole


def batch_size(samples: int, batch: int = BATCH) -> int:
    """Samples a step: at least 64 steps an epoch on small data, which would stay untrained."""
    return max(1, min(batch, samples // 64))


def steps_per_epoch(samples: int, batch: int = BATCH) -> int:
    """Optimizer steps of one epoch of `fit`."""
    return -(-samples // batch_size(samples, batch))


class _KeepBest:
    """Remembers the weights of the best epoch on validation, and ends a hopeless training."""

    def __init__(
        self, network: KerasModel, watched: str, *, highest: bool, first: int, patience: int
    ) -> None:
        self.network = network
        self.watched, self.sign, self.first = watched, 1.0 if highest else -1.0, first
        self.patience = patience
        self.best, self.idle, self.ended = -np.inf, 0, False
        self.weights: list[Array] | None = None

    def callback(self, k: Any) -> object:
        keeper = self

        class KeepBest(k.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
                keeper.epoch_end(epoch, logs)
                self.model.stop_training |= keeper.ended

        return KeepBest()

    def epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if not np.isfinite(logs["loss"]) or not np.isfinite(logs["val_loss"]):
            self.weights, self.ended = None, True
            return
        if epoch < self.first:
            return
        score = self.sign * logs[self.watched]
        # The last of two equal epochs is the better trained one.
        if score >= self.best:
            self.idle = 0 if score > self.best else self.idle + 1
            self.best, self.weights = score, self.network.get_weights()
        else:
            self.idle += 1
        if self.idle >= self.patience:
            self.ended = True


def _targets(data: Samples, teacher: Model | None) -> tuple[Arrays, Arrays, Arrays, Arrays]:
    """Inputs and targets of train and validation; a teacher has its share in those of train.

    Batches of mapped ones are read as they are needed, in the order that arrays have.
    """
    task = data.task
    x, y = task.learned(data.x_train, data.y_train)
    x_validation, y_validation = task.learned(data.x_validation, data.y_validation)
    if teacher is not None and task.teachable:
        y = _taught(data, teacher)
    return lazy(x), lazy(y), lazy(x_validation), lazy(y_validation)


@lru_cache(maxsize=1)
def _taught(data: Samples, teacher: Model) -> Array:
    """Targets with a teacher's share; kept, since one search fine-tunes with one teacher often."""
    x, y = data.task.learned(data.through(teacher.front).x_train, data.y_train)
    assert isinstance(y, np.ndarray), "whoever gives inputs back is not taught"
    return data.task.taught(y, predict(teacher, lazy(x)), ends_in(teacher))
