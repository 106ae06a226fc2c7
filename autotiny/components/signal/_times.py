"""Frames of sound in samples, from what a recipe states in milliseconds."""

from __future__ import annotations

from typing import Annotated

from autotiny.checked import Within
from autotiny.errors import InvalidData
from autotiny.signal import Front

Milliseconds = Annotated[float, Within(ge=0.1, le=2000)]

LOW_HZ, HIGH_HZ = 20.0, 7600.0
"""Where the bands of speech and of most sounds begin and end."""


def rate_of(front: Front) -> int:
    """Samples a second of what a front gives.

    Raises:
        InvalidData: nobody knows.
    """
    rate = front.rate_behind
    if rate is None:
        raise InvalidData("the rate of the samples is not known, so they are no sound")
    return rate


def frame_of(frame_ms: float, hop_ms: float, rate: int) -> tuple[int, int]:
    """Samples of a frame, an even number, and of a hop."""
    return 2 * round(frame_ms * rate / 2000), max(1, round(hop_ms * rate / 1000))
