"""What happens in a trial.

A trial goes through three gates, cheapest first. Its cost is known before any training, because
flash, SRAM and latency hang on the shape of a network: what does not fit the target, or could not
reach the front even if it were somewhat better than the original, is pruned and never trained; what
codes or skips weights is not judged by those that are not trained yet. What has been measured under
another sequence is answered from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import Trial

from autotiny.errors import (
    BrokenPromise,
    FirmwareFault,
    InvalidModel,
    LinkError,
    TrainingDiverged,
    UnsupportedOp,
    WorkerEnded,
)
from autotiny.metrics import Cost, Metrics, overshoot
from autotiny.recipe import Candidate, Recipe
from autotiny.space import answers_for, suggest
from autotiny.study.bounds import worst_latency_ms
from autotiny.study.evaluator import metrics_of
from autotiny.study.job import Job
from autotiny.study.record import AS_IT_IS, BASELINE, SOLVED, TrialRecord, original_of
from autotiny.study.turns import seen_by
from autotiny.tasks import Score

REFUSALS = {
    UnsupportedOp: "invalid",
    InvalidModel: "invalid",
    TrainingDiverged: "failed",
    BrokenPromise: "failed",
    FirmwareFault: "failed",
    LinkError: "failed",
    WorkerEnded: "failed",
}
"""What ends one trial and not the search; everything else is a bug or the user's to mend."""


@dataclass
class _Draft:
    """What is known of a running trial so far."""

    record: TrialRecord

    def note(self, **found: Any) -> None:
        """Add to the record."""
        self.record = replace(self.record, **found)


Gate = Callable[[], AbstractContextManager[None]]
"""What keeps the other processes of a study out meanwhile."""


def try_sequence(trial: Trial, job: Job, gate: Gate = nullcontext) -> TrialRecord:
    """Draw a sequence, measure what it costs, train only if it may pay; store what came of it.

    What is no outcome of the sequence (Ctrl-C, a fault of the machine, a bug) is raised, and leaves
    a trial without outcome.
    """
    hits, misses = job.cache.hits, job.cache.misses
    draft = _Draft(TrialRecord.load(trial))
    try:
        _try(trial, job, draft, gate)
    except tuple(REFUSALS) as refusal:
        draft.note(outcome=REFUSALS[type(refusal)], reason=str(refusal))
    draft.note(cache_hits=job.cache.hits - hits, cache_misses=job.cache.misses - misses)
    draft.record.store(trial)
    return draft.record


def _try(trial: Trial, job: Job, draft: _Draft, gate: Gate) -> None:
    """Take a trial as far as it is worth it; the draft says how far that was."""
    queued = draft.record.queued
    planned = draft.record.recipe if queued in AS_IT_IS else None
    recipe = suggest_or(planned, trial, job).canonical()
    told = {} if queued else _proposed(trial)
    draft.note(recipe=recipe, recipe_key=recipe.key, **told)
    with gate():  # of two processes that draw the same at once, the second one sees the first
        draft.record.store(trial)
        others = seen_by(trial.study, trial.number)
    for other in others:
        if other.recipe_key == recipe.key and other.settled:
            return _repeat(draft, other)
        if other.recipe_key == recipe.key and not other.outcome:
            # It is run again if its process dies: nothing is lost.
            reason = f"means the same work as trial {other.number}, which runs at the same time"
            return draft.note(outcome="repeated", reason=reason, repeats=other.number)

    if any(step.trains for step in recipe.steps) and queued != SOLVED:  # which was trained
        rehearsed = job.cost(job.candidate(recipe, rehearse=True).model)
        if _misfits(draft, job, rehearsed):
            return None
        judged = not queued and not recipe.reads_weights
        if judged and _is_hopeless(draft, job, rehearsed, _settled(trial)):
            return None
    candidate = job.candidate(recipe)
    _note(draft, recipe, candidate)
    settled = _settled(trial)
    for earlier in settled:
        if earlier.result_key == candidate.key:
            return _repeat(draft, earlier)
    taken = job.cost(candidate.model)
    if queued != BASELINE and _misfits(draft, job, taken):
        return None
    draft.note(constraints=job.excess(taken))
    metrics = metrics_of(taken, job.score(candidate.model, "validation"), job.data)
    draft.note(
        constraints=job.excess(taken, metrics.score_validation),
        reason=job.missed(taken, metrics.score_validation),
        metrics=metrics,
        runtimes=job.evaluator.runtimes(candidate.model),
        values=values_of(metrics, job, baseline_cost(settled, taken)),
        outcome="measured",
    )
    return None


