"""What holds of every task."""

from typing import Any

import numpy as np
import pytest

from autotiny.doors import tensorflow
from autotiny.errors import InvalidData, UserError
from autotiny.graph import Array
from autotiny.tasks import TASKS, Facts, Task, check_asked, chosen, shown_metric, task_from

N = 60
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(N, 6)).astype(np.float32)
NUMBERS = (np.arange(N) % 3).astype(np.int32)
ANSWERS = (np.arange(N) % 2).astype(np.int32)
ROWS = np.stack([ANSWERS, NUMBERS == 1, NUMBERS != 2], axis=1).astype(np.int32)
MAPS = DRAW.integers(0, 3, (N, 4, 5)).astype(np.int32)

CASES: dict[str, tuple[Array, tuple[int, ...], Any]] = {
    "classification": (NUMBERS, (3,), np.eye(3, dtype=np.float32)[NUMBERS]),
    "binary": (ANSWERS, (1,), ANSWERS[:, np.newaxis].astype(np.float32)),
    "multilabel": (ROWS, (3,), ROWS.astype(np.float32)),
    "regression": (X[:, :2], (2,), X[:, :2]),
    "anomaly": (ANSWERS, (6,), X + ANSWERS[:, np.newaxis]),
    "reconstruction": (NUMBERS + 7, (6,), X),
    "segmentation": (MAPS, (4, 5, 3), np.eye(3, dtype=np.float32)[MAPS]),
    "detection": (MAPS, (4, 5, 3), np.eye(3, dtype=np.float32)[MAPS]),
}
"""Targets, shape of the output, and the outputs that answer right."""

ASKED = ("detection",)
"""Tasks whose targets could be another's too, so that they are asked for."""


def facts(name: str) -> Facts:
    y, output, _ = CASES[name]
    parts = {"train": y, "validation": y, "test": y}
    sample = (4, 5, 3) if CASES[name][0] is MAPS else (6,)
    return Facts(name, parts, sample=sample, output=output)


def made(name: str, metric: str | None = None) -> tuple[Task, Array]:
    task = chosen(facts(name), name if name in ASKED else None, metric)
    return task, task.targets(CASES[name][0], name)


EVERY = [(kind.name, metric.name) for kind in TASKS.values() for metric in kind.metrics]


def test_every_task_has_a_case() -> None:
    assert set(CASES) == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_targets_and_network_tell_the_task(name: str) -> None:
    if name not in ASKED:
        assert chosen(facts(name)).name == name
    assert chosen(facts(name), name) == made(name)[0]


@pytest.mark.parametrize("name", TASKS)
def test_targets_of_a_task_are_read_as_they_are(name: str) -> None:
    task, y = made(name)
    again = task.targets(y, name) if y.ndim < 3 and CASES[name][0] is not MAPS else y
    assert again is y
    assert len(y) == N


@pytest.mark.parametrize(("name", "metric"), EVERY)
@pytest.mark.everyday(6)
def test_right_answers_score_best_and_worse_ones_worse(name: str, metric: str) -> None:
    task, y = made(name, metric)
    right = CASES[name][2].astype(np.float32)
    best = task.score(X, y, right)
    noise = np.random.default_rng(1).normal(size=right.shape).astype(np.float32)
    noisy = task.score(X, y, right + np.float32(0.8) * noise)
    assert best.value == pytest.approx(1.0 if task.scored_by.percent else 0.0)
    assert task.scored_by.better(best.value, noisy.value)
    assert 0 < noisy.error < 1
    assert not task.at_chance(best, task.chance(X, y))
    assert task.scored_by.better(task.hoped(noisy), noisy.value)
    assert task.hoped(best) <= 1 or not task.scored_by.percent


@pytest.mark.parametrize(("name", "metric"), EVERY)
def test_a_score_repeats(name: str, metric: str) -> None:
    task, y = made(name, metric)
    outputs = CASES[name][2] + np.random.default_rng(1).normal(size=CASES[name][2].shape)
    assert task.score(X, y, outputs) == task.score(X, y, outputs)


