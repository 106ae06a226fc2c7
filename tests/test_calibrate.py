"""Selftests correct a target: one factor, how well it holds out, and where it is found again."""

import io
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_network import generated, int8_network
from typer.testing import CliRunner

import autotiny
from autotiny.api.calibrating import with_correction
from autotiny.cli import app
from autotiny.datafile import toml_of
from autotiny.errors import UserError
from autotiny.firmware.board_report import report_from
from autotiny.firmware.calibration import calibration
from autotiny.firmware.ports import some_rows
from autotiny.firmware.readme import figures
from autotiny.firmware.selftest import link_selftest
from autotiny.simulator import measure_firmware
from autotiny.target import (
    TARGETS,
    Correction,
    Target,
    load_target,
    short_key,
    target_from,
    target_key,
    target_names,
)
from autotiny.version import __version__

BOARD = load_target("stm32f407")


def line(made_for: Target = BOARD, **changes: object) -> str:
    """What a board writes whose cycles are as predicted, but for the changes."""
    facts: dict[str, Any] = {
        "autotiny": __version__, "model": "kws", "target": made_for.name,
        "clock_hz": made_for.clock_hz, "predicted_cycles": 140_000,
        "predicted_first_cycles": 140_293, "predicted_stack_bytes": 80,
        "target_key": short_key(made_for), "outputs_equal": True, "counter": "dwt",
        "samples": 4, "samples_right": 4, "cycles": 140_000,
        "first_cycles": 141_000, "stack_bytes": 192, "running_hz": made_for.clock_hz,
    }  # fmt: skip
    return json.dumps({**facts, **changes}, separators=(",", ":")) + "\n"


def of(ratios: Sequence[float], target: Target = BOARD) -> str:
    """Lines of as many models, counted ÷ predicted as given."""
    return "".join(
        line(target, model=f"m{k}", predicted_cycles=10**7 + k, cycles=round((10**7 + k) * ratio))
        for k, ratio in enumerate(ratios)
    )


