"""What is asked of a firmware besides that it fits: read, refused, judged before training, told."""

import math
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from rich.console import Console
from test_planning import add
from test_study import TOY_EVALUATOR, searching, toy_cost
from toys import CALLS, TOYS
from typer.testing import CliRunner

import autotiny
from autotiny.cache import Cache
from autotiny.cli import app
from autotiny.errors import UserError
from autotiny.graph import Graph, Op, Tensor
from autotiny.metrics import Cost, overshoot
from autotiny.model import Model
from autotiny.recipe import Recipe
from autotiny.report.facts import study_facts
from autotiny.report.live import plain_line
from autotiny.report.page import report_text
from autotiny.report.summary import front_table, why_nothing
from autotiny.study import Job, Result, TrialRecord, ended, wanted_bounds
from autotiny.study.bounds import NO_BOUNDS, Bounds, Reserve, worst_latency_ms
from autotiny.study.evidence import Evidence
from autotiny.study.proposing import chosen, neighbours
from autotiny.study.record import Rehearsal
from autotiny.study.result import near_misses
from autotiny.target import Target, load_target
from autotiny.tasks import ACCURACY, Metric
from autotiny.tasks.regression import Regression
from autotiny.tflite import write_tflite
from autotiny.units import ENERGY, SIZE, TIME, Quantity, amount

pytestmark = pytest.mark.usefixtures("own_cache")

TARGET = load_target("stm32f746")
RMSE = next(metric for metric in Regression.metrics if metric.name == "rmse")
OWN = Metric("mine:gain", "gain", lambda *_: 0.0, percent=False)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    with searching(tmp_path) as start:
        yield start


def asked(metric: Metric | None = ACCURACY, **given: Any) -> Bounds:
    return wanted_bounds(TARGET, metric, **given)


