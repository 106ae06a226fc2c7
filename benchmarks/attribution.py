"""Compares what components are said to be worth with what they are, on a table of a closed space.

    python benchmarks/attribution.py --seeds 7 --trials 15,45

Trials are drawn by chance from results/search_cnn1.json.gz, or are those of a search on it. True is
the mean difference between sequences with a component, or an order of two, and their counterparts
in the table, over those that were tried or over the whole table; pairs are left out of which a
further component drops out. The columns: how many were asked for and answered; intervals of 95 %
that hold what is true of the tried ones, and of the table; those that lie wholly on the other side
of zero; those that can be told from nothing; their median width, of costs in logarithms. Beside
ours stand the plain difference of means of trials with and without, its interval by Welch, and the
mean over pairs of which both sides were tried, its interval by Student. Writes
results/attribution.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import optuna
from samplers import Rows, job_of, read, recipe_of
from scipy import stats
from search_table import RESULTS, TABLES, Table

from autotiny.components import COMPONENTS
from autotiny.evaluate import cost_from
from autotiny.metrics import Metrics
from autotiny.model import Level
from autotiny.recipe import Recipe
from autotiny.study import TrialRecord, ended, quiet_optuna
from autotiny.study.attribution import FEWEST, attribution
from autotiny.study.contrasts import Contrast, contrasts
from autotiny.study.holding import holding
from autotiny.study.planning import plan
from autotiny.study.record import BASELINE
from autotiny.study.running import run_trials
from autotiny.study.sampling import sampler_for
from autotiny.study.surrogate import scored_part

FIGURES = ("score", "latency_ms", "flash_bytes", "sram_bytes")
CONFIDENCE = 0.95
EXACT = 1e-9
"""What is nearer to each other is equal."""

FLOAT32 = COMPONENTS["float32"]()

Values = Mapping[Recipe, float]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Answer:
    """What a method said of a component or an order, and what is true.

    Attributes:
        figure: the score, or a cost as its logarithm.
        kind: "component" or "order".
        method: its name.
        here: the true mean difference over what was tried.
        everywhere: likewise over the table.
        interval: that the method gives; None where it has none.
    """

    figure: str
    kind: str
    method: str
    here: float
    everywhere: float
    interval: Interval | None


def tried_by_chance(rows: Rows, trials: int, seed: int) -> list[TrialRecord]:
    """So many different sequences of a table; the original is the first."""
    every: dict[Recipe, TrialRecord] = {}
    for row in rows.by_key.values():
        record = record_of(row)
        every.setdefault(cast(Recipe, record.recipe), record)
    original = next(recipe for recipe in every if recipe.names == ("float32",))
    others = [record for recipe, record in every.items() if recipe != original]
    drawn = np.random.default_rng(seed).permutation(len(others))[: trials - 1]
    return [replace(every[original], queued=BASELINE), *(others[k] for k in drawn)]


def record_of(row: dict[str, Any]) -> TrialRecord:
    """A row as a trial that was measured; what dropped out is absent."""
    drawn = recipe_of(row)
    steps = tuple(step for step in drawn.steps if step.name not in row["dropped"])
    metrics = Metrics(cost_from(row["cost"]), row["scores"][0], error_validation=row["error"])
    return TrialRecord(
        recipe=Recipe(steps).canonical(), drawn=drawn, outcome="measured", metrics=metrics
    )


def tried_by_search(table: Table, trials: int, seed: int) -> list[TrialRecord]:
    """The trials of a search on a table."""
    with TemporaryDirectory() as folder, quiet_optuna(), holding(Path(folder)) as mark:
        job = job_of(table, "ehvi", seed, folder)
        study = optuna.create_study(directions=list(job.directions), sampler=sampler_for(job))
        plan(study, job, ())
        run_trials(study, job, trials, None, mark, lambda record: None)
        return ended(study)


@lru_cache(maxsize=len(FIGURES))
def whole(path: Path, figure: str) -> dict[Recipe, float]:
    """What each sequence of a table has that does all it was drawn for."""
    records = [record_of(row) for row in read(path).by_key.values() if not row["dropped"]]
    return of_figure(records, figure)


def of_figure(records: Sequence[TrialRecord], figure: str) -> dict[Recipe, float]:
    """The score of each network, or the logarithm of the cost of each sequence."""
    found: dict[Recipe, float] = {}
    for record in records:
        if record.recipe is None or record.metrics is None:
            continue
        recipe = record.recipe.canonical()
        if figure == "score":
            found.setdefault(scored_part(recipe), record.metrics.score_validation)
        else:
            found.setdefault(recipe, float(np.log(getattr(record.metrics.cost, figure))))
    return found


@lru_cache(maxsize=len(FIGURES))
def in_table(path: Path, figure: str) -> dict[str, float]:
    """The mean difference over a whole table, by the name of a contrast."""
    true = whole(path, figure)
    every = contrasts([*true], Level.KERAS, FLOAT32)
    found = {contrast.name: mean_difference(contrast, true) for contrast in every}
    return {name: mean for name, mean in found.items() if mean is not None}


def mean_difference(contrast: Contrast, true: Values) -> float | None:
    """The mean over the pairs that are known; None where most are not."""
    found = [
        true[one] - true[other] for one, other in contrast.pairs if one in true and other in true
    ]
    return float(np.mean(found)) if 2 * len(found) > len(contrast.pairs) else None


def answers(table: Table, trials: int, searched: bool, seed: int) -> list[Answer]:
    """What each method says of a study, figure by figure."""
    rows = read(table.path)
    records = (
        tried_by_search(table, trials, seed) if searched else tried_by_chance(rows, trials, seed)
    )
    with TemporaryDirectory() as folder:
        job = job_of(table, "random", seed, folder)
    worths = {worth.name: worth for worth in attribution(records, job)}
    found = []
    for figure in FIGURES:
        tried = of_figure(records, figure)
        for contrast in contrasts([*tried], Level.KERAS, FLOAT32):
            worth = worths[contrast.name]
            effect = worth.score if figure == "score" else worth.costs.get(figure)
            here = mean_difference(contrast, whole(table.path, figure))
            everywhere = in_table(table.path, figure).get(contrast.name)
            if effect is None or here is None or everywhere is None:
                continue
            ends = (effect.low, effect.high)
            if figure != "score":
                ends = (float(np.log1p(ends[0] / 100)), float(np.log1p(ends[1] / 100)))
            for method, interval in (
                ("ours", ends),
                ("difference of means", welch(tried, contrast)),
                ("pairs tried whole", paired(tried, contrast)),
            ):
                kind = "order" if worth.is_order else "component"
                found.append(Answer(figure, kind, method, here, everywhere, interval))
    return found


def welch(tried: Values, contrast: Contrast) -> Interval | None:
    """The plain difference of means, by Welch."""
    ours = {one for pair in contrast.pairs for one in pair if one in tried}
    having = [tried[one] for one in ours if _has(one, contrast.name)]
    others = [
        value for one, value in tried.items()
        if (_has(one, contrast.instead) if contrast.instead else contrast.name not in one.names)
    ]  # fmt: skip
    if min(len(having), len(others)) < FEWEST:
        return None
    found = stats.ttest_ind(having, others, equal_var=False).confidence_interval(CONFIDENCE)
    return float(found.low), float(found.high)


def _has(recipe: Recipe, name: str) -> bool:
    """Whether a sequence has a component, or two in an order."""
    if name not in recipe.names and " before " not in name:
        return False
    places = [
        recipe.names.index(one) if one in recipe.names else -1 for one in name.split(" before ")
    ]
    return -1 not in places and places == sorted(places)


def paired(tried: Values, contrast: Contrast) -> Interval | None:
    """The mean over pairs of which both sides were tried, by Student."""
    both = {pair for pair in contrast.pairs if pair[0] in tried and pair[1] in tried}
    found = [tried[one] - tried[other] for one, other in both]
    if len(found) < FEWEST:
        return None
    half = float(stats.sem(found) * stats.t.ppf((1 + CONFIDENCE) / 2, len(found) - 1))
    return float(np.mean(found)) - half, float(np.mean(found)) + half


def lines(found: Sequence[Answer]) -> Iterator[str]:
    """A table: a line for each figure and method."""
    yield "| figure | of | method | asked | answered | tried | table | wrong | told | width |"
    yield "|" + "---|" * 10
    for (figure, kind, method), group in groupby(sorted(found, key=_case), _case):
        listed = list(group)
        known = [(one.here, one.everywhere, *one.interval) for one in listed if one.interval]
        if not known:
            continue
        here, everywhere, low, high = np.array(known).T
        shares = (
            len(known) / len(listed),
            *(np.mean((low - EXACT <= one) & (one <= high + EXACT)) for one in (here, everywhere)),
            np.mean(((low > 0) & (here < -EXACT)) | ((high < 0) & (here > EXACT))),
            np.mean((low > EXACT) | (high < -EXACT)),
        )
        cells = [f"{100 * share:.1f} %" for share in shares]
        cells = [figure, kind, method, str(len(listed)), *cells, f"{np.median(high - low):.4f}"]
        yield f"| {' | '.join(cells)} |"


def _case(answer: Answer) -> tuple[str, str, str]:
    return answer.figure, answer.kind, answer.method


def compared(
    table: Table, cases: Sequence[tuple[int, bool]], seeds: int, jobs: int
) -> Iterator[str]:
    """The sections of the page."""
    with ProcessPoolExecutor(jobs) as pool:
        for trials, searched in cases:
            study = partial(answers, table, trials, searched)
            found = [one for each in pool.map(study, range(seeds)) for one in each]
            how = "of searches" if searched else "by chance"
            yield f"## {trials} trials {how}, {seeds} seeds\n"
            yield from lines(found)
            yield ""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--trials", default="15,45,120", help="by chance, commas between them")
    parser.add_argument("--searches", default="", help="trials of searches, which take minutes")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=RESULTS / "attribution.md")
    asked = parser.parse_args()
    command, text = (__doc__ or "").split("\n\n")[1:]
    page = ["# What components are worth\n", f"{command}\n", text.replace("\n", " ").strip() + "\n"]
    cases = [(int(count), False) for count in asked.trials.split(",") if count]
    cases += [(int(count), True) for count in asked.searches.split(",") if count]
    page += compared(TABLES["cnn1"], cases, asked.seeds, asked.jobs)
    asked.out.write_text("\n".join(page), encoding="utf-8")
    print("\n".join(page))


if __name__ == "__main__":
    main()
