"""A job that crosses to other processes as files, and what joins a study."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints
from unittest import mock

import numpy as np
import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError
from test_resuming import killed
from test_resuming import told as told_of
from test_study import TOY_EVALUATOR, searching, toy_cost
from toys import SPACE, toy_components, toy_data, toy_model
from typer.testing import CliRunner

from autotiny.cache import Cache
from autotiny.cli import app
from autotiny.components import Component
from autotiny.dataset import Inputs, Reading, digits
from autotiny.dataset.ports import Answer, InputPort
from autotiny.errors import MachineFault, UserError
from autotiny.metrics import Cost
from autotiny.model import Level, Model
from autotiny.signal import Front, Stream
from autotiny.space import load_space, space_names
from autotiny.study import (
    Evaluator,
    Result,
    TrialRecord,
    Worked,
    running,
    server,
    sharing,
    storage,
    work,
)
from autotiny.study.holding import holding, locks_of
from autotiny.study.job import Job
from autotiny.study.record import ASKED, JOB, hold, put_back
from autotiny.study.server import Server
from autotiny.study.sharing import KINDS, share, shared
from autotiny.study.storage import open_storage
from autotiny.study.trials import try_sequence
from autotiny.target import Correction, load_target, target_names
from autotiny.tasks import Drop, Task

SHARED = ("model", "samples")


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    path = tmp_path / "toys.toml"
    path.write_text(SPACE)
    with toy_components():
        yield Job(
            toy_model(), toy_data(), load_target("stm32f746"), ("latency",),
            load_space(str(path)), 7, Drop(0.02, relative=True), 3, Cache(tmp_path / "cache"),
        )  # fmt: skip


def again(job: Job) -> Job:
    return shared(Cache(job.cache.folder), share(job))


def test_a_job_is_the_same_in_another_process(job: Job) -> None:
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    data = replace(
        job.data, x_test=x, y_test=np.arange(6), labels=("a", "b"), source="b.csv",
        reading=Reading(scale="1/255", resize=(4, 4)), rate=50, recorded=True,
        inputs=Inputs("int16", -1.0, 2.5, 1 / 3, True), stored_shape=(2,), notes=("one",),
        ports=(InputPort("p", (1,), Inputs("uint8", 0, 255, 1 / 255, False)),),
        answers=(Answer("q", (), True, ("x", "y"), 2),),
    )  # fmt: skip
    whole = replace(job, data=data, stream=Stream(20, 50))
    found = again(whole)
    for entry in fields(Job):
        if entry.name not in ("model", "data", "cache"):
            assert getattr(found, entry.name) == getattr(whole, entry.name), entry.name
    for entry in fields(data):
        one, other = getattr(found.data, entry.name), getattr(data, entry.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
        else:
            assert one == other, entry.name
    assert found.facts() == whole.facts()
    assert share(found) == share(whole)


@pytest.mark.parametrize("level", [one for one in Level if one is not Level.SIGNAL])
def test_models_of_every_level_cross(job: Job, level: Level) -> None:
    model = replace(toy_model(level), source="some.file")
    found = again(replace(job, model=model)).model
    assert (found.level, found.source, found.fingerprint) == (level, "some.file", "original")


def named_in(hint: Any) -> set[type[Any]]:
    """The dataclasses that a type hint names."""
    inside = [one for part in get_args(hint) for one in named_in(part)]
    return {*inside, *([hint] if isinstance(hint, type) and is_dataclass(hint) else [])}


def test_whatever_a_job_is_made_of_crosses() -> None:
    """A kind of field that is new is forgotten where no target that comes along has it."""
    own = {Component, Front, Task}  # have forms of their own
    for kind in KINDS.values():
        for name, hint in get_type_hints(kind).items():
            for inside in named_in(hint):
                known = inside.__name__ in KINDS or any(issubclass(inside, one) for one in own)
                assert known, f"{kind.__name__}.{name}"


def test_a_target_corrected_by_a_board_crosses(tmp_path: Path) -> None:
    data, cache = digits().shrunk(20, 10, 10), Cache(tmp_path)
    board = replace(load_target("stm32f746"), correction=Correction(1.03, 2, 1.5))
    job = Job(
        toy_model(Level.TFLITE), data, board, ("latency", "size"), load_space("default"), 0,
        Drop(0.1), 5, cache,
    )  # fmt: skip
    assert again(job).target == board


@pytest.mark.parametrize("name", space_names())
def test_every_space_and_target_crosses(tmp_path: Path, name: str) -> None:
    data, cache = digits().shrunk(20, 10, 10), Cache(tmp_path)
    for board in map(load_target, target_names()):
        space = load_space(name).for_cores(board.usable_cores)
        asked = ("latency", "size")
        job = Job(toy_model(Level.TFLITE), data, board, asked, space, 0, Drop(0.1), 5, cache)
        found = again(job)
        assert found.target == board
        assert found.facts() == job.facts()


def test_nothing_that_is_shared_is_pickled(job: Job) -> None:
    share(job)
    kinds = {path.suffix for path in job.cache.folder.glob("??/*/*")}
    assert kinds == {".json", ".npy", ".h5"}


class Trap:
    """What is executed when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("executed",))


