"""A stream gives the answers of its windows, bit for bit, and says what it keeps of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build import single, tensor
from cases import FAMILIES
from test_front import front_of, taking
from test_judging import cost_of
from test_signal_c import SANITIZED, WARNINGS
from test_study import TOY_EVALUATOR, outcomes, searching, toy_cost

import autotiny
from autotiny.cache import Cache
from autotiny.engine import Sources, generate, plain_schedule, schedule_for
from autotiny.errors import UserError
from autotiny.evaluate import cost_from
from autotiny.firmware import build_host, link
from autotiny.graph import Array, Graph
from autotiny.metrics import Cost, StreamCost, missing, overshoot
from autotiny.model import Level, Model
from autotiny.recipe import read_recipe, write_recipe
from autotiny.schedule import Schedule
from autotiny.signal import Decimate, Front, Statistics, Stream, asked_stream, streamed, with_front
from autotiny.simulator import measure, run
from autotiny.study import stream_of
from autotiny.target import load_target
from autotiny.tflite import write_tflite

M4 = "nrf52840"


def network_behind(name: str) -> Graph:
    """A network of one op behind a front of `test_front`."""
    front = front_of(name)
    return with_front(taking(front, front.ends[-1].dtype, front.scale), front)


def network_of(shape: tuple[int, ...], dtype: Any = "int8") -> Graph:
    """A network of one op that takes samples."""
    if dtype == "float32":
        return single("ABS", [tensor(shape, dtype)], tensor(shape, dtype))
    return single("QUANTIZE", [tensor(shape, dtype, 0.5)], tensor(shape, "int8", 0.7))


def series(graph: Graph, hops: int, hop: int) -> Array:
    """So many hops of a random series that a graph takes, (hops, hop, ...)."""
    port = graph.tensors[graph.inputs[0]]
    shape = (hops, hop, *port.shape[2:])
    draw = np.random.default_rng(1)
    if port.dtype == "float32":
        return draw.normal(size=shape).astype(np.float32)
    ends = np.iinfo(port.dtype)
    return draw.integers(ends.min, ends.max, shape, port.dtype, endpoint=True)


def windows(x: Array, window: int) -> Array:
    """The windows that end with a hop of x (hops, hop, ...), the first one full first."""
    hop = x.shape[1]
    row = x.reshape(-1, *x.shape[2:])
    ends = [end for end in range(hop, len(row) + 1, hop) if end >= window]
    return np.stack([row[end - window : end] for end in ends])


def answers(graph: Graph, schedule: Schedule, hop: int, more: int = 4) -> tuple[Array, Array]:
    """What a stream answers once its window is full, and what the whole windows give."""
    window = graph.tensors[graph.inputs[0]].shape[1]
    x = series(graph, -(-window // hop) + more, hop)
    whole = build_host(generate(graph, schedule)).predict(windows(x, window))
    found = build_host(generate(graph, schedule, hop=hop)).predict(x, keep_state=True)
    return found[-len(whole) :], whole


KEPT = {
    ("mfcc", 160): "mfcc 1/24",
    ("log_mel", 480): "log_mel 3/24",
    ("log_mel", 1000): "log_mel 24/24",
    ("log_mel", 3840): "log_mel 24/24",
    ("spectrogram", 128): "spectrogram 1/31",
    ("decimated", 160): "decimate 80/1996, mfcc 1/23",
    ("decimated", 1000): "decimate 500/1996, mfcc 23/23",
    ("decimated_later", 4000): "decimate 1996/1996, log_mel 23/23",
    ("filtered", 320): "band_filter 4000/4000, decimate 1330/1330, log_mel 15/15",
    ("motion", 20): "decimate 10/57",
    ("motion", 7): "decimate 57/57",
    ("parts", 20): "band_filter 120/120, statistics 6/6",
}
"""(front, hop) → outputs that are computed anew, of how many."""


@pytest.mark.parametrize(("name", "hop"), KEPT)
@pytest.mark.everyday(3)
def test_answers_are_those_of_the_whole_windows(name: str, hop: int) -> None:
    graph = network_behind(name)
    schedule = plain_schedule(graph)
    found, whole = answers(graph, schedule, hop)
    assert np.array_equal(found, whole)
    assert len(np.unique(whole)) > 8
    *ends, network = streamed(graph, schedule, hop).parts
    assert ", ".join(f"{part.name} {part.anew}/{part.of}" for part in ends) == KEPT[name, hop]
    assert all((part.anew == part.of) == bool(part.why) for part in (*ends, network))


@pytest.mark.parametrize("hop", [160, 480, 1000])
def test_features_that_are_an_output_are_those_of_the_whole_window(hop: int) -> None:
    front = front_of("mfcc")
    graph = with_front(taking(front, "int8", front.scale), front, shown=True)
    schedule = plain_schedule(graph)
    x = series(graph, -(-4000 // hop) + 4, hop)
    whole = build_host(generate(graph, schedule)).predict_all([windows(x, 4000)])
    stream = build_host(generate(graph, schedule, hop=hop))
    found = stream.predict_all([x], keep_state=True)
    for one, other in zip(found, whole, strict=True):
        assert np.array_equal(one[-len(other) :], other)


def test_parts_of_statistics_that_touch_keep_no_samples() -> None:
    front = Front((120, 3), 1 / 4096, 50)
    end = Statistics(20, 20)
    front = front.followed_by(end, end.output_shape((120, 3)), 1.0)
    graph = with_front(taking(front, end.dtype, 1.0), front)
    changed = streamed(graph, plain_schedule(graph), 40)
    assert [op.kind for op in changed.graph.ops] == ["STATISTICS", "SHIFT_IN", "QUANTIZE"]
    found, whole = answers(graph, plain_schedule(graph), 40)
    assert np.array_equal(found, whole)


def test_samples_that_no_output_is_computed_from_are_not_kept() -> None:
    front = Front((117, 3), 1 / 4096, 50)
    end = Decimate(8, 3)
    front = front.followed_by(end, end.output_shape((117, 3)), 1.0)
    graph = with_front(taking(front, end.dtype, 1.0), front)
    changed = streamed(graph, plain_schedule(graph), 16)
    assert changed.graph.tensors[changed.graph.ops[0].outputs[0]].shape == (1, 13, 3)
    found, whole = answers(graph, plain_schedule(graph), 16)
    assert np.array_equal(found, whole)


@pytest.mark.parametrize(("dtype", "hop"), [("int8", 3), ("float32", 1), ("int16", 12)])
def test_a_network_of_samples_keeps_those(dtype: Any, hop: int) -> None:
    graph = network_of((1, 12, 3), dtype)
    found, whole = answers(graph, plain_schedule(graph), hop)
    assert np.array_equal(found, whole)


@pytest.mark.parametrize("hop", [1, 4])
def test_what_a_network_remembers_of_a_window_is_forgotten_before_the_next(hop: int) -> None:
    for number in range(20):
        graph = FAMILIES["lstm_int8"](np.random.default_rng(number)).graph
        if graph.tensors[graph.inputs[0]].shape[1] == 4:
            break
    found, whole = answers(graph, plain_schedule(graph), hop)
    assert np.array_equal(found, whole)
    assert not (found == found[0]).all()


@pytest.mark.parametrize("style", ["fastest", "smallest"])
def test_kernels_that_were_chosen_stay(style: Any) -> None:
    front = front_of("mfcc")
    x = tensor((1, *front.gives), "int8", front.scale)
    draw = np.random.default_rng(2)
    w = tensor((4, 3, 3, 1), "int8", 0.02, data=draw.integers(-127, 128, (4, 3, 3, 1)))
    bias = tensor((4,), "int32", 0.02 * front.scale, data=draw.integers(-900, 900, 4))
    y = tensor((1, *front.gives[:2], 4), "int8", 0.2 * front.scale)
    network = single("CONV_2D", [x, w, bias], y, stride_h=1, stride_w=1, padding="SAME")
    graph = with_front(network, front)
    schedule = schedule_for(graph, style, dsp=True, loads_ahead=False)
    changed = streamed(graph, schedule, 160).schedule
    assert [step.kernel for step in changed.steps[-1:]] == [schedule.steps[-1].kernel]
    found, whole = answers(graph, schedule, 160)
    assert np.array_equal(found, whole)
    assert len(np.unique(whole)) > 8


def test_emulated_answers_are_those_of_the_host() -> None:
    graph = network_behind("mfcc")
    schedule, target = plain_schedule(graph), load_target(M4)
    x = series(graph, 14, 320)
    whole = build_host(generate(graph, schedule)).predict(windows(x, 4000))
    firmware = link(generate(graph, schedule, hop=320), target)
    ran = run(firmware, target, x, keep_state=True, simulate_memory=False)
    assert np.array_equal(ran.outputs[-len(whole) :], whole)
    alone = run(firmware, target, x[-2:], simulate_memory=False)
    assert not np.array_equal(alone.outputs[-1], whole[-1])


def test_a_hop_costs_what_is_new_and_less_memory() -> None:
    graph = network_behind("mfcc")
    schedule, target = plain_schedule(graph), load_target(M4)
    whole = measure(generate(graph, schedule), target)
    hop = measure(generate(graph, schedule, hop=160), target)
    assert hop.cycles < whole.cycles / 6
    assert hop.sram_bytes < whole.sram_bytes / 2
    assert [layer.name.split()[0] for layer in hop.layers] == [
        "shift_in", "mfcc", "shift_in", "quantize",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC and its sanitizers")
@pytest.mark.parametrize(("name", "hop"), [("mfcc", 160), ("decimated", 1000), ("filtered", 4000)])
def test_the_c_says_when_a_window_is_full(name: str, hop: int, tmp_path: Path) -> None:
    graph = network_behind(name)
    sources = generate(graph, plain_schedule(graph), hop=hop)
    x = series(graph, 28, hop)
    written(sources, tmp_path)
    command = [*SANITIZED, *WARNINGS, "model.c", "weights.c", "program.c", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "program"], input=x.tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:4000]
    whole = build_host(generate(graph, plain_schedule(graph))).predict(windows(x, 4000))
    size = int(np.prod(whole.shape[1:]))
    told = np.frombuffer(done.stdout, np.uint8).reshape(2, 28, 1 + size)
    first = -(-4000 // hop) - 1
    assert told[0, :, 0].tolist() == [0] * first + [1] * (28 - first)
    assert np.array_equal(told[0, first:, 1:].view(np.int8), whole.reshape(-1, size))
    assert np.array_equal(told[0], told[1])  # after a reset


PROGRAM = """#include "model.h"
#include <stdio.h>

