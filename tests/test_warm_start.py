"""A search that begins with what earlier ones of the same network found, for whatever target."""

import json
import math
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import optuna
import pytest
from test_study import TOY_EVALUATOR, searching
from toys import CALLS, Aware, toy_data, toy_model

from autotiny.cache import Cache
from autotiny.errors import UserError
from autotiny.recipe import Recipe
from autotiny.study import Progress, Result, TrialRecord, measured, open_storage, running, work
from autotiny.study import observed as observing
from autotiny.study import pool as pooling
from autotiny.study.evidence import UNTRAINED, Evidence, trained_parts
from autotiny.study.holding import locks_of, searched_alone
from autotiny.study.observed import earlier
from autotiny.study.proposing import FEWEST, SHARE, has_done_its_share
from autotiny.study.record import RECORD, parsed
from autotiny.study.surrogate import scored_part
from autotiny.study.warm_start import check_warm_start
from autotiny.tasks import Classification

TRAINED = {"prune", "cluster", "aware"}
ASKS_TARGET = mock.patch.object(Aware, "measures", True)
"""Stands for a component that measures on the target, and is on the front of the first study."""


@contextmanager
def runner(folder: Path) -> Iterator[Any]:
    few = mock.patch.object(pooling, "NEIGHBOURS", 60)
    with few, ASKS_TARGET, searching(folder) as start:

        def search(name: str, **changes: Any) -> Result:
            place = str(folder / f"{name}.log")
            result: Result = start(
                **{"sampler": "ehvi", "trials": 16, "seeds": 1, "storage": place, **changes}
            )
            return result

        yield search


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study for another target, and with what it has trained."""
    folder = tmp_path_factory.mktemp("made")
    with runner(folder) as run:
        run("first", target="stm32f746", sampler="random")
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Iterator[Any]:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    with runner(tmp_path) as start:
        yield start


@pytest.fixture
def first(run: Any, tmp_path: Path) -> Path:
    """The journal of that study."""
    return tmp_path / "first.log"


def second(run: Any, first: Path, name: str = "second", **changes: Any) -> Result:
    arguments = {"target": "stm32l4r5", "warm_start": first, "trials": None, **changes}
    result: Result = run(name, **arguments)
    return result


def load(journal: Path) -> optuna.Study:
    return optuna.load_study(
        study_name="model-toy-stm32f746-latency", storage=open_storage(str(journal))
    )


def told(result: Result) -> list[tuple[str, str, tuple[float, ...]]]:
    records = map(TrialRecord.load, result.study.trials)
    return [(record.sequence, record.outcome, record.values) for record in records]


def parts_of(recipes: Iterable[Recipe | None]) -> set[tuple[str, ...]]:
    return {part for recipe in recipes for part in trained_parts(recipe)}


def test_what_is_known_is_not_trained_again(run: Any, first: Path) -> None:
    result = second(run, first, trials=1)
    evidence = Evidence(result.study, result.job, 99)
    efforts, trained = [], []
    for one in evidence.observed:
        CALLS.clear()
        result.job.candidate(one.recipe)
        trained.append(bool(TRAINED & {*CALLS}))
        efforts.append(evidence.effort(one.recipe) > UNTRAINED)
    assert efforts == trained == [not one.everywhere for one in evidence.observed]
    assert len({*efforts}) == 2


def test_scores_that_are_known_are_exact(run: Any, first: Path) -> None:
    result = second(run, first)
    observed = earlier(result.study)[0].observations
    known = {scored_part(one.recipe).key: one.score for one in observed if one.everywhere}
    found = [
        (known[scored_part(one.recipe).key], one.values[0])
        for one in measured(result.study)
        if one.recipe and scored_part(one.recipe).key in known
    ]
    assert len(found) > 1
    assert all(there == here for there, here in found)


def test_a_share_of_the_work_is_enough(run: Any, first: Path) -> None:
    began = second(run, first, trials=1)
    assert not has_done_its_share(began.study, began.job, -1)
    result = second(run, first)
    assert has_done_its_share(result.study, result.job, -1)
    evidence = Evidence(result.study, result.job, 99)
    observed = [one.recipe for one in evidence.observed]
    before = UNTRAINED * len(observed) + len(parts_of(observed))
    known = parts_of(one.recipe for one in evidence.observed if one.everywhere)

    def work(records: Sequence[TrialRecord]) -> float:
        parts = parts_of(one.drawn or one.recipe for one in records)
        return UNTRAINED * len(records) + len(parts - known)

    mine = evidence.measured
    assert len(mine) == FEWEST or work(mine[:-1]) < SHARE * before
    assert len(mine) >= FEWEST
    assert work(mine) >= SHARE * before


def test_where_nothing_fits_a_search_goes_on(run: Any, first: Path) -> None:
    fits = second(run, first, "a", trials=1)
    not_yet = second(run, first, "b", trials=1, at_most={"latency": "0.001us"})
    assert not not_yet.front
    with mock.patch.object(running, "has_done_its_share", return_value=True):
        assert running.is_over(fits.study, fits.job, None)
        assert not running.is_over(not_yet.study, not_yet.job, None)
        assert not running.is_over(fits.study, fits.job, 2)
        assert not running.is_over(load(first), fits.job, None), "it began with nothing"


def test_how_many_trials_there_will_be_is_not_known(run: Any, first: Path) -> None:
    for trials in (2, None):
        said: list[Progress] = []
        second(run, first, str(trials), trials=trials, on_trial=said.append)
        assert {progress.total for progress in said} == {trials}
        assert (said[-1].seconds_left is None) == (trials is None)


@pytest.mark.slow
def test_what_is_asked_for_is_tried(run: Any, first: Path) -> None:
    known = len(second(run, first).study.trials)
    result = second(run, first, trials=known + 8)
    assert sum(outcome != "repeated" for _, outcome, _ in told(result)) == known + 8


def test_the_same_command_gives_the_same_study(run: Any, first: Path) -> None:
    whole = second(run, first, "a")
    for trials in (1, 3):
        second(run, first, "b", trials=trials)
    assert told(second(run, first, "b")) == told(whole)
    assert told(second(run, first, "b")) == told(whole), "and ends where it ended"


@pytest.mark.slow
def test_what_was_known_stays_known(run: Any, first: Path) -> None:
    """Whatever has become of the earlier study, and whether it is named again or not."""
    whole = second(run, first, "a")
    second(run, first, "b", trials=2)
    run("first", target="stm32f746", trials=20, sampler="random")
    second(run, first, "b", trials=3)
    first.unlink()
    assert told(run("b", target="stm32l4r5", trials=None)) == told(whole)


def test_a_worker_knows_it_too(run: Any, first: Path, tmp_path: Path) -> None:
    whole = second(run, first, "a")
    began = second(run, first, "b", trials=2)
    began.study.set_user_attr("trials", None)
    work(
        began.study.study_name, str(tmp_path / "b.log"), cache=Cache(tmp_path / "cache"),
        evaluator=TOY_EVALUATOR,
    )  # fmt: skip
    assert told(began) == told(whole)


def test_what_is_known_is_said(run: Any, first: Path) -> None:
    lines: list[str] = []
    result = second(run, first, trials=1, on_notice=lines.append)
    (found,) = earlier(result.study)
    said = f"{found.scores} scores of the study 'model-toy-stm32f746-latency', for stm32f746,"
    assert [line for line in lines if line.startswith(said)]
    assert 3 < found.scores <= len(found.observations)


def test_what_hangs_on_the_target_is_not_known(run: Any, first: Path) -> None:
    there = load(first)
    assert sum("aware" in record.sequence for record in measured(there)) > 1
    result = second(run, first, trials=1)
    observed = earlier(result.study)[0].observations
    assert len(observed) > 5
    assert any(not one.everywhere for one in observed)
    assert all(one.best or "aware" not in str(one.recipe) for one in observed)
    evidence = Evidence(result.study, result.job, 99)
    assert not [part for part in evidence.trained if "aware" in str(part)]
    sure = [one.recipe for one in observed if one.everywhere]
    unsure = [one.recipe for one in observed if not one.everywhere]
    _, deviation = evidence.scores([*sure, *unsure])
    assert not deviation[: len(sure)].any()
    assert deviation[len(sure) :].all()


@pytest.mark.slow
def test_another_objective_begins_with_the_scores_too(run: Any, first: Path) -> None:
    result = second(run, first, target="stm32f746", objectives=("size", "sram"))
    assert earlier(result.study)
    assert len(result.front) > 1


def test_a_cost_is_expected_to_be_the_same_share_of_the_originals(run: Any, first: Path) -> None:
    result = second(run, first, trials=1)
    evidence = Evidence(result.study, result.job, 99)
    clock = 216 / 120
    costs = {one.recipe.key: one.cost for one in evidence.observed}
    expected = evidence.expected(set())
    assert len(expected) == len(evidence.observed)
    for recipe, cost in expected:
        assert np.exp(cost[0]) == pytest.approx(costs[recipe.key].latency_ms * clock)
    known = {expected[0][0].key}
    assert len(evidence.expected(known)) < len(expected)


def test_of_several_studies_those_of_the_same_scores_count(run: Any, first: Path) -> None:
    run("first", target="rp2040", trials=6, sampler="random")
    run("first", target="stm32g0b1", trials=6, seed=3, sampler="random")
    result = second(run, first, storage=str(first), trials=1)
    assert [one.target for one in earlier(result.study)] == ["rp2040", "stm32f746"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, r"scores of '.*' are not those of this search: seed = 0, not 1; give"),
        ({"epochs": 6}, r"epochs = 5, not 6"),
        (
            {"model": replace(toy_model(), fingerprint="other")},
            "model = model original, not model other",
        ),
        ({"data": replace(toy_data(), y_test=toy_data().y_test[::-1])}, r"data = toy \w+, not toy"),
        (
            {"data": replace(toy_data(), task=Classification(outputs=2, metric="macro_f1"))},
            r"objectives = accuracy_validation, latency_ms, not macro_f1_validation",
        ),
        ({"sampler": "tpe"}, r"sampler = 'tpe' learns nothing from other studies; .* 'ehvi'"),
    ],
)
@pytest.mark.everyday(2)
def test_other_scores_are_refused(
    run: Any, first: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        second(run, first, **changes)


def test_code_that_scores_otherwise_is_refused(run: Any, first: Path) -> None:
    other = mock.patch("autotiny.study.job.Job.scoring_key", "0123456789")
    with other, pytest.raises(UserError, match=r"scoring = code \w+, not code 01234567"):
        second(run, first)


def test_a_study_is_no_warm_start_of_itself(run: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.log"
    own.touch()
    with pytest.raises(UserError, match="holds no study but this search's own"):
        second(run, own, "own", trials=2)
    run("own", target="stm32l4r5", trials=2)
    with pytest.raises(UserError, match="began with no earlier study, and keeps that"):
        second(run, own, "own", trials=2)


def test_a_study_that_began_otherwise_is_refused(run: Any, first: Path) -> None:
    run("second", target="stm32l4r5", trials=2)
    with pytest.raises(UserError, match="began with no earlier study, and keeps that; continue it"):
        second(run, first)


def test_a_study_that_is_searched_just_now_is_refused(run: Any, first: Path) -> None:
    name = load(first).study_name
    locked = searched_alone(locks_of(str(first), name), name)
    with locked, pytest.raises(UserError, match="is searched just now; wait for its end"):
        second(run, first)
    assert second(run, first, trials=1).front


def test_a_study_without_its_original_is_refused(run: Any, first: Path) -> None:
    lines = [line for line in first.read_text().splitlines() if RECORD not in line]
    first.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="has not measured its original yet"):
        second(run, first)


@pytest.mark.parametrize("damage", ['{"outcome": "measured"}', "[1]", "nonsense", '"x"'])
def test_a_damaged_study_is_refused(run: Any, first: Path, damage: str) -> None:
    lines = [json.loads(line) for line in first.read_text().splitlines()]
    for line in lines:
        if RECORD in line.get("user_attr", {}):
            line["user_attr"][RECORD] = damage
    first.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match=r"a trial of 'model-.*' cannot be read"):
        second(run, first)


@pytest.mark.parametrize("name", ["latency_ms", "flash_bytes", "values"])
@pytest.mark.parametrize("wrong", ["text", math.inf, None, [1]])
def test_figures_that_are_none_are_refused(first: Path, name: str, wrong: object) -> None:
    study = load(first)

    def damaged(study: optuna.Study) -> list[TrialRecord]:
        facts = json.loads(measured(study)[1].to_json())
        place = facts if name == "values" else facts["metrics"]
        place[name] = [wrong, 1.0] if name == "values" else wrong
        return [parsed(json.dumps(facts), -1)]

    with (
        mock.patch.object(observing, "measured", damaged),
        pytest.raises(ValueError, match="figure"),
    ):
        observing.observed_in(study, "x")


def test_a_study_of_another_program_is_refused(run: Any, tmp_path: Path) -> None:
    place = tmp_path / "foreign.log"
    optuna.create_study(storage=open_storage(str(place)), study_name="foreign")
    with pytest.raises(UserError, match="it is no study of autotiny"):
        second(run, place)


def test_places_are_found(tmp_path: Path) -> None:
    """A folder, a file and a URL; as they are, relative, and from home."""
    with searching(tmp_path, on_disk=True) as start:
        start(out=tmp_path / "out", trials=1)
    found = check_warm_start(tmp_path / "out", "ehvi")
    assert found.startswith("sqlite:///")
    assert check_warm_start(tmp_path / "out" / "study.db", "ehvi") == found
    assert check_warm_start(found, "ehvi") == found
    with mock.patch.dict(os.environ, {"HOME": str(tmp_path)}):
        assert check_warm_start("~/out", "ehvi") == found
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert check_warm_start("out", "ehvi") == found
    finally:
        os.chdir(here)
    server = "postgresql+psycopg://me:secret@host/x"
    assert check_warm_start(server, "ehvi") == server


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ou", r"there is no '.*ou'; did you mean '.*out'\? Give the folder"),
        ("nothing/at/all", r"there is no '.*all'; give the folder"),
        (".", r"has no study.db, there are '.*out'; give"),
        ("empty", r"'.*empty' has no study.db, it holds no study; give"),
        ("elsewhere", "lies in the storage that its search was given; give that"),
        ("text.db", r"is no study's database \(file is not a database\)"),
        ("other.db", r"is no study's database \(no such table: studies\)"),
        ("sqlite:///missing.db", "there is no 'sqlite:///missing.db'; give"),
    ],
)
def test_places_without_a_study_are_refused_and_not_touched(
    tmp_path: Path, given: str, message: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "pareto.json").write_text('{"study": "x"}')
    (tmp_path / "text.db").write_text("no database" * 100)
    for name, table in (("other.db", "birds"), ("out/study.db", "studies")):
        with closing(sqlite3.connect(tmp_path / name)) as database:
            database.execute(f"CREATE TABLE {table} (study_name)")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message):
        check_warm_start(given if "://" in given else tmp_path / given, "ehvi")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_empty_journal_is_refused(run: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    with pytest.raises(UserError, match=r"'.*empty.log' holds no study; give"):
        second(run, tmp_path / "empty.log")
