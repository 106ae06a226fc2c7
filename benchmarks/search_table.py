"""Makes tables of closed search spaces: what every sequence of them costs and scores.

    python benchmarks/search_table.py [--tables cnn1]

A sampler is compared with others on such a table in seconds, where a real search takes minutes; see
`benchmarks/samplers.py`. Rows are written as they are found, and a run that was stopped goes on
where it stood. A table that is whole becomes results/search_<name>.json.gz.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autotiny.cache import Cache
from autotiny.dataset import Dataset
from autotiny.errors import NotApplicable
from autotiny.metrics import Cost
from autotiny.model import Level, silent_stderr, tensorflow
from autotiny.ranges import Choice, Fixed
from autotiny.recipe import Recipe, apply, step_data, steps_from_text
from autotiny.space import Space, suggest
from autotiny.study import Job, load_pair
from autotiny.study.trials import REFUSALS
from autotiny.target import load_target
from autotiny.tasks import wanted_drop

RESULTS = Path(__file__).parent.parent / "results"

NONE: dict[str, Any] = {}
SPACE = Space(
    "table",
    "Closed: every sequence of it stands in a table.",
    {
        "float32": NONE,
        "int8": NONE,
        "reduce_input": NONE,
        "prune_channels": {"ratio": Choice((0.25, 0.5, 0.75))},
        "quantize_aware": {"learning_rate": Fixed(0.001)},
        "separate_convolutions": NONE,
        "factorize_low_rank": NONE,
        "prune_magnitude": {"sparsity": Choice((0.6, 0.8))},
        "fuse_operators": NONE,
        "huffman_code": NONE,
    },
    first=tuple(
        Recipe(steps_from_text(text))
        for text in (
            "int8, fuse_operators",
            "separate_convolutions, int8, fuse_operators",
            "prune_channels(ratio=0.5), int8, fuse_operators",
            "reduce_input, int8, fuse_operators",
            "reduce_input, quantize_aware(learning_rate=0.001), int8, fuse_operators",
            "reduce_input, prune_channels(ratio=0.25), int8, fuse_operators",
            "reduce_input, prune_channels(ratio=0.5), quantize_aware(learning_rate=0.001), int8, "
            "fuse_operators",
            "prune_magnitude(sparsity=0.8), quantize_aware(learning_rate=0.001), int8, "
            "fuse_operators, huffman_code",
        )
    ),
    trains_at_most=3,
)

SMALL = replace(
    SPACE,
    components={
        name: {"ratio": Choice((0.25, 0.5))} if name == "prune_channels" else ranges
        for name, ranges in SPACE.components.items()
        if name not in ("separate_convolutions", "factorize_low_rank")
    },
    first=tuple(one for one in SPACE.first if "separate_convolutions" not in one.names),
)


KEYWORDS = replace(
    SMALL,
    components={
        name: ranges for name, ranges in SMALL.components.items() if name != "reduce_input"
    },
    first=tuple(one for one in SMALL.first if "reduce_input" not in one.names),
)

WORDS, FRAMES, BANDS = 12, 49, 10


def write_words(path: Path) -> None:
    """Write a seeded stand-in for recorded words, as frames of cepstral coefficients.

    A word is a path through the bands that a speaker takes at a pace, a pitch and a time of his
    own, in noise.
    """
    random = np.random.default_rng(0)
    knots = random.normal(size=(WORDS, 6, BANDS))
    y = random.integers(0, WORDS, 1_600)
    begins, ends = random.uniform(0, 1.2, len(y)), random.uniform(3.8, 5, len(y))
    places = np.linspace(begins, ends, FRAMES, axis=1)
    below = np.minimum(places.astype(int), 4)
    share = (places - below)[..., None]
    paths = knots[y[:, None], below] * (1 - share) + knots[y[:, None], below + 1] * share
    speaker = random.normal(size=(len(y), 1, BANDS)) * 0.8
    x = paths + speaker + random.normal(size=paths.shape) * 1.3
    np.savez(path, x=x[..., None].astype(np.float32), y=y)


@dataclass(frozen=True)
class Table:
    """What a table is made of.

    Attributes:
        name: of the table.
        model, data, target: as a search takes them.
        space: all that can be drawn.
        samples: so many of train, validation and test; None for all.
        write: makes the file of samples where `data` is none; None where it is there.
    """

    name: str
    model: str
    data: str
    target: str
    space: Space
    samples: tuple[int, int, int] | None = None
    write: Callable[[Path], None] | None = None

    @property
    def path(self) -> Path:
        """Where it lies once it is whole."""
        return RESULTS / f"search_{self.name}.json.gz"

    def place(self, cache: Cache) -> str:
        """What the samples are called, or where they lie; written first where they are made."""
        if self.write is None:
            return self.data
        cache.folder.mkdir(parents=True, exist_ok=True)
        self.write(cache.folder / self.data)
        return str(cache.folder / self.data)

    def part(self, data: Dataset) -> Dataset:
        """The samples that are used."""
        return data.shrunk(*self.samples) if self.samples else data

    def job(self, cache: Cache) -> Job:
        """What a search would be asked."""
        model, data = load_pair(self.model, self.place(cache), seed=0, cache=cache)
        data = self.part(data)
        drop = wanted_drop(data.task.scored_by, None, None)
        return Job(
            model=model, data=data, target=load_target(self.target),
            objectives=("latency", "size"), space=self.space, seed=0, score_drop=drop, epochs=5,
            cache=cache,
        )  # fmt: skip


TABLES = {
    table.name: table
    for table in (
        Table("cnn1", "cnn1", "digits", "stm32f746", SPACE),
        Table("fashion", "cnn1", "fashion_mnist", "stm32f746", SMALL, (10_000, 2_000, 2_000)),
        Table("ds_cnn", "ds_cnn", "words.npz", "stm32f746", KEYWORDS, write=write_words),
    )
}


class _Answers:
    """Answers questions by number, those that are new by the first choice."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = numbers
        self.given: list[int] = []
        self.choices: list[int] = []

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        at = len(self.given)
        number = self._numbers[at] if at < len(self._numbers) else 0
        self.given.append(number)
        self.choices.append(len(choices))
        return choices[number]

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        raise NotImplementedError(f"{name}: a closed space has lists of values")

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        raise NotImplementedError(f"{name}: a closed space has lists of values")


