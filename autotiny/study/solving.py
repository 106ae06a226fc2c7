"""The schedules of what a search found, solved when its trials have ended.

How each layer is computed changes no score, only cost, and which way is best is no matter of luck:
`solve_schedule` measures them all. It takes some seconds for each new set of shapes, more than a
short fine-tune, so that trials draw schedules, and the best of what they found gets a solved one.
Each is a trial of its own, which trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import optuna

from autotiny.components.program.solve_schedule import SolveSchedule
from autotiny.recipe import Recipe
from autotiny.study.bounds import FIGURES
from autotiny.study.job import Job
from autotiny.study.record import (
    SOLVED,
    TrialRecord,
    ended,
    enqueue,
    known,
    scores_of,
    set_scores,
)  # fmt: skip
from autotiny.study.seeds import best_of, budget, contenders

SOLVED_POINTS = 3
"""Of so many points of the front the schedule is solved unless asked otherwise."""


def solve_schedules(
    study: optuna.Study, job: Job, points: int, *, run: Callable[[], None],
    goes_on: Callable[[], bool], tell: Callable[[str], None], note: Callable[[str], None],
) -> None:  # fmt: skip
    """Try the best of the front with solved schedules, or where nothing fits, what misses least.

    Args:
        study: whose trials have ended.
        job: what was searched for.
        points: so many of the front, those first that are named best.
        run: runs the trials that are queued for that.
        goes_on: whether there is time for one more.
        tell: called with what is solved next.
        note: called with why a schedule could not be solved.
    """
    for record, recipe in to_solve(study, job, points):
        if not goes_on():
            return
        tried = [one for one in known(study) if one.planned == recipe.key]
        if not tried:
            enqueue(study, {}, TrialRecord(queued=SOLVED, planned=recipe.key, recipe=recipe))
        if not any(one.outcome for one in tried):
            tell(f"solving the schedule of trial {record.number}")
            run()
            for reason in _refusals(study, recipe):
                note(f"trial {record.number}: {reason}")
        _same_scores(study, record.number, recipe)


def to_solve(study: optuna.Study, job: Job, points: int) -> list[tuple[TrialRecord, Recipe]]:
    """The trials whose schedules are to be solved, and the recipe that does it for each."""
    if job.stream is not None:  # what listens without end is scheduled hop by hop
        return []
    best = _best_first(study, job)
    chosen = distinct(best or nearest_misses(study, job), job, bool(best), points)
    return [(record, recipe) for record, recipe in chosen if recipe != record.recipe]


def distinct(
    records: Iterable[TrialRecord], job: Job, fit: bool, points: int
) -> Iterator[tuple[TrialRecord, Recipe]]:
    """So many records with their solved recipes, of those that come to the same the first.

    What has a solved schedule stands for itself.
    """
    found: set[str] = set()
    for record in records:
        recipe = record.recipe
        if recipe is not None and "solve_schedule" not in recipe.names:
            recipe = solved_recipe(record, job, fits=fit)
        if recipe is None or recipe.key in found:
            continue
        if len(found) == points:
            return
        found.add(recipe.key)
        yield record, recipe


def _refusals(study: optuna.Study, recipe: Recipe) -> Iterator[str]:
    """Why no schedule was solved, where none was."""
    for one in known(study):
        if one.planned == recipe.key:
            yield from (two.reason for two in one.dropped if two.component == "solve_schedule")


def _best_first(study: optuna.Study, job: Job) -> list[TrialRecord]:
    """The front: what is named best, then what keeps the budget, the cheapest first."""
    front = contenders(study, job, budget(study, job))
    rest = sorted(front, key=lambda one: (not one.within_budget, one.values[1:], one.record.number))
    every = [*best_of(front, job).values(), *rest]
    return [*{one.record.number: one.record for one in every}.values()]


def nearest_misses(study: optuna.Study, job: Job) -> list[TrialRecord]:
    """What misses memory or bounds by the smallest shares, where a score is not among them."""
    has = {"flash": job.target.flash_bytes, "sram": job.target.sram_bytes}
    scores = {f"{one.side} {one.name}" for one in job.bounds.each if one.name not in FIGURES}

    def share(record: TrialRecord) -> float:
        missed = record.constraints.items()
        return max((excess / has.get(name, 1) for name, excess in missed), default=0)

    tried = [
        one
        for one in ended(study)
        if one.outcome in ("measured", "infeasible")
        and one.repeats is None
        and not any(one.constraints.get(name, 0) > 0 for name in scores)
    ]
    return sorted(tried, key=lambda one: (share(one), one.number))


def solved_recipe(record: TrialRecord, job: Job, *, fits: bool = True) -> Recipe | None:
    """A sequence with a solved schedule in place of the one it has; None where that has no use.

    That is where it has one already, or one for two cores, as solved ones are for one. Latency is
    made small, or energy by it, or else what the search made small; what it made small besides gets
    no larger. What does not fit is made as fast as it can be where it does.
    """
    recipe, cost = record.recipe, record.cost
    if recipe is None or cost is None or {"solve_schedule", "partition_cores"} & {*recipe.names}:
        return None
    asked = {*job.objectives} if fits else set()
    bytes_asked = {name for name, goal in (("flash", "size"), ("sram", "sram")) if goal in asked}
    minimize = "latency"
    if asked and asked <= {"size", "sram"}:
        minimize = "flash" if "flash" in bytes_asked else "sram"
    if "balanced" in asked:
        bytes_asked = {"flash", "sram"}
    taken = {"flash": cost.flash_bytes, "sram": cost.sram_bytes}
    most = {
        name: taken[name] if name in bytes_asked - {minimize} else most_bytes
        for name, most_bytes in job.bounds.most_bytes(job.target).items()
    }
    kept = [step for step in recipe.steps if step.name not in SolveSchedule.not_after]
    solve = SolveSchedule(minimize, most["flash"], most["sram"])  # type: ignore[arg-type]
    return Recipe((*kept, solve))


def _same_scores(study: optuna.Study, number: int, recipe: Recipe) -> None:
    """With more seeds, a sequence scores what it does whatever its schedule is."""
    scores = scores_of(study).get(number)
    if scores is None:
        return
    for one in known(study):
        if one.queued == SOLVED and one.planned == recipe.key and one.outcome == "measured":
            set_scores(study, one.number, scores)
