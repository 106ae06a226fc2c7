"""A pair of components both ways round."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from toys import (
    Block,
    Cluster,
    Fuse,
    Idle,
    Int8,
    Prune,
    scored,
    toy_components,
    toy_model,
    trace_of,
)

from autotiny.cache import Cache
from autotiny.components import Component
from autotiny.dataset import Dataset
from autotiny.errors import TrainingDiverged, UserError
from autotiny.metrics import Cost
from autotiny.model import Level, Model
from autotiny.recipe import Recipe
from autotiny.report.live import counting
from autotiny.report.ordering import (
    comparison_facts,
    comparison_lines,
    comparison_table,
    remark_lines,
)
from autotiny.study import Comparison, Evaluator, Originals, compare_orders
from autotiny.study.ordering import Difference, usual_rest
from autotiny.target import Target, load_target
from autotiny.tasks import Classification

TARGET = load_target("stm32f746")


def pruned_first(model: Model) -> bool:
    trace = trace_of(model)
    return trace.find("Prune") < trace.find("Cluster")


def toy_cost(model: Model, target: Target, cache: Cache) -> Cost:
    """Pruning before clustering keeps more flash."""
    return Cost(1000 - 100 * pruned_first(model), 500, 500, 800, 700, 50, 50, 10, 10, 0.5, 0.1)


def toy_accuracy(model: Model, data: Dataset, split: str, cache: Cache) -> float:
    """Pruning before clustering keeps more accuracy; the seed makes noise."""
    seed = int(data.name)
    if "sparsity=0.9" in trace_of(model) and seed == 1:
        raise TrainingDiverged("the loss became NaN")
    accuracy = 0.9 + 0.05 * pruned_first(model) + 0.01 * seed
    return accuracy - 0.01 * (seed % 2) * (split == "test")


def toy_pair(seed: int, cache: Cache) -> tuple[Model, Dataset]:
    """Under seed 2 nearly all validation samples are of one class."""
    rare = 1 if seed == 2 else 500
    x, y = np.zeros((1000, 2), np.float32), (np.arange(1000) < rare).astype(np.int32)
    return toy_model(), Dataset(str(seed), x, y, x, y, x, y, task=Classification(outputs=2))


ORIGINALS = Originals("toy", "toys", Level.KERAS, toy_pair)
TOY_EVALUATOR = Evaluator(cost=toy_cost, score=scored(toy_accuracy))


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with toy_components():
        yield


def compare(first: Component, second: Component, tmp_path: Path, **more: Any) -> Comparison:
    arguments: dict[str, Any] = {"behind": (Int8(),), "before": (), "seeds": 3} | more
    return compare_orders(
        first, second, TARGET, ORIGINALS,
        cache=Cache(tmp_path), evaluator=TOY_EVALUATOR, **arguments,
    )  # fmt: skip


def text_of(found: Comparison, width: int = 80) -> str:
    console = Console(file=StringIO(), width=width, highlight=False)
    for part in (*comparison_lines(found), comparison_table(found), *remark_lines(found)):
        console.print(part)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_both_orders_are_measured_under_every_seed(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    found = compare(
        Prune(0.5), Cluster(), tmp_path, on_stage=lambda *standing: told.append(standing)
    )
    first, second = found.orders
    assert first.recipe == Recipe((Prune(0.5), Cluster(), Int8()))
    assert second.recipe == Recipe((Cluster(), Prune(0.5), Int8()))
    assert list(first.values("flash_bytes").values()) == [900, 900, 900]
    assert [one.seed for one in second.repetitions] == [0, 1, 2]
    assert told[-1][:2] == (5, 6)
    spread = found.spread(first, "accuracy_validation")
    assert spread is not None
    assert spread.mean == pytest.approx(0.96)
    assert spread.deviation == pytest.approx(0.01)
    accuracy, flash = (found.difference(name) for name in ("accuracy_validation", "flash_bytes"))
    assert accuracy is not None
    assert flash is not None
    assert accuracy.mean == pytest.approx(-0.05)
    assert accuracy.beyond_noise
    assert (flash.mean, flash.error, flash.beyond_noise) == (100, 0, True)


@pytest.mark.parametrize(
    ("difference", "beyond"),
    [
        (Difference(0.03, 0.01, 0.02, 5), True),
        (Difference(-0.03, 0.01, 0.02, 5), True),
        (Difference(0.03, 0.02, 0.02, 5), False),  # within two standard errors
        (Difference(0.03, 0.01, 0.04, 5), False),  # the seeds alone make as much
        (Difference(100.0, 0.0, 0.0, 1), False),  # nothing is known of noise
        (Difference(0.0, 0.0, 0.0, 5), False),
    ],
)
def test_what_counts_as_a_difference(difference: Difference, beyond: bool) -> None:
    assert difference.beyond_noise is beyond


def test_the_error_of_a_mean_falls_with_the_root_of_the_seeds(tmp_path: Path) -> None:
    def noisy(model: Model, data: Dataset, split: str, cache: Cache) -> float:
        return 0.9 + pruned_first(model) * (0.02, 0.04, 0.06, 0.08)[int(data.name)]

    evaluator = Evaluator(cost=toy_cost, score=scored(noisy))
    found = compare_orders(
        Prune(0.5), Cluster(), TARGET, ORIGINALS, behind=(Int8(),), before=(), seeds=4,
        cache=Cache(tmp_path), evaluator=evaluator,
    ).difference("accuracy_validation")  # fmt: skip
    assert found is not None
    assert found.mean == pytest.approx(-0.05)
    assert found.error == pytest.approx(np.std([0.02, 0.04, 0.06, 0.08], ddof=1) / 2)


def test_an_illegal_order_is_named_and_the_other_measured(tmp_path: Path) -> None:
    found = compare(Prune(0.5), Int8(), tmp_path, behind=())
    legal, illegal = found.orders
    assert len(legal.repetitions) == 3
    assert not illegal.repetitions
    assert "prune takes a model of level keras" in illegal.objection
    assert found.difference("flash_bytes") is None
    assert "B → A: illegal: prune takes" in text_of(found)
    with pytest.raises(UserError, match="neither order is legal"):
        compare(Prune(0.5), Cluster(), tmp_path, behind=())


def test_what_drops_out_or_fails_is_told(tmp_path: Path) -> None:
    found = compare(Prune(0.9), Idle(), tmp_path)
    assert found.orders[0].reasons == {
        "idle: there is never anything to do": (0, 2), "the loss became NaN": (1,),
    }  # fmt: skip
    assert found.difference("flash_bytes") is None  # the other order is illegal
    text = text_of(found)
    assert "A → B: the loss became NaN (seed 1)" in text
    assert "anything to do (seeds 0, 2)" in text
    assert "at chance level" in text
    pairs = compare(Prune(0.9), Cluster(), tmp_path).difference("flash_bytes")
    assert pairs == Difference(100, 0, 0, 2)


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_fits(tmp_path: Path, width: int) -> None:
    text = text_of(compare(Prune(0.5), Cluster(), tmp_path), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "95.00" not in text
    assert "96.00 ± 1.00‡" in text
    assert "-5.00" in text
    assert "+100" in text


def test_facts_hold_what_the_table_shows(tmp_path: Path) -> None:
    facts = comparison_facts(compare(Prune(0.5), Cluster(), tmp_path))
    assert facts["differences"]["flash_bytes"]["beyond_noise"] is True
    assert [run["seed"] for run in facts["orders"][0]["runs"]] == [0, 1, 2]
    assert facts["orders"][1]["runs"][0]["flash_bytes"] == 1000
    assert facts["first"] == "prune(sparsity=0.5, structure=element)"


USUAL = "int8, fuse, block"


def test_the_usual_rest_stands_where_the_pair_can_take_it() -> None:
    usual = (Int8(), Fuse(), Block())
    assert usual_rest(Prune(0.5), Cluster(), Level.KERAS, USUAL) == ((), usual)
    assert usual_rest(Fuse(), Block(), Level.KERAS, USUAL) == ((Int8(),), ())
    assert usual_rest(Prune(0.5), Int8(), Level.KERAS, USUAL) == ((), (Fuse(), Block()))
    assert usual_rest(Fuse(), Idle(), Level.TFLITE, USUAL) == ((), (Block(),))


def test_seeds_must_be_some(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seeds = 0; it must be from 1"):
        compare(Prune(0.5), Cluster(), tmp_path, seeds=0)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_counted(terminal: bool) -> None:
    console = Console(file=StringIO(), width=80, force_terminal=terminal)
    with counting(console) as tell:
        tell(1, 6, "seed 0: prune → cluster")
    assert "1/6" in console.file.getvalue()  # type: ignore[attr-defined]
