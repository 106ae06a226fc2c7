import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from toys import (
    CALLS,
    SPACE,
    Cluster,
    Prune,
    appended,
    no_answers,
    scored,
    toy_components,
    toy_data,
    toy_model,
    trace_of,
    unlike,
)

from autotiny.cache import Cache
from autotiny.components import Component, Work
from autotiny.dataset import Dataset
from autotiny.errors import FirmwareFault, TrainingDiverged, UnsupportedOp, UserError, WorkerEnded
from autotiny.metrics import Cost
from autotiny.model import Model
from autotiny.recipe import read_recipe, write_recipe
from autotiny.report.dashboard import note_text
from autotiny.report.live import plain_line
from autotiny.report.page import report_text
from autotiny.space import load_space
from autotiny.study import Evaluator, Progress, Result, TrialRecord, ended, preflight, search
from autotiny.target import Target, load_target

SIZES = {"Float32": 400_000, "Int16": 200_000, "Int8": 100_000}


def toy_cost(model: Model, target: Target, cache: Cache) -> Cost:
    """Lowerings decide the size; fusing and blocking save time; clusters save flash."""
    trace = trace_of(model)
    flash = next(size for name, size in SIZES.items() if name in trace)
    cycles = flash * (1.0 if "Fuse" in trace else 1.5) * (0.8 if "rows=4" in trace else 1.0)
    for name in ("Prune", "Cluster"):
        flash = int(flash * (0.9 if name in trace else 1.0))
    if trace.find("Block") < trace.find("Fuse"):
        cycles *= 0.9
    return Cost(
        flash_bytes=flash, weights_bytes=flash // 2, code_bytes=flash // 2, sram_bytes=1000,
        arena_bytes=900, static_bytes=50, stack_bytes=50, instructions=int(cycles),
        cycles=int(cycles), latency_ms=cycles / target.clock_hz * 1e3,
        energy_estimated_mj=cycles / 1e6,
    )  # fmt: skip


def toy_accuracy(model: Model, data: Dataset, split: str, cache: Cache) -> float:
    trace = trace_of(model)
    lost = 0.02 * ("Int8" in trace) + 0.005 * ("Int16" in trace) + 0.03 * ("Prune" in trace)
    return round(0.95 - lost + 0.015 * ("Aware" in trace) - 0.01 * (split == "test"), 6)


TOY_EVALUATOR = Evaluator(
    agreement=unlike,
    answers=no_answers,
    cost=toy_cost,
    score=scored(toy_accuracy),
    runtimes=lambda model: ("autotiny",),
    op_kinds=lambda model: frozenset({"FULLY_CONNECTED"}),
)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with searching(tmp_path) as start:
        yield start


@pytest.fixture
def run_on_disk(tmp_path: Path) -> Iterator[Any]:
    with searching(tmp_path, on_disk=True) as start:
        yield start


@contextmanager
def searching(tmp_path: Path, *, on_disk: bool = False) -> Iterator[Any]:
    # A database on disk writes for a tenth of a second a trial, more than all the toys.
    storages: dict[object, optuna.storages.BaseStorage] = {}
    space = tmp_path / "toys.toml"
    space.write_text(SPACE)
    # Toys stand for what acts on a network, whose bytes they do not change.
    with toy_components(), mock.patch.object(preflight, "useless_rewrites", return_value=()):

        def start(**changes: Any) -> Result:
            target = load_target(changes.pop("target", "stm32f746"))
            arguments: dict[str, Any] = {
                "out": tmp_path / "out", "space": load_space(str(space)), "trials": 30,
                "cache": Cache(tmp_path / "cache"), "evaluator": TOY_EVALUATOR, "known_good": (),
                "sampler": "tpe", "solve": 0,
            }  # fmt: skip
            if not on_disk:
                out = changes.get("out")
                arguments["storage"] = storages.setdefault(out, InMemoryStorage())
            model, data = changes.pop("model", toy_model()), changes.pop("data", toy_data())
            return search(model, data, target, **(arguments | changes))

        yield start


def outcomes(result: Result) -> list[str]:
    return [
        TrialRecord.load(trial).outcome
        for trial in result.study.trials
        if trial.state.is_finished()
    ]


