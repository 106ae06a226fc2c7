"""Kill a search at random moments, starve it, and see that it ends as one that ran through.

    python benchmarks/kills.py [--kills 60] [--disks 20] [--caches 8] [--closed 4] [--part 1/2]

A small search (a dense network in an `.h5` file, 300 samples, pruning, int8, float32 and fusing,
six trials) runs through once, with an empty cache. Then, each time with an empty cache and folder:

- it is killed at a random moment by -9, -TERM or -INT, and continued;
- it finds the disk full, at sizes between nothing and what it needs, and is continued with more;
- its cache is removed while it runs;
- its folder becomes read-only while it runs, and is continued when that is over.

Every run must end with the trials, recipes, figures and bytes of the one that ran through, without
a trial left running, half an entry in the cache, a lock, or a traceback. What had finished before
the kill must be in the end what it was. Disks need a namespace to mount them in: Linux, `unshare`.
Rows are kept in a cache folder, so that an interrupted run goes on, and parts may run at once.
Writes results/kills.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
import platformdirs
from writing import row

from autotiny.cache import intact
from autotiny.study import TrialRecord, sqlite_url
from autotiny.study.record import FINISHED

RESULT = Path(__file__).parent.parent / "results" / "kills.md"
KEPT = Path(platformdirs.user_cache_dir("autotiny")) / "kills.jsonl"
SPACE = """
first = [[{ component = "int8", calibration = 10 }, { component = "fuse_operators" }]]
[components.float32]
[components.int8]
calibration = [10, 20]
[components.prune_magnitude]
sparsity = { low = 0.4, high = 0.8, step = 0.2 }
[components.fuse_operators]
"""
SEARCH = (
    "-m", "autotiny", "search", "-t", "stm32f746", "-m", "net.h5", "-d", "few.npz", "--space",
    "space.toml", "--trials", "6", "--epochs", "1", "--seed", "3", "--out", "disk/out",
)  # fmt: skip
ALONE = ("unshare", "-rm")


@dataclass(frozen=True)
class Case:
    """One search to be hindered.

    Attributes:
        kind: how.
        number: tells it from others of its kind, and seeds its moment.
    """

    kind: str
    number: int

    @property
    def share(self) -> float:
        """When, as a share of the time that the whole takes."""
        return random.Random(f"{self.kind} {self.number}").random()


@dataclass
class Found:
    """What came of a case: how far the search was, and what was wrong."""

    phase: str = ""
    wrong: list[str] = field(default_factory=list)


def prepare(folder: Path) -> None:
    """The network, the samples and the space."""
    from autotiny.model import keras

    k = keras()
    k.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 12)).astype(np.float32)
    y = (x[:, :3].argmax(axis=1)).astype(np.int64)
    layers = k.layers
    network = k.Sequential(
        [layers.InputLayer((12,)), layers.Dense(16, "relu"), layers.Dense(3, "softmax")]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(x, y, epochs=20, verbose=0)
    network.save(folder / "net.h5")
    np.savez(folder / "few.npz", x=x, y=y)
    (folder / "space.toml").write_text(SPACE)


def fresh(made: Path, folder: Path) -> Path:
    """A folder with the inputs alone."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder)
    (folder / "disk").mkdir()
    return folder


def command(folder: Path, *before: str, shell: str = "") -> subprocess.Popen[str]:
    """The search, begun in a folder, with its cache in `disk/` there."""
    search = [sys.executable, *SEARCH]
    if shell:
        search = [*before, "sh", "-c", shell.replace("SEARCH", " ".join(search))]
    return subprocess.Popen(
        search, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"XDG_CACHE_HOME": str(folder / "disk" / "cache")},
    )  # fmt: skip


def trials_of(out: Path) -> list[tuple[object, ...]]:
    """What a study holds, trial by trial."""
    if not (out / "study.db").is_file():
        return []
    storage = optuna.storages.RDBStorage(sqlite_url(out / "study.db"))
    found: list[tuple[object, ...]] = []
    for name in optuna.get_all_study_names(storage):
        for trial in optuna.load_study(study_name=name, storage=storage).trials:
            record = TrialRecord.load(trial)
            facts = (record.sequence, record.outcome, record.repeats, tuple(trial.values or ()))
            found.append((trial.number, trial.state.name, *facts))
    storage.engine.dispose()
    return found


