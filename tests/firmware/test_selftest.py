"""The selftest on other people's emulators: QEMU's boards, with and without whom it reports to."""

import json
import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from build import tensor
from machines import BOARDS, Board, command_of, emulated, is_installed, target_of
from small_network import float_network, generated, int8_network
from test_stream import network_behind, windows
from tiny_model import stateful_sources

from autotiny.engine import Sources, generate, plain_schedule
from autotiny.firmware import Firmware, build_host, export_project, link_board, link_selftest
from autotiny.firmware.board_report import BoardReport, report_from
from autotiny.firmware.ports import some_rows
from autotiny.graph import Graph, Op
from autotiny.simulator import measure_firmware
from autotiny.target import Target

M4 = BOARDS[3]
NETWORKS = {"int8": int8_network, "float32": float_network}


def selftest(sources: Sources, target: Target, rows: int = 4) -> Firmware | None:
    measured = measure_firmware(sources, target)
    inputs = some_rows(sources.inputs, rows)
    return link_selftest(sources, measured.firmware, target, measured.cost, inputs)


def reported(board: Board, elf: bytes, folder: Path, shift: int = 3) -> tuple[BoardReport, int]:
    if not is_installed(board):
        pytest.skip(f"{board.program} is not installed")
    text, code = emulated(board, elf, folder, shift=shift)
    return report_from(text), code


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("board", BOARDS, ids=str)
def test_it_boots_and_says_that_outputs_are_equal(
    board: Board, network: str, tmp_path: Path
) -> None:
    sources, target = generated(NETWORKS[network]()), target_of(board)
    made = selftest(sources, target)
    assert made is not None
    found, code = reported(board, made.elf, tmp_path)
    cost = measure_firmware(sources, target).cost
    assert code == 0
    assert found.outputs_equal
    assert found.samples == found.samples_right == 4
    assert (found.model, found.target, found.clock_hz) == ("model", target.name, target.clock_hz)
    assert (found.predicted_cycles, found.predicted_first_cycles) == (cost.cycles, cost.cold_cycles)
    assert found.counter == ("mcycle" if board.machine == "virt" else "systick")
    assert cost.stack_bytes <= found.stack_bytes < cost.stack_bytes + 256
    assert 0 < found.cycles < 1 << 24  # a turn of SysTick too many would be more


@pytest.mark.parametrize("shift", [3, 10])
def test_its_counter_counts_what_is_executed(shift: int, tmp_path: Path) -> None:
    """In QEMU an instruction takes 2**shift ns of the machine's time, which it counts.

    With 1,024 ns an inference takes about as long as a turn of SysTick.
    """
    sources, target = generated(int8_network()), target_of(M4)
    made = selftest(sources, target)
    assert made is not None
    found, _ = reported(M4, made.elf, tmp_path, shift)
    counted = found.cycles * 1e9 / 168e6 / (1 << shift)
    assert counted == pytest.approx(measure_firmware(sources, target).cost.instructions, rel=0.01)


@pytest.mark.parametrize("network", NETWORKS)
def test_it_tells_of_one_output_that_differs(network: str, tmp_path: Path) -> None:
    sources, target = generated(NETWORKS[network]()), target_of(M4)
    made = selftest(sources, target)
    assert made is not None
    rows = build_host(sources).predict_all(some_rows(sources.inputs, 4))
    stored = np.ascontiguousarray(rows[0][2]).tobytes()
    at = made.elf.index(stored[:16])
    wrong = bytes((made.elf[at + 2] ^ 0x40,))
    found, code = reported(M4, made.elf[: at + 2] + wrong + made.elf[at + 3 :], tmp_path)
    assert code == 1
    assert not found.outputs_equal
    assert found.samples_right == 3


