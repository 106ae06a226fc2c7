"""A recipe is the ordered list of components that decides everything that happens to a model.

It is data: drawn, compared, hashed, applied prefix by prefix through the cache, written to a JSON
file and read from one. Reading a file never runs anything that stands in it.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autotiny.cache import Cache, key_of
from autotiny.checked import Epochs, Seed, Wording, filled, hints_of
from autotiny.codeversion import code_version
from autotiny.components import (
    COMPONENTS,
    PARAMETERS,
    Component,
    Work,
    commute,
    is_lowering,
    misplaced,
    objection,
    work_for,
)
from autotiny.components.applying import apply_apart, trains_apart
from autotiny.datafile import write_whole
from autotiny.dataset import AS_STORED, DATASETS, Reading
from autotiny.engine.variants import WAYS
from autotiny.errors import LONGEST, InvalidModel, NotApplicable, UserError, shown, unknown
from autotiny.model import BUILTIN, Level, Model, restore, save, storing
from autotiny.model.crossing import crossed_model
from autotiny.signal import Stream
from autotiny.target import Target, target_key, target_names
from autotiny.tasks import Classification, Reconstruction, Task, task_from
from autotiny.version import __version__

SCHEMA = 1
"""Version of the recipe file; raised when an old file would mean something else."""

NAMES_OF_OURS = frozenset({*BUILTIN, *DATASETS})
"""Names that stand for a network or a data set of autotiny, whatever files are called so."""


@dataclass(frozen=True)
class Recipe:
    """An ordered sequence of components with their parameters."""

    steps: tuple[Component, ...] = ()

    def __str__(self) -> str:
        return " → ".join(step_text(step) for step in self.steps) or "(nothing)"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the components, in order."""
        return tuple(step.name for step in self.steps)

    @property
    def reads_weights(self) -> bool:
        """Whether its cost hangs on weights, which training changes, and not on shapes alone."""
        return any(step.reads_weights for step in self.steps)

    @cached_property
    def key(self) -> str:
        """A digest that two recipes share exactly if their canonical forms are equal."""
        return key_of(*(step_key(step) for step in self.canonical().steps))

    def canonical(self) -> Recipe:
        """The one form of all recipes that mean the same work.

        Neighbours that commute stand by name: the smallest component that may move to the front
        goes first, and so on, which is the lexicographic normal form of a trace monoid.
        """
        left = list(self.steps)
        ordered: list[Component] = []
        while left:
            free = [
                index
                for index, step in enumerate(left)
                if all(commute(step, other) for other in left[:index])
            ]
            ordered.append(left.pop(min(free, key=lambda index: step_key(left[index]))))
        return Recipe(tuple(ordered))


def check_legal(recipe: Recipe, level: Level | None = None) -> None:
    """Refuse a sequence whose order is illegal on a model of a level, or on any model.

    Raises:
        UserError: a step stands where it cannot, none lowers the model, or two do.
    """
    kinds = [type(step) for step in recipe.steps]
    why = misplaced(kinds) if level is None else objection(kinds, level)
    if why:
        names = " → ".join(recipe.names)[: 2 * LONGEST] or "(nothing)"
        raise UserError(
            f"illegal sequence {names}: {why}; one lowering stands behind what trains and before "
            "what schedules: 'autotiny components' shows the levels"
        )


def parameters(step: Component) -> dict[str, Any]:
    """The parameters of a component, by name."""
    return {entry.name: getattr(step, entry.name) for entry in fields(step)}  # type: ignore[arg-type]


def _written(step: Component) -> dict[str, Any]:
    """The same, but for those that came later and have their default.

    So recipes that were written before mean, and are called, what they were.
    """
    usual = {entry.name: entry.default for entry in fields(step)}  # type: ignore[arg-type]
    return {
        name: value
        for name, value in parameters(step).items()
        if name not in step.later or value != usual[name]
    }


