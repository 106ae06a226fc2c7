"""A small search for each task, by its command, and its recipe applied again."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from autotiny.cli import app
from autotiny.model import keras

N = 120
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(N, 6)).astype(np.float32)
MAPS = (DRAW.random((N, 4, 4, 1)) > 0.5).astype(np.float32)
SPACE = """
first = [[{ component = "int8", calibration = 20 }]]
[components.float32]
[components.int8]
calibration = [20]
[components.prune_magnitude]
sparsity = { low = 0.4, high = 0.8, step = 0.2 }
[components.fuse_operators]
"""


def dense(outputs: int, activation: str | None = None) -> list[Any]:
    return [keras().layers.Dense(outputs, activation=activation)]


CASES: dict[str, Any] = {
    "regression": (X, X[:, :2] + 1, lambda: dense(2), "mae"),
    "binary": (X, (X[:, 0] > 0).astype(np.int32), lambda: dense(1, "sigmoid"), "f1"),
    "multilabel": (X, (X[:, :3] > 0).astype(np.int32), lambda: dense(3), "macro_f1"),
    "anomaly": (X, (np.arange(N) % 4 == 0).astype(np.int32), lambda: dense(6), "auc"),
    "segmentation": (
        MAPS, MAPS[..., 0].astype(np.int32), lambda: [keras().layers.Conv2D(2, 1)], "miou",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    "name",
    ["binary", *(pytest.param(n, marks=pytest.mark.slow) for n in CASES if n != "binary")],
)
def test_a_search_and_its_recipe(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x, y, layers, metric = CASES[name]
    np.savez("data.npz", x=x, y=y)
    keras().utils.set_random_seed(0)
    inputs = keras().layers.InputLayer(x.shape[1:])
    keras().Sequential([inputs, *layers()]).save("net.h5")
    Path("space.toml").write_text(SPACE)
    asked = {"space": "space.toml", "trials": 3, "epochs": 1, "seeds": 1, "solve": 0, "out": "out"}
    options = [text for name, value in asked.items() for text in (f"--{name}", str(value))]
    given = ("search", "-t", "stm32f746", "-m", "net.h5", "-d", "data.npz", "--metric", metric)
    found = CliRunner().invoke(app, [*given, *options, "--json"], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    facts = json.loads(found.stdout)
    assert (facts["task"], facts["metric"]) == (name, metric)
    assert all(f"{metric}_test" in point for point in facts["front"])
    header = Path("out", "best", "src", "model.h").read_text()
    assert ("MODEL_THRESHOLD" in header) == (metric in ("f1", "macro_f1"))
    again = CliRunner().invoke(app, ["apply", "out/best.json", "--json"], catch_exceptions=False)
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["differences"] == {}


@pytest.mark.usefixtures("own_cache")
def test_a_recipe_calls_no_code_unless_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own_score_of_a_recipe.py").write_text(
        "import pathlib\n\npathlib.Path('called').touch()\n\n"
        "def score(truth, found):\n    return 0.5\n"
    )
    np.savez("data.npz", x=X, y=X[:, 0])
    layers = keras().layers
    keras().Sequential([layers.InputLayer((6,)), layers.Dense(1)]).save("net.h5")
    own = "own_score_of_a_recipe:score"
    Path("space.toml").write_text(SPACE)
    given = ("search", "-t", "stm32f746", "-m", "net.h5", "-d", "data.npz", "--metric", own)
    options = ("--space", "space.toml", "--trials", "1", "--solve", "0", "--out", "out")
    found = CliRunner().invoke(app, [*given, *options], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    Path("called").unlink()
    sys.modules.pop("own_score_of_a_recipe")
    again = CliRunner().invoke(app, ["apply", "out/best.json"], catch_exceptions=False)
    assert again.exit_code == 0, again.output
    assert f"{own} is code, which a recipe does not call" in " ".join(again.output.split())
    assert not Path("called").exists()
    told = CliRunner().invoke(
        app, ["apply", "out/best.json", "--metric", own], catch_exceptions=False
    )
    assert told.exit_code == 0, told.output
    assert Path("called").exists()
