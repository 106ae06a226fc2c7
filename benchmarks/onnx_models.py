"""Imports ONNX files that others made, and holds the C of each beside onnxruntime.

    python benchmarks/onnx_models.py FOLDER... --rows rows.jsonl

Every `.onnx` below a folder is imported, lowered to float32 and to int8, and scheduled plainly and
as `fastest` for a Cortex-M7 and `smallest` for an M0+. Each program is compiled for this machine
and run on seeded noise, its axes put as ONNX has them. In float32 each output may differ from
onnxruntime's by 1e-4 of the largest; of int8, calibrated on 32 other samples, the root of the mean
square of the error is told, as a share of the output's range. Open sizes are those of `--shapes`, a
JSON file of what `--input-shape` takes for a file's name. The table goes to `results/onnx.md`;
nothing of the models is kept. With `--rows` each row is also appended to a file, and a model that
has one there is not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from autotiny.api.lowering import Given, lowered
from autotiny.cache import Cache
from autotiny.dataset import Reading
from autotiny.engine import generate, plain_schedule, schedule_for
from autotiny.errors import UserError
from autotiny.firmware.host import build_host
from autotiny.graph import Array, Graph
from autotiny.model.onnx import Built, read_onnx, shapes_from
from autotiny.schedule import Schedule

RESULTS = Path(__file__).parent.parent / "results" / "onnx.md"
SAMPLES = 3
TOLERANCE = 1e-4
SECONDS = 900
PROCESSES = multiprocessing.get_context("spawn")
TYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
    "tensor(int32)": "int32", "tensor(int64)": "int64",
}  # fmt: skip

Row = dict[str, Any]
Show = Callable[[Row], None]


def main() -> None:
    """Run all models, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rows", type=Path, help="file of rows, one a line, to continue")
    parser.add_argument("--shapes", type=Path, help="JSON of what --input-shape takes for a file")
    arguments = parser.parse_args()
    shapes = json.loads(arguments.shapes.read_text()) if arguments.shapes else {}
    known = read_rows(arguments.rows)
    rows: dict[str, Row] = {}
    for folder in arguments.folders:
        for path in sorted(folder.rglob("*.onnx")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest in rows:
                continue
            row = known.get(digest) or isolated(path, shapes.get(path.name))
            name = f"{folder.resolve().name}: {path.relative_to(folder)}"
            rows[digest] = {**row, "model": name}
            print(f"{name}: {row['result']} {row['why']}", flush=True)
            if arguments.rows and digest not in known:
                with arguments.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"digest": digest, **rows[digest]}) + "\n")
    RESULTS.write_text(table(list(rows.values())), encoding="utf-8")


def read_rows(path: Path | None) -> Mapping[str, Row]:
    """The rows of an earlier run by the digest of their models."""
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row.pop("digest"): row for row in rows}


def isolated(path: Path, shape: str | None) -> Row:
    """What `one` says of a model, or how its process ended."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=one, args=(path, shape, sender))
    process.start()
    sender.close()
    row: Row = {"result": "failed", "why": "reading it"}
    try:
        while receiver.poll(SECONDS):
            row = receiver.recv()
        process.kill()
        return row | {"result": "failed", "why": f"took more than {SECONDS} s: {row['why']}"}
    except EOFError:
        process.join()
    if row["result"] == "running":
        row |= {"result": "failed", "why": f"ended with {process.exitcode}: {row['why']}"}
    return row


def one(path: Path, shape: str | None, sender: Any) -> None:
    """Send the row of a model; the last one counts."""
    row: Row = {"result": "running", "why": "importing it", "worst": 0.0}

    def show(**facts: Any) -> None:
        row.update(facts)
        sender.send(row)

    try:
        begun = time.perf_counter()
        built = read_onnx(path, shapes_from(shape))
        show(import_seconds=time.perf_counter() - begun, trainable=built.free)
        show(parameters=built.network.count_params(), why="running onnxruntime")
        feeds, wanted = referred(path, built)
        show(why="lowering it to float32")
        graph = lowered_to("float32", path, shape)
        show(ops=len(graph.ops), moved=sum(op.kind == "TRANSPOSE" for op in graph.ops))
        for name, schedule in schedules_of(graph):
            show(why=f"running it {name} in float32")
            gap = worst(run(graph, schedule, feeds), wanted)
            show(worst=max(row["worst"], gap))
            if not gap <= TOLERANCE:
                show(result="different", why=f"{name}: by {gap:.2g} of the largest output")
                return
        show(result="equal", why="")
    except UserError as why:
        show(result="refused", why=str(why).removeprefix(f"{path}: "))
        return
    try:
        small = lowered_to("int8", path, shape)
        show(int8=max(errors(small, feeds, wanted)))
    except UserError as why:
        show(int8_why=str(why))


def lowered_to(lowering: str, path: Path, shape: str | None) -> Graph:
    """The graph of a model in a number format."""
    given = Given(
        str(path), lowering, 0, None, Reading(input_shape=shape), None, "noise", True, None,
        Cache(), None, None,
    )  # fmt: skip
    return lowered(given).network.graph


def referred(path: Path, built: Built) -> tuple[list[Array], list[Array]]:
    """Inputs as the network takes them, and onnxruntime's outputs with their axes as it has them.

    Each holds `SAMPLES` samples.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    ports = session.get_inputs()
    rng = np.random.default_rng(0)
    feeds: list[list[Array]] = []
    outputs: list[list[Array]] = []
    for _ in range(SAMPLES):
        sample = []
        given = {}
        for tensor, axes, port in zip(built.network.inputs, built.inputs, ports, strict=True):
            sizes = (1, *tensor.shape[1:])
            whole = tensor.dtype.name != "float32"
            values = rng.integers(0, 2, sizes) if whole else rng.normal(size=sizes)
            sample.append(values.astype(tensor.dtype.name))
            back = [axes.index(axis) for axis in range(len(axes))]
            given[port.name] = values.transpose(back).astype(TYPES[port.type])
        found = session.run(None, given)
        feeds.append(sample)
        outputs.append(
            [np.transpose(y, axes) for y, axes in zip(found, built.outputs, strict=True)]
        )
    return (
        [np.stack(column) for column in zip(*feeds, strict=True)],
        [np.stack(column).astype(np.float64) for column in zip(*outputs, strict=True)],
    )


