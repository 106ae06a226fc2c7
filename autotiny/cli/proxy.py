"""`autotiny proxy`: between hundreds of workers and one database."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from autotiny.cli.failing import INTERRUPTED
from autotiny.interrupts import ended_by

EXAMPLES = (
    "autotiny proxy --storage postgresql+psycopg://tiny@db/tiny --host 0.0.0.0",
    "autotiny worker cnn1-digits-stm32f746-latency --storage grpc://proxy:13000",
)


def run(
    storage: Annotated[str, typer.Option(metavar="URL", help="Database server of the search.")],
    host: Annotated[
        str,
        typer.Option(
            help="Name or address of this machine at which it listens; who reaches it can read and "
            "write all studies."
        ),
    ] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens.")] = 13000,
) -> None:
    """Let hundreds of workers share a few connections to a database server.

    It is Optuna's gRPC proxy, with the heartbeats and locks that workers need. Search and workers
    are given --storage grpc://HOST:PORT.
    """
    from autotiny.study import quiet_optuna, serve

    with ended_by(signal.SIGTERM), quiet_optuna():
        try:
            server, found = serve(storage, host, port)
            typer.echo(f"listening at grpc://{host}:{found}")
            server.wait_for_termination()
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
