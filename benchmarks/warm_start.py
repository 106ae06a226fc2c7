"""A second target: what a search takes and finds that knows the scores of the first one.

    python benchmarks/warm_start.py [--targets stm32l4r5 rp2040]

cnn1 and digits, the default search but for the trainings with other seeds at its end, which add
nothing to what is compared: for the first target from an empty cache; then for each other
one with `--warm-start` and the first one's cache, and once more from an empty cache, without. Each
search is a process of its own; its seconds are those of the clock, and those that its processes
computed, which other work on the machine does not change. What it found is the hypervolume of the
score as it is and the logarithm of the latency; the reference point is what the original takes, and
a score by chance. A search that was interrupted begins anew. Writes results/warm_start.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import optuna
import platformdirs
from optuna._hypervolume import compute_hypervolume
from writing import row

from autotiny.dataset import load_dataset
from autotiny.study import TrialRecord, measured, open_storage, sqlite_url
from autotiny.study.evidence import trained_parts
from autotiny.study.observed import is_everywhere
from autotiny.study.record import known
from autotiny.study.surrogate import scored_part

RESULT = Path(__file__).parent.parent / "results" / "warm_start.md"
KEPT = Path(platformdirs.user_cache_dir("autotiny")) / "warm_start"
FIRST = "stm32f746"
DATA = "digits"


@dataclass(frozen=True)
class Run:
    """A search that came to its end.

    Attributes:
        name: of its folder.
        seconds: by the clock.
        computed: seconds that its processes computed.
    """

    name: str
    seconds: float
    computed: float

    @property
    def study(self) -> optuna.Study:
        """What it left."""
        return study_in(KEPT / self.name / "out")


def study_in(folder: Path) -> optuna.Study:
    """The study of a folder."""
    storage = open_storage(sqlite_url(folder / "study.db"))
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def searched(name: str, target: str, first: Run | None = None) -> Run:
    """A search for a target, with what the first one found or with nothing."""
    folder = KEPT / name
    if (folder / "run.json").exists():
        return Run(**json.loads((folder / "run.json").read_text()))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arguments = ["-t", target, "-d", DATA, "--out", folder / "out", "--cache", folder / "cache"]
    arguments += ["--seeds", 1, "--solve", 0]
    if first:
        shutil.copytree(KEPT / first.name / "cache", folder / "cache")
        arguments += ["--warm-start", KEPT / first.name / "out"]
    began, before = time.monotonic(), computed()
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "autotiny", "search", *map(str, arguments)]
        subprocess.run(command, check=True, stdout=log, stderr=log, env=os.environ)
    run = Run(name, time.monotonic() - began, computed() - before)
    (folder / "run.json").write_text(json.dumps(asdict(run)))
    return run


def computed() -> float:
    """Seconds that the processes which have ended computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def volume(study: optuna.Study, chance: float) -> float:
    """The hypervolume of what a study found."""
    found = [record.values for record in measured(study)]
    points = np.array([(-score, np.log(latency)) for score, latency in found])
    reference = np.array([-chance, points[0, 1]])  # the first is the original
    points = points[(points < reference).all(axis=1)]
    return float(compute_hypervolume(points, reference)) if len(points) else 0.0


def trainings(study: optuna.Study) -> set[tuple[str, ...]]:
    """The prefixes that a study had to have trained."""
    done = [one for one in known(study) if one.outcome in ("measured", "failed")]
    return {part for one in done for part in trained_parts(one.drawn or one.recipe)}


def scores(study: optuna.Study, *, everywhere: bool) -> dict[str, float]:
    """The score of each sequence without its schedule."""
    return {
        scored_part(one.recipe).key: one.values[0]
        for one in measured(study)
        if one.recipe and is_everywhere(one.recipe) == everywhere
    }


def lines(first: Run, pairs: Sequence[tuple[str, Run, Run]], chance: float) -> Iterator[str]:
    """The page."""
    yield "# A second target\n"
    yield "`python benchmarks/warm_start.py`\n"
    yield (
        f"cnn1 and {DATA}, the default search (latency, `--seeds 1`): first for {FIRST}; then for "
        "others with `--warm-start`, and from nothing. Seconds by the clock, and those computed "
        "(other work ran on the machine); *hypervolume* of score and logarithm of latency below "
        "the original's and above chance.\n"
    )
    yield row("target", "begins with", "s", "s computed", "trials", "trained", "hypervolume", "")
    yield "|---|---|---|---|---|---|---|---|"
    yield _row(FIRST, "nothing", first, first, set(), volume(first.study, chance), "")
    for target, warm, cold in pairs:
        whole = volume(cold.study, chance)
        yield _row(target, "nothing", cold, first, set(), whole, "")
        mine = volume(warm.study, chance)
        share = f"{mine / whole - 1:+.2%}"
        yield _row(target, FIRST, warm, first, trainings(first.study), mine, share)
    yield ""
    yield from _agreeing([first, *(cold for _, _, cold in pairs)])
    yield (
        "A search with a warm start looks for little that the first one did not train. Where the "
        "search from nothing came upon a network that the first one never met, its hypervolume is "
        "larger by that: most of it lies at low latencies and scores far below the budget. One "
        "seed, and the share of the work that is enough was chosen on these very searches."
    )


def _row(
    target: str, begins: str, run: Run, first: Run, trained: set[tuple[str, ...]], found: float,
    share: str,
) -> str:  # fmt: skip
    shares = ("", "")
    if begins != "nothing":
        shares = (
            f" ({run.seconds / first.seconds:.0%})",
            f" ({run.computed / first.computed:.0%})",
        )
    study = run.study
    tried = sum(TrialRecord.load(trial).outcome != "repeated" for trial in study.trials)
    return row(
        target, begins, f"{run.seconds:.0f}{shares[0]}", f"{run.computed:.0f}{shares[1]}",
        str(tried), str(len(trainings(study) - trained)), f"{found:.4f}", share,
    )  # fmt: skip


def _agreeing(runs: Sequence[Run]) -> Iterator[str]:
    """Whether searches for different targets, each from nothing, found the same scores."""
    for everywhere, which in ((True, "ask the target nothing"), (False, "replace what is faster")):
        found = [scores(run.study, everywhere=everywhere) for run in runs]
        both = [
            (one[key], other[key])
            for one, other in combinations(found, 2)
            for key in one.keys() & other.keys()
        ]
        equal = sum(one == other for one, other in both)
        yield (
            f"Sequences of components that {which}, met by two of the searches from nothing: "
            f"{len(both)}, of equal scores {equal}.\n"
        )


def main() -> None:
    """Search, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", nargs="+", default=["stm32l4r5", "rp2040"])
    targets = parser.parse_args().targets
    chance = load_dataset(DATA, 0).chance
    assert chance is not None
    first = searched("first", FIRST)
    pairs = [
        (target, searched(f"warm-{target}", target, first), searched(f"cold-{target}", target))
        for target in targets
    ]
    RESULT.write_text("\n".join(lines(first, pairs, chance.value)).rstrip() + "\n")


if __name__ == "__main__":
    main()
