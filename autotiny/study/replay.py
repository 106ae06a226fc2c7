"""A recipe file done again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotiny.cache import Cache
from autotiny.dataset import Dataset, check_fits, load_dataset
from autotiny.engine import check_supported
from autotiny.errors import UserError
from autotiny.evaluate import build, runtimes, write_build
from autotiny.metrics import Metrics
from autotiny.model import Level, Model, load_model
from autotiny.recipe import SavedRecipe, read_recipe
from autotiny.study.evaluator import Evaluator
from autotiny.study.job import candidate_of
from autotiny.study.result import comment_of
from autotiny.target import load_target


@dataclass(frozen=True)
class Applied:
    """What a recipe file gave when it was applied again.

    Attributes:
        saved: the file.
        metrics: what was measured now.
        differences: figures that differ from the recorded ones, as (recorded, now).
        runtimes: what can run the `.tflite`.
    """

    saved: SavedRecipe
    metrics: Metrics
    differences: Mapping[str, tuple[Any, Any]]
    runtimes: tuple[str, ...]


def load_pair(model_name: str, data_name: str, *, seed: int, cache: Cache) -> tuple[Model, Dataset]:
    """A model and data that fit each other, as a search and a recipe name them.

    Raises:
        UserError: there is no such model or data.
        InvalidData: shape or number of classes differ.
        UnsupportedOp: the engine lacks an op of a model that is lowered already.
    """
    data = load_dataset(data_name, seed)
    # Whether they fit is found out before an untrained network is trained.
    found = load_model(model_name, seed=seed)
    if found.level is Level.TFLITE:
        check_supported(found.graph)
    data = check_fits(found, data)
    return load_model(model_name, data, seed=seed, cache=cache), data


def rebuilt(saved: SavedRecipe, cache: Cache) -> tuple[Model, Dataset]:
    """What a recipe makes of the model that it was found with, and the data it was found on.

    Raises:
        UserError: model or data are not those it was found with.
    """
    model, data = load_pair(saved.model, saved.data, seed=saved.seed, cache=cache)
    _check_fingerprint("data", saved.data, saved.data_fingerprint, data.fingerprint)
    _check_fingerprint("model", saved.model, saved.model_fingerprint, model.fingerprint)
    candidate = candidate_of(
        saved.recipe, model, data, seed=saved.seed, epochs=saved.epochs, cache=cache
    )
    return candidate.model, data


def apply_recipe(path: Path | str, out: Path | str, *, cache: Cache | None = None) -> Applied:
    """Do a recipe file again: write its C, ELF and `.tflite` to `out` and measure them.

    Raises:
        UserError: the file is no recipe, or its model or data are not those it was found with.
    """
    saved = read_recipe(path)
    cache = cache or Cache()
    result, data = rebuilt(saved, cache)
    target = load_target(saved.target)
    write_build(build(result, target, comment=comment_of(saved)), Path(out))
    metrics = Evaluator().metrics(result, target, data, cache, test=True)
    now = json.loads(json.dumps(metrics.to_dict()))
    differences = {
        name: (recorded, now.get(name))
        for name, recorded in saved.figures.items()
        if now.get(name) != recorded
    }
    return Applied(saved, metrics, differences, runtimes(result))


def _check_fingerprint(what: str, name: str, recorded: str, found: str) -> None:
    if recorded != found:
        raise UserError(
            f"{what} {name!r} is not what the recipe was found with: its fingerprint is {found}, "
            f"the recipe's {recorded}; restore the {what} or search again"
        )
