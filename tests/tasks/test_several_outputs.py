"""Several outputs, each with a task of its own."""

import json
from typing import Any

import numpy as np
import pytest

from autotiny.doors import tensorflow
from autotiny.errors import InvalidData, UserError
from autotiny.graph import Array
from autotiny.tasks import (
    SPLITS,
    Binary,
    Classification,
    Facts,
    Regression,
    Several,
    check_asked,
    chosen_each,
    shown_metric,
    task_from,
)

N = 60
DRAW = np.random.default_rng(0)
KINDS = (np.arange(N) % 3).astype(np.int32)
ANSWERS = (np.arange(N) % 2).astype(np.int32)
VALUES = DRAW.normal(size=(N, 2)).astype(np.float32)
TARGETS = np.concatenate([KINDS[:, None], ANSWERS[:, None], VALUES], axis=1).astype(np.float32)
RIGHT = np.concatenate([np.eye(3)[KINDS], ANSWERS[:, None], VALUES], axis=1).astype(np.float32)
OUTPUTS = (RIGHT + DRAW.normal(0, 0.3, RIGHT.shape)).astype(np.float32)
NAMES = ("kind", "alarm", "place")


def facts(y: Array, width: int, ends: str = "") -> Facts:
    return Facts(
        "data", dict.fromkeys(("train", "validation", "test"), y), output=(width,), ends=ends
    )


def task(metric: str | None = None, asked: str | None = None) -> Several:
    each = (facts(KINDS, 3, "softmax"), facts(ANSWERS, 1, "sigmoid"), facts(VALUES, 2))
    return chosen_each(each, NAMES, asked, metric)


def test_each_output_has_the_task_that_it_tells() -> None:
    found = task()
    assert found.tasks == (Classification(outputs=3), Binary(), Regression(outputs=2))
    assert found.outputs == RIGHT.shape[1]
    assert found.asked == "classification,binary,regression"
    assert task(asked=found.asked, metric=found.asked_metric) == found
    assert task(asked="classification:3,binary,regression:2") == found
    np.testing.assert_array_equal(found.targets(TARGETS, "data"), TARGETS)


def test_shares_are_averaged_and_an_error_is_not() -> None:
    shares = task("accuracy,auc,r2")
    score = shares.score(TARGETS, TARGETS, OUTPUTS)
    assert shares.metric == "mean_score"
    assert score.value == pytest.approx(np.mean([one.value for one in score.outputs]))
    assert score.error == pytest.approx(np.mean([one.error for one in score.outputs]))
    assert shares.score(TARGETS, TARGETS, RIGHT).value == 1
    mixed = task("accuracy,auc,mae")
    assert mixed.metric == "accuracy"
    assert mixed.score(TARGETS, TARGETS, OUTPUTS).value == score.outputs[0].value
    lines, others = (
        list(one.described(dict.fromkeys(SPLITS, TARGETS), ())) for one in (mixed, shares)
    )
    assert any(line.startswith("the score is that of output kind") for line in lines)
    assert not any("the score is" in line for line in others)


def test_weights_count_in_score_and_loss() -> None:
    tf, ends = tensorflow(), "softmax,sigmoid,"
    asked = "classification*3,binary,regression:2*0.5"
    found, equal = (task("accuracy,auc,r2", one) for one in (asked, None))
    assert found.asked == "classification*3,binary,regression*0.5"
    assert task("accuracy,auc,r2", found.asked) == found == task_from(found.to_dict())
    score = found.score(TARGETS, TARGETS, OUTPUTS)
    assert score.value == pytest.approx(
        np.average([one.value for one in score.outputs], weights=[3, 1, 0.5])
    )
    assert score.value != pytest.approx(equal.score(TARGETS, TARGETS, OUTPUTS).value)
    outputs = np.clip(OUTPUTS, 0.01, 0.99)
    heavy, plain = (
        float(one.loss(ends, tf)(tf.constant(TARGETS), tf.constant(outputs)))
        for one in (task(asked="classification*2,binary*2,regression*2"), task())
    )
    assert heavy == pytest.approx(2 * plain, rel=1e-5)


@pytest.mark.parametrize("weight", ["0", "-1", "x", "", "nan", "inf", "1001"])
def test_what_is_no_weight_is_refused(weight: str) -> None:
    with pytest.raises(UserError, match="a weight is a number above 0"):
        check_asked(f"classification*{weight},regression", None)


def test_each_score_is_that_of_its_task_alone() -> None:
    scores = task("accuracy,f1,mae").each(TARGETS, OUTPUTS)
    alone = (
        Classification("accuracy", 3).score(KINDS, KINDS, OUTPUTS[:, :3]),
        Binary("f1").score(ANSWERS, ANSWERS, OUTPUTS[:, 3:4]),
        Regression("mae", 2).score(VALUES, VALUES, OUTPUTS[:, 4:]),
    )
    assert scores == alone