def test_a_whole_study_runs_and_gives_a_front(run: Any) -> None:
    result = run()
    assert isinstance(result.study, optuna.Study)
    assert sum(result.counts.values()) == len(result.study.trials)
    assert len(result.study.trials) - result.counts["repeated"] == 30
    assert result.baseline is not None
    assert result.baseline.trial == 0
    assert str(result.baseline.recipe) == "float32"
    assert len(result.front) >= 2
    for point in result.front:
        assert point.metrics.score_test == pytest.approx(point.values[0] - 0.01)
        assert point.values == (point.metrics.score_validation, point.metrics.cost.latency_ms)
    latencies = [point.metrics.cost.latency_ms for point in result.front]
    assert latencies == sorted(latencies)
    assert len({point.values for point in result.front}) == len(result.front)
    best = result.best["latency"]
    assert best.within_budget
    assert best.values[0] >= 0.95 - 0.01 - 1e-9
    assert result.best["accuracy"].values[0] == max(point.values[0] for point in result.front)


def test_the_original_goes_first_then_what_is_known_to_be_good(run: Any) -> None:
    study = run(trials=5).study
    assert [TrialRecord.load(trial).sequence for trial in study.trials[:3]] == [
        "float32", "int8", "int8 → fuse",
    ]  # fmt: skip
    # The sampler learns from planned trials too.
    assert study.trials[0].params["lowering"] == "float32"


def test_the_original_goes_first_even_where_the_space_lacks_it(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text("[components.int8]\n[components.fuse]\n")
    result = run(space=load_space(str(path)), trials=4)
    assert TrialRecord.load(result.study.trials[0]).sequence == "float32"
    assert result.study.trials[0].params == {}
    assert result.study.trials[1].params["lowering"] == "int8"


def test_the_same_seed_draws_the_same(run: Any, tmp_path: Path) -> None:
    def sequences(out: str, seed: int) -> list[str]:
        study = run(out=tmp_path / out, seed=seed, trials=25).study
        return [TrialRecord.load(trial).sequence for trial in study.trials]

    first = sequences("a", 1)
    assert first == sequences("b", 1)
    assert first != sequences("c", 2)


def test_constraints_are_set_and_the_dashboard_sees_them(run: Any) -> None:
    result = run(target="rp2040", trials=20)
    for trial in result.study.trials:
        if TrialRecord.load(trial).outcome in ("measured", "infeasible"):
            assert set(trial.constraints) >= {"flash", "sram"}
            old = trial.system_attrs["constraints"]
            assert old == [trial.constraints["flash"], trial.constraints["sram"]]


def test_what_does_not_fit_is_never_trained(run: Any) -> None:
    result = run(target="stm32f103", trials=40)  # 128 KB of flash: only int8 fits
    untrained = 0
    for trial in result.study.trials:
        if TrialRecord.load(trial).outcome == "infeasible":
            assert trial.state is TrialState.PRUNED
            assert "bytes of flash" in TrialRecord.load(trial).reason
            assert trial.constraints["flash"] > 0
            untrained += 1
    assert untrained
    assert outcomes(result)[0] == "measured"
    assert all("int8" in point.recipe.names for point in result.front)
    assert result.shortfall is None


def test_what_cannot_reach_the_front_is_never_trained(run: Any) -> None:
    result = run(trials=60)
    hopeless = [t for t in result.study.trials if TrialRecord.load(t).outcome == "hopeless"]
    assert hopeless
    for trial in hopeless:
        assert trial.state is TrialState.PRUNED
        assert trial.constraints["flash"] <= 0
        assert "better than the original, or more" in TrialRecord.load(trial).reason
    trained = [t for t in result.study.trials if TrialRecord.load(t).outcome == "measured"]
    assert CALLS.count("prune") <= len(trained)


def test_a_repeated_sequence_is_answered_without_work(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text("[components.float32]\n[components.int8]\n[components.idle]\n")
    result = run(space=load_space(str(path)), trials=20)
    assert CALLS.count("float32") == 1
    assert CALLS.count("int8") == 1
    # The space holds two sequences, and the search ends when nothing else comes.
    assert result.counts["measured"] == 2
    assert result.counts["repeated"] >= 30
    repeated = [t for t in result.study.trials if TrialRecord.load(t).outcome == "repeated"][-1]
    first = result.study.trials[TrialRecord.load(repeated).repeats or 0]
    assert repeated.values == first.values
    assert len(result.front) == 2
    assert {dropped.component for dropped in result.dropped} == {"idle"}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (UnsupportedOp("no kernel for CUMSUM"), "invalid"),
        (TrainingDiverged("loss is nan"), "failed"),
        (FirmwareFault("ran off"), "failed"),
        (WorkerEnded("int8: the converter crashed"), "failed"),
    ],
)
@pytest.mark.everyday(2)
def test_a_trial_that_fails_keeps_its_reason(run: Any, error: Exception, outcome: str) -> None:
    def sometimes(model: Model, target: Target, cache: Cache) -> Cost:
        if "Int16" in trace_of(model):
            raise error
        return toy_cost(model, target, cache)

    result = run(trials=40, evaluator=replace(TOY_EVALUATOR, cost=sometimes))
    ended = [t for t in result.study.trials if TrialRecord.load(t).outcome == outcome]
    assert ended
    assert all(t.state is TrialState.FAIL for t in ended)
    assert all(TrialRecord.load(t).reason == str(error) for t in ended)
    assert result.front


