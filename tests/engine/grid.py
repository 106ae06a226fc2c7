"""Many generated single-op models in one shared library, and what they must compute."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from build import litert, tflm
from c_structs import misordered

from autotiny.engine import Sources, generate, plain_schedule
from autotiny.graph import ITEM_BYTES, Array, Graph
from autotiny.schedule import Schedule
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
    magnitude: float = 1e-6  # of the terms of a sum, where they may cancel
    schedule: Schedule | None = None  # the plain one unless given
    wanted: tuple[Array, ...] = ()  # where no reference computes it


@dataclass(frozen=True, eq=False)
class Library:
    """Compiled models, each arena between two rows of canaries."""

    sources: Sequence[Sources]
    handle: ctypes.CDLL

    def run(self, k: int, samples: Sequence[Array], runs: int = 1) -> list[Array]:
        """The outputs of model k after its last run."""
        source = self.sources[k]
        arguments = [np.ascontiguousarray(sample) for sample in samples]
        outputs = [np.zeros(port.shape, port.dtype) for port in source.outputs]
        pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*arguments, *outputs)]
        invoke = getattr(self.handle, f"{source.name}_invoke")
        size = source.arena_bytes
        memory = (ctypes.c_uint8 * (size + 2 * CANARY)).in_dll(
            self.handle, f"{source.name}_guarded"
        )
        guarded: Array = np.ctypeslib.as_array(memory)
        guarded[:CANARY] = guarded[-CANARY:] = 0xA5
        for _ in range(runs):
            assert invoke(*pointers) == 0
        assert (guarded[:CANARY] == 0xA5).all() and (guarded[-CANARY:] == 0xA5).all(), k
        return outputs


def write(
    programs: Sequence[tuple[Graph, Schedule]], folder: Path, units: int, guarded: bool
) -> list[Sources]:
    """Generate the models; `unit0.c`, `unit1.c`, … include them all."""
    sources = [generate(*program, f"m{i}") for i, program in enumerate(programs)]
    assert not [wrong for source in sources for wrong in misordered(source.files)]
    folder.mkdir(parents=True, exist_ok=True)
    files = {  # the models share their kernels
        name: guard(text, source.name) if guarded else text
        for source in sources
        for name, text in source.files.items()
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    for unit in range(units):
        mine = [n for s in sources[unit::units] for n in s.files if n.endswith(".c")]
        (folder / f"unit{unit}.c").write_text("".join(f'#include "{n}"\n' for n in mine))
    return sources


def guard(text: str, name: str) -> str:
    """A generated file with the arena inside a larger array."""
    arena = f"uint8_t {name}_arena[{name.upper()}_ARENA_BYTES]"
    if f"AT_ARENA {arena};" not in text:
        return text
    larger = f"uint8_t {name}_guarded[{name.upper()}_ARENA_BYTES + {2 * CANARY}];"
    head, rest = text.split(f"AT_ARENA {arena};")
    return f"{head}AT_ARENA {larger}{rest.replace(f'{name}_arena', f'({name}_guarded + {CANARY})')}"


def compiled(folder: Path, units: int, compiler: Sequence[str], *last: str) -> None:
    """Compile the units, at once, and link them with the last arguments."""
    jobs = [
        subprocess.Popen(
            [*compiler, *WARNINGS, "-c", f"unit{unit}.c", "-o", f"unit{unit}.o"],
            cwd=folder, stderr=subprocess.PIPE, text=True,
        )
        for unit in range(units)
    ]  # fmt: skip
    for job in jobs:
        _, errors = job.communicate()
        assert job.returncode == 0, errors[:4000]
    objects = [f"unit{unit}.o" for unit in range(units)]
    subprocess.run([*compiler, *objects, *last, "-lm"], cwd=folder, check=True)


ZIG = (sys.executable, "-m", "ziglang", "cc", "-std=c99", "-O1", "-fPIC", "-g0")


def build(cases: Sequence[Case], folder: Path, units: int = 2) -> Library:
    """Generate and compile the models into one shared library."""
    programs = [(case.graph, case.schedule or plain_schedule(case.graph)) for case in cases]
    sources = write(programs, folder, units, guarded=True)
    compiled(folder, units, ZIG, "-shared", "-o", "models.so")
    return Library(sources, ctypes.CDLL(str(folder / "models.so")))


def run_program(
    cases: Sequence[Case], folder: Path, compiler: Sequence[str], units: int = 2
) -> list[list[Array]]:
    """The outputs of all models, computed by one program that a compiler may have instrumented.

    Inputs and outputs are allocated one by one, so that a sanitizer sees every byte beside them.
    """
    programs = [(case.graph, case.schedule or plain_schedule(case.graph)) for case in cases]
    sources = write(programs, folder, units, guarded=False)
    (folder / f"unit{units}.c").write_text(_main(cases, sources))
    compiled(folder, units + 1, compiler, "-o", "models")
    feed = b"".join(np.ascontiguousarray(s).tobytes() for case in cases for s in case.samples)
    done = subprocess.run([folder / "models"], input=feed, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:4000]
    results, at = [], 0
    for source in sources:
        outputs = []
        for port in source.outputs:
            count = int(np.prod(port.shape, dtype=np.int64))
            outputs.append(np.frombuffer(done.stdout, port.dtype, count, at).reshape(port.shape))
            at += outputs[-1].nbytes
        results.append(outputs)
    return results


def _main(cases: Sequence[Case], sources: Sequence[Sources]) -> str:
    includes = "".join(f'#include "{s.name}.h"\n' for s in sources)
    bodies, calls = [], []
    for case, s in zip(cases, sources, strict=True):
        ports = [*s.inputs, *s.outputs]
        sizes = [
            int(np.prod(port.shape, dtype=np.int64)) * ITEM_BYTES[port.dtype] for port in ports
        ]
        lines = [f"  void *p{i} = need({size});" for i, size in enumerate(sizes)]
        lines += [f"  take(p{i}, {sizes[i]});" for i in range(len(s.inputs))]
        arguments = ", ".join(f"p{i}" for i in range(len(ports)))
        lines.append(f"  for (int i = 0; i < {case.runs}; i++) {s.name}_invoke({arguments});")
        outs = range(len(s.inputs), len(ports))
        lines += [f"  fwrite(p{i}, 1, {sizes[i]}, stdout);" for i in outs]
        lines += [f"  free(p{i});" for i in range(len(ports))]
        bodies.append(f"static void run_{s.name}(void) {{\n" + "\n".join(lines) + "\n}\n")
        calls.append(f"  run_{s.name}();\n")
    return f"""#include <stdio.h>
