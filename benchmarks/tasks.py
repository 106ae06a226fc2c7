"""One search for each kind of task, from a cold cache, and its best recipe applied again.

    python benchmarks/tasks.py [--only sine] [--note "beside the tests"]

The data sets and networks are those of `task_cases.py`. Each search is the command in the page,
with an empty cache and a process of its own; then its best recipe is applied, with another empty
cache, and must give every figure and byte again. Writes results/tasks.md; with --only prints rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from task_cases import CASES, Case
from writing import row

from autotiny.tasks import shown_metric

RESULT = Path(__file__).parent.parent / "results" / "tasks.md"
TARGET = "stm32f746"


@dataclass(frozen=True)
class Found:
    """What came of a case.

    Attributes:
        case: the search.
        command: as a user would give it.
        minutes: that it took.
        facts: what `search --json` printed.
        same: whether the best recipe, applied with an empty cache, gave every figure and byte.
    """

    case: Case
    command: str
    minutes: float
    facts: dict[str, Any]
    same: bool


def searched(case: Case, folder: Path) -> Found:
    """Run a case in a folder of its own."""
    source = case.data(folder).name
    asked = ("-m", f"task_cases:{case.model}", "-d", source, *case.options)
    given = ("search", "-t", TARGET, *asked, "--trials", str(case.trials), "--out", "out")
    began = time.monotonic()
    done = run((*given, "--json"), folder, "cache")
    if done.returncode:
        raise SystemExit(f"{case.name}: {done.stderr[-2000:]}")
    minutes = (time.monotonic() - began) / 60
    facts = json.loads(done.stdout)
    applied = run(("apply", "out/best.json", "--json"), folder, "another")
    return Found(case, f"autotiny {' '.join(given)}", minutes, facts, applied.returncode == 0)


def run(given: tuple[str, ...], folder: Path, cache: str) -> subprocess.CompletedProcess[str]:
    """A command of autotiny, with a cache of its own."""
    home = Path(__file__).parent
    paths = [str(home), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(folder / cache),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    command = [sys.executable, "-m", "autotiny", *given]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def line(found: Found) -> str:
    """A line of the table: the original, and the best point within the budget."""
    facts = found.facts
    metric = shown_metric(facts["metric"])
    assert metric is not None
    best = next(point for point in facts["front"] if point["trial"] == facts["best"]["trial"])
    original = facts["baseline"]
    scores = [metric.text(point[f"{facts['metric']}_test"]) for point in (original, best)]
    return row(
        found.case.name, facts["task"], metric.title, found.case.origin, str(len(facts["front"])),
        *scores, f"{original['flash_bytes']:,} → {best['flash_bytes']:,}",
        f"{original['latency_ms']:.3g} → {best['latency_ms']:.3g}", best["sequence"],
        f"{found.minutes:.1f}", "yes" if found.same else "NO",
    )  # fmt: skip


def main() -> None:
    """Write results/tasks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--note", default="", help="what else the machine did, for the page")
    arguments = parser.parse_args()
    found = []
    for case in CASES:
        if arguments.only in case.name:
            with TemporaryDirectory(prefix="autotiny-") as place:
                found.append(searched(case, Path(place)))
            print(line(found[-1]), flush=True)
    if arguments.only:
        return
    head = row(
        "search", "task", "scored by", "data", "points of the front", "original, test",
        "best, test", "flash, bytes", "ms", "best for latency within the budget", "minutes",
        "applied again: the same",
    )  # fmt: skip
    commands = "\n".join(f"- {one.case.name}: `{one.command}`" for one in found)
    RESULT.write_text(
        f"""# Tasks

`python benchmarks/tasks.py`

Each row is a search on {TARGET} from an empty cache, on at most 2,000 samples (windows of motion:
900). Networks come untrained and are trained first. The front is the original and what beats it in
score or latency; "best" loses no more on validation than 1 % of a score in percent, or 5 % of an
error. Scores are of the test split, which no search sees. "Applied again" replays the best recipe
from its bundle with another empty cache and compares every figure and byte. {arguments.note}

{head}
{"|---" * (head.count(" | ") + 1)}|
{chr(10).join(map(line, found))}

The commands, with `PYTHONPATH=benchmarks`, where `benchmarks/task_cases.py` wrote the data:

{commands}
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
