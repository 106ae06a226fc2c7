"""Runs models that other people trained, and says which equal the reference and why others do not.

    python benchmarks/models.py FOLDER...

Every `.tflite` below a folder (a clone of a repository, for instance mlcommons/tiny,
tensorflow/tflite-micro or tum-ei-eda/mlonmcu-models) is read, compiled for this machine and run on
random inputs next to TensorFlow Lite Micro, or LiteRT's reference kernels where that refuses.
Integer outputs must be equal; real ones may differ by 1e-5 of the largest. Where floats meet int8
weights they may differ by 1/128: there inputs are rounded to 255 steps when they are known, and the
last bit decides which way a half is rounded. The table goes to `results/models.md`; nothing of the
models is kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro.python.tflite_micro import runtime

from autotiny.emulator.host import build_host
from autotiny.engine import generate, plain_schedule
from autotiny.errors import UserError
from autotiny.graph import Array, Graph, Tensor
from autotiny.tflite import read_tflite

RESULTS = Path(__file__).parent.parent / "results" / "models.md"
SAMPLES = 3
TOLERANCE = 1e-5
HYBRID_TOLERANCE = 1 / 128
ARENA_BYTES = 16 << 20
SECONDS = 300

# Processes are copies of this one, which has imported everything already.
PROCESSES = multiprocessing.get_context("fork")

Runner = Callable[[bytes, Sequence[Sequence[Array]], Graph], list[list[Array]]]


def main() -> None:
    """Run all models, each in a process of its own, since a reference may crash."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    rows = []
    for folder in arguments.folders:
        for path in sorted(folder.rglob("*.tflite")):
            name = f"{folder.resolve().name.replace('+', '/')}: {path.relative_to(folder)}"
            row = isolated(path)
            rows.append({"model": name, **row})
            print(f"{name}: {row['result']} {row['why']}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(table(rows), encoding="utf-8")


def isolated(path: Path) -> dict[str, Any]:
    """What `one` says of a model, or how its process ended."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=one, args=(path, sender.send))
    process.start()
    sender.close()
    row = {**failed(""), "result": "running", "why": "reading it"}
    try:
        while receiver.poll(SECONDS):
            row = receiver.recv()
        process.kill()
        return failed(f"took more than {SECONDS} s")
    except EOFError:
        process.join()
    if row["result"] == "running":
        return failed(f"ended with {process.exitcode} while {row['why']}")
    return row


def failed(why: str) -> dict[str, Any]:
    """The row of a model that came to no result."""
    return {"result": "failed", "why": why, "types": "", "ops": 0, "weights": 0, "arena": 0}


def one(path: Path, show: Callable[[dict[str, Any]], None]) -> None:
    """Show the row of a model; the last one counts."""
    data = path.read_bytes()
    try:
        graph = read_tflite(data, path.name)
    except UserError as error:
        show({**failed(str(error).removeprefix(f"{path.name}: ")), "result": "refused"})
        return
    inputs = [graph.tensors[index] for index in graph.inputs]
    kinds = Counter(graph.tensors[index].dtype for op in graph.ops for index in op.outputs)
    row: dict[str, Any] = {
        "types": ", ".join(sorted(kinds)), "ops": len(graph.ops), "weights": 0, "arena": 0,
    }  # fmt: skip
    try:
        sources = generate(graph, plain_schedule(graph))
    except UserError as error:
        show({**row, "result": "refused", "why": str(error)})
        return
    row |= {"weights": sources.weights_bytes, "arena": sources.arena_bytes}
    rng = np.random.default_rng(0)
    samples = [[drawn(rng, tensor) for tensor in inputs] for _ in range(SAMPLES)]
    show({**row, "result": "running", "why": "running the compiled model"})
    arrays = [np.stack([sample[i] for sample in samples]) for i in range(len(inputs))]
    found = build_host(sources).predict_all(arrays, keep_state=True)
    reasons = []
    for name, runner in (("TensorFlow Lite Micro", run_tflm), ("LiteRT", run_litert)):
        show({**row, "result": "running", "why": f"{name} ran"})
        try:
            wanted = runner(data, samples, graph)
        except (RuntimeError, ValueError) as error:
            reasons.append(f"{name}: {str(error).splitlines()[0][:120]}")
            continue
        gap = difference(found, wanted, HYBRID_TOLERANCE if hybrid(graph) else TOLERANCE)
        result = "different" if gap else "equal"
        show({**row, "result": result, "why": f"{gap or 'to'} {name}".strip()})
        return
    show({**row, "result": "unchecked", "why": "no reference runs it: " + "; ".join(reasons)})


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


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The results as Markdown: counts first, then every model."""
    counts = Counter(row["result"] for row in rows)
    total = ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
    lines = [
        "# Models that other people trained",
        "",
        "Written by `python benchmarks/models.py FOLDER...`, the folders being clones of the",
        "repositories that the rows begin with (a folder `owner+name` stands for owner/name).",
        f"{len(rows)} models: {total}.",
        "",
        "| model | result | | tensors | ops | weights, bytes | arena, bytes |",
        "|---|---|---|---|---:|---:|---:|",
    ]
    for row in rows:
        why = str(row["why"]).replace("|", "/").replace("\n", " ")
        lines.append(
            f"| {row['model']} | {row['result']} | {why} | {row['types']} | {row['ops']} | "
            f"{row['weights']} | {row['arena']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
