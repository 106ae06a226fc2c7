"""What every component keeps to, whatever it does."""

import inspect
import re
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sounds import tones

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Component, LogMel, Work
from autotiny.components.program.solve_schedule import SolveSchedule
from autotiny.engine.variants import WAYS
from autotiny.model import (
    Level,
    Model,
    copy_network,
    freeze,
    freeze_function,
    graph_model,
    keras,
    keras_model,
    ports,
    restore,
    save,
    tensorflow,
)
from autotiny.recipe import component_from, step_data
from autotiny.signal import Front
from autotiny.target import load_target

EVERY = list(COMPONENTS.values())
PORT_TYPES = {"int8": "int8", "int16x8": "int16"}
"""Lowerings that change the type of the ports, and nothing else of them."""


NATURAL = {
    "skip_zeros": "compressed", "share_weights": "compressed", "huffman_code": "compressed",
    "use_winograd": "wide", "strassen": "wide", "spend_sram": "wide",
    "remove_loop_invariants": "recurrent", "fuse_recurrent": "recurrent",
    "fold_constants": "redundant", "remove_identities": "redundant",
    "merge_duplicates": "redundant", "remove_dead_branches": "redundant",
    "simplify_arithmetic": "redundant",
    "remove_constant_channels": "killed",
    "solve_schedule": "little",
}  # fmt: skip
"""Networks in which a component finds more to do than in cnn1."""


LOWERED = {"fuse_recurrent": "int16x8"}
"""Lowerings by which it does; int8 leaves an LSTM whole."""


@pytest.fixture(scope="module")
def recurrent() -> Model:
    """An untrained LSTM over the rows of an image, frozen: its steps are ops of their own."""
    k = keras()
    k.utils.set_random_seed(0)
    image = k.Input((28, 28), name="image")
    x = k.layers.Dense(10, name="dense")(k.layers.LSTM(4, name="lstm")(image))
    return freeze(keras_model(k.Model(image, x, name="recurrent")))


@pytest.fixture(scope="module")
def redundant() -> Model:
    """A frozen graph with a decided branch, a constant, identities, duplicates and like terms."""
    tf = tensorflow()

    def computed(image: Any) -> Any:
        scale = tf.reduce_sum(tf.sqrt(tf.constant([4.0, 9.0])))
        x = tf.cond(scale > 1.0, lambda: tf.identity(tf.sin(image)), lambda: tf.exp(image))
        y = tf.identity(tf.identity(tf.sin(image) * x * scale))
        return y + image * 2.0 + image * 3.0

    spec = tf.TensorSpec((1, 28, 28), tf.float32)
    return graph_model(freeze_function(tf.function(computed).get_concrete_function(spec)))


@pytest.fixture(scope="module")
def killed(residual: Model) -> Model:
    """A network of which training left four filters without weights."""
    network = copy_network(residual.keras)
    layer = network.get_layer("point")
    layer.set_weights([part * (np.arange(12) >= 4) for part in layer.get_weights()])
    return keras_model(network)


@pytest.fixture(scope="module")
def spoken() -> Model:
    """A network on levels of mel bands of sound."""
    k = keras()
    k.utils.set_random_seed(0)
    front = LogMel(20.0, 10.0, 16).front(Front((4000,), 1 / 32768, 16_000), 3)
    parts = [
        k.layers.InputLayer(front.gives), k.layers.Conv2D(4, 3, padding="same", activation="relu"),
        k.layers.GlobalAveragePooling2D(), k.layers.Dense(2),
    ]  # fmt: skip
    return replace(keras_model(k.Sequential(parts)), front=front)


@pytest.fixture(scope="module")
def little() -> Model:
    """A network of one layer, which is soon measured in all its ways."""
    k = keras()
    k.utils.set_random_seed(0)
    return keras_model(k.Sequential([k.Input((28, 28)), k.layers.Flatten(), k.layers.Dense(10)]))


@pytest.fixture(scope="module")
def lowered() -> dict[tuple[str, str, bool], Model]:
    """What was lowered for earlier tests: by network, lowering, and whether it was rehearsed."""
    return {}


