"""Compares encodings of order, and samplers, on sequences whose whole front is known.

Six components that may take part or not, in any order: 1,957 sequences. Each has two figures made
of seeded effects of single components and of pairs, which depend on who comes first. What counts is
the share of the exact hypervolume that a study has found after 60 and after 150 trials; in a real
search each of them may train a network.

    python benchmarks/order_encoding.py --repeats 10 > results/order_encoding.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, permutations
from statistics import mean, stdev
from unittest import mock

import numpy as np
import optuna

from autotiny.components import COMPONENTS, Component, Work
from autotiny.model import Level, Model
from autotiny.space import Space, answers_for, suggest
from autotiny.space import draw as by_chance

CHECKPOINTS = (60, 150)
Values = tuple[float, float]
Draw = Callable[[optuna.Trial], tuple[str, ...]]


@dataclass(frozen=True)
class StandIn(Component):
    """A component that is never applied: its figures come from a table."""

    def apply(self, model: Model, work: Work) -> Model:
        """Is never called."""
        raise NotImplementedError


NAMES = tuple("abcdef")
KINDS: dict[str, type[Component]] = {
    name: type(name, (StandIn,), {"name": name, "level": Level.TFLITE}) for name in NAMES
}
SPACE = Space("toy", "six components in any order", {name: {} for name in NAMES})


def sequences() -> Iterator[tuple[str, ...]]:
    """All 1,957 ordered selections."""
    for count in range(len(NAMES) + 1):
        for chosen in combinations(NAMES, count):
            yield from permutations(chosen)


def table(seed: int) -> dict[tuple[str, ...], Values]:
    """Loss of accuracy and cost of each sequence; both to be made small.

    Each component lowers the cost and loses some accuracy; each pair adds to both by its order.
    """
    random = np.random.default_rng(seed)
    count = len(NAMES)
    single = np.stack([random.uniform(0, 1, count), -random.uniform(0, 1, count)])
    pair = random.normal(0, 0.4, (2, count, count))
    figures = {}
    for sequence in sequences():
        places = [NAMES.index(name) for name in sequence]
        total = single[:, places].sum(axis=1)
        for first, second in combinations(places, 2):
            total = total + pair[:, first, second]
        figures[sequence] = (float(total[0]), float(total[1]))
    return figures


def hypervolume(values: list[Values], reference: Values) -> float:
    """The area that points dominate, up to a reference point."""
    area, ceiling = 0.0, reference[1]
    for first, second in sorted(values):
        if first < reference[0] and second < ceiling:
            area += (reference[0] - first) * (ceiling - second)
            ceiling = second
    return area


def precedence(trial: optuna.Trial) -> tuple[str, ...]:
    """Selection and pairwise precedence, as `autotiny.space.suggest` asks."""
    return suggest(trial, SPACE, Level.TFLITE).names


def slots(trial: optuna.Trial) -> tuple[str, ...]:
    """A component or nothing for each place; a second one of a name counts as nothing."""
    drawn = [trial.suggest_categorical(f"slot {place}", ("", *NAMES)) for place in range(6)]
    return tuple(dict.fromkeys(name for name in drawn if name))


def keys(trial: optuna.Trial) -> tuple[str, ...]:
    """Selection, and a number for each component by which they are sorted."""
    chosen = [name for name in NAMES if trial.suggest_categorical(name, (False, True))]
    places = {name: trial.suggest_float(f"{name} place", 0, 1) for name in chosen}
    return tuple(sorted(chosen, key=lambda name: places[name]))


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    """What the search uses."""
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=10)


def multivariate(seed: int) -> optuna.samplers.BaseSampler:
    """TPE that models the parameters jointly."""
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=10, multivariate=True, group=True)


def chance(seed: int) -> optuna.samplers.BaseSampler:
    """Random draws."""
    return optuna.samplers.RandomSampler(seed=seed)


def found(draw: Draw, sampler: Callable[[int], optuna.samplers.BaseSampler], escape: bool,
          seed: int) -> list[float]:  # fmt: skip
    """The share of the hypervolume at each checkpoint.

    With `escape`, as in the search, a trial that repeats an earlier sequence is not counted, and is
    followed by one drawn by chance; otherwise it counts as any other.
    """
    figures = table(seed)
    reference = (max(first for first, _ in figures.values()), max(s for _, s in figures.values()))
    whole = hypervolume(list(figures.values()), reference)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler(seed))
    seen: list[tuple[str, ...]] = []
    shares: list[float] = []
    while len(shares) < len(CHECKPOINTS):
        trial = study.ask()
        sequence = draw(trial)
        study.tell(trial, figures[sequence])
        repeated = escape and sequence in seen
        if repeated:
            recipe = by_chance(SPACE, Level.TFLITE, 1000 * seed + trial.number)
            study.enqueue_trial(answers_for(recipe, SPACE, Level.TFLITE) or {})
            continue
        seen.append(sequence)
        if len(seen) in CHECKPOINTS:
            area = hypervolume([figures[one] for one in seen], reference)
            shares.append(area / whole)
    return shares


VARIANTS: tuple[tuple[str, Draw, Callable[[int], optuna.samplers.BaseSampler], bool], ...] = (
    ("precedence, TPE, chance after a repetition (the search)", precedence, tpe, True),
    ("precedence, TPE", precedence, tpe, False),
    ("precedence, multivariate TPE", precedence, multivariate, False),
    ("precedence, random", precedence, chance, False),
    ("precedence, random, repetitions not counted", precedence, chance, True),
    ("slots, TPE", slots, tpe, False),
    ("slots, random", slots, chance, False),
    ("random keys, TPE", keys, tpe, False),
    ("random keys, random", keys, chance, False),
)


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10, help="seeds, each with its own table")
    repeats = parser.parse_args().repeats
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("# Encodings of order\n")
    print(__doc__.split("\n\n")[1].replace("\n", " ") + "\n")
    print(f"`python benchmarks/order_encoding.py --repeats {repeats}`; mean ± standard deviation ")
    print(f"over {repeats} seeds, each with a table of its own. Optuna {optuna.__version__}.\n")
    print("| encoding and sampler | " + " | ".join(f"{n} trials" for n in CHECKPOINTS) + " |")
    print("|---|" + "---|" * len(CHECKPOINTS))
    with mock.patch.dict(COMPONENTS, KINDS, clear=True):
        for name, draw, sampler, escape in VARIANTS:
            rows = [found(draw, sampler, escape, seed) for seed in range(repeats)]
            cells = [
                f"{mean(column):.3f} ± {stdev(column):.3f}" for column in zip(*rows, strict=True)
            ]
            print(f"| {name} | {' | '.join(cells)} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