@pytest.mark.parametrize(("name", "metric"), EVERY)
def test_the_best_answer_that_knows_no_input_is_at_chance(name: str, metric: str) -> None:
    task, y = made(name, metric)
    guessed = task.guess(y, N)
    if guessed is None:
        pytest.skip("what guesses say nothing of")
    assert task.at_chance(task.score(X, y, guessed), task.chance(X, y))


@pytest.mark.parametrize(("name", "metric"), EVERY)
def test_a_task_is_plain_data(name: str, metric: str) -> None:
    task, _ = made(name, metric)
    assert task_from(task.to_dict()) == task
    shown = shown_metric(f"{metric}_validation")
    assert shown is not None
    assert (shown.percent, shown.higher) == (task.scored_by.percent, task.scored_by.higher)


@pytest.mark.parametrize("ends", ["", "sigmoid", "softmax"])
@pytest.mark.parametrize("name", TASKS)
def test_the_loss_of_right_answers_is_smaller_than_of_others(name: str, ends: str) -> None:
    task, y = made(name)
    x, target = task.learned(X, y)
    tf = tensorflow()
    right = CASES[name][2].astype(np.float32)
    right = right[y == 0] if name == "anomaly" else right
    if name not in ("regression", "anomaly", "reconstruction"):
        right = np.clip(right, 0.01, 0.99) if ends else 8 * right - 4
    assert len(x) == len(target) == len(right)
    loss = task.loss(ends, tf)
    good = float(tf.reduce_mean(loss(tf.constant(target), tf.constant(right))))
    bad = float(tf.reduce_mean(loss(tf.constant(target), tf.constant(right[::-1].copy()))))
    assert good < bad


@pytest.mark.parametrize("name", [name for name, kind in TASKS.items() if kind.teachable])
def test_a_teacher_that_is_right_moves_the_targets_to_its_answers(name: str) -> None:
    task, y = made(name)
    right = CASES[name][2].astype(np.float32)
    certain = np.where(right > 0.5, 0.9, 0.1) if name in ("binary", "multilabel") else right
    taught = task.taught(y, certain.astype(np.float32), "sigmoid")
    tf = tensorflow()
    outputs = tf.Variable(tf.zeros_like(right))
    loss = task.loss("sigmoid" if name in ("binary", "multilabel") else "", tf)
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(loss(tf.constant(taught), outputs + 0.5))
    slope = tape.gradient(value, outputs).numpy()
    assert (np.sign(-slope)[right > 0.6] > 0).all()
    assert (np.sign(-slope)[right < 0.4] < 0).all()


@pytest.mark.parametrize("name", TASKS)
def test_what_was_understood_is_told(name: str) -> None:
    task, y = made(name)
    parts = dict.fromkeys(("train", "validation", "test"), y)
    lines = [*task.described(parts, ()), *task.interface((), None), *task.interface((), 0.5)]
    assert all(line and line == line.strip() for line in lines)
    truth, found = task.judged(X, y, CASES[name][2].astype(np.float32))
    for heading, rows in task.details(truth, found, (), 0.5):
        assert heading
        assert len({len(row) for row in rows}) == 1


def test_names_that_there_are_not_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'regression'"):
        check_asked("regresion", None)
    with pytest.raises(UserError, match="did you mean 'rmse'"):
        check_asked(None, "rmes")
    with pytest.raises(UserError, match="unknown metric 'accuracy'"):
        check_asked("regression", "accuracy")
    with pytest.raises(UserError, match="regression is not scored by 'accuracy'; its metrics are"):
        chosen(facts("regression"), None, "accuracy")
    for wrong in ({}, {"name": "binary"}, {"name": "binary", "metric": "auc", "outputs": -1},
                  {"name": "nothing", "metric": "auc", "outputs": 1},
                  {"name": "binary", "metric": "mae", "outputs": 1}):  # fmt: skip
        with pytest.raises(UserError):
            task_from(wrong)


OWN = "own_metric_for_a_test"


