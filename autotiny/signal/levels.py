"""How features in dB are stored: which level a number stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autotiny.errors import UserError
from autotiny.graph import Array
from autotiny.signal.limits import check_one_of, check_real
from autotiny.signal.logarithm import DB_AN_OCTAVE, FRACTION_BITS, log2
from autotiny.signal.rescaling import Rescaling, Stored, rescaled, rescaling, stored

LEAST_DB, MOST_DB = -150.0, 30.0
LEAST_RANGE_DB = 12.0


@dataclass(frozen=True)
class Levels:
    """Logarithms of energies as whole numbers: real = scale · (number − zero_point), in dB.

    Attributes:
        scale: dB of a step.
        zero_point: the number of 0 dB.
        offset: log2 of the energy of 0 dB, with 15 fraction bits.
        rescaling: steps of a logarithm → steps of a feature.
        dtype: of the features.
    """

    scale: float
    zero_point: int
    offset: int
    rescaling: Rescaling
    dtype: Stored

    def features(self, energies: Array) -> Array:
        """The numbers that stand for energies, uint64; beyond the ends the last one."""
        steps = rescaled(log2(energies) - self.offset, self.rescaling)
        return stored(steps + self.zero_point, self.dtype)

    @property
    def constants(self) -> tuple[int, int, int, int]:
        """Offset, multiplier, shift and zero-point, as kernels take them."""
        by = self.rescaling
        return self.offset, by.multiplier, by.shift, self.zero_point


def check_range(low_db: float, high_db: float, dtype: str) -> None:
    """Refuses ranges of levels that cannot be stored.

    Raises:
        UserError: the value, the rule and the way out.
    """
    check_real("low_db", low_db, LEAST_DB, 0.0)
    check_real("high_db", high_db, 0.0, MOST_DB)
    check_one_of("dtype", dtype, ("int8", "int16"))
    if high_db - low_db < LEAST_RANGE_DB:
        raise UserError(
            f"low_db is {low_db:g} and high_db is {high_db:g}; they must be {LEAST_RANGE_DB:g} dB "
            f"apart: lower the first or raise the second"
        )


def levels(low_db: float, high_db: float, zero_energy: float, dtype: Stored) -> Levels:
    """Levels from low_db to high_db; int16 has zero-point 0, as LiteRT has it.

    Args:
        low_db: of the smallest number (int8).
        high_db: of the largest.
        zero_energy: the energy of 0 dB.
        dtype: of the features.
    """
    if dtype == "int8":
        scale = (high_db - low_db) / 255
        return _levels(scale, round(-128 - low_db / scale), zero_energy, dtype)
    return _levels(max(-low_db, high_db) / 32767, 0, zero_energy, dtype)


def centred(low_db: float, high_db: float, zero_energy: float) -> Levels:
    """Levels from low_db to high_db in all of int16, counted from their middle."""
    middle = zero_energy * 10 ** ((low_db + high_db) / 20)
    return _levels((high_db - low_db) / 65535, 0, middle, "int16")


def _levels(scale: float, zero_point: int, zero_energy: float, dtype: Stored) -> Levels:
    one = 1 << FRACTION_BITS
    offset = round(float(np.log2(zero_energy)) * one)
    return Levels(scale, zero_point, offset, rescaling(DB_AN_OCTAVE / one / scale), dtype)
