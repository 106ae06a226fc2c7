"""What a model is at each level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from autotiny.graph import Graph, Schedule


class Level(str, Enum):
    """The levels of a model, in the order in which a sequence climbs them."""

    KERAS = "keras"
    GRAPH = "graph"
    TFLITE = "tflite"
    PROGRAM = "program"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, eq=False)
class FrozenGraph:
    """An inference graph with its weights as constants, batch 1.

    Attributes:
        graph_def: a serialized TensorFlow GraphDef.
        inputs: names of the input tensors, e.g. "x:0".
        outputs: names of the output tensors.
    """

    graph_def: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Program:
    """A quantized or float graph, and how each of its ops is computed."""

    graph: Graph
    schedule: Schedule


@dataclass(frozen=True, eq=False)
class Model:
    """A network at one level.

    Attributes:
        level: where it stands.
        network: a tf_keras model, a `FrozenGraph`, a `Graph` or a `Program`, by level.
        fingerprint: a digest of architecture and weights, the same in every process.
        notes: what components found of their own result: sparsity, clusters, quantization, and so
            on.
        source: how it was asked for: a built-in name, a path, package.module:function; "model" for
            one that came as an object.
    """

    level: Level
    network: Any
    fingerprint: str
    notes: Mapping[str, float | str] = field(default_factory=lambda: MappingProxyType({}))
    source: str = "model"
