"""What is known of a trial: one record, and the only place that reads and writes its attributes.

A record is stored in one act, outcome and values together, so that a process that dies leaves all
of a trial or nothing of it. Optuna's own state and values follow from it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from autotiny.evaluate import cost_from
from autotiny.metrics import Cost, Metrics, score_names
from autotiny.recipe import Dropped, Recipe, component_from, step_data

SCHEMA = 5
"""Version of what a study holds; raised when an older study could not be continued.

1: early autotiny 0.1.0, with an attribute for each thing that was known of a trial. 2: without what
must be the same when a study is continued: seed, versions, accuracy budget. 3: of classification
alone. 4: without the name of the sampler.
"""

RECORD = "record"
"""The attribute of a trial that holds its record, as JSON text."""

JOB, ASKED = "job", "trials"
"""The attributes of a study that tell its workers what it is for, and how many trials are asked."""

AT_ONCE = "at_once"
"""The attribute of a study that holds how many of its trials may run at once; see `turns`."""

CANDIDATES = "candidates"
"""The attribute of a study that holds sequences to weigh, as the steps of each."""

EARLIER = "earlier"
"""The attribute of a study that holds what earlier ones found, as JSON text."""

SCORES = "scores"
"""The attribute of a study that holds what trials score when they are trained with more seeds."""

HOLDER = "holder"
"""The attribute of a trial that names the process which runs it; see `holding`."""

OUTCOMES = {
    "measured": "cost and score are known",
    "repeated": "means the same work as an earlier trial, and was answered from there",
    "infeasible": "does not fit the target or what was asked; not trained",
    "hopeless": "cannot reach the front even if better than the original; not trained",
    "invalid": "the sequence gives a model that cannot be built",
    "failed": "a component did not keep its promise, or the firmware did not run",
    "faulted": "the machine failed, not the sequence; the next search tries it again",
}

BASELINE, KNOWN_GOOD, SOLVED = "baseline", "known good", "solved"
"""What may be queued: the original, sequences that did well elsewhere, and what was found with a
schedule that is solved."""

AS_IT_IS = (BASELINE, SOLVED)
"""What is measured even where the space cannot draw it."""

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

UNENDED = ("", "faulted")
"""Outcomes of finished trials that tell nothing of their sequences; those are tried again."""


@dataclass(frozen=True)
class Rehearsal:
    """What a sequence costs that was lowered, linked and executed, and not trained for that.

    Attributes:
        recipe: the sequence.
        costs: the study's values behind the score; None if it does not fit, or cannot be built.
        trained: whether what it trains was trained before, so that its weights are what they are.
        repeats: whether it comes to what was tried.
    """

    recipe: Recipe
    costs: tuple[float, ...] | None
    trained: bool = False
    repeats: bool = False

    @property
    def useless(self) -> bool:
        """Whether there is nothing to try."""
        return self.costs is None or self.repeats


@dataclass(frozen=True)
class TrialRecord:
    """What is known of a trial.

    Attributes:
        number: of the trial; it is Optuna's, and not stored again.
        queued: `BASELINE`, `KNOWN_GOOD` or `SOLVED`; "" where the sampler or chance drew it.
        planned: key of the recipe that was queued.
        again: number of the trial that a fault of the machine ended, and that this one repeats.
        recipe: the components that did something, in order; None until one is drawn.
        drawn: the recipe as it was drawn, where components had nothing to do.
        outcome: one of `OUTCOMES`; "" until it is known.
        reason: why it ended so, in a sentence.
        values: what the study optimizes, the score first; empty where nothing was measured.
        metrics: what was measured.
        rehearsed: the cost of a sequence that was not trained.
        constraints: by how much it exceeds each resource of the target, and each bound; zero or
            less where it fits.
        dropped: components that were drawn and found nothing to do.
        runtimes: what can run the `.tflite`.
        notes: what components found of their result, e.g. sparsity.
        recipe_key: of the recipe as drawn: equal keys are the same work.
        result_key: of the result: equal keys are the same model.
        weighed: of how many sequences it was chosen.
        rehearsals: those of them whose costs were found out, its own among them.
        repeats: number of the earlier trial that answered this one.
        cache_hits: prefixes and figures found in the cache.
        cache_misses: prefixes and figures that had to be made.
    """

    number: int = -1
    queued: str = ""
    planned: str = ""
    again: int | None = None
    recipe: Recipe | None = None
    drawn: Recipe | None = None
    outcome: str = ""
    reason: str = ""
    values: tuple[float, ...] = ()
    metrics: Metrics | None = None
    rehearsed: Cost | None = None
    constraints: Mapping[str, float] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
    runtimes: tuple[str, ...] = ()
    notes: Mapping[str, float | str] = field(default_factory=dict)
    recipe_key: str = ""
    result_key: str = ""
    weighed: int = 1
    rehearsals: tuple[Rehearsal, ...] = ()
    repeats: int | None = None
    cache_hits: int = 0
    cache_misses: int = 0

    @property
    def sequence(self) -> str:
        """The recipe for the reader."""
        return "no sequence" if self.recipe is None else str(self.recipe)

    @property
    def cost(self) -> Cost | None:
        """What it takes of the target, measured or rehearsed."""
        return self.metrics.cost if self.metrics else self.rehearsed

    @property
    def settled(self) -> bool:
        """Whether its outcome also stands for a later trial of the same work."""
        return self.outcome not in ("", "repeated", "faulted")

    @property
    def fits(self) -> bool:
        """Whether it violates no constraint."""
        return all(excess <= 0 for excess in self.constraints.values())

    @classmethod
    def load(cls, trial: Trial | FrozenTrial) -> TrialRecord:
        """The record of a trial; an empty one where none was stored."""
        text = trial.user_attrs.get(RECORD)
        return cls(trial.number) if text is None else parsed(text, trial.number)

    def as_queued(self) -> TrialRecord:
        """What it was before it ran."""
        recipe = self.recipe if self.queued in AS_IT_IS else None
        return TrialRecord(self.number, self.queued, self.planned, self.again, recipe)

    def as_begun(self) -> TrialRecord:
        """What was known of it when its sequence was drawn."""
        return TrialRecord(
            self.number, self.queued, self.planned, self.again, self.drawn or self.recipe,
            recipe_key=self.recipe_key, weighed=self.weighed, rehearsals=self.rehearsals,
        )  # fmt: skip

    def store(self, trial: Trial) -> None:
        """Store the record in a running trial, and what optuna-dashboard lists beside it."""
        if self.constraints:
            set_constraints(trial, self.constraints)
        trial.set_user_attr("sequence", self.sequence)
        trial.set_user_attr("outcome", self.outcome or "running")
        trial.set_user_attr(RECORD, self.to_json())

    def to_json(self) -> str:
        """The record as text."""
        return json.dumps(
            {
                "queued": self.queued,
                "planned": self.planned,
                "again": self.again,
                "recipe": _steps(self.recipe),
                "drawn": _steps(self.drawn),
                "outcome": self.outcome,
                "reason": self.reason,
                "values": self.values,
                "metrics": self.metrics and self.metrics.to_dict(),
                "rehearsed": self.rehearsed and self.rehearsed.to_dict(),
                "constraints": dict(self.constraints),
                "dropped": [[dropped.component, dropped.reason] for dropped in self.dropped],
                "runtimes": self.runtimes,
                "notes": dict(self.notes),
                "recipe_key": self.recipe_key,
                "result_key": self.result_key,
                "weighed": self.weighed,
                "rehearsals": [
                    [_steps(one.recipe), one.costs, one.trained, one.repeats]
                    for one in self.rehearsals
                ],
                "repeats": self.repeats,
                "cache_hits": self.cache_hits,
                "cache_misses": self.cache_misses,
            }
        )


@lru_cache(maxsize=16_384)
def parsed(text: str, number: int) -> TrialRecord:
    """What `TrialRecord.to_json` wrote of a trial; a study is read after each of its trials."""
    facts = json.loads(text)
    return TrialRecord(
        **{
            **facts,
            "number": number,
            "recipe": _recipe(facts["recipe"]),
            "drawn": _recipe(facts["drawn"]),
            "values": tuple(facts["values"]),
            "metrics": facts["metrics"] and _metrics(facts["metrics"]),
            "rehearsed": facts["rehearsed"] and cost_from(facts["rehearsed"]),
            "dropped": tuple(Dropped(*dropped) for dropped in facts["dropped"]),
            "runtimes": tuple(facts["runtimes"]),
            "rehearsals": tuple(_rehearsal(*one) for one in facts["rehearsals"]),
        }
    )


def _steps(recipe: Recipe | None) -> list[dict[str, Any]] | None:
    return None if recipe is None else [step_data(step) for step in recipe.steps]


def _recipe(steps: list[dict[str, Any]] | None) -> Recipe | None:
    return None if steps is None else Recipe(tuple(component_from(step) for step in steps))


def _rehearsal(
    steps: list[dict[str, Any]],
    costs: list[float] | None,
    trained: bool = False,
    repeats: bool = False,
) -> Rehearsal:
    recipe = Recipe(tuple(component_from(step) for step in steps))
    return Rehearsal(recipe, None if costs is None else tuple(costs), trained, repeats)


def _metrics(facts: dict[str, Any]) -> Metrics:
    cost = dict(facts)
    metric = cost.pop("metric")
    validation, test = (cost.pop(name) for name in score_names(metric))
    rest = {name: cost.pop(name) for name in ("at_chance", "error_validation")}
    threshold, outputs = cost.pop("threshold"), cost.pop("outputs", {})
    rest["threshold"] = tuple(threshold) if isinstance(threshold, list) else threshold
    return Metrics(cost_from(cost), validation, test, metric=metric, outputs=outputs, **rest)


def set_constraints(trial: Trial, excess: Mapping[str, float]) -> None:
    """Set what must not be above zero.

    `Trial.set_constraint` reads the trial again for each of them. optuna-dashboard 0.21 knows only
    the attribute that it replaced, and would show an infeasible trial as feasible: it is written,
    too. Both take private names of Optuna.
    """
    values = {name: float(value) for name, value in excess.items()}
    for name, value in values.items():
        trial.storage.set_trial_system_attr(trial._trial_id, f"constraints:{name}", value)
    trial.storage.set_trial_system_attr(trial._trial_id, "constraints", [*values.values()])


def enqueue(study: optuna.Study, answers: Mapping[str, Any], record: TrialRecord) -> None:
    """Queue a trial: the answers that its sequence is drawn by, and what is known of it."""
    study.enqueue_trial(dict(answers), user_attrs={RECORD: record.to_json()})


def invite(study: optuna.Study, job_key: str, trials: int | None) -> None:
    """Tell workers where the job lies in the cache, and how many trials are asked for, if any."""
    study.set_user_attr(ASKED, trials)
    study.set_user_attr(JOB, job_key)


def job_key(study: optuna.Study) -> str | None:
    """Where the job lies in the cache; None until the search has put it there."""
    key: str | None = study.user_attrs.get(JOB)
    return key


def trials_asked(study: optuna.Study) -> int | None:
    """How many trials a search asks its workers for, if it asks for a number."""
    asked: int | None = study.user_attrs[ASKED]
    return asked


def set_at_once(study: optuna.Study, trials: int) -> None:
    """Keep in a study how many of its trials may run at once."""
    study.set_user_attr(AT_ONCE, trials)


def at_once(study: optuna.Study) -> int | None:
    """How many trials of a study may run at once; None where each knows all that has ended."""
    many: int | None = study.user_attrs.get(AT_ONCE)
    return many


def set_candidates(study: optuna.Study, recipes: Iterable[Recipe]) -> None:
    """Keep sequences in a study that are to be weighed whatever else is."""
    found = [_steps(recipe) for recipe in recipes]
    if study.user_attrs.get(CANDIDATES, []) != found:
        study.set_user_attr(CANDIDATES, found)


def candidates(study: optuna.Study) -> list[Recipe]:
    """The sequences that are to be weighed whatever else is."""
    found = (_recipe(steps) for steps in study.user_attrs.get(CANDIDATES, []))
    return [recipe for recipe in found if recipe is not None]


def keep_earlier(study: optuna.Study, text: str) -> None:
    """Keep in a study what earlier ones found, as `observed` writes it."""
    study.set_user_attr(EARLIER, text)


def kept_earlier(study: optuna.Study) -> str:
    """What `keep_earlier` kept; an empty list where it kept nothing."""
    return str(study.user_attrs.get(EARLIER, "[]"))


def set_scores(study: optuna.Study, number: int, scores: Sequence[float]) -> None:
    """Keep what a trial scores on validation with several seeds, that of the study first."""
    kept = [None if math.isnan(score) else score for score in scores]
    study.set_user_attr(SCORES, {**study.user_attrs.get(SCORES, {}), str(number): kept})


def scores_of(study: optuna.Study) -> dict[int, tuple[float, ...]]:
    """What trials score on validation with several seeds; NaN where a training failed."""
    return {
        int(number): tuple(math.nan if score is None else score for score in scores)
        for number, scores in study.user_attrs.get(SCORES, {}).items()
    }


def hold(trial: Trial, holder: str) -> None:
    """Write on a running trial which process runs it."""
    trial.set_user_attr(HOLDER, holder)


def holder_of(trial: FrozenTrial) -> str | None:
    """The process that runs a trial, if it came so far as to write that."""
    return trial.user_attrs.get(HOLDER)


def put_back(study: optuna.Study, trial: FrozenTrial) -> None:
    """Let a trial that was left running wait again, with the answers it has and its number.

    Optuna's storages allow it, though only they have a name for it; a trial of another number would
    not be drawn as this one was.
    """
    record = TrialRecord.load(trial).as_queued()
    storage, number = study._storage, trial._trial_id
    storage.set_trial_user_attr(number, RECORD, record.to_json())
    storage.set_trial_user_attr(number, "outcome", "waiting")
    storage.set_trial_state_values(number, TrialState.WAITING)


def known(study: optuna.Study) -> list[TrialRecord]:
    """The records of all trials of a study, those that still run included."""
    return [TrialRecord.load(trial) for trial in study.get_trials(deepcopy=False)]


def ended(study: optuna.Study) -> list[TrialRecord]:
    """The records of the trials that have ended, each with an outcome of its sequence."""
    return ended_of(study.get_trials(deepcopy=False, states=FINISHED))


def ended_of(trials: Iterable[FrozenTrial]) -> list[TrialRecord]:
    """The same of trials that have been read."""
    records = [TrialRecord.load(trial) for trial in trials if trial.state in FINISHED]
    return [record for record in records if record.outcome not in UNENDED]


def measured(study: optuna.Study) -> list[TrialRecord]:
    """The trials whose cost and accuracy were measured, without repetitions."""
    return [record for record in ended(study) if record.outcome == "measured"]


def baseline(study: optuna.Study) -> TrialRecord | None:
    """The trial that measured the original."""
    return original_of(ended(study))


def original_of(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """That of them which measured the original."""
    measured = (record for record in records if record.outcome == "measured")
    return next((record for record in measured if record.queued == BASELINE), None)


def front_of(study: optuna.Study) -> list[TrialRecord]:
    """Optuna's best trials without repetitions; of equal ones the first."""
    return front_among(measured(study), study.directions)


