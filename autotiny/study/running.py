"""One trial after the other: taken, run, told; what a dead process left is taken up again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, Trial, TrialState

from autotiny.errors import MachineFault
from autotiny.machine import disk_is_full
from autotiny.study.holding import Hold, alone, is_held, is_here
from autotiny.study.job import EHVI, Job
from autotiny.study.planning import enough, enqueue_by_chance, is_chances_turn
from autotiny.study.record import (
    BASELINE,
    FINISHED,
    TrialRecord,
    ended,
    hold,
    holder_of,
    put_back,
)
from autotiny.study.trials import try_sequence

ATTEMPTS = 3
"""So often a trial is run when the machine fails it."""

MOST_FAULTS = 5
"""So many trials in a row that the machine failed end the search."""

PAUSE_SECONDS = 1.0
"""Before the next attempt."""

LONGEST_ELSEWHERE = timedelta(days=1)
"""A trial of another machine, whose locks cannot be seen, is taken for left behind after that."""

MACHINE = (MachineFault, OSError, MemoryError, StorageInternalError)
"""What is the machine's fault when it comes out of a trial."""


def run_trials(
    study: optuna.Study, job: Job, trials: int, timeout: float | None, mark: Hold,
    after: Callable[[TrialRecord], None],
) -> None:  # fmt: skip
    """Run trials until there are enough of them, or no time is left to begin one.

    The first of a study, which is the original, is begun whatever the time: all else is judged
    against it.

    Args:
        study: with all that is planned queued.
        job: what is searched for.
        trials: how many different sequences the study is to hold.
        timeout: seconds after which no trial is begun.
        mark: of this process.
        after: called with each trial that has ended.

    Raises:
        MachineFault: the disk is full, or the machine failed several trials in a row.
    """
    began = time.monotonic()
    while not enough(study, trials):
        if timeout is not None and time.monotonic() - began >= timeout and ended(study):
            return
        trial = _taken(study, job, mark)
        try:
            record = _attempted(trial, job)
            _tell(study, trial, record)
        except BaseException:
            _leave(study, trial)
            raise
        after(record)
        if record.outcome == "faulted" and (record.queued == BASELINE or _all_fault(study)):
            raise MachineFault(record.reason)


def take_up(study: optuna.Study, mark: Hold) -> list[int]:
    """Let the trials wait again that processes left which are no more; gives their numbers."""
    left = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not _is_run(trial, mark):
            put_back(study, trial)
            left.append(trial.number)
    return left


def _is_run(trial: FrozenTrial, mark: Hold) -> bool:
    """Whether the process that took a trial is still at work."""
    holder = holder_of(trial)
    if holder is None:  # it died before it wrote that; what takes a trial writes it behind the gate
        return False
    if is_held(mark.folder, holder):
        return True
    began = trial.datetime_start or datetime.now()
    return not is_here(holder) and datetime.now() - began < LONGEST_ELSEWHERE


def _taken(study: optuna.Study, job: Job, mark: Hold) -> Trial:
    """The next trial: one that waits, or a new one drawn by chance or by the sampler."""
    with alone(mark.folder):
        take_up(study, mark)
        if job.sampler != EHVI and is_chances_turn(study):
            enqueue_by_chance(study, job)
        trial = study.ask()
        hold(trial, mark.name)
        return trial


def _attempted(trial: Trial, job: Job) -> TrialRecord:
    """What came of a trial; "faulted" if the machine failed it again and again."""
    reason = ""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS if attempt else 0)
        try:
            return try_sequence(trial, job)
        except MACHINE as fault:
            if disk_is_full(fault):
                raise
            reason = str(fault) if isinstance(fault, MachineFault) else _told(fault)
    record = replace(TrialRecord.load(trial), outcome="faulted", reason=reason)
    record.store(trial)
    return record


def _told(fault: BaseException) -> str:
    """A fault that the system or a library tells in its own words, with a way out."""
    if isinstance(fault, MemoryError):
        return "memory ran out; close other programs, or use a machine with more memory"
    said = " ".join(str(fault).split())[:200]
    return f"the machine failed ({type(fault).__name__}: {said}); mend that, and search again"


def _tell(study: optuna.Study, trial: Trial, record: TrialRecord) -> None:
    if record.values:
        study.tell(trial, list(record.values))
    else:
        failed = record.outcome in ("invalid", "failed", "faulted")
        study.tell(trial, state=TrialState.FAIL if failed else TrialState.PRUNED)


def _leave(study: optuna.Study, trial: Trial) -> None:
    """Put a trial back that this process cannot end; the next one does it where this fails."""
    try:
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for one in running:
            if one.number == trial.number:
                put_back(study, one)
    except Exception:  # of whatever storage: it is why the trial could not end, as a full disk is
        return


def _all_fault(study: optuna.Study) -> bool:
    """Whether the machine failed the trials that ended last."""
    last = study.get_trials(deepcopy=False, states=FINISHED)[-MOST_FAULTS:]
    outcomes = {TrialRecord.load(trial).outcome for trial in last}
    return len(last) == MOST_FAULTS and outcomes == {"faulted"}
