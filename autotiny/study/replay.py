"""A recipe file done again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autotiny.cache import Cache
from autotiny.dataset import (
    AS_STORED,
    Dataset,
    DataSource,
    Reading,
    channels_last,
    check_fits,
    in_order,
    load_dataset,
)
from autotiny.dataset import IN_MEMORY as DATA_IN_MEMORY
from autotiny.engine import check_supported
from autotiny.errors import InvalidData, UserError
from autotiny.evaluate import runtimes, write_build
from autotiny.firmware.board import check_board
from autotiny.metrics import Cost, Metrics, score_names
from autotiny.model import IN_MEMORY as MODEL_IN_MEMORY
from autotiny.model import Level, Model, check_ending, load_model
from autotiny.provenance import differences as differing
from autotiny.provenance import made_with
from autotiny.recipe import SavedRecipe, read_recipe
from autotiny.study.bundle import folder_of, replayed, same_program, target_of
from autotiny.study.evaluator import Evaluator
from autotiny.study.job import candidate_of
from autotiny.study.listening import behind, heard
from autotiny.study.result import comment_of, threshold_of
from autotiny.study.sound_layers import sound_layer
from autotiny.target import Target, target_key
from autotiny.tasks import ACCURACY, is_own
from autotiny.version import __version__

REPLAYED = "replayed from its bundle"
TRAINED_AGAIN = "done again from model and data"


@dataclass(frozen=True)
class Applied:
    """What a recipe file gave when it was applied again.

    Attributes:
        path: of the file.
        saved: what it holds.
        target: the microcontroller it names.
        folder: where the C, ELF and `.tflite` were written.
        cost: what the firmware takes.
        metrics: that and its scores; None where the data was not found.
        differences: figures that differ from the recorded ones, as (recorded, now); "program"
            where the bytes do.
        causes: where figures differ, what else does: versions, processor, data; in words.
        how: `REPLAYED` or `TRAINED_AGAIN`.
        notes: what was found out on the way.
        runtimes: what can run the `.tflite`.
    """

    path: Path
    saved: SavedRecipe
    target: Target
    folder: Path
    cost: Cost
    metrics: Metrics | None
    differences: Mapping[str, tuple[Any, Any]]
    causes: tuple[str, ...]
    how: str
    notes: tuple[str, ...]
    runtimes: tuple[str, ...]

    @property
    def scores(self) -> tuple[str, str]:
        """The names of its scores, on validation and on test."""
        return score_names(self.saved.task.metric if self.saved.task else ACCURACY.name)

    def to_dict(self) -> dict[str, object]:
        """The same as plain data, for JSON."""
        unknown = dict.fromkeys((*self.scores, "at_chance"))
        return {
            "recipe": str(self.path),
            "sequence": str(self.saved.recipe),
            "target": self.saved.target,
            "out": str(self.folder),
            "how": self.how,
            "notes": list(self.notes),
            "runtimes": list(self.runtimes),
            "differences": {
                name: {"recorded": recorded, "now": now}
                for name, (recorded, now) in self.differences.items()
            },
            "causes": list(self.causes),
            **(self.metrics.to_dict() if self.metrics else unknown | self.cost.to_dict()),
            "active_current_error_percent": self.target.active_current_error_percent,
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
    model: object, data: DataSource, *, seed: int, cache: Cache, reading: Reading = AS_STORED,
    task: str | None = None, metric: str | None = None,
) -> tuple[Model, Dataset]:  # fmt: skip
    """A model and data that fit each other, as `load_model` and `load_dataset` take them.

    Args:
        model: the network.
        data: the samples.
        seed: of initial weights, splits and a first training.
        cache: keeps what was trained.
        reading: how the inputs of the data are read.
        task: what the network is asked to do; by default what it and the targets tell.
        metric: what that is scored by; by default the task's first one.

    Raises:
        UserError: there is no such model or data.
        InvalidData: shape or number of classes differ.
        UnsupportedOp: the engine lacks an op of a model that is lowered already.
    """
    check_ending(model)
    samples = load_dataset(data, seed, reading)
    # Whether they fit is found out before an untrained network is trained.
    shape = reading.input_shape
    found = load_model(model, seed=seed, input_shape=shape)
    if found.level is Level.TFLITE:
        check_supported(found.graph)
    layer = sound_layer(found, samples) if reading.front is None else None
    if layer is not None:
        samples = check_fits(found, samples, task, metric)
        loaded = found
        if isinstance(model, (str, Path)):
            loaded = load_model(model, samples, seed=seed, cache=cache, input_shape=shape)
        return layer.heard(loaded, samples)
    found, samples = heard(found, samples, reading.front)
    samples = check_fits(found, samples, task, metric)
    if not isinstance(model, (str, Path)):  # an object has its weights
        return found, samples
    heard_as = samples.through(found.front)
    loaded = load_model(model, heard_as, seed=seed, cache=cache, input_shape=shape)
    return behind(loaded, found.front), samples


@dataclass(frozen=True)
class Rebuilt:
    """What a recipe makes of the model that it was found with.

    Attributes:
        model: the result.
        how: `REPLAYED` or `TRAINED_AGAIN`.
        data: what it was found on; None where it was replayed, which takes no data.
        notes: what was found out on the way.
    """

    model: Model
    how: str
    data: Dataset | None = None
    notes: tuple[str, ...] = ()


def rebuilt(
    saved: SavedRecipe,
    cache: Cache,
    *,
    model: object = None,
    data: DataSource | None = None,
    retrain: bool = False,
) -> Rebuilt:
    """What a recipe makes of the model that it was found with: from its bundle if it has one.

    Args:
        saved: the recipe file.
        cache: where results are kept.
        model: what it was found with; by default loaded as the recipe names it.
        data: likewise.
        retrain: do all of it again from model and data, whether there is a bundle or not.

    Raises:
        UserError: model or data are not those it was found with, or were objects in memory and are
            not given; or a part of the bundle is missing or is not what the recipe names.
    """
    measures = any(step.measures for step in saved.recipe.steps)
    target = target_of(saved)[0] if measures else None
    folder = None if retrain else folder_of(saved)
    if folder is not None:
        found = replayed(saved, target, folder, cache)
        unused = (
            () if model is None else ("a replay takes no model; --retrain takes the one given",)
        )
        return Rebuilt(found.model, REPLAYED, notes=(*unused, *found.notes))
    notes: tuple[str, ...] = ()
    if saved.bundle and not retrain:
        notes = (f"there is no bundle of these steps in {saved.bundle.folder}",)
    if model is None:
        model = _named("a model", saved, saved.model, MODEL_IN_MEMORY)
    if data is None:
        data = _named("data", saved, saved.data, DATA_IN_MEMORY)
    original, samples = load_pair(
        model, data, seed=saved.seed, cache=cache, reading=saved.reading,
        task=saved.task.asked if saved.task else None,
        metric=saved.task.asked_metric if saved.task else None,
    )  # fmt: skip
    _check_fingerprint("data", saved.data, saved.data_fingerprint, samples.fingerprint)
    _check_fingerprint("model", saved.model, saved.model_fingerprint, original.fingerprint)
    candidate = candidate_of(
        saved.recipe, original, samples, target,
        seed=saved.seed, epochs=saved.epochs, cache=cache,
    )  # fmt: skip
    return Rebuilt(candidate.model, TRAINED_AGAIN, samples, notes)


def _named(what: str, saved: SavedRecipe, name: str, in_memory: str) -> str:
    """The name by which a recipe's model or data can be loaded."""
    found = saved.located(name)
    if name == in_memory and not Path(found).exists():
        raise UserError(
            f"the recipe was found with {what} in memory, which its file does not hold; in "
            "Python, autotiny.apply(recipe, model=…, data=…) takes them"
        )
    return found


