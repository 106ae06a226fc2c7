"""One share for each layer against a budget that layers share by their sensitivity.

    python benchmarks/budgets.py [--seeds 5]

Writes results/budgets.md table by table: pruning ratios, sparsities and ranks, each at three
budgets. Networks are trained, compressed and fine-tuned under each seed anew; what was stopped goes
on from the cache.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from writing import row, step

from autotiny.cache import Cache, key_of, remembered
from autotiny.codeversion import code_version
from autotiny.components import Component, Work
from autotiny.components.keras._weights import has_kernel, positions
from autotiny.dataset import Dataset, check_fits, load_dataset
from autotiny.model import Model, keras, load_model, predict
from autotiny.recipe import Recipe, apply

RESULT = Path(__file__).parent.parent / "results" / "budgets.md"
BUDGETS = ("layer", "macs", "weights")


def five_layers() -> Any:
    """Three convolutions and two dense layers for 28×28 images, 10 classes."""
    k = keras()
    layers = k.layers
    return k.Sequential(
        [
            layers.InputLayer(input_shape=(28, 28), name="image"),
            layers.Reshape((28, 28, 1)),
            *(
                part
                for filters in (16, 32, 32)
                for part in (
                    layers.Conv2D(filters, 3, padding="same", activation="relu"),
                    layers.MaxPooling2D(2),
                )
            ),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ],
        name="five_layers",
    )


Tried = tuple[str, str, tuple[float, ...]]
"""A component, the parameter that is the budget, and its values."""

CHANNELS = ("prune_channels", "ratio", (0.25, 0.5, 0.75))
ZEROS = ("prune_magnitude", "sparsity", (0.8, 0.9, 0.95))
RANKS = ("factorize_low_rank", "rank", (0.125, 0.25, 0.375))
DIGITS = ("digits", (800, 360, 360))
FASHION = ("fashion_mnist", (1000, 1000, 5000))

Case = tuple[str, tuple[int, int, int]]
"""The name of a data set, and so many samples of train, validation and test."""

TABLES: tuple[tuple[Case, Tried], ...] = (
    (DIGITS, CHANNELS), (FASHION, CHANNELS), (DIGITS, ZEROS), (DIGITS, RANKS), (FASHION, ZEROS),
)  # fmt: skip
NETWORK = "benchmarks.budgets:five_layers"
TRAINED, TUNED = 8, 2
"""Epochs at most, of a first training and of a fine-tune."""


@lru_cache
def prepared(case: Case, seed: int) -> tuple[Model, Dataset]:
    """The network after its first training, and its data."""
    name, samples = case
    data = check_fits(load_model(NETWORK), load_dataset(name).shrunk(*samples))
    return load_model(NETWORK, data, epochs=TRAINED, seed=seed, cache=Cache()), data


def costs(model: Model) -> tuple[int, int]:
    """Multiply-accumulates by weights that are not zero, and such weights."""
    found = [
        (positions(layer), int(np.count_nonzero(layer.kernel.numpy())))
        for layer in model.keras.layers
        if has_kernel(layer)
    ]
    return sum(often * count for often, count in found), sum(count for _, count in found)


Figures = tuple[float, float, float]
"""Score on test, and the shares of multiply-accumulates and of weights that are left."""


def measured(case: Case, component: Component | None, seed: int) -> Figures:
    """What a component makes of a network; of none, the network."""
    cache = Cache()
    model, data = prepared(case, seed)
    work = Work(data, seed=seed, epochs=TUNED, original=model)
    steps = () if component is None else (component,)
    candidate = apply(Recipe(steps), model, work, cache)
    key = key_of("budgets", candidate.key, code_version(apply.__module__))

    def figures() -> Figures:
        (macs, weights), (most_macs, most_weights) = costs(candidate.model), costs(model)
        right = predict(candidate.model, data.x_test).argmax(axis=1) == data.y_test
        return 100 * float(right.mean()), 100 * macs / most_macs, 100 * weights / most_weights

    score, macs, weights = remembered(cache, key, figures)
    return score, macs, weights


def spread(values: Sequence[float]) -> str:
    """A mean and its standard error."""
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.2f}"


def section(case: Case, tried: Tried, seeds: int) -> str:
    """The table of a component on a data set."""
    name, parameter, values = tried
    whole = [measured(case, None, seed)[0] for seed in range(seeds)]
    head = row("component", "budget", "score", "beside layer", "MACs, %", "weights, %")
    rows = [head, "|---" * 6 + "|", row("(none)", "", spread(whole), "", 100, 100)]
    for value in values:
        equal: tuple[float, ...] = ()
        for budget in BUDGETS:
            one = step(name, **{parameter: value, "budget": budget})
            found = [measured(case, one, seed) for seed in range(seeds)]
            scores, macs, weights = zip(*found, strict=True)
            equal = equal or scores
            gains = [a - b for a, b in zip(scores, equal, strict=True)]
            asked = f"{name}({parameter}={value})"
            more = spread(gains) if budget != "layer" else ""
            left = [f"{np.mean(shares):.1f}" for shares in (macs, weights)]
            rows.append(row(asked, budget, spread(scores), more, *left))
            print(rows[-1], flush=True)
    table = "\n".join(rows)
    return f"## {name} on {case[0]}, {case[1][0]:,} training samples\n\n{table}\n"


def main() -> None:
    """Write results/budgets.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    sections: list[str] = []
    for case, tried in TABLES:
        sections.append(section(case, tried, seeds))
        write(sections, seeds)


def write(sections: Sequence[str], seeds: int) -> None:
    """Write the page, as far as it is measured."""
    text = "\n".join(sections)
    RESULT.write_text(
        f"""# Budgets that layers share

`python benchmarks/budgets.py --seeds {seeds}`

What each layer loses alike (budget `layer`) against what all lose together, where the loss on
training samples grows least. A network of three convolutions and two dense layers, {seeds} seeds:
each decides the network, the fine-tune and the samples. Mean ± standard error; differences are
paired by seed. The score is the accuracy on test in float. Weights are those that are not zero,
MACs (multiply-accumulates) those by such weights, in percent of the original's. A budget of one
bounds that one alone: `macs` leaves more weights, and `weights` more MACs.

{text}""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
