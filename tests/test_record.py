"""What a study knows of its trials."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from toys import (
    SPACE,
    Block,
    Fuse,
    Int8,
    Prune,
    no_answers,
    scored,
    toy_components,
    toy_data,
    toy_model,
    unlike,
)

import autotiny
from autotiny.cache import Cache
from autotiny.errors import UserError
from autotiny.metrics import Cost, LayerCost, Metrics
from autotiny.recipe import Dropped, Recipe
from autotiny.study import OUTCOMES, Evaluator, TrialRecord, ended, search
from autotiny.study.record import BASELINE, Rehearsal, known
from autotiny.study.trials import _Draft, _repeat, _settled
from autotiny.target import load_target

PACKAGE = Path(autotiny.__file__).parent
OLD = Path(__file__).parent / "files_0_1_0"

COST = Cost(
    flash_bytes=4000, weights_bytes=3000, code_bytes=1000, sram_bytes=900, arena_bytes=800,
    static_bytes=60, stack_bytes=40, instructions=1000, cycles=1500, latency_ms=0.1 + 0.2,
    energy_estimated_mj=1e-7, layers=(LayerCost("conv", 10, 15, 0.1, 3000),), cold_cycles=1600,
)  # fmt: skip

TOY_EVALUATOR = Evaluator(
    agreement=unlike,
    answers=no_answers,
    cost=lambda model, target, cache: COST,
    score=scored(lambda model, data, split, cache: 0.9),
    runtimes=lambda model: (),
    op_kinds=lambda model: frozenset(),
)

FULL = TrialRecord(
    number=0,
    queued=BASELINE,
    planned="c",
    again=2,
    recipe=Recipe((Prune(0.3), Int8(), Block(rows=4))),
    drawn=Recipe((Prune(0.3), Int8(), Fuse(), Block(rows=4))),
    outcome="measured",
    reason="for a reason",
    values=(0.9526462395543176, 0.1 + 0.2),
    metrics=Metrics(COST, 0.9526462395543176, None, at_chance=True),
    constraints={"flash": -12, "sram": -1},
    dropped=(Dropped("fuse", "there is nothing to fuse"),),
    runtimes=("autotiny", "litert"),
    notes={"sparsity": 0.3, "number_format": "int8"},
    recipe_key="a",
    result_key="b",
    repeats=3,
    weighed=240,
    rehearsals=(
        Rehearsal(Recipe((Fuse(),)), (1.5, 2048.0)),
        Rehearsal(Recipe((Block(),)), None),
    ),
    cache_hits=5,
    cache_misses=7,
)


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with toy_components():
        yield


def running() -> optuna.Trial:
    return optuna.create_study(directions=["maximize", "minimize"]).ask()


def test_a_record_is_stored_and_loaded_whole() -> None:
    empty = [name for name, value in vars(FULL).items() if not value]
    assert empty == ["number", "rehearsed"], "every field takes part in this test"
    trial = running()
    FULL.store(trial)
    assert TrialRecord.load(trial) == FULL
    (frozen,) = trial.study.get_trials()
    assert TrialRecord.load(frozen) == FULL
    assert frozen.constraints["flash"] == -12


def test_a_cost_without_accuracy_is_kept_too() -> None:
    trial = running()
    record = TrialRecord(0, outcome="infeasible", rehearsed=COST, constraints={"flash": 3})
    record.store(trial)
    assert TrialRecord.load(trial) == record
    assert record.cost == COST
    assert not record.fits


def test_a_trial_that_stored_nothing_has_an_empty_record() -> None:
    assert TrialRecord.load(running()) == TrialRecord(0)
    assert TrialRecord(0).sequence == "no sequence"


def test_outcome_and_values_are_one_act() -> None:
    """A process that dies before Optuna is told leaves a trial that is not taken as ended."""
    trial = running()
    FULL.store(trial)
    assert [record.values for record in known(trial.study)] == [FULL.values]
    assert ended(trial.study) == []
    trial.study.tell(trial, list(FULL.values))
    assert ended(trial.study) == [FULL]


def test_what_another_process_has_found_and_not_told_yet_settles_nothing() -> None:
    first = running()
    FULL.store(first)
    second = first.study.ask()
    assert _settled(second) == []
    first.study.tell(first, list(FULL.values))
    assert _settled(second) == [FULL]


def test_what_comes_to_the_same_as_an_earlier_trial_keeps_the_recipe_that_was_drawn() -> None:
    earlier = replace(FULL, drawn=None)
    other = Recipe((Int8(), Prune(0.3)))
    draft = _Draft(TrialRecord(3, recipe=other, recipe_key=other.key, result_key="b"))
    _repeat(draft, earlier)
    assert (draft.record.recipe, draft.record.drawn) == (earlier.recipe, other)
    assert draft.record.as_begun().recipe == other
    same = _Draft(TrialRecord(3, recipe=earlier.recipe, result_key="b"))
    _repeat(same, earlier)
    assert same.record.drawn is None


@pytest.mark.parametrize("outcome", ["", *OUTCOMES])
def test_what_stands_for_later_trials_is_settled(outcome: str) -> None:
    settled = outcome in ("measured", "infeasible", "hopeless", "invalid", "failed")
    assert TrialRecord(outcome=outcome).settled is settled


def test_nothing_else_knows_the_attributes_of_a_trial() -> None:
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "user_attr" in path.read_text()
    }
    # A study's own attributes are the facts of its job; a server passes on whatever is set.
    assert knowing == {"study/record.py", "study/storage.py", "study/server.py"}


def test_a_study_of_0_1_0_is_refused_by_name(tmp_path: Path) -> None:
    space, journal = tmp_path / "toys.toml", tmp_path / "study.log"
    space.write_text(SPACE)
    shutil.copy(OLD / "study.log", journal)
    with pytest.raises(UserError) as refusal:
        search(
            toy_model(), toy_data(), load_target("stm32f746"), out=tmp_path, storage=str(journal),
            space=str(space), known_good=(), evaluator=TOY_EVALUATOR,
            study_name="cnn1-digits-stm32f746-latency", cache=Cache(tmp_path / "cache"),
        )  # fmt: skip
    assert "has schema 1, not 5: an early autotiny 0.1.0" in str(refusal.value)
    assert "--storage" in str(refusal.value)
    assert journal.read_bytes() == (OLD / "study.log").read_bytes()
