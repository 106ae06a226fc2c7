"""Components that compute nothing, so that a study runs in milliseconds."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unittest import mock

import numpy as np

from autotiny.components import Component, Work
from autotiny.dataset import Dataset
from autotiny.errors import NotApplicable
from autotiny.model import Level, Model

CALLS: list[str] = []
"""The names of the components that were applied, in order."""


def appended(model: Model, step: Component, level: Level, work: Work) -> Model:
    CALLS.append(step.name + ("?" if work.rehearse else ""))
    trace = [*model.network, repr(step)]
    return Model(level, trace, f"{trace}{work.seed}", model.notes)


class Toy(Component):
    def apply(self, model: Model, work: Work) -> Model:
        level = max(model.level, self.leaves, key=list(Level).index)
        return appended(model, self, level, work)


@dataclass(frozen=True)
class Prune(Toy):
    name = "prune"
    level = Level.KERAS
    trains = True

    sparsity: float
    structure: Literal["element", "block"] = "element"


@dataclass(frozen=True)
class Cluster(Toy):
    name = "cluster"
    level = Level.KERAS
    trains = True

    centroids: int = 16


@dataclass(frozen=True)
class Aware(Toy):
    name = "aware"
    level = Level.KERAS
    leaves = Level.GRAPH  # nothing trains after it
    trains = True


@dataclass(frozen=True)
class Fold(Toy):
    name = "fold"
    level = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH)


@dataclass(frozen=True)
class Strip(Toy):
    name = "strip"
    level = Level.TFLITE
    leaves = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH, Level.TFLITE)


@dataclass(frozen=True)
class Idle(Toy):
    name = "idle"
    level = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH)

    def apply(self, model: Model, work: Work) -> Model:
        CALLS.append("idle")
        raise NotApplicable("idle: there is never anything to do")


@dataclass(frozen=True)
class Float32(Toy):
    name = "float32"
    level = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH)
    leaves = Level.TFLITE


@dataclass(frozen=True)
class Int8(Toy):
    name = "int8"
    level = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH)
    leaves = Level.TFLITE


@dataclass(frozen=True)
class Int16(Toy):
    name = "int16"
    level = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH)
    leaves = Level.TFLITE
    not_after = {"aware": "does not convert"}  # noqa: RUF012 - as components state it


@dataclass(frozen=True)
class Fuse(Toy):
    name = "fuse"
    level = Level.PROGRAM
    levels = (Level.TFLITE, Level.PROGRAM)


@dataclass(frozen=True)
class Block(Toy):
    name = "block"
    level = Level.PROGRAM
    levels = (Level.TFLITE, Level.PROGRAM)

    rows: int = 2


@dataclass(frozen=True)
class Place(Toy):
    name = "place"
    level = Level.PROGRAM
    levels = (Level.TFLITE, Level.PROGRAM)
    tensors: tuple[int, ...] = ()


TOYS: dict[str, type[Component]] = {
    kind.name: kind
    for kind in (
        Prune, Cluster, Aware, Fold, Strip, Idle, Float32, Int8, Int16, Fuse, Block, Place,
    )
}  # fmt: skip

SPACE = """
title = "a space of toys"
first = [[{ component = "int8" }], [{ component = "int8" }, { component = "fuse" }]]

[components.float32]
[components.int8]
[components.int16]
[components.prune]
sparsity = { low = 0.1, high = 0.9, step = 0.2 }
structure = ["element", "block"]
[components.cluster]
centroids = { low = 4, high = 64, log = true }
[components.aware]
[components.fold]
[components.strip]
[components.idle]
[components.fuse]
[components.block]
rows = [2, 4]
[components.place]
tensors = [[], [1, 2]]
"""


def save_toy(model: Model, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    facts = [model.level.value, model.network, model.fingerprint]
    (folder / "toy.json").write_text(json.dumps(facts))


def restore_toy(folder: Path) -> Model:
    level, network, fingerprint = json.loads((folder / "toy.json").read_text())
    return Model(Level(level), network, fingerprint)


@contextmanager
def toy_components() -> Iterator[None]:
    """Toys in place of the real components, everywhere."""
    from autotiny.components import COMPONENTS

    with (
        mock.patch.dict(COMPONENTS, TOYS, clear=True),
        mock.patch("autotiny.recipe.save", save_toy),
        mock.patch("autotiny.recipe.restore", restore_toy),
    ):
        CALLS.clear()
        yield


def toy_model(level: Level = Level.KERAS) -> Model:
    return Model(level, ["original"], "original")


def toy_data() -> Dataset:
    x = np.zeros((10_000, 2), np.float32)
    y = np.arange(10_000, dtype=np.int32) % 2
    return Dataset("toy", x, y, x, y, x, y, classes=2)
