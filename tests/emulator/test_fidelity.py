"""The report on silicon says what the target files have, and the fit finds what it is given."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from autotiny.target import load_target

ROOT = Path(__file__).resolve().parents[2]
REPORT = (ROOT / "results" / "fidelity.md").read_text(encoding="utf-8")


@pytest.fixture
def fidelity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield import_module("fidelity")
    for name in ("fidelity", "boards"):
        sys.modules.pop(name, None)


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table behind a heading."""
    table = REPORT.split(heading, 1)[1].split("\n|", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def percent(text: str) -> float:
    return abs(float(text.split()[0]))


def test_the_promised_errors_hold() -> None:
    errors = [percent(row[5]) for row in rows("## Cases")]
    blind = [percent(row[6]) for row in rows("## Cases")]
    assert len(errors) == 25
    assert sum(errors) / len(errors) <= 5
    assert max(errors) <= 10
    assert sum(blind) / len(blind) <= 8
    for board, published, predicted, error in rows("## AD against AD max_performance"):
        assert float(published) > 1, board
        assert float(predicted) > 1, board
        assert percent(error) <= 5, board


def test_counting_pipeline_cycles_at_most_doubles_the_time() -> None:
    for name, _, _, pipeline, memory in rows("## What counting costs"):
        assert float(re.findall(r"\(([\d.]+)×\)", pipeline)[0]) <= 2, name
        assert float(memory) < 15, name


def test_the_fitted_constants_are_those_of_the_target_files(fidelity: Any) -> None:
    for constant, row in zip(fidelity.CONSTANTS, rows("## What was fitted"), strict=True):
        assert row[0] == constant.name
        assert row[1] == str(constant.value)
        for board in constant.boards:
            target = load_target(fidelity.BOARDS[board].target)
            assert constant.put(target, constant.value) == target


def test_the_fit_finds_the_constants_that_made_the_figures(fidelity: Any) -> None:
    truth = (5, 3, 2)
    outcomes = []
    for number, (board, slopes) in enumerate(
        [
            ("NUCLEO_H7A3ZI", (8000.0, 0.0, 0.0)),
            ("DISCO_F746NG", (7000.0, 0.0, 0.0)),
            ("NUCLEO_L4R5ZI", (0.0, 16_000.0, 50_000.0)),
            ("NUCLEO_U575ZI", (0.0, 16_000.0, 0.0)),
        ]
    ):
        cycles = 400_000 + sum(s * v for s, v in zip(slopes, truth, strict=True))
        case = fidelity.Case(board, "int8", f"t{number}", Path(), 1e8 / cycles)
        outcomes.append(fidelity.Outcome(case, 10**8, None, 0, 400_000, slopes, 0.0))
    assert fidelity.fit(outcomes) == truth
    left_out = fidelity.leave_one_board_out(outcomes)
    assert left_out["NUCLEO_H7A3ZI"] == truth
    assert left_out["NUCLEO_L4R5ZI"] == (5, 3, 0)  # no other board has the third
