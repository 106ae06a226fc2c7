"""What a trial may know of others, so that a study hangs on its seed and not on the clock.

Where several processes work on a study, which trial ends first is a matter of chance. So a trial
is told how those ended that lie so far before it that they have in any case, and of the few in
between, which may still run, their sequences alone: also where they have long ended, or where one
process runs them all. One process finds what several find.
"""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial

from autotiny.machine import cores, memory_bytes
from autotiny.study.record import FINISHED, TrialRecord, at_once

AT_ONCE = 2
"""Trials of a search that may run at once unless asked for more."""

JOB_BYTES = 3 << 30
"""Memory that a process and its worker may need, each with a TensorFlow."""


def usual_jobs() -> int:
    """Processes of a search unless asked otherwise: each has a core and memory of its own."""
    return max(1, min(AT_ONCE, cores(), memory_bytes() // JOB_BYTES))


def seen_by(study: optuna.Study, number: int) -> list[TrialRecord]:
    """The records of the other trials as one may know them."""
    return seen_among(study.get_trials(deepcopy=False), number, at_once(study))


def seen_among(trials: Sequence[FrozenTrial], number: int, many: int | None) -> list[TrialRecord]:
    """The same of trials that have been read.

    Args:
        trials: of a study.
        number: of the one that is to know them.
        many: how many may run at once; None where each knows all that has ended.
    """
    seen = []
    for one in trials:
        if one.number == number or (many is not None and one.number > number):
            continue
        record = TrialRecord.load(one)
        if may_run(one, number, many):
            seen.append(record.as_begun())
        elif record.outcome:
            seen.append(record)
    return seen


def may_run(one: FrozenTrial, number: int, many: int | None) -> bool:
    """Whether a trial may still run as far as one of that number knows."""
    return one.state not in FINISHED or (many is not None and one.number > _told(number, many))


def may_begin(trials: Sequence[FrozenTrial], number: int, many: int | None) -> bool:
    """Whether all has ended, or been drawn, that a trial of that number is to know."""
    return many is None or all(
        one.state in FINISHED
        or (one.number > _told(number, many) and TrialRecord.load(one).recipe_key)
        for one in trials
        if one.number < number
    )


def _told(number: int, many: int) -> int:
    """The last trial whose outcome one is told; that of the original always is."""
    return max(number - many, 0)
