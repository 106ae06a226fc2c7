"""A study on a database server: its processes may be on many machines, and the server may restart.

Locks of files end at the machine. What stands in for them is a row that a process locks while it
takes a trial, and Optuna's heartbeat: a trial that has none for a minute was left behind.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import event, text
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import SQLAlchemyError

from autotiny.study.holding import Hold, alone

T = TypeVar("T")

SERVERS = ("postgresql", "mysql", "mariadb")
"""How the URLs of such storages begin."""

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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of the heartbeat
            super().__init__(
                url, {"pool_pre_ping": True},
                heartbeat_interval=BEAT_SECONDS, grace_period=GRACE_SECONDS,
            )  # fmt: skip
        self.steady_since = time.monotonic()
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
        try:
            with self.engine.begin() as connection:
                if self.engine.dialect.name == "postgresql":  # of a machine that lost its network
                    limit = f"SET LOCAL idle_in_transaction_session_timeout = '{GRACE_SECONDS}s'"
                    connection.execute(text(limit))
                # A row that Optuna reads and never locks.
                connection.execute(text("SELECT schema_version FROM version_info FOR UPDATE"))
                yield
        except SQLAlchemyError as error:
            raise StorageInternalError("the server has gone") from error

    def get_heartbeat_interval(self) -> int | None:
        """None, so that `Study.ask` does not warn that Optuna itself neither beats nor looks."""
        return None

    def left_behind(self, study: optuna.Study) -> set[int]:
        """The ids of running trials whose processes are no more.

        Nothing while the server has just come back: the others had nowhere to write that they live.
        """
        if time.monotonic() - self.steady_since < GRACE_SECONDS:
            return set()
        return set(self._get_stale_trial_ids(study._study_id))


def server_of(study: optuna.Study) -> Server | None:
    """The server that a study lies on; None if it lies in a file or in memory."""
    storage = getattr(study._storage, "_backend", study._storage)
    return storage if isinstance(storage, Server) else None


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
