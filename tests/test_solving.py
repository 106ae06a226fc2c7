"""What the trials of a search found, with the schedule solved."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from test_planning import add
from test_study import TOY_EVALUATOR, searching, toy_cost
from toys import CALLS, TOYS, appended, toy_data, toy_model, trace_of

from autotiny.cache import Cache
from autotiny.components import COMPONENTS
from autotiny.components.program.solve_schedule import SolveSchedule
from autotiny.dataset import Dataset
from autotiny.errors import NotApplicable
from autotiny.metrics import STACK_MARGIN_BYTES, Cost
from autotiny.model import Level, Model, keras, keras_model
from autotiny.recipe import Recipe
from autotiny.space import Space
from autotiny.study import TrialRecord, ended, search
from autotiny.study.bounds import wanted_bounds
from autotiny.study.evidence import Evidence
from autotiny.study.job import Job
from autotiny.study.record import SOLVED, scores_of
from autotiny.study.solving import distinct, nearest_misses, solved_recipe
from autotiny.target import Target, load_target
from autotiny.tasks import Classification, Drop

COST = Cost(
    flash_bytes=5000, weights_bytes=1, code_bytes=1, sram_bytes=300, arena_bytes=1,
    static_bytes=1, stack_bytes=1, instructions=1, cycles=1, latency_ms=1.0,
    energy_estimated_mj=1.0,
)  # fmt: skip


def solved_cost(model: Model, target: Target, cache: Cache) -> Cost:
    taken = toy_cost(model, target, cache)
    share = 0.9 if "SolveSchedule" in trace_of(model) else 1.0
    return replace(taken, cycles=int(share * taken.cycles), latency_ms=share * taken.latency_ms)


@contextmanager
def solving(tmp_path: Path) -> Iterator[Any]:
    """Toys with a solver that makes a tenth faster whatever it is given."""

    def apply(step: SolveSchedule, model: Model, work: Any) -> Model:
        return appended(model, step, Level.PROGRAM, work)

    with (
        searching(tmp_path) as start,
        mock.patch.dict(COMPONENTS, {"solve_schedule": SolveSchedule}),
        mock.patch.object(SolveSchedule, "apply", apply),
    ):
        evaluator = replace(TOY_EVALUATOR, cost=solved_cost)

        def begin(**changes: Any) -> Any:
            return start(**({"evaluator": evaluator, "solve": 2, "trials": 12} | changes))

        yield begin


def solved_of(study: optuna.Study) -> list[TrialRecord]:
    return [one for one in ended(study) if one.queued == SOLVED]


def test_the_best_points_are_tried_with_a_solved_schedule(tmp_path: Path) -> None:
    told: list[str] = []
    with solving(tmp_path) as start:
        drawn = start(solve=0, storage=InMemoryStorage()).best["latency"]
        result = start(on_stage=told.append)
        found = solved_of(result.study)
        assert len(found) == 2 and {one.outcome for one in found} == {"measured"}
        best = result.best["latency"]
        assert best.trial == found[0].number
        assert best.recipe.names == (*drawn.recipe.names, "solve_schedule")
        assert best.metrics.cost.cycles == int(0.9 * drawn.metrics.cost.cycles)
        assert f"solving the schedule of trial {drawn.trial}" in told
        assert "solve_schedule" in CALLS and "solve_schedule?" not in CALLS  # never rehearsed
        job = job_for(["latency"])
        numbers = {one.number for one in Evidence(result.study, job, -1).records}
        assert len(numbers) >= 12 and not numbers & {one.number for one in found}
        assert sum(result.counts.values()) - result.counts["repeated"] == 12 + 2


def test_a_search_that_goes_on_solves_nothing_twice(tmp_path: Path) -> None:
    with solving(tmp_path) as start:
        first = solved_of(start().study)
        told: list[str] = []
        assert solved_of(start(on_stage=told.append).study) == first
        assert not any(one.startswith("solving") for one in told)
        result = start(trials=20)
        ordinary = [one for one in ended(result.study) if one.queued != SOLVED]
        assert sum(one.outcome != "repeated" for one in ordinary) == 20


def test_a_solution_that_was_cut_short_is_taken_up(tmp_path: Path) -> None:
    def cut_short(model: Model, target: Target, cache: Cache) -> Cost:
        if "SolveSchedule" in trace_of(model):
            raise KeyboardInterrupt
        return toy_cost(model, target, cache)

    with solving(tmp_path) as start:
        result = start(evaluator=replace(TOY_EVALUATOR, cost=cut_short))
        assert result.interrupted and not solved_of(result.study)
        found = solved_of(start().study)
        assert len(found) == 2
        assert all(one.recipe and one.recipe.names[-1] == "solve_schedule" for one in found)


def test_it_has_the_scores_of_what_it_was_made_from(tmp_path: Path) -> None:
    with solving(tmp_path) as start:
        result = start(seeds=3)
        known = scores_of(result.study)
        best = result.best["latency"]
        assert best.seeds is not None and best.seeds.scores == known[best.trial]
        drawn = next(
            one for one in ended(result.study)
            if one.recipe and (*one.recipe.names, "solve_schedule") == best.recipe.names
            and one.queued != SOLVED and one.number in known
        )  # fmt: skip
        assert known[drawn.number] == known[best.trial]


def test_what_was_queued_and_not_asked_for_still_waits(tmp_path: Path) -> None:
    known_good = tuple(Recipe((TOYS[name](),)) for name in ("float32", "int16"))
    with solving(tmp_path) as start:
        result = start(trials=2, known_good=known_good)
        waiting = [one for one in result.study.trials if one.state is TrialState.WAITING]
        assert waiting and len(solved_of(result.study)) == 2
        assert sum(result.counts.values()) == 2 + 2


def test_where_nothing_fits_what_misses_least_is_solved(tmp_path: Path) -> None:
    def lean_once_solved(model: Model, target: Target, cache: Cache) -> Cost:
        taken = toy_cost(model, target, cache)
        share = 0.5 if "SolveSchedule" in trace_of(model) else 1.0
        return replace(taken, flash_bytes=int(share * taken.flash_bytes))

    evaluator = replace(TOY_EVALUATOR, cost=lean_once_solved)
    with solving(tmp_path) as start:
        asked = {"objectives": ["latency", "size"], "at_most": "flash=45000"}
        result = start(evaluator=evaluator, **asked)
        found = solved_of(result.study)
        assert len(found) == 2 and {one.number for one in found} >= {p.trial for p in result.front}
        assert result.front
        missing = {
            one.number: one.cost.flash_bytes
            for one in ended(result.study)
            if one.queued != SOLVED and one.cost and one.outcome in ("measured", "infeasible")
        }
        assert min(missing.values()) > 45_000, "nothing fitted before"
        assert found[0].cost and 2 * found[0].cost.flash_bytes == min(missing.values())
        assert found[0].recipe and found[0].recipe.steps[-1] == SolveSchedule("latency", 45_000)
        unreachable = start(out=tmp_path / "score", at_least="accuracy=99%")
        assert not unreachable.front and not solved_of(unreachable.study)


def test_no_time_and_streams_leave_it_out(tmp_path: Path) -> None:
    with solving(tmp_path) as start:
        result = start(timeout=0)
        assert not solved_of(result.study)


def job_for(objectives: Sequence[str], **bounds: Mapping[str, str]) -> Job:
    target = load_target("stm32f746")
    return Job(
        toy_model(), toy_data(), target, tuple(objectives), Space("any", "any", {}), 0,
        Drop(0.01), 5, Cache(), bounds=wanted_bounds(target, None, **bounds),
    )  # fmt: skip


@pytest.mark.parametrize(
    "objectives, bounds, expected",
    [
        (["latency"], {}, ("latency", 0, 0)),
        (["energy", "worst_latency"], {}, ("latency", 0, 0)),
        ([], {}, ("latency", 0, 0)),
        (["size"], {}, ("flash", 0, 0)),
        (["sram"], {}, ("sram", 0, 0)),
        (["size", "sram"], {}, ("flash", 0, 300)),
        (["latency", "size"], {}, ("latency", 5000, 0)),
        (["balanced"], {}, ("latency", 5000, 300)),
        (["latency"], {"at_most": {"flash": "60K"}}, ("latency", 60 << 10, 0)),
        (
            ["latency"], {"reserve": {"sram": "12K", "stack": "256"}},
            ("latency", 0, (320 << 10) - STACK_MARGIN_BYTES - (12 << 10) - 256),
        ),
    ],
)  # fmt: skip
def test_what_the_search_makes_small_is_made_small(
    objectives: list[str], bounds: Any, expected: tuple[str, int, int]
) -> None:
    steps = [COMPONENTS[name]() for name in ("reduce_input", "int8", "fuse_operators")]
    record = TrialRecord(recipe=Recipe(tuple(steps)), rehearsed=COST)
    recipe = solved_recipe(record, job_for(objectives, **bounds))
    assert recipe is not None
    assert recipe.steps == (*steps[:2], SolveSchedule(*expected))  # type: ignore[arg-type]
    shared = Recipe((*steps, COMPONENTS["partition_cores"]()))
    for idle in (recipe, shared):
        assert solved_recipe(replace(record, recipe=idle), job_for(objectives)) is None
    anywhere = solved_recipe(record, job_for(objectives, **bounds), fits=False)
    assert anywhere is not None and anywhere.steps[-1] == SolveSchedule(
        "latency", *(size if bounds else 0 for size in expected[1:])
    )


def test_what_comes_to_the_same_is_solved_once() -> None:
    job = job_for(["latency"])
    lowered = [COMPONENTS[name]() for name in ("int8", "float16", "float32")]
    int8, float16, float32 = ((one,) for one in lowered)
    fused = (*int8, COMPONENTS["fuse_operators"]())
    solved = (*float16, SolveSchedule())
    records = [
        TrialRecord(number=number, recipe=Recipe(steps), rehearsed=COST)
        for number, steps in enumerate((fused, int8, solved, float16, float32))
    ]
    found = [*distinct(records, job, fit=True, points=2)]
    assert [(one.number, [step.name for step in recipe.steps]) for one, recipe in found] == [
        (0, ["int8", "solve_schedule"]), (2, ["float16", "solve_schedule"]),
    ]  # fmt: skip
    assert [one.number for one, _ in distinct(records, job, fit=True, points=9)] == [0, 2, 4]


def test_why_no_schedule_keeps_the_bounds_is_told(tmp_path: Path) -> None:
    def refuse(step: SolveSchedule, model: Model, work: Any) -> Model:
        raise NotApplicable("solve_schedule: 7 bytes too many")

    told: list[str] = []
    with solving(tmp_path) as start, mock.patch.object(SolveSchedule, "apply", refuse):
        result = start(at_most="flash=45000", on_notice=told.append)
        assert not result.front
        notes = [one for one in told if one.endswith(": solve_schedule: 7 bytes too many")]
        assert len(notes) == 2 and all(re.match(r"trial \d+: ", one) for one in notes)


def test_what_misses_the_smallest_share_is_nearest() -> None:
    job = job_for(["latency"], at_most={"latency": "1ms"}, at_least={"score": "90%"})
    missed: list[Mapping[str, float]] = [
        {"flash": -5000, "sram": 8000}, {"max latency": 0.02, "min score": -0.1},
        {"flash": 10_000}, {"sram": 1, "min score": 0.01},
    ]  # fmt: skip
    study = optuna.create_study(directions=["maximize", "minimize"])
    for constraints in missed:
        add(study, TrialRecord(outcome="infeasible", constraints=constraints))
    add(study, TrialRecord(outcome="hopeless", constraints={"flash": 1}))
    add(study, TrialRecord(outcome="infeasible", constraints={"flash": 1}, repeats=0))
    assert [one.number for one in nearest_misses(study, job)] == [2, 1, 0]


@pytest.mark.slow
def test_a_real_schedule_is_solved(tmp_path: Path) -> None:
    keras().utils.set_random_seed(0)
    layers = keras().layers
    model = keras_model(keras().Sequential([layers.Input((8,)), layers.Dense(7)]))
    x = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    y = np.arange(60, dtype=np.int32) % 7
    data = Dataset("noise", x, y, x, y, x, y, task=Classification(outputs=7))
    result = search(
        model, data, load_target("stm32l4r5"), out=tmp_path / "out", space="post_training",
        trials=3, epochs=1, solve=1, cache=Cache(tmp_path / "cache"),
    )  # fmt: skip
    (found,) = solved_of(result.study)
    assert found.outcome in ("measured", "repeated") and found.cost
    assert found.recipe and not {*found.recipe.names} & {*SolveSchedule.not_after}
    drawn = [one.cost for one in ended(result.study) if one.queued != SOLVED and one.cost]
    # of 300 cycles, some hang on where the linker puts a function
    assert found.cost.cycles <= 1.05 * min(cost.cycles for cost in drawn)
