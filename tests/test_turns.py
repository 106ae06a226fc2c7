"""A search hangs on its seed: not on how many processes run it, nor on which of them is faster."""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from test_resuming import told
from test_study import TOY_EVALUATOR, searching, toy_cost

from autotiny.cache import Cache
from autotiny.metrics import Cost
from autotiny.model import Model
from autotiny.study import Evaluator, TrialRecord, work
from autotiny.study.processes import Helpers
from autotiny.study.record import RECORD, holder_of
from autotiny.study.turns import may_begin, seen_among, usual_jobs
from autotiny.target import Target

TRIALS = 11
SLOWEST_SECONDS = 0.03


def evaluator(after: Callable[[], None]) -> Evaluator:
    """Of toys, with something that happens whenever a cost is asked for."""

    def cost(model: Model, target: Target, cache: Cache) -> Cost:
        after()
        return toy_cost(model, target, cache)

    return replace(TOY_EVALUATOR, cost=cost)


def sometimes() -> None:
    """Take a while, as long as chance has it."""
    time.sleep(random.Random(time.monotonic_ns()).uniform(0, SLOWEST_SECONDS))


def dying(costs: int) -> Callable[[], None]:
    """The process dies in the middle of a trial."""
    left = iter(range(costs))

    def count() -> None:
        if next(left, None) is None:
            os._exit(9)
        sometimes()

    return count


@contextmanager
def forked(
    study: optuna.Study, job: Any, key: str, helpers: int, *, place: str, **_: object
) -> Iterator[Helpers]:
    """In the place of `helped`: a fork knows the toys."""
    child = os.fork() if key and helpers else None
    if child == 0:
        dies = HELPER_DIES_AFTER.get("costs")
        own = evaluator(dying(dies) if dies else sometimes)
        work(study.study_name, place, cache=job.cache, evaluator=own)
        os._exit(0)
    yield Helpers()
    if child:
        os.waitpid(child, 0)


HELPER_DIES_AFTER: dict[str, int] = {}


@dataclass(frozen=True)
class Found:
    """A study, as far as it must be the same, and how it was found."""

    trials: list[object]
    holders: set[str | None]
    at_once: bool


def searched(folder: Path, **changes: Any) -> Found:
    folder.mkdir()
    with (
        searching(folder, on_disk=True) as start,
        mock.patch("autotiny.study.search.helped", forked),
        mock.patch("autotiny.study.working.POLL_SECONDS", 0.01),
        mock.patch("autotiny.study.proposing.REHEARSED", 3),  # as fewer take less time
    ):
        study = start(
            sampler="ehvi", trials=TRIALS, evaluator=evaluator(sometimes), **changes
        ).study
        trials = study.trials
        rehearsals = [TrialRecord.load(trial).rehearsals for trial in trials]
        times = [(str(one.datetime_start), str(one.datetime_complete)) for one in trials]
        return Found(
            [*told(study), *rehearsals],
            {holder_of(trial) for trial in trials},
            any(later < end for (_, end), (later, _) in pairwise(times)),
        )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return searched(tmp_path_factory.mktemp("alone") / "study", jobs=1)


def test_two_processes_find_what_one_finds(alone: Found, tmp_path: Path) -> None:
    found = searched(tmp_path / "study", jobs=2)
    assert len(found.holders) == 2
    assert found.at_once
    assert not alone.at_once
    assert found.trials == alone.trials


@pytest.mark.parametrize("costs", [1, 7])
def test_what_a_process_leaves_that_dies_is_found_by_the_other(
    alone: Found, tmp_path: Path, costs: int
) -> None:
    with mock.patch.dict(HELPER_DIES_AFTER, costs=costs):
        assert searched(tmp_path / "study", jobs=2).trials == alone.trials


def test_more_processes_find_another_study_and_always_the_same(tmp_path: Path) -> None:
    first, second = (searched(tmp_path / name, jobs=3) for name in ("first", "second"))
    assert first.trials == second.trials


ENDED = TrialRecord(outcome="measured", recipe_key="k", values=(0.9, 1.0))


def trial(number: int, state: TrialState, record: TrialRecord) -> optuna.trial.FrozenTrial:
    done = state is TrialState.COMPLETE
    made = create_trial(
        state=state, values=[0.9, 1.0] if done else None, user_attrs={RECORD: record.to_json()}
    )
    made.number = number
    return made


def test_a_trial_is_told_how_those_ended_that_must_have() -> None:
    trials = [trial(number, TrialState.COMPLETE, ENDED) for number in range(6)]
    told_of = {one.number: one.outcome for one in seen_among(trials, 4, 2)}
    assert told_of == {0: "measured", 1: "measured", 2: "measured", 3: ""}
    assert {one.number for one in seen_among(trials, 1, 2) if one.outcome} == {0}
    assert len([one for one in seen_among(trials, 4, None) if one.outcome]) == 5


@pytest.mark.parametrize(
    ("states", "records", "begins"),
    [
        (["COMPLETE", "COMPLETE", "RUNNING"], [ENDED, ENDED, replace(ENDED, outcome="")], True),
        (["COMPLETE", "RUNNING", "COMPLETE"], [ENDED, replace(ENDED, outcome=""), ENDED], False),
        (["COMPLETE", "COMPLETE", "RUNNING"], [ENDED, ENDED, TrialRecord()], False),
        (["RUNNING", "COMPLETE", "COMPLETE"], [replace(ENDED, outcome=""), ENDED, ENDED], False),
    ],
)
def test_a_trial_begins_when_it_is_told_all_that_it_will_be(
    states: list[str], records: list[TrialRecord], begins: bool
) -> None:
    trials = [
        trial(number, TrialState[state], record)
        for number, (state, record) in enumerate(zip(states, records, strict=True))
    ]
    assert may_begin(trials, 3, 2) is begins
    assert may_begin(trials, 3, None)


@pytest.mark.parametrize(("cores", "gigabytes", "jobs"), [(1, 64, 1), (8, 64, 2), (8, 4, 1)])
def test_each_process_has_a_core_and_memory(cores: int, gigabytes: int, jobs: int) -> None:
    with (
        mock.patch("autotiny.study.turns.cores", return_value=cores),
        mock.patch("autotiny.study.turns.memory_bytes", return_value=gigabytes << 30),
    ):
        assert usual_jobs() == jobs
