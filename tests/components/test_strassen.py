import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.program.strassen import Strassen
from autotiny.dataset import synthetic
from autotiny.engine import generate
from autotiny.engine.variants.blocks import Blocks
from autotiny.engine.variants.strassen import Strassen as Products
from autotiny.errors import NotApplicable, UserError
from autotiny.evaluate import program_key
from autotiny.firmware import build_host
from autotiny.graph import Array
from autotiny.model import Model, load_model
from autotiny.schedule import Way


@pytest.fixture(scope="module")
def ds_cnn() -> tuple[Model, Work]:
    """ds_cnn in int8: four 1×1 convolutions of 64 channels at 125 pixels."""
    model = load_model("ds_cnn")
    work = Work(synthetic(model))
    return COMPONENTS["int8"]().apply(model, work), work


def computed(model: Model, x: Array) -> Array:
    return build_host(generate(model.program.graph, model.program.schedule)).predict(x)


def kernels(model: Model) -> list[Way]:
    return [step.kernel for step in model.program.schedule.steps]


def test_large_products_are_computed_so_and_stay_the_same(ds_cnn: tuple[Model, Work]) -> None:
    lowered, work = ds_cnn
    blocked = COMPONENTS["block_gemm"]().apply(lowered, work)
    multiplied = Strassen(16, 64).apply(blocked, work)
    assert kernels(multiplied).count(Products(16)) == 4
    convolutions = [
        step.kernel
        for step in blocked.program.schedule.steps
        if lowered.graph.ops[step.ops[0]].kind == "CONV_2D"
    ]
    assert convolutions == [Blocks(4, 2)] * 5
    assert kernels(multiplied).count(Blocks(4, 2)) == 1
    x = np.random.default_rng(0).integers(-128, 128, (3, *lowered.graph.tensors[0].shape[1:]))
    expected = computed(blocked, x.astype(np.int8))
    np.testing.assert_array_equal(computed(multiplied, x.astype(np.int8)), expected)


def test_small_products_are_left(ds_cnn: tuple[Model, Work]) -> None:
    with pytest.raises(NotApplicable, match=r"strassen: no 1×1 convolution .* at least 192"):
        Strassen().apply(*ds_cnn)


@pytest.mark.parametrize("other", ["expand_weights", "place_weights"])
def test_it_commutes_where_it_applies(ds_cnn: tuple[Model, Work], other: str) -> None:
    lowered, work = ds_cnn
    strassen, second = Strassen(8, 64), COMPONENTS[other]()
    one, two = (
        last.apply(first.apply(lowered, work), work)
        for first, last in ((strassen, second), (second, strassen))
    )
    assert program_key(one) == program_key(two)


@pytest.mark.parametrize("pixels", [0, 4, 12])
def test_pixels_come_in_eights(pixels: int) -> None:
    with pytest.raises(UserError, match=f"pixels = {pixels}; it must be a multiple of 8"):
        Strassen(pixels)
