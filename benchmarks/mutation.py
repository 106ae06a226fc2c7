"""Change the code in small ways, one at a time, and see that a test fails.

    python benchmarks/mutation.py map            # once: which tests run which line (20 minutes)
    python benchmarks/mutation.py map --tests tests/test_new.py ...        # and those of new tests
    python benchmarks/mutation.py named          # hand-made mutants that once survived
    python benchmarks/mutation.py sample [--count 600] [--seed 0] [--part 1/2]
    python benchmarks/mutation.py control        # the tests that failed, on unchanged code
    python benchmarks/mutation.py page           # results/mutation.md, of the rows so far

A mutant is one small change to one file: a comparison, an arithmetic operator, a constant, a
condition turned round, a statement left out. Each runs the tests that run its line, quickest
first, until one fails. Tools for that exist, but they start a new process for each test run, and
each would import TensorFlow; here a process that has imported it forks. Rows are kept in a cache
folder and outlive an interruption: the same command goes on, and parts may run at once. A mutant
whose test fails on unchanged code too is not counted. Needs coverage and pytest-cov.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import pkgutil
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import platformdirs
from writing import row

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "results" / "mutation.md"
KEPT = Path(platformdirs.user_cache_dir("autotiny")) / "mutation"
SUBJECTS = (
    "study", "recipe.py", "space.py", "evaluate", "metrics.py", "cache.py", "engine", "tflite",
    "simulator/cycles.py", "simulator/memory.py", "cores",
)  # fmt: skip
LEAST = 8
"""Mutants of a file, if it has so many places."""
SECONDS = 90.0
"""Of known test time that a mutant may take; what it would take beyond is left out."""
TESTS = 120
"""Tests that a mutant is given at most."""


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        file: seen from the package.
        line: where it is.
        start: the first byte that is replaced.
        end: the byte after the last.
        text: what stands there instead.
        kind: of the change.
    """

    file: str
    line: int
    start: int
    end: int
    text: str
    kind: str

    @property
    def key(self) -> str:
        """What tells it apart."""
        return f"{self.file}:{self.start}:{self.end}:{self.text}"


COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
COMPUTED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult, ast.Mod: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Pow: ast.Mult,
}  # fmt: skip
CALLED = {"all": "any", "any": "all", "min": "max", "max": "min", "sorted": "list", "abs": "+"}


class _Finder(ast.NodeVisitor):
    """Collects the places of a file where something can be changed."""

    def __init__(self, file: str, source: str) -> None:
        self.file, self.source, self.found = file, source, list[Mutant]()
        self.starts = [0]
        for line in source.encode().splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def add(self, node: ast.expr | ast.stmt, text: str, kind: str) -> None:
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[node.end_lineno - 1] + node.end_col_offset
        self.found.append(Mutant(self.file, node.lineno, start, end, text, kind))

    def visit_Compare(self, node: ast.Compare) -> None:
        other = COMPARED[type(node.ops[0])]()
        changed = ast.Compare(node.left, [other, *node.ops[1:]], node.comparators)
        self.add(node, f"({ast.unparse(changed)})", "comparison")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = (ast.JoinedStr, ast.Constant)
        is_text = any(
            isinstance(side, texts) and not isinstance(getattr(side, "value", None), (int, float))
            for side in (node.left, node.right)
        )
        if type(node.op) in COMPUTED and not is_text:
            changed = ast.BinOp(node.left, COMPUTED[type(node.op)](), node.right)
            self.add(node, f"({ast.unparse(changed)})", "arithmetic")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.add(node, f"({ast.unparse(ast.BoolOp(other, node.values))})", "and/or")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.Not, ast.USub)):
            self.add(node, f"({ast.unparse(node.operand)})", "not")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add(node, str(not node.value), "constant")
        elif isinstance(node.value, int):
            self.add(node, str(node.value + 1), "constant")
        elif isinstance(node.value, float):
            self.add(node, repr(node.value * 2 or 1.0), "constant")

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in CALLED:
            self.add(node.func, CALLED[node.func.id], "call")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not isinstance(node.value, ast.Constant):
            self.add(node, "return None", "return")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        self.add(node.test, f"(not ({ast.unparse(node.test)}))", "condition")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.add(node.test, f"(not ({ast.unparse(node.test)}))", "condition")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.add(node, "pass", "statement")
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.add(node, "pass", "statement")
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self.add(node, "pass", "statement")

    def visit_Break(self, node: ast.Break) -> None:
        self.add(node, "pass", "statement")

    def visit_Raise(self, node: ast.Raise) -> None:
        self.add(node, "pass", "statement")  # its message is for people

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Text is for people."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        for statement in node.body:
            self.visit(statement)


