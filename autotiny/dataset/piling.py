"""A pile of samples as a data set: scaled, split, and what is worth knowing of the split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autotiny.dataset.pile import Pile
from autotiny.dataset.reading import (
    AS_STORED,
    Inputs,
    Reading,
    Targets,
    as_floats,
    targets_of,
    understood,
)
from autotiny.dataset.samples import Dataset, dataset_of
from autotiny.dataset.splitting import overlap, parts_of, validation_of
from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.mapped import made
from autotiny.tasks import SPLITS


def from_pile(pile: Pile, seed: int, reading: Reading = AS_STORED) -> Dataset:
    """The data set of a pile, split by seed where the source does not say it.

    Args:
        pile: samples as they are stored; without targets, a network can give them back.
        seed: decides which samples are train, validation and test.
        reading: how inputs are scaled.

    Raises:
        InvalidData: inputs or targets are not what they should be, or a part would be empty.
    """
    x, inputs = pile.x, _inputs(pile, reading)
    targets = _targets(pile)
    for what, given in (("labels", targets.values), ("groups", pile.groups)):
        if given is not None and len(x) != len(given):
            raise InvalidData(
                f"{pile.name} has {len(x)} inputs but {len(given)} {what}; each input needs one"
            )
    parts = parts_of(replace(pile, y=targets.values, labels=targets.names), seed)
    rows = [np.flatnonzero(parts == part) for part in range(len(SPLITS))]
    return replace(
        dataset_of(
            pile.name, tuple(as_floats(x, row, inputs, pile.name) for row in rows),
            tuple(targets.values[row] for row in rows),
            targets.names or (pile.targets if targets.values.ndim > 1 else ()), targets.count,
            inputs, given=pile.parts is not None,
        ),
        notes=(*pile.notes, *_straddling(pile)),
        labelled=pile.y is not None,
        rate=pile.rate,
        recorded=pile.recorded,
    )  # fmt: skip


def with_validation(
    name: str, x: Array, y: Targets, x_test: Array, y_test: Targets, seed: int, inputs: Inputs
) -> Dataset:
    """Takes validation out of train, a tenth of each class; test is given.

    Args:
        name: what messages call the data.
        x: inputs of train, (N, …) float32.
        y: their targets.
        x_test: inputs of test, likewise.
        y_test: their targets.
        seed: decides which samples of a class become validation.
        inputs: how they were stored.
    """
    if len(x) != len(y.values):
        raise InvalidData(
            f"{name} has {len(x)} inputs but {len(y.values)} labels; each input needs one"
        )
    pile = Pile(name, x, y.values, y.names)
    parts = validation_of(pile, np.arange(len(x)), seed)
    rows = [np.flatnonzero(parts == part) for part in (0, 1)]
    xs = [made(x, row, lambda some: some, name) for row in rows]
    ys = [y.values[row] for row in rows]
    return dataset_of(
        name, (*xs, x_test), (*ys, y_test.values), y.names, y.count, inputs, given=True
    )


def _inputs(pile: Pile, reading: Reading) -> Inputs:
    """How inputs are scaled; what is usual for the source is as good as asked for."""
    asked = reading.factor is not None or pile.factor is None
    usual = reading if asked else replace(reading, scale=f"{pile.factor!r}")
    return understood({"x": pile.x}, pile.name, usual)


def _targets(pile: Pile) -> Targets:
    if pile.y is None:
        return Targets(np.zeros(len(pile.x), np.int32))
    found = targets_of(pile.y, pile.name)
    if not pile.labels:
        return found
    return Targets(found.values, pile.labels, len(pile.labels))


def _straddling(pile: Pile) -> tuple[str, ...]:
    """What is said of groups that the source itself has in several splits."""
    if pile.groups is None or pile.parts is None:
        return ()
    pairs = np.unique(np.stack([pile.groups, pile.parts.astype(np.int64)], axis=1), axis=0)
    several = int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())
    if not several:
        return ()
    return (
        f"{several:,} groups are in several splits, as the source has them: what is learned of a "
        "group in train makes its samples in validation and test easier than new ones",
    )


def repeated(data: Dataset) -> tuple[str, ...]:
    """What is said of samples that train holds too, byte for byte."""
    lines = []
    for split in SPLITS[1:]:
        x = data.parts[split][0]
        same = overlap(data.x_train, x)
        if same:
            lines.append(
                f"{same:,} of {len(x):,} {split} samples are in train too, byte for byte: scores "
                "on them say nothing of new ones"
            )
    return tuple(lines)
