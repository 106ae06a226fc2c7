"""When a study has tried enough, and whose turn the next trial is."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from toys import (
    SPACE,
    Cluster,
    Float32,
    Fold,
    Int8,
    Place,
    Prune,
    toy_components,
    toy_data,
    toy_model,
)

from autotiny.cache import Cache
from autotiny.errors import UserError
from autotiny.metrics import Cost
from autotiny.model import Level
from autotiny.recipe import Recipe
from autotiny.space import load_space
from autotiny.study import TrialRecord, load_pair
from autotiny.study.bounds import Reserve
from autotiny.study.job import Job, work_with
from autotiny.study.planning import FIRST, TRIALS, enough, is_chances_turn, plan, plan_again, total
from autotiny.study.record import KNOWN_GOOD, candidates, ended, enqueue, known
from autotiny.study.result import shortfall
from autotiny.target import load_target
from autotiny.tasks import Drop

COST = Cost(
    flash_bytes=1000, weights_bytes=0, code_bytes=1000, sram_bytes=100, arena_bytes=100,
    static_bytes=0, stack_bytes=0, instructions=1, cycles=1, latency_ms=1.0,
    energy_estimated_mj=1.0,
)  # fmt: skip


def study_of(outcomes: Iterable[str], **more: Any) -> optuna.Study:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for outcome in outcomes:
        add(study, TrialRecord(outcome=outcome, **more))
    return study


def add(study: optuna.Study, record: TrialRecord) -> None:
    trial = study.ask()
    record.store(trial)
    if record.values:
        study.tell(trial, list(record.values))
    else:
        study.tell(trial, state=TrialState.PRUNED)


@pytest.mark.parametrize(
    ("outcomes", "trials", "is_enough"),
    [
        ([], 1, False),
        (["infeasible"] * 4, 5, False),
        (["infeasible"] * 5, 5, True),
        (["infeasible"] * 4 + ["repeated"] * 29, 5, False),
        (["infeasible"] * 4 + ["repeated"] * 30, 5, True),
        (["repeated"] * 30, 5, True),
        (["repeated"] * 29 + ["failed"], 5, False),
        (["repeated"] * 30 + ["failed"], 5, False),
        (["failed"] + ["repeated"] * 30, 5, True),
    ],
)
def test_enough_are_so_many_different_ones_or_thirty_repetitions_in_a_row(
    outcomes: list[str], trials: int, is_enough: bool
) -> None:
    assert enough(ended(study_of(outcomes)), trials) is is_enough


def test_forty_are_enough_where_no_number_is_asked_for() -> None:
    assert total(study_of([]), None) == TRIALS
    assert total(study_of([]), 3) == 3
    assert not enough(ended(study_of(["infeasible"] * (TRIALS - 1))), None)
    assert enough(ended(study_of(["infeasible"] * TRIALS)), None)


@pytest.mark.parametrize(
    ("queued", "outcomes", "chance"),
    [
        ("", ["infeasible"] * 9, True),
        ("", ["infeasible"] * 10, False),
        (KNOWN_GOOD, ["infeasible"] * 10, True),
        ("", ["infeasible"] * 9 + ["repeated"], True),
        ("", ["infeasible"] * 9 + ["repeated", "infeasible"], False),
        ("", ["infeasible"] * 10 + ["faulted"], True),
        ("", ["infeasible"] * 10 + ["failed"], False),
    ],
)
def test_chance_draws_until_there_are_ten_and_after_a_repetition_or_a_fault(
    queued: str, outcomes: list[str], chance: bool
) -> None:
    study = study_of(outcomes, queued=queued)
    assert is_chances_turn(study.get_trials()) is chance
    enqueue(study, {}, TrialRecord(queued=KNOWN_GOOD))
    assert not is_chances_turn(study.get_trials()), "what is queued goes first"


def test_a_fault_of_the_machine_is_queued_once_more_and_once_only() -> None:
    study = study_of(["infeasible", "faulted", "failed", "faulted"], planned="key")
    plan_again(study)
    plan_again(study)
    waiting = study.get_trials(states=(TrialState.WAITING,))
    again = [record.again for record in known(study) if record.again is not None]
    assert len(waiting) == 2
    assert again == [1, 3]
    assert {record.planned for record in known(study)} == {"key"}


@pytest.mark.parametrize("level", list(Level)[1:])
def test_a_network_that_can_be_trained_teaches_its_fine_tunes(level: Level) -> None:
    model, data = toy_model(level), toy_data()
    work = work_with(model, data, None, seed=7, epochs=2)
    assert work.original is (model if level is Level.KERAS else None)
    assert (work.data, work.seed, work.epochs, work.rehearse) == (data, 7, 2, False)


def test_a_model_of_a_kind_that_is_not_read_is_told_before_data_is_looked_for(
    tmp_path: Path,
) -> None:
    model = tmp_path / "net.pt"
    model.write_bytes(b"")
    with pytest.raises(UserError, match=r"net\.pt is"):
        load_pair(model, tmp_path / "nowhere.npz", seed=0, cache=Cache(tmp_path))


def test_the_smallest_miss_counts_what_is_missing_of_everything() -> None:
    target = load_target("rp2040")
    roomy = replace(COST, flash_bytes=1, sram_bytes=1)
    costs = [
        replace(roomy, flash_bytes=target.flash_bytes + 100, sram_bytes=target.sram_bytes),
        replace(roomy, flash_bytes=target.flash_bytes + 120),
        replace(roomy, sram_bytes=target.sram_bytes),
    ]
    study = optuna.create_study(directions=["maximize", "minimize"])
    for cost in costs:
        add(study, TrialRecord(outcome="infeasible", recipe=Recipe(()), rehearsed=cost))
    found = shortfall(study, target)
    assert found is not None
    # 128 bytes stay free below the stack, so that the first misses by 100 + 128 bytes.
    assert (found.trial, found.excess_bytes) == (1, {"flash": 120})
    # with 9 bytes of SRAM reserved the third misses by 137, the second by 120 still
    beside = shortfall(study, target, Reserve(sram=9, flash=20))
    assert beside is not None
    assert (beside.trial, beside.excess_bytes) == (2, {"sram": 137})
    add(study, TrialRecord(outcome="infeasible", recipe=Recipe(()), rehearsed=roomy))
    assert shortfall(study, target) is None, "one fits, and misses something else"
    assert shortfall(study_of(["failed"]), target) is None


def toy_job(folder: Path, space: str, sampler: str) -> Job:
    (folder / "toys.toml").write_text(space)
    return Job(
        model=toy_model(), data=toy_data(), target=load_target("stm32f746"),
        objectives=("latency",), space=load_space(str(folder / "toys.toml")), seed=0, epochs=1,
        score_drop=Drop(0.01), cache=Cache(folder / "cache"), sampler=sampler,
    )  # fmt: skip


@pytest.mark.parametrize("sampler", ["ehvi", "tpe"])
def test_known_good_sequences_are_tried_without_what_the_space_lacks(
    tmp_path: Path, sampler: str
) -> None:
    lacks = SPACE.replace("[components.place]", "").replace("tensors = [[], [1, 2]]", "")
    lacks = lacks.replace("[components.float32]", "")
    with toy_components():
        place, prune = Place(tensors=(1, 2)), Prune(sparsity=0.5)
        good = [
            Recipe((Prune(sparsity=0.55), Int8())),  # no step of the range
            Recipe((Fold(), Float32())),  # nothing is left that lowers
            *(Recipe((Cluster(centroids=k), Int8(), place)) for k in (4, 5, 6)),
            Recipe((prune, Int8())),
        ]
        job, study = toy_job(tmp_path, lacks, sampler), study_of([])
        plan(study, job, good)
        waiting = [one for one in known(study) if one.queued == KNOWN_GOOD]
        left = [Recipe((Cluster(centroids=k), Int8())).key for k in (4, 5, 6)]
        first = [recipe.key for recipe in job.space.first]
        every = [*first, *left, Recipe((prune, Int8())).key]
        at_once = FIRST if sampler == "ehvi" else len(every)
        assert [one.planned for one in waiting] == every[:at_once]
        assert [one.key for one in candidates(study)] == every[at_once:]
        plan(study, job, good)  # as another process does
        assert len(known(study)) == 1 + at_once
