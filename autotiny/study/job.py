"""What a search was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from autotiny.cache import Cache, key_of
from autotiny.codeversion import code_version
from autotiny.components import Work
from autotiny.dataset import Dataset
from autotiny.errors import UserError, unknown
from autotiny.metrics import Cost, score_names
from autotiny.model import Level, Model
from autotiny.provenance import packages
from autotiny.recipe import Candidate, Recipe, apply, check_legal
from autotiny.signal import Stream
from autotiny.space import Space
from autotiny.study.bounds import NO_BOUNDS, Bounds
from autotiny.study.evaluator import Evaluator
from autotiny.target import Target, target_key
from autotiny.tasks import Direction, Drop, Metric, Score
from autotiny.version import __version__

EHVI = "ehvi"
"""The sampler of ours: by expected improvement of the hypervolume."""

EPOCHS = 5
"""Upper limit of a fine-tune unless asked otherwise."""


@dataclass(frozen=True)
class Objective:
    """Something to make small besides the loss of score.

    Attributes:
        name: as `--objective` takes it.
        figure: the column that it minimizes; None for the score, which always takes part.
        meaning: in a sentence.
    """

    name: str
    figure: str | None
    meaning: str


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("latency", "latency_ms", "time of one inference"),
        Objective("worst_latency", "worst_latency_ms", "the same with cold caches, after reset"),
        Objective("size", "flash_bytes", "flash of the whole firmware"),
        Objective("sram", "sram_bytes", "arena, static data and stack"),
        Objective("energy", "energy_estimated_mj", "energy of one inference, an estimate"),
        Objective("accuracy", None, "the task's score on validation; always an objective"),
        Objective("score", None, "the same"),
        Objective(
            "balanced",
            "balanced_ratio",
            "geometric mean of latency, flash and SRAM, relative to the original's",
        ),
    )
}


def wanted_objectives(names: Sequence[str]) -> tuple[str, ...]:
    """The objectives asked for, each once and without the score, which always takes part."""
    if not names:
        raise UserError(f"no objective is named; name one or several of {', '.join(OBJECTIVES)}")
    for name in names:
        if name not in OBJECTIVES:
            raise unknown("objective", name, OBJECTIVES, "autotiny search --help")
    return tuple(dict.fromkeys(name for name in names if OBJECTIVES[name].figure))


@dataclass(frozen=True)
class Job:
    """Everything that was asked of a search.

    Attributes:
        model: the original.
        data: its samples.
        target: the microcontroller.
        objectives: names from `OBJECTIVES`, without the score.
        space: what may be drawn.
        seed: decides everything random.
        score_drop: how much of its score a best point may lose on validation.
        epochs: upper limit of each fine-tune.
        cache: where results are kept.
        stream: what firmware takes in place of whole windows; costs are those of a hop.
        bounds: what a best point must keep besides.
        evaluator: what judges a candidate.
        sampler: what draws, a name of `SAMPLERS`.
    """

    model: Model
    data: Dataset
    target: Target
    objectives: tuple[str, ...]
    space: Space
    seed: int
    score_drop: Drop
    epochs: int
    cache: Cache
    stream: Stream | None = None
    bounds: Bounds = NO_BOUNDS
    evaluator: Evaluator = field(default_factory=Evaluator)
    sampler: str = EHVI

    @property
    def figures(self) -> tuple[str, ...]:
        """The columns to minimize."""
        return tuple(str(OBJECTIVES[name].figure) for name in self.objectives)

    @property
    def value_names(self) -> tuple[str, ...]:
        """The names of the study's values."""
        return (score_names(self.data.task.metric)[0], *self.figures)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Which way each of the study's values is better, as Optuna calls it."""
        smallest: Direction = "minimize"
        return (self.metric.direction, *(smallest for _ in self.figures))

    @property
    def metric(self) -> Metric:
        """What the task is scored by."""
        return self.data.task.scored_by

    def floor(self, score: float) -> float:
        """The worst score that is within the budget, given the original's."""
        return score - self.metric.sign * self.score_drop.of(score)

    def work(self) -> Work:
        """What the components of a candidate may use besides the model."""
        return work_with(self.model, self.data, self.target, seed=self.seed, epochs=self.epochs)

    def candidate(self, recipe: Recipe, *, rehearse: bool = False) -> Candidate:
        """What a recipe makes of the original."""
        return candidate_of(
            recipe, self.model, self.data, self.target,
            seed=self.seed, epochs=self.epochs, cache=self.cache, rehearse=rehearse,
        )  # fmt: skip

    def cost(self, model: Model) -> Cost:
        """What a lowered model takes of the target."""
        return self.evaluator.taken(model, self.target, self.cache, self.stream)

    def excess(self, taken: Cost, score: float | None = None) -> dict[str, float]:
        """By how much what a firmware takes, or its score, misses the target and each bound."""
        return self.bounds.excess(taken, self.target, score)

    def missed(self, taken: Cost, score: float | None = None) -> str:
        """The same in words; "" where nothing is missed."""
        return "; ".join(self.bounds.missed(taken, self.target, score))

    def score(self, model: Model, split: str) -> Score:
        """How well a lowered model does on "validation" or "test"."""
        return self.evaluator.score(model, self.data, split, self.cache)

    @property
    def scoring_key(self) -> str:
        """A digest of the code that scores hang on, and of how the task reads them."""
        code = code_version("autotiny.components", "autotiny.evaluate.score")
        return key_of(self.data.task.to_dict(), code)

    def facts(self) -> dict[str, str]:
        """What a study must agree on with an earlier run to be continued."""
        return {
            "model": f"{self.model.source} {self.model.fingerprint}",
            "data": f"{self.data.source} {self.data.fingerprint}",
            "target": f"{self.target.source} {target_key(self.target)[:8]}",
            "objectives": ", ".join(self.value_names),
            "space": f"{self.space.name} {key_of(self.space)[:8]}",
            "epochs": str(self.epochs),
            "seed": str(self.seed),
            "sampler": self.sampler,
            "stream": str(self.stream or "whole windows"),
            "task": " ".join((self.data.task.asked, *self.data.task.output_names)),
            "bounds": str(self.bounds),
            "score_drop": self.score_drop.text(self.metric),
            "scoring": f"code {self.scoring_key[:8]}",
            **made_by(),
        }


def made_by() -> dict[str, str]:
    """Which autotiny this is, and the versions that what it finds hangs on."""
    return {
        "autotiny": f"{__version__} {code_version('autotiny.study')[:8]}",
        "packages": ", ".join(f"{name} {version}" for name, version in packages().items()),
    }


def candidate_of(
    recipe: Recipe, model: Model, data: Dataset, target: Target | None, *, seed: int, epochs: int,
    cache: Cache, rehearse: bool = False,
) -> Candidate:  # fmt: skip
    """What a recipe makes of a model, which is also the teacher of its fine-tunes.

    Raises:
        UserError: the recipe is illegal on a model of this level.
    """
    check_legal(recipe, model.start)
    work = work_with(model, data, target, seed=seed, epochs=epochs, rehearse=rehearse)
    return apply(recipe, model, work, cache)


def work_with(
    model: Model,
    data: Dataset,
    target: Target | None,
    *,
    seed: int,
    epochs: int,
    rehearse: bool = False,
) -> Work:
    """What components may use for a model: it is also the teacher of its fine-tunes."""
    return Work(
        data=data,
        seed=seed,
        epochs=epochs,
        original=model if model.level is Level.KERAS else None,
        rehearse=rehearse,
        target=target,
    )
