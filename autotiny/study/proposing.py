"""What to try next, proposed from all that a study has found.

Hundreds of sequences are weighed by what they should cost and score. Those that promise most are
rehearsed: lowered untrained, linked and executed, so that their costs are exact. The one that
should enlarge the front most for the time that it takes is proposed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import optuna

from autotiny.cache import key_of
from autotiny.metrics import Cost, Metrics
from autotiny.recipe import Recipe, step_key
from autotiny.space import answers_for
from autotiny.study.job import Job
from autotiny.study.observed import earlier, is_everywhere
from autotiny.study.pool import pool
from autotiny.study.record import Rehearsal, TrialRecord, baseline, candidates, front_of, known
from autotiny.study.surrogate import Surrogate, Vector, features, scored_part
from autotiny.study.trials import REFUSALS, values_of
from autotiny.study.weighing import NODES, OPTIMISM, WEIGHTS, Front, Scale, best_of

FEWEST = 5
"""Measured trials that a model of the score is made of."""

REHEARSED = 4
"""So many of the most promising sequences are rehearsed at most before one is proposed."""

MOST_REHEARSED = 12
"""The same of a study with a warm start, until one is found: it knows less of what they cost."""

SHARE = 1 / 12
"""Of the work of earlier studies, as much as is to be enough with a warm start."""

UNTRAINED = 0.25
"""What a trial takes besides its fine-tunes, in fine-tunes: lowering, linking and scoring."""

LEAST = 0.0005
"""Share of what is dominated that a sequence should add, for the time of a fine-tune."""

NEXT_BEST = 4
"""Sequences behind the front whose neighbours are weighed, too."""


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
    findings = Findings(study, job, number)
    if findings.original is None or len(findings.measured) + len(findings.observed) < FEWEST:
        left = [one for one in candidates(study) if one.key not in findings.tried]
        return Proposal(left[0], 1, ()) if left else None
    recipes = findings.candidates()
    return findings.chosen(recipes) if recipes else None


def has_done_its_share(study: optuna.Study, job: Job) -> bool:
    """Whether a study has done the share of earlier ones' work that is to be enough for it."""
    findings = Findings(study, job, -1)
    recipes = [one.recipe for one in findings.observed]
    before = _work([*recipes], set())
    known = {part for recipe in recipes if is_everywhere(recipe) for part in trained_parts(recipe)}
    mine = [one.drawn or one.recipe for one in findings.measured]
    return len(mine) >= FEWEST and _work(mine, known) >= SHARE * before


def _work(recipes: Sequence[Recipe | None], known: Set[tuple[str, ...]]) -> float:
    """The time that trials take, in fine-tunes, when some are known."""
    trained = {part for recipe in recipes for part in trained_parts(recipe)}
    return UNTRAINED * len(recipes) + len(trained - known)


