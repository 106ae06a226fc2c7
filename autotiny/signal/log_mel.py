"""Logarithms of the energies of mel bands, the usual features of speech and sounds.

Davis and Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word Recognition",
IEEE Transactions on Acoustics, Speech, and Signal Processing, 1980.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autotiny.graph import Array
from autotiny.signal.call import CCall
from autotiny.signal.chunks import in_chunks
from autotiny.signal.fourier import Spectrum
from autotiny.signal.levels import Levels, check_range, levels
from autotiny.signal.limits import check_samples
from autotiny.signal.logarithm import log2_table
from autotiny.signal.mel import WEIGHT_BITS, Bands
from autotiny.signal.rescaling import Stored
from autotiny.signal.steps import Samples


@dataclass(frozen=True)
class LogMel:
    """Sound → levels of mel bands in dB; 0 dB is a sine of full scale at a band's middle.

    Attributes:
        frame: samples of a frame, even, 8 to 2048; a Hann window weights them.
        hop: samples from the start of a frame to that of the next, 1 to 16384.
        filters: bands, 1 to 128.
        rate: samples a second.
        low_hz: where the first band begins.
        high_hz: where the last band ends, at most half the rate.
        fft: samples that are transformed, a power of two from 32 to 2048; by default the least
            that hold a frame.
        low_db: the level of the smallest feature (int8); what is quieter has it, too.
        high_db: the level of the largest one.
        dtype: of the features, int8, or int16 with zero-point 0.
    """

    frame: int
    hop: int
    filters: int
    rate: int
    low_hz: float
    high_hz: float
    fft: int | None = None
    low_db: float = -90.0
    high_db: float = 6.0
    dtype: Stored = "int8"

    def __post_init__(self) -> None:
        check_range(self.low_db, self.high_db, self.dtype)
        _ = self.bands

    @property
    def spectrum(self) -> Spectrum:
        """How the sound is cut and transformed."""
        return Spectrum(self.frame, self.hop, self.fft)

    @property
    def bands(self) -> Bands:
        """Which frequencies each feature stands for."""
        return Bands(self.filters, self.rate, self.low_hz, self.high_hz, self.spectrum.size)

    @property
    def levels(self) -> Levels:
        """Which level each number stands for."""
        return levels(self.low_db, self.high_db, zero_energy(self.spectrum), self.dtype)

    @property
    def samples(self) -> Samples:
        """The type of the samples."""
        return "int16"

    @property
    def scale(self) -> float:
        """DB of a step: level = scale · (feature − zero_point)."""
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
        """(…, T) → (…, frames, filters).

        Raises:
            InvalidData: there is no whole frame.
        """
        return (*input_shape[:-1], self.spectrum.frames(input_shape[-1]), self.filters)

    def features(self, x: Array) -> Array:
        """(…, T) int16 samples → (…, frames, filters) features, as the C computes them.

        Raises:
            InvalidData: the samples have another type, or fill no frame.
        """
        check_samples(x, "int16", 1, self.frame)
        spectrum, bands, into = self.spectrum, self.bands, self.levels
        return in_chunks(
            x,
            lambda part: into.features(bands.energies(spectrum.powers(part))),
            spectrum.numbers(x.shape[-1]),
        )

    def tables(self) -> Mapping[str, Array]:
        """The constant arrays of the C."""
        return tables_of(self.spectrum, self.bands)

    def c_call(self, input_shape: tuple[int, ...]) -> CCall:
        """The C for samples of shape (T,)."""
        spectrum, bands = self.spectrum, self.bands
        frames = spectrum.frames(input_shape[-1])
        return CCall(
            "signal_log_mel.h",
            "at_log_mel_s8" if self.dtype == "int8" else "at_log_mel_s16",
            (spectrum.work_bytes,),
            tuple(self.tables()),
            (frames, *constants_of(spectrum, bands), *self.levels.constants),
        )


def zero_energy(spectrum: Spectrum) -> float:
    """The energy of 0 dB, as bands compute it."""
    return spectrum.full_scale_power() * (1 << WEIGHT_BITS)


def tables_of(spectrum: Spectrum, bands: Bands) -> dict[str, Array]:
    """The constant arrays of mel bands, in the order of the kernel's parameters."""
    return {
        "window": spectrum.window(),
        "turns": spectrum.turns(),
        "log2": log2_table(),
        "weights": bands.weights(),
        "counts": bands.counts(),
    }


def constants_of(spectrum: Spectrum, bands: Bands) -> tuple[int, ...]:
    """The shapes that the kernel takes after the number of frames."""
    half = spectrum.half
    return spectrum.frame, spectrum.hop, half, spectrum.bits, bands.filters, bands.first()