def mutants_of(file: str) -> list[Mutant]:
    """All places of a file, in order."""
    source = (ROOT / "autotiny" / file).read_text()
    finder = _Finder(file, source)
    finder.visit(ast.parse(source))
    return finder.found


def files() -> list[str]:
    """What is mutated."""
    package = ROOT / "autotiny"
    found: list[str] = []
    for subject in SUBJECTS:
        path = package / subject
        paths = [path] if path.is_file() else sorted(path.rglob("*.py"))
        found += [one.relative_to(package).as_posix() for one in paths]
    return [file for file in found if mutants_of(file)]


def sample(count: int, seed: int) -> list[Mutant]:
    """So many mutants, `LEAST` or more a file, the rest by the number of its places."""
    places = {file: mutants_of(file) for file in files()}
    total = sum(map(len, places.values()))
    chosen = []
    for file, found in places.items():
        share = max(LEAST, round(count * len(found) / total))
        rng = random.Random(f"{seed} {file}")
        chosen += rng.sample(found, min(share, len(found)))
    return sorted(chosen, key=lambda one: random.Random(one.key).random())


@dataclass(frozen=True)
class Named:
    """A change made by hand, which once no test saw.

    Attributes:
        what: it is, in words.
        file: seen from the package.
        old: text that stands there once.
        new: text instead.
        tests: what should see it, seen from the tests' folder.
    """

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def mutant(self) -> Mutant:
        """The same as a mutant.

        Raises:
            ValueError: the text is not there, or more than once.
        """
        source = (ROOT / "autotiny" / self.file).read_text()
        if source.count(self.old) != 1:
            raise ValueError(f"{self.file} holds {source.count(self.old)} times: {self.old}")
        start = len(source[: source.index(self.old)].encode())
        line = source[: source.index(self.old)].count("\n") + 1
        return Mutant(self.file, line, start, start + len(self.old.encode()), self.new, "named")


NAMED: tuple[Named, ...] = (
    Named(
        "balanced ratio = latency alone", "study/trials.py",
        "math.prod(ratios) ** (1 / len(ratios))", "ratios[0]", ("test_judging.py",),
    ),
    Named(
        "the second misfit check removed", "study/trials.py",
        "    if planned is None and _misfits(draft, job, taken):\n        return None\n", "",
        ("test_judging.py",),
    ),
    Named(
        "ten chance trials → one", "study/planning.py", "BY_CHANCE = 10", "BY_CHANCE = 1",
        ("test_judging.py",),
    ),
    Named(
        "accuracy budget × 3", "study/result.py",
        "accuracy - job.accuracy_drop - 1e-9", "accuracy - 3 * job.accuracy_drop - 1e-9",
        ("test_judging.py",),
    ),
    Named(
        "accuracy budget ignored", "study/result.py",
        "accuracy - job.accuracy_drop - 1e-9", "0.0", ("test_judging.py",),
    ),
    Named(
        "standard error ÷ n", "study/trials.py",
        "math.sqrt(accuracy * (1 - accuracy) / samples)",
        "math.sqrt(accuracy * (1 - accuracy)) / samples", ("test_judging.py",),
    ),
    Named(
        "standard error of the mean difference ÷ n", "study/ordering.py",
        "/ len(changes) ** 0.5", "/ len(changes)", ("test_ordering.py",),
    ),
    Named(
        "a resumed sampler with the old seed", "study/sampling.py",
        "key_of(self._seed, trial.number, what)", "key_of(self._seed, what)",
        ("test_judging.py",),
    ),
    Named(
        "inputs floored", "graph/quantizing.py", "np.rint(steps)", "np.floor(steps)",
        ("test_evaluate.py",),
    ),
    Named(
        "cost keyed by the target's name", "evaluate/cost.py",
        "target_key(target), code_version", "target.name, code_version", ("test_evaluate.py",),
    ),
    Named(
        "no lowering for frozen graphs", "study/preflight.py",
        "in (Level.KERAS, Level.GRAPH):", "is Level.KERAS:",
        ("test_judging.py",),
    ),
    Named(
        "memory lower bound", "engine/memory.py",
        "bound = max(bound, sum(needed) - shared)", "bound = max(bound, sum(needed))",
        ("engine/test_plan.py",),
    ),
    Named(
        "a channel with two outputs frozen as constant", "engine/layers/matrix.py",
        "if len(outputs) == 1:", "if len(outputs) <= 2:", ("engine/test_variants.py",),
    ),
    Named(
        "peak without writes", "engine/ordering.py",
        "top = max(peak, alive + sum(graph.tensors[t].bytes for t in writes[step]))",
        "top = max(peak, alive)", ("engine/test_variants.py",),
    ),
    Named(
        "the worse order kept", "engine/ordering.py",
        "if top < best.get(after, top + 1):", "if top > best.get(after, top - 1):",
        ("engine/test_variants.py",),
    ),
    Named(
        "all → any in folding", "graph/folding.py",
        "all(\n        op.kind in KEEPS_HALF", "any(\n        op.kind in KEEPS_HALF",
        ("test_folding.py",),
    ),
    Named("LRU never refreshed", "cache.py", "os.utime(entry)", "pass", ("test_cache.py",)),
    Named(
        "LRU evicting the newest", "cache.py",
        "in sorted(entries):", "in sorted(entries, reverse=True):", ("test_cache.py",),
    ),
)  # fmt: skip


