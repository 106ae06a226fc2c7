"""Give the network cepstral coefficients of sound: few numbers that say what is spoken.

Davis and Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word Recognition",
IEEE Transactions on Acoustics, Speech, and Signal Processing, 1980.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny import signal
from autotiny.checked import Within
from autotiny.components.signal._front import Features
from autotiny.components.signal._times import HIGH_HZ, LOW_HZ, Milliseconds, frame_of, rate_of
from autotiny.signal import Front, FrontEnd


@dataclass(frozen=True)
class Mfcc(Features):
    """Puts mel frequency cepstral coefficients before the network, computed in whole numbers.

    Attributes:
        frame_ms: how long a frame is; it has at most 2048 samples.
        hop_ms: from the start of a frame to that of the next.
        filters: bands, evenly spread on the mel scale from 20 Hz to 7600 Hz, or .475 of the rate.
        coefficients: how many of them a frame gives.
    """

    name = "mfcc"

    frame_ms: Milliseconds = 30.0
    hop_ms: Milliseconds = 20.0
    filters: Annotated[int, Within(ge=8, le=128)] = 40
    coefficients: Annotated[int, Within(ge=1, le=128)] = 10

    def end(self, before: Front) -> FrontEnd:
        """The front end for sound of that rate."""
        rate = rate_of(before)
        frame, hop = frame_of(self.frame_ms, self.hop_ms, rate)
        high = min(HIGH_HZ, 0.475 * rate)
        return signal.Mfcc(frame, hop, self.filters, rate, LOW_HZ, high, self.coefficients)
