"""A search hangs on its seed: not on how many processes run it, nor on which of them is faster."""

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing import SimpleQueue
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from test_resuming import told
from test_study import TOY_EVALUATOR, searching, toy_cost
from toys import CALLS, Prune, appended, toy_components, toy_data, toy_model

from autotiny.cache import Cache
from autotiny.components import Work
from autotiny.errors import UserError
from autotiny.metrics import Cost
from autotiny.model import Level, Model
from autotiny.recipe import Recipe, apply, step_data
from autotiny.study import Evaluator, Progress, TrialRecord, work
from autotiny.study.processes import Helpers, _make
from autotiny.study.record import RECORD, holder_of, set_at_once
from autotiny.study.running import _tell
from autotiny.study.seeds import train_again
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
    reported: list[int]


def searched(folder: Path, **changes: Any) -> Found:
    folder.mkdir()
    reported: list[int] = []

    def report(progress: Progress) -> None:
        reported.extend([progress.last.number] if progress.last else [])

    with (
        searching(folder, on_disk=True) as start,
        mock.patch("autotiny.study.search.helped", forked),
        mock.patch("autotiny.study.working.POLL_SECONDS", 0.01),
        mock.patch("autotiny.study.proposing.REHEARSED", 3),  # as fewer take less time
    ):
        own = evaluator(sometimes)
        result = start(sampler="ehvi", trials=TRIALS, evaluator=own, on_trial=report, **changes)
        study = result.study
        trials = study.trials
        rehearsals = [TrialRecord.load(trial).rehearsals for trial in trials]
        times = [(str(one.datetime_start), str(one.datetime_complete)) for one in trials]
        return Found(
            [*told(study), *rehearsals],
            {holder_of(trial) for trial in trials},
            any(later < end for (_, end), (later, _) in pairwise(times)),
            reported,
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
    assert alone.reported == [*range(len(alone.reported))]
    assert sorted(found.reported) == alone.reported


@pytest.mark.parametrize("costs", [1, 7])
@pytest.mark.slow
def test_what_a_process_leaves_that_dies_is_found_by_the_other(
    alone: Found, tmp_path: Path, costs: int
) -> None:
    with mock.patch.dict(HELPER_DIES_AFTER, costs=costs):
        assert searched(tmp_path / "study", jobs=2).trials == alone.trials


@pytest.mark.slow
def test_more_processes_find_another_study_and_always_the_same(tmp_path: Path) -> None:
    first, second = (searched(tmp_path / name, jobs=3) for name in ("first", "second"))
    assert first.trials == second.trials


class _Asked(Exception):
    """How many processes a search wanted to start."""


@contextmanager
def asking(study: Any, job: Any, key: str, helpers: int, **_: object) -> Iterator[Helpers]:
    raise _Asked(helpers if key else 0)
    yield Helpers()


@pytest.mark.parametrize(
    ("changes", "helpers"),
    [
        ({"jobs": None}, 1),
        ({"jobs": 1}, 0),
        ({"jobs": 4}, 3),
        ({"jobs": 4, "trials": 2}, 1),
        ({"jobs": None, "sampler": "tpe"}, 0),
        ({"jobs": None, "storage": "study.log"}, 0),
        ({"jobs": 2, "storage": "study.log"}, 1),
    ],
)
def test_so_many_processes_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], helpers: int
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        searching(tmp_path, on_disk=True) as start,
        mock.patch("autotiny.study.search.helped", asking),
        mock.patch("autotiny.study.search.usual_jobs", return_value=2),
        pytest.raises(_Asked) as asked,
    ):
        start(**{"sampler": "ehvi", **changes})
    assert asked.value.args == (helpers,)


