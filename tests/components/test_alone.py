"""Components that measure take layers where they pay on the target, and nowhere else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Component, Work, applying
from autotiny.components.alone import Layer, cycles, graph_of
from autotiny.components.keras._alone import _pooling_behind
from autotiny.components.keras._replacing import Replacing
from autotiny.components.keras.factorize_low_rank import FactorizeLowRank
from autotiny.components.keras.factorize_spatial import FactorizeSpatial
from autotiny.components.keras.separate_convolutions import SeparateConvolutions
from autotiny.components.program.strassen import Strassen
from autotiny.dataset import Dataset
from autotiny.engine import generate, schedule_for
from autotiny.engine.variants.strassen import Strassen as Products
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, Op
from autotiny.model import (
    KerasModel,
    KernelLayer,
    Level,
    Model,
    Program,
    keras,
    keras_model,
    successor,
)
from autotiny.recipe import Recipe, apply, extended_key
from autotiny.schedule import Schedule, Step
from autotiny.simulator import measure
from autotiny.target import Target, load_target

M0, M4, M7 = (load_target(name) for name in ("stm32g0b1", "stm32l4r5", "stm32h7a3"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("alone"))


def rehearsing(work: Work, target: Target | None, cache: Cache) -> Work:
    return replace(work, rehearse=True, target=target, cache=cache)


def measured(model: Model, work: Work) -> int:
    assert work.target is not None
    graph = COMPONENTS["int8"]().apply(model, work).graph
    schedule = schedule_for(graph, "fastest", dsp=work.target.dsp)
    return measure(generate(graph, schedule), work.target).cycles


@pytest.mark.parametrize(
    ("step", "target", "pays"),
    [
        (SeparateConvolutions(), M4, False),
        (SeparateConvolutions(), M0, True),
        (FactorizeSpatial(), M4, False),
        (FactorizeLowRank(), M4, True),
    ],
)
@pytest.mark.everyday(1)
def test_layers_are_replaced_where_the_firmware_gets_faster(
    step: Replacing, target: Target, pays: bool, cnn1: Model, work: Work, cache: Cache
) -> None:
    here = rehearsing(work, target, cache)
    before = measured(cnn1, here)
    if pays:
        assert measured(step.apply(cnn1, here), here) < before
        return
    with pytest.raises(NotApplicable, match=f"no layer takes fewer cycles of {target.name}"):
        step.apply(cnn1, here)
    smaller = replace(step, layers="smaller").apply(cnn1, here)
    assert measured(smaller, here) > before


def test_a_layer_is_judged_by_itself(work: Work, cache: Cache) -> None:
    # Of two convolutions the first, of one channel, is faster as it is on an M4; the second is not.
    k = keras()
    image = k.Input((16, 16, 1))
    x = k.layers.Conv2D(16, 3, activation="relu", padding="same", name="first")(image)
    x = k.layers.MaxPooling2D()(k.layers.ReLU()(x))
    x = k.layers.Conv2D(32, 3, activation="relu", padding="same", name="second")(x)
    model = keras_model(k.Model(image, x))
    step, apart = SeparateConvolutions(), rehearsing(work, M4, cache)
    assert names(step.apply(model, apart)) == ["first", "second_depthwise", "second_pointwise"]
    both = ["first_depthwise", "first_pointwise", "second_depthwise", "second_pointwise"]
    assert names(step.apply(model, rehearsing(work, None, cache))) == both
    assert names(replace(step, layers="smaller").apply(model, apart)) == both


def names(model: Model) -> list[str]:
    return [layer.name for layer in model.keras.layers if layer.weights]


@pytest.mark.parametrize("between", [[], ["bn"], ["bn", "relu"], ["relu", "dropout"]])
def test_a_pooling_is_found_behind_what_a_convolution_takes_in(between: list[str]) -> None:
    found = _pooling_behind(*pooled(between))
    assert [(layer.kind, layer.gives) for layer in found] == [("MAX_POOL_2D", (1, 3, 4, 2))]
    assert found[0].options["filter_height"] == 2


@pytest.mark.parametrize("between", [["softsign"], ["pad"]])
def test_a_pooling_behind_something_else_is_not(between: list[str]) -> None:
    assert _pooling_behind(*pooled(between)) == []


def pooled(between: list[str]) -> tuple[KernelLayer, KerasModel]:
    layers = keras().layers
    made = {
        "bn": layers.BatchNormalization, "relu": layers.ReLU, "pad": layers.ZeroPadding2D,
        "dropout": lambda: layers.Dropout(0.5), "softsign": layers.LeakyReLU,
    }  # fmt: skip
    convolution = layers.Conv2D(2, 3, padding="same")
    rest = [made[name]() for name in between]
    network = keras().Sequential(
        [layers.InputLayer((6, 8, 1)), convolution, *rest, layers.MaxPooling2D()]
    )
    return convolution, network


def product(inputs: int, pixels: int = 8) -> Graph:
    """A 1×1 convolution of as many channels in as out."""
    options: dict[str, int | str] = {
        "padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1,
        "dilation_w_factor": 1, "fused_activation_function": "NONE",
    }  # fmt: skip
    shape = (1, pixels, pixels, inputs)
    return graph_of(shape, [Layer("CONV_2D", (inputs, 1, 1, inputs), shape, options)])


@pytest.mark.slow
def test_strassen_takes_what_gets_faster(data: Dataset, cache: Cache) -> None:
    graph = product(192)
    model = Model(Level.TFLITE, graph, graph.fingerprint())
    taken = Strassen(64).apply(model, Work(data, target=M7, cache=cache))
    assert [step.kernel for step in taken.program.schedule.steps] == [Products(64)]
    with pytest.raises(NotApplicable, match="strassen: no layer takes fewer cycles of stm32l4r5"):
        Strassen(64).apply(model, Work(data, target=M4, cache=cache))
    for step, target in ((Strassen(64, layers="all"), M4), (Strassen(64), None)):
        everywhere = step.apply(model, Work(data, target=target, cache=cache))
        assert [one.kernel for one in everywhere.program.schedule.steps] == [Products(64)]


def test_strassen_leaves_a_fused_sum_with_a_layer_that_stays(data: Dataset, cache: Cache) -> None:
    one = product(192)
    out = len(one.tensors)
    add = Op("ADD", (out - 1, 0), (out,), {"fused_activation_function": "NONE"})
    graph = Graph((*one.tensors, one.tensors[-1]), (*one.ops, add), (0,), (out,))
    model = Model(Level.TFLITE, graph, graph.fingerprint())
    fused = successor(model, Program(graph, Schedule((Step((0, 1)),))))
    with pytest.raises(NotApplicable, match="no layer takes fewer cycles of stm32l4r5"):
        Strassen(64).apply(fused, Work(data, target=M4, cache=cache))
    taken = Strassen(64).apply(fused, Work(data, target=M7, cache=cache)).program.schedule
    assert taken.steps == (Step((0,), Products(64)), Step((1,)))


def test_a_layer_alone_is_measured_once(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = product(8, pixels=3)
    first = cycles(graph, None, M4, cache)
    assert cycles(graph, None, M4, None) == first
    assert cycles(graph, None, M0, cache) > first
    monkeypatch.setattr("autotiny.components.alone.measure", None)
    assert cycles(graph, None, M4, cache) == first


@pytest.mark.parametrize("kind", COMPONENTS.values(), ids=lambda kind: kind.name)
def test_the_target_is_in_the_key_of_what_measures(kind: type[Component]) -> None:
    try:
        step = kind()
    except TypeError:
        pytest.skip("it has parameters without a default")
    keys = {extended_key("before", step, target) for target in (M4, M7)}
    assert len(keys) == (2 if step.measures else 1)
    measuring = {
        "separate_convolutions", "factorize_spatial", "factorize_low_rank", "strassen",
        "use_winograd", "spend_sram", "solve_schedule",
    }  # fmt: skip
    assert step.measures == (kind.name in measuring)


def test_the_worker_knows_the_target(
    cnn1: Model, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Recipe((SeparateConvolutions(),))
    crossed: list[bool] = []

    def apart(step: Component, source: str, folder: str, known: Work) -> bool:
        crossed.append(True)
        return applying.apply_apart(step, source, folder, known)

    monkeypatch.setattr("autotiny.recipe.apply_apart", apart)
    found = apply(steps, cnn1, replace(work, epochs=1, target=M4), Cache(tmp_path))
    assert [dropped.component for dropped in found.dropped] == ["separate_convolutions"]
    taken = apply(steps, cnn1, replace(work, epochs=1, target=M0), Cache(tmp_path))
    assert not taken.dropped
    assert crossed == [True, True]
    assert np.isfinite(taken.model.keras.get_weights()[0]).all()