class Known:
    """Which tests run which line, and how long each takes."""

    def __init__(self, folder: Path) -> None:
        import coverage

        self.data = coverage.CoverageData(str(folder / "coverage"))
        self.data.read()
        self.seconds: dict[str, float] = defaultdict(float)
        for junit in folder.glob("junit*.xml"):
            for case in ET.parse(junit).iter("testcase"):
                name = case.get("classname", "").replace(".", "/")
                if case.find("failure") is None and case.find("error") is None:
                    seconds = float(case.get("time", 0))
                    self.seconds[f"{name}.py::{case.get('name')}"] = seconds

    def tests(self, file: str, line: int) -> list[str]:
        """The tests that run a line, those that are named after the file first.

        The latter are taken whatever they run: what is run by a fixture, when a module is imported,
        or in another process is known of few tests or of none. Where that is so, those that run
        anything of the folder are taken too.
        """
        stem, parent = Path(file).stem, Path(file).parent.as_posix()
        own = {name for name in self.seconds if stem in name.replace("-", "_")}
        found = self._contexts(file, line)
        if not found:
            found = self._contexts(file if parent == "." else f"{parent}/")
        return self.limited(own, found - own)

    def _contexts(self, near: str, line: int | None = None) -> set[str]:
        """The tests that run a line of a file, or any line of a file or folder."""
        found = set()
        for name in self.data.measured_files():
            if f"/autotiny/{near}" in name:
                lines = self.data.contexts_by_lineno(name)
                for contexts in lines.values() if line is None else [lines.get(line, [])]:
                    found |= {context.partition("|")[0] for context in contexts if context}
        return found

    def limited(self, *groups: set[str]) -> list[str]:
        """Group by group, few of each function before more of it, quickest first, within limits."""
        chosen: list[str] = []
        total = 0.0
        for place, group in enumerate(groups):
            turns: Counter[str] = Counter()
            ordered = []
            passed = group & self.seconds.keys()
            for seconds, name in sorted((self.seconds[name], name) for name in passed):
                function = name.partition("[")[0]
                turns[function] += 1
                many = place > 0 and turns[function] > 3
                ordered.append((many, turns[function] > 8, seconds, name))
            for *_, seconds, name in sorted(ordered):
                total += seconds
                if len(chosen) >= TESTS or (total > SECONDS and chosen):
                    return chosen
                chosen.append(name)
        return chosen


def make_map(folder: Path, tests: list[str]) -> None:
    """Run the quick tests once, or some of them in addition, under coverage."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"COVERAGE_FILE": str(folder / "coverage"), "PYTHONPATH": str(ROOT)}
    if not tests:
        for left in folder.glob("junit*.xml"):
            left.unlink()
    junit = folder / f"junit{time.time_ns() if tests else ''}.xml"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--cov={ROOT / 'autotiny'}", "--cov-context=test",
         "--cov-report=", f"--junitxml={junit}", *["--cov-append"] * bool(tests), *tests],
        cwd=ROOT, env=environment, check=False,
    )  # fmt: skip


def warmed_up() -> None:
    """Import what every test run would import first, and nothing of autotiny's own to stay."""
    import ai_edge_litert.interpreter  # noqa: F401
    import hypothesis  # noqa: F401
    import pytest  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import tensorflow_model_optimization  # noqa: F401

    import autotiny
    from autotiny.model import keras, tensorflow

    keras()
    tensorflow()
    for module in pkgutil.walk_packages(autotiny.__path__, "autotiny."):
        if not module.name.endswith("__main__"):
            import_module(module.name)  # for the packages that they import
    for name in [name for name in sys.modules if name.split(".")[0] == "autotiny"]:
        del sys.modules[name]


