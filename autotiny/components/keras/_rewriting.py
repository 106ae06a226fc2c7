"""Building a Keras model anew with some layers replaced by others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, SupportsIndex

from autotiny.graph import Array
from autotiny.model import KerasLayer, KerasModel, KerasNode, KerasTensor, keras, tensorflow


@dataclass(frozen=True)
class NewLayer:
    """A layer that takes the place of another.

    Attributes:
        layer: the layer.
        weights: its weights; None leaves them as initialized.
        call: further arguments of its call.
    """

    layer: KerasLayer
    weights: Sequence[Array] | None = None
    call: Mapping[str, object] = field(default_factory=dict)

    def __call__(self, *inputs: object, **options: object) -> KerasTensor:
        """What the layer makes of what it reads."""
        return self.layer(*inputs, **{**options, **self.call})


@dataclass(frozen=True)
class NewFunction:
    """A function that takes the place of a layer, or of a part of what replaces one."""

    function: Callable[..., KerasTensor]

    def __call__(self, *inputs: object, **options: object) -> KerasTensor:
        """What the function makes of what the layer read."""
        return self.function(*inputs, **options)


@dataclass(frozen=True)
class Bypass:
    """A way around some layers.

    Attributes:
        source: name of the layer at whose result it begins; called once.
        merge: what the readers behind get, from that result and from the one it leads around.
    """

    source: str
    merge: Callable[[KerasTensor, KerasTensor], KerasTensor]


Replacement = Sequence[NewLayer | NewFunction]
Substitute = Callable[[KerasLayer], Replacement | None]


def calls(network: KerasModel) -> Iterator[KerasNode]:
    """Calls of layers in an order in which each comes after what it reads."""
    for depth in sorted(network._nodes_by_depth, reverse=True):
        for node in network._nodes_by_depth[depth]:
            if not node.is_input:
                yield node


def rewrite(
    network: KerasModel,
    substitute: Substitute,
    bypasses: Mapping[str, Bypass] = MappingProxyType({}),
    shape: tuple[int, ...] | None = None,
) -> KerasModel:
    """A copy of a sequential or functional tf_keras model with some layers replaced.

    Args:
        network: the model; it stays as it is.
        substitute: for a layer the layers that replace it, one feeding the next; an empty list
            leaves it out, None keeps it.
        bypasses: ways around layers, by the name of the last one of these; called once.
        shape: of the inputs, without the batch; by default as it is.
    """
    inputs, outputs = rewire(network, substitute, bypasses, shape)
    single = not isinstance(network.output, (list, tuple))
    twin: KerasModel = keras().Model(
        inputs[0] if len(inputs) == 1 else inputs,
        outputs[0] if single else outputs,
        name=network.name,
    )
    return twin


def rewire(
    network: KerasModel,
    substitute: Substitute,
    bypasses: Mapping[str, Bypass],
    shape: tuple[int, ...] | None = None,
) -> tuple[list[KerasTensor], list[KerasTensor]]:
    """The inputs and outputs of the copy that `rewrite` makes."""
    k = keras()
    tf = tensorflow()
    values: dict[str, _Again] = {}
    inputs: list[KerasTensor] = []
    for tensor in network.inputs:
        name = tensor._keras_history.layer.name
        inputs.append(k.Input(shape or tensor.shape[1:], dtype=tensor.dtype, name=name))
        values[str(id(tensor))] = _Again([inputs[-1]])
    chains: dict[int, Replacement] = {}
    for node in calls(network):
        layer = node.layer
        if id(layer) not in chains:
            replaced = substitute(layer)
            chains[id(layer)] = [copied(layer)] if replaced is None else replaced
        arguments, keywords = node.map_arguments(values)
        for new in chains[id(layer)]:
            # Only the first of a chain gets the call's further arguments.
            arguments, keywords = [new(*arguments, **keywords)], {}
        result: Any = arguments[0] if arguments else keywords
        if layer.name in bypasses:
            bypass = bypasses[layer.name]
            read = values[str(id(network.get_layer(bypass.source).output))].pop()
            result = bypass.merge(read, result)
        old = tf.nest.flatten(node.outputs)
        for tensor, value in zip(old, tf.nest.flatten(result), strict=True):
            values[str(id(tensor))] = _Again([value])
    for chain in chains.values():
        for new in chain:
            if isinstance(new, NewLayer) and new.weights is not None:
                new.layer.set_weights(list(new.weights))
    return inputs, [values[str(id(tensor))].pop() for tensor in network.outputs]


class _Again(list[KerasTensor]):
    """A value for Keras' `map_arguments`, which pops one entry a reader; this never runs out."""

    def pop(self, index: SupportsIndex = -1) -> KerasTensor:
        """The value, which stays."""
        return self[index]


def copied(layer: KerasLayer) -> NewLayer:
    """The same layer once more, with its weights."""
    return NewLayer(layer.__class__.from_config(layer.get_config()), layer.get_weights())


def readers(network: KerasModel) -> dict[str, list[KerasLayer | None]]:
    """The layers that take the result of each layer, by its name; an output counts as a reader."""
    found: dict[str, list[KerasLayer | None]] = {layer.name: [] for layer in network.layers}
    known = {id(node) for nodes in network._nodes_by_depth.values() for node in nodes}
    for layer in network.layers:
        for node in layer._inbound_nodes:
            if id(node) in known and not node.is_input:
                for tensor in tensorflow().nest.flatten(node.keras_inputs):
                    found.setdefault(tensor._keras_history.layer.name, []).append(layer)
    for tensor in network.outputs:
        found[tensor._keras_history.layer.name].append(None)
    return found


def with_fused_relu(network: KerasModel) -> KerasModel:
    """The model with each ReLU that alone follows a linear convolution taken into it.

    The preserving variants of quantization-aware training lose zeros and clusters of a convolution
    whose ReLU is a layer of its own.
    """
    layers = keras().layers
    follows = readers(network)
    fused: set[str] = set()
    dropped: set[str] = set()
    for layer in network.layers:
        after = follows[layer.name]
        linear = getattr(getattr(layer, "activation", None), "__name__", "") == "linear"
        relu = after[0] if len(after) == 1 else None
        if type(layer) is layers.Conv2D and linear and relu is not None and _plain_relu(relu):
            fused.add(layer.name)
            dropped.add(relu.name)
    if not fused:
        return network

    def substitute(layer: KerasLayer) -> Sequence[NewLayer] | None:
        if layer.name in dropped:
            return []
        if layer.name not in fused:
            return None
        config = {**layer.get_config(), "activation": "relu"}
        return [NewLayer(type(layer).from_config(config), layer.get_weights())]

    return rewrite(network, substitute)


def _plain_relu(layer: KerasLayer) -> bool:
    layers = keras().layers
    if isinstance(layer, layers.ReLU):
        return layer.max_value is None and not layer.negative_slope and not layer.threshold
    return isinstance(layer, layers.Activation) and layer.activation.__name__ == "relu"
