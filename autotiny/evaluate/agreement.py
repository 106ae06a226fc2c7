"""Whether a lowered model still computes what the float network computes, output by output.

An accuracy counts answers, and hides how far outputs have moved as long as the answers stay. Here
both programs are the same generated C that runs on the target, compiled for the host.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from autotiny.cache import Cache, key_of, remembered
from autotiny.codeversion import code_version
from autotiny.errors import InvalidData
from autotiny.evaluate.program import program_key, program_of
from autotiny.evaluate.score import outputs_of
from autotiny.graph import Array, Threshold
from autotiny.mapped import blocks
from autotiny.model import Model
from autotiny.signal import answering
from autotiny.tasks import Task

Side = Literal["original", "found"]

PROBABILITY_STEP: Final = 1 / 256
"""In which int8 stores the results of a softmax: each may be off by half of it."""

MOST_UNCERTAIN: Final = 0.25
"""How far the sum of a row of probabilities may be from 1, however many they are."""


@dataclass(frozen=True)
class Agreement:
    """How near the outputs of a lowered program are to those of the float network.

    Attributes:
        rmse: root mean square of all differences, in the unit of the outputs.
        relative: `rmse` ÷ the root mean square of the original's outputs, each minus its own mean
            over the samples; 0 where nothing differs, infinite where only the original never moves.
        equal_answers: the share of samples with the same answer, 0 to 1; None where nothing says
            what the answer of one output is.
        worst: the largest absolute difference.
        worst_sample: the number of the sample that has it.
        normalized: the side that gave logits where the other one gave probabilities, so that its
            softmax was compared; None if both were compared as they are.
        outputs: how near each output is, where there are several; the figures above are those of
            the one that is farthest off by `relative`, and `equal_answers` is the least of all.
    """

    rmse: float
    relative: float
    equal_answers: float | None
    worst: float
    worst_sample: int
    normalized: Side | None = None
    outputs: tuple[Agreement, ...] = ()


def agreement(
    original: Array, found: Array, answers: Callable[[Array], Array] | None = None
) -> Agreement:
    """How near two sets of outputs are.

    A component may cut a softmax off. That is seen where the rows of one side are probabilities,
    within 0 to 1 and each summing to 1, and those of the other side leave 0 to 1: then the softmax
    of the latter is compared. A single output is always compared as it is, since a regression may
    leave 0 to 1 on one side alone. Where both sides hold the same infinity, or both no number, they
    agree; a value that is no finite number on one side is infinitely far off.

    Args:
        original: outputs of the float network in real numbers, (N, k).
        found: outputs of the lowered program in real numbers, (N, k).
        answers: what a sample's outputs (N, k) say, as N comparable values; by default the place
            of the greatest where k > 1. For a regression it may be the side of a threshold.

    Raises:
        InvalidData: the shapes differ, are not (N, k), or there is no sample.
    """
    if original.shape != found.shape or original.ndim != 2 or not original.size:
        raise InvalidData(
            f"outputs of shapes {original.shape} and {found.shape} cannot be compared; both must "
            "be (samples, outputs), at least one of each: compute both from the same samples"
        )
    before, after = original.astype(np.float64), found.astype(np.float64)
    normalized = _logits(before, after)
    before = softmax(before) if normalized == "original" else before
    after = softmax(after) if normalized == "found" else after
    off = np.abs(difference(before, after))
    worst = int(off.max(axis=1).argmax())
    if answers is None and original.shape[1] > 1:
        answers = _greatest
    return Agreement(
        rmse=rms(off),
        relative=ratio(rms(off), _spread(before)),
        equal_answers=None if answers is None else _equal(answers(before), answers(after)),
        worst=float(off[worst].max()),
        worst_sample=worst,
        normalized=normalized,
    )


def agreement_on(
    reference: Model, lowered: Model, x: Array, cache: Cache, task: Task | None = None,
    thresholds: tuple[Threshold, Threshold] = (None, None),
) -> Agreement:  # fmt: skip
    """How near a lowered model is to another, e.g. the original lowered to float32, made once.

    Args:
        reference: lowered, e.g. by the component float32.
        lowered: a model of the same inputs and outputs.
        x: samples as the networks take them, (N, …), several inputs side by side.
        cache: where the result is kept.
        task: says what the answer of a sample's outputs is; by default the greatest of several.
        thresholds: of both, from which output on the answer is yes, for tasks that have one.

    Raises:
        InvalidData: the samples do not fit, or the two models have different outputs.
    """
    parts = (program_key(reference), program_key(lowered), samples_key(x))
    asked = (task and task.to_dict(), thresholds)
    key = key_of("agreement", *parts, *asked, code_version(__name__))

    def found() -> dict[str, object]:
        before, after = outputs(reference, x), outputs(lowered, x)
        widths = [_widths(model) for model in (reference, lowered)]
        agreed = _of_each(before, after, widths[0]) if widths[0] == widths[1] else None
        agreed = agreed or agreement(before, after)
        if task is not None:
            equal = task.equal_answers(before, after, thresholds)
            agreed = replace(agreed, equal_answers=equal)
        return asdict(agreed)

    return _agreement_from(remembered(cache, key, found))


def _widths(model: Model) -> list[int]:
    """How many values each output has."""
    graph = program_of(model).graph
    return [graph.tensors[graph.outputs[place]].size for place in answering(graph)]


def _of_each(before: Array, after: Array, widths: Sequence[int]) -> Agreement | None:
    """How near several outputs are, those side by side; None where there is one only."""
    if len(widths) == 1:
        return None
    parts = (np.split(rows, np.cumsum(widths)[:-1], axis=1) for rows in (before, after))
    each = tuple(agreement(one, other) for one, other in zip(*parts, strict=True))
    shares = [one.equal_answers for one in each if one.equal_answers is not None]
    farthest = max(each, key=lambda one: one.relative)
    return replace(farthest, equal_answers=min(shares, default=None), outputs=each)


def _agreement_from(content: Mapping[str, Any]) -> Agreement:
    """The agreement that plain data describes."""
    each = tuple(_agreement_from(one) for one in content["outputs"])
    return Agreement(**{**content, "outputs": each})


def outputs(model: Model, x: Array) -> Array:
    """What the C of a lowered model gives for samples (N, …), in real numbers: (N, k) float32.

    Raises:
        InvalidData: the samples do not fit, or there is none.
    """
    check_samples(x)
    return outputs_of(model, x).reshape(len(x), -1)


def check_samples(x: Array) -> None:
    """Refuse to compare without samples."""
    if not len(x):
        raise InvalidData("0 samples to compare outputs on; give at least one")


def samples_key(x: Array) -> str:
    """A digest of samples: their values, shape and type."""
    values = hashlib.sha256()
    for block in blocks(x):
        values.update(np.ascontiguousarray(block).data)
    return key_of(x.shape, x.dtype.str, values.hexdigest())


def difference(original: Array, found: Array) -> Array:
    """`found` − `original`, float64: 0 where both are the same, infinite where one is not finite.

    What is no number on both sides is the same.
    """
    before, after = original.astype(np.float64), found.astype(np.float64)
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    finite = np.isfinite(before) & np.isfinite(after)
    with np.errstate(invalid="ignore"):
        apart: Array = np.where(finite, after - before, np.inf)
    apart[same] = 0.0
    return apart


def rms(values: Array) -> float:
    """The root mean square of values of any shape."""
    return math.sqrt(float(np.mean(np.square(values))))


def ratio(error: float, size: float) -> float:
    """An error relative to a size: 0 where there is no error, infinite where only that is there."""
    if not error:
        return 0.0
    return error / size if size and math.isfinite(error) else math.inf


def softmax(logits: Array) -> Array:
    """The softmax of each row of (N, k)."""
    powers: Array = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _logits(original: Array, found: Array) -> Side | None:
    """The side that holds logits where the other one holds probabilities."""
    if original.shape[1] == 1 or not (np.isfinite(original).all() and np.isfinite(found).all()):
        return None
    if _are_probabilities(found) and _leaves_unit(original):
        return "original"
    return "found" if _are_probabilities(original) and _leaves_unit(found) else None


def _are_probabilities(values: Array) -> bool:
    uncertain = min(values.shape[1] * PROBABILITY_STEP, MOST_UNCERTAIN)
    sums_to_one = np.abs(values.sum(axis=1) - 1) <= uncertain
    return bool(sums_to_one.all()) and not _leaves_unit(values)


def _leaves_unit(values: Array) -> bool:
    """Whether any value lies outside 0 to 1 by more than its rounding."""
    return bool(values.min() < -PROBABILITY_STEP or values.max() > 1 + PROBABILITY_STEP)


def _spread(values: Array) -> float:
    """How far outputs (N, k) go from their means over the samples; the finite ones alone."""
    finite = np.isfinite(values)
    counts = np.maximum(finite.sum(axis=0), 1)
    means = np.where(finite, values, 0.0).sum(axis=0) / counts
    return rms(np.where(finite, values - means, 0.0))


def _greatest(values: Array) -> Array:
    places: Array = values.argmax(axis=1)
    return places


def _equal(before: Array, after: Array) -> float:
    return float(np.mean(before == after))
