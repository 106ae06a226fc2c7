"""What earlier studies of the same network found, which a study knows from its beginning.

A score hangs on the network and its samples and not on the target, so that what was trained for one
target need not be trained for another. It lies in an attribute of the study, where all of its
processes see it, and where it stays whatever becomes of the earlier studies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import optuna

from autotiny.errors import shown
from autotiny.evaluate import cost_from
from autotiny.metrics import Cost
from autotiny.recipe import Recipe, component_from, step_data
from autotiny.study.record import baseline, front_of, keep_earlier, kept_earlier, measured
from autotiny.study.surrogate import scored_part

MOST = 300
"""Sequences of a study that are taken over at most, those of its front first."""


@dataclass(frozen=True)
class Observation:
    """What an earlier study found of a sequence.

    Attributes:
        recipe: the components that did something, in order.
        score: on validation.
        cost: on the target of that study.
        best: whether it was one of the front.
    """

    recipe: Recipe
    score: float
    cost: Cost
    best: bool

    @property
    def everywhere(self) -> bool:
        """Whether it scores the same on every target."""
        return is_everywhere(self.recipe)


@dataclass(frozen=True)
class Earlier:
    """What an earlier study found.

    Attributes:
        study: its name.
        target: the name of its target.
        original: what the original costs there.
        observations: of sequences whose scores hang on no target, and of the rest of its front.
    """

    study: str
    target: str
    original: Cost
    observations: tuple[Observation, ...]

    @property
    def scores(self) -> int:
        """How many different scores it knows for every target, the original's among them."""
        found = [one.recipe for one in self.observations if one.everywhere]
        return len({scored_part(recipe).key for recipe in found})

    def __str__(self) -> str:
        return f"{self.scores} scores of the study {self.study!r}, for {self.target}, are known"

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "study": self.study,
            "target": self.target,
            "original": _cost_data(self.original),
            "observations": [
                {
                    "steps": [step_data(step) for step in one.recipe.steps],
                    "score": one.score,
                    "cost": _cost_data(one.cost),
                    "best": one.best,
                }
                for one in self.observations
            ],
        }


def is_everywhere(recipe: Recipe) -> bool:
    """Whether the score of a sequence is the same for every target.

    It is not where a component asks the target which layers to replace.
    """
    return not any(step.measures for step in scored_part(recipe).steps)


def observed_in(study: optuna.Study, target: str) -> Earlier | None:
    """What a study found that holds for other targets, too; None if it measured no original.

    Args:
        study: the earlier one.
        target: the name of its target.

    Raises:
        ValueError: what should be numbers are none.
    """
    original = baseline(study)
    if original is None or original.cost is None:
        return None
    front = {record.number for record in front_of(study)}
    seen = [
        Observation(record.recipe, record.values[0], record.cost, record.number in front)
        for record in measured(study)
        if record.recipe and record.cost
    ]
    for one in seen:
        _check_numbers(one)
    found = [one for one in seen if one.best or one.everywhere]
    found.sort(key=lambda one: not one.best)
    return Earlier(study.study_name, target, original.cost, tuple(found[:MOST]))


def _check_numbers(one: Observation) -> None:
    cost = _cost_data(one.cost)
    figures = [one.score, *(cost[name] for name in cost if name not in ("layers", "stream"))]
    for figure in figures:
        if not isinstance(figure, (int, float)) or not math.isfinite(figure):
            raise ValueError(f"{shown(figure)} stands where a figure should")


def set_earlier(study: optuna.Study, found: Iterable[Earlier]) -> None:
    """Keep in a study what earlier ones found."""
    keep_earlier(study, json.dumps([one.to_dict() for one in found]))


def earlier(study: optuna.Study) -> tuple[Earlier, ...]:
    """What a study was given of earlier ones."""
    return _parsed(kept_earlier(study))


@lru_cache(maxsize=4)
def _parsed(text: str) -> tuple[Earlier, ...]:
    return tuple(
        Earlier(
            study=one["study"],
            target=one["target"],
            original=cost_from(one["original"]),
            observations=tuple(_observation(each) for each in one["observations"]),
        )
        for one in json.loads(text)
    )


def _observation(facts: dict[str, Any]) -> Observation:
    recipe = Recipe(tuple(component_from(step) for step in facts["steps"]))
    return Observation(recipe, facts["score"], cost_from(facts["cost"]), facts["best"])


def _cost_data(cost: Cost) -> dict[str, Any]:
    """A cost without its layers, which are many and decide nothing."""
    return {**cost.to_dict(), "layers": ()}