def taken(flash: int = 1000, sram: int = 1000, milliseconds: float = 1.0, **more: Any) -> Cost:
    cycles = int(milliseconds * TARGET.clock_hz / 1000)
    return Cost(
        flash_bytes=flash, weights_bytes=0, code_bytes=flash, sram_bytes=sram, arena_bytes=sram,
        static_bytes=0, stack_bytes=0, instructions=cycles, cycles=cycles,
        latency_ms=milliseconds, energy_estimated_mj=0.5, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("quantity", "text", "value"),
    [
        (SIZE, "900", 900), (SIZE, "60K", 61_440), (SIZE, "1.5 mb", 1_572_864), (SIZE, ".5k", 512),
        (TIME, "20ms", 20), (TIME, "1.5 s", 1500), (TIME, "800us", 0.8), (TIME, "800µs", 0.8),
        (TIME, "800μs", 0.8), (ENERGY, "0.5mJ", 0.5), (ENERGY, "80 uJ", 0.08), (ENERGY, "2J", 2000),
    ],
)  # fmt: skip
def test_amounts_are_read_with_their_unit(quantity: Quantity, text: str, value: float) -> None:
    assert amount(quantity, text, text)[0] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        (SIZE, ""), (SIZE, "K"), (SIZE, "-1K"), (SIZE, "4X"), (SIZE, "20ms"), (SIZE, "nan"),
        (SIZE, "inf"), (SIZE, "9" * 400), (TIME, "20"), (TIME, "20 K"), (TIME, "1e"),
        (TIME, "-1ms"), (TIME, "20mJ"), (ENERGY, "0.5"), (ENERGY, "0.5ms"), (ENERGY, "0.5m J"),
    ],
)  # fmt: skip
def test_what_is_no_amount_is_refused(quantity: Quantity, text: str) -> None:
    with pytest.raises(UserError, match=f"cannot read the {quantity.name} in 'x=.*say .*e\\.g\\. "):
        amount(quantity, f"x={text}", text)


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ({}, []),
        ({"at_most": "latency=20ms,flash=60K"}, ["flash at most 61,440 bytes",
                                                 "latency at most 20 ms"]),
        ({"at_most": ["size=60K", " worst_latency = 800us "]},
         ["flash at most 61,440 bytes", "worst_latency at most 800 us"]),
        ({"at_most": {"sram": 12_288, "energy": "0.5mJ"}},
         ["energy at most 0.5 mJ", "sram at most 12,288 bytes"]),
        ({"at_least": "score=0.95"}, ["accuracy at least 95 %"]),
        ({"at_least": {"accuracy": np.float64(0.9525)}}, ["accuracy at least 95.25 %"]),
        ({"at_least": ["accuracy=95.25%"]}, ["accuracy at least 95.25 %"]),
        ({"metric": RMSE, "at_most": "rmse=1e-3"}, ["rmse at most 0.001"]),
        ({"metric": RMSE, "at_most": "score=0.3"}, ["rmse at most 0.3"]),
        ({"metric": OWN, "at_least": "mine:gain=-2"}, ["mine:gain at least -2"]),
        ({"reserve": "flash=64K,stack=256"},
         ["65,536 bytes of flash, 256 bytes of stack reserved"]),
        ({"reserve": {"sram": "12K"}}, ["12,288 bytes of SRAM reserved"]),
    ],
)  # fmt: skip
def test_bounds_are_read(given: dict[str, Any], texts: list[str]) -> None:
    bounds = asked(**given)
    assert list(bounds.texts) == texts
    crossed = pickle.loads(pickle.dumps(bounds))  # noqa: S301 - as to other processes
    assert crossed == bounds
    assert (bounds == NO_BOUNDS) is (not texts)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"at_most": "latancy=20ms"}, "unknown bound 'latancy'; did you mean 'latency'?"),
        ({"at_least": "acuracy=1"}, "unknown bound 'acuracy'; did you mean 'accuracy'?"),
        ({"at_most": "latency"}, "cannot read 'latency' of --max; say a name and a value"),
        ({"at_most": "latency="}, "cannot read 'latency='"),
        ({"at_most": "=20ms"}, "cannot read '=20ms'"),
        ({"at_most": ""}, "cannot read ''"),
        ({"at_most": 5}, "cannot read '5' of --max"),
        ({"at_most": "latency=20"}, "cannot read the time in '--max latency=20'; say e.g. 20ms"),
        ({"at_most": "latency=60K"}, "cannot read the time"),
        ({"at_most": "flash=20ms"}, "cannot read the size"),
        ({"at_most": {"flash": math.nan}}, "cannot read the size"),
        ({"at_most": {"flash": None}}, "cannot read the size"),
        ({"at_most": {"flash": True}}, "cannot read the size"),
        ({"at_most": "energy=-1mJ"}, "cannot read the energy"),
        ({"at_most": "flash=0"}, "'--max flash=0': it must be above zero"),
        ({"at_most": "flash=0.1"}, "'--max flash=0.1': it must be above zero"),
        ({"at_most": "latency=0ms"}, "it must be above zero; leave it out"),
        ({"at_most": ["flash=1K", "flash=2K"]}, "flash has two bounds; give one"),
        ({"at_most": "flash=1K,size=2K"}, "flash has two bounds"),
        ({"at_least": "score=0.9,accuracy=0.95"}, "accuracy has two bounds"),
        ({"at_least": "latency=5ms"}, "latency is better small; bound it by --max"),
        ({"at_most": "accuracy=0.9"}, "accuracy is better high; bound it by --min"),
        ({"at_least": "score=95"}, "'--min score=95': accuracy is a share; say e.g. 0.95 or 95%"),
        ({"at_least": "score=0"}, "accuracy is a share"),
        ({"at_least": "score=-1%"}, "accuracy is a share"),
        ({"at_least": "score=nan"}, "'--min score=nan': a score is a number"),
        ({"at_least": "score=good"}, "a score is a number"),
        ({"at_least": "score=1e999"}, "a score is a number"),
        ({"at_most": "rmse=0.3"}, "'--max rmse=0.3': the score is accuracy here"),
        ({"metric": RMSE, "at_least": "rmse=0.3"}, "is better small; bound it by --max"),
        ({"metric": RMSE, "at_most": "rmse=30%"}, "is no share; say a number in its unit"),
        ({"metric": RMSE, "at_most": "rmse=0"}, "it must be above zero"),
        ({"reserve": "flsh=4K"}, "unknown resource to reserve 'flsh'; did you mean 'flash'?"),
        ({"reserve": "flash"}, "cannot read 'flash' of --reserve; say a name and a value"),
        ({"reserve": "flash=0"}, "'--reserve flash=0': it must be above zero"),
        ({"reserve": "sram=-1K"}, "cannot read the size in '--reserve sram=-1K'"),
        ({"reserve": ["sram=1K", "sram=1K"]}, "sram has two reserves; give one"),
        ({"reserve": "flash=1M"}, "1,048,576 bytes of flash, and stm32f746 has 1,048,576 for"),
        ({"reserve": "sram=300K,stack=20K"}, "327,680 bytes of SRAM, and stm32f746 has 327,552"),
    ],
)
def test_what_is_no_bound_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        asked(**given)


