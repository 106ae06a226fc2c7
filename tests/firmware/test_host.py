import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import INPUTS, expected, stateful_sources, tiny_sources

from autotiny.engine.sources import Port
from autotiny.errors import FirmwareFault, InvalidData, LinkError, MachineFault
from autotiny.firmware import build_host, link, zig
from autotiny.simulator import run
from autotiny.target import load_target

ROWS = np.random.default_rng(2).integers(-128, 128, (5000, INPUTS), dtype=np.int8)


def test_predicts_all_rows() -> None:
    model = build_host(tiny_sources())
    np.testing.assert_array_equal(model.predict(ROWS), expected(ROWS))
    np.testing.assert_array_equal(model.predict(ROWS[:1]), expected(ROWS[:1]))
    assert model.predict(ROWS[:0]).shape == (0, 10)


def test_nothing_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    build_host(tiny_sources()).predict(ROWS)
    assert list(tmp_path.iterdir()) == []


def test_two_models_of_one_name_stay_apart() -> None:
    first = build_host(tiny_sources())
    second = build_host(tiny_sources(tiny_sources().files["model.c"].replace(">>= 8", ">>= 9")))
    np.testing.assert_array_equal(first.predict(ROWS), expected(ROWS))
    assert (second.predict(ROWS) != expected(ROWS)).any()


def test_threads_take_turns() -> None:
    model = build_host(tiny_sources())
    wrong: list[int] = []

    def work(start: int) -> None:
        rows = ROWS[start::4]
        if any((model.predict(rows) != expected(rows)).any() for _ in range(20)):
            wrong.append(start)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_rows_share_no_state_unless_they_are_a_sequence() -> None:
    stateful = stateful_sources()
    rows = np.ones((4, INPUTS), np.int8)
    model = build_host(stateful)
    assert model.predict(rows)[:, 0].tolist() == [1, 1, 1, 1]
    assert model.predict(rows, keep_state=True)[:, 0].tolist() == [1, 2, 3, 4]
    target = load_target("rp2040")
    ran = run(link(stateful, target), target, rows)
    assert ran.outputs[:, 0].tolist() == [1, 1, 1, 1]


def _correct(seed: int) -> bool:
    rows = np.random.default_rng(seed).integers(-128, 128, (100, INPUTS), dtype=np.int8)
    return bool((build_host(tiny_sources()).predict(rows) == expected(rows)).all())


def test_processes_build_at_once() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert all(pool.map(_correct, range(4)))


def test_several_ports_keep_their_bytes_apart() -> None:
    """Two inputs and two outputs of different types; the outputs are the inputs, swapped."""
    program = """
#include <string.h>
#include "model.h"
uint8_t model_arena[64] __attribute__((aligned(16)));
int model_run(void) {
  memcpy(model_arena + 32, model_arena + 16, 8);
  memcpy(model_arena + 48, model_arena, 3);
  return 0;
}
"""
    small, large = Port("a", 0, (1, 3), "int8"), Port("b", 16, (1, 2), "float32")
    sources = replace(
        tiny_sources(program),
        inputs=(small, large),
        outputs=(replace(large, offset=32), replace(small, offset=48)),
    )
    a = np.arange(300, dtype=np.int32).astype(np.int8).reshape(100, 3)
    b = np.linspace(0, 1, 200, dtype=np.float32).reshape(100, 2)
    first, second = build_host(sources).predict_all([a, b])
    np.testing.assert_array_equal(first, b)
    np.testing.assert_array_equal(second, a)


def test_a_program_that_was_killed_is_no_fault_of_the_network() -> None:
    start = "int32_t sum = 0;"
    source = tiny_sources().files["model.c"]
    assert start in source
    kill = "extern int raise(int); " + start + " raise(9);"
    model = build_host(tiny_sources(source.replace(start, kill)))
    with pytest.raises(MachineFault, match=r"was killed \(SIGKILL\), as systems do"):
        model.predict(ROWS)


def test_a_crash_ends_the_prediction_and_not_this_process() -> None:
    crash = "if (model_arena[0] == 100) *(volatile int *)8 = 1;"
    source = tiny_sources().files["model.c"]
    start = "int model_run(void) {"
    model = build_host(tiny_sources(source.replace(start, start + crash)))
    rows = np.zeros((5000, INPUTS), np.int8)
    np.testing.assert_array_equal(model.predict(rows), expected(rows))
    rows[4000, 0] = 100
    with pytest.raises(FirmwareFault, match=r"crashed on this machine \(SIG\w+\) .* 5000 samples"):
        model.predict(rows)
    np.testing.assert_array_equal(model.predict(rows[:4000]), expected(rows[:4000]))


def test_wrong_inputs() -> None:
    with pytest.raises(InvalidData, match="int8 rows of shape"):
        build_host(tiny_sources()).predict(ROWS.astype(np.float32))
    with pytest.raises(InvalidData, match="int8 rows of shape"):
        build_host(tiny_sources()).predict(ROWS[:, :7])


def test_a_compiler_error_is_a_link_error() -> None:
    with pytest.raises(LinkError, match="error"):
        build_host(tiny_sources("int model_run(void) { return nonsense; }"))


def test_the_c_library_is_looked_for_once_and_again_where_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zig, "LIBC_WAITS", (0.0, 0.0, 0.0))
    calls: list[str] = []
    run = subprocess.run

    def busy(command: list[str], **options: Any) -> Any:
        calls.append(command[-1])
        if command[-1] == "libc" and len(calls) < 3:
            return subprocess.CompletedProcess(command, 1, "", "FileSystem")
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", busy)
    zig._libc.cache_clear()
    (tmp_path / "a.c").write_text('#include <stdio.h>\nint main(void) { return puts("") < 0; }\n')
    for name in ("a", "b"):
        assert zig.zig_cc(["a.c", "-o", name], tmp_path) == ""
    assert calls.count("libc") == (3 if sys.platform == "linux" else 0)
    bare = ["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4", "-c", "b.c"]
    (tmp_path / "b.c").write_text("int b;\n")
    assert zig.zig_cc(bare, tmp_path) == ""


def test_a_c_library_that_is_not_where_it_was_found_is_not_used_for_other_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zig, "_libc", lambda: "include_dir=/nowhere\n")
    (tmp_path / "b.c").write_text("int b;\n")
    bare = ["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4", "-c", "b.c"]
    assert zig.zig_cc(bare, tmp_path) == ""
    assert zig.zig_cc(["-c", "b.c"], tmp_path) != ""
    assert zig.zig_cc(bare, tmp_path) == ""
