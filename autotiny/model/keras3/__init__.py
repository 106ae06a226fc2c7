"""Keras 3 model → tf_keras model, layer by layer, and the proof that both compute the same.

tf_keras cannot read Keras 3 files, and the components that train need tf_keras. Only layers of
Keras itself are taken over. Whatever comes out has been run beside the original.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from autotiny.doors import keras, tensorflow
from autotiny.errors import InvalidModel
from autotiny.model.keras3.checking import Pair, check_twin
from autotiny.model.keras3.layers import operator_twin, refusal, twins_of
from autotiny.model.keras3.own import OWN_LAYERS, keras3_module
from autotiny.model.kerastypes import KerasLayer, KerasModel, KerasTensor

__all__ = ["OWN_LAYERS", "convert_keras3", "first_line", "is_keras3", "traced"]


def first_line(error: Exception) -> str:
    """The first line of an error's text, cut where it is long."""
    text = io.StringIO(str(error)).readline().strip()
    return text[:200] or type(error).__name__


def is_keras3(network: object) -> bool:
    """Whether a model object belongs to Keras 3."""
    return any(cls.__module__.startswith("keras.src") for cls in type(network).__mro__)


def convert_keras3(network: Any) -> KerasModel:
    """A tf_keras model that computes what a Keras 3 model computes, with its weights.

    Raises:
        InvalidModel: a layer has no counterpart, or its twin differs; or a subclassed model cannot
            be traced.
    """
    keras3_module()
    functional = _functional(network)
    twin, pairs = _build(functional, network.name)
    check_twin(functional, twin, pairs, convert_keras3)
    return twin


def traced(network: Any, module: Any, shape: Sequence[int | None] | None) -> KerasModel:
    """The functional model that a subclassed one amounts to when it is called on a symbolic input.

    Args:
        network: the model, of Keras 3 or tf_keras.
        module: the Keras it belongs to.
        shape: of its one input, (batch, …), as it was built or called with.

    Raises:
        InvalidModel: the shape is not known, or its code needs more than its layers and operators.
    """
    what = f"{type(network).__name__} {network.name!r} is a subclassed model"
    if not shape or not all(isinstance(size, int) for size in shape[1:]):
        raise InvalidModel(
            f"{what} whose input shape is unknown; call it once, or build it, before it is returned"
        )
    inputs = module.Input(tuple(shape[1:]))
    try:
        result: KerasModel = module.Model(inputs, network.call(inputs), name=network.name)
    except (TypeError, ValueError, AttributeError, NotImplementedError) as refusal:
        raise InvalidModel(
            f"{what} that cannot be traced ({first_line(refusal)}); "
            "export it with model.export('folder') and give that folder"
        ) from refusal
    return result


def _functional(network: Any) -> Any:
    """The functional model that a Keras 3 model is."""
    keras3 = keras3_module()
    if isinstance(network, keras3.Sequential):
        if network._functional is None:
            raise InvalidModel(
                f"Sequential {network.name!r} has no input shape; begin it with keras.Input(shape)"
            )
        return network._functional
    if hasattr(network, "_nodes_by_depth"):
        return network
    shapes = list((getattr(network, "_build_shapes_dict", None) or {}).values())
    return traced(network, keras3, shapes[0] if len(shapes) == 1 else None)


