"""What is tried first, what chance draws, and when it is enough; all read off the study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from autotiny.cache import key_of
from autotiny.components import is_lowering
from autotiny.model import Level
from autotiny.recipe import Recipe
from autotiny.space import answers_for, draw, load_space
from autotiny.study.job import EHVI, Job
from autotiny.study.observed import earlier
from autotiny.study.preflight import baseline_recipe
from autotiny.study.record import (
    BASELINE,
    FINISHED,
    KNOWN_GOOD,
    SOLVED,
    UNENDED,
    TrialRecord,
    enqueue,
    known,
    set_candidates,
)

BY_CHANCE = 10
"""Sequences drawn by chance before the sampler, which needs some to learn from."""

TRIALS = 40
"""Trials of a search unless asked otherwise: about three minutes on the built-in network."""

FIRST = 4
"""Known good sequences that are tried before any is weighed."""

EXHAUSTED = 30
"""So many repetitions in a row mean that a space holds nothing else."""


def plan(study: optuna.Study, job: Job, known_good: Iterable[Recipe]) -> None:
    """Queue what is tried first: the original, then known good sequences.

    What an earlier process queued is left as it is, and what it had no time for is added. Where
    sequences are weighed, the first are enough to begin with, and the others are weighed, too; all
    are where earlier studies tell scores.
    """
    queued = {record.planned for record in known(study) if record.planned}
    original = baseline_recipe(job)
    suited = [_suited(recipe, job) for recipe in (*job.space.first, *known_good)]
    planned = {recipe.key: recipe for recipe in suited if recipe}
    planned.pop(original.key, None)
    if original.key not in queued:
        # It is measured even where the space cannot draw it.
        record = TrialRecord(queued=BASELINE, planned=original.key, recipe=original)
        enqueue(study, answers_for(original, job.space, job.model.start) or {}, record)
    at_once = len(planned)
    if job.sampler == EHVI:
        at_once = 0 if earlier(study) else FIRST
    for key, recipe in [*planned.items()][:at_once]:
        answers = answers_for(recipe, job.space, job.model.start)
        if answers is not None and key not in queued:
            enqueue(study, answers, TrialRecord(queued=KNOWN_GOOD, planned=key))
    set_candidates(study, [*planned.values()][at_once:])


def _suited(recipe: Recipe, job: Job) -> Recipe | None:
    """What a space can draw of a sequence; None where nothing is left.

    That is all of it, or else what is left without the components that the space has not, such as
    those that have nothing to do on this network.
    """
    whole = from_level(job.model.start, recipe)
    left = Recipe(tuple(step for step in whole.steps if step.name in job.space.components))
    for one in (whole, left):
        if answers_for(one, job.space, job.model.start) is not None:
            return one
    return None


def from_level(start: Level, recipe: Recipe) -> Recipe:
    """What is left of a sequence for a model that has its lowering behind it, as a `.tflite`."""
    if start not in (Level.TFLITE, Level.PROGRAM):
        return recipe
    return Recipe(
        tuple(step for step in recipe.steps if step.takes(start) and not is_lowering(step))
    )


def plan_again(study: optuna.Study) -> None:
    """Queue once more what failed by a fault of the machine, unless that was done since."""
    done = {record.again for record in known(study)}
    for trial in study.get_trials(deepcopy=False):
        record = TrialRecord.load(trial)
        if record.outcome == "faulted" and record.number not in done:
            enqueue(study, trial.params, replace(record.as_queued(), again=record.number))


def tutorial_recipes() -> tuple[Recipe, ...]:
    """The sequences that did best in the tutorial."""
    return load_space("seed_tutorial").first


def is_chances_turn(trials: Sequence[FrozenTrial]) -> bool:
    """Whether chance should draw the next sequence rather than the sampler.

    It has to before the sampler has something to learn from, and after a repetition or a fault of
    the machine: from those the sampler learns nothing, and would go on to draw them.
    """
    if any(trial.state is TrialState.WAITING for trial in trials):
        return False
    finished = [TrialRecord.load(trial) for trial in trials if trial.state in FINISHED]
    drawn = sum(not record.queued for record in finished if record.outcome not in UNENDED)
    outcomes = {record.outcome for record in finished[-1:]}
    return drawn < BY_CHANCE or not outcomes.isdisjoint(("repeated", "faulted"))


def enqueue_by_chance(study: optuna.Study, job: Job, number: int) -> None:
    """Queue a sequence drawn by chance, from the seed and the number of its trial."""
    recipe = draw(job.space, job.model.start, int(key_of(job.seed, number)[:8], 16))
    enqueue(study, answers_for(recipe, job.space, job.model.start) or {}, TrialRecord())


def total(study: optuna.Study, trials: int | None) -> int | None:
    """How many different sequences a study is to hold.

    None where a search with a warm start asks for no number: what it finds decides.
    """
    return trials or (None if earlier(study) else TRIALS)


def tried(records: Iterable[TrialRecord]) -> int:
    """How many different sequences were tried, of those that count as trials of a search."""
    return sum(one.outcome != "repeated" for one in records if one.queued != SOLVED)


def enough(records: Iterable[TrialRecord], trials: int | None) -> bool:
    """Whether so many different sequences were tried, or the space seems to hold no others.

    Args:
        records: of the trials that have ended.
        trials: how many; None stands for `TRIALS`, with a warm start or without.
    """
    records = list(records)
    last = [record.outcome for record in records if record.queued != SOLVED][-EXHAUSTED:]
    exhausted = len(last) == EXHAUSTED and set(last) == {"repeated"}
    return exhausted or tried(records) >= (trials or TRIALS)
