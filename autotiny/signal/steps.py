"""How values of a time series are stored: counted in steps of a size that is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from autotiny.graph import Array
from autotiny.signal.limits import check_one_of, check_real
from autotiny.signal.rescaling import Rescaling, Stored, rescaled, rescaling, stored

Samples = Literal["int16", "int32"]
"""The types that samples may have."""

UNIT: Mapping[Samples, int] = {"int16": 1, "int32": 1 << 16}
"""How many steps of the samples are 1: those of int32 have 16 fraction bits."""

C_SUFFIX = {"int8": "s8", "int16": "s16", "int32": "s32"}
"""How the functions of kernels name types."""

LEAST_STEP, MOST_STEP = 1 / 16, 1024.0


def check_step(step: float, dtype: str, samples: str = "int16") -> None:
    """Refuses sizes and types of steps, and types of samples, that are not computed.

    Raises:
        UserError: the value, the rule and the way out.
    """
    check_real("step", step, LEAST_STEP, MOST_STEP)
    check_one_of("dtype", dtype, ("int8", "int16"))
    check_one_of("samples", samples, ("int16", "int32"))


def into_steps(step: float, fraction_bits: int) -> Rescaling:
    """From values with so many fraction bits to whole steps."""
    return rescaling(1 / (step * (1 << fraction_bits)))


def in_steps(values: Array, step: float, fraction_bits: int, dtype: Stored) -> Array:
    """Values with so many fraction bits, below 2^30, in whole steps; beyond the ends the last."""
    return stored(rescaled(values.astype(np.int64), into_steps(step, fraction_bits)), dtype)
