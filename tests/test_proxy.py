"""A proxy between many processes and one database server."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import grpc
import optuna
import pytest
from optuna.distributions import FloatDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from optuna.storages._grpc.server import make_server
from optuna.storages._grpc.servicer import _to_proto_trial
from optuna.trial import TrialState
from test_study import TOY_EVALUATOR, searching
from typer.testing import CliRunner

from autotiny.cache import Cache
from autotiny.cli import app
from autotiny.errors import UserError
from autotiny.study import proxying, serve, server, work
from autotiny.study.record import ASKED, set_constraints
from autotiny.study.server import Proxied, Server, beating
from autotiny.study.storage import open_storage
from autotiny.study.tables import Written


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Server]:
    """A file in the place of a server; what locks its row is a lock here."""
    lock = threading.Lock()

    @contextmanager
    def alone(_: Server) -> Iterator[None]:
        with lock:
            yield

    one = Server(f"sqlite:///{tmp_path / 'a.db'}")
    with (
        mock.patch.object(Server, "alone", alone),
        mock.patch.object(proxying, "open_storage", lambda _: one),
    ):
        yield one


@pytest.fixture
def port(backend: Server) -> Iterator[int]:
    running, found = serve("postgresql://h/b", "127.0.0.1", 0)
    yield found
    running.stop(None)


def test_a_search_and_a_worker_meet_at_a_proxy(tmp_path: Path, port: int) -> None:
    place = f"grpc://127.0.0.1:{port}"
    with searching(tmp_path) as start:
        result = start(storage=place, study_name="s", trials=3)
        result.study.set_user_attr(ASKED, 6)
        worked = work("s", place, cache=Cache(tmp_path / "cache"), evaluator=TOY_EVALUATOR)
        assert worked.enough
        trials = result.study.trials
        assert [record.number for record in worked.records] == [one.number for one in trials[3:]]
        again = start(storage=place, study_name="s", trials=3)
        assert again.study.trials == trials


def test_heartbeats_pass_a_proxy(backend: Server, port: int) -> None:
    with mock.patch.multiple(server, GRACE_SECONDS=3, BEAT_SECONDS=0.2):
        one = Server(backend.url)
        with mock.patch.object(proxying, "open_storage", lambda _: one):
            running, fast = serve("postgresql://h/b", "127.0.0.1", 0)
        proxied = Proxied(f"grpc://127.0.0.1:{fast}")
        study = optuna.create_study(storage=proxied)
        living, dead = study.ask(), study.ask()
        with beating(study, living._trial_id):
            for trial in (living, dead):
                proxied.record_heartbeat(trial._trial_id)
            until = time.monotonic() + 30
            while not proxied.left_behind(study._study_id) and time.monotonic() < until:
                time.sleep(0.1)
            assert proxied.left_behind(study._study_id) == {dead._trial_id}
            assert proxied.silent(study._study_id) == {dead._trial_id}
        running.stop(None)


def test_a_trial_beats_until_it_ends_even_if_its_server_fails_meanwhile() -> None:
    beats: list[int] = []

    def record(trial_id: int) -> None:
        beats.append(trial_id)
        if len(beats) == 1:
            raise StorageInternalError("gone for a moment")

    failing = mock.Mock(record_heartbeat=record)
    with mock.patch.multiple(server, BEAT_SECONDS=0.01, server_of=lambda _: failing):
        with beating(mock.Mock(), 7):
            until = time.monotonic() + 20
            while len(beats) < 3 and time.monotonic() < until:
                time.sleep(0.01)
        assert len(beats) >= 3
        time.sleep(0.3)
        ended = len(beats)
        time.sleep(0.3)
    assert beats == [7] * ended


def test_one_process_at_a_time_passes_the_gate(port: int) -> None:
    inside, most = list[int](), list[int]()

    def pass_by(number: int) -> None:
        proxied = Proxied(f"grpc://127.0.0.1:{port}")
        for _ in range(10):
            with proxied.alone():
                inside.append(number)
                most.append(len(inside))
                time.sleep(0.002)
                inside.remove(number)

    threads = [threading.Thread(target=pass_by, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert most == [1] * 60


def test_a_process_that_dies_at_the_gate_lets_the_others_pass(port: int) -> None:
    dead = Proxied(f"grpc://127.0.0.1:{port}")
    gate = dead._entered()
    waiting = Proxied(f"grpc://127.0.0.1:{port}")
    waiting._channel.unary_stream(f"/{server.SERVICE}/gate")(b"").cancel()  # and one in the queue
    threading.Timer(0.3, dead._channel.close).start()
    began = time.monotonic()
    with waiting.alone():
        assert time.monotonic() - began > 0.2
    assert gate.code() is grpc.StatusCode.CANCELLED


def test_a_proxy_that_goes_away_meanwhile_has_kept_nobody_out(backend: Server) -> None:
    running, port = serve("postgresql://h/b", "127.0.0.1", 0)
    proxied = Proxied(f"grpc://127.0.0.1:{port}")
    gate = proxied._entered()
    with (
        mock.patch.object(proxied, "_entered", lambda: gate),
        pytest.raises(StorageInternalError, match="has gone"),
        proxied.alone(),
    ):
        running.stop(None).wait()
        assert gate.code() is not grpc.StatusCode.OK  # known here, too


def test_a_proxy_that_is_gone_is_waited_for(backend: Server) -> None:
    running, port = serve("postgresql://h/b", "127.0.0.1", 0)
    proxied = Proxied(f"grpc://127.0.0.1:{port}")
    study = optuna.create_study(storage=proxied, study_name="s")
    running.stop(None).wait()
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) in (2, 5):
            again.append(serve("postgresql://h/b", "127.0.0.1", port)[0])
        threading.Event().wait(1.5 if len(naps) in (2, 5) else 0.1)

    again: list[grpc.Server] = []
    with mock.patch.object(time, "sleep", nap):
        assert study.get_trials() == []
        assert naps[:2] == list(server.PAUSES_SECONDS[:2])
        again[0].stop(None).wait()
        with proxied.alone():
            assert len(again) == 2
        again[1].stop(None).wait()
        with (
            mock.patch.object(proxied, "_pauses", (1,)),
            pytest.raises(StorageInternalError, match="the proxy, or its database, does not answ"),
        ):
            study.get_trials()


def test_what_the_database_refuses_is_the_databases_fault(backend: Server, port: int) -> None:
    study = optuna.create_study(storage=Proxied(f"grpc://127.0.0.1:{port}"))
    with (
        mock.patch.object(Server, "get_all_trials", side_effect=StorageInternalError("s3cret")),
        mock.patch.object(Server, "_get_trials", side_effect=StorageInternalError("s3cret")),
        pytest.raises(StorageInternalError) as told,
    ):
        study.get_trials()
    assert "s3cret" not in str(told.value)


@pytest.fixture
def proxied(port: int) -> Proxied:
    return Proxied(f"grpc://127.0.0.1:{port}")


def test_what_is_set_of_a_trial_is_sent_in_one_call(backend: Server, proxied: Proxied) -> None:
    study = optuna.create_study(storage=proxied)
    trial = study.ask()
    with mock.patch.object(Server, "write", autospec=True, side_effect=Server.write) as written:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_categorical("y", (False, True))
        trial.set_user_attr("a", [1, None])
        set_constraints(trial, {"flash": 3, "sram": -1})
        assert backend.get_trial(trial._trial_id).params == {}
        (there,) = study.get_trials()
        assert there == backend.get_trial(trial._trial_id)
        assert (there.params, there.user_attrs) == ({"x": x, "y": y}, {"a": [1, None]})
        assert (there.constraints["flash"], there.constraints["sram"]) == (3, -1)
        assert written.call_count == 1
        trial.set_user_attr("a", 2)
        proxied.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    assert backend.get_trial(trial._trial_id).user_attrs == {"a": 2}


def test_what_is_sent_again_changes_nothing(backend: Server) -> None:
    """The answer may be lost, and the question not."""
    trial = optuna.create_study(storage=backend).ask()
    text = distribution_to_json(FloatDistribution(0, 1))
    first = Written({"x": (0.5, text)}, {"a": 1}, {"b": 2})
    backend.write(trial._trial_id, first)
    there = backend.get_trial(trial._trial_id)
    backend.write(trial._trial_id, first)
    assert backend.get_trial(trial._trial_id) == there
    backend.write(trial._trial_id, Written({"x": (0.7, text), "y": (0.1, text)}, {"a": 3}))
    there = backend.get_trial(trial._trial_id)
    assert (there.params, there.user_attrs) == ({"x": 0.5, "y": 0.1}, {"a": 3})


def test_what_is_set_behind_the_gate_is_there_when_others_pass(
    backend: Server, proxied: Proxied
) -> None:
    trial = optuna.create_study(storage=proxied).ask()
    with proxied.alone():
        trial.set_user_attr("holder", "me")
    assert backend.get_trial(trial._trial_id).user_attrs == {"holder": "me"}


def test_what_was_set_behind_a_gate_that_failed_is_not_sent_later(
    backend: Server, proxied: Proxied
) -> None:
    trial = optuna.create_study(storage=proxied).ask()
    x = trial.suggest_float("x", 0, 1)
    with pytest.raises(ZeroDivisionError), proxied.alone():
        trial.set_user_attr("holder", "me")
        raise ZeroDivisionError
    proxied.get_trial(trial._trial_id)
    there = backend.get_trial(trial._trial_id)
    assert (there.params, there.user_attrs) == ({"x": x}, {})


def test_what_is_set_of_a_trial_that_another_has_ended_is_refused_once(
    backend: Server, proxied: Proxied
) -> None:
    trial = optuna.create_study(storage=proxied).ask()
    backend.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    trial.set_user_attr("a", 1)
    with pytest.raises(UpdateFinishedTrialError):
        proxied.get_trial(trial._trial_id)
    assert proxied.get_trial(trial._trial_id).user_attrs == {}


def test_a_trial_is_written_out_again_only_when_it_has_changed(backend: Server, port: int) -> None:
    optuna.create_study(study_name="s", storage=backend)
    places = [Proxied(f"grpc://127.0.0.1:{port}") for _ in range(3)]
    studies = [optuna.load_study(study_name="s", storage=place) for place in places]
    trials = [studies[0].ask() for _ in range(3)]
    studies[0].tell(trials[0], 1.0)
    assert studies[0].get_trials() == studies[0].get_trials()
    with mock.patch.object(proxying, "_to_proto_trial", side_effect=_to_proto_trial) as written:
        for study in (*studies, *studies):
            assert len(study.get_trials()) == 3
        assert not written.called
        trials[2].set_user_attr("a", 1)
        for study in studies:
            assert study.get_trials()[2].user_attrs == {"a": 1}
        assert written.call_count == 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_optunas_own_proxy_is_refused() -> None:
    port = free_port()
    running = make_server(InMemoryStorage(), "127.0.0.1", port)
    running.start()
    with pytest.raises(UserError, match=r"cannot open .*: it is no 'autotiny proxy'"):
        open_storage(f"grpc://127.0.0.1:{port}")
    running.stop(None)


@pytest.mark.parametrize("url", ["grpc://127.0.0.1:1", "grpc://127.0.0.1:port"])
def test_a_proxy_that_is_not_there_is_told(url: str) -> None:
    with pytest.raises(UserError, match="cannot open the storage"):
        open_storage(url)


def test_a_proxy_is_of_use_before_a_server_alone(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["proxy", "--storage", f"sqlite:///{tmp_path}/a.db"])
    assert result.exit_code == 2
    assert "is no database server; a proxy is of use before one" in result.output


def test_a_port_that_is_taken_is_told(backend: Server, port: int) -> None:
    with pytest.raises(UserError, match=f"cannot listen at 127.0.0.1:{port}; is another proxy"):
        serve("postgresql://h/b", "127.0.0.1", port)
