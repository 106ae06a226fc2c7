import sys
import types
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from toys import toy_model

from autotiny.cache import Cache
from autotiny.dataset import Dataset
from autotiny.engine import Port
from autotiny.errors import InvalidData
from autotiny.evaluate import (
    cost,
    runtimes,
    score_on,
    stored,
    write_build,
)
from autotiny.graph import DType, Graph, Op, Quantization, Tensor
from autotiny.model import Level, Model, Program
from autotiny.schedule import Schedule, Step
from autotiny.simulator import Tell
from autotiny.study import Evaluator
from autotiny.target import load_target
from autotiny.tasks import Classification, Reconstruction, Score

COST = import_module("autotiny.evaluate.cost")
SCORE = import_module("autotiny.evaluate.score")

OPTIONS = {"fused_activation_function": "NONE"}


def dense(weights: DType = "float32", activations: DType = "float32") -> Model:
    """Two inputs, three classes; the largest score goes to the class that the input points at."""
    kernel = np.array([[2, 0], [0, 2], [-2, -2]], np.float32)
    quantization = None if activations == "float32" else Quantization((0.05,), (3,))
    per_weight = None if weights in ("float32", "float16") else Quantization((0.05,), (0,))
    constant = kernel if per_weight is None else kernel / 0.05
    bias_type: DType = "float32" if activations == "float32" else "int32"
    bias_scale = None if activations == "float32" else Quantization((0.0025,), (0,))
    tensors = (
        Tensor("x", (1, 2), activations, quantization),
        Tensor("w", (3, 2), weights, per_weight, constant.astype(weights)),
        Tensor("b", (3,), bias_type, bias_scale, np.zeros(3, bias_type)),
        Tensor("y", (1, 3), activations, quantization),
    )
    op = Op("FULLY_CONNECTED", (0, 1, 2), (3,), OPTIONS)
    graph = Graph(tensors, (op,), (0,), (3,))
    return Model(Level.TFLITE, graph, graph.fingerprint())


@pytest.fixture
def data() -> Dataset:
    x = np.array([[1, 0], [0, 1], [-1, -1], [1, 0]], np.float32)
    y = np.array([0, 1, 2, 1], np.int32)
    return Dataset("three", x, y, x, y, x[:2], y[:2], task=Classification(outputs=3))


@pytest.mark.parametrize(
    ("accuracy", "expected"), [(0.5, True), (0.54, True), (0.56, False), (0.2, True)]
)
def test_chance_is_the_most_frequent_class_and_one_standard_error(
    data: Dataset, accuracy: float, expected: bool
) -> None:
    y = np.arange(100, dtype=np.int32) % 2
    chance = data.task.chance(data.x_train, y)
    assert data.task.at_chance(Score(accuracy), chance) is expected


def test_explaining_nothing_of_the_input_is_chance(data: Dataset) -> None:
    task = Reconstruction()
    chance = task.chance(data.x_train, data.y_train)
    assert task.at_chance(Score(0.0), chance)
    assert not task.at_chance(Score(0.01), chance)


@pytest.mark.parametrize("form", ["float32", "int8"])
def test_accuracy_comes_from_the_c_and_cost_from_the_elf(
    tmp_path: Path, data: Dataset, form: DType
) -> None:
    target = load_target("stm32f746")
    cache = Cache(tmp_path)
    metrics = Evaluator().metrics(dense(form, form), target, data, cache, test=True)
    assert metrics.score_validation == 0.75
    assert metrics.score_test == 1.0
    assert metrics.cost.flash_bytes > metrics.cost.weights_bytes > 0
    assert metrics.cost.cycles > 0
    assert metrics.cost.layers
    with mock.patch.object(COST, "measure"), mock.patch.object(SCORE, "build_host"):
        again = Evaluator().metrics(dense(form, form), target, data, Cache(tmp_path), test=True)
    assert again == metrics


def test_a_network_that_gives_its_input_back_is_told_what_it_explains(tmp_path: Path) -> None:
    graph = dense().graph
    kernel = Tensor("w", (2, 2), "float32", None, np.eye(2, dtype=np.float32) * 0.5)
    bias = Tensor("b", (2,), "float32", None, np.zeros(2, np.float32))
    output = Tensor("y", (1, 2), "float32")
    half = Graph((graph.tensors[0], kernel, bias, output), graph.ops, (0,), (3,))
    x = np.array([[1, -1], [-1, 1], [2, -2]], np.float32)
    nothing = np.zeros(3, np.int32)
    data = Dataset("same", x, nothing, x, nothing, x, nothing, task=Reconstruction())
    model = Model(Level.TFLITE, half, half.fingerprint())
    # Half of each value misses the other half: a quarter of the variance.
    score = score_on(model, data, "validation", Cache(tmp_path))
    assert score.value == pytest.approx(0.75)


