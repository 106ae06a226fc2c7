"""Give the network levels of frequencies of sound, all equally wide: for machines rather than ears.

Allen, "Short Term Spectral Analysis, Synthesis, and Modification by Discrete Fourier Transform",
IEEE Transactions on Acoustics, Speech, and Signal Processing, 1977.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny import signal
from autotiny.checked import Within
from autotiny.components.signal._front import Features
from autotiny.components.signal._times import Milliseconds, frame_of, rate_of
from autotiny.signal import Front, FrontEnd


@dataclass(frozen=True)
class Spectrogram(Features):
    """Puts levels of frequencies before the network, computed in whole numbers.

    Attributes:
        frame_ms: how long a frame is; it has at most 2048 samples.
        hop_ms: from the start of a frame to that of the next.
        high_hz: the highest frequency, or half the rate.
    """

    name = "spectrogram"

    frame_ms: Milliseconds = 16.0
    hop_ms: Milliseconds = 16.0
    high_hz: Annotated[float, Within(ge=50, le=200_000)] = 4000.0

    def end(self, before: Front) -> FrontEnd:
        """The front end for sound of that rate."""
        rate = rate_of(before)
        frame, hop = frame_of(self.frame_ms, self.hop_ms, rate)
        size = signal.Spectrogram(frame, hop).spectrum.size
        bins = 1 + int(min(self.high_hz, rate / 2) * size / rate)
        return signal.Spectrogram(frame, hop, bins=bins)