def test_all_but_the_score_is_refused_before_anything_is_loaded() -> None:
    assert asked(metric=None, at_most="rmse=30%", at_least="score=95,mine:gain=1").each
    for given in ({"at_most": "latancy=1ms"}, {"at_least": "score=high"}, {"reserve": "ram=1K"}):
        with pytest.raises(UserError):
            asked(metric=None, **given)


def test_what_is_reserved_is_none_of_the_targets() -> None:
    bounds = asked(reserve="flash=100,sram=20,stack=3")
    assert bounds.reserve == Reserve(flash=100, sram=20, stack=3)
    full = taken(TARGET.flash_bytes - 100, TARGET.sram_bytes - 128 - 23)
    assert bounds.excess(full, TARGET) == {"flash": 0, "sram": 0}
    assert bounds.missed(full, TARGET) == []
    more = replace(full, flash_bytes=full.flash_bytes + 1, sram_bytes=full.sram_bytes + 2)
    assert bounds.excess(more, TARGET) == {"flash": 1, "sram": 2}
    assert bounds.missed(more, TARGET) == [
        "misses stm32f746 beside what is reserved by 1 byte of flash and 2 bytes of sram"
    ]
    assert NO_BOUNDS.excess(more, TARGET) == overshoot(more, TARGET)
    scattered = replace(full, sram_bytes=10, unplaced_bytes=7)
    assert bounds.excess(scattered, TARGET)["sram"] == 7


def test_a_bound_is_kept_to_the_byte_and_misses_are_told_in_the_users_unit() -> None:
    bounds = asked(at_most="latency=800us,flash=2K,energy=0.5mJ", at_least="accuracy=95%")
    kept = taken(2048, milliseconds=0.8)
    assert all(share <= 0 for share in bounds.excess(kept, TARGET, 0.95).values())
    assert bounds.missed(kept, TARGET, 0.95) == []
    assert bounds.missed(replace(kept, flash_bytes=2049), TARGET) == [
        "flash is 2,049 bytes, 1 byte above 2,048 bytes"
    ]
    assert bounds.missed(replace(kept, latency_ms=1.0), TARGET, 0.9) == [
        "accuracy is 90 %, 5 % below 95 %", "latency is 1000 us, 200 us above 800 us",
    ]  # fmt: skip
    assert bounds.missed(kept, TARGET, 0.95 - 1e-12) == [], "that is how it was computed"
    shares = bounds.excess(replace(kept, latency_ms=1.0), TARGET, 0.9)
    assert shares["max latency"] == pytest.approx(0.25)
    assert shares["min accuracy"] == pytest.approx(0.05 / 0.95)
    assert "min accuracy" not in bounds.excess(kept, TARGET), "a score is known later"
    small = asked(metric=RMSE, at_most="rmse=0.3")
    assert small.missed(kept, TARGET, 0.3) == []
    assert small.missed(kept, TARGET, 0.4) == ["rmse is 0.4, 0.1 above 0.3"]


