"""What a window of a time series is like: the features of small classifiers of motion.

Of each channel its mean, standard deviation, root mean square, minimum, maximum, and how often it
crosses its mean. The twin of `signal_statistics.h`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autotiny.graph import Array
from autotiny.signal.call import CCall
from autotiny.signal.chunks import in_chunks
from autotiny.signal.limits import check_length, check_samples, check_whole
from autotiny.signal.rescaling import Stored
from autotiny.signal.steps import Samples, check_step, in_steps, into_steps

MOST_FRAME = 1 << 14

_KEPT_BITS = 10
_VALUES = 6


@dataclass(frozen=True)
class Statistics:
    """(…, T, C) int16 → (…, frames, C, 6): mean, deviation, root mean square, ends, crossings.

    The mean is rounded to the nearest, halves up; deviation and root mean square are rounded down
    to steps of the input. Crossings are a share of the samples, and full scale is all of them.

    Attributes:
        frame: samples of a window, 2 to 16384.
        hop: samples from the start of a window to that of the next, 1 to 16384.
        step: what one step of the output means, in steps of the input; not of crossings.
        dtype: of the output.
    """

    frame: int
    hop: int
    step: float = 1.0
    dtype: Stored = "int16"

    def __post_init__(self) -> None:
        check_whole("frame", self.frame, 2, MOST_FRAME)
        check_whole("hop", self.hop, 1, MOST_FRAME)
        check_step(self.step, self.dtype)

    @property
    def samples(self) -> Samples:
        """The type of the samples."""
        return "int16"

    @property
    def scale(self) -> float:
        """Steps of the input in a step of the output; of crossings, see `crossing_scale`."""
        return self.step

    @property
    def crossing_scale(self) -> float:
        """The share of samples that a step of the last value means."""
        return 2.0**-7 if self.dtype == "int8" else 2.0**-15

    @property
    def zero_point(self) -> int:
        """The output of 0."""
        return 0

    @property
    def apart(self) -> int:
        """Samples from the first of an output to the first of the next."""
        return self.hop

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """(…, T, C) → (…, frames, C, 6).

        Raises:
            InvalidData: there is no whole window.
        """
        *leading, samples, channels = input_shape
        check_length(samples, self.frame)
        return (*leading, 1 + (samples - self.frame) // self.hop, channels, _VALUES)

    def features(self, x: Array) -> Array:
        """(…, T, C) int16 → (…, frames, C, 6), as the C computes them.

        Raises:
            InvalidData: the samples have another type, or fill no window.
        """
        check_samples(x, "int16", 2, self.frame)
        numbers = int(np.prod(self.output_shape(x.shape[-2:])[:2])) * self.frame
        return in_chunks(x, self._of_windows, numbers, rank=2)

    def tables(self) -> Mapping[str, Array]:
        """The constant arrays of the C: none."""
        return {}

    def c_call(self, input_shape: tuple[int, ...]) -> CCall:
        """The C for samples of shape (T, C)."""
        frames, channels, _ = self.output_shape(input_shape)[-3:]
        by = into_steps(self.step, _KEPT_BITS)
        return CCall(
            "signal_statistics.h",
            "at_statistics_s8" if self.dtype == "int8" else "at_statistics_s16",
            (),
            (),
            (frames, channels, self.frame, self.hop, by.multiplier, by.shift),
        )

    def _of_windows(self, part: Array) -> Array:
        n = self.frame
        frames = self.output_shape(part.shape)[-3]
        starts = self.hop * np.arange(frames)
        x = part[:, starts[:, None] + np.arange(n)].astype(np.int64)  # (N, frames, n, C)
        total, squares = x.sum(2), (x * x).sum(2)
        mean = (2 * total + n) // (2 * n)
        deviation = _roots((squares * n - total * total) // (n * n))
        values = (mean, deviation, _roots(squares // n), x.min(2), x.max(2))
        steps = [in_steps(v << _KEPT_BITS, self.step, _KEPT_BITS, self.dtype) for v in values]
        below = x < mean[:, :, None]
        crossings = (below[:, :, 1:] != below[:, :, :-1]).sum(2) * (1 << 15) // n
        share = (crossings >> (8 if self.dtype == "int8" else 0)).astype(self.dtype)
        return np.stack((*steps, share), -1)


def _roots(x: Array) -> Array:
    """The whole parts of roots."""
    return np.array([math.isqrt(v) for v in x.reshape(-1).tolist()], np.int64).reshape(x.shape)