static int16_t all[28][MODEL_HOP];
static int8_t out[MODEL_OUTPUT_SIZE];

int main(void) {
  if (fread(all, sizeof all, 1, stdin) != 1) return 1;
  for (int turn = 0; turn < 2; turn++) {
    for (int hop = 0; hop < 28; hop++) {
      putchar(model_stream_push(all[hop], out));
      fwrite(out, 1, sizeof out, stdout);
    }
    model_reset();
  }
  return MODEL_WINDOW != 4000;
}
"""


def written(sources: Sources, folder: Path) -> None:
    for name, text in {**sources.files, "program.c": PROGRAM}.items():
        (folder / name).write_text(text, encoding="utf-8")


def test_c_of_whole_windows_knows_no_stream() -> None:
    graph = network_behind("mfcc")
    text = "".join(generate(graph, plain_schedule(graph)).files.values())
    assert "stream" not in text and "heard" not in text


# --- what is asked -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "known", "stream"),
    [
        ("hop=320", 16_000, Stream(320, 16_000)),
        ("hop=320", None, Stream(320)),
        ("hop = 20ms", 16_000, Stream(320, 16_000)),
        ("hop=0.5s", 16_000, Stream(8000, 16_000)),
        ("hop=20ms, rate=50", None, Stream(1, 50)),
        ("hop=2,rate=100", 50, Stream(2, 100)),
    ],
)
def test_a_hop_is_samples_or_a_time(text: str, known: int | None, stream: Stream) -> None:
    assert asked_stream(text).at(known) == stream


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hop=0", "1 sample at the soonest"),
        ("hop=0ms", "1 sample at the soonest"),
        ("hop=-3", "it must be hop=320"),
        ("320", "it must be hop=320"),
        ("hop=20m", "it must be hop=320"),
        ("hop=1e3", "it must be hop=320"),
        ("hop=20ms, rate=0", "from 1 to"),
        ("hop=20ms, rate=2000000", "from 1 to"),
        ("hop=20ms", "rate of the samples is not known"),
        ("hop=0.3ms, rate=8000", "set it to 0.25ms, which is 2"),
        ("hop=0.01ms, rate=8000", "set it to 0.125ms, which is 1"),
    ],
)
def test_what_is_no_hop_is_refused_in_a_line(text: str, told: str) -> None:
    with pytest.raises(UserError) as refusal:
        asked_stream(text).at(None)
    assert told in str(refusal.value) and "\n" not in str(refusal.value)


def lowered(*shapes: tuple[int, ...], front: Front | None = None) -> Model:
    """A lowered model that takes such inputs."""
    graph = network_of(shapes[0])
    if len(shapes) > 1:
        graph = single("ADD", [tensor(shape, "int8", 0.5) for shape in shapes], graph.tensors[1])
    return Model(Level.TFLITE, graph, graph.fingerprint(), front=front)


def test_samples_in_a_row_are_a_stream() -> None:
    asked = asked_stream("hop=4")
    assert stream_of(lowered((1, 12, 3)), asked) == Stream(4)
    for shape in ((12,), (12, 3), (12, 3, 1)):
        recorded = Front(shape, 1.0, 100)
        assert stream_of(lowered((1, *shape), front=recorded), asked) == Stream(4, 100)


@pytest.mark.parametrize(
    ("shapes", "hop", "told"),
    [
        (((1, 12, 3),), 13, "hop is 13 samples and the window 12"),
        (((1, 12),), 4, "takes 12, which has no axis of time"),
        (((1, 28, 28, 1),), 4, "takes 28×28×1, which has no axis of time"),
        (((1,),), 1, "takes one value, which has no axis of time"),
        (((1, 12, 3), (1, 12, 3)), 4, "the network has 2 inputs"),
    ],
)
def test_what_is_no_stream_is_refused_in_a_line(shapes: Any, hop: int, told: str) -> None:
    with pytest.raises(UserError) as refusal:
        stream_of(lowered(*shapes), asked_stream(f"hop={hop}"))
    assert told in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("hop", [0, 13])
def test_a_hop_of_a_file_is_held_against_the_window(hop: int) -> None:
    graph = lowered((1, 12, 3)).graph
    with pytest.raises(UserError, match="set it to 1 to 12"):
        generate(graph, plain_schedule(graph), hop=hop)


# --- what it takes -------------------------------------------------------------------------------


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "network.tflite"
    path.write_bytes(write_tflite(network_of((1, 12, 3))))
    return path


def test_a_duty_cycle_is_measured(network: Path, tmp_path: Path) -> None:
    found = autotiny.measure(network, M4, stream="hop=4, rate=100", cache=Cache(tmp_path / "c"))
    stream = found.cost.stream
    assert stream is not None
    assert (stream.hop, stream.window, stream.hop_ms) == (4, 12, 40.0)
    assert stream.duty_cycle == pytest.approx(found.cost.latency_ms / 40)
    energy = found.cost.energy_estimated_mj * 25
    assert stream.energy_estimated_mj_per_second == pytest.approx(energy)
    assert not found.misses
    again = json.loads(json.dumps(found.to_dict()))
    assert cost_from({name: again[name] for name in asdict(found.cost)}) == found.cost
    plain = autotiny.measure(network, M4, stream="hop=4", cache=Cache(tmp_path / "c"))
    assert plain.cost.stream == replace(
        stream, hop_ms=None, duty_cycle=None, energy_estimated_mj_per_second=None
    )
    whole = autotiny.measure(network, M4, cache=Cache(tmp_path / "c"))
    assert whole.cost.stream is None and whole.cost.cycles != found.cost.cycles


def test_what_does_not_keep_up_is_said(network: Path, tmp_path: Path) -> None:
    told: list[str] = []
    found = autotiny.measure(
        network, M4, stream="hop=1, rate=1000000", cache=Cache(tmp_path), on_notice=told.append
    )
    assert not told  # that it is executed on larger memories
    (miss,) = found.misses
    assert miss.endswith("µs of time for each hop, so it does not keep up")


@pytest.mark.parametrize("samples", [0, 60])
def test_a_project_is_called_hop_by_hop(samples: int, network: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    x = np.random.default_rng(0).random((samples, 12, 3), np.float32)
    data = (x, x) if samples else None
    made = autotiny.compile(
        network, M4, folder, project=True, stream="hop=4, rate=100", data=data,
        cache=Cache(tmp_path / "c"),
    )  # fmt: skip
    tested = (folder / "selftest.elf").read_bytes()
    stored = np.clip(np.round(x / 0.5), -128, 127).astype(np.int8)
    assert any(window.tobytes() in tested for window in stored) == bool(samples)
    assert "#define MODEL_HOP 4\n#define MODEL_WINDOW 12\n" in (folder / "src/model.h").read_text()
    readme = (folder / "README.md").read_text()
    assert "if (model_stream_push(in, out)) {" in readme and "model_invoke" not in readme
    assert "| duty cycle | " in readme
    assert made.cost.stream is not None


def hop_cost(hop_ms: float) -> Any:
    """The costs of toys that have so long for an answer."""

    def cost(model: Model, target: Any, cache: Cache, stream: Stream) -> Cost:
        taken = toy_cost(model, target, cache)
        assert stream == Stream(320, 16_000)
        duty = taken.latency_ms / hop_ms
        return replace(taken, stream=StreamCost(320, 16_000, hop_ms, duty, duty, ("network",)))

    return cost


def test_a_search_for_a_stream_takes_what_keeps_up(tmp_path: Path) -> None:
    evaluator = replace(TOY_EVALUATOR, cost=hop_cost(1.2))
    stream = Stream(320, 16_000)
    with searching(tmp_path) as search:
        result = search(evaluator=evaluator, stream=stream, trials=12)
        assert {"measured", "infeasible"} <= set(outcomes(result))
        assert result.front
        assert all(point.metrics.cost.latency_ms <= 1.2 for point in result.front)
        saved = result.saved_recipe(result.front[0])
        write_recipe(saved, tmp_path / "best.json")
        assert read_recipe(tmp_path / "best.json").stream == saved.stream == stream
        with pytest.raises(UserError, match="stream"):
            search(evaluator=evaluator, stream=Stream(160, 16_000))


@pytest.mark.parametrize(
    ("latency_ms", "misses"),
    [
        (19.9, []),
        (20.0, []),
        (20.0001, ["1 µs of time for each hop, so it does not keep up"]),
        (21.5, ["1,500 µs of time for each hop, so it does not keep up"]),
    ],
)
def test_late_is_what_answers_after_the_next_hop(latency_ms: float, misses: list[str]) -> None:
    taken = cost_of(1000, 1000, latency_ms)
    target = load_target(M4)
    assert not missing(overshoot(taken, target))
    stream = StreamCost(320, 16_000, 20.0, latency_ms / 20, 1.0, ())
    assert missing(overshoot(replace(taken, stream=stream), target)) == misses
    unknown = replace(stream, hop_ms=None, duty_cycle=None)
    assert not missing(overshoot(replace(taken, stream=unknown), target))