def suggest_or(planned: Recipe | None, trial: Trial, job: Job) -> Recipe:
    """The recipe planned for a trial, or one drawn from the space."""
    if planned is None:
        return suggest(trial, job.space, job.model.start)
    if answers_for(planned, job.space, job.model.start) is not None:
        suggest(trial, job.space, job.model.start)  # so that the sampler learns from it too
    return planned


def _proposed(trial: Trial) -> dict[str, Any]:
    """What a sampler that weighs sequences tells of the one that it proposed for a trial."""
    ask = getattr(trial.study.sampler, "proposed", None)
    found = ask(trial.study, trial.number) if ask else None
    return {} if found is None else {"weighed": found.weighed, "rehearsals": found.rehearsals}


def _note(draft: _Draft, recipe: Recipe, candidate: Candidate) -> None:
    """Record what became of a sequence."""
    draft.note(result_key=candidate.key, notes=candidate.model.facts())
    if candidate.dropped:
        idle = {dropped.component for dropped in candidate.dropped}
        effective = Recipe(tuple(step for step in recipe.steps if step.name not in idle))
        draft.note(drawn=recipe, recipe=effective, dropped=candidate.dropped)


def values_of(metrics: Metrics, job: Job, original: Cost) -> tuple[float, ...]:
    """What the study optimizes: the score first, then the figures that were asked for."""
    taken = metrics.cost
    ratios = (
        taken.latency_ms / original.latency_ms,
        taken.flash_bytes / original.flash_bytes,
        taken.sram_bytes / original.sram_bytes,
    )
    figures = {
        **metrics.to_dict(),
        "worst_latency_ms": worst_latency_ms(taken, job.target),
        "balanced_ratio": math.prod(ratios) ** (1 / len(ratios)),
    }
    return (metrics.score_validation, *(float(figures[name]) for name in job.figures))


def _misfits(draft: _Draft, job: Job, taken: Cost) -> bool:
    """Whether a cost misses the target or a bound; if so, that is the outcome."""
    missed = job.missed(taken)
    if missed:
        draft.note(
            constraints=job.excess(taken), rehearsed=taken, outcome="infeasible", reason=missed
        )
    return bool(missed)


def _is_hopeless(draft: _Draft, job: Job, taken: Cost, settled: Sequence[TrialRecord]) -> bool:
    """Whether a cost could not reach the front even if better than the original.

    By one standard error of the score measured on the validation split, that is: so much may be
    chance, or a fine-tune may win where the original was not trained to its end.
    """
    original = original_of(settled)
    if original is None or original.metrics is None or not job.figures:
        return False
    score = Score(original.values[0], original.metrics.error_validation)
    hoped = job.data.task.hoped(score)
    costs = values_of(Metrics(taken, hoped), job, baseline_cost(settled, taken))[1:]
    gain = job.metric.text(abs(hoped - score.value))
    better = f"{gain} better than the original, or more"
    for other in (record for record in settled if record.outcome == "measured"):
        cheap = all(theirs <= ours for theirs, ours in zip(other.values[1:], costs, strict=True))
        if other.fits and cheap and not job.metric.better(hoped, other.values[0]):
            draft.note(
                constraints=overshoot(taken, job.target),
                rehearsed=taken,
                outcome="hopeless",
                reason=f"trial {other.number} costs no more and is {better}",
            )
            return True
    return False


def _settled(trial: Trial) -> list[TrialRecord]:
    """Of the other trials those whose outcome stands for the same work done again."""
    return [record for record in seen_by(trial.study, trial.number) if record.settled]


def _repeat(draft: _Draft, earlier: TrialRecord) -> None:
    """Answer a trial with what an earlier one found."""
    own = draft.record
    applied = own if own.result_key else earlier
    draft.record = replace(
        earlier,
        number=own.number,
        queued=own.queued,
        planned=own.planned,
        again=own.again,
        weighed=own.weighed,
        rehearsals=own.rehearsals,
        drawn=applied.drawn or _as_drawn(own, earlier),
        dropped=applied.dropped,
        recipe_key=own.recipe_key,
        result_key=own.result_key,
        outcome="repeated",
        reason=f"means the same work as trial {earlier.number}",
        repeats=earlier.number,
    )


def _as_drawn(own: TrialRecord, earlier: TrialRecord) -> Recipe | None:
    """The recipe of a trial, where it came to that of an earlier one though it is another."""
    same = own.recipe is None or earlier.recipe is None or own.recipe.key == earlier.recipe.key
    return None if same else own.recipe


def baseline_cost(settled: Iterable[TrialRecord], otherwise: Cost) -> Cost:
    """The cost of the original; while that is what is being measured, its own."""
    original = original_of(settled)
    return otherwise if original is None or original.cost is None else original.cost
