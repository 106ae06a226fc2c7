"""Logarithms of the powers of frequencies, as they are: what mel bands leave out stays visible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autotiny.errors import UserError
from autotiny.graph import Array
from autotiny.signal.call import CCall
from autotiny.signal.chunks import in_chunks
from autotiny.signal.fourier import Spectrum
from autotiny.signal.levels import Levels, check_range, levels
from autotiny.signal.limits import check_samples, check_whole
from autotiny.signal.logarithm import log2_table
from autotiny.signal.rescaling import Stored
from autotiny.signal.steps import Samples


@dataclass(frozen=True)
class Spectrogram:
    """Sound → levels of frequencies in dB; 0 dB is a sine of full scale at that frequency.

    Attributes:
        frame: samples of a frame, even, 8 to 2048; a Hann window weights them.
        hop: samples from the start of a frame to that of the next, 1 to 16384.
        fft: samples N that are transformed, a power of two from 32 to 2048; by default the least
            that hold a frame.
        first: the first frequency, in steps of rate / N.
        bins: how many frequencies; by default all up to half the rate.
        low_db: the level of the smallest feature (int8); what is quieter has it, too.
        high_db: the level of the largest one.
        dtype: of the features, int8, or int16 with zero-point 0.
    """

    frame: int
    hop: int
    fft: int | None = None
    first: int = 0
    bins: int | None = None
    low_db: float = -90.0
    high_db: float = 6.0
    dtype: Stored = "int8"

    def __post_init__(self) -> None:
        check_range(self.low_db, self.high_db, self.dtype)
        most = self.spectrum.half
        check_whole("first", self.first, 0, most)
        if self.bins is not None:
            check_whole("bins", self.bins, 1, most + 1)
        if self.first + self.count > most + 1:
            raise UserError(
                f"first is {self.first} and bins is {self.bins}; there are frequencies 0 to "
                f"{most}: set bins to {most + 1 - self.first} or less, or leave it out"
            )

    @property
    def spectrum(self) -> Spectrum:
        """How the sound is cut and transformed."""
        return Spectrum(self.frame, self.hop, self.fft)

    @property
    def count(self) -> int:
        """Features of a frame."""
        return self.spectrum.half + 1 - self.first if self.bins is None else self.bins

    @property
    def levels(self) -> Levels:
        """Which level each number stands for."""
        return levels(self.low_db, self.high_db, self.spectrum.full_scale_power(), self.dtype)

    @property
    def samples(self) -> Samples:
        """The type of the samples."""
        return "int16"

    @property
    def scale(self) -> float:
        """Decibels of a step: level = scale · (feature − zero_point)."""
        return self.levels.scale

    @property
    def zero_point(self) -> int:
        """The feature of 0 dB."""
        return self.levels.zero_point

    @property
    def apart(self) -> int:
        """Samples from the first of an output to the first of the next."""
        return self.hop

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """(…, T) → (…, frames, bins).

        Raises:
            InvalidData: there is no whole frame.
        """
        return (*input_shape[:-1], self.spectrum.frames(input_shape[-1]), self.count)

    def features(self, x: Array) -> Array:
        """(…, T) int16 samples → (…, frames, bins) features, as the C computes them.

        Raises:
            InvalidData: the samples have another type, or fill no frame.
        """
        check_samples(x, "int16", 1, self.frame)
        spectrum, into = self.spectrum, self.levels
        used = slice(self.first, self.first + self.count)
        return in_chunks(
            x,
            lambda part: into.features(spectrum.powers(part)[..., used]),
            spectrum.numbers(x.shape[-1]),
        )

    def tables(self) -> Mapping[str, Array]:
        """The constant arrays of the C."""
        spectrum = self.spectrum
        return {"window": spectrum.window(), "turns": spectrum.turns(), "log2": log2_table()}

    def c_call(self, input_shape: tuple[int, ...]) -> CCall:
        """The C for samples of shape (T,)."""
        spectrum = self.spectrum
        shapes = (spectrum.frames(input_shape[-1]), self.frame, self.hop, spectrum.half)
        return CCall(
            "signal_spectrogram.h",
            "at_spectrogram_s8" if self.dtype == "int8" else "at_spectrogram_s16",
            (spectrum.work_bytes,),
            tuple(self.tables()),
            (*shapes, spectrum.bits, self.count, self.first, *self.levels.constants),
        )
