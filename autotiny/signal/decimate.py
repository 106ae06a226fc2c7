"""Fewer samples of a time series, without what would fold into the rest.

A windowed sinc with its edge at half the new rate, as `scipy.signal.decimate` takes it. Crochiere
and Rabiner, "Multirate Digital Signal Processing", 1983. The twin of `signal_decimate.h`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autotiny.errors import UserError
from autotiny.graph import Array
from autotiny.signal.call import CCall
from autotiny.signal.chunks import in_chunks
from autotiny.signal.limits import check_length, check_samples, check_whole
from autotiny.signal.rescaling import Stored
from autotiny.signal.steps import C_SUFFIX, UNIT, Samples, check_step, in_steps, into_steps

MOST_FACTOR, MOST_TAPS = 64, 512
_TAPS_A_FACTOR = 20
"""Of sharper filters the taps would add up to more than 2."""

_TAP_BITS, _KEPT_BITS = 15, 10


@dataclass(frozen=True)
class Decimate:
    """(…, T, C) → every factor-th sample of what is left below half the new rate.

    Attributes:
        factor: one sample stays of so many, 2 to 64.
        taps: samples that the filter reaches over, 3 to 512 and at most 20·factor + 1.
        step: what one step of the output means, in steps of the input; of int32 in 65536 of them.
        dtype: of the output.
        samples: type of the input; int32 has 16 fraction bits.
    """

    factor: int
    taps: int
    step: float = 1.0
    dtype: Stored = "int16"
    samples: Samples = "int16"

    def __post_init__(self) -> None:
        check_whole("factor", self.factor, 2, MOST_FACTOR)
        check_whole("taps", self.taps, 3, MOST_TAPS)
        check_step(self.step, self.dtype, self.samples)
        most = _TAPS_A_FACTOR * self.factor + 1
        if self.taps > most:
            raise UserError(
                f"taps is {self.taps} and factor is {self.factor}; set taps to {most} or less, or "
                f"raise the factor"
            )

    @property
    def scale(self) -> float:
        """Steps of the input in a step of the output."""
        return self.step * UNIT[self.samples]

    @property
    def zero_point(self) -> int:
        """The output of 0."""
        return 0

    def coefficients(self) -> Array:
        """The taps, (taps,) int16 with 15 fraction bits, which add up to 1."""
        from scipy.signal import firwin

        one = 1 << _TAP_BITS
        taps = np.rint(firwin(self.taps, 1 / self.factor) * one).astype(np.int64)
        taps[self.taps // 2] += one - taps.sum()  # what rounding took: a constant stays as it is
        return np.asarray(taps, np.int16)

    @property
    def apart(self) -> int:
        """Samples from the first of an output to the first of the next."""
        return self.factor

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """(…, T, C) → (…, 1 + (T − taps) // factor, C).

        Raises:
            InvalidData: the filter reaches over more samples than there are.
        """
        *leading, samples, channels = input_shape
        check_length(samples, self.taps)
        return (*leading, 1 + (samples - self.taps) // self.factor, channels)

    def features(self, x: Array) -> Array:
        """(…, T, C) → (…, outputs, C), as the C computes them.

        Raises:
            InvalidData: the samples have another type, or are too few.
        """
        check_samples(x, self.samples, 2, self.taps)
        taps = self.coefficients().astype(np.int64)

        def filtered(part: Array) -> Array:
            outputs = self.output_shape(part.shape)[-2]
            sums = np.zeros((len(part), outputs, part.shape[-1]), np.int64)
            for k, tap in enumerate(taps):
                sums += tap * part[:, k : k + self.factor * (outputs - 1) + 1 : self.factor]
            lost = _TAP_BITS - _KEPT_BITS + UNIT[self.samples].bit_length() - 1
            levels = (sums + (1 << (lost - 1))) >> lost
            return in_steps(levels, self.step, _KEPT_BITS, self.dtype)

        return in_chunks(x, filtered, x.shape[-2] * x.shape[-1], rank=2)

    def tables(self) -> Mapping[str, Array]:
        """The constant arrays of the C."""
        return {"taps": self.coefficients()}

    def c_call(self, input_shape: tuple[int, ...]) -> CCall:
        """The C for samples of shape (T, C)."""
        outputs, channels = self.output_shape(input_shape)[-2:]
        by = into_steps(self.step, _KEPT_BITS)
        return CCall(
            "signal_decimate.h",
            f"at_decimate_{C_SUFFIX[self.samples]}_{C_SUFFIX[self.dtype]}",
            (),
            tuple(self.tables()),
            (outputs, channels, self.factor, self.taps, by.multiplier, by.shift),
        )
