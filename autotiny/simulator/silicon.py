"""How far emulated latency was from silicon, by core and arithmetic.

Written down in `silicon.json` by benchmarks/fidelity.py, from firmware that others published with
its times; results/fidelity.md has each case.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Arithmetic = Literal["int8", "float32"]


@dataclass(frozen=True)
class Compared:
    """Published firmware of one core and arithmetic, against its emulation.

    Attributes:
        core: as targets call it.
        arithmetic: of the networks.
        cases: binaries, each of one network on one board.
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
    rows = json.loads(Path(__file__).with_name("silicon.json").read_text(encoding="utf-8"))
    return tuple(Compared(**{**row, "vendors": tuple(row["vendors"])}) for row in rows)


def expected_error(core: str) -> str:
    """What error a latency on a core can have, in words: the worst that was seen."""
    told = []
    for arithmetic in ("int8", "float32"):
        found = [one for one in comparisons() if (one.core, one.arithmetic) == (core, arithmetic)]
        if found:
            (one,) = found
            cases = f"{one.cases} published binaries of {' and '.join(one.vendors)}"
            told.append(f"{arithmetic} ± {math.ceil(one.worst_percent)} % (worst of {cases})")
        else:
            told.append(f"{arithmetic} unverified (no board compared)")
    return "; ".join(told)
