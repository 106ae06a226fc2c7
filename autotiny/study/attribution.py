"""What each component, and each order of two, was worth over the trials of a study.

The difference that it makes to the score and to each cost, on the average of the sequences that
were tried with it, with an interval of 95 %. Costs are compared as logarithms, so a difference is a
percentage. How it is found out, and why so: `contrasts`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from autotiny.components import COMPONENTS, is_lowering
from autotiny.metrics import Metrics
from autotiny.model import Level
from autotiny.recipe import Recipe
from autotiny.study.contrasts import Contrast, contrasts, estimates
from autotiny.study.job import Job
from autotiny.study.preflight import baseline_recipe
from autotiny.study.record import BASELINE, TrialRecord
from autotiny.study.surrogate import scored_part
from autotiny.study.trials import values_of

COSTS = ("latency_ms", "flash_bytes", "sram_bytes")
"""What is told of every study, beside what it was asked to make small."""

FEWEST = 2
"""Sequences with a component, and without, that its effect is estimated from."""

ENOUGH = 6
"""Sequences that any effect is estimated from."""

MOST = 200
"""Sequences that effects are estimated from; of more, every second, third, … is left out."""


LEAST = 1e-12
"""What a cost of nothing is taken for, as it has no logarithm."""


@dataclass(frozen=True)
class Effect:
    """How a figure changes, on average.

    Attributes:
        mean: of the change.
        low: end of the 95 % interval.
        high: the other end.
    """

    mean: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether it can be told from nothing: the interval does not hold zero."""
        return self.low > 0 or self.high < 0

    @property
    def least(self) -> float:
        """The end of the interval that is nearer to zero; 0 where it cannot be told from that."""
        return (self.low if self.low > 0 else self.high) if self.certain else 0.0


@dataclass(frozen=True)
class Worth:
    """What a component, or the order of two, was worth.

    Attributes:
        name: of the component, or of two in order, as `prune_channels before quantize_aware`.
        instead: what it is compared with: "" for nothing in its place, another lowering, or the two
            the other way round.
        trials_with: different sequences that were tried with it; their average counts.
        trials_without: likewise with what it is compared with.
        score: change of the score on validation, in the unit of the metric; None where it is not
            known, or cannot change.
        costs: changes by figure, e.g. `latency_ms`, in percent; none where they are not known.
        scheduled: whether it decides how a network is computed and not what, so that the score
            stays.
        note: why nothing is known; "" where something is.
    """

    name: str
    instead: str
    trials_with: int
    trials_without: int
    score: Effect | None = None
    costs: Mapping[str, Effect] = field(default_factory=dict)
    scheduled: bool = False
    note: str = ""

    @property
    def is_order(self) -> bool:
        """Whether it is of the order of two components."""
        return " before " in self.name

    @property
    def certain(self) -> bool:
        """Whether anything of it can be told from nothing."""
        return any(effect.certain for effect in (self.score, *self.costs.values()) if effect)


def attribution(records: Sequence[TrialRecord], job: Job) -> tuple[Worth, ...]:
    """What everything was worth that was tried, the most useful first.

    Components that dropped out count as absent. Sequences that were not trained, as they do not
    fit, say what they cost, unless that hangs on their weights. Sequences of the same network that
    are scheduled in several ways are one for the score.

    Args:
        records: trials that have ended.
        job: what was searched for.
    """
    costs = _costs(records, job)
    scores: dict[Recipe, dict[str, float]] = {}
    for record in records:
        if record.metrics and record.recipe:
            network = scored_part(record.recipe.canonical())
            scores.setdefault(network, {"score": record.metrics.score_validation})
    of_scores = {one.name: found for one, found in _effects(scores, job, trained=True)}
    worths = []
    for one, effects in _effects(costs, job, trained=False):
        score = of_scores.get(one.name, {}).get("score")
        worths.append(
            Worth(
                one.name, one.instead, one.having, one.lacking, score,
                costs={name: _percent(effect) for name, effect in effects.items()},
                scheduled=one.level is Level.PROGRAM,
                note="" if effects or score else _why(one, len(costs)),
            )
        )  # fmt: skip
    return tuple(sorted(worths, key=lambda worth: _rank(worth, job)))


def _costs(records: Sequence[TrialRecord], job: Job) -> dict[Recipe, dict[str, float]]:
    """Logarithms of what each sequence takes, by figure."""
    original = next((one.cost for one in records if one.queued == BASELINE and one.cost), None)
    found: dict[Recipe, dict[str, float]] = {}
    for record in records:
        if not record.recipe or not record.cost:
            continue
        if record.metrics or not record.recipe.reads_weights:
            facts = record.cost.to_dict()
            taken = {name: facts[name] for name in COSTS}
            if original:
                values = values_of(Metrics(record.cost, 0.0), job, original)
                taken |= zip(job.figures, values[1:], strict=True)
            logs = {name: math.log(max(value, LEAST)) for name, value in taken.items()}
            found.setdefault(record.recipe.canonical(), logs)
    return found


def _effects(
    seen: Mapping[Recipe, Mapping[str, float]], job: Job, *, trained: bool
) -> list[tuple[Contrast, dict[str, Effect]]]:
    """All that can be compared, and the effect on each figure where that is known."""
    tried = [*seen][:: math.ceil(len(seen) / MOST) or 1]
    lowering = next((step for step in baseline_recipe(job).steps if is_lowering(step)), None)
    listed = list(contrasts(tried, job.model.start, lowering))
    known = [one for one in listed if min(one.lacking, len(one.pairs)) >= FEWEST]
    if len(tried) < ENOUGH or not known:
        return [(one, {}) for one in listed]
    figures = list(seen[tried[0]])
    values = np.array([[seen[recipe][name] for name in figures] for recipe in tried])
    ends = estimates(tried, values, known, job.space, trained=trained)
    effects = {
        one.name: {
            name: Effect(*(float(end[row, column]) for end in (ends.mean, ends.low, ends.high)))
            for column, name in enumerate(figures)
        }
        for row, one in enumerate(known)
    }
    return [(one, effects.get(one.name, {})) for one in listed]


def _percent(effect: Effect) -> Effect:
    """Of a difference of logarithms."""
    return Effect(*(100 * math.expm1(end) for end in (effect.mean, effect.low, effect.high)))


def _why(one: Contrast, tried: int) -> str:
    """Why nothing is known of a contrast."""
    if tried < ENOUGH:
        return f"{tried} sequences say nothing yet; it takes {ENOUGH}"
    if one.having == tried:
        return "always present"
    if is_lowering(COMPONENTS[one.name.split()[0]]) and not one.instead:
        return "what other lowerings are compared with"
    if one.having < FEWEST:
        return "in 1 trial only"
    if one.lacking < FEWEST:
        other = one.instead or "what is without it"
        return f"{other} was tried {'once' if one.lacking else 'never'}"
    return "nothing alike was tried without it"


def _rank(worth: Worth, job: Job) -> tuple[bool, float, float, str]:
    """What is certain first, and of that what saves most of what was asked for."""
    saved = sum(
        -math.log1p(worth.costs[name].least / 100) for name in job.figures if name in worth.costs
    )
    gained = job.metric.sign * worth.score.least if worth.score else 0.0
    return not worth.certain, -saved, -gained, worth.name
