"""autotiny as a Python library: what it exports, and what it takes besides names and paths."""

import ast
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import autotiny
from autotiny.dataset import digits
from autotiny.model import keras
from autotiny.target import load_target

INIT = Path(autotiny.__file__)


@pytest.fixture(autouse=True, scope="module")
def own_cache(pytestconfig: pytest.Config) -> Iterator[None]:
    """A cache beside that of pytest: nothing is read from, or left in, the user's."""
    assert pytestconfig.cache is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(pytestconfig.cache.mkdir("autotiny")))
        yield


@pytest.fixture(scope="module")
def arrays() -> tuple[Any, Any]:
    few = digits().shrunk(300, 60, 60)
    return few.x_train, few.y_train


def layers_of(k: Any) -> list[Any]:
    layers = k.layers
    return [
        k.Input((28, 28)),
        layers.Reshape((28, 28, 1)),
        layers.Conv2D(4, 3, 2, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]


@pytest.fixture(scope="module")
def network(arrays: tuple[Any, Any]) -> Any:
    """A tf_keras model as a user has it: compiled and fitted."""
    keras().utils.set_random_seed(0)
    model = keras().Sequential(layers_of(keras()), name="own")
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*arrays, epochs=8, verbose=0)
    return model


@pytest.fixture(scope="module")
def found(network: Any, arrays: tuple[Any, Any], tmp_path_factory: Any) -> autotiny.Result:
    """The three lines, small."""
    model, (x, y) = network, arrays
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("here"))
        return autotiny.search(
            model, (x, y), "stm32f746", space="post_training", trials=3, epochs=1,
            out=Path("out").resolve(),
        )  # fmt: skip


