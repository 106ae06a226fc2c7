"""A stored model that came from elsewhere: `storing`'s files, which are checked like any others."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from autotiny import worker
from autotiny.cache import key_of
from autotiny.doors import keras
from autotiny.errors import InvalidModel
from autotiny.model.allowed import as_many_weights_as, check_activations, clean_stored
from autotiny.model.allowed.files import LARGEST_TEXT
from autotiny.model.allowed.sizes import LARGEST_WEIGHTS
from autotiny.model.freezing import graph_fingerprint
from autotiny.model.levels import Level, Model
from autotiny.model.loading import LOADING_SECONDS
from autotiny.model.reading import building
from autotiny.model.received import check_stored, received
from autotiny.model.storing import restore, save
from autotiny.worker import Limits

LARGEST = {
    "model.json": LARGEST_TEXT,
    "model.h5": LARGEST_WEIGHTS + LARGEST_TEXT,
    "graph.pb": LARGEST_WEIGHTS + LARGEST_TEXT,
}
"""The files of a model that can still be lowered, and how many bytes of each are read."""


def save_readable(model: Model, folder: Path) -> bool:
    """Store a model as `foreign_model` reads it; False, and no folder, where none can be read.

    That is one with layers of the user's own, or a larger one than is read from files.
    """
    if model.level not in (Level.KERAS, Level.GRAPH):
        return False
    try:
        save(model, folder)
        check_stored(folder, str(folder))
        _check_sizes(folder)
    except Exception:  # of whatever layers it has that no file can hold
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def foreign_model(folder: Path) -> Model:
    """The model of a folder that `save_readable` wrote, or someone else.

    Raises:
        InvalidModel: a file is missing, too large, damaged, or holds what is not read from files.
    """
    megabytes = _check_sizes(folder) >> 20
    keras()  # while the worker imports it too
    with TemporaryDirectory(prefix="autotiny-") as made:
        worker.ask(
            restore_into, str(folder), made, what=f"loading {folder}",
            limits=Limits(seconds=LOADING_SECONDS + megabytes), way_out="train again: --retrain",
        )  # fmt: skip
        return received(Path(made), str(folder))


def _check_sizes(folder: Path) -> int:
    total = 0
    for name, most in LARGEST.items():
        file = folder / name
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise InvalidModel(f"{file} is no plain file; copy it there itself")
        size = file.stat().st_size if file.exists() else 0
        if size > most:
            raise InvalidModel(f"{file} has {size:,} bytes; at most {most:,} are read")
        total += size
    return total


def restore_into(source: str, folder: str) -> None:
    """In the worker: stores again what a folder of `storing`'s files holds, checked and rebuilt."""
    given, where = Path(source), source
    with TemporaryDirectory(prefix="autotiny-") as clean, building(given, "a stored model"):
        copy = Path(clean)
        facts = json.loads((given / "model.json").read_text(encoding="utf-8"))
        if facts["level"] not in (Level.KERAS.value, Level.GRAPH.value):
            raise InvalidModel(f"{where} holds a model of level {facts['level']!r:.40}")
        (copy / "model.json").write_text(json.dumps(facts), encoding="utf-8")
        values = 0
        if facts["level"] == Level.KERAS.value:
            values = clean_stored(given / "model.h5", copy / "model.h5")
        else:
            shutil.copyfile(given / "graph.pb", copy / "graph.pb")
        check_stored(copy, where)
        with as_many_weights_as(values, where):
            model = restore(copy)
        if model.level is Level.KERAS:
            check_activations(model.keras, where)
        save(model, Path(folder))


def weights_digest(model: Model) -> str:
    """A digest of the weights and traits of a model that can still be lowered.

    It is the same in every process and with every version of Keras: names and configurations,
    which those write differently, do not enter.
    """
    if model.level is Level.GRAPH:
        return key_of(model.level.value, graph_fingerprint(model.frozen), model.traits)
    digest = hashlib.sha256()
    for weight in model.keras.get_weights():
        digest.update(repr((tuple(map(int, weight.shape)), str(weight.dtype))).encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return key_of(model.level.value, digest.hexdigest(), model.traits)
