import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from tiny_model import INPUTS, expected, tiny_sources

from autotiny.emulator import build_host, link, run
from autotiny.errors import InvalidData, LinkError
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
    """A model that adds its input's first element to a sum that outlives the inference."""
    sources = tiny_sources()
    program = """
#include "model.h"
uint8_t model_arena[64] __attribute__((aligned(16)));
void model_reset(void) { model_arena[63] = 0; }
int model_run(void) {
  model_arena[63] = (uint8_t)(model_arena[63] + model_arena[0]);
  model_arena[32] = model_arena[63];
  return 0;
}
"""
    header = sources.files["model.h"] + "void model_reset(void);\n"
    files = {**sources.files, "model.c": program, "model.h": header}
    stateful = replace(sources, files=files)
    rows = np.ones((4, INPUTS), np.int8)
    model = build_host(stateful)
    assert model.predict(rows)[:, 0].tolist() == [1, 1, 1, 1]
    assert model.predict(rows, keep_state=True)[:, 0].tolist() == [2, 3, 4, 5]
    target = load_target("rp2040")
    ran = run(link(stateful, target), target, rows)
    assert ran.outputs[:, 0].tolist() == [1, 1, 1, 1]


def _correct(seed: int) -> bool:
    rows = np.random.default_rng(seed).integers(-128, 128, (100, INPUTS), dtype=np.int8)
    return bool((build_host(tiny_sources()).predict(rows) == expected(rows)).all())


def test_processes_build_at_once() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert all(pool.map(_correct, range(4)))


def test_wrong_inputs() -> None:
    with pytest.raises(InvalidData, match="int8 rows of shape"):
        build_host(tiny_sources()).predict(ROWS.astype(np.float32))
    with pytest.raises(InvalidData, match="int8 rows of shape"):
        build_host(tiny_sources()).predict(ROWS[:, :7])


def test_a_compiler_error_is_a_link_error() -> None:
    with pytest.raises(LinkError, match="error"):
        build_host(tiny_sources("int model_run(void) { return nonsense; }"))
