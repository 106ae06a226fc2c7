import math
from importlib import import_module
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Work
from autotiny.dataset import Dataset
from autotiny.errors import InvalidData
from autotiny.evaluate import agreement, agreement_on, outputs
from autotiny.graph import Array, Graph, Op, Tensor
from autotiny.model import Level, Model, predict

MODULE = import_module("autotiny.evaluate.score")

LOGITS = np.array([[4, 0, -1], [-2, 3, 0], [1, 0, 5], [0.5, 2, -3]], np.float32)


def probabilities(logits: Array) -> Array:
    powers = np.exp(logits)
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def test_figures_are_those_of_the_differences() -> None:
    original = np.array([[0, 2], [4, 2], [0, 2], [4, 2]], np.float32)
    found = original.copy()
    found[2] = (0, 6)
    found[1] = (1, 2)
    result = agreement(original, found)
    assert result.rmse == pytest.approx(math.sqrt((16 + 9) / 8))
    # One output moves by 2 from its mean, the other not at all: √(4 · 4 / 8).
    assert result.relative == pytest.approx(result.rmse / math.sqrt(2))
    assert (result.worst, result.worst_sample) == (4, 2)
    assert result.equal_answers == 0.75
    assert result.normalized is None


def test_what_all_outputs_have_in_common_is_no_spread() -> None:
    found = LOGITS + np.float32(0.1)
    far = np.float32(1000)
    near = agreement(LOGITS, found).relative
    assert agreement(LOGITS + far, found + far).relative == pytest.approx(near, rel=1e-3)
    offsets = np.array([0, 300, -300], np.float32)
    assert agreement(LOGITS + offsets, found + offsets).relative == pytest.approx(near, rel=1e-3)


def test_equal_outputs_differ_by_nothing_even_where_they_never_move() -> None:
    same = np.ones((3, 2), np.float32)
    assert agreement(same, same).relative == 0
    assert agreement(same, same + 1).relative == math.inf


def test_no_finite_number_on_one_side_alone_is_infinitely_far_off() -> None:
    original = np.array([[1, 2], [3, np.inf], [5, np.nan]], np.float32)
    same = agreement(original, original)
    assert (same.rmse, same.relative, same.worst) == (0, 0, 0)
    for strange in (np.nan, -np.inf):
        found = original.copy()
        found[1, 1] = strange
        result = agreement(original, found)
        assert (result.rmse, result.relative, result.worst) == (math.inf, math.inf, math.inf)
        assert result.worst_sample == 1


def test_the_answer_of_one_output_is_what_the_caller_says() -> None:
    original = np.array([[0.2], [0.4], [0.6], [0.9]], np.float32)
    found = original + np.float32(0.15)
    assert agreement(original, found).equal_answers is None
    assert agreement(original, found, lambda y: y[:, 0] > 0.5).equal_answers == 0.75


def test_answers_of_several_outputs_can_be_others_than_the_greatest() -> None:
    found = LOGITS.copy()
    found[0, 2] = 9
    assert agreement(LOGITS, found).equal_answers == 0.75
    assert agreement(LOGITS, found, lambda y: y[:, 1] > 1).equal_answers == 1


@pytest.mark.parametrize("side", ["original", "found"])
def test_logits_are_compared_with_probabilities_by_their_softmax(side: str) -> None:
    rounded = np.round(probabilities(LOGITS) * 256) / 256  # as int8 stores them
    pair = (LOGITS, rounded) if side == "original" else (rounded, LOGITS)
    result = agreement(*pair)
    assert result.normalized == side
    assert 0 < result.worst <= 1 / 512
    assert result.equal_answers == 1


def test_the_softmax_of_large_logits_is_finite() -> None:
    result = agreement(LOGITS * 1000, probabilities(LOGITS * 10))
    assert result.normalized == "original"
    assert result.worst < 1e-2


def test_two_of_a_kind_are_compared_as_they_are() -> None:
    others = LOGITS[::-1]
    assert agreement(LOGITS, others).normalized is None
    assert agreement(probabilities(LOGITS), probabilities(others)).normalized is None


def test_a_regression_that_leaves_0_to_1_is_no_logit() -> None:
    inside = np.array([[0.1], [0.9]], np.float32)
    assert agreement(inside, inside + 1).normalized is None
    assert agreement(np.ones((2, 1), np.float32), np.array([[1.0], [3.0]])).worst == 2


def test_shares_that_do_not_sum_to_1_are_no_probabilities() -> None:
    labels = np.array([[0.9, 0.8, 0.1]] * 4, np.float32)  # of several that may be there at once
    assert agreement(labels, LOGITS).normalized is None


@pytest.mark.parametrize(
    ("original", "found"), [((3, 2), (3, 3)), ((3, 2), (2, 2)), ((4,), (4,)), ((0, 2), (0, 2))]
)
def test_outputs_that_do_not_fit_are_refused(
    original: tuple[int, ...], found: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidData, match="same samples") as refusal:
        agreement(np.zeros(original), np.zeros(found))
    assert str(found) in str(refusal.value)


def test_the_outputs_of_a_float_program_are_those_of_the_network(
    cnn1: Model, data: Dataset, work: Work
) -> None:
    x = data.x_validation[:20]
    reference = COMPONENTS["float32"]().apply(cnn1, work)
    result = agreement(predict(cnn1, x).reshape(20, -1), outputs(reference, x))
    assert result.relative < 1e-5


def test_the_agreement_of_a_lowered_model_is_found_once(
    cnn1: Model, data: Dataset, work: Work, tmp_path: Path
) -> None:
    x, cache = data.x_validation, Cache(tmp_path)
    reference, lowered = (COMPONENTS[name]().apply(cnn1, work) for name in ("float32", "int8"))
    found = agreement_on(reference, lowered, x, cache)
    assert found == agreement(outputs(reference, x), outputs(lowered, x))
    assert 0 < found.relative < 0.05
    with mock.patch.object(MODULE, "build_host", side_effect=AssertionError):
        assert agreement_on(reference, lowered, x, cache) == found
        for other in ((reference, reference, x), (reference, lowered, x[:50])):
            with pytest.raises(AssertionError):
                agreement_on(*other, cache)


def test_samples_for_another_network_are_refused(tmp_path: Path) -> None:
    tensors = tuple(Tensor(name, (1, 2), "float32") for name in "abc")
    op = Op("ADD", (0, 1), (2,), {"fused_activation_function": "NONE"})
    graph = Graph(tensors, (op,), (0, 1), (2,))
    model = Model(Level.TFLITE, graph, graph.fingerprint())
    with pytest.raises(InvalidData, match="samples of 2 values are given to inputs"):
        agreement_on(model, model, np.zeros((3, 2), np.float32), Cache(tmp_path))
    two = np.ones((3, 4), np.float32)
    assert agreement_on(model, model, two, Cache(tmp_path)).rmse == 0
    tanh = Graph(tensors, (Op("TANH", (0,), (2,)),), (0,), (2,))
    one = Model(Level.TFLITE, tanh, tanh.fingerprint())
    with pytest.raises(InvalidData, match="0 samples"):
        agreement_on(one, one, np.zeros((0, 2), np.float32), Cache(tmp_path))
    with pytest.raises(InvalidData, match="do not fit"):
        agreement_on(one, one, np.zeros((3, 5), np.float32), Cache(tmp_path))
