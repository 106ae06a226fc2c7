"""Amounts with a unit, as a user writes them: 40K, 20ms, 0.5mJ."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from autotiny.errors import UserError, shown

_AMOUNT = re.compile(r"(\d+\.?\d*|\.\d+)\s*([^\W\d_]*)")


@dataclass(frozen=True)
class Quantity:
    """Something that is counted in units.

    Attributes:
        name: in a word.
        units: how much one of each unit is, by its name in lower case.
        examples: how an amount is written.
    """

    name: str
    units: Mapping[str, float]
    examples: str


SIZE = Quantity(
    "size",
    {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20},
    "bytes, or e.g. 40K or 1.5M",
)
"""In bytes; K is 1,024 of them."""

TIME = Quantity("time", {"μs": 1e-3, "us": 1e-3, "ms": 1, "s": 1e3}, "e.g. 20ms, 800us or 1.5s")
"""In milliseconds."""

ENERGY = Quantity("energy", {"μj": 1e-3, "uj": 1e-3, "mj": 1, "j": 1e3}, "e.g. 0.5mJ or 80uJ")
"""In millijoules."""


def amount(quantity: Quantity, entry: str, text: str) -> tuple[float, str]:
    """How much a text says, in the quantity's own unit, and the unit that it is written in.

    Args:
        quantity: what is counted.
        entry: that the text stands in, for messages.
        text: a number and a unit.

    Raises:
        UserError: it is no such amount.
    """
    found = _AMOUNT.fullmatch(text.strip())
    number, unit = (float(found[1]), found[2]) if found else (math.nan, "")
    factor = quantity.units.get(unit.casefold())  # which makes one letter of both that look like µ
    if factor is None or not math.isfinite(number * factor):
        raise UserError(
            f"cannot read the {quantity.name} in {shown(entry)}; say {quantity.examples}"
        )
    return number * factor, unit


def size_bytes(entry: str, text: str) -> int:
    """A size in whole bytes."""
    return int(amount(SIZE, entry, text)[0])
