"""autotiny as a Python library: what it exports, and what it takes besides names and paths."""

import ast
import json
import pkgutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from planted import Net, planted

import autotiny
from autotiny.cache import Cache
from autotiny.dataset import Dataset, digits
from autotiny.evaluate import sources_of
from autotiny.evaluate.score import stored
from autotiny.firmware import build_host
from autotiny.model import Model, copy_network, keras
from autotiny.target import load_target
from autotiny.tflite import write_tflite

pytestmark = pytest.mark.usefixtures("own_cache")

INIT = Path(autotiny.__file__)


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
            model, (x, y), "stm32f746", space="post_training", trials=3, epochs=1, solve=0,
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


@pytest.mark.slow
def test_a_recipe_of_objects_in_memory_is_replayed_or_trained_with_them(
    found: autotiny.Result, network: Any, arrays: tuple[Any, Any], tmp_path: Path
) -> None:
    assert found.folder is not None
    path = found.folder / "best.json"
    saved = autotiny.read_recipe(path)
    assert (saved.model, saved.data) == ("model", "data")
    best = found.folder / "best"
    for retrain in (False, True):
        out = tmp_path / str(retrain)
        applied = autotiny.apply(path, out, model=network, data=arrays, retrain=retrain)
        assert applied.differences == {}
        assert (applied.folder, applied.causes) == (out, ())
        for name in ("firmware.elf", "model.tflite", "src/model.c"):
            assert (out / name).read_bytes() == (best / name).read_bytes()
    with pytest.raises(autotiny.UserError, match=r"with a model in memory.*autotiny\.apply"):
        autotiny.apply(path, tmp_path, data=arrays, retrain=True)
    with pytest.raises(autotiny.UserError, match=r"with data in memory.*autotiny\.apply"):
        autotiny.apply(path, tmp_path, model=network, retrain=True)
    other = (arrays[0], 9 - arrays[1])
    with pytest.raises(autotiny.UserError, match="data 'data' is not what the recipe was found"):
        autotiny.apply(path, tmp_path, model=network, data=other, retrain=True)
    unlike = autotiny.apply(path, tmp_path, data=other)
    assert "accuracy_test" in unlike.differences
    assert any(cause.startswith("data was ") for cause in unlike.causes)


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
        ((np.zeros((9, 2)), np.zeros(8, int)), "data has 9 inputs but 8 labels"),
        ({"y": np.zeros(9)}, "data holds y; it needs x and y, or x_train"),
        (([[1.0], [1.0, 2.0]], [0, 1]), "x of the data is no array"),
        ((np.array(["a", "b"]), [0, 1]), "data: x needs a sample axis"),
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
    assert measured.calibration == "noise"
    compiled = autotiny.compile(
        network, measured.target, tmp_path / "c", schedule="smallest", calibration="noise"
    )
    assert compiled.cost == measured.cost
    assert {path.name for path in (tmp_path / "c").iterdir()} == set(compiled.files)
    assert compiled.to_dict()["out"] == str(tmp_path / "c")
    assert "profile" not in compiled.to_dict()


def test_compile_gives_files_and_functions_a_name(
    network: Any, arrays: Any, tmp_path: Path
) -> None:
    compiled = autotiny.compile(
        network, "rp2040", tmp_path, data=arrays, name="words", project=True
    )
    assert {"src/words.c", "src/words.h", "src/words_weights.c"} <= {*compiled.files}
    assert "int8_t words_quantize_input(" in (tmp_path / "src/words.h").read_text()
    assert "int words_invoke(" in (tmp_path / "src/words.c").read_text()
    assert '"model\\":\\"words\\"' in (tmp_path / "src/selftest.h").read_text()
    elf = (tmp_path / "firmware.elf").read_bytes()
    assert b"words_run" in elf
    assert b"model_run" not in elf
    beyond = (tmp_path / "firmware.bin").stat().st_size - compiled.cost.flash_bytes
    assert 256 < beyond < 1024  # second stage of the boot, and what sets the clock


@pytest.mark.parametrize("name", ["9x", "", "a b", "../x", "é", "main", "port", "At_x", "x" * 64])
def test_compile_refuses_a_name_that_cannot_be(
    name: str, network: Any, arrays: Any, tmp_path: Path
) -> None:
    with pytest.raises(autotiny.UserError, match="the name"):
        autotiny.compile(network, "rp2040", tmp_path / "c", data=arrays, name=name)
    assert not (tmp_path / "c").exists()


