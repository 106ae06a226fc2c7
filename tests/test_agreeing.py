"""How near a point is to the original, and at which layer its lowering parts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotiny.cache import Cache
from autotiny.components import COMPONENTS
from autotiny.dataset import Dataset
from autotiny.evaluate import LayerError, Parting
from autotiny.metrics import Metrics
from autotiny.model import Model, keras, keras_model
from autotiny.recipe import Recipe
from autotiny.space import load_space
from autotiny.study.agreeing import agreed, parts_at
from autotiny.study.evaluator import Evaluator
from autotiny.study.job import Job
from autotiny.target import load_target
from autotiny.tasks import Classification, Drop


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    x = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32)
    k = keras()
    k.utils.set_random_seed(0)
    model: Model = keras_model(k.Sequential([k.layers.InputLayer((8,)), k.layers.Dense(2)]))
    return Job(
        model=model, data=Dataset("few", x, y, x, y, x, y, Classification(outputs=2)),
        target=load_target("stm32f746"), objectives=("latency",), space=load_space("default"),
        seed=0, score_drop=Drop(0.01), epochs=1, cache=Cache(tmp_path_factory.mktemp("cache")),
    )  # fmt: skip


def recipe(*names: str) -> Recipe:
    return Recipe(tuple(COMPONENTS[name]() for name in names))


METRICS: Any = Metrics(None, 0.9)  # type: ignore[arg-type]


def test_the_original_agrees_with_itself_and_int8_nearly(job: Job) -> None:
    same = agreed(job, recipe("float32"), METRICS, METRICS)
    assert same is not None
    assert (same.outputs.rmse, same.outputs.equal_answers, same.samples) == (0, 1, 60)
    assert same.parts_at == ""
    near = agreed(job, recipe("int8"), METRICS, METRICS)
    assert near is not None
    assert 0 < near.outputs.relative < 0.1
    assert near.outputs.equal_answers is not None
    assert near.outputs.equal_answers > 0.9


@pytest.mark.parametrize(("error", "told"), [(0.5, True), (0.015, False)])
def test_an_error_that_doubles_in_a_layer_is_told(job: Job, error: float, told: bool) -> None:
    layer = LayerError("dense", "FULLY_CONNECTED", (2,), 0.1, error, 0.01, 0.9, 0.0)
    found = Parting((layer,), 0, 0)
    evaluator = Evaluator(parting=lambda *_: found)
    sentence = parts_at(replace(job, evaluator=evaluator), recipe("int8"))
    assert sentence.startswith("dense (FULLY_CONNECTED 2): error 1 % → ") == told
    assert bool(sentence) == told


def test_what_cannot_be_compared_is_none(job: Job, tmp_path: Path) -> None:
    assert agreed(job, recipe("quantize_aware"), METRICS, METRICS) is None
