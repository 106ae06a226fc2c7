"""The page on energy is of the target files as they are, and they have its errors."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from autotiny.target import load_target, target_names

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "results" / "energy.md").read_text(encoding="utf-8")
FIDELITY = (ROOT / "results" / "fidelity.md").read_text(encoding="utf-8")
AGAIN = "run benchmarks/energy.py again"


class Row(NamedTuple):
    board: str
    round: str
    firmware: str
    task: str
    voltage_v: float
    latency_ms: float
    power_mw: float
    published_uj: float
    estimate_uj: float
    error: str
    executed_uj: str
    executed_error: str
    sheet_error: str


def table() -> list[Row]:
    lines = PAGE.split("## Runs", 1)[1].split("\n|", 1)[1].splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    texts = ((row[:4], [float(cell) for cell in row[4:9]], row[9:]) for row in cells)
    return [Row._make([*named, *figures, *errors]) for named, figures, errors in texts]


ROWS = table()


@pytest.fixture
def energy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield import_module("energy")
    sys.modules.pop("energy", None)


def percent(text: str) -> float:
    return float(text.split()[0])


def test_the_estimates_are_those_of_the_target_files(energy: Any) -> None:
    assert {row.board for row in ROWS} == set(energy.BOARDS)
    for row in ROWS:
        target = load_target(energy.BOARDS[row.board])
        estimate = target.active_current_ma * row.voltage_v * row.latency_ms
        assert row.estimate_uj == pytest.approx(estimate, rel=1e-3), AGAIN
        error = 100 * (row.estimate_uj / row.published_uj - 1)
        assert percent(row.error) == pytest.approx(error, abs=0.11)


def test_a_measured_current_is_the_mean_of_its_four_runs(energy: Any) -> None:
    for board, name in energy.BOARDS.items():
        target = load_target(name)
        own = [row for row in ROWS if (row.board, row.round, row.firmware) == (board, "v1.2", "ST")]
        assert sorted(row.task for row in own) == ["AD", "IC", "KWS", "VWW"]
        assert {row.voltage_v for row in own} == {target.supply_voltage_v}
        power_mw = sum(row.published_uj / row.latency_ms for row in own) / 4
        current = power_mw / target.supply_voltage_v
        assert target.active_current_ma == pytest.approx(current, abs=0.06)


def test_the_error_of_each_target_covers_what_was_published(energy: Any) -> None:
    held_out = 0
    for board, name in energy.BOARDS.items():
        mine = [row for row in ROWS if row.board == board]
        own = max(abs(row.published_uj / row.estimate_uj - 1) for row in mine)
        assert load_target(name).active_current_error_percent == math.ceil(100 * own), AGAIN
        sheet = energy.DATA_SHEETS[board]
        alone = max(
            abs(row.published_uj / (sheet.power_mw(row.voltage_v) * row.latency_ms) - 1)
            for row in mine
        )
        held_out = max(held_out, math.ceil(100 * alone))
    assert f"**± {held_out} %**" in PAGE
    others = set(target_names()) - set(energy.BOARDS.values())
    errors = {name: load_target(name).active_current_error_percent for name in others}
    unverified = {name for name, error in errors.items() if error is None}
    assert unverified == {"rp2040", "rp2350"}  # whose current no document gives
    assert {errors[name] for name in others - unverified} == {held_out}


def test_executed_estimates_have_the_latencies_of_the_other_page(energy: Any) -> None:
    emulated = energy.emulated_ms(FIDELITY)
    executed = [row for row in ROWS if row.executed_uj != "–"]
    assert {(row.board, row.task) for row in executed} == set(emulated), AGAIN
    for row in executed:
        target = load_target(energy.BOARDS[row.board])
        estimate = target.active_current_ma * row.voltage_v * emulated[row.board, row.task]
        assert float(row.executed_uj) == pytest.approx(estimate, abs=0.06), AGAIN
        error = 100 * (estimate / row.published_uj - 1)
        assert percent(row.executed_error) == pytest.approx(error, abs=0.11)


def test_runs_are_read_from_submissions(energy: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="clone the rounds"):
        list(energy.runs(tmp_path))
    for release in energy.ROUNDS:
        (tmp_path / f"tiny_results_{release}" / "closed").mkdir(parents=True)
    place = tmp_path / "tiny_results_v1.1/closed/OctoML/results/native/NUCLEO-H7A3ZI-Q_CUBE/ic"
    texts = {
        "energy/results.txt": "Median energy cost is 50.5 uJ/inf.\nMedian throughput is 200.0 inf.",
        "energy/log.txt": "00.1 emon: m-voltage-mv[3300]",
        "performance/results.txt": "Median throughput is  201.0 inf.",
    }
    for name, text in texts.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    (run,) = energy.runs(tmp_path)
    assert run == energy.Run(
        "v1.1", "OctoML", "native CUBE", "NUCLEO-H7A3ZI", "IC", 3.3, 50.5, 200.0, 201.0
    )
    assert run.power_mw == pytest.approx(10.1)
    (place / "energy" / "log.txt").write_text("nothing")
    with pytest.raises(SystemExit, match="has nothing like 'm-voltage-mv"):
        list(energy.runs(tmp_path))


def test_the_held_out_board_is_not_in_its_own_ratio(energy: Any) -> None:
    known = [
        energy.Run("v1.2", "ST", "", board, "AD", sheet.voltage_v,
                   sheet.power_mw(sheet.voltage_v) * factor, 1000.0, 1000.0)
        for factor, (board, sheet) in zip((2, 3, 5), energy.DATA_SHEETS.items(), strict=True)
    ]  # fmt: skip
    found = energy.compared(known, {})
    assert [one.scaled_mw / one.sheet_mw for one in found] == pytest.approx([4, 3.5, 2.5])
    assert energy.shown_error([-0.101, 0.02]) == 11
