"""A study on a database server: its processes may be on many machines, and the server may restart.

Locks of files end at the machine. What stands in for them is a row that a process locks while it
takes a trial, and Optuna's heartbeat: a trial that has none for a minute was left behind. Hundreds
of processes reach the server by a proxy, which passes both on.
"""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Any, TypeVar

import grpc
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import (
    ExperimentalWarning,
    StorageInternalError,
    UpdateFinishedTrialError,
)
from optuna.storages import GrpcStorageProxy, RDBStorage
from optuna.storages._grpc.auto_generated.api_pb2_grpc import StorageServiceStub
from optuna.storages._grpc.client import GrpcClientCache
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event, text
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import SQLAlchemyError

from autotiny.study.holding import Hold, alone
from autotiny.study.tables import Rows, Written, beat, silent, stored, write

T = TypeVar("T")

SERVERS = ("postgresql", "mysql", "mariadb")
"""How the URLs of such storages begin."""

PROXY, PORT = "grpc://", 13000
"""How the URL of a proxy begins, and the port where none is named."""

SERVICE = "autotiny.Study"
"""The calls that a proxy of ours has beside Optuna's."""

OF_CHANNELS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
"""Of both ends: a peer that the network has lost is noticed in less than a minute."""

BEAT_SECONDS = 15
GRACE_SECONDS = 60
"""A trial without a heartbeat for so long was left behind."""

PAUSES_SECONDS = (1, 2, 4, 8, 15, *[30] * 9)
"""Between attempts to reach a server that was there before: five minutes together."""

ATTEMPTS = 5
"""So often something is asked of a server that goes away in the middle of it."""

LOST = (StorageInternalError, SQLAlchemyError)
"""What Optuna and SQLAlchemy raise when a storage does not answer."""