def killed(mutant: Mutant | None, tests: list[str], limit: float) -> tuple[str, str]:
    """What became of a mutant, or of unchanged code, and the test that saw it.

    The first is "killed", "killed by time", or "survived".
    """
    with tempfile.TemporaryDirectory(prefix="autotiny-mutant-") as place:
        copy = Path(place) / "tree"
        shutil.copytree(ROOT / "autotiny", copy / "autotiny")
        for name in ("search_spaces", "targets"):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name)
        if mutant is not None:
            file = copy / "autotiny" / mutant.file
            source = file.read_bytes()
            file.write_bytes(source[: mutant.start] + mutant.text.encode() + source[mutant.end :])
        cache = Path(place) / "cache"
        (cache / "autotiny").mkdir(parents=True)
        zig = Path(platformdirs.user_cache_dir("autotiny")) / "zig"
        zig.mkdir(parents=True, exist_ok=True)
        (cache / "autotiny" / "zig").symlink_to(zig)
        child = os.fork()
        if not child:
            _run_tests(copy, cache, Path(place) / "said", tests)
        code = _ended(child, limit)
        said = (Path(place) / "said").read_text(errors="replace").splitlines()
        ended = [line.split(" ", 1)[1] for line in said if line.startswith(("FAILED ", "ERROR "))]
        failed = [line.split(" - ")[0] for line in ended]
        if code is None:
            return "killed by time", ""
        return "survived" if code == 0 else "killed", next(iter(failed), "")


def _run_tests(copy: Path, cache: Path, said: Path, tests: list[str]) -> None:
    """In the child: never returns."""
    code = 99
    try:
        os.setsid()
        with said.open("w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        os.environ |= {
            "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(copy), "TMPDIR": str(copy.parent),
        }  # fmt: skip
        tempfile.tempdir = str(copy.parent)
        sys.path[:] = [str(copy), *(one for one in sys.path if Path(one).resolve() != ROOT)]
        os.chdir(ROOT)
        import pytest

        plain = ["-x", "-q", "-n", "0", "-o", f"cache_dir={said.parent / 'pytest'}"]
        code = int(pytest.main([*plain, "-m", "", *tests]))
    except BaseException:
        code = 98
    finally:
        os._exit(code)


def _ended(child: int, limit: float) -> int | None:
    """The exit code of a child; None if it had to be ended."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def run_named(rows: Path) -> None:
    """Run the mutants made by hand, and write their rows."""
    warmed_up()
    entries = []
    for one in NAMED:
        tests = [f"tests/{name}" for name in one.tests]
        came, by = killed(one.mutant(), tests, 600)
        entries.append({"what": one.what, "came": came, "by": by, "tests": tests})
        print(f"{came}: {one.what}", flush=True)
    rows.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def run(mutants: Iterable[Mutant], rows: Path, hours: float) -> None:
    """Run mutants that have no row yet, and append their rows."""
    known = Known(KEPT)
    done = {one["key"] for one in read(rows)}
    began = time.monotonic()
    warmed_up()
    for mutant in mutants:
        if mutant.key in done or time.monotonic() - began > hours * 3600:
            continue
        tests = known.tests(mutant.file, mutant.line)
        seconds = sum(known.seconds[name] for name in tests)
        start = time.monotonic()
        came, by = killed(mutant, tests, 3 * seconds + 60) if tests else ("not run", "")
        took = round(time.monotonic() - start, 1)
        entry = {
            "key": mutant.key, "came": came, "by": by, "tests": len(tests), "seconds": took,
            **asdict(mutant),
        }  # fmt: skip
        with rows.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        print(f"{came}: {shown(mutant)} ({len(tests)} tests, {took} s)", flush=True)


def run_control(rows: Path) -> None:
    """Run each test that failed on unchanged code, and note those that fail there too."""
    warmed_up()
    names = sorted({_whole(str(one["by"])) for one in read(KEPT / "sample.jsonl") if one["by"]})
    left, broken = names, list[str]()
    while left:
        came, by = killed(None, left, 3600)
        if came == "survived":
            break
        broken.append(by)
        print(f"fails on unchanged code: {by or came}", flush=True)
        left = [name for name in left if name != by] if by else []
    rows.write_text(json.dumps({"tests": len(names), "broken": broken}) + "\n")


def _whole(name: str) -> str:
    """A test's name; all cases of one whose name was cut at a space."""
    return name if name.endswith("]") else name.split("[")[0]


