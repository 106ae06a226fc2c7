"""Compares samplers on tables of closed search spaces, by what they find in the same training time.

    python benchmarks/samplers.py [--tables cnn1] [--seeds 20]

Each study runs as a search does, but that costs and scores are looked up; see `search_table.py`.
Its time is that of the trainings that its trials needed, each once, as the table has it: what lies
in the cache costs nothing. The marks are the mean times that TPE takes for 20, 40 and 80 trials.
What counts is the share of the hypervolume that all sequences of the table have together, of the
score as it is and the logarithms of the costs; its reference point is what the original costs, and
a score by chance. All begin with the original and eight known good sequences, of which `ehvi` tries
four at once and weighs the others with the rest; it draws a trial without the outcome of the one
before it, as a search does that two processes may work on. Writes results/search.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import optuna
from optuna._hypervolume import compute_hypervolume
from rich.progress import track
from scipy.stats import t as student
from search_table import RESULTS, TABLES, Table, trained_parts

from autotiny import errors
from autotiny.cache import Cache
from autotiny.dataset import load_dataset
from autotiny.evaluate import cost_from
from autotiny.metrics import Cost
from autotiny.model import Level, Model
from autotiny.recipe import Candidate, Dropped, Recipe, component_from
from autotiny.study import Evaluator, Job, TrialRecord, quiet_optuna
from autotiny.study.holding import holding
from autotiny.study.job import EHVI
from autotiny.study.planning import plan
from autotiny.study.record import measured, set_at_once
from autotiny.study.running import run_trials
from autotiny.study.sampling import sampler_for
from autotiny.study.turns import AT_ONCE
from autotiny.target import load_target
from autotiny.tasks import Score, wanted_drop

MARKS = (20, 40, 80)
"""Trials of TPE whose training time is allowed."""

QUEUED = "queued only"
KINDS = ("ehvi", "tpe", "nsga2", "random")
MOST_TRIALS = 600


@dataclass(frozen=True)
class Rows:
    """A table that was read.

    Attributes:
        by_key: a row by the key of its sequence.
        seconds: of training the last step of a prefix, by its key.
    """

    by_key: dict[str, dict[str, Any]]
    seconds: dict[str, float]


@lru_cache(maxsize=1)
def read(path: Path) -> Rows:
    """A table."""
    found = json.loads(gzip.decompress(path.read_bytes()))
    seconds = {recipe_of(one).key: one["seconds"] for one in found["prefixes"]}
    return Rows({recipe_of(row).key: row for row in found["rows"]}, seconds)


def recipe_of(row: dict[str, Any]) -> Recipe:
    """The sequence of a row, or of a prefix."""
    return Recipe(tuple(component_from(step) for step in row["steps"]))


@dataclass(frozen=True)
class TabledJob(Job):
    """A job whose costs and scores are looked up."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def candidate(self, recipe: Recipe, *, rehearse: bool = False) -> Candidate:
        """A row in place of a model."""
        row = self.rows[recipe.canonical().key]
        if "refused" in row and not (rehearse and "rehearsed" in row):
            name, text = row["refused"]
            raise getattr(errors, name)(text)
        stand_in = SimpleNamespace(row=row, rehearse=rehearse, facts=dict)
        dropped = tuple(Dropped(name, "") for name in row.get("dropped", ()))
        return Candidate(cast(Model, stand_in), str(row.get("key")), dropped)

    def cost(self, model: Model) -> Cost:
        """Of a row."""
        found = cast(Any, model)
        return cost_from(found.row["rehearsed" if found.rehearse else "cost"])

    def score(self, model: Model, split: str) -> Score:
        """Of a row."""
        row = cast(Any, model).row
        return Score(row["scores"][0], row["error"], None)


class _Enough(Exception):
    """The time is over."""


Course = list[tuple[float, float]]
"""Training seconds and hypervolume after each trial."""


def job_of(table: Table, kind: str, seed: int, folder: str) -> TabledJob:
    """What a search would be asked, with nothing to be computed."""
    cache = Cache(Path(folder))
    data = table.part(load_dataset(table.place(cache), 0))
    return TabledJob(
        model=cast(Model, SimpleNamespace(start=Level.KERAS, level=Level.KERAS, front=None)),
        data=data, target=load_target(table.target), objectives=("latency", "size"),
        space=table.space, seed=seed, score_drop=wanted_drop(data.task.scored_by, None, None),
        epochs=5, cache=cache, sampler=kind, rows=read(table.path).by_key,
        evaluator=Evaluator(runtimes=lambda model: ()),
    )  # fmt: skip


def studied(
    table: Table, kind: str, most_seconds: float, seed: int, trials: int = MOST_TRIALS
) -> Course:
    """How a study goes until its trainings have taken so long, or it has so many trials."""
    rows = read(table.path)
    course: Course = []
    done: set[str] = set()
    seconds = 0.0
    with TemporaryDirectory() as folder, quiet_optuna(), holding(Path(folder)) as mark:
        job = job_of(table, "random" if kind == QUEUED else kind, seed, folder)
        volume = Volume.of(table, job)
        study = optuna.create_study(directions=list(job.directions), sampler=sampler_for(job))
        if kind == EHVI:
            set_at_once(study, AT_ONCE)
        plan(study, job, ())

        def after(record: TrialRecord) -> None:
            nonlocal seconds
            recipe = record.drawn or record.recipe
            if recipe is not None and record.outcome in ("measured", "failed", "invalid"):
                new = {part.key for part in trained_parts(recipe)} - done
                done.update(new)
                seconds += sum(rows.seconds[key] for key in new)
            if seconds > most_seconds or (kind == QUEUED and not record.queued):
                raise _Enough
            course.append((seconds, volume([one.values for one in measured(study)])))

        with suppress(_Enough):
            run_trials(study, job, trials, None, mark, after)
    return course


