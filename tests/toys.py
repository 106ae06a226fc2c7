"""Components that compute nothing, so that a study runs in milliseconds."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from unittest import mock

import numpy as np

from autotiny.cache import Cache
from autotiny.components import Component, Work
from autotiny.dataset import Dataset
from autotiny.errors import InvalidData, NotApplicable
from autotiny.evaluate import Agreement
from autotiny.graph import Array, Graph
from autotiny.model import FrozenGraph, Level, Model, Program
from autotiny.schedule import Schedule
from autotiny.tasks import Classification, Score
from autotiny.tasks.metrics import share_error

CALLS: list[str] = []
"""The names of the components that were applied, in order."""


def appended(model: Model, step: Component, level: Level, work: Work) -> Model:
    CALLS.append(step.name + ("?" if work.rehearse else ""))
    steps = [*steps_of(model), repr(step)]
    network = toy_network(level, steps)
    return replace(model, level=level, network=network, fingerprint=f"{steps}{work.seed}")


class ToyKeras:
    """In the place of a Keras model: no more than what was done to it."""

    layers: tuple[object, ...] = ()
    outputs: tuple[object, ...] = ()

    def __init__(self, text: str) -> None:
        self.text = text

    def save(self, path: Path, **options: object) -> None:
        path.write_text(self.text)


def toy_keras() -> Any:
    """In the place of tf_keras, for reading what a `ToyKeras` wrote."""

    def load_model(path: Path, **options: object) -> ToyKeras:
        return ToyKeras(path.read_text())

    return SimpleNamespace(models=SimpleNamespace(load_model=load_model))


def toy_network(level: Level, steps: Sequence[str]) -> Any:
    """A network of the type that a level has, which holds the steps that led to it as text."""
    text = "\n".join(steps)
    graph = Graph((), (), (), (), text)
    return {
        Level.KERAS: ToyKeras(text),
        Level.GRAPH: FrozenGraph(text.encode(), (), ()),
        Level.TFLITE: graph,
        Level.PROGRAM: Program(graph, Schedule(())),
    }[level]


def trace_of(model: Model) -> str:
    """The steps that led to a toy model, a line each."""
    network: Any = model.network
    if isinstance(network, FrozenGraph):
        return network.graph_def.decode()
    if isinstance(network, Program):
        network = network.graph
    return network.name if isinstance(network, Graph) else str(network.text)


def steps_of(model: Model) -> list[str]:
    return trace_of(model).splitlines()


class Toy(Component):
    def apply(self, model: Model, work: Work) -> Model:
        return appended(model, self, self.gives(model.level), work)


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


@contextmanager
def toy_components() -> Iterator[None]:
    """Toys in place of the real components, everywhere."""
    from autotiny.components import COMPONENTS
    from autotiny.study import record

    with (
        mock.patch.dict(COMPONENTS, TOYS, clear=True),
        mock.patch("autotiny.model.storing.keras", toy_keras),
    ):
        CALLS.clear()
        record.parsed.cache_clear()  # "int8" names another component now
        yield
    record.parsed.cache_clear()


def toy_model(level: Level = Level.KERAS) -> Model:
    return Model(level, toy_network(level, ["original"]), "original")


def scored(accuracy: Callable[..., float]) -> Callable[..., Score]:
    """A function that gives accuracies as one that gives scores, as an `Evaluator` takes it."""
    return partial(_scored, accuracy)


def _scored(
    accuracy: Callable[..., float], model: Model, data: Dataset, split: str, cache: Cache
) -> Score:
    share = accuracy(model, data, split, cache)
    return Score(share, share_error(data.y_validation, share))


def unlike(*_: object) -> Agreement:
    """In the place of `agreement_on`: toys have no outputs."""
    raise InvalidData("toys have no outputs")


def no_answers(_: Model, data: Dataset, split: str) -> tuple[Array, Array]:
    """In the place of `answers_on`: whatever is asked, the first class."""
    truth = data.parts[split][1]
    return truth, np.zeros((len(truth), data.task.outputs), np.float32)


def toy_data(name: str = "toy") -> Dataset:
    x = np.zeros((10_000, 2), np.float32)
    y = np.arange(10_000, dtype=np.int32) % 2
    return Dataset(name, x, y, x, y, x, y, task=Classification(outputs=2))
