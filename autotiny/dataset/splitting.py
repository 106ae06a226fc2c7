"""Which samples of a pile are train, validation and test: classes in each, groups in one."""

from __future__ import annotations

import hashlib

import numpy as np

from autotiny.dataset.pile import Pile
from autotiny.dataset.samples import SPLIT_SHARES, VALIDATION_SHARE
from autotiny.errors import InvalidData
from autotiny.graph import Array
from autotiny.mapped import blocks
from autotiny.tasks import SPLITS

MOST_STRATA = 64
"""Different whole numbers that are taken for classes; more are counts or values to predict."""

LEAST_OF_CLASS = 3
"""Samples of which one can go to each part."""

MOST_CELLS = 1 << 24
"""Groups times classes that are weighed against each other; of more, only sizes are."""

LEAST_SAMPLES = 5
"""Of a pile whose samples stand alone."""


def parts_of(pile: Pile, seed: int) -> Array:
    """The part of each sample, (N,) uint8: 0 train, 1 validation, 2 test.

    What the source says is kept; where it has no validation, a tenth of train becomes it. Each
    class is split in the shares of the whole, so that one of three samples or more is in every
    part. Of groups, each stays in one part: the largest first, to where its classes are lacking
    most, and a class of as many groups as parts or more is in every part where other classes of
    the same groups allow it. (Sechidis et al., "On the Stratification of Multi-Label Data",
    ECML 2011, split sets of labels likewise.)

    Args:
        pile: with or without targets, groups and parts.
        seed: decides which samples of a class, and which of equal groups, go where.

    Raises:
        InvalidData: there are too few samples or groups, or a part is empty.
    """
    if pile.parts is None:
        parts = _split(pile, np.arange(len(pile.x)), SPLIT_SHARES, seed)
    else:
        parts = pile.parts.astype(np.uint8)
        if not (parts == 1).any():
            train = np.flatnonzero(parts == 0)
            parts[train] = validation_of(pile, train, seed)
    counts = np.bincount(parts, minlength=len(SPLITS))
    if not counts.all():
        held = ", ".join(f"{count:,} {part}" for count, part in zip(counts, SPLITS, strict=True))
        raise InvalidData(
            f"{pile.name} would have an empty part: {held} of {len(pile.x):,} samples; give more "
            "samples, or say the split yourself"
        )
    return parts


def validation_of(pile: Pile, train: Array, seed: int) -> Array:
    """Which of some samples become validation, (n,) uint8: 0 stays train, 1 is validation.

    Args:
        pile: that they are of.
        train: which of its samples, (n,).
        seed: decides which samples of a class, and which of equal groups.
    """
    return _split(pile, train, (1 - VALIDATION_SHARE, VALIDATION_SHARE), seed)


def overlap(x_train: Array, x_other: Array) -> int:
    """How many samples of another part are byte for byte in train.

    Args:
        x_train: (N, …) of one type.
        x_other: (M, …) of the same type and shape of a sample.
    """
    known = set(_digests(x_train))
    return sum(digest in known for digest in _digests(x_other))


def _digests(x: Array) -> list[bytes]:
    return [
        hashlib.blake2b(np.ascontiguousarray(one).data, digest_size=16).digest()
        for block in blocks(x)
        for one in block
    ]


def _split(pile: Pile, some: Array, shares: tuple[float, ...], seed: int) -> Array:
    """The parts of the samples `some`, (n,) uint8, in these shares of them."""
    draw = np.random.default_rng(seed)
    strata = _strata(pile, some)
    if pile.groups is not None:
        groups = np.unique(pile.groups[some], return_inverse=True)[1]
        count = int(groups.max(initial=-1)) + 1
        if count < len(shares):
            raise InvalidData(
                f"{pile.name} has {count} group{'s' * (count != 1)} to split into "
                f"{' and '.join(SPLITS[: len(shares)])}; {len(shares)} are the least: record more, "
                "or group by something else"
            )
        return _by_group(groups, strata, shares, draw)
    least = LEAST_SAMPLES if len(shares) == len(SPLITS) else len(shares)
    if len(some) < least:
        raise InvalidData(
            f"{pile.name} has {len(some)} samples to split; {least} are the least for "
            f"{len(shares)} parts"
        )
    return _by_sample(strata, shares, draw)


