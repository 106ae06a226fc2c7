"""What happens in a trial, and what the trials of a study say afterwards.

A trial goes through three gates, cheapest first. Its cost is known before any training, because
flash, SRAM and latency hang on the shape of a network: what does not fit the target, or could not
reach the front even if it were somewhat better than the original, is pruned and never trained. What
has been measured under another sequence is answered from there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from autotiny.errors import (
    BrokenPromise,
    FirmwareFault,
    InvalidModel,
    LinkError,
    TrainingDiverged,
    UnsupportedOp,
)
from autotiny.evaluate import accuracy_on, at_chance, cost, cost_from, runtimes
from autotiny.metrics import Cost, Metrics, missing, overshoot
from autotiny.recipe import Candidate, Recipe, component_from, step_data
from autotiny.space import answers_for, suggest
from autotiny.study.job import Job

OUTCOMES = {
    "measured": "cost and accuracy are known",
    "repeated": "means the same work as an earlier trial, and was answered from there",
    "infeasible": "does not fit the target; not trained",
    "hopeless": "cannot reach the front even if better than the original; not trained",
    "invalid": "the sequence gives a model that cannot be built",
    "failed": "a component did not keep its promise, or the firmware did not run",
    "interrupted": "was running when the search was stopped",
}


REFUSALS = {
    UnsupportedOp: "invalid",
    InvalidModel: "invalid",
    TrainingDiverged: "failed",
    BrokenPromise: "failed",
    FirmwareFault: "failed",
    LinkError: "failed",
}
"""What ends one trial and not the search; everything else is a bug or the user's to mend."""


COPIED = ("figures", "cost", "runtimes", "notes", "not_applicable", "drawn", "sequence", "recipe")


def try_sequence(trial: Trial, job: Job) -> tuple[float, ...]:
    """The objective: draw a sequence, measure what it costs, train only if it may pay."""
    hits, misses = job.cache.hits, job.cache.misses
    try:
        return _values(trial, job)
    except optuna.TrialPruned:
        raise
    except tuple(REFUSALS) as refusal:
        _end(trial, REFUSALS[type(refusal)], str(refusal))
        raise
    except KeyboardInterrupt:
        _end(trial, "interrupted", "the search was stopped")
        raise
    finally:
        trial.set_user_attr("cache_hits", job.cache.hits - hits)
        trial.set_user_attr("cache_misses", job.cache.misses - misses)


def _values(trial: Trial, job: Job) -> tuple[float, ...]:
    planned = trial.user_attrs.get("planned")
    recipe = suggest_or(planned, trial, job).canonical()
    trial.set_user_attr("sequence", str(recipe))
    trial.set_user_attr("recipe", steps_data(recipe))
    trial.set_user_attr("key", recipe.key)
    earlier = _same(trial, "key", recipe.key)
    if earlier is not None:
        return _repeat(trial, earlier)

    if any(step.trains for step in recipe.steps):
        rehearsed = cost(job.candidate(recipe, rehearse=True).model, job.target, job.cache)
        _prune_misfit(trial, job, rehearsed)
        if "known_good" not in trial.user_attrs:
            _prune_hopeless(trial, job, rehearsed)
    candidate = job.candidate(recipe)
    _note(trial, recipe, candidate)
    earlier = _same(trial, "result", candidate.key)
    if earlier is not None:
        return _repeat(trial, earlier)
    taken = cost(candidate.model, job.target, job.cache)
    if planned is None:
        _prune_misfit(trial, job, taken)
    set_constraints(trial, overshoot(taken, job.target))
    accuracy = accuracy_on(candidate.model, job.data, "validation", job.cache)
    metrics = Metrics(taken, accuracy, at_chance=at_chance(accuracy, job.data))
    figures = figures_of(metrics, baseline_cost(trial.study, taken))
    trial.set_user_attr("figures", figures)
    trial.set_user_attr("runtimes", list(runtimes(candidate.model)))
    _end(trial, "measured", "")
    return (metrics.accuracy_validation, *(float(figures[name]) for name in job.figures))


