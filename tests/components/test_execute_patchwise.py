"""The first stages of a network in stripes."""

import pytest

from autotiny.components import Component, Work, objection
from autotiny.components.program.block_gemm import BlockGemm
from autotiny.components.program.execute_in_place import ExecuteInPlace
from autotiny.components.program.execute_patchwise import ExecutePatchwise
from autotiny.components.tflite.int8 import Int8
from autotiny.dataset import synthetic
from autotiny.engine import check_supported
from autotiny.evaluate import sources_of
from autotiny.model import Model, load_model
from autotiny.simulator import measure
from autotiny.target import load_target


@pytest.fixture(scope="module")
def lowered() -> tuple[Model, Work]:
    network = load_model("mobilenet_v1")
    work = Work(synthetic(network), rehearse=True)
    return Int8().apply(network, work), work


def test_the_whole_program_becomes_smaller_by_a_tensor(lowered: tuple[Model, Work]) -> None:
    model, work = lowered
    largest = max(t.bytes for t in model.graph.tensors if t.data is None)
    changed = ExecutePatchwise(patches=8).apply(model, work)
    check_supported(changed.program.graph)
    assert largest == 48 * 48 * 16
    assert sources_of(changed).arena_bytes < sources_of(model).arena_bytes - 18_000
    fast = BlockGemm().apply(ExecutePatchwise(patches=2).apply(model, work), work)
    assert sources_of(fast).arena_bytes < largest


@pytest.mark.slow
def test_mobilenet_takes_less_than_40_kb(lowered: tuple[Model, Work]) -> None:
    model, work = lowered
    for component in (ExecutePatchwise(patches=4), BlockGemm()):
        model = component.apply(model, work)
    assert measure(sources_of(model), load_target("stm32f746")).sram_bytes < 40_000


def test_it_stands_before_what_decides_how_layers_are_computed() -> None:
    sequence: list[type[Component]] = [Int8, BlockGemm, ExecutePatchwise]
    assert "before it is decided" in (objection(sequence) or "")
    assert objection([Int8, ExecutePatchwise, BlockGemm]) is None


@pytest.mark.slow
def test_patches_and_steps_in_place_compose_in_both_orders() -> None:
    network = load_model("resnet8")
    work = Work(synthetic(network), rehearse=True)
    lowered = Int8().apply(network, work)

    def arena(*components: Component) -> int:
        model = lowered
        for component in components:
            model = component.apply(model, work)
        return sources_of(model).arena_bytes

    stripes, rows = ExecutePatchwise(patches=2), ExecuteInPlace()
    both = arena(stripes, rows)
    assert arena(rows, stripes) == both < min(arena(stripes), arena(rows))
