"""Samples in three fixed parts, and how one pile is split.

The search sees train and validation; test is for the report.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from autotiny.dataset.reading import AS_STORED, Inputs, Labels, Reading
from autotiny.errors import InvalidData, shown
from autotiny.graph import Array

VALIDATION_SHARE = 0.1
"""Of the training samples, where a source has a test set of its own."""

SPLIT_SHARES = (0.6, 0.2, 0.2)
"""Train, validation and test, where a source has one pile only."""

SPLITS = ("train", "validation", "test")
MOST_NAMED = 20
"""Classes that are described one by one."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples in three fixed parts.

    Attributes:
        name: what messages call it.
        x_train: inputs, (N, …) float32; likewise validation and test.
        y_train: classes, (N,) int32; all zero where `classes` is 0.
        classes: how many there are; 0 for a network that gives its input back.
        synthetic: seeded noise in place of data: good for measuring a network, never for its
            accuracy.
        labels: names of the classes, where the source has them.
        source: how it was asked for: a name or a path; else the name.
        reading: what was asked of its inputs.
        inputs: how they were stored, and what was made of them.
        stored_shape: of one sample, where the model takes another.
    """

    name: str
    x_train: Array = field(repr=False)
    y_train: Array = field(repr=False)
    x_validation: Array = field(repr=False)
    y_validation: Array = field(repr=False)
    x_test: Array = field(repr=False)
    y_test: Array = field(repr=False)
    classes: int
    synthetic: bool = False
    labels: tuple[str, ...] = ()
    source: str = ""
    reading: Reading = AS_STORED
    inputs: Inputs | None = None
    stored_shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Samples that came as arrays were asked for by their name."""
        object.__setattr__(self, "source", self.source or self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.x_train.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """A digest of every sample and where it stands."""
        digest = hashlib.sha256(repr((self.classes, self.shape)).encode())
        for part in (
            self.x_train, self.y_train, self.x_validation,
            self.y_validation, self.x_test, self.y_test,
        ):  # fmt: skip
            digest.update(repr(part.shape).encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()[:16]

    def calibration(self, n: int, seed: int) -> Array:
        """`n` inputs (n, …) drawn from train without replacement; all if there are fewer."""
        count = min(n, len(self.x_train))
        chosen = np.random.default_rng(seed).choice(len(self.x_train), count, replace=False)
        drawn: Array = self.x_train[chosen]
        return drawn

    def described(self) -> tuple[str, ...]:
        """What was understood of the data, in lines for the user: samples, inputs, classes."""
        parts = [getattr(self, f"y_{split}") for split in SPLITS]
        sizes = ", ".join(f"{len(y):,} {split}" for y, split in zip(parts, SPLITS, strict=True))
        shape = by(self.shape)
        if self.stored_shape is not None:
            shape = f"{by(self.stored_shape)}, given to the model as {shape}"
        lines = [f"{self.name}: samples of {shape}: {sizes}"]
        if self.inputs is not None:
            lines.append(f"inputs: {self.inputs}")
        if not self.classes:
            return (*lines, "labels: none are used, the network gives its input back")
        counts = np.stack([np.bincount(y, minlength=self.classes) for y in parts])
        names = [self.class_name(number) for number in range(self.classes)]
        if self.classes <= MOST_NAMED:
            totals = zip(names, counts.sum(axis=0), strict=True)
            lines.append("classes: " + ", ".join(f"{name} ({n:,})" for name, n in totals))
        else:
            lines.append(f"classes: {self.classes}, {names[0]} to {names[-1]}")
        for split, count in zip(SPLITS, counts, strict=True):
            missing = [name for name, n in zip(names, count, strict=True) if n == 0]
            if missing:
                first = ", ".join(missing[:MOST_NAMED]) + (", …" * (len(missing) > MOST_NAMED))
                lines.append(f"no sample in {split} of class {first}")
        return tuple(lines)

    def class_name(self, number: int) -> str:
        """A class as users know it: its number, with its name where the source has one."""
        name = self.labels[number] if self.labels else str(number)
        name = name if name.isprintable() else shown(name)
        return name if name == str(number) else f"{number} = {name}"

    def shrunk(self, train: int, validation: int, test: int) -> Dataset:
        """The same data with at most so many samples in each part."""
        return replace(
            self,
            x_train=self.x_train[:train], y_train=self.y_train[:train],
            x_validation=self.x_validation[:validation],
            y_validation=self.y_validation[:validation],
            x_test=self.x_test[:test], y_test=self.y_test[:test],
        )  # fmt: skip


def by(shape: tuple[int, ...]) -> str:
    """A shape for the reader, e.g. 28×28."""
    return "×".join(str(size) for size in shape) or "one value"


def split_train(
    name: str,
    x: Array,
    y: Labels,
    x_test: Array,
    y_test: Labels,
    seed: int,
    inputs: Inputs | None = None,
) -> Dataset:
    """Takes validation out of train by seed; test is given."""
    _same_length(name, x, y.classes)
    order = np.random.default_rng(seed).permutation(len(x))
    cut = len(x) - max(1, round(VALIDATION_SHARE * len(x)))
    train, validation = order[:cut], order[cut:]
    ys = (y.classes[train], y.classes[validation], y_test.classes)
    return dataset_of(name, (x[train], x[validation], x_test), ys, y.names, y.count, inputs)


def split_all(
    name: str,
    x: Array,
    y: Labels,
    seed: int,
    inputs: Inputs | None = None,
) -> Dataset:
    """Splits one pile by seed into train, validation and test."""
    _same_length(name, x, y.classes)
    if len(x) < 5:
        raise InvalidData(f"{name} has {len(x)} samples; 5 are the least to split in three parts")
    order = np.random.default_rng(seed).permutation(len(x))
    first = max(1, round(SPLIT_SHARES[0] * len(x)))
    second = first + max(1, round(SPLIT_SHARES[1] * len(x)))
    parts = (order[:first], order[first:second], order[second:])
    xs, ys = (tuple(values[part] for part in parts) for values in (x, y.classes))
    return dataset_of(name, xs, ys, y.names, y.count, inputs)


def _same_length(name: str, x: Array, y: Array) -> None:
    if len(x) != len(y):
        raise InvalidData(f"{name} has {len(x)} inputs but {len(y)} labels; each input needs one")


def dataset_of(
    name: str, xs: tuple[Array, ...], ys: tuple[Array, ...], labels: tuple[str, ...] = (),
    classes: int | None = None, inputs: Inputs | None = None,
) -> Dataset:  # fmt: skip
    """Three parts as a data set; `classes` counts them where the labels do not say it."""
    for x, y in zip(xs, ys, strict=True):
        _same_length(name, x, y)
        if len(x) == 0:
            raise InvalidData(f"{name} has an empty part; each needs at least one sample")
        if x.shape[1:] != xs[0].shape[1:]:
            raise InvalidData(
                f"{name} has samples of {by(xs[0].shape[1:])} and of {by(x.shape[1:])}; all need "
                "one shape"
            )
    parts = [np.ascontiguousarray(x, dtype=np.float32) for x in xs]
    truths = [np.ascontiguousarray(y, dtype=np.int32) for y in ys]
    if classes is None:
        classes = max(len(labels), 1 + max(int(y.max()) for y in truths))
    return Dataset(
        name, parts[0], truths[0], parts[1], truths[1], parts[2], truths[2], classes,
        labels=labels, inputs=inputs,
    )  # fmt: skip
