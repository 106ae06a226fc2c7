"""What a study judges by: ratios, budgets, standard errors, misfits, and whose turn it is."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from test_study import TOY_EVALUATOR, searching, toy_accuracy, toy_cost
from toys import scored, toy_data, toy_model, trace_of

from autotiny.cache import Cache
from autotiny.dataset import Dataset
from autotiny.metrics import Cost, Metrics
from autotiny.model import Level, Model
from autotiny.space import load_space
from autotiny.study import Job, TrialRecord
from autotiny.study.preflight import baseline_recipe
from autotiny.study.sampling import STARTUP_TRIALS, StudySampler
from autotiny.study.trials import values_of
from autotiny.target import Target, load_target
from autotiny.tasks import Drop


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with searching(tmp_path) as start:
        yield start


def cost_of(flash: int, sram: int, latency: float) -> Cost:
    return Cost(
        flash_bytes=flash, weights_bytes=0, code_bytes=flash, sram_bytes=sram, arena_bytes=sram,
        static_bytes=0, stack_bytes=0, instructions=1, cycles=1, latency_ms=latency,
        energy_estimated_mj=0.5,
    )  # fmt: skip


def job(model: Model, *objectives: str) -> Job:
    return Job(
        model, toy_data(), load_target("stm32f746"), objectives, load_space("default"),
        seed=0, score_drop=Drop(0.01), epochs=1, cache=Cache("unused"),
    )  # fmt: skip


def test_balanced_is_the_geometric_mean_of_three_ratios() -> None:
    original = cost_of(100, 1000, 2.0)
    taken = Metrics(cost_of(50, 3000, 0.5), 0.9)
    values = values_of(taken, job(toy_model(), "balanced", "size"), original)
    assert values == pytest.approx((0.9, (0.5 * 3 * 0.25) ** (1 / 3), 50))


def test_every_model_that_is_not_lowered_yet_begins_with_its_float32_firmware() -> None:
    assert str(baseline_recipe(job(toy_model(Level.KERAS)))) == "float32"
    assert str(baseline_recipe(job(toy_model(Level.GRAPH)))) == "float32"
    assert baseline_recipe(job(toy_model(Level.TFLITE))).steps == ()


def test_what_does_not_fit_is_not_judged_even_where_nothing_trains(run: Any) -> None:
    asked: list[str] = []

    def accuracy(model: Model, data: Dataset, split: str, cache: Cache) -> float:
        asked.append(trace_of(model))
        return toy_accuracy(model, data, split, cache)

    def cost(model: Model, target: Target, cache: Cache) -> Cost:
        taken = toy_cost(model, target, cache)
        return replace(taken, sram_bytes=1 << 30) if "Int16" in trace_of(model) else taken

    result = run(evaluator=replace(TOY_EVALUATOR, cost=cost, score=scored(accuracy)))
    records = [TrialRecord.load(trial) for trial in result.study.trials]
    large = [record for record in records if "int16" in record.sequence]
    plain = [record for record in large if record.metrics is None and not record.repeats]
    untrained = [record for record in plain if not {"prune", "cluster", "aware"} & names(record)]
    assert untrained
    assert {record.outcome for record in plain} == {"infeasible"}
    assert not [trace for trace in asked if "Int16" in trace]


def names(record: TrialRecord) -> set[str]:
    return set(record.recipe.names) if record.recipe else set()


def test_chance_draws_ten_before_the_sampler_does(run: Any) -> None:
    study = run(trials=40).study
    drawn = [trial for trial in study.trials if not TrialRecord.load(trial).queued]
    by_chance = ["fixed_params" in trial.system_attrs for trial in drawn]
    assert all(by_chance[:10])
    repeated = [TrialRecord.load(trial).outcome == "repeated" for trial in drawn]
    # Later it is chance's turn after a repetition alone.
    assert by_chance[10:] == repeated[9:-1]
    assert not all(by_chance[10:])


@pytest.mark.parametrize("drop", [0.001, 0.004, 0.005, 0.011, 0.012, 0.03])
@pytest.mark.everyday(2)
def test_the_best_lose_no_more_than_the_budget(run: Any, drop: float) -> None:
    """int16 loses 0.4 % and is faster than float32; int8 loses 1.2 % and is the fastest."""

    def accuracy(model: Model, data: Dataset, split: str, cache: Cache) -> float:
        trace = trace_of(model)
        return 0.95 - 0.012 * ("Int8" in trace) - 0.004 * ("Int16" in trace)

    evaluator = replace(TOY_EVALUATOR, score=scored(accuracy))
    result = run(trials=30, accuracy_drop=drop, out=str(drop), evaluator=evaluator)
    lost = {point.trial: 0.95 - point.values[0] for point in result.front}
    assert {round(one, 3) for one in lost.values()} == {0, 0.004, 0.012}
    for point in result.front:
        assert point.within_budget == (lost[point.trial] < drop + 1e-8)
    allowed = [point for point in result.front if lost[point.trial] < drop + 1e-8]
    fastest = min(allowed, key=lambda point: point.metrics.cost.latency_ms)
    assert result.best["latency"].trial == fastest.trial


def few(samples: int) -> Dataset:
    data = toy_data(f"{samples} samples")
    x, y = data.x_validation[:samples], data.y_validation[:samples]
    return replace(data, x_validation=x, y_validation=y)


@pytest.mark.parametrize(("samples", "hopeless"), [(100, False), (10_000, True)])
@pytest.mark.everyday(1)
def test_what_chance_may_make_better_is_not_hopeless(
    run: Any, samples: int, hopeless: bool
) -> None:
    """At 90 %, one standard error is 3 % with 100 samples, and 0.3 % with 10,000."""

    def accuracy(model: Model, data: Dataset, split: str, cache: Cache) -> float:
        return 0.9 if "Float32" in trace_of(model) else 0.91

    result = run(
        trials=40, data=few(samples), out=str(samples),
        evaluator=replace(TOY_EVALUATOR, score=scored(accuracy)),
    )  # fmt: skip
    assert (result.counts["hopeless"] > 0) is hopeless


def test_trials_that_know_the_same_draw_differently() -> None:
    study = optuna.create_study(sampler=StudySampler(0), directions=["maximize", "minimize"])
    spread: dict[str, Callable[[optuna.Trial], float]] = {
        name: lambda trial, name=name: trial.suggest_float(name, 0, 1)  # type: ignore[misc]
        for name in ("a", "b")
    }
    for _ in range(STARTUP_TRIALS + 2):
        trial = study.ask()
        study.tell(trial, [draw(trial) for draw in spread.values()])
    asked = [study.ask(dict.fromkeys(spread, FloatDistribution(0, 1))) for _ in range(6)]
    assert len({trial.params["a"] for trial in asked}) == 6
    assert all(trial.params["a"] != trial.params["b"] for trial in asked)
    assert np.std([trial.params["a"] for trial in study.trials[:STARTUP_TRIALS]]) > 0.1