def front_among(
    records: Iterable[TrialRecord], directions: Sequence[StudyDirection]
) -> list[TrialRecord]:
    """What was measured, fits, and is not dominated; of equal ones the first.

    Args:
        records: in the order of their numbers.
        directions: of the values.
    """
    signs = [1 if direction is StudyDirection.MINIMIZE else -1 for direction in directions]
    front: dict[tuple[float, ...], TrialRecord] = {}
    for record in records:
        if record.outcome != "measured" or not record.fits:
            continue
        own = tuple(sign * value for sign, value in zip(signs, record.values, strict=True))
        if not any(_no_worse(other, own) for other in front):
            front = {other: one for other, one in front.items() if not _no_worse(own, other)}
            front[own] = record
    return list(front.values())


def _no_worse(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(mine <= theirs for mine, theirs in zip(one, other, strict=True))


def counts(study: optuna.Study) -> dict[str, int]:
    """How many trials ended in each way."""
    trials = study.get_trials(deepcopy=False, states=FINISHED)
    found = Counter(TrialRecord.load(trial).outcome or "failed" for trial in trials)
    return {outcome: found[outcome] for outcome in OUTCOMES}


def cache_counts(study: optuna.Study) -> tuple[int, int]:
    """How often the trials found something in the cache, and how often not."""
    records = ended(study)
    return sum(record.cache_hits for record in records), sum(
        record.cache_misses for record in records
    )