def planted(job: Job, name: str, change: Any) -> str:
    """The key of a job of which a file was changed by someone who can write to the cache."""
    key = share(job)
    content = json.loads((job.cache.folder / key[:2] / key / "job.json").read_text())
    if name == "job":
        change(content)
    else:
        entry = job.cache.folder / content["samples"][:2] / content["samples"]
        content["samples"] = "ab" * 16

        def write(folder: Path) -> None:
            (folder / "samples.json").write_text((entry / "samples.json").read_text())
            np.save(folder / "0.npy", change, allow_pickle=True)

        job.cache.put(content["samples"], write)
    text = json.dumps(content)
    return job.cache.put("cd" * 16, lambda folder: sharing._write(folder / "job.json", text)).name


@pytest.mark.parametrize("kind", ["os.system", "Trap", "array", "Job", "Cache2"])
def test_a_job_that_names_what_it_must_not_is_refused(job: Job, kind: str) -> None:
    def change(content: Any) -> None:
        content["job"]["space"] = {"kind": kind, "fields": {"command": "mkdir executed"}}

    with pytest.raises(UserError, match=r"is no job that can be read: .*; run the search once"):
        shared(job.cache, planted(job, "job", change))


def test_samples_are_not_unpickled(job: Job, tmp_path: Path) -> None:
    key = planted(job, "samples", np.array([Trap()], dtype=object))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with pytest.raises(UserError, match="is no job that can be read: ValueError Object arrays"):
            shared(job.cache, key)
    assert not (tmp_path / "executed").exists()


def test_another_cache_is_told(job: Job, tmp_path: Path) -> None:
    key = share(job)
    with pytest.raises(UserError, match=r"has no .*, which the study names; give the folder that"):
        shared(Cache(tmp_path / "other"), key)


def test_a_judge_of_ones_own_does_not_cross(job: Job) -> None:
    key = share(replace(job, evaluator=TOY_EVALUATOR))
    with pytest.raises(UserError, match="judged by an evaluator of a Python program of its own"):
        shared(job.cache, key)
    assert shared(job.cache, key, TOY_EVALUATOR).evaluator is TOY_EVALUATOR


def test_samples_larger_than_the_cache_are_refused(job: Job) -> None:
    with pytest.raises(UserError, match=r"half of its limit is .*; search with jobs = 1"):
        share(replace(job, cache=Cache(job.cache.folder, limit_bytes=100_000)))


def test_layers_that_no_file_holds_are_refused(job: Job) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("get_config")

    with (
        mock.patch.object(type(job.model.network), "save", refuse),
        pytest.raises(UserError, match=r"as no file holds its layers .*; search with jobs = 1"),
    ):
        share(job)


@contextmanager
def begun(tmp_path: Path, trials: int = 4, asked: int = 8) -> Iterator[tuple[Result, str]]:
    """A study of which a search did some trials and asked for more."""
    place = str(tmp_path / "study.log")
    with searching(tmp_path) as start:
        result = start(storage=place, study_name="s", trials=trials)
        result.study.set_user_attr(ASKED, asked)
        yield result, place


def joined(
    tmp_path: Path, place: str, evaluator: Evaluator = TOY_EVALUATOR, **changes: Any
) -> Worked:
    cache = Cache(tmp_path / "cache")
    return work("s", place, cache=cache, evaluator=evaluator, **changes)


