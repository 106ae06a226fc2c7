"""Several processes of one machine that work on a study."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import optuna

from autotiny.cache import Cache
from autotiny.errors import MachineFault, UserError
from autotiny.study.evaluator import Evaluator
from autotiny.study.job import Job
from autotiny.study.record import TrialRecord, ended
from autotiny.study.running import MACHINE, is_over
from autotiny.study.server import patiently
from autotiny.study.working import work

POLL_SECONDS = 0.5

GRACE_SECONDS = 5.0
"""A process that was told of Ctrl-C has ended its trial by then."""


def run_in_processes(
    study: optuna.Study, job: Job, jobs: int, *, place: str, trials: int | None,
    timeout: float | None, report: Callable[[TrialRecord], None],
) -> None:  # fmt: skip
    """Let several processes work on a study; each has a TensorFlow and a worker of its own.

    Args:
        study: where what is to be tried is queued.
        job: what is searched for.
        jobs: how many processes.
        place: URL of the storage.
        trials: after so many it is enough; None leaves that to the budget.
        timeout: seconds after which no trial is begun.
        report: called with each trial that has ended.

    Raises:
        MachineFault: what a process complained of, or that it ended before the study did.
    """
    context = multiprocessing.get_context("spawn")
    complaints = context.SimpleQueue()
    cache = (job.cache.folder, job.cache.limit_bytes, job.cache.remote)
    shared = (study.study_name, place, cache, timeout, job.evaluator, complaints)
    workers = [context.Process(target=_work, args=shared) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    seen = {record.number for record in ended(study)}
    try:
        while any(worker.is_alive() for worker in workers):
            workers[0].join(POLL_SECONDS)
            time.sleep(0 if workers[0].is_alive() else POLL_SECONDS)
            for record in patiently(study, lambda: ended(study)):
                if record.number not in seen:
                    seen.add(record.number)
                    report(record)
    finally:
        _end_all(workers)
    if not complaints.empty():
        raise MachineFault(complaints.get())
    broken = [worker.exitcode for worker in workers if worker.exitcode]
    if broken and not is_over(study, job, trials):
        raise MachineFault(
            f"{len(broken)} of {len(workers)} processes ended with code {broken[0]}; "
            "their finished trials are kept: run the command again to continue"
        )


def _end_all(workers: Sequence[BaseProcess]) -> None:
    """Let processes leave their trials; a terminal tells them of Ctrl-C, `kill -INT` does not."""
    for worker in workers:
        worker.join(GRACE_SECONDS)
        if worker.is_alive() and worker.pid:
            os.kill(worker.pid, signal.SIGINT)
    for worker in workers:
        worker.join()


def _work(
    study_name: str, url: str, cache: tuple[Path, int, str | None], timeout: float | None,
    evaluator: Evaluator, complaints: multiprocessing.SimpleQueue[str],
) -> None:  # fmt: skip
    """What one process does: it is a worker as any other."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # TensorFlow's toolkit would warn in the middle of the caller's view.
    logging.getLogger().setLevel(logging.ERROR)
    folder, limit, remote = cache
    try:
        work(
            study_name, url, cache=Cache(folder, limit_bytes=limit, remote=remote),
            timeout=timeout, evaluator=evaluator,
        )  # fmt: skip
    except (UserError, *MACHINE) as fault:
        complaints.put(str(fault))


def _end_with_parent() -> None:
    """End this process as Ctrl-C would when its parent is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)