class Server(RDBStorage):
    """A database server, waited for where it is gone for some minutes.

    Attributes:
        steady_since: when it was reached for the first time, or again after it was gone.
    """

    def __init__(self, url: str) -> None:
        # As many as SQLAlchemy allows at once, but it would close all beyond five when idle.
        pool = {"pool_size": 15, "max_overflow": 0, "pool_pre_ping": True}
        super().__init__(url, pool)
        self.steady_since = time.monotonic()
        self._open: dict[int, tuple[Rows | None, FrozenTrial]] = {}
        # From here on: a wrong host or password was refused above, and at once.
        event.listen(self.engine, "do_connect", self._connect)

    def _connect(
        self, dialect: Dialect, _: object, given: list[Any], named: dict[str, Any]
    ) -> object:
        for pause in PAUSES_SECONDS:
            with suppress(dialect.loaded_dbapi.OperationalError):
                return dialect.connect(*given, **named)
            time.sleep(pause)
            self.steady_since = time.monotonic()
        return dialect.connect(*given, **named)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all other processes out meanwhile; the server ends that if this one dies.

        Raises:
            StorageInternalError: the server has gone, and maybe not kept the others out.
        """
        with self._connected() as connection:
            if self.engine.dialect.name == "postgresql":  # of a machine that lost its network
                limit = f"SET LOCAL idle_in_transaction_session_timeout = '{GRACE_SECONDS}s'"
                connection.execute(text(limit))
            # A row that Optuna reads and never locks.
            connection.execute(text("SELECT schema_version FROM version_info FOR UPDATE"))
            yield

    def get_heartbeat_interval(self) -> int | None:
        """None, so that `Study.ask` does not warn that Optuna itself neither beats nor looks."""
        return None

    def left_behind(self, study_id: int) -> set[int]:
        """The ids of running trials whose processes are no more.

        Nothing while the server has just come back: the others had nowhere to write that they live.
        """
        if time.monotonic() - self.steady_since < GRACE_SECONDS:
            return set()
        return self.silent(study_id)

    def silent(self, study_id: int) -> set[int]:
        """The ids of running trials of which no process has told for a minute that it lives."""
        with self._connected() as connection:
            return silent(connection, study_id, timedelta(seconds=GRACE_SECONDS))

    def record_heartbeat(self, trial_id: int) -> None:
        """Tell that a trial is being worked on."""
        with self._connected() as connection:
            heard = beat(connection, trial_id)
        if not heard:  # for the first time
            super().record_heartbeat(trial_id)

    def write(self, trial_id: int, written: Written) -> None:
        """Write what was found out about a trial, all of it or nothing.

        Raises:
            UpdateFinishedTrialError: it has ended.
        """
        with self._connected() as connection:
            write(self, connection, trial_id, written)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """What Optuna reads again and again; here, of the trials alone that have changed since."""
        if trial_id_greater_than < 0 or states is not None:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        with self._connected() as connection:
            rows = stored(connection, study_id, trial_id_greater_than)
        kept = dict(self._open)  # other threads read, too
        same = {one for one, found in rows.items() if kept.get(one, (None,))[0] == found}
        changed = {*rows, *included_trial_ids} - same
        trials = [kept[one][1] for one in same]
        for trial in super()._get_trials(study_id, None, changed, max(changed)) if changed else ():
            trials.append(trial)
            self._open.pop(trial._trial_id, None)
            if not trial.state.is_finished():
                self._open[trial._trial_id] = rows.get(trial._trial_id), trial
        return sorted(trials, key=lambda one: one._trial_id)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A transaction.

        Raises:
            StorageInternalError: the server has gone.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StorageInternalError("the server has gone") from error


class Proxied(GrpcStorageProxy):
    """A database server behind a proxy of ours, waited for where that is gone for some minutes.

    What is set of a trial is kept, and sent in one call before any is read, before its state is
    set, and before others may pass the gate.

    Raises:
        StorageInternalError: it is not there, or another's.
    """

    def __init__(self, url: str) -> None:
        self._pauses: Sequence[int] = ()
        self._unsent: dict[int, Written] = {}
        host, _, port = url.removeprefix(PROXY).partition(":")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(host=host, port=int(port or PORT))
        self._ask("left_behind", -1)
        # From here on: one that was not there was refused above, and at once.
        self._pauses = PAUSES_SECONDS

    def _setup(self) -> None:
        channel = grpc.insecure_channel(f"{self._host}:{self._port}", OF_CHANNELS)
        self._channel = grpc.intercept_channel(channel, _Waiting(self))
        self._stub = StorageServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._cache = GrpcClientCache(self._stub)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all other processes out meanwhile; the proxy ends that if this one dies.

        Raises:
            StorageInternalError: the proxy has gone, and maybe not kept the others out.
        """
        self._send()
        gate = self._entered()
        try:
            yield
            self._send()
            if not gate.is_active():
                raise StorageInternalError("the proxy, or its database, has gone")
        finally:
            self._unsent.clear()  # that a trial is held here is wrong once others have passed
            gate.cancel()

    def _entered(self) -> Any:
        """A call that lasts as long as the others are kept out."""
        for pause in (*self._pauses, None):
            gate = self._channel.unary_stream(f"/{SERVICE}/gate")(b"")
            try:
                next(gate)
            except grpc.RpcError as error:
                if pause is None or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise StorageInternalError("the proxy, or its database, has gone") from None
                time.sleep(pause)
            else:
                break
        return gate

    def record_heartbeat(self, trial_id: int) -> None:
        """Tell that a trial is being worked on."""
        self._ask("beat", trial_id)

    def left_behind(self, study_id: int) -> set[int]:
        """The ids of running trials whose processes are no more."""
        return set(self._ask("left_behind", study_id))

    def silent(self, study_id: int) -> set[int]:
        """The ids of running trials of which no process has told for a minute that it lives."""
        return set(self._ask("silent", study_id))

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Keep what is to be sent."""
        value = param_value_internal, distribution_to_json(distribution)
        self._unsent.setdefault(trial_id, Written()).params[param_name] = value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep what is to be sent."""
        self._unsent.setdefault(trial_id, Written()).user[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep what is to be sent."""
        self._unsent.setdefault(trial_id, Written()).system[key] = value

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set a state, when all that was set before is there."""
        self._send()
        return super().set_trial_state_values(trial_id, state, values)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial with all that was set."""
        self._send()
        return super().get_trial(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials with all that was set."""
        self._send()
        return super().get_all_trials(study_id, deepcopy, states)

    def _send(self) -> None:
        for trial_id, written in [*self._unsent.items()]:
            try:
                self._ask("write", [trial_id, asdict(written)])
            except UpdateFinishedTrialError:
                del self._unsent[trial_id]
                raise
            del self._unsent[trial_id]

    def _ask(self, what: str, given: Any) -> Any:
        try:
            answer = self._channel.unary_unary(f"/{SERVICE}/{what}")(json.dumps(given).encode())
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                raise UpdateFinishedTrialError from None
            raise StorageInternalError("it is no 'autotiny proxy'") from None
        return json.loads(answer)


class _Waiting(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Asks a proxy again that is gone for some minutes."""

    def __init__(self, proxied: Proxied) -> None:
        self._proxied = proxied

    def intercept_unary_unary(
        self, ask: Callable[[Any, Any], Any], details: Any, request: Any
    ) -> Any:
        """An answer, or the proxy's own refusal."""
        for pause in (*self._proxied._pauses, None):
            call = ask(details, request)
            if call.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN):
                return call
            if pause is None or call.code() is grpc.StatusCode.UNKNOWN:
                break
            time.sleep(pause)
        raise StorageInternalError("the proxy, or its database, does not answer")


def server_of(study: optuna.Study) -> Server | Proxied | None:
    """The server that a study lies on; None if it lies in a file or in memory."""
    storage = getattr(study._storage, "_backend", study._storage)
    return storage if isinstance(storage, (Server, Proxied)) else None


@contextmanager
def gate(study: optuna.Study, mark: Hold) -> Iterator[None]:
    """Keep the other processes of a study out meanwhile, on whichever machine they are."""
    server = server_of(study)
    with alone(mark.folder):
        if server is None:
            yield
        else:
            with server.alone():
                yield


@contextmanager
def beating(study: optuna.Study, trial_id: int) -> Iterator[None]:
    """Tell a server meanwhile, again and again, that a trial is being worked on."""
    server, over = server_of(study), threading.Event()

    def beat() -> None:
        while server is not None and not over.wait(BEAT_SECONDS):
            with suppress(*LOST):
                server.record_heartbeat(trial_id)

    if server is not None:
        threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def patiently(study: optuna.Study, ask: Callable[[], T]) -> T:
    """What a study answers; asked again where its server goes away meanwhile."""
    for _ in range(ATTEMPTS - 1 if server_of(study) else 0):
        with suppress(*LOST):
            return ask()
        time.sleep(PAUSES_SECONDS[0])
    return ask()