def test_a_worker_goes_on_with_a_search(tmp_path: Path) -> None:
    with begun(tmp_path) as (result, place):
        told: list[int] = []
        worked = joined(tmp_path, place, on_trial=lambda record: told.append(record.number))
        trials = result.study.trials
        assert worked.enough
        assert told == [record.number for record in worked.records]
        assert told == [trial.number for trial in trials[4:]]
        assert all(trial.state.is_finished() for trial in trials)
        assert not joined(tmp_path, place).records
        assert not joined(tmp_path, place, timeout=0).records
    assert not list(tmp_path.glob(".*.locks"))


@pytest.mark.slow
def test_a_worker_that_is_killed_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    with begun(tmp_path, trials=3, asked=7) as (result, place):
        before = told_of(result.study)

        def start(*, storage: str, evaluator: Evaluator, **_: object) -> Any:
            return joined(tmp_path, storage, evaluator=evaluator)

        kills = 0
        while killed(start, Path(place), 1 + 7 * kills):
            kills += 1
        assert joined(tmp_path, place).enough
        trials = result.study.trials
        records = [TrialRecord.load(trial) for trial in trials]
        assert kills > 5
        assert told_of(result.study)[: len(before)] == before
        assert not [trial.number for trial in trials if trial.state is TrialState.RUNNING]
        keys = [record.recipe_key for record in records if record.outcome == "measured"]
        assert len(keys) == len(set(keys))
        assert sum(record.outcome not in ("", "repeated") for record in records) == 7


def test_what_workers_share_is_not_dropped_while_they_work(tmp_path: Path) -> None:
    with begun(tmp_path) as (result, place):
        cache = Cache(tmp_path / "cache")
        key = result.study.user_attrs[JOB]
        content = json.loads((cache.folder / key[:2] / key / "job.json").read_text())
        entries = [cache.folder / one[:2] / one for one in (key, *map(content.get, SHARED))]

        def old(*given: Any) -> Cost:
            for entry in entries:
                os.utime(entry, (0, 0))
            return toy_cost(*given)

        joined(tmp_path, place, replace(TOY_EVALUATOR, cost=old), timeout=60)
        assert min(entry.stat().st_mtime for entry in entries) > 0


@pytest.mark.parametrize(
    ("attribute", "value", "told"),
    [("packages", "numpy 1.2, optuna 5.0.0", "numpy was 1.2 and is"),
     ("autotiny", "0.0.9 abcdef12", "autotiny was 0.0.9 abcdef12 and is")],
)  # fmt: skip
def test_a_worker_of_another_version_is_refused(
    tmp_path: Path, attribute: str, value: str, told: str
) -> None:
    with begun(tmp_path) as (result, place):
        result.study.set_user_attr(attribute, value)
        result.study.set_user_attr(JOB, "of a kind that this version cannot read")
        with pytest.raises(UserError, match=f"other versions: .*{told}.*; install here what"):
            joined(tmp_path, place)


def test_a_job_that_is_not_the_studys_is_refused(tmp_path: Path) -> None:
    with begun(tmp_path) as (result, place):
        result.study.set_user_attr("data", "another 0123456789abcdef")
        with pytest.raises(UserError, match="was made with data = another 0123456789abcdef, not"):
            joined(tmp_path, place)


def test_a_worker_says_what_it_waits_for(tmp_path: Path) -> None:
    place, said, naps = str(tmp_path / "study.log"), list[str](), list[float]()
    opened = open_storage(place)
    optuna.create_study(study_name="other", storage=opened)

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            optuna.create_study(study_name="s", storage=opened)
        if len(naps) == 4:
            study = optuna.load_study(study_name="s", storage=opened)
            study.set_user_attr(JOB, "ab")
        if len(naps) == 6:
            raise KeyboardInterrupt

    with mock.patch.object(time, "sleep", nap):
        worked = joined(tmp_path, place, on_stage=said.append)
    assert worked.interrupted
    assert said == [
        f"waiting for the study 's' in {place}, which a search begins; there are 'other'",
        "waiting for the search of 's' to say what it is for",
        "waiting for the first trial of 's', which measures the original",
    ]


