"""`autotiny schedule` and `--schedule best`, from a file to what is printed and written."""

import ctypes
import json
import os
from pathlib import Path

import pytest
from networks import two_layers
from typer.testing import CliRunner

from autotiny import api
from autotiny.cache import Cache
from autotiny.cli import app
from autotiny.errors import UserError
from autotiny.solver.quiet import silent_stdout
from autotiny.tflite import write_tflite

BOARD = "stm32l4r5"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("command") / "two_layers.tflite"
    path.write_bytes(write_tflite(two_layers()))
    return str(path)


def test_the_front_is_printed_drawn_and_written(
    model: str, tmp_path: Path, own_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    plot, data = tmp_path / "front.svg", tmp_path / "front.json"
    command = ["schedule", model, "-t", BOARD, "--points", "4"]
    done = CliRunner().invoke(app, [*command, "--plot", str(plot), "--json-file", str(data)])
    assert done.exit_code == 0, done.output
    found = json.loads(data.read_text())
    assert found["target"] == BOARD and 2 <= len(found["points"]) <= 4
    assert f"{found['points'][0]['cycles']:,}" in done.output
    assert "fully_connected 12" in done.output and "next best" in done.output
    assert plot.read_text().count("<circle") == len(found["points"])
    for point in found["points"]:
        assert point["flash_bytes"] == point["flash_bytes_predicted"]
        assert sum(layer["cycles"] for layer in point["layers"]) == point["cycles_predicted"]
    refused = CliRunner().invoke(app, [*command, "--point", "9"])
    assert refused.exit_code == 2 and "--point 9: the front has" in refused.stderr


def test_measure_takes_bounds(model: str, tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    free = api.measure(model, BOARD, schedule="best", cache=cache)
    assert free.schedule == "best"
    bounds = f"best:sram={free.cost.sram_bytes - 1}"
    within = api.measure(model, BOARD, schedule=bounds, cache=cache)
    assert within.cost.sram_bytes < free.cost.sram_bytes
    assert within.cost.cycles > free.cost.cycles
    with pytest.raises(
        UserError, match="schedule 'best:flash=1K': no schedule takes at most 1,024"
    ):
        api.measure(model, BOARD, schedule="best:flash=1K", cache=cache)
    with pytest.raises(UserError, match="no schedule takes at most 1,024 bytes of flash"):
        api.schedule(model, BOARD, bounds="best:flash=1K", cache=cache)


def test_what_c_code_prints_does_not_reach_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    libc = ctypes.CDLL(None)
    with silent_stdout():
        libc.puts(b"noise")
        os.write(1, b"noise")
    print("kept")  # noqa: T201 - what a command prints
    libc.puts(b"kept too")
    libc.fflush(None)
    assert "noise" not in (said := capfd.readouterr().out)
    assert said.split() == ["kept", "kept", "too"]
