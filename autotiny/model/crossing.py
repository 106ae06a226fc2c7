"""Models and samples on their way to the worker: files, each written once a process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from autotiny.graph import Array
from autotiny.machine import memory_bytes
from autotiny.mapped import Place, place_of
from autotiny.model.levels import Model
from autotiny.model.storing import restore, save
from autotiny.model.training import Samples
from autotiny.signal import Front
from autotiny.tasks import Task, task_from
from autotiny.worker import Limits

TRAINING = Limits(seconds=None, memory=max(2 << 30, memory_bytes() * 3 // 4))
"""How long it may train is the user's to say."""

WAY_OUT = "choose a smaller network, fewer samples, or a machine with more memory"
PARTS = ("x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test")

_folders: dict[str, TemporaryDirectory[str]] = {}
"""What has crossed, by its fingerprint; it goes with this process."""


def crossed_model(model: Model) -> str:
    """The folder through which a model crosses.

    Raises:
        Exception: of whatever kind, if no file can hold its layers.
    """
    return _crossed(f"model {model.fingerprint} {model.front}", lambda folder: save(model, folder))


def crossed_samples(data: Samples, fingerprint: str) -> str:
    """The folder through which samples cross."""

    def write(folder: Path) -> None:
        places = {}
        for part in PARTS:
            values = getattr(data, part, None)
            if values is not None and (place := place_of(values)) is not None:
                places[part] = asdict(place)
            elif values is not None:
                np.save(folder / f"{part}.npy", values)
        facts = {
            "name": getattr(data, "name", ""), "task": data.task.to_dict(), "places": places
        }  # fmt: skip
        (folder / "facts.json").write_text(json.dumps(facts))

    return _crossed(f"samples {fingerprint} {data.task.to_dict()}", write)


def _crossed(key: str, write: Callable[[Path], None]) -> str:
    if key not in _folders or not Path(_folders[key].name).is_dir():
        folder = TemporaryDirectory(prefix="autotiny-")
        write(Path(folder.name))
        _folders[key] = folder
    return _folders[key].name


@lru_cache(maxsize=4)
def arrived_model(folder: str) -> Model | None:
    """In the worker: a model; None if it has layers of the user's own, whose code is not here."""
    try:
        return restore(Path(folder))
    except Exception:  # of whatever that code is
        return None


def arrived_parts(folder: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """In the worker: the arrays of samples, mapped into its memory, and what else is known."""
    facts = json.loads((Path(folder) / "facts.json").read_text())
    arrays = {
        file.stem: np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
        for file in Path(folder).glob("*.npy")
    }
    arrays |= {part: Place(**place).map() for part, place in facts["places"].items()}
    return arrays, facts


@dataclass(frozen=True, eq=False)
class Arrived:
    """In the worker: samples to train on."""

    x_train: Array
    y_train: Array
    x_validation: Array
    y_validation: Array
    task: Task

    def through(self, front: Front | None) -> Arrived:
        """The samples that have crossed are what the network takes."""
        return self

    @classmethod
    def read(cls, folder: str) -> Arrived:
        """What `crossed_samples` wrote."""
        arrays, facts = arrived_parts(folder)
        return cls(**{part: arrays[part] for part in PARTS[:4]}, task=task_from(facts["task"]))
