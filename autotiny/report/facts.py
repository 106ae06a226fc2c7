"""A finished study as plain data: what `pareto.csv` and `pareto.json` hold."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from typing import TypedDict

from autotiny.study import Point, Result
from autotiny.target import Target


class PointFacts(TypedDict):
    """One line of `pareto.csv`."""

    trial: int
    sequence: str
    accuracy_validation: float
    accuracy_test: float | None
    at_chance: bool
    flash_bytes: int
    sram_bytes: int
    cycles: int
    latency_ms: float
    energy_estimated_mj: float
    active_current_error_percent: int | None
    runtimes: list[str]
    recipe: str


class FrontFacts(PointFacts):
    """A point of the front, and whether it keeps within the accuracy budget."""

    within_budget: bool


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
    accuracy_drop: float
    interrupted: bool
    seconds: float
    trials: dict[str, int]
    cache: dict[str, int]
    notices: list[str]
    baseline: PointFacts | None
    best: BestFacts | None
    front: list[FrontFacts]
    shortfall: ShortfallFacts | None


COLUMNS = tuple(PointFacts.__annotations__)


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
    return result.job.objectives[0] if result.job.objectives else "accuracy"


def best_point(result: Result) -> Point | None:
    """The point that `best.json` holds."""
    return result.best.get(asked(result))


def point_facts(point: Point, target: Target) -> PointFacts:
    """One line of `pareto.csv`, as plain data."""
    cost = point.metrics.cost
    return {
        "trial": point.trial,
        "sequence": str(point.recipe),
        "accuracy_validation": point.metrics.accuracy_validation,
        "accuracy_test": point.metrics.accuracy_test,
        "at_chance": point.metrics.at_chance,
        "flash_bytes": cost.flash_bytes,
        "sram_bytes": cost.sram_bytes,
        "cycles": cost.cycles,
        "latency_ms": cost.latency_ms,
        "energy_estimated_mj": cost.energy_estimated_mj,
        "active_current_error_percent": target.active_current_error_percent,
        "runtimes": list(point.runtimes),
        "recipe": recipe_path(point),
    }


def csv_text(front: Sequence[Point], target: Target) -> str:
    """`pareto.csv`; the runtimes of a point are joined by a plus sign."""
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for point in front:
        facts = point_facts(point, target)
        writer.writerow({**facts, "runtimes": "+".join(facts["runtimes"])})
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
        "accuracy_drop": job.accuracy_drop,
        "interrupted": result.interrupted,
        "seconds": round(result.seconds, 1),
        "trials": dict(result.counts),
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
            {**point_facts(point, job.target), "within_budget": point.within_budget}
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
    }