def test_of_two_processes_that_draw_the_same_one_works_on_it(tmp_path: Path) -> None:
    inner: list[TrialRecord] = []
    with searching(tmp_path) as start:
        study = start(trials=3).study
        study.enqueue_trial(one := {"lowering": "int16", **study.trials[1].params} | {
            "lowering": "int16"})  # fmt: skip
        study.enqueue_trial(one)
        job = replace(start_job(tmp_path), evaluator=TOY_EVALUATOR)
        first, second = study.ask(), study.ask()

        def meanwhile(model: Model, target: Any, cache: Cache) -> Cost:
            if not inner:
                inner.append(TrialRecord())
                inner[0] = try_sequence(second, job)
                running._tell(study, second, inner[0])
            return toy_cost(model, target, cache)

        mine = try_sequence(first, replace(job, evaluator=replace(TOY_EVALUATOR, cost=meanwhile)))
        assert (inner[0].outcome, inner[0].repeats) == ("repeated", first.number)
        assert f"trial {first.number}, which runs at the same time" in inner[0].reason
        assert study.trials[second.number].state is TrialState.FAIL, "the sampler learns nothing"
        assert mine.outcome == "measured"


def start_job(tmp_path: Path) -> Job:
    space = load_space(str(tmp_path / "toys.toml"))
    return Job(
        toy_model(), toy_data(), load_target("stm32f746"), ("latency",), space, 0, Drop(0.01), 5,
        Cache(tmp_path / "fresh"),
    )  # fmt: skip


@pytest.mark.parametrize("end", [False, True])
def test_a_trial_that_was_taken_for_left_behind_is_the_others(tmp_path: Path, end: bool) -> None:
    taken: list[int] = []

    locks = locks_of(str(tmp_path / "study.log"), "s")
    with begun(tmp_path, asked=7) as (result, place), holding(locks) as other:

        def stolen(model: Model, target: Any, cache: Cache) -> Cost:
            study = result.study
            if not taken:
                (mine,) = study.get_trials(states=(TrialState.RUNNING,))
                taken.append(mine.number)
                put_back(study, mine)
                trial = study.ask()
                hold(trial, other.name)
                if end:
                    study.tell(trial, state=TrialState.FAIL)
            return toy_cost(model, target, cache)

        evaluator = replace(TOY_EVALUATOR, cost=stolen)
        worked = joined(tmp_path, place, evaluator=evaluator)
        trial = result.study.trials[taken[0]]
        assert trial.state is (TrialState.FAIL if end else TrialState.RUNNING)
        assert taken[0] not in [record.number for record in worked.records]