def sequences(space: Space, start: Level) -> Iterator[Recipe]:
    """Every sequence that can be drawn of a space whose parameters are lists, each once."""
    numbers: list[int] = []
    seen: set[str] = set()
    while True:
        answers = _Answers(numbers)
        recipe = suggest(answers, space, start).canonical()
        if recipe.key not in seen:
            seen.add(recipe.key)
            yield recipe
        numbers = answers.given
        while numbers and numbers[-1] + 1 == answers.choices[len(numbers) - 1]:
            numbers.pop()
        if not numbers:
            return
        numbers[-1] += 1


def trained_parts(recipe: Recipe) -> list[Recipe]:
    """The parts of a sequence up to each step that trains."""
    steps = recipe.canonical().steps
    return [Recipe(steps[: k + 1]) for k, step in enumerate(steps) if step.trains]


def row_of(recipe: Recipe, job: Job) -> dict[str, Any]:
    """What a sequence costs and scores, or why it does not."""
    row: dict[str, Any] = {"steps": [step_data(step) for step in recipe.steps]}
    try:
        row["rehearsed"] = _plain(job.cost(job.candidate(recipe, rehearse=True).model))
        candidate = job.candidate(recipe)
        scores = [job.score(candidate.model, split) for split in ("validation", "test")]
        row |= {
            "key": candidate.key,
            "dropped": [dropped.component for dropped in candidate.dropped],
            "cost": _plain(job.cost(candidate.model)),
            "scores": [score.value for score in scores],
            "error": scores[0].error,
        }
    except tuple(REFUSALS) as refusal:
        row["refused"] = [type(refusal).__name__, str(refusal)]
    return row


def _plain(cost: Cost) -> dict[str, Any]:
    """A cost without its layers."""
    return {**cost.to_dict(), "layers": []}


def train(prefix: Recipe, job: Job) -> float:
    """Train the last step of a prefix, and give the seconds that took."""
    began = time.perf_counter()
    try:
        apply(prefix, job.model, job.work(), job.cache)
    except (*REFUSALS, NotApplicable):
        pass
    return time.perf_counter() - began


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def make(table: Table, folder: Path) -> None:
    """Write a table, beginning where an earlier run stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{table.name}.jsonl"
    done = lines_of(draft)
    draft.write_text("".join(json.dumps(one) + "\n" for one in done), encoding="utf-8")
    job = table.job(Cache(folder / "cache"))
    recipes = list(sequences(table.space, job.model.start))
    prefixes = {part.key: part for recipe in recipes for part in trained_parts(recipe)}
    known = {one["prefix"] for one in done if "prefix" in one}
    rows = sum("steps" in one for one in done)
    with draft.open("a", encoding="utf-8") as file:

        def keep(one: dict[str, Any]) -> None:
            file.write(json.dumps(one) + "\n")
            file.flush()

        for key, prefix in sorted(prefixes.items(), key=lambda item: len(item[1].steps)):
            if key not in known:
                keep({"prefix": key, "seconds": train(prefix, job)})
        for number, recipe in enumerate(recipes[rows:], rows):
            keep(row_of(recipe, job))
            if number % 100 == 0:
                print(f"{table.name}: {number} of {len(recipes)}", flush=True)
    found = lines_of(draft)
    seconds = {one["prefix"]: one["seconds"] for one in found if "prefix" in one}
    whole = {
        "prefixes": [
            {"steps": [step_data(step) for step in prefix.steps], "seconds": seconds[key]}
            for key, prefix in prefixes.items()
        ],
        "rows": [one for one in found if "steps" in one],
    }
    with gzip.GzipFile(table.path, "wb", mtime=0) as packed:
        packed.write(json.dumps(whole).encode())
    print(f"{table.path.name}: {len(whole['rows'])} sequences, {len(prefixes)} prefixes")


def main() -> None:
    """Make the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default=",".join(TABLES), help="names, commas between them")
    parser.add_argument("--work", type=Path, default=Path("search_tables"), help="for what is kept")
    asked = parser.parse_args()
    with silent_stderr():
        tensorflow()
    for name in asked.tables.split(","):
        make(TABLES[name], asked.work)


if __name__ == "__main__":
    main()
