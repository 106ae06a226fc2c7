"""Model files are read in the worker, and what it stores is checked before it is built here."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import loading_requests as requests
import pytest
from typer.testing import CliRunner

from autotiny import worker
from autotiny.cli import app
from autotiny.errors import InvalidModel, MachineFault, WorkerEnded
from autotiny.model import Level, load_model, loading
from autotiny.worker import Limits


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "net.h5"
    requests.weights(path)
    return path


def refuse(*_: object) -> None:
    raise AssertionError("it was read in this process")


def test_this_process_reads_no_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("read_h5", "read_keras3", "read_saved_model"):
        monkeypatch.setattr(loading, name, refuse)
    model = load_model(file)
    assert model.level is Level.KERAS
    assert [values.tolist() for values in model.keras.get_weights()] == [[[1, 1]] * 3, [0, 0]]


@pytest.mark.slow
def test_tensorflow_comes_in_through_its_door_here_too(file: Path) -> None:
    code = (
        "import sys; from autotiny.model import load_model; load_model(sys.argv[1])\n"
        "import os, tensorflow as tf\n"
        "assert os.environ['TF_USE_LEGACY_KERAS'] == '1'\n"
        "assert tf.config.threading."
        "get_intra_op_parallelism_threads() == 2"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_a_crash_names_the_file_and_the_way_out(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "read_into", requests.crash)
    with pytest.raises(WorkerEnded, match=rf"^loading {file} crashed \(SIG\w+\); save the model"):
        load_model(file)
    found = CliRunner().invoke(app, ["measure", str(file), "--target", "rp2040"])
    assert found.exit_code == 2
    assert found.stderr.startswith("error: loading ")
    assert len(found.stderr.splitlines()) == 1


def test_the_limits_of_loading_hold(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "read_into", requests.hang)
    monkeypatch.setattr(loading, "LOADING_SECONDS", 1.0)
    with pytest.raises(WorkerEnded, match="took longer than 1 s"):
        load_model(file)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what a process holds")
def test_the_memory_of_loading_is_limited(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "Limits", lambda seconds: Limits(seconds, memory=64 << 20))
    worker.stop()
    with pytest.raises(MachineFault, match=r"took more than 0\.1 GB of memory"):
        load_model(file)


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        (requests.store_lambda, "Lambda, which holds code"),
        (requests.store_operation, r"came back with the operation 'VectorizedMap'"),
        (requests.store_whole_layer, "Lambda, which holds code"),
        (requests.store_disguise, "Lambda, which holds code"),
        (requests.store_file_writer, "the op WriteFile"),
    ],
)
@pytest.mark.everyday(2)
def test_a_worker_that_was_taken_over_takes_nothing_over_here(
    file: Path, store: Callable[..., Any], reason: str, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(loading, "read_into", store)
    with pytest.raises(InvalidModel, match=reason):
        load_model(file)
    assert not list(tmp_path.iterdir())
