"""Each line under "bad input": one clear message, a non-zero exit code, no traceback."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from autotiny.cli import app
from autotiny.datafile import data_folder
from autotiny.dataset import digits
from autotiny.graph import Graph, Op, Quantization, Tensor
from autotiny.model import keras
from autotiny.tflite import write_tflite

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*arguments: str | Path, code: int = 2) -> str:
    """The message of a command that ends with one; nothing else went wrong."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in result.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("search -t stm32f764", "unknown target 'stm32f764'; did you mean 'stm32f746'?"),
        ("measure cnn1 -t rp2400", "unknown target 'rp2400'; did you mean 'rp2040'?"),
        ("compile cnn1 -t rp2400 --out c", "did you mean 'rp2040'?"),
        ("search -t rp2040 -d digit", "unknown data set 'digit'; did you mean 'digits'?"),
        ("search -t rp2040 -o latancy", "unknown objective 'latancy'; did you mean 'latency'?"),
        ("search -t rp2040 --sampler tpee", "unknown sampler 'tpee'; did you mean 'tpe'?"),
        (
            "search -t rp2040 -m cnn --max latancy=20ms",
            "unknown bound 'latancy'; did you mean 'latency'?",
        ),
        (
            "search -t rp2040 --max latency=20",
            "cannot read the time in '--max latency=20'; say",
        ),
        ("search -t rp2040 --min latency=20ms", "latency is better small; bound it by --max"),
        ("search -t rp2040 --max flash=1K --max flash=2K", "flash has two bounds; give one"),
        ("search -t rp2040 --reserve sram=264K", "and rp2040 has 270,208 for firmware"),
        ("search -t rp2040 -m cnn", "unknown model 'cnn'; did you mean 'cnn1'?"),
        ("measure resnet -t rp2040", "unknown model 'resnet'; did you mean 'resnet8'?"),
        (
            "measure cnn1 -t rp2040 --lowering int9",
            "unknown component 'int9'; did you mean 'int8'?",
        ),
        (
            "measure cnn1 -t rp2040 --lowering prune_channels",
            "'prune_channels' is no lowering; choose one of float32, float16,",
        ),
        (
            "search -t rp2040 --space defaul",
            "unknown search space 'defaul'; did you mean 'default'?",
        ),
        (
            "order prune_chanels int8 -t rp2040",
            "unknown component 'prune_chanels'; did you mean 'prune_channels'?",
        ),
        ("order prune_channels(0.5) int8 -t rp2040", "'0.5' of prune_channels names no parameter"),
        ("order int8,float32 float16 -t rp2040", "each must be one component"),
        ("order use_winograd prune_channels -t rp2040", "neither order is legal: use_winograd"),
        ("spaces defaul", "did you mean 'default'?"),
        ("targets rp2400", "did you mean 'rp2040'?"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(here: Path, arguments: str, message: str) -> None:
    assert message in refused(*arguments.split())


def test_an_unknown_component_in_a_recipe_or_a_space(here: Path) -> None:
    recipe = {
        "schema": 1, "autotiny": "0", "target": "rp2040", "seed": 0, "epochs": 1, "figures": {},
        "model": {"name": "cnn1", "fingerprint": ""}, "data": {"name": "digits", "fingerprint": ""},
        "steps": [{"component": "prune_magnitud"}], "runtimes": [],
    }  # fmt: skip
    (here / "recipe.json").write_text(json.dumps(recipe))
    assert "did you mean 'prune_magnitude'?" in refused("apply", "recipe.json")
    (here / "space.toml").write_text("[components.int]\n")
    assert "unknown component 'int'; did you mean 'int8'?" in refused("spaces", "space.toml")
    assert "did you mean 'int8'?" in refused("search", "-t", "rp2040", "--space", "space.toml")


@pytest.mark.parametrize(
    "arguments",
    [
        "search -t missing.toml",
        "search -t rp2040 -d missing.npz",
        "search -t rp2040 -d missing/images",
        "search -t rp2040 -m missing.keras",
        "search -t rp2040 -m missing_module:build",
        "search -t rp2040 --space missing.toml",
        "measure missing.tflite -t rp2040",
        "compile missing.tflite -t rp2040 --out c",
        "apply missing.json",
        "spaces missing.toml",
        "targets missing.toml",
        "dashboard missing",
    ],
)
def test_a_missing_file_is_named(here: Path, arguments: str) -> None:
    assert "missing" in refused(*arguments.split())


def tiny_network() -> Any:
    return keras().Sequential(
        [keras().layers.Input((4,)), keras().layers.Dense(3, activation="softmax", name="dense")]
    )


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as they should be, to be broken."""
    folder = tmp_path_factory.mktemp("whole")
    network = tiny_network()
    network.save(folder / "model.h5")
    network.save(folder / "model.keras")
    (folder / "model.tflite").write_bytes(write_tflite(graph_of("RELU")))
    np.savez(folder / "data.npz", x=np.zeros((60, 4), np.float32), y=np.arange(60) % 3)
    return folder


def graph_of(kind: str) -> Graph:
    """One op from float to float."""
    tensors = (Tensor("x", (1, 4), "float32"), Tensor("y", (1, 4), "float32"))
    return Graph(tensors, (Op(kind, (0,), (1,)),), (0,), (1,))


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model.tflite"])
@pytest.mark.parametrize("damage", ["empty", "truncated", "text"])
def test_a_damaged_model_is_refused(here: Path, whole_files: Path, name: str, damage: str) -> None:
    whole = (whole_files / name).read_bytes()
    broken = {"empty": b"", "truncated": whole[: len(whole) // 2], "text": b"this is no model\n"}
    (here / name).write_bytes(broken[damage])
    assert name.partition(".")[0] in refused("measure", name, "-t", "rp2040")


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "pickle", "lengths", "no labels"])
def test_damaged_data_is_refused(here: Path, whole_files: Path, damage: str) -> None:
    whole = (whole_files / "data.npz").read_bytes()
    path = here / "data.npz"
    if damage == "pickle":
        np.savez(path, x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    elif damage == "lengths":
        np.savez(path, x=np.zeros((60, 4), np.float32), y=np.zeros(59, int))
    elif damage == "no labels":
        np.savez(path, x=np.zeros((60, 4), np.float32))
    else:
        broken = {"empty": b"", "truncated": whole[: len(whole) // 2], "text": b"no data\n"}
        path.write_bytes(broken[damage])
    assert "data" in refused("search", "-t", "rp2040", "-d", "data.npz")


def test_truncated_idx_files_are_refused(here: Path) -> None:
    folder = here / "idx"
    folder.mkdir()
    for stem, magic in (("train-images-idx3", 0x803), ("train-labels-idx1", 0x801),
                        ("t10k-images-idx3", 0x803), ("t10k-labels-idx1", 0x801)):  # fmt: skip
        dimensions = [60, 28, 28] if magic == 0x803 else [60]
        header = b"".join(value.to_bytes(4, "big") for value in (magic, *dimensions))
        (folder / f"{stem}-ubyte").write_bytes(header + b"\0" * 59)
    assert "train-images" in refused("search", "-t", "rp2040", "-d", "idx")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model.foo", "is no model"),
        ("recipe.json", "{"),
        ("recipe.json", "[]"),
        ("recipe.json", '{"schema": 99}'),
        ("target.toml", "clock_hz = "),
        ("target.toml", 'title = "only a title"'),
        ("space.toml", "components = 3"),
    ],
)
def test_a_file_that_is_not_what_its_ending_says(here: Path, name: str, text: str) -> None:
    (here / name).write_text(text)
    arguments = {
        "model": ["measure", name, "-t", "rp2040"],
        "recipe": ["apply", name],
        "target": ["measure", "cnn1", "-t", name],
        "space": ["search", "-t", "rp2040", "--space", name],
    }[name.partition(".")[0]]
    assert name in refused(*arguments)


def test_data_of_another_shape_or_number_of_classes(here: Path, whole_files: Path) -> None:
    message = refused("search", "-t", "rp2040", "-m", "resnet8", "-d", "digits")
    assert "28×28" in message
    assert "32×32×3" in message
    np.savez(here / "seven.npz", x=np.zeros((70, 28, 28), np.float32), y=np.arange(70) % 7)
    message = refused("search", "-t", "rp2040", "-m", "cnn1", "-d", "seven.npz")
    assert "7 classes" in message
    assert "10" in message


def test_nothing_fits_the_target(here: Path) -> None:
    small = (data_folder("targets") / "stm32f746.toml").read_text()
    assert "size_bytes = 0x10_0000" in small
    (here / "small.toml").write_text(small.replace("size_bytes = 0x10_0000", "size_bytes = 0x1000"))
    images = digits().shrunk(200, 60, 60)
    np.savez(here / "few.npz", x=images.x_train, y=images.y_train)
    message = refused(
        "search", "-t", "small.toml", "-d", "few.npz", "--trials", "3", "--epochs", "1",
        "--space", "post_training", "--seeds", "1", "--solve", "0", "--out", "out",
    )  # fmt: skip
    assert "nothing fits small" in message
    assert "bytes of flash" in message
    facts = json.loads((here / "out" / "pareto.json").read_text())
    assert facts["front"] == []
    assert facts["shortfall"]["excess_bytes"]["flash"] > 0
    assert (here / "out" / "report.md").is_file()
    measured = CliRunner().invoke(app, ["measure", "cnn1", "-t", "small.toml", "--json"])
    assert measured.exit_code == 0, "a firmware that is too big is measured all the same"
    told = CliRunner().invoke(app, ["measure", "cnn1", "-t", "small.toml"]).stdout
    assert "does not fit small: misses by" in told


def test_an_op_that_the_engine_lacks(here: Path) -> None:
    quantized = Quantization((0.1,), (0,))
    tensors = (
        Tensor("x", (1, 4, 4, 2), "int8", quantized),
        Tensor("crops", (4, 2), "int32", data=np.zeros((4, 2), np.int32)),
        Tensor("y", (1, 4, 4, 2), "int8", quantized),
    )
    graph = Graph(tensors, (Op("REVERSE_V2", (0, 1), (2,)),), (0,), (2,))
    (here / "odd.tflite").write_bytes(write_tflite(graph))
    for command in (["measure"], ["compile", "--out", "c"]):
        message = refused(command[0], "odd.tflite", "-t", "rp2040", *command[1:])
        assert "REVERSE_V2" in message
        assert "op 0" in message
    assert not (here / "c").exists()
    assert "REVERSE_V2" in refused("search", "-m", "odd.tflite", "-t", "rp2040", "--out", "out")


def started(*arguments: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "autotiny", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=dict(os.environ),
    )


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_ctrl_c_and_kill_keep_the_finished_trials(here: Path, number: signal.Signals) -> None:
    images = digits().shrunk(300, 60, 60)
    np.savez(here / "few.npz", x=images.x_train, y=images.y_train)
    command = ("search", "-t", "stm32f746", "-d", "few.npz", "--epochs", "1", "--out", "out",
               "--solve", "0", "--space", "post_training")  # fmt: skip
    running = started(*command, "--trials", "500", folder=here)
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("[2/"):
            running.send_signal(number)
            break
    stderr = running.stderr.read()
    assert running.wait(60) == 130
    assert "interrupted; finished trials are kept in out" in stderr
    assert "Traceback" not in stderr
    facts = json.loads((here / "out" / "pareto.json").read_text())
    assert facts["interrupted"]
    assert facts["trials"]["measured"] >= 1
    assert (here / "out" / "study.db").is_file()


def test_a_full_disk(here: Path) -> None:
    alone = ["unshare", "-rm"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("no namespace of our own to mount a small disk in")
    images = digits().shrunk(200, 60, 60)
    np.savez(here / "few.npz", x=images.x_train, y=images.y_train)
    (here / "disk").mkdir()
    search = (
        f"{sys.executable} -m autotiny search -t stm32f746 -d few.npz --epochs 1 --trials 4 "
        "--space post_training --out disk/out"
    )
    done = subprocess.run(
        [*alone, "sh", "-c", f"mount -t tmpfs -o size=140k tmpfs disk && {search}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "the disk is full" in errors[0]


def test_a_folder_that_cannot_be_written(here: Path) -> None:
    (here / "file").write_text("")
    for command in ("search -t rp2040 --trials 1", "compile cnn1 -t rp2040"):
        message = refused(*command.split(), "--out", "file/out")
        assert "cannot write to file/out" in message
        assert "file is no folder; choose another --out" in message


def test_a_cache_that_cannot_be_written_is_told_before_anything_is_trained(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "file"))
    message = refused("search", "-t", "rp2040", "--out", "out")
    assert f"cannot write to the cache {str(here / 'file' / 'autotiny')!r}" in message
    assert "set XDG_CACHE_HOME to a folder that can be written" in message
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "search -t {}.toml", "search -t rp2040 -m {}", "search -t rp2040 -m {}.keras",
        "search -t rp2040 -d {}.npz", "search -t rp2040 -d {}", "search -t rp2040 --space {}.toml",
        "search -t rp2040 --out {}", "compile cnn1 -t rp2040 --out {}", "dashboard {}",
        "apply {}.json", "measure {}.elf -t rp2040",
    ],
)  # fmt: skip
def test_a_name_that_is_too_long_is_told(here: Path, arguments: str) -> None:
    assert "File name too long" in refused(*arguments.format("x" * 300).split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("f.bin", "f.bin has no symbols autotiny_ready and autotiny_done"),
        ("f.bin --function infer", "f.bin has no symbols, and so no 'infer'; give the address"),
        ("f.bin --function 0x0800_0008", "no vector table at 0x08000000: its first words are"),
        ("f.bin --function 0x20000000000", "it must be an address from 0 to 0xffffffff"),
        ("f.bin --function 1 --symbol 2 --symbol 3", "either a function, or the symbols"),
        ("f.bin --symbol 2", "--symbol stands there 1 time(s); give it twice"),
        ("f.bin --function 0x08000008 --origin 0x90000000", "would lie at 0x90000000, in no"),
        ("f.bin --function 0x08000008 --origin flash", "origin = 'flash'; it must be an address"),
        ("f.bin --function 0x08000008 --repeat 0", "repeat = 0; it must be from 1 to 1000000"),
        ("f.bin --function 0x08000008 --wait-states -1", "wait_states = -1; it must be from 0 to"),
        ("empty.bin --function 0x08000008", "empty.bin is empty; a firmware has at least"),
        ("f.hex --function 0x08000008", "f.hex: line 1 is 'xxxxxxxx"),
        ("f.hex --origin 0", "f.hex says itself where its bytes lie; --origin is for .bin files"),
        ("cnn1 --repeat 2", "--repeat is for a firmware (.elf, .axf, .bin, .hex), and 'cnn1' is "
         "none, and a network is measured with warm caches anyway; leave it out"),
        ("cnn1 --origin 0", "--origin is for a firmware (.elf, .axf, .bin, .hex), and 'cnn1' is"),
        ("cnn1 --function main", "--function is for a firmware"),
        ("cnn1 --wait-states 70000", "wait_states = 70000; it must be from 0 to 65536"),
    ],
)  # fmt: skip
def test_what_is_asked_of_a_firmware_is_checked(here: Path, arguments: str, message: str) -> None:
    for name, content in (("f.bin", b"x" * 64), ("f.hex", b"x" * 64), ("empty.bin", b"")):
        (here / name).write_bytes(content)
    assert message in refused("measure", *arguments.split(), "-t", "stm32l4r5")


@pytest.mark.parametrize(
    "arguments",
    ["search -t|", "search -t rp2040 -m|", "search -t rp2040 -d|", "search -t rp2040 --space|",
     "measure -t rp2040|", "apply|", "spaces|", "targets|"],
)  # fmt: skip
def test_an_empty_name_is_not_the_current_folder(here: Path, arguments: str) -> None:
    command, _ = arguments.split("|")
    assert refused(*command.split(), "")


def test_a_tilde_stands_for_the_users_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "file").write_text("")
    monkeypatch.setenv("HOME", str(here))
    for command in ("search -t rp2040 --trials 1", "compile cnn1 -t rp2040"):
        assert f"cannot write to {here / 'file' / 'out'}" in refused(
            *command.split(), "--out", "~/file/out"
        )
