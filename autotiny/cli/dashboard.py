"""`autotiny dashboard`: a study in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = (
    "autotiny dashboard results/cnn1-digits-stm32f746-latency",
    "autotiny dashboard sqlite:///study.db --port 9000",
)


def run(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="Folder of a search, file study.db, journal file, or storage URL.",
        ),
    ],
    port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="N", help="Port on 127.0.0.1.")
    ] = 8080,
) -> None:
    """Show a study in the browser (optuna-dashboard)."""
    from autotiny.report.dashboard import serve

    serve(study, port, lambda url: typer.echo(f"{url} (Ctrl-C ends it)"))
