"""Bands that overlap by half, equally wide on the mel scale: the twin of `signal_mel.h`.

The scale is HTK's, mel = 1127·ln(1 + f/700), and the bands are those of TensorFlow's
`tf.signal.linear_to_mel_weight_matrix`: triangles of height 1 over mel. Between the middles of two
bands the one falls as the other rises, so their weights add up to 1 and one of them is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autotiny.errors import UserError
from autotiny.graph import Array
from autotiny.signal.limits import check_real, check_whole

MOST_FILTERS = 128
LEAST_RATE, MOST_RATE = 100, 192_000

WEIGHT_BITS = 15


@dataclass(frozen=True)
class Bands:
    """Mel bands over the n + 1 frequencies of a transform.

    Attributes:
        filters: how many bands, 1 to 128.
        rate: samples a second.
        low_hz: where the first band begins.
        high_hz: where the last band ends, at most half the rate.
        size: samples N of the transform.
    """

    filters: int
    rate: int
    low_hz: float
    high_hz: float
    size: int

    def __post_init__(self) -> None:
        check_whole("filters", self.filters, 1, MOST_FILTERS)
        check_rate(self.rate)
        check_real("low_hz", self.low_hz, 0.0, self.rate / 2)
        check_real("high_hz", self.high_hz, 0.0, self.rate / 2)
        if self.low_hz >= self.high_hz:
            raise UserError(
                f"low_hz is {self.low_hz:g} and high_hz is {self.high_hz:g}; "
                f"the first must be lower: lower it, or raise the second"
            )
        counts = self.counts().astype(np.int64)
        empty = np.flatnonzero(counts[:-1] + counts[1:] == 0)
        if empty.size:
            raise UserError(
                f"of {self.filters} filters, number {empty[0] + 1} has none of the frequencies "
                f"that lie {self.rate / self.size:g} Hz apart; choose fewer filters, a longer fft, "
                f"or a wider band than {self.low_hz:g} to {self.high_hz:g} Hz"
            )

    def counts(self) -> Array:
        """How many frequencies lie on each flank, (filters + 1,) uint16."""
        flank, _ = self._flanks()
        inside = flank[(flank >= 0) & (flank <= self.filters)]
        return np.bincount(inside, minlength=self.filters + 1).astype(np.uint16)

    def first(self) -> int:
        """The first frequency on any flank, not that of 0 Hz."""
        flank, _ = self._flanks()
        return 1 + int(np.argmax(flank >= 0))

    def weights(self) -> Array:
        """What rises over each flank, from 0 to 1: uint16 with 15 fraction bits."""
        flank, rising = self._flanks()
        inside = (flank >= 0) & (flank <= self.filters)
        return np.asarray(np.rint(rising[inside] * (1 << WEIGHT_BITS)), np.uint16)

    def energies(self, power: Array) -> Array:
        """The energy of each band times 2^15: (…, n + 1) uint64 → (…, filters) uint64.

        Sums are taken modulo 2^64, and so are differences: no energy is as large.
        """
        weights = self.weights().astype(np.uint64)
        used = power[..., self.first() : self.first() + len(weights)]
        ends = np.concatenate(([0], np.cumsum(self.counts().astype(np.int64))))
        rising, whole = (
            np.diff(np.concatenate((np.zeros_like(used[..., :1]), _sums(p)), -1)[..., ends])
            for p in (used * weights, used)
        )
        falling = (whole << np.uint64(WEIGHT_BITS)) - rising
        energies: Array = rising[..., :-1] + falling[..., 1:]
        return energies

    def _flanks(self) -> tuple[Array, Array]:
        """Of frequencies 1 to n: the flank, −1 before the first, and how far up it they lie."""
        edges = np.linspace(_mel(self.low_hz), _mel(self.high_hz), self.filters + 2)
        mel = _mel(np.arange(1, self.size // 2 + 1) * (self.rate / self.size))
        flank = np.searchsorted(edges, mel, side="right") - 1
        inside = np.clip(flank, 0, self.filters)
        return flank, (mel - edges[inside]) / (edges[inside + 1] - edges[inside])


def check_rate(rate: int) -> None:
    """Refuses rates that no sensor has.

    Raises:
        UserError: the value, the rule and the way out.
    """
    check_whole("rate", rate, LEAST_RATE, MOST_RATE)


def _sums(x: Array) -> Array:
    """Running sums along the last dimension."""
    return np.cumsum(x, axis=-1, dtype=np.uint64)


def _mel(hz: Array | float) -> Array:
    return np.asarray(1127.0 * np.log1p(np.asarray(hz) / 700.0))