def logged(folder: Path, *texts: str | bytes) -> list[Path]:
    paths = [folder / f"{k}.log" for k in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return paths


def corrected(folder: Path, ratios: Sequence[float], name: str = "mine.toml") -> Target:
    return autotiny.calibrate(logged(folder, of(ratios)), folder / name).target


def test_the_factor_is_the_geometric_mean_and_its_error_is_that_of_models_left_out(
    tmp_path: Path,
) -> None:
    ratios = (1.02, 1.05, 0.99)
    first, second = logged(tmp_path, of(ratios[:1]), "\xff\x00boot\n" + of(ratios)[len(of([1])) :])
    found = autotiny.calibrate([first, second], tmp_path / "mine.toml")
    assert found.target == load_target(str(tmp_path / "mine.toml"))
    assert found.target.cycles_factor == pytest.approx(math.prod(ratios) ** (1 / 3), abs=2e-6)
    errors = [100 * (math.sqrt(math.prod(ratios) / ratio) / ratio - 1) for ratio in ratios]
    told = [one.held_out_percent for one in found.calibration.counted]
    assert told == pytest.approx(errors, abs=1e-4)
    assert [one.log for one in found.calibration.counted] == [str(first), str(second), str(second)]
    assert found.target.correction == Correction(
        found.target.cycles_factor, 3, math.ceil(10 * max(map(abs, errors))) / 10
    )
    assert found.calibration.worst_percent == pytest.approx(100 * (1 - 1 / 1.05), abs=1e-4)
    assert json.dumps(found.to_dict())


def test_of_one_model_no_error_is_known(tmp_path: Path) -> None:
    target = corrected(tmp_path, [1.25])
    assert target.correction == Correction(1.25, 1, None)
    assert "error unknown" in str(target.correction)


def test_of_one_model_the_newest_line_counts(tmp_path: Path) -> None:
    text = line(cycles=1, outputs_equal=False, samples_right=3) + line(cycles=280_000) * 3
    found = autotiny.calibrate(logged(tmp_path, text), tmp_path / "mine.toml")
    assert found.target.correction == Correction(2.0, 1, None)


def test_the_rest_of_a_target_stays_as_it_was(tmp_path: Path) -> None:
    for name in target_names():
        before = load_target(name)
        text = line(before, cycles=154_000)
        path = tmp_path / f"my_{name}.toml"
        after = autotiny.calibrate(logged(tmp_path, text), path).target
        assert after.sources.keys() == before.sources.keys() | {"correction"}
        changed = {"name": before.name, "sources": before.sources, "correction": None}
        assert replace(after, **changed) == before  # type: ignore[arg-type]
        kept = [row for row in TARGETS.read(name)[0].read_text().splitlines() if row]
        assert [row for row in path.read_text().splitlines() if row in kept] == kept


def test_a_second_calibration_corrects_further(tmp_path: Path) -> None:
    first = corrected(tmp_path, [1.1], "first.toml")
    logs = logged(tmp_path, of([1.2, 1.25], first))
    second = autotiny.calibrate(logs, tmp_path / "second.toml", target=tmp_path / "first.toml")
    factor = 1.1 * math.sqrt(1.2 * 1.25)
    assert second.target.cycles_factor == pytest.approx(factor, abs=2e-6)
    assert second.target.correction == Correction(second.target.cycles_factor, 2, 4.2)
    again = autotiny.calibrate(
        logs, tmp_path / "first.toml", target=tmp_path / "first.toml", overwrite=True
    )
    assert again.target.correction == second.target.correction
    assert (tmp_path / "first.toml").read_text() == (tmp_path / "second.toml").read_text()
    with pytest.raises(UserError, match="predicted for another first"):  # for the file it was
        autotiny.calibrate(logs, tmp_path / "third.toml", target=tmp_path / "first.toml")


def test_factors_that_multiply_out_of_the_range_are_refused(tmp_path: Path) -> None:
    first = corrected(tmp_path, [8.0], "first.toml")
    logs = logged(tmp_path, of([8.0], first))
    with pytest.raises(UserError, match="cycles_factor = 64, with the 8 of first; it must be from"):
        autotiny.calibrate(logs, tmp_path / "second.toml", target=tmp_path / "first.toml")
    assert not (tmp_path / "second.toml").exists()


OTHER = load_target("rp2040")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (line(OTHER) + line(), "predicted for target 'rp2040', not for 'stm32f407'.*--target"),
        (line(target="stm32"), "'stm32', which is none that comes with autotiny.*--target"),
        (line(target="../../etc/x.toml"), "none that comes with autotiny"),
        (line() + line(model="b", outputs_equal=False, samples_right=1), "b: 3 of 4 samples gave"),
        (line(running_hz=16_000_000), "ran at 16 MHz, and was predicted for 168 MHz"),
        (line(clock_hz=84_000_000), "predicted for another stm32f407 .*84000000 Hz.*--target"),
        (line(target_key="00000000"), "another stm32f407 .*figures 00000000.*--target"),
        (line(autotiny="0.0.9"), "predicted by autotiny 0.0.9, this is .*log it again"),
        (line(predicted_cycles=0), "predicted_cycles = 0; it must be more"),
        (line(cycles=1_400_001), "10 times the 140,000 predicted; it must be 0.1 to 10 times"),
        (line(cycles=(1 << 53) - 1), "it must be 0.1 to 10 times"),
        (line(cycles=13_999), "0.1 times the 140,000"),
        (line(cycles=1 << 60), r"0\.log: cycles = .*a whole number from 0"),
        (line(cycles=math.nan), r"0\.log: cycles = nan"),
        (line(cycles=math.inf), r"0\.log: cycles = inf"),
        (line(target_key=7), "target_key = 7 .*a short text"),
        ("boot\n" * 99, "no line of a selftest"),
        (line()[:-2], "cut off"),
    ],
)
def test_what_says_nothing_of_the_target_is_refused(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told) as caught:
        autotiny.calibrate(logged(tmp_path, text), tmp_path / "mine.toml")
    assert str(caught.value).isprintable()
    assert not (tmp_path / "mine.toml").exists()


def test_logs_of_another_target_than_the_one_named_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="predicted for target 'stm32f407', not for 'rp2040'"):
        autotiny.calibrate(logged(tmp_path, line()), tmp_path / "mine.toml", target="rp2040")
    with pytest.raises(UserError, match="unknown target 'rp2041'; did you mean"):
        autotiny.calibrate(logged(tmp_path, line()), tmp_path / "mine.toml", target="rp2041")
    with pytest.raises(UserError, match="no logs"):
        autotiny.calibrate([], tmp_path / "mine.toml")