def apply_recipe(
    path: Path | str,
    out: Path | str,
    *,
    model: object = None,
    data: DataSource | None = None,
    retrain: bool = False,
    metric: str | None = None,
    cache: Cache | None = None,
) -> Applied:
    """Do a recipe file again: write its project and `.tflite` to `out` and measure it.

    Args:
        path: of the recipe file.
        out: the folder to write to.
        model: what the recipe was found with; by default loaded as the recipe names it.
        data: likewise.
        retrain: train again from model and data, where there is a bundle to replay as well.
        metric: the recipe's own, where that is a function of the user's: only then it is called.
        cache: where results are kept; by default the user's cache folder.

    Raises:
        UserError: the file is no recipe, its model or data are not those it was found with, or a
            part of its bundle is missing or is not what the recipe names.
    """
    saved = read_recipe(path)
    cache = cache or Cache()
    target, notes = target_of(saved)
    check_board(target)
    made = rebuilt(saved, cache, model=model, data=data, retrain=retrain)
    notes = (*notes, *made.notes)
    samples = made.data
    if samples is None:
        samples, missing = samples_of(saved, data)
        notes += missing
    if samples is not None and is_own(samples.task.metric) and metric != samples.task.metric:
        own = samples.task.metric
        notes += (f"the score was not measured: {own} is code, which a recipe does not call; "
                  f"--metric {own} calls it",)  # fmt: skip
        samples = None
    evaluator = Evaluator()
    cost = evaluator.taken(made.model, target, cache, saved.stream)
    metrics = None
    if samples is not None:
        metrics = evaluator.metrics(
            made.model, target, samples, cache, test=True, stream=saved.stream
        )
    write_build(
        made.model, target, cost, Path(out), samples=samples, comment=comment_of(saved),
        threshold=threshold_of(saved), stream=saved.stream, class_names=saved.labels,
    )  # fmt: skip
    figures = metrics.to_dict() if metrics else cost.to_dict()
    now = json.loads(json.dumps(figures))
    unmeasured = set(saved.figures) - set(cost.to_dict())
    differences = {
        name: (recorded, now.get(name))
        for name, recorded in saved.figures.items()
        if now.get(name) != recorded and (metrics or name in now or name not in unmeasured)
    }
    if not same_program(saved, made.model):
        differences["program"] = ("that of the search", "another")
    return Applied(
        path=Path(path),
        saved=saved,
        target=target,
        folder=Path(out),
        cost=cost,
        metrics=metrics,
        differences=differences,
        causes=_causes(saved, target, samples) if differences else (),
        how=made.how,
        notes=notes,
        runtimes=runtimes(made.model),
    )