def suggest_or(planned: list[dict[str, Any]] | None, trial: Trial, job: Job) -> Recipe:
    """The recipe planned for a trial, or one drawn from the space."""
    if planned is None:
        return suggest(trial, job.space, job.model.level)
    recipe = recipe_of(planned)
    if answers_for(recipe, job.space, job.model.level) is not None:
        suggest(trial, job.space, job.model.level)  # so that the sampler learns from it too
    return recipe


def _note(trial: Trial, recipe: Recipe, candidate: Candidate) -> None:
    """Record what became of a sequence."""
    idle = {dropped.component for dropped in candidate.dropped}
    effective = Recipe(tuple(step for step in recipe.steps if step.name not in idle))
    trial.set_user_attr("result", candidate.key)
    if candidate.dropped:
        trial.set_user_attr("drawn", str(recipe))
        trial.set_user_attr("sequence", str(effective))
        trial.set_user_attr("recipe", steps_data(effective))
        reasons = {dropped.component: dropped.reason for dropped in candidate.dropped}
        trial.set_user_attr("not_applicable", reasons)
    if candidate.model.facts():
        trial.set_user_attr("notes", candidate.model.facts())


def figures_of(metrics: Metrics, original: Cost) -> dict[str, Any]:
    """The figures of a trial: the metrics, and the ratio that "balanced" minimizes."""
    taken = metrics.cost
    ratios = (
        taken.latency_ms / original.latency_ms,
        taken.flash_bytes / original.flash_bytes,
        taken.sram_bytes / original.sram_bytes,
    )
    return {**metrics.to_dict(), "balanced_ratio": math.prod(ratios) ** (1 / len(ratios))}


def _prune_misfit(trial: Trial, job: Job, taken: Cost) -> None:
    """Prune what does not fit the target."""
    excess = overshoot(taken, job.target)
    misses = missing(excess)
    if misses:
        set_constraints(trial, excess)
        trial.set_user_attr("cost", taken.to_dict())
        _end(trial, "infeasible", f"misses {job.target.name} by {' and '.join(misses)}")
        raise optuna.TrialPruned(trial.user_attrs["reason"])


def _prune_hopeless(trial: Trial, job: Job, taken: Cost) -> None:
    """Prune what could not reach the front even if it were more accurate than the original.

    By one standard error of an accuracy measured on the validation split, that is: so much may be
    chance, or a fine-tune may win where the original was not trained to its end.
    """
    original = baseline(trial.study)
    if original is None or not job.figures:
        return
    fitting = [trial for trial in measured(trial.study) if fits(trial)]
    accuracy, samples = original.values[0], max(len(job.data.y_validation), 1)
    hoped = accuracy + math.sqrt(accuracy * (1 - accuracy) / samples)
    figures = figures_of(Metrics(taken, hoped), baseline_cost(trial.study, taken))
    costs = [float(figures[name]) for name in job.figures]
    better = f"{100 * (hoped - accuracy):.1f} % more accurate than the original, or better"
    for other in fitting:
        cheap = all(theirs <= ours for theirs, ours in zip(other.values[1:], costs, strict=True))
        if cheap and other.values[0] >= hoped:
            set_constraints(trial, overshoot(taken, job.target))
            trial.set_user_attr("cost", taken.to_dict())
            _end(trial, "hopeless", f"trial {other.number} costs no more and is {better}")
            raise optuna.TrialPruned(trial.user_attrs["reason"])


def _end(trial: Trial, outcome: str, reason: str) -> None:
    """Record how a trial ended; one word of `OUTCOMES` and a sentence."""
    trial.set_user_attr("outcome", outcome)
    if reason:
        trial.set_user_attr("reason", reason)


def set_constraints(trial: Trial, excess: Mapping[str, float]) -> None:
    """Set what must not be above zero.

    optuna-dashboard 0.21 knows only the attribute that `set_constraint` replaced, and would show
    an infeasible trial as feasible: it is written too, which takes a private name of Optuna.
    """
    for name, value in excess.items():
        trial.set_constraint(name, float(value))
    old = [float(value) for value in excess.values()]
    trial.storage.set_trial_system_attr(trial._trial_id, "constraints", old)


