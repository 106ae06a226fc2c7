"""What a server reads of trials that others change, and how often."""

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState

from autotiny.study import server, warm_start
from autotiny.study.server import Server

CHANGES: dict[str, Callable[[Trial], object]] = {
    "parameter": lambda trial: trial.suggest_int("y", 1, 9),
    "attribute": lambda trial: trial.set_user_attr("a", "longer"),
    "new attribute": lambda trial: trial.set_user_attr("b", 1),
    "constraint": lambda trial: trial.set_constraint("flash", 3),
    "end": lambda trial: trial.study.tell(trial, 1.0),
    "put back": lambda trial: trial.storage.set_trial_state_values(
        trial._trial_id, TrialState.WAITING
    ),
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'a.db'}"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.everyday(2)
def test_whatever_another_process_changes_is_read(url: str, change: str) -> None:
    theirs = optuna.create_study(study_name="s", storage=RDBStorage(url))
    ours = optuna.load_study(study_name="s", storage=Server(url))
    trials = [theirs.ask() for _ in range(4)]
    for trial in trials:
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr("a", "b")
    theirs.tell(trials[1], 2.0)
    for _ in range(2):
        assert ours.get_trials() == theirs.get_trials()
    CHANGES[change](trials[2])
    theirs.enqueue_trial({"x": 0.5})
    with mock.patch.object(
        RDBStorage, "_get_trials", autospec=True, side_effect=RDBStorage._get_trials
    ) as read:
        found = ours.get_trials(deepcopy=False)
        again = ours.get_trials(deepcopy=False)
        (_, _, _, ids, _), _ = read.call_args_list[0]
        assert ids == {trials[2]._trial_id, found[4]._trial_id}, "no others have changed"
        assert read.call_count == 1, "nothing has changed since"
    assert found == again == theirs.get_trials()


def test_a_study_on_a_server_is_searched_while_its_processes_beat(url: str) -> None:
    study = optuna.create_study(storage=Server(url))
    storage = server.server_of(study)
    assert storage is not None
    assert not warm_start._is_searched(study, "postgresql://host/b")
    for trial in (study.ask(), study.ask()):
        storage.record_heartbeat(trial._trial_id)
    assert warm_start._is_searched(study, "postgresql://host/b")
    with mock.patch.object(server, "GRACE_SECONDS", -60):
        assert not warm_start._is_searched(study, "postgresql://host/b")