def files_of(out: Path) -> dict[str, str]:
    """The files a search leaves, without what tells the time or how often the cache answered."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_dir() or name in ("study.db", "report.md"):
            continue
        text = path.read_bytes().hex()
        if name == "pareto.json":
            facts = json.loads(path.read_text())
            text = json.dumps({k: v for k, v in facts.items() if k not in ("seconds", "cache")})
        found[name] = text
    return found


def differences(folder: Path, whole: dict[str, Any], before: list[tuple[object, ...]]) -> list[str]:
    """What is not as it is after the run that went through."""
    out, cache = folder / "disk" / "out", folder / "disk" / "cache"
    trials, files = trials_of(out), files_of(out)
    finished = {state.name for state in FINISHED}
    wrong = [
        f"trial {a[0]}: {a[1:]} instead of {b[1:]}"
        for a, b in zip(trials, whole["trials"], strict=False) if a != b
    ]  # fmt: skip
    if len(trials) != len(whole["trials"]):
        wrong.append(f"{len(trials)} trials instead of {len(whole['trials'])}")
    wrong += [
        f"trial {one[0]} was lost" for one in before if one[1] in finished and one not in trials
    ]
    names = files.keys() | whole["files"].keys()
    wrong += [f"{name} differs" for name in names if files.get(name) != whole["files"].get(name)]
    wrong += [
        f"half an entry {entry.name}" for entry in cache.glob("autotiny/??/*") if not intact(entry)
    ]
    wrong += [f"{path.name} is left" for path in out.glob(".*")]
    return wrong


def ended(process: subprocess.Popen[str], found: Found, *codes: int) -> str:
    """What a process said; how it ended is wrong if it is none of some codes."""
    try:
        _, stderr = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        process.kill()
        found.wrong.append("hung")
        return ""
    if process.returncode not in codes:
        last = stderr.strip().splitlines()[-1:]
        found.wrong.append(f"code {process.returncode}, {last}")
    if "Traceback" in stderr:
        found.wrong.append(f"traceback, {stderr.strip().splitlines()[-1]}")
    return stderr


def phase_of(said: str) -> str:
    """How far a search came, by its last line."""
    words = [line.split(" ")[0] for line in said.splitlines()]
    if "writing" in words and "interrupted" not in said:
        return "writing"
    if any(word.startswith("[") for word in words):
        return "trials"
    return "searching" if "searching" in words else "loading" if "loading" in words else "start"


def left_processes(folder: Path) -> list[str]:
    """What still works in a folder after the time that a compiler may take to end."""
    left = []
    for _ in range(20):
        left = [
            path.read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if works_in(path.parent, folder)
        ]
        if not left:
            break
        time.sleep(0.5)
    return left


def works_in(process: Path, folder: Path) -> bool:
    """Whether a process has a folder, or one in it, as its own."""
    try:
        return (process / "cwd").readlink().is_relative_to(folder)
    except OSError:  # it has ended, or is another user's
        return False


def kill(made: Path, whole: dict[str, Any], case: Case, found: Found) -> None:
    """Kill one at a moment, and continue it."""
    folder = fresh(made, made.parent / "killed")
    number = signal.Signals[case.kind]
    process = command(folder)
    time.sleep(case.share * whole["seconds"])
    process.send_signal(number)
    found.phase = phase_of(ended(process, found, 0, 130, -number))
    left = left_processes(folder)
    if left:
        found.wrong.append(f"left processes {left}")
    before = trials_of(folder / "disk" / "out")
    ended(command(folder), found, 0)
    found.wrong += differences(folder, whole, before)


def fill(made: Path, whole: dict[str, Any], case: Case, found: Found) -> None:
    """Give one a disk of some size, and then enough."""
    folder = fresh(made, made.parent / "full")
    size = int(whole["bytes"] * (case.number + 0.5) / 20)
    shell = (
        f"mount -t tmpfs -o size={size} tmpfs disk && SEARCH; code=$?; "
        "mount -o remount,size=4g disk && SEARCH && cp -a disk kept && exit $code"
    )
    said = ended(command(folder, *ALONE, shell=shell), found, 0, 1, 2)
    errors = [line for line in said.splitlines() if line.startswith("error")]
    if errors and "full" not in said:
        found.wrong.append(f"{errors}")
    found.phase = "disk full" if errors else "disk large enough"
    shutil.rmtree(folder / "disk")
    (folder / "kept").rename(folder / "disk")
    found.wrong += differences(folder, whole, [])


def remove_cache(made: Path, whole: dict[str, Any], case: Case, found: Found) -> None:
    """Remove the cache of one while it runs."""
    folder = fresh(made, made.parent / "removed")
    process = command(folder)
    time.sleep(case.share * whole["seconds"])
    shutil.rmtree(folder / "disk" / "cache", ignore_errors=True)
    ended(process, found, 0)
    found.wrong += differences(folder, whole, [])


def close(made: Path, whole: dict[str, Any], case: Case, found: Found) -> None:
    """Make the folder of one read-only while it runs, and continue it when that is over."""
    folder = fresh(made, made.parent / "closed")
    (folder / "disk" / "out").mkdir()
    shell = (
        "mount --bind disk/out disk/out && (SEARCH & pid=$!; "
        f"sleep {case.share * whole['seconds']:.2f}; mount -o remount,ro,bind disk/out; "
        "wait $pid); code=$?; mount -o remount,rw,bind disk/out; SEARCH && exit $code"
    )
    ended(command(folder, *ALONE, shell=shell), found, 0, 1, 2)
    found.wrong += differences(folder, whole, [])


DEEDS = {
    "SIGKILL": kill, "SIGTERM": kill, "SIGINT": kill, "full disk": fill,
    "cache removed": remove_cache, "folder read-only": close,
}  # fmt: skip


def cases(kills: int, disks: int, caches: int, closed: int) -> list[Case]:
    """What is to be done, in an order that mixes the kinds."""
    signals = ("SIGKILL", "SIGTERM", "SIGINT")
    found = [Case(signals[number % 3], number) for number in range(kills)]
    found += [Case("full disk", number) for number in range(disks)]
    found += [Case("cache removed", number) for number in range(caches)]
    found += [Case("folder read-only", number) for number in range(closed)]
    return sorted(found, key=lambda case: case.share)


def read() -> list[dict[str, Any]]:
    """The rows so far."""
    return [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []


def page(rows: list[dict[str, Any]]) -> str:
    """The page of results."""
    kinds = Counter(str(one["kind"]) for one in rows)
    phases = Counter(str(one["phase"]) for one in rows if one["phase"])
    wrong = [f"{one['kind']} {one['number']}: {text}" for one in rows for text in one["wrong"]]
    lines = [
        "# Searches that were killed and starved",
        "",
        "`python benchmarks/kills.py`",
        "",
        "A small search with an empty cache, hindered at a random moment and continued, beside one "
        f"that ran through: {len(rows)} times.",
        "",
        row("what", "runs"),
        "|---|---|",
        *(row(name, kinds[name]) for name in DEEDS if kinds[name]),
        "",
        f"Met while: {', '.join(f'{name} {count}' for name, count in sorted(phases.items()))}.",
        "",
        "Finished trials lost, trials left running, half entries in the cache, locks or processes "
        "left, tracebacks, other trials, recipes, figures or bytes than those of the whole: "
        f"{len(wrong)}.",
        *(f"- {fault}" for fault in wrong),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write results/kills.md."""
    parser = argparse.ArgumentParser()
    for name, count in (("kills", 60), ("disks", 20), ("caches", 8), ("closed", 4)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--part", default="1/1", help="of how many that run at once, e.g. 1/2")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # What a shell runs in the background ignores Ctrl-C, and so would the searches it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    part, parts = map(int, arguments.part.split("/"))
    asked = cases(arguments.kills, arguments.disks, arguments.caches, arguments.closed)
    spaces = (
        shutil.which("unshare") and not subprocess.run([*ALONE, "true"], check=False).returncode
    )
    done = {(one["kind"], one["number"]) for one in read()}
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as root:
        made = Path(root) / "made"
        made.mkdir()
        prepare(made)
        folder, first = fresh(made, Path(root) / "whole"), Found()
        began = time.monotonic()
        ended(command(folder), first, 0)
        out = folder / "disk" / "out"
        whole: dict[str, Any] = {
            "seconds": time.monotonic() - began,
            "trials": trials_of(out),
            "files": files_of(out),
            "bytes": sum(p.stat().st_size for p in (folder / "disk").rglob("*") if p.is_file()),
        }
        print(f"the whole: {whole['seconds']:.1f} s, {len(whole['files'])} files", flush=True)
        assert not first.wrong, first.wrong
        for case in asked[part - 1 :: parts]:
            mounts = DEEDS[case.kind] in (fill, close)
            if (case.kind, case.number) in done or (mounts and not spaces):
                continue
            found = Found()
            DEEDS[case.kind](made, whole, case, found)
            entry = {"kind": case.kind, "number": case.number, **asdict(found)}
            with KEPT.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            print(f"{case.kind} at {case.share:.2f} ({found.phase}): {found.wrong}", flush=True)
    RESULT.write_text(page(read()))


if __name__ == "__main__":
    main()
