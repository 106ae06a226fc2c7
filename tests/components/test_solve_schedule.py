from dataclasses import replace

import pytest
from networks import two_layers

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Work
from autotiny.components.program.solve_schedule import SolveSchedule
from autotiny.dataset import synthetic
from autotiny.engine import generate, schedule_for
from autotiny.errors import NotApplicable
from autotiny.metrics import Cost
from autotiny.model import Level, Model, load_model
from autotiny.simulator import measure
from autotiny.target import load_target
from autotiny.tflite import write_tflite

M4 = load_target("stm32l4r5")


@pytest.fixture(scope="module")
def lowered(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("solve") / "two_layers.tflite"
    path.write_bytes(write_tflite(two_layers()))
    return load_model(str(path))


@pytest.fixture(scope="module")
def solving(lowered: Model, tmp_path_factory: pytest.TempPathFactory) -> Work:
    cache = Cache(tmp_path_factory.mktemp("cache"))
    return Work(synthetic(lowered), target=M4, cache=cache)


def measured(model: Model) -> Cost:
    return measure(generate(model.program.graph, model.program.schedule), M4)


def test_nothing_is_faster_in_as_little(lowered: Model, solving: Work) -> None:
    graph = lowered.graph
    fastest = measure(generate(graph, schedule_for(graph, "fastest", **M4.traits)), M4)
    solved = SolveSchedule().apply(lowered, solving)
    assert solved.level is Level.PROGRAM
    assert measured(solved).cycles < fastest.cycles
    within = SolveSchedule(flash_bytes=fastest.flash_bytes, sram_bytes=fastest.sram_bytes)
    taken = measured(within.apply(lowered, solving))
    assert taken.cycles <= fastest.cycles
    assert taken.flash_bytes <= fastest.flash_bytes and taken.sram_bytes <= fastest.sram_bytes


def test_it_decides_anew_whatever_was_decided_before(lowered: Model, solving: Work) -> None:
    blocked = COMPONENTS["block_gemm"]().apply(lowered, solving)
    one, other = (SolveSchedule().apply(model, solving) for model in (lowered, blocked))
    assert one.program.schedule == other.program.schedule


def test_it_says_what_it_lacks(lowered: Model, solving: Work) -> None:
    with pytest.raises(NotApplicable, match="solve_schedule: no target is known"):
        SolveSchedule().apply(lowered, replace(solving, target=None))
    with pytest.raises(NotApplicable, match="solve_schedule: no schedule takes at most 1,000 "):
        SolveSchedule(flash_bytes=1000).apply(lowered, solving)
