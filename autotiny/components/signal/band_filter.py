"""Take from a time series what lies outside a band of frequencies: hum, drift, noise.

Butterworth, "On the Theory of Filter Amplifiers", Wireless Engineer, 1930.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from autotiny import signal
from autotiny.checked import Within
from autotiny.components.signal._front import Series
from autotiny.errors import UserError
from autotiny.signal import Front, FrontEnd

NOMINAL_HZ = 16_000
"""Of a time series whose rate nobody knows: edges are shares of it."""


@dataclass(frozen=True)
class BandFilter(Series):
    """Puts a Butterworth filter before the network.

    Attributes:
        low: the lower edge, as a share of the rate; 0 keeps all below the upper one.
        high: the upper edge, as a share of the rate; .5 keeps all above the lower one.
        order: of the edges: 6 dB an octave each.
    """

    name = "band_filter"

    low: Annotated[float, Within(ge=0, le=0.49)] = 0.0
    high: Annotated[float, Within(ge=0.01, le=0.5)] = 0.25
    order: Annotated[int, Within(ge=1, le=4)] = 2

    def end(self, before: Front) -> FrontEnd:
        """The front end for samples of that rate."""
        rate = before.rate_behind or NOMINAL_HZ
        low = self.low * rate if self.low > 0 else None
        high = self.high * rate if self.high < 0.5 else None
        if low is None and high is None:
            raise UserError("low = 0 and high = 0.5 keep everything")
        return signal.BandFilter(rate, low, high, self.order)
