"""What a time series has between two frequencies: a Butterworth filter in sections of second order.

Butterworth, "On the Theory of Filter Amplifiers", Wireless Engineer, 1930; designed by
`scipy.signal.butter`. The twin of `signal_band_filter.h`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autotiny.errors import UserError
from autotiny.graph import Array
from autotiny.signal.call import CCall
from autotiny.signal.chunks import in_chunks
from autotiny.signal.limits import check_real, check_samples, check_whole
from autotiny.signal.mel import MOST_RATE
from autotiny.signal.rescaling import Stored
from autotiny.signal.steps import C_SUFFIX, UNIT, Samples, check_step, in_steps, into_steps

MOST_ORDER = 4
LEAST_EDGE, MOST_EDGE = 2e-3, 0.495
"""Of the rate: nearer to its ends, 30 fraction bits do not hold a filter."""

SIGNAL_BITS, FACTOR_BITS = 12, 30
_SECTION_BYTES = 16
_GRID = 4096


@dataclass(frozen=True)
class BandFilter:
    """(…, T, C) → the same shape, each channel filtered; before the first was always it.

    Attributes:
        rate: samples a second.
        low_hz: what is below goes; None keeps it.
        high_hz: what is above goes; None keeps it.
        order: of the edges, 1 to 4: 6 dB an octave each.
        step: what one step of the output means, in steps of the input; of int32 in 65536 of them.
        dtype: of the output.
        samples: type of the input; int32 has 16 fraction bits.
    """

    rate: int
    low_hz: float | None
    high_hz: float | None
    order: int = 2
    step: float = 1.0
    dtype: Stored = "int16"
    samples: Samples = "int16"

    def __post_init__(self) -> None:
        check_whole("rate", self.rate, 1, MOST_RATE)
        check_whole("order", self.order, 1, MOST_ORDER)
        check_step(self.step, self.dtype, self.samples)
        least, most = LEAST_EDGE * self.rate, MOST_EDGE * self.rate
        for name, edge in (("low_hz", self.low_hz), ("high_hz", self.high_hz)):
            if edge is not None:
                check_real(name, edge, least, most)
        if self.low_hz is None and self.high_hz is None:
            raise UserError(
                f"low_hz and high_hz are None, and nothing is filtered; set one of them to a "
                f"number from {least:g} to {most:g}"
            )
        if (
            self.low_hz is not None
            and self.high_hz is not None
            and (self.high_hz < self.low_hz + least)
        ):
            raise UserError(
                f"low_hz is {self.low_hz:g} and high_hz is {self.high_hz:g}; the second must be "
                f"higher by {least:g}: raise it, or lower the first"
            )

    @property
    def scale(self) -> float:
        """Steps of the input in a step of the output."""
        return self.step * UNIT[self.samples]

    @property
    def zero_point(self) -> int:
        """The output of 0."""
        return 0

    def sections(self) -> Array:
        """Each section as (b0, b1, b2, −a1, −a2, gain): (sections, 6) int32 with 30 fraction bits.

        The gain is that of 0 Hz, of all sections up to this one. Each section takes back what those
        before it amplify most, so that no signal between them is louder than the input.
        """
        from scipy.signal import butter

        edges = [edge for edge in (self.low_hz, self.high_hz) if edge is not None]
        kind = "band" if len(edges) == 2 else "high" if self.high_hz is None else "low"
        between = edges if len(edges) == 2 else edges[0]
        sos = butter(self.order, between, kind, fs=self.rate, output="sos")
        ways = [sos]
        if kind == "band":  # a zero at each end for every section: better where the band is narrow
            even = np.array([1.0, 0.0, -1.0]) * np.prod(sos[:, 0]) ** (1 / len(sos))
            ways.append(np.hstack((np.tile(even, (len(sos), 1)), sos[:, 3:])))
        sos = min((_evened(way) for way in ways), key=lambda way: float(np.abs(way[:, :3]).max()))
        gains = np.cumprod(sos[:, :3].sum(1) / sos[:, 3:].sum(1))
        rows = np.column_stack((sos[:, :3], -sos[:, 4:], gains)) * (1 << FACTOR_BITS)
        return np.asarray(np.clip(np.rint(rows), -(1 << 31), (1 << 31) - 1), np.int32)

    @property
    def apart(self) -> None:
        """An output hangs on all samples before it, and on what the window begins with."""
        return None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """(…, T, C) → (…, T, C)."""
        return input_shape

    def features(self, x: Array) -> Array:
        """(…, T, C) → (…, T, C), as the C computes them.

        Raises:
            InvalidData: the samples have another type.
        """
        check_samples(x, self.samples, 2, 1)
        sections = self.sections().astype(np.int64)

        def filtered(part: Array) -> Array:
            signal = (part.astype(np.int64) << SIGNAL_BITS) // UNIT[self.samples]
            before = first = signal[:, 0]
            for by in sections:
                after = _signal(first * by[5])
                signal = _section(signal, by, before, after)
                before = after
            return in_steps(signal, self.step, SIGNAL_BITS, self.dtype)

        return in_chunks(x, filtered, x.shape[-2] * x.shape[-1], rank=2)

    def tables(self) -> Mapping[str, Array]:
        """The constant arrays of the C."""
        return {"factors": self.sections()}

    def c_call(self, input_shape: tuple[int, ...]) -> CCall:
        """The C for samples of shape (T, C)."""
        samples, channels = input_shape[-2:]
        by, sections = into_steps(self.step, SIGNAL_BITS), len(self.sections())
        return CCall(
            "signal_band_filter.h",
            f"at_band_filter_{C_SUFFIX[self.samples]}_{C_SUFFIX[self.dtype]}",
            (_SECTION_BYTES * sections,),
            tuple(self.tables()),
            (samples, channels, sections, by.multiplier, by.shift),
        )


def _evened(sos: Array) -> Array:
    """The same filter, of which each section takes back what those before it amplify most."""
    turns = np.concatenate((np.geomspace(1e-3, 0.1, _GRID), np.linspace(0.1, np.pi, _GRID)))
    delays = np.exp(-1j * turns[:, None] * np.arange(3))
    gains = np.cumprod(np.abs((delays @ sos[:, :3].T) / (delays @ sos[:, 3:].T)), 1)
    most = np.concatenate(([1.0], gains.max(0)[:-1], [1.0]))  # the last one's gain is the filter's
    sos = sos.copy()
    sos[:, :3] *= (most[:-1] / most[1:])[:, None]
    return sos


def _signal(sums: Array) -> Array:
    """Sums of products in the bits of signals, rounded to the nearest; halves go up."""
    signal: Array = (sums + (1 << (FACTOR_BITS - 1))) >> FACTOR_BITS
    return signal


def _section(x: Array, by: Array, before: Array, after: Array) -> Array:
    """One section over (N, T, C); what was before were constants."""
    padded = np.concatenate((before[:, None], before[:, None], x), 1)
    fed = by[0] * padded[:, 2:] + by[1] * padded[:, 1:-1] + by[2] * padded[:, :-2]
    y = np.empty_like(x)
    y1 = y2 = after
    for t in range(x.shape[1]):
        y[:, t] = _signal(fed[:, t] + by[3] * y1 + by[4] * y2)
        y1, y2 = y[:, t], y1
    return y
