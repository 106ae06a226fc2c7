"""Give the network what parts of a time series are like, in the place of their samples.

Figo et al., "Preprocessing techniques for context recognition from accelerometer data", Personal
and Ubiquitous Computing, 2010, compares such features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny import signal
from autotiny.checked import Within
from autotiny.components.signal._front import Features
from autotiny.signal import Front, FrontEnd


@dataclass(frozen=True)
class Statistics(Features):
    """Puts mean, deviation, root mean square, ends and crossings before the network.

    Of each channel and part, as `autotiny.signal.Statistics` has them.

    Attributes:
        parts: that a sample is cut into.
    """

    name = "statistics"

    parts: Annotated[int, Within(ge=1, le=1024)] = 8

    def end(self, before: Front) -> FrontEnd:
        """The front end for samples of that length."""
        frame = before.shapes[-1][0] // self.parts
        return signal.Statistics(frame, frame)
