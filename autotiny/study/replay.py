"""A recipe file done again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotiny.cache import Cache
from autotiny.dataset import AS_STORED, Dataset, DataSource, Reading, check_fits, load_dataset
from autotiny.dataset import IN_MEMORY as DATA_IN_MEMORY
from autotiny.engine import check_supported
from autotiny.errors import UserError
from autotiny.evaluate import build, runtimes, write_build
from autotiny.metrics import Metrics
from autotiny.model import IN_MEMORY as MODEL_IN_MEMORY
from autotiny.model import Level, Model, check_ending, load_model
from autotiny.recipe import SavedRecipe, read_recipe
from autotiny.study.evaluator import Evaluator
from autotiny.study.job import candidate_of
from autotiny.study.result import comment_of
from autotiny.target import Target, load_target


@dataclass(frozen=True)
class Applied:
    """What a recipe file gave when it was applied again.

    Attributes:
        path: of the file.
        saved: what it holds.
        target: the microcontroller it names.
        folder: where the C, ELF and `.tflite` were written.
        metrics: what was measured now.
        differences: figures that differ from the recorded ones, as (recorded, now).
        runtimes: what can run the `.tflite`.
    """

    path: Path
    saved: SavedRecipe
    target: Target
    folder: Path
    metrics: Metrics
    differences: Mapping[str, tuple[Any, Any]]
    runtimes: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """The same as plain data, for JSON."""
        return {
            "recipe": str(self.path),
            "sequence": str(self.saved.recipe),
            "target": self.saved.target,
            "out": str(self.folder),
            "runtimes": list(self.runtimes),
            "differences": {
                name: {"recorded": recorded, "now": now}
                for name, (recorded, now) in self.differences.items()
            },
            **self.metrics.to_dict(),
        }


def model_name(model: object) -> str:
    """How a model was asked for."""
    if isinstance(model, (str, Path)):
        return str(model)
    return model.source if isinstance(model, Model) else MODEL_IN_MEMORY


def data_name(data: DataSource) -> str:
    """How data was asked for."""
    if isinstance(data, (str, Path)):
        return str(data)
    return data.source if isinstance(data, Dataset) else DATA_IN_MEMORY


def load_pair(
    model: object, data: DataSource, *, seed: int, cache: Cache, reading: Reading = AS_STORED
) -> tuple[Model, Dataset]:
    """A model and data that fit each other, as `load_model` and `load_dataset` take them.

    Raises:
        UserError: there is no such model or data.
        InvalidData: shape or number of classes differ.
        UnsupportedOp: the engine lacks an op of a model that is lowered already.
    """
    check_ending(model)
    samples = load_dataset(data, seed, reading)
    # Whether they fit is found out before an untrained network is trained.
    found = load_model(model, seed=seed)
    if found.level is Level.TFLITE:
        check_supported(found.graph)
    samples = check_fits(found, samples)
    if not isinstance(model, (str, Path)):  # an object has its weights
        return found, samples
    return load_model(model, samples, seed=seed, cache=cache), samples


def rebuilt(
    saved: SavedRecipe, cache: Cache, *, model: object = None, data: DataSource | None = None
) -> tuple[Model, Dataset]:
    """What a recipe makes of the model that it was found with, and the data it was found on.

    Args:
        saved: the recipe file.
        cache: where results are kept.
        model: what it was found with; by default loaded as the recipe names it.
        data: likewise.

    Raises:
        UserError: model or data are not those it was found with, or were objects in memory and are
            not given.
    """
    if model is None:
        model = _named("a model", saved.model, MODEL_IN_MEMORY)
    if data is None:
        data = _named("data", saved.data, DATA_IN_MEMORY)
    original, samples = load_pair(model, data, seed=saved.seed, cache=cache, reading=saved.reading)
    _check_fingerprint("data", saved.data, saved.data_fingerprint, samples.fingerprint)
    _check_fingerprint("model", saved.model, saved.model_fingerprint, original.fingerprint)
    candidate = candidate_of(
        saved.recipe, original, samples, seed=saved.seed, epochs=saved.epochs, cache=cache
    )
    return candidate.model, samples


def _named(what: str, name: str, in_memory: str) -> str:
    """The name by which a recipe's model or data can be loaded."""
    if name == in_memory and not Path(name).exists():
        raise UserError(
            f"the recipe was found with {what} in memory, which its file does not hold; in "
            "Python, autotiny.apply(recipe, model=…, data=…) takes them"
        )
    return name


def apply_recipe(
    path: Path | str,
    out: Path | str,
    *,
    model: object = None,
    data: DataSource | None = None,
    cache: Cache | None = None,
) -> Applied:
    """Do a recipe file again: write its C, ELF and `.tflite` to `out` and measure them.

    Args:
        path: of the recipe file.
        out: the folder to write to.
        model: what the recipe was found with; by default loaded as the recipe names it.
        data: likewise.
        cache: where results are kept; by default the user's cache folder.

    Raises:
        UserError: the file is no recipe, or its model or data are not those it was found with.
    """
    saved = read_recipe(path)
    cache = cache or Cache()
    result, samples = rebuilt(saved, cache, model=model, data=data)
    target = load_target(saved.target)
    metrics = Evaluator().metrics(result, target, samples, cache, test=True)
    write_build(build(result, target, metrics.cost, comment=comment_of(saved)), Path(out))
    now = json.loads(json.dumps(metrics.to_dict()))
    differences = {
        name: (recorded, now.get(name))
        for name, recorded in saved.figures.items()
        if now.get(name) != recorded
    }
    return Applied(Path(path), saved, target, Path(out), metrics, differences, runtimes(result))


def _check_fingerprint(what: str, name: str, recorded: str, found: str) -> None:
    if recorded != found:
        raise UserError(
            f"{what} {name!r} is not what the recipe was found with: its fingerprint is {found}, "
            f"the recipe's {recorded}; restore the {what} or search again"
        )
