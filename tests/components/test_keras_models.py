"""Every component of level keras on models that it was not made for: it works or says why not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.dataset import Dataset
from autotiny.errors import NotApplicable
from autotiny.model import Level, Model, keras_model, ports, tensorflow
from autotiny.model.keras3 import convert_keras3
from autotiny.tasks import Classification

KINDS = [name for name, kind in COMPONENTS.items() if kind.level is Level.KERAS and kind.trains]


def functional(keras3: Any) -> Any:
    layers = keras3.layers
    image = keras3.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = y = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.add([layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x), y])
    x = layers.concatenate([x, layers.SeparableConv2D(4, 3, padding="same")(y)])
    x = layers.GlobalAveragePooling2D()(layers.Activation("swish")(x))
    x = layers.Dense(16, activation="relu")(x)
    return keras3.Model(image, layers.Dense(5, activation="softmax")(x))


def subclassed(keras3: Any) -> Any:
    class Net(keras3.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = keras3.layers.Conv2D(8, 3, padding="same", activation="relu")
            self.second = keras3.layers.Conv2D(8, 3, padding="same")
            self.flat = keras3.layers.Flatten()
            self.out = keras3.layers.Dense(5)

        def call(self, x: Any) -> Any:
            x = self.first(x)
            return self.out(self.flat(keras3.ops.relu(x + self.second(x))))

    network = Net()
    network(np.zeros((1, 8, 8, 3), "float32"))
    return network


def recurrent(keras3: Any) -> Any:
    layers = keras3.layers
    steps = keras3.Input((6, 24))
    x = layers.Conv1D(12, 3, activation="relu")(steps)
    x = layers.Bidirectional(layers.GRU(6, return_sequences=True))(x)
    x = layers.LSTM(12)(x)
    x = layers.Dense(16, activation="relu")(x)
    return keras3.Model(steps, layers.Dense(5)(x))


def operated(keras3: Any) -> Any:
    layers, ops = keras3.layers, keras3.ops
    image = keras3.Input((8, 8, 3))
    x = layers.RandomFlip()(layers.Rescaling(0.5)(image))
    x = layers.Conv2D(8, 3, activation="hard_silu")(x * 2 - 1)
    x = layers.LeakyReLU(negative_slope=0.2)(layers.Conv2D(8, 3, padding="same")(x)) + x
    x = ops.mean(layers.Conv2D(8, 3)(x[:, 1:, 1:]), axis=(1, 2))
    x = layers.Dropout(0.2)(layers.Dense(16, activation="celu")(x))
    return keras3.Model(image, layers.Dense(5)(ops.concatenate([x, x / 2], axis=-1)))


BUILDS = (functional, subclassed, recurrent, operated)


def check(kind: str, build: Callable[[Any], Any], *, rehearse: bool) -> None:
    tensorflow()
    import keras as keras3

    model: Model = keras_model(convert_keras3(build(keras3)))
    rng = np.random.default_rng(0)
    x = rng.random((160, *model.keras.input_shape[1:])).astype(np.float32)
    y = rng.integers(0, 5, 160).astype(np.int32)
    data = Dataset("noise", x, y, x[:40], y[:40], x[:40], y[:40], task=Classification(outputs=5))
    work = Work(data, epochs=1, original=model, rehearse=rehearse)
    try:
        result = COMPONENTS[kind]().apply(model, work)
    except NotApplicable as reason:
        assert str(reason).startswith(f"{kind}: ")
        return
    assert ports(result) == ports(model)
    if not rehearse:
        COMPONENTS["int8"]().apply(result, Work(data, rehearse=True))


@pytest.mark.parametrize(
    "build", [functional, subclassed, recurrent, operated], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.everyday(8)
def test_it_rehearses_or_says_why_not(kind: str, build: Callable[[Any], Any]) -> None:
    check(kind, build, rehearse=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "build", [functional, subclassed, recurrent, operated], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_or_says_why_not(kind: str, build: Callable[[Any], Any]) -> None:
    check(kind, build, rehearse=False)
