"""The commands that print figures, run on real networks and firmware."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import Net, planted
from typer.testing import CliRunner

from autotiny.cli import app
from autotiny.dataset import digits
from autotiny.model import keras, tensorflow
from autotiny.tflite import write_tflite

pytestmark = pytest.mark.usefixtures("own_cache")

PROMISED = {
    "flash_bytes", "weights_bytes", "code_bytes", "sram_bytes", "arena_bytes", "static_bytes",
    "stack_bytes", "instructions", "cycles", "latency_ms", "energy_estimated_mj", "layers",
    "active_current_error_percent",
}  # fmt: skip


def done(*arguments: str | Path) -> str:
    """What a command that succeeds writes to stdout."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def facts(*arguments: str | Path) -> dict[str, Any]:
    """The same with `--json`: nothing but JSON stands on stdout."""
    found: dict[str, Any] = json.loads(done(*arguments, "--json"))
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small search that was run as a command."""
    folder = tmp_path_factory.mktemp("search")
    images = digits().shrunk(300, 60, 60)
    np.savez(folder / "few.npz", x=images.x_train, y=images.y_train)
    out = folder / "out"
    printed = facts(
        "search", "-t", "stm32f746", "-d", folder / "few.npz", "--trials", "4", "--epochs", "1",
        "--solve", "0", "--space", "post_training", "-o", "latency", "-o", "size", "--out", out,
    )  # fmt: skip
    assert printed == json.loads((out / "pareto.json").read_text())
    assert sum(printed["trials"].values()) == 4
    return out


def test_measure_prints_the_promised_figures() -> None:
    measured = facts("measure", "cnn1", "-t", "stm32f746")
    assert measured.keys() >= PROMISED
    assert measured["flash_bytes"] == measured["weights_bytes"] + measured["code_bytes"]
    parts = measured["arena_bytes"] + measured["static_bytes"] + measured["stack_bytes"]
    assert measured["sram_bytes"] == parts
    assert sum(layer["cycles"] for layer in measured["layers"]) <= measured["cycles"]
    table = done("measure", "cnn1", "-t", "stm32f746")
    assert f"{measured['flash_bytes']:,}" in table
    assert f"{measured['cycles']:,}" in table


def test_measure_differs_by_schedule_and_target() -> None:
    fast = facts("measure", "cnn1", "-t", "stm32f746", "--schedule", "fastest")
    small = facts("measure", "cnn1", "-t", "stm32f746", "--schedule", "smallest")
    assert fast["cycles"] < small["cycles"]
    assert small["flash_bytes"] <= fast["flash_bytes"]
    assert facts("measure", "cnn1", "-t", "rp2040")["cycles"] > fast["cycles"]


def test_measure_takes_other_wait_states() -> None:
    command = ("measure", "cnn1", "-t", "stm32l4r5", "--wait-states")
    slow, fast = facts("measure", "cnn1", "-t", "stm32l4r5"), facts(*command, "0")
    assert (slow["flash_wait_states"], fast["flash_wait_states"]) == (5, 0)
    assert fast["cycles"] < slow["cycles"]
    assert fast["instructions"] == slow["instructions"]
    told = " ".join(done(*command, "0").split())
    assert "for 0 wait states of the flash, where stm32l4r5 has 5; times and energy are" in told
    assert "wait states" not in done("measure", "cnn1", "-t", "stm32l4r5")


def test_measure_tells_of_constant_channels(tmp_path: Path) -> None:
    net = Net()
    graph = net.graph(net.layer(planted(net, constant=(1, 4, 5, 6)), 4))
    (tmp_path / "net.tflite").write_bytes(write_tflite(graph))
    asked = ("measure", tmp_path / "net.tflite", "-t", "rp2040")
    assert "remove_constant_channels: 4 of 12 channels removed" in done(*asked)
    assert "channels removed" not in done(*asked, "--keep-constant-channels")


def test_measure_repeats() -> None:
    first, again = (done("measure", "cnn1", "-t", "rp2040", "--json") for _ in range(2))
    assert first == again


def test_compile_writes_c_and_nothing_else(tmp_path: Path) -> None:
    printed = facts("compile", "cnn1", "-t", "rp2040", "--out", tmp_path / "c")
    written = {path.name for path in (tmp_path / "c").iterdir()}
    assert written == set(printed["files"])
    assert written >= {"model.h", "model.c", "weights.c"}
    assert all(name.endswith((".c", ".h")) for name in written)


def test_compile_writes_a_project_ready_to_flash(tmp_path: Path) -> None:
    printed = facts("compile", "cnn1", "-t", "rp2040", "--out", tmp_path / "p", "--project")
    written = {
        str(path.relative_to(tmp_path / "p"))
        for path in (tmp_path / "p").rglob("*")
        if path.is_file()
    }
    assert written == set(printed["files"])
    assert written > {"Makefile", "README.md"}
    assert printed["flash_bytes"] > printed["weights_bytes"]


def test_measure_calibrates_with_a_folder_of_images(tmp_path: Path) -> None:
    for label in ("down", "up"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(6):
            pixels = np.full((30, 31, 1), 20 * number, np.uint8)
            content = tensorflow().io.encode_png(pixels).numpy()
            (tmp_path / "images" / label / f"{number}.png").write_bytes(content)
    layers = keras().layers
    network = keras().Sequential(
        [layers.Conv2D(4, 3, 2, input_shape=(16, 16, 1)), layers.Flatten(), layers.Dense(2)]
    )
    network.save(tmp_path / "net.keras")
    asked = ("measure", tmp_path / "net.keras", "-t", "rp2040", "-d", tmp_path / "images")
    assert facts(*asked, "--resize", "16x16")["calibration"] == str(tmp_path / "images")
    told = CliRunner().invoke(app, [*map(str, asked), "--resize", "16x16", "--scale", "none"])
    assert told.exit_code == 0
    assert "classes: 0 = down (6), 1 = up (6)" in told.stderr
    assert "inputs: uint8 from 0 to 100, as they are" in told.stderr
    assert f"ranges found with {tmp_path / 'images'}" in " ".join(told.stdout.split())
    refused = CliRunner().invoke(app, [*map(str, asked)])
    assert "has samples of 30×31×1, the model takes 16×16×1" in " ".join(refused.stderr.split())


def test_a_search_leaves_everything_behind(found: Path) -> None:
    names = {path.name for path in found.iterdir()}
    assert names == {
        "study.db", "report.md", "pareto.csv", "pareto.json", "pareto.svg", "recipes", "best.json",
        "best",
    }  # fmt: skip
    with (found / "pareto.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all((found / row["recipe"]).is_file() for row in rows)
    best = {path.name for path in (found / "best").iterdir()}
    assert best >= {"src", "model.tflite", "firmware.elf", "selftest.elf", "Makefile", "README.md"}


def test_the_same_search_again_has_nothing_left_to_do(found: Path) -> None:
    again = facts(
        "search", "-t", "stm32f746", "-d", found.parent / "few.npz", "--trials", "4",
        "--epochs", "1", "--solve", "0", "--space", "post_training", "-o", "latency", "-o", "size",
        "--out", found,
    )  # fmt: skip
    assert sum(again["trials"].values()) == 4


def test_apply_rebuilds_the_same_bytes(found: Path, tmp_path: Path) -> None:
    applied = facts("apply", found / "best.json", "--out", tmp_path)
    assert applied["differences"] == {}
    assert applied.keys() >= PROMISED
    for path in (found / "best").rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(found / "best")).read_bytes() == path.read_bytes()


def test_measure_takes_a_recipe_and_an_elf(found: Path, tmp_path: Path) -> None:
    recipe = json.loads((found / "best.json").read_text())
    measured = facts("measure", found / "best.json", "-t", "stm32f746")
    assert measured["schedule"] == "of the recipe"
    assert measured["weights_bytes"] > 0
    assert recipe["figures"]["weights_bytes"] > 0
    elf = found / "best" / "firmware.elf"
    flames = tmp_path / "flames.json"
    profile = facts("measure", elf, "-t", "stm32f746", "--speedscope", flames)
    # between the two markers stands one branch that is no part of the inference
    assert abs(profile["instructions"] - recipe["figures"]["instructions"]) <= 2
    assert json.loads(flames.read_text())["profiles"]
    one = facts("measure", elf, "-t", "stm32f746", "--function", "model_run")
    error = one["active_current_error_percent"]
    assert error == measured["active_current_error_percent"]
    table = done("measure", elf, "-t", "stm32f746", "--function", "model_run")
    assert f" mJ ± {error} %" in table
    assert 0 < one["instructions"] <= profile["instructions"]
    fast = ("measure", elf, "-t", "stm32f746", "--function", "model_run", "--wait-states", "0")
    assert facts(*fast)["cycles"] < one["cycles"]
    assert "for 0 wait states of the flash" in done(*fast)
    warm = facts("measure", elf, "-t", "stm32f746", "--function", "model_run", "--repeat", "2")
    assert warm["cycles"] < one["cycles"]
    table = done("measure", "cnn1", "-t", "stm32f746", "--profile")
    assert "model_run" in table
    assert "fetch" in table


def test_order_shows_a_pair_both_ways_round(found: Path, tmp_path: Path) -> None:
    command = ("order", "fuse_operators", "int8(calibration=20)", "-t", "stm32f746",
               "-d", found.parent / "few.npz", "--seeds", "1")  # fmt: skip
    table = done(*command, "--json", tmp_path / "order.json")
    assert "A → B: illegal: fuse_operators takes a model of level" in table
    printed = json.loads(done(*command, "--json", "-"))
    assert printed == json.loads((tmp_path / "order.json").read_text())
    (run,) = printed["orders"][1]["runs"]
    assert f"{run['flash_bytes']:,}" in table


@pytest.mark.parametrize("command", ["targets", "tasks", "components", "spaces"])
@pytest.mark.everyday(2)
def test_lists_are_json_too(command: str) -> None:
    listed = json.loads(done(command, "--json"))
    assert listed
    assert all(entry["name"] in done(command) for entry in listed)
