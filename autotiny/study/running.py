"""One trial after the other: taken, run, told; what a dead process left is taken up again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from autotiny.errors import MachineFault
from autotiny.machine import disk_is_full
from autotiny.study.holding import Hold, is_held, is_here
from autotiny.study.job import EHVI, Job
from autotiny.study.planning import enough, enqueue_by_chance, is_chances_turn, total
from autotiny.study.proposing import has_done_its_share
from autotiny.study.record import (
    BASELINE,
    FINISHED,
    TrialRecord,
    at_once,
    ended_of,
    front_among,
    hold,
    holder_of,
    job_key,
    put_back,
)
from autotiny.study.server import beating, gate, patiently, server_of
from autotiny.study.sharing import keep_shared
from autotiny.study.trials import try_sequence
from autotiny.study.turns import may_begin, may_run, seen_by

ATTEMPTS = 3
"""So often a trial is run when the machine fails it."""

MOST_FAULTS = 5
"""So many trials in a row that the machine failed end the search."""

PAUSE_SECONDS = 1.0
"""Before the next attempt."""

TURN_SECONDS = 0.1
"""Between looks whether the next trial may begin."""

LONGEST_ELSEWHERE = timedelta(days=1)
"""A trial of another machine, whose locks cannot be seen, is taken for left behind after that."""

MACHINE = (MachineFault, OSError, MemoryError, StorageInternalError)
"""What is the machine's fault when it comes out of a trial."""


def run_trials(
    study: optuna.Study, job: Job, trials: int | None, timeout: float | None, mark: Hold,
    after: Callable[[TrialRecord], None],
) -> None:  # fmt: skip
    """Run trials until there are enough of them, or no time is left to begin one.

    The first of a study, which is the original, is begun whatever the time: all else is judged
    against it.

    Args:
        study: with all that is planned queued.
        job: what is searched for.
        trials: how many different sequences the study is to hold; None if no number was asked for.
        timeout: seconds after which no trial is begun.
        mark: of this process.
        after: called with each trial that has ended.

    Raises:
        MachineFault: the disk is full, or the machine failed several trials in a row.
    """
    began = time.monotonic()

    def following(found: Sequence[FrozenTrial]) -> Trial | None:
        left = _take_up(study, mark, found)
        found = study.get_trials(deepcopy=False) if left else found
        late = timeout is not None and time.monotonic() - began >= timeout
        if (late and ended_of(found)) or _is_over(study, job, trials, found):
            return None
        if not _is_turn(study, trials, found):
            raise NotYet
        if job.sampler != EHVI and is_chances_turn(found):
            enqueue_by_chance(study, job, len(found))
        return study.ask()

    _run(study, job, mark, following, after)


def run_queued(
    study: optuna.Study, job: Job, queued: str, mark: Hold, after: Callable[[TrialRecord], None]
) -> None:
    """Run the trials that wait and were queued as that, and no others; see `run_trials`."""

    def following(found: Sequence[FrozenTrial]) -> Trial | None:
        for one in found:
            if one.state is TrialState.WAITING and TrialRecord.load(one).queued == queued:
                return _claimed(study, one)
        return None

    _run(study, job, mark, following, after)


class NotYet(Exception):
    """The next trial cannot begin before another one has ended, or is drawn."""


Following = Callable[[Sequence[FrozenTrial]], Trial | None]
"""What gives the next trial, behind the gate, when it is told of those that there are; None where
there is none any more."""


def _run(
    study: optuna.Study, job: Job, mark: Hold, following: Following,
    after: Callable[[TrialRecord], None],
) -> None:  # fmt: skip
    """Run one trial after the other until none follows."""
    shared = patiently(study, lambda: job_key(study))
    while True:
        trial = patiently(study, lambda: _taken(study, following, mark))
        if trial is None:
            return
        try:
            with beating(study, trial._trial_id):
                record = _attempted(trial, job, mark)
            told = patiently(study, partial(_told_if_held, study, trial, record, mark))
        except UpdateFinishedTrialError:  # it was taken for left behind, and another has ended it
            continue
        except BaseException:
            _leave(study, trial, mark)
            raise
        if told:
            after(record)
        if shared:
            keep_shared(job.cache, shared)
        if record.outcome == "faulted" and (record.queued == BASELINE or _all_fault(study)):
            raise MachineFault(record.reason)


def is_over(study: optuna.Study, job: Job, trials: int | None) -> bool:
    """Whether there are as many trials as asked for.

    Or, after a warm start and where no number is, whether something fits and enough was done.
    """
    return _is_over(study, job, trials, study.get_trials(deepcopy=False))


def _is_over(
    study: optuna.Study, job: Job, trials: int | None, found: Sequence[FrozenTrial]
) -> bool:
    if enough(ended_of(found), trials):
        return True
    if total(study, trials) is not None:
        return False
    number = _next(found)
    front = front_among(seen_by(study, number), study.directions)
    return bool(front) and has_done_its_share(study, job, number)


def take_up(study: optuna.Study, mark: Hold) -> list[int]:
    """Let the trials wait again that processes left which are no more; gives their numbers."""
    return _take_up(study, mark, study.get_trials(deepcopy=False))


def _take_up(study: optuna.Study, mark: Hold, trials: Sequence[FrozenTrial]) -> list[int]:
    left, server = [], server_of(study)
    dead = server.left_behind(study._study_id) if server else None
    for trial in trials:
        if trial.state is TrialState.RUNNING and not _is_run(trial, mark, dead):
            put_back(study, trial)
            left.append(trial.number)
    return left


