"""Many workers on one study: killed, with a database that crashes, and 64 of them at once.

    python benchmarks/scale.py [--workers 64] [--rounds 12]

PostgreSQL (Debian's, from /usr/lib/postgresql) holds the study, in a folder of its own. Components
and costs are the toys of tests/, which compute nothing; what takes time is a score that sleeps,
kept in the cache as a real one is. So what is measured is what a trial takes besides its work:
drawing, claiming, telling, waiting for each other. No process imports TensorFlow.

- Chaos: a search and four workers, one of which is killed by -9 every 20 s and replaced, while the
  database crashes twice. Compared with the same search undisturbed.
- Many: a search and 63 workers, whose scores sleep 20 s, on PostgreSQL and through the proxy.

Parts may be run one by one (--part); figures are kept in the cache folder. Writes results/scale.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import optuna
import platformdirs
from optuna._hypervolume import compute_hypervolume
from optuna.trial import FrozenTrial
from sqlalchemy.pool import NullPool
from writing import row

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from test_scale import Postgres, postgres_running, postgres_tools  # noqa: E402
from test_study import TOY_EVALUATOR  # noqa: E402
from toys import scored, toy_components, toy_data, toy_model, trace_of  # noqa: E402

from autotiny.cache import Cache, key_of, remembered  # noqa: E402
from autotiny.dataset import Dataset  # noqa: E402
from autotiny.metrics import Cost  # noqa: E402
from autotiny.model import Level, Model  # noqa: E402
from autotiny.space import load_space  # noqa: E402
from autotiny.study import TrialRecord, preflight, quiet_optuna, search, work  # noqa: E402
from autotiny.study.job import made_by  # noqa: E402
from autotiny.target import Target, load_target  # noqa: E402

RESULT = ROOT / "results" / "scale.md"
KEPT = Path(platformdirs.user_cache_dir("autotiny")) / "scale.json"
STUDY = "s"
SPACE = """
title = "toys of a lowered network"
[components.int8]
[components.strip]
[components.fuse]
[components.place]
tensors = [[], [1, 2]]
[components.block]
rows = {{ low = 1, high = {rows} }}
"""
PARTS = ("quiet", "chaos", "direct", "proxied")
KILL_SECONDS = 20
CRASHES = (2, 4)
"""After so many kills the database crashes, too."""

DOWN_SECONDS = 5
SLEEP_SECONDS = 20


@dataclass
class Run:
    """One study and its processes.

    Attributes:
        folder: of what they write.
        database: where the study lies.
        url: by which processes reach it.
        seconds: that a score takes.
        trials: asked for.
        rows: of how many the space has.
        processes: all that were begun, by name.
    """

    folder: Path
    database: str
    url: str
    seconds: float
    trials: int
    rows: int
    processes: dict[str, ForkProcess] = field(default_factory=dict)

    def begin(self, name: str) -> ForkProcess:
        """Another process, "search" or a worker; it is forked, so that it need not import."""
        self.processes[name] = one = multiprocessing.get_context("fork").Process(
            target=take_part, args=(self, name)
        )
        one.start()
        return one

    def wait(self) -> None:
        """Wait for the search, and for the workers that it leaves."""
        self.processes["search"].join()
        for one in self.processes.values():
            one.join(120)
            if one.is_alive():
                one.kill()

    def found(self) -> list[tuple[FrozenTrial, TrialRecord]]:
        """The trials of the study; no connection is left open that a fork would share."""
        with quiet_optuna(), toy_components():
            storage = optuna.storages.RDBStorage(self.database, {"poolclass": NullPool})
            trials = optuna.load_study(study_name=STUDY, storage=storage).get_trials()
            return [(trial, TrialRecord.load(trial)) for trial in trials]

    def scored(self) -> Counter[str]:
        """How often each model was scored."""
        return Counter((self.folder / "scored.txt").read_text().split())


def rows_of(model: Model) -> int:
    """The rows that a toy model is blocked by; 0 where it is not."""
    found = re.search(r"rows=(\d+)", trace_of(model))
    return int(found[1]) if found else 0


def cost(model: Model, target: Target, cache: Cache) -> Cost:
    """More rows take less time and more flash."""
    trace = trace_of(model)
    cycles = int(1e6 / (1 + rows_of(model) / 100) * (0.8 if "Fuse" in trace else 1.0))
    flash = 50_000 + 10 * rows_of(model) - 500 * ("Strip" in trace)
    return Cost(
        flash_bytes=flash, weights_bytes=40_000, code_bytes=flash - 40_000, sram_bytes=1000,
        arena_bytes=900, static_bytes=50, stack_bytes=50, instructions=cycles, cycles=cycles,
        latency_ms=cycles / target.clock_hz * 1e3, energy_estimated_mj=cycles / 1e6,
    )  # fmt: skip


def accuracy(model: Model) -> float:
    """More rows cost accuracy."""
    return 0.95 - rows_of(model) / 2e4


def take_part(run: Run, name: str) -> None:
    """What a process of a run does; what it says goes to a file of its name."""
    sys.stdout = sys.stderr = (run.folder / f"{name}.txt").open("w", buffering=1)
    before = os.times()

    def slow(model: Model, data: Dataset, split: str, cache: Cache) -> float:
        def made() -> float:
            time.sleep(run.seconds)
            with (run.folder / "scored.txt").open("a") as file:
                file.write(f"{key}\n")
            return accuracy(model)

        key = key_of("slow", model.fingerprint)
        return remembered(cache, key, made) if split == "validation" else accuracy(model)

    evaluator = replace(TOY_EVALUATOR, cost=cost, score=scored(slow))
    cache = Cache(run.folder / "cache")
    space = run.folder / "toys.toml"
    space.write_text(SPACE.format(rows=run.rows))
    with toy_components(), mock.patch.object(preflight, "useless_rewrites", return_value=()):
        if name == "search":
            search(
                toy_model(Level.TFLITE), toy_data(), load_target("stm32f746"),
                out=run.folder / "out", space=load_space(str(space)), trials=run.trials,
                storage=run.url, study_name=STUDY, sampler="random", cache=cache,
                evaluator=evaluator, known_good=(), solve=0,
            )  # fmt: skip
        else:
            work(STUDY, run.url, cache=cache, evaluator=evaluator)
    after = os.times()
    cpu = after.user + after.system - before.user - before.system
    assert "tensorflow" not in sys.modules
    print(json.dumps({"cpu_seconds": cpu}))


@contextmanager
def begun(
    server: Postgres, *, seconds: float, trials: int, rows: int, url: str | None = None
) -> Iterator[Run]:
    """A study in an empty folder; nothing that was begun for it is left."""
    with TemporaryDirectory(prefix="autotiny-scale-") as folder:
        run = Run(Path(folder), server.url, url or server.url, seconds, trials, rows)
        try:
            yield run
        finally:
            for one in run.processes.values():
                one.kill()


def hypervolume(run: Run) -> float:
    """Of the front, beyond an accuracy of 0.9 and 10 ms."""
    values = [record.values for _, record in run.found() if record.outcome == "measured"]
    losses = np.array([(1 - one[0], one[1]) for one in values])
    return float(compute_hypervolume(losses, np.array([0.1, 10.0])))


def chaos(server: Postgres, *, disturbed: bool) -> dict[str, Any]:
    """A search and four workers, killed every 20 s, on a database that crashes twice."""
    chance, began = random.Random(0), time.monotonic()
    with begun(server, seconds=3, trials=150, rows=30) as run:
        search_process = run.begin("search")
        alive = [run.begin(f"worker{number}") for number in range(4)]
        kills = crashes = 0
        before: dict[int, TrialRecord] = {}
        while search_process.is_alive():
            search_process.join(KILL_SECONDS / 2)
            if disturbed and kills in CRASHES[crashes : crashes + 1]:
                server.stop("immediate")
                time.sleep(DOWN_SECONDS)
                server.start()
                crashes += 1
            search_process.join(KILL_SECONDS / 2)
            at = chance.randrange(len(alive))
            # Those that have ended have enough, while the search waits for the last trial.
            if not disturbed or not alive[at].is_alive() or not search_process.is_alive():
                continue
            for trial, record in run.found():
                if trial.state.is_finished():
                    before[trial.number] = record
            alive[at].kill()
            kills += 1
            alive[at] = run.begin(f"after{kills}")
        run.wait()
        trials = run.found()
        after = {trial.number: record for trial, record in trials}
        outcomes = Counter(
            record.recipe_key for _, record in trials if record.outcome == "measured"
        )
        for one in run.folder.glob("*.txt"):
            if "Error" in one.read_text():
                print(one.name, one.read_text(), flush=True)
        return {
            "seconds": time.monotonic() - began,
            "kills": kills,
            "crashes": crashes,
            "trials": len(trials),
            "measured": len(outcomes),
            "finished before a kill": len(before),
            "of these lost or changed": sum(after.get(n) != one for n, one in before.items()),
            "left running": sum(trial.state.name == "RUNNING" for trial, _ in trials),
            "sequences measured twice": sum(count > 1 for count in outcomes.values()),
            "models scored twice": sum(count > 1 for count in run.scored().values()),
            "ended by a fault": sum(one.exitcode not in (0, -9) for one in run.processes.values()),
            "hypervolume": hypervolume(run),
        }


def many(server: Postgres, workers: int, rounds: int, *, proxied: bool) -> dict[str, Any]:
    """A search and workers whose scores sleep: how many trials end a second, once all work."""
    port = server.port + 1
    url = f"grpc://127.0.0.1:{port}" if proxied else None
    asked = workers * rounds
    with proxy(server, port) if proxied else nullcontext() as bridge:  # noqa: SIM117
        with begun(server, seconds=SLEEP_SECONDS, trials=asked, rows=5000, url=url) as run:
            made_by()  # digests the code, once for all that are forked
            pid = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
            before = cpu_seconds(pid)
            began = time.time()
            for number in range(workers):
                run.begin(f"worker{number}" if number else "search")
            run.wait()
            seconds = time.time() - began
            of_database = cpu_seconds(pid) - before
            trials = [(trial, record) for trial, record in run.found() if record.settled]
            ends = sorted(
                one.datetime_complete.timestamp() for one, _ in trials if one.datetime_complete
            )
            texts = [(run.folder / f"{name}.txt").read_text() for name in run.processes]
            cpu = [json.loads(text.splitlines()[-1])["cpu_seconds"] for text in texts]
            # From when each has had one to when the last few have nothing left to begin.
            first, last = ends[workers], ends[-workers]
            steady = [end for end in ends if first <= end <= last]
            return {
                "workers": workers,
                "by": "the proxy" if proxied else "PostgreSQL",
                "trials": len(trials),
                "seconds": seconds,
                "a second, in all": len(trials) / seconds,
                "a second, steady": (len(steady) - 1) / (steady[-1] - steady[0]),
                "CPU seconds a trial": sum(cpu) / len(trials),
                "and in the proxy": cpu_seconds(bridge.pid) / len(trials) if bridge else 0.0,
                "and in the database": of_database / len(trials),
                "scored twice": sum(count > 1 for count in run.scored().values()),
            }


def cpu_seconds(pid: int) -> float:
    """The CPU seconds that a process has taken, and all that it has begun."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            if stat.parent.name == str(pid):
                ticks += sum(map(int, fields[11:15]))
            elif fields[1] == str(pid):
                ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def page(kept: dict[str, dict[str, Any]]) -> str:
    """The page, of the parts that there are."""
    quiet, disturbed = kept.get("quiet", {}), kept.get("chaos", {})
    many = [kept[part] for part in ("direct", "proxied") if part in kept]
    lines = [
        "# Many workers on one study",
        "",
        "Made by `python benchmarks/scale.py`, which says what stands for a network and training.",
        "",
        f"## Chaos: 4 workers and a search, one worker killed by -9 every {KILL_SECONDS} s",
        "",
        row("", "undisturbed", "killed, and the database crashed"),
        row("---", "---:", "---:"),
        *(row(name, shown(quiet.get(name)), shown(disturbed.get(name))) for name in disturbed),
        "",
    ]
    if quiet and disturbed:
        share = disturbed["hypervolume"] / quiet["hypervolume"] - 1
        lines += [f"The front's hypervolume differs by {share:+.4%}.", ""]
    lines += [
        f"## {many[0]['workers'] if many else 0} workers, each trial a sleep of {SLEEP_SECONDS} s",
        "",
        "The ideal is workers / sleep, asked for are 80 % of it. Processes are forked from one",
        "that has imported autotiny, so that starting them is no part of it. Steady: from when as",
        "many trials have ended as there are workers to when as many are left. Load: of the 2",
        "cores, by this and by others that ran on them meanwhile.",
        "",
        row("", *(facts["by"] for facts in many)),
        row("---", *("---:" for _ in many)),
        *(row(name, *(shown(facts.get(name)) for facts in many)) for name in (many or [{}])[-1]
          if name != "by"),
        "",
        *(f"By {facts['by']}: {reached(facts):.0%} of the ideal." for facts in many),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def reached(facts: dict[str, Any]) -> float:
    """The share of what workers reach that do nothing but sleep."""
    return float(facts["a second, steady"] * SLEEP_SECONDS / facts["workers"])


def shown(value: object) -> str:
    """A figure."""
    if value is None:
        return ""
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


@contextmanager
def proxy(server: Postgres, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A proxy before the database."""
    process = subprocess.Popen(
        [sys.executable, "-m", "autotiny", "proxy", "--storage", server.url, "--port", str(port)],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Run what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=8, help="trials for each worker")
    parser.add_argument("--part", choices=PARTS, action="append", help="and nothing else")
    asked = parser.parse_args()
    tools = postgres_tools()
    if tools is None:
        sys.exit("needs PostgreSQL, e.g. apt install postgresql")
    parts: dict[str, Callable[[Postgres], dict[str, Any]]] = {
        "quiet": lambda server: chaos(server, disturbed=False),
        "chaos": lambda server: chaos(server, disturbed=True),
        "direct": lambda server: many(server, asked.workers, asked.rounds, proxied=False),
        "proxied": lambda server: many(server, asked.workers, asked.rounds, proxied=True),
    }
    for part in asked.part or PARTS:
        load = os.getloadavg()[0]
        with postgres_running(tools, "max_connections=400") as server:
            facts = parts[part](server)
        facts["load before"], facts["load after"] = load, os.getloadavg()[0]
        print(part, json.dumps(facts), flush=True)
        kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        KEPT.write_text(json.dumps({**kept, part: facts}))
    RESULT.write_text(page(json.loads(KEPT.read_text())))


if __name__ == "__main__":
    main()
