"""What a study knows when a trial begins: what sequences score and cost, exactly or by a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from functools import cached_property

import numpy as np
import optuna

from autotiny.metrics import Cost, Metrics
from autotiny.recipe import Recipe, step_key
from autotiny.study.job import Job
from autotiny.study.observed import earlier
from autotiny.study.record import SOLVED, Rehearsal, TrialRecord, front_among, original_of
from autotiny.study.surrogate import Features, Surrogate, Vector, features, scored_part
from autotiny.study.trials import values_of
from autotiny.study.turns import seen_by
from autotiny.study.weighing import NODES, WEIGHTS, Front, Scale

UNTRAINED = 1.0
"""What a trial takes besides its fine-tunes, in fine-tunes: rehearsals, lowering, scoring, and its
place among the trials that were asked for."""

NEXT_BEST = 4
"""Sequences behind the front whose neighbours are weighed, too."""

SLACK = 0.1
"""Of what hangs on weights, so much less may be taken once these are trained, as a logarithm. Of
1,386 such sequences in two of results/search_*.json.gz, 19 in 20 took at least 0.88 of that."""


class Evidence:
    """What a study knows when a trial begins."""

    def __init__(self, study: optuna.Study, job: Job, number: int) -> None:
        self.study, self.job, self.number = study, job, number
        self._described: dict[str, Features] = {}
        seen = [one for one in seen_by(study, number) if one.recipe and one.queued != SOLVED]
        self.records = seen
        self.original = original_of(seen)
        self.measured = [one for one in self.records if one.outcome == "measured"]
        rehearsals = [one for record in self.records for one in record.rehearsals]
        self.rehearsals = {one.recipe.key: one for one in rehearsals}
        self.earlier = earlier(study)
        self.observed = [one for found in self.earlier for one in found.observations]

    def _features(self, recipe: Recipe) -> Features:
        """Of a sequence, found once."""
        if recipe.key not in self._described:
            self._described[recipe.key] = features(recipe, self.job.space)
        return self._described[recipe.key]

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
        return front_among(self.measured, self.study.directions)

    def next_best(self) -> list[TrialRecord]:
        """What would be the front without the front, as far as it is needed."""
        front = {one.number for one in self.best}
        left = [one for one in self.fitting if one.number not in front]
        return sorted(left, key=lambda one: -self.scale(one.values[0]))[:NEXT_BEST]

    @cached_property
    def tried(self) -> frozenset[str]:
        """Keys of sequences that were tried, or are of no use."""
        useless = {key for key, one in self.rehearsals.items() if one.useless}
        return frozenset({key for one in self.records for key in _keys(one)} | useless)

    def scores(self, recipes: Sequence[Recipe]) -> tuple[Vector, Vector]:
        """Mean and deviation of what they should score, on the scale; exact where it is known."""
        parts = [scored_part(recipe) for recipe in recipes]
        known, model = self._scored
        mean, deviation = model([self._features(part) for part in parts])
        for k, part in enumerate(parts):
            if part.key in known:
                mean[k], deviation[k] = known[part.key], 0.0
        return mean, deviation

    @cached_property
    def _scored(self) -> tuple[dict[str, float], Surrogate]:
        """The scores that are exact, by the key of what was scored, and a model of all."""
        found = {}
        for seen in self.observed:
            part = scored_part(seen.recipe)
            found[part.key] = (part, self.scale(seen.score), seen.everywhere)
        for one in self.measured:
            assert one.recipe is not None
            part = scored_part(one.recipe)
            found[part.key] = (part, self.scale(one.values[0]), True)
        described = [self._features(part) for part, _, _ in found.values()]
        exact = {key: score for key, (_, score, sure) in found.items() if sure}
        return exact, Surrogate(described, [score for _, score, _ in found.values()])

    def costs(self, recipes: Sequence[Recipe]) -> Vector:
        """Logarithms of what they may cost, (sequences, costs); exact where that is known.

        What is not known may cost a standard deviation less than is likely: to find out takes no
        training.
        """
        asked = [self._features(recipe) for recipe in recipes]
        found = np.zeros((len(recipes), len(self.job.figures)))
        for column, model in enumerate(self._cost_models):
            mean, deviation = model(asked)
            found[:, column] = mean - deviation
        for k, recipe in enumerate(recipes):
            if recipe.key in self.rehearsals:
                exact = exactly(self.rehearsals[recipe.key])
                found[k] = found[k] if exact is None else exact
        return found

    @cached_property
    def _cost_models(self) -> list[Surrogate]:
        """A model of each cost, of what was measured, else rehearsed, else found elsewhere."""
        seen = {one.recipe.key: (one.recipe, one.costs) for one in self.rehearsals.values()}
        seen |= {
            one.recipe.key: (one.recipe, one.values[1:]) for one in self.measured if one.recipe
        }
        known = [
            (recipe, _logarithms(costs)) for recipe, costs in seen.values() if costs is not None
        ]
        known += self.expected({recipe.key for recipe, _ in known})
        described = [self._features(recipe) for recipe, _ in known]
        return [
            Surrogate(described, [float(costs[column]) for _, costs in known])
            for column in range(len(self.job.figures))
        ]

    def add(self, rehearsal: Rehearsal) -> None:
        """Learn what a sequence costs."""
        self.rehearsals[rehearsal.recipe.key] = rehearsal
        costs = exactly(rehearsal)
        if costs is not None:
            described = self._features(rehearsal.recipe)
            self._cost_models = [
                model.also(described, float(cost))
                for model, cost in zip(self._cost_models, costs, strict=True)
            ]

    def known_cost(self, recipe: Recipe) -> Rehearsal | None:
        """What is known of a sequence's costs, unless they can be known better by now."""
        found = self.rehearsals.get(recipe.key)
        if found is None or found.useless or found.trained or not recipe.reads_weights:
            return found
        return None if self.is_trained(recipe) else found

    def is_trained(self, recipe: Recipe) -> bool:
        """Whether all that a sequence trains was trained here."""
        return all(part in self._trained_here for part in trained_parts(recipe))

    @cached_property
    def _trained_here(self) -> set[tuple[str, ...]]:
        recipes = [one.drawn or one.recipe for one in self.measured]
        return {part for recipe in recipes for part in trained_parts(recipe)}

    @cached_property
    def results(self) -> frozenset[str]:
        """Keys of what sequences came to."""
        return frozenset(one.result_key for one in self.records if one.result_key)

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
        likely = np.ones(len(recipes))
        if not self.job.bounds.of_costs:
            return likely
        seen = [
            (self._features(one.recipe), one.cost)
            for one in self.records
            if one.recipe and one.cost and (one.metrics or not one.recipe.reads_weights)
        ]
        asked = [self._features(recipe) for recipe in recipes]
        for bound in self.job.bounds.of_costs:
            taken = [bound.value(cost, self.job.target, None) or 0.0 for _, cost in seen]
            values = [float(value) for value in np.log(np.maximum(taken, 1e-12))]
            mean, deviation = Surrogate([described for described, _ in seen], values)(asked)
            places = mean[:, None] + deviation[:, None] * NODES
            likely *= (places <= np.log(bound.limit)) @ WEIGHTS
        likely[[recipe.key in self.rehearsals for recipe in recipes]] = 1
        return likely

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


def exactly(rehearsal: Rehearsal) -> Vector | None:
    """Logarithms of what a sequence costs that was rehearsed; None if it is of no use."""
    if rehearsal.costs is None:
        return None
    hangs = rehearsal.recipe.reads_weights and not rehearsal.trained
    return _logarithms(rehearsal.costs) - SLACK * hangs


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
