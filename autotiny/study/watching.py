"""Where a search stands, told after each of its trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna

from autotiny.study.job import Job
from autotiny.study.planning import total, tried
from autotiny.study.record import TrialRecord, cache_counts, counts, ended, front_of
from autotiny.study.server import patiently
from autotiny.target import Target
from autotiny.tasks import Direction


@dataclass(frozen=True)
class Progress:
    """Where a search stands, after each trial.

    Attributes:
        done: trials that have ended, earlier runs of the same study included and repetitions not.
        total: how many the search is to end with; None where that hangs on what it finds, as with
            a warm start.
        counts: ended trials by outcome, see `OUTCOMES`.
        cache_hits: prefixes and figures found in the cache so far.
        cache_misses: prefixes and figures that had to be made.
        front: trial number, sequence and values of each point of the front so far.
        objectives: names of the values.
        directions: which way each of them is better, as Optuna calls it.
        seconds_left: an estimate; None before the first trial ends, or without a total.
        last: the trial that ended last.
        target: that the search is for.
    """

    done: int
    total: int | None
    counts: Mapping[str, int]
    cache_hits: int
    cache_misses: int
    front: tuple[tuple[int, str, tuple[float, ...]], ...]
    objectives: tuple[str, ...]
    directions: tuple[Direction, ...]
    seconds_left: float | None
    last: TrialRecord | None
    target: Target


class Watch:
    """Tells the caller where the search stands."""

    def __init__(
        self, study: optuna.Study, job: Job, trials: int | None, timeout: float | None,
        on_trial: Callable[[Progress], None] | None,
    ) -> None:  # fmt: skip
        self._study, self._job, self._total = study, job, total(study, trials)
        self._timeout, self._on_trial = timeout, on_trial
        self._began = time.monotonic()
        self._done_before = self._done()
        self._told = {record.number for record in ended(study)}

    def _done(self) -> int:
        return tried(ended(self._study))

    def report(self, last: TrialRecord | None) -> None:
        """Tell of a trial that has ended, and before it of those that others have ended."""
        self._told |= {last.number} if last else set()
        self.report_others()
        self._tell(last)

    def report_others(self) -> None:
        """Tell of what other processes have ended."""
        for record in patiently(self._study, lambda: ended(self._study)):
            if record.number not in self._told:
                self._told.add(record.number)
                self._tell(record)

    def _tell(self, last: TrialRecord | None) -> None:
        if self._on_trial is not None:
            self._on_trial(patiently(self._study, lambda: self._progress(last)))

    def _progress(self, last: TrialRecord | None) -> Progress:
        done = self._done()
        elapsed = time.monotonic() - self._began
        fresh = done - self._done_before
        left = None
        if fresh and self._total is not None:
            left = elapsed / fresh * max(self._total - done, 0)
            left = left if self._timeout is None else min(left, self._timeout - elapsed)
        hits, misses = cache_counts(self._study)
        front = tuple(
            (record.number, record.sequence, record.values) for record in front_of(self._study)
        )
        return Progress(
            done=done,
            total=self._total,
            counts=counts(self._study),
            cache_hits=hits,
            cache_misses=misses,
            front=front,
            objectives=self._job.value_names,
            directions=self._job.directions,
            seconds_left=None if left is None else max(left, 0.0),
            last=last,
            target=self._job.target,
        )
