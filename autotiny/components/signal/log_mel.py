"""Give the network levels of mel bands of sound: a picture of it, as the ear divides frequencies.

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
class LogMel(Features):
    """Puts levels of mel bands before the network, computed in whole numbers.

    Attributes:
        frame_ms: how long a frame is; it has at most 2048 samples.
        hop_ms: from the start of a frame to that of the next.
        filters: bands, evenly spread on the mel scale from 20 Hz to 7600 Hz, or .475 of the rate.
    """

    name = "log_mel"

    frame_ms: Milliseconds = 30.0
    hop_ms: Milliseconds = 20.0
    filters: Annotated[int, Within(ge=1, le=128)] = 40

    def end(self, before: Front) -> FrontEnd:
        """The front end for sound of that rate."""
        rate = rate_of(before)
        frame, hop = frame_of(self.frame_ms, self.hop_ms, rate)
        return signal.LogMel(frame, hop, self.filters, rate, LOW_HZ, min(HIGH_HZ, 0.475 * rate))
