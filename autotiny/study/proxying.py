"""The proxy between hundreds of processes and a database server that takes few connections.

It is Optuna's, with what that leaves out: heartbeats, and a gate that one process at a time passes.
A process has passed it as long as its call is open, so that the system ends it if the process dies.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from optuna.storages import get_storage
from optuna.storages._grpc.auto_generated import api_pb2_grpc
from optuna.storages._grpc.servicer import OptunaStorageProxyService

from autotiny.errors import UserError
from autotiny.study.server import OF_CHANNELS, SERVICE, Server
from autotiny.study.storage import open_storage, shown_place

MOST_CALLS = 1024
"""At once; each process that waits at the gate takes one."""


def serve(url: str, host: str, port: int) -> tuple[grpc.Server, int]:
    """Begin to pass on what processes ask of a database server; gives the port, too.

    Whoever reaches the port can read and write its studies.

    Args:
        url: of the database.
        host: name or address of this machine at which it listens.
        port: there; 0 takes any.

    Raises:
        UserError: it is no database server, cannot be opened, or the port is taken.
    """
    backend = open_storage(url)
    if not isinstance(backend, Server):
        raise UserError(
            f"{shown_place(url)} is no database server; a proxy is of use before one, "
            "e.g. postgresql+psycopg://…"
        )
    server = grpc.server(
        ThreadPoolExecutor(MOST_CALLS), options=(*OF_CHANNELS, ("grpc.so_reuseport", 0))
    )
    studies = OptunaStorageProxyService(get_storage(backend))
    api_pb2_grpc.add_StorageServiceServicer_to_server(studies, server)  # type: ignore[no-untyped-call]
    calls = {
        "gate": grpc.unary_stream_rpc_method_handler(_gate_of(backend)),
        "beat": _answering(backend.record_heartbeat),
        "left_behind": _answering(lambda study_id: sorted(backend.left_behind(study_id))),
        "silent": _answering(lambda study_id: sorted(backend.silent(study_id))),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, calls),))
    try:
        found = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise UserError(f"cannot listen at {host}:{port}; is another proxy there?") from error
    server.start()
    return server, found


def _answering(answer: Callable[[int], Any]) -> Any:
    """A call with a number and an answer, both JSON."""
    return grpc.unary_unary_rpc_method_handler(
        lambda request, _: json.dumps(answer(int(json.loads(request)))).encode()
    )


def _gate_of(backend: Server) -> Callable[[bytes, Any], Iterator[bytes]]:
    """A call that is answered when its process may pass, and is open until it has."""
    lock = threading.Lock()  # of all that wait here, one takes a connection to wait there

    def gate(_: bytes, context: Any) -> Iterator[bytes]:
        over = threading.Event()
        if not context.add_callback(over.set):
            return
        with lock, backend.alone():
            yield b""
            over.wait()

    return gate
