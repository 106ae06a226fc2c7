"""What to try next, proposed from all that a study has found.

Hundreds of sequences are weighed by what they should cost and score. Those that promise most are
rehearsed: lowered untrained, linked and executed, so that their costs are exact. The one that
should enlarge the front most for the time that it takes is proposed.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import optuna

from autotiny.cache import key_of
from autotiny.recipe import Recipe
from autotiny.space import answers_for
from autotiny.study.evidence import UNTRAINED, Evidence, trained_parts
from autotiny.study.job import Job
from autotiny.study.observed import is_everywhere
from autotiny.study.pool import pool
from autotiny.study.record import Rehearsal, candidates
from autotiny.study.trials import REFUSALS
from autotiny.study.weighing import NODES, OPTIMISM

FEWEST = 5
"""Measured trials that a model of the score is made of."""

REHEARSED = 12
"""So many of the most promising sequences are rehearsed at most before one is proposed."""

SHARE = 1 / 12
"""Of the work of earlier studies, as much as is to be enough with a warm start."""

LEAST = 0.0005
"""Share of what is dominated that a sequence should add, for the time of a fine-tune."""


@dataclass(frozen=True)
class Proposal:
    """A sequence to try.

    Attributes:
        recipe: the sequence; None where none should enlarge the front.
        weighed: of how many it was chosen.
        rehearsals: those of them whose costs were found out for it.
    """

    recipe: Recipe | None
    weighed: int
    rehearsals: tuple[Rehearsal, ...]


def proposal(study: optuna.Study, job: Job, number: int) -> Proposal | None:
    """What to try in a trial, the same whenever it is asked of the same study.

    Args:
        study: all that was found.
        job: what is searched for.
        number: of the trial.

    Returns:
        Where too little was measured, the next known good sequence; None if there is none left.
    """
    evidence = Evidence(study, job, number)
    if evidence.original is None or len(evidence.measured) + len(evidence.observed) < FEWEST:
        left = [one for one in candidates(study) if one.key not in evidence.tried]
        return Proposal(left[0], 1, ()) if left else None
    recipes = neighbours(evidence)
    return chosen(evidence, recipes) if recipes else None


def has_done_its_share(study: optuna.Study, job: Job, number: int) -> bool:
    """Whether a study has done the share of earlier ones' work that is to be enough for it.

    Args:
        study: all that was found.
        job: what is searched for.
        number: of the trial that would be the next.
    """
    evidence = Evidence(study, job, number)
    recipes = [one.recipe for one in evidence.observed]
    before = _work([*recipes], set())
    known = {part for recipe in recipes if is_everywhere(recipe) for part in trained_parts(recipe)}
    mine = [one.drawn or one.recipe for one in evidence.measured]
    return len(mine) >= FEWEST and _work(mine, known) >= SHARE * before


def _work(recipes: Sequence[Recipe | None], known: Set[tuple[str, ...]]) -> float:
    """The time that trials take, in fine-tunes, when some are known."""
    trained = {part for recipe in recipes for part in trained_parts(recipe)}
    return UNTRAINED * len(recipes) + len(trained - known)


def neighbours(evidence: Evidence) -> list[Recipe]:
    """Sequences that were not tried, around the front and elsewhere."""
    space, start = evidence.job.space, evidence.job.model.start
    good = [*evidence.best, *evidence.next_best()]
    parents = [one.recipe for one in good if one.recipe]
    parents += [one.recipe for one in evidence.observed if one.best]
    parents = [one for one in parents if answers_for(one, space, start) is not None]
    seed = int(key_of("pool", evidence.job.seed, evidence.number)[:8], 16)
    elsewhere = [one.recipe for one in evidence.observed]
    elsewhere = [one for one in elsewhere if answers_for(one, space, start) is not None]
    known_good = [*candidates(evidence.study), *elsewhere]
    known_good = [one for one in known_good if one.key not in evidence.tried]
    drawn = [*known_good, *pool(space, start, parents, evidence.tried, seed)]
    return [*{one.key: one for one in drawn}.values()]


def chosen(evidence: Evidence, recipes: Sequence[Recipe]) -> Proposal:
    """The sequence that should enlarge the front most for its time.

    What promises most is rehearsed, until that is one whose costs are known; what a rehearsal shows
    changes what like sequences are expected to cost.
    """
    mean, deviation = evidence.scores(recipes)
    quantiles = evidence.scale.gains_at(mean[:, None] + deviation[:, None] * NODES)
    hoped = evidence.scale.gains_at(mean + OPTIMISM * deviation)
    weights = evidence.keeping(recipes) / [evidence.effort(recipe) for recipe in recipes]
    costs = evidence.costs(recipes)
    front = evidence.front(costs)
    new: list[Rehearsal] = []
    while True:
        gains = front.gains(costs, quantiles) * weights * front.may_gain(costs, hoped)
        known = [evidence.known_cost(recipe) for recipe in recipes]
        gains[[one is not None and one.useless for one in known]] = 0
        if len(new) == REHEARSED:
            gains[[one is None for one in known]] = 0
        best = int(np.argmax(gains))
        if gains[best] <= LEAST * front.volume:
            return Proposal(None, len(recipes), tuple(new))
        if known[best]:
            return Proposal(recipes[best], len(recipes), tuple(new))
        new.append(rehearsed(evidence, recipes[best]))
        evidence.add(new[-1])
        costs = evidence.costs(recipes)


def rehearsed(evidence: Evidence, recipe: Recipe) -> Rehearsal:
    """What a sequence costs, if nothing has to be trained for it, or untrained."""
    trained = evidence.is_trained(recipe)
    try:
        candidate = evidence.job.candidate(recipe, rehearse=not trained)
        cost = evidence.job.cost(candidate.model)
    except tuple(REFUSALS):
        return Rehearsal(recipe, None)
    if evidence.job.missed(cost):
        return Rehearsal(recipe, None)
    idle = {dropped.component for dropped in candidate.dropped}
    left = Recipe(tuple(step for step in recipe.steps if step.name not in idle))
    repeats = candidate.key in evidence.results or (bool(idle) and left.key in evidence.tried)
    assert evidence.original is not None and evidence.original.cost is not None
    costs = evidence.figures(cost, evidence.original.cost)
    return Rehearsal(recipe, costs, trained, repeats)
