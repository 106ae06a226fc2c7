"""Samples in three fixed parts, and how one pile is split.

The search sees train and validation; test is for the report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from autotiny.dataset.ports import Answer, InputPort
from autotiny.dataset.reading import AS_STORED, Inputs, Reading, Targets
from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.mapped import blocks, let_go, made
from autotiny.signal import Front
from autotiny.tasks import SPLITS, Facts, Score, Task, guessed, shape_text

VALIDATION_SHARE = 0.1
"""Of the training samples, where a source has a test set of its own."""

SPLIT_SHARES = (0.6, 0.2, 0.2)
"""Train, validation and test, where a source has one pile only."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples in three fixed parts.

    Attributes:
        name: what messages call it.
        x_train: inputs, (N, …) float32; likewise validation and test.
        y_train: targets, (N, …), as the task trains on them; likewise validation and test.
        task: what a network is asked to do with the inputs.
        synthetic: seeded noise in place of data: good for measuring a network, never for its
            score.
        labels: names of the classes, or of the values to predict, where the source has them.
        source: how it was asked for: a name or a path; else the name.
        reading: what was asked of its inputs.
        inputs: how they were stored, and what was made of them.
        stored_shape: of one sample, where the model takes another.
        stored: targets by split as the source has them, which another task reads otherwise; empty
            where they are those of the task.
        count: how many classes there are, where the source says it.
        given: whether the source itself has the splits.
        notes: what was understood of the source, and what is odd about it.
        labelled: whether the source has targets.
        rate: samples a second of a recording; None where it is not known.
        recorded: whether samples are cut out of a recording, so that front ends may be put before
            the network.
        origin: the recordings that these are features of.
        front: what made them of those.
        ports: the inputs that a sample has side by side, where there are several; those of a model
            in its order once it was checked that they fit.
        answers: likewise the targets.
    """

    name: str
    x_train: Array = field(repr=False)
    y_train: Array = field(repr=False)
    x_validation: Array = field(repr=False)
    y_validation: Array = field(repr=False)
    x_test: Array = field(repr=False)
    y_test: Array = field(repr=False)
    task: Task
    synthetic: bool = False
    labels: tuple[str, ...] = ()
    source: str = ""
    reading: Reading = AS_STORED
    inputs: Inputs | None = None
    stored_shape: tuple[int, ...] | None = None
    stored: Mapping[str, Array] = field(default_factory=dict, repr=False)
    count: int | None = None
    given: bool = False
    notes: tuple[str, ...] = ()
    labelled: bool = True
    rate: int | None = None
    recorded: bool = False
    origin: Dataset | None = field(default=None, repr=False)
    front: Front | None = None
    ports: tuple[InputPort, ...] = ()
    answers: tuple[Answer, ...] = ()

    def __post_init__(self) -> None:
        """Samples that came as arrays were asked for by their name."""
        object.__setattr__(self, "source", self.source or self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.x_train.shape[1:])

    @property
    def parts(self) -> dict[str, tuple[Array, Array]]:
        """Inputs and targets by split."""
        return {
            split: (getattr(self, f"x_{split}"), getattr(self, f"y_{split}")) for split in SPLITS
        }

    @cached_property
    def fingerprint(self) -> str:
        """A digest of every sample and where it stands."""
        digest = hashlib.sha256(repr((self.task.outputs, self.shape)).encode())
        for part in (
            self.x_train, self.y_train, self.x_validation,
            self.y_validation, self.x_test, self.y_test,
        ):  # fmt: skip
            digest.update(repr(part.shape).encode())
            for block in blocks(part):
                digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()[:16]

    @cached_property
    def chance(self) -> Score | None:
        """What the best answer that knows no input scores on validation."""
        return self.task.chance(self.x_validation, self.y_validation)

    def facts(self, output: tuple[int, ...] | None = None, ends: str = "") -> Facts:
        """What tells its task, together with what a network gives and ends in."""
        targets = {split: y for split, (_, y) in self.parts.items()}
        return Facts(
            self.name, {**targets, **self.stored}, self.labels, self.count, self.shape, output,
            ends, self.given, self.labelled,
        )  # fmt: skip

    def asked(self, task: Task) -> Dataset:
        """The same samples for another task.

        Raises:
            InvalidData: their targets are none of it.
        """
        stored, labels = self.facts().parts, self.labels
        if task.reverses(labels):
            stored, labels = {split: 1 - y for split, y in stored.items()}, labels[::-1]
        ys = {split: task.targets(y, self.name) for split, y in stored.items()}
        same = all(ys[split] is y for split, (_, y) in self.parts.items())
        if task == self.task and same:
            return self
        return replace(
            self, task=task, stored=stored, labels=labels,
            y_train=ys["train"], y_validation=ys["validation"], y_test=ys["test"],
        )  # fmt: skip

    @cached_property
    def step(self) -> float:
        """What a step of its samples means where int16 holds them."""
        if self.inputs is not None and self.inputs.type == "int16":
            return self.inputs.factor
        seen = (self.x_train, self.x_validation)
        greatest = max(float(np.abs(block).max()) for x in seen for block in blocks(x))
        return greatest / 32767 if greatest > 0 else 1.0

    def through(self, front: Front | None) -> Dataset:
        """The same samples as a network behind a front takes them; kept for the next time."""
        source = self.origin or self
        if front is None or not front.ends:
            return source
        return self if front == self.front else _through(source, front)

    def calibration(self, n: int, seed: int) -> Array:
        """`n` inputs (n, …) drawn from train without replacement; all if there are fewer."""
        count = min(n, len(self.x_train))
        chosen = np.random.default_rng(seed).choice(len(self.x_train), count, replace=False)
        drawn: Array = self.x_train[chosen]
        let_go(self.x_train)
        return drawn

    def described(self) -> tuple[str, ...]:
        """What was understood of the data, in lines for the user: samples, inputs, targets."""
        sizes = ", ".join(f"{len(y):,} {split}" for split, (_, y) in self.parts.items())
        shape = shape_text(self.shape)
        if self.stored_shape is not None:
            shape = f"{shape_text(self.stored_shape)}, given to the model as {shape}"
        if self.ports:
            shape = " and ".join(shape_text(port.shape) for port in self.ports)
        lines = [f"{self.name}: samples of {shape}: {sizes}"]
        lines += [f"input {port.name}: {port.inputs}" for port in self.ports]
        if self.inputs is not None:
            lines.append(f"inputs: {self.inputs}")
        lines.append(f"task: {self.task.asked}, scored by {self.task.scored_by.title}")
        targets = {split: y for split, (_, y) in self.parts.items()}
        return (*lines, *self.task.described(targets, self.labels), *self.notes)

    def shrunk(self, train: int, validation: int, test: int) -> Dataset:
        """The same data with at most so many samples in each part."""
        sizes = dict(zip(SPLITS, (train, validation, test), strict=True))
        parts: dict[str, Any] = {
            f"{axis}_{split}": getattr(self, f"{axis}_{split}")[: sizes[split]]
            for axis in "xy"
            for split in SPLITS
        }
        stored = {split: y[: sizes[split]] for split, y in self.stored.items()}
        return replace(self, stored=stored, **parts)


@lru_cache(maxsize=2)
def _through(source: Dataset, front: Front) -> Dataset:
    x: dict[str, Any] = {
        f"x_{split}": made(part, None, front.features, source.name)
        for split, (part, _) in source.parts.items()
    }
    return replace(source, **x, origin=source, front=front)


def split_train(
    name: str,
    x: Array,
    y: Targets,
    x_test: Array,
    y_test: Targets,
    seed: int,
    inputs: Inputs | None = None,
) -> Dataset:
    """Takes validation out of train by seed alone; test is given.

    Published figures of the data sets with a name rest on it; other sources are split by class.
    """
    _same_length(name, x, y.values)
    order = np.random.default_rng(seed).permutation(len(x))
    cut = len(x) - max(1, round(VALIDATION_SHARE * len(x)))
    train, validation = order[:cut], order[cut:]
    ys = (y.values[train], y.values[validation], y_test.values)
    xs = (x[train], x[validation], x_test)
    return dataset_of(name, xs, ys, y.names, y.count, inputs, given=True)


def split_all(
    name: str,
    x: Array,
    y: Targets,
    seed: int,
    inputs: Inputs | None = None,
) -> Dataset:
    """Splits one pile by seed into train, validation and test."""
    _same_length(name, x, y.values)
    if len(x) < 5:
        raise InvalidData(f"{name} has {len(x)} samples; 5 are the least to split in three parts")
    order = np.random.default_rng(seed).permutation(len(x))
    first = max(1, round(SPLIT_SHARES[0] * len(x)))
    second = first + max(1, round(SPLIT_SHARES[1] * len(x)))
    parts = (order[:first], order[first:second], order[second:])
    xs, ys = (tuple(values[part] for part in parts) for values in (x, y.values))
    return dataset_of(name, xs, ys, y.names, y.count, inputs)


def _same_length(name: str, x: Array, y: Array) -> None:
    if len(x) != len(y):
        raise InvalidData(f"{name} has {len(x)} inputs but {len(y)} labels; each input needs one")


def dataset_of(
    name: str, xs: tuple[Array, ...], ys: tuple[Array, ...], labels: tuple[str, ...] = (),
    count: int | None = None, inputs: Inputs | None = None, *, given: bool = False,
) -> Dataset:  # fmt: skip
    """Three parts as a data set, for the task that targets alone tell."""
    for x, y in zip(xs, ys, strict=True):
        _same_length(name, x, y)
        if len(x) == 0:
            raise InvalidData(f"{name} has an empty part; each needs at least one sample")
        if x.shape[1:] != xs[0].shape[1:]:
            raise InvalidData(
                f"{name} has samples of {shape_text(xs[0].shape[1:])} and of "
                f"{shape_text(x.shape[1:])}; all need one shape"
            )
        if y.shape[1:] != ys[0].shape[1:]:
            raise InvalidData(
                f"{name} has targets of {shape_text(ys[0].shape[1:])} and of "
                f"{shape_text(y.shape[1:])}; all need one shape"
            )
    parts = [np.ascontiguousarray(x, dtype=np.float32) for x in xs]
    stored = dict(zip(SPLITS, ys, strict=True))
    task = guessed(Facts(name, stored, labels, count, parts[0].shape[1:]))
    unread = Dataset(
        name, parts[0], ys[0], parts[1], ys[1], parts[2], ys[2], task,
        labels=labels, inputs=inputs, count=count, given=given,
    )  # fmt: skip
    return unread.asked(task)