def alone(code: str) -> str:
    """What a Python process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_exported_is_there() -> None:
    assert len(set(autotiny.__all__)) == len(autotiny.__all__)
    assert all(getattr(autotiny, name) is not None for name in autotiny.__all__)
    assert set(autotiny.__all__) <= set(dir(autotiny))
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        autotiny.serach  # type: ignore[attr-defined]  # noqa: B018


def test_a_type_checker_sees_what_is_exported() -> None:
    imported = {
        alias.name: str(node.module)
        for branch in ast.parse(INIT.read_text()).body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {*imported, "__version__"} == set(autotiny.__all__)
    homes = {name: f"autotiny.{home}" for home, names in autotiny._HOMES.items() for name in names}
    assert imported == homes
    assert (INIT.parent / "py.typed").is_file()


def test_no_module_hides_what_is_exported() -> None:
    modules = {module.name for module in pkgutil.iter_modules([str(INIT.parent)])}
    assert not modules & set(autotiny.__all__)
    printed = alone(
        "import autotiny.cli.compile, autotiny.cli.search, autotiny.recipe, autotiny\n"
        "from autotiny.api import compile, search, apply\n"
        "print(autotiny.compile is compile, autotiny.search is search, autotiny.apply is apply)"
    )
    assert printed == "True True True\n"


def test_importing_autotiny_imports_nothing_else() -> None:
    printed = alone(
        "import sys; before = set(sys.modules); import autotiny\n"
        "print(*sorted(name for name in set(sys.modules) - before if 'autotiny' in name))\n"
        "print('numpy' in sys.modules)"
    )
    assert printed == "autotiny autotiny.version\nFalse\n"


def test_three_lines_with_a_keras_object_and_arrays(found: autotiny.Result) -> None:
    text = str(found.best["latency"])
    assert text.startswith(f"trial {found.best['latency'].trial}, ")
    assert "% on validation, " in text
    assert text.endswith(" ms")
    assert sum(found.counts.values()) == 3
    assert found.study.study_name == "model-data-stm32f746-latency"
    assert found.folder is not None
    assert {path.name for path in found.files} >= {"report.md", "best.json", "best"}
    assert all(path.parent == found.folder for path in found.files)


def test_where_results_go_by_default() -> None:
    from autotiny.api import study_folder

    x = np.zeros((9, 4))
    assert study_folder(object(), (x, x), "rp2040") == Path("results/model-data-rp2040-latency")
    assert study_folder("a/b.h5", "c.npz", "rp2040", ["size"]) == Path("results/b-c-rp2040-size")


def test_a_recipe_of_objects_in_memory_is_applied_with_them(
    found: autotiny.Result, network: Any, arrays: tuple[Any, Any], tmp_path: Path
) -> None:
    assert found.folder is not None
    path = found.folder / "best.json"
    saved = autotiny.read_recipe(path)
    assert (saved.model, saved.data) == ("model", "data")
    applied = autotiny.apply(path, tmp_path, model=network, data=arrays)
    assert applied.differences == {}
    assert applied.folder == tmp_path
    best = found.folder / "best"
    for name in ("firmware.elf", "model.tflite", "c/model.c"):
        assert (tmp_path / name).read_bytes() == (best / name).read_bytes()
    with pytest.raises(autotiny.UserError, match=r"with a model in memory.*autotiny\.apply"):
        autotiny.apply(path, tmp_path, data=arrays)
    with pytest.raises(autotiny.UserError, match=r"with data in memory.*autotiny\.apply"):
        autotiny.apply(path, tmp_path, model=network)
    with pytest.raises(autotiny.UserError, match="data 'data' is not what the recipe was found"):
        autotiny.apply(path, tmp_path, model=network, data=(arrays[0], 9 - arrays[1]))


def test_arrays_are_split_as_the_same_npz_is(arrays: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = arrays
    parts = {"x_train": x[:200], "y_train": y[:200], "x_test": x[200:], "y_test": y[200:]}
    whole = {**parts, "x_val": x[:50], "y_val": y[:50]}
    for number, named in enumerate(({"x": x, "y": y}, parts, whole)):
        path = tmp_path / f"{number}.npz"
        np.savez(path, **named)
        for seed in (0, 3):
            from_file = autotiny.load_dataset(path, seed)
            assert autotiny.load_dataset(named, seed).fingerprint == from_file.fingerprint
    assert autotiny.load_dataset((x, y), 3).fingerprint == (
        autotiny.load_dataset(tmp_path / "0.npz", 3).fingerprint
    )
    loaded = autotiny.load_dataset((x.tolist(), y.tolist()))
    assert loaded.source == "data"
    assert autotiny.load_dataset(loaded) is loaded


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "data is of type int; give a name, a path, a pair of arrays"),
        ((np.zeros((9, 2)), np.zeros(8)), "data has 9 inputs but 8 labels"),
        ({"x": np.zeros((9, 2))}, "data holds x; it needs x and y, or x_train"),
        (([[1.0], [1.0, 2.0]], [0, 1]), "x of the data is no array"),
        ((np.array(["a", "b"]), [0, 1]), "inputs need a sample axis"),
    ],
)
def test_data_that_is_none(given: Any, message: str) -> None:
    with pytest.raises(autotiny.InvalidData, match=message):
        autotiny.load_dataset(given)


def test_a_model_that_is_none() -> None:
    with pytest.raises(autotiny.InvalidModel, match="the model is of type int; give a name, a"):
        autotiny.load_model(3)


def test_an_object_is_copied_and_left_as_it_was(network: Any) -> None:
    loaded = autotiny.load_model(network)
    assert loaded.source == "model"
    assert autotiny.load_model(loaded) is loaded
    assert autotiny.load_model(network).fingerprint == loaded.fingerprint
    weights = network.get_weights()
    network.set_weights([0 * weight for weight in weights])
    try:
        kept = loaded.keras.get_weights()
    finally:
        network.set_weights(weights)
    assert all(np.array_equal(one, other) for one, other in zip(kept, weights, strict=True))


def test_measure_and_compile_give_what_the_commands_print(network: Any, tmp_path: Path) -> None:
    measured = autotiny.measure(network, "rp2040", schedule="smallest", profile=True)
    assert measured.model == "model"
    assert measured.target.name == "rp2040"
    assert measured.misses == ()
    assert measured.profile is not None
    facts = json.loads(json.dumps(measured.to_dict()))
    assert facts["schedule"] == "smallest"
    assert facts["cycles"] == measured.cost.cycles
    assert facts["profile"]["functions"]
    compiled = autotiny.compile(network, measured.target, tmp_path / "c", schedule="smallest")
    assert compiled.cost == measured.cost
    assert {path.name for path in (tmp_path / "c").iterdir()} == set(compiled.files)
    assert compiled.to_dict()["out"] == str(tmp_path / "c")
    assert "profile" not in compiled.to_dict()


def test_compile_takes_a_folder_seen_from_here(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    compiled = autotiny.compile(network, "rp2040", "p", project=True)
    assert set(compiled.files) >= {"Makefile", "src/model.c", "firmware.elf"}
    elf = autotiny.measure_elf("p/firmware.elf", "rp2040")
    assert elf.cycles == pytest.approx(compiled.cost.cycles, rel=0.01)
    with pytest.raises(autotiny.UserError, match=r"is a firmware; autotiny\.measure_elf"):
        autotiny.measure("p/firmware.elf", "rp2040")


def test_a_project_may_lie_behind_a_link(network: Any, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    autotiny.compile(network, "rp2040", tmp_path / "link", project=True)
    autotiny.compile(network, "rp2040", tmp_path / "link" / "deeper", project=True)
    assert (tmp_path / "real" / "firmware.elf").is_file()
    assert (tmp_path / "real" / "deeper" / "src" / "model.c").is_file()


def test_a_project_that_does_not_fit_is_refused_before_it_is_executed(
    network: Any, tmp_path: Path
) -> None:
    board = load_target("rp2040")
    flash, *others = board.memories
    small = replace(board, memories=(replace(flash, size_bytes=1000), *others))
    refused = pytest.raises(autotiny.UserError, match=r"not fit rp2040: misses by .* of flash")
    with mock.patch("autotiny.emulator.measure.run", side_effect=AssertionError), refused:
        autotiny.compile(network, small, tmp_path / "p", project=True)
    assert not (tmp_path / "p").exists()
    notices: list[str] = []
    found = autotiny.measure(network, small, on_notice=notices.append)
    assert len(notices) == 1
    assert notices[0].startswith("does not fit rp2040: misses by at least ")
    assert found.misses


def test_what_measure_and_compile_refuse(tmp_path: Path) -> None:
    small: Any = "small"
    with pytest.raises(autotiny.UserError, match="unknown schedule 'small'; did you mean 'small"):
        autotiny.measure("cnn1", "rp2040", schedule=small)
    with pytest.raises(autotiny.UserError, match="'prune_channels' is no lowering; choose one of"):
        autotiny.measure("cnn1", "rp2040", lowering="prune_channels")
    (tmp_path / "file").touch()
    with pytest.raises(autotiny.UserError, match="file is no folder; choose another --out"):
        autotiny.compile("cnn1", "rp2040", tmp_path / "file" / "c")


def test_order_takes_objects(network: Any, arrays: tuple[Any, Any]) -> None:
    compared = autotiny.order(
        "fuse_operators", "int8(calibration=20)", "stm32f746",
        model=network, data=arrays, seeds=1, epochs=1,
    )  # fmt: skip
    assert (compared.model, compared.data) == ("model", "data")
    assert [len(order.repetitions) for order in compared.orders] == [0, 1]
    with pytest.raises(autotiny.UserError, match="each must be one component"):
        autotiny.order("int8, float32", "float16", "stm32f746")


KERAS_3 = """
import sys
{imports}
import numpy as np
draw = np.random.default_rng(0)
x, y = draw.random((300, 12), dtype="float32"), draw.integers(0, 3, 300)
model = keras.Sequential([
    keras.Input((12,)), keras.layers.Dense(8, activation="relu"),
    keras.layers.Dense(3, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, epochs=1, verbose=0)
import autotiny
result = autotiny.search(model, (x, y), "stm32f746", space=sys.argv[1], trials=4, epochs=1,
                         out=sys.argv[2])
print(result.counts["measured"], result.counts["failed"], result.counts["invalid"])
print(result.best["latency"])
"""


@pytest.mark.parametrize(
    "imports", ["import keras", "import tensorflow as tf; keras = tf.keras"], ids=["keras", "tf"]
)
def test_a_keras_3_object_in_a_process_that_began_without_autotiny(
    imports: str, tmp_path: Path
) -> None:
    space = tmp_path / "space.toml"
    space.write_text("title = 'small'\n[components.quantize_aware]\n[components.int8]\n")
    done = subprocess.run(
        [sys.executable, "-c", KERAS_3.format(imports=imports), space, tmp_path / "out"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts, best = done.stdout.splitlines()
    assert counts.endswith(" 0 0")
    assert int(counts.split()[0]) >= 2
    assert best.startswith("trial ")
