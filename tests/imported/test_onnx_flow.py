"""An ONNX file on its way through autotiny: loaded, trained on, lowered, measured, searched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_networks import chain, constant, expected, small_cnn, stored

import autotiny
from autotiny.cache import Cache
from autotiny.components import Work
from autotiny.dataset import channels_last, check_fits, load_dataset, synthetic
from autotiny.engine import Style, generate, schedule_for
from autotiny.errors import InvalidModel, UserError
from autotiny.firmware.host import build_host
from autotiny.model import Level, load_model, predict
from autotiny.model.onnx import read_onnx
from autotiny.recipe import Recipe, apply, component_named


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    return stored(small_cnn("N"), tmp_path)


def test_what_is_loaded_is_trainable_and_computes_the_same(file: Path) -> None:
    model = load_model(file)
    built = read_onnx(file)
    samples = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
    assert model.level is Level.KERAS
    np.testing.assert_allclose(predict(model, samples), expected(file, built, samples), atol=1e-5)
    assert load_model(file).fingerprint == model.fingerprint


def test_a_network_without_a_batch_comes_in_as_a_graph(tmp_path: Path) -> None:
    steps = (("Squeeze", np.array([0])), ("MatMul", constant(8, 3)), ("Reshape", np.array([1, 18])))
    path = stored(chain((1, 6, 8), *steps), tmp_path)
    model = load_model(path)
    samples = np.random.default_rng(0).random((1, 6, 8), np.float32)
    assert model.level is Level.GRAPH
    wanted = expected(path, read_onnx(path), samples)
    np.testing.assert_allclose(predict(model, samples), wanted, atol=1e-5)


@pytest.mark.parametrize("style", ["fastest", "smallest"])
def test_the_c_of_an_onnx_file_gives_what_onnxruntime_gives(style: Style, file: Path) -> None:
    model = load_model(file)
    samples = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
    work = Work(data=synthetic(model, 0), seed=0)
    lowering = Recipe((component_named("float32")(),))
    graph = apply(lowering, model, work, Cache(file.parent)).model.graph
    program = build_host(generate(graph, schedule_for(graph, style, dsp=True)))
    wanted = expected(file, read_onnx(file), samples)
    np.testing.assert_allclose(program.predict(samples).reshape(wanted.shape), wanted, atol=1e-5)


def test_an_onnx_file_is_measured(file: Path) -> None:
    found = autotiny.measure(file, "rp2040")
    assert found.cost.flash_bytes > 1000
    assert found.cost.cycles > 1000


def test_sizes_left_open_are_asked_for(tmp_path: Path) -> None:
    path = stored(chain(("N", "steps", 3), ("MatMul", constant(3, 2))), tmp_path)
    with pytest.raises(InvalidModel, match="--input-shape 1xNx3"):
        load_model(path)
    model = load_model(path, input_shape="1x5x3")
    assert tuple(model.keras.inputs[0].shape[1:]) == (5, 3)
    with pytest.raises(UserError, match="cnn1 has its input's sizes itself"):
        load_model("cnn1", input_shape="1x28x28")


def test_data_with_channels_first_is_turned(file: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((90, 3, 8, 8), np.float32), np.arange(90) % 3
    np.savez(tmp_path / "first.npz", x=x, y=y)
    np.savez(tmp_path / "last.npz", x=x.transpose(0, 2, 3, 1), y=y)
    model = load_model(file)
    first, last = (
        check_fits(model, load_dataset(tmp_path / f"{name}.npz", seed=0))
        for name in ("first", "last")
    )
    np.testing.assert_array_equal(first.x_test, last.x_test)
    assert "samples of 3×8×8, given to the model as 8×8×3" in first.described()[0]
    assert "put last" in first.described()[-1]
    assert channels_last(last, (8, 8, 3)) is last
    assert channels_last(last, (192,)) is last
