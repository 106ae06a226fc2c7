"""What a network ends in, at every level."""

from typing import Any

import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.dataset import synthetic
from autotiny.model import ends_in, keras, keras_model
from autotiny.model.freezing import freeze


def network(*end: Any) -> Any:
    layers = keras().layers
    return keras().Sequential([layers.InputLayer((4,)), *end])


def dense(activation: str | None) -> Any:
    return keras().layers.Dense(3, activation=activation)


@pytest.mark.parametrize("level", ["keras", "graph", "float32", "int8", "int8_float_fallback"])
@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (lambda: [dense("softmax")], "softmax"),
        (lambda: [dense("sigmoid")], "sigmoid"),
        (lambda: [dense(None)], ""),
        (lambda: [dense("tanh")], ""),
        (lambda: [dense(None), keras().layers.Softmax()], "softmax"),
        (lambda: [dense(None), keras().layers.Activation("sigmoid")], "sigmoid"),
        (lambda: [dense("sigmoid"), keras().layers.Reshape((3, 1))], "sigmoid"),
        (lambda: [dense("softmax"), dense(None)], ""),
    ],
)
def test_what_a_network_ends_in(level: str, end: Any, expected: str) -> None:
    model = keras_model(network(*end()))
    if level == "graph":
        model = freeze(model)
    elif level != "keras":
        model = COMPONENTS[level]().apply(model, Work(synthetic(model, samples=20)))
    assert ends_in(model) == expected
