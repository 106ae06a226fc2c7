"""Weights without their zeros, in the order in which `sparse_s8.h` reads them.

Gaps between what is left are stored instead of places, as in Han et al., "Deep Compression", ICLR
2016: in so few bits that a gap of more is bridged by entries of weight zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autotiny.engine.layers.matrix import Ints, Matrix, Words
from autotiny.graph import Array

FOUR = 4
"""Entries that the kernels take at once; also the weights of an entry that is a run."""

HEAD_WORDS = 3
"""Before the entries of an output."""


@dataclass(frozen=True)
class Format:
    """How the entries of a layer are stored.

    Attributes:
        run: weights of neighbouring taps that make an entry, 1 or 4.
        bits: of the step from one entry to the next, 2 or 4.
    """

    run: int
    bits: int

    @property
    def together(self) -> int:
        """How many fours of entries have their steps in one word."""
        return 8 // self.bits

    def __str__(self) -> str:
        return f"1x{self.run}_{self.bits}"


FORMATS = tuple(Format(run, bits) for run in (1, FOUR) for bits in (2, 4))


def smallest(made: Matrix, zero: int, patches: int = 1) -> tuple[Format, Words]:
    """The format that takes least flash for a layer, and the layer's stream in it."""
    form = min(FORMATS, key=lambda form: stream_words(made, form))
    return form, stream(made, form, zero, patches)


def least_bytes(weights: Array) -> float:
    """What (outputs, ...) weights take at least in any format: heads, and all in full runs."""
    steps = 1 + 1 / (FOUR * FOUR)  # a word of them with four fours
    return 4 * HEAD_WORDS * len(weights) + steps * np.count_nonzero(weights)


def stream_words(made: Matrix, form: Format) -> int:
    """How many words a layer's stream takes."""
    words = 0
    for weights in made.weights:
        kept = np.flatnonzero(_runs(weights, form).any(axis=1))
        entries = int(((np.diff(kept, prepend=-1) - 1 >> form.bits) + 1).sum())
        fours = -(-entries // FOUR)
        words += HEAD_WORDS + -(-fours // form.together) + fours * form.run
    return words


def reads_past(form: Format, patches: int = 1) -> int:
    """How many bytes behind the inputs are read at most, for entries of weight zero."""
    return ((FOUR - 1) * form.run + form.run - 1) * patches


def stream(made: Matrix, form: Format, zero: int, patches: int = 1) -> Words:
    """The stream of `at_dense_sparse` and `at_conv_sparse`.

    For every output: the bias; multiplier; shift and, above its low byte, the number of fours; then
    the fours.

    Args:
        made: the layer.
        form: how its entries are stored.
        zero: zero-point of the output.
        patches: how many are computed at once, their inputs side by side.
    """
    parts: list[Ints] = []
    heads = _heads(made, zero)
    for head, weights in zip(heads, made.weights, strict=True):
        steps, entries = _entries(weights, form)
        head[2] |= len(steps) // FOUR << 8
        parts += [
            head & 0xFFFFFFFF,
            *_interleaved(steps, entries, form, form.run * patches),
        ]
    return np.concatenate(parts).astype(np.uint32)


def _heads(made: Matrix, zero: int) -> Ints:
    """(outputs, 3) bias, multiplier and shift, from which the kernel finds the rounding.

    That of a channel that was found constant is twice its output. Here a bias gives the output:
    doubled and scaled by 2^30 / 2^32 it is twice the distance from the zero-point.
    """
    rounding = (zero << made.shift) + ((1 << made.shift) >> 1)
    usual = np.stack((made.bias, made.multiplier, made.shift), axis=1)
    bias = 4 * ((made.rounding >> 1) - zero)
    constant = np.stack((bias, np.full_like(bias, 1 << 30), np.ones_like(bias)), axis=1)
    return np.where((made.rounding == rounding)[:, None], usual, constant)


def _entries(weights: Ints, form: Format) -> tuple[Ints, Ints]:
    """(steps, weights (entries, run)) of one output, their number a multiple of four."""
    runs = _runs(weights, form)
    places, steps = bridged(np.flatnonzero(runs.any(axis=1)), form.bits)
    missing = -len(places) % FOUR
    return np.pad(steps, (0, missing)), np.pad(runs[places], ((0, missing), (0, 0)))


def _runs(weights: Ints, form: Format) -> Ints:
    """The weights of one output, so many in a row of an array as are stored together."""
    return np.pad(weights, (0, -len(weights) % form.run)).reshape(-1, form.run)


def bridged(kept: Ints, bits: int) -> tuple[Ints, Ints]:
    """(places, steps) of the entries that lead to all places that are kept, in order.

    A step says how many places lie between an entry and the one before. Where it does not fit into
    so many bits, entries stand in between, at places that are not kept.
    """
    farthest = (1 << bits) - 1
    gaps = np.diff(kept, prepend=-1) - 1
    behind = np.cumsum((gaps >> bits) + 1)  # the entry of each place that is kept
    steps = np.full(behind[-1] if len(kept) else 0, farthest)
    steps[behind - 1] = gaps & farthest
    return np.cumsum(steps + 1) - 1, steps


def _interleaved(steps: Ints, entries: Ints, form: Format, apart: int) -> list[Ints]:
    """Words of the steps, in units of `apart` bytes, each before the entries that it leads to."""
    together = form.together
    fours, words = steps.reshape(-1, FOUR), _words(entries.reshape(-1))
    parts: list[Ints] = []
    for first in range(0, len(fours), together):
        group = fours[first : first + together]
        fields = (group << form.bits * np.arange(len(group))[:, None]).sum(axis=0)
        parts += [
            _rotated(_words(fields), apart.bit_length() - 1),
            words[first * form.run :][: len(group) * form.run],
        ]
    return parts


def _rotated(words: Ints, left: int) -> Ints:
    wide = words << left
    rotated: Ints = (wide | wide >> 32) & 0xFFFFFFFF
    return rotated


def _words(values: Ints) -> Ints:
    """(4 n) bytes as (n) words, the first byte lowest."""
    words: Ints = (values & 0xFF).astype(np.uint8).view("<u4").astype(np.int64)
    return words
