"""What sequences should score and cost, from those that were tried: Gaussian processes.

A sequence is described by which components it has, with which parameters, and which stands before
which. Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotiny.model import Level
from autotiny.ranges import Choice, Fixed, Span
from autotiny.recipe import Recipe, parameters
from autotiny.space import Space

Vector = NDArray[np.float64]
Features = Mapping[str, float]

PAIR = 0.5
"""How much the order of two components counts beside their presence."""


def scored_part(recipe: Recipe) -> Recipe:
    """A sequence without what changes how it is computed and not what: its score hangs on this."""
    return Recipe(tuple(step for step in recipe.steps if step.level is not Level.PROGRAM))


def features(recipe: Recipe, space: Space) -> dict[str, float]:
    """A sequence in numbers from 0 to 1, by name; what is not named is 0."""
    found: dict[str, float] = {}
    for step in recipe.steps:
        found[step.name] = 1.0
        ranges = space.components.get(step.name, {})
        drawn = {name: one for name, one in ranges.items() if not isinstance(one, Fixed)}
        for name, value in parameters(step).items():
            if name not in drawn:
                continue  # a second name for the component would count it twice
            place = _place(value, drawn[name])
            key = f"{step.name}.{name}"
            found.update({key: place} if isinstance(place, float) else {f"{key}={value}": 1.0})
    for first, second in combinations(recipe.names, 2):
        found[f"{first} before {second}"] = PAIR
    return found


def _place(value: object, drawn_from: Choice | Span) -> float | None:
    """Where a number lies in its range; None of what is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(drawn_from, Choice):
        ordered = sorted(one for one in drawn_from.values if isinstance(one, (int, float)))
        last = max(len(ordered) - 1, 1)
        return ordered.index(value) / last if value in ordered else 0.5
    low, high, at = drawn_from.low, drawn_from.high, float(value)
    if drawn_from.log:
        low, high, at = (float(np.log(one)) for one in (low, high, at))
    return float(np.clip((at - low) / (high - low), 0, 1)) if high > low else 0.0


class Surrogate:
    """A Gaussian process over sequences.

    Its mean is a sum of what each component, parameter and pair does, and of what only neighbours
    of a sequence know; how much of each there is, and of noise, is what makes the observations most
    likely. The same observations give the same process.
    """

    def __init__(self, seen: Sequence[Features], values: Sequence[float]) -> None:
        """Fit it.

        Args:
            seen: of each observation.
            values: what was observed, as many.
        """
        # here, as it takes half a second that --help does not have
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.gaussian_process.kernels import (
            ConstantKernel,
            DotProduct,
            Matern,
            WhiteKernel,
        )

        kernel = (
            ConstantKernel(1.0, (1e-3, 1e3)) * DotProduct(0.0, "fixed")
            + ConstantKernel(1.0, (1e-3, 1e3)) * Matern(2.0, (0.3, 10.0), nu=2.5)
            + WhiteKernel(0.05, (1e-4, 1.0))
        )
        self._vectors = DictVectorizer(sparse=False).fit(seen)
        self._seen, self._values = list(seen), list(values)
        self._center = float(np.mean(values))
        self._spread = float(np.std(values)) or 1.0
        self._process = self._fitted(kernel, "fmin_l_bfgs_b")

    def also(self, seen: Features, value: float) -> Surrogate:
        """With an observation more; how much there is of each part of the mean stays."""
        more = copy(self)
        more._seen, more._values = [*self._seen, seen], [*self._values, value]
        more._process = more._fitted(self._process.kernel_, None)
        return more

    def _fitted(self, kernel: Any, optimizer: str | None) -> Any:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor

        process = GaussianProcessRegressor(kernel, optimizer=optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # at a bound of how much there is
            values = (np.asarray(self._values) - self._center) / self._spread
            return process.fit(self._vectors.transform(self._seen), values)

    def __call__(self, asked: Sequence[Features]) -> tuple[Vector, Vector]:
        """Mean and standard deviation of each, without the noise of an observation."""
        mean, deviation = self._process.predict(self._vectors.transform(asked), return_std=True)
        noise = self._process.kernel_.k2.noise_level
        deviation = np.sqrt(np.maximum(deviation**2 - noise, 0))
        return self._center + self._spread * mean, self._spread * deviation
