"""What the parameters of front ends may be, checked where they are set."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autotiny.errors import InvalidData, UserError, shown
from autotiny.graph import Array


def check_whole(name: str, value: int, low: int, high: int) -> None:
    """Refuses what is no whole number within both ends.

    Raises:
        UserError: the value, the rule and the way out.
    """
    if type(value) is not int or not low <= value <= high:
        raise UserError(f"{name} is {shown(value)}; set it to a whole number from {low} to {high}")


def check_real(name: str, value: float, low: float, high: float) -> None:
    """Refuses what is no number within both ends; NaN is within none.

    Raises:
        UserError: the value, the rule and the way out.
    """
    number = isinstance(value, (int, float)) and type(value) is not bool and math.isfinite(value)
    if not number or not low <= value <= high:
        raise UserError(f"{name} is {shown(value)}; set it to a number from {low:g} to {high:g}")


def check_one_of(name: str, value: object, known: Sequence[object]) -> None:
    """Refuses what is not listed.

    Raises:
        UserError: the value, the rule and the way out.
    """
    if value not in known:
        listed = " or ".join(shown(one) for one in known)
        raise UserError(f"{name} is {shown(value)}; set it to {listed}")


def check_samples(x: Array, dtype: str, rank: int, least: int) -> None:
    """Refuses samples of another type, of too few dimensions, or shorter than a frame.

    Args:
        x: (…, T) if `rank` is 1, (…, T, C) if it is 2.
        dtype: that the samples must have.
        rank: of one sample.
        least: of T.

    Raises:
        InvalidData: the value, the rule and the way out.
    """
    shape = "(…, T)" if rank == 1 else "(…, T, C)"
    if x.dtype != dtype or x.ndim < rank:
        raise InvalidData(
            f"the samples are {x.dtype} of shape {x.shape}; "
            f"convert them to {dtype} of shape {shape}"
        )
    check_length(x.shape[-rank], least)


def check_length(length: int, least: int) -> None:
    """Refuses samples that fill no frame.

    Raises:
        InvalidData: the value, the rule and the way out.
    """
    if length < least:
        raise InvalidData(
            f"there are {length} samples and the first output takes {least}; "
            f"give longer recordings or choose a shorter frame"
        )