@dataclass(frozen=True)
class Volume:
    """A share of the hypervolume of a whole table.

    Attributes:
        reference: a score by chance and the logarithms of the original's costs, to be made small.
        whole: the hypervolume of all sequences.
    """

    reference: tuple[float, ...]
    whole: float

    @classmethod
    def of(cls, table: Table, job: TabledJob) -> Volume:
        """That of a table."""
        rows = [row for row in job.rows.values() if "cost" in row]
        original = job.rows[recipe_of({"steps": [{"component": "float32"}]}).key]
        values = [_values(row) for row in rows]
        chance = job.data.chance
        assert chance is not None
        reference = (-chance.value, *_small(_values(original))[1:])
        return cls(reference, 1.0)._with(values)

    def _with(self, values: Sequence[tuple[float, ...]]) -> Volume:
        return Volume(self.reference, self(values))

    def __call__(self, values: Sequence[tuple[float, ...]]) -> float:
        """The share that points with these values have."""
        reference = np.array(self.reference)
        points = np.array([_small(one) for one in values]).reshape(len(values), len(reference))
        points = points[(points < reference).all(axis=1)]
        return float(compute_hypervolume(points, reference)) / self.whole if len(points) else 0.0


def _values(row: dict[str, Any]) -> tuple[float, ...]:
    return row["scores"][0], row["cost"]["latency_ms"], row["cost"]["flash_bytes"]


def _small(values: Sequence[float]) -> tuple[float, ...]:
    """Score, latency and flash so that all are to be made small."""
    return (-values[0], *(float(np.log(value)) for value in values[1:]))


def at(course: Course, seconds: float) -> tuple[float, int]:
    """What a study has found in that time, and in how many trials."""
    found = [volume for spent, volume in course if spent <= seconds]
    return (found[-1] if found else 0.0), len(found)


def compared(table: Table, kinds: Sequence[str], seeds: int, jobs: int) -> Iterator[str]:
    """The lines of a table's section."""
    rows = read(table.path)
    everything = sum(rows.seconds.values())
    with ProcessPoolExecutor(jobs) as pool:
        first = list(pool.map(partial(_counted, table, max(MARKS)), range(seeds)))
        marks = [
            mean(course[min(count, len(course)) - 1][0] for course in first) for count in MARKS
        ]
        courses = {
            kind: list(
                track(
                    pool.map(partial(studied, table, kind, max(marks)), range(seeds)),
                    f"{table.name}: {kind}", total=seeds,
                )
            )
            for kind in kinds
        }  # fmt: skip
    yield f"## {table.name}: {table.model} on {table.data}, {table.target}\n"
    yield (
        f"{len(rows.by_key):,} sequences, {len(rows.seconds)} trained prefixes of "
        f"{everything:.0f} s in all; {seeds} seeds, mean ± 95 % interval.\n"
    )
    heads = [f"{count} trials: {mark:.0f} s" for count, mark in zip(MARKS, marks, strict=True)]
    yield f"| sampler | {' | '.join(f'share at {head} | trials' for head in heads)} |"
    yield "|---|" + "---|---|" * len(heads)
    for kind, found in courses.items():
        cells = []
        for mark in marks:
            shares, trials = zip(*(at(course, mark) for course in found), strict=True)
            wide = half_width(shares)
            cells += [f"{100 * mean(shares):.2f} ± {100 * wide:.2f} %", f"{mean(trials):.0f}"]
        yield f"| {kind} | {' | '.join(cells)} |"
    yield ""


def half_width(values: Sequence[float]) -> float:
    """Of the 95 % interval of a mean, by Student's distribution."""
    if len(values) < 2:
        return 0.0
    error: float = stdev(values) / len(values) ** 0.5
    return error * float(student.ppf(0.975, len(values) - 1))


def _counted(table: Table, trials: int, seed: int) -> Course:
    """How a study of TPE goes for so many trials."""
    return studied(table, "tpe", float("inf"), seed, trials)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    made = [name for name, table in TABLES.items() if table.path.exists()]
    parser.add_argument("--tables", default=",".join(made), help="names, commas between them")
    every = ",".join((*KINDS, QUEUED))
    parser.add_argument("--samplers", default=every, help="those that the page is of")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=RESULTS / "search.md")
    asked = parser.parse_args()
    command, text = (__doc__ or "").split("\n\n")[1:]
    lines = ["# Samplers\n", f"{command}\n", text.replace("\n", " ").strip() + "\n"]
    for name in asked.tables.split(","):
        lines += compared(TABLES[name], asked.samplers.split(","), asked.seeds, asked.jobs)
    asked.out.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