def test_a_function_of_ones_own_scores(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{OWN}.py").write_text(
        "import numpy as np\n\ndef largest(truth, found):\n    return np.abs(truth - found).max()\n"
        "\nlargest.lower_is_better = True\n\ndef share(truth, found):\n    return 0.25\n"
    )
    monkeypatch.chdir(tmp_path)
    task, y = made("regression", f"{OWN}:largest")
    assert task.score(X, y, X[:, :2] + np.float32(0.5)).value == pytest.approx(0.5, abs=1e-6)
    assert task.scored_by.direction == "minimize"
    assert made("regression", f"{OWN}:share")[0].scored_by.direction == "maximize"
    with pytest.raises(UserError, match="did you mean 'share'"):
        _ = made("regression", f"{OWN}:shares")[0].scored_by
    with pytest.raises(UserError, match="there is no module 'nowhere_at_all'"):
        _ = made("regression", "nowhere_at_all:f")[0].scored_by


def told(y: Array, output: tuple[int, ...], ends: str = "", sample: tuple[int, ...] = (6,)) -> str:
    parts = dict.fromkeys(("train", "validation", "test"), y)
    return chosen(Facts("data", parts, sample=sample, output=output, ends=ends)).name


@pytest.mark.parametrize(
    ("y", "output", "ends", "expected"),
    [
        (NUMBERS, (3,), "softmax", "classification"),
        (NUMBERS.astype(np.float32), (3,), "", "classification"),
        (NUMBERS, (1,), "", "regression"),
        (ANSWERS, (2,), "", "classification"),
        (ANSWERS, (1,), "", "binary"),
        (ANSWERS, (1,), "sigmoid", "binary"),
        (ANSWERS.astype(np.float32), (1,), "sigmoid", "binary"),
        (ROWS.astype(np.float32), (3,), "sigmoid", "multilabel"),
        (ROWS + NUMBERS[:, np.newaxis], (3,), "", "regression"),
        (X[:, 0], (1,), "", "regression"),
        (X[:, 0], (1,), "sigmoid", "regression"),
        (NUMBERS, (6,), "", "reconstruction"),
        (ANSWERS, (6,), "sigmoid", "anomaly"),
        (MAPS, (4, 5, 3), "softmax", "segmentation"),
        (MAPS[..., np.newaxis].astype(np.float32), (4, 5, 3), "", "segmentation"),
        (X.reshape(N, 2, 3), (2, 3), "", "regression"),
    ],
)  # fmt: skip
def test_what_is_told(y: Array, output: tuple[int, ...], ends: str, expected: str) -> None:
    assert told(y, output, ends) == expected


@pytest.mark.parametrize(
    ("y", "output", "ends", "message"),
    [
        (ANSWERS.astype(np.float32), (1,), "", "could mean binary or regression; give --task"),
        (NUMBERS - 1, (3,), "", "has the label -1; classes are counted from 0"),
        (NUMBERS.astype(np.int64) + (1 << 32), (3,), "", "label 4294967298; class numbers"),
        (X[:, 0], (3,), "softmax", "1 value to predict a sample, the model's output has 3"),
        (X[:, :2], (3,), "", "has 2 values to predict a sample, the model's output has 3"),
        (X[:, :3], (3,), "softmax", "ends in a softmax"),
        (ROWS, (4,), "", "3 values to predict|rows of 3"),
        (ROWS, (3,), "softmax", "ends in a softmax, whose outputs say one class in all"),
        (NUMBERS + 1, (3,), "", "labels from 1 to 3, .* subtract 1"),
        (NUMBERS, (2,), "", "has 3 classes .*, the model's output has 2"),
        (MAPS, (4, 5, 2), "", "targets go from 0 to 2; the model has outputs for the classes 0 to"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    y: Array, output: tuple[int, ...], ends: str, message: str
) -> None:
    with pytest.raises(InvalidData, match=message):
        told(y, output, ends)


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("regression", "classification", "are no class numbers"),
        ("classification", "binary", "such as 2 are no answers"),
        ("regression", "binary", "are no answers; binary needs one 0 or 1"),
        ("regression", "multilabel", "are no rows of 2 zeros and ones"),
        ("classification", "segmentation", "are no maps of class numbers"),
        ("classification", "reconstruction", "takes 6 and gives 3"),
        ("segmentation", "anomaly", "takes 4×5×3 and gives|targets of anomaly are 0"),
        ("classification", "regression", "1 value to predict a sample, the model's output has 3"),
    ],
)
def test_a_task_that_was_asked_for_and_does_not_fit_is_refused(
    name: str, asked: str, message: str
) -> None:
    with pytest.raises(InvalidData, match=message):
        chosen(facts(name), asked)
