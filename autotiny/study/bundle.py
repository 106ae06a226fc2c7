"""What is kept of a point beside its recipe, so that it is replayed to the byte without training.

A training gives other bits on another processor. So a bundle keeps the model after the last step
that trained, the samples that the lowering found its ranges with, and the lowered graph, in which
floats are at an end: what lies behind it is computed in integers, the same everywhere.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np

from autotiny.cache import MANIFEST, Cache, digest, files_of, key_of
from autotiny.components import Component, Work, is_calibrated, is_lowering, with_grus
from autotiny.dataset import Dataset, read_arrays
from autotiny.errors import InvalidData, NotApplicable, UserError, shown
from autotiny.evaluate import program_key
from autotiny.graph import Array, Graph
from autotiny.model import Level, Model, foreign_model, save_readable, successor, weights_digest
from autotiny.recipe import Bundle, Recipe, SavedRecipe, apply
from autotiny.signal import Front, front_from, with_front
from autotiny.study.job import Job
from autotiny.target import Target, load_target, target_key
from autotiny.tflite import read_tflite, write_tflite

TRAINED, CALIBRATION, LOWERED, FRONT, TARGET = (
    "trained",
    "calibration.npz",
    "lowered.tflite",
    "front.json",
    "target.toml",
)
DRAFT = ".bundle-"

LARGEST = 512 << 20
"""Bytes of one file of a bundle that are read."""

WAY_OUT = "restore it, or train again: --retrain"


@dataclass(frozen=True, eq=False)
class Calibration(Dataset):
    """The samples that a lowering used, in their order: all that is left of a data set."""

    def calibration(self, n: int, seed: int) -> Array:
        """The first `n` of them; they were drawn before."""
        return self.x_train[:n]


@dataclass(frozen=True)
class Replayed:
    """What a bundle gave.

    Attributes:
        model: the result of the recipe.
        notes: what was not as it was when the bundle was made.
    """

    model: Model
    notes: tuple[str, ...]


def write_bundle(saved: SavedRecipe, job: Job, folder: Path) -> Bundle:
    """Keep in a folder what replays a point; all of it lies in the cache already.

    Args:
        saved: the recipe of the point.
        job: what it was found for.
        folder: where to; one that is there already is replaced as a whole.
    """
    steps = saved.recipe.canonical().steps
    trained, lowered = _milestones(steps)
    work = job.work()
    before = apply(Recipe(steps[:trained]), job.model, work, job.cache).model
    graph_model = apply(Recipe(steps[:lowered]), job.model, work, job.cache).model
    final = apply(Recipe(steps), job.model, work, job.cache).model
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f"{DRAFT}*"):  # of a search that was killed meanwhile
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=DRAFT, dir=folder.parent) as made:
        draft = Path(made) / "bundle"
        draft.mkdir()
        flat = write_tflite(graph_model.graph)
        (draft / LOWERED).write_bytes(flat)
        if graph_model.front is not None and graph_model.front.ends:
            front = json.dumps(graph_model.front.to_dict(), indent=1)
            (draft / FRONT).write_text(front, encoding="utf-8")
        kept = save_readable(before, draft / TRAINED)
        samples = _drawn(steps[lowered - 1], job) if kept and lowered else None
        if samples is not None:
            np.savez_compressed(draft / CALIBRATION, x=samples)
        if job.target.file:
            shutil.copyfile(job.target.file, draft / TARGET)
        manifest = {name: digest(draft / name) for name in files_of(draft)}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if folder.exists():
            folder.rename(Path(made) / "before")
        draft.rename(folder)
    return Bundle(
        folder="",
        of=saved.digest,
        steps=trained,
        trained=weights_digest(before) if kept else "",
        calibration="" if samples is None else _samples_digest(samples),
        lowered=read_tflite(flat).fingerprint(),
        program=program_key(final),
        shape=job.data.shape,
        classes=job.data.task.outputs,
        target=target_key(job.target),
        inputs=tuple(port.name for port in job.data.ports),
        outputs=tuple(answer.name for answer in job.data.answers),
    )


def _milestones(steps: Sequence[Component]) -> tuple[int, int]:
    """After how many steps nothing trains any more, and after how many the model is lowered."""
    trained = max((place for place, step in enumerate(steps, 1) if step.trains), default=0)
    lowered = max((place for place, step in enumerate(steps, 1) if is_lowering(step)), default=0)
    return trained, lowered


def _drawn(lowering: Component, job: Job) -> Array | None:
    if not is_calibrated(lowering):
        return None
    return job.data.calibration(int(getattr(lowering, "calibration", 0)), job.seed)


def _samples_digest(samples: Array) -> str:
    values = np.ascontiguousarray(samples, np.float32)
    content = hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()
    return key_of(tuple(map(int, values.shape)), content)


def folder_of(saved: SavedRecipe) -> Path | None:
    """Where the bundle of a recipe lies; None where there is none of what the recipe says now.

    Raises:
        UserError: the recipe names a folder that is not inside its own.
    """
    bundle = saved.bundle
    if bundle is None or saved.folder is None or bundle.of != saved.digest:
        return None
    inner = PurePosixPath(bundle.folder)
    folder = saved.folder / inner
    home = saved.folder.resolve()
    plain = not inner.is_absolute() and ".." not in inner.parts and "\\" not in bundle.folder
    if not plain or home not in folder.resolve().parents:
        raise UserError(
            f"the recipe's bundle is {shown(bundle.folder)}; it must be a folder inside of the "
            "recipe's own"
        )
    return folder if folder.is_dir() else None


def check_intact(folder: Path) -> None:
    """Refuse a bundle of which a file is missing, changed or too large, by its name.

    Raises:
        UserError: that is so.
    """
    try:
        written = (folder / MANIFEST).read_text(encoding="utf-8")
        manifest = json.loads(written)
        listed = {str(name): str(value) for name, value in manifest.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as damage:
        raise UserError(f"{folder / MANIFEST} is missing or damaged; {WAY_OUT}") from damage
    for name, expected in listed.items():
        inner, file = PurePosixPath(name), folder / name
        if inner.is_absolute() or ".." in inner.parts or "\\" in name:
            raise UserError(f"{folder / MANIFEST} names {shown(name)}; {WAY_OUT}")
        if file.is_symlink() or not file.is_file():
            raise UserError(f"{file} is missing, or no plain file; {WAY_OUT}")
        if file.stat().st_size > LARGEST:
            raise UserError(f"{file} has more than {LARGEST:,} bytes; {WAY_OUT}")
        if digest(file) != expected:
            raise UserError(f"{file} has changed since the recipe was written; {WAY_OUT}")


def replayed(saved: SavedRecipe, target: Target | None, folder: Path, cache: Cache) -> Replayed:
    """What a recipe's bundle gives: lowered and scheduled again, with nothing trained.

    The target is that of the recipe, for steps that measure; None if there are none.

    Raises:
        UserError: a part of the bundle is missing, is not what the recipe names, or holds what is
            not read from files.
    """
    bundle = saved.bundle
    assert bundle is not None, "folder_of found it"
    check_intact(folder)
    steps = saved.recipe.canonical().steps
    trained, lowered = _milestones(steps)
    flat = folder / LOWERED
    if not flat.is_file():
        raise UserError(f"{flat} is missing; {WAY_OUT}")
    graph = read_tflite(flat.read_bytes(), "model")
    _check(flat, bundle.lowered, graph.fingerprint())
    notes: tuple[str, ...] = ()
    shown = saved.task is not None and saved.task.gives_back
    kept = (
        _kept(graph, _front(folder), shown)
        if lowered
        else Model(Level.TFLITE, graph, bundle.lowered)
    )
    samples = _calibration(saved, bundle, folder)
    work = Work(samples, seed=saved.seed, epochs=saved.epochs, target=target)
    if bundle.trained and lowered:
        start = foreign_model(folder / TRAINED)
        _check(folder / TRAINED, bundle.trained, weights_digest(start))
        kept, notes = _lowered_again(start, steps[trained:lowered], graph, kept, work, cache)
    result = apply(Recipe(steps[lowered:]), kept, work, cache).model
    return Replayed(result, notes)


def _lowered_again(
    start: Model, steps: Sequence[Component], graph: Graph, kept: Model, work: Work, cache: Cache
) -> tuple[Model, tuple[str, ...]]:
    """The lowered model, and what to say if the lowering gives another one here than was kept."""
    try:
        found = apply(Recipe(tuple(steps)), start, work, cache).model
    except (NotApplicable, UserError) as refusal:
        note = f"the lowering was not done again ({refusal}); the kept result stands for it"
        return kept, (note,)
    # As a file holds it: a GRU is written out there.
    if read_tflite(write_tflite(found.graph), "model").fingerprint() == graph.fingerprint():
        return found, ()
    note = (
        "the lowering gives other bits here than where the recipe was found; the kept result "
        "stands for it"
    )
    return successor(found, kept.graph), (note,)


def _kept(graph: Graph, front: Front | None, shown: bool) -> Model:
    """The lowered model that a file holds, in which a GRU is written out and front ends lack."""
    whole = with_front(with_grus(graph, exact=True), front, shown=shown)
    return Model(Level.TFLITE, whole, whole.fingerprint(), front=front)


def _front(folder: Path) -> Front | None:
    """What stands before the lowered network; None where nothing does."""
    file = folder / FRONT
    if not file.is_file():
        return None
    try:
        return front_from(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, UserError, RecursionError) as damage:
        raise UserError(f"{file} is damaged; {WAY_OUT}") from damage


def _calibration(saved: SavedRecipe, bundle: Bundle, folder: Path) -> Calibration:
    """The kept samples in the place of the data; none where the lowering needed none."""
    x = np.zeros((0, *bundle.shape), np.float32)
    if bundle.calibration:
        file = folder / CALIBRATION
        if not file.is_file():
            raise UserError(f"{file} is missing; {WAY_OUT}")
        try:
            x = read_arrays(file)["x"].astype(np.float32)
        except (InvalidData, KeyError) as damage:
            raise UserError(f"{file} is damaged; {WAY_OUT}") from damage
        _check(file, bundle.calibration, _samples_digest(x))
    none = np.zeros(0, np.int32)
    assert saved.task is not None, "a recipe with a bundle has one"
    return Calibration(saved.data, x, none, x[:0], none, x[:0], none, saved.task)


def _check(part: Path, recorded: str, found: str) -> None:
    if recorded != found:
        raise UserError(f"{part} is not what the recipe was written with; {WAY_OUT}")


def target_of(saved: SavedRecipe) -> tuple[Target, tuple[str, ...]]:
    """The target of a recipe, and what to say if its file is not what it was.

    A file that is missing or has changed is replaced by the copy in the bundle.
    """
    folder, bundle = folder_of(saved), saved.bundle
    copy = folder / TARGET if folder else None
    if bundle is None or copy is None or not copy.is_file():
        return load_target(saved.located(saved.target)), ()
    try:
        found = load_target(saved.located(saved.target))
        if target_key(found) == bundle.target:
            return found, ()
        why = "has changed since the recipe was found"
    except UserError:
        why = "is not found"
    kept = replace(load_target(str(copy)), name=Path(saved.target).stem)
    return kept, (f"target {saved.target} {why}; the bundle's copy of it is used",)


def same_program(saved: SavedRecipe, model: Model) -> bool:
    """Whether a result is, to the byte, the one that the recipe was written with."""
    return saved.bundle is None or saved.bundle.program == program_key(model)


def bundle_bytes(folder: Path) -> int:
    """Bytes that a bundle takes."""
    return sum((folder / name).stat().st_size for name in files_of(folder))
