"""A search that is killed, at any moment and in any way, goes on as if it had not been."""

import errno
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from test_study import TOY_EVALUATOR, searching, toy_accuracy, toy_cost
from toys import scored

from autotiny.cache import Cache
from autotiny.dataset import Dataset
from autotiny.errors import LinkError, MachineFault
from autotiny.metrics import Cost
from autotiny.model import Model
from autotiny.study import Result, TrialRecord, running
from autotiny.study.holding import holding, is_held
from autotiny.study.record import hold
from autotiny.target import Target

TRIALS = 18


@pytest.fixture(autouse=True)
def no_pauses() -> Iterator[None]:
    with mock.patch.object(running, "PAUSE_SECONDS", 0):
        yield


def told(study: optuna.Study) -> list[tuple[object, ...]]:
    """All that must be the same: numbers, answers, sequences, outcomes, values."""
    records = [TrialRecord.load(trial) for trial in study.trials]
    return [
        (record.number, trial.state, trial.params, record.queued, record.sequence, record.outcome,
         record.repeats, trial.values)
        for trial, record in zip(study.trials, records, strict=True)
    ]  # fmt: skip


class Counter:
    """Ends the process at one of the moments at which something is stored or computed."""

    def __init__(self, last: int) -> None:
        self.last, self.moment = last, 0

    def tick(self) -> bool:
        self.moment += 1
        return self.moment == self.last

    def wrapped(self, function: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            result = function(*args) if after else None
            if self.tick():
                os._exit(9)
            return result if after else function(*args)

        return call


def killed(start: Callable[..., Result], place: Path, moment: int) -> bool:
    """Whether a search in a process of its own was killed at a moment, or came to its end."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    counter = Counter(moment)
    append = JournalFileBackend.append_logs

    def half(self: Any, logs: list[dict[str, Any]]) -> None:
        if counter.tick():
            append(self, logs)
            os.truncate(place, place.stat().st_size - 20)
            os._exit(9)
        append(self, logs)
        if counter.tick():
            os._exit(9)

    evaluator = replace(
        TOY_EVALUATOR,
        cost=counter.wrapped(toy_cost, after=False),
        score=scored(counter.wrapped(toy_accuracy, after=True)),
    )
    try:
        with mock.patch.object(JournalFileBackend, "append_logs", half):
            start(storage=str(place), trials=TRIALS, evaluator=evaluator)
    finally:
        os._exit(0)


@pytest.mark.parametrize(
    "first", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3, 4))]
)
def test_a_search_killed_at_any_moment_ends_as_one_that_was_not(tmp_path: Path, first: int) -> None:
    with searching(tmp_path) as start:
        whole = start(storage=str(tmp_path / "whole.log"), trials=TRIALS)
        moment, kills = first, 0
        place = tmp_path / "killed.log"
        # Moments later and later: one of each kind is among them, in a trial of each kind.
        while killed(start, place, moment):
            moment, kills = moment + 7, kills + 1
        result = start(storage=str(place), trials=TRIALS)
        assert told(result.study) == told(whole.study)
    assert kills > 10
    assert {point.trial for point in result.front} == {point.trial for point in whole.front}
    assert not list(tmp_path.glob(".*.locks"))


def test_what_is_drawn_hangs_on_the_study_alone(tmp_path: Path) -> None:
    with searching(tmp_path) as start:
        whole = start(out=tmp_path / "a", trials=30)
        for trials in (1, 2, 5, 11, 12, 13, 20, 30):
            pieces = start(out=tmp_path / "b", trials=trials)
        other = start(out=tmp_path / "c", trials=30, seed=1)
        assert told(pieces.study) == told(whole.study)
        assert told(other.study) != told(whole.study)


def test_the_original_is_measured_first_after_a_kill_in_the_first_trial(tmp_path: Path) -> None:
    def interrupted(model: Model, target: Target, cache: Cache) -> Cost:
        raise KeyboardInterrupt

    with searching(tmp_path) as start:
        part = start(trials=5, evaluator=replace(TOY_EVALUATOR, cost=interrupted))
        assert part.interrupted
        assert part.baseline is None
        assert part.front == ()
        result = start(trials=5)
    assert result.baseline is not None
    assert result.baseline.trial == 0
    assert TrialRecord.load(result.study.trials[0]).queued == "baseline"


def test_a_trial_that_died_before_its_values_were_told_is_not_taken_as_settled(
    tmp_path: Path,
) -> None:
    def die(study: optuna.Study, trial: optuna.Trial, record: TrialRecord) -> None:
        if trial.number == 2:
            raise KeyboardInterrupt
        tell(study, trial, record)

    tell = running._tell
    with searching(tmp_path) as start, mock.patch.object(running, "_leave"):
        with mock.patch.object(running, "_tell", die):
            part = start(trials=6)
        assert part.study.trials[2].state is TrialState.RUNNING
        assert TrialRecord.load(part.study.trials[2]).outcome == "measured"
        notices: list[str] = []
        result = start(trials=6, on_notice=notices.append)
    assert result.study.trials[2].state is TrialState.COMPLETE
    assert notices == ["trial 2: was running when its process ended, and is run again"]


def test_what_another_process_runs_is_left_to_it(tmp_path: Path) -> None:
    with searching(tmp_path) as start:
        result = start(trials=2)
        trial = result.study.ask()
        with holding(tmp_path / "locks") as mark:
            hold(trial, mark.name)
            assert is_held(mark.folder, mark.name)
            assert running.take_up(result.study, mark) == []
        with holding(tmp_path / "locks") as mark:
            assert running.take_up(result.study, mark) == [trial.number]
    assert result.study.trials[trial.number].state is TrialState.WAITING


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_ends_with_its_process(tmp_path: Path, number: signal.Signals) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with holding(tmp_path) as mark:
            os.write(writing, mark.name.encode())
            signal.pause()
    name = os.read(reading, 100).decode()
    assert is_held(tmp_path, name)
    os.kill(child, number)
    os.waitpid(child, 0)
    assert not is_held(tmp_path, name)
    os.close(reading)
    os.close(writing)


FAULTS = [
    MachineFault("the compiler was killed (SIGKILL); close other programs"),
    MemoryError(),
    FileNotFoundError(errno.ENOENT, "No such file or directory", "cache/ab"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_of_the_machine_is_not_the_trials(tmp_path: Path, fault: Exception) -> None:
    failures: list[int] = []

    def sometimes(model: Model, target: Target, cache: Cache) -> Cost:
        failures.append(1)
        if len(failures) % 3 == 0:
            raise fault
        return toy_cost(model, target, cache)

    with searching(tmp_path) as start:
        whole = start(out=tmp_path / "a", trials=12)
        result = start(
            out=tmp_path / "b", trials=12, evaluator=replace(TOY_EVALUATOR, cost=sometimes),
            cache=Cache(tmp_path / "other"),
        )  # fmt: skip
        assert len(failures) > 12
        assert told(result.study) == told(whole.study)


def test_what_the_machine_fails_again_and_again_is_tried_by_the_next_search(
    tmp_path: Path,
) -> None:
    def never_fused_int16(model: Model, target: Target, cache: Cache) -> Cost:
        if "Int16" in toy_trace(model) and "Fuse" in toy_trace(model):
            raise MemoryError
        return toy_cost(model, target, cache)

    with searching(tmp_path) as start:
        part = start(trials=20, evaluator=replace(TOY_EVALUATOR, cost=never_fused_int16))
        faulted = [r for r in map(TrialRecord.load, part.study.trials) if r.outcome == "faulted"]
        assert faulted
        assert part.counts["faulted"] == len(faulted)
        assert all("memory ran out; close" in record.reason for record in faulted)
        result = start(trials=20 + len(faulted))
        again = start(trials=20 + len(faulted))
        records = list(map(TrialRecord.load, result.study.trials))
    for record in faulted:
        (anew,) = [one for one in records if one.again == record.number]
        assert anew.outcome in ("measured", "repeated", "hopeless")
        assert anew.recipe_key == record.recipe_key
    assert len(again.study.trials) == len(records)


def toy_trace(model: Model) -> str:
    from toys import trace_of

    return trace_of(model)


def test_a_machine_that_fails_every_trial_ends_the_search(tmp_path: Path) -> None:
    calls: list[int] = []

    def after_four(model: Model, target: Target, cache: Cache) -> Cost:
        calls.append(1)
        if len(calls) > 4:
            raise MachineFault("cannot write to the cache: it is read-only; choose another folder")
        return toy_cost(model, target, cache)

    with searching(tmp_path) as start:
        with pytest.raises(MachineFault, match="read-only; choose another folder"):
            start(trials=20, evaluator=replace(TOY_EVALUATOR, cost=after_four))
        result = start(trials=20)
    assert sum(result.counts[name] for name in ("measured", "infeasible", "hopeless")) >= 19


def test_a_full_disk_ends_the_search_and_takes_no_trial(tmp_path: Path) -> None:
    def full(model: Model, target: Target, cache: Cache) -> Cost:
        if "Int8" in toy_trace(model):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return toy_cost(model, target, cache)

    with searching(tmp_path) as start:
        with pytest.raises(OSError, match="No space left"):
            start(out=tmp_path / "b", trials=12, evaluator=replace(TOY_EVALUATOR, cost=full))
        result = start(out=tmp_path / "b", trials=12)
        whole = start(out=tmp_path / "a", trials=12)
        assert told(result.study) == told(whole.study)


@pytest.mark.parametrize("moment", ["_taken", "_attempted", "_tell"])
def test_a_study_that_cannot_be_written_any_more_is_told_on_a_line(
    tmp_path: Path, moment: str
) -> None:
    calls: list[int] = []
    once = getattr(running, moment)

    def closed(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            cause = sqlite3.OperationalError("attempt to write a readonly database")
            raise StorageInternalError("An exception is raised during the commit.") from cause
        return once(*given)

    with searching(tmp_path) as start:
        whole = start(out=tmp_path / "a", trials=8)
        with (
            mock.patch.object(running, moment, closed),
            pytest.raises(MachineFault, match=r"^the study in .* cannot be written: attempt to wr"),
        ):
            start(out=tmp_path / "b", trials=8)
        assert told(start(out=tmp_path / "b", trials=8).study) == told(whole.study)


def test_a_journal_that_the_disk_was_too_full_for_goes_on(tmp_path: Path) -> None:
    place, lines = tmp_path / "study.log", []
    append = JournalFileBackend.append_logs

    def full(self: Any, logs: list[dict[str, Any]]) -> None:
        lines.append(1)
        if len(lines) == 70:
            with place.open("a") as file:
                file.write('{"op_code": 5, "half')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, logs)

    with searching(tmp_path) as start:
        whole = start(storage=str(tmp_path / "whole.log"), trials=12)
        with (
            mock.patch.object(JournalFileBackend, "append_logs", full),
            pytest.raises(OSError, match="No space left"),
        ):
            start(storage=str(place), trials=12)
        result = start(storage=str(place), trials=12)
        assert told(result.study) == told(whole.study)


def accurate(least: float) -> Callable[[Model, Dataset, str, Cache], float]:
    def accuracy(model: Model, data: Dataset, split: str, cache: Cache) -> float:
        return 0.23 if "Int8" in toy_trace(model) else least

    return accuracy


def test_without_an_original_the_most_accurate_is_the_measure(tmp_path: Path) -> None:
    def not_the_original(model: Model, target: Target, cache: Cache) -> Cost:
        if toy_trace(model).splitlines() == ["original", "Float32()"]:
            raise LinkError("the original does not link")
        return toy_cost(model, target, cache)

    evaluator = replace(TOY_EVALUATOR, cost=not_the_original, score=scored(accurate(0.95)))
    with searching(tmp_path) as start:
        result = start(trials=20, evaluator=evaluator)
    assert result.baseline is None
    assert result.best["latency"].values[0] == 0.95
