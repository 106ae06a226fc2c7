"""What `--task` says of one of several outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autotiny.errors import UserError, shown

MOST_WEIGHT = 1000
"""Of one of several outputs."""


@dataclass(frozen=True)
class Wanted:
    """What `--task` says of one of several outputs.

    Attributes:
        kind: the name of its task.
        values: how many it must have, as it is written; "" where that is open.
        weight: of its score and its loss.
    """

    kind: str
    values: str
    weight: float

    @classmethod
    def of(cls, text: str) -> Wanted:
        """Reads "classification:4*2".

        Raises:
            UserError: the weight is none.
        """
        named, star, weight = text.partition("*")
        kind, _, values = named.partition(":")
        try:
            heavy = float(weight) if star else 1.0
        except ValueError:
            heavy = math.nan
        if not 0 < heavy <= MOST_WEIGHT:
            raise UserError(
                f"task {text!r} weighs {shown(weight)}; a weight is a number above 0, at most "
                f"{MOST_WEIGHT}, e.g. classification*2"
            )
        return cls(kind, values, heavy)
