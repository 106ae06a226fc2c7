"""A finished study as plain data: what `pareto.csv` and `pareto.json` hold."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any, TypeAlias, TypedDict

from autotiny.metrics import score_names
from autotiny.study import Effect, Point, Result, Worth, worst_latency_ms
from autotiny.target import Target
from autotiny.tasks import ACCURACY

PointFacts: TypeAlias = dict[str, Any]
"""One line of `pareto.csv`, which also says `role`; in `pareto.json` a point of the front also says
`validation_by_seed`, its scores with each seed that it was trained with (null where that failed),
and `parts_at`, where its lowering parts from the trained network."""


class BestFacts(TypedDict):
    """The point that `best.json` holds."""

    objective: str
    trial: int
    within_budget: bool
    recipe: str


class ShortfallFacts(TypedDict):
    """Where nothing fits: the sequence that misses by the fewest bytes."""

    trial: int
    sequence: str
    flash_bytes: int
    sram_bytes: int
    excess_bytes: dict[str, int]


class NearMissFacts(TypedDict):
    """Where nothing keeps all that was asked: what comes nearest to a bound."""

    bound: str
    trial: int
    sequence: str
    value: float
    limit: float
    misses_by: str
    besides: list[str]


class EffectFacts(TypedDict):
    """How a figure changes, and its 95 % interval."""

    mean: float
    low: float
    high: float


class WorthFacts(TypedDict):
    """What a component, or the order of two, was worth; see `study.Worth`."""

    name: str
    instead: str
    trials_with: int
    trials_without: int
    score: EffectFacts | None
    costs_percent: dict[str, EffectFacts]
    note: str


class StudyFacts(TypedDict):
    """What `pareto.json` holds."""

    study: str
    model: str
    data: str
    data_read: list[str]
    target: str
    objectives: list[str]
    space: str
    seed: int
    task: str
    metric: str
    score_drop: str
    bounds: list[str]
    interrupted: bool
    seconds: float
    trials: dict[str, int]
    weighed: int
    cache: dict[str, int]
    notices: list[str]
    baseline: PointFacts | None
    best: BestFacts | None
    front: list[PointFacts]
    shortfall: ShortfallFacts | None
    near_misses: list[NearMissFacts]
    worth: list[WorthFacts]


def columns(metric: str, outputs: Iterable[str] = ()) -> tuple[str, ...]:
    """The columns of `pareto.csv`, whose scores are named after their metric.

    Args:
        metric: that the points are scored by.
        outputs: names of the scores of each output, where there are several.
    """
    return (
        "trial", "sequence", *score_names(metric), *outputs, "at_chance", "flash_bytes",
        "sram_bytes", "cycles", "latency_ms", "worst_latency_ms", "energy_estimated_mj",
        "active_current_error_percent",
        "rmse_to_original", "relative_error_to_original", "answers_as_original", "runtimes",
        "within_budget", "recipe",
    )  # fmt: skip


def points_of(result: Result) -> list[Point]:
    """The front, and the baseline if it is not part of it."""
    trials = {point.trial for point in result.front}
    baseline = result.baseline
    return [*result.front, *([baseline] if baseline and baseline.trial not in trials else [])]


def recipe_path(point: Point) -> str:
    """Where a point's recipe lies, seen from the study's folder."""
    return f"recipes/trial_{point.trial:04d}.json"


def asked(result: Result) -> str:
    """The objective that `best.json` is the best of: the first one asked for."""
    return result.job.objectives[0] if result.job.objectives else result.job.metric.name


def figures_asked(result: Result) -> frozenset[str]:
    """What is made small, and what has a bound."""
    bounds = result.job.bounds.each
    return frozenset((*result.job.objectives, *(bound.name for bound in bounds)))


def best_point(result: Result) -> Point | None:
    """The point that `best.json` holds."""
    return result.best.get(asked(result))


def point_facts(point: Point, target: Target) -> PointFacts:
    """One line of `pareto.csv`, as plain data."""
    cost = point.metrics.cost
    outputs = point.agreed.outputs if point.agreed else None
    validation, test = score_names(point.metrics.metric)
    facts = {
        "trial": point.trial,
        "sequence": str(point.recipe),
        validation: point.metrics.score_validation,
        test: point.metrics.score_test,
        **point.metrics.outputs,
        "at_chance": point.metrics.at_chance,
        "flash_bytes": cost.flash_bytes,
        "sram_bytes": cost.sram_bytes,
        "cycles": cost.cycles,
        "latency_ms": cost.latency_ms,
        "worst_latency_ms": worst_latency_ms(cost, target),
        "energy_estimated_mj": cost.energy_estimated_mj,
        "active_current_error_percent": target.active_current_error_percent,
        "rmse_to_original": outputs.rmse if outputs else None,
        "relative_error_to_original": outputs.relative if outputs else None,
        "answers_as_original": outputs.equal_answers if outputs else None,
        "runtimes": list(point.runtimes),
        "within_budget": point.within_budget,
        "recipe": recipe_path(point),
    }
    return {name: facts[name] for name in columns(point.metrics.metric, point.metrics.outputs)}


def _by_seed(point: Point) -> list[float | None]:
    scores = point.seeds.scores if point.seeds else (point.metrics.score_validation,)
    return [None if math.isnan(score) else score for score in scores]


BYTE_ORDER_MARK = "\ufeff"
"""Before a table, so that spreadsheets read it as UTF-8."""


def csv_text(
    points: Sequence[Point], target: Target, metric: str = ACCURACY.name,
    original: Point | None = None,
) -> str:  # fmt: skip
    """`pareto.csv`: the front, and the original where it is not part of it.

    The runtimes of a point are joined by a plus sign.
    """
    text = StringIO(BYTE_ORDER_MARK)
    text.seek(len(BYTE_ORDER_MARK))
    outputs = points[0].metrics.outputs if points else ()
    head = (*columns(metric, outputs), "role")
    writer = csv.DictWriter(text, head, lineterminator="\n")
    writer.writeheader()
    in_front = {point.trial for point in points}
    beside = [original] if original and original.trial not in in_front else []
    for point in (*points, *beside):
        facts = point_facts(point, target)
        first = original is not None and point.trial == original.trial
        roles = [*(["front"] if point.trial in in_front else []), *(["original"] if first else [])]
        row = {"runtimes": "+".join(facts["runtimes"]), "role": "+".join(roles)}
        writer.writerow({**facts, **row})
    return text.getvalue()


def study_facts(result: Result) -> StudyFacts:
    """`pareto.json`, and what `search --json` prints."""
    job = result.job
    best = best_point(result)
    short = result.shortfall
    return {
        "study": result.study.study_name,
        "model": job.model.source,
        "data": job.data.source,
        "data_read": list(job.data.described()),
        "target": job.target.source,
        "objectives": list(job.objectives),
        "space": job.space.name,
        "seed": job.seed,
        "task": job.data.task.asked,
        "metric": job.metric.name,
        "score_drop": job.score_drop.text(job.metric),
        "bounds": list(job.bounds.texts),
        "interrupted": result.interrupted,
        "seconds": round(result.seconds, 1),
        "trials": dict(result.counts),
        "weighed": result.weighed,
        "cache": {"hits": result.cache_hits, "misses": result.cache_misses},
        "notices": list(result.findings.notices),
        "baseline": point_facts(result.baseline, job.target) if result.baseline else None,
        "best": {
            "objective": asked(result),
            "trial": best.trial,
            "within_budget": best.within_budget,
            "recipe": "best.json",
        }
        if best
        else None,
        "front": [
            {
                **point_facts(point, job.target),
                "validation_by_seed": _by_seed(point),
                "parts_at": point.agreed.parts_at if point.agreed else "",
            }
            for point in result.front
        ],
        "shortfall": {
            "trial": short.trial,
            "sequence": str(short.recipe),
            "flash_bytes": short.cost.flash_bytes,
            "sram_bytes": short.cost.sram_bytes,
            "excess_bytes": dict(short.excess_bytes),
        }
        if short
        else None,
        "near_misses": [
            {
                "bound": str(near.bound),
                "trial": near.trial,
                "sequence": str(near.recipe),
                "value": near.value,
                "limit": near.bound.limit,
                "misses_by": near.by,
                "besides": list(near.besides),
            }
            for near in result.near
        ],
        "worth": [_worth_facts(worth) for worth in result.worth],
    }


def _worth_facts(worth: Worth) -> WorthFacts:
    return {
        "name": worth.name,
        "instead": worth.instead,
        "trials_with": worth.trials_with,
        "trials_without": worth.trials_without,
        "score": _effect_facts(worth.score) if worth.score else None,
        "costs_percent": {name: _effect_facts(one) for name, one in worth.costs.items()},
        "note": worth.note,
    }


def _effect_facts(effect: Effect) -> EffectFacts:
    return {"mean": effect.mean, "low": effect.low, "high": effect.high}
