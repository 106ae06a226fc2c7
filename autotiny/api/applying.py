"""Replay a recipe, and measure it."""

from __future__ import annotations

from pathlib import Path

from autotiny.cache import Cache
from autotiny.dataset import DataSource
from autotiny.study import Applied, apply_recipe


def apply(
    recipe: Path | str,
    out: Path | str | None = None,
    *,
    model: object = None,
    data: DataSource | None = None,
    retrain: bool = False,
    metric: str | None = None,
    cache: Cache | None = None,
) -> Applied:
    """Replay a recipe from its bundle, byte for byte, and measure it.

    Without a bundle, or with `retrain`, all is done again from model and data: the same bytes where
    processor and versions are the same.

    Args:
        recipe: path of a recipe file that a search wrote.
        out: folder for its C, ELF and `.tflite`; by default beside the file.
        model: what the recipe was found with, where that was an object in memory or lies elsewhere
            now; a replay takes none.
        data: likewise; accuracy is measured on it.
        retrain: train again, where there is a bundle to replay as well.
        metric: the recipe's own, where that is a function of yours: a recipe alone calls no code.
        cache: where results are kept; by default the user's cache folder.

    Raises:
        UserError: the file is no recipe, its model or data are not those it was found with, or a
            part of its bundle is missing or is not what the recipe names.
    """
    path = Path(recipe)
    folder = path.with_suffix("") if out is None else Path(out).expanduser()
    return apply_recipe(
        path, folder, model=model, data=data, retrain=retrain, metric=metric, cache=cache
    )
