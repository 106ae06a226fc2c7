"""Runs models that other people trained, and says which equal the reference and why others do not.

    python benchmarks/models.py FOLDER... --rows rows.jsonl

Every `.tflite` below a folder (a clone of a repository, for instance mlcommons/tiny,
tensorflow/tflite-micro or tum-ei-eda/mlonmcu-models), and every one that stands in C as an array,
is read and scheduled plainly and in every style, for a Cortex-M4, an M7 and an M0+. Each program
that comes of it is compiled for this machine and run on random inputs next to TensorFlow Lite
Micro, or LiteRT's reference kernels where that refuses. Integer outputs must be equal; real ones
may differ by 1e-5 of the largest.
Where floats meet int8 weights they may differ by 1/128: there inputs are rounded to 255 steps when
they are known, and the last bit decides which way a half is rounded. Equal files count once, and
equal programs run once. The table goes to `results/models.md`; nothing of the models is kept. With
`--rows` each row is also appended to a file, and a model that has one there is not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro.python.tflite_micro import runtime

from autotiny.engine import Sources, Style, check_supported, generate, plain_schedule, schedule_for
from autotiny.errors import UserError
from autotiny.firmware.host import build_host
from autotiny.graph import Array, Graph, Tensor
from autotiny.schedule import Schedule
from autotiny.tflite import read_tflite
from autotiny.tflite.schema import FILE_IDENTIFIER

RESULTS = Path(__file__).parent.parent / "results" / "models.md"
SAMPLES = 3
TOLERANCE = 1e-5
HYBRID_TOLERANCE = 1 / 128
ARENA_BYTES = 16 << 20
SECONDS = 300
CORES: Mapping[str, Mapping[str, bool]] = {
    "Cortex-M4": {"dsp": True},
    "Cortex-M7": {"dsp": True, "loads_ahead": True},
    "Cortex-M0+": {"dsp": False},
}
"""What schedules ask of a core."""

C_FILES = (".c", ".cc", ".cpp", ".h", ".hpp", ".ino")
C_ARRAY = re.compile(r"\{([0-9a-fA-FxX,\s]{20,})\}")

# Processes are copies of this one, which has imported everything already.
PROCESSES = multiprocessing.get_context("fork")

Runner = Callable[[bytes, Sequence[Sequence[Array]], Graph], list[list[Array]]]


def main() -> None:
    """Run all models, each in a process of its own, since a reference may crash."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rows", type=Path, help="file of rows, one a line, to continue")
    arguments = parser.parse_args()
    known = read_rows(arguments.rows)
    rows: dict[str, dict[str, Any]] = {}
    files = 0
    for folder in arguments.folders:
        for path, data in models_below(folder):
            files += 1
            digest = hashlib.sha256(data).hexdigest()
            if digest in rows:
                continue
            name = f"{folder.resolve().name.replace('+', '/')}: {path.relative_to(folder)}"
            row = known.get(digest) or isolated(path.name, data)
            rows[digest] = {**row, "model": name}
            print(f"{name}: {row['result']} {row['why']}", flush=True)
            if arguments.rows and digest not in known:
                with arguments.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"digest": digest, **rows[digest]}) + "\n")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(table(list(rows.values()), files), encoding="utf-8")


def read_rows(path: Path | None) -> Mapping[str, dict[str, Any]]:
    """The rows of an earlier run by the digest of their models."""
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row.pop("digest"): row for row in rows}


def models_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The models of a folder, with the file that each lies in."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix == ".tflite":
            yield path, path.read_bytes()
        elif path.suffix in C_FILES:
            for data in in_arrays(path.read_text(encoding="utf-8", errors="replace")):
                yield path, data


def supported(folders: Sequence[Path]) -> Iterator[tuple[str, bytes, Graph]]:
    """Models that the engine has kernels for, each file once, the smallest first; none of tests."""
    every = {
        data: path.name
        for folder in folders
        for path, data in models_below(folder)
        if not any("test" in part for part in path.relative_to(folder).parts)
    }
    for data, name in sorted(every.items(), key=lambda entry: len(entry[0])):
        try:
            graph = read_tflite(data, name)
            check_supported(graph)
        except UserError as error:
            print(f"{name}: {error}", flush=True)
            continue
        yield name, data, graph


