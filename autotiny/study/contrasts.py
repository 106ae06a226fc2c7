"""What would have been without a component, or the other way round, and how far that is known.

Each tried sequence that has a component is put beside itself without it; the mean difference is
what the component was worth. Few of the counterparts were tried, so a model of all trials stands in
for the others: a Gaussian process, whose mean is a sum of what components, parameters and pairs in
order do, of what sequences have in common that are alike, and, for scores, of what those have in
common that were trained as one: these are no independent evidence. Where both sides were tried, it
all but gives the difference that was measured.

Why not simpler: a sampler draws good components together, so that a plain difference of means takes
the credit of one for another; pairs of which both sides were tried are too few; and least squares
have more unknowns than trials. `results/attribution.md` compares them where the truth is known.

A counterpart counts only if its components were tried, two by two, without the one in question:
beyond that any model guesses. The mean over what was tried is the g-computation of Robins, "A new
approach to causal inference in mortality studies", 1986; counting no others is of Crump et al.,
"Dealing with limited overlap in estimation of average treatment effects", Biometrika 96, 2009; the
process is of Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from autotiny.components import COMPONENTS, Component, is_lowering, objection
from autotiny.model import Level
from autotiny.recipe import Recipe, step_key
from autotiny.space import Space
from autotiny.study.surrogate import Vector, features

Matrix = NDArray[np.float64]

DRAWS = 256
"""How many ways of sharing the variance out are weighed by how likely they make the trials."""

MAIN, ORDERED, TRAINED, NOISE = (0.3, 100.0), (0.03, 10.0), (0.03, 10.0), (1e-3, 3.0)
"""Between which variances are drawn, evenly on a logarithmic scale, that of neighbours being
1: of a component or parameter, a pair in order, what was trained as one, and chance."""

LENGTH = 2.0
"""How far the likeness of neighbours reaches: a component more or less is a step of 1."""

LEVEL = 100.0
"""Variance of what all sequences have in common, which falls out of every difference."""

CONFIDENCE = 0.95

Twos = set[tuple[str, str]]


@dataclass(frozen=True)
class Contrast:
    """Tried sequences that have something, each beside itself without it.

    Attributes:
        name: a component, or two in order, as `prune_channels before quantize_aware`.
        instead: what stands in its place: "" for nothing, a lowering, or the two in reverse.
        having: so many tried sequences have it.
        lacking: so many have what stands in its place.
        pairs: a sequence that has it, and the same without.
    """

    name: str
    instead: str
    having: int
    lacking: int
    pairs: tuple[tuple[Recipe, Recipe], ...]

    @property
    def level(self) -> Level:
        """Of the component, of two the first."""
        return COMPONENTS[self.name.split()[0]].level


def contrasts(
    tried: Sequence[Recipe], start: Level, reference: Component | None
) -> Iterator[Contrast]:
    """Everything that can be compared: components, then pairs that were tried in both orders.

    Args:
        tried: sequences in their canonical form, each once.
        start: the level of the model.
        reference: the lowering that others are compared with, as none can be left out.
    """
    for name in dict.fromkeys(name for recipe in tried for name in recipe.names):
        instead = reference if is_lowering(COMPONENTS[name]) else None
        if instead and instead.name == name:
            instead = None  # and without any lowering nothing is legal
        needed = {instead.name} if instead else set()
        having = [recipe for recipe in tried if name in recipe.names]
        lacking = [one for one in tried if name not in one.names and needed <= {*one.names}]
        pairs = [(recipe, replaced(recipe, name, instead)) for recipe in having]
        yield _contrast(name, "".join(needed), having, lacking, pairs, start)
    orders: dict[tuple[str, str], list[Recipe]] = {}
    for recipe in tried:
        for pair in combinations(recipe.names, 2):
            orders.setdefault(pair, []).append(recipe)
    for (first, second), having in orders.items():
        lacking = orders.get((second, first), [])
        if first < second and lacking:
            pairs = [(recipe, swapped(recipe, first, second)) for recipe in having]
            pairs += [(swapped(recipe, first, second), recipe) for recipe in lacking]
            name, other = f"{first} before {second}", f"{second} before {first}"
            yield _contrast(name, other, having, lacking, pairs, start)


def _contrast(
    name: str, instead: str, having: list[Recipe], lacking: list[Recipe],
    pairs: list[tuple[Recipe, Recipe]], start: Level,
) -> Contrast:  # fmt: skip
    """A contrast of the pairs that something is known of, on both sides."""
    with_it, without = _twos(having), _twos(lacking)
    kept = [
        (one, other)
        for one, other in pairs
        if _twos([one]) <= with_it and _twos([other]) <= without
        and all(objection(map(type, side.steps), start) is None for side in (one, other))
    ]  # fmt: skip
    return Contrast(name, instead, len(having), len(lacking), tuple(kept))


def _twos(recipes: Sequence[Recipe]) -> Twos:
    """Which components stood together, each also with itself."""
    return {
        pair
        for recipe in recipes
        for pair in combinations_with_replacement(sorted(recipe.names), 2)
    }


def replaced(recipe: Recipe, name: str, instead: Component | None) -> Recipe:
    """A sequence with something in the place of a component, or nothing."""
    steps = (instead if step.name == name else step for step in recipe.steps)
    return Recipe(tuple(step for step in steps if step is not None)).canonical()


def swapped(recipe: Recipe, first: str, second: str) -> Recipe:
    """A sequence in which two components have changed places."""
    other = {first: second, second: first}
    by_name = {step.name: step for step in recipe.steps}
    steps = (by_name[other.get(step.name, step.name)] for step in recipe.steps)
    return Recipe(tuple(steps)).canonical()


@dataclass(frozen=True)
class Estimates:
    """Of each contrast (a row) and each figure (a column).

    Attributes:
        mean: of the difference.
        low, high: ends of its interval.
    """

    mean: Matrix
    low: Matrix
    high: Matrix


def estimates(
    tried: Sequence[Recipe],
    values: Matrix,
    asked: Sequence[Contrast],
    space: Space,
    *,
    trained: bool,
) -> Estimates:
    """The mean difference of each contrast, with its interval.

    How much of the variance each part of the process has is not known of so few trials: many ways
    are drawn, the same each time, and weighed by how likely they make what was measured. The scale
    of all of them is integrated out, which gives Student's distribution.

    Args:
        tried: sequences in their canonical form, each once.
        values: what was measured of them, (sequences, figures).
        asked: what to compare; each has pairs.
        space: what parameters were drawn from.
        trained: whether what was trained as one deviates as one, as scores do, by luck that is no
            part of the difference.
    """
    places = {recipe: k for k, recipe in enumerate(tried)}
    for contrast in asked:
        for recipe in chain.from_iterable(contrast.pairs):
            places.setdefault(recipe, len(places))
    sides = [np.array([[places[one] for one in pair] for pair in each.pairs]) for each in asked]
    kernels = list(_kernels([*places], space))
    weights = np.array([_weights(recipe) if trained else "" for recipe in tried])
    alike = (weights[:, None] == weights).astype(np.float64)
    centered = values - np.median(values, axis=0)  # the median of equal values leaves exact zeros
    mean, square, expected = _posterior(kernels, alike, centered, _means(sides, len(places)))
    for row, pairs in zip(square, sides, strict=True):
        changes = expected[pairs[:, 0]] - expected[pairs[:, 1]]
        row += changes.var(axis=0, ddof=1) / len(pairs) * _student(len(pairs)) ** 2
    half = np.sqrt(square)
    return Estimates(mean, mean - half, mean + half)


def _means(sides: Sequence[NDArray[np.int64]], count: int) -> Matrix:
    """Each contrast as weights of sequences: the mean of its one side less that of the other.

    Args:
        sides: the places of each pair's sequences, (pairs, 2) a contrast.
        count: of sequences.
    """
    counted = [[np.bincount(side, minlength=count) for side in pairs.T] for pairs in sides]
    return np.array([(one - other) / one.sum() for one, other in counted])


def _posterior(
    kernels: Sequence[Matrix], alike: Matrix, values: Matrix, sums: Matrix
) -> tuple[Matrix, Matrix, Matrix]:
    """What the process says of contrasts, over all ways of sharing the variance out.

    Args:
        kernels: how alike sequences are, those that were tried first, each (sequences, sequences).
        alike: 1 where two that were tried were trained as one.
        values: what was measured of those, (tried, figures).
        sums: the contrasts as weights of sequences, (contrasts, sequences).

    Returns:
        Of contrasts the mean and the square of half the interval, (contrasts, figures), and what
        is expected of each sequence, (sequences, figures).
    """
    # here, as it takes time that --help does not have
    from scipy.linalg import cho_factor, cho_solve

    count = len(values)
    near = [kernel[:count, :count] for kernel in kernels]
    across = [sums @ kernel[:, :count] for kernel in kernels]
    own = [np.einsum("ij,ij->i", sums @ kernel, sums) for kernel in kernels]
    solutions, variances, likely = [], [], []
    for *shares, together, noise in _shares():
        covariance = _total(shares, near) + together * alike + noise * np.eye(count) + LEVEL
        factor = cho_factor(covariance, lower=True)
        toward = _total(shares, across)
        solved = cho_solve(factor, values)
        squares = np.einsum("ij,ij->j", values, solved)
        left = _total(shares, own) - np.einsum("ij,ji->i", toward, cho_solve(factor, toward.T))
        solutions.append([share * solved for share in shares])
        variances.append(np.maximum(left, 0)[:, None] * squares / count)
        determinant = 2 * np.log(np.diag(factor[0])).sum()
        likely.append(-0.5 * (determinant + count * np.log(np.maximum(squares, 1e-300))))
    weight = np.exp(np.array(likely) - np.max(likely, axis=0))
    weight /= weight.sum(axis=0)
    solution = np.array(solutions)  # (draws, kernels, sequences, figures)
    means = np.einsum("bcn,hbnk->hck", np.array(across), solution)
    mean = np.einsum("hk,hck->ck", weight, means)
    spread = np.array(variances) + (means - mean) ** 2
    square = np.einsum("hk,hck->ck", weight, spread) * _student(count) ** 2
    average = np.einsum("hk,hbnk->bnk", weight, solution)
    expected = sum(kernel[:, :count] @ part for kernel, part in zip(kernels, average, strict=True))
    return mean, square, np.asarray(expected)


def _total(shares: Sequence[float], parts: Sequence[Matrix]) -> Matrix:
    """What all parts come to."""
    return np.tensordot(shares, parts, 1)


def _student(count: int) -> float:
    """How many standard errors of so many values the interval reaches."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))


