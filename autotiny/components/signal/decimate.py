"""Keep one sample of several in a time series, behind a low-pass: the rest costs less.

Crochiere and Rabiner, "Multirate Digital Signal Processing", 1983.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny import signal
from autotiny.checked import Within
from autotiny.components.signal._front import Series
from autotiny.signal import Front, FrontEnd


@dataclass(frozen=True)
class Decimate(Series):
    """Puts a low-pass before the network that keeps one sample of several.

    Attributes:
        factor: one sample stays of so many.
        sharpness: the filter reaches over so many times `factor` samples.
    """

    name = "decimate"

    factor: Annotated[int, Within(ge=2, le=64)] = 2
    sharpness: Annotated[int, Within(ge=2, le=20)] = 4

    def end(self, before: Front) -> FrontEnd:
        """The front end; an odd number of taps delays all frequencies by whole samples."""
        return signal.Decimate(self.factor, self.sharpness * self.factor + 1)
