import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from autotiny.tasks import ACCURACY, Classification, Score
from autotiny.tasks.classification import accuracy, balanced_accuracy, macro_f1

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    truth, found = draw.choice(4, 50, p=(0.7, 0.1, 0.1, 0.1)), draw.normal(size=(50, 5))
    answers = found.argmax(axis=1)
    f1 = f1_score(truth, answers, average="macro", zero_division=0)
    assert macro_f1(truth, found) == pytest.approx(f1)
    assert balanced_accuracy(truth, found) == pytest.approx(
        np.mean([(answers[truth == n] == n).mean() for n in np.unique(truth)])
    )
    known = np.isin(answers, np.unique(truth))
    if known.all():
        assert balanced_accuracy(truth, found) == balanced_accuracy_score(truth, answers)
    assert accuracy(truth, found) == (answers == truth).mean()


def test_the_confusion_matrix_counts_every_sample() -> None:
    truth, found = DRAW.integers(0, 3, 60), DRAW.normal(size=(60, 3))
    (_, each), (_, matrix) = Classification(outputs=3).details(truth, found, ("a", "b", "c"), None)
    assert [row[0] for row in each[1:]] == ["0 = a", "1 = b", "2 = c"]
    assert sum(int(cell) for row in matrix[1:] for cell in row[1:]) == 60
    assert int(matrix[2][3]) == ((truth == 1) & (found.argmax(axis=1) == 2)).sum()


def test_what_is_better_by_one_standard_error_is_no_better_than_all() -> None:
    task = Classification(outputs=2)
    assert task.hoped(Score(0.9, 0.03)) == pytest.approx(0.93)
    assert task.hoped(Score(0.99, 0.03)) == 1
    assert ACCURACY.text(0.9) == "90.00 %"
