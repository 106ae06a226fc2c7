from dataclasses import replace

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.program.spend_sram import SpendSram
from autotiny.dataset import synthetic
from autotiny.engine import generate, plain_schedule
from autotiny.engine.variants.row_pairs import RowPairs
from autotiny.engine.variants.slide import Slide
from autotiny.engine.variants.strip import Strip
from autotiny.engine.variants.trios import Trios
from autotiny.errors import NotApplicable
from autotiny.firmware import build_host
from autotiny.graph import Array
from autotiny.model import Model, load_model
from autotiny.schedule import Plain, Schedule, Way
from autotiny.target import load_target


@pytest.fixture(scope="module")
def blocked() -> tuple[Model, Work]:
    """ds_cnn in int8, computed in blocks."""
    model = load_model("ds_cnn")
    work = Work(synthetic(model))
    return COMPONENTS["block_gemm"]().apply(COMPONENTS["int8"]().apply(model, work), work), work


def computed(model: Model, x: Array) -> Array:
    return build_host(generate(model.program.graph, model.program.schedule)).predict(x)


def arena(model: Model) -> int:
    return generate(model.program.graph, model.program.schedule).arena_bytes


def test_faster_kernels_take_no_more_than_is_given(blocked: tuple[Model, Work]) -> None:
    model, work = blocked
    widths = []
    for more in (1500, 6000):
        roomy = SpendSram(more).apply(model, work)
        assert arena(model) < arena(roomy) <= arena(model) + more
        kernels = [step.kernel for step in roomy.program.schedule.steps]
        widths.append([kernel.pixels for kernel in kernels if isinstance(kernel, Strip)])
        x = np.random.default_rng(0).integers(-128, 128, (3, 49, 10, 1)).astype(np.int8)
        np.testing.assert_array_equal(computed(roomy, x), computed(model, x))
    narrow, wide = widths
    assert max(narrow) < 32 and wide == [64, 42, 42, 42, 42]


def test_it_says_that_there_is_no_room(blocked: tuple[Model, Work]) -> None:
    roomy = SpendSram(1 << 20).apply(*blocked)
    assert any(isinstance(step.kernel, Strip | RowPairs) for step in roomy.program.schedule.steps)
    with pytest.raises(NotApplicable, match="spend_sram: with 1,048,576 bytes more"):
        SpendSram(1 << 20).apply(roomy, blocked[1])


def test_the_target_decides_for_which_cores_kernels_are_taken(blocked: tuple[Model, Work]) -> None:
    model, work = blocked
    ways: dict[str, tuple[set[type[Way]], set[type[Way]]]] = {
        "rp2040": ({Trios}, {Strip, RowPairs}),
        "stm32f746": ({Strip}, {Trios}),
    }
    for board, (fast, slow) in ways.items():
        roomy = SpendSram().apply(model, replace(work, target=load_target(board)))
        kernels = {type(step.kernel) for step in roomy.program.schedule.steps}
        assert kernels & fast and not kernels & slow, board


def test_pairs_become_trios_and_stay_so(blocked: tuple[Model, Work]) -> None:
    model, work = blocked
    paired = COMPONENTS["pair_products"]().apply(model, work)
    roomy = SpendSram(1500).apply(paired, work)
    kernels = {type(step.kernel) for step in roomy.program.schedule.steps}
    assert Trios in kernels and not kernels & {Strip, Slide, RowPairs}
    x = np.random.default_rng(0).integers(-128, 128, (3, 49, 10, 1)).astype(np.int8)
    np.testing.assert_array_equal(computed(roomy, x), computed(model, x))
    (conv, *_) = roomy.program.schedule.steps
    alone = Schedule((conv, *plain_schedule(roomy.program.graph).steps[1:]))
    _, again = SpendSram(1 << 20).changed(roomy.program.graph, alone, None)
    assert all(isinstance(step.kernel, Trios | Plain) for step in again.steps)
