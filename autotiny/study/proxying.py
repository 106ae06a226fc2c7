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
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, get_storage
from optuna.storages._grpc.auto_generated import api_pb2, api_pb2_grpc
from optuna.storages._grpc.servicer import OptunaStorageProxyService, _to_proto_trial
from optuna.trial import FrozenTrial

from autotiny.errors import UserError
from autotiny.study.server import OF_CHANNELS, SERVICE, Server
from autotiny.study.storage import open_storage, shown_place
from autotiny.study.tables import Written

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
    studies = _Studies(get_storage(backend))
    api_pb2_grpc.add_StorageServiceServicer_to_server(studies, server)  # type: ignore[no-untyped-call]
    calls = {
        "gate": grpc.unary_stream_rpc_method_handler(_gate_of(backend)),
        "beat": _answering(backend.record_heartbeat),
        "left_behind": _answering(lambda study_id: sorted(backend.left_behind(study_id))),
        "silent": _answering(lambda study_id: sorted(backend.silent(study_id))),
        "write": _answering(lambda given: backend.write(given[0], Written(**given[1]))),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, calls),))
    try:
        found = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise UserError(f"cannot listen at {host}:{port}; is another proxy there?") from error
    server.start()
    return server, found


class _Studies(OptunaStorageProxyService):
    """Optuna's calls; a trial that has not changed is not written out again."""

    def __init__(self, storage: BaseStorage) -> None:
        super().__init__(storage)
        self._known: dict[int, tuple[FrozenTrial, api_pb2.Trial]] = {}

    def GetTrials(  # noqa: N802
        self, request: api_pb2.GetTrialsRequest, context: Any
    ) -> api_pb2.GetTrialsReply:
        """The trials that a process has not seen the end of."""
        try:
            trials = self._backend.get_all_trials(request.study_id, deepcopy=False)
        except KeyError as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
            raise
        wanted = {*request.included_trial_ids}
        return api_pb2.GetTrialsReply(
            trials=[
                self._written(one)
                for one in trials
                if one._trial_id > request.trial_id_greater_than or one._trial_id in wanted
            ]
        )

    def _written(self, trial: FrozenTrial) -> api_pb2.Trial:
        known = self._known.get(trial._trial_id)
        if known is not None and known[0] is trial:
            return known[1]
        written = _to_proto_trial(trial)
        self._known[trial._trial_id] = trial, written
        return written


def _answering(answer: Callable[[Any], Any]) -> Any:
    """A call with a question and an answer, both JSON."""

    def answered(request: bytes, context: Any) -> bytes:
        try:
            return json.dumps(answer(json.loads(request))).encode()
        except UpdateFinishedTrialError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise

    return grpc.unary_unary_rpc_method_handler(answered)


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
