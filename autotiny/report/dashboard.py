"""A study in the browser: optuna-dashboard, served on this machine only."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from socketserver import ThreadingMixIn
from types import SimpleNamespace
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna

from autotiny.errors import UserError
from autotiny.report.tables import milliseconds, score_text
from autotiny.study import TrialRecord, ended, open_storage, quiet_optuna, sqlite_url

HOST = "127.0.0.1"

NOTES_SECONDS = 5.0
"""How often a running study is looked at for trials that have ended since."""


def serve(study: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve optuna-dashboard until Ctrl-C.

    Args:
        study: see `storage_url`.
        port: on 127.0.0.1; 0 takes any that is free.
        on_ready: called with the URL once it answers.

    Raises:
        UserError: there is no such study, or the port is taken.
    """
    # Quick refusals come first: the dashboard takes a second to import.
    storage = open_storage(storage_url(study))
    from optuna_dashboard import wsgi

    try:
        server = make_server(HOST, port, wsgi(storage), _Server, _Quiet)
    except OSError as error:
        raise UserError(
            f"cannot listen on {HOST}:{port}: {error.strerror}; choose another --port"
        ) from error
    with server, quiet_optuna():
        server.take_notes(storage)
        on_ready(f"http://{HOST}:{server.server_port}/dashboard/")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def storage_url(study: str) -> str:
    """The storage of a study: a search's folder, its `study.db`, a journal file, or a URL.

    Raises:
        UserError: there is no such folder or file.
    """
    if "://" in study:
        return study
    path = Path(study)
    if path.is_dir():
        path = path / "study.db"
    if not path.is_file():
        raise UserError(
            f"there is no study at {str(path)!r}; give the folder of a search, e.g. "
            "results/cnn1-digits-stm32f746-latency, or a storage URL"
        )
    return str(path) if path.suffix == ".log" else sqlite_url(path)


def write_notes(storage: optuna.storages.BaseStorage) -> None:
    """Put the sequence and the outcome of each trial where optuna-dashboard shows them first."""
    from optuna_dashboard import get_note, save_note

    for name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        trials = study.get_trials(deepcopy=False)
        for record in ended(study):
            # The two functions ask for a running trial but use no more of it than these.
            identity = trials[record.number]._trial_id
            place: Any = SimpleNamespace(storage=storage, study=study, _trial_id=identity)
            if not get_note(place):
                save_note(place, note_text(record))


def note_text(record: TrialRecord) -> str:
    """What a reader wants to know of a trial, as Markdown."""
    lines = [f"**{record.sequence}**"]
    if record.cost:
        score = score_text(record.metrics) if record.metrics else ""
        lines.append(
            (f"{score}, " if score else "")
            + f"flash {record.cost.flash_bytes:,} bytes, SRAM {record.cost.sram_bytes:,} bytes, "
            f"{milliseconds(record.cost.latency_ms)} ms"
        )
    lines.append(record.outcome + (f": {record.reason}" if record.reason else ""))
    return "\n\n".join(lines)


class _Server(ThreadingMixIn, WSGIServer):
    """A browser asks for several things at once."""

    daemon_threads = True
    _storage: optuna.storages.BaseStorage
    _noted = 0.0

    def take_notes(self, storage: optuna.storages.BaseStorage) -> None:
        """Write the notes of a storage now, and of its later trials while serving."""
        self._storage = storage
        self.service_actions()

    def service_actions(self) -> None:
        """Called twice a second while the server runs."""
        super().service_actions()
        if time.monotonic() - self._noted > NOTES_SECONDS:
            self._noted = time.monotonic()
            write_notes(self._storage)


class _Quiet(WSGIRequestHandler):
    """Requests are no news."""

    def log_message(self, *_: object) -> None:
        """Says nothing."""
