"""How a study judges lowered models; tests and other cost models hand in their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from autotiny.cache import Cache
from autotiny.dataset import Dataset
from autotiny.evaluate import accuracy_on, at_chance, cost, program_of, runtimes, sources_of
from autotiny.metrics import Cost, Metrics
from autotiny.model import Model
from autotiny.target import Target


def op_kinds(model: Model) -> frozenset[str]:
    """The kinds of the ops of a lowered model."""
    return frozenset(op.kind for op in program_of(model).graph.ops)


def files(model: Model) -> Mapping[str, str]:
    """The C of a lowered model; what has the same costs the same."""
    return sources_of(model).files


@dataclass(frozen=True)
class Evaluator:
    """What a study asks of a lowered model, each a function; by default the firmware answers.

    Attributes:
        cost: flash, SRAM and latency on a target.
        accuracy: of the split "validation" or "test" of a data set, 0 to 1.
        runtimes: what can run its `.tflite`.
        op_kinds: the kinds of its ops.
        files: what its firmware is made of.
    """

    cost: Callable[[Model, Target, Cache], Cost] = cost
    accuracy: Callable[[Model, Dataset, str, Cache], float] = accuracy_on
    runtimes: Callable[[Model], tuple[str, ...]] = runtimes
    op_kinds: Callable[[Model], frozenset[str]] = op_kinds
    files: Callable[[Model], Mapping[str, str]] = files

    def metrics(
        self, model: Model, target: Target, data: Dataset, cache: Cache, *, test: bool = False
    ) -> Metrics:
        """Cost and accuracy of a lowered model; the test split is looked at for a report only."""
        accuracy = self.accuracy(model, data, "validation", cache)
        return Metrics(
            cost=self.cost(model, target, cache),
            accuracy_validation=accuracy,
            accuracy_test=self.accuracy(model, data, "test", cache) if test else None,
            at_chance=at_chance(accuracy, data),
        )
