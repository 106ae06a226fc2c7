"""Which sequences answer a search, and what they score when they are trained with other seeds.

A score is of one training. Of many sequences that were trained once each, the best is often the one
that was lucky, and would not keep the budget another time. So what would be named best is trained
again, until what is named best was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import optuna

from autotiny.recipe import Recipe
from autotiny.study.job import Job
from autotiny.study.record import TrialRecord, baseline, front_of, measured, scores_of, set_scores
from autotiny.study.trials import REFUSALS

BEST_SEEDS = 3
"""With so many seeds a best sequence is trained unless asked otherwise."""

MOST = 4
"""So many sequences are trained again at most."""


@dataclass(frozen=True)
class Seeds:
    """What a sequence scores on validation, trained with several seeds.

    Attributes:
        scores: one a seed, that of the study first; NaN where a training failed.
    """

    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of all seeds; NaN where a training failed."""
        return fmean(self.scores)

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return stdev(self.scores) / math.sqrt(len(self.scores))


@dataclass(frozen=True)
class Contender:
    """A sequence that may be named best.

    Attributes:
        record: of its trial.
        seeds: what it scores with several seeds; None where it was trained once, or never.
        within_budget: whether it loses no more of its score than allowed, as it is and on average.
    """

    record: TrialRecord
    seeds: Seeds | None
    within_budget: bool

    @property
    def cycles(self) -> int:
        """Of one inference."""
        return self.record.cost.cycles if self.record.cost else 0

    @property
    def values(self) -> tuple[float, ...]:
        """What the study optimizes, the score first: the mean where there are several."""
        score, *costs = self.record.values
        return (self.seeds.mean if self.seeds else score, *costs)


def contenders(
    study: optuna.Study, job: Job, floor: float, without: Set[int] = frozenset()
) -> list[Contender]:
    """What is not dominated, by the mean of the scores where there are several.

    Args:
        study: what was found.
        job: what was searched for.
        floor: the worst score that a best sequence may have; see `budget`.
        without: numbers of trials that are to count as if there were none.
    """
    known = {number: Seeds(scores) for number, scores in scores_of(study).items()}
    if not known and not without:
        return [_contender(record, None, floor, job) for record in front_of(study)]
    fitting = [one for one in measured(study) if one.fits and one.number not in without]
    every = [_contender(record, known.get(record.number), floor, job) for record in fitting]
    return [
        one
        for place, one in enumerate(every)
        if not any(_dominates(other, one, job, k < place) for k, other in enumerate(every))
    ]


def budget(study: optuna.Study, job: Job) -> float:
    """The worst score that a best sequence may have, by the budget and by what was asked for."""
    original = baseline(study)
    # Without an original to compare with, what did best stands for it.
    sign = job.metric.sign
    scores = [record.values[0] for record in ([original] if original else measured(study))]
    # A rounding error must not put a model that loses exactly the budget over it.
    floor = job.floor(max(scores, key=lambda score: sign * score, default=0.0)) - sign * 1e-9
    asked = job.bounds.score_limit
    return asked if asked is not None and job.metric.better(asked, floor) else floor


def _contender(record: TrialRecord, seeds: Seeds | None, floor: float, job: Job) -> Contender:
    scores = [record.values[0], *([seeds.mean] if seeds else [])]
    within = all(score == floor or job.metric.better(score, floor) for score in scores)
    return Contender(record, seeds, within)


def _dominates(one: Contender, other: Contender, job: Job, earlier: bool) -> bool:
    """Whether one is as good as the other in all, and better in something or tried before it."""
    sign = job.metric.sign
    ours, theirs = ((-sign * each.values[0], *each.values[1:]) for each in (one, other))
    if math.isnan(ours[0]) or math.isnan(theirs[0]):
        return math.isnan(theirs[0]) and not math.isnan(ours[0])
    return all(a <= b for a, b in zip(ours, theirs, strict=True)) and (ours != theirs or earlier)


def best_of(front: Sequence[Contender], job: Job) -> dict[str, Contender]:
    """For each objective the best within the budget, else the one of the best score."""
    if not front:
        return {}
    accurate = max(front, key=lambda one: job.metric.sign * one.values[0])
    allowed = [one for one in front if one.within_budget] or [accurate]
    best = {
        name: min(allowed, key=lambda one: (one.values[1 + index], one.cycles, one.record.number))
        for index, name in enumerate(job.objectives)
    }
    return {**best, job.metric.name: accurate}


def train_again(
    study: optuna.Study, job: Job, seeds: int, *, goes_on: Callable[[], bool],
    ahead: Callable[[list[tuple[int, Recipe]]], None], tell: Callable[[str], None],
) -> None:  # fmt: skip
    """Train what would be named best with other seeds, until all that is named best was.

    Args:
        study: whose trials have ended.
        job: what was searched for.
        seeds: so many a sequence, that of the study among them.
        goes_on: whether there is time for one more.
        ahead: called with what will be trained next, or may be: recipes, and the seed of each.
        tell: called with what is trained now.
    """
    floor = budget(study, job)
    others = range(job.seed + 1, job.seed + seeds)
    for trained in range(MOST):
        left = [*_expected(study, job, seeds, floor, MOST - trained)]
        if not left or not goes_on():
            return
        record = left[0]
        later = [(seed, one.recipe) for one in left for seed in reversed(others) if one.recipe]
        ahead([one for one in later if one != (others[0], record.recipe)])
        scores = [record.values[0]]
        for seed in others:
            tell(f"training trial {record.number} with seed {seed}, as its score may be luck")
            scores.append(_score(record, replace(job, seed=seed)))
        set_scores(study, record.number, scores)


def _expected(
    study: optuna.Study, job: Job, seeds: int, floor: float, most: int
) -> Iterator[TrialRecord]:
    """What is trained again, if that shows of each that it was lucky."""
    unlucky: set[int] = set()
    while len(unlucky) < most:
        left = _trained_once(study, job, seeds, floor, unlucky)
        if not left:
            return
        yield left[0]
        unlucky.add(left[0].number)


def _trained_once(
    study: optuna.Study, job: Job, seeds: int, floor: float, without: Set[int]
) -> list[TrialRecord]:
    """What would be named best and was not trained with so many seeds, each once."""
    known = scores_of(study)
    named = (one.record for one in best_of(contenders(study, job, floor, without), job).values())
    left = {
        record.number: record
        for record in named
        if _trains(record) and len(known.get(record.number, (0.0,))) < seeds
    }
    return [*left.values()]


def _trains(record: TrialRecord) -> bool:
    return record.recipe is not None and any(step.trains for step in record.recipe.steps)


def _score(record: TrialRecord, job: Job) -> float:
    """On validation, trained with a job's seed."""
    assert record.recipe is not None
    try:
        return job.score(job.candidate(record.recipe).model, "validation").value
    except tuple(REFUSALS):
        return math.nan
