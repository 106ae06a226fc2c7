"""The files of a finished study: front, report, plot, recipes, and the best firmware."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from rich.table import Table

from autotiny.errors import UserError
from autotiny.recipe import write_recipe
from autotiny.report.plot import Dot, pareto_svg
from autotiny.report.tables import (
    AT_CHANCE,
    CHANCE_TEXT,
    WIDE,
    accuracy_text,
    clock,
    milliseconds,
    percent,
    table,
)
from autotiny.study import OUTCOMES, Point, Result, ended, measured

COLUMNS = (
    "trial", "sequence", "accuracy_validation", "accuracy_test", "at_chance", "flash_bytes",
    "sram_bytes", "cycles", "latency_ms", "energy_estimated_mj", "runtimes", "recipe",
)  # fmt: skip

RUNTIMES = {
    "autotiny": "C that autotiny generates",
    "tflm": "TensorFlow Lite Micro (which runs neither float16 nor hybrid, dynamic-range models)",
    "litert": "LiteRT on a larger machine",
}


def write_study(result: Result, folder: Path) -> list[Path]:
    """Write everything a user takes home; return the paths, the report first.

    `study.db` lies in the same folder unless another storage was asked for.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        return _write(result, folder)
    except PermissionError as error:
        raise UserError(f"cannot write to {error.filename}; choose another --out") from error