class Findings:
    """What a study knows when a trial begins."""

    def __init__(self, study: optuna.Study, job: Job, number: int) -> None:
        self.study, self.job, self.number = study, job, number
        self.original = baseline(study)
        self.records = [one for one in known(study) if one.recipe and one.number != number]
        self.measured = [one for one in self.records if one.outcome == "measured"]
        rehearsals = [one for record in self.records for one in record.rehearsals]
        self.rehearsals = {one.recipe.key: one for one in rehearsals}
        self.earlier = earlier(study)
        self.observed = [one for found in self.earlier for one in found.observations]

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

    @cached_property
    def best(self) -> list[TrialRecord]:
        """The front so far."""
        return front_of(self.study)

    def candidates(self) -> list[Recipe]:
        """Sequences that were not tried, around the front and elsewhere."""
        space, start = self.job.space, self.job.model.start
        good = [*self.best, *self._next_best()]
        parents = [one.recipe for one in good if one.recipe]
        parents += [one.recipe for one in self.observed if one.best]
        parents = [one for one in parents if answers_for(one, space, start) is not None]
        seed = int(key_of("pool", self.job.seed, self.number)[:8], 16)
        elsewhere = [one.recipe for one in self.observed]
        elsewhere = [one for one in elsewhere if answers_for(one, space, start) is not None]
        known_good = [*candidates(self.study), *elsewhere]
        known_good = [one for one in known_good if one.key not in self.tried]
        drawn = [*known_good, *pool(space, start, parents, self.tried, seed)]
        return [*{one.key: one for one in drawn}.values()]

    @cached_property
    def tried(self) -> frozenset[str]:
        """Keys of sequences that were tried, or are of no use."""
        useless = {key for key, one in self.rehearsals.items() if one.costs is None}
        return frozenset({key for one in self.records for key in _keys(one)} | useless)

    def _next_best(self) -> list[TrialRecord]:
        """What would be the front without the front, as far as it is needed."""
        front = {one.number for one in self.best}
        left = [one for one in self.fitting if one.number not in front]
        return sorted(left, key=lambda one: -self.scale(one.values[0]))[:NEXT_BEST]

    def chosen(self, recipes: Sequence[Recipe]) -> Proposal:
        """The sequence that should enlarge the front most for its time."""
        most_rehearsed = MOST_REHEARSED if self.observed else REHEARSED
        mean, deviation = self.scores(recipes)
        costs = self.costs(recipes)
        front = self.front(costs)
        effort = np.array([self.effort(recipe) for recipe in recipes])
        quantiles = self.scale.gains_at(mean[:, None] + deviation[:, None] * NODES)
        hoped = self.scale.gains_at(mean + OPTIMISM * deviation)
        gains = front.gains(costs, quantiles) * self.keeping(recipes) / effort
        best, most = None, LEAST * front.volume
        new: list[Rehearsal] = []
        for k in best_of(gains, len(recipes)):
            if gains[k] <= most or len(new) >= (REHEARSED if best else most_rehearsed):
                break  # it promises less than another one is known to
            cost = costs[k]
            if recipes[k].key not in self.rehearsals:
                new.append(self.rehearsed(recipes[k]))
                exact = self.exactly(new[-1], cost)
                if exact is None:
                    continue
                cost = exact
            gain = front.gains(cost[None], quantiles[k : k + 1])[0] / effort[k]
            if gain > most and front.may_gain(cost[None], hoped[k : k + 1])[0]:
                best, most = recipes[k], gain
        return Proposal(best, len(recipes), tuple(new))

    def scores(self, recipes: Sequence[Recipe]) -> tuple[Vector, Vector]:
        """Mean and deviation of what they should score, on the scale; exact where it is known."""
        space = self.job.space
        parts = [scored_part(recipe) for recipe in recipes]
        found = {
            scored_part(one.recipe).key: (one.recipe, self.scale(one.score))
            for one in self.observed
        }
        likely = {scored_part(one.recipe).key for one in self.observed if not one.everywhere}
        for one in self.measured:
            assert one.recipe is not None
            key = scored_part(one.recipe).key
            found[key] = (one.recipe, self.scale(one.values[0]))
            likely.discard(key)
        seen = [features(scored_part(recipe), space) for recipe, _ in found.values()]
        model = Surrogate(seen, [score for _, score in found.values()])
        mean, deviation = model([features(part, space) for part in parts])
        for k, part in enumerate(parts):
            if part.key in found and part.key not in likely:
                mean[k], deviation[k] = found[part.key][1], 0.0
        return mean, deviation

    def costs(self, recipes: Sequence[Recipe]) -> Vector:
        """Logarithms of what they may cost, (sequences, costs); exact where that is known.

        What is not known may cost a standard deviation less than is likely: to find out takes no
        training.
        """
        space = self.job.space
        seen = [(one.recipe, _logarithms(one.values[1:])) for one in self.measured if one.recipe]
        shapes = [one for one in self.rehearsals.values() if not one.recipe.reads_weights]
        seen += [(one.recipe, _logarithms(one.costs)) for one in shapes if one.costs is not None]
        seen += self.expected({recipe.key for recipe, _ in seen})
        described = [features(recipe, space) for recipe, _ in seen]
        asked = [features(recipe, space) for recipe in recipes]
        found = np.zeros((len(recipes), len(self.job.figures)))
        for column in range(found.shape[1]):
            model = Surrogate(described, [float(cost[column]) for _, cost in seen])
            mean, deviation = model(asked)
            found[:, column] = mean - deviation
        for k, recipe in enumerate(recipes):
            if recipe.key in self.rehearsals:
                exact = self.exactly(self.rehearsals[recipe.key], found[k])
                found[k] = found[k] if exact is None else exact
        return found

    def expected(self, known: Set[str]) -> list[tuple[Recipe, Vector]]:
        """What sequences of earlier studies should cost: as much less than the original as there.

        Args:
            known: keys of those whose cost is known.
        """
        assert self.original is not None
        here = _logarithms(self.original.values[1:])
        found = []
        for one in self.earlier:
            there = _logarithms(self.figures(one.original, one.original))
            for seen in one.observations:
                if seen.recipe.key not in known:
                    less = _logarithms(self.figures(seen.cost, one.original)) - there
                    found.append((seen.recipe, here + less))
        return found

    def keeping(self, recipes: Sequence[Recipe]) -> Vector:
        """How likely each keeps the bounds on costs.

        Gardner et al., "Bayesian optimization with inequality constraints", ICML 2014.
        """
        space, likely = self.job.space, np.ones(len(recipes))
        if not self.job.bounds.of_costs:
            return likely
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
        likely[[recipe.key in self.rehearsals for recipe in recipes]] = 1
        return likely

    def exactly(self, rehearsal: Rehearsal, expected: Vector) -> Vector | None:
        """Logarithms of what a sequence costs that was rehearsed; None if it is of no use.

        Of what hangs on weights, which training changes, the lower of that and what was expected.
        """
        if rehearsal.costs is None:
            return None
        exact = _logarithms(rehearsal.costs)
        return np.minimum(exact, expected) if rehearsal.recipe.reads_weights else exact

    def figures(self, cost: Cost, original: Cost) -> tuple[float, ...]:
        """Those that the study makes small."""
        return values_of(Metrics(cost, 0.0), self.job, original)[1:]

    def front(self, costs: Vector) -> Front:
        """What is dominated so far, up to what the original costs and to a score by chance.

        Or to the score that is asked for, once there is one: what has less gains nothing.
        """
        assert self.original is not None
        reached = np.array([_logarithms(one.values[1:]) for one in self.fitting])
        scores = np.array([self.scale.gain(one.values[0]) for one in self.fitting])
        most = _logarithms(self.original.values[1:])
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
        """What was trained so far, or is now, in earlier studies too."""
        done = [one for one in self.records if one.outcome in ("measured", "failed", "")]
        recipes = [
            *(one.drawn or one.recipe for one in done),
            *(one.recipe for one in self.observed if one.everywhere),
        ]
        return {prefix for recipe in recipes for prefix in trained_parts(recipe)}

    def effort(self, recipe: Recipe) -> float:
        """The time of a trial, in fine-tunes."""
        return UNTRAINED + sum(prefix not in self.trained for prefix in trained_parts(recipe))

    def rehearsed(self, recipe: Recipe) -> Rehearsal:
        """What a sequence costs that was not trained."""
        try:
            candidate = self.job.candidate(recipe, rehearse=True)
            idle = {dropped.component for dropped in candidate.dropped}
            left = Recipe(tuple(step for step in recipe.steps if step.name not in idle))
            if idle and left.key in self.tried:
                return Rehearsal(recipe, None)
            cost = self.job.cost(candidate.model)
        except tuple(REFUSALS):
            return Rehearsal(recipe, None)
        if self.job.missed(cost):
            return Rehearsal(recipe, None)
        assert self.original is not None and self.original.cost is not None
        return Rehearsal(recipe, self.figures(cost, self.original.cost))


def _logarithms(costs: Sequence[float]) -> Vector:
    """Of costs, those that are zero as good as nothing."""
    return np.asarray(np.log(np.maximum(costs, 1e-12)), np.float64)


def _keys(record: TrialRecord) -> Iterable[str]:
    """Of a sequence as it was drawn and of what it came to."""
    return (record.recipe_key, record.recipe.key) if record.recipe else (record.recipe_key,)


def trained_parts(recipe: Recipe | None) -> list[tuple[str, ...]]:
    """The parts of a sequence up to each step that trains."""
    steps = recipe.canonical().steps if recipe else ()
    keys = tuple(step_key(step) for step in steps)
    return [keys[: k + 1] for k, step in enumerate(steps) if step.trains]
