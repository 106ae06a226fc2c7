"""How values of a time series are stored: counted in steps of a size that is chosen."""

from __future__ import annotations

import numpy as np

from autotiny.graph import Array
from autotiny.signal.limits import check_one_of, check_real
from autotiny.signal.rescaling import Rescaling, Stored, rescaled, rescaling, stored

LEAST_STEP, MOST_STEP = 1 / 16, 1024.0


def check_step(step: float, dtype: str) -> None:
    """Refuses sizes and types of steps that are not computed.

    Raises:
        UserError: the value, the rule and the way out.
    """
    check_real("step", step, LEAST_STEP, MOST_STEP)
    check_one_of("dtype", dtype, ("int8", "int16"))


def into_steps(step: float, fraction_bits: int) -> Rescaling:
    """From values with so many fraction bits to whole steps."""
    return rescaling(1 / (step * (1 << fraction_bits)))


def in_steps(values: Array, step: float, fraction_bits: int, dtype: Stored) -> Array:
    """Values with so many fraction bits, below 2^30, in whole steps; beyond the ends the last."""
    return stored(rescaled(values.astype(np.int64), into_steps(step, fraction_bits)), dtype)
