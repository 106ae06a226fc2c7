"""A recipe is replayed from its bundle to the byte, and what is wrong with one is told by name."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from typer.testing import CliRunner

import autotiny
from autotiny import cli
from autotiny.cache import MANIFEST, Cache, digest
from autotiny.codeversion import code_version, source_version
from autotiny.datafile import data_folder
from autotiny.dataset import digits
from autotiny.model import keras
from autotiny.model.foreign import restore_into
from autotiny.provenance import differences, made_with
from autotiny.recipe import Recipe, component_from, read_recipe, write_recipe
from autotiny.study import Applied
from autotiny.study.replay import rebuilt

SPACE = """
schema = 1
title = "One sequence that trains, one that does not"
trains_at_most = 1
first = [
  [{ component = "prune_magnitude" }, { component = "int8", calibration = 12 },
   { component = "block_gemm" }],
  [{ component = "dynamic_range" }],
]
[components.int8]
calibration = 12
[components.dynamic_range]
[components.float32]
[components.prune_magnitude]
sparsity = 0.5
[components.block_gemm]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, data, a target and a search of them, asked for from within it."""
    home = tmp_path_factory.mktemp("home")
    for name in ("nets", "boards", "samples"):
        (home / name).mkdir()
    k = keras()
    k.utils.set_random_seed(0)
    layers = [k.Input((28, 28)), k.layers.Flatten(), k.layers.Dense(6, "relu"),
              k.layers.Dense(10, "softmax")]  # fmt: skip
    model = k.Sequential(layers)
    few = digits().shrunk(200, 60, 60)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(few.x_train, few.y_train, epochs=10, verbose=0)
    model.save(home / "nets" / "net.h5")
    np.savez(home / "samples" / "few.npz", x=few.x_train, y=few.y_train)
    shutil.copy(data_folder("targets") / "stm32f746.toml", home / "boards" / "mine.toml")
    (home / "space.toml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        autotiny.search(
            "nets/net.h5", "samples/few.npz", "boards/mine.toml", out="out", epochs=1, trials=3,
            solve=0, space="space.toml", cache=Cache(home / "cache"),
        )  # fmt: skip
    return home


@pytest.fixture
def study(home: Path, tmp_path: Path) -> Path:
    """The study in a copy of its home, with the current folder elsewhere."""
    shutil.copytree(home, tmp_path / "home")
    return tmp_path / "home" / "out"


def trained(study: Path) -> Path:
    """The recipe of the point that trained."""
    for path in sorted((study / "recipes").glob("*.json")):
        if "prune_magnitude" in read_recipe(path).recipe.names:
            return path
    raise AssertionError("no such point is on the front")


@contextmanager
def without_training() -> Iterator[None]:
    """Every way to a training raises."""
    refuse = mock.Mock(side_effect=AssertionError("it trains"))
    with (
        mock.patch("autotiny.recipe.apply_apart", refuse),
        mock.patch("autotiny.model.loading._trained_apart", refuse),
    ):
        yield


def files_of(folder: Path) -> dict[str, bytes]:
    built = [folder / "firmware.elf", folder / "model.tflite", *(folder / "src").iterdir()]
    return {path.name: path.read_bytes() for path in built}


def apply(recipe: Path, **more: Any) -> Applied:
    cache = Cache(recipe.parent / "empty")
    return autotiny.apply(recipe, recipe.parent / "again", cache=cache, **more)


def test_the_same_bytes_come_out_of_a_bundle_without_training(study: Path) -> None:
    with without_training():
        best = apply(study / "best.json")
        other = apply(trained(study))
    assert (best.how, best.differences, best.notes) == ("replayed from its bundle", {}, ())
    assert files_of(best.folder) == files_of(study / "best")
    assert (other.how, other.differences, other.notes) == ("replayed from its bundle", {}, ())
    again = autotiny.apply(trained(study), study / "third", retrain=True, cache=Cache(study / "c"))
    assert again.how == "done again from model and data"
    assert again.differences == {}
    assert files_of(study / "third") == files_of(other.folder)


def test_a_bundle_lies_beside_each_recipe_and_best_shares_one(study: Path) -> None:
    for path in [study / "best.json", *(study / "recipes").glob("*.json")]:
        saved = read_recipe(path)
        assert saved.bundle is not None
        if path.parent.name == "recipes":
            assert saved.bundle.folder == f"{path.stem}/bundle"
        assert (path.parent / saved.bundle.folder / MANIFEST).is_file()
        assert saved.made_with == made_with()
    kept = sum(path.stat().st_size for path in study.rglob("bundle/**/*")
               if path.is_file() and path.name != MANIFEST)  # fmt: skip
    assert f"together they take {kept:,} bytes" in (study / "report.md").read_text()


def test_paths_are_seen_from_the_recipe(study: Path) -> None:
    saved = read_recipe(study / "best.json")
    assert saved.model == "../nets/net.h5"
    assert saved.data == "../samples/few.npz"
    assert saved.target == "../boards/mine.toml"
    again = apply(study / "best.json", retrain=True)
    assert again.differences == {}
    write_recipe(replace(saved, folder=None), study / "moved.json")
    assert read_recipe(study / "moved.json").located("../nets/net.h5").endswith("nets/net.h5")


def test_without_its_bundle_a_recipe_is_done_again(study: Path) -> None:
    path = trained(study)
    shutil.rmtree(path.with_suffix("") / "bundle")
    found = apply(path)
    assert found.how == "done again from model and data"
    assert found.differences == {}
    assert "no bundle" in found.notes[0]


def test_another_sequence_is_not_answered_from_the_bundle(study: Path) -> None:
    path = trained(study)
    content = json.loads(path.read_text())
    content["steps"][0]["sparsity"] = 0.75
    path.write_text(json.dumps(content))
    assert apply(path).how == "done again from model and data"


@pytest.mark.parametrize("part", ["trained/model.h5", "calibration.npz", "lowered.tflite"])
def test_a_part_that_is_missing_or_changed_is_named(study: Path, part: str) -> None:
    file = trained(study).with_suffix("") / "bundle" / part
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(autotiny.UserError, match=f"{part} has changed since.*--retrain"):
        apply(trained(study))
    file.unlink()
    with pytest.raises(autotiny.UserError, match=f"{part} is missing.*--retrain"):
        apply(trained(study))


def forged(study: Path, part: str) -> Path:
    """A bundle whose list was brought in line with a changed part."""
    folder = trained(study).with_suffix("") / "bundle"
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest[part] = digest(folder / part)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return trained(study)


def test_weights_and_samples_of_another_point_are_refused(study: Path) -> None:
    import h5py  # type: ignore[import-untyped]

    folder = trained(study).with_suffix("") / "bundle"
    with h5py.File(folder / "trained" / "model.h5", "r+") as file:
        found: list[Any] = []
        file["model_weights"].visititems(
            lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None
        )
        found[0][...] = found[0][...] + 1
    with pytest.raises(autotiny.UserError, match="trained is not what the recipe was written"):
        apply(forged(study, "trained/model.h5"))
    np.savez_compressed(folder / "calibration.npz", x=np.zeros((12, 28, 28), np.float32))
    with pytest.raises(autotiny.UserError, match=r"calibration\.npz is not what the recipe"):
        apply(forged(study, "calibration.npz"))


def test_a_model_with_code_in_it_is_refused(study: Path) -> None:
    k = keras()
    model = k.Sequential([k.Input((28, 28)), k.layers.Flatten(), k.layers.Lambda(lambda x: x)])
    folder = trained(study).with_suffix("") / "bundle"
    model.save(folder / "trained" / "model.h5", save_format="h5")
    with pytest.raises(autotiny.InvalidModel, match="Lambda"):
        apply(forged(study, "trained/model.h5"))
    unread = mock.Mock(side_effect=AssertionError("it is built before it was looked at"))
    with (
        mock.patch("autotiny.model.foreign.restore", unread),
        pytest.raises(autotiny.InvalidModel, match="Lambda"),
    ):
        restore_into(str(folder / "trained"), str(study / "made"))


@pytest.mark.parametrize("place", ["../elsewhere", "/tmp", "a/../../b"])
def test_a_bundle_lies_inside_of_its_recipes_folder(study: Path, place: str) -> None:
    path = trained(study)
    content = json.loads(path.read_text())
    content["bundle"]["folder"] = place
    path.write_text(json.dumps(content))
    with pytest.raises(autotiny.UserError, match="inside of the recipe's own"):
        apply(path)


def test_a_kept_graph_stands_for_a_lowering_that_gives_other_bits(study: Path) -> None:
    from autotiny.components.tflite._lowering import Lowering

    lower = Lowering.lowered

    def unlike(self: Lowering, model: Any, samples: Any) -> bytes:
        return lower(self, model, None if samples is None else samples * 1.01)

    first = apply(trained(study))
    kept = files_of(first.folder)
    with mock.patch.object(Lowering, "lowered", unlike):
        found = autotiny.apply(trained(study), study / "here", cache=Cache(study / "empty"))
    assert found.differences == {}
    assert "other bits here" in found.notes[0]
    assert files_of(study / "here") == kept


def test_a_target_that_has_changed_or_gone_is_that_of_the_bundle(study: Path) -> None:
    board = study.parent / "boards" / "mine.toml"
    board.write_text(board.read_text().replace("clock_hz = 216", "clock_hz = 108"))
    found = apply(study / "best.json")
    assert found.differences == {}
    assert "has changed since" in found.notes[0]
    board.unlink()
    assert "is not found" in apply(study / "best.json").notes[0]


@pytest.mark.parametrize("layers", ["faster", "smaller"])
def test_what_measures_is_done_again_for_the_recipes_own_target(study: Path, layers: str) -> None:
    saved = read_recipe(trained(study))
    step = component_from({"component": "separate_convolutions", "layers": layers})
    separated = replace(saved, recipe=Recipe((step, *saved.recipe.steps)))
    doing_it = mock.patch("autotiny.study.replay.candidate_of", side_effect=InterruptedError)
    with doing_it as asked, pytest.raises(InterruptedError):
        rebuilt(separated, Cache(study / "other"))
    target = asked.call_args.args[3]
    if layers == "smaller":
        assert target is None
    else:
        assert Path(target.file).samefile(study.parent / "boards" / "mine.toml")


def test_without_data_the_cost_alone_is_compared(study: Path) -> None:
    shutil.rmtree(study.parent / "samples")
    shutil.rmtree(study.parent / "nets")
    found = apply(study / "best.json")
    assert (found.metrics, found.differences) == (None, {})
    assert "the score was not measured" in found.notes[0]
    assert found.to_dict()["accuracy_test"] is None


def test_a_model_that_a_replay_does_not_need_is_said_to_be_of_no_use(study: Path) -> None:
    assert "takes no model" in apply(study / "best.json", model="cnn1").notes[0]


@pytest.mark.slow
def test_the_command_takes_model_and_data_from_elsewhere(study: Path, tmp_path: Path) -> None:
    (study.parent / "nets").rename(tmp_path / "nets")
    (study.parent / "samples").rename(tmp_path / "samples")
    arguments = ["apply", str(study / "best.json"), "--retrain", "--json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        gone = CliRunner().invoke(cli.app, arguments)
        assert gone.exit_code == 2
        given = ["--model", str(tmp_path / "nets" / "net.h5"),
                 "--data", str(tmp_path / "samples" / "few.npz")]  # fmt: skip
        done = CliRunner().invoke(cli.app, [*arguments, *given])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["differences"] == {}


def test_figures_that_differ_end_with_a_code_and_say_what_differs(study: Path) -> None:
    path = study / "best.json"
    content = json.loads(path.read_text())
    content["figures"]["accuracy_test"] = 0.123
    content["made_with"] |= {"numpy": "1.0", "CPU": "a slide rule"}
    path.write_text(json.dumps(content))
    done = CliRunner().invoke(cli.app, ["apply", str(path), "--out", str(study / "again")])
    assert done.exit_code == 3
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: not reproduced: accuracy_test; what differs: ")
    assert "numpy was 1.0 and is " in line
    assert "CPU was a slide rule and is " in line
    assert (study / "again" / "firmware.elf").is_file()


def test_a_recipe_is_measured_and_compiled_from_its_bundle(study: Path, tmp_path: Path) -> None:
    shutil.rmtree(study.parent / "samples")
    path, cache = trained(study), Cache(tmp_path / "c")
    with without_training():
        taken = autotiny.measure(path, "stm32f746", cache=cache)
        autotiny.compile(path, "stm32f746", tmp_path / "out", cache=cache)
    assert taken.cost.cycles == read_recipe(path).figures["cycles"]
    assert (tmp_path / "out" / "model.c").is_file()


def test_what_differs_is_named() -> None:
    assert differences({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == (
        "b was 2 and is 3", "c was not set and is 4",
    )  # fmt: skip


def test_what_left_the_front_keeps_no_bundle_and_what_is_there_is_not_made_again(
    home: Path, study: Path
) -> None:
    gone = study / "recipes" / "trial_0099"
    shutil.copytree(trained(study).with_suffix(""), gone)
    shutil.copy(trained(study), gone.with_suffix(".json"))
    (gone / "firmware.elf").write_text("of a user who applied it")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(study.parent)
        with mock.patch("autotiny.study.result.write_bundle", side_effect=AssertionError):
            autotiny.search(
                "nets/net.h5", "samples/few.npz", "boards/mine.toml", out="out", epochs=1,
                trials=3, solve=0, space="space.toml", cache=Cache(home / "cache"),
            )  # fmt: skip
    assert [path.name for path in gone.iterdir()] == ["firmware.elf"]
    assert not gone.with_suffix(".json").exists()
    kept = [path for path in (home / "out").rglob("*.json") if path.name != "pareto.json"]
    assert all(
        path.read_bytes() == (study / path.relative_to(home / "out")).read_bytes() for path in kept
    )


def test_generated_files_name_the_source_whatever_packages_there_are() -> None:
    module = "autotiny.engine.generate"
    ours, all_of_it = source_version(module), code_version(module)
    with mock.patch("autotiny.codeversion._package_version", lambda name: "another"):
        assert source_version.__wrapped__(module) == ours
        assert code_version.__wrapped__(module) != all_of_it
    assert source_version("autotiny.engine.arena") != ours