def read(rows: Path) -> list[dict[str, Any]]:
    """The rows so far."""
    return [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []


def shown(mutant: Mutant) -> str:
    """A mutant on one line."""
    source = (ROOT / "autotiny" / mutant.file).read_bytes()
    old = " ".join(source[mutant.start : mutant.end].decode().split())
    return f"{mutant.file}:{mutant.line} {old[:80]} → {' '.join(mutant.text.split())[:80]}"


EQUIVALENT = {
    "engine/entropy.py:170 1 → 2": "the first row of a matrix is the same with two rows",
    "engine/ops/transposed.py:111 m >= 0x7FFF0000 → (m > 2147418112)": (
        "at 0x7FFF0000 itself both branches give 0x7FFF"
    ),
    "space.py:356 False → True": "a default that the protocol asks for and every caller gives",
    "study/preflight.py:28 True → False": "nothing assigns to it or hashes it",
}
"""Mutants that change nothing that anyone could see, by their line, with the reason."""


def page(count: int, seed: int, commit: str) -> str:
    """The page of results."""
    wanted = {one.key: one for one in sample(count, seed)}
    rows = [one for one in read(KEPT / "sample.jsonl") if one["key"] in wanted]
    control = next(iter(read(KEPT / "control.jsonl")), None)
    broken = [] if control is None else list(control["broken"])
    rows = [one for one in rows if not one["by"] or one["by"] not in broken]
    named = read(KEPT / "named.jsonl")
    by_file: dict[str, Counter[str]] = defaultdict(Counter)
    for one in rows:
        came = str(one["came"])
        if came == "survived" and shown(wanted[str(one["key"])]) in EQUIVALENT:
            came = "equivalent"
        by_file[str(one["file"])]["killed" if came.startswith("killed") else came] += 1
    total = sum(by_file.values(), Counter())
    counted = total.total() - total["equivalent"]
    share = 100 * total["killed"] / max(counted, 1)
    lines = [
        "# Small changes to the code, and whether a test sees them",
        "",
        f"`python benchmarks/mutation.py sample --count {count} --seed {seed}`",
        "",
        f"Of {len(wanted):,} sampled mutants {len(rows):,} were run, on commit {commit}: "
        f"{total['killed']:,} killed ({share:.1f} % without {total['equivalent']} that are "
        f"equivalent), {total['survived']:,} survived, {total['not run']:,} on lines that no quick "
        "test runs.",
        "",
        *(
            [
                f"The {control['tests']} tests that failed were run on unchanged code too "
                f"(`python benchmarks/mutation.py control`): {len(broken)} fail there, and what "
                "they saw is not counted.",
                "",
            ]
            if control is not None
            else []
        ),
        row("file", "mutants", "killed", "survived", "not run", "equivalent"),
        "|---|---|---|---|---|---|",
        *(
            row(
                file,
                kinds.total(),
                *(kinds[k] for k in ("killed", "survived", "not run", "equivalent")),
            )
            for file, kinds in sorted(by_file.items())
        ),
        "",
        "Mutants made by hand, which once survived (`python benchmarks/mutation.py named`):",
        "",
        *(f"- {one['what']}: {one['came']}" for one in named),
        "",
        "Those that survive:",
        "",
        *(
            f"- `{text}`" + (f": equivalent, {EQUIVALENT[text]}" if text in EQUIVALENT else "")
            for text in sorted(
                shown(wanted[str(one["key"])])
                for one in rows
                if one["came"] in ("survived", "not run")
            )
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Do what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("map", "named", "sample", "control", "page"))
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commit", default="", help="of the code that was changed; for the page")
    parser.add_argument("--tests", nargs="*", default=[])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--part", default="1/1", help="of how many that run at once, e.g. 1/2")
    parser.add_argument("--files", nargs="*", default=[""])
    arguments = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    if arguments.what == "map":
        make_map(KEPT, arguments.tests)
        return
    if arguments.what == "named":
        run_named(KEPT / "named.jsonl")
    if arguments.what == "sample":
        chosen = sample(arguments.count, arguments.seed)
        wanted = [one for one in chosen if one.file.startswith(tuple(arguments.files))]
        part, parts = map(int, arguments.part.split("/"))
        run(wanted[part - 1 :: parts], KEPT / "sample.jsonl", arguments.hours)
    if arguments.what == "control":
        run_control(KEPT / "control.jsonl")
    RESULT.write_text(page(arguments.count, arguments.seed, arguments.commit))


if __name__ == "__main__":
    main()
