"""What to try next, proposed from all that a study has found.

Hundreds of sequences are weighed by what they should cost and score. Those that promise most are
rehearsed: lowered untrained, linked and executed, so that their costs are exact. The one that
should enlarge the front most for the time that it takes is proposed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import optuna

from autotiny.cache import key_of
from autotiny.metrics import Cost, Metrics
from autotiny.recipe import Recipe, step_key
from autotiny.space import answers_for
from autotiny.study.job import Job
from autotiny.study.pool import pool
from autotiny.study.record import TrialRecord, baseline, candidates, front_of, known
from autotiny.study.surrogate import Surrogate, Vector, features, scored_part
from autotiny.study.trials import REFUSALS, values_of
from autotiny.study.weighing import NODES, OPTIMISM, WEIGHTS, Front, Scale, best_of

FEWEST = 5
"""Measured trials that a model of the score is made of."""

REHEARSED = 4
"""So many of the most promising sequences are rehearsed at most before one is proposed."""

UNTRAINED = 0.25
"""What a trial without training takes, beside one fine-tune."""

NEXT_BEST = 4
"""Sequences behind the front whose neighbours are weighed, too."""


@dataclass(frozen=True)
class Proposal:
    """A sequence to try.

    Attributes:
        recipe: the sequence.
        weighed: of how many it was chosen.
    """

    recipe: Recipe
    weighed: int


def proposal(study: optuna.Study, job: Job, number: int) -> Proposal | None:
    """What to try in a trial, the same whenever it is asked of the same study.

    Args:
        study: all that was found.
        job: what is searched for.
        number: of the trial.

    Returns:
        None where too little was measured, or nothing is left that should enlarge the front.
    """
    findings = Findings(study, job, number)
    if findings.original is None or len(findings.measured) < FEWEST:
        return None
    recipes = findings.candidates()
    return findings.chosen(recipes) if recipes else None


class Findings:
    """What a study knows when a trial begins."""

    def __init__(self, study: optuna.Study, job: Job, number: int) -> None:
        self.study, self.job, self.number = study, job, number
        self.original = baseline(study)
        self.records = [one for one in known(study) if one.recipe and one.number != number]
        self.measured = [one for one in self.records if one.outcome == "measured"]
        self.running = [one for one in self.records if not one.outcome]

    @cached_property
    def fitting(self) -> list[TrialRecord]:
        """What fits and keeps the bounds; until something does, all that was measured."""
        return [one for one in self.measured if one.fits] or self.measured

    @cached_property
    def scale(self) -> Scale:
        """On which scores are compared."""
        assert self.original is not None and self.original.metrics is not None
        score, error = self.original.values[0], self.original.metrics.error_validation
        unit = self.job.score_drop.of(score) or error or 0.01 * abs(score) or 1.0
        return Scale(score, unit, self.job.metric.sign)

    def candidates(self) -> list[Recipe]:
        """Sequences that were not tried, around the front and elsewhere."""
        space, start = self.job.space, self.job.model.start
        good = [*front_of(self.study), *self._next_best()]
        parents = [one.recipe for one in good if one.recipe]
        parents = [one for one in parents if answers_for(one, space, start) is not None]
        tried = frozenset(key for one in self.records for key in _keys(one))
        seed = int(key_of("pool", self.job.seed, self.number)[:8], 16)
        known_good = [
            one
            for one in candidates(self.study)
            if one.key not in tried and answers_for(one, space, start) is not None
        ]
        return [*known_good, *pool(space, start, parents, tried, seed)]

    def _next_best(self) -> list[TrialRecord]:
        """What would be the front without the front, as far as it is needed."""
        front = {one.number for one in front_of(self.study)}
        left = [one for one in self.fitting if one.number not in front]
        return sorted(left, key=lambda one: -self.scale(one.values[0]))[:NEXT_BEST]

    def chosen(self, recipes: Sequence[Recipe]) -> Proposal | None:
        """The sequence that should enlarge the front most for its time."""
        mean, deviation = self.scores(recipes)
        costs = self.costs(recipes)
        front = self.front(costs)
        effort = np.array([self.effort(recipe) for recipe in recipes])
        quantiles = self.scale.gains_at(mean[:, None] + deviation[:, None] * NODES)
        hoped = self.scale.gains_at(mean + OPTIMISM * deviation)
        gains = front.gains(costs, quantiles) * self.keeping(recipes) / effort
        best: tuple[float, Recipe] | None = None
        for k in best_of(gains, REHEARSED):
            if gains[k] <= (best[0] if best else 0.0):
                break  # it promises less than another one is known to
            exact = self.rehearsed(recipes[k], costs[k])
            if exact is None:
                continue
            may = front.may_gain(exact[None], hoped[k : k + 1])[0]
            gain = float(front.gains(exact[None], quantiles[k : k + 1])[0] / effort[k]) * may
            if gain > (best[0] if best else 0.0):
                best = gain, recipes[k]
        return Proposal(best[1], len(recipes)) if best else None

    def scores(self, recipes: Sequence[Recipe]) -> tuple[Vector, Vector]:
        """Mean and deviation of what they should score, on the scale; exact where it is known."""
        space = self.job.space
        parts = [scored_part(recipe) for recipe in recipes]
        found = {}
        for one in self.measured:
            assert one.recipe is not None
            found[scored_part(one.recipe).key] = (one.recipe, self.scale(one.values[0]))
        seen = [features(scored_part(recipe), space) for recipe, _ in found.values()]
        model = Surrogate(seen, [score for _, score in found.values()])
        mean, deviation = model([features(part, space) for part in parts])
        for k, part in enumerate(parts):
            if part.key in found:
                mean[k], deviation[k] = found[part.key][1], 0.0
        return mean, deviation

    def costs(self, recipes: Sequence[Recipe]) -> Vector:
        """Logarithms of what they should cost, (sequences, costs)."""
        space = self.job.space
        seen = [(one, self.cost_of(one)) for one in self.records]
        known_costs = [(one.recipe, cost) for one, cost in seen if cost is not None and one.recipe]
        described = [features(recipe, space) for recipe, _ in known_costs]
        asked = [features(recipe, space) for recipe in recipes]
        columns = [
            Surrogate(described, [float(cost[k]) for _, cost in known_costs])(asked)[0]
            for k in range(len(self.job.figures))
        ]
        return np.stack(columns, axis=1) if columns else np.zeros((len(recipes), 0))

    def keeping(self, recipes: Sequence[Recipe]) -> Vector:
        """How likely each keeps the bounds on costs.

        Gardner et al., "Bayesian optimization with inequality constraints", ICML 2014.
        """
        space, likely = self.job.space, np.ones(len(recipes))
        seen = [
            (features(one.recipe, space), one.cost)
            for one in self.records
            if one.recipe and one.cost and (one.metrics or not one.recipe.reads_weights)
        ]
        asked = [features(recipe, space) for recipe in recipes]
        for bound in self.job.bounds.of_costs:
            taken = [bound.value(cost, self.job.target, None) or 0.0 for _, cost in seen]
            values = [float(value) for value in np.log(np.maximum(taken, 1e-12))]
            mean, deviation = Surrogate([described for described, _ in seen], values)(asked)
            places = mean[:, None] + deviation[:, None] * NODES
            likely *= (places <= np.log(bound.limit)) @ WEIGHTS
        return likely

    def cost_of(self, record: TrialRecord) -> Vector | None:
        """Logarithms of what a trial costs; None where that is not known."""
        if record.outcome == "measured":
            return np.log(np.maximum(record.values[1:], 1e-12))
        if record.rehearsed is None or (record.recipe and record.recipe.reads_weights):
            return None
        return self.logarithms(record.rehearsed)

    def logarithms(self, cost: Cost) -> Vector:
        """Of the figures that the study makes small."""
        assert self.original is not None and self.original.cost is not None
        figures = values_of(Metrics(cost, 0.0), self.job, self.original.cost)[1:]
        return np.log(np.maximum(figures, 1e-12))

    def front(self, costs: Vector) -> Front:
        """What is dominated so far, up to what the original costs and to a score by chance.

        Or to the score that is asked for, once there is one: what has less gains nothing.
        """
        assert self.original is not None
        reached = np.array([self.cost_of(one) for one in self.fitting])
        scores = np.array([self.scale.gain(one.values[0]) for one in self.fitting])
        most = self.logarithms(self.original.cost) if self.original.cost else reached.max(axis=0)
        least = np.minimum(np.concatenate([reached, costs]).min(axis=0), most - 1e-9)
        chance = self.job.data.chance
        known_worst = min(scores.min(initial=0.0), 0.0)
        worst = known_worst if chance is None else self.scale.gain(chance.value)
        asked = self.job.bounds.score_limit
        if asked is not None and self.fitting[0].fits:
            worst = max(worst, self.scale.gain(asked))
        return Front.of(reached, scores, least, most, worst)

    @cached_property
    def trained(self) -> set[tuple[str, ...]]:
        """What was trained so far, or is now."""
        done = [one for one in self.records if one.outcome in ("measured", "failed", "")]
        return {prefix for one in done for prefix in _trained(one.drawn or one.recipe)}

    def effort(self, recipe: Recipe) -> float:
        """The time of a trial, in fine-tunes."""
        return UNTRAINED + sum(prefix not in self.trained for prefix in _trained(recipe))

    def rehearsed(self, recipe: Recipe, expected: Vector) -> Vector | None:
        """Logarithms of what a sequence costs; None if it does not fit, or cannot be built.

        Of what hangs on weights, which training changes, the lower of that and what was expected.
        """
        try:
            cost = self.job.cost(self.job.candidate(recipe, rehearse=True).model)
        except tuple(REFUSALS):
            return None
        if self.job.missed(cost):
            return None
        exact = self.logarithms(cost)
        return np.minimum(exact, expected) if recipe.reads_weights else exact


def _keys(record: TrialRecord) -> Iterable[str]:
    """Of a sequence as it was drawn and of what it came to."""
    return (record.recipe_key, record.recipe.key) if record.recipe else (record.recipe_key,)


def _trained(recipe: Recipe | None) -> list[tuple[str, ...]]:
    """The parts of a sequence up to each step that trains."""
    steps = recipe.canonical().steps if recipe else ()
    keys = tuple(step_key(step) for step in steps)
    return [keys[: k + 1] for k, step in enumerate(steps) if step.trains]