def test_what_stands_there_is_kept(tmp_path: Path) -> None:
    (log,) = logged(tmp_path, line())
    path = tmp_path / "mine.toml"
    path.write_text("mine")
    with pytest.raises(UserError, match="exists; give another name, or --overwrite"):
        autotiny.calibrate(log, path)
    assert path.read_text() == "mine"
    with pytest.raises(UserError, match=r"must end in \.toml"):
        autotiny.calibrate(log, tmp_path / "mine.txt")
    with pytest.raises(UserError, match="cannot write"):
        autotiny.calibrate(log, tmp_path / "missing" / "mine.toml")
    autotiny.calibrate(log, path, overwrite=True)
    assert load_target(str(path)).correction == Correction(1.0, 1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_bytes_cut_doubled_or_changed_anywhere_give_a_correction_or_a_plain_line(
    data: st.DataObject,
) -> None:
    text = of([1.02, 1.05, 0.99]).encode()
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    middle = data.draw(st.sampled_from([b"", text[begin:end] * 2, b"9" * 400, b"NaN", b"-1e999"]))
    stdin = SimpleNamespace(buffer=io.BytesIO(text[:begin] + middle + text[end:]))
    with (
        mock.patch.object(sys, "stdin", stdin),
        mock.patch("autotiny.api.calibrating.write_whole") as write,
        mock.patch("autotiny.api.calibrating.load_target", return_value=BOARD),
    ):
        try:
            found = autotiny.calibrate("-", "mine.toml", target="stm32f407")
        except UserError as error:
            assert str(error).isprintable()
            assert not write.called
        else:
            factor = toml_of(write.call_args.args[1])["correction"]["cycles_factor"]
            assert 0.1 <= factor <= 10
            assert 1 <= len(found.calibration.counted) <= 6


@given(st.lists(st.floats(0.2, 5), min_size=1, max_size=9))
def test_the_order_of_logs_and_their_lines_twice_change_nothing(ratios: list[float]) -> None:
    found = [("log", report_from(one)) for one in of(ratios).splitlines()]
    once = calibration(found, BOARD)
    for other in (found[::-1], found + found):
        again = calibration(other, BOARD)
        assert again.factor == pytest.approx(once.factor, rel=1e-12)
        assert again.corrects(BOARD).models == len(ratios)
        assert again.held_out_percent == (
            None if len(ratios) == 1 else pytest.approx(once.held_out_percent, abs=1e-6)
        )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("= 1.1", "= nan", "correction: cycles_factor = nan; it must be a finite number"),
        ("= 1.1", "= inf", "cycles_factor = inf; it must be a finite number"),
        ("= 1.1", "= 0.09", "cycles_factor = 0.09; it must be from 0.1 to 10"),
        ("= 1.1", "= 11", "cycles_factor = 11; it must be from 0.1 to 10"),
        ("= 1.1", "= true", "cycles_factor = True; it must be a number"),
        ("= 1.1", '= "1.1"', "cycles_factor = '1.1'; it must be a number"),
        ("cycles_factor", "cycle_factor", "unknown key 'cycle_factor'; did you mean"),
        ("cycles_factor = 1.1\n", "", "cycles_factor is missing"),
        ("models = 1", "models = 0", "models = 0; it must be from 1"),
        ("models = 1", "cycles_error_percent = -1\nmodels = 1", "cycles_error_percent = -1"),
        ("[correction]", "[[correction]]", "correction = .* it must be a table"),
    ],
)
def test_a_target_files_correction_is_checked(
    old: str, new: str, told: str, tmp_path: Path
) -> None:
    corrected(tmp_path, [1.1])
    path = tmp_path / "mine.toml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=told):
        load_target(str(path))


def test_a_file_whose_tables_stand_in_another_way_is_refused() -> None:
    place, table = TARGETS.read("stm32f407")
    text = place.read_text().replace("[sources]", "[ sources ]")
    with pytest.raises(UserError, match=r"no \[correction\] can be put into"):
        with_correction(text, table, Correction(1.1, 1))


def test_costs_of_corrected_and_uncorrected_targets_are_kept_apart() -> None:
    once = replace(BOARD, correction=Correction(1.1, 1))
    keys = [target_key(one) for one in (BOARD, once, replace(once, correction=Correction(1.2, 1)))]
    assert len(set(keys)) == 3
    assert target_key(replace(BOARD, correction=Correction(1.0, 1))) == keys[0]
    assert target_key(replace(BOARD, correction=Correction(1.1, 5, 2.0))) == keys[1]
    assert target_from(asdict(once)) == once


