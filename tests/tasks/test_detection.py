import numpy as np
import pytest

from autotiny.doors import tensorflow
from autotiny.errors import InvalidData
from autotiny.tasks import Facts, Segmentation, chosen
from autotiny.tasks.detection import Detection, object_f1

MAPS = (np.random.default_rng(0).random((40, 4, 4)) < 0.1).astype(np.int32)


def facts(sample: tuple[int, ...]) -> Facts:
    parts = dict.fromkeys(("train", "validation", "test"), MAPS)
    return Facts("objects", parts, sample=sample, output=(4, 4, 2))


def test_a_coarse_grid_could_be_either_and_a_fine_one_is_a_segmentation() -> None:
    with pytest.raises(InvalidData, match="could mean segmentation or detection; give --task"):
        chosen(facts((32, 32, 1)))
    assert chosen(facts((32, 32, 1)), "detection") == Detection(outputs=2)
    assert chosen(facts((8, 8, 1))) == Segmentation(outputs=2)


def test_cells_without_objects_do_not_count() -> None:
    truth = np.array([[0, 0, 1, 2]])
    found = np.zeros((1, 4, 3), np.float32)
    found[0, np.arange(4), [0, 1, 1, 1]] = 1  # one found, one of the wrong class, one for nothing
    assert object_f1(truth, found) == pytest.approx(2 * 1 / (2 + 3))
    assert object_f1(np.zeros((1, 4), int), np.zeros((1, 4, 3))) == 0


def test_a_missed_object_costs_more_than_a_false_one() -> None:
    tf = tensorflow()
    task, target = Detection(outputs=2), np.array([[0, 0, 0, 1]], np.int32)
    loss = task.loss("", tf)

    def cost(answers: list[int]) -> float:
        logits = 4 * np.eye(2, dtype=np.float32)[answers][np.newaxis]
        return float(tf.reduce_mean(loss(tf.constant(target), tf.constant(logits))))

    right, false, missed = (cost(answers) for answers in ([0, 0, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0]))
    assert right < false
    assert 10 * false < missed