@dataclass
class _Twins:
    """What became of the layers of a model and of the models in it.

    Attributes:
        layers: by the identity of the original, so that shared layers stay shared.
        names: those that are taken.
    """

    layers: dict[int, list[KerasLayer]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def named(self, layer: KerasLayer, model: str) -> KerasLayer:
        """The layer, with a name that no other has: models in models may use one again."""
        name, count = layer.name, 1
        while layer.name in self.names:
            layer._name = f"{model}_{name}" if count == 1 else f"{model}_{name}_{count}"
            count += 1
        self.names.add(layer.name)
        return layer


def _build(network: Any, name: str) -> tuple[KerasModel, list[Pair]]:
    """The twin of a functional model of Keras 3, with the results of both in order.

    Models inside it are taken apart: a layer that they share with others can be shared again.
    """
    k = keras()
    twins = _Twins()
    inputs = []
    for tensor in network.inputs:
        layer = tensor._keras_history.operation
        if getattr(layer, "sparse", False) or getattr(layer, "ragged", False):
            raise refusal(layer, "which is sparse or ragged; firmware needs dense inputs")
        twins.names.add(layer.name)
        inputs.append(k.Input(tensor.shape[1:], dtype=_input_type(tensor), name=layer.name))
    outputs, pairs = _run(network, inputs, twins)
    twin: KerasModel = k.Model(
        inputs[0] if len(inputs) == 1 else inputs,
        outputs[0] if len(outputs) == 1 else outputs,
        name=name,
    )
    return twin, pairs


def _run(
    network: Any, inputs: Sequence[KerasTensor], twins: _Twins
) -> tuple[list[KerasTensor], list[Pair]]:
    """What the twins of a model's layers make of inputs, and each result beside the original's."""
    results = {id(a): b for a, b in zip(network.inputs, inputs, strict=True)}
    pairs = []
    for node in _needed(network):
        try:
            found = _called(node, results, twins, network.name)
        except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
            raise refusal(
                node.operation, f"which Keras 2 does not take ({first_line(error)})"
            ) from error
        mine = tensorflow().nest.flatten(found)
        if len(mine) != len(node.outputs):
            raise refusal(node.operation, "which gives another number of results in Keras 2")
        results |= {id(a): b for a, b in zip(node.outputs, mine, strict=True)}
        pairs.append(Pair(node.operation, node.outputs, mine))
    return [results[id(tensor)] for tensor in network.outputs], pairs


def _input_type(tensor: Any) -> str:
    # Halves were never meant for firmware: they are how a network was trained.
    name = str(tensor.dtype)
    return "float32" if name in ("float16", "bfloat16") else name


def _needed(network: Any) -> list[Any]:
    """The calls that the outputs hang on, each behind those that it reads.

    Keras 3 lists what makes implied masks among them; tf_keras makes those by itself.
    """
    wanted = {id(tensor) for tensor in network.outputs}
    found = []
    for depth in sorted(network._nodes_by_depth):
        for node in network._nodes_by_depth[depth]:
            if node.is_input or not any(id(tensor) in wanted for tensor in node.outputs):
                continue
            found.append(node)
            arguments, options = _arguments(node)
            wanted |= {id(tensor) for tensor in _tensors([arguments, options])}
    return found[::-1]


def _arguments(node: Any) -> tuple[list[Any], dict[str, Any]]:
    """What an operation is called with, without what says nothing.

    Whether it is a call of training is decided when the twin is called: Keras 3 records what it was
    when the model was made.
    """
    arguments, options = list(node.arguments.args), dict(node.arguments.kwargs)
    training = options.pop("training", None)
    operation = node.operation
    if training is True and not hasattr(operation, "layers"):
        usual = getattr(operation, "_call_signature", None)
        default = usual.parameters["training"].default if usual else None
        if default is not True:
            raise refusal(
                operation, "called with training=True, which is random or batch-wise in inference; "
                "leave that argument out"
            )  # fmt: skip
    first = arguments[0] if arguments else None
    firsts = list(first) if isinstance(first, (list, tuple)) else [first]
    implied = {id(getattr(one, "_keras_mask", None)) for one in [*arguments, *firsts]}
    for key in ("mask", "query_mask", "value_mask", "key_mask"):
        if key in options and all(id(one) in implied for one in _tensors(options[key])):
            del options[key]
    return arguments, {key: value for key, value in options.items() if value is not None}


def _tensors(value: object) -> Iterator[Any]:
    if type(value).__name__ == "KerasTensor":
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)


def _called(node: Any, results: dict[int, KerasTensor], twins: _Twins, model: str) -> object:
    """What the twin of an operation gives on the twins of what that read."""
    operation = node.operation
    arguments, options = _arguments(node)

    def fill(value: object) -> object:
        if type(value).__name__ == "KerasTensor":
            return results[id(value)]
        if isinstance(value, (list, tuple)):
            return [fill(part) for part in value]
        return value

    if type(operation).__module__.startswith("keras.src.ops"):
        tensors, layer = operator_twin(operation, arguments, options)
        read = [results[id(tensor)] for tensor in tensors]
        return twins.named(layer, model)(read[0] if len(read) == 1 else read)
    if hasattr(operation, "layers"):
        read = [results[id(tensor)] for tensor in _tensors([arguments, options])]
        return _run(_functional(operation), read, twins)[0]
    fresh = id(operation) not in twins.layers
    if fresh:
        twins.layers[id(operation)] = [twins.named(one, model) for one in twins_of(operation)]
    first, *rest = twins.layers[id(operation)]
    found: object = first(
        *(fill(value) for value in arguments),
        **{key: fill(value) for key, value in options.items()},
    )
    if fresh:
        _take_weights(operation, first)
    for layer in rest:
        found = layer(found)
        if fresh:
            _take_weights(operation.activation, layer)
    return found


def _take_weights(layer: Any, twin: KerasLayer) -> None:
    """Gives a twin the weights of the original."""
    if type(layer).__name__ == "SpectralNormalization":
        layer = layer.layer
    values = layer.get_weights()
    if type(layer).__name__ == "Normalization":
        return
    shapes = [tuple(variable.shape) for variable in twin.weights]
    if [value.shape for value in values] != shapes:
        raise refusal(layer, f"whose weights {[v.shape for v in values]} are {shapes} in Keras 2")
    twin.set_weights(values)