def _strata(pile: Pile, some: Array) -> Array:
    """The class of each of the samples from 0, where they have classes; else all zero."""
    if pile.y is None or pile.y.ndim > 1 or pile.y.dtype.kind not in "iubU":
        return np.zeros(len(some), np.int64)
    values, strata, counts = np.unique(pile.y[some], return_inverse=True, return_counts=True)
    named = pile.y.dtype.kind == "U" or bool(pile.labels)
    if named or (len(values) <= MOST_STRATA and (counts >= LEAST_OF_CLASS).all()):
        return np.asarray(strata)
    return np.zeros(len(some), np.int64)


def _by_sample(strata: Array, shares: tuple[float, ...], draw: np.random.Generator) -> Array:
    """Each class by itself, in shuffled order."""
    parts = np.zeros(len(strata), np.uint8)
    given = np.zeros(len(shares))
    done = 0
    for members in _members(strata):
        done += len(members)
        counts = _counts(len(members), shares, np.multiply(shares, done) - given)
        parts[draw.permutation(members)] = np.repeat(np.arange(len(shares)), counts)
        given += counts
    return parts


def _members(strata: Array) -> list[Array]:
    """Where the samples of each class are."""
    order = np.argsort(strata, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(strata[order])) + 1)


def _counts(samples: int, shares: tuple[float, ...], lacks: Array) -> Array:
    """Whole numbers in the shares, by largest remainder; with as many samples as parts, none is 0.

    Args:
        samples: how many there are to give.
        shares: of each part, 1 together.
        lacks: what each part lacks over all classes, which decides between equal remainders.
    """
    wanted = np.multiply(shares, samples)
    counts = np.floor(wanted).astype(int)
    if samples >= max(LEAST_OF_CLASS, len(shares)):
        counts = np.maximum(counts, 1)
    while counts.sum() > samples:  # what was lifted to 1 is taken from the part with most over
        counts[np.argmax(counts - wanted - (counts == 1) * samples)] -= 1
    while counts.sum() < samples:
        left = np.round(wanted - counts, 9)
        most = np.flatnonzero(left == left.max())
        counts[most[np.argmax(lacks[most])]] += 1
    return counts


def _by_group(
    groups: Array, strata: Array, shares: tuple[float, ...], draw: np.random.Generator
) -> Array:
    """Whole groups, largest first, to the part where they bring all classes closest to the shares.

    A class that has only as many groups left as parts lack it goes to one of these; the whole pile
    counts as a class, so that no part stays empty.
    """
    if (int(groups.max()) + 1) * (int(strata.max()) + 2) > MOST_CELLS:
        strata = np.zeros_like(strata)
    held = np.zeros((int(groups.max()) + 1, int(strata.max()) + 2))
    np.add.at(held, (groups, strata), 1)
    held[:, -1] = held.sum(axis=1)
    wanted = np.outer(shares, held.sum(axis=0))
    weights = 1 / held.sum(axis=0) ** 2
    given = np.zeros_like(wanted)
    left = (held > 0).sum(axis=0)
    shuffled = draw.permutation(len(held))
    place = np.zeros(len(held), np.uint8)
    for group in shuffled[np.argsort(-held[shuffled, -1], kind="stable")]:
        allowed = _allowed(np.flatnonzero(held[group]), left, given)
        errors = (given + held[group] - wanted) ** 2 - (given - wanted) ** 2
        costs = (errors * weights).sum(axis=1)
        part = min(allowed, key=lambda one: (round(float(costs[one]), 12), one))
        place[group] = part
        given[part] += held[group]
        left[held[group] > 0] -= 1
    return place[groups]


def _allowed(classes: Array, left: Array, given: Array) -> list[int]:
    """The parts that a group with these classes may go to: none stays empty, then the scarcest.

    Args:
        classes: that the group holds, the last of which is the whole pile.
        left: (classes,) in how many groups each still is, this one among them.
        given: (parts, classes) samples so far.
    """
    allowed = set(range(len(given)))
    *inner, whole = classes.tolist()
    for one in (whole, *sorted(inner, key=lambda one: int(left[one]))):
        lacking = set(np.flatnonzero(given[:, one] == 0).tolist())
        if lacking and left[one] <= len(lacking):
            # the last group of a class that was in none is for training
            lacking = {0} if left[one] == 1 and 0 in lacking else lacking
            allowed = allowed & lacking or allowed
    return sorted(allowed)
