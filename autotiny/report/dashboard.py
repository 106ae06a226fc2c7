"""A study in the browser: optuna-dashboard, served on this machine only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from autotiny.errors import UserError
from autotiny.study import open_storage

HOST = "127.0.0.1"


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
    with server:
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
    return str(path) if path.suffix == ".log" else f"sqlite:///{path.resolve()}"


class _Server(ThreadingMixIn, WSGIServer):
    """A browser asks for several things at once."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Requests are no news."""

    def log_message(self, *_: Any) -> None:
        """Says nothing."""
