"""How a study judges lowered models; tests and other cost models hand in their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from autotiny.cache import Cache
from autotiny.dataset import Dataset
from autotiny.evaluate import (
    Agreement,
    Parting,
    agreement_on,
    answers_on,
    cost,
    parting,
    program_of,
    runtimes,
    score_on,
    sources_of,
)
from autotiny.graph import Array
from autotiny.metrics import Cost, Metrics
from autotiny.model import Model
from autotiny.signal import Stream
from autotiny.target import Target
from autotiny.tasks import Score


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
        cost: flash, SRAM and latency on a target, of whole windows or of a `stream`.
        score: on the split "validation" or "test" of a data set, by the metric of its task.
        runtimes: what can run its `.tflite`.
        op_kinds: the kinds of its ops.
        files: what its firmware is made of.
        answers: the truth of a split and what was found, as the metric compares them.
        agreement: how near its outputs are to those of another model.
        parting: where it parts from another model, layer by layer.
    """

    cost: Callable[..., Cost] = cost
    score: Callable[[Model, Dataset, str, Cache], Score] = score_on
    runtimes: Callable[[Model], tuple[str, ...]] = runtimes
    op_kinds: Callable[[Model], frozenset[str]] = op_kinds
    files: Callable[[Model], Mapping[str, str]] = files
    answers: Callable[[Model, Dataset, str], tuple[Array, Array]] = answers_on
    agreement: Callable[..., Agreement] = agreement_on
    parting: Callable[[Model, Model, Array, Cache], Parting] = parting

    def taken(
        self, model: Model, target: Target, cache: Cache, stream: Stream | None = None
    ) -> Cost:
        """Cost of a lowered model, at every hop where there is a stream."""
        if stream is None:
            return self.cost(model, target, cache)
        return self.cost(model, target, cache, stream=stream)

    def metrics(
        self, model: Model, target: Target, data: Dataset, cache: Cache, *, test: bool = False,
        stream: Stream | None = None,
    ) -> Metrics:  # fmt: skip
        """Cost and score of a lowered model; the test split is looked at for a report only."""
        found = self.score(model, data, "validation", cache)
        taken = self.taken(model, target, cache, stream)
        metrics = metrics_of(taken, found, data)
        return tested(metrics, self.score(model, data, "test", cache), data) if test else metrics


def metrics_of(taken: Cost, score: Score, data: Dataset) -> Metrics:
    """A cost and a score on validation."""
    return Metrics(
        cost=taken,
        score_validation=score.value,
        at_chance=data.task.at_chance(score, data.chance),
        metric=data.task.metric,
        error_validation=score.error,
        threshold=score.threshold,
        outputs=scores_of(score, data, "validation"),
    )


def tested(metrics: Metrics, score: Score, data: Dataset) -> Metrics:
    """The same with a score on test."""
    outputs = {**metrics.outputs, **scores_of(score, data, "test")}
    return replace(metrics, score_test=score.value, outputs=outputs)


def scores_of(score: Score, data: Dataset, split: str) -> dict[str, float]:
    """The score of each output by its name, where there are several."""
    names = data.task.output_names
    return {f"{name}_{split}": one.value for name, one in zip(names, score.outputs, strict=True)}
