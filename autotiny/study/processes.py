"""Processes of one machine that work on a study beside the one that searches."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import optuna

from autotiny.cache import Cache
from autotiny.errors import UserError
from autotiny.recipe import Recipe, component_from, step_data
from autotiny.study.evaluator import Evaluator
from autotiny.study.job import Job
from autotiny.study.running import MACHINE
from autotiny.study.sharing import shared
from autotiny.study.trials import REFUSALS
from autotiny.study.working import work

GRACE_SECONDS = 5.0
"""A process that was told of Ctrl-C has ended its trial by then."""


@dataclass(frozen=True)
class Helpers:
    """Processes that help with a study.

    Attributes:
        tasks: takes what they are to make, as text.
        given: what they were given.
    """

    tasks: multiprocessing.SimpleQueue[str] | None = None
    given: set[str] = field(default_factory=set)

    def make(self, wanted: Iterable[tuple[int, Recipe]]) -> None:
        """Let them make what will be asked for, so that it lies in the cache by then.

        They begin when the study has all its trials, and make nothing twice.

        Args:
            wanted: recipes, and the seed that each is trained with.
        """
        if self.tasks is None:
            return
        for seed, recipe in wanted:
            task = json.dumps([seed, [step_data(step) for step in recipe.steps]])
            if task not in self.given:
                self.given.add(task)
                self.tasks.put(task)


@contextmanager
def helped(
    study: optuna.Study, job: Job, job_key: str, helpers: int, *, place: str,
    timeout: float | None, tell: Callable[[str], None],
) -> Iterator[Helpers]:  # fmt: skip
    """Let processes work on a study, each with a TensorFlow and a worker of its own.

    They begin when the first trial has ended. What they leave, if they die, is taken up by others.

    Args:
        study: where what is to be tried is queued.
        job: what is searched for.
        job_key: where it lies in the cache; "" where no process helps.
        helpers: how many processes.
        place: URL of the storage.
        timeout: seconds after which no trial is begun.
        tell: called with why one of them ended before its time.
    """
    if not job_key or not helpers:
        yield Helpers()
        return
    context = multiprocessing.get_context("spawn")
    complaints, tasks = context.SimpleQueue(), context.SimpleQueue()
    cache = (job.cache.folder, job.cache.limit_bytes, job.cache.remote)
    given = (study.study_name, place, cache, job_key, timeout, job.evaluator, complaints, tasks)
    processes = [context.Process(target=_help, args=given) for _ in range(helpers)]
    with _interrupts_later():
        for one in processes:
            one.start()
    try:
        yield Helpers(tasks)
    except BaseException:
        _interrupt(processes)
        raise
    broken = [one.exitcode for one in processes if one.exitcode]
    _end(processes)
    while not complaints.empty():
        tell(f"a process that helped has ended: {complaints.get()}")
    if broken:
        tell(f"{len(broken)} of {helpers} processes that helped ended with code {broken[0]}")


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Processes begun meanwhile learn of Ctrl-C when they ask for it, not amid their imports."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _interrupt(processes: Sequence[BaseProcess]) -> None:
    """Let processes leave their trials; a terminal tells them of Ctrl-C, `kill -INT` does not."""
    for one in processes:
        one.join(GRACE_SECONDS)
        if one.is_alive() and one.pid:
            os.kill(one.pid, signal.SIGINT)
    for one in processes:
        one.join()


def _end(processes: Sequence[BaseProcess]) -> None:
    """End processes that have no trial any more; what they were making is of no use by now."""
    for one in processes:
        one.terminate()
    for one in processes:
        one.join()


def _help(
    study_name: str, url: str, cache: tuple[Path, int, str | None], job_key: str,
    timeout: float | None, evaluator: Evaluator, complaints: multiprocessing.SimpleQueue[str],
    tasks: multiprocessing.SimpleQueue[str],
) -> None:  # fmt: skip
    """What one process does: it is a worker as any other, and then makes what it is given."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # TensorFlow's toolkit would warn in the middle of the caller's view.
    logging.getLogger().setLevel(logging.ERROR)
    folder, limit, remote = cache
    kept = Cache(folder, limit_bytes=limit, remote=remote)
    try:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        done = work(study_name, url, cache=kept, timeout=timeout, evaluator=evaluator)
        if not done.interrupted:
            job = shared(kept, job_key, evaluator)
            while True:
                _make(job, tasks.get())
    except KeyboardInterrupt:
        return
    except (UserError, *MACHINE) as fault:
        complaints.put(str(fault))


def _make(job: Job, task: str) -> None:
    """Make what a recipe gives, with all that a trial asks of it."""
    seed, steps = json.loads(task)
    job = replace(job, seed=seed)
    with suppress(*REFUSALS):
        candidate = job.candidate(Recipe(tuple(component_from(step) for step in steps)))
        job.cost(candidate.model)
        job.score(candidate.model, "validation")


def _end_with_parent() -> None:
    """End this process as Ctrl-C would when its parent is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)