@pytest.mark.usefixtures("own_cache")
def test_what_is_measured_for_a_corrected_target_is_multiplied(tmp_path: Path) -> None:
    measured = autotiny.measure("cnn1", "stm32f407")
    plain, ratio = measured.cost, 1.25
    text = line(
        predicted_cycles=plain.cycles, predicted_first_cycles=plain.cold_cycles,
        cycles=round(plain.cycles * ratio),
    )  # fmt: skip
    mine = autotiny.calibrate(logged(tmp_path, text), tmp_path / "mine.toml").target
    again = autotiny.measure("cnn1", tmp_path / "mine.toml", profile=True)
    cost = again.cost
    assert cost.cycles == pytest.approx(plain.cycles * ratio, abs=2)
    assert cost.cold_cycles == pytest.approx(plain.cold_cycles * ratio, abs=2)
    assert cost.latency_ms == pytest.approx(plain.latency_ms * ratio, rel=1e-4)
    assert cost.energy_estimated_mj == pytest.approx(plain.energy_estimated_mj * ratio, rel=1e-4)
    for one, other in zip(plain.layers, cost.layers, strict=True):
        assert other.cycles == pytest.approx(one.cycles * ratio, abs=2)
    unchanged = ("instructions", "flash_bytes", "sram_bytes", "stack_bytes")
    assert [getattr(cost, name) for name in unchanged] == [
        getattr(plain, name) for name in unchanged
    ]
    assert again.profile is not None
    assert again.profile.cycles == cost.cycles
    assert sum(again.profile.stalls.values()) <= cost.cycles
    assert again.to_dict()["latency_error"] == "corrected × 1.25 by 1 selftest, error unknown"
    assert "int8 ±" in str(measured.to_dict()["latency_error"])
    assert "| cycles corrected | × 1.25 by 1 selftest, error unknown |" in figures(cost, mine)
    assert "corrected" not in figures(plain, BOARD)


def test_the_selftest_of_a_corrected_target_tells_the_corrected_prediction() -> None:
    mine = replace(BOARD, name="mine", correction=Correction(1.5, 1))
    sources = generated(int8_network())
    made = measure_firmware(sources, mine)
    plain = measure_firmware(sources, BOARD)
    assert made.cost.cycles == pytest.approx(1.5 * plain.cost.cycles, abs=1)
    test = link_selftest(sources, made.firmware, mine, made.cost, some_rows(sources.inputs, 4))
    assert test is not None
    for told in (
        f'"predicted_cycles":{made.cost.cycles}', f'"target_key":"{short_key(mine)}"',
    ):  # fmt: skip
        assert told.encode() in test.elf


def test_the_command_prints_models_and_where_the_file_is(tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    logs = [str(path) for path in logged(tmp_path, of([1.02]), of([1.0, 1.1])[len(of([1])) :])]
    done = CliRunner().invoke(app, ["calibrate", *logs, "--output", str(out)])
    assert done.exit_code == 0, done.output
    assert "+7.8" in done.output  # 1.1 ÷ 1.02 − 1
    assert "by 2 selftests, ± 7.9 %" in done.output
    assert "autotiny measure MODEL --target" in done.output
    assert "no better" not in done.output
    shown = CliRunner().invoke(app, ["targets", str(out)]).output
    assert "cycles, latency and energy are corrected: × 1.059 by 2 selftests, ± 7.9 %" in shown
    done = CliRunner().invoke(app, ["calibrate", *logs, "--out", str(out), "--overwrite", "--json"])
    assert json.loads(done.output)["correction"]["models"] == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (of([0.9, 1.1]), "no better than before: uncorrected the worst is off by 11.1 %"),
        (of([1.1]), "one model cannot tell"),
        (line(running_hz=0), "a selftest does not know its clock"),
    ],
)
def test_the_command_tells_what_speaks_against_a_correction(
    text: str, told: str, tmp_path: Path
) -> None:
    (log,) = logged(tmp_path, text)
    done = CliRunner().invoke(app, ["calibrate", str(log), "--out", str(tmp_path / "mine.toml")])
    assert told in done.output