def start(kind: type[Component], work: Work, request: pytest.FixtureRequest) -> Model:
    """A network that a component finds something to do in, at a level that it takes."""
    name = "spoken" if kind.level is Level.SIGNAL else NATURAL.get(kind.name, "cnn1")
    model: Model = request.getfixturevalue(name)
    if kind.level in (Level.TFLITE, Level.PROGRAM) and name != "redundant":
        lowering = LOWERED.get(kind.name, "int8")
        before, key = request.getfixturevalue("lowered"), (name, lowering, work.rehearse)
        if key not in before:
            before[key] = COMPONENTS[lowering]().apply(model, work)
        model = before[key]
    return model


def content(model: Model) -> Any:
    if model.level is Level.KERAS:
        return [weight.copy() for weight in model.keras.get_weights()]
    return model.network


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
def test_name_file_class_and_documentation_agree(kind: type[Component]) -> None:
    module = import_module(kind.__module__)
    words = re.findall(r"[A-Z][a-z0-9]*", kind.__name__)
    assert kind.name == kind.__module__.rsplit(".", 1)[1]
    assert kind.name == "_".join(words).lower()
    assert is_dataclass(kind)
    assert module.__doc__
    assert kind.__doc__
    for entry in fields(kind):
        assert f"{entry.name}:" in kind.__doc__, f"{kind.name} does not explain {entry.name}"


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
def test_levels_and_preconditions_are_consistent(kind: type[Component]) -> None:
    order = list(Level)
    assert kind.level in kind.levels
    assert all(isinstance(level, Level) for level in kind.levels)
    assert kind.name not in kind.not_after
    assert all(name in COMPONENTS for name in kind.not_after)
    assert all(reason for reason in kind.not_after.values())
    assert any(order.index(kind.leaves) >= order.index(level) for level in kind.levels)
    assert not inspect.isabstract(kind)


@pytest.mark.parametrize(
    "rehearse",
    [
        pytest.param(True, id="rehearsed"),
        pytest.param(False, id="real", marks=pytest.mark.everyday(5)),
    ],
)
@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
def test_it_keeps_its_input_its_ports_and_its_seed(
    kind: type[Component],
    rehearse: bool,
    work: Work,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    work = replace(work, rehearse=rehearse, epochs=1)
    if kind.level is Level.SIGNAL:
        work = replace(work, data=tones(), original=None)
    if kind is SolveSchedule:
        work = replace(work, target=load_target("stm32l4r5"), cache=Cache(tmp_path))
    model = start(kind, work, request)
    before, facts = content(model), model.facts()
    once = kind().apply(model, work)
    again = kind().apply(model, work)
    assert once.fingerprint == again.fingerprint
    assert model.facts() == facts
    if model.level is Level.KERAS:
        assert all(np.array_equal(a, b) for a, b in zip(before, content(model), strict=True))
    elif model.level is Level.GRAPH:
        assert graph_model(before).fingerprint == model.fingerprint
    else:
        assert content(model) is before
        assert before.fingerprint() == model.fingerprint
    inputs, outputs = ports(model)
    shapes = [[shape for shape, _ in side] for side in ports(once)]
    before_shapes = [[shape for shape, _ in inputs], [shape for shape, _ in outputs]]
    if kind.level is Level.SIGNAL:  # what is recorded stays, what the network takes of it does not
        assert once.front is not None and model.front is not None
        assert once.front.takes == model.front.takes and once.front != model.front
        assert shapes[0] == [(1, *once.front.gives)]
        assert shapes[1] == before_shapes[1]
    else:
        assert shapes == before_shapes
    expected = PORT_TYPES.get(kind.name, inputs[0][1])
    assert ports(once)[0][0][1] == expected
    save(once, tmp_path / "stored")
    back = restore(tmp_path / "stored", WAYS)
    assert (back.level, back.fingerprint) == (once.level, once.fingerprint)
    assert back.front == once.front
    assert (back.traits, dict(back.notes)) == (once.traits, dict(once.notes))
    assert ports(back) == ports(once)
    assert once.level is kind.gives(model.level)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
def test_it_goes_through_a_recipe_and_back(kind: type[Component]) -> None:
    component = kind()
    assert component_from(step_data(component)) == component