@pytest.mark.parametrize("board", [BOARDS[0], M4, BOARDS[-1]], ids=str)
def test_where_nobody_listens_a_probe_finds_the_line_in_memory(
    board: Board, tmp_path: Path
) -> None:
    if not is_installed(board):
        pytest.skip(f"{board.program} is not installed")
    made = selftest(generated(int8_network()), target_of(board))
    assert made is not None
    dump, seconds, memory, said = tmp_path / "memory", 0.25, b"", ""
    while b"SEGGER RTT\0\0\0\0\0\0" not in memory:
        assert seconds < 60
        command = [*command_of(board, made.elf, tmp_path), "-monitor", "stdio"]
        asked = f'memsave {board.sram[0]:#x} 0x2000 "{dump}"\ninfo registers\nquit\n'
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as running:
            time.sleep(seconds)
            said, _ = running.communicate(asked)
        memory, seconds = dump.read_bytes(), 2 * seconds
    # It has stepped over what nobody answers, and stands still at the end of the program.
    (at,) = re.findall(r"(?:R15=|\bpc +)([0-9a-f]{8})", said)
    standing = b"\x01\xa0" if board.machine == "virt" else b"\xfe\xe7"
    assert made.image[int(at, 16) - board.flash[0] :].startswith(standing)
    assert memory.count(b"SEGGER RTT") == 1
    block = memory[memory.index(b"SEGGER RTT") :]
    up, down, _, buffer, size, written, read = np.frombuffer(block[16:44], "<u4")
    assert (up, down, read) == (1, 0, 0)
    line = memory[buffer - board.sram[0] :][:size]
    found = report_from(line[:written].decode())
    assert found.outputs_equal
    assert line[written] == 0


def test_each_sample_begins_anew(tmp_path: Path) -> None:
    sources = stateful_sources()
    made = selftest(sources, target_of(M4))
    assert made is not None
    assert reported(M4, made.elf, tmp_path)[0].samples_right == 4


@pytest.mark.parametrize("board", [BOARDS[0], M4, BOARDS[-1]], ids=str)
@pytest.mark.parametrize(("front", "hop", "turns"), [("motion", 7, 6), ("parts", 20, 3)])
def test_a_stream_is_heard_until_it_answers(
    front: str, hop: int, turns: int, board: Board, tmp_path: Path
) -> None:
    """What the board must give is what whole windows of the same samples give."""
    graph = network_behind(front)
    schedule = plain_schedule(graph)
    sources = generate(graph, schedule, hop=hop)
    made = selftest(sources, target_of(board))
    assert made is not None
    assert f"SELFTEST_SAMPLES 4u\n#define SELFTEST_RUNS {4 * turns}u" in made.files["selftest.h"]
    (hops,) = some_rows(sources.inputs, 4)
    heard = windows(np.concatenate([hops] * turns), 120)[-4:]
    expected = build_host(generate(graph, schedule)).predict(heard)
    places = [made.elf.index(row.tobytes()) for row in expected]
    assert places == sorted(set(places))
    found, code = reported(board, made.elf, tmp_path)
    assert code == 0 and found.outputs_equal
    assert found.samples == found.samples_right == 4


def test_ports_of_any_size_lie_apart(tmp_path: Path) -> None:
    shapes = ((1, 3), (1, 6), (1, 5))
    ports = [tensor(shape, "int8", name=f"x{k}") for k, shape in enumerate(shapes)]
    flat = [replace(one, name=f"y{k}", shape=one.shape[1:]) for k, one in enumerate(ports)]
    ops = tuple(Op("RESHAPE", (k,), (k + 3,)) for k in range(3))
    sources = generated(Graph((*ports, *flat), ops, (0, 1, 2), (3, 4, 5)))
    made = selftest(sources, target_of(M4))
    assert made is not None
    assert reported(M4, made.elf, tmp_path)[0].samples_right == 4


