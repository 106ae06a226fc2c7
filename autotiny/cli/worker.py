"""`autotiny worker`: one more process for a search that lies in a shared storage."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from autotiny.cli.failing import INTERRUPTED, complain
from autotiny.cli.options import CacheOption
from autotiny.interrupts import ended_by

EXAMPLES = (
    "autotiny worker cnn1-digits-stm32f746-latency --storage study.log",
    "autotiny worker cnn1-digits-stm32f746-latency --cache /shared/cache "
    "--storage postgresql+psycopg://tiny@db/tiny",
)


def run(
    study: Annotated[
        str,
        typer.Argument(metavar="STUDY", help="Name of the study, as its search says it."),
    ],
    storage: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Optuna storage, or a journal file ending in .log, of the search."
        ),
    ],
    cache: CacheOption = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Begin no sequence after so long."),
    ] = None,
) -> None:
    """Work on a search that another process began, on any machine, until it has enough trials.

    It waits for the search to begin, and takes model, data and all that was asked from the cache
    folder of the search, which both must see.
    """
    from autotiny.cache import Cache
    from autotiny.report import console
    from autotiny.study import TrialRecord, work

    to = console(stderr=True)

    def tell(record: TrialRecord) -> None:
        to.print(f"trial {record.number}: {record.outcome}: {record.sequence}", soft_wrap=True)

    def say(text: str) -> None:
        to.print(text, soft_wrap=True)

    with ended_by(signal.SIGTERM):
        worked = work(
            study, storage, cache=Cache(cache, on_notice=say), timeout=timeout,
            on_stage=say, on_trial=tell,
        )  # fmt: skip
    if worked.interrupted:
        complain(f"interrupted; {len(worked.records)} trials ended here and are kept")
        raise typer.Exit(INTERRUPTED)
    end = "the study has enough" if worked.enough else "the time is over"
    typer.echo(f"{len(worked.records)} trials of {worked.study} ended here; {end}")