def schedules_of(graph: Graph) -> list[tuple[str, Schedule]]:
    """The schedules that a network is run under."""
    return [
        ("plainly", plain_schedule(graph)),
        ("fastest on M7", schedule_for(graph, "fastest", dsp=True, loads_ahead=True)),
        ("smallest on M0+", schedule_for(graph, "smallest", dsp=False)),
    ]


def run(graph: Graph, schedule: Schedule, feeds: Sequence[Array]) -> list[Array]:
    """The outputs of a program, on this machine."""
    arrays = [
        values.reshape(len(values), *graph.tensors[index].shape)
        for values, index in zip(feeds, graph.inputs, strict=True)
    ]
    return list(build_host(generate(graph, schedule), optimize="-O1").predict_all(arrays))


def worst(found: Sequence[Array], wanted: Sequence[Array]) -> float:
    """The largest difference, as a share of the largest output."""
    gaps = [
        np.abs(mine.reshape(theirs.shape) - theirs).max() / max(1e-6, np.abs(theirs).max())
        for mine, theirs in zip(found, wanted, strict=True)
    ]
    return float(max(gaps))


def errors(graph: Graph, feeds: Sequence[Array], wanted: Sequence[Array]) -> list[float]:
    """Of each int8 output the root of the mean square error, as a share of its range."""
    inputs = [
        quantized(graph, index, values) for index, values in zip(graph.inputs, feeds, strict=True)
    ]
    found = run(graph, schedule_for(graph, "fastest", dsp=True), inputs)
    shares = []
    for mine, theirs, index in zip(found, wanted, graph.outputs, strict=True):
        kept = graph.tensors[index].quantization
        values = mine.astype(np.float64)
        if kept is not None:
            values = (values - kept.zero_points[0]) * kept.scales[0]
        gap = values.reshape(theirs.shape) - theirs
        shares.append(float(np.sqrt((gap**2).mean()) / max(1e-6, np.ptp(theirs))))
    return shares


def quantized(graph: Graph, index: int, values: Array) -> Array:
    """Values as an input takes them."""
    kept = graph.tensors[index].quantization
    if kept is None:
        return values
    steps = np.round(values / kept.scales[0]) + kept.zero_points[0]
    low, high = np.iinfo(graph.tensors[index].dtype).min, np.iinfo(graph.tensors[index].dtype).max
    return np.clip(steps, low, high).astype(graph.tensors[index].dtype)


def table(rows: Sequence[Row]) -> str:
    """The results as Markdown: counts first, then every model."""
    counts = Counter(row["result"] for row in rows)
    total = ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
    trainable = sum(bool(row.get("trainable")) for row in rows)
    lines = [
        "# ONNX files that others made",
        "",
        "Written by `python benchmarks/onnx_models.py FOLDER...`; its docstring says what was run.",
        f"{len(rows)} different files: {total}. {trainable} came in trainable.",
        "",
        "| model | result | | trainable | ops | transpositions | worst, float32 | int8 error, % |",
        "|---|---|---|---|---:|---:|---:|---:|",
    ]
    for row in sorted(rows, key=lambda row: (row["result"], row["model"])):
        int8 = f"{100 * row['int8']:.2f}" if "int8" in row else row.get("int8_why", "")
        lines.append(
            f"| {row['model']} | {row['result']} | {row['why']} | "
            f"{'yes' if row.get('trainable') else ''} | {row.get('ops', '')} | "
            f"{row.get('moved', '')} | {row['worst']:.1e} | {int8} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
