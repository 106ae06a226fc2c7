"""The files of a finished study: front, report, plot, recipes, and the best firmware."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotiny.datafile import write_whole
from autotiny.errors import UserError, shown
from autotiny.recipe import Bundle, SavedRecipe, read_recipe, write_recipe
from autotiny.report.facts import best_point, csv_text, points_of, recipe_path, study_facts
from autotiny.report.page import report_text
from autotiny.report.plot import Dot, pareto_svg
from autotiny.report.tables import score_text
from autotiny.study import DRAFT, Point, Result, bundle_bytes, check_intact, folder_of, measured

BUNDLE = "bundle"
"""The folder, in one that is named as a recipe, of what replays it."""


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
    points = points_of(result)
    wanted = {folder / recipe_path(point) for point in points}
    for stale in set(recipes.glob("*.json")) - wanted:  # of points that an earlier search had
        stale.unlink()
        _remove_bundle(stale)
    saved = {point.trial: _saved(result, point, folder / recipe_path(point)) for point in points}
    best = best_point(result)
    if best is not None:
        _write_best(result, best, saved[best.trial], folder)
    written = {
        "report.md": report_text(result, kept_bytes=_kept_bytes(folder)),
        "pareto.csv": csv_text(
            result.front, result.job.target, result.job.metric.name, result.baseline
        ),
        "pareto.json": json.dumps(study_facts(result), indent=2) + "\n",
        "pareto.svg": pareto_svg(dots(result), plot_title(result), result.job.metric),
    }
    for name, text in written.items():
        write_whole(folder / name, text)
    paths = [folder / name for name in written]
    return paths + ([folder / "best.json", folder / "best"] if best else [])


def _saved(result: Result, point: Point, path: Path) -> SavedRecipe:
    """Write the recipe of a point and its bundle; give what was written.

    A bundle that is there already and whole is kept: its weights are those that were measured, also
    where the cache is gone and another machine would train others.
    """
    saved = result.saved_recipe(point)
    bundle = _kept(saved, path)
    if bundle is None:
        place = path.with_suffix("") / BUNDLE
        made = result.write_bundle(point, place)
        bundle = made and replace(made, folder=place.relative_to(path.parent).as_posix())
    saved = replace(saved, bundle=bundle)
    write_recipe(saved, path)
    return saved


def _kept(saved: SavedRecipe, path: Path) -> Bundle | None:
    """The bundle of a recipe that is there already, if it is of the same figures and whole."""
    if not path.exists():
        return None
    try:
        before = read_recipe(path)
        place = folder_of(before)
        same = before.digest == saved.digest and before.figures == _plain(saved.figures)
        if place is None or not same:
            return None
        check_intact(place)
    except UserError:
        return None
    return before.bundle


def _plain(figures: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(dict(figures)))


def _write_best(result: Result, best: Point, saved: SavedRecipe, folder: Path) -> None:
    """`best.json`, which shares the bundle of the point's own recipe, and its files in `best/`."""
    result.write_files(best, folder / "best")
    bundle = saved.bundle
    if bundle is not None:
        place = (Path(recipe_path(best)).parent / bundle.folder).as_posix()
        saved = replace(saved, bundle=replace(bundle, folder=place))
    write_recipe(saved, folder / "best.json")


def _remove_bundle(recipe: Path) -> None:
    """Remove what was kept beside a recipe; what a user put there stays."""
    for left in (recipe.with_suffix("") / BUNDLE, *recipe.with_suffix("").glob(f"{DRAFT}*")):
        shutil.rmtree(left, ignore_errors=True)
    with suppress(OSError):  # there is something else in it, or it was never there
        recipe.with_suffix("").rmdir()


def _kept_bytes(folder: Path) -> int:
    """Bytes that all bundles of a study take."""
    return sum(bundle_bytes(place) for place in folder.glob(f"recipes/*/{BUNDLE}"))


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
                y=record.metrics.score_validation,
                weight=cost.flash_bytes,
                kind=kind,  # type: ignore[arg-type]
                label=str(number) if kind != "other" else "",
                hint=f"trial {number}: {record.sequence}, {score_text(record.metrics)}, "
                f"{cost.latency_ms:.4g} ms, {cost.flash_bytes:,} bytes of flash",
            )
        )
    return found