def trial_constraints(trial: Trial) -> dict[str, Any]:
    """The constraints that a running trial has set."""
    attributes = trial.storage.get_trial_system_attrs(trial._trial_id)
    return {key: value for key, value in attributes.items() if key.startswith("constraints")}


def _same(trial: Trial, attribute: str, value: str) -> FrozenTrial | None:
    """An earlier trial whose attribute has the same value and whose outcome stands for both."""
    for other in trial.study.get_trials(deepcopy=False):
        outcome = other.user_attrs.get("outcome")
        settled = outcome in ("measured", "infeasible", "hopeless", "invalid", "failed")
        if settled and other.number != trial.number and other.user_attrs.get(attribute) == value:
            return other
    return None


def _repeat(trial: Trial, earlier: FrozenTrial) -> tuple[float, ...]:
    """Answer a trial with what an earlier one found."""
    for name in COPIED:
        if name in earlier.user_attrs:
            trial.set_user_attr(name, earlier.user_attrs[name])
    excess = {name: value for name, value in earlier.constraints.items() if not name.isdigit()}
    if excess and not trial_constraints(trial):
        set_constraints(trial, excess)
    trial.set_user_attr("repeats", earlier.number)
    _end(trial, "repeated", f"means the same work as trial {earlier.number}")
    if earlier.state is not TrialState.COMPLETE:
        raise optuna.TrialPruned(f"as trial {earlier.number}")
    return tuple(earlier.values)


def steps_data(recipe: Recipe) -> list[dict[str, Any]]:
    """A recipe as plain data, for a trial's attributes."""
    return [step_data(step) for step in recipe.steps]


def recipe_of(steps: list[dict[str, Any]]) -> Recipe:
    """The recipe that `steps_data` wrote."""
    return Recipe(tuple(component_from(step) for step in steps))


def fits(trial: FrozenTrial) -> bool:
    """Whether a trial violates no constraint."""
    return all(excess <= 0 for excess in trial.constraints.values())


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have ended; one that was interrupted is not."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False, states=states)
    return [
        trial for trial in trials if trial.user_attrs.get("outcome") not in (None, "interrupted")
    ]


def measured(study: optuna.Study) -> list[FrozenTrial]:
    """The trials whose cost and accuracy were measured, without repetitions."""
    return [trial for trial in ended(study) if trial.user_attrs["outcome"] == "measured"]


def baseline(study: optuna.Study) -> FrozenTrial | None:
    """The trial that measured the original."""
    return next((trial for trial in measured(study) if "planned" in trial.user_attrs), None)


def baseline_cost(study: optuna.Study, otherwise: Cost) -> Cost:
    """The cost of the original; while that is what is being measured, its own."""
    original = baseline(study)
    return otherwise if original is None else metrics_of(original).cost


def front_of(study: optuna.Study) -> list[FrozenTrial]:
    """Optuna's best trials without repetitions; of equal ones the first."""
    if not measured(study):
        return []
    first: dict[tuple[float, ...], FrozenTrial] = {}
    for trial in study.best_trials:
        if trial.user_attrs.get("outcome") == "measured":
            first.setdefault(tuple(trial.values), trial)
    return list(first.values())


def metrics_of(trial: FrozenTrial) -> Metrics:
    """What was measured in a trial."""
    figures = dict(trial.user_attrs["figures"])
    figures.pop("balanced_ratio")
    validation, test = figures.pop("accuracy_validation"), figures.pop("accuracy_test")
    guessing = figures.pop("at_chance", False)  # studies of 0.1.0 do not know
    return Metrics(cost_from(figures), validation, test, guessing)


def counts(study: optuna.Study) -> dict[str, int]:
    """How many trials ended in each way."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False, states=states)
    found = Counter(trial.user_attrs.get("outcome", "failed") for trial in trials)
    return {outcome: found[outcome] for outcome in OUTCOMES}


def cache_counts(study: optuna.Study) -> tuple[int, int]:
    """How often the trials found something in the cache, and how often not."""
    trials = ended(study)
    hits = sum(trial.user_attrs.get("cache_hits", 0) for trial in trials)
    return hits, sum(trial.user_attrs.get("cache_misses", 0) for trial in trials)