def test_a_fine_tune_that_diverges_ends_its_trial_only(run: Any) -> None:
    def diverging(step: Component, model: Model, work: Work) -> Model:
        if not work.rehearse:
            raise TrainingDiverged("the loss became NaN or infinite")
        return appended(model, step, model.level, work)

    with mock.patch.object(Cluster, "apply", diverging):
        result = run(trials=40)
    failed = [trial for trial in ended(result.study) if trial.outcome == "failed"]
    assert failed
    assert all("cluster" in trial.sequence for trial in failed)
    assert result.counts["measured"] > 5
    numbers = ", ".join(str(trial.number) for trial in failed)
    assert f"| failed | {numbers} | the loss became NaN or infinite |" in report_text(result)


def test_guessing_is_marked_everywhere(run: Any) -> None:
    def guessing(model: Model, data: Dataset, split: str, cache: Cache) -> float:
        return 0.5 if "Prune" in trace_of(model) else 0.95

    told: list[Progress] = []
    evaluator = replace(TOY_EVALUATOR, score=scored(guessing))
    result = run(trials=40, objectives=("size",), on_trial=told.append, evaluator=evaluator)
    assert result.findings.score_at_chance == ""
    marked = [point for point in result.front if point.metrics.at_chance]
    assert marked
    assert all("prune" in point.recipe.names for point in marked)
    assert "50.00†‡" in report_text(result)
    assert "‡ at chance level" in report_text(result)
    trial = result.study.trials[marked[0].trial]
    assert "accuracy 50.00 % (at chance level)" in note_text(TrialRecord.load(trial))
    assert any("(at chance level)" in plain_line(progress) for progress in told)


def test_what_the_model_lacks_is_told_and_never_drawn(run: Any) -> None:
    told: list[str] = []
    with mock.patch.object(Prune, "treats", ("CONV_2D",)):
        result = run(trials=20, on_notice=told.append)
    assert told == ["not drawn: prune: the model has no CONV_2D"]
    assert not any("prune" in TrialRecord.load(trial).sequence for trial in result.study.trials)
    assert f"- {told[0]}" in report_text(result)


def test_a_bug_and_a_full_disk_end_the_search(run: Any) -> None:
    def broken(model: Model, target: Target, cache: Cache) -> Cost:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(trials=3, evaluator=replace(TOY_EVALUATOR, cost=broken))

    def full(model: Model, target: Target, cache: Cache) -> Cost:
        raise UserError("cannot write to the cache")

    with pytest.raises(UserError, match="cache"):
        run(trials=3, evaluator=replace(TOY_EVALUATOR, cost=full))


def test_an_interrupted_search_keeps_what_it_has_and_goes_on(run: Any) -> None:
    calls = []

    def stop_after_ten(model: Model, target: Target, cache: Cache) -> Cost:
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return toy_cost(model, target, cache)

    part = run(trials=40, evaluator=replace(TOY_EVALUATOR, cost=stop_after_ten))
    assert part.interrupted
    assert part.front
    kept = {t.number: t.values for t in part.study.trials if t.state is TrialState.COMPLETE}
    assert not [t for t in part.study.trials if t.state is TrialState.RUNNING]

    whole = run(trials=40)
    assert not whole.interrupted
    assert kept.items() <= {t.number: t.values for t in whole.study.trials}.items()
    assert sum(whole.counts.values()) - whole.counts["repeated"] == 40
    # Once it is complete, the same command answers at once.
    assert len(run(trials=40).study.trials) == len(whole.study.trials)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": ("size",)}, "made with objectives"),
        ({"target": "rp2040"}, "made with target"),
        ({"epochs": 1}, "made with epochs = 5, not 1"),
        ({"seed": 1}, "made with seed = 0, not 1; give the same again"),
        ({"accuracy_drop": 0.02}, "made with score_drop = 1 %, not 2 %"),
        ({"data": toy_data("others")}, "made with data"),
        ({"model": replace(toy_model(), fingerprint="other")}, "made with model"),
        ({"objectives": ("size",), "seed": 1}, "made with objectives = .*; with seed"),
    ],
)
def test_a_study_is_not_continued_for_something_else(
    run: Any, changes: dict[str, Any], message: str
) -> None:
    run(trials=2, study_name="mine")
    with pytest.raises(UserError, match=message):
        run(trials=4, study_name="mine", **changes)