def check_writable(folder: Path) -> None:
    """Refuse a folder that could not be made or written, before a search works for it.

    Raises:
        UserError: it lies below a file, or below a folder that is not ours to write.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "no folder" if not nearest.is_dir() else "not writable"
        raise UserError(f"cannot write to {folder}: {nearest} is {why}; choose another --out")


def _write(result: Result, folder: Path) -> list[Path]:
    recipes = folder / "recipes"
    recipes.mkdir(parents=True, exist_ok=True)
    for stale in recipes.glob("*.json"):  # of points that an earlier, shorter search had
        stale.unlink()
    points = _points(result)
    for point in points:
        write_recipe(result.saved_recipe(point), folder / recipe_path(point))
    written = {
        "report.md": report_text(result),
        "pareto.csv": csv_text(result.front),
        "pareto.json": json.dumps(study_facts(result), indent=2) + "\n",
        "pareto.svg": pareto_svg(dots(result), plot_title(result)),
    }
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    paths = [folder / name for name in written]
    best = best_point(result)
    if best is not None:
        write_recipe(result.saved_recipe(best), folder / "best.json")
        result.write_files(best, folder / "best")
        paths += [folder / "best.json", folder / "best"]
    return paths


def _points(result: Result) -> list[Point]:
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


def point_facts(point: Point) -> dict[str, Any]:
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
        "runtimes": list(point.runtimes),
        "recipe": recipe_path(point),
    }


def csv_text(front: Sequence[Point]) -> str:
    """`pareto.csv`; the runtimes of a point are joined by a plus sign."""
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for point in front:
        facts = point_facts(point)
        writer.writerow({**facts, "runtimes": "+".join(facts["runtimes"])})
    return text.getvalue()


def study_facts(result: Result) -> dict[str, Any]:
    """`pareto.json`, and what `search --json` prints."""
    job = result.job
    best = best_point(result)
    short = result.shortfall
    return {
        "study": result.study.study_name,
        "model": job.model.source,
        "data": job.data.source,
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
        "baseline": point_facts(result.baseline) if result.baseline else None,
        "best": {
            "objective": asked(result),
            "trial": best.trial,
            "within_budget": best.within_budget,
            "recipe": "best.json",
        }
        if best
        else None,
        "front": [
            {**point_facts(point), "within_budget": point.within_budget} for point in result.front
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


def plot_title(result: Result) -> str:
    """What the plot shows, in a line."""
    job = result.job
    trials = sum(result.counts.values())
    return f"{job.model.source} on {job.data.source}, {job.target.title}: {trials} trials"


def dots(result: Result) -> list[Dot]:
    """Everything that was measured, for the plot."""
    front = {point.trial for point in result.front}
    baseline = result.baseline.trial if result.baseline else None
    found = []
    for record in measured(result.study):
        if record.metrics is None:
            continue
        number, cost = record.number, record.metrics.cost
        kind = "baseline" if number == baseline else "front" if number in front else "other"
        found.append(
            Dot(
                x=cost.latency_ms,
                y=record.metrics.accuracy_validation,
                weight=cost.flash_bytes,
                kind=kind,  # type: ignore[arg-type]
                label=str(number) if kind != "other" else "",
                hint=f"trial {number}: {record.sequence}, {accuracy_text(record.metrics)}, "
                f"{cost.latency_ms:.4g} ms, {cost.flash_bytes:,} bytes of flash",
            )
        )
    return found


def front_table(points: Sequence[Point], baseline: Point | None, *, width: int) -> Table:
    """The front for the terminal, the fastest first; the wider, the more columns."""
    wide = width >= WIDE
    columns = ["trial", "valid %", "test %", "flash B", "SRAM B", "ms"]
    columns += ["cycles", "est. mJ", "runs in"] if wide else []
    made = table(*columns, "sequence", left=("runs in",), wraps=("sequence",))
    rows = list(points)
    if baseline and all(point.trial != baseline.trial for point in rows):
        rows.append(baseline)
    for point in rows:
        cost = point.metrics.cost
        cells = [
            str(point.trial),
            validation(point),
            percent(point.metrics.accuracy_test),
            f"{cost.flash_bytes:,}",
            f"{cost.sram_bytes:,}",
            milliseconds(cost.latency_ms),
        ]
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
    return (
        f"{sum(result.counts.values())} trials in {clock(result.seconds)}: {ended_how}; "
        f"the cache answered {result.cache_hits} of {questions} questions"
    )


def why_nothing(result: Result) -> str:
    """Why a search found no firmware that fits, in words for the user."""
    if result.shortfall:
        return f"nothing fits {result.job.target.name}: {result.shortfall}"
    reasons = Counter(
        record.reason for record in ended(result.study) if record.outcome in ("invalid", "failed")
    )
    most = reasons.most_common(1)
    return f"nothing could be measured: {most[0][0]}" if most else "no trial has ended"


OVER_BUDGET = "†"
"""Stands behind the accuracy of a point that loses more of it than the user allows."""


def validation(point: Point) -> str:
    """The accuracy on validation, marked if it lies below the budget or at chance level."""
    mark = "" if point.within_budget else OVER_BUDGET
    mark += AT_CHANCE if point.metrics.at_chance else ""
    return f"{percent(point.metrics.accuracy_validation)}{mark}"


def legend(result: Result) -> str:
    """What the marks mean that any point has."""
    meanings = []
    if not all(point.within_budget for point in result.front):
        meanings.append(
            f"{OVER_BUDGET} loses more than {100 * result.job.accuracy_drop:g} % of the original's "
            "accuracy on validation"
        )
    if any(point.metrics.at_chance for point in _points(result)):
        meanings.append(f"{AT_CHANCE} {CHANCE_TEXT}")
    return "; ".join(meanings)


def report_text(result: Result) -> str:
    """`report.md`: what was searched, what was found, what was not, and how to do it again."""
    parts = [
        f"# {result.study.study_name}",
        _searched(result),
        _noticed(result),
        _found(result),
        _refused(result),
        _idle(result),
        _again(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _searched(result: Result) -> str:
    job = result.job
    asked_cache = result.cache_hits + result.cache_misses
    rows = [
        ("model", f"{job.model.source} (fingerprint {job.model.fingerprint})"),
        ("data", f"{job.data.source} (fingerprint {job.data.fingerprint})"),
        ("target", f"{job.target.title}: {job.target.flash_bytes:,} bytes of flash, "
                   f"{job.target.sram_bytes:,} bytes of SRAM"),
        ("objectives", ", ".join(("accuracy", *job.objectives))),
        ("search space", f"{job.space.name}: {job.space.title}"),
        ("seed", str(job.seed)),
        ("accuracy budget", f"{100 * job.accuracy_drop:g} % below the original, on validation"),
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
        return f"{heading}\n\nNo firmware that fits the target was measured.{why}"
    best = best_point(result)
    rows = []
    for point in _points(result):
        cost = point.metrics.cost
        original = result.baseline is not None and point.trial == result.baseline.trial
        rows.append(
            (
                str(point.trial),
                f"{point.recipe}{' (the original)' if original else ''}"
                f"{' **best**' if best and point.trial == best.trial else ''}",
                validation(point),
                percent(point.metrics.accuracy_test),
                f"{cost.flash_bytes:,}",
                f"{cost.sram_bytes:,}",
                f"{cost.cycles:,}",
                milliseconds(cost.latency_ms),
                f"{cost.energy_estimated_mj:.4g}",
                ", ".join(point.runtimes),
                f"[{point.trial}]({recipe_path(point)})",
            )
        )
    head = ("trial", "sequence", "valid %", "test %", "flash B", "SRAM B", "cycles", "ms",
            "mJ (estimated)", "runs in", "recipe")  # fmt: skip
    parts = [
        heading,
        "![accuracy over latency](pareto.svg)",
        markdown_table(head, rows),
        legend(result),
        _verdict(result, best),
        "Runs in: "
        + "; ".join(f"`{name}` is {text}" for name, text in RUNTIMES.items())
        + ". Flash, SRAM and cycles are those of autotiny's C. Energy is estimated: active current "
        "from the data sheet × voltage × latency.",
    ]
    return "\n\n".join(part for part in parts if part)


def _verdict(result: Result, best: Point | None) -> str:
    if best is None:
        return ""
    text = f"Best for {asked(result)}: trial {best.trial}, {best.recipe}."
    if not best.within_budget:
        text += (
            f" No point keeps within {100 * result.job.accuracy_drop:g} % of the original's "
            "accuracy; this is the most accurate one."
        )
    if result.baseline and result.baseline.trial != best.trial:
        ours, theirs = best.metrics, result.baseline.metrics
        text += (
            f" Against the original float32 firmware it takes "
            f"{times(theirs.cost.flash_bytes, ours.cost.flash_bytes)} the flash, "
            f"{times(theirs.cost.sram_bytes, ours.cost.sram_bytes)} the SRAM and "
            f"{times(theirs.cost.latency_ms, ours.cost.latency_ms)} the time"
        )
        if ours.accuracy_test is not None and theirs.accuracy_test is not None:
            change = 100 * (ours.accuracy_test - theirs.accuracy_test)
            text += f", at {change:+.2f} % test accuracy"
        text += "."
    return text


def times(before: float, after: float) -> str:
    """A part of the original, e.g. "1/3.1 of"."""
    if after <= 0 or before <= 0:
        return "none of"
    return f"1/{before / after:.3g} of" if before >= after else f"{after / before:.3g} times"


def _refused(result: Result) -> str:
    rows = [
        (outcome, str(result.counts.get(outcome, 0)), meaning)
        for outcome, meaning in OUTCOMES.items()
    ]
    parts = ["## How the trials ended", markdown_table(("outcome", "trials", "meaning"), rows)]
    reasons: dict[tuple[str, str], list[int]] = {}
    for record in ended(result.study):
        if record.outcome in ("infeasible", "invalid", "failed"):
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


def _again(result: Result) -> str:
    if not result.front:
        return ""
    return (
        "## Do it again\n\n`autotiny apply best.json` rebuilds the best point byte for byte and "
        "measures it; any file of `recipes/` works the same way. `best/` holds its `.tflite`, its "
        "C sources and its ELF."
    )


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a cell's own bars and line breaks are taken out."""

    def line(cells: Sequence[str]) -> str:
        cleaned = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
        return "| " + " | ".join(cleaned) + " |"

    return "\n".join([line(head), "|" + " --- |" * len(head), *map(line, rows)])