def in_arrays(text: str) -> Iterator[bytes]:
    """The models that stand in C as arrays of bytes."""
    for found in C_ARRAY.finditer(re.sub(r"//.*|/\*.*?\*/", "", text)):
        words = found[1].replace(",", " ").split()
        with suppress(ValueError):  # no numbers, or larger ones than bytes
            data = bytes(int(word, 0) for word in words)
            if data[4:8] == FILE_IDENTIFIER:
                yield data


def isolated(name: str, data: bytes) -> dict[str, Any]:
    """What `one` says of a model, or how its process ended."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=one, args=(name, data, sender.send))
    process.start()
    sender.close()
    row = {**failed(""), "result": "running", "why": "reading it"}
    try:
        while receiver.poll(SECONDS):
            row = receiver.recv()
        process.kill()
        return failed(f"took more than {SECONDS} s while {row['why']}")
    except EOFError:
        process.join()
    if row["result"] == "running":
        return failed(f"ended with {process.exitcode} while {row['why']}")
    return row


def failed(why: str) -> dict[str, Any]:
    """The row of a model that came to no result."""
    return {
        "result": "failed", "why": why, "types": "", "ops": 0, "programs": 0,
        "weights": 0, "arena": 0,
    }  # fmt: skip


def one(name: str, data: bytes, show: Callable[[dict[str, Any]], None]) -> None:
    """Show the row of a model; the last one counts."""
    try:
        graph = read_tflite(data, name)
    except UserError as error:
        show({**failed(str(error).removeprefix(f"{name}: ")), "result": "refused"})
        return
    kinds = Counter(graph.tensors[index].dtype for op in graph.ops for index in op.outputs)
    row = failed("") | {"types": ", ".join(sorted(kinds)), "ops": len(graph.ops)}
    try:
        check_supported(graph)
        sources = generate(graph, plain_schedule(graph))
    except UserError as error:
        show({**row, "result": "refused", "why": str(error)})
        return
    row |= {"weights": sources.weights_bytes, "arena": sources.arena_bytes}

    def running(why: str) -> None:
        show({**row, "result": "running", "why": why})

    rng = np.random.default_rng(0)
    inputs = [graph.tensors[index] for index in graph.inputs]
    samples = [[drawn(rng, tensor) for tensor in inputs] for _ in range(SAMPLES)]
    wanted, reference = referred(data, samples, graph, running)
    arrays = [np.stack([sample[i] for sample in samples]) for i in range(len(inputs))]
    tolerance = HYBRID_TOLERANCE if hybrid(graph) else TOLERANCE
    gaps = []
    for schedules, program in programs(graph):
        row["programs"] += 1
        running(f"running it {schedules}")
        found = build_host(program, optimize="-O1").predict_all(arrays, keep_state=True)
        if wanted is not None and (gap := difference(found, wanted, tolerance)):
            gaps.append(f"{schedules} {gap}")
    if wanted is None:
        show({**row, "result": "unchecked", "why": f"no reference runs it: {reference}"})
    elif gaps:
        show({**row, "result": "different", "why": f"from {reference}: {'; '.join(gaps)}"})
    else:
        show({**row, "result": "equal", "why": f"to {reference}"})


def programs(graph: Graph) -> Iterator[tuple[str, Sources]]:
    """Each program that some schedule makes of a network, with the names of its schedules."""
    for names, schedule in schedules_of(graph):
        yield names, generate(graph, schedule)


def schedules_of(graph: Graph) -> list[tuple[str, Schedule]]:
    """A schedule for each program that some style makes of a network, with their names."""
    schedules = {"plain": plain_schedule(graph)} | {
        f"{style}, {core}": schedule_for(graph, style, **traits)
        for style in get_args(Style)
        for core, traits in CORES.items()
    }
    found: dict[str, tuple[list[str], Schedule]] = {}
    for name, schedule in schedules.items():
        text = json.dumps(generate(graph, schedule).files, sort_keys=True)
        found.setdefault(hashlib.sha256(text.encode()).hexdigest(), ([], schedule))[0].append(name)
    return [(", ".join(names), schedule) for names, schedule in found.values()]


def referred(
    data: bytes,
    samples: Sequence[Sequence[Array]],
    graph: Graph,
    running: Callable[[str], None],
) -> tuple[list[list[Array]] | None, str]:
    """The outputs of the first reference that runs a model and its name, or why none does."""
    reasons = []
    runners: tuple[tuple[str, Runner], ...] = (
        ("TensorFlow Lite Micro", run_tflm),
        ("LiteRT", run_litert),
    )
    for name, runner in runners:
        running(f"{name} ran")
        try:
            return runner(data, samples, graph), name
        except (RuntimeError, ValueError) as error:
            reasons.append(f"{name}: {str(error).splitlines()[0][:120]}")
    return None, "; ".join(reasons)


def drawn(rng: np.random.Generator, tensor: Tensor) -> Array:
    """A random input of a tensor's type."""
    if tensor.dtype == "float32":
        return rng.random(tensor.shape, np.float32)
    if tensor.dtype == "bool":
        return rng.integers(0, 2, tensor.shape).astype(bool)
    low, high = (0, 2) if tensor.dtype in ("int32", "int64") else limits(tensor.dtype)
    values: Array = rng.integers(low, high, tensor.shape, endpoint=True).astype(tensor.dtype)
    return values