def test_thresholds_are_kept_one_an_output() -> None:
    found = task("accuracy,f1,r2")
    assert found.decides
    score = found.score(TARGETS, TARGETS, OUTPUTS)
    assert isinstance(score.threshold, tuple)
    assert [limit is None for limit in score.threshold] == [True, False, True]
    fixed = found.score(TARGETS, TARGETS, OUTPUTS, (None, 9.0, None))
    assert fixed.outputs[1].value == 0
    assert any("yes from 9 on" in line for line in found.interface((), (None, 9.0, None)))
    assert not task("accuracy,auc,mae").decides


def test_chance_counts_what_the_score_counts() -> None:
    shares, mixed = task("accuracy,accuracy,r2"), task("accuracy,accuracy,mae")
    chances = (shares.chance(TARGETS, TARGETS), mixed.chance(TARGETS, TARGETS))
    assert chances[0] is not None
    assert chances[1] is not None
    assert chances[0].value == pytest.approx(np.mean([one.value for one in chances[0].outputs]))
    assert chances[1].value == pytest.approx(1 / 3)
    assert not shares.at_chance(shares.score(TARGETS, TARGETS, RIGHT), chances[0])


def test_the_loss_is_the_sum_of_all_with_a_teacher_and_without() -> None:
    tf, found = tensorflow(), task()
    ends = "softmax,sigmoid,"
    outputs = np.clip(OUTPUTS, 0.01, 0.99)
    taught = found.taught(TARGETS, outputs, ends)
    assert taught.shape == (N, (1 + 3) + 1 + 2)
    cuts = (slice(0, 3), slice(3, 4), slice(4, 6))
    plain = (KINDS, ANSWERS[:, None].astype(np.float32), VALUES)
    learned = (taught[:, :4], taught[:, 4:5], taught[:, 5:])
    for targets, parts in ((TARGETS, plain), (taught, learned)):
        each: list[Any] = []
        for one, end, part, cut in zip(found.tasks, ends.split(","), parts, cuts, strict=True):
            loss = one.loss(end, tf)(tf.constant(part), tf.constant(outputs[:, cut]))
            each.append(np.mean(loss))
        whole = found.loss(ends, tf)(tf.constant(targets), tf.constant(outputs))
        assert float(whole) == pytest.approx(float(np.sum(each)), rel=1e-5)


def test_it_is_plain_data_and_back() -> None:
    found = task("accuracy,f1,r2")
    content = json.loads(json.dumps(found.to_dict()))
    assert task_from(content) == found
    for key, wrong in (("names", ["a"]), ("widths", [1, 1, -2]), ("tasks", []), ("labels", 3),
                       ("tasks", [{"name": "anomaly"}] * 3), ("weights", [1, 1, 0]),
                       ("weights", ["1"] * 3)):  # fmt: skip
        with pytest.raises(UserError, match="several outputs"):
            task_from({**content, key: wrong})


def test_report_and_header_name_each_output() -> None:
    found = task()
    tables = found.details(TARGETS, OUTPUTS, (), None)
    assert tables[0][0] == "Each output"
    assert [row[0] for row in tables[0][1]] == ["output", *NAMES]
    assert any(heading.startswith("output kind: ") for heading, _ in tables)
    lines = found.interface((), None)
    assert [line.partition(":")[0] for line in lines] == [
        "output 0 (kind)", "output 1 (alarm)", "output 2 (place)",
    ]  # fmt: skip
    other = OUTPUTS.copy()
    other[:, :3] = np.roll(other[:, :3], 1, axis=1)
    assert found.equal_answers(OUTPUTS, OUTPUTS, (None, None)) == 1
    assert found.equal_answers(OUTPUTS, other, (None, None)) == 0
    metric = shown_metric("mean_score_validation")
    assert metric is not None
    assert metric.text(0.5) == "50.00 %"


def test_what_is_not_asked_for_each_output_is_refused() -> None:
    with pytest.raises(UserError, match="names 2, the model has 3 outputs"):
        task(asked="classification,binary")
    with pytest.raises(UserError, match="'classification:4' asks for 4 values of output kind"):
        task(asked="classification:4,binary,regression")
    check_asked("classification:4,binary", None)
    with pytest.raises(UserError, match="did you mean 'binary'"):
        check_asked("classification,binari", None)
    with pytest.raises(UserError, match="did you mean 'accuracy'"):
        check_asked("classification,regression", "acuracy,mae")
    with pytest.raises(UserError, match="a function of your own"):
        task("accuracy,auc,mine:metric")
    image = Facts("data", dict.fromkeys(SPLITS, np.zeros((N, 2, 2), int)),
                  sample=(2, 2), output=(2, 2, 3))  # fmt: skip
    with pytest.raises(InvalidData, match="output b would be a segmentation"):
        chosen_each((facts(KINDS, 3), image), ("a", "b"))
