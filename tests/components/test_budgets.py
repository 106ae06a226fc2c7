"""Budgets that layers share: the integer program, what levels cost, and what the loss bears."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotiny.cache import Cache
from autotiny.components import Component, Work
from autotiny.components.keras import (
    _replacing,
    _sensitivity,
    factorize_low_rank,
    prune_channels,
)
from autotiny.components.keras._allocating import Cost, allocated, taken
from autotiny.components.keras._channel_costs import channel_cost
from autotiny.components.keras._channels import narrowed, tied_channels
from autotiny.components.keras._rewriting import rewrite
from autotiny.components.keras._sensitivity import sensitivities
from autotiny.components.keras._weights import has_kernel, kernels, positions
from autotiny.components.keras.factorize_low_rank import FactorizeLowRank
from autotiny.components.keras.prune_channels import PruneChannels
from autotiny.components.keras.prune_magnitude import PruneMagnitude
from autotiny.dataset import Dataset
from autotiny.errors import NotApplicable
from autotiny.graph import Array
from autotiny.model import KerasModel, Model, keras, keras_model, load_model, predict
from autotiny.recipe import (
    Recipe,
    component_from,
    step_data,
    step_key,
    step_text,
    steps_from_text,
)
from autotiny.target import load_target
from autotiny.tasks import Classification

# The integer program


def best_by_trying(losses: Sequence[Array], cost: Cost, equal: Sequence[int]) -> float:
    """The least loss of all choices within the budget."""
    return min(
        float(sum(part[level] for part, level in zip(losses, choice, strict=True)))
        for choice in itertools.product(*(range(len(part)) for part in losses))
        if taken(cost, choice) <= taken(cost, equal) + 1e-9
    )


@pytest.mark.parametrize("seed", range(12))
def test_no_choice_within_the_budget_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, 4)
    losses = [np.maximum.accumulate(rng.random(size)) - 0.1 for size in sizes]
    cost: dict[tuple[int, ...], Array] = {
        (part,): rng.integers(0, 50, size) for part, size in enumerate(sizes)
    }
    for pair in ((0, 1), (1, 2), (0, 3)):
        cost[pair] = rng.integers(0, 90, (sizes[pair[0]], sizes[pair[1]]))
    equal = [int(rng.integers(size)) for size in sizes]
    choice = allocated(losses, cost, equal)
    assert taken(cost, choice) <= taken(cost, equal) + 1e-6
    found = sum(part[level] for part, level in zip(losses, choice, strict=True))
    assert found == pytest.approx(best_by_trying(losses, cost, equal), abs=1e-9)


WEIGHTS: Cost = {(0,): np.array([8.0, 4, 1]), (1,): np.array([8.0, 4, 1])}


@pytest.mark.parametrize("broken", [nan, inf])
def test_a_loss_that_is_no_number_is_the_worst(broken: float) -> None:
    losses = [np.array([0, 1.0, broken]), np.array([0, 5.0, 6.0])]
    assert allocated(losses, WEIGHTS, [1, 1]) == [1, 1]  # 1 + 5: what is cheaper is unknown
    assert allocated(losses, WEIGHTS, [2, 1]) == [1, 2]  # the equal choice itself is unknown


def test_the_equal_choice_stays_where_nothing_is_better() -> None:
    nothing = [np.zeros(3), np.zeros(3)]
    assert allocated(nothing, WEIGHTS, [1, 1]) == [1, 1]
    unknown = [np.full(3, nan), np.full(3, nan)]
    assert taken(WEIGHTS, allocated(unknown, WEIGHTS, [1, 1])) <= 8
    assert allocated([np.array([0.0, 1.0, 5.0])], {(0,): np.array([8.0, 4, 1])}, [1]) == [1]
    assert allocated([np.array([0.0, 1.0])], {(0,): np.array([8.0, 4.0])}, [1]) == [1]


def test_small_losses_are_told_apart_beside_an_immense_one() -> None:
    losses = [np.array([0, 2e-7, 1e30]), np.array([0, 1e-7, 3e-7])]
    cost: Cost = {(0,): np.array([2.0, 1, 0]), (1,): np.array([2.0, 1, 0])}
    assert allocated(losses, cost, [1, 1]) == [1, 1] or allocated(losses, cost, [1, 1]) == [0, 2]
    assert allocated([losses[0], np.array([0, 1e-7, 2.5e-7])], cost, [1, 1]) == [0, 2]


# What levels cost


def costs_of(network: KerasModel) -> tuple[int, int]:
    """Multiply-accumulates and weights."""
    depthwise = keras().layers.DepthwiseConv2D
    treated = [one for one in network.layers if has_kernel(one) or isinstance(one, depthwise)]
    each = [(positions(layer), layer.get_weights()[0].size) for layer in treated]
    return sum(often * size for often, size in each), sum(size for _, size in each)


def tied() -> KerasModel:
    """A residual sum, depthwise convolutions, two branches, and layers behind a flattening."""
    k = keras()
    layers = k.layers
    image = k.Input((8, 8, 3))
    x = y = layers.Conv2D(8, 3, padding="same", activation="relu", name="a")(image)
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", name="b")(y))
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Conv2D(8, 3, padding="same", name="inside")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="c")(x)
    z = layers.SeparableConv2D(6, 3, padding="same", name="d")(x)
    z = layers.Conv2D(8, 1, strides=1, name="e")(z)
    x = layers.Concatenate()([layers.MaxPooling2D(2)(x), layers.AveragePooling2D(2)(z)])
    x = layers.Dense(8, activation="relu", name="f")(layers.Flatten()(x))
    return k.Model(image, layers.Dense(4, name="g")(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["tied", "ds_cnn"])
def test_the_cost_of_a_choice_is_that_of_the_network(name: str) -> None:
    network = tied() if name == "tied" else load_model(name).keras
    ties = tied_channels(network)
    scores = ties.scores()
    counts = {group: [len(some), len(some) // 2, 1] for group, some in scores.items()}
    rng = np.random.default_rng(0)

    def made(choice: list[int]) -> tuple[int, int]:
        stay = [some[level] for some, level in zip(counts.values(), choice, strict=True)]
        kept = {
            group: prune_channels._strongest(scores[group], n)
            for group, n in zip(counts, stay, strict=True)
        }
        return costs_of(rewrite(network, lambda one: narrowed(one, ties, kept)))

    choices = [rng.integers(0, 3, len(counts)).tolist() for _ in range(3)]
    each = [made(choice) for choice in choices]
    for budget, place in (("macs", 0), ("weights", 1)):
        cost = channel_cost(network, ties, counts, budget)
        for choice, both in zip(choices, each, strict=True):
            more = taken(cost, choice) - taken(cost, choices[0])
            assert more == both[place] - each[0][place]


# What the loss bears


def answered(model: Model) -> Dataset:
    """Rows of numbers with the answers that a network gives: all that changes it is worse."""
    x = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
    y = predict(model, x).argmax(axis=1)
    parts = (x[:200], y[:200], x[200:250], y[200:250], x[250:], y[250:])
    return Dataset("rows", *parts, Classification(outputs=3))


def stacked(first: int, second: int) -> KerasModel:
    """Two hidden layers and three outputs."""
    k = keras()
    k.utils.set_random_seed(0)
    dense = k.layers.Dense
    parts = [dense(first, "relu", name="a"), dense(second, name="b"), dense(3, name="c")]
    network: KerasModel = k.Sequential([k.Input((12,)), *parts])
    return network


@pytest.fixture(scope="module")
def uneven() -> Model:
    """Of 32 units of the first layer 8 give something, of the 8 of the second one all."""
    network = stacked(32, 8)
    layer = network.get_layer("a")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel * (np.arange(32) % 4 == 0), bias])
    return keras_model(network)


@pytest.fixture(scope="module")
def rows(uneven: Model) -> Dataset:
    return answered(uneven)


def test_pruning_takes_what_the_loss_does_not_miss(uneven: Model, rows: Dataset) -> None:
    work = Work(rows, rehearse=True)
    x = rows.x_test
    alike = PruneChannels(0.25, 1).apply(uneven, work)
    assert np.abs(predict(alike, x) - predict(uneven, x)).max() > 0.05
    for budget in ("macs", "weights"):
        narrow = PruneChannels(0.25, 1, budget).apply(uneven, work)
        first, second, _ = (layer.units for layer in narrow.keras.layers if has_kernel(layer))
        assert 8 <= first < 24 and second == 8
        np.testing.assert_allclose(predict(narrow, x), predict(uneven, x), atol=1e-5)
        pairs = zip(costs_of(narrow.keras), costs_of(alike.keras), strict=True)
        assert all(own <= other for own, other in pairs)


def test_the_loss_is_asked_of_a_network_without_its_weakest_channels(
    uneven: Model, rows: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[tuple[int, int], Any] = {}

    def recording(_: Any, __: Any, ___: str, levels: Any, kernels: Any) -> list[Array]:
        for part, some in enumerate(levels):
            asked.update({(part, stay): kernels(part, stay) for stay in some})
        assert all(some == sorted(some, reverse=True) for some in levels), "the mildest first"
        return [np.arange(len(some), dtype=float) for some in levels]

    monkeypatch.setattr(prune_channels, "sensitivities", recording)
    PruneChannels(0.25, 1, "macs").apply(uneven, Work(rows, rehearse=True))
    network = uneven.keras
    strength = np.abs(network.get_layer("a").get_weights()[0]).sum(axis=0)
    reads = network.get_layer("b").get_weights()[0]
    for stay in (4, 8, 16):
        least = np.sort(strength)[-stay]
        alone = asked[0, stay]
        assert [*alone] == ["b"]
        np.testing.assert_array_equal(alone["b"][strength > least], reads[strength > least])
        assert not alone["b"][strength < least].any()
    assert asked[0, 32] == {}


@pytest.mark.parametrize("epochs", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_zeros_go_where_the_loss_does_not_miss_them(
    epochs: int, uneven: Model, rows: Dataset
) -> None:
    pruned = PruneMagnitude(0.5, budget="weights").apply(uneven, Work(rows, epochs=epochs))
    shares = {one.name: (kernel == 0).mean() for one, kernel in kernels(pruned.keras)}
    assert shares["a"] >= 0.69 and shares["b"] < 0.3
    left = sum(
        int((kernel != 0).sum()) for one, kernel in kernels(pruned.keras) if one.name in "ab"
    )
    assert left <= (12 * 32 + 32 * 8) // 2


def test_ranks_stay_where_the_loss_misses_them() -> None:
    network = stacked(24, 24)
    rng = np.random.default_rng(0)
    thin = rng.normal(size=(24, 2)) @ rng.normal(size=(2, 24))
    network.get_layer("b").set_weights([thin, np.zeros(24)])
    model = keras_model(network)
    data = answered(model)
    work = Work(data, rehearse=True)
    alike = FactorizeLowRank(0.25).apply(model, work)
    split = FactorizeLowRank(0.25, "weights").apply(model, work)
    sizes = {layer.name: layer.units for layer in split.keras.layers if has_kernel(layer)}
    assert sizes["b_narrow"] == 3  # an eighth of 24, the least that keeps a rank of 2
    assert "a_narrow" not in sizes or sizes["a_narrow"] > 3
    assert costs_of(split.keras)[1] <= costs_of(alike.keras)[1]
    far, near = (
        np.abs(predict(one, data.x_test) - predict(model, data.x_test)).max()
        for one in (alike, split)
    )
    assert near < far


def test_validation_and_test_are_not_looked_at(uneven: Model, rows: Dataset) -> None:
    unseen = replace(
        rows,
        x_validation=np.full_like(rows.x_validation, nan),
        x_test=np.full_like(rows.x_test, nan),
    )
    losses = [_sensitivity._loss(uneven.keras, Work(data))() for data in (rows, unseen)]
    assert losses[0] == losses[1]


def test_growth_is_monotone_and_infinite_where_the_loss_is_no_number(
    uneven: Model, rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sensitivity, "SAMPLES", 100)
    asked = []
    before = uneven.fingerprint

    def scaled(part: int, level: float) -> dict[str, Array]:
        asked.append((part, level))
        name = "bc"[part]
        return {name: uneven.keras.get_layer(name).get_weights()[0] * level}

    levels = [[1.0, 0.5, 0.9, nan], [1.0, 30.0]]
    work = Work(rows, cache=Cache(tmp_path))
    found = sensitivities(uneven, work, "scaled", levels, scaled)
    assert [len(part) for part in found] == [4, 2]
    assert found[0][0] == found[1][0] == 0
    assert 0 < found[0][1] < found[0][2] < 1.01 * found[0][1]  # milder, and counted as worse
    assert found[0][3] == inf
    assert 0 < found[1][1] < inf  # the first part is as it was
    assert (0, 1.0) not in asked
    again = sensitivities(uneven, work, "scaled", levels, scaled)
    assert len(asked) == 4  # from the cache
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    other = sensitivities(uneven, replace(work, seed=1), "scaled", levels, scaled)
    assert len(asked) == 8 and other[0][1] != found[0][1]
    assert keras_model(uneven.keras).fingerprint == before


# What components do with it

SHARING: tuple[Component, ...] = (
    PruneChannels(0.5, 1, "macs"),
    PruneMagnitude(0.5, budget="macs"),
    FactorizeLowRank(0.375, "macs"),
)
by_name = pytest.mark.parametrize("step", SHARING, ids=lambda step: step.name)


@by_name
def test_the_same_comes_again_and_in_the_rehearsal(
    step: Component, uneven: Model, rows: Dataset, tmp_path: Path
) -> None:
    work = Work(rows, epochs=0)
    before = uneven.fingerprint
    made = step.apply(uneven, work)
    assert made.fingerprint == step.apply(uneven, replace(work, cache=Cache(tmp_path))).fingerprint
    assert keras_model(uneven.keras).fingerprint == before
    rehearsed = step.apply(uneven, replace(work, rehearse=True))
    assert [one.shape for one in made.keras.weights] == [
        one.shape for one in rehearsed.keras.weights
    ]
    assert made.traits == rehearsed.traits


def test_only_shapes_that_hang_on_weights_are_said_to() -> None:
    assert not PruneChannels(0.5).reads_weights
    assert PruneChannels(0.5, budget="macs").reads_weights
    assert FactorizeLowRank(0.5, "weights").reads_weights
    assert not PruneMagnitude(0.5, budget="macs").reads_weights  # shapes stay
    text = "prune_channels(ratio=0.5, budget=macs), int8"
    assert Recipe(steps_from_text(text)).reads_weights
    assert not Recipe(steps_from_text("prune_channels(ratio=0.5), int8")).reads_weights


def test_two_of_four_have_no_budget_to_share() -> None:
    assert PruneMagnitude(0.9, "2:4", "macs") == PruneMagnitude(0.5, "2:4")


def recurrent(kind: str) -> KerasModel:
    k = keras()
    k.utils.set_random_seed(0)
    image = k.Input((28, 28))
    x = k.layers.Conv1D(8, 3, activation="relu")(image)
    x = k.layers.Dense(16, activation="relu")(getattr(k.layers, kind)(6)(x))
    return k.Model(image, k.layers.Dense(10)(k.layers.Dense(16)(x)))  # type: ignore[no-any-return]


def shared() -> KerasModel:
    """A layer that is called twice, on different sizes, and one unit in a layer."""
    k = keras()
    k.utils.set_random_seed(0)
    image = k.Input((28, 28))
    x = k.layers.Reshape((28, 28, 1))(image)
    once, half = k.layers.Conv2D(8, 3, activation="relu"), k.layers.AveragePooling2D(2)
    x = k.layers.Concatenate()([k.layers.GlobalMaxPooling2D()(once(one)) for one in (x, half(x))])
    x = k.layers.Dense(1)(k.layers.Dense(16, activation="relu")(x))
    return k.Model(image, k.layers.Dense(10)(x))  # type: ignore[no-any-return]


def tried(step: Component, model: Model, work: Work) -> tuple[int, int] | str:
    """What is left, or why nothing is done."""
    try:
        made = step.apply(model, work)
    except NotApplicable as refusal:
        return str(refusal)
    assert made.keras.output_shape == model.keras.output_shape
    return costs_of(made.keras)


@pytest.mark.parametrize("name", [pytest.param("GRU", marks=pytest.mark.slow), "shared", "one"])
@by_name
def test_every_kind_of_network_is_taken(step: Component, name: str, data: Dataset) -> None:
    k = keras()
    if name == "one":
        network = k.Sequential([k.Input((28, 28)), k.layers.Flatten(), k.layers.Dense(10)])
    else:
        network = shared() if name == "shared" else recurrent(name)
    model, work = keras_model(network), Work(data, rehearse=True)
    alike, together = (
        tried(replace(step, budget=budget), model, work)  # type: ignore[type-var]
        for budget in ("layer", "macs")
    )
    if isinstance(alike, str) or isinstance(together, str) or name == "one":
        assert together == alike
    else:
        assert together[0] <= alike[0]


def test_of_the_ranks_only_those_that_pay_on_the_target_are_chosen(
    uneven: Model, rows: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def four_at_a_time(layer: Any, instead: Any, *rest: Any) -> bool:
        return bool(instead[0].layer.units % 4 == 0)

    for module in (factorize_low_rank, _replacing):
        monkeypatch.setattr(module, "faster", four_at_a_time)
    work = Work(rows, rehearse=True, target=load_target("stm32l4r5"))

    def widths(step: FactorizeLowRank) -> set[int]:
        layers = step.apply(uneven, work).keras.layers
        return {one.output_shape[-1] for one in layers if one.name.endswith("_narrow")}

    assert widths(FactorizeLowRank(0.5, "weights")) <= {4, 8}
    assert widths(FactorizeLowRank(0.5, "weights", layers="smaller")) - {4, 8}
    with pytest.raises(NotApplicable, match="no layer takes fewer cycles"):
        widths(FactorizeLowRank(0.25, "weights"))


def test_a_second_ratio_measures_nothing(
    uneven: Model, rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    plain = _sensitivity._loss

    def counting(network: KerasModel, work: Work) -> Any:
        counted.append(network.name)
        return plain(network, work)

    monkeypatch.setattr(_sensitivity, "_loss", counting)
    work = Work(rows, rehearse=True, cache=Cache(tmp_path))
    for ratio, budget in ((0.25, "macs"), (0.5, "macs"), (0.5, "weights")):
        PruneChannels(ratio, 1, budget).apply(uneven, work)  # type: ignore[arg-type]
    assert len(counted) == 1


@pytest.mark.parametrize("kind", [PruneChannels, PruneMagnitude, FactorizeLowRank])
def test_a_recipe_names_a_budget_only_where_layers_share_one(kind: type[Component]) -> None:
    """Recipes of before there were budgets mean, and are called, what they were."""
    alike, shared = kind(), kind(budget="macs")  # type: ignore[call-arg]
    assert "budget" not in step_text(alike) + step_key(alike) + str(step_data(alike))
    assert "budget=macs" in step_text(shared)
    assert step_key(alike) != step_key(shared)
    for step in (alike, shared):
        assert component_from(step_data(step)) == step
