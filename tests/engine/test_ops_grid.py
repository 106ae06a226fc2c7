"""Every op in every arithmetic, over generated shapes and scales, against the references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cases import FAMILIES
from grid import Case, build, difference, expected

CHUNKS = 4
PER_FAMILY = 4  # in each chunk
SLOW_CHUNKS = 40


def drawn(chunk: int, per_family: int = PER_FAMILY) -> list[Case]:
    return [
        make(np.random.default_rng([chunk, k, *name.encode()]))
        for name, make in FAMILIES.items()
        for k in range(per_family)
    ]


def check(cases: list[Case], folder: Path, *flags: str) -> None:
    library = build([case.graph for case in cases], folder, flags)
    errors = [
        difference(case, library.run(k, case.samples, case.runs), expected(case))
        for k, case in enumerate(cases)
    ]
    wrong = [error for error in errors if error]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong[:20])


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_generated_models_equal_the_references(chunk: int, tmp_path: Path) -> None:
    check(drawn(chunk), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(SLOW_CHUNKS))
def test_many_generated_models_equal_the_references(chunk: int, tmp_path: Path) -> None:
    check(drawn(1000 + chunk), tmp_path)


def test_the_same_seed_draws_the_same_models() -> None:
    assert [c.label for c in drawn(0)] == [c.label for c in drawn(0)]
