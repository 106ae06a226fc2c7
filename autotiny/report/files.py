"""The files of a finished study: front, report, plot, recipes, and the best firmware."""

from __future__ import annotations

import json
import os
from pathlib import Path

from autotiny.datafile import write_whole
from autotiny.errors import UserError, shown
from autotiny.recipe import write_recipe
from autotiny.report.facts import best_point, csv_text, points_of, recipe_path, study_facts
from autotiny.report.page import report_text
from autotiny.report.plot import Dot, pareto_svg
from autotiny.report.tables import accuracy_text
from autotiny.study import Result, measured


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
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    except OSError as error:  # a name too long, or a folder that may not be looked into
        raise UserError(
            f"cannot write to {shown(str(folder))}: {error.strerror}; choose another --out"
        ) from error
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "no folder" if not nearest.is_dir() else "not writable"
        raise UserError(f"cannot write to {folder}: {nearest} is {why}; choose another --out")


def _write(result: Result, folder: Path) -> list[Path]:
    recipes = folder / "recipes"
    recipes.mkdir(parents=True, exist_ok=True)
    for stale in recipes.glob("*.json"):  # of points that an earlier, shorter search had
        stale.unlink()
    points = points_of(result)
    for point in points:
        write_recipe(result.saved_recipe(point), folder / recipe_path(point))
    written = {
        "report.md": report_text(result),
        "pareto.csv": csv_text(result.front),
        "pareto.json": json.dumps(study_facts(result), indent=2) + "\n",
        "pareto.svg": pareto_svg(dots(result), plot_title(result)),
    }
    for name, text in written.items():
        write_whole(folder / name, text)
    paths = [folder / name for name in written]
    best = best_point(result)
    if best is not None:
        write_recipe(result.saved_recipe(best), folder / "best.json")
        result.write_files(best, folder / "best")
        paths += [folder / "best.json", folder / "best"]
    return paths


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