def test_the_worst_latency_is_that_with_cold_caches() -> None:
    cold = taken(milliseconds=1.0, cold_cycles=2 * TARGET.clock_hz // 1000)
    assert worst_latency_ms(cold, TARGET) == 2.0
    assert worst_latency_ms(replace(cold, cold_cycles=5), TARGET) == 1.0
    bounds = asked(at_most="worst_latency=1500us")
    assert bounds.missed(cold, TARGET) == ["worst_latency is 2000 us, 500 us above 1500 us"]


def records(result: Result) -> list[TrialRecord]:
    return [TrialRecord.load(trial) for trial in result.study.trials]


def test_what_misses_a_bound_is_never_trained_and_the_original_is_measured(run: Any) -> None:
    result = run(trials=25, at_most={"flash": "128K"})
    first, *others = records(result)
    assert first.outcome == "measured"
    assert first.reason == "flash is 400,000 bytes, 268,928 bytes above 131,072 bytes"
    assert result.baseline is not None
    assert result.study.trials[0].constraints["max flash"] > 0
    infeasible = [record for record in others if record.outcome == "infeasible"]
    assert infeasible
    for record in infeasible:
        assert record.metrics is None
        assert result.study.trials[record.number].state is TrialState.PRUNED
        assert record.cost is not None
        assert record.cost.flash_bytes > 131_072
    trained = [record for record in others if record.outcome == "measured"]
    assert all("int8" in record.sequence for record in trained)
    for name in ("prune", "cluster"):
        assert CALLS.count(name) <= sum(name in record.sequence for record in trained)
    assert result.front
    assert all(point.metrics.cost.flash_bytes <= 131_072 for point in result.front)
    assert result.near == ()
    assert result.shortfall is None


def test_what_misses_a_score_is_measured_and_never_the_best(run: Any) -> None:
    free = run(trials=20, out="free")
    assert free.best["latency"].values[0] < 0.95
    lines: list[str] = []
    result = run(
        trials=20, out="bound", at_least={"accuracy": " 95 % "},
        on_trial=lambda progress: lines.append(plain_line(progress)),
    )  # fmt: skip
    low = [record for record in records(result) if record.metrics and record.values[0] < 0.95]
    fresh = [record for record in low if record.outcome == "measured"]
    assert fresh
    told = [line for line in lines if " below 95 %" in line]
    assert len(told) == len(fresh)
    for record in low:
        assert result.study.trials[record.number].constraints["min accuracy"] > 0
        assert result.study.trials[record.number].state is TrialState.COMPLETE
    assert all(re.match(r"accuracy is 9.* below 95 %", record.reason) for record in fresh)
    assert result.front
    assert all(point.values[0] >= 0.95 for point in result.front)
    assert all(point.values[0] >= 0.95 for point in result.best.values())
    numbers = ", ".join(str(one.number) for one in fresh if one.reason == fresh[0].reason)
    assert f"| measured | {numbers} | {fresh[0].reason} |" in report_text(result)


def test_less_of_the_target_is_there_beside_what_is_reserved(run: Any) -> None:
    result = run(target="stm32f103", trials=15, reserve="flash=38K")  # of 128 KB; int8 has 100,000
    assert result.shortfall is None
    assert {point.metrics.cost.flash_bytes for point in result.front} <= {90_000, 81_000}
    assert any("beside what is reserved by" in record.reason for record in records(result))


def test_what_comes_nearest_is_told_of_each_bound(run: Any) -> None:
    result = run(
        trials=25, at_most="latency=100us,flash=200000", at_least="accuracy=90%",
        reserve="sram=1K",
    )  # fmt: skip
    assert result.front == ()
    assert result.shortfall is None, "each fits the target"
    accuracy, flash, latency = result.near
    costs = {one.number: one.cost for one in records(result) if one.cost}
    small = {number: cost for number, cost in costs.items() if cost.flash_bytes <= 200_000}
    fastest = min(small, key=lambda number: (small[number].latency_ms, number))
    assert latency.trial == fastest
    assert latency.value == small[fastest].latency_ms
    assert latency.besides == ()
    assert latency.by == f"{1000 * (latency.value - 0.1):.4g} us"
    assert (flash.by, accuracy.by) == ("kept", "kept")
    assert flash.besides == (
        f"latency is {1000 * costs[flash.trial].latency_ms:.4g} us, "
        f"{1000 * (costs[flash.trial].latency_ms - 0.1):.4g} us above 100 us",
    )
    assert why_nothing(result) == (
        "nothing keeps accuracy at least 90 %, flash at most 200,000 bytes, latency at most 100 us,"
        f" 1,024 bytes of SRAM reserved; nearest to {latency}"
    )
    assert str(latency).startswith(f"latency at most 100 us: trial {fastest} has ")
    assert str(latency).endswith(f"{latency.by} above 100 us ({latency.recipe})")
    facts = study_facts(result)
    assert [near["bound"] for near in facts["near_misses"]] == [
        "accuracy at least 90 %", "flash at most 200,000 bytes", "latency at most 100 us",
    ]  # fmt: skip
    assert facts["bounds"][-1] == "1,024 bytes of SRAM reserved"
    text = report_text(result)
    assert "No firmware that fits the target and keeps the bounds was measured." in text
    assert f"| latency at most 100 us | {latency.bound.text(latency.value)} | {latency.by}" in text


def test_what_keeps_all_else_comes_nearer_than_what_misses_less() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    costs = [
        taken(5000, milliseconds=1.2), taken(1000, milliseconds=1.5),
        taken(4200, milliseconds=0.9), taken(4300, milliseconds=0.8),
        taken(1 << 30, milliseconds=0.7),
    ]  # fmt: skip
    for cost in costs:
        add(study, TrialRecord(outcome="infeasible", recipe=Recipe(()), rehearsed=cost))
    add(study, TrialRecord(outcome="hopeless", recipe=Recipe(()), rehearsed=taken(1)))
    bounds = asked(at_most="latency=1ms,flash=4K", at_least="score=90%")
    job = cast(Job, SimpleNamespace(bounds=bounds, target=TARGET))
    near = near_misses(study, job)
    assert [(str(one.bound)[:7], one.trial, one.by, one.besides) for one in near] == [
        ("flash a", 2, "104 bytes", ()), ("latency", 1, "0.5 ms", ()),
    ]  # fmt: skip


def test_where_nothing_fits_the_target_that_is_told_first(run: Any) -> None:
    result = run(target="stm32f103", trials=10, at_most="latency=1us", reserve="flash=127K")
    assert result.shortfall is not None
    assert why_nothing(result).startswith(
        "nothing fits stm32f103 beside 130,048 bytes of flash that are reserved: the smallest"
    )
    assert "misses stm32f103 beside what is reserved" in "".join(result.near[0].besides)


def test_a_study_remembers_its_bounds(run: Any) -> None:
    asked_for = {"at_most": "flash=300000", "reserve": "stack=1K"}
    run(trials=2, study_name="mine", **asked_for)
    run(trials=3, study_name="mine", **asked_for)
    for changes, other in (
        ({}, "none"),
        ({"at_most": "flash=200000", "reserve": "stack=1K"}, "flash at most 200,000 bytes"),
        ({"at_most": "flash=300000"}, "flash at most 300,000 bytes;"),
    ):
        with pytest.raises(UserError, match=f"made with bounds = .*reserved, not {other}"):
            run(trials=4, study_name="mine", **changes)


def test_bounds_are_in_the_report_and_the_facts(run: Any) -> None:
    plain = run(trials=5, out="plain")
    assert "| bounds |" not in report_text(plain)
    assert "worst ms" not in report_text(plain)
    assert study_facts(plain)["bounds"] == []
    result = run(trials=5, out="bound", at_most="worst_latency=90ms")
    text = report_text(result)
    assert "| bounds | worst_latency at most 90 ms |" in text
    assert "| ms | worst ms |" in text
    assert study_facts(result)["bounds"] == ["worst_latency at most 90 ms"]


def test_the_worst_latency_is_made_small(run: Any) -> None:
    """int16 has the better caches here: warm it is slower than int8, and cold it is faster."""

    def cost(model: Model, target: Target, cache: Cache) -> Cost:
        found = toy_cost(model, target, cache)
        return replace(found, cold_cycles=found.cycles + {100: 900_000}.get(
            found.weights_bytes * 2 // 1000, 0))  # fmt: skip

    result = run(
        trials=20, objectives=("worst_latency",), accuracy_drop=0.5,
        evaluator=replace(TOY_EVALUATOR, cost=cost),
    )  # fmt: skip
    assert result.study.metric_names == ["accuracy_validation", "worst_latency_ms"]
    best = result.best["worst_latency"]
    assert best.values[1] == worst_latency_ms(best.metrics.cost, TARGET)
    assert best.values[1] == min(
        worst_latency_ms(record.cost, TARGET)
        for record in ended(result.study)
        if record.outcome == "measured" and record.cost
    )
    console = Console(width=80, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(front_table(result.front, None, TARGET, width=80, figures=("worst_latency",)))
    assert "worst ms" in captured.get()


def test_what_is_proposed_should_keep_the_bounds(run: Any) -> None:
    result = run(
        trials=20, objectives=("latency",), at_most="flash=128K,energy=1J", at_least="score=94%"
    )
    evidence = Evidence(result.study, result.job, len(result.study.trials))
    recipes = [Recipe((TOYS[name](), TOYS["fuse"]())) for name in ("float32", "int16", "int8")]
    large, larger, small = evidence.keeping(recipes)
    assert large < 0.05
    assert larger < 0.2
    assert small > 0.9
    costs, gain = evidence.costs(recipes), evidence.scale.gain(0.955)
    evidence.rehearsals = {recipes[0].key: Rehearsal(recipes[0], (1.0,))}
    assert evidence.keeping(recipes)[0] == 1, "that was seen"
    assert evidence.front(costs).reached.min() < gain
    high = replace(result.job, bounds=asked(at_least="score=95.5%"))
    evidence = Evidence(result.study, high, len(result.study.trials))
    assert list(evidence.keeping(recipes)) == [1, 1, 1], "it bounds no cost"
    assert evidence.front(costs).reached.min() == pytest.approx(gain), "below is nothing to gain"


def test_until_something_keeps_the_bounds_all_that_was_measured_guides_the_search(
    run: Any,
) -> None:
    high, low = (run(trials=12, out=limit, at_least=f"score={limit}") for limit in ("99%", "95%"))
    evidence = Evidence(high.study, high.job, 12)
    assert high.front == ()
    assert evidence.fitting == evidence.measured
    recipes = neighbours(evidence)
    reached = evidence.front(evidence.costs(recipes)).reached
    assert reached.max() < evidence.scale.gain(0.99), "or nothing would be worth a trial"
    chosen(evidence, recipes)
    kept = Evidence(low.study, low.job, 12).fitting
    assert kept
    assert all(one.values[0] >= 0.95 for one in kept)


def test_what_surely_breaks_a_bound_is_not_proposed(run: Any) -> None:
    result = run(trials=8, sampler="ehvi")
    evidence = Evidence(result.study, result.job, 8)
    recipes = neighbours(evidence)
    assert chosen(evidence, recipes).recipe is not None
    with mock.patch.object(evidence, "keeping", lambda recipes: np.zeros(len(recipes))):
        assert chosen(evidence, recipes).recipe is None
    tiny = replace(result.job, bounds=asked(at_most="flash=1K"))
    evidence = Evidence(result.study, tiny, 8)
    with mock.patch.object(evidence, "keeping", lambda recipes: np.ones(len(recipes))):
        found = chosen(evidence, recipes)
    assert {one.costs for one in found.rehearsals} == {None}, "what was rehearsed breaks it"


@pytest.fixture
def network(tmp_path: Path) -> str:
    """A ReLU on 16 values in float32, as a file."""
    tensors = (Tensor("x", (1, 16), "float32"), Tensor("y", (1, 16), "float32"))
    graph = Graph(tensors, (Op("RELU", (0,), (1,)),), (0,), (1,))
    path = tmp_path / "relu.tflite"
    path.write_bytes(write_tflite(graph))
    return str(path)


def test_measure_and_compile_tell_whether_there_is_room_beside_others(
    network: str, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    alone = autotiny.measure(network, TARGET, cache=cache)
    room = TARGET.sram_bytes - 128 - alone.cost.sram_bytes
    others = {"sram": room - 256, "stack": 256}
    fits = autotiny.measure(network, TARGET, cache=cache, reserve=others)
    assert (alone.misses, fits.misses) == ((), ())
    assert fits.cost == alone.cost
    assert fits.to_dict()["reserved"] == {"flash": 0, **others}
    tight = autotiny.measure(network, TARGET, cache=cache, reserve=f"sram={room + 1}")
    assert tight.misses == ("1 byte of sram",)
    refusal = re.escape(f"does not fit stm32f746 beside {room + 1:,} bytes of SRAM that are ")
    with pytest.raises(UserError, match=refusal):
        autotiny.compile(
            network, TARGET, tmp_path / "p", cache=cache, project=True, reserve=f"sram={room + 1}"
        )
    told = []
    for more in (0, 1):
        command = ["measure", network, "-t", "stm32f746", "--reserve", f"sram={room + more}"]
        told.append(CliRunner().invoke(app, command).stdout)
    assert f"\nfits stm32f746 beside {room:,} bytes of SRAM that are reserved\n" in told[0]
    assert f"\ndoes not fit stm32f746 beside {room + 1:,} bytes of SRAM that are" in told[1]
    assert "misses by 1 byte of sram" in " ".join(told[1].split())