def test_compile_takes_a_folder_seen_from_here(
    network: Any, arrays: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    compiled = autotiny.compile(network, "rp2040", "p", data=arrays, project=True)
    assert set(compiled.files) >= {"Makefile", "src/model.c", "firmware.elf"}
    elf = autotiny.measure_elf("p/firmware.elf", "rp2040")
    assert elf.cycles == pytest.approx(compiled.cost.cycles, rel=0.01)
    with pytest.raises(autotiny.UserError, match=r"is a firmware; autotiny\.measure_elf"):
        autotiny.measure("p/firmware.elf", "rp2040")


def test_a_project_may_lie_behind_a_link(network: Any, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    noise: Any = {"calibration": "noise", "project": True}
    autotiny.compile(network, "rp2040", tmp_path / "link", **noise)
    autotiny.compile(network, "rp2040", tmp_path / "link" / "deeper", **noise)
    assert (tmp_path / "real" / "firmware.elf").is_file()
    assert (tmp_path / "real" / "deeper" / "src" / "model.c").is_file()


def test_a_project_that_does_not_fit_is_refused_before_it_is_executed(
    network: Any, arrays: Any, tmp_path: Path
) -> None:
    board = load_target("rp2040")
    flash, *others = board.memories
    small = replace(board, memories=(replace(flash, size_bytes=1000), *others))
    refused = pytest.raises(autotiny.UserError, match=r"not fit rp2040: misses by .* of flash")
    with mock.patch("autotiny.simulator.measure.run", side_effect=AssertionError), refused:
        autotiny.compile(network, small, tmp_path / "p", data=arrays, project=True)
    assert not (tmp_path / "p").exists()
    notices: list[str] = []
    # A cost that is known already is not executed again, and nothing is said before it.
    fresh = Cache(tmp_path / "cache")
    found = autotiny.measure(network, small, on_notice=notices.append, cache=fresh)
    assert len(notices) == 1
    assert notices[0].startswith("does not fit rp2040: misses by at least ")
    assert found.misses


@pytest.fixture(scope="module")
def windows() -> tuple[Any, Any]:
    """Sensor windows far outside [0, 1], and what moved."""
    dice = np.random.default_rng(0)
    y = np.arange(400) % 4
    levels = np.array([[-150.0, 20.0], [80.0, -60.0], [10.0, 120.0], [-40.0, -140.0]])
    return (levels[y][:, None, :] + dice.normal(0, 25, (400, 32, 2))).astype(np.float32), y


@pytest.fixture(scope="module")
def trained(windows: tuple[Any, Any], tmp_path_factory: Any) -> Path:
    """A network of such windows, saved."""
    k = keras()
    k.utils.set_random_seed(0)
    layers = k.layers
    model = k.Sequential(
        [
            k.Input((32, 2)),
            layers.Conv1D(8, 5, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*windows, epochs=30, verbose=0)
    path: Path = tmp_path_factory.mktemp("windows") / "net.keras"
    model.save(path)
    return path


def share_found(model: Path, windows: tuple[Any, Any], folder: Path, **options: Any) -> float:
    """The share of windows that the C which `compile` writes finds, run on this machine."""
    written: list[Any] = []

    def noted(lowered: Any, **kinds: Any) -> Any:
        written.append(sources_of(lowered, **kinds))
        return written[-1]

    with mock.patch("autotiny.api.compiling.sources_of", noted):
        compiled = autotiny.compile(model, "rp2040", folder, **options)
    assert set(written[0].files) == set(compiled.files)
    x, y = windows
    outputs = build_host(written[0]).predict(stored(x, written[0].inputs[0]))
    return float((outputs.reshape(len(x), -1).argmax(axis=1) == y).mean())


def test_what_is_compiled_keeps_its_accuracy_or_is_refused(
    trained: Path, windows: tuple[Any, Any], tmp_path: Path
) -> None:
    said: list[str] = []
    options: dict[str, Any] = {"data": windows, "on_notice": said.append}
    assert share_found(trained, windows, tmp_path / "data", **options) > 0.97
    assert said[0] == "data: samples of 32×2: 240 train, 80 validation, 80 test"
    with pytest.raises(autotiny.UserError, match=r"give --data, or --lowering float32, or accept"):
        autotiny.compile(trained, "rp2040", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert share_found(trained, windows, tmp_path / "float", lowering="float32") > 0.97
    noise = share_found(trained, windows, tmp_path / "noise", calibration="noise")
    assert noise < 0.8
    assert "Calibrated with noise" in (tmp_path / "noise" / "model.c").read_text()


def test_what_ranges_were_found_with_is_a_figure(
    trained: Path, windows: tuple[Any, Any], tmp_path: Path
) -> None:
    def told(**options: Any) -> object:
        return autotiny.measure(trained, "rp2040", **options).to_dict()["calibration"]

    assert told() == "noise"
    assert told(data=windows) == "data"
    assert told(lowering="float32") is None
    assert told(lowering="float32", data=windows) is None
    with pytest.raises(autotiny.UserError, match="exclude each other"):
        told(data=windows, calibration="noise")
    with pytest.raises(autotiny.UserError, match="must be 'noise', or be left out"):
        told(calibration="nose")
    built_in = autotiny.compile("cnn1", "rp2040", tmp_path / "c")
    assert built_in.calibration == "noise"


def test_constant_channels_go_unless_they_are_to_be_kept(tmp_path: Path) -> None:
    net = Net()
    graph = net.graph(net.layer(planted(net, constant=(1, 4, 5, 6)), 4))
    (tmp_path / "net.tflite").write_bytes(write_tflite(graph))
    given: Any = {"model": str(tmp_path / "net.tflite"), "target": "rp2040"}
    gone, kept = (autotiny.measure(**given, keep_constant_channels=keep) for keep in (False, True))
    assert gone.constant_channels == "4 of 12 channels removed, 2,016 → 1,008 multiplications"
    assert gone.to_dict()["constant_channels"] == gone.constant_channels
    assert kept.to_dict()["constant_channels"] is None
    assert gone.cost.weights_bytes < kept.cost.weights_bytes
    out = tmp_path / "c"
    assert autotiny.compile(**given, out=out).constant_channels == gone.constant_channels
    kept_too = autotiny.compile(**given, out=out, keep_constant_channels=True)
    assert kept_too.cost.weights_bytes == kept.cost.weights_bytes


@pytest.mark.slow
def test_noise_decides_on_no_channel(residual: Model, data: Dataset) -> None:
    network = copy_network(residual.keras)
    layer = network.get_layer("point")
    layer.set_weights([part * (np.arange(12) >= 4) for part in layer.get_weights()])

    def told(**options: Any) -> str | None:
        return autotiny.measure(network, "rp2040", **options).constant_channels

    assert told(calibration="noise") is None
    assert str(told(data=(data.x_train, data.y_train))).startswith("4 of ")


def test_a_function_that_may_load_weights_is_not_compiled_on_noise(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "restored.py").write_text(
        "from tf_keras.models import load_model\n"
        f"def build():\n    return load_model({str(trained)!r})\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(autotiny.UserError, match="ranges of restored:build; give --data"):
        autotiny.compile("restored:build", "rp2040", tmp_path / "c")


def _check_project(recipe: Path, data: Path, folder: Path) -> None:
    """A project made of a recipe knows its classes, and tests the part with the recipe's data."""
    content = json.loads(recipe.read_text())
    saved = autotiny.read_recipe(recipe)
    assert saved.task is not None
    content["labels"] = [f"kind {number}" for number in range(saved.task.outputs)]
    named = recipe.with_name("named.json")
    named.write_text(json.dumps(content))
    autotiny.compile(named, "rp2040", folder, project=True)
    header = (folder / "src" / "model.h").read_text()
    assert '#define MODEL_LABELS {"kind 0", "kind 1"' in header
    assert f"recipe {saved.recipe.key[:8]}" in header
    samples = (folder / "src" / "selftest_samples.c").read_text()
    moved = recipe.with_name("moved.json")
    moved.write_text(recipe.read_text().replace(data.name, "gone.npz"))
    autotiny.compile(moved, "rp2040", folder, project=True)
    assert (folder / "src" / "selftest_samples.c").read_text() != samples


def test_a_recipe_remembers_how_its_data_was_read(
    trained: Path, windows: tuple[Any, Any], tmp_path: Path
) -> None:
    x, y = windows
    np.savez(tmp_path / "counts.npz", x=np.round(x * 64).astype(np.int16), y=y)
    asked: dict[str, Any] = {
        "out": tmp_path / "out", "space": "post_training", "trials": 2, "epochs": 1,
        "solve": 0,
    }  # fmt: skip
    data = tmp_path / "counts.npz"
    with pytest.raises(autotiny.InvalidData, match=r"int16 .* two things; give --scale none"):
        autotiny.search(trained, data, "rp2040", **asked)
    found = autotiny.search(trained, data, "rp2040", scale="1/64", **asked)
    assert found.baseline is not None
    assert found.baseline.metrics.score_validation > 0.9
    applied = autotiny.apply(tmp_path / "out" / "best.json", tmp_path / "again")
    assert not applied.differences
    _check_project(tmp_path / "out" / "best.json", data, tmp_path / "project")
    report = (tmp_path / "out" / "report.md").read_text()
    assert "times 0.015625" in report
    assert (
        "int16 from" in json.loads((tmp_path / "out" / "pareto.json").read_text())["data_read"][1]
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("net.pt", "torch.onnx.export"),
        ("net.pkl", "runs code when it is read"),
        ("net.txt", "ends in '.txt'; a model is"),
        ("net", "ends in 'nothing'; a model is"),
    ],
)
def test_the_ending_of_a_model_is_looked_at_before_data(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotiny.study.replay.load_dataset", mock.Mock(side_effect=AssertionError))
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(autotiny.UserError, match=text):
        autotiny.search(tmp_path / name, "data.npz", "rp2040", out=tmp_path / "out")


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
result = autotiny.search(model, (x, y), "stm32f746", space=sys.argv[1], trials=3, epochs=1,
                         seeds=1, solve=0, out=sys.argv[2])
print(result.counts["measured"], result.counts["failed"], result.counts["invalid"])
print(result.best["latency"])
"""


@pytest.mark.parametrize(
    "imports",
    [
        pytest.param("import keras", id="keras", marks=pytest.mark.slow),
        pytest.param("import tensorflow as tf; keras = tf.keras", id="tf"),
    ],
)
@pytest.mark.slow
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
