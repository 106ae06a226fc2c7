"""What every front end is: samples in, features out, in Python and in C the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from autotiny.graph import Array
from autotiny.signal.call import CCall
from autotiny.signal.rescaling import Stored
from autotiny.signal.steps import Samples


class FrontEnd(Protocol):
    """A function from samples to features, as frozen parameters.

    real = scale · (feature − zero_point), in the unit that `scale` states.
    """

    @property
    def samples(self) -> Samples:
        """The type of the samples."""
        ...

    @property
    def dtype(self) -> Stored:
        """Of the features."""
        ...

    @property
    def scale(self) -> float:
        """What one step of a feature means."""
        ...

    @property
    def zero_point(self) -> int:
        """The feature that means 0."""
        ...

    @property
    def apart(self) -> int | None:
        """Samples from the first that an output is computed from to the first of the next one.

        None where an output hangs on all samples before it.
        """
        ...

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the features of samples of that shape."""
        ...

    def features(self, x: Array) -> Array:
        """The features, as the C computes them."""
        ...

    def tables(self) -> Mapping[str, Array]:
        """The constant arrays of the C, by name."""
        ...

    def c_call(self, input_shape: tuple[int, ...]) -> CCall:
        """The C for samples of that shape."""
        ...