def limits(dtype: str) -> tuple[int, int]:
    """The range of an integer type."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def run_tflm(data: bytes, samples: Sequence[Sequence[Array]], graph: Graph) -> list[list[Array]]:
    """The outputs of TensorFlow Lite Micro, sample by sample, its state kept between them."""
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=ARENA_BYTES)
    results = []
    for sample in samples:
        for i, values in enumerate(sample):
            shape = interpreter.get_input_details(i)["shape"]
            interpreter.set_input(values.reshape(shape), i)
        interpreter.invoke()
        results.append([interpreter.get_output(i).copy() for i in range(len(graph.outputs))])
    return results


def run_litert(data: bytes, samples: Sequence[Sequence[Array]], graph: Graph) -> list[list[Array]]:
    """The outputs of LiteRT's reference kernels, sample by sample."""
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    results = []
    for sample in samples:
        for details, values in zip(interpreter.get_input_details(), sample, strict=True):
            interpreter.set_tensor(details["index"], values.reshape(details["shape"]))
        interpreter.invoke()
        results.append(
            [interpreter.get_tensor(d["index"]).copy() for d in interpreter.get_output_details()]
        )
    return results


def hybrid(graph: Graph) -> bool:
    """Whether floats meet int8 weights."""
    return any(
        graph.tensors[op.outputs[0]].dtype == "float32"
        and any(graph.tensors[i].dtype == "int8" for i in op.inputs[1:2])
        for op in graph.ops
    )


def difference(found: Sequence[Array], wanted: Sequence[Sequence[Array]], tolerance: float) -> str:
    """How far the outputs are apart, empty if they are equal."""
    for i, mine in enumerate(found):
        theirs = np.stack([sample[i] for sample in wanted]).reshape(mine.shape)
        gap = np.abs(mine.astype(np.float64) - theirs.astype(np.float64))
        allowed = 0.0
        if mine.dtype == np.float32:
            allowed = tolerance * float(np.abs(theirs).max())
        if not (gap <= allowed).all():
            return f"by up to {gap.max():.3g} in {int((gap > allowed).sum())} of {gap.size} values,"
    return ""


def table(rows: Sequence[dict[str, Any]], files: int) -> str:
    """The results as Markdown: counts first, then every model."""
    counts = Counter(row["result"] for row in rows)
    total = ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
    lines = [
        "# Models that other people trained",
        "",
        "Written by `python benchmarks/models.py FOLDER...`, the folders being clones of the",
        "repositories that the rows begin with (a folder `owner+name` stands for owner/name).",
        f"{len(rows)} models in {files} files: {total}. A model stands where it was met first.",
        "",
        "Each was scheduled plainly, and for speed, balance and size on Cortex-M4, M7 and M0+,",
        f"which gave {sum(row['programs'] for row in rows)} different programs. Weights and",
        "arena are those of the plain one.",
        "",
        "| model | result | | tensors | ops | programs | weights, bytes | arena, bytes |",
        "|---|---|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        why = str(row["why"]).replace("|", "/").replace("\n", " ")
        lines.append(
            f"| {row['model']} | {row['result']} | {why} | {row['types']} | {row['ops']} | "
            f"{row['programs']} | {row['weights']} | {row['arena']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