def test_samples_are_as_many_as_there_is_room_for() -> None:
    sources, target = generated(int8_network()), target_of(M4)
    whole = selftest(sources, target)
    assert whole is not None
    assert "SELFTEST_SAMPLES 4u" in whole.files["selftest.h"]
    few = selftest(sources, target, rows=2)
    assert few is not None
    assert "SELFTEST_SAMPLES 2u" in few.files["selftest.h"]
    measured = measure_firmware(sources, target)
    flash, sram = target.memories

    def within(flash_bytes: int, sram_bytes: int) -> Firmware | None:
        memories = (replace(flash, size_bytes=flash_bytes), replace(sram, size_bytes=sram_bytes))
        return selftest(sources, replace(target, memories=memories))

    taken, sample = measured.firmware.flash_bytes, 12 * 12 * 3 + 12
    assert within(taken, sram.size_bytes) is None
    two = within(taken + 4096 + 2 * sample + 4, sram.size_bytes)
    assert two is not None
    assert "SELFTEST_SAMPLES 2u" in two.files["selftest.h"]
    assert within(flash.size_bytes, measured.cost.sram_bytes + 512) is None


@pytest.mark.skipif(
    not (shutil.which("make") and shutil.which("arm-none-eabi-gcc")),
    reason="make or arm-none-eabi-gcc is not installed",
)
@pytest.mark.parametrize("level", ["-O0", "-Os", "-O3"])
def test_gcc_builds_it_too(level: str, tmp_path: Path) -> None:
    sources, target = generated(int8_network()), target_of(M4)
    measured = measure_firmware(sources, target)
    rows = some_rows(sources.inputs, 2)
    made = link_selftest(sources, measured.firmware, target, measured.cost, rows)
    folder = tmp_path / "project"
    started = link_board(sources, measured.firmware, target, measured.cost)
    export_project(sources, started, target, folder, cost=measured.cost, tested=made)
    makefile = (folder / "Makefile").read_text()
    strict = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wno-unused-function -Werror"
    makefile = makefile.replace(" -O3 ", f" {level} ").replace("-Wall", strict)
    (folder / "Makefile").write_text(makefile)
    done = subprocess.run(
        ["make", "selftest"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found, code = reported(M4, (folder / "build/gcc/selftest.elf").read_bytes(), tmp_path)
    assert (found.outputs_equal, code) == (True, 0)


@pytest.mark.slow
def test_flash_writes_what_was_built_last_and_what_was_measured_before_that(tmp_path: Path) -> None:
    if not (shutil.which("make") and shutil.which("arm-none-eabi-gcc")):
        pytest.skip("make or arm-none-eabi-gcc is not installed")
    target = replace(target_of(M4), flash_tool="cp {elf} board")
    sources = generated(int8_network())
    measured = measure_firmware(sources, target)
    rows = some_rows(sources.inputs)
    made = link_selftest(sources, measured.firmware, target, measured.cost, rows)
    assert made is not None
    export_project(sources, measured.firmware, target, tmp_path, cost=measured.cost, tested=made)

    def flashed(*targets: str) -> bytes:
        command = ["make", *targets, f"ZIG={shutil.which('python')} -m ziglang"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        return (tmp_path / "board").read_bytes()

    assert flashed("flash-selftest") == made.elf
    assert flashed("flash") == measured.firmware.elf
    by_gcc = flashed("all", "flash")
    assert by_gcc == (tmp_path / "build/gcc/firmware.elf").read_bytes() != measured.firmware.elf
    subprocess.run(["make", "zig"], cwd=tmp_path, check=True, capture_output=True)
    assert flashed("flash") == measured.firmware.elf
    main = (tmp_path / "src/main.c").read_text()
    (tmp_path / "src/main.c").write_text(main.replace("autotiny_done();\n  }", "}"))
    assert flashed("flash") not in (by_gcc, measured.firmware.elf)  # zig's, made again
    assert flashed("all", "flash") == (tmp_path / "build/gcc/firmware.elf").read_bytes()


@pytest.mark.parametrize("name", ['a "board"\\??/', "ä" * 48, "😀" * 48])
def test_names_stand_in_the_line_as_they_are(name: str, tmp_path: Path) -> None:
    target = replace(target_of(M4), name=name, title="x")
    made = selftest(generated(int8_network()), target)
    assert made is not None
    found, _ = reported(M4, made.elf, tmp_path)
    assert found.target == name
    assert json.dumps(found.to_dict())