#include <stdlib.h>
{includes}
static void *need(size_t size) {{
  void *p = malloc(size);
  if (!p) abort();
  return p;
}}
static void take(void *p, size_t size) {{
  if (fread(p, 1, size, stdin) != size) abort();
}}
{"".join(bodies)}
int main(void) {{
{"".join(calls)}  return 0;
}}
"""


def expected(case: Case) -> list[Array]:
    """What the reference computes."""
    if case.wanted:
        return list(case.wanted)
    if case.reference == "moved":
        return moved(case)
    model = write_tflite(case.graph)
    if case.reference == "litert":
        return litert(model, *case.samples, runs=case.runs)
    outputs = len(case.graph.outputs)
    return tflm(model, *case.samples, outputs=outputs, runs=case.runs)


def moved(case: Case) -> list[Array]:
    """What LiteRT does with the positions of the elements, for types that it does not move."""
    positions, first = [], 0
    for sample in case.samples:
        positions.append(np.arange(first, first + sample.size, dtype=np.float32))
        first += sample.size
    tensors = tuple(
        replace(one, dtype="float32", quantization=None) if one.data is None else one
        for one in case.graph.tensors
    )
    values = np.concatenate([sample.reshape(-1) for sample in case.samples])
    found = litert(write_tflite(replace(case.graph, tensors=tensors)), *positions)
    return [values[positions.astype(int)] for positions in found]


def difference(case: Case, found: Sequence[Array], wanted: Sequence[Array]) -> str:
    """Why the outputs are wrong, empty if they are right."""
    for mine, theirs in zip(found, wanted, strict=True):
        if mine.shape != theirs.shape:
            mine = mine.reshape(theirs.shape)
        if mine.dtype == np.float32:
            scale = float(np.max(np.abs(theirs), initial=case.magnitude, where=np.isfinite(theirs)))
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
