"""What a model is at each level, and the two doors through which TensorFlow is imported."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Any

from autotiny.graph import Graph, Schedule

THREADS = 2
"""TensorFlow's threads. Fixed: the order of float sums, and so every weight, depends on them."""

IN_MEMORY = "model"
"""Source of a model that came as an object."""


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
    source: str = IN_MEMORY


@cache
def tensorflow() -> Any:
    """The tensorflow module: quiet, on legacy Keras, deterministic, on `THREADS` threads."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # XLA and oneDNN announce themselves on stderr before Python's logging is asked.
    os.environ.setdefault("GLOG_minloglevel", "3")
    with _silent_stderr():
        import tensorflow as tf

        try:
            tf.config.threading.set_intra_op_parallelism_threads(THREADS)
            tf.config.threading.set_inter_op_parallelism_threads(THREADS)
        except RuntimeError:
            # The caller's process has already run an op: its own thread counts stay.
            logging.getLogger(__name__).debug("TensorFlow was already running")
        tf.config.experimental.enable_op_determinism()
    tf.get_logger().setLevel("ERROR")
    logging.getLogger("absl").setLevel("ERROR")
    return tf


@cache
def keras() -> Any:
    """The tf_keras module: Keras 2, which TensorFlow's model optimization toolkit needs."""
    tensorflow()
    import tf_keras

    return tf_keras


class _silent_stderr:  # noqa: N801 - reads as a statement
    """Sends file descriptor 2 to nowhere: native libraries write there before they read levels."""

    def __enter__(self) -> None:
        self._saved = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 2)
        os.close(self._saved)


silent_stderr = _silent_stderr
