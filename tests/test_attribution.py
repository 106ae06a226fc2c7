"""What components are said to be worth, where the truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import stdtrit

from autotiny.components import COMPONENTS
from autotiny.metrics import Cost, Metrics
from autotiny.model import Level
from autotiny.recipe import Recipe, steps_from_text
from autotiny.space import load_space
from autotiny.study import TrialRecord, Worth
from autotiny.study.attribution import attribution
from autotiny.study.contrasts import contrasts, estimates
from autotiny.study.record import BASELINE
from autotiny.target import load_target
from autotiny.tasks import ACCURACY, Regression

SPACE = load_space("default")
TRAINED = ("reduce_input", "prune_channels(ratio=0.5)", "prune_magnitude", "cluster_weights")
SCHEDULED = ("fuse_operators", "huffman_code")
SAVED = {"reduce_input": -0.7, "prune_channels": -0.3, "fuse_operators": -0.4, "int8": -0.2}
"""Logarithms of what the latency becomes; that of others stays."""
LOST = {"reduce_input": -0.02, "prune_channels": -0.01, "cluster_weights": 0.0}
RMSE = next(metric for metric in Regression.metrics if not metric.higher)

Figure = Callable[[Recipe], float]


def job(*figures: str, metric: Any = ACCURACY) -> Any:
    return SimpleNamespace(
        figures=figures, space=SPACE, target=load_target("stm32f746"), metric=metric,
        model=SimpleNamespace(start=Level.KERAS, level=Level.KERAS),
    )  # fmt: skip


LATENCY = job("latency_ms")


def recipe(*steps: str) -> Recipe:
    return Recipe(steps_from_text(", ".join(steps))).canonical()


def cost(latency_ms: float) -> Cost:
    return Cost(4000, 3000, 1000, 900, 800, 60, 40, 1000, 1500, latency_ms, 1e-7)


def summed(effects: dict[str, float]) -> Figure:
    return lambda one: sum(effects.get(name, 0.0) for name in one.names)


saved, lost = summed(SAVED), summed(LOST)


def records(
    tried: Iterable[Recipe], latency: Figure = saved, score: Figure = lambda _: 0.9
) -> list[TrialRecord]:
    """Trials that were measured."""
    return [
        TrialRecord(
            number, recipe=one, outcome="measured",
            queued=BASELINE if one.names == ("float32",) else "",
            metrics=Metrics(cost(2 * math.exp(latency(one))), score(one)),
        )
        for number, one in enumerate(dict.fromkeys(tried))
    ]  # fmt: skip


def drawn(count: int, seed: int, likely: float = 0.4) -> list[Recipe]:
    """The original, and different sequences drawn by chance."""
    random = Random(seed)
    found = {recipe("float32"): None}
    while len(found) < count:
        steps = [step for step in TRAINED if random.random() < likely]
        random.shuffle(steps)
        steps.append(random.choice(("int8", "float32")))
        steps += [step for step in SCHEDULED if random.random() < likely]
        found[recipe(*steps)] = None
    return list(found)


def worth_of(found: Iterable[Worth], name: str) -> Worth:
    return next(worth for worth in found if worth.name == name)


def noisy_records(seed: int) -> list[TrialRecord]:
    """What was trained as one has its deviation in common."""
    random = Random(seed)
    deviations: dict[str, float] = {}

    def score(one: Recipe) -> float:
        trained = str([step for step in one.steps if step.trains])
        return 0.9 + lost(one) + deviations.setdefault(trained, random.gauss(0, 0.006))

    return records(drawn(40, seed), lambda one: saved(one) + random.gauss(0, 0.05), score)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held: list[bool] = []
    useless: list[bool] = []
    for seed in range(10):
        for worth in attribution(noisy_records(seed), LATENCY):
            truths = [
                (effect, 100 * math.expm1(SAVED.get(worth.name, 0.0)))
                for figure, effect in worth.costs.items()
                if figure == "latency_ms"
            ]
            truths += [(worth.score, LOST.get(worth.name, 0.0))] if worth.score else []
            held += [effect.low <= truth <= effect.high for effect, truth in truths]
            useless += [effect.certain for effect, truth in truths if truth == 0]
    assert len(held) > 150
    assert np.mean(held) >= 0.9
    assert np.mean(useless) < 0.08
    assert len(useless) > 80


def test_what_saves_most_stands_first() -> None:
    found = attribution(records(drawn(40, 0)), LATENCY)
    assert [worth.name for worth in found][:3] == [
        "reduce_input",
        "fuse_operators",
        "prune_channels",
    ]
    first = found[0].costs["latency_ms"]
    assert first.low < 100 * math.expm1(-0.7) < first.high < 0
    assert first.high - first.low < 10
    assert first.least == first.high
    assert not found[0].costs["flash_bytes"].certain, "it is the same in all trials"
    ends = worth_of(found, "cluster_weights").costs["flash_bytes"]
    assert (ends.mean, ends.low, ends.high) == (0, 0, 0)


def test_what_is_certain_stands_before_what_is_not() -> None:
    found = attribution(records(drawn(40, 0), summed({"cluster_weights": 0.3})), LATENCY)
    assert worth_of(found, "cluster_weights").costs["latency_ms"].low > 0
    certain = [worth.certain for worth in found]
    assert certain == sorted(certain, reverse=True)
    assert len({*certain}) == 2


def test_credit_goes_to_the_component_that_earns_it() -> None:
    """Two that nearly always stand together, of which one does it all."""
    pair = {"reduce_input", "cluster_weights"}
    both = [one for one in drawn(200, 3, 0.6) if pair <= {*one.names}]
    others = drawn(60, 4, 0.3)
    apart = [one for one in others if len(pair & {*one.names}) == 1]
    neither = [one for one in others if not pair & {*one.names}]
    tried = [recipe("float32"), *both[:25], *apart[:5], *neither[:10]]
    found = attribution(records(tried), LATENCY)
    earns, stands_by = (worth_of(found, name) for name in ("reduce_input", "cluster_weights"))
    assert earns.costs["latency_ms"].high < 0
    assert not stands_by.costs["latency_ms"].certain


def test_schedules_do_not_change_the_score_nor_add_evidence() -> None:
    networks = [one for one in drawn(60, 1) if not {*SCHEDULED} & {*one.names}]
    noise = Random(0)
    scores = {one: 0.9 + lost(one) + noise.gauss(0, 0.01) for one in networks}

    def score(one: Recipe) -> float:
        return scores[Recipe(tuple(step for step in one.steps if step.name not in SCHEDULED))]

    scheduled = [
        Recipe((*one.steps, *steps_from_text(more))).canonical()
        for one in networks
        for more in ("fuse_operators", "huffman_code", "fuse_operators, huffman_code")
    ]
    alone = attribution(records(networks, score=score), LATENCY)
    found = attribution(records([*networks, *scheduled], score=score), LATENCY)
    for name in SCHEDULED:
        assert worth_of(found, name).scheduled
        assert worth_of(found, name).score is None
        assert worth_of(found, name).costs
    assert worth_of(found, "reduce_input").trials_with > worth_of(alone, "reduce_input").trials_with
    assert worth_of(found, "reduce_input").score == worth_of(alone, "reduce_input").score


def test_what_was_trained_as_one_deviates_as_one() -> None:
    """What rewriting does within a training is known, however much trainings deviate."""
    random = Random(0)
    rewrites = ("fold_constants", "remove_identities", "merge_duplicates")
    tried: dict[Recipe, float] = {}
    for trained in ((), TRAINED[2:3], TRAINED[3:], TRAINED[2:]):
        deviation = random.gauss(0, 0.02)
        for bits in range(8):
            more = [name for k, name in enumerate(rewrites) if bits >> k & 1]
            tried[recipe(*trained, "int8", *more)] = 0.9 + deviation
    found = attribution(records([*tried], score=lambda one: tried[one]), LATENCY)
    for name in ("prune_magnitude", "cluster_weights"):
        score = worth_of(found, name).score
        assert score is not None
        assert not score.certain
    rewritten = worth_of(found, "fold_constants").score
    assert rewritten is not None
    assert rewritten.high - rewritten.low < 0.0006


def test_the_order_of_two_is_worth_something() -> None:
    def score(one: Recipe) -> float:
        names = one.names
        both = {"prune_magnitude", "reduce_input"} <= {*names}
        return 0.8 if both and names.index("prune_magnitude") < names.index("reduce_input") else 0.9

    found = attribution(records(drawn(60, 5, 0.6), score=score), LATENCY)
    order = worth_of(found, "prune_magnitude before reduce_input")
    assert order.is_order
    assert order.instead == "reduce_input before prune_magnitude"
    assert min(order.trials_with, order.trials_without) > 1
    assert order.score is not None
    assert order.score.low < -0.1 < order.score.high < 0
    assert not order.costs["latency_ms"].certain


def test_a_lowering_is_compared_with_the_originals() -> None:
    found = attribution(records(drawn(40, 6)), LATENCY)
    lowering = worth_of(found, "int8")
    assert lowering.instead == "float32"
    saved = lowering.costs["latency_ms"]
    assert saved.low < 100 * math.expm1(-0.2) < saved.high < 0
    assert worth_of(found, "float32").note == "what other lowerings are compared with"


@pytest.mark.parametrize("even", [True, False])
def test_what_varies_much_is_known_less(even: bool) -> None:
    """Where half of the sequences gain nothing, others would have another mean."""
    schedules = ["", "fuse_operators", "huffman_code", "fuse_operators, huffman_code"]
    tried = [
        recipe(*filter(None, (first, second, "int8", last)))
        for first in ("", "prune_magnitude")
        for second in ("", "cluster_weights")
        for last in schedules
    ]

    def latency(one: Recipe) -> float:
        return -0.3 * ("prune_magnitude" in one.names and (even or "cluster_weights" in one.names))

    found = worth_of(attribution(records(tried, latency), LATENCY), "prune_magnitude")
    saved = found.costs["latency_ms"]
    assert saved.high < 0
    assert (saved.high - saved.low < 2) == even
    assert (saved.high - saved.low > 15) == (not even)


def test_where_nothing_is_known_it_says_why() -> None:
    one = recipe("separate_convolutions", "int16x8", "fuse_operators")
    tried = [recipe(*(step.name for step in each.steps), "block_gemm") for each in (
        recipe("int8", "fuse_operators"),
        recipe("reduce_input", "int8", "fuse_operators"),
        recipe("reduce_input", "prune_magnitude", "int8", "fuse_operators"),
        recipe("prune_magnitude", "int8", "fuse_operators"),
        recipe("prune_magnitude", "cluster_weights", "int8", "fuse_operators"),
        recipe("prune_magnitude", "cluster_weights", "reduce_input", "int8", "fuse_operators"),
    )]  # fmt: skip
    found = attribution(records([*tried, one]), LATENCY)
    notes = {worth.name: worth.note for worth in found}
    assert notes == {
        "reduce_input": "",
        "prune_magnitude": "",
        "cluster_weights": "nothing alike was tried without it",
        "int8": "float32 was tried never",
        "fuse_operators": "always present",
        "block_gemm": "what is without it was tried once",
        "separate_convolutions": "in 1 trial only",
        "int16x8": "in 1 trial only",
        "prune_magnitude before reduce_input": "in 1 trial only",
    }


def test_of_one_sequence_without_it_nothing_is_known() -> None:
    both = ("prune_magnitude", "cluster_weights")
    having = [(), both[:1], both[1:], both, ("reduce_input",)]
    tried = [recipe(*both, "int8"), *(recipe(*some, "int8", "block_gemm") for some in having)]
    found = worth_of(attribution(records(tried), LATENCY), "block_gemm")
    assert found.costs == {}
    assert found.note == "what is without it was tried once"


def test_components_that_go_together_are_told_so() -> None:
    """No credit for one of two that were never tried apart."""
    apart = [one for one in drawn(60, 8) if "reduce_input" not in one.names]
    together = [
        recipe("reduce_input", "int8", "block_gemm"),
        recipe("reduce_input", "int8", "fuse_operators", "block_gemm"),
        recipe("reduce_input", "prune_magnitude", "int8", "block_gemm"),
    ]
    found = attribution(records([*apart, *together]), LATENCY)
    for name in ("reduce_input", "block_gemm"):
        assert worth_of(found, name).costs == {}
    assert worth_of(found, "block_gemm").note == "nothing alike was tried without it"


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_few_trials_say_nothing(count: int) -> None:
    found = attribution(records(drawn(count, 0) if count else []), LATENCY)
    assert (found == ()) == (count == 0)
    assert {worth.note for worth in found} <= {f"{count} sequences say nothing yet; it takes 6"}
    assert not any(worth.costs or worth.score for worth in found)


def test_five_sequences_say_nothing_even_if_each_was_tried_without_it_too() -> None:
    both = TRAINED[2:]
    tried = [recipe("float32"), *(recipe(*some, "int8") for some in ((), both[:1], both[1:], both))]
    assert not any(worth.costs for worth in attribution(records(tried), LATENCY))
    more = attribution(records([*tried, recipe("reduce_input", "int8")]), LATENCY)
    assert worth_of(more, both[0]).costs


def test_of_an_error_less_is_better() -> None:
    def error(one: Recipe) -> float:
        return 2.0 + 0.5 * ("prune_magnitude" in one.names) - 0.5 * ("reduce_input" in one.names)

    tried = records(drawn(40, 9), latency=lambda _: 0.0, score=error)
    found = attribution(tried, job(metric=RMSE))
    assert found[0].name == "reduce_input"
    assert found[0].score is not None
    assert found[0].score.high < 0
    more = attribution(tried, job(metric=ACCURACY))
    assert more[0].name == "prune_magnitude"


def test_costs_of_what_does_not_fit_count_and_scores_do_not() -> None:
    tried = records(drawn(40, 10))
    whole = attribution(tried, LATENCY)
    untrained = [
        TrialRecord(one.number, recipe=one.recipe, outcome="infeasible", rehearsed=one.cost)
        if "reduce_input" in one.recipe.names
        else one
        for one in tried
        if one.recipe
    ]
    found = worth_of(attribution(untrained, LATENCY), "reduce_input")
    assert found.score is None
    assert found.costs["latency_ms"].high < 0
    coded = sum(one.recipe.reads_weights for one in untrained if one.recipe and not one.metrics)
    assert coded, "its cost hangs on weights"
    assert found.trials_with == worth_of(whole, "reduce_input").trials_with - coded


def test_what_dropped_out_is_absent() -> None:
    more = steps_from_text("strassen")
    tried = [
        replace(one, drawn=Recipe((*one.recipe.steps, *more)))
        for one in records(drawn(10, 0))
        if one.recipe
    ]
    assert all(worth.name != "strassen" for worth in attribution(tried, LATENCY))


def test_of_many_sequences_some_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotiny.study.attribution.MOST", 20)
    found = attribution(records(drawn(50, 0)), LATENCY)
    worth = worth_of(found, "fuse_operators")
    assert worth.trials_with + worth.trials_without == 17


def test_several_objectives_take_part_with_what_was_asked_for() -> None:
    asked = job("worst_latency_ms", "balanced_ratio")
    found = attribution(records(drawn(30, 0)), asked)
    assert {*worth_of(found, "fuse_operators").costs} == {
        "latency_ms", "flash_bytes", "sram_bytes", "worst_latency_ms", "balanced_ratio",
    }  # fmt: skip
    ratio = worth_of(found, "fuse_operators").costs["balanced_ratio"]
    assert ratio.low < 100 * math.expm1(-0.4 / 3) < ratio.high
    assert found == attribution(records(drawn(30, 0)), asked), "the same trials say the same"


def test_a_lowering_is_lacking_where_the_one_in_its_place_stands() -> None:
    tried = [recipe("float32"), recipe("int8"), recipe("int16x8"), recipe(TRAINED[2], "int16x8")]
    listed = contrasts(tried, Level.KERAS, COMPONENTS["float32"]())
    lacking = {one.name: one.lacking for one in listed}
    assert lacking == {"float32": 3, "int8": 1, "int16x8": 1, TRAINED[2]: 3}


def test_ways_of_sharing_the_variance_that_disagree_widen_the_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried, noise = drawn(20, 0), Random(0)
    values = np.array([[saved(one) + noise.gauss(0, 0.5)] for one in tried])
    asked = [one for one in contrasts(tried, Level.KERAS, None) if one.name == "reduce_input"]

    def found(*ways: tuple[float, ...]) -> tuple[float, float]:
        monkeypatch.setattr("autotiny.study.contrasts._shares", lambda: iter(ways))
        one = estimates(tried, values, asked, SPACE, trained=False)
        return one.mean.item(), (one.high - one.mean).item()

    strong, weak = (1.0, 0.0, 0.0, 0.0, 1.0), (0.1, 0.0, 0.0, 0.0, 1.0)
    (much, first), (little, second), (mean, half) = found(strong), found(weak), found(strong, weak)
    share = (mean - little) / (much - little)
    assert 0.01 < share < 0.99
    apart = share * (1 - share) * (much - little) ** 2 * stdtrit(len(tried) - 1, 0.975) ** 2
    within = share * first**2 + (1 - share) * second**2
    assert apart > 0.01 * within
    assert half**2 == pytest.approx(within + apart)


def test_only_legal_counterparts_are_compared() -> None:
    tried = [recipe("prune_magnitude", "int8"), recipe("int8", "fuse_operators"), recipe("int8")]
    listed = {one.name: one for one in contrasts(tried, Level.KERAS, None)}
    assert listed["int8"].pairs == ()
    assert listed["prune_magnitude"].pairs == ((tried[0], tried[2]),)
