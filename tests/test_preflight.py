"""What is found out about a model before its study starts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Component, Work
from autotiny.dataset import Dataset
from autotiny.errors import NotApplicable, UserError
from autotiny.model import Level, Model, keras, keras_model
from autotiny.space import Space, load_space
from autotiny.study.job import Job
from autotiny.study.preflight import Findings, checked, doubts_of
from autotiny.target import load_target
from autotiny.tasks import Classification, Drop, Score
from autotiny.tasks.metrics import share_error

PICKY = [
    kind
    for kind in COMPONENTS.values()
    if kind.treats and not set(kind.treats) & {"FULLY_CONNECTED", "SOFTMAX"}
]


@pytest.fixture(scope="module")
def blobs() -> Dataset:
    """Two classes apart by the sign of a feature; 200 samples in each part."""
    x = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32)
    return Dataset("blobs", x, y, x, y, x, y, task=Classification(outputs=2))


@pytest.fixture(scope="module")
def dense() -> Model:
    """A network of dense layers alone whose output is right for every sample of the blobs."""
    k = keras()
    x = k.Input((8,))
    network = k.Model(x, k.layers.Dense(2, activation="softmax")(k.layers.Dense(8)(x)))
    hidden, _, outputs, _ = network.get_weights()
    points = np.zeros_like(outputs)
    points[0] = -1, 1
    network.set_weights([np.eye(*hidden.shape), np.zeros(8), points, np.zeros(2)])
    return keras_model(network)


def job(model: Model, data: Dataset, space: Space, folder: Path) -> Job:
    return Job(
        model=model, data=data, target=load_target("stm32f746"), objectives=("latency",),
        space=space, seed=0, score_drop=Drop(0.01), epochs=1, cache=Cache(folder),
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(
    dense: Model, blobs: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Job, Findings]:
    """What is found out about the dense layers in the default space."""
    return checked(job(dense, blobs, load_space("default"), tmp_path_factory.mktemp("cache")))


def test_what_needs_convolutions_is_not_drawn_for_dense_layers(
    found: tuple[Job, Findings],
) -> None:
    narrowed, findings = found
    left_out = {dropped.component for dropped in findings.left_out}
    assert left_out >= {"separate_convolutions", "factorize_spatial", "use_winograd"}
    assert set(narrowed.space.components) == set(load_space("default").components) - left_out
    assert "int8" in narrowed.space.components
    (notice,) = [notice for notice in findings.notices if "separate_convolutions" in notice]
    assert "the model has no CONV_2D" in notice


def test_a_rewrite_that_changes_no_byte_is_not_drawn(found: tuple[Job, Findings]) -> None:
    _, findings = found
    useless = {d.component for d in findings.left_out if "byte for byte" in d.reason}
    assert useless == {
        "simplify_arithmetic", "remove_loop_invariants", "remove_dead_branches",
        "reduce_control_edges", "fold_constants", "remove_identities", "merge_duplicates",
        "fuse_recurrent",
    }  # fmt: skip
    assert any(
        "fuse_recurrent: this model's firmware stays the same" in notice
        for notice in findings.notices
    )


def test_a_rewrite_that_changes_the_firmware_is_drawn(blobs: Dataset, tmp_path: Path) -> None:
    k = keras()
    x = k.Input((8,))
    p, q = (k.layers.Dense(8, activation="relu")(x) for _ in range(2))
    twice = k.layers.Dense(2)(p * 0.5 + q * 0.5)
    few = ("float32", "int8", "simplify_arithmetic", "merge_duplicates")
    space = replace(load_space("default"), components={name: {} for name in few})
    narrowed, _ = checked(job(keras_model(k.Model(x, twice)), blobs, space, tmp_path))
    assert {*narrowed.space.components} == {*few} - {"merge_duplicates"}


@pytest.mark.slow
def test_a_rewrite_that_changes_one_lowering_alone_is_drawn(blobs: Dataset, tmp_path: Path) -> None:
    k = keras()
    steps = k.Sequential(
        [k.layers.Reshape((4, 2), input_shape=(8,)), k.layers.LSTM(3), k.layers.Dense(2)]
    )
    narrowed, _ = checked(job(keras_model(steps), blobs, load_space("default"), tmp_path))
    assert "fuse_recurrent" in narrowed.space.components  # behind int16x8
    assert "remove_constant_channels" in narrowed.space.components  # weights decide


def test_what_trains_is_not_drawn_for_a_lowered_model(
    dense: Model, blobs: Dataset, tmp_path: Path
) -> None:
    lowered = COMPONENTS["int8"]().apply(dense, Work(blobs, epochs=0))
    narrowed, findings = checked(job(lowered, blobs, load_space("default"), tmp_path))
    kinds = [COMPONENTS[name] for name in narrowed.space.components]
    assert all(Level.TFLITE in kind.levels for kind in kinds)
    assert any("it takes a model of level keras" in notice for notice in findings.notices)


def test_a_space_without_anything_for_the_model_is_refused(
    dense: Model, blobs: Dataset, tmp_path: Path
) -> None:
    lowered = COMPONENTS["int8"]().apply(dense, Work(blobs, epochs=0))
    small = replace(load_space("default"), components={"use_winograd": {}, "int8": {}})
    with pytest.raises(UserError, match=r"holds nothing for this model .*use_winograd") as refusal:
        checked(job(lowered, blobs, small, tmp_path))
    assert "choose another --space" in str(refusal.value)


def test_an_original_at_chance_level_is_told(dense: Model, blobs: Dataset, tmp_path: Path) -> None:
    space = load_space("post_training")
    _, fine = checked(job(dense, blobs, space, tmp_path))
    assert fine.score_at_chance == ""
    shifted = replace(blobs, y_validation=np.random.default_rng(1).permutation(blobs.y_validation))
    _, wrong = checked(job(dense, shifted, space, tmp_path))
    assert wrong.score_at_chance.startswith(("accuracy 4", "accuracy 5"))
    assert "at chance level: check that the data is scaled" in wrong.notices[-1]


def parts(validation: list[int], test: int = 1000, **more: Any) -> Dataset:
    """Samples of which only the labels matter."""
    y = np.repeat(np.arange(len(validation)), validation).astype(np.int32)
    x, truth = np.zeros((1, 2), np.float32), np.zeros(test, np.int32)
    task = {"task": Classification(outputs=len(validation))}
    return Dataset("parts", x, truth[:1], x, y, x, truth, **(task | more))


def doubts(data: Dataset, accuracy: float, drop: float) -> list[str]:
    """What is said of an accuracy of the original and of what it may lose."""
    score = Score(accuracy, share_error(data.y_validation, accuracy))
    outputs = np.zeros((len(data.y_validation), data.task.outputs))
    told = data.task.doubts(data.y_validation, outputs, data.labels, "")
    return [*told, *doubts_of(data, score, Drop(drop))]


def test_what_always_guessing_scores_is_told_for_uneven_classes() -> None:
    (told,) = doubts(parts([100, 900]), 0.95, 0.01)
    assert told.startswith("the classes are uneven: always answering class 1 finds 90.0 % of the")
    (named,) = doubts(parts([990, 10], labels=("still", "fall")), 0.99, 0.01)
    assert "always answering class 0 = still finds 99.0 %" in named
    assert doubts(parts([500, 500]), 0.9, 0.01) == []
    assert doubts(parts([550, 450]), 0.9, 0.02) == []
    assert doubts(parts([250, 150, 100]), 0.9, 0.02) != []
    assert doubts(parts([1000]), 0.9, 0.01) == []


def test_few_samples_decide_nothing() -> None:
    validation, test = doubts(parts([1, 1], test=2), 0.5, 0.01)
    assert validation == (
        "2 validation samples decide nothing: the standard error of accuracy 50.00 % is 35.36 %; "
        "give more samples"
    )
    assert test.startswith("2 test samples decide nothing: the standard error of accuracy 50")
    (one,) = doubts(parts([1]), 1.0, 0.01)
    assert one.startswith(
        "one validation sample decides nothing: the standard error of accuracy 100.00 %"
    )
    (few,) = doubts(parts([40, 40]), 0.9, 0.01)
    assert "80 validation samples decide little: the standard error of accuracy 90.00 %" in few
    assert "is 3.35 %, more than the 1.00 % that a best point may lose" in few
    assert doubts(parts([40, 40]), 0.9, 0.05) == []
    assert len([*doubts(parts([40, 40]), 0.9, 0.0)]) == 1
    assert doubts(parts([5000, 5000]), 0.9, 0.0) == []


def test_doubts_are_told_before_the_search(dense: Model, blobs: Dataset, tmp_path: Path) -> None:
    few = blobs.shrunk(200, 10, 200)
    _, findings = checked(job(dense, few, load_space("post_training"), tmp_path))
    assert any("10 validation samples decide nothing" in line for line in findings.notices)


@pytest.mark.parametrize(
    ("accuracy", "samples", "error"),
    [
        (0.5, 2, 0.3536),
        (0.9, 100, 0.03),
        (1.0, 10, 0.0874),
        (0.0, 10, 0.0874),
        (0.9, 10_000, 0.003),
    ],
)
def test_the_standard_error_of_an_accuracy(accuracy: float, samples: int, error: float) -> None:
    assert share_error(np.zeros(samples), accuracy) == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize("kind", PICKY, ids=lambda kind: kind.name)
def test_what_a_component_treats_is_what_it_needs(
    kind: type[Component], dense: Model, blobs: Dataset
) -> None:
    """In a network of dense layers alone, there is nothing to do."""
    work = Work(blobs, epochs=0, rehearse=True)
    model = dense if Level.KERAS in kind.levels else COMPONENTS["int8"]().apply(dense, work)
    with pytest.raises(NotApplicable):
        kind().apply(model, work)
