"""Which of many sequences is worth the next trial.

Costs are known before anything is trained, so only the score is uncertain: by how much a sequence
should enlarge what the front dominates is then, at each place of a grid over the costs, the
expected improvement of the score there (Jones, Schonlau and Welch 1998; Emmerich, Deutz and
Klinkenberg 2011 for the hypervolume). Scores are predicted on the logarithm of their loss, where
what components lose adds up, and compared as they are; costs are compared by their logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

PLACES = {0: 1, 1: 256, 2: 48, 3: 16}
"""Of the grid along each cost, by how many costs there are."""

FEWEST_PLACES = 6
"""Where there are more."""

NODES, _HERMITE = np.polynomial.hermite_e.hermegauss(9)
WEIGHTS = _HERMITE / _HERMITE.sum()
"""Places and weights of a standard normal variable, by which means of functions of it are found."""

OPTIMISM = 1.2816
"""Standard deviations above the mean where a normal variable's 90 % quantile lies."""


@dataclass(frozen=True)
class Scale:
    """Scores on the scale that they are predicted on, 0 for that of the original.

    Attributes:
        original: its score.
        unit: the loss that is as long on the scale as the ones below it, in the score's unit.
        sign: 1 where more is better, else −1.
    """

    original: float
    unit: float
    sign: int

    def __call__(self, score: float) -> float:
        """The place of a score; more is better."""
        gain = self.gain(score)
        return math.copysign(math.log1p(abs(gain)), gain)

    def gain(self, score: float) -> float:
        """By how many units a score is better than the original's."""
        return self.sign * (score - self.original) / self.unit

    def gains_at(self, places: Vector) -> Vector:
        """By how many units the scores at these places are better than the original's."""
        return np.sign(places) * np.expm1(np.abs(places))


@dataclass(frozen=True, eq=False)
class Front:
    """What is reached so far, at each place of a grid over the logarithms of costs.

    Attributes:
        places: (places, costs).
        reached: the best score that costs no more than a place, in units above the original's,
            (places,).
        worst: the score that counts as none.
    """

    places: Vector
    reached: Vector
    worst: float

    @property
    def volume(self) -> float:
        """What is dominated, as a mean over the grid."""
        return float(np.mean(self.reached - self.worst))

    @classmethod
    def of(cls, costs: Vector, scores: Vector, least: Vector, most: Vector, worst: float) -> Front:
        """The front of what was measured.

        Args:
            costs: logarithms, (points, costs).
            scores: in units above the original's, (points,).
            least: where the grid begins along each cost, (costs,).
            most: where it ends.
            worst: the score that counts as none.
        """
        count = costs.shape[1]
        size = PLACES.get(count, FEWEST_PLACES)
        steps = (np.arange(size) + 1) / size
        axes = [low + (high - low) * steps for low, high in zip(least, most, strict=True)]
        grid = np.meshgrid(*axes, indexing="ij") if count else []
        places = np.stack([axis.ravel() for axis in grid], axis=1) if count else np.zeros((1, 0))
        reached = np.full(len(places), worst)
        for cost, score in zip(costs, scores, strict=True):
            covered = (cost <= places).all(axis=1)
            reached[covered] = np.maximum(reached[covered], score)
        return cls(places, reached, worst)

    def gains(self, costs: Vector, scores: Vector) -> Vector:
        """By how much each sequence should enlarge what is dominated, as a mean over the grid.

        Args:
            costs: logarithms, (sequences, costs).
            scores: of each at the `NODES` of its distribution, (sequences, nodes).
        """
        levels, at = np.unique(self.reached, return_inverse=True)
        gains = np.empty(len(costs))
        for k, cost in enumerate(costs):
            covers = np.bincount(at, (cost <= self.places).all(axis=1), len(levels))
            above = np.maximum(scores[k][:, None] - levels, 0)
            gains[k] = covers @ (WEIGHTS @ above)
        return gains / len(self.places)

    def may_gain(self, costs: Vector, hoped: Vector) -> NDArray[np.bool_]:
        """Whether each would enlarge it with a score."""
        return np.array(
            [
                bool(((cost <= self.places).all(axis=1) & (self.reached < score)).any())
                for cost, score in zip(costs, hoped, strict=True)
            ]
        )