def test_where_nothing_fits_the_smallest_miss_is_named(run: Any) -> None:
    def huge(model: Model, target: Target, cache: Cache) -> Cost:
        small = toy_cost(model, target, cache)
        grown = small.flash_bytes + target.flash_bytes
        return Cost(**(small.to_dict() | {"flash_bytes": grown, "layers": ()}))

    result = run(trials=30, evaluator=replace(TOY_EVALUATOR, cost=huge))
    assert result.front == ()
    assert result.best == {}
    assert result.baseline is not None
    assert result.shortfall is not None
    assert "Int8" in " ".join(map(repr, result.shortfall.recipe.steps))
    assert 0 < result.shortfall.excess_bytes["flash"] <= 100_000
    assert "misses by" in str(result.shortfall)


def test_several_objectives_and_balanced(run: Any) -> None:
    result = run(objectives=("latency", "size", "accuracy", "latency"), study_name="two")
    assert result.study.metric_names == ["accuracy_validation", "latency_ms", "flash_bytes"]
    assert set(result.best) == {"latency", "size", "accuracy"}
    balanced = run(objectives=("balanced",))
    assert balanced.baseline is not None
    assert balanced.baseline.values[1] == pytest.approx(1.0)
    assert balanced.best["balanced"].values[1] < 1
    accuracy = run(objectives=("accuracy",))
    assert accuracy.best["accuracy"].values == (0.965,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": ("latancy",)}, "did you mean 'latency'"),
        ({"trials": 0}, "trials = 0; it must be from 1"),
        ({"accuracy_drop": 1.5}, "accuracy_drop = 1.5; it must be from 0 to 1"),
        ({"storage": "nosql://x"}, "cannot open the storage 'nosql://x'"),
        (
            {"storage": "postgresql+none://me:secret@host/x"},
            "cannot open the storage 'postgresql+none://me:***@host/x'",
        ),
    ],
)
def test_bad_wishes_are_refused(run_on_disk: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refusal:
        run_on_disk(**changes)
    assert message in str(refusal.value)


def test_a_storage_that_is_no_database_is_refused(run_on_disk: Any, tmp_path: Path) -> None:
    path = tmp_path / "broken.db"
    path.write_text("this is no database, and longer than the header of one is " * 20)
    with pytest.raises(UserError, match="cannot open the storage"):
        run_on_disk(storage=f"sqlite:///{path}")


def test_a_journal_file_works_as_storage(run_on_disk: Any, tmp_path: Path) -> None:
    result = run_on_disk(storage=str(tmp_path / "study.log"), trials=5)
    assert len(result.study.trials) == 5


def test_the_study_is_a_plain_optuna_database(run_on_disk: Any, tmp_path: Path) -> None:
    result = run_on_disk(trials=3)
    database = sqlite3.connect(tmp_path / "out" / "study.db")
    assert database.execute("select study_name from studies").fetchall() == [
        (result.study.study_name,)
    ]


def test_progress_is_told_after_each_trial(run: Any) -> None:
    told: list[Progress] = []
    run(trials=12, on_trial=told.append)
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert set(done) == set(range(1, 13))
    assert told[-1].total == 12
    assert told[-1].cache_misses > 0
    assert told[-1].front
    assert told[-1].seconds_left == pytest.approx(0, abs=1)
    assert told[-1].last is not None


def test_without_time_the_original_alone_is_measured(run: Any) -> None:
    told: list[str] = []
    for _ in range(2):
        result = run(timeout=0, on_notice=told.append)
        assert "timeout = 0: no sequence is begun" in told[-1]
        assert [point.trial for point in result.front] == [0]
        assert result.baseline is not None
        assert outcomes(result) == ["measured"]
    assert len(outcomes(run(trials=3, timeout=1e9))) == 3


def test_a_timeout_ends_the_search(run: Any) -> None:
    result = run(trials=10_000, timeout=0.5)
    assert 1 <= len(result.study.trials) < 10_000
    assert not result.interrupted


def test_a_point_can_be_saved_as_a_recipe(run: Any, tmp_path: Path) -> None:
    model, data = (replace(toy_model(), source="cnn1"), replace(toy_data(), source="digits"))
    result = run(trials=10, model=model, data=data)
    point = result.front[0]
    write_recipe(result.saved_recipe(point), tmp_path / "r.json")
    again = read_recipe(tmp_path / "r.json")
    assert again.recipe == point.recipe
    assert (again.model, again.data, again.target) == ("cnn1", "digits", "stm32f746")
    assert again.figures["flash_bytes"] == point.metrics.cost.flash_bytes
