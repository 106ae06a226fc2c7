"""Training runs in the worker, and gives what this process would."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worker_requests

from autotiny import worker
from autotiny.cache import Cache
from autotiny.components import Component, Work, applying
from autotiny.components.keras import _tuning, prune_magnitude
from autotiny.components.keras.prune_magnitude import PruneMagnitude
from autotiny.components.keras.quantize_aware import QuantizeAware
from autotiny.dataset import Dataset
from autotiny.errors import WorkerEnded
from autotiny.model import Level, Model, keras, keras_model, load_model, loading, predict
from autotiny.model.crossing import crossed_samples
from autotiny.recipe import Recipe, apply, starting_key
from autotiny.tasks import Classification, Regression

PRUNE = PruneMagnitude(sparsity=0.5)


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("it trains in this process")


@pytest.fixture
def no_training_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_tuning, prune_magnitude):
        for name in ("fit", "train"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(loading, "train", refuse)


@pytest.mark.parametrize("step", [PRUNE, QuantizeAware()], ids=lambda step: step.name)
@pytest.mark.everyday(1)
def test_it_gives_what_this_process_would(
    step: Component, cnn1: Model, work: Work, tmp_path: Path
) -> None:
    here = step.apply(cnn1, work)
    there = apply(Recipe((step,)), cnn1, work, Cache(tmp_path)).model
    assert (there.level, there.fingerprint) == (here.level, here.fingerprint)
    assert there.facts() == here.facts()


def test_a_component_trains_in_the_worker(
    no_training_here: None, cnn1: Model, work: Work, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError):
        PRUNE.apply(cnn1, work)
    pruned = apply(Recipe((PRUNE,)), cnn1, work, Cache(tmp_path)).model
    assert pruned.traits.sparsity == pytest.approx(0.5, abs=0.01)


def test_the_first_training_is_in_the_worker(no_training_here: None, data: Dataset) -> None:
    trained = load_model("cnn1", data, epochs=1)
    right = predict(trained, data.x_validation).argmax(axis=1) == data.y_validation
    assert trained.level is Level.KERAS
    assert right.mean() > 0.2


def test_what_finds_nothing_to_do_there_is_dropped(work: Work, tmp_path: Path) -> None:
    k = keras()
    layers = [k.layers.InputLayer((28, 28)), k.layers.Flatten(), k.layers.ReLU()]
    model = keras_model(k.Sequential(layers))
    found = apply(Recipe((PRUNE,)), model, work, Cache(tmp_path))
    (dropped,) = found.dropped
    assert dropped.reason.startswith("prune_magnitude: no kernel has ")


@pytest.mark.slow
def test_a_crash_ends_the_step_and_not_the_next(
    cnn1: Model, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> Model:
        return apply(Recipe((PRUNE,)), cnn1, work, Cache(tmp_path)).model

    with monkeypatch.context() as patched:
        patched.setattr(applying, "apply_into", worker_requests.crash_on_anything)
        with pytest.raises(WorkerEnded, match=r"^prune_magnitude crashed \(SIG\w+\); choose a "):
            run()
    assert run().traits.sparsity is not None


def test_a_network_with_layers_of_the_users_own_trains_here(tmp_path: Path) -> None:
    k: Any = keras()

    class Doubling(k.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x * 2.0

    model = keras_model(
        k.Sequential(
            [k.layers.InputLayer((64,)), Doubling(), k.layers.Dense(64), k.layers.Dense(3)]
        )
    )
    x, y = np.ones((16, 64), np.float32), np.zeros(16, np.int32)
    work = Work(
        Dataset("ones", x, y, x, y, x, y, task=Classification(outputs=3)), epochs=1, original=model
    )
    pruned = apply(Recipe((PRUNE,)), model, work, Cache(tmp_path)).model
    assert pruned.traits.sparsity is not None


def test_samples_cross_once(data: Dataset) -> None:
    folder = crossed_samples(data, data.fingerprint)
    before = {file: file.stat().st_mtime_ns for file in Path(folder).iterdir()}
    assert crossed_samples(data, data.fingerprint) == folder
    assert {file: file.stat().st_mtime_ns for file in Path(folder).iterdir()} == before
    other = replace(data, task=Regression(outputs=10))
    assert crossed_samples(other, data.fingerprint) != folder


def test_what_was_learned_for_another_task_is_not_taken_from_the_cache(
    cnn1: Model, work: Work
) -> None:
    other = replace(work, data=replace(work.data, task=Regression(outputs=10)))
    assert work.data.fingerprint == other.data.fingerprint
    assert starting_key(cnn1, work) != starting_key(cnn1, other)


def test_the_cache_counts_what_the_worker_asked_it(
    cnn1: Model, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(function: Callable[..., Any], *_: object, **__: object) -> list[int]:
        assert function is applying.apply_into
        return [3, 4]

    monkeypatch.setattr(worker, "ask", asked)
    cache = Cache(tmp_path)
    assert applying.apply_apart(PRUNE, "", "", replace(work, cache=cache, original=None))
    assert (cache.hits, cache.misses) == (3, 4)
