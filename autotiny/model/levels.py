"""What a model is at each level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from autotiny.graph import Graph
from autotiny.model.kerastypes import KerasModel
from autotiny.schedule import Schedule
from autotiny.signal import Front

IN_MEMORY = "model"
"""Source of a model that came as an object."""


class Level(str, Enum):
    """The levels of a model, in the order in which a sequence climbs them.

    At level signal stands a Keras model whose front ends can still be chosen.
    """

    SIGNAL = "signal"
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


Network = KerasModel | FrozenGraph | Graph | Program
"""What a model is, one type a level."""


@dataclass(frozen=True)
class Traits:
    """What components made of a network that later ones must respect or keep.

    Attributes:
        sparsity: share of zeros among the weights of a pruned network.
        clusters: different values in the kernel that has most, of a clustered network.
        quantization_aware: whether it was trained with quantization simulated.
    """

    sparsity: float | None = None
    clusters: int | None = None
    quantization_aware: bool = False

    def facts(self) -> dict[str, float | str]:
        """Those that hold, by the names that users know."""
        found: dict[str, float | str] = {}
        if self.sparsity is not None:
            found["sparsity"] = self.sparsity
        if self.clusters is not None:
            found["clusters"] = self.clusters
        if self.quantization_aware:
            found["quantization_aware"] = "quantize_aware"
        return found


def level_of(network: Network) -> Level:
    """The level at which a network stands, by its type."""
    if isinstance(network, FrozenGraph):
        return Level.GRAPH
    if isinstance(network, Graph):
        return Level.TFLITE
    return Level.PROGRAM if isinstance(network, Program) else Level.KERAS


@dataclass(frozen=True, eq=False)
class Model:
    """A network at one level.

    Attributes:
        level: where it stands.
        network: of the type that its level has; `keras`, `frozen`, `graph` and `program` give it as
            that.
        fingerprint: a digest of architecture and weights, the same in every process.
        notes: what only informs: its number format.
        traits: what later components look at.
        source: how it was asked for: a built-in name, a path, package.module:function; "model" for
            one that came as an object.
        front: what makes its input of samples as they are recorded; None where nothing is known of
            a recording.
    """

    level: Level
    network: Network
    fingerprint: str
    notes: Mapping[str, float | str] = field(default_factory=lambda: MappingProxyType({}))
    traits: Traits = Traits()
    source: str = IN_MEMORY
    front: Front | None = None

    def __post_init__(self) -> None:
        if self.level is not level_of(self.network):
            raise TypeError(
                f"a {type(self.network).__name__} is a network of level {level_of(self.network)}; "
                f"a model of level {self.level} cannot hold it"
            )

    @property
    def start(self) -> Level:
        """The level at which a sequence for it begins."""
        trainable = self.level is Level.KERAS and self.front is not None
        return Level.SIGNAL if trainable else self.level

    def facts(self) -> dict[str, float | str]:
        """All that is known of it besides its costs, for users: traits and notes."""
        return {**self.traits.facts(), **self.notes}

    @property
    def keras(self) -> KerasModel:
        """The network of a model of level keras."""
        network = self.network
        if isinstance(network, (FrozenGraph, Graph, Program)):
            raise self._unlike(Level.KERAS)
        return network

    @property
    def frozen(self) -> FrozenGraph:
        """The network of a model of level graph."""
        if not isinstance(self.network, FrozenGraph):
            raise self._unlike(Level.GRAPH)
        return self.network

    @property
    def graph(self) -> Graph:
        """The network of a model of level tflite."""
        if not isinstance(self.network, Graph):
            raise self._unlike(Level.TFLITE)
        return self.network

    @property
    def program(self) -> Program:
        """The network of a model of level program."""
        if not isinstance(self.network, Program):
            raise self._unlike(Level.PROGRAM)
        return self.network

    def _unlike(self, asked: Level) -> TypeError:
        return TypeError(
            f"a network of level {asked} was asked of a model of level {self.level}; "
            "bring it there first"
        )