def test_a_search_waits_for_what_others_run(tmp_path: Path) -> None:
    naps: list[float] = []
    with begun(tmp_path) as (result, _), holding(tmp_path / "locks") as mark:
        held, left = result.study.ask(), result.study.ask()
        hold(held, mark.name)
        hold(left, "another-machine")

        def nap(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                result.study.tell(held, state=TrialState.FAIL)
            assert len(naps) < 9, "it waits for a trial of which nothing can be seen"

        said: list[str] = []
        with mock.patch.object(time, "sleep", nap):
            running.wait_for_others(result.study, mark, said.append)
    assert said == [f"trial {held.number}: waited for, another process runs it"]
    assert len(naps) == 4


class Refused(Exception):
    """In the place of a driver's OperationalError."""


@pytest.mark.parametrize("failures", [0, 3, len(server.PAUSES_SECONDS), 99])
def test_a_server_that_is_gone_is_waited_for(tmp_path: Path, failures: int) -> None:
    calls, naps = list[int](), list[float]()

    def connect(*given: object, **named: object) -> str:
        calls.append(1)
        if len(calls) <= failures:
            raise Refused
        return f"{given} {named}"

    dialect: Any = SimpleNamespace(
        connect=connect, loaded_dbapi=SimpleNamespace(OperationalError=Refused)
    )
    one = Server(f"sqlite:///{tmp_path / 'a.db'}")
    before = one.steady_since
    with mock.patch.object(time, "sleep", naps.append):
        if failures == 99:
            with pytest.raises(Refused):
                one._connect(dialect, None, [1], {"a": 2})
        else:
            assert one._connect(dialect, None, [1], {"a": 2}) == "(1,) {'a': 2}"
    assert naps == list(server.PAUSES_SECONDS[:failures])
    assert (one.steady_since > before) == bool(failures)
    assert 120 < sum(server.PAUSES_SECONDS) < 600


def test_a_heartbeat_tells_what_was_left_behind(tmp_path: Path) -> None:
    with mock.patch.multiple(server, GRACE_SECONDS=1, BEAT_SECONDS=0.2):
        one = Server(f"sqlite:///{tmp_path / 'a.db'}")
        study = optuna.create_study(storage=one)
        living, dead = study.ask(), study.ask()
        with server.beating(study, living._trial_id):
            for trial in (living, dead):
                one.record_heartbeat(trial._trial_id)
                hold(trial, "another-machine")
            assert one.left_behind(study._study_id) == set()
            time.sleep(3)
            assert one.left_behind(study._study_id) == {dead._trial_id}
            one.steady_since = time.monotonic()
            assert one.left_behind(study._study_id) == set(), "the server has just come back"
            assert one.silent(study._study_id) == {dead._trial_id}
            one.steady_since -= 2
            with (
                holding(tmp_path / "locks") as mark,
                mock.patch.object(Server, "alone", lambda _: mock.MagicMock()),
            ):
                assert running.take_up(study, mark) == [dead.number]
                assert running._run_by_others(study, mark) == {living.number}


def test_a_server_that_goes_away_in_the_middle_is_asked_again(tmp_path: Path) -> None:
    calls: list[int] = []

    def ask() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise StorageInternalError("gone")
        return 7

    one = optuna.create_study(storage=Server(f"sqlite:///{tmp_path / 'a.db'}"))
    with mock.patch.object(time, "sleep"):
        assert server.patiently(one, ask) == 7
    calls.clear()
    with pytest.raises(StorageInternalError):  # a file that cannot be written is told at once
        server.patiently(optuna.create_study(), ask)


def test_a_server_that_goes_away_while_a_trial_is_taken_is_the_machines_fault(
    tmp_path: Path,
) -> None:
    one = Server(f"sqlite:///{tmp_path / 'a.db'}")  # which cannot lock a row
    with pytest.raises(StorageInternalError, match="the server has gone"), one.alone():
        pytest.fail("nobody was kept out")


def test_tables_that_two_processes_make_at_once_are_made(tmp_path: Path) -> None:
    real, calls = optuna.storages.RDBStorage, list[int]()

    def racing(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError("CREATE", {}, Exception("table studies already exists"))
        return real(*given, **named)

    with mock.patch.object(optuna.storages, "RDBStorage", racing):
        open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    assert len(calls) == 2


@pytest.mark.parametrize(
    "url",
    ["postgresql+nothing://tiny:s3cret@h/b", "postgresql://tiny:s3cret@h:port/b",
     "mysql+mysqldb://tiny:s3cret@127.0.0.1:1/b", "nonsense://tiny:s3cret@h/b",
     "postgresql+psycopg://tiny:s3cret@127.0.0.1:1/b"],
)  # fmt: skip
def test_a_storage_that_cannot_be_opened_is_told_without_its_password(url: str) -> None:
    result = CliRunner().invoke(app, ["worker", "s", "--storage", url])
    assert result.exit_code == 2
    assert "cannot open the storage" in result.output
    assert "tiny:***@" in result.output
    assert "s3cret" not in result.output


@pytest.mark.parametrize("port", ["5432", "port"])
def test_what_a_driver_says_is_told_without_the_password(port: str) -> None:
    url = f"postgresql://tiny:s3cret@host:{port}/base"
    said = storage._without_password(f"cannot read {url!r}", url)
    assert said == f"cannot read 'postgresql://tiny:***@host:{port}/base'"
    if port != "port":
        assert storage._without_password("s3cret is wrong", url) == "*** is wrong"


def test_a_disk_that_is_full_ends_a_search_that_invites_others(job: Job, tmp_path: Path) -> None:
    with begun(tmp_path, asked=4), searching(tmp_path) as start:
        with (
            mock.patch.object(sharing, "_put", side_effect=MachineFault("cannot write: full")),
            pytest.raises(MachineFault, match="full"),
        ):
            start(storage=str(tmp_path / "b.log"), trials=2)
        said: list[str] = []
        with mock.patch.object(sharing, "_put", side_effect=UserError("no file holds it")):
            start(storage=str(tmp_path / "b.log"), trials=2, on_notice=said.append)
    assert "no other process can take part: no file holds it" in said
