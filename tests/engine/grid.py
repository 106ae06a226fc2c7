"""Many generated single-op models in one shared library, and what they must compute."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from build import litert, tflm

from autotiny.engine import Sources, generate, plain_schedule
from autotiny.graph import Array, Graph
from autotiny.tflite import write_tflite

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
CANARY = 64


@dataclass(frozen=True, eq=False)
class Case:
    """A model, and inputs for it."""

    label: str
    graph: Graph
    samples: tuple[Array, ...]
    reference: str = "tflm"
    tolerance: float = 1e-5
    steps: int = 0  # of the output, by which integers may differ
    runs: int = 1  # with the same inputs, for ops that remember


@dataclass(frozen=True, eq=False)
class Library:
    """Compiled models."""

    sources: Sequence[Sources]
    handle: ctypes.CDLL

    def run(self, k: int, samples: Sequence[Array], runs: int = 1) -> list[Array]:
        """The outputs of model k after its last run."""
        source = self.sources[k]
        arguments = [np.ascontiguousarray(sample) for sample in samples]
        outputs = [np.zeros(port.shape, port.dtype) for port in source.outputs]
        pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*arguments, *outputs)]
        invoke = getattr(self.handle, f"{source.name}_invoke")
        for _ in range(runs):
            assert invoke(*pointers) == 0
        return outputs


def build(
    graphs: Sequence[Graph], folder: Path, flags: Sequence[str] = (), units: int = 2
) -> Library:
    """Generate and compile the models, all into `units` compilations and one library."""
    sources = [generate(g, plain_schedule(g), f"m{i}") for i, g in enumerate(graphs)]
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        for name, text in source.files.items():
            (folder / name).write_text(text)
    compile_ = [sys.executable, "-m", "ziglang", "cc", "-std=c99", "-O1", "-fPIC", "-g0"]
    jobs = []
    for unit in range(units):
        mine = [n for s in sources[unit::units] for n in s.files if n.endswith(".c")]
        (folder / f"unit{unit}.c").write_text("".join(f'#include "{n}"\n' for n in mine))
        command = [*compile_, *WARNINGS, *flags, "-c", f"unit{unit}.c", "-o", f"unit{unit}.o"]
        jobs.append(subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True))
    for job in jobs:
        _, errors = job.communicate()
        assert job.returncode == 0, errors[:4000]
    library = folder / "models.so"
    objects = [f"unit{unit}.o" for unit in range(units)]
    link = [*compile_, *flags, "-shared", *objects, "-lm", "-o", str(library)]
    subprocess.run(link, cwd=folder, check=True)
    return Library(sources, ctypes.CDLL(str(library)))


def expected(case: Case) -> list[Array]:
    """What the reference computes."""
    model = write_tflite(case.graph)
    if case.reference == "litert":
        return litert(model, *case.samples, runs=case.runs)
    outputs = len(case.graph.outputs)
    return tflm(model, *case.samples, outputs=outputs, runs=case.runs)


def difference(case: Case, found: Sequence[Array], wanted: Sequence[Array]) -> str:
    """Why the outputs are wrong, empty if they are right."""
    for mine, theirs in zip(found, wanted, strict=True):
        if mine.shape != theirs.shape:
            mine = mine.reshape(theirs.shape)
        if mine.dtype == np.float32:
            scale = float(np.max(np.abs(theirs), initial=1e-6, where=np.isfinite(theirs)))
            close = np.isclose(mine, theirs, rtol=case.tolerance, atol=case.tolerance * scale)
            wrong = ~(close | (np.isnan(mine) & np.isnan(theirs)))
        else:
            wrong = np.abs(mine.astype(np.int64) - theirs.astype(np.int64)) > case.steps
        if wrong.any():
            at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            return (
                f"{case.label}: {int(wrong.sum())} of {wrong.size} differ, first at "
                f"{tuple(int(i) for i in at)}: {mine[at]}, not {theirs[at]}"
            )
    return ""
