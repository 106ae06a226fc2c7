"""What is tried next: the pool, the surrogate, what is gained, and the proposals of a study."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from test_study import searching
from toys import CALLS, Block

from autotiny.errors import UserError
from autotiny.model import Level
from autotiny.recipe import Recipe, parameters, steps_from_text
from autotiny.space import Space, answers_for, load_space
from autotiny.study import Result, TrialRecord
from autotiny.study import pool as pooling
from autotiny.study.evidence import UNTRAINED, Evidence, trained_parts
from autotiny.study.job import Job
from autotiny.study.pool import pool
from autotiny.study.proposing import FEWEST, REHEARSED, chosen, neighbours, proposal, rehearsed
from autotiny.study.record import Rehearsal
from autotiny.study.sampling import NEEDS
from autotiny.study.surrogate import Surrogate, features, scored_part
from autotiny.study.weighing import NODES, Front, Scale

DEFAULT = load_space("default").for_cores(1).for_start(Level.KERAS)


def recipe(text: str) -> Recipe:
    return Recipe(steps_from_text(text))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    few = mock.patch.object(pooling, "NEIGHBOURS", 80)  # toys need no more
    with few, searching(tmp_path) as start:
        yield lambda **changes: start(**{"sampler": "ehvi", **changes})


def test_every_sequence_of_a_pool_can_be_drawn_and_is_new() -> None:
    parents = DEFAULT.first
    known = frozenset(one.key for one in parents)
    found = pool(DEFAULT, Level.KERAS, parents, known, 0)
    assert len(found) > 100
    assert all(answers_for(one, DEFAULT, Level.KERAS) is not None for one in found)
    keys = [one.key for one in found]
    assert len({*keys}) == len(keys)
    assert not known & {*keys}
    assert found == pool(DEFAULT, Level.KERAS, parents, known, 0)
    assert found != pool(DEFAULT, Level.KERAS, parents, known, 1)


def test_a_pool_holds_each_kind_of_neighbour() -> None:
    parents = [
        recipe("reduce_input, int8, fuse_operators"),
        recipe("prune_channels(ratio=0.5), int8, huffman_code"),
    ]
    found = [
        one for seed in range(4) for one in pool(DEFAULT, Level.KERAS, parents, frozenset(), seed)
    ]
    texts = {one.names for one in found}
    assert ("reduce_input", "int8", "fuse_operators", "block_gemm") in texts, "one more"
    assert ("int8", "fuse_operators") in texts, "one less"
    assert ("reduce_input", "int16x8", "fuse_operators") in texts, "another lowering"
    assert ("reduce_input", "int8", "huffman_code") in texts, (
        "what trains of one, the rest of another"
    )
    pruned = [one for one in found if one.names == ("prune_channels", "int8", "huffman_code")]
    ratios = {parameters(one.steps[0])["ratio"] for one in pruned}
    assert len(ratios) > 2, "other parameters"


def test_a_pool_of_a_model_that_is_lowered_already() -> None:
    space = DEFAULT.for_start(Level.TFLITE)
    parents = [recipe("fuse_operators"), recipe("fuse_operators, block_gemm")]
    found = pool(space, Level.TFLITE, parents, frozenset(), 0)
    assert len(found) > 50
    assert all(answers_for(one, space, Level.TFLITE) is not None for one in found)


def test_no_sequence_of_a_pool_trains_more_often_than_the_space_allows() -> None:
    parent = recipe("reduce_input, prune_channels, quantize_aware, int8")
    found = pool(DEFAULT, Level.KERAS, [parent], frozenset(), 0)
    assert max(sum(step.trains for step in one.steps) for one in found) == 3


def test_only_what_is_computed_counts_for_the_score() -> None:
    whole = recipe("reduce_input, int8, fuse_operators, huffman_code")
    assert scored_part(whole).names == ("reduce_input", "int8")


def test_features_tell_parameters_and_order() -> None:
    space = load_space("default")
    low, high = (
        features(recipe(f"prune_magnitude(sparsity={sparsity}), int8"), space)
        for sparsity in (0.5, 0.9)
    )
    assert low["prune_magnitude.sparsity"] == 0
    assert high["prune_magnitude.sparsity"] == 1
    assert low["prune_magnitude.pattern=element"] == 1
    assert not [name for name in low if name.startswith("prune_magnitude.budget")], "not drawn"
    one = features(recipe("prune_channels, separate_convolutions, int8"), space)
    other = features(recipe("separate_convolutions, prune_channels, int8"), space)
    assert one != other


def additive(space: Space) -> tuple[list[dict[str, float]], list[float]]:
    """Sequences whose score is a sum of what their components lose."""
    lost = {"reduce_input": 1.0, "prune_channels": 0.5, "quantize_aware": -0.2, "int8": 0.1}
    found = pool(space, Level.KERAS, space.first, frozenset(), 0)
    described = [features(scored_part(one), space) for one in found]
    return described, [-sum(lost.get(name, 0.0) for name in one.names) for one in found]


def test_the_surrogate_learns_what_each_component_does() -> None:
    described, scores = additive(DEFAULT)
    model = Surrogate(described[:60], scores[:60])
    mean, deviation = model(described[60:])
    errors = mean - np.array(scores[60:])
    assert np.sqrt(np.mean(errors**2)) < 0.25 * np.std(scores)
    assert np.mean(np.abs(errors) < 2 * deviation + 0.05) > 0.8
    again, _ = Surrogate(described[:60], scores[:60])(described[60:])
    assert np.array_equal(mean, again)


def test_the_surrogate_is_sure_where_it_has_seen_and_not_where_it_has_not() -> None:
    described, scores = additive(DEFAULT)
    model = Surrogate(described[:20], scores[:20])
    _, seen = model(described[:20])
    _, unlike = model([features(recipe("cluster_weights, float16, strassen"), DEFAULT)])
    assert unlike[0] > 2 * seen.max()


def test_the_surrogate_learns_one_more() -> None:
    described, scores = additive(DEFAULT)
    model = Surrogate(described[:40], scores[:40])
    new = features(recipe("cluster_weights, float16, strassen"), DEFAULT)
    before, doubt = model([new])
    after, sure = model.also(new, float(before[0]) + 3)([new])
    assert after[0] > before[0] + 2
    assert sure[0] < doubt[0]
    again, _ = model([new])
    assert again == before, "it is another one"


def test_a_scale_is_even_and_keeps_the_order() -> None:
    scale = Scale(original=0.9, unit=0.01, sign=1)
    assert scale(0.9) == 0
    assert scale(0.91) == -scale(0.89) == pytest.approx(math.log(2))
    assert scale(0.5) < scale(0.8) < scale(0.9) < scale(1.0)
    error = Scale(original=2.0, unit=0.1, sign=-1)
    assert error(2.5) < 0 < error(1.5)
    scores = (1.2, 1.9, 2.0, 2.5)
    back = error.gains_at(np.array([error(score) for score in scores]))
    assert back == pytest.approx([error.gain(score) for score in scores])


def one_cost(*points: tuple[float, float]) -> Front:
    """A front of (cost, score), the costs from 0 to 1 and the score from −1."""
    costs = np.array([[cost] for cost, _ in points]).reshape(len(points), 1)
    scores = np.array([score for _, score in points])
    return Front.of(costs, scores, np.zeros(1), np.ones(1), -1.0)


def gain(front: Front, cost: float, mean: float, deviation: float = 0.0) -> float:
    """What a sequence gains whose score is normal."""
    return float(front.gains(np.array([[cost]]), (mean + deviation * NODES)[None])[0])


def test_what_is_sure_gains_the_hypervolume_that_it_adds() -> None:
    front = one_cost((0.5, 0.0))
    assert gain(front, 0.25, -0.5) == pytest.approx(0.25 * 0.5, abs=0.01)
    assert gain(front, 0.75, 0.5) == pytest.approx(0.25 * 0.5, abs=0.01)
    assert gain(front, 0.0, 0.0) == pytest.approx(0.5, abs=0.01)
    assert gain(front, 0.5, 0.0) == 0
    assert gain(front, 0.75, -0.5) == 0
    assert gain(front, 2.0, 1.0) == 0, "it costs more than the original"


def test_what_is_not_sure_gains_what_it_adds_on_average() -> None:
    front = one_cost((0.5, 0.0), (0.25, -0.5))
    draws = np.random.default_rng(0).normal(-0.2, 0.4, 4000)
    mean = np.mean([gain(front, 0.4, float(score)) for score in draws])
    assert gain(front, 0.4, -0.2, 0.4) == pytest.approx(mean, rel=0.1)


def test_two_costs_are_weighed_together() -> None:
    front = Front.of(np.array([[0.5, 0.5]]), np.array([0.0]), np.zeros(2), np.ones(2), worst=-1.0)
    costs = np.array([[0.5, 0.0], [0.5, 0.5], [0.0, 1.0]])
    gains = front.gains(costs, np.zeros((3, len(NODES))))
    assert gains == pytest.approx([0.25, 0.0, 1 / 48 / 2 + 0.0], abs=0.03)


def test_without_costs_the_score_alone_counts() -> None:
    front = Front.of(np.zeros((2, 0)), np.array([0.1, 0.3]), np.zeros(0), np.zeros(0), -1.0)
    scores = np.array([[0.2], [0.5]]) + 0 * NODES
    gains = front.gains(np.zeros((2, 0)), scores)
    assert gains == pytest.approx([0.0, 0.2])


def test_what_may_exceed_what_is_reached_may_gain() -> None:
    front = one_cost((0.5, 0.0))
    at = np.array([[0.5], [0.5], [2.0]])
    assert front.may_gain(at, np.array([0.1, -0.1, 1.0])).tolist() == [True, False, False]


def told(result: Result) -> list[tuple[str, str, tuple[float, ...]]]:
    records = [
        TrialRecord.load(trial) for trial in result.study.trials if trial.state.is_finished()
    ]
    return [(record.sequence, record.outcome, record.values) for record in records]


def test_a_search_that_was_stopped_goes_on_as_one_that_ran_through(
    run: Any, tmp_path: Path
) -> None:
    whole = run(out=tmp_path / "a", trials=9)
    for trials in (6, 9):
        pieces = run(out=tmp_path / "b", trials=trials)
    assert told(pieces) == told(whole)
    assert told(run(out=tmp_path / "c", trials=9, seed=1)) != told(whole)


def test_a_trial_that_died_with_its_answers_is_what_it_was(run: Any, tmp_path: Path) -> None:
    whole = run(out=tmp_path / "a", trials=8)
    store = TrialRecord.store
    died: list[int] = []

    def dying(record: TrialRecord, trial: optuna.Trial) -> None:
        if record.number == 6 and not died:
            died.append(record.number)
            raise KeyboardInterrupt
        store(record, trial)

    with mock.patch.object(TrialRecord, "store", dying):
        part = run(out=tmp_path / "b", trials=8)
    assert part.interrupted
    assert died
    again = run(out=tmp_path / "b", trials=8)
    first, second = (
        [TrialRecord.load(trial) for trial in result.study.trials] for result in (whole, again)
    )
    assert [(one.recipe, one.weighed, one.rehearsals) for one in first] == [
        (one.recipe, one.weighed, one.rehearsals) for one in second
    ]
    assert first[6].rehearsals


def test_proposals_say_of_how_many_they_were_chosen(run: Any) -> None:
    result = run(trials=14)
    records = [TrialRecord.load(trial) for trial in result.study.trials]
    weighed = [record.weighed for record in records if record.outcome == "measured"]
    assert weighed[:FEWEST] == [1] * FEWEST
    assert max(weighed) > 20
    assert not [one for one in records if one.outcome == "repeated"]


def test_what_is_proposed_was_rehearsed_and_fits(run: Any) -> None:
    """Int8 alone fits the toy target: nothing else is trained once that is known."""
    result = run(trials=8, target="stm32f746")
    CALLS.clear()
    number = len(result.study.trials)
    first, second = (proposal(result.study, result.job, number) for _ in range(2))
    assert first is not None
    assert first == second, "the same whenever it is asked"
    assert not {"prune", "cluster", "aware"} & {*CALLS}, "rehearsed, never trained"
    waiting = result.study.get_trials(states=(TrialState.WAITING, TrialState.RUNNING))
    assert not waiting


def test_what_comes_to_a_sequence_that_was_tried_is_of_no_use(run: Any) -> None:
    result = run(trials=8)
    evidence = Evidence(result.study, result.job, 8)
    assert recipe("int8").key in evidence.tried
    again = rehearsed(evidence, recipe("idle, int8"))
    assert again.useless
    assert not rehearsed(evidence, recipe("fold, int8, block, place")).useless
    evidence.add(again)
    gains = chosen(evidence, [recipe("idle, int8")])
    assert gains.recipe is None
    assert gains.rehearsals == (), "it is known"


def test_what_was_trained_already_is_rehearsed_with_its_weights(run: Any) -> None:
    result = run(trials=14)
    evidence = Evidence(result.study, result.job, 14)
    trained = next(
        one.recipe
        for one in evidence.measured
        if one.recipe and any(step.trains for step in one.recipe.steps)
    )
    new = recipe("prune(sparsity=0.7), cluster(centroids=5), int8")
    with mock.patch.object(Job, "candidate", autospec=True, side_effect=Job.candidate) as asked:
        assert rehearsed(evidence, trained).trained
        assert not rehearsed(evidence, new).trained
    assert [call.kwargs for call in asked.mock_calls] == [{"rehearse": False}, {"rehearse": True}]


def test_what_hangs_on_weights_is_rehearsed_again_once_these_are_trained(run: Any) -> None:
    result = run(trials=8)
    evidence = Evidence(result.study, result.job, 8)
    reading, other = recipe("int8, block"), recipe("int8, fuse")
    for one in (reading, other):
        evidence.add(Rehearsal(one, (1.0,)))
    with mock.patch.object(Block, "reads_weights", True):
        with mock.patch.object(Evidence, "is_trained", lambda *_: False):
            assert evidence.known_cost(reading) is not None
        with mock.patch.object(Evidence, "is_trained", lambda *_: True):
            assert evidence.known_cost(reading) is None
            assert evidence.known_cost(other) is not None
            evidence.add(Rehearsal(reading, (1.0,), trained=True))
            assert evidence.known_cost(reading) is not None


def test_what_a_rehearsal_shows_is_expected_of_like_sequences(run: Any) -> None:
    result = run(trials=8)
    evidence = Evidence(result.study, result.job, 8)
    like = [recipe("prune(sparsity=0.7), fold, int8, place, block(rows=4)")]
    before = evidence.costs(like)
    least = min(one.values[1] for one in evidence.measured)
    evidence.add(Rehearsal(recipe("fold, int8, place, block(rows=4)"), (least / 8,)))
    assert evidence.costs(like) < before - 0.1


def test_after_so_many_rehearsals_what_is_known_is_chosen_of(run: Any) -> None:
    result = run(trials=8)
    evidence = Evidence(result.study, result.job, 8)
    recipes = neighbours(evidence)
    refused = mock.patch("autotiny.study.proposing.rehearsed", lambda _, one: Rehearsal(one, None))
    with refused:
        found = chosen(evidence, recipes)
    assert found.recipe is not None
    assert evidence.known_cost(found.recipe), "an earlier trial rehearsed it"
    assert len(found.rehearsals) == REHEARSED


def test_a_trial_takes_the_trainings_that_are_new(run: Any) -> None:
    result = run(trials=8)
    evidence = Evidence(result.study, result.job, 8)
    evidence.trained = set(trained_parts(recipe("prune(sparsity=0.5), int8")))
    efforts = [
        evidence.effort(recipe(text))
        for text in (
            "int8", "prune(sparsity=0.5), int8, fuse", "prune(sparsity=0.5), cluster, int8",
            "prune(sparsity=0.7), cluster, int8",
        )
    ]  # fmt: skip
    assert efforts == [UNTRAINED, UNTRAINED, UNTRAINED + 1, UNTRAINED + 2]


def test_what_has_no_chance_is_not_proposed(run: Any) -> None:
    result = run(trials=8)
    evidence = Evidence(result.study, result.job, 8)
    recipes = neighbours(evidence)
    assert chosen(evidence, recipes).recipe is not None
    hopeless = np.zeros(1, bool)
    with mock.patch.object(Front, "may_gain", lambda *_: hopeless):
        assert chosen(evidence, recipes).recipe is None


def test_an_unknown_sampler_is_refused_before_anything_is_measured(run: Any) -> None:
    with pytest.raises(UserError, match=r"unknown sampler 'tpee'; did you mean 'tpe'"):
        run(sampler="tpee")


def test_a_sampler_that_lacks_its_package_is_told(run: Any) -> None:
    missing = mock.patch.dict(NEEDS, {"tpe": "no_such_package"})
    with missing, pytest.raises(UserError, match="needs the package no_such_package"):
        run(sampler="tpe")


def test_while_too_little_is_known_what_is_known_to_be_good_goes_before_chance(run: Any) -> None:
    """The space brings two; of the four that are queued one repeats another, which is too few."""
    good = [
        recipe(text)
        for text in ("idle, int8", "prune(sparsity=0.1), int8", "prune(sparsity=0.3), int8")
    ]
    result = run(trials=6, known_good=good, sampler="ehvi")
    records = [TrialRecord.load(trial) for trial in result.study.trials]
    assert [one.outcome for one in records[:5]].count("repeated") == 1
    assert (records[5].recipe, records[5].queued) == (good[2], "")
