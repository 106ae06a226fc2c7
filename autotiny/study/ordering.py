"""A pair of components both ways round, measured under several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from autotiny.cache import Cache
from autotiny.checked import arguments
from autotiny.components import Component, commute, is_lowering, objection
from autotiny.dataset import AS_STORED, Dataset, DataSource, Reading
from autotiny.errors import UserError
from autotiny.metrics import Metrics, score_names
from autotiny.model import Level, Model, load_model
from autotiny.recipe import Dropped, Recipe, steps_from_text
from autotiny.study.evaluator import Evaluator
from autotiny.study.job import EPOCHS, candidate_of
from autotiny.study.replay import data_name, load_pair, model_name
from autotiny.study.trials import REFUSALS
from autotiny.target import Target
from autotiny.tasks import ACCURACY

SEEDS = 5
"""Repetitions unless asked otherwise."""

COSTS = ("flash_bytes", "sram_bytes", "latency_ms")
"""What two orders are compared by, beside their scores."""

USUAL_REST = "int8, fuse_operators, block_gemm"
"""What a pair is lowered and scheduled with unless asked otherwise."""


@dataclass(frozen=True)
class Repetition:
    """One order under one seed.

    Attributes:
        seed: of the first training, the splits and the fine-tunes.
        metrics: what was measured; None where the sequence failed.
        dropped: components that found nothing to do.
        failure: why nothing was measured; empty where it was.
    """

    seed: int
    metrics: Metrics | None
    dropped: tuple[Dropped, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Order:
    """One way round.

    Attributes:
        recipe: the whole sequence.
        objection: why it is illegal; empty where it is legal.
        repetitions: one a seed; none where it is illegal.
    """

    recipe: Recipe
    objection: str
    repetitions: tuple[Repetition, ...] = ()

    def values(self, figure: str) -> dict[int, float]:
        """A figure by seed, where it was measured."""
        return {
            one.seed: float(one.metrics.to_dict()[figure])
            for one in self.repetitions
            if one.metrics is not None
        }

    @property
    def at_chance(self) -> bool:
        """Whether guessing does as well under any seed."""
        return any(one.metrics.at_chance for one in self.repetitions if one.metrics)

    @property
    def reasons(self) -> dict[str, tuple[int, ...]]:
        """What dropped out or failed and why, with the seeds under which it did."""
        found: dict[str, tuple[int, ...]] = {}
        for one in self.repetitions:
            for reason in (*(entry.reason for entry in one.dropped), one.failure):
                if reason:
                    found[reason] = (*found.get(reason, ()), one.seed)
        return found


@dataclass(frozen=True)
class Spread:
    """Values over the seeds: their mean and standard deviation (0 where there is one value)."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Difference:
    """What the second order gives more than the first, seed by seed.

    Attributes:
        mean: of the differences.
        error: standard error of that mean; 0 where there is one seed.
        deviation: the larger of the two orders' standard deviations over the seeds.
        seeds: under how many both orders were measured.
    """

    mean: float
    error: float
    deviation: float
    seeds: int

    @property
    def beyond_noise(self) -> bool:
        """Whether it exceeds two standard errors and what the seeds alone make of either order.

        One seed says nothing of noise: then it is never beyond.
        """
        return self.seeds > 1 and abs(self.mean) > max(2 * self.error, self.deviation)


@dataclass(frozen=True)
class Comparison:
    """A pair of components both ways round.

    Attributes:
        first: one component.
        second: the other.
        orders: first before second, then second before first.
        commute: whether the two are known to give the same result in either order.
        model: what they were applied to, as it was asked for.
        data: likewise.
        target: what was measured on.
        seeds: how many repetitions there were; their seeds are 0, 1, …
        epochs: upper limit of each fine-tune.
    """

    first: Component
    second: Component
    orders: tuple[Order, Order]
    commute: bool
    model: str
    data: str
    target: Target
    seeds: int
    epochs: int

    @property
    def metric(self) -> str:
        """What both were scored by."""
        return next(
            (
                one.metrics.metric
                for order in self.orders
                for one in order.repetitions
                if one.metrics is not None
            ),
            ACCURACY.name,
        )

    @property
    def figures(self) -> tuple[str, ...]:
        """What the orders are compared by."""
        return (*score_names(self.metric), *COSTS)

    def spread(self, order: Order, figure: str) -> Spread | None:
        """Mean and deviation of a figure; None where nothing was measured."""
        values = list(order.values(figure).values())
        return Spread(statistics.fmean(values), _deviation(values)) if values else None

    def difference(self, figure: str) -> Difference | None:
        """How the orders differ in a figure; None where no seed measured both."""
        first, second = (order.values(figure) for order in self.orders)
        seeds = [seed for seed in first if seed in second]
        if not seeds:
            return None
        changes = [second[seed] - first[seed] for seed in seeds]
        return Difference(
            mean=statistics.fmean(changes),
            error=_deviation(changes) / len(changes) ** 0.5,
            deviation=max(_deviation([order[s] for s in seeds]) for order in (first, second)),
            seeds=len(seeds),
        )


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class Originals:
    """Where the network and the data of each seed come from.

    Attributes:
        model: how the model was asked for.
        data: how the data was asked for.
        level: of the model.
        load: the model and the data of a seed, which decides everything random of both.
    """

    model: str
    data: str
    level: Level
    load: Callable[[int, Cache], tuple[Model, Dataset]]

    @classmethod
    def named(
        cls, model: object, data: DataSource, reading: Reading = AS_STORED,
        task: str | None = None, metric: str | None = None,
    ) -> Originals:  # fmt: skip
        """As `load_pair` takes them; what comes untrained is trained anew for each seed.

        Raises:
            UserError: there is no such model.
        """

        def load(seed: int, cache: Cache) -> tuple[Model, Dataset]:
            return load_pair(
                model, data, seed=seed, cache=cache, reading=reading, task=task, metric=metric
            )

        level = load_model(model, input_shape=reading.input_shape).level
        return cls(model_name(model), data_name(data), level, load)