def wait_for_others(study: optuna.Study, mark: Hold, on_notice: Callable[[str], None]) -> None:
    """Wait for the trials that other processes run just now; those left behind wait again."""
    waited: set[int] | None = None
    while waited is None or waited:
        running = patiently(study, lambda: _run_by_others(study, mark))
        if waited is None and running:
            numbers = ", ".join(map(str, sorted(running)))
            on_notice(f"trial {numbers}: waited for, another process runs it")
        waited = running if waited is None else waited & running
        time.sleep(PAUSE_SECONDS if waited else 0)


def _run_by_others(study: optuna.Study, mark: Hold) -> set[int]:
    """The numbers of trials whose processes, as far as can be seen from here, are at work."""
    with gate(study, mark):
        take_up(study, mark)
        trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        seen = server_of(study) is not None
        return {one.number for one in trials if seen or is_held(mark.folder, str(holder_of(one)))}


def _is_run(trial: FrozenTrial, mark: Hold, dead: Set[int] | None) -> bool:
    """Whether the process that took a trial is still at work.

    Args:
        trial: that was taken.
        mark: of this process.
        dead: ids of trials that were left behind, where a server tells it; else None.
    """
    holder = holder_of(trial)
    if holder is None:  # it died before it wrote that; what takes a trial writes it behind the gate
        return False
    if dead is not None:
        return trial._trial_id not in dead
    if is_held(mark.folder, holder):
        return True
    began = trial.datetime_start or datetime.now()
    return not is_here(holder) and datetime.now() - began < LONGEST_ELSEWHERE


def _taken(study: optuna.Study, following: Following, mark: Hold) -> Trial | None:
    """The next trial, held by this process; None if it is over."""
    server = server_of(study)
    while True:
        with suppress(NotYet), gate(study, mark):
            # They are read once: all others wait meanwhile.
            trial = following(study.get_trials(deepcopy=False))
            if trial is None:
                return None
            if server:
                server.record_heartbeat(trial._trial_id)
            hold(trial, mark.name)
            return trial
        time.sleep(TURN_SECONDS)


def _is_turn(study: optuna.Study, trials: int | None, found: Sequence[FrozenTrial]) -> bool:
    """Whether the next trial may begin, and there is one however those end that run."""
    many = at_once(study)
    running = sum(one.state is TrialState.RUNNING for one in found)
    if many is None or not running:
        return True
    for outcome in ("measured", "repeated"):
        ends = [TrialRecord(outcome=outcome)] * running
        if enough([*ended_of(found), *ends], trials):
            return False
    return may_begin(found, _next(found), many)


def _next(found: Sequence[FrozenTrial]) -> int:
    """The number of the trial that is the next: the first that waits, or a new one."""
    waiting = (one.number for one in found if one.state is TrialState.WAITING)
    return min(waiting, default=len(found))


def _claimed(study: optuna.Study, waiting: FrozenTrial) -> Trial:
    """A trial that waits, whatever waits before it; `Study.ask` has no way to name one."""
    study._storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
    study._thread_local.cached_all_trials = None
    return Trial(study, waiting._trial_id)


def _attempted(trial: Trial, job: Job, mark: Hold) -> TrialRecord:
    """What came of a trial; "faulted" if the machine failed it again and again."""
    reason = ""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS if attempt else 0)
        try:
            return try_sequence(trial, job, lambda: gate(trial.study, mark))
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


def _told_if_held(study: optuna.Study, trial: Trial, record: TrialRecord, mark: Hold) -> bool:
    """Tell what came of a trial, unless it was taken for left behind; another runs it then."""
    with gate(study, mark):
        held = _held(study, trial, mark) is not None
        if held:
            _tell(study, trial, record)
        return held


def _held(study: optuna.Study, trial: Trial, mark: Hold) -> FrozenTrial | None:
    """A trial as it is stored; None if it is not this process's any more."""
    one = study._storage.get_trial(trial._trial_id)
    mine = one.state is TrialState.RUNNING and holder_of(one) == mark.name
    return one if mine else None


def _tell(study: optuna.Study, trial: Trial, record: TrialRecord) -> None:
    if record.values:
        study.tell(trial, list(record.values))
        return
    failed = record.outcome in ("invalid", "failed", "faulted")
    # From what repeats a trial that runs at the same time, the sampler is to learn nothing.
    many = at_once(study)
    failed = failed or record.repeats in [
        one.number for one in study.get_trials(deepcopy=False) if may_run(one, trial.number, many)
    ]
    study.tell(trial, state=TrialState.FAIL if failed else TrialState.PRUNED)


def _leave(study: optuna.Study, trial: Trial, mark: Hold) -> None:
    """Put a trial back that this process cannot end; the next one does it where this fails."""
    try:
        with gate(study, mark):
            one = _held(study, trial, mark)
            if one is not None:
                put_back(study, one)
    except Exception:  # of whatever storage: it is why the trial could not end, as a full disk is
        return


def _all_fault(study: optuna.Study) -> bool:
    """Whether the machine failed the trials that ended last."""
    last = study.get_trials(deepcopy=False, states=FINISHED)[-MOST_FAULTS:]
    outcomes = {TrialRecord.load(trial).outcome for trial in last}
    return len(last) == MOST_FAULTS and outcomes == {"faulted"}
