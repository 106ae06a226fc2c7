"""State of the caller: several instances of a model, and the answers and figures of its own C."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from cases import lstm
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from images import Network
from machines import BOARDS, emulated, is_installed, target_of
from small_network import float_network, int8_network
from test_stream import network_behind, series

import autotiny
from autotiny.api.compiling import _past
from autotiny.cache import Cache
from autotiny.engine import Sources, Style, check_name, generate, plain_schedule, schedule_for
from autotiny.engine.sources import Port
from autotiny.engine.stripes import with_two_cores
from autotiny.errors import UserError
from autotiny.evaluate import cost
from autotiny.firmware import build_host, library, link, link_selftest
from autotiny.firmware.board_report import report_from
from autotiny.firmware.linking import compiler_flags
from autotiny.firmware.ports import some_rows
from autotiny.firmware.zig import zig_cc
from autotiny.graph import Array, Graph
from autotiny.model import Level, Model, Program
from autotiny.schedule import Schedule, Weights
from autotiny.simulator import measure_firmware, run
from autotiny.solver import solved
from autotiny.target import load_target

ZIG = [sys.executable, "-m", "ziglang"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
M7 = load_target("stm32f746")
HOP = 160


def layers() -> Graph:
    """Convolutions, two of which share a function."""
    net = Network(8, 8, 8)
    y = net.conv(net.conv(net.conv(0, 8, 3, 1), 8, 3, 1), 0, 3, 1)
    return net.graph(net.conv(y, 8, 1, 1))


def with_memory() -> Graph:
    """An LSTM with state."""
    return lstm(np.random.default_rng(3), "int8").graph


def placed(graph: Graph) -> Schedule:
    """A schedule as a solver gives: code for addresses, weights in SRAM, weights decoded once."""
    steps = plain_schedule(graph).steps
    ways = (Weights("huffman", "start"), Weights(memory="sram"))
    return Schedule(
        tuple(
            replace(step, code="fixed", weights=ways[k % 2])
            if graph.ops[step.ops[0]].kind == "CONV_2D"
            else replace(step, code="fixed")
            for k, step in enumerate(steps)
        )
    )


def in_style(graph: Graph, style: Style) -> Schedule:
    return schedule_for(graph, style, dsp=True)


def programs() -> Iterator[tuple[str, Graph, Schedule, int | None]]:
    for style in get_args(Style):
        yield f"int8 {style}", int8_network(), in_style(int8_network(), style), None
    yield "layers", layers(), in_style(layers(), "balanced"), None
    yield "placed", layers(), placed(layers()), None
    yield "float", float_network(), plain_schedule(float_network()), None
    yield "lstm", with_memory(), plain_schedule(with_memory()), None
    front = network_behind("mfcc")
    yield "stream", front, in_style(front, "fastest"), HOP


PROGRAMS = {label: rest for label, *rest in programs()}


def both(label: str) -> tuple[Sources, Sources]:
    """The C of a program, with static state and with that of a caller."""
    graph, schedule, hop = PROGRAMS[label]
    return (
        generate(graph, schedule, hop=hop),  # type: ignore[arg-type]
        generate(graph, schedule, hop=hop, state="caller"),  # type: ignore[arg-type]
    )


CALLS = """
#include <stdlib.h>
#include "model.h"
#ifdef __cplusplus
extern "C" {
#endif
int answer(int which, const void *in, void *out);
void start(void);
void back(int which);
static model_t first;
static model_t *second;
void start(void) {
  unsigned char *dirty = (unsigned char *)malloc(sizeof(model_t));
  for (size_t k = 0; k < sizeof(model_t); k++) dirty[k] = 0xA5;
  second = (model_t *)(void *)dirty;
  model_init(second);
}
int answer(int which, const void *in, void *out) {
  model_t *m = which ? second : &first;
  return CALL(m, (const MODEL_INPUT_TYPE *)in, (MODEL_OUTPUT_TYPE *)out);
}
void back(int which) {
  model_t *m = which ? second : &first;
  (void)m;
  RESET;
}
#ifdef __cplusplus
}
#endif
"""


class Instances:
    """Two instances of a model, one static and one on the heap, called by C or C++."""

    def __init__(self, sources: Sources, folder: Path, standard: str = "-std=c99") -> None:
        self.output = sources.outputs[0]
        call = "model_invoke" if sources.hearing is None else "model_stream_push"
        keeps = "model_reset(" in sources.files["model.h"]
        calls = CALLS.replace("CALL", call).replace("RESET", "model_reset(m)" if keeps else "")
        plus = "++" in standard
        unit = "calls.cpp" if plus else "calls.c"
        for name, text in {**sources.files, unit: calls}.items():
            (folder / name).write_text(text)
        for name, compiler, flag in (
            (unit, "c++" if plus else "cc", standard),
            ("model.c", "cc", "-std=gnu11"),
            ("weights.c", "cc", "-std=c99"),
        ):
            warnings = WARNINGS if name == unit else []
            command = [*ZIG, compiler, flag, *warnings, "-fPIC", "-c", name, "-o", f"{name}.o"]
            subprocess.run(command, cwd=folder, check=True)
        objects = [f"{name}.o" for name in (unit, "model.c", "weights.c")]
        subprocess.run([*ZIG, "cc", "-shared", *objects, "-o", "all.so"], cwd=folder, check=True)
        self.library = ctypes.CDLL(str(folder / "all.so"))
        self.library.start()

    def answer(self, which: int, row: Array) -> tuple[int, bytes]:
        found = np.zeros(self.output.shape, self.output.dtype)
        row = np.ascontiguousarray(row)
        told = self.library.answer(which, _pointer(row), _pointer(found))
        return told, found.tobytes()


def _pointer(array: Array) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def sequences(label: str, port: Port, count: int) -> tuple[Array, Array]:
    """Two sequences of inputs."""
    if label == "stream":
        rows = series(PROGRAMS[label][0], 2 * count, HOP)  # type: ignore[arg-type]
        return rows[:count], rows[count:]
    rows = some_rows((port,), 2 * count)[0]
    return rows[:count], rows[count:]


@pytest.mark.parametrize(
    ("label", "standard"),
    [
        *((label, "-std=c99") for label in PROGRAMS),
        ("placed", "-std=c++17"),
        ("stream", "-std=c++17"),
    ],
)
@pytest.mark.everyday(3)
def test_two_instances_in_turn_answer_as_each_alone(
    label: str, standard: str, tmp_path: Path
) -> None:
    static, sources = both(label)
    count = 29 if label == "stream" else 5
    rows = sequences(label, static.inputs[0], count)
    alone = build_host(static)
    wanted = [alone.predict(one, keep_state=True) for one in rows]
    assert not np.array_equal(wanted[0], wanted[1])
    two = Instances(sources, tmp_path, standard)
    for k in range(count):
        for which in (0, 1):
            told, found = two.answer(which, rows[which][k])
            assert found == wanted[which][k].tobytes(), (k, which)
            full = label == "stream" and (k + 1) * HOP >= 4000
            assert told == full
    two.library.back(0)  # and the other one goes on
    told, found = two.answer(0, rows[0][0])
    assert (told, found) == (0, wanted[0][0].tobytes())
    if label == "stream":
        assert two.answer(1, rows[1][-1])[0] == 1


@pytest.mark.parametrize("label", PROGRAMS)
def test_nothing_but_weights_is_static_and_writable(label: str, tmp_path: Path) -> None:
    static, sources = both(label)
    allowed = {f"model_w{k}" for k in range(99)} if label == "placed" else set()
    found = {name for one in ("model.c", "weights.c") for name in variables(sources, one, tmp_path)}
    assert found <= allowed and bool(found) == (label == "placed")
    assert "model_arena" in variables(static, "model.c", tmp_path)


def variables(sources: Sources, unit: str, folder: Path) -> set[str]:
    """What an object file holds that can be written to."""
    for name, text in sources.files.items():
        (folder / name).write_text(text)
    flags = [*compiler_flags(M7, "-O2"), "-c", unit, "-o", "unit.o"]
    assert zig_cc(flags, folder) == ""
    with BytesIO((folder / "unit.o").read_bytes()) as file:
        elf = ELFFile(file)
        return {
            symbol.name
            for symbol in elf.get_section_by_name(".symtab").iter_symbols()
            if symbol["st_size"]
            and (
                symbol["st_shndx"] == "SHN_COMMON"
                or elf.get_section(symbol["st_shndx"])["sh_flags"] & SH_FLAGS.SHF_WRITE
            )
        }


@pytest.mark.parametrize("label", PROGRAMS)
@pytest.mark.everyday(2)
def test_host_and_target_give_the_outputs_of_static_state(label: str) -> None:
    static, sources = both(label)
    rows = sequences(label, static.inputs[0], 4)[0]
    for keeps in (False, True):
        wanted, found = (
            build_host(one).predict(rows, keep_state=keeps) for one in (static, sources)
        )
        np.testing.assert_array_equal(found, wanted)
        ran = run(link(sources, M7), M7, rows, keep_state=keeps, simulate_memory=False)
        if label == "float":
            np.testing.assert_allclose(ran.outputs, wanted, rtol=1e-5)
        else:
            np.testing.assert_array_equal(ran.outputs, wanted)


@pytest.mark.parametrize("label", PROGRAMS)
@pytest.mark.everyday(2)
def test_an_instance_is_as_large_as_is_told(label: str, tmp_path: Path) -> None:
    sources = both(label)[1]
    size = f"(sizeof(model_t) == {sources.arena_bytes} ? 1 : -1)"
    kept = f"(sizeof(model_t) - sizeof ((model_t *)0)->arena == {sources.kept_bytes} ? 1 : -1)"
    text = f'#include "model.h"\nextern char a[{size}];\nextern char b[{kept}];\n'
    for name, code in {**sources.files, "size.c": text}.items():
        (tmp_path / name).write_text(code)
    for target in ("stm32f746", "stm32g0b1", "esp32c3"):
        flags = compiler_flags(load_target(target), "-O2")
        assert zig_cc([*flags, "-c", "size.c", "-o", "size.o"], tmp_path) == ""
    firmware = link(sources, M7)
    assert firmware.arena_bytes == sources.arena_bytes
    assert firmware.symbols["model_arena"].bytes == sources.arena_bytes
    assert firmware.symbols["model_arena"].address % 8 == 0
    assert firmware.bss_bytes == 0


@pytest.mark.parametrize("compiler", [["gcc"], ["g++"], [*ZIG, "cc"], [*ZIG, "c++"]])
@pytest.mark.parametrize("label", ["placed", "lstm", "stream"])
def test_headers_compile_in_every_language(label: str, compiler: list[str], tmp_path: Path) -> None:
    plus = "++" in compiler[-1]
    use = tmp_path / ("use.cpp" if plus else "use.c")
    use.write_text('#include "model.h"\nextern model_t several[2];\nmodel_t several[2];\n')
    (tmp_path / "model.h").write_text(both(label)[1].files["model.h"])
    for standard in ("c++11", "c++17") if plus else ("c99", "c11", "c17"):
        command = [*compiler, f"-std={standard}", *WARNINGS, "-c", use.name, "-o", "use.o"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_models_of_either_state_are_in_one_program(tmp_path: Path) -> None:
    graph = with_memory()
    words = generate(int8_network(), plain_schedule(int8_network()), "words", state="caller")
    motion = generate(graph, plain_schedule(graph), "motion", state="caller")
    still = generate(float_network(), plain_schedule(float_network()), "still")
    made = {one.name: one for one in (words, motion, still)}
    lines = ['#include "words.h"', '#include "motion.h"', '#include "still.h"']
    for name, memory in (("words", "&w, "), ("motion", "&m, "), ("still", "")):
        if memory:
            lines.append(f"static {name}_t {memory[1]};")
        head = f"void {name}_call(const void *in, void *out)"
        lines.append(f"{head};\n{head} {{ (void){name}_invoke({memory}in, out); }}")
    files = {name: text for one in made.values() for name, text in one.files.items()}
    for name, text in {**files, "calls.c": "\n".join(lines) + "\n"}.items():
        (tmp_path / name).write_text(text)
    units = sorted(name for name in [*files, "calls.c"] if name.endswith(".c"))
    command = [*ZIG, "cc", *WARNINGS, "-shared", "-fPIC", *units, "-o", "all.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "all.so"))
    for name, one in made.items():
        rows = some_rows(one.inputs, 3)[0]
        for row, wanted in zip(rows, build_host(one).predict(rows, keep_state=True), strict=True):
            found, row = np.zeros_like(wanted), np.ascontiguousarray(row)
            getattr(library, f"{name}_call")(_pointer(row), _pointer(found))
            np.testing.assert_array_equal(found, wanted)


def test_what_is_measured_is_the_c_that_is_written(tmp_path: Path) -> None:
    program = Program(layers(), placed(layers()))
    model = Model(Level.PROGRAM, program, "placed")
    cache = Cache(tmp_path / "cache")
    static, taken = (cost(model, M7, cache, state=state) for state in ("static", "caller"))
    found = measure_firmware(both("placed")[1], M7)
    assert taken == found.cost != static
    assert cost(model, M7, cache) == static  # neither is taken for the other
    assert cost(model, M7, cache, name="caller") != taken
    assert taken.arena_bytes > static.arena_bytes and taken.static_bytes < static.static_bytes
    # weights are decoded once, as with static state: what an instance keeps is left alone
    assert taken.cycles < 1.05 * static.cycles < taken.cold_cycles - 10_000


def test_a_project_has_the_c_of_its_figures(tmp_path: Path) -> None:
    made = autotiny.compile(
        "cnn1", "nrf52840", tmp_path, calibration="noise", project=True, state="caller",
        cache=Cache(tmp_path / "cache"),
    )  # fmt: skip
    header = (tmp_path / "src" / "model.h").read_text()
    assert "int model_invoke(model_t *m, const int8_t *in, int8_t *out);" in header
    assert "model_run(&model_arena);" in (tmp_path / "src" / "main.c").read_text()
    readme = (tmp_path / "README.md").read_text()
    assert "static model_t m;\n" in readme and "model_invoke(&m, in, out);" in readme
    assert f"a `model_t` of yours ({made.cost.arena_bytes} bytes)" in readme
    assert "model_arena" not in readme


@pytest.mark.parametrize("label", ["int8 fastest", "lstm"])
def test_a_selftest_has_an_instance(label: str, tmp_path: Path) -> None:
    board = BOARDS[3]
    if not is_installed(board):
        pytest.skip(f"{board.program} is not installed")
    sources, target = both(label)[1], target_of(board)
    measured = measure_firmware(sources, target)
    rows = some_rows(sources.inputs, 3)
    tested = link_selftest(sources, measured.firmware, target, measured.cost, rows)
    assert tested is not None
    text, code = emulated(board, tested.elf, tmp_path, shift=3)
    found = report_from(text)
    assert code == 0 and found.outputs_equal and found.samples_right == 3


def test_a_library_says_how_it_is_called() -> None:
    sources = both("stream")[1]
    files = library(sources, "arduino", M7)
    sketch = files["examples/model/model.ino"]
    assert "static model_t m;" in sketch and "model_stream_push(&m, in, out)" in sketch
    assert "a `model_t` of yours" in files["README.md"]


@pytest.mark.slow
def test_a_solved_schedule_answers_alike(tmp_path: Path) -> None:
    problem, found = solved(int8_network(), M7, Cache(tmp_path))
    static, sources = (
        generate(problem.graph, found.schedule, state=state) for state in ("static", "caller")
    )
    rows = some_rows(static.inputs, 4)
    wanted, ours = (build_host(one).predict(rows) for one in (static, sources))
    np.testing.assert_array_equal(ours, wanted)
    np.testing.assert_array_equal(run(link(sources, M7), M7, rows).outputs, wanted)
    taken = measure_firmware(sources, M7).cost
    kept = f"best:flash={taken.flash_bytes},sram={taken.sram_bytes}"
    assert _past(kept, taken) == []
    (line,) = _past(f"best:flash={taken.flash_bytes - 9}", taken)
    assert "misses them by 9 bytes of flash" in line


@pytest.mark.parametrize(
    "name", ["int8", "uint32", "size", "ptrdiff", "uint_fast16", "intptr", "wchar", "float", "pid"]
)
def test_a_type_of_the_c_library_is_no_name(name: str) -> None:
    check_name(name)
    with pytest.raises(UserError, match=f"{name}_t.*choose another one, e.g. 'my_{name}'"):
        check_name(name, "caller")


def test_what_is_not_there_is_refused_in_a_line() -> None:
    with pytest.raises(UserError, match="unknown state 'callers'; did you mean 'caller'"):
        check_name("model", "callers")  # type: ignore[arg-type]
    graph, schedule = with_two_cores(layers(), plain_schedule(layers()))
    with pytest.raises(UserError, match=r"two cores.*leave partition_cores out"):
        generate(graph, schedule, state="caller")
