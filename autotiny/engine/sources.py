"""What the engine hands over: C sources, and where inputs and outputs lie in the arena."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autotiny.engine.owner import State
from autotiny.graph import DType, Quantization


@dataclass(frozen=True)
class Port:
    """An input or output of the network inside the arena; `offset` counts bytes."""

    name: str
    offset: int
    shape: tuple[int, ...]
    dtype: DType
    quantization: Quantization | None = None


@dataclass(frozen=True)
class Raw:
    """What an input was before training: stored numbers, which were divided."""

    dtype: str
    divisor: float


@dataclass(frozen=True)
class Hearing:
    """What a program of a stream is called with.

    Attributes:
        hop: samples of a call; each has as many values as there are channels.
        window: samples that an answer is for, the last ones.
    """

    hop: int
    window: int


@dataclass(frozen=True)
class Sources:
    """A network as C.

    Attributes:
        name: prefix of every global symbol and macro.
        files: file name to text; the header, the program, the constants, the kernels used.
        inputs: in the order of the graph.
        outputs: in the order of the graph.
        arena_bytes: working memory, ports and scratch included; of a caller's, a whole instance.
        weights_bytes: all constant arrays.
        steps: one label a step, in the order in which `model_run` calls them.
        step_weights_bytes: constants each step reads; a shared array counts at its first reader.
        functions: of each step, the C function that computes it.
        cores: how many cores compute at the same time.
        slow_bytes: of constant arrays that may lie in a slower memory than other variables.
        work: of an inference; see `work_of`.
        hearing: of a stream; None where a run takes whole windows.
        state: who owns what is written to, see `Owner`.
        kept_bytes: of `arena_bytes`, those at the end that outlive inferences that begin anew.
    """

    name: str
    files: Mapping[str, str]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    arena_bytes: int
    weights_bytes: int
    steps: tuple[str, ...]
    step_weights_bytes: tuple[int, ...]
    functions: tuple[str, ...] = ()
    cores: int = 1
    slow_bytes: int = 0
    work: int = 0
    hearing: Hearing | None = None
    state: State = "static"
    kept_bytes: int = 0