def _kernels(recipes: Sequence[Recipe], space: Space) -> Iterator[Matrix]:
    """How alike sequences are: by components, by pairs in order, as neighbours."""
    described = [features(recipe, space) for recipe in recipes]
    names = list(dict.fromkeys(name for one in described for name in one))
    table = np.array([[one.get(name, 0.0) for name in names] for one in described])
    table = table.reshape(len(recipes), len(names))
    ordered = np.array([" before " in name for name in names], bool)
    for part in (~ordered, ordered):
        yield table[:, part] @ table[:, part].T
    products = table @ table.T
    squares = np.diag(products)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0)) / LENGTH
    yield (1 + np.sqrt(3) * apart) * np.exp(-np.sqrt(3) * apart)  # Matérn's of 3/2


def _weights(recipe: Recipe) -> str:
    """What the weights of a sequence hang on: its steps up to the last that trains."""
    last = max((k for k, step in enumerate(recipe.steps, 1) if step.trains), default=0)
    return " ".join(step_key(step) for step in recipe.steps[:last])


def _shares() -> Iterator[Vector]:
    """Variances of each kernel, of what was trained as one, and of chance."""
    low, high = np.log((MAIN, ORDERED, (1.0, 1.0), TRAINED, NOISE)).T
    yield from np.exp(np.random.default_rng(0).uniform(low, high, (DRAWS, len(low))))
