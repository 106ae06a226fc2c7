"""Mutate model files, and see that none runs code, writes a file, hangs, or takes the memory.

    python benchmarks/fuzz_models.py COUNT [--seed 0] [--build 1000] [--first 0]

Makes .h5, .keras and SavedModels of Keras 2 and Keras 3, spoils each of COUNT copies (names of
classes, functions, modules and ops; arguments; sizes; bytes), and passes it through the allow-list.
Those that pass, at most `--build`, are loaded in a child process that watches what Python opens and
starts, and whose time and memory are read: what autotiny does in its worker, and then what it does
with the result. Writes results/fuzz_models.md.
"""

from __future__ import annotations

import argparse
import resource
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from model_mutations import Mutations
from writing import row

from autotiny.errors import InvalidModel
from autotiny.model.allowed import clean_h5, clean_keras, clean_saved_model

RESULT = Path(__file__).parent.parent / "results" / "fuzz_models.md"
LONGEST = 30.0
"""Seconds for one file."""
LARGEST = 1500 << 20
"""Bytes of memory at the peak."""


def passes(path: Path, folder: Path) -> bool:
    """Whether the allow-list lets a file through."""
    try:
        if path.is_dir():
            clean_saved_model(path, folder)
        elif path.suffix == ".h5" or path.read_bytes().startswith(b"\x89HDF"):
            clean_h5(path, folder)
        else:
            clean_keras(path, folder)
    except InvalidModel as refusal:
        if "\n" in str(refusal):
            raise AssertionError(f"{path.name}: more than a line: {refusal}") from refusal
        return False
    return True


CHILD = """
import sys, tempfile
opened = []
def watch(event, arguments):
    if event == "open" and set(str(arguments[1])) & set("wax+") and arguments[1]:
        if not str(arguments[0]).startswith((tempfile.gettempdir(), "/dev/", "/proc/")):
            opened.append(str(arguments[0]))
    if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect"):
        opened.append(f"{event} {arguments}"[:200])
from pathlib import Path
from autotiny.errors import UserError
from autotiny.model import keras
from autotiny.model.loading import read_into
from autotiny.model.received import received
keras(); import keras as k3, tensorflow_model_optimization, h5py
sys.addaudithook(watch)
print("ready", flush=True)
for line in sys.stdin:
    open("/proc/self/clear_refs", "w").write("5")
    opened.clear()
    said = "loaded"
    try:
        with tempfile.TemporaryDirectory() as folder:
            read_into(line.strip(), folder)
            received(Path(folder), line.strip())
    except UserError as refusal:
        said = "two lines" if chr(10) in str(refusal) else "refused"
    except BaseException as fault:
        said = f"{type(fault).__name__}: {str(fault)[:150]!r}"
    peak = next(l.split()[1] for l in open("/proc/self/status") if l.startswith("VmHWM"))
    answer = (said, str(int(peak) * 1024), " ".join(opened))
    print(chr(9).join(answer).replace(chr(10), " "), flush=True)
    keras().backend.clear_session()
"""


class Child:
    """A process that loads models, started anew when it ends or hangs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def load(self, path: Path) -> tuple[str, float, int, str]:
        """What came of a file: words, seconds, bytes at the peak, what was opened or started."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CHILD], cwd=self.folder, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self.line(300)
        begun = time.monotonic()
        assert self.process.stdin is not None
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        said = self.line(LONGEST)
        seconds = time.monotonic() - begun
        if said.count("\t") != 2:
            return (said or ("hang" if seconds >= LONGEST else "crash")), seconds, 0, ""
        words, peak, opened = said.split("\t")
        return words, seconds, int(peak), opened

    def line(self, limit: float) -> str:
        """The next line of the process; none if it hangs or ended, and then it is gone."""
        assert self.process is not None
        assert self.process.stdout is not None
        if select.select([self.process.stdout], [], [], limit)[0]:
            said = self.process.stdout.readline().rstrip("\n")
            if said:
                return said
        self.process.kill()
        self.process.wait()
        self.process = None
        return ""


@dataclass
class Counts:
    """What came of the files."""

    checked: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0

    def fault(self, text: str) -> None:
        """Notes what must not be, at once."""
        self.faults.append(text[:300])
        print(text[:300], flush=True)


def try_file(path: Path, counts: Counts, child: Child, build: int) -> None:
    """Checks one file, and builds it if it passes and fewer than `build` were built."""
    kind = path.suffix or "SavedModel"
    counts.checked[kind] += 1
    begun = time.monotonic()
    try:
        with TemporaryDirectory() as clean:
            through = passes(path, Path(clean))
    except Exception as fault:
        counts.fault(f"{path.name}: {type(fault).__name__} in the allow-list: {fault}")
        through = False
    counts.slowest = max(counts.slowest, time.monotonic() - begun)
    if not through:
        return
    counts.passed[kind] += 1
    if sum(counts.ended.values()) >= build:
        return
    words, seconds, peak, opened = child.load(path)
    if words == "hang":
        # A machine that is busy with other things may keep a process waiting: once more.
        words, seconds, peak, opened = child.load(path)
    good = words in ("loaded", "refused")
    counts.ended[words if good else "fault"] += 1
    counts.slowest, counts.largest = max(counts.slowest, seconds), max(counts.largest, peak)
    if not good or opened or peak > LARGEST:
        counts.fault(f"{path.name}: {words}, {seconds:.1f} s, {peak:,} bytes, {opened}")


def page(counts: Counts, command: str) -> str:
    """The page of results."""
    ended = counts.ended
    lines = [
        "# Model files that were spoiled",
        "",
        f"`{command}`",
        "",
        row("file", "spoiled", "passed the allow-list"),
        "|---|---|---|",
        *(
            row(kind, f"{counts.checked[kind]:,}", f"{counts.passed[kind]:,}")
            for kind in sorted(counts.checked)
        ),
        "",
        f"Of those that passed, {sum(ended.values()):,} were built in a process of their own: "
        f"{ended['loaded']:,} loaded, {ended['refused']:,} were refused on one line, "
        f"{ended['fault']:,} ended otherwise.",
        f"Longest: {counts.slowest:.1f} s. Most memory: {counts.largest / (1 << 20):,.0f} MB.",
        "",
        "Code run, files written elsewhere, tracebacks, crashes, "
        f"hangs over {LONGEST:.0f} s, more than {LARGEST >> 20:,} MB: {len(counts.faults)}.",
        *(f"- {fault}" for fault in counts.faults),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write results/fuzz_models.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--build", type=int, default=1000)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    counts = Counts()
    with TemporaryDirectory() as root:
        folder = Path(root)
        for name in ("seeds", "work", "here"):
            (folder / name).mkdir()
        here = folder / "here"
        mutations = Mutations(folder / "seeds", here / "ran", arguments.seed)
        child = Child(here)
        for number in range(arguments.first, arguments.first + arguments.count):
            path = mutations.make(number, folder / "work")
            try_file(path, counts, child, arguments.build)
            for left in here.iterdir():
                counts.fault(f"{path.name}: wrote {left.name}")
                left.unlink()
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    text = page(counts, f"python benchmarks/fuzz_models.py {arguments.count}")
    RESULT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