def compare_orders(
    first: Component,
    second: Component,
    target: Target,
    originals: Originals,
    *,
    before: Sequence[Component] | None = None,
    behind: Sequence[Component] | None = None,
    seeds: int = SEEDS,
    epochs: int = EPOCHS,
    cache: Cache | None = None,
    evaluator: Evaluator | None = None,
    on_stage: Callable[[int, int, str], None] | None = None,
) -> Comparison:
    """Measure a pair of components both ways round; an order that is illegal is only named.

    Everything random hangs on the seed: the splits of the data, the first training of a network
    that comes untrained (the one that a search with this seed starts from), and the fine-tunes.

    Args:
        first: one component.
        second: the other.
        target: the microcontroller.
        originals: what the sequences are applied to.
        before: what stands before the pair; by default see `usual_rest`.
        behind: what stands behind the pair; by default see `usual_rest`.
        seeds: how many; they are 0, 1, …
        epochs: upper limit of each fine-tune.
        cache: where results are kept; by default the user's cache folder.
        evaluator: what judges the results; by default their linked and executed firmware.
        on_stage: called before each piece of work with the runs that are done, how many there
            will be, and what comes next in words.

    Raises:
        UserError: neither order is legal, or there is no such model or data.
        InvalidData: model and data do not fit each other.
    """
    asked = arguments(seeds=seeds, epochs=epochs)
    seeds, epochs = asked["seeds"], asked["epochs"]
    cache = cache or Cache()
    evaluator = evaluator or Evaluator()
    level = originals.level
    if before is None or behind is None:
        usual = usual_rest(first, second, level)
        before = usual[0] if before is None else before
        behind = usual[1] if behind is None else behind
    orders = [
        _order(Recipe((*before, *pair, *behind)), level)
        for pair in ((first, second), (second, first))
    ]
    if all(order.objection for order in orders):
        raise UserError(
            f"neither order is legal: {orders[0].objection}; the other way round, "
            f"{orders[1].objection}; change --before or --behind"
        )
    tell = on_stage or (lambda done, total, text: None)
    legal = [number for number, order in enumerate(orders) if not order.objection]
    done, total = 0, seeds * len(legal)
    for seed in range(seeds):
        tell(
            done, total,
            f"seed {seed}: {originals.model} on {originals.data}, trained first if need be",
        )  # fmt: skip
        model, data = originals.load(seed, cache)
        for number in legal:
            order = orders[number]
            tell(done, total, f"seed {seed}: {order.recipe}")
            measured = _repetition(
                order.recipe, model, data, target, seed, epochs, cache, evaluator
            )
            orders[number] = replace(order, repetitions=(*order.repetitions, measured))
            done += 1
    return Comparison(
        first, second, (orders[0], orders[1]), commute(first, second),
        originals.model, originals.data, target, seeds, epochs,
    )  # fmt: skip


def usual_rest(
    first: Component, second: Component, level: Level, usual: str = USUAL_REST
) -> tuple[tuple[Component, ...], tuple[Component, ...]]:
    """What stands before and behind a pair, on a model of some level, unless the user says.

    The usual lowering and schedule come behind; the lowering comes before a pair that takes nothing
    else, and not at all where the pair or the model needs none.
    """
    pair = (first, second)
    rest = [step for step in steps_from_text(usual) if step.name not in (first.name, second.name)]
    lowering = tuple(step for step in rest if is_lowering(step))
    schedule = tuple(step for step in rest if not is_lowering(step))
    lowered = (Level.TFLITE, Level.PROGRAM)
    if level in lowered or any(map(is_lowering, pair)):
        return (), schedule
    if all(set(step.levels) <= set(lowered) for step in pair):
        return lowering, schedule
    return (), lowering + schedule


def _order(recipe: Recipe, level: Level) -> Order:
    return Order(recipe, objection(map(type, recipe.steps), level) or "")


def _repetition(
    recipe: Recipe, model: Model, data: Dataset, target: Target, seed: int, epochs: int,
    cache: Cache, evaluator: Evaluator,
) -> Repetition:  # fmt: skip
    try:
        candidate = candidate_of(recipe, model, data, target, seed=seed, epochs=epochs, cache=cache)
        metrics = evaluator.metrics(candidate.model, target, data, cache, test=True)
    except tuple(REFUSALS) as refusal:
        return Repetition(seed, None, failure=str(refusal))
    return Repetition(seed, metrics, candidate.dropped)
