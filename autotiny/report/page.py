"""`report.md`: what was searched, what was found, what was not, and how to do it again."""

from __future__ import annotations

from collections.abc import Sequence

from autotiny.report.facts import asked, best_point, figures_asked, points_of, recipe_path
from autotiny.report.summary import budget_text, legend, score_headings, seeds_text, validation
from autotiny.report.tables import milliseconds
from autotiny.report.worth import listed, worth_head, worth_legend, worth_rest, worth_rows
from autotiny.study import OUTCOMES, Point, Result, ended, worst_latency_ms
from autotiny.target import Target
from autotiny.tasks import Several

RUNTIMES = {
    "autotiny": "C that autotiny generates",
    "tflm": "TensorFlow Lite Micro (which runs neither float16 nor hybrid, dynamic-range models)",
    "litert": "LiteRT on a larger machine",
}


def report_text(result: Result, *, kept_bytes: int = 0) -> str:
    """`report.md`: what was searched, what was found, what was not, and how to do it again.

    Args:
        result: of the search.
        kept_bytes: what the bundles take on disk, all together.
    """
    parts = [
        f"# {result.study.study_name}",
        _searched(result),
        _noticed(result),
        _found(result),
        _detailed(result),
        _worth(result),
        _refused(result),
        _idle(result),
        _again(result, kept_bytes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _searched(result: Result) -> str:
    job = result.job
    asked_cache = result.cache_hits + result.cache_misses
    rows = [
        ("model", f"{job.model.source} (fingerprint {job.model.fingerprint})"),
        ("data", f"{job.data.source} (fingerprint {job.data.fingerprint})"),
        *(tuple(line.split(": ", 1)) for line in job.data.described()[1:]),
        ("target", f"{job.target.title}: {job.target.flash_bytes:,} bytes of flash, "
                   f"{job.target.sram_bytes:,} bytes of SRAM"),
        ("objectives", ", ".join((job.metric.title, *job.objectives))),
        ("search space", f"{job.space.name}: {job.space.title}"),
        *([("bounds", str(job.bounds))] if job.bounds.texts else []),
        ("seed", str(job.seed)),
        ("budget", f"{job.metric.title} {budget_text(job)}, on validation"),
        ("trials", f"{sum(result.counts.values())}"
                   + (", interrupted by the user" if result.interrupted else "")),
        ("time of the last run", f"{result.seconds:.0f} s"),
        ("cache", f"{result.cache_hits} of {asked_cache} questions answered"),
    ]  # fmt: skip
    return "## What was searched\n\n" + markdown_table(("", ""), rows)


def _noticed(result: Result) -> str:
    """What was found out before the first trial."""
    return "\n".join(f"- {notice}" for notice in result.findings.notices)


def _found(result: Result) -> str:
    heading = "## The front"
    if not result.front:
        why = f" {result.shortfall}." if result.shortfall else ""
        bounds = " and keeps the bounds" if result.job.bounds.each else ""
        text = f"{heading}\n\nNo firmware that fits the target{bounds} was measured.{why}"
        return "\n\n".join((text, *_nearest(result)))
    best = best_point(result)
    rows = []
    worst = "worst_latency" in figures_asked(result)
    for point in points_of(result):
        cost = point.metrics.cost
        original = result.baseline is not None and point.trial == result.baseline.trial
        rows.append(
            (
                str(point.trial),
                f"{point.recipe}{' (the original)' if original else ''}"
                f"{' **best**' if best and point.trial == best.trial else ''}",
                validation(point),
                point.metric.number(point.metrics.score_test),
                f"{cost.flash_bytes:,}",
                f"{cost.sram_bytes:,}",
                f"{cost.cycles:,}",
                milliseconds(cost.latency_ms),
                *([milliseconds(worst_latency_ms(cost, result.job.target))] if worst else []),
                f"{cost.energy_estimated_mj:.4g}",
                *_agreement(point),
                ", ".join(point.runtimes),
                f"[{point.trial}]({recipe_path(point)})",
            )
        )
    target = result.job.target
    head = ["trial", "sequence", *score_headings(result.job.metric), "flash B", "SRAM B",
            "cycles", "ms", *(["worst ms"] if worst else []), f"est. mJ {target.energy_error}",
            "as original %", "error %", "runs in", "recipe"]  # fmt: skip
    parts = [
        heading,
        f"![{result.job.metric.title} over latency](pareto.svg)",
        markdown_table(head, rows),
        legend(result),
        seeds_text(result),
        _each_output(result),
        _verdict(result, best),
        _partings(result),
        "Runs in: "
        + "; ".join(f"`{name}` is {text}" for name, text in RUNTIMES.items())
        + ". As original: the share of test answers that the original gives too; error: RMSE of "
        "the outputs against the original's, relative to their spread. Flash, SRAM and cycles are "
        f"of autotiny's C. {_corrected(target)}Energy is estimated: active current "
        f"× voltage × latency. {_energy_error(target)}",
    ]
    return "\n\n".join(part for part in parts if part)


def _nearest(result: Result) -> list[str]:
    """What comes nearest to each bound, as a table; nothing where there is none."""
    rows = [
        (
            str(near.bound), near.bound.text(near.value), near.by, str(near.trial),
            "; ".join(near.besides), str(near.recipe),
        )
        for near in result.near
    ]  # fmt: skip
    head = ("bound", "nearest", "missed by", "trial", "but", "sequence")
    return [markdown_table(head, rows)] if rows else []


def _detailed(result: Result) -> str:
    """What the best point answers on test, class by class or value by value."""
    best = best_point(result)
    if best is None:
        return ""
    tables = [
        f"{heading}:\n\n{markdown_table(rows[0], rows[1:])}"
        for heading, rows in result.details(best)
    ]
    if not tables:
        return ""
    return "\n\n".join([f"## What the best point (trial {best.trial}) answers on test", *tables])


def _agreement(point: Point) -> tuple[str, str]:
    """Cells: equal answers and relative error against the original."""
    if point.agreed is None:
        return "–", "–"
    outputs = point.agreed.outputs
    equal = "–" if outputs.equal_answers is None else f"{100 * outputs.equal_answers:.2f}"
    return equal, f"{100 * outputs.relative:.3g}"


def _each_output(result: Result) -> str:
    """What each output scores on test, and how near it is to the original; "" where one is all."""
    task = result.job.data.task
    if not isinstance(task, Several):
        return ""
    rows = []
    for point in points_of(result):
        scores = point.metrics.outputs
        near = point.agreed.outputs.outputs if point.agreed else ()
        cells = [str(point.trial)]
        for place, (name, one) in enumerate(zip(task.output_names, task.tasks, strict=True)):
            cells.append(one.scored_by.text(scores.get(f"{name}_test")))
            cells.append(f"{100 * near[place].relative:.3g}" if near else "–")
        rows.append(tuple(cells))
    titles = [
        (f"{name}, {one.scored_by.title}", f"{name}, error %")
        for name, one in zip(task.names, task.tasks, strict=True)
    ]
    head = ("trial", *(title for pair in titles for title in pair))
    return f"Each output on test:\n\n{markdown_table(head, rows)}"


def _partings(result: Result) -> str:
    """Where the lowering of each point parts from the network that it lowers."""
    rows = [
        (str(point.trial), point.agreed.parts_at)
        for point in result.front
        if point.agreed and point.agreed.parts_at
    ]
    if not rows:
        return ""
    head = ("trial", "layer where lowering parts most from the trained network, in float32")
    return markdown_table(head, rows)


def _corrected(target: Target) -> str:
    """What a user's own board changed of the cycles, a sentence; nothing where it did not."""
    return f"Cycles and latency are corrected {target.correction}. " if target.correction else ""


def _energy_error(target: Target) -> str:
    """How far the estimate can be trusted, in a sentence."""
    if target.active_current_error_percent is None:
        return "How far that current is from a board's was compared with nothing published."
    return (
        f"The current can be off by {target.active_current_error_percent} % (published runs on "
        "boards, worst case); the error of the latency comes on top."
    )


def _verdict(result: Result, best: Point | None) -> str:
    if best is None:
        return ""
    text = f"Best for {asked(result)}: trial {best.trial}, {best.recipe}."
    if not best.within_budget:
        text += (
            f" No point keeps within {result.job.score_drop.text(result.job.metric)} of the "
            f"original's {result.job.metric.title}; this is the one of the best score."
        )
    if result.baseline and result.baseline.trial != best.trial:
        ours, theirs = best.metrics, result.baseline.metrics
        formats = result.baseline.notes.get("number_format", "")
        text += (
            f" Against the original{f' ({formats})' if formats else ''} it takes "
            f"{times(theirs.cost.flash_bytes, ours.cost.flash_bytes)} the flash, "
            f"{times(theirs.cost.sram_bytes, ours.cost.sram_bytes)} the SRAM and "
            f"{times(theirs.cost.latency_ms, ours.cost.latency_ms)} the time"
        )
        if ours.score_test is not None and theirs.score_test is not None:
            metric, change = best.metric, ours.score_test - theirs.score_test
            sign = "+" if change >= 0 else ""
            text += f", at {sign}{metric.text(change)} {metric.title} on test"
        text += "."
    return text


def times(before: float, after: float) -> str:
    """A part of the original, e.g. "1/3.1 of"."""
    if after <= 0 or before <= 0:
        return "none of"
    return f"1/{before / after:.3g} of" if before >= after else f"{after / before:.3g} times"


def _worth(result: Result) -> str:
    """What each component was worth; "" where nothing was measured."""
    if not result.worth:
        return ""
    parts = ["## What each component was worth"]
    shown = listed(result)
    if shown:
        table = markdown_table(worth_head(result, shown), worth_rows(result, shown))
        parts += [table, worth_legend(result)]
    return "\n\n".join((*parts, worth_rest(result, shown))).rstrip()


def _refused(result: Result) -> str:
    rows = [
        (outcome, str(result.counts.get(outcome, 0)), meaning)
        for outcome, meaning in OUTCOMES.items()
    ]
    parts = ["## How the trials ended", markdown_table(("outcome", "trials", "meaning"), rows)]
    reasons: dict[tuple[str, str], list[int]] = {}
    for record in ended(result.study):
        missed = record.outcome == "measured" and record.reason
        if missed or record.outcome in ("infeasible", "invalid", "failed"):
            key = (record.outcome, record.reason or "–")
            reasons.setdefault(key, []).append(record.number)
    if reasons:
        listed = [
            (outcome, ", ".join(map(str, numbers)), reason)
            for (outcome, reason), numbers in sorted(reasons.items())
        ]
        parts.append(markdown_table(("outcome", "trials", "reason"), listed))
    return "\n\n".join(parts)


def _idle(result: Result) -> str:
    if not result.dropped:
        return ""
    rows = [
        (dropped.component, str(count), dropped.reason)
        for dropped, count in sorted(
            result.dropped.items(), key=lambda item: (-item[1], item[0].component)
        )
    ]
    return (
        "## Components that had nothing to do\n\nThey dropped out of the sequences they were drawn "
        "in.\n\n" + markdown_table(("component", "times", "reason"), rows)
    )


def _again(result: Result, kept_bytes: int) -> str:
    if not result.front:
        return ""
    return (
        "## Do it again\n\n`autotiny apply best.json` replays the best point and measures it; any "
        "file of `recipes/` works the same way. `best/` holds its `.tflite` and a project that is "
        "ready to flash; `autotiny compile --project` makes one of any recipe. A folder `bundle` "
        "beside each of `recipes/` keeps the model after the last step that trained, the "
        "calibration samples and the lowered graph, so that the same bytes come out "
        f"on any machine with this autotiny; together they take {kept_bytes:,} bytes. With "
        "`--retrain` all is done again from model and data: the same bytes on this machine with "
        "these versions, for a training differs from processor to processor."
    )


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a cell's own bars and line breaks are taken out."""

    def line(cells: Sequence[str]) -> str:
        cleaned = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
        return "| " + " | ".join(cleaned) + " |"

    return "\n".join([line(head), "|" + " --- |" * len(head), *map(line, rows)])