@lru_cache(maxsize=65_536)
def step_key(step: Component) -> str:
    """A component and its parameters as text that sorts and compares."""
    return f"{step.name} {json.dumps(_written(step), sort_keys=True)}"


def step_text(step: Component) -> str:
    """A component for the reader, e.g. `prune_magnitude(sparsity=0.5)`."""
    shown = ", ".join(f"{name}={value}" for name, value in _written(step).items())
    return f"{step.name}({shown})" if shown else step.name


def steps_from_text(text: str) -> tuple[Component, ...]:
    """The components that a reader's text names; the reverse of `step_text`.

    Commas or arrows stand between them, e.g. `int8, place_weights(budget_bytes=1024)`; the JSON
    objects of a recipe file, or a list of them, do as well. A value is a literal, or else a word:
    nothing that stands in the text is evaluated.

    Raises:
        UserError: the text is none, or a component or parameter is unknown or of a wrong type.
    """
    if text.lstrip().startswith("["):
        return tuple(component_from(step) for step in _json(text))
    parts = _split(text.replace("→", ","))
    return tuple(
        component_from(_json(part)) if part.startswith("{") else _step_from(part) for part in parts
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{shown(text)} is not JSON: {error}") from error


def _step_from(text: str) -> Component:
    found = re.fullmatch(r"(\w+)\s*(?:\((.*)\))?", text, re.DOTALL)
    if found is None:
        raise UserError(f"{text!r} is no component; write it as prune_magnitude(sparsity=0.5)")
    values = {}
    for entry in _split(found[2] or ""):
        name, equals, value = entry.partition("=")
        if not equals:
            raise UserError(f"{entry!r} of {found[1]} names no parameter; write sparsity=0.5")
        values[name.strip()] = _literal(value.strip())
    return component_with(component_named(found[1]), values)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _split(text: str) -> list[str]:
    """The parts between commas, but for those in brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


@dataclass(frozen=True)
class Dropped:
    """A component that had nothing to do, and why."""

    component: str
    reason: str


@dataclass(frozen=True)
class Candidate:
    """What a recipe made of a model.

    Attributes:
        model: the result.
        key: a digest of all that the result depends on; equal keys are equal results.
        dropped: the components that were not applicable.
    """

    model: Model
    key: str
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True)
class _Prefix:
    """The first steps of a recipe, applied; the model is restored only where it is needed.

    Attributes:
        key: of the result.
        load: gives it.
        folder: gives the folder of files that hold it; None if none can.
        dropped: the components that were not applicable.
    """

    key: str
    load: Callable[[], Model]
    folder: Callable[[], str | None]
    dropped: tuple[Dropped, ...] = ()


def apply(recipe: Recipe, model: Model, work: Work, cache: Cache) -> Candidate:
    """Apply a recipe to a model; every prefix of it is kept in the cache.

    Raises:
        InvalidModel: the lowering cannot convert what the steps before it left.
        TrainingDiverged: a fine-tune produced NaN or infinity.
    """
    work = replace(work, cache=cache)
    prefix = _Prefix(starting_key(model, work), lambda: model, lambda: _folder_of(model))
    for step in recipe.canonical().steps:
        prefix = _extended(prefix, step, work, cache)
    return Candidate(prefix.load(), prefix.key, prefix.dropped)


def starting_key(model: Model, work: Work) -> str:
    """The key of the empty prefix: model, data and task, seed, and length of the training."""
    teacher, data = work.original.fingerprint if work.original else "", work.data
    return key_of(
        model.level.value, model.fingerprint, teacher, data.fingerprint, data.task.asked,
        work.seed, work.epochs, work.rehearse,
    )  # fmt: skip


def extended_key(prefix: str, step: Component, target: Target | None) -> str:
    """The key of one step more: the component, its parameters, the code that applies and stores.

    The target is part of it for a component that measures.
    """
    measured_on = target_key(target) if step.measures and target else ""
    code = code_version(type(step).__module__, storing.__name__)
    return key_of(prefix, step_key(step), measured_on, code)


def _extended(prefix: _Prefix, step: Component, work: Work, cache: Cache) -> _Prefix:
    key = extended_key(prefix.key, step, work.target)
    with cache.alone(key):  # of two processes that want the same, one makes it
        entry = cache.get(key)
        if entry is None:
            try:
                return _made(prefix, step, key, work, cache)
            except NotApplicable as refusal:
                reason = str(refusal)
                entry = cache.put(key, lambda folder: _write_refusal(folder, reason))
    refusal_file = entry / "not_applicable.txt"
    if refusal_file.exists():
        dropped = Dropped(step.name, refusal_file.read_text(encoding="utf-8"))
        if is_lowering(step):
            # Without it nothing behind it has a level to stand on.
            raise InvalidModel(dropped.reason)
        return replace(prefix, dropped=(*prefix.dropped, dropped))
    return _stored(key, entry, prefix)


def _made(prefix: _Prefix, step: Component, key: str, work: Work, cache: Cache) -> _Prefix:
    """One step more, for the first time: in the worker if it trains."""
    if trains_apart(step, work):
        with TemporaryDirectory(prefix="autotiny-") as made:
            source = prefix.folder()
            if source is not None and apply_apart(step, source, made, work):
                entry = cache.put(key, lambda folder: _copy(Path(made), folder))
                return _stored(key, entry, prefix)
    before = prefix.load()
    model = step.apply(before, work_for(before, work))
    entry = cache.put(key, lambda folder: save(model, folder))
    return replace(_stored(key, entry, prefix), load=lambda: model)


def _stored(key: str, entry: Path, before: _Prefix) -> _Prefix:
    """A prefix that lies in the cache."""
    return replace(before, key=key, load=lambda: restore(entry, WAYS), folder=lambda: str(entry))


def _copy(made: Path, folder: Path) -> None:
    shutil.copytree(made, folder, dirs_exist_ok=True)


def _folder_of(model: Model) -> str | None:
    try:
        return crossed_model(model)
    except Exception:  # of whatever layers it has that no file can hold
        return None


def _write_refusal(folder: Path, reason: str) -> None:
    (folder / "not_applicable.txt").write_text(reason, encoding="utf-8")


@dataclass(frozen=True)
class Bundle:
    """What is kept beside a recipe, so that it is replayed without training.

    Attributes:
        folder: where it lies, seen from the recipe's folder.
        of: a digest of the steps, seed, epochs, model and data that it was made of.
        steps: so many steps of the canonical form the stored model has behind it.
        trained: a digest of its weights; "" where no model is kept that a file can hold.
        calibration: a digest of the samples that the lowering used; "" where it used none.
        lowered: the fingerprint of the graph that the lowering gave.
        program: a digest of the final graph and schedule, which decide every byte.
        shape: of one sample.
        classes: how many values the task reads; 0 for a network that gives its input back.
        target: a digest of what figures hang on in the target.
        inputs: names of the inputs in the network's order, where there are several.
        outputs: likewise of the outputs.
    """

    folder: str
    of: str
    steps: int
    trained: str
    calibration: str
    lowered: str
    program: str
    shape: tuple[int, ...]
    classes: int
    target: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class SavedRecipe:
    """A recipe with all that is needed to do it again and to compare the result.

    Attributes:
        recipe: the sequence.
        target: name of the microcontroller, or path of its file.
        model: name of the built-in network, or path of the model.
        model_fingerprint: digest of the model that the search began with.
        data: name of the data set, or its path.
        data_fingerprint: digest of its samples and splits.
        seed: decided everything random.
        epochs: upper limit of each fine-tune.
        figures: what was measured, as `Metrics.to_dict` gives it.
        runtimes: what else can run the result.
        reading: how the data is read: the scale of its inputs, its columns, its windows.
        stream: what its firmware takes in place of whole windows.
        task: what the network is asked to do, and what it is scored by; None in recipes that were
            written before there were tasks.
        labels: names of the classes, or of the values to predict, where the data has them.
        inputs: how the inputs of the data were stored, and what was made of them, in words.
        made_with: versions and the processor; see `provenance`.
        bundle: what is kept beside the file; None where nothing is.
        autotiny: the version that wrote it.
        folder: of the file that it was read from; paths are looked for there first.
    """

    recipe: Recipe
    target: str
    model: str
    model_fingerprint: str
    data: str
    data_fingerprint: str
    seed: int
    epochs: int
    figures: Mapping[str, Any] = field(default_factory=dict)
    runtimes: tuple[str, ...] = ()
    reading: Reading = AS_STORED
    stream: Stream | None = None
    task: Task | None = None
    labels: tuple[str, ...] = ()
    inputs: str = ""
    made_with: Mapping[str, str] = field(default_factory=dict)
    bundle: Bundle | None = None
    autotiny: str = __version__
    folder: Path | None = field(default=None, compare=False)

    @property
    def digest(self) -> str:
        """A digest of what decides the result: steps, seed, epochs, model and data."""
        steps = json.dumps([step_data(step) for step in self.recipe.steps], sort_keys=True)
        return key_of(steps, self.seed, self.epochs, self.model_fingerprint, self.data_fingerprint)

    def located(self, name: str) -> str:
        """Where what the recipe names lies: seen from its folder, or else as it is written."""
        if self.folder is None or name in NAMES_OF_OURS or name in target_names():
            return name
        path = self.folder / name
        return str(path) if path.exists() else name

    def seen_from(self, folder: Path) -> SavedRecipe:
        """The same with the paths of model, data and target as they are seen from a folder."""

        def seen(name: str) -> str:
            if name in NAMES_OF_OURS or name in target_names() or not Path(name).exists():
                return name
            try:
                return Path(os.path.relpath(name, folder)).as_posix()
            except ValueError:  # on another drive
                return str(Path(name).absolute())

        return replace(self, model=seen(self.model), data=seen(self.data), target=seen(self.target))

    def to_json(self) -> str:
        """The file: the same recipe gives the same bytes."""
        content = {
            "schema": SCHEMA,
            "autotiny": self.autotiny,
            "target": self.target,
            "model": {"name": self.model, "fingerprint": self.model_fingerprint},
            "data": {
                "name": self.data,
                "fingerprint": self.data_fingerprint,
                **self.reading.to_dict(),
            },
            "seed": self.seed,
            "epochs": self.epochs,
            "steps": [step_data(step) for step in self.recipe.steps],
            "figures": dict(self.figures),
            "runtimes": list(self.runtimes),
        }
        if self.stream:
            content["stream"] = asdict(self.stream)
        if self.task:
            content["task"] = self.task.to_dict()
        if self.labels:
            content["labels"] = list(self.labels)
        if self.inputs:
            content["inputs"] = self.inputs
        if self.made_with:
            content["made_with"] = dict(self.made_with)
        if self.bundle:
            content["bundle"] = asdict(self.bundle)
        return json.dumps(content, indent=2) + "\n"


def step_data(step: Component) -> dict[str, Any]:
    """A component as plain data, e.g. `{"component": "prune_magnitude", "sparsity": 0.5}`."""
    return {"component": step.name, **_written(step)}


def write_recipe(saved: SavedRecipe, path: Path) -> None:
    """Write a recipe file; the paths in it are as seen from its folder."""
    write_whole(path, saved.seen_from(path.parent).to_json())


def read_recipe(path: Path | str) -> SavedRecipe:
    """Read a recipe file.

    Raises:
        UserError: it is missing, is no recipe, or names a component or parameter there is not.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the recipe {str(path)!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{str(path)!r} is not a recipe: {error}") from error
    try:
        return replace(_saved_recipe(content), folder=Path(path).parent)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _Named:
    """A model, as it stands in a recipe file."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class _Data:
    """A data set, as it stands in a recipe file."""

    name: str
    fingerprint: str
    scale: str | None = None
    resize: tuple[int, ...] | None = None
    label: str | None = None
    group: str | None = None
    window: str | None = None
    hop: str | None = None
    rate: str | None = None
    ignore: str | None = None
    front: str | None = None
    input_shape: str | None = None


@dataclass(frozen=True)
class _File:
    """A recipe file."""

    schema: int
    autotiny: str
    target: str
    model: _Named
    data: _Data
    seed: Seed
    epochs: Epochs
    steps: tuple[Any, ...]
    figures: Mapping[str, Any]
    runtimes: tuple[str, ...]
    stream: Stream | None = None
    task: Mapping[str, Any] | None = None
    labels: tuple[str, ...] = ()
    inputs: str = ""
    made_with: Mapping[str, str] = field(default_factory=dict)
    bundle: Bundle | None = None


_FIELDS = Wording(
    keys="fields",
    wrong="{key!r} of {place} is {value}; it must be {type}",
    outside="{key!r} of {place} is {value}; it must be {rule}",
    choice="{key!r} of {place} is {value}; {near}it must be one of {choices}",
    missing="{place} lacks the field {key!r}",
    unknown="unknown field of {place} {key!r}; {near}",
    inner="{key}",
)


def _saved_recipe(content: object) -> SavedRecipe:
    if not isinstance(content, dict):
        names = ", ".join(hints_of(_File))
        raise UserError(f"the recipe must be an object with the fields {names}")
    schema = content.get("schema", SCHEMA)
    if type(schema) is int and schema != SCHEMA:
        raise UserError(
            f"schema {shown(schema)} is not {SCHEMA}: written by autotiny "
            f"{content.get('autotiny', 'of another version')}, "
            f"this is {__version__}; search again or install that version"
        )
    file = filled(_File, content, "the recipe", _FIELDS)
    recipe = Recipe(tuple(component_from(step) for step in file.steps))
    check_legal(recipe)
    return SavedRecipe(
        recipe=recipe,
        target=file.target,
        model=file.model.name,
        model_fingerprint=file.model.fingerprint,
        data=file.data.name,
        data_fingerprint=file.data.fingerprint,
        seed=file.seed,
        epochs=file.epochs,
        figures=file.figures,
        runtimes=file.runtimes,
        reading=Reading.of(
            file.data.scale,
            file.data.resize,
            label=file.data.label,
            group=file.data.group,
            window=file.data.window,
            hop=file.data.hop,
            rate=file.data.rate,
            ignore=file.data.ignore,
            front=file.data.front,
            input_shape=file.data.input_shape,
        ),
        stream=file.stream,
        task=_task(file),
        labels=file.labels,
        inputs=file.inputs,
        made_with=file.made_with,
        bundle=file.bundle,
        autotiny=file.autotiny,
    )


def _task(file: _File) -> Task | None:
    """The task of a recipe; older ones with a bundle say how many classes there are."""
    if file.task is not None:
        return task_from(file.task)
    if file.bundle is None:
        return None
    classes = file.bundle.classes
    return Classification(outputs=classes) if classes else Reconstruction()


def component_from(content: object) -> Component:
    """The component that plain data describes; see `step_data`.

    Raises:
        UserError: a component or parameter is unknown, or a value of a wrong type.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("component"), str):
        raise UserError(f"a step is {shown(content)}; it must be an object with a 'component'")
    kind = component_named(content["component"])
    values = {name: value for name, value in content.items() if name != "component"}
    return component_with(kind, values)


def component_named(name: str) -> type[Component]:
    """The component of a name, or the error with the nearest one."""
    if name not in COMPONENTS:
        raise unknown("component", name, COMPONENTS, "autotiny components")
    return COMPONENTS[name]


def component_with(kind: type[Component], values: Mapping[str, Any]) -> Component:
    """A component with parameters, each of the type and range of its field.

    Raises:
        UserError: a parameter is unknown, missing, of a wrong type or out of its range.
    """
    return filled(kind, values, kind.name, PARAMETERS)
