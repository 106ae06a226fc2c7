"""Replay the bundles of a search under other processors' code paths, and compare every byte.

    python benchmarks/replay.py [--trials 12] [--python other_venv/bin/python] [--retrain]

A small search, then each of its recipes with an empty cache in a process of its own: plain, on one
core, and with the switches by which TensorFlow's and NumPy's libraries and the C library choose
code for another processor. `--python` adds another virtual environment that has autotiny.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import autotiny
from autotiny.cache import Cache
from autotiny.provenance import made_with

PAGE = Path(__file__).parents[1] / "results" / "replay.md"
NO_AVX512 = "AVX512F AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"


@dataclass(frozen=True)
class Variant:
    """How a recipe is replayed."""

    title: str
    environment: dict[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    python: str = sys.executable


def variants(others: list[str]) -> list[Variant]:
    """All of them; what needs a program that is not there is left out."""
    found = [
        Variant("the same again"),
        Variant("without oneDNN", {"TF_ENABLE_ONEDNN_OPTS": "0"}),
        Variant("oneDNN for SSE4.1", {"ONEDNN_MAX_CPU_ISA": "SSE41"}),
        Variant("oneDNN for AVX2", {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
        Variant("NumPy without AVX-512", {"NPY_DISABLE_CPU_FEATURES": NO_AVX512}),
        Variant("NumPy without AVX2", {"NPY_DISABLE_CPU_FEATURES": f"AVX2 FMA3 {NO_AVX512}"}),
        Variant("C library without AVX2 and FMA", {
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX2_Usable,-FMA,-FMA_Usable",
        }),
    ]  # fmt: skip
    if shutil.which("taskset"):
        found.append(Variant("on one core", before=("taskset", "-c", "0")))
    return found + [Variant("another virtual environment", python=python) for python in others]


def searched(folder: Path, trials: int) -> Path:
    """The folder of a small search."""
    autotiny.search("cnn1", "digits", "stm32f746", out=folder / "study", trials=trials,
                    cache=Cache(folder / "cache"))  # fmt: skip
    return folder / "study"


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of C, the ELF and the `.tflite`."""
    files = [folder / "firmware.elf", folder / "model.tflite", *sorted((folder / "src").iterdir())]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def replayed(recipe: Path, out: Path, variant: Variant, *more: str) -> tuple[int, str]:
    """Exit code and output of `autotiny apply` with an empty cache."""
    environment = {**os.environ, **variant.environment}
    if variant.python != sys.executable:
        environment.pop("PYTHONPATH", None)  # it has an autotiny of its own
    with TemporaryDirectory() as cache:
        done = subprocess.run(
            [*variant.before, variant.python, "-m", "autotiny", "apply", str(recipe.resolve()),
             "--out", str(out.resolve()), *more],
            env={**environment, "XDG_CACHE_HOME": cache},
            cwd=cache, capture_output=True, text=True, check=False,
        )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def row(study: Path, recipes: list[Path], wanted: dict[Path, dict[str, str]], variant: Variant,
        *more: str) -> str:  # fmt: skip
    """A line of the table: how many recipes gave the same bytes, and the same figures."""
    same = files = figures = 0
    remarks = []
    for recipe in recipes:
        with TemporaryDirectory() as out:
            code, said = replayed(recipe, Path(out), variant, *more)
            if code not in (0, 3):
                return f"| {variant.title} | failed: {said.strip().splitlines()[-1][:200]} | | | |"
            found = digests(Path(out))
        same += found == wanted[recipe]
        files += sum(found.get(name) == text for name, text in wanted[recipe].items())
        figures += code == 0
        remarks += ["lowered otherwise"] * ("other bits here" in said)
    total = sum(map(len, wanted.values()))
    return (
        f"| {variant.title} | {same} of {len(recipes)} | {files} of {total} | "
        f"{figures} of {len(recipes)} | {len(remarks)} |"
    )


def main() -> None:
    """Search, replay, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--python", action="append", default=[], help="of another environment")
    parser.add_argument("--retrain", action="store_true", help="train again too, for comparison")
    parser.add_argument("--study", type=Path, help="a study that is there already")
    asked = parser.parse_args()
    with TemporaryDirectory() as work:
        study = asked.study or searched(Path(work), asked.trials)
        recipes = sorted((study / "recipes").glob("*.json"))
        wanted = {}
        for recipe in recipes:
            out = Path(work) / recipe.stem
            code, said = replayed(recipe, out, Variant("first"))
            if code:
                raise SystemExit(said)
            wanted[recipe] = digests(out)
        best = digests(study / "best")
        assert best in wanted.values(), "the best point's own files are not among those replayed"
        rows = [row(study, recipes, wanted, variant) for variant in variants(asked.python)]
        if asked.retrain:
            off = {"TF_ENABLE_ONEDNN_OPTS": "0"}
            again = (Variant("trained again"), Variant("trained again, no oneDNN", off))
            rows += [row(study, recipes, wanted, variant, "--retrain") for variant in again]
    made = ", ".join(f"{name} {value}" for name, value in made_with().items())
    lines = (
        "# Replay",
        "",
        f"`python benchmarks/replay.py --trials {asked.trials}`: a search for stm32f746 on the "
        f"default data, its {len(recipes)} recipes replayed from their bundles with an empty "
        "cache, each in a process of its own. Compared is the SHA-256 of every file of C, of the "
        "ELF and of the `.tflite`; the best point's also with what the search wrote.",
        "",
        f"Made with {made}.",
        "",
        "| variant | recipes byte-identical | files byte-identical | all figures equal | "
        "lowered otherwise |",
        "|---|---|---|---|---|",
        *rows,
        "",
    )
    PAGE.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
