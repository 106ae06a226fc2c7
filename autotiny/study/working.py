"""A process that works on a study which a search began, on this machine or another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna
from optuna.storages import BaseStorage

from autotiny.cache import Cache
from autotiny.errors import UserError
from autotiny.interrupts import none_lost
from autotiny.provenance import differences
from autotiny.study.evaluator import Evaluator
from autotiny.study.holding import holding, locks_of
from autotiny.study.job import made_by
from autotiny.study.record import TrialRecord, ended, job_key, trials_asked
from autotiny.study.running import is_over, run_trials
from autotiny.study.sampling import sampler_for
from autotiny.study.server import patiently
from autotiny.study.sharing import shared
from autotiny.study.storage import (
    check_same_job,
    facts_of,
    open_storage,
    quiet_optuna,
    shown_place,
    told_if_lost,
)

POLL_SECONDS = 0.5
"""Between looks for a study that is not there yet."""


@dataclass(frozen=True)
class Worked:
    """What a worker did.

    Attributes:
        study: its name.
        records: of the trials that it ran, in their order.
        enough: whether the study has as many trials as the search asked for.
        interrupted: whether Ctrl-C ended it.
    """

    study: str
    records: tuple[TrialRecord, ...]
    enough: bool
    interrupted: bool = False


def work(
    study_name: str,
    storage: str,
    *,
    cache: Cache | None = None,
    timeout: float | None = None,
    evaluator: Evaluator | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_trial: Callable[[TrialRecord], None] | None = None,
) -> Worked:
    """Work on a study until it has as many trials as its search asked for.

    Args:
        study_name: as the search says it.
        storage: the URL, or the path of a journal file, that the search was given.
        cache: the one that the search uses: in it lie model, data, and what others have made.
        timeout: seconds after which no trial is begun.
        evaluator: what judges candidates; by default their linked and executed firmware.
        on_stage: called with what is waited for.
        on_trial: called with each trial that this process has ended.

    Raises:
        UserError: the storage cannot be opened, the study is of another autotiny or of other
            packages, or the cache is not the one that the search uses.
        MachineFault: the disk is full, memory ran out, or the storage was gone for long.
    """
    cache = cache or Cache()
    cache.check_writable()
    began, records = time.monotonic(), list[TrialRecord]()

    def after(record: TrialRecord) -> None:
        records.append(record)
        if on_trial:
            on_trial(record)

    def seconds_left() -> float | None:
        return None if timeout is None else max(0.0, began + timeout - time.monotonic())

    with none_lost(), quiet_optuna(), told_if_lost(storage):
        interrupted, done = False, False
        try:
            study = _joined(study_name, open_storage(storage), storage, on_stage)
            job = shared(cache, str(job_key(study)), evaluator)
            check_same_job(study, job)
            study.sampler = sampler_for(job, parallel=True)
            with holding(locks_of(storage, study_name)) as mark:
                while not done and seconds_left() != 0:
                    wanted = patiently(study, lambda: trials_asked(study))
                    run_trials(study, job, wanted, seconds_left(), mark, after)
                    done = is_over(study, job, trials_asked(study))
        except KeyboardInterrupt:
            interrupted = True
    return Worked(study_name, tuple(records), done, interrupted)


def _joined(
    name: str, storage: BaseStorage, place: str, on_stage: Callable[[str], None] | None
) -> optuna.Study:
    """The study of a name, once its search has begun it and measured the original."""
    said = ""
    while True:
        names = optuna.get_all_study_names(storage)
        if name not in names:
            there = f"; there are {', '.join(map(repr, names))}" if names else ""
            missing = f"the study {name!r} in {shown_place(place)}, which a search begins{there}"
        else:
            study = optuna.load_study(study_name=name, storage=storage)
            if facts_of(study):
                _check_same_code(study)
            missing = f"the search of {name!r} to say what it is for"
            if job_key(study):
                missing = f"the first trial of {name!r}, which measures the original"
                if ended(study):
                    return study
        if missing != said and on_stage:
            on_stage(f"waiting for {missing}")
        said = missing
        time.sleep(POLL_SECONDS)


def _check_same_code(study: optuna.Study) -> None:
    """Refuse a study that another autotiny works on, or one with other packages."""
    differing = differences(_versions(facts_of(study)), _versions(made_by()))
    if differing:
        raise UserError(
            f"the study {study.study_name!r} is worked on with other versions: "
            f"{'; '.join(differing)}; install here what the search has"
        )


def _versions(facts: Mapping[str, object]) -> dict[str, str]:
    packages = (part.rpartition(" ") for part in str(facts.get("packages")).split(", "))
    return {"autotiny": str(facts.get("autotiny")), **{name: one for name, _, one in packages}}
