"""The search: what is tried first, when it is enough, and in how many processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from autotiny.cache import Cache, key_of
from autotiny.checked import arguments
from autotiny.codeversion import code_version
from autotiny.dataset import Dataset
from autotiny.errors import UserError
from autotiny.model import Model, restore, save
from autotiny.recipe import Recipe
from autotiny.space import Space, answers_for, draw, load_space
from autotiny.study.evaluator import Evaluator
from autotiny.study.job import EPOCHS, Job, wanted_objectives
from autotiny.study.preflight import baseline_recipe, checked
from autotiny.study.record import (
    BASELINE,
    KNOWN_GOOD,
    RECORD,
    TrialRecord,
    cache_counts,
    counts,
    ended,
    front_of,
)
from autotiny.study.result import Result, result_of
from autotiny.study.storage import (
    default_storage,
    default_study_name,
    open_storage,
    open_study,
    quiet_optuna,
    sampler,
    searched_alone,
)
from autotiny.study.trials import REFUSALS, try_sequence
from autotiny.target import Target

TRIALS = 40
"""Trials of a search unless asked otherwise: about three minutes on the built-in network."""


BY_CHANCE = 10
"""Sequences drawn by chance before the sampler, which needs some to learn from."""


EXHAUSTED = 30
"""So many repetitions in a row mean that a space holds nothing else."""


POLL_SECONDS = 0.5

GRACE_SECONDS = 5.0
"""A process that was told of Ctrl-C has ended its trial by then."""


@dataclass(frozen=True)
class Progress:
    """Where a search stands, after each trial.

    Attributes:
        done: trials that have ended, earlier runs of the same study included and repetitions not.
        total: trials asked for.
        counts: ended trials by outcome, see `OUTCOMES`.
        cache_hits: prefixes and figures found in the cache so far.
        cache_misses: prefixes and figures that had to be made.
        front: trial number, sequence and values of each point of the front so far.
        objectives: names of the values.
        seconds_left: an estimate; None before the first trial ends.
        last: the trial that ended last.
    """

    done: int
    total: int
    counts: Mapping[str, int]
    cache_hits: int
    cache_misses: int
    front: tuple[tuple[int, str, tuple[float, ...]], ...]
    objectives: tuple[str, ...]
    seconds_left: float | None
    last: TrialRecord | None


def search(
    model: Model,
    data: Dataset,
    target: Target,
    *,
    out: Path | str,
    objectives: Sequence[str] = ("latency",),
    space: str | Space = "default",
    trials: int = TRIALS,
    timeout: float | None = None,
    seed: int = 0,
    accuracy_drop: float = 0.01,
    epochs: int = EPOCHS,
    storage: str | BaseStorage | None = None,
    study_name: str | None = None,
    jobs: int = 1,
    cache: Cache | None = None,
    evaluator: Evaluator | None = None,
    known_good: Iterable[Recipe] | None = None,
    on_trial: Callable[[Progress], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Result:
    """Search for the sequences of components that put a model on a microcontroller best.

    A study of the same name in the same storage is continued until it holds `trials` trials, not
    counting those that repeat an earlier one.

    Args:
        model: the original, trained.
        data: samples; the search sees train and validation, the result states test.
        target: the microcontroller.
        out: folder of the study, unless `storage` says otherwise.
        objectives: names from `OBJECTIVES`; accuracy always takes part.
        space: name or path of a search space, or one that was loaded.
        trials: how many different sequences to end with.
        timeout: seconds after which no trial is begun; the original is measured whatever it is.
        seed: decides everything random.
        accuracy_drop: the accuracy that a best point may lose on validation.
        epochs: upper limit of each fine-tune.
        storage: an Optuna storage, its URL, or the path of a journal file ending in `.log`;
            several jobs need one of the latter two.
        study_name: by default made from model, data, target and objectives.
        jobs: processes that work on the study.
        cache: where results are kept; by default the user's cache folder.
        evaluator: what judges candidates; by default their linked and executed firmware.
        known_good: sequences to try before any is drawn, if the space can draw them; by default
            those that did best in the tutorial.
        on_trial: called after each trial.
        on_notice: called with each line that the user should read before the search begins.

    Raises:
        UserError: an unknown objective, a space without anything for this model, or a study that
            was made for something else.
    """
    asked = arguments(
        trials=trials, jobs=jobs, timeout=timeout, seed=seed, epochs=epochs,
        accuracy_drop=accuracy_drop,
    )  # fmt: skip
    trials, jobs, timeout = asked["trials"], asked["jobs"], asked["timeout"]
    space = space if isinstance(space, Space) else load_space(space)
    job = Job(
        model=model,
        data=data,
        target=target,
        objectives=wanted_objectives(objectives),
        space=space.for_cores(target.usable_cores),
        seed=asked["seed"],
        accuracy_drop=asked["accuracy_drop"],
        epochs=asked["epochs"],
        cache=cache or Cache(),
        evaluator=evaluator or Evaluator(),
    )
    began = time.monotonic()
    job, findings = checked(job)
    if on_notice:
        for notice in findings.notices:
            on_notice(notice)
        if timeout == 0:
            on_notice("timeout = 0: no sequence is begun, the original alone is measured")
    study_name = study_name or default_study_name(
        model.source, data.source, target.source, objectives
    )
    place = storage or default_storage(out)
    if jobs > 1 and not isinstance(place, str):
        raise UserError(f"jobs = {jobs} on a storage object; give its URL, which processes share")
    with quiet_optuna(), searched_alone(place, study_name):
        study = open_study(job, study_name, place, jobs)
        plan(study, job, tutorial_recipes() if known_good is None else known_good)
        watch = _Watch(study, job, trials, timeout, on_trial)
        interrupted = False
        try:
            _run(study, job, trials, timeout, jobs, str(place), watch)
        except (KeyboardInterrupt, UnboundLocalError) as error:
            if not by_ctrl_c(error):
                raise
            interrupted = True
        return result_of(study, job, findings, interrupted, time.monotonic() - began)


def by_ctrl_c(error: BaseException) -> bool:
    """Whether an error is an interrupt, or what Optuna makes of one while it stores a result."""
    return isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt)


def plan(study: optuna.Study, job: Job, known_good: Iterable[Recipe]) -> None:
    """Queue what is tried first: the original, then known good sequences."""
    if study.get_trials(deepcopy=False):
        return
    planned: dict[str, Recipe] = {}
    for recipe in (baseline_recipe(job), *job.space.first, *known_good):
        planned.setdefault(recipe.key, recipe)
    for number, recipe in enumerate(planned.values()):
        answers = answers_for(recipe, job.space, job.model.level)
        if number == 0:
            # The baseline is measured even where the space cannot draw it.
            queued = TrialRecord(queued=BASELINE, recipe=recipe)
            study.enqueue_trial(answers or {}, user_attrs={RECORD: queued.to_json()})
        elif answers is not None:
            queued = TrialRecord(queued=KNOWN_GOOD)
            study.enqueue_trial(answers, user_attrs={RECORD: queued.to_json()})


def tutorial_recipes() -> tuple[Recipe, ...]:
    """The sequences that did best in the tutorial."""
    return load_space("seed_tutorial").first


def enqueue_by_chance(study: optuna.Study, job: Job, number: int) -> None:
    """Queue a sequence drawn by chance; `number` tells draws under one seed apart."""
    seed = int(key_of(job.seed, number)[:8], 16)
    recipe = draw(job.space, job.model.level, seed)
    study.enqueue_trial(answers_for(recipe, job.space, job.model.level) or {})


def _run(
    study: optuna.Study, job: Job, trials: int, timeout: float | None, jobs: int, url: str,
    watch: _Watch,
) -> None:  # fmt: skip
    if enough(study, trials):
        watch.report(None)
        return
    if jobs == 1:
        _optimize(study, job, trials, timeout, watch)
        return
    # The original goes first and alone: what is worth training hangs on its accuracy.
    _optimize(study, job, 1, None, watch)
    _optimize_in_processes(study, job, trials, timeout, jobs, url, watch)


def _optimize(
    study: optuna.Study, job: Job, trials: int, timeout: float | None, watch: _Watch | None
) -> None:
    """Run trials until there are enough of them, or the time is over.

    The first of a study, which is the original, is begun whatever the time: all else is judged
    against it.
    """
    began = time.monotonic()

    def late() -> bool:
        return timeout is not None and time.monotonic() - began >= timeout

    def objective(trial: Trial) -> tuple[float, ...]:
        return try_sequence(trial, job)

    def after(study: optuna.Study, trial: FrozenTrial) -> None:
        if watch:
            watch.report(TrialRecord.load(trial))
        if enough(study, trials) or late():
            study.stop()
        elif stuck(study, TrialRecord.load(trial)):
            enqueue_by_chance(study, job, trial.number)

    if enough(study, trials) or (late() and ended(study)):
        return
    study.optimize(objective, None, catch=tuple(REFUSALS), callbacks=[after])


def stuck(study: optuna.Study, last: TrialRecord) -> bool:
    """Whether chance should draw the next sequence rather than the sampler.

    It has to before the sampler has something to learn from, and after a repetition: from that the
    sampler learns nothing, and would go on to draw it.
    """
    if study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        return False
    drawn = sum(not record.queued for record in ended(study))
    return drawn < BY_CHANCE or last.outcome == "repeated"


def enough(study: optuna.Study, trials: int) -> bool:
    """Whether so many different sequences were tried, or the space seems to hold no others."""
    outcomes = [record.outcome for record in ended(study)]
    last = outcomes[-EXHAUSTED:]
    exhausted = len(last) == EXHAUSTED and set(last) == {"repeated"}
    return exhausted or len(outcomes) - outcomes.count("repeated") >= trials


class _Watch:
    """Tells the caller where the search stands."""

    def __init__(
        self, study: optuna.Study, job: Job, trials: int, timeout: float | None,
        on_trial: Callable[[Progress], None] | None,
    ) -> None:  # fmt: skip
        self._study, self._job, self._trials = study, job, trials
        self._timeout, self._on_trial = timeout, on_trial
        self._began = time.monotonic()
        self._done_before = self._done()

    def _done(self) -> int:
        return sum(record.outcome != "repeated" for record in ended(self._study))

    def report(self, last: TrialRecord | None) -> None:
        if self._on_trial is None:
            return
        done = self._done()
        elapsed = time.monotonic() - self._began
        fresh = done - self._done_before
        left = elapsed / fresh * max(self._trials - done, 0) if fresh else None
        if left is not None and self._timeout is not None:
            left = min(left, self._timeout - elapsed)
        hits, misses = cache_counts(self._study)
        front = tuple(
            (record.number, record.sequence, record.values) for record in front_of(self._study)
        )
        self._on_trial(
            Progress(
                done=done,
                total=self._trials,
                counts=counts(self._study),
                cache_hits=hits,
                cache_misses=misses,
                front=front,
                objectives=self._job.value_names,
                seconds_left=None if left is None else max(left, 0.0),
                last=last,
            )
        )


def _optimize_in_processes(
    study: optuna.Study, job: Job, trials: int, timeout: float | None, jobs: int, url: str,
    watch: _Watch,
) -> None:  # fmt: skip
    """Let several processes work on the study; each has a TensorFlow and a sampler of its own."""
    # A network crosses to another process as files: Keras models do not pickle.
    code = code_version(save.__module__)
    key = key_of("original", job.model.level.value, job.model.fingerprint, code)
    entry = job.cache.get(key) or job.cache.put(key, lambda folder: save(job.model, folder))
    facts = {name: getattr(job, name) for name in Job.__dataclass_fields__}
    facts["model"] = job.model.source
    del facts["cache"]
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(
            target=_work,
            args=(facts, entry, job.cache.folder, study.study_name, url, trials, timeout, number),
        )
        for number in range(jobs)
    ]
    for worker in workers:
        worker.start()
    seen = {record.number for record in ended(study)}
    try:
        while any(worker.is_alive() for worker in workers):
            workers[0].join(POLL_SECONDS)
            time.sleep(0 if workers[0].is_alive() else POLL_SECONDS)
            for record in ended(study):
                if record.number not in seen:
                    seen.add(record.number)
                    watch.report(record)
    finally:
        _end_all(workers)
    broken = [worker.exitcode for worker in workers if worker.exitcode]
    if broken:
        raise UserError(
            f"{len(broken)} of {len(workers)} processes ended with code {broken[0]}; "
            "their finished trials are kept: run the command again to continue"
        )


def _end_all(workers: Sequence[BaseProcess]) -> None:
    """Let processes end their trials; a terminal tells them of Ctrl-C, `kill -INT` does not."""
    for worker in workers:
        worker.join(GRACE_SECONDS)
        if worker.is_alive() and worker.pid:
            os.kill(worker.pid, signal.SIGINT)
    for worker in workers:
        worker.join()


def _work(
    facts: dict[str, Any], entry: Path, folder: Path, study_name: str, url: str, trials: int,
    timeout: float | None, number: int,
) -> None:  # fmt: skip
    """What one process does."""
    model = replace(restore(entry), source=facts.pop("model"))
    job = Job(model=model, cache=Cache(folder), **facts)
    with quiet_optuna():
        study = optuna.load_study(study_name=study_name, storage=open_storage(url))
        study.sampler = sampler(job.seed + 1000 * (number + 1), parallel=True)
        # TensorFlow's toolkit would warn in the middle of the caller's view.
        logging.getLogger().setLevel(logging.ERROR)
        try:
            _optimize(study, job, trials, timeout, None)
        except (KeyboardInterrupt, UnboundLocalError) as error:
            if not by_ctrl_c(error):
                raise