def test_who_asked_for_no_number_gets_one_process_where_others_cannot_help(tmp_path: Path) -> None:
    told_of: list[str] = []
    refusal = UserError("no file holds its layers")
    with (
        searching(tmp_path, on_disk=True) as start,
        mock.patch("autotiny.study.search.share", side_effect=refusal),
        mock.patch("autotiny.study.search.usual_jobs", return_value=2),
    ):
        with pytest.raises(UserError, match="no file holds its layers"):
            start(sampler="ehvi", jobs=2, trials=3)
        result = start(sampler="ehvi", jobs=None, trials=3, on_notice=told_of.append)
    assert len(result.study.trials) == 3
    assert "no other process can take part: no file holds its layers" in told_of


def test_a_study_keeps_how_many_of_its_trials_may_run_at_once(tmp_path: Path) -> None:
    told_of: list[str] = []
    with searching(tmp_path, on_disk=True) as start:
        start(sampler="ehvi", jobs=1, trials=2)
        with mock.patch("autotiny.study.search.helped", asking), pytest.raises(_Asked) as asked:
            start(sampler="ehvi", jobs=4, trials=9, on_notice=told_of.append)
    assert asked.value.args == (1,)
    assert "jobs = 4: this study was begun for 2, and so many work on it" in told_of


def test_what_will_be_asked_for_is_made_before(tmp_path: Path) -> None:
    called: list[set[str]] = []

    def make(wanted: list[tuple[int, Recipe]]) -> None:
        called.append({*CALLS})
        for seed, recipe in wanted:
            _make(result.job, json.dumps([seed, [step_data(step) for step in recipe.steps]]))
        CALLS.clear()

    with searching(tmp_path) as start:
        result = start(trials=12, seeds=1)
        said: list[str] = []
        CALLS.clear()
        train_again(result.study, result.job, 3, goes_on=lambda: True, ahead=make, tell=said.append)
    first, *later = [*called, {*CALLS}]
    assert first == set()
    assert len(said) >= 2
    # Of each round, the first training is nobody's else.
    assert later
    assert all(len({"prune", "cluster", "aware"} & one) <= 1 for one in later)


def test_nothing_is_given_twice_to_those_who_help() -> None:
    tasks: SimpleQueue[str] = SimpleQueue()
    helpers = Helpers(tasks)
    helpers.make([(1, Recipe()), (2, Recipe())])
    helpers.make([(2, Recipe()), (1, Recipe((Prune(0.5),)))])
    given = [json.loads(tasks.get()) for _ in range(3)]
    assert [seed for seed, _ in given] == [1, 2, 1]
    assert tasks.empty()


def test_of_two_processes_that_want_the_same_step_one_makes_it(tmp_path: Path) -> None:
    made = tmp_path / "made"

    def slowly(self: Prune, model: Model, work: Work) -> Model:
        with made.open("a") as file:
            file.write("made\n")
        time.sleep(0.3)
        return appended(model, self, Level.KERAS, work)

    with toy_components(), mock.patch.object(Prune, "apply", slowly):
        child = os.fork()
        apply(Recipe((Prune(0.5),)), toy_model(), Work(toy_data()), Cache(tmp_path / "cache"))
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    assert made.read_text() == "made\n"


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


@pytest.mark.parametrize(
    ("many", "repeats", "state"),
    [(2, 3, "FAIL"), (2, 2, "PRUNED"), (3, 2, "FAIL"), (None, 3, "PRUNED")],
)
def test_what_repeats_a_trial_that_might_still_run_teaches_nothing(
    many: int | None, repeats: int, state: str
) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    if many:
        set_at_once(study, many)
    study.add_trials([trial(number, TrialState.COMPLETE, ENDED) for number in range(4)])
    last = study.ask()
    _tell(study, last, TrialRecord(outcome="repeated", repeats=repeats))
    assert study.trials[last.number].state is TrialState[state]


@pytest.mark.parametrize(("cores", "gigabytes", "jobs"), [(1, 64, 1), (8, 64, 2), (8, 4, 1)])
def test_each_process_has_a_core_and_memory(cores: int, gigabytes: int, jobs: int) -> None:
    with (
        mock.patch("autotiny.study.turns.cores", return_value=cores),
        mock.patch("autotiny.study.turns.memory_bytes", return_value=gigabytes << 30),
    ):
        assert usual_jobs() == jobs
