"""The search: what is tried first, when it is enough, and in how many processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from autotiny.cache import Cache
from autotiny.checked import arguments
from autotiny.dataset import Dataset
from autotiny.errors import MachineFault, UserError
from autotiny.interrupts import none_lost
from autotiny.model import Model
from autotiny.recipe import Recipe
from autotiny.signal import Stream
from autotiny.space import Space, load_space
from autotiny.study.bounds import Amounts, wanted_bounds
from autotiny.study.evaluator import Evaluator
from autotiny.study.holding import Hold, alone, holding, locks_of, searched_alone
from autotiny.study.job import EHVI, EPOCHS, Job, wanted_objectives
from autotiny.study.planning import enough, plan, plan_again, total, tried, tutorial_recipes
from autotiny.study.preflight import Findings, checked
from autotiny.study.processes import helped
from autotiny.study.record import SOLVED, at_once, ended, invite
from autotiny.study.result import Result, result_of
from autotiny.study.running import (
    run_queued,
    run_trials,
    take_up,
    wait_for_others,
)
from autotiny.study.sampling import check_sampler
from autotiny.study.seeds import BEST_SEEDS, train_again
from autotiny.study.server import gate
from autotiny.study.sharing import share
from autotiny.study.solving import SOLVED_POINTS, solve_schedules, to_solve
from autotiny.study.storage import (
    default_storage,
    default_study_name,
    open_study,
    quiet_optuna,
    told_if_lost,
)
from autotiny.study.turns import AT_ONCE, usual_jobs
from autotiny.study.warm_start import begin_with
from autotiny.study.watching import Progress, Watch
from autotiny.target import Target
from autotiny.tasks import wanted_drop


def search(
    model: Model,
    data: Dataset,
    target: Target,
    *,
    out: Path | str,
    objectives: Sequence[str] = ("latency",),
    space: str | Space = "default",
    trials: int | None = None,
    timeout: float | None = None,
    seed: int = 0,
    accuracy_drop: float | None = None,
    score_drop: str | float | None = None,
    epochs: int = EPOCHS,
    stream: Stream | None = None,
    at_most: Amounts | None = None,
    at_least: Amounts | None = None,
    reserve: Amounts | None = None,
    storage: str | BaseStorage | None = None,
    study_name: str | None = None,
    jobs: int | None = 1,
    sampler: str = EHVI,
    seeds: int = BEST_SEEDS,
    solve: int = SOLVED_POINTS,
    cache: Cache | None = None,
    evaluator: Evaluator | None = None,
    known_good: Iterable[Recipe] | None = None,
    warm_start: Path | str | None = None,
    on_trial: Callable[[Progress], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Result:
    """Search for the sequences of components that put a model on a microcontroller best.

    A study of the same name in the same storage is continued until it holds `trials` trials, not
    counting those that repeat an earlier one. One with a warm start and no `trials` ends when it
    has done a twelfth of the earlier one's work, if anything fits.

    Args:
        model: the original, trained.
        data: samples; the search sees train and validation, the result states test.
        target: the microcontroller.
        out: folder of the study, unless `storage` says otherwise.
        objectives: names from `OBJECTIVES`; the score always takes part.
        space: name or path of a search space, or one that was loaded.
        trials: how many different sequences to end with; by default `TRIALS`.
        timeout: seconds after which no trial is begun; the original is measured whatever it is.
        seed: decides everything random.
        accuracy_drop: the accuracy that a best point may lose on validation, by default 0.01.
        score_drop: the same for any score: an amount in its unit, or text such as "5%"; by default
            a hundredth of a score in percent, and a twentieth of an error.
        epochs: upper limit of each fine-tune.
        stream: what firmware takes in place of whole windows; costs are those of a hop.
        at_most: what a firmware may take, e.g. `{"latency": "20ms"}`; what takes more is not
            trained.
        at_least: the score that a best point must have on validation, e.g. `{"accuracy": 0.95}`.
        reserve: what of the target belongs to other programs, e.g. `{"sram": "12K"}`.
        storage: an Optuna storage, its URL, or the path of a journal file ending in `.log`;
            several jobs need one of the latter two.
        study_name: by default made from model, data, target and objectives.
        jobs: processes that work on the study; None for as many as find what one would, where the
            machine has cores and memory for them.
        sampler: what draws, a name of `SAMPLERS`.
        seeds: with so many the best sequences are trained when the trials have ended.
        solve: of so many points of the front the schedule is solved then, too.
        cache: where results are kept; by default the user's cache folder.
        evaluator: what judges candidates; by default their linked and executed firmware.
        known_good: sequences to try before any is drawn, if the space can draw them; by default
            those that did best in the tutorial.
        warm_start: where studies of the same model, data, seed and epochs lie, for whatever target:
            the folder of a search, a database or journal file, or a URL. What they scored is
            known from the beginning.
        on_trial: called after each trial.
        on_notice: called with each line that the user should read before the search begins.
        on_stage: called with what is done when the trials have ended.

    Raises:
        UserError: an unknown objective or sampler, a space without anything for this model, a
            study that was made for something else, or a warm start with other scores.
        MachineFault: the disk is full, memory ran out, or a tool was killed, again and again.
    """
    given = arguments(
        trials=trials, jobs=jobs, timeout=timeout, seed=seed, epochs=epochs,
        accuracy_drop=accuracy_drop, seeds=seeds, solve=solve,
    )  # fmt: skip
    check_sampler(sampler)
    space = space if isinstance(space, Space) else load_space(space)
    job = Job(
        model=model,
        data=data,
        target=target,
        objectives=wanted_objectives(objectives),
        space=space.for_cores(target.usable_cores).for_start(model.start),
        seed=given["seed"],
        score_drop=wanted_drop(data.task.scored_by, score_drop, given["accuracy_drop"]),
        epochs=given["epochs"],
        cache=cache or Cache(),
        stream=stream,
        bounds=wanted_bounds(target, data.task.scored_by, at_most, at_least, reserve),
        evaluator=evaluator or Evaluator(),
        sampler=sampler,
    )
    began = time.monotonic()
    tell = on_notice or _nobody
    job, findings = checked(job)
    for notice in findings.notices:
        tell(notice)
    if timeout == 0:
        tell("timeout = 0: no sequence is begun, the original alone is measured")
    # A study that others may join, or that Optuna draws, hangs on what has ended by then.
    ordered = not storage and sampler == EHVI
    asked = _Asked(
        began=began,
        place=storage or default_storage(out),
        ordered=ordered,
        must_share=given["jobs"] is not None,
        others=bool(storage),
        name=study_name or default_study_name(model.source, data.source, target.source, objectives),
        trials=given["trials"],
        timeout=given["timeout"],
        jobs=given["jobs"] or (usual_jobs() if ordered else 1),
        seeds=given["seeds"],
        solve=given["solve"],
        known_good=tutorial_recipes() if known_good is None else tuple(known_good),
        warm_start=warm_start,
        on_trial=on_trial,
        tell=tell,
        on_stage=on_stage or _nobody,
    )
    if asked.jobs > 1 and not isinstance(asked.place, str):
        raise UserError(
            f"jobs = {asked.jobs} on a storage object; give its URL, which processes share"
        )
    return _searched(job, findings, asked)


def _nobody(text: str) -> None:
    """Stands for a caller who wants to be told of nothing."""


@dataclass(frozen=True)
class _Asked:
    """How a job is to be searched; see the arguments of `search`.

    Attributes:
        began: when it was asked, on the clock that only goes forward.
        place: the storage, or its URL.
        others: whether it was chosen so that other processes can take part.
        ordered: whether a new study is to be the same however many processes work on it.
        must_share: whether it is an error where no other process can take part.
    """

    began: float
    place: str | BaseStorage
    others: bool
    ordered: bool
    must_share: bool
    name: str
    trials: int | None
    timeout: float | None
    jobs: int
    seeds: int
    solve: int
    known_good: tuple[Recipe, ...]
    warm_start: Path | str | None
    on_trial: Callable[[Progress], None] | None
    tell: Callable[[str], None]
    on_stage: Callable[[str], None]

    @property
    def seconds(self) -> float:
        """How long ago that was."""
        return time.monotonic() - self.began

    def has_time(self) -> bool:
        """Whether something more may be begun."""
        return self.timeout is None or self.seconds < self.timeout


def _searched(job: Job, findings: Findings, asked: _Asked) -> Result:
    """What a study finds that begins here, or goes on."""
    place, name = asked.place, asked.name
    locks = locks_of(place, name)
    with none_lost(), quiet_optuna(), searched_alone(locks, name), holding(locks) as mark:
        with alone(locks):
            at_once = max(asked.jobs, AT_ONCE) if asked.ordered else None
            study = open_study(job, name, place, asked.jobs, at_once)
            known = begin_with(study, job, asked.warm_start)
        for one in known:
            asked.tell(str(one))
        if known and asked.trials is None:
            asked.tell("a twelfth of their trials' work is to be enough; more trials go on")
        key = ""
        if isinstance(place, str) and (asked.jobs > 1 or asked.others):
            key = _invite(study, job, asked)
        _queue(study, job, asked, mark)
        watch = Watch(study, job, asked.trials, asked.timeout, asked.on_trial)
        interrupted = False
        others = helped(
            study, job, key, _helpers(study, asked), place=str(place), timeout=asked.timeout,
            tell=asked.tell,
        )  # fmt: skip
        try:
            with told_if_lost(place), others as helpers:
                _run(study, job, asked, mark, watch)
                wait_for_others(study, mark, asked.tell)
                watch.report_others()
                helpers.make((job.seed, recipe) for _, recipe in to_solve(study, job, asked.solve))
                train_again(
                    study, job, asked.seeds, goes_on=asked.has_time, ahead=helpers.make,
                    tell=asked.on_stage,
                )  # fmt: skip
                solve_schedules(
                    study, job, asked.solve, goes_on=asked.has_time, tell=asked.on_stage,
                    note=asked.tell, run=lambda: run_queued(study, job, SOLVED, mark, watch.report),
                )  # fmt: skip
        except KeyboardInterrupt:
            interrupted = True
        return result_of(study, job, findings, interrupted, asked.seconds)


def _invite(study: optuna.Study, job: Job, asked: _Asked) -> str:
    """Say in the study what a worker must know to take part; gives where the job lies, or ""."""
    try:
        key = share(job)
    except UserError as error:
        if (asked.jobs > 1 and asked.must_share) or isinstance(error, MachineFault):
            raise
        asked.tell(f"no other process can take part: {error}")
        return ""
    invite(study, key, asked.trials)
    if asked.jobs == 1:
        asked.tell(f"others take part by: autotiny worker {asked.name} --storage … --cache …")
    return key


def _helpers(study: optuna.Study, asked: _Asked) -> int:
    """So many processes help: no more than can have a trial each, while one is left for this."""
    many = at_once(study) or asked.jobs
    if many < asked.jobs:
        asked.tell(f"jobs = {asked.jobs}: this study was begun for {many}, and so many work on it")
    left = (total(study, asked.trials) or many) - tried(ended(study))
    return max(0, min(asked.jobs, many, left) - 1)


def _queue(study: optuna.Study, job: Job, asked: _Asked, mark: Hold) -> None:
    """Queue what is to be tried first, and again what earlier processes left behind."""
    with gate(study, mark):
        plan(study, job, asked.known_good)
        plan_again(study)
        left = take_up(study, mark)
    if left:
        numbers = ", ".join(map(str, left))
        asked.tell(f"trial {numbers}: was running when its process ended, and is run again")


def _run(study: optuna.Study, job: Job, asked: _Asked, mark: Hold, watch: Watch) -> None:
    if enough(ended(study), asked.trials):
        watch.report(None)
    else:
        run_trials(study, job, asked.trials, asked.timeout, mark, watch.report)
