"""A finished study on the terminal: the front, and how the search went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from rich.table import Table

from autotiny.metrics import Metrics
from autotiny.report.facts import points_of
from autotiny.report.tables import (
    AT_CHANCE,
    CHANCE_TEXT,
    WIDE,
    clock,
    duty,
    milliseconds,
    table,
)
from autotiny.study import Point, Result, ended, worst_latency_ms
from autotiny.study.job import Job
from autotiny.target import Target
from autotiny.tasks import Metric, Several, Task

OVER_BUDGET = "†"
"""Stands behind the score of a point that loses more of it than the user allows."""


def front_table(
    points: Sequence[Point],
    baseline: Point | None,
    target: Target,
    *,
    width: int,
    figures: Collection[str] = (),
) -> Table:
    """The front for the terminal, the fastest first; the wider, the more columns.

    Args:
        points: of the front.
        baseline: the original, if it was measured.
        target: the microcontroller.
        width: of the terminal.
        figures: names of those that were asked for, of which some have columns of their own.
    """
    wide = width >= WIDE
    stream = points[0].metrics.cost.stream
    timed = stream is not None and stream.duty_cycle is not None
    columns = ["trial", *score_headings(points[0].metric), "flash B", "SRAM B", "ms"]
    columns += ["worst ms"] if "worst_latency" in figures else []
    columns += ["duty %"] if timed else []
    columns += ["cycles", f"est. mJ {target.energy_error}", "runs in"] if wide else []
    made = table(*columns, "sequence", left=("runs in",), wraps=("sequence",))
    rows = list(points)
    if baseline and all(point.trial != baseline.trial for point in rows):
        rows.append(baseline)
    for point in rows:
        cost = point.metrics.cost
        cells = [
            str(point.trial),
            validation(point),
            point.metric.number(point.metrics.score_test),
            f"{cost.flash_bytes:,}",
            f"{cost.sram_bytes:,}",
            milliseconds(cost.latency_ms),
        ]
        if "worst_latency" in figures:
            cells.append(milliseconds(worst_latency_ms(cost, target)))
        if cost.stream and cost.stream.duty_cycle is not None:
            cells.append(duty(cost.stream.duty_cycle))
        if wide:
            cells += [f"{cost.cycles:,}", f"{cost.energy_estimated_mj:.4g}"]
            cells.append(", ".join(point.runtimes))
        original = baseline is not None and point.trial == baseline.trial
        note = " (the original)" if original else ""
        made.add_row(*cells, f"{point.recipe}{note}", style="dim" if original else None)
    return made


def search_summary(result: Result) -> str:
    """How a search went, in a line."""
    ended_how = ", ".join(f"{count} {outcome}" for outcome, count in result.counts.items() if count)
    questions = result.cache_hits + result.cache_misses
    trials = sum(result.counts.values())
    weighed = f"chosen of {result.weighed:,} sequences; " if result.weighed > trials else ""
    return (
        f"{trials} trials in {clock(result.seconds)}: {ended_how}; {weighed}"
        f"the cache answered {result.cache_hits} of {questions} questions"
    )


def why_nothing(result: Result) -> str:
    """Why a search found no firmware that fits, in words for the user."""
    if result.shortfall:
        beside = result.job.bounds.reserve.beside_text
        return f"nothing fits {result.job.target.name}{beside}: {result.shortfall}"
    if result.near:
        nearest = min(result.near, key=lambda near: len(near.besides))
        return f"nothing keeps {result.job.bounds}; nearest to {nearest}"
    reasons = Counter(
        record.reason for record in ended(result.study) if record.outcome in ("invalid", "failed")
    )
    most = reasons.most_common(1)
    return f"nothing could be measured: {most[0][0]}" if most else "no trial has ended"


def validation(point: Point) -> str:
    """The score on validation, marked if it lies beyond the budget or at chance level."""
    mark = "" if point.within_budget else OVER_BUDGET
    mark += AT_CHANCE if point.metrics.at_chance else ""
    return f"{point.metric.number(point.metrics.score_validation)}{mark}"


def score_headings(metric: Metric) -> tuple[str, str]:
    """Headings of the columns of scores on validation and test."""
    return f"valid {metric.heading}", f"test {metric.heading}"


def budget_text(job: Job) -> str:
    """How much of its score a best point may lose, in words."""
    worse = "below" if job.metric.higher else "above"
    return f"{job.score_drop.text(job.metric)} {worse} the original"


def outputs_text(task: Task | None, metrics: Metrics, split: str) -> str:
    """The score of each output, in a line; "" where one is all."""
    if not isinstance(task, Several) or not metrics.outputs:
        return ""
    scores = [metrics.outputs.get(f"{name}_{split}") for name in task.output_names]
    each = [
        f"{name} {one.scored_by.title} {one.scored_by.text(score)}"
        for name, one, score in zip(task.names, task.tasks, scores, strict=True)
    ]
    return f"each output on {split}: {', '.join(each)}"


def agreement_text(point: Point) -> str:
    """How near a point is to the original, in a line; "" where they cannot be compared."""
    if point.agreed is None:
        return ""
    outputs, samples = point.agreed.outputs, point.agreed.samples
    parts = []
    if outputs.equal_answers is not None:
        parts.append(f"{100 * outputs.equal_answers:.2f} % of {samples:,} test answers are its own")
    parts.append(f"outputs differ by {100 * outputs.relative:.3g} % of their spread (RMSE)")
    if len(outputs.outputs) > 1:
        parts[-1] += " where one differs most"
    if point.agreed.parts_at:
        parts.append(f"the lowering parts at {point.agreed.parts_at}")
    return "; ".join(parts)


def seeds_text(result: Result) -> str:
    """What was trained with several seeds, and how sure it is of the budget; "" if nothing was."""
    again = [(point, point.seeds) for point in result.front if point.seeds]
    if not again:
        return ""
    metric, floor = result.job.metric, result.budget
    said = []
    for point, seeds in again:
        mean, error = seeds.mean, seeds.error
        text = f"trial {point.trial} {metric.number(mean)} ± {metric.text(error)}"
        if point.within_budget and not metric.better(mean - metric.sign * error, floor):
            text += ", so another seed may miss the budget"
        elif not point.within_budget and not metric.better(floor, point.values[0]):
            text += ", so it kept the budget by luck"
        said.append(text)
    number = max(len(seeds.scores) for _, seeds in again)
    return f"on validation, mean of {number} seeds: {'; '.join(said)}"


def legend(result: Result) -> str:
    """What the marks mean that any point has."""
    meanings = []
    if not all(point.within_budget for point in result.front):
        meanings.append(
            f"{OVER_BUDGET} loses more than {result.job.score_drop.text(result.job.metric)} of the "
            f"original's {result.job.metric.title} on validation"
        )
    if any(point.metrics.at_chance for point in points_of(result)):
        meanings.append(f"{AT_CHANCE} {CHANCE_TEXT}")
    return "; ".join(meanings)