def samples_of(
    saved: SavedRecipe, data: DataSource | None = None
) -> tuple[Dataset | None, tuple[str, ...]]:
    """The data of a recipe that was replayed, as its model takes it; or why there is none.

    Raises:
        UserError: it was given, and is none, or of another shape.
    """
    bundle = saved.bundle
    assert bundle is not None, "it was replayed"
    try:
        given = data if data is not None else _named("data", saved, saved.data, DATA_IN_MEMORY)
        found = load_dataset(given, saved.seed, saved.reading)
        found = in_order(found, bundle.inputs, bundle.outputs)
        if math.prod(found.shape) != math.prod(bundle.shape):
            raise InvalidData(
                f"{found.name} has samples of {found.shape}, the recipe's model takes "
                f"{bundle.shape}; give the data that it was found with"
            )
    except UserError as missing:
        if data is not None:
            raise
        return None, (f"the score was not measured: {missing}",)
    found = channels_last(found, bundle.shape)
    parts = {
        name: getattr(found, name).reshape(-1, *bundle.shape)
        for name in ("x_train", "x_validation", "x_test")
    }
    shaped = replace(found, **parts)
    return shaped.asked(saved.task) if saved.task else shaped, ()


def _causes(saved: SavedRecipe, target: Target, samples: Dataset | None) -> tuple[str, ...]:
    """What differs from when the recipe was written."""
    found = []
    if saved.autotiny != __version__:
        found.append(f"autotiny was {saved.autotiny} and is {__version__}")
    if samples is not None and samples.fingerprint != saved.data_fingerprint:
        found.append(f"data was {saved.data_fingerprint} and is {samples.fingerprint}")
    if saved.bundle and saved.bundle.target != target_key(target):
        found.append(f"target {saved.target} has changed")
    if not saved.made_with:
        return (*found, "the recipe does not say which packages and processor it was made with")
    return (*found, *differing(saved.made_with, made_with()))


def _check_fingerprint(what: str, name: str, recorded: str, found: str) -> None:
    if recorded != found:
        raise UserError(
            f"{what} {name!r} is not what the recipe was found with: its fingerprint is {found}, "
            f"the recipe's {recorded}; restore the {what}, name where it lies with --{what}, or "
            "search again"
        )