def test_a_metric_of_the_users_own_is_called_again_since_its_code_may_change(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("own_metric_of_evaluate")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    own = replace(data, task=replace(data.task, metric=f"{module.__name__}:score"))
    for value in (0.25, 0.5):
        module.score = lambda truth, found, value=value: value  # type: ignore[attr-defined]
        assert score_on(dense(), own, "validation", Cache(tmp_path)).value == value


def test_another_target_or_schedule_is_measured_anew(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    model = dense()
    with mock.patch.object(COST, "measure") as measure:
        measure.return_value.to_dict.return_value = {"layers": []}
        program = Program(model.graph, Schedule((Step((0,), in_place=True),)))
        for lowered in (model, Model(Level.PROGRAM, program, "p")):
            for target in ("stm32f746", "rp2040"):
                for _ in range(2):
                    with pytest.raises(TypeError):
                        cost(lowered, load_target(target), cache)
    assert measure.call_count == 4


def test_runtimes_are_those_that_have_the_kernels() -> None:
    assert runtimes(dense()) == ("autotiny", "tflm", "litert")
    assert runtimes(dense("int8", "int8")) == ("autotiny", "tflm", "litert")
    assert runtimes(dense("int8", "float32")) == ("autotiny", "litert")
    assert runtimes(dense("float16")) == ("autotiny", "litert")


def test_inputs_are_stored_as_the_port_says() -> None:
    port = Port("x", 0, (1, 2), "int8", Quantization((0.5,), (-1,)))
    x = np.array([[0.0, 0.5], [1e9, -1e9]], np.float32)
    assert stored(x, port).tolist() == [[-1, 0], [127, -128]]
    assert stored(x, Port("x", 0, (1, 2, 1), "float32")).shape == (2, 2, 1)
    with pytest.raises(InvalidData, match="do not fit"):
        stored(x, Port("x", 0, (1, 3), "float32"))


def test_a_build_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    target, model = load_target("stm32f746"), dense("int8", "int8")
    taken = cost(model, target, Cache(tmp_path / "cache"))
    for folder in ("a", "b"):
        write_build(model, target, taken, tmp_path / folder, comment="two\nlines")
    names = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert {"model.tflite", "firmware.elf", "model.c", "Makefile", "selftest.elf"} <= {
        name.name for name in names
    }
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_what_has_no_room_is_written_without_a_project(tmp_path: Path) -> None:
    target, model = load_target("stm32f746"), dense("int8", "int8")
    flash, *others = target.memories
    small = replace(target, memories=(replace(flash, size_bytes=512), *others))
    write_build(model, small, cost(model, small, Cache(tmp_path / "cache")), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "model.tflite", "firmware.elf", "src",
    }  # fmt: skip


def test_a_model_has_to_be_lowered_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lowered first"):
        cost(toy_model(), load_target("stm32f746"), Cache(tmp_path))


def test_what_does_not_fit_is_told_also_where_its_figures_come_from_the_cache(
    tmp_path: Path,
) -> None:
    target = load_target("samd21")
    flash, sram = target.memories
    small = replace(target, memories=(replace(flash, size_bytes=1024), sram))
    told: list[tuple[str, ...]] = []
    cache, tell = Cache(tmp_path), Tell(misfit=told.append)
    for _ in range(2):
        assert cost(dense(), small, cache, tell).flash_bytes > 1024
    assert cache.hits == 1
    assert len(told) == 2


def test_inputs_are_rounded_to_the_nearest_level() -> None:
    port = Port("x", 0, (1, 4), "int8", Quantization((0.5,), (3,)))
    found = stored(np.array([[0.3, 0.2, -0.3, -0.2]], np.float32), port)
    assert found.tolist() == [[4, 3, 2, 3]]


def test_a_cost_is_that_of_the_target_and_not_of_its_name(tmp_path: Path) -> None:
    cache, target = Cache(tmp_path), load_target("samd21")
    slower = replace(target, clock_hz=target.clock_hz // 2)
    assert cost(dense(), slower, cache).latency_ms == 2 * cost(dense(), target, cache).latency_ms
