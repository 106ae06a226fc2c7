"""Mel frequency cepstral coefficients: the cosine transform of the levels of mel bands.

Davis and Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word Recognition",
IEEE Transactions on Acoustics, Speech, and Signal Processing, 1980.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autotiny.errors import UserError
from autotiny.graph import Array
from autotiny.signal.call import CCall
from autotiny.signal.chunks import in_chunks
from autotiny.signal.fourier import Spectrum
from autotiny.signal.levels import Levels, centred, check_range
from autotiny.signal.limits import check_real, check_samples, check_whole
from autotiny.signal.log_mel import constants_of, tables_of, zero_energy
from autotiny.signal.mel import Bands
from autotiny.signal.rescaling import Rescaling, Stored, rescaled, rescaling, stored
from autotiny.signal.steps import Samples

LEAST_FILTERS = 8
MOST_LIMIT_DB = 1000.0

_COSINE_BITS = 15


@dataclass(frozen=True)
class Mfcc:
    """Sound → coefficients in dB of level, scaled as `tf.signal.mfccs_from_log_mel_spectrograms`.

    Coefficient k ≥ 1 is √(2/filters)·Σ level·cos(πk(i + ½)/filters). Coefficient 0, the loudness,
    would need several times the range of the others: it is the mean level less the middle of
    low_db and high_db, times a factor with which those two reach ∓limit_db.

    Attributes:
        frame: samples of a frame, even, 8 to 2048; a Hann window weights them.
        hop: samples from the start of a frame to that of the next, 1 to 16384.
        filters: bands, 8 to 128.
        rate: samples a second.
        low_hz: where the first band begins.
        high_hz: where the last band ends, at most half the rate.
        coefficients: how many of them, from 0 on, at most as many as filters.
        fft: samples that are transformed, a power of two from 32 to 2048; by default the least
            that hold a frame.
        low_db: the least level of a band; what is quieter counts as that.
        high_db: the highest level of a band.
        limit_db: the greatest coefficient that is stored.
        dtype: of the features, with zero-point 0.
    """

    frame: int
    hop: int
    filters: int
    rate: int
    low_hz: float
    high_hz: float
    coefficients: int
    fft: int | None = None
    low_db: float = -90.0
    high_db: float = 6.0
    limit_db: float = 192.0
    dtype: Stored = "int8"

    def __post_init__(self) -> None:
        check_range(self.low_db, self.high_db, self.dtype)
        check_whole("filters", self.filters, LEAST_FILTERS, 128)
        check_whole("coefficients", self.coefficients, 1, self.filters)
        check_real("limit_db", self.limit_db, 0.0, MOST_LIMIT_DB)
        apart = self.high_db - self.low_db
        most = min(MOST_LIMIT_DB, apart * self.filters / 2)
        if not apart <= self.limit_db <= most:
            raise UserError(
                f"limit_db is {self.limit_db:g}, and low_db and high_db are {apart:g} dB apart; "
                f"set it to a number from {apart:g} to {most:g}"
            )
        _ = self.bands

    @property
    def spectrum(self) -> Spectrum:
        """How the sound is cut and transformed."""
        return Spectrum(self.frame, self.hop, self.fft)

    @property
    def bands(self) -> Bands:
        """Which frequencies each level stands for."""
        return Bands(self.filters, self.rate, self.low_hz, self.high_hz, self.spectrum.size)

    @property
    def levels(self) -> Levels:
        """How the levels of bands are held, in int16."""
        return centred(self.low_db, self.high_db, zero_energy(self.spectrum))

    @property
    def samples(self) -> Samples:
        """The type of the samples."""
        return "int16"

    @property
    def scale(self) -> float:
        """Decibels of a step: coefficient = scale · feature."""
        return self.limit_db / (128 if self.dtype == "int8" else 32768)

    @property
    def zero_point(self) -> int:
        """The feature of 0."""
        return 0

    @property
    def rescaling(self) -> Rescaling:
        """Steps of a level → steps of a feature."""
        return rescaling(self.levels.scale / self.scale)

    def cosines(self) -> Array:
        """What levels are multiplied by, (coefficients, filters) int16 with 15 fraction bits."""
        k, i = np.arange(self.coefficients)[:, None], np.arange(self.filters)
        rows = np.sqrt(2 / self.filters) * np.cos(np.pi * k * (i + 0.5) / self.filters)
        rows[0] = 2 * self.limit_db / (self.high_db - self.low_db) / self.filters
        most = (1 << _COSINE_BITS) - 1
        return np.asarray(np.minimum(np.rint(rows * (1 << _COSINE_BITS)), most), np.int16)

    @property
    def apart(self) -> int:
        """Samples from the first of an output to the first of the next."""
        return self.hop

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """(…, T) → (…, frames, coefficients).

        Raises:
            InvalidData: there is no whole frame.
        """
        return (*input_shape[:-1], self.spectrum.frames(input_shape[-1]), self.coefficients)

    def features(self, x: Array) -> Array:
        """(…, T) int16 samples → (…, frames, coefficients) features, as the C computes them.

        Raises:
            InvalidData: the samples have another type, or fill no frame.
        """
        check_samples(x, "int16", 1, self.frame)
        spectrum, bands, into = self.spectrum, self.bands, self.levels
        cosines, by = self.cosines().astype(np.int64), self.rescaling

        def coefficients(part: Array) -> Array:
            logs = into.features(bands.energies(spectrum.powers(part))).astype(np.int64)
            sums = (logs @ cosines.T + (1 << (_COSINE_BITS - 1))) >> _COSINE_BITS
            return stored(rescaled(sums, by), self.dtype)

        return in_chunks(x, coefficients, spectrum.numbers(x.shape[-1]))

    def tables(self) -> Mapping[str, Array]:
        """The constant arrays of the C."""
        return {**tables_of(self.spectrum, self.bands), "cosines": self.cosines()}

    def c_call(self, input_shape: tuple[int, ...]) -> CCall:
        """The C for samples of shape (T,)."""
        spectrum, bands, by = self.spectrum, self.bands, self.rescaling
        frames = spectrum.frames(input_shape[-1])
        offset, multiplier, shift, _ = self.levels.constants
        shapes = constants_of(spectrum, bands)
        into = (offset, multiplier, shift, self.coefficients, by.multiplier, by.shift)
        return CCall(
            "signal_mfcc.h",
            "at_mfcc_s8" if self.dtype == "int8" else "at_mfcc_s16",
            (spectrum.work_bytes, 2 * self.filters),
            tuple(self.tables()),
            (frames, *shapes, *into),
        )
