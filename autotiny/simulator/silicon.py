"""How far emulated latency was from silicon, by core and arithmetic.

Written down in `silicon.json`, a list for each page of results/ that has the cases one by one:
benchmarks/fidelity.py writes that of published binaries, benchmarks/published.py that of programs
of others, built by hand.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from autotiny.target import Target

Arithmetic = Literal["int8", "float32", "integer"]
"""Of a network; "integer" is code that is none."""

SILICON = Path(__file__).with_name("silicon.json")


@dataclass(frozen=True)
class Compared:
    """Code of one core and arithmetic, its published times against its emulation.

    Attributes:
        core: as targets call it.
        arithmetic: that most of its work is.
        cases: what was timed: a network on a board, or a call of a function.
        vendors: whose they are.
        mean_percent: of the errors' sizes, in per cent of the published time.
        worst_percent: the largest of them.
    """

    core: str
    arithmetic: Arithmetic
    cases: int
    vendors: tuple[str, ...]
    mean_percent: float
    worst_percent: float


@cache
def comparisons() -> tuple[Compared, ...]:
    """All that was compared."""
    pages = json.loads(SILICON.read_text(encoding="utf-8"))
    rows = [row for page in pages.values() for row in page]
    return tuple(Compared(**{**row, "vendors": tuple(row["vendors"])}) for row in rows)


def latency_error(target: Target) -> str:
    """What error a latency can have, in words: by the user's own board, or else by its core."""
    if target.correction:
        return f"corrected {target.correction}"
    return expected_error(target.core)


def expected_error(core: str) -> str:
    """What error a latency on a core can have, in words: the worst that was seen."""
    told = []
    known = {one.arithmetic: one for one in comparisons() if one.core == core}
    for arithmetic in get_args(Arithmetic):
        if one := known.get(arithmetic):
            cases = f"{one.cases} by {', '.join(one.vendors)}"
            told.append(f"{arithmetic} ± {math.ceil(one.worst_percent)} % (worst of {cases})")
        elif arithmetic != "integer":
            told.append(f"{arithmetic} unverified")
    return "; ".join(told)
